use super::*;

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
fn addresses_that_are_none() {
    let route = |route: Value| {
        json!({"kind": "VirtualService", "metadata": {"name": "a", "namespace": "b"},
            "spec": {"hosts": ["a.com"], "gateways": ["a/b"], "http": [route]}})
    };
    let to = json!([{"destination": {"host": "s.n.svc.c", "port": {"number": 80}}}]);
    for (authority, wrong) in [
        ("a..b", true),
        (":", true),
        ("a.b:99999", true),
        ("a.b:80", false),
        ("[::1]", false),
    ] {
        let rewritten = json!({"rewrite": {"authority": authority}, "route": to});
        assert_eq!(!check(&[route(rewritten)]).is_empty(), wrong, "{authority}");
    }
    for (redirect, wrong) in [
        (json!({"uri": "/a b"}), true),
        (json!({"uri": "/a\u{1}"}), true),
        (json!({"uri": "/a", "port": 0}), true),
        (json!({"uri": "/a", "port": 80}), false),
    ] {
        let answer = json!({"redirect": redirect});
        assert_eq!(!check(&[route(answer)]).is_empty(), wrong, "{redirect}");
    }
}
