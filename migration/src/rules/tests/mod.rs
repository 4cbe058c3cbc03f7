#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "tables of cases"
)]

mod gateway_api;
mod other_kinds;
mod routes;

use super::*;
use serde_json::json;

fn object(kind: &str, spec: Value) -> Value {
    json!({"kind": kind, "metadata": {"name": "x", "namespace": "a"}, "spec": spec})
}

fn route(route: Value) -> Value {
    object(
        "VirtualService",
        json!({"hosts": ["a.com"], "gateways": ["a/g"], "http": [route]}),
    )
}

fn to(weights: &[i64]) -> Value {
    let one = |w: &i64| json!({"destination": {"host": "s.a.svc.cluster.local", "port": {"number": 80}}, "weight": w});
    Value::Array(weights.iter().map(one).collect())
}

/// Every object breaks exactly what is said.
fn breaks(cases: Vec<(Value, &str)>) {
    for (object, says) in cases {
        let found = check(std::slice::from_ref(&object));
        assert!(
            found.iter().any(|broken| broken.message.contains(says)),
            "{says}: {found:?} {object}"
        );
    }
}

#[test]
fn good_objects_pass() {
    let good = [
        route(
            json!({"match": [{"uri": {"prefix": "/"}}], "route": to(&[30, 70]), "retries": {"attempts": 0},
            "corsPolicy": {"allowOrigins": [{"regex": ".*"}], "maxAge": "600s", "allowMethods": ["GET", "*"]},
            "headers": {"response": {"set": {"a": "100%% %REQ(:path)%"}, "remove": ["b"]}}, "timeout": "1.5s"}),
        ),
        route(json!({"redirect": {"scheme": "https", "redirectCode": 308}})),
        object(
            "Gateway",
            json!({"servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["a/*"]}]}),
        ),
        object(
            "DestinationRule",
            json!({"host": "s.a.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}}),
        ),
        object(
            "AuthorizationPolicy",
            json!({"action": "DENY", "rules": [{"from": [{"source": {"notRemoteIpBlocks": ["10.0.0.0/8"]}}],
            "to": [{"operation": {"hosts": ["a.com", "a.com:*"]}}]}]}),
        ),
    ];
    assert_eq!(check(&good), []);
}

#[test]
fn virtual_services() {
    breaks(vec![
        (
            object("VirtualService", json!({"hosts": ["a.com"]})),
            "at least one of",
        ),
        (
            object(
                "VirtualService",
                json!({"hosts": ["*"], "http": [{"route": to(&[1])}]}),
            ),
            "not allowed here",
        ),
        (
            object(
                "VirtualService",
                json!({"hosts": ["a.*.com"], "gateways": ["a/g"], "http": [{"route": to(&[1])}]}),
            ),
            "no host",
        ),
        (
            object(
                "VirtualService",
                json!({"hosts": ["*.a.com", "x.a.com"], "gateways": ["a/g"], "http": [{"route": to(&[1])}]}),
            ),
            "same names",
        ),
        (
            object(
                "VirtualService",
                json!({"hosts": ["a.com"], "gateways": ["a/g.x"], "http": [{"route": to(&[1])}]}),
            ),
            "DNS labels",
        ),
        (
            object(
                "VirtualService",
                json!({"gateways": ["a/g"], "http": [{"route": to(&[1])}]}),
            ),
            "without hosts",
        ),
        (
            object(
                "VirtualService",
                json!({"hosts": ["a.com"], "tls": [{"match": [{"sniHosts": ["b.com"]}], "route": to(&[1])}]}),
            ),
            "none of the hosts",
        ),
    ]);
}
