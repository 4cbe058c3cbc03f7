//! Acceptance cases about paths: 1 to 10.

use crate::envoy::get;
use crate::given::{Done, Ingress, convert_all};

fn check(done: &Done, cases: &[(&str, &str)]) {
    for (path, answer) in cases {
        assert_eq!(done.answer(&get("a.com", path)), *answer, "{path}");
    }
}

#[test]
fn case_01_a_prefix_is_compared_by_elements() {
    let done = convert_all(&[Ingress::new("a/x").path("a.com", "Prefix", "/foo", "s")]);
    check(
        &done,
        &[
            ("/foo", "s /foo"),
            ("/foo/", "s /foo/"),
            ("/foo/x", "s /foo/x"),
            ("/foobar", "404"),
            ("/FOO", "404"),
        ],
    );
}

#[test]
fn case_02_a_prefix_with_a_slash_redirects_the_bare_path() {
    let done = convert_all(&[Ingress::new("a/x").path("a.com", "Prefix", "/foo/", "s")]);
    check(
        &done,
        &[
            ("/foo?x=1", "301 http://a.com/foo/?x=1"),
            ("/foo/x", "s /foo/x"),
            ("/foob", "404"),
        ],
    );
}

#[test]
fn case_03_exact_beside_prefix() {
    let done = convert_all(&[Ingress::new("a/x")
        .path("a.com", "Prefix", "/x", "p")
        .path("a.com", "Exact", "/x", "e")]);
    check(&done, &[("/x", "e /x"), ("/x/", "p /x/"), ("/x/y", "p /x/y")]);
}

#[test]
fn case_04_the_longest_wins_in_any_order() {
    let one = Ingress::new("a/x")
        .day(1)
        .path("a.com", "Prefix", "/", "root")
        .path("a.com", "Prefix", "/api", "api");
    let two = Ingress::new("a/y")
        .day(2)
        .path("a.com", "Prefix", "/api/v2", "v2");
    for all in [
        [one.clone(), two.clone()],
        [two.clone().day(1), one.clone().day(2)],
    ] {
        let done = convert_all(&all);
        check(
            &done,
            &[
                ("/api/v2/x", "v2 /api/v2/x"),
                ("/api/v1", "api /api/v1"),
                ("/api/v22", "api /api/v22"),
                ("/z", "root /z"),
            ],
        );
        assert_eq!(done.objects("VirtualService").len(), 1);
    }
}

#[test]
fn case_05_the_older_one_serves_and_the_loser_is_told() {
    let old = Ingress::new("a/old").day(1).path("a.com", "Prefix", "/", "old");
    let new = Ingress::new("a/new")
        .day(2)
        .path("a.com", "ImplementationSpecific", "/", "new");
    let done = convert_all(&[new, old]);
    check(&done, &[("/", "old /")]);
    assert!(done.told("new", "PATH-DUPLICATE"));
    let equal = |name: &str| {
        Ingress::new(&format!("a/{name}"))
            .day(1)
            .path("a.com", "Prefix", "/", name)
    };
    let done = convert_all(&[equal("aa"), equal("zz")]);
    check(&done, &[("/", "zz /")]);
    assert!(done.told("aa", "PATH-DUPLICATE"));
}

#[test]
fn case_06_a_rewrite_with_captures() {
    let done = convert_all(&[Ingress::new("a/x").note("rewrite-target", "/$2").path(
        "a.com",
        "ImplementationSpecific",
        "/bar(/|$)(.*)",
        "s",
    )]);
    check(
        &done,
        &[
            ("/bar", "s /"),
            ("/bar/x/y?q=1", "s /x/y?q=1"),
            ("/BAR/x", "s /x"),
            ("/barx", "404"),
            ("/bar/a%20b", "s /a%20b"),
        ],
    );
}

#[test]
fn case_07_a_rewrite_replaces_the_whole_path() {
    let done = convert_all(&[Ingress::new("a/x")
        .note("rewrite-target", "/")
        .path("a.com", "Prefix", "/foo", "s")]);
    check(
        &done,
        &[("/foo/bar?x=1", "s /?x=1"), ("/FOObar", "s /"), ("/foo", "s /")],
    );
    // A target that is the path changes nothing, and makes no expressions.
    let same = Ingress::new("a/x")
        .note("rewrite-target", "/")
        .path("a.com", "Prefix", "/", "r");
    let done = convert_all(&[same, Ingress::new("a/y").path("a.com", "Prefix", "/foo", "s")]);
    check(&done, &[("/foo/bar", "s /foo/bar"), ("/foobar", "r /foobar")]);
}

#[test]
fn case_08_expressions_make_every_path_of_the_host_one() {
    let a = Ingress::new("a/a").note("use-regex", "true").path(
        "a.com",
        "ImplementationSpecific",
        "/v[0-9]+",
        "a",
    );
    let b = Ingress::new("a/b").path("a.com", "Exact", "/b", "b");
    let done = convert_all(&[a, b]);
    check(
        &done,
        &[("/Bxyz", "b /Bxyz"), ("/v12/x", "a /v12/x"), ("/v", "404")],
    );
    assert!(done.told("b", "REGEX-HOST"));
}

#[test]
fn case_09_alternatives_match_as_in_nginx_and_lookahead_is_refused() {
    let regex = |path: &str| {
        Ingress::new("a/x")
            .note("use-regex", "true")
            .path("a.com", "ImplementationSpecific", path, "s")
    };
    let done = convert_all(&[regex("/one|/two")]);
    check(
        &done,
        &[
            ("/x/two", "s /x/two"),
            ("/onexyz", "s /onexyz"),
            ("/x/one", "404"),
        ],
    );
    let done = convert_all(&[regex("/a(?!b)")]);
    assert!(done.told("x", "PATH-PCRE"));
    assert!(done.conversion.objects.is_empty(), "nothing is applied");
    let done = convert_all(&[regex("/a(?!b)(.*)").note("rewrite-target", "/$1")]);
    assert!(done.told("x", "REWRITE-PCRE"));
    assert!(done.conversion.objects.is_empty());
}

#[test]
fn case_10_redirects_of_everything() {
    let redirect = Ingress::new("a/x")
        .note("permanent-redirect", "https://h")
        .path("a.com", "Prefix", "/", "s");
    let done = convert_all(std::slice::from_ref(&redirect));
    // The query is kept, which the report says.
    check(
        &done,
        &[("/a/b", "301 https://h/"), ("/a/b?x=1", "301 https://h/?x=1")],
    );
    assert!(done.told("x", "REDIRECT-QUERY"));
    let done = convert_all(&[redirect.note("temporal-redirect", "http://t:81/p")]);
    check(&done, &[("/a/b", "302 http://t:81/p")]);
    let odd = Ingress::new("a/x")
        .note("permanent-redirect", "https://h/")
        .note("permanent-redirect-code", "304");
    let done = convert_all(&[odd.path("a.com", "Prefix", "/", "s")]);
    check(&done, &[("/", "301 https://h/")]);
    assert!(done.told("x", "REDIRECT-CODE"));
}

#[test]
fn app_root_redirects_the_root_alone() {
    let done = convert_all(&[Ingress::new("a/x")
        .note("app-root", "/app")
        .path("a.com", "Prefix", "/", "s")]);
    check(&done, &[("/", "302 http://a.com/app"), ("/app", "s /app")]);
}

#[test]
fn plain_prefixes_of_the_vectors() {
    let done = convert_all(&[Ingress::new("a/x").path("a.com", "Prefix", "/sl/", "s")]);
    check(&done, &[("/sl?x=1", "301 http://a.com/sl/?x=1")]);
}

#[test]
fn a_prefix_that_is_its_own_target_is_rewritten_below_itself() {
    let own = Ingress::new("a/x")
        .note("rewrite-target", "/foo")
        .path("a.com", "Prefix", "/foo", "s");
    let done = convert_all(&[own]);
    assert_eq!(done.answer(&get("a.com", "/foo")), "s /foo");
    assert_eq!(done.answer(&get("a.com", "/foo/x")), "s /foo");
    assert_eq!(done.answer(&get("a.com", "/foox")), "s /foox");
}
