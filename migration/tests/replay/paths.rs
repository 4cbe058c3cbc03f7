//! Cases 1 to 10: paths.

use crate::given::Ingress;
use crate::world::{World, http, short};

fn one(kind: &str, path: &str) -> Ingress {
    Ingress::new("a/x").path("a.com", kind, path, "s")
}

#[test]
fn case_01_a_prefix_is_compared_by_elements() {
    let Some(both) = World::of([one("Prefix", "/foo")]).start() else {
        return;
    };
    both.meets(&[
        ("/foo", "s /foo"),
        ("/foo/", "s /foo/"),
        ("/foo/x", "s /foo/x"),
        ("/foobar", "404"),
        ("/FOO", "404"),
        ("/", "404"),
    ]);
}

#[test]
fn case_02_a_prefix_with_a_slash_redirects_the_bare_path() {
    let Some(both) = World::of([one("Prefix", "/foo/")]).start() else {
        return;
    };
    both.meets(&[
        ("/foo", "301 http://a.com/foo/"),
        ("/foo?x=1", "301 http://a.com/foo/?x=1"),
        ("/foo/x", "s /foo/x"),
        ("/foob", "404"),
    ]);
}

#[test]
fn case_03_exact_beside_prefix() {
    let both = Ingress::new("a/x")
        .path("a.com", "Prefix", "/x", "p")
        .path("a.com", "Exact", "/x", "e");
    let Some(both) = World::of([both]).start() else {
        return;
    };
    both.meets(&[
        ("/x", "e /x"),
        ("/x?q", "e /x?q"),
        ("/x/", "p /x/"),
        ("/x/y", "p /x/y"),
    ]);
}

#[test]
fn case_04_the_longest_wins_in_any_order() {
    let short = Ingress::new("a/x")
        .path("a.com", "Prefix", "/", "root")
        .path("a.com", "Prefix", "/api", "api");
    let long = Ingress::new("a/y").path("a.com", "Prefix", "/api/v2", "v2");
    for all in [
        [short.clone().day(1), long.clone().day(2)],
        [short.day(2), long.day(1)],
    ] {
        let Some(both) = World::of(all).start() else {
            return;
        };
        both.meets(&[
            ("/api/v2/x", "v2 /api/v2/x"),
            ("/api/v1", "api /api/v1"),
            ("/api/v22", "api /api/v22"),
            ("/z", "root /z"),
        ]);
    }
}

#[test]
fn case_05_the_older_one_serves_and_of_the_same_age_the_later_name() {
    let named = |name: &str, day| {
        Ingress::new(&format!("a/{name}"))
            .day(day)
            .path("a.com", "Prefix", "/", name)
    };
    let Some(both) = World::of([named("new", 2), named("old", 1)]).start() else {
        return;
    };
    both.meets(&[("/", "old /")]);
    let Some(both) = World::of([named("aa", 1), named("zz", 1)]).start() else {
        return;
    };
    both.meets(&[("/", "zz /")]);
}

#[test]
fn case_06_a_rewrite_with_captures() {
    let ingress = one("ImplementationSpecific", "/bar(/|$)(.*)").note("rewrite-target", "/$2");
    let Some(both) = World::of([ingress]).start() else {
        return;
    };
    both.meets(&[
        ("/bar", "s /"),
        ("/bar/x/y?q=1", "s /x/y?q=1"),
        ("/BAR/x", "s /x"),
        ("/barx", "404"),
        ("/bar/a%20b", "s /a%20b"),
    ]);
}

#[test]
fn case_07_a_rewrite_replaces_the_whole_path() {
    let Some(both) = World::of([one("Prefix", "/foo").note("rewrite-target", "/")]).start() else {
        return;
    };
    both.meets(&[
        ("/foo", "s /"),
        ("/foo/bar?x=1", "s /?x=1"),
        ("/FOObar", "s /"),
        ("/fo", "404"),
    ]);
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
    let Some(both) = World::of([a, b]).start() else {
        return;
    };
    both.meets(&[
        ("/Bxyz", "b /Bxyz"),
        ("/b", "b /b"),
        ("/v12/x", "a /v12/x"),
        ("/v", "404"),
    ]);
}

#[test]
fn case_09_alternatives_match_as_in_nginx_and_lookahead_is_served_by_nginx_alone() {
    let regex = |path: &str| one("ImplementationSpecific", path).note("use-regex", "true");
    let Some(both) = World::of([regex("/one|/two")]).start() else {
        return;
    };
    both.meets(&[
        ("/x/two", "s /x/two"),
        ("/onexyz", "s /onexyz"),
        ("/x/one", "404"),
    ]);
    let Some(both) = World::of([regex("/a(?!b)")]).start() else {
        return;
    };
    let [nginx, envoy] = both.each(crate::world::SOMEBODY, &http("a.com", "/ac"));
    assert_eq!(short(&nginx.unwrap().to_string()), "s /ac");
    assert_eq!(envoy.unwrap().to_string(), "404", "nothing is applied");
    assert!(both.done.told("x", "PATH-PCRE"));
}

#[test]
fn case_10_a_redirect_carries_no_path_and_the_temporal_one_wins() {
    let ingress = one("Prefix", "/").note("permanent-redirect", "https://h");
    let Some(both) = World::of([ingress.clone()]).start() else {
        return;
    };
    // nginx appends nothing. Envoy says the root's slash, which is the same address to every client, and keeps the
    // query, which the report says.
    let [nginx, envoy] = both.each(crate::world::SOMEBODY, &http("a.com", "/a/b?x=1"));
    assert_eq!(nginx.unwrap().to_string(), "301 https://h");
    assert_eq!(envoy.unwrap().to_string(), "301 https://h/?x=1");
    assert!(both.done.told("x", "REDIRECT-QUERY"));
    let temporal = ingress.note("temporal-redirect", "http://t:81/p");
    let Some(both) = World::of([temporal]).start() else {
        return;
    };
    both.meets(&[("/a/b", "302 http://t:81/p"), ("/", "302 http://t:81/p")]);
}
