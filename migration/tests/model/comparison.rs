//! A converted set by hand, and what is found when it is converted badly.

use gradual_rollout_migration::model::compare::{Difference, Kind, corpus, differences};
use serde_json::{Value, json};

use crate::support::Ingress;

fn converted(http: &Value) -> Vec<Value> {
    vec![
        json!({
            "kind": "Gateway",
            "metadata": { "name": "edge", "namespace": "istio" },
            "spec": { "servers": [
                { "port": { "number": 80, "protocol": "HTTP" }, "hosts": ["*"] },
                { "port": { "number": 443, "protocol": "HTTPS" }, "hosts": ["*"], "tls": { "mode": "SIMPLE" } },
            ] },
        }),
        json!({
            "kind": "VirtualService",
            "metadata": { "name": "h", "namespace": "ns" },
            "spec": { "hosts": ["h.test"], "gateways": ["istio/edge"], "http": http },
        }),
    ]
}

fn to(service: &str) -> Value {
    json!([{ "destination": { "host": format!("{service}.ns.svc.cluster.local"), "port": { "number": 80 } } }])
}

fn found(ingress: Ingress, http: &Value) -> Vec<Difference> {
    let ingresses = [ingress.value()];
    differences(&ingresses, &converted(http), &corpus(&ingresses))
}

#[test]
fn a_prefix_as_two_matches_is_alike_but_for_the_bytes_of_paths() {
    let http = json!([{
        "match": [{ "uri": { "exact": "/foo" } }, { "uri": { "prefix": "/foo/" } }],
        "route": to("svc"),
    }]);
    let different = found(Ingress::named("a").prefix("h.test", "/foo", "svc"), &http);
    let other: Vec<String> = different
        .iter()
        .filter(|difference| difference.request.has_plain_path())
        .map(ToString::to_string)
        .collect();
    assert!(other.is_empty(), "{other:#?}");
    // A doubled slash finds nothing at Envoy, and a decoded octet arrives decoded.
    assert!(
        different
            .iter()
            .any(|difference| difference.kind == Kind::Outcome)
    );
    assert!(
        different
            .iter()
            .any(|difference| difference.kind == Kind::Spelling)
    );
}

#[test]
fn a_prefix_as_a_prefix_is_found_to_take_too_much() {
    let http = json!([{ "match": [{ "uri": { "prefix": "/foo" } }], "route": to("svc") }]);
    let different = found(Ingress::named("a").prefix("h.test", "/foo", "svc"), &http);
    assert!(
        different
            .iter()
            .any(|difference| difference.request.to_string() == "GET http://h.test/fooxyz")
    );
}

#[test]
fn a_rewrite_as_a_prefix_replacement_is_found() {
    let ingress = Ingress::named("a")
        .any("h.test", "/foo", "svc")
        .with("rewrite-target", "/");
    let http = json!([{
        "match": [{ "uri": { "regex": "(?i)(?:/foo).*" } }],
        "rewrite": { "uri": "/x" },
        "route": to("svc"),
    }]);
    let different = found(ingress.clone(), &http);
    assert!(different.iter().any(|difference| difference.kind == Kind::Target));
    let http = json!([{
        "match": [{ "uri": { "regex": "(?i)(?:/foo).*" } }],
        "rewrite": { "uriRegexRewrite": { "match": "^.*?(?i:/foo).*$", "rewrite": "/" } },
        "route": to("svc"),
    }]);
    let different = found(ingress, &http);
    let other: Vec<String> = different
        .iter()
        .filter(|difference| difference.request.has_plain_path())
        .map(ToString::to_string)
        .collect();
    assert!(other.is_empty(), "{other:#?}");
}

/// nginx appends nothing; Envoy appends the query unless the new path has one of its own.
#[test]
fn a_query_is_carried_along_by_envoys_redirect_only() {
    let ingress = Ingress::named("a")
        .prefix("h.test", "/", "svc")
        .with("permanent-redirect", "https://n.com/");
    let http =
        json!([{ "redirect": { "scheme": "https", "authority": "n.com", "uri": "/", "redirectCode": 301 } }]);
    let different = found(ingress, &http);
    assert!(!different.is_empty());
    for difference in &different {
        assert!(
            difference.request.query.is_some() || !difference.request.has_plain_path(),
            "{difference}"
        );
    }
}

#[test]
fn one_side_of_a_split_that_differs_is_a_difference() {
    let http = json!([{ "route": [
        { "destination": { "host": "svc", "port": { "number": 80 } }, "weight": 99 },
        { "destination": { "host": "other", "port": { "number": 80 } }, "weight": 1 },
    ] }]);
    let different = found(Ingress::named("a").prefix("h.test", "/", "svc"), &http);
    assert!(
        different
            .iter()
            .any(|difference| difference.kind == Kind::Backend)
    );
}

#[test]
fn what_is_not_modelled_is_a_difference_of_its_own() {
    let http = json!([{ "route": to("svc") }]);
    let ingress = Ingress::named("a")
        .prefix("h.test", "/", "svc")
        .with("auth-url", "http://auth");
    let different = found(ingress, &http);
    assert!(
        different
            .iter()
            .any(|difference| difference.kind == Kind::Unknown)
    );
}

/// The recipe for regular expressions: the whole path has to match, whose later branches nginx does not anchor; the
/// rewrite replaces the leftmost find, captures and all.
#[test]
fn regular_expressions_and_rewrites_by_the_recipe_are_alike_on_plain_paths() {
    let paths = [
        ("/foo", "/foo"),
        ("/bar(/|$)(.*)", "/bar(/|$)(.*)"),
        ("/b/?(.*)", "/b/?(.*)"),
        ("/(a|b)/(x)?", "/(a|b)/(x)?"),
        ("/ab$", "/ab$"),
        ("/(.*)b", "/(.*)b"),
        ("/one|/two", "/one|.*/two"),
        (r"/a\.b", r"/a\.b"),
        ("/v[0-9]+/(x)/(.*)", "/v[0-9]+/(x)/(.*)"),
    ];
    let targets = [
        ("/", "/"),
        ("/$1", r"/\1"),
        ("/$2", r"/\2"),
        ("/x/$1/y", r"/x/\1/y"),
    ];
    for (path, branches) in paths {
        for (target, substitution) in targets {
            // RE2 refuses a group that does not exist; nginx has nothing there.
            let groups = path.matches('(').count();
            let absent = |text: &&str| (groups + 1..=9).any(|number| text.contains(&format!("\\{number}")));
            let substitution = Some(substitution).filter(|text| !absent(text)).unwrap_or("/");
            let target = if substitution == "/" { "/" } else { target };
            let http = json!([{
                "match": [{ "uri": { "regex": format!("(?i)(?:{branches}).*") } }],
                "rewrite": { "uriRegexRewrite": { "match": format!("^.*?(?i:{path}).*$"), "rewrite": substitution } },
                "route": to("svc"),
            }]);
            let different = found(
                Ingress::named("a")
                    .any("h.test", path, "svc")
                    .with("rewrite-target", target),
                &http,
            );
            let plain: Vec<String> = different
                .iter()
                .filter(|difference| difference.request.has_plain_path())
                .map(ToString::to_string)
                .collect();
            assert!(plain.is_empty(), "{path} {target}: {plain:#?}");
        }
    }
}
