//! Host names with a star in front, as Istio compares them and as Envoy looks them up.

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

/// How well a domain fits a host: exact is best, then the longest suffix, then the lone star.
pub(super) fn fit(domain: &str, host: &str) -> Option<usize> {
    match domain.strip_prefix('*') {
        Some("") => Some(0),
        // The star is never nothing.
        Some(suffix) => (host.len() > suffix.len() && host.ends_with(suffix)).then_some(suffix.len()),
        None => (domain == host).then_some(usize::MAX),
    }
}

/// The thing whose domain fits best.
pub(super) fn best<T>(
    all: impl IntoIterator<Item = T>,
    host: &str,
    domain: impl Fn(&T) -> &str,
) -> Option<T> {
    let fitting = all
        .into_iter()
        .filter_map(|one| fit(domain(&one), host).map(|fit| (fit, one)));
    fitting.max_by_key(|(fit, _)| *fit).map(|(_, one)| one)
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
        let seen = |host: &str| best(domains, host, |domain| domain).unwrap();
        assert_eq!(seen("y.x.a.com"), "y.x.a.com");
        assert_eq!(seen("z.x.a.com"), "*.x.a.com");
        assert_eq!(seen("z.a.com"), "*.a.com");
        assert_eq!(seen("z.com"), "*");
    }
}
