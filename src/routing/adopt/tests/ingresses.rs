//! Ingresses: one component for all that share an upstream.

use super::*;
use crate::routing::found::found;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn ingress(name: &str, class: Option<&str>, services: &[&str]) -> Value {
    let rules: Vec<Value> = services
        .iter()
        .map(|service| {
            json!({"host": format!("{name}-{service}.example.com"), "http": {"paths": [{"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": service, "port": {"number": 80}}}}]}})
        })
        .collect();
    json!({"kind": "Ingress", "metadata": {"name": name, "namespace": "apps"}, "spec": {"ingressClassName": class, "rules": rules}})
}

fn selected(draft: &Draft) -> BTreeSet<String> {
    let [Router::IngressNginx(nginx)] = draft.component.routers.as_slice() else {
        panic!("{draft:?}")
    };
    nginx.ingresses.names.iter().flatten().cloned().collect()
}

#[test]
fn ingresses_that_share_an_upstream_are_one_component() {
    let from = From::Ingresses(gateway());
    let objects = [
        ingress("a", Some("nginx"), &["web", "api"]),
        ingress("b", Some("nginx"), &["web"]),
        ingress("c", Some("nginx"), &["other"]),
    ];
    let adopted = fresh(&from, &objects);
    let groups: Vec<BTreeSet<String>> = adopted.drafts.iter().map(selected).collect();
    assert_eq!(
        groups,
        [
            BTreeSet::from(["a".into(), "b".into()]),
            BTreeSet::from(["c".into()])
        ]
    );
    let notes = adopted.drafts[0].notes.join("\n");
    for said in [
        "STAYS AT 0%",
        "blocker RouteMissing",
        "blocker GatewayMissing",
        "hang together",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    let arms = adopted.drafts[0].component.arms.as_ref().unwrap();
    for arm in [&arms.canary, arms.control.as_ref().unwrap()] {
        assert_eq!(arm.labels["ingress"], "~a|b");
        assert_eq!(
            arm.labels["exported_namespace"], "apps",
            "an Ingress of that name elsewhere is not counted"
        );
    }
}

#[test]
fn an_ingress_that_is_not_chosen_and_shares_an_upstream_is_told_of_and_counted() {
    let from = From::Ingresses(gateway());
    let all = [
        ingress("a", Some("nginx"), &["web"]),
        ingress("b", Some("nginx"), &["web"]),
    ];
    let asked = Asked {
        from: &from,
        objects: &[Arc::new(all[0].clone())],
        stock: &stock(&all),
        canaries: &[],
    };
    let adopted = adopt(&asked, &mut Taken::default());
    assert_eq!(selected(&adopted.drafts[0]), BTreeSet::from(["a".to_owned()]));
    assert!(
        adopted.drafts[0].notes.join(" ").contains("though not chosen: b"),
        "{adopted:?}"
    );
    assert_eq!(
        adopted.drafts[0].component.arms.as_ref().unwrap().canary.labels["ingress"],
        "~a|b"
    );
}

#[test]
fn canaries_and_ingresses_without_a_service_are_left_out() {
    let mut canary = ingress("a", Some("nginx"), &["web"]);
    canary["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/canary": "true"});
    let from = From::Ingresses(gateway());
    assert!(reason(&fresh(&from, &[canary.clone()])).contains("a canary itself"));
    canary["metadata"]["labels"] =
        json!({"app.kubernetes.io/managed-by": "gradual-rollout", "rollout.sealos.io/component": "shop"});
    assert!(reason(&fresh(&from, &[canary])).contains("component shop"));
    assert!(reason(&fresh(&from, &[ingress("a", None, &[])])).contains("leads to a Service"));
}

proptest! {
    #[test]
    fn no_ingress_is_lost_and_no_upstream_is_in_two_components(
        leads in prop::collection::vec((prop::collection::btree_set(0..6usize, 0..4), prop::option::of(0..2usize), any::<bool>()), 1..8),
    ) {
        const SERVICES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
        let objects: Vec<Value> = leads.iter().enumerate().map(|(n, (services, class, canary))| {
            let services: Vec<&str> = services.iter().map(|s| SERVICES[*s]).collect();
            let mut object = ingress(&format!("i{n}"), class.map(|c| ["nginx", "other"][c]), &services);
            if *canary && n % 3 == 0 {
                object["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/canary": "true"});
            }
            object
        }).collect();
        let adopted = fresh(&From::Ingresses(gateway()), &objects);
        let drafted = adopted.drafts.iter().flat_map(|d| &d.objects);
        let mut told: Vec<&ObjectRef> = drafted.chain(adopted.left_out.iter().map(|l| &l.object)).collect();
        told.sort();
        prop_assert_eq!(told.len(), objects.len(), "{:?}", told);
        told.dedup();
        prop_assert_eq!(told.len(), objects.len());
        let stock = stock(&objects);
        let mut upstreams = BTreeSet::new();
        for draft in &adopted.drafts {
            for target in found(&draft.component, &crate::routing::Home::unnamed("apps"), &stock).targets {
                prop_assert!(upstreams.insert(target.object().clone()), "{} twice", target.object());
            }
        }
    }
}
