//! What is written without a daemon.

use super::*;
use crate::cli::find::example;
use crate::cli::manifest::{self, Manifest};
use crate::rollout::command::Wish;
use serde_json::json;

fn shop(canary: u32) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": "default", "uid": "u", "resourceVersion": "7"},
        "spec": {"http": [{"route": [
            {"destination": {"host": "shop", "subset": "canary"}, "weight": canary},
            {"destination": {"host": "shop", "subset": "control"}, "weight": 100 - canary},
        ]}]}
    })
}

fn drafted(canary: u32, to: u16, may_raise: bool, emergency: bool) -> Written {
    draft_of(&shop(canary), to, may_raise, emergency).unwrap().0
}

fn draft_of(json: &Value, to: u16, may_raise: bool, emergency: bool) -> Result<(Written, Write), Error> {
    let Some(Manifest::Rollout(rollout, _)) = manifest::read("x", &example("shop", "default")).pop() else {
        unreachable!()
    };
    let weight = Weight::from_percent(to).unwrap();
    let command = Command {
        id: "01B".into(),
        verb: Verb::Rollback,
        wish: Wish {
            components: vec!["shop".into()],
            weight: Some(weight),
            reason: String::new(),
            who: String::new(),
            emergency,
            ..Wish::default()
        },
    };
    let at = "2026-03-02T09:00:00Z".parse().unwrap();
    let order = Order {
        command: &command,
        weight,
        may_raise,
        at,
        patience: None,
        claimed: &Claimed::new(),
    };
    let all = crate::routing::targets(component(&rollout, "shop").unwrap(), "default");
    draft(&all[0], Some(json), order)
}

#[test]
fn a_write_without_a_daemon_lowers_and_never_raises() {
    assert_eq!(drafted(40, 0, false, false).to, Weight::ZERO);
    assert_eq!(
        drafted(40, 10, false, false).to,
        Weight::from_percent(10).unwrap()
    );
    assert_eq!(
        drafted(5, 10, false, false).to,
        Weight::from_percent(5).unwrap(),
        "below already: it stays"
    );
    assert_eq!(
        drafted(5, 10, true, false).to,
        Weight::from_percent(10).unwrap(),
        "a preview of `set`"
    );
}

#[test]
fn the_stamp_tells_the_next_daemon_who_and_why() {
    let stamp = |written: &Written| {
        written
            .changes
            .iter()
            .filter_map(|c| c.to.clone())
            .find(|to| to.starts_with("01B"))
            .unwrap()
    };
    assert_eq!(stamp(&drafted(40, 0, false, true)), "01B 0% Emergency");
    assert_eq!(stamp(&drafted(40, 0, false, false)), "01B 0% RollbackRequested");
    let again = drafted(0, 0, false, false);
    assert_eq!(
        stamp(&again),
        "01B 0% RollbackRequested",
        "at 0 already: still stamped"
    );
}

fn config_map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": "conf", "namespace": "default", "uid": "u", "resourceVersion": "7"}})
}

fn told(data: &Value, verb: Verb, to: u16) -> Result<Written, Error> {
    let component: Component = serde_json::from_value(json!({
        "name": "shop", "routers": [{"controllerSwitch": {"configMap": "conf"}}],
    }))
    .unwrap();
    let weight = Weight::from_percent(to).unwrap();
    let command = Command {
        id: "01B".into(),
        verb,
        wish: Wish {
            components: vec!["shop".into()],
            weight: Some(weight),
            emergency: verb == Verb::Rollback,
            ..Wish::default()
        },
    };
    let order = Order {
        command: &command,
        weight,
        may_raise: false,
        at: "2026-03-02T09:00:00Z".parse().unwrap(),
        patience: None,
        claimed: &Claimed::new(),
    };
    let all = crate::routing::targets(&component, "default");
    draft(&all[0], Some(&config_map(data)), order).map(|(written, _)| written)
}

#[test]
fn a_value_that_cannot_be_read_keeps_no_emergency_up_without_a_daemon_either() {
    for data in [
        json!({"networking_mode": "dual", "istio_percentage": "30%"}),
        json!({"networking_mode": "both", "istio_percentage": "30"}),
    ] {
        let written = told(&data, Verb::Rollback, 0).unwrap();
        assert_eq!((written.from, written.to), (None, Weight::ZERO));
        let to = |path: &str| {
            let change = written.changes.iter().find(|change| change.path == path);
            change.and_then(|change| change.to.clone())
        };
        assert_eq!(to("data.istio_percentage").as_deref(), Some("0"), "{data}");
        assert_eq!(to("data.networking_mode").as_deref(), Some("ingress"), "{data}");
        assert_eq!(written.way(), "(unreadable) → 0%");
    }
    let known = json!({"networking_mode": "both", "istio_percentage": "5"});
    let written = told(&known, Verb::Rollback, 10).unwrap();
    let says = |change: &&Change| change.path == "data.istio_percentage";
    assert!(
        !written.changes.iter().any(|change| says(&change)),
        "5% stays: nothing rises"
    );
    let set = told(
        &json!({"networking_mode": "dual", "istio_percentage": "30%"}),
        Verb::Set,
        10,
    );
    assert!(
        set.unwrap_err().to_string().contains("istio_percentage"),
        "it may be a raise"
    );
}

#[test]
fn another_emergency_marks_a_controller_anew_and_restarts_no_pod() {
    let component: Component = serde_json::from_value(json!({
        "name": "shop", "routers": [{"controllerSwitch": {"deployment": "controller"}}],
    }))
    .unwrap();
    let command = |id: &str| Command {
        id: id.into(),
        verb: Verb::Rollback,
        wish: Wish {
            components: vec!["shop".into()],
            weight: Some(Weight::ZERO),
            emergency: true,
            ..Wish::default()
        },
    };
    let mut controller = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "controller", "namespace": "default", "uid": "u", "resourceVersion": "7"},
        "spec": {"template": {"spec": {"containers": [{"name": "controller",
            "env": [{"name": "ISTIO_PERCENTAGE", "value": "30"}]}]}}}});
    let mut write = |id: &str, at: &str| {
        let command = command(id);
        let claimed = Claimed::new();
        let order = Order {
            command: &command,
            weight: Weight::ZERO,
            may_raise: false,
            at: at.parse().unwrap(),
            patience: None,
            claimed: &claimed,
        };
        let all = crate::routing::targets(&component, "default");
        let (written, write) = draft(&all[0], Some(&controller), order).unwrap();
        let Write::Patch(patch) = write else {
            return (written, controller["spec"].clone());
        };
        let crate::routing::PatchBody::Json(operations) = &patch.body;
        json_patch::patch(&mut controller, operations).unwrap();
        (written, controller["spec"].clone())
    };
    let (first, spec) = write("01A", "2026-03-02T09:00:00Z");
    assert_eq!((first.from, first.to), (Weight::from_percent(30), Weight::ZERO));
    let (again, same) = write("01A", "2026-03-02T09:01:00Z");
    assert!(again.already, "its own mark is there");
    assert_eq!(same, spec);
    let (second, same) = write("01B", "2026-03-02T09:02:00Z");
    assert!(!second.already, "the mark is another's");
    assert_eq!(same, spec, "a restart for a mark");
    let marked = |change: &Change| change.to.as_deref() == Some("01B 0% Emergency");
    assert!(second.changes.iter().any(marked), "{:?}", second.changes);
}

#[test]
fn an_object_without_the_pair_loses_what_is_ours_and_is_back_where_nothing_else_leads_to_the_canary() {
    let to = |arm: &str| json!({"route": [{"destination": {"host": "shop", "subset": arm}}]});
    let mut testers = to("canary");
    testers["name"] = json!("gradual-rollout-shop-testers-0");
    for emergency in [false, true] {
        let with = |routes: Value| {
            let mut object = shop(40);
            object["spec"]["http"] = routes;
            draft_of(&object, 0, false, emergency)
        };
        let (written, write) = with(json!([testers, to("control")])).unwrap();
        assert_eq!((written.to, written.already), (Weight::ZERO, false));
        assert!(matches!(write, Write::Patch(patch) if patch.changes.len() == 1));
        let (written, write) = with(json!([to("control")])).unwrap();
        assert_eq!(
            (written.to, written.already, write),
            (Weight::ZERO, true, Write::Nothing)
        );
        assert!(with(json!([testers, to("canary")])).is_err());
        let mut renamed = shop(40);
        renamed["spec"]["http"][0]["route"][0]["destination"]["subset"] = json!("v9");
        renamed["metadata"]["annotations"] = json!({"rollout.sealos.io/w.shop": "01A 40% Raised"});
        assert!(
            draft_of(&renamed, 0, false, emergency).is_err(),
            "it has its 40% still"
        );
    }
}
