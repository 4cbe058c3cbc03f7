//! What the parents of a route say, and what it means for a raise.

use super::*;
use std::slice::from_ref;

const ROUTER: &str =
    "- gatewayApi: {kind: HTTPRoute, name: shop, canary: {name: new}, control: {name: old}}\n";

fn condition(kind: &str, status: &str, seen: i64) -> Value {
    json!({"type": kind, "status": status, "reason": format!("{kind}{status}"), "message": "because", "observedGeneration": seen})
}

fn parent(name: &str, section: &str) -> Value {
    json!({"name": name, "namespace": "infra", "sectionName": section})
}

fn says(parent: &Value, conditions: &[Value]) -> Value {
    json!({"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions})
}

/// Generation 7, with these parents and what is said of them.
fn read(named: &[Value], said: &[Value]) -> Seen {
    let object = json!({"kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "apps", "resourceVersion": "1", "generation": 7},
        "spec": {"parentRefs": named, "rules": [{"backendRefs": [{"name": "old"}, {"name": "new"}]}]},
        "status": {"parents": said}});
    targets(&component(ROUTER), "apps")[0].read(&object).unwrap()
}

fn well(seen: i64) -> [Value; 2] {
    [
        condition("Accepted", "True", seen),
        condition("ResolvedRefs", "True", seen),
    ]
}

#[test]
fn only_a_fresh_acceptance_settles_a_route() {
    let https = parent("public", "https");
    let fresh = read(from_ref(&https), &[says(&https, &well(7))]);
    assert_eq!(fresh.parents, Parents::default());
    assert!(fresh.settled);
    let stale = read(from_ref(&https), &[says(&https, &well(6))]);
    assert_eq!((stale.settled, &stale.parents.refusal), (false, &None));
    assert_eq!(
        stale.waiting_for.as_deref(),
        Some(
            "gateway infra/public section https (example.com/gateway) has not taken up its newest generation"
        )
    );
    let rejected = read(
        from_ref(&https),
        &[says(&https, &[condition("Accepted", "False", 7)])],
    );
    assert_eq!(
        rejected.parents.refusal.as_deref(),
        Some(
            "is not accepted by gateway infra/public section https (example.com/gateway): AcceptedFalse, because"
        )
    );
    assert_eq!(rejected.parents.refusal, rejected.parents.remark);
}

#[test]
fn back_ends_that_cannot_be_used_refuse_a_raise() {
    let https = parent("public", "https");
    let mut conditions = well(7);
    conditions[1]["status"] = "False".into();
    conditions[1]["reason"] = "RefNotPermitted".into();
    let refusal = read(from_ref(&https), &[says(&https, &conditions)])
        .parents
        .refusal
        .unwrap();
    assert!(
        refusal.contains("has a back end that gateway infra/public section https")
            && refusal.contains("RefNotPermitted"),
        "{refusal}"
    );
}

#[test]
fn one_parent_that_accepts_is_enough_and_the_others_are_named() {
    let (a, b) = (parent("public", "https"), parent("internal", "https"));
    let rejected = says(&b, &[condition("Accepted", "False", 7)]);
    let seen = read(&[a.clone(), b.clone()], &[says(&a, &well(7)), rejected.clone()]);
    assert_eq!((seen.settled, &seen.parents.refusal), (true, &None));
    let remark = seen.parents.remark.unwrap();
    assert!(
        remark.contains("infra/internal") && !remark.contains("infra/public"),
        "{remark}"
    );
    // The one that accepts lags behind: waited for, not refused.
    let seen = read(&[a.clone(), b.clone()], &[says(&a, &well(6)), rejected]);
    assert_eq!((seen.settled, &seen.parents.refusal), (false, &None));
    // Two gateways, one has caught up: it carries what was written.
    let seen = read(&[a.clone(), b.clone()], &[says(&a, &well(6)), says(&b, &well(7))]);
    assert!(seen.settled);
}

#[test]
fn other_sections_and_parents_that_are_named_no_more_have_no_say() {
    let (https, http) = (parent("public", "https"), parent("public", "http"));
    let elsewhere = says(&http, &[condition("Accepted", "False", 7)]);
    let seen = read(from_ref(&https), &[elsewhere.clone(), says(&https, &well(7))]);
    assert_eq!(seen.parents, Parents::default());
    let refusal = read(from_ref(&https), &[says(&http, &well(7))]).parents.refusal;
    assert!(refusal.unwrap().contains("no controller has said anything of it"));
    assert!(read(&[], &[elsewhere]).parents.refusal.is_some());
    // Written with the API's defaults or without: the same parent.
    let filled =
        json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "near", "namespace": "apps"});
    let seen = read(&[json!({"name": "near"})], &[says(&filled, &well(7))]);
    assert_eq!(seen.parents, Parents::default());
}

#[test]
fn two_controllers_of_one_parent_are_both_heard() {
    let mesh = json!({"group": "", "kind": "Service", "name": "shop"});
    let mut other = says(&mesh, &[condition("Accepted", "False", 7)]);
    other["controllerName"] = "example.org/mesh".into();
    let seen = read(from_ref(&mesh), &[says(&mesh, &well(7)), other]);
    assert_eq!((seen.settled, &seen.parents.refusal), (true, &None));
    let remark = seen.parents.remark.unwrap();
    assert!(
        remark.contains("service apps/shop (example.org/mesh)"),
        "{remark}"
    );
}

#[test]
fn a_controller_that_names_no_generation_is_believed() {
    let https = parent("public", "https");
    let mut conditions = well(7);
    for condition in &mut conditions {
        condition.as_object_mut().unwrap().remove("observedGeneration");
    }
    assert!(read(from_ref(&https), &[says(&https, &conditions)]).settled);
}

#[test]
fn what_parents_say_never_keeps_a_lowering_from_being_written() {
    let object = json!({"kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "apps", "resourceVersion": "1", "generation": 7},
        "spec": {"rules": [{"backendRefs": [{"name": "old"}, {"name": "new"}]}]}});
    let component = component(ROUTER);
    let target = &targets(&component, "apps")[0];
    assert!(target.read(&object).unwrap().parents.refusal.is_some());
    let patch = target.write(&object, &stamp("01J8", Weight::ZERO), WriteMode::Normal);
    assert!(patch.is_ok());
}
