//! Names for what is written: DNS labels, never longer than 63, different for different things.

/// The longest label.
const LONGEST: usize = 63;

/// A label that is read easily and differs where the parts differ: its end is a digest of them.
pub(super) fn label(readable: &str, parts: &[&str]) -> String {
    let digest = format!("{:08x}", digest(parts));
    let mut text = String::new();
    for c in readable.chars() {
        let c = if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        };
        if c != '-' || !text.ends_with('-') {
            text.push(c);
        }
    }
    let text: String = text
        .trim_matches('-')
        .chars()
        .take(LONGEST - digest.len() - 1)
        .collect();
    let text = text.trim_end_matches('-');
    if text.is_empty() {
        // A label must not end in a dash, and may begin with a digit.
        return digest;
    }
    format!("{text}-{digest}")
}

/// FNV-1a, 64 bits folded to 32; parts are kept apart by a byte that no name has.
fn digest(parts: &[&str]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    let folded = (hash >> 32) ^ (hash & 0xffff_ffff);
    u32::try_from(folded).unwrap_or_default()
}

/// Whether a text is a DNS-1123 label.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether a text is a host of an Ingress: labels, the first of which may be `*`.
pub(crate) fn is_host(text: &str) -> bool {
    let rest = text.strip_prefix("*.").unwrap_or(text);
    text.len() <= 253 && rest.split('.').all(is_label)
}

/// Whether a `VirtualService` can have a host: Istio takes one without a dot for a Service's.
pub(super) fn is_written(host: &str) -> bool {
    host == "*" || is_host(host) && host.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_labels_that_differ_where_things_differ() {
        let long = "a".repeat(200);
        for (readable, parts) in [
            ("*.a.com", ["*.a.com"]),
            (&long, [&long]),
            ("-", ["-"]),
            ("A_b", ["A_b"]),
        ] {
            let name = label(readable, &parts);
            assert!(is_label(&name), "{name}");
        }
        assert_ne!(label("a.b", &["a.b"]), label("a-b", &["a-b"]));
        assert_ne!(label("a-b-c", &["a-b", "c"]), label("a-b-c", &["a", "b-c"]));
    }

    #[test]
    fn hosts() {
        for good in ["a.com", "*.a.com", "localhost", "1.2.3"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "*", "a.*.com", "A.com", "a..b", "-a.com", "*a.com", "a_b.com"] {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
