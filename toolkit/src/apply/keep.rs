//! What stands on a route. An Ingress that `cleanup` deleted is still served by it, and a conversion knows nothing of it
//! any more: an apply must not take that away. What is gone by another hand, or has another host by now, is nobody's wish:
//! nginx does not serve it either, so it keeps nothing as it is.

use super::closed;
use super::headers;
use super::inputs;
use super::item::{Change, Item};
use super::read::from;
use super::select::shown;
use crate::answering::{keys, typed};
use crate::canaries;
use crate::cluster::annotation;
use crate::finding::{Finding, Severity};
use crate::marks;
use gradual_rollout_migration::input::Key;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Whether `cleanup` deleted an Ingress of a route. One of before did not say which: all that are gone, then.
pub fn cleaned(route: &Value, key: &Key) -> bool {
    annotation(route, marks::CLEANED_AT).is_some()
        && (annotation(route, marks::CLEANED).is_none() || keys(route, marks::CLEANED).contains(key))
}

/// The Ingresses that a route was made of and that `cleanup` deleted. A canary keeps nothing as it is for the sake of one
/// that is there: nginx does not split that any more.
pub fn gone(route: &Value, there: &BTreeMap<Key, Value>) -> BTreeSet<Key> {
    let canaries = canaries::of(route);
    let alone = from(route)
        .difference(&canaries)
        .all(|key| !there.contains_key(key));
    let gone = from(route).into_iter().filter(|key| !there.contains_key(key));
    gone.filter(|key| cleaned(route, key) && (alone || !canaries.contains(key)))
        .collect()
}

/// Those that are gone by another hand. Without a canary nothing is unserved.
pub fn orphans(route: &Value, there: &BTreeMap<Key, Value>) -> BTreeSet<Key> {
    let gone = canaries::serving(route).into_iter();
    let gone = gone.filter(|key| !there.contains_key(key));
    gone.filter(|key| !cleaned(route, key)).collect()
}

/// What gives Ingresses back to nginx, with whatever splits them; those that are gone by another hand are named as such, and what was cleaned up comes
/// from the backup.
pub fn back(together: &BTreeSet<Key>, routes: &[&Value], there: &BTreeMap<Key, Value>) -> String {
    let lost: BTreeSet<Key> = routes.iter().flat_map(|route| orphans(route, there)).collect();
    let cleaned: BTreeSet<Key> = routes.iter().flat_map(|route| gone(route, there)).collect();
    let canaries: BTreeSet<Key> = routes.iter().flat_map(|route| canaries::of(route)).collect();
    let mut serving = together.difference(&canaries).peekable();
    let named = if serving.peek().is_some() {
        typed(serving)
    } else {
        typed(together)
    };
    let mut said = format!("migrate rollback --ingress {named}");
    if !lost.is_empty() {
        said = format!("{said} --gone {}", typed(&lost));
    }
    if !cleaned.is_empty() {
        said = format!("{said} --dir FOLDER, the backup that has {}", typed(&cleaned));
    }
    said
}

/// Whether a route says all that those of its Ingresses want that are there.
pub fn settled(wanted: &Value, route: &Value, there: &BTreeMap<Key, Value>) -> bool {
    let before = from(route);
    // What the controller demands of all, it demands of those that are there.
    let made_with =
        |name: &str| annotation(route, name).is_none_or(|noted| annotation(wanted, name) == Some(noted));
    made_with(marks::SETTINGS)
        && headers::made_with(wanted, route)
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
pub fn finding(item: &Item, route: &Value, gone: &BTreeSet<Key>, settled: bool) -> Finding {
    let (code, severity, why, remedy) = if settled {
        (
            "APPLY-KEPT",
            Severity::Info,
            "",
            "nothing has to be done; to have it written anew, bring them back first: migrate restore --kind Ingress".to_owned(),
        )
    } else {
        let together: BTreeSet<Key> = from(route).union(&from(&item.body)).cloned().collect();
        (
            "APPLY-GONE-SHARED",
            Severity::Blocker,
            ", and another Ingress of its host wants it otherwise now",
            format!(
                "bring them back first, then apply: migrate restore --kind Ingress; where nobody wants them: migrate rollback --ingress {} --gone {}, then apply",
                typed(&together),
                typed(gone)
            ),
        )
    };
    let gone: Vec<String> = gone.iter().map(|key| typed([key])).collect();
    Finding {
        code,
        severity,
        object: item.object(),
        message: format!(
            "left as it is: it also serves {}, which was cleaned up{why}",
            shown(&gone)
        ),
        remedy,
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
