//! Slips of the pen, and what of the spec holds beside each of them after a restart.

use super::*;
use crate::rollout::spec::Scope;
use crate::rollout::status::ComponentStatus;
use std::time::Duration;

fn component(name: &str) -> Value {
    let arm = |version: &str| json!({"preset": "istio-gateway", "labels": {"destination_service": format!("{name}-{version}")}});
    json!({
        "name": name,
        "routers": [{"istio": {"virtualServices": [{"name": name}],
            "canary": {"host": format!("{name}-v2")}, "control": {"host": format!("{name}-v1")}}}],
        "arms": {"canary": arm("v2"), "control": arm("v1")},
    })
}

/// With something in it of everything that decides when traffic goes back, and where.
fn good() -> Value {
    json!({
        "components": [component("shop"), component("cart")],
        "steps": [{"weight": "5%", "hold": "1h"}, {"weight": "30%", "hold": "1h"}, {"weight": "60%", "hold": "1h"}],
        "checks": [
            {"name": "errors", "promote": {"max": "20%"}, "rollback": {"max": "60%"}},
            {"name": "available", "promote": {"min": "80%"}, "rollback": {"min": "30%"}},
            {"name": "p95", "rollback": "none"},
        ],
        "judge": {"interval": "20s", "settle": "30s", "onBlind": "rollback", "falseRollback": "2%"},
        "rollback": {"to": "1%", "scope": "rollout", "retry": {"after": "1h"}},
        "complaints": {"max": 2, "within": "2h", "action": "rollback"},
        "onDelete": "restore",
    })
}

fn known(name: &str) -> ComponentStatus {
    ComponentStatus {
        name: name.into(),
        definition: Some(Box::new(serde_json::from_value(component(name)).unwrap())),
        ..ComponentStatus::default()
    }
}

fn carrying(names: &[&str]) -> GradualRolloutStatus {
    GradualRolloutStatus {
        components: names.iter().map(|name| known(name)).collect(),
        ..GradualRolloutStatus::default()
    }
}

fn raw(spec: Value) -> RawRollout {
    RawRollout {
        namespace: "apps".into(),
        name: "demo".into(),
        spec,
        ..RawRollout::default()
    }
}

fn edited(edits: &[(&str, Value)]) -> Value {
    let mut spec = good();
    for (pointer, value) in edits {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        let parent = spec.pointer_mut(parent).unwrap();
        match parent {
            Value::Object(members) => drop(members.insert(member.to_owned(), value.clone())),
            Value::Array(items) => items[member.parse::<usize>().unwrap()] = value.clone(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => panic!("{pointer}"),
        }
    }
    spec
}

fn beside(spec: Value, status: &GradualRolloutStatus) -> Remembered {
    let raw = raw(spec);
    assert!(read(&raw, status, &[]).is_err(), "no slip at all: {}", raw.spec);
    remembered(&raw, status, &[]).unwrap()
}

/// What judges a component at a weight, in words.
fn judged(sound: &Sound, name: &str, percent: u16) -> String {
    let planned = sound.plan.component(name).unwrap();
    let weight = Weight::from_percent(percent).unwrap();
    format!("{:#?}", sound.plan.check_set_at(planned, weight))
}

#[test]
fn a_slip_in_the_steps_costs_no_check_no_scope_and_nothing_else() {
    let status = carrying(&["shop", "cart"]);
    let whole = read(&raw(good()), &status, &[]).unwrap();
    let last = |weight: &str, hold: &str| ("/steps/2", json!({"weight": weight, "hold": hold}));
    for slip in [
        last("100%", "1h"),
        last("20%", "1h"),
        last("60%", "5000d"),
        ("/steps/0", json!({"weight": "25%", "hold": "1h"})),
    ] {
        let found = beside(edited(std::slice::from_ref(&slip)), &status);
        let (plan, good) = (&found.sound.plan, &whole.plan);
        assert_eq!(found.without, Vec::<String>::new(), "{slip:?}");
        assert_eq!(plan.judge, good.judge, "{slip:?}");
        assert_eq!(
            (plan.rollback_to, plan.scope, &plan.retry, plan.on_delete),
            (good.rollback_to, good.scope, &good.retry, good.on_delete),
            "{slip:?}"
        );
        assert_eq!(plan.complaints, good.complaints, "{slip:?}");
        for name in ["shop", "cart"] {
            assert_eq!(
                judged(&found.sound, name, 30),
                judged(&whole, name, 30),
                "{slip:?}"
            );
            assert_eq!(plan.component(name).unwrap().fingerprint, UNKNOWN, "{slip:?}");
        }
        assert!(
            found.words().contains("the rest of the spec holds"),
            "{}",
            found.words()
        );
    }
}

#[test]
fn what_is_at_fault_is_left_out_alone_and_named() {
    let status = carrying(&["shop", "cart"]);
    let jump = ("/steps/2", json!({"weight": "100%", "hold": "1h"}));
    let errors = |promote: &str| {
        let check = json!({"name": "errors", "promote": {"max": promote}, "rollback": {"max": "60%"}});
        ("/checks/0", check)
    };
    let cases: [(&str, (&str, Value)); 5] = [
        ("checks.errors.promote", errors("70%")),
        ("judge.interval", ("/judge/interval", json!("2h"))),
        ("complaints.max", ("/complaints/max", json!(9999))),
        ("rollback.retry", ("/rollback/retry", json!({"after": "1s"}))),
        (
            "schedule.windows",
            (
                "/schedule",
                json!({"windows": [{"from": "10:00", "to": "18:00", "timezone": "Nowhere/Land"}]}),
            ),
        ),
    ];
    for (lacks, slip) in cases {
        for edits in [vec![slip.clone()], vec![slip.clone(), jump.clone()]] {
            let found = beside(edited(&edits), &status);
            assert_eq!(found.without, [lacks], "{edits:?}");
            assert!(found.words().contains(lacks), "{}", found.words());
            let plan = &found.sound.plan;
            assert_eq!(plan.scope, Scope::Rollout, "{edits:?}");
            assert_eq!(plan.judge.settle, Duration::from_secs(30), "{edits:?}");
            assert_eq!(plan.complaints.within, Duration::from_secs(7200), "{edits:?}");
            let judged = judged(&found.sound, "shop", 30);
            let limit = found
                .sound
                .plan
                .check_set_at(plan.component("shop").unwrap(), Weight::from_percent(30).unwrap());
            assert!(!limit.rules.is_empty(), "{edits:?}");
            assert!(
                judged.contains("60000,"),
                "errors are held to 60% still: {judged}"
            );
        }
    }
}

#[test]
fn each_phase_keeps_its_own_checks_beside_a_weight_that_falls() {
    let status = carrying(&["shop", "cart"]);
    let phases = |last: &str, promote: &str| {
        json!([
            {"name": "pilot", "components": ["shop"], "steps": [{"weight": "5%", "hold": "1h"}]},
            {"name": "widen", "steps": [{"weight": "10%", "hold": "1h"}, {"weight": "30%", "hold": "1h"}],
                "checks": [{"name": "errors", "promote": {"max": promote}, "rollback": {"max": "45%"}}]},
            {"name": "all", "steps": [{"weight": last, "hold": "1h"}]},
        ])
    };
    let spec = |last: &str, promote: &str| {
        let mut spec = edited(&[("/phases", phases(last, promote))]);
        spec.as_object_mut().unwrap().remove("steps");
        spec
    };
    let whole = read(&raw(spec("60%", "20%")), &status, &[]).unwrap();
    let found = beside(spec("20%", "20%"), &status);
    assert_eq!(found.without, Vec::<String>::new());
    for percent in [5, 10, 30] {
        assert_eq!(
            judged(&found.sound, "shop", percent),
            judged(&whole, "shop", percent),
            "{percent}"
        );
    }
    let found = beside(spec("20%", "50%"), &status);
    assert_eq!(found.without, ["phases.widen.checks.errors.promote"]);
    assert!(
        judged(&found.sound, "shop", 30).contains("45000,"),
        "its own limit"
    );
}

#[test]
fn what_is_back_at_0_is_part_of_it_only_by_the_routers_that_it_was_put_back_by() {
    let cart: Component = serde_json::from_value(component("cart")).unwrap();
    let jump = ("/steps/2", json!({"weight": "100%", "hold": "1h"}));
    for (back, is_part) in [
        (Some(routers_digest(&cart)), true),
        (Some("elsewhere".into()), false),
        (None, false),
    ] {
        let mut status = carrying(&["shop"]);
        status.components.push(ComponentStatus {
            name: "cart".into(),
            back: back.clone(),
            ..ComponentStatus::default()
        });
        let after = ("/components/0/dependsOn", json!(["cart"]));
        status.components[0].definition.as_mut().unwrap().depends_on = Some(vec!["cart".into()]);
        let found = beside(edited(&[after, jump.clone()]), &status);
        assert!(found.sound.plan.names("shop"));
        assert_eq!(found.sound.plan.names("cart"), is_part, "{back:?}");
    }
    let nothing = GradualRolloutStatus::default();
    assert!(
        remembered(&raw(edited(&[jump])), &nothing, &[]).is_none(),
        "nothing was begun"
    );
}

#[test]
fn what_the_spec_has_removed_is_an_orphan_beside_a_slip_too() {
    let status = carrying(&["shop", "cart"]);
    let jump = ("/steps/2", json!({"weight": "100%", "hold": "1h"}));
    let found = beside(
        edited(&[("/components", json!([component("shop")])), jump.clone()]),
        &status,
    );
    let orphans: Vec<&str> = found
        .sound
        .plan
        .orphans
        .iter()
        .map(crate::rollout::plan::PlannedComponent::name)
        .collect();
    assert_eq!((found.sound.plan.names("cart"), orphans), (false, vec!["cart"]));
    // All of them: then they are what there is.
    let found = beside(
        edited(&[("/components", json!([component("new")])), jump]),
        &status,
    );
    assert!(found.sound.plan.names("shop") && found.sound.plan.names("cart"));
}
