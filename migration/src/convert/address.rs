//! Address ranges.

use std::net::{IpAddr, Ipv6Addr};

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
    // Rust's numbers may have a sign, nginx's have none.
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    length.is_none_or(|length| digits(length) && length.parse::<u8>().is_ok_and(|length| length <= most))
}

/// Whether a text is a host, or an address, with or without a port.
pub(crate) fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.bytes().all(plain)
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let named = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.len() <= 253 && host.split('.').all(label),
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    named && port.is_none_or(|port| digits(port) && port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for good in ["10.0.0.0/8", "1.2.3.4", "::1", "fd00::/8", "0.0.0.0/0"] {
            assert!(is_range(good), "{good}");
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "a",
            "fd00::/129",
            "1.2.3.4/",
            "10.0.0.0/+8",
        ] {
            assert!(!is_range(bad), "{bad}");
        }
    }
}
