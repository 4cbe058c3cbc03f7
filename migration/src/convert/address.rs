//! Address ranges.

use std::net::IpAddr;

/// Whether a text is an address or a range as nginx's `allow` takes it.
pub(crate) fn is_range(text: &str) -> bool {
    let (address, length) = match text.split_once('/') {
        None => (text, None),
        Some((address, length)) => (address, Some(length)),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    length.is_none_or(|length| length.parse::<u8>().is_ok_and(|length| length <= most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for good in ["10.0.0.0/8", "1.2.3.4", "::1", "fd00::/8", "0.0.0.0/0"] {
            assert!(is_range(good), "{good}");
        }
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "a", "fd00::/129", "1.2.3.4/"] {
            assert!(!is_range(bad), "{bad}");
        }
    }
}
