//! What an Istio gateway answers, rule by rule.

use gradual_rollout_migration::model::envoy::{Envoy, Options, PathNormalization};
use gradual_rollout_migration::model::{Answer, Request};
use serde_json::{Value, json};

use crate::support::{http, https, told};

/// Port 80 in clear and port 443 with TLS for every host.
fn gateway() -> Value {
    json!({
        "kind": "Gateway",
        "metadata": { "name": "edge", "namespace": "istio" },
        "spec": { "servers": [
            { "port": { "number": 80, "protocol": "HTTP", "name": "http" }, "hosts": ["*"] },
            { "port": { "number": 443, "protocol": "HTTPS", "name": "https" }, "hosts": ["*"],
              "tls": { "mode": "SIMPLE", "credentialName": "cert" } },
        ] },
    })
}

fn service(name: &str, host: &str, http: &Value) -> Value {
    json!({
        "kind": "VirtualService",
        "metadata": { "name": name, "namespace": "ns" },
        "spec": { "hosts": [host], "gateways": ["istio/edge"], "http": http },
    })
}

fn to(service: &str) -> Value {
    json!([{ "destination": { "host": format!("{service}.ns.svc.cluster.local"), "port": { "number": 80 } } }])
}

fn envoy(http: &Value) -> Envoy {
    of(&[gateway(), service("vs", "h.test", http)])
}

fn of(objects: &[Value]) -> Envoy {
    let envoy = Envoy::new(objects, Options::default());
    assert!(envoy.unread().is_empty(), "{:?}", envoy.unread());
    envoy
}

fn seen(envoy: &Envoy, request: &Request) -> String {
    told(&envoy.answer(request, 0))
}

fn meets(envoy: &Envoy, expected: &[(&str, &str)]) {
    for (target, answer) in expected {
        assert_eq!(seen(envoy, &http("h.test", target)), *answer, "GET {target}");
    }
}

#[test]
fn exact_prefix_and_regex() {
    let envoy = envoy(&json!([
        { "match": [{ "uri": { "exact": "/e" } }], "route": to("exact") },
        { "match": [{ "uri": { "regex": "/r(/x)?" } }], "route": to("regex") },
        { "match": [{ "uri": { "prefix": "/p" } }], "route": to("prefix") },
        { "match": [{ "uri": { "prefix": "/i" }, "ignoreUriCase": true }], "route": to("case") },
    ]));
    meets(
        &envoy,
        &[
            ("/e?q", "exact /e?q"),
            ("/e/", "404"),
            ("/r", "regex /r"),
            ("/r/x", "regex /r/x"),
            ("/r/xy", "404"),
            ("/xr", "404"),
            ("/pfoo", "prefix /pfoo"),
            ("/P", "404"),
            ("/I/x", "case /I/x"),
        ],
    );
}

#[test]
fn the_first_route_wins_and_one_for_everything_ends_the_list() {
    let envoy = envoy(&json!([
        { "match": [{ "uri": { "prefix": "/a" } }], "route": to("first") },
        { "route": to("all") },
        { "match": [{ "uri": { "prefix": "/b" } }], "route": to("never") },
    ]));
    meets(&envoy, &[("/ab", "first /ab"), ("/b", "all /b")]);
}

#[test]
fn the_path_is_normalised_but_slashes_are_not_merged() {
    let routes = json!([{ "match": [{ "uri": { "prefix": "/a/" } }], "route": to("svc") }]);
    meets(
        &envoy(&routes),
        &[
            ("/x/../a/b", "svc /a/b"),
            ("/%61/b", "svc /a/b"),
            ("//a/b", "404"),
            ("/a%2Fb", "404"),
        ],
    );
    let options = Options {
        path_normalization: PathNormalization::MergeSlashes,
    };
    let merging = Envoy::new(&[gateway(), service("vs", "h.test", &routes)], options);
    meets(&merging, &[("//a//b", "svc /a/b")]);
}

#[test]
fn conditions_besides_the_path() {
    let envoy = envoy(&json!([
        { "match": [{ "headers": { "x-user": { "exact": "me" } } }], "route": to("header") },
        { "match": [{ "method": { "exact": "POST" } }], "route": to("method") },
        { "match": [{ "queryParams": { "v": { "regex": "[0-9]+" } } }], "route": to("query") },
        { "match": [{ "scheme": { "exact": "https" } }], "route": to("tls") },
        { "match": [{ "authority": { "exact": "h.test:81" } }], "route": to("authority") },
        { "match": [{ "port": 8081 }], "route": to("never") },
        { "match": [{ "withoutHeaders": { "x-block": {} }, "uri": { "prefix": "/w" } }], "route": to("without") },
    ]));
    assert_eq!(
        seen(&envoy, &http("h.test", "/").with_header("X-User", "me")),
        "header /"
    );
    assert_eq!(seen(&envoy, &http("h.test", "/").with_method("POST")), "method /");
    assert_eq!(seen(&envoy, &http("h.test", "/?v=12")), "query /?v=12");
    assert_eq!(seen(&envoy, &http("h.test", "/?v=12a")), "404");
    assert_eq!(seen(&envoy, &https("h.test", "/")), "tls /");
    assert_eq!(seen(&envoy, &http("h.test:81", "/")), "authority /");
    assert_eq!(seen(&envoy, &http("h.test", "/")), "404");
    assert_eq!(seen(&envoy, &http("h.test", "/w")), "without /w");
    assert_eq!(
        seen(&envoy, &http("h.test", "/w").with_header("x-block", "1")),
        "404"
    );
}

#[test]
fn hosts_exact_then_the_longest_suffix_then_the_star() {
    let all = |name: &str| json!([{ "route": to(name) }]);
    let envoy = of(&[
        gateway(),
        service("a", "*", &all("star")),
        service("b", "*.a.com", &all("wide")),
        service("c", "*.x.a.com", &all("narrow")),
        service("d", "x.a.com", &all("exact")),
    ]);
    for (host, service) in [
        ("x.a.com", "exact /"),
        ("X.A.COM:8080", "exact /"),
        ("y.x.a.com", "narrow /"),
        ("z.y.a.com", "wide /"),
        ("a.com", "star /"),
        // nginx would take the dot away.
        ("x.a.com.", "star /"),
    ] {
        assert_eq!(seen(&envoy, &http(host, "/")), service, "{host}");
    }
}

/// Istio takes a name without a dot for a Service of the object's namespace.
#[test]
fn a_host_without_a_dot_is_not_found_by_that_name() {
    let envoy = of(&[
        gateway(),
        service("a", "intranet", &json!([{ "route": to("svc") }])),
    ]);
    assert_eq!(seen(&envoy, &http("intranet", "/")), "404");
    assert_eq!(seen(&envoy, &http("intranet.ns.svc.cluster.local", "/")), "svc /");
}

#[test]
fn only_objects_bound_to_a_gateway_and_let_in_by_its_hosts_count() {
    let mut narrow = gateway();
    narrow["spec"]["servers"][0]["hosts"] = json!(["ns/h.test", "other/i.test"]);
    let mut unbound = service("u", "h.test", &json!([{ "route": to("unbound") }]));
    unbound["spec"]["gateways"] = json!(["edge"]);
    let envoy = of(&[
        narrow,
        unbound,
        service("a", "h.test", &json!([{ "route": to("svc") }])),
        service("b", "i.test", &json!([{ "route": to("svc") }])),
    ]);
    assert_eq!(seen(&envoy, &http("h.test", "/")), "svc /");
    assert_eq!(seen(&envoy, &http("i.test", "/")), "404");
}

#[test]
fn several_objects_of_a_host_are_one_list_with_routes_for_everything_last() {
    let envoy = of(&[
        gateway(),
        service("a", "h.test", &json!([{ "route": to("all") }])),
        service(
            "b",
            "h.test",
            &json!([{ "match": [{ "uri": { "prefix": "/b" } }], "route": to("b") }]),
        ),
    ]);
    meets(&envoy, &[("/b", "b /b"), ("/", "all /")]);
}

#[test]
fn rewrites() {
    let envoy = envoy(&json!([
        { "match": [{ "uri": { "exact": "/e" } }], "rewrite": { "uri": "/new" }, "route": to("svc") },
        { "match": [{ "uri": { "prefix": "/p/" } }], "rewrite": { "uri": "/" }, "route": to("svc") },
        { "match": [{ "uri": { "prefix": "/q" } }], "rewrite": { "uri": "/" }, "route": to("svc") },
        { "match": [{ "uri": { "regex": "/r.*" } }], "rewrite": { "uri": "/all" }, "route": to("svc") },
        { "match": [{ "uri": { "regex": "(?i)(?:/bar(/|$)(.*)).*" } }],
          "rewrite": { "uriRegexRewrite": { "match": "^.*?(?i:/bar(/|$)(.*)).*$", "rewrite": r"/\2" } },
          "route": to("svc") },
    ]));
    meets(
        &envoy,
        &[
            ("/e?q", "svc /new?q"),
            ("/p/x", "svc /x"),
            ("/q/x", "svc //x"),
            ("/rest?q", "svc /all?q"),
            ("/bar", "svc /"),
            ("/BAR/x/y?q=1", "svc /x/y?q=1"),
        ],
    );
}

#[test]
fn a_host_is_set_by_rewrite_or_by_header() {
    let envoy = envoy(&json!([
        { "match": [{ "uri": { "prefix": "/a" } }], "rewrite": { "authority": "in" }, "route": to("svc") },
        { "match": [{ "uri": { "prefix": "/b" } }], "headers": { "request": { "set": { "Host": "in" } } }, "route": to("svc") },
        { "route": to("svc") },
    ]));
    let host = |target: &str| match envoy.answer(&http("h.test:81", target), 0) {
        Answer::Backend(arrival) => arrival.host,
        other @ (Answer::Redirect { .. } | Answer::Status(_) | Answer::Refused | Answer::Unsupported(_)) => {
            other.to_string()
        }
    };
    assert_eq!([host("/a"), host("/b"), host("/c")], ["in", "in", "h.test:81"]);
}

#[test]
fn redirects_keep_what_they_do_not_replace() {
    let cases = [
        (json!({ "authority": "n" }), "301 http://n/x?q"),
        (json!({ "authority": "n", "uri": "/" }), "301 http://n/?q"),
        (json!({ "authority": "n", "uri": "/y?z" }), "301 http://n/y?z"),
        (
            json!({ "scheme": "https", "redirectCode": 308 }),
            "308 https://h.test/x?q",
        ),
        (
            json!({ "scheme": "https", "port": 443 }),
            "301 https://h.test/x?q",
        ),
        (json!({ "port": 8443 }), "301 http://h.test:8443/x?q"),
        (
            json!({ "uri": "/y", "redirectCode": 302 }),
            "302 http://h.test/y?q",
        ),
        (json!({ "prefixRewrite": "/p/" }), "301 http://h.test/p/x?q"),
        (
            json!({ "authority": "n", "redirectCode": 300 }),
            "? redirectCode 300",
        ),
    ];
    for (redirect, location) in cases {
        let envoy = envoy(&json!([{ "match": [{ "uri": { "prefix": "/" } }], "redirect": redirect }]));
        meets(&envoy, &[("/x?q", location)]);
    }
}

#[test]
fn a_server_that_redirects_to_https_does_so_for_every_path() {
    let mut gateway = gateway();
    gateway["spec"]["servers"][0]["tls"] = json!({ "httpsRedirect": true });
    let envoy = of(&[gateway, service("a", "h.test", &json!([{ "route": to("svc") }]))]);
    meets(
        &envoy,
        &[("/.well-known/x?q", "301 https://h.test/.well-known/x?q")],
    );
    assert_eq!(seen(&envoy, &https("h.test", "/")), "svc /");
}

#[test]
fn a_tls_server_is_chosen_by_name_and_a_second_one_for_it_is_skipped() {
    let server = |host: &str| {
        json!({
            "port": { "number": 443, "protocol": "HTTPS" }, "hosts": [host], "tls": { "mode": "SIMPLE" },
        })
    };
    let gateway = |name: &str, host: &str| {
        json!({
            "kind": "Gateway", "metadata": { "name": name, "namespace": "istio" }, "spec": { "servers": [server(host)] },
        })
    };
    let mut second = service("b", "h.test", &json!([{ "route": to("second") }]));
    second["spec"]["gateways"] = json!(["istio/second"]);
    let envoy = of(&[
        gateway("edge", "h.test"),
        gateway("second", "h.test"),
        second,
        service("a", "h.test", &json!([{ "route": to("first") }])),
    ]);
    assert_eq!(seen(&envoy, &https("h.test", "/")), "first /");
    assert_eq!(seen(&envoy, &https("unknown", "/")), "connection refused");
    assert_eq!(seen(&envoy, &http("h.test", "/")), "connection refused");
}

#[test]
fn destinations_by_weight() {
    let weighted =
        |service: &str, weight: u64| json!({ "destination": { "host": service }, "weight": weight });
    let envoy = envoy(&json!([{ "route": [weighted("a", 30), weighted("b", 0), weighted("c", 70)] }]));
    let at = |draw: u64| told(&envoy.answer(&http("h.test", "/"), draw));
    assert_eq!(
        [at(0), at(29), at(30), at(99), at(100)],
        ["a /", "a /", "c /", "c /", "a /"]
    );
    assert_eq!(envoy.outcomes(&http("h.test", "/")).len(), 2);
}

#[test]
fn an_answer_of_its_own() {
    let envoy = envoy(&json!([{ "directResponse": { "status": 503 } }]));
    meets(&envoy, &[("/", "503")]);
}

#[test]
fn what_is_not_modelled_is_named() {
    for (route, what) in [
        (json!({ "delegate": { "name": "other" } }), "? delegate"),
        (json!({ "fault": { "abort": {} }, "route": to("svc") }), "? fault"),
        (
            json!({ "match": [{ "uri": { "regex": "(?!x)" } }], "route": to("svc") }),
            "? regex \"(?!x)\": not in the common syntax",
        ),
    ] {
        meets(&envoy(&json!([route])), &[("/", what)]);
    }
}
