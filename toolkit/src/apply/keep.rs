//! What an apply must not take away: what is still served of Ingresses that are gone. They were cleaned up, so a
//! conversion knows nothing of them any more.

use super::gateway;
use super::item::{Change, Item};
use super::live::Live;
use super::read::{from, ports};
use super::select::shown;
use crate::cluster;
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
    from(wanted).iter().all(|key| {
        before.contains(key)
            && there
                .get(key)
                .is_some_and(|ingress| marks::migrated(ingress) && marks::as_converted(ingress) == Some(true))
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

/// The ports that are led to once some routes are written.
pub fn served(live: &Live, routes: &[Item]) -> BTreeSet<(String, u64)> {
    let written: BTreeSet<(&str, &str)> = routes
        .iter()
        .map(|item| (item.namespace.as_str(), item.name.as_str()))
        .collect();
    let others = live.ours(&cluster::VIRTUAL_SERVICE).filter(|route| {
        let (namespace, name) = gateway::key(route);
        !written.contains(&(namespace.as_str(), name.as_str()))
    });
    let mut all: BTreeSet<(String, u64)> = others.flat_map(ports).collect();
    all.extend(routes.iter().flat_map(|item| ports(&item.body)));
    all
}

/// A rule with those settings of the one that is there whose ports are still led to.
pub fn settings(mut wanted: Value, live: Option<&Value>, served: &BTreeSet<(String, u64)>) -> Value {
    const LIST: &str = "/spec/trafficPolicy/portLevelSettings";
    let number = |setting: &Value| setting.pointer("/port/number").and_then(Value::as_u64);
    let service = wanted
        .pointer("/spec/host")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
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
            !known.contains(&port) && port.is_some_and(|port| served.contains(&(service.clone(), port)))
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
