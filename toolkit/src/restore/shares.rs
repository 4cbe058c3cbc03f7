//! Shares of traffic are never put back: whoever rolled back since would have the traffic raised by a file.
//!
//! What a `GradualRollout` moves is as it is now, whatever the backup has: weights and mirrors of a `VirtualService` that
//! carries the daemon's marks, the switches of a controller, and the marks themselves. Its canary Ingresses are its own to
//! make. What is gone and carried a share is created without it, or not at all.

mod controllers;
mod weights;

use crate::cluster::{self, Kind, annotation, label, meta};
use crate::finding::{Finding, Severity};
use crate::marks;
use serde_json::{Map, Value};

/// The code of a share that is not put back.
pub const CODE: &str = "RESTORE-SHARE";

/// What the annotations begin with that the daemon writes on what it routes: marks of writes, what was there before them,
/// and what a preview remembers.
const OF_DAEMON: [&str; 3] = [
    "rollout.sealos.io/w.",
    "rollout.sealos.io/o.",
    "rollout.sealos.io/p.",
];

/// The label of what a component made.
const COMPONENT: &str = "rollout.sealos.io/component";

/// What becomes of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Shares {
    /// It has no share, or the one that it has now.
    Same(Value),
    /// It is put back with the share that it has now; what is said of it.
    Held(Value, String),
    /// It is left alone; what is said of it.
    Left(String),
}

/// What was kept of an object, with the shares of now.
pub fn of_now(kind: &Kind, kept: Value, live: Option<&Value>) -> Shares {
    let either = |test: &dyn Fn(&Value) -> bool| test(&kept) || live.is_some_and(test);
    // Nobody else of this program makes Ingresses.
    let canaries = *kind == cluster::INGRESS && (either(&marks::ours) || either(&marked));
    if canaries || *kind == cluster::SERVICE && either(&made) {
        return canary(kept, live);
    }
    if *kind == cluster::VIRTUAL_SERVICE && either(&marked) {
        return weights::of_now(kept, live);
    }
    if *kind == cluster::CONFIG_MAP {
        return controllers::config_map(kept, live);
    }
    if *kind == cluster::DEPLOYMENT {
        return controllers::deployment(kept, live);
    }
    Shares::Same(kept)
}

/// That a share was not put back.
pub fn told(object: String, message: String) -> Finding {
    Finding {
        code: CODE,
        severity: Severity::Warning,
        object,
        message,
        remedy: "no backup raises a share: its GradualRollout moves it (gradual-rollout set, or --percentage), and finish what finish wrote"
            .to_owned(),
    }
}

/// Whether an annotation is the daemon's, or tells what controllers were told before `finish`: as it is now it goes with the
/// shares of now.
fn is_mark(name: &str) -> bool {
    name == marks::BEFORE_FINISH || OF_DAEMON.iter().any(|prefix| name.starts_with(prefix))
}

fn annotations(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let all = object.pointer("/metadata/annotations").and_then(Value::as_object);
    all.into_iter().flatten()
}

/// Whether the daemon or `finish` wrote to an object.
fn marked(object: &Value) -> bool {
    annotations(object).any(|(name, _)| is_mark(name))
}

/// Whether a `GradualRollout` made a Service.
fn made(object: &Value) -> bool {
    marks::ours(object) && label(object, COMPONENT).is_some()
}

/// Gives an object the marks of now, and none but those.
fn mark(kept: &mut Value, live: Option<&Value>) {
    let Some(meta) = kept.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let mut all = meta
        .get("annotations")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    all.retain(|name, _| !is_mark(name));
    let now = live.into_iter().flat_map(annotations);
    all.extend(
        now.filter(|(name, _)| is_mark(name))
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    if all.is_empty() {
        meta.remove("annotations");
    } else {
        meta.insert("annotations".to_owned(), all.into());
    }
}

/// A canary that a `GradualRollout` made, and the Service that it leads to.
fn canary(kept: Value, live: Option<&Value>) -> Shares {
    let asks = |object: &Value| {
        let text = |name: &str| meta(object, name).to_owned();
        let fields =
            ["labels", "annotations"].map(|field| object.pointer(&format!("/metadata/{field}")).cloned());
        (text("name"), fields, marks::spec(object))
    };
    let weight = annotations(&kept).find(|(name, _)| name.ends_with("/canary-weight"));
    let weight = weight.map_or_else(String::new, |(_, weight)| {
        format!(
            " (canary-weight {} in the backup)",
            weight.as_str().unwrap_or_default()
        )
    });
    let of = annotation(&kept, "rollout.sealos.io/rollout").map_or_else(String::new, |of| format!(" {of}"));
    match live {
        Some(live) if asks(live) == asks(&kept) => Shares::Same(kept),
        Some(_) => Shares::Left(format!(
            "left as it is: it carries the share of the GradualRollout{of}{weight}"
        )),
        None => Shares::Left(format!(
            "not created: the GradualRollout{of} makes it where it wants it{weight}"
        )),
    }
}

/// Sets or takes away a member of a map.
fn set(map: &mut Map<String, Value>, name: &str, value: Option<&Value>) {
    match value {
        Some(value) => map.insert(name.to_owned(), value.clone()),
        None => map.remove(name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn route(weights: [u64; 2], timeout: &str, notes: &Value) -> Value {
        json!({"metadata": {"name": "shop", "annotations": notes}, "spec": {"hosts": ["a"], "http": [
            {"match": [{"uri": {"prefix": "/"}}], "timeout": timeout, "route": [
                {"destination": {"host": "old"}, "weight": weights[0]},
                {"destination": {"host": "new"}, "weight": weights[1]}]}]}})
    }

    fn stamp(text: &str) -> Value {
        json!({"rollout.sealos.io/w.shop": text, "mine": "1"})
    }

    #[test]
    fn weights_and_marks_are_those_of_now_and_the_rest_is_the_backups() {
        let kept = route([50, 50], "5s", &stamp("01A 50% Raised"));
        let live = route([100, 0], "9s", &stamp("01B 0% EmergencyRollback"));
        let Shares::Held(next, _) = of_now(&cluster::VIRTUAL_SERVICE, kept, Some(&live)) else {
            panic!("it has a share")
        };
        assert_eq!(next, route([100, 0], "5s", &stamp("01B 0% EmergencyRollback")));
        // A backup from before the daemon has no mark, and a share of its own no more.
        let kept = route([0, 100], "5s", &json!({"mine": "1"}));
        let Shares::Held(next, _) = of_now(&cluster::VIRTUAL_SERVICE, kept, Some(&live)) else {
            panic!("it has a share")
        };
        assert_eq!(next, route([100, 0], "5s", &stamp("01B 0% EmergencyRollback")));
        // Where nobody moves it, it is as its owner wrote it.
        let (kept, live) = (
            route([50, 50], "5s", &json!({})),
            route([100, 0], "5s", &json!({})),
        );
        let same = Shares::Same(kept.clone());
        assert_eq!(of_now(&cluster::VIRTUAL_SERVICE, kept, Some(&live)), same);
    }

    #[test]
    fn routes_that_are_others_now_stay_as_they_are() {
        let kept = route([50, 50], "5s", &stamp("01A 50% Raised"));
        let mut live = route([100, 0], "5s", &stamp("01A 0% RollbackRequested"));
        live["spec"]["http"][0]["match"] = json!([{"uri": {"prefix": "/other"}}]);
        let Shares::Held(next, why) = of_now(&cluster::VIRTUAL_SERVICE, kept, Some(&live)) else {
            panic!("it has a share")
        };
        assert!(next == live && why.contains("spec.http"), "{why}");
    }

    #[test]
    fn a_route_that_is_gone_is_created_at_rest_or_not_at_all() {
        let rest = route([100, 0], "5s", &stamp("01A 0% RollbackRequested"));
        let plain = Shares::Same(route([100, 0], "5s", &json!({"mine": "1"})));
        assert_eq!(of_now(&cluster::VIRTUAL_SERVICE, rest, None), plain);
        for (weights, said) in [
            ([75, 25], "01A 25% Raised"),
            ([75, 25], "01A 0% Raised"),
            ([100, 0], "?"),
        ] {
            let kept = route(weights, "5s", &stamp(said));
            let got = of_now(&cluster::VIRTUAL_SERVICE, kept, None);
            assert!(matches!(got, Shares::Left(_)), "{weights:?} {said} {got:?}");
        }
    }

    #[test]
    fn a_controllers_switches_are_those_of_now_and_at_rest_where_it_is_gone() {
        let map = |mode: &str, share: &str, other: &str| {
            json!({"metadata": {"name": "c"}, "data": {
            "networking_mode": mode, "istio_percentage": share, "other": other}})
        };
        let (kept, live) = (map("dual", "50", "1"), map("ingress", "0", "2"));
        let Shares::Held(next, why) = of_now(&cluster::CONFIG_MAP, kept.clone(), Some(&live)) else {
            panic!("it has a share")
        };
        assert_eq!(next, map("ingress", "0", "1"));
        assert!(
            why.contains("istio_percentage") && why.contains("networking_mode"),
            "{why}"
        );
        let Shares::Held(next, _) = of_now(&cluster::CONFIG_MAP, kept, None) else {
            panic!("it has a share")
        };
        assert_eq!(next, map("ingress", "0", "1"));
        let pods = |env: Value| {
            json!({"metadata": {"name": "c"}, "spec": {"template": {"metadata": {}, "spec":
            {"containers": [{"name": "side"}, {"name": "main", "env": env}]}}}})
        };
        let one = |name: &str, value: &str| json!({"name": name, "value": value});
        let kept = pods(json!([
            one("A", "1"),
            one("ISTIO_PERCENTAGE", "50"),
            one("EMERGENCY_ROLLBACK", "false")
        ]));
        let live = pods(json!([
            one("A", "2"),
            one("ISTIO_PERCENTAGE", "0"),
            one("NETWORKING_MODE", "ingress")
        ]));
        let Shares::Held(next, _) = of_now(&cluster::DEPLOYMENT, kept.clone(), Some(&live)) else {
            panic!("it has a share")
        };
        let there = json!([
            one("A", "1"),
            one("ISTIO_PERCENTAGE", "0"),
            one("NETWORKING_MODE", "ingress")
        ]);
        assert_eq!(next, pods(there));
        let Shares::Held(next, _) = of_now(&cluster::DEPLOYMENT, kept, None) else {
            panic!("it has a share")
        };
        let rest = json!([
            one("A", "1"),
            one("ISTIO_PERCENTAGE", "0"),
            one("EMERGENCY_ROLLBACK", "false")
        ]);
        assert_eq!(next, pods(rest));
        let plain = pods(json!([one("ISTIO_ENABLED", "true")]));
        assert_eq!(
            of_now(&cluster::DEPLOYMENT, plain.clone(), None),
            Shares::Same(plain)
        );
    }
}
