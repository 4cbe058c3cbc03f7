//! The Gateway API's rules.

use super::*;

fn http_route(rule: Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "x", "namespace": "a"},
        "spec": {"hostnames": ["a.com"], "rules": [rule]},
    })
}

fn path(kind: &str, value: &str) -> Value {
    http_route(json!({"matches": [{"path": {"type": kind, "value": value}}]}))
}

fn gateway(listeners: Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "g", "namespace": "a"}, "spec": {"listeners": listeners},
    })
}

#[test]
fn good_routes_and_gateways_pass() {
    let good = [
        http_route(json!({
            "matches": [{"path": {"type": "PathPrefix", "value": "/a"}, "headers": [{"name": "x", "value": "a b"}]}],
            "filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "b.com"}}],
            "backendRefs": [{"name": "s", "port": 80}],
        })),
        path("RegularExpression", "(?i)(?:/a//b).*"),
        gateway(json!([
            {"name": "http", "port": 80, "protocol": "HTTP"},
            {"name": "tls", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "t"}]}},
        ])),
    ];
    assert_eq!(check(&good), []);
}

#[test]
fn what_the_api_server_or_the_gateway_would_refuse_is_found() {
    let header = |value: &str| http_route(json!({"matches": [{"headers": [{"name": "x", "value": value}]}]}));
    let both = json!([{"type": "RequestRedirect"}, {"type": "URLRewrite"}]);
    breaks(vec![
        (path("Exact", "a"), "no path"),
        (path("PathPrefix", "/a//b"), "no path"),
        (path("PathPrefix", "/a/.."), "no path"),
        (path("Exact", "/a|b"), "no path"),
        (path("RegularExpression", &"a".repeat(1025)), "1024 characters"),
        (header("a  b"), "no header"),
        (header(" a"), "no header"),
        (header(""), "no header"),
        (http_route(json!({"filters": both})), "rewrites nothing"),
        (
            http_route(json!({"filters": [{"type": "CORS"}, {"type": "CORS"}]})),
            "twice",
        ),
        (
            http_route(
                json!({"filters": [{"type": "RequestRedirect"}], "backendRefs": [{"name": "s", "port": 80}]}),
            ),
            "no back ends",
        ),
        (http_route(json!({"backendRefs": [{"name": "s"}]})), "its port"),
        (
            http_route(json!({"backendRefs": [{"name": "s", "namespace": "b", "port": 80}]})),
            "ReferenceGrant",
        ),
        (gateway(json!([])), "1 to 64"),
        (
            gateway(json!([{"name": "a", "port": 443, "protocol": "HTTPS"}])),
            "tls belongs",
        ),
        (
            gateway(json!([{"name": "a", "port": 443, "protocol": "HTTPS",
                "tls": {"certificateRefs": [{"name": "t", "namespace": "b"}]}}])),
            "ReferenceGrant",
        ),
        (
            gateway(
                json!([{"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "a", "port": 81, "protocol": "HTTP"}]),
            ),
            "this name",
        ),
        (
            gateway(
                json!([{"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "b", "port": 80, "protocol": "HTTP"}]),
            ),
            "this port",
        ),
    ]);
    let rules = vec![json!({"matches": []}); 17];
    let mut many = http_route(json!({}));
    many["spec"]["rules"] = json!(rules);
    breaks(vec![(many, "1 to 16")]);
}

#[test]
fn a_grant_allows_its_service_to_its_namespace_alone() {
    let to =
        |service: &str| http_route(json!({"backendRefs": [{"name": service, "namespace": "b", "port": 80}]}));
    let grant = |from: &str| {
        json!({
            "kind": "ReferenceGrant", "metadata": {"name": "g", "namespace": "b"},
            "spec": {"from": [{"namespace": from}], "to": [{"kind": "Service", "name": "s"}]},
        })
    };
    assert_eq!(check(&[to("s"), grant("a")]), []);
    assert_eq!(check(&[to("t"), grant("a")]).len(), 1);
    assert_eq!(check(&[to("s"), grant("c")]).len(), 1);
}
