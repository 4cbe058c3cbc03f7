use super::*;
use serde_json::json;

fn gateway() -> SplitGateway {
    serde_json::from_value(
        json!({"namespace": "istio-system", "service": "gw", "port": 8081, "name": "istio-system/split"}),
    )
    .unwrap()
}

fn vs(name: &str, hosts: &Value, http: &Value) -> Value {
    json!({"metadata": {"namespace": "a", "name": name},
        "spec": {"hosts": hosts, "gateways": ["istio-system/split"], "http": http}})
}

/// What a listener with these does, without the reasons of what is missing.
fn way(all: &[Value], host: &str, path: &str, prefix: bool) -> Way {
    match why(all, host, path, prefix) {
        Way::Missing(_) => Way::Missing(None),
        way @ (Way::Routed | Way::Answered(_) | Way::Redirected(_)) => way,
    }
}

fn why(all: &[Value], host: &str, path: &str, prefix: bool) -> Way {
    let mut stock = Stock::default();
    let all = all.iter().cloned().map(std::sync::Arc::new).collect();
    stock.put(ObjectKind::VirtualService, "a", all);
    Bound::new(&stock, &["a".to_owned()], &gateway()).way(host, path, prefix, |_| false)
}

fn told(http: &Value, hosts: &Value, host: &str, path: &str, prefix: bool) -> Way {
    way(&[vs("v", hosts, http)], host, path, prefix)
}

const MISSING: Way = Way::Missing(None);

fn to(matches: Value) -> Value {
    let mut route = json!({"route": [{"destination": {"host": "s"}}]});
    if !matches.is_null() {
        route["match"] = matches;
    }
    json!([route])
}

#[test]
fn a_route_takes_a_location_only_when_it_takes_all_of_it() {
    let hosts = json!(["shop.example.com"]);
    let at = |m: Value, path: &str, prefix| told(&to(m), &hosts, "shop.example.com", path, prefix);
    assert_eq!(at(Value::Null, "/", true), Way::Routed);
    assert_eq!(at(json!([{"uri": {"prefix": "/"}}]), "/a", true), Way::Routed);
    assert_eq!(at(json!([{"uri": {"prefix": "/a/b"}}]), "/a", true), MISSING);
    assert_eq!(
        at(json!([{"uri": {"exact": "/a"}}]), "/a", true),
        MISSING,
        "and what is below?"
    );
    assert_eq!(
        at(
            json!([{"uri": {"exact": "/a"}}, {"uri": {"prefix": "/a/"}}]),
            "/a",
            true
        ),
        Way::Routed
    );
    assert_eq!(at(json!([{"uri": {"exact": "/a"}}]), "/a", false), Way::Routed);
    assert_eq!(
        at(json!([{"uri": {"regex": "/a[0-9]+"}}]), "/a7", false),
        Way::Routed
    );
    assert_eq!(at(json!([{"uri": {"regex": "/a.*"}}]), "/a", true), Way::Routed);
    assert_eq!(at(json!([{"uri": {"regex": "/(a|b)"}}]), "/a", true), MISSING);
    assert_eq!(
        at(
            json!([{"uri": {"prefix": "/"}, "headers": {"x": {"exact": "1"}}}]),
            "/",
            true
        ),
        MISSING
    );
    assert_eq!(
        at(json!([{"uri": {"prefix": "/"}, "port": 443}]), "/", true),
        MISSING
    );
    assert_eq!(
        at(json!([{"uri": {"prefix": "/"}, "port": 8081}]), "/", true),
        Way::Routed
    );
}

#[test]
fn a_redirect_on_the_listener_is_told_from_a_route() {
    let http = json!([{"match": [{"port": 80}], "redirect": {"scheme": "https"}}, {"route": [{"destination": {"host": "s"}}]}]);
    assert_eq!(
        told(&http, &json!(["*"]), "x.y", "/", true),
        Way::Routed,
        "the redirect is of another port"
    );
    let http = json!([{"redirect": {"scheme": "https"}}]);
    assert_eq!(
        told(&http, &json!(["*"]), "x.y", "/", true),
        Way::Redirected("virtualservice a/v".into())
    );
}

#[test]
fn hosts_fit_as_envoy_reads_them() {
    for (pattern, host, fits) in [
        ("a.b.c", "a.b.c", true),
        ("*.b.c", "a.b.c", true),
        ("*.b.c", "b.c", false),
        ("*.b.c", "*.b.c", true),
        ("*.c", "*.b.c", true),
        ("*-x.b.c", "a-x.b.c", true),
        ("*a.b.c", "a.b.c", false),
        ("a.b.c", "*.b.c", false),
        ("*", "", true),
        ("*", "a.b.c", true),
        ("*.c", "", false),
    ] {
        let expected = if fits { Way::Routed } else { MISSING };
        assert_eq!(
            told(&to(Value::Null), &json!([pattern]), host, "/", true),
            expected,
            "{pattern} {host:?}"
        );
    }
}

#[test]
fn only_the_most_specific_host_is_asked_and_no_other_fills_its_gaps() {
    let api = to(json!([{"uri": {"prefix": "/api"}}]));
    let all = to(Value::Null);
    for (named, general) in [
        ("shop.example.com", "*.example.com"),
        ("shop.example.com", "*"),
        ("*.example.com", "*.com"),
        ("*-a.example.com", "*.example.com"),
        ("*.com", "*"),
    ] {
        let host = if named.starts_with("*-") {
            "shop-a.example.com"
        } else {
            "shop.example.com"
        };
        let both = [
            vs("general", &json!([general]), &all),
            vs("named", &json!([named]), &api),
        ];
        assert_eq!(way(&both, host, "/", true), MISSING, "{named} {general}");
        assert_eq!(way(&both, host, "/api/x", true), Way::Routed, "{named} {general}");
        let Way::Missing(Some(reason)) = why(&both, host, "/", true) else {
            panic!()
        };
        assert!(reason.contains("virtualservice a/named"), "{reason}");
    }
}

#[test]
fn several_virtual_services_of_one_host_are_one_list_the_oldest_first() {
    let host = json!(["shop.example.com"]);
    let aged = |name: &str, day: u8, http: &Value| {
        let mut json = vs(name, &host, http);
        json["metadata"]["creationTimestamp"] = format!("2026-01-0{day}T00:00:00Z").into();
        json
    };
    let api = to(json!([{"uri": {"prefix": "/api"}}]));
    let root = to(json!([{"uri": {"prefix": "/"}}]));
    let redirect = json!([{"match": [{"uri": {"prefix": "/api"}}], "redirect": {"scheme": "https"}}]);
    let at = |all: &[Value]| way(all, "shop.example.com", "/api", true);
    assert_eq!(at(&[aged("a", 1, &api), aged("b", 2, &redirect)]), Way::Routed);
    assert!(matches!(
        at(&[aged("a", 2, &api), aged("b", 1, &redirect)]),
        Way::Redirected(_)
    ));
    assert!(
        matches!(
            at(&[aged("a", 1, &root), aged("b", 2, &redirect)]),
            Way::Redirected(_)
        ),
        "what takes everything stands last, however old"
    );
}

#[test]
fn a_host_with_a_star_needs_the_more_specific_hosts_within_it_too() {
    let api = to(json!([{"uri": {"prefix": "/api"}}]));
    let all = to(Value::Null);
    let mut listed = vec![vs("star", &json!(["*.example.com"]), &all)];
    assert_eq!(way(&listed, "*.example.com", "/", true), Way::Routed);
    listed.push(vs("deep", &json!(["a.b.example.com"]), &api));
    assert_eq!(
        way(&listed, "*.example.com", "/", true),
        Way::Routed,
        "nginx's star is one label"
    );
    listed.push(vs("one", &json!(["one.example.com"]), &api));
    assert_eq!(way(&listed, "*.example.com", "/", true), MISSING);
    let mut stock = Stock::default();
    let listed = listed.into_iter().map(std::sync::Arc::new).collect();
    stock.put(ObjectKind::VirtualService, "a", listed);
    let (namespaces, gateway) = (["a".to_owned()], gateway());
    let bound = Bound::new(&stock, &namespaces, &gateway);
    let served = bound.way("*.example.com", "/", true, |name| name == "one.example.com");
    assert_eq!(served, Way::Routed, "nginx serves that name by another rule");
}

#[test]
fn what_may_be_taken_before_the_route_must_be_sent_on_too() {
    let hosts = json!(["shop.example.com"]);
    let before = |first: Value| {
        let http = json!([first, {"route": [{"destination": {"host": "s"}}]}]);
        told(&http, &hosts, "shop.example.com", "/a", true)
    };
    for condition in [
        json!({"scheme": {"exact": "http"}}),
        json!({"headers": {"x-forwarded-proto": {"exact": "http"}}}),
        json!({"withoutHeaders": {"x": {}}}),
        json!({"method": {"exact": "GET"}}),
        json!({"queryParams": {"a": {"exact": "1"}}}),
        json!({"authority": {"prefix": "shop"}}),
        json!({"sourceLabels": {"a": "b"}}),
        json!({"uri": {"exact": "/a/old"}}),
        json!({"uri": {"prefix": "/a/old"}}),
        json!({"uri": {"regex": "/a/[0-9]+"}}),
        json!({"uri": {"regex": "/(x|a)/"}}),
        json!({"uri": {"regex": "/aa?"}}),
        json!({"uri": {"prefix": "/A/"}, "ignoreUriCase": true}),
        json!({"somethingNew": {}}),
    ] {
        let redirect = before(json!({"match": [condition], "redirect": {"scheme": "https"}}));
        assert_eq!(
            redirect,
            Way::Redirected("virtualservice a/v".into()),
            "{condition}"
        );
        for act in ["directResponse", "fault"] {
            let body = json!({"directResponse": {"status": 404}, "fault": {"abort": {"httpStatus": 503, "percentage": {"value": 0.1}}}});
            let mut rule = json!({"match": [condition], "route": [{"destination": {"host": "s"}}]});
            rule[act] = body[act].clone();
            let way = before(rule);
            let whole = matches!(&way, Way::Missing(_)) && condition["uri"]["prefix"] == "/A/";
            assert!(
                whole || matches!(way, Way::Answered(_)),
                "{act} {condition}: {way:?}"
            );
        }
        let elsewhere = before(json!({"match": [condition], "route": [{"destination": {"host": "other"}}]}));
        assert_eq!(elsewhere, Way::Routed, "{condition}");
    }
    for other in [
        json!({"port": 80}),
        json!({"gateways": ["istio-system/public"]}),
        json!({"authority": {"exact": "www.example.com"}}),
        json!({"uri": {"prefix": "/b"}}),
        json!({"uri": {"exact": "/b"}}),
        json!({"uri": {"regex": "/b/.*"}}),
        json!({"scheme": {"exact": "http"}, "port": 80}),
    ] {
        let redirect = before(json!({"match": [other], "redirect": {"scheme": "https"}}));
        assert_eq!(redirect, Way::Routed, "{other} is of other requests");
    }
}

#[test]
fn a_route_that_answers_or_aborts_is_none() {
    let hosts = json!(["*"]);
    let at = |http: Value| told(&http, &hosts, "x.y", "/", true);
    let aborts = |share: Value| {
        at(
            json!([{"fault": {"abort": {"httpStatus": 503, "percentage": share}}, "route": [{"destination": {"host": "s"}}]}]),
        )
    };
    assert_eq!(aborts(json!({"value": 100})), MISSING);
    assert_eq!(aborts(json!({"value": 0.01})), MISSING);
    assert_eq!(aborts(Value::Null), MISSING, "what is not said is all");
    assert_eq!(aborts(json!({"value": 0})), Way::Routed);
    assert_eq!(at(json!([{"directResponse": {"status": 200}}])), MISSING);
    assert_eq!(at(json!([{"name": "bare"}])), MISSING);
}

#[test]
fn a_delegate_counts_by_what_it_routes() {
    let root = |delegate: Value| {
        vs(
            "root",
            &json!(["shop.example.com"]),
            &json!([{"match": [{"uri": {"prefix": "/"}}], "delegate": delegate}]),
        )
    };
    let to_api = json!({"name": "api", "namespace": "a"});
    let at = |all: &[Value], path: &str| way(all, "shop.example.com", path, true);
    assert_eq!(at(&[root(to_api.clone())], "/"), MISSING, "it is not there");
    let mut delegate = vs("api", &json!([]), &to(json!([{"uri": {"prefix": "/api"}}])));
    delegate["spec"]["gateways"] = Value::Null;
    let both = [root(to_api.clone()), delegate.clone()];
    assert_eq!(at(&both, "/api/x"), Way::Routed);
    assert_eq!(at(&both, "/"), MISSING, "the delegate takes a part alone");
    let mut redirects = delegate.clone();
    redirects["spec"]["http"] = json!([{"redirect": {"scheme": "https"}}]);
    assert_eq!(
        at(&[root(to_api.clone()), redirects], "/"),
        Way::Redirected("virtualservice a/api".into())
    );
    let mut hidden = delegate.clone();
    hidden["spec"]["exportTo"] = json!(["b"]);
    assert_eq!(at(&[root(to_api.clone()), hidden], "/api"), MISSING);
    let mut normal = delegate;
    normal["spec"]["hosts"] = json!(["other"]);
    assert_eq!(
        at(&[root(to_api), normal], "/api"),
        MISSING,
        "one with hosts is no delegate"
    );
    let Way::Missing(Some(reason)) = why(
        &[root(json!({"name": "x", "namespace": "far"}))],
        "shop.example.com",
        "/",
        true,
    ) else {
        panic!()
    };
    assert!(
        reason.contains("virtualservice far/x, whose namespace is not looked through"),
        "{reason}"
    );
}

#[test]
fn what_is_not_exported_to_the_gateway_is_not_there() {
    let mut json = vs("v", &json!(["shop.example.com"]), &to(Value::Null));
    for (to, routed) in [
        (json!(["*"]), true),
        (json!([]), true),
        (json!(["istio-system"]), true),
        (json!(["."]), false),
        (json!(["~"]), false),
        (json!(["b", "istio-system"]), true),
    ] {
        json["spec"]["exportTo"] = to.clone();
        let way = why(&[json.clone()], "shop.example.com", "/", true);
        assert_eq!(way == Way::Routed, routed, "{to}: {way:?}");
        if let Way::Missing(reason) = way {
            assert!(reason.unwrap().contains("exportTo"));
        }
    }
}

#[test]
fn only_what_the_split_gateway_serves_counts() {
    let bound = |gateways: Value, home: &str, gateway: &SplitGateway| listens(&gateways, home, gateway);
    assert!(bound(json!(["istio-system/split"]), "istio-system", &gateway()));
    assert!(
        bound(json!(["split"]), "istio-system", &gateway()),
        "a short name is of its own namespace"
    );
    assert!(!bound(json!(["istio-system/public"]), "istio-system", &gateway()));
    let mut any = gateway();
    any.name = None;
    assert!(bound(json!(["public"]), "istio-system", &any));
    assert!(!bound(json!(["mesh"]), "istio-system", &any));
    assert!(!bound(Value::Null, "istio-system", &any));
}

#[test]
fn what_stands_after_a_rule_for_everything_is_never_asked() {
    let hosts = json!(["*"]);
    let redirect = json!({"match": [{"uri": {"prefix": "/a"}}], "redirect": {"scheme": "https"}});
    let with = |first: Value| {
        let all = json!([first, redirect, {"route": [{"destination": {"host": "s"}}]}]);
        told(&all, &hosts, "x.y", "/a", true)
    };
    let route = json!([{"destination": {"host": "s"}}]);
    assert_eq!(with(json!({"route": route})), Way::Routed);
    assert_eq!(
        with(json!({"match": [{"port": 8081}], "route": route})),
        Way::Routed
    );
    let of_another_port = with(json!({"match": [{"port": 80}], "redirect": {"scheme": "https"}}));
    assert!(
        matches!(of_another_port, Way::Redirected(_)),
        "{of_another_port:?}"
    );
    // One match of several that takes everything stands last, and the others where they are.
    let host = json!(["x.y"]);
    let old = vs(
        "a",
        &host,
        &json!([{"match": [{"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/"}}], "redirect": {"scheme": "https"}}]),
    );
    let new = vs(
        "b",
        &host,
        &json!([{"match": [{"uri": {"prefix": "/a"}}], "route": route}]),
    );
    assert!(matches!(way(&[old, new], "x.y", "/a", true), Way::Redirected(_)));
}
