#![allow(
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "tables of cases"
)]

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

#[test]
fn http_routes() {
    breaks(vec![
        (route(json!({})), "exactly one"),
        (route(json!({"route": []})), "exactly one"),
        (
            route(json!({"route": to(&[1]), "redirect": {"uri": "/"}})),
            "exactly one",
        ),
        (
            route(json!({"redirect": {"uri": "/"}, "rewrite": {"uri": "/"}})),
            "neither fault nor rewrite",
        ),
        (
            route(json!({"directResponse": {"status": 200}, "fault": {}})),
            "neither fault nor rewrite",
        ),
        (
            route(json!({"route": to(&[1]), "mirror": {}, "mirrors": []})),
            "mirror and mirrors",
        ),
        (route(json!({"route": to(&[0, 0])})), "sum above 0"),
        (route(json!({"route": to(&[-1])})), "not below 0"),
        (route(json!({"route": to(&[1]), "timeout": "0s"})), "at least 1ms"),
        (
            route(json!({"route": to(&[1]), "timeout": "0.1ms"})),
            "at least 1ms",
        ),
        (route(json!({"route": to(&[1]), "timeout": 5})), "at least 1ms"),
        (
            route(json!({"match": [{"uri": {"regex": ""}}], "route": to(&[1])})),
            "must not be empty",
        ),
        (
            route(json!({"match": [{"uri": {"regex": "a(?=b)"}}], "route": to(&[1])})),
            "no RE2",
        ),
        (
            route(json!({"match": [{"uri": {"regex": "a".repeat(1025)}}], "route": to(&[1])})),
            "1024",
        ),
        (
            route(json!({"match": [{"uri": {"exact": "/", "prefix": "/"}}], "route": to(&[1])})),
            "at most one",
        ),
        (
            route(json!({"match": [{"headers": {"a": {"prefix": ""}}}], "route": to(&[1])})),
            "prefix must not be empty",
        ),
        (
            route(json!({"match": [{"headers": {"a b": {"exact": "x"}}}], "route": to(&[1])})),
            "no header name",
        ),
        (
            route(json!({"match": [{"port": 0}], "route": to(&[1])})),
            "1 to 65535",
        ),
        (
            route(json!({"route": [{"destination": {"host": "*"}}]})),
            "not allowed here",
        ),
        (
            route(json!({"route": [{"destination": {"host": "s", "port": {"number": "http"}}}]})),
            "1 to 65535",
        ),
        (
            route(json!({"route": to(&[1]), "headers": {"response": {"set": {"host": "x"}}}})),
            "requests only",
        ),
        (
            route(json!({"route": to(&[1]), "headers": {"request": {"set": {":path": "x"}}}})),
            "no header name",
        ),
        (
            route(json!({"route": to(&[1]), "headers": {"request": {"remove": ["host"]}}})),
            "cannot be removed",
        ),
        (
            route(json!({"route": to(&[1]), "headers": {"request": {"set": {"a": "50%"}}}})),
            "twice",
        ),
        (
            route(json!({"route": to(&[1]), "headers": {"request": {"set": {"a": "x\ny"}}}})),
            "control",
        ),
        (
            route(
                json!({"route": to(&[1]), "headers": {"request": {"set": {"host": "x"}}}, "rewrite": {"authority": "y"}}),
            ),
            "set once",
        ),
        (
            route(json!({"route": to(&[1]), "rewrite": {}})),
            "changes something",
        ),
        (
            route(
                json!({"route": to(&[1]), "rewrite": {"uri": "/", "uriRegexRewrite": {"match": "a", "rewrite": "b"}}}),
            ),
            "exclude each other",
        ),
        (
            route(json!({"route": to(&[1]), "rewrite": {"uriRegexRewrite": {"match": "a", "rewrite": ""}}})),
            "target must not be empty",
        ),
        (route(json!({"redirect": {}})), "changes something"),
        (
            route(json!({"redirect": {"uri": "/", "prefixRewrite": "/"}})),
            "exclude each other",
        ),
        (
            route(json!({"redirect": {"prefixRewrite": "/"}, "match": [{"uri": {"exact": "/"}}]})),
            "matches by prefix",
        ),
        (
            route(json!({"redirect": {"uri": "/", "redirectCode": 304}})),
            "301",
        ),
        (route(json!({"redirect": {"scheme": "ftp"}})), "http or https"),
        (
            route(json!({"redirect": {"port": 1, "derivePort": "FROM_REQUEST_PORT"}})),
            "exclude each other",
        ),
        (
            route(json!({"route": to(&[1]), "corsPolicy": {"allowMethods": ["LINK"]}})),
            "does not know this method",
        ),
        (
            route(json!({"route": to(&[1]), "corsPolicy": {"allowOrigins": [{"exact": ""}]}})),
            "must not be empty",
        ),
        (
            route(json!({"route": to(&[1]), "corsPolicy": {"allowOrigins": [{}]}})),
            "one of exact",
        ),
        (
            route(json!({"route": to(&[1]), "corsPolicy": {"allowHeaders": ["a b"]}})),
            "no header name",
        ),
        (
            route(json!({"route": to(&[1]), "corsPolicy": {"maxAge": "1500ms"}})),
            "whole seconds",
        ),
        (
            route(json!({"route": to(&[1]), "corsPolicy": {"maxAge": "0s"}})),
            "at least 1ms",
        ),
        (
            route(json!({"route": to(&[1]), "retries": {"attempts": 0, "retryOn": "5xx"}})),
            "without attempts",
        ),
        (
            route(json!({"route": to(&[1]), "retries": {"attempts": 1, "retryOn": "error"}})),
            "this condition",
        ),
    ]);
}

#[test]
fn the_order_of_routes() {
    let routes = |all: Value| {
        object(
            "VirtualService",
            json!({"hosts": ["a.com"], "gateways": ["a/g"], "http": all}),
        )
    };
    breaks(vec![
        (
            routes(json!([{"route": to(&[1])}, {"route": to(&[1])}])),
            "takes everything",
        ),
        (
            routes(
                json!([{"match": [{"uri": {"prefix": "/a"}}], "route": to(&[1])}, {"match": [{"uri": {"prefix": "/a/b"}}], "route": to(&[1])}]),
            ),
            "takes what matches",
        ),
        (
            routes(
                json!([{"match": [{"uri": {"prefix": "/a"}}], "route": to(&[1])}, {"match": [{"uri": {"exact": "/a"}}], "route": to(&[1])}]),
            ),
            "takes what matches",
        ),
    ]);
    let fine = routes(
        json!([{"match": [{"uri": {"prefix": "/a"}, "port": 80}], "route": to(&[1])}, {"match": [{"uri": {"prefix": "/a/b"}}], "route": to(&[1])}]),
    );
    assert_eq!(check(&[fine]), []);
}

#[test]
fn gateways() {
    let server = |port: Value, tls: Value| {
        let mut server = json!({"port": port, "hosts": ["a/a.com"]});
        if !tls.is_null() {
            server["tls"] = tls;
        }
        object("Gateway", json!({"servers": [server]}))
    };
    let https = json!({"number": 443, "name": "https", "protocol": "HTTPS"});
    let http = json!({"number": 80, "name": "http", "protocol": "HTTP"});
    let mut dotted = server(http.clone(), Value::Null);
    dotted["metadata"]["name"] = "a.b".into();
    let twice = object(
        "Gateway",
        json!({"servers": [
        {"port": https, "hosts": ["a/a.com"], "tls": {"mode": "SIMPLE", "credentialName": "c"}},
        {"port": {"number": 443, "name": "other", "protocol": "HTTPS"}, "hosts": ["b/a.com"], "tls": {"mode": "SIMPLE", "credentialName": "d"}}]}),
    );
    breaks(vec![
        (dotted, "DNS label"),
        (twice, "another server"),
        (object("Gateway", json!({"servers": []})), "has a server"),
        (server(https.clone(), Value::Null), "need tls"),
        (
            server(http, json!({"mode": "SIMPLE", "credentialName": "c"})),
            "only httpsRedirect",
        ),
        (
            server(
                json!({"number": 443, "name": "h2", "protocol": "HTTP2"}),
                json!({"mode": "SIMPLE", "credentialName": "c"}),
            ),
            "only httpsRedirect",
        ),
        (
            server(https.clone(), json!({"mode": "SIMPLE"})),
            "exactly one source",
        ),
        (server(https, json!({"mode": "ODD"})), "this mode"),
        (
            server(json!({"number": 80, "protocol": "HTTP"}), Value::Null),
            "has a name",
        ),
        (
            server(json!({"number": 80, "name": "x", "protocol": "ODD"}), Value::Null),
            "this protocol",
        ),
        (
            object(
                "Gateway",
                json!({"servers": [{"port": {"number": 80, "name": "x", "protocol": "HTTP"}, "hosts": []}]}),
            ),
            "has hosts",
        ),
        (
            object(
                "Gateway",
                json!({"servers": [{"port": {"number": 80, "name": "x", "protocol": "HTTP"}, "hosts": ["A_/a.com"]}]}),
            ),
            "namespace/host",
        ),
    ]);
}

#[test]
fn destination_rules_and_policies() {
    let rule = |policy: Value| {
        object(
            "DestinationRule",
            json!({"host": "s.a.svc", "trafficPolicy": policy}),
        )
    };
    let policy = |rule: Value| object("AuthorizationPolicy", json!({"action": "DENY", "rules": [rule]}));
    breaks(vec![
        (rule(json!({})), "says something"),
        (
            rule(json!({"loadBalancer": {"simple": "RANDOM", "consistentHash": {"useSourceIp": true}}})),
            "exclude each other",
        ),
        (
            rule(json!({"loadBalancer": {"consistentHash": {"useSourceIp": true, "httpHeaderName": "a"}}})),
            "exactly one",
        ),
        (
            rule(json!({"loadBalancer": {"consistentHash": {"httpCookie": {"ttl": "0s"}}}})),
            "has a name",
        ),
        (
            rule(json!({"connectionPool": {"tcp": {"connectTimeout": "0s"}}})),
            "at least 1ms",
        ),
        (rule(json!({"tls": {"mode": "MUTUAL"}})), "client certificate"),
        (
            rule(json!({"portLevelSettings": [{"port": {"number": 0}, "tls": {"mode": "SIMPLE"}}]})),
            "1 to 65535",
        ),
        (
            object("DestinationRule", json!({"host": "*"})),
            "not allowed here",
        ),
        (
            object(
                "DestinationRule",
                json!({"host": "s", "subsets": [{"name": "a"}, {"name": "a"}]}),
            ),
            "unique",
        ),
        (
            policy(json!({"from": [{"source": {"notRemoteIpBlocks": ["10.0.0.0/33"]}}]})),
            "no address range",
        ),
        (
            policy(json!({"to": [{"operation": {"paths": ["*a*"]}}]})),
            "a star stands",
        ),
        (policy(json!({"to": [{"operation": {}}]})), "says something"),
        (
            object("AuthorizationPolicy", json!({"action": "DENY"})),
            "denies nothing",
        ),
    ]);
    let twice = check(&[
        rule(json!({"tls": {"mode": "SIMPLE"}})),
        rule(json!({"tls": {"mode": "SIMPLE"}})),
    ]);
    assert!(twice[0].message.contains("another rule"), "{twice:?}");
}
