//! What becomes of objects: which components, which guesses, which reasons.

mod ingresses;

use super::*;
use crate::rollout::router_spec::Router;
use crate::rollout::spec::{GradualRollout, Preset};
use serde_json::json;
use std::collections::BTreeMap;

fn gateway() -> SplitGateway {
    serde_json::from_value(json!({"namespace": "istio-system", "service": "gw", "port": 8081})).unwrap()
}

fn stock(objects: &[Value]) -> Stock {
    let mut lists: BTreeMap<(ObjectKind, String), Vec<Arc<Value>>> = BTreeMap::new();
    for object in objects {
        let kind = ObjectKind::ALL
            .into_iter()
            .find(|kind| object["kind"] == kind.kind())
            .unwrap();
        let list = lists.entry((kind, names(object).0.to_owned())).or_default();
        list.push(Arc::new(object.clone()));
    }
    let mut stock = Stock::default();
    for ((kind, namespace), list) in lists {
        stock.put(kind, &namespace, list);
    }
    stock
}

fn adopted(from: &From, objects: &[Value], said: &[&str], taken: &mut Taken) -> Adopted {
    let canaries: Vec<CanaryName> = said.iter().map(|name| name.parse().unwrap()).collect();
    let meant: Vec<Arc<Value>> = objects
        .iter()
        .filter(|object| object["kind"] == from.kind().kind())
        .cloned()
        .map(Arc::new)
        .collect();
    let asked = Asked {
        from,
        objects: &meant,
        stock: &stock(objects),
        canaries: &canaries,
    };
    adopt(&asked, taken)
}

fn fresh(from: &From, objects: &[Value]) -> Adopted {
    adopted(from, objects, &[], &mut Taken::default())
}

#[expect(clippy::needless_pass_by_value, reason = "called with json!(…)")]
fn vs(name: &str, http: Value) -> Value {
    json!({"kind": "VirtualService", "metadata": {"name": name, "namespace": "apps"}, "spec": {"hosts": [name], "http": http}})
}

fn to(host: &str, subset: &str, weight: i64) -> Value {
    json!({"destination": {"host": host, "subset": subset}, "weight": weight})
}

fn reason(adopted: &Adopted) -> &str {
    assert!(adopted.drafts.is_empty(), "{adopted:?}");
    assert_eq!(adopted.left_out.len(), 1, "{adopted:?}");
    &adopted.left_out[0].reason
}

#[test]
fn routes_of_one_pair_are_one_component_and_the_guess_is_said() {
    let pair = json!([to("shop", "v1", 90), to("shop", "v2", 10)]);
    let turned = json!([to("shop", "v2", 10), to("shop", "v1", 90)]);
    let object = vs(
        "shop",
        json!([{"name": "a", "route": pair}, {"name": "b", "route": turned}, {"name": "c", "route": [to("shop", "v1", 1)]}]),
    );
    let adopted = fresh(&From::VirtualServices, &[object]);
    let [draft] = adopted.drafts.as_slice() else {
        panic!("{adopted:?}")
    };
    let [Router::Istio(istio)] = draft.component.routers.as_slice() else {
        panic!("{draft:?}")
    };
    assert_eq!(istio.virtual_services[0].routes.as_deref().unwrap(), ["a", "b"]);
    assert_eq!(istio.canary.subset.as_deref(), Some("v2"));
    let arms = draft.component.arms.as_ref().unwrap();
    assert_eq!(arms.canary.labels["destination_version"], "v2");
    assert_eq!(arms.canary.labels["destination_service_namespace"], "apps");
    let notes = draft.notes.join("\n");
    for said in [
        "GUESSED, by the higher version",
        "10% now",
        "route \"c\": it has one destination",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    assert!(adopted.left_out.is_empty());
}

#[test]
fn what_cannot_be_taken_is_left_out_with_its_reason() {
    let pair = || json!([to("shop", "v1", 90), to("shop", "v2", 10)]);
    for (http, says) in [
        (json!([]), "no routes"),
        (json!([{"route": [to("shop", "v1", 100)]}]), "one destination"),
        (
            json!([{"route": [to("a", "", 1), to("b", "", 1), to("c", "", 1)]}]),
            "3 destinations",
        ),
        (
            json!([{"route": [to("a", "", 0), to("b", "", 0)]}]),
            "neither destination has a weight",
        ),
        (
            json!([{"route": [{"destination": {"host": "a"}}, {"destination": {"host": "b"}}]}]),
            "neither destination",
        ),
        (
            json!([{"route": [to("a", "", 50), to("b", "", 50)]}]),
            "say --canary",
        ),
        (
            json!([{"route": [to("a", "", 50), to("a", "", 40)]}]),
            "both destinations are a",
        ),
        (json!([{"delegate": {"name": "other"}}]), "delegates to other"),
        (json!([{"redirect": {"uri": "/"}}]), "a redirect"),
        (json!([{"route": pair()}, {"route": pair()}]), "give each a name"),
        (
            json!([{"name": "x", "route": pair()}, {"route": pair()}]),
            "give each a name",
        ),
        (
            json!([{"name": "x", "route": pair()}, {"name": "x", "route": pair()}]),
            "different names",
        ),
        (
            json!([{"route": [to("a", "", -5), to("a-v2", "", 10)]}]),
            "whole number of at least 0",
        ),
        (
            json!([{"route": [{"destination": {"host": "a", "port": {"number": 1}}, "weight": 9},
                              {"destination": {"host": "a", "port": {"number": 2}}, "weight": 1}]}]),
            "port alone",
        ),
    ] {
        let adopted = fresh(&From::VirtualServices, &[vs("shop", http.clone())]);
        assert!(reason(&adopted).contains(says), "{http}: {}", reason(&adopted));
    }
}

#[test]
fn what_belongs_to_a_resource_of_the_cluster_is_left_to_it() {
    let owner: GradualRollout = serde_json::from_value(json!({
        "apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
        "metadata": {"name": "mine", "namespace": "elsewhere"},
        "spec": {"steps": [{"weight": "5%", "hold": "1h"}], "components": [{"name": "c", "routers": [{"istio": {
            "virtualServices": [{"name": "shop", "namespace": "apps"}],
            "canary": {"host": "shop", "subset": "v2"}, "control": {"host": "shop", "subset": "v1"}}}]}]},
    }))
    .unwrap();
    let mut taken = Taken::default();
    taken.add(&owner, &Stock::default());
    let object = vs(
        "shop",
        json!([{"route": [to("shop", "v1", 90), to("shop", "v2", 10)]}]),
    );
    let adopted = adopted(&From::VirtualServices, &[object], &[], &mut taken);
    assert!(
        reason(&adopted).contains("component c of the GradualRollout elsewhere/mine"),
        "{adopted:?}"
    );
}

#[test]
fn two_unnamed_routes_that_share_a_destination_are_not_both_taken() {
    let routes = |names: [Value; 2]| {
        let [a, b] = names;
        json!([{"name": a, "route": [to("s", "v1", 9), to("s", "v2", 1)]}, {"name": b, "route": [to("s", "v1", 9), to("s", "v3", 1)]}])
    };
    let unnamed = fresh(
        &From::VirtualServices,
        &[vs("s", routes([Value::Null, Value::Null]))],
    );
    assert_eq!(unnamed.drafts.len(), 1);
    assert!(
        unnamed.drafts[0].notes.join(" ").contains("give them names"),
        "{unnamed:?}"
    );
    let named = fresh(
        &From::VirtualServices,
        &[vs("s", routes(["a".into(), "b".into()]))],
    );
    let called: Vec<&str> = named.drafts.iter().map(|d| d.component.name.as_str()).collect();
    assert_eq!(called, ["s", "s-2"]);
}

fn route(controller: &str, refs: &[Value]) -> Value {
    json!({"kind": "HTTPRoute", "metadata": {"name": "shop", "namespace": "apps"},
        "spec": {"rules": refs.iter().enumerate().map(|(n, refs)| json!({"name": format!("r{n}"), "backendRefs": refs})).collect::<Vec<_>>()},
        "status": {"parents": [{"controllerName": controller}]}})
}

#[test]
fn http_routes_are_measured_by_the_gateway_that_serves_them() {
    let refs = |filters: Value| json!([{"name": "shop-v1", "port": 80, "weight": 9, "filters": filters}, {"name": "shop-v2", "port": 80, "weight": 1, "filters": filters}]);
    let of = |controller: &str, refs: &[Value]| {
        let adopted = fresh(&From::HttpRoutes, &[route(controller, refs)]);
        let [draft] = adopted.drafts.as_slice() else {
            panic!("{adopted:?}")
        };
        let arms = draft.component.arms.clone().unwrap();
        (arms.canary.preset, arms.canary.labels, draft.notes.join("\n"))
    };
    let (preset, labels, notes) = of("istio.io/gateway-controller", &[refs(json!([]))]);
    assert_eq!(
        (preset, labels["destination_service_name"].as_str()),
        (Preset::IstioGateway, "shop-v2")
    );
    assert!(!notes.contains("GUESSED: "), "{notes}");
    let envoy = "gateway.envoyproxy.io/gatewayclass-controller";
    let (preset, labels, notes) = of(envoy, &[refs(json!([{"type": "x"}]))]);
    assert_eq!(preset, Preset::EnvoyGateway);
    assert_eq!(
        labels["envoy_cluster_name"],
        "httproute/apps/shop/rule/0/backend/1"
    );
    assert!(!notes.contains("has a filter"), "{notes}");
    let (_, labels, notes) = of(envoy, &[refs(json!([])), refs(json!([]))]);
    assert_eq!(
        labels["envoy_cluster_name"],
        "~httproute/apps/shop/(rule/0/backend/1|rule/1/backend/1)"
    );
    assert!(notes.contains("has a filter"), "{notes}");
    let (preset, _, notes) = of("example.com/other", &[refs(json!([]))]);
    assert_eq!(preset, Preset::IstioGateway);
    assert!(
        notes.contains("GUESSED: it is served by example.com/other"),
        "{notes}"
    );
}

#[test]
fn a_back_end_without_a_weight_has_one_and_a_pair_of_those_needs_a_telling_name() {
    let refs = |a: &str, b: &str| json!([{"name": a, "port": 80}, {"name": b, "port": 80}]);
    let adopted = fresh(&From::HttpRoutes, &[route("x", &[refs("shop", "shop-canary")])]);
    assert!(
        adopted.drafts[0].notes.join(" ").contains("50% now"),
        "{adopted:?}"
    );
    let adopted = fresh(&From::HttpRoutes, &[route("x", &[refs("blue", "green")])]);
    assert!(reason(&adopted).contains("say --canary"));
}

#[test]
fn resources_hold_so_many_never_span_namespaces_and_take_free_names() {
    let mut objects: Vec<Value> = (0..5)
        .map(|n| {
            vs(
                &format!("s{n}"),
                json!([{"route": [to("s", "v1", 9), to("s", "v2", 1)]}]),
            )
        })
        .collect();
    objects[4]["metadata"]["namespace"] = "zoo".into();
    let adopted = fresh(&From::VirtualServices, &objects);
    let mut taken = Taken::default();
    let there = json!({"apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
        "metadata": {"name": "apps-2", "namespace": "apps"}, "spec": {"components": []}});
    taken.add(&serde_json::from_value(there).unwrap(), &Stock::default());
    let arranged = arrange(adopted.drafts, &[], 3, None, None, &taken);
    let shape: Vec<(String, usize)> = arranged
        .iter()
        .map(|r| (format!("{}/{}", r.namespace, r.name), r.drafts.len()))
        .collect();
    assert_eq!(
        shape,
        [
            ("apps/apps-1".into(), 3),
            ("apps/apps-3".into(), 1),
            ("zoo/zoo-1".into(), 1)
        ]
    );
    for resource in &arranged {
        assert!(
            resource
                .drafts
                .iter()
                .all(|draft| draft.namespace == resource.namespace)
        );
    }
}

#[test]
fn the_quiet_share_a_pool_the_busy_do_not_and_the_unknown_are_told() {
    let objects: Vec<Value> = ["busy", "calm", "dark", "mute"]
        .map(|name| vs(name, json!([{"route": [to(name, "v1", 9), to(name, "v2", 1)]}])))
        .into();
    let twin = vs(
        "twin",
        json!([{"route": [to("calm", "v1", 9), to("calm", "v2", 1)]}]),
    );
    let adopted = fresh(&From::VirtualServices, &[objects, vec![twin]].concat());
    let rates = [
        ("busy", Some(1.0)),
        ("calm", Some(0.25)),
        ("dark", None),
        ("mute", Some(0.0)),
        ("twin", Some(0.25)),
    ];
    let quiet = Quiet {
        below: 1.0,
        rates: rates
            .into_iter()
            .map(|(name, rate)| (("apps".to_owned(), name.to_owned()), rate))
            .collect(),
    };
    let arranged = arrange(adopted.drafts, &[], 50, None, Some(&quiet), &Taken::default());
    let pooled: Vec<(&str, Option<&str>)> = arranged[0]
        .drafts
        .iter()
        .map(|d| (d.component.name.as_str(), d.component.pool.as_deref()))
        .collect();
    let pool = Some("quiet");
    assert_eq!(
        pooled,
        [
            ("busy", None),
            ("calm", pool),
            ("dark", None),
            ("mute", pool),
            ("twin", None)
        ]
    );
    let notes = |at: usize| arranged[0].drafts[at].notes.last().unwrap().as_str();
    assert!(
        notes(1).contains("0.25 rps now, fewer than 1 rps"),
        "{}",
        notes(1)
    );
    assert!(notes(2).contains("no series"), "{}", notes(2));
    assert!(notes(4).contains("the same series"), "{}", notes(4));
}
