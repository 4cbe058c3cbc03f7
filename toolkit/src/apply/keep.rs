//! What an apply must not take away: what is still served of Ingresses that are gone. They were cleaned up, so a
//! conversion knows nothing of them any more.

use super::closed;
use super::inputs;
use super::item::{Change, Item};
use super::read::from;
use super::select::shown;
use crate::cluster::annotation;
use crate::finding::{Finding, Severity};
use crate::marks;
use gradual_rollout_migration::input::Key;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The Ingresses that a route was made of and that are gone.
pub fn gone(route: &Value, there: &BTreeMap<Key, Value>) -> Vec<String> {
    let gone = from(route).into_iter().filter(|key| !there.contains_key(key));
    gone.map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect()
}

/// Whether a route says all that those of its Ingresses want that are there.
pub fn settled(wanted: &Value, route: &Value, there: &BTreeMap<Key, Value>) -> bool {
    let before = from(route);
    // What the controller demands of all, it demands of those that are there.
    let made_with =
        |name: &str| annotation(route, name).is_none_or(|noted| annotation(wanted, name) == Some(noted));
    made_with(marks::SETTINGS)
        && from(wanted).iter().all(|key| {
            before.contains(key)
                && !closed::closes(route, key)
                && there
                    .get(key)
                    .is_some_and(|ingress| inputs::as_noted(route, key, ingress) != Some(false))
                && there.get(key).is_some_and(|ingress| {
                    marks::migrated(ingress) && marks::as_converted(ingress) == Some(true)
                })
        })
}

/// That a route is left as it is for the sake of Ingresses that are gone.
pub fn finding(item: &Item, gone: &[String], settled: bool) -> Finding {
    let (code, severity, why, remedy) = if settled {
        (
            "APPLY-KEPT",
            Severity::Info,
            "",
            "nothing has to be done; to have it written anew, bring them back first: migrate restore --kind Ingress",
        )
    } else {
        (
            "APPLY-GONE-SHARED",
            Severity::Blocker,
            ", and another Ingress of its host wants it otherwise now",
            "bring them back first, then apply: migrate restore --kind Ingress; where nobody wants them: migrate rollback --ingress with all of them, --gone for those, then apply",
        )
    };
    Finding {
        code,
        severity,
        object: item.object(),
        message: format!(
            "left as it is: it also serves {}, which is not there any more{why}",
            shown(gone)
        ),
        remedy: remedy.to_owned(),
    }
}

/// A route that is left as it is.
pub fn as_it_is(item: Item, route: &Value) -> Item {
    Item {
        body: route.clone(),
        change: Change::Same,
        ..item
    }
}

/// A rule with those settings of the one that is there for ports that other routes lead to; all of them where one leads to
/// a port that is not known.
pub fn settings(mut wanted: Value, live: Option<&Value>, others: &BTreeSet<Option<u64>>) -> Value {
    const LIST: &str = "/spec/trafficPolicy/portLevelSettings";
    let number = |setting: &Value| setting.pointer("/port/number").and_then(Value::as_u64);
    let list = |rule: &Value| {
        let list = rule.pointer(LIST).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let mut all = list(&wanted);
    let known: BTreeSet<Option<u64>> = all.iter().map(number).collect();
    let kept: Vec<Value> = live
        .filter(|live| marks::ours(live))
        .map(list)
        .unwrap_or_default()
        .into_iter()
        .filter(|setting| {
            let port = number(setting);
            !known.contains(&port) && (others.contains(&None) || others.contains(&port))
        })
        .collect();
    if kept.is_empty() {
        return wanted;
    }
    all.extend(kept);
    all.sort_by_key(number);
    if let Some(policy) = wanted
        .pointer_mut("/spec/trafficPolicy")
        .and_then(Value::as_object_mut)
    {
        policy.insert("portLevelSettings".to_owned(), json!(all));
    }
    wanted
}
