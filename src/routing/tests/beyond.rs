//! What can be read of an object that is not as the resource has it, and what of it no lowering reaches.

use super::*;

fn istio(routes: &str) -> String {
    format!(
        "- istio:
    virtualServices: [{{name: shop{routes}}}]
    canary: {{host: shop, subset: v2}}
    control: {{host: shop, subset: v1}}
"
    )
}

const GATEWAY: &str = "- gatewayApi:
    kind: HTTPRoute
    name: shop
    canary: {name: new, port: 80}
    control: {name: old, port: 80}
";

fn to(subset: &str, weight: Option<i64>) -> Value {
    let mut entry = json!({"destination": {"host": "shop", "subset": subset}});
    if let Some(weight) = weight {
        entry["weight"] = weight.into();
    }
    entry
}

fn pair(name: &str, canary: i64) -> Value {
    json!({"name": name, "match": [{"uri": {"prefix": format!("/{name}")}}],
        "route": [to("v1", Some(100 - canary)), to("v2", Some(canary))]})
}

fn single(name: &str, subset: &str) -> Value {
    json!({"name": name, "route": [to(subset, None)]})
}

fn service(routes: &[Value]) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": "apps", "uid": "u", "resourceVersion": "7"},
        "spec": {"hosts": ["shop"], "http": routes},
    })
}

fn http_route(rules: &[Value]) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "apps", "uid": "u", "resourceVersion": "7"},
        "spec": {"rules": rules},
    })
}

fn backends(of: &[(&str, i64)]) -> Value {
    let all = of
        .iter()
        .map(|(name, weight)| json!({"name": name, "port": 80, "weight": weight}));
    json!({"backendRefs": all.collect::<Vec<_>>()})
}

/// What can be read of an object in part: lowest, highest, what is beyond, and whether something is unknown.
fn in_part(routers: &str, object: &Value) -> Option<(u16, u16, u16, bool)> {
    let component = component(routers);
    let read = targets(&component, "apps")[0].in_part(object, &[])?;
    let permille = |weight: Weight| weight.permille() / 10;
    let seen = &read.seen;
    Some((
        permille(seen.lowest),
        permille(seen.weight),
        permille(seen.beyond),
        read.unknown,
    ))
}

fn left(routers: &str, object: &Value) -> Left {
    let component = component(routers);
    let target = &targets(&component, "apps")[0];
    target.for_lowering(object, &[]).left(object)
}

/// Lowers as the daemon does.
fn lower(routers: &str, object: &mut Value) -> Result<(), RoutingError> {
    let component = component(routers);
    let targets = targets(&component, "apps");
    let target = targets[0].for_lowering(object, &[]);
    let stamp = Stamp::new("01J8", Weight::ZERO, "RollbackRequested").unwrap();
    if let Write::Patch(patch) = target.lower(Some(object), &stamp, Weight::ZERO, WriteMode::Normal)? {
        serve(&patch, object).unwrap();
    }
    Ok(())
}

#[test]
fn what_can_be_read_in_part_is_read_with_its_shares_and_what_no_lowering_reaches_apart_from_them() {
    let (named, unnamed) = (istio(", routes: [p, q]"), istio(""));
    let delegate = json!({"name": "p", "delegate": {"name": "inner"}});
    let half = json!({"name": "p", "route": [to("v3", Some(50)), to("v2", Some(50))]});
    for (what, routers, routes, read) in [
        (
            "a renamed one, and a raised one",
            &named,
            vec![pair("pp", 5), pair("q", 60)],
            Some((5, 60, 0, false)),
        ),
        (
            "a copy",
            &unnamed,
            vec![pair("p", 5), pair("p2", 60)],
            Some((5, 60, 0, false)),
        ),
        (
            "one of two lost control",
            &named,
            vec![single("p", "v2"), pair("q", 5)],
            Some((5, 5, 100, false)),
        ),
        (
            "control was renamed",
            &named,
            vec![half.clone(), pair("q", 5)],
            Some((5, 5, 50, false)),
        ),
        (
            "the only one lost control",
            &unnamed,
            vec![single("p", "v2")],
            Some((0, 0, 100, false)),
        ),
        (
            "control was renamed in the only one",
            &unnamed,
            vec![half],
            Some((0, 0, 50, false)),
        ),
        (
            "one of two delegates",
            &named,
            vec![delegate, pair("q", 5)],
            Some((5, 5, 0, true)),
        ),
        (
            "nobody can tell which is meant",
            &unnamed,
            vec![single("beta", "v2"), single("main", "v1")],
            None,
        ),
    ] {
        assert_eq!(in_part(routers, &service(&routes)), read, "{what}");
    }
    for (rules, read) in [
        (vec![backends(&[("new", 1)])], Some((0, 0, 100, false))),
        (
            vec![backends(&[("new", 1), ("third", 3)])],
            Some((0, 0, 25, false)),
        ),
        (vec![backends(&[("new", 0)])], Some((0, 0, 0, false))),
        (
            vec![
                backends(&[("old", 1), ("new", 1)]),
                backends(&[("old", 1), ("new", 0)]),
            ],
            Some((0, 50, 0, false)),
        ),
    ] {
        assert_eq!(in_part(GATEWAY, &http_route(&rules)), read, "{rules:?}");
    }
}

#[test]
fn a_named_route_that_lost_control_keeps_the_object_from_passing_for_put_back() {
    let routers = istio(", routes: [p, q]");
    let mut object = service(&[single("p", "v2"), pair("q", 40)]);
    lower(&routers, &mut object).unwrap();
    assert_eq!(in_part(&routers, &object), Some((0, 0, 100, false)), "q is back");
    let component = component(&routers);
    let read = targets(&component, "apps")[0].read(&object);
    assert_eq!(read.unwrap_err().category(), "MissingDestination");
    let left = left(&routers, &object);
    assert!(!left.is_whole());
    let says = left.sentence().unwrap();
    assert!(says.contains("route \"p\" still gives the canary 100%"), "{says}");
    assert!(
        says.contains("add it with the canary's weight, and give the canary 0"),
        "{says}"
    );
}

#[test]
fn who_adds_control_as_the_error_says_has_put_the_traffic_back() {
    let routers = istio("");
    let mut object = service(&[single("p", "v2")]);
    let error = lower(&routers, &mut object).unwrap_err().to_string();
    assert!(
        error.contains("lacks the control destination shop subset v1"),
        "{error}"
    );
    assert!(
        error.contains("add it with the canary's weight, and give the canary 0"),
        "{error}"
    );
    // Whoever leaves both without a weight, or gives both nothing, has a route that Istio refuses.
    for weights in [[None, None], [None, Some(0)], [Some(0), Some(0)]] {
        let mut object =
            service(&[json!({"name": "p", "route": [to("v2", weights[0]), to("v1", weights[1])]})]);
        lower(&routers, &mut object).unwrap();
        let route = &object["spec"]["http"][0]["route"];
        assert_eq!(route[1]["weight"], 100, "{object}");
        assert!(
            route[0]["weight"].is_null() || route[0]["weight"] == 0,
            "{object}"
        );
        assert!(targets(&component(&routers), "apps")[0].read(&object).is_ok());
    }
    // Where somebody else has the route, nothing is taken from them.
    let third = json!({"name": "p", "route": [to("v2", Some(0)), to("v1", Some(0)), to("v9", Some(100))]});
    let mut object = service(&[third]);
    lower(&routers, &mut object).unwrap();
    assert_eq!(object["spec"]["http"][0]["route"][1]["weight"], 0);
}

#[test]
fn what_leads_to_the_canary_beside_our_routes_is_named_and_what_takes_all_of_them_is_no_success() {
    let routers = istio(", routes: [p]");
    let elsewhere = json!({"name": "long", "route": [{"destination": {"host": "shop.apps.svc.cluster.local", "subset": "v2"}}]});
    let testers = json!({"name": "gradual-rollout-other-testers-0", "route": [to("v2", None)]});
    let beta =
        json!({"name": "beta", "match": [{"headers": {"x": {"exact": "1"}}}], "route": [to("v2", None)]});
    for (what, before, whole, says) in [
        (
            "takes all",
            single("all", "v2"),
            false,
            Some("route \"all\" stands before ours"),
        ),
        (
            "spelt otherwise",
            elsewhere,
            false,
            Some("route \"long\" stands before ours"),
        ),
        (
            "takes some",
            beta,
            true,
            Some("route \"beta\" still gives the canary 100%"),
        ),
        ("another component's testers", testers, true, None),
        ("leads to control", single("old", "v1"), true, None),
    ] {
        let left = left(&routers, &service(&[before, pair("p", 0)]));
        assert_eq!(left.is_whole(), whole, "{what}: {left:?}");
        let sentence = left.sentence();
        assert_eq!(sentence.is_some(), says.is_some(), "{what}: {sentence:?}");
        assert!(
            sentence.unwrap_or_default().contains(says.unwrap_or_default()),
            "{what}"
        );
    }
    let behind = left(&routers, &service(&[pair("p", 0), single("all", "v2")]));
    assert!(behind.is_whole() && behind.sentence().unwrap().contains("\"all\""));
    // A name that is not there any more may be any of these: what was not lowered is told.
    let mut renamed = service(&[pair("pp", 60), pair("other", 0)]);
    lower(&routers, &mut renamed).unwrap();
    let mut again = service(&[pair("pp", 60), pair("other", 0)]);
    again["metadata"]["annotations"] = json!({"rollout.sealos.io/w.shop": "01J8 0% RollbackRequested"});
    let says = left(&routers, &again).sentence().unwrap();
    assert!(says.contains("\"pp\" still gives the canary 60%"), "{says}");
}

#[test]
fn of_rules_with_the_same_matches_the_first_takes_all_and_a_raise_behind_it_is_refused() {
    let rules = [backends(&[("new", 1)]), backends(&[("old", 100), ("new", 0)])];
    let object = http_route(&rules);
    let component = component(GATEWAY);
    let target = &targets(&component, "apps")[0];
    let says = target.unreached(&object).unwrap();
    assert!(
        says.contains("rule rules[1] is never reached, for rule rules[0]"),
        "{says}"
    );
    let left = left(GATEWAY, &object);
    assert!(
        !left.is_whole() && left.sentence().unwrap().contains("100%"),
        "{left:?}"
    );
    let mut other = object;
    other["spec"]["rules"][0]["matches"] = json!([{"path": {"type": "PathPrefix", "value": "/x"}}]);
    assert_eq!(target.unreached(&other), None, "a longer prefix takes some");
    let turned = http_route(&[rules[1].clone(), rules[0].clone()]);
    assert_eq!(target.unreached(&turned), None, "ours is the first");
}

#[test]
fn a_canary_by_another_name_that_has_what_our_mark_gave_it_is_not_back() {
    let marked = |mut object: Value, weight: u16| {
        let mark = stamp("01A", percent(weight)).to_string();
        object["metadata"]["annotations"] = json!({"rollout.sealos.io/w.shop": mark});
        object
    };
    let two = |other: &str, weight: i64| {
        service(&[json!({"name": "p", "route": [to("v1", Some(100 - weight)), to(other, Some(weight))]})])
    };
    let rule = |other: &str, weight: i64| http_route(&[backends(&[("old", 100 - weight), (other, weight)])]);
    for (routers, object, told) in [
        (istio(""), marked(two("v9", 40), 40), Some("shop subset v9 40%")),
        (
            istio(", routes: [p]"),
            marked(two("v9", 40), 40),
            Some("shop subset v9 40%"),
        ),
        (istio(""), marked(two("v9", 40), 0), None),
        (istio(""), marked(two("v9", 30), 40), None),
        (istio(""), marked(two("v2", 40), 40), None),
        (istio(""), marked(service(&[single("p", "v1")]), 40), None),
        (GATEWAY.to_owned(), marked(rule("newer", 40), 40), Some("newer")),
        (GATEWAY.to_owned(), marked(rule("newer", 10), 40), None),
        (GATEWAY.to_owned(), rule("newer", 40), None),
    ] {
        let component = component(&routers);
        let target = &targets(&component, "apps")[0];
        let says = target.renamed(&object);
        assert_eq!(says.is_some(), told.is_some(), "{says:?} {object:#}");
        if let (Some(says), Some(told)) = (says, told) {
            assert!(says.contains(told) && says.contains("40%"), "{says}");
            assert!(!target.leads_nowhere(&object));
        }
    }
}

/// A route for some clients.
fn choosy(name: &str, subset: &str) -> Value {
    json!({"name": name, "match": [{"headers": {"x": {"exact": "1"}}}], "route": [to(subset, None)]})
}

/// Whether a lowering has nothing to do, whether that is all, and what it tells.
fn cleared(routers: &str, object: &Value) -> (bool, bool, String) {
    let component = component(routers);
    let target = targets(&component, "apps")[0].for_lowering(object, &[]);
    let left = target.left(object);
    let nowhere = target.read(object).is_err() && target.leads_nowhere(object);
    (nowhere, left.is_whole(), left.sentence().unwrap_or_default())
}

#[test]
fn where_somebody_took_the_pair_away_what_else_leads_to_the_canary_keeps_no_lowering_up() {
    let (named, unnamed) = (istio(", routes: [p]"), istio(""));
    let mut mirrored = single("p", "v1");
    mirrored["mirror"] = json!({"host": "shop", "subset": "v2"});
    let delegate = json!({"name": "in", "delegate": {"name": "inner"}});
    let pool = json!({"name": "pool", "route": [{"destination": {"host": "shop"}}]});
    for (what, routers, routes, expected) in [
        (
            "testers",
            &unnamed,
            vec![choosy("t", "v2"), single("p", "v1")],
            (true, true, "route \"t\" still gives"),
        ),
        (
            "ours is gone",
            &named,
            vec![choosy("t", "v2"), single("q", "v1")],
            (true, true, "route \"t\" still gives"),
        ),
        (
            "a mirror",
            &named,
            vec![mirrored],
            (true, true, "route \"p\" mirrors requests to the canary"),
        ),
        (
            "behind",
            &unnamed,
            vec![single("p", "v1"), single("b", "v2")],
            (true, true, "route \"b\" still gives"),
        ),
        (
            "in front",
            &unnamed,
            vec![single("b", "v2"), single("p", "v1")],
            (true, false, "route \"b\" stands before ours"),
        ),
        (
            "others",
            &named,
            vec![single("q", "v1"), single("b", "v2")],
            (true, false, "and p, which the resource names, is not there"),
        ),
        (
            "a delegate",
            &unnamed,
            vec![choosy("t", "v2"), single("p", "v1"), delegate],
            (false, true, "\"t\""),
        ),
        (
            "both in one pool",
            &unnamed,
            vec![choosy("t", "v2"), single("p", "v1"), pool],
            (false, true, "\"t\""),
        ),
        (
            "ours",
            &named,
            vec![single("p", "v2"), single("q", "v1")],
            (false, false, "lacks the control"),
        ),
    ] {
        let (nowhere, whole, says) = cleared(routers, &service(&routes));
        assert_eq!((nowhere, whole), (expected.0, expected.1), "{what}: {says}");
        assert!(says.contains(expected.2), "{what}: {says}");
    }
    let tls = |host: &str, subset| json!({"match": [{"port": 443, "sniHosts": [host]}], "route": [to(subset, None)]});
    let mut object = service(&[single("p", "v1")]);
    object["spec"]["tls"] = json!([tls("b.x.io", "v2"), tls("a.x.io", "v1")]);
    for (kind, says) in [
        ("", "route tls[0] leads to the canary"),
        (", kind: tls", "route tls[0] still gives the canary 100%"),
    ] {
        let got = cleared(&istio(kind), &object);
        assert!(got.0 && got.1 && got.2.contains(says), "{got:?}");
    }
    let mut tester = backends(&[("new", 1)]);
    tester["matches"] = json!([{"headers": [{"name": "x", "value": "1"}]}]);
    let mut mirror = backends(&[("old", 1)]);
    mirror["filters"] =
        json!([{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "new", "port": 80}}}]);
    for (rules, says) in [
        (
            vec![tester, backends(&[("old", 1)])],
            "rule rules[0] still gives the canary 100%",
        ),
        (vec![mirror], "rule rules[0] mirrors requests to the canary"),
    ] {
        let got = cleared(GATEWAY, &http_route(&rules));
        assert!(got.0 && got.1 && got.2.contains(says), "{got:?}");
    }
}

#[test]
fn a_route_that_was_renamed_and_lost_control_is_read_as_a_raise() {
    let named = istio(", routes: [p]");
    assert_eq!(
        in_part(&named, &service(&[single("pp", "v2")])),
        Some((0, 0, 100, false))
    );
    let says = left(&named, &service(&[single("pp", "v2")])).sentence().unwrap();
    assert!(
        says.contains("\"pp\" still gives the canary 100%") && says.contains("lacks the control"),
        "{says}"
    );
    assert_eq!(in_part(&named, &service(&[single("pp", "v1")])), None);
    let two = istio(", routes: [p, q]");
    let left = left(&two, &service(&[single("pp", "v2"), pair("q", 0)]));
    assert!(!left.is_whole() && left.taken[0].contains("\"pp\""), "{left:?}");
}

#[test]
fn a_connection_that_a_route_in_front_with_the_same_match_takes_is_no_success_and_no_raise() {
    let match_of = |list| {
        if list == "tls" {
            json!([{"port": 443, "sniHosts": ["a.x.io"]}])
        } else {
            json!([{"port": 9}])
        }
    };
    for list in ["tls", "tcp"] {
        let routers = istio(&format!(", kind: {list}"));
        let mut ours = json!({"match": match_of(list), "route": [to("v1", Some(95)), to("v2", Some(5))]});
        let taker = json!({"match": match_of(list), "route": [to("v2", None)]});
        let mut object = service(&[]);
        object["spec"] = json!({"hosts": ["shop"], list: [taker, ours.clone()]});
        let component = component(&routers);
        let target = &targets(&component, "apps")[0];
        let says = target.unreached(&object).unwrap();
        assert!(
            says.contains(&format!("route {list}[1] is never reached, for route {list}[0]")),
            "{says}"
        );
        let left = left(&routers, &object);
        assert!(
            !left.is_whole() && left.taken[0].contains("gives the canary 100%"),
            "{left:?}"
        );
        ours["match"][0]["port"] = 10.into();
        object["spec"][list][1] = ours;
        assert_eq!(target.unreached(&object), None, "{list}");
    }
}

#[test]
fn a_route_with_the_pair_beside_those_that_the_resource_names_is_told_unless_it_is_anothers() {
    let with = |name: &str, matches: Value, canary: i64| {
        let mut route =
            json!({"name": name, "route": [to("v1", Some(100 - canary)), to("v2", Some(canary))]});
        if !matches.is_null() {
            route["match"] = matches;
        }
        route
    };
    let header = json!([{"headers": {"x": {"exact": "1"}}}]);
    let ours = with("p", Value::Null, 0);
    for (others, taken, theirs) in [
        (
            vec![with("all", Value::Null, 100), ours.clone()],
            Some("100%"),
            None,
        ),
        (
            vec![with("t", header.clone(), 100), ours.clone()],
            None,
            Some("100%"),
        ),
        (
            vec![ours.clone(), with("behind", Value::Null, 40)],
            None,
            Some("40%"),
        ),
        (vec![with("nothing", Value::Null, 0), ours.clone()], None, None),
        (vec![ours.clone()], None, None),
    ] {
        let object = service(&others);
        let component = component(&istio(", routes: [p]"));
        let target = &targets(&component, "apps")[0];
        assert!(target.is_plain(&object));
        let left = target.left_among(&object, Some(&[]));
        let says = |all: &[String], what: Option<&str>| match what {
            Some(what) => all.len() == 1 && all[0].contains(what),
            None => all.is_empty(),
        };
        assert!(says(&left.taken, taken) && says(&left.theirs, theirs), "{left:?}");
        assert!(
            target.left(&object).is_whole(),
            "where nobody's claims are known nothing is told"
        );
        // Another component that names it writes it itself.
        for other in &others {
            let claim = |route: &Value| ClaimKey {
                object: target.object().clone(),
                part: Part::Route {
                    list: "http",
                    route: route["name"].as_str().unwrap().to_owned(),
                    pair: Default::default(),
                },
            };
            if other["name"] != "p" {
                let left = target.left_among(&object, Some(&[claim(other)]));
                assert!(left.is_whole(), "{left:?}");
            }
        }
    }
}

#[test]
fn a_rule_with_the_pair_beside_those_that_the_resource_names_is_told() {
    let rule = |name: &str, canary: i64| {
        let mut rule = backends(&[("old", 100 - canary), ("new", canary)]);
        rule["name"] = name.into();
        rule
    };
    let component = component(&GATEWAY.replace("name: shop", "name: shop\n    rules: [main]"));
    let target = &targets(&component, "apps")[0];
    let front = http_route(&[rule("all", 100), rule("main", 0)]);
    assert!(target.is_plain(&front));
    let left = target.left_among(&front, Some(&[]));
    assert!(
        left.taken.len() == 1 && left.taken[0].contains("100%"),
        "{left:?}"
    );
    let behind = http_route(&[rule("main", 0), rule("all", 40)]);
    let left = target.left_among(&behind, Some(&[]));
    assert!(left.taken.is_empty() && left.theirs.len() == 1, "{left:?}");
}
