use super::*;

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

fn broken(object: Value) -> usize {
    check(&[object]).len()
}

#[test]
fn values_that_go_beyond_what_istio_can_read() {
    let hash = |hash: Value| {
        json!({"kind": "DestinationRule", "metadata": {"name": "a", "namespace": "b"}, "spec": {"host": "s.n.svc.c",
            "trafficPolicy": {"loadBalancer": {"consistentHash": hash}}}})
    };
    for (value, wrong) in [
        (json!({"httpHeaderName": ""}), true),
        (json!({"httpQueryParameterName": ""}), true),
        (json!({"httpHeaderName": "x"}), false),
        (json!({"httpCookie": {"name": "a", "path": "a b;x"}}), true),
        (
            json!({"httpCookie": {"name": "a", "attributes": [{"name": "Domain", "value": "a\nb"}]}}),
            true,
        ),
        (
            json!({"httpCookie": {"name": "a", "path": "/", "attributes": [{"name": "Secure"}]}}),
            false,
        ),
    ] {
        assert_eq!(broken(hash(value.clone())) > 0, wrong, "{value}");
    }
    let connect = |time: &str| {
        json!({"kind": "DestinationRule", "metadata": {"name": "a", "namespace": "b"}, "spec": {"host": "s.n.svc.c",
            "trafficPolicy": {"connectionPool": {"tcp": {"connectTimeout": time}}}}})
    };
    assert!(broken(connect("9999999999s")) > 0 && broken(connect("60s")) == 0);
}
