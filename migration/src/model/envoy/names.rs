//! Host names with a star in front, as Istio compares them and as Envoy looks them up.

use std::collections::BTreeMap;

/// Whether every host that `inner` stands for is one of `outer`'s.
///
/// A star stands for any labels, and `*.x` is only a subset of a name that is shorter or as long.
pub(super) fn covers(outer: &str, inner: &str) -> bool {
    match (outer.strip_prefix('*'), inner.strip_prefix('*')) {
        (Some(suffix), Some(rest)) => inner.len() >= outer.len() && rest.ends_with(suffix),
        (Some(suffix), None) => inner.ends_with(suffix),
        (None, Some(_)) => false,
        (None, None) => outer == inner,
    }
}

/// What two names have in common: the narrower one, if either covers the other.
pub(super) fn intersection<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    if covers(other, one) {
        Some(one)
    } else if covers(one, other) {
        Some(other)
    } else {
        None
    }
}

/// What a host finds among domains: its own name, then the longest suffix behind a star, then the lone star.
pub(super) fn find<'a, T>(domains: &'a BTreeMap<String, T>, host: &str) -> Option<&'a T> {
    domains.get(host).or_else(|| {
        // The star is never nothing, unless it stands alone.
        let suffixes = host
            .char_indices()
            .skip(1)
            .filter_map(|(at, _)| host.get(at..))
            .chain([""]);
        suffixes
            .map(|suffix| format!("*{suffix}"))
            .find_map(|domain| domains.get(&domain))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_spans_labels() {
        assert!(covers("*.a.com", "x.y.a.com"));
        assert!(covers("*", "*.a.com"));
        assert!(!covers("*.a.com", "a.com"));
        assert!(!covers("x.a.com", "*.a.com"));
        assert_eq!(intersection("*.a.com", "x.a.com"), Some("x.a.com"));
        assert_eq!(intersection("*.a.com", "*.b.com"), None);
    }

    #[test]
    fn exact_then_the_longest_suffix_then_the_star() {
        let domains = ["*", "*.a.com", "*.x.a.com", "y.x.a.com"];
        let domains: BTreeMap<String, &str> = domains
            .iter()
            .map(|domain| ((*domain).to_owned(), *domain))
            .collect();
        let seen = |host: &str| *find(&domains, host).unwrap();
        assert_eq!(seen("y.x.a.com"), "y.x.a.com");
        assert_eq!(seen("z.x.a.com"), "*.x.a.com");
        assert_eq!(seen("z.a.com"), "*.a.com");
        assert_eq!(seen(".a.com"), "*");
        assert_eq!(seen("z.com"), "*");
    }
}
