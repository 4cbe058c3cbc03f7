use super::*;
use proptest::prelude::*;
use regex::Regex;

/// nginx's location and rewrite, by the engine of this test: a search.
fn nginx(path: &str, uri: &str) -> bool {
    Regex::new(&format!("(?i)^{path}")).unwrap().is_match(uri)
}

fn nginx_rewrite(path: &str, target: &str, uri: &str) -> Option<String> {
    let found = Regex::new(&format!("(?i){path}")).unwrap();
    let captures = found.captures(uri)?;
    let mut text = String::new();
    let mut chars = target.chars();
    while let Some(c) = chars.next() {
        if c == '$' {
            let digit = chars.next().unwrap().to_digit(10).unwrap() as usize;
            text.push_str(captures.get(digit).map_or("", |m| m.as_str()));
        } else {
            text.push(c);
        }
    }
    Some(text)
}

fn envoy(path: &str, uri: &str) -> bool {
    let pattern = Pattern::new(path).unwrap().location().unwrap();
    Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(uri)
}

fn envoy_rewrite(path: &str, target: &str, uri: &str) -> String {
    let pattern = Pattern::new(path).unwrap();
    let substitution = substitution(target, pattern.groups()).unwrap();
    let found = Regex::new(&pattern.rewrite().unwrap()).unwrap();
    let captures = found.captures(uri).unwrap();
    let mut text = String::new();
    let mut chars = substitution.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            let next = chars.next().unwrap();
            match next.to_digit(10) {
                Some(digit) => text.push_str(captures.get(digit as usize).map_or("", |m| m.as_str())),
                None => text.push(next),
            }
        } else {
            text.push(c);
        }
    }
    text
}

#[test]
fn the_vectors_that_nginx_ran() {
    for (path, target, uri, result) in [
        ("/foo", "/", "/foo", "/"),
        ("/foo", "/", "/foo/bar", "/"),
        ("/foo", "/", "/FOObar", "/"),
        ("/bar(/|$)(.*)", "/$2", "/bar", "/"),
        ("/bar(/|$)(.*)", "/$2", "/bar/x/y", "/x/y"),
        ("/bar(/|$)(.*)", "/$2", "/BAR/x", "/x"),
        ("/bar(/|$)(.*)", "/$2", "/bar/a%20b", "/a%20b"),
    ] {
        assert!(envoy(path, uri), "{path} {uri}");
        assert_eq!(envoy_rewrite(path, target, uri), result, "{path} {uri}");
        assert_eq!(nginx_rewrite(path, target, uri).as_deref(), Some(result));
    }
    assert!(!envoy("/bar(/|$)(.*)", "/barx"));
    for uri in ["/x/two", "/onexyz", "/TWO"] {
        assert!(envoy("/one|/two", uri), "{uri}");
    }
    assert!(!envoy("/one|/two", "/x/one"), "only the first branch is anchored");
}

#[test]
fn what_only_pcre_knows_is_refused() {
    for path in [
        "/a(?=b)",
        "/a(?!b)",
        "/a(?<=b)c",
        r"/(a)\1",
        "/a++",
        "/a*+",
        "/a?+b",
        "/(?>a)",
        r"/a\Kb",
        r"/\h+",
        "/(?<n>a)",
        "/(?P<n>a)",
        r"/\p{L}",
        "/(?x)a b",
        "/a{,3}",
        "/a{2000}",
        "/(a{100}){100}",
        "/[a[b]]",
        "/[a&&b]",
        r"/\<a",
        r"/\u0041",
        "/a(",
        "/(?m)a",
        "/(?U)a",
        r"/\Qa.b\E",
        "/a**",
    ] {
        let error = Pattern::new(path).unwrap_err();
        assert_eq!(error.code, Code::PathPcre, "{path}");
        assert!(!error.detail.is_empty());
    }
    for path in ["/a b", "/ä", "/a%20b", "/a\"b"] {
        assert_eq!(Pattern::new(path).unwrap_err().code, Code::PathEncoding, "{path}");
    }
    let long = format!("/{}", "a".repeat(1100));
    assert_eq!(
        Pattern::new(&long).unwrap().location().unwrap_err().code,
        Code::RegexLong
    );
}

#[test]
fn targets_that_envoy_cannot_say_are_refused() {
    for target in [
        "/$host",
        "/${x}",
        "/x?y=1",
        "https://x/",
        "x",
        "/a b",
        "/$",
        "/$0",
        "/%20",
        "$scheme",
        "$1",
    ] {
        assert!(substitution(target, 0).is_err(), "{target}");
    }
    assert_eq!(substitution("/$2/$10\\", 2).unwrap(), "/\\2/\\10\\\\");
    assert_eq!(
        substitution("/$3x", 2).unwrap(),
        "/x",
        "a capture that is not there is empty"
    );
    assert_eq!(substitution("$1", 1).unwrap(), "\\1");
}

proptest! {
    #[test]
    fn envoy_takes_and_rewrites_what_nginx_does(
        path in "/(a|b|\\(a\\|b\\)|\\(\\.\\*\\)|\\(/\\|\\$\\)|\\.|a\\+|\\[ab\\]\\*|\\(b\\?\\)|x\\|/y|\\$|\\^|a\\{1,2\\}){0,5}",
        target in "/(\\$[1-9]|a|/){0,4}",
        uri in "/[abAxy/.]{0,8}",
    ) {
        prop_assume!(Regex::new(&path).is_ok());
        prop_assert_eq!(nginx(&path, &uri), envoy(&path, &uri), "{} {}", path, uri);
        if let Some(result) = nginx_rewrite(&path, &target, &uri) {
            prop_assert_eq!(result, envoy_rewrite(&path, &target, &uri), "{} {} {}", path, target, uri);
        }
    }
}
