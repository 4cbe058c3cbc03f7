//! What the operator allows.

/// Hosts that may be probed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Vec<String>);

impl Allowed {
    /// Patterns: a host's name or address, `*.example.com` for every name below it, `*` for all. The first that is
    /// none is given back.
    pub fn new(patterns: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut all = Vec::new();
        for pattern in patterns {
            let plain = pattern.strip_prefix("*.").unwrap_or(&pattern);
            let legal = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
            if pattern != "*" && (plain.is_empty() || !plain.chars().all(legal)) {
                return Err(pattern);
            }
            all.push(pattern.to_ascii_lowercase());
        }
        Ok(Self(all))
    }

    /// Nothing may be probed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a host may be probed, as far as its name tells.
    pub(super) fn allows(&self, host: &str) -> bool {
        let host = plain(host);
        self.0.iter().any(|pattern| match pattern.strip_prefix('*') {
            Some("") => true,
            // Something stands before the dot.
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => *pattern == host,
        })
    }

    /// Whether the operator wrote this very host: then every address of it will do.
    pub(super) fn names(&self, host: &str) -> bool {
        let host = plain(host);
        self.0.contains(&host)
    }
}

/// A host's name as it is compared: in small letters, without IPv6's brackets and the dot of the root.
fn plain(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(patterns: &[&str]) -> Allowed {
        Allowed::new(patterns.iter().map(|p| (*p).to_owned())).unwrap()
    }

    #[test]
    fn nothing_is_allowed_that_is_not_written() {
        let some = allowed(&["shop.example.com", "*.apps.svc", "::1"]);
        for host in [
            "shop.example.com",
            "SHOP.example.com.",
            "a.apps.svc",
            "a.b.apps.svc",
            "[::1]",
        ] {
            assert!(some.allows(host), "{host}");
        }
        for host in [
            "example.com",
            "xshop.example.com",
            "apps.svc",
            ".apps.svc.evil",
            "xapps.svc",
            "127.0.0.1",
        ] {
            assert!(!some.allows(host), "{host}");
        }
        assert!(!Allowed::default().allows("shop.example.com"));
        assert!(allowed(&["*"]).allows("anything"));
        assert!(some.names("shop.example.com") && !some.names("a.apps.svc"));
        assert!(!allowed(&["*"]).names("127.0.0.1"));
    }

    #[test]
    fn what_is_no_pattern_is_given_back() {
        for wrong in ["", "*.", "http://shop", "a*b", "*.*.svc", "shop/path"] {
            assert_eq!(Allowed::new([wrong.to_owned()]), Err(wrong.to_owned()), "{wrong}");
        }
    }
}
