//! What is seen: watch caches, annotations and looks, put into the words of the core.

use super::lane::Lane;
use crate::cluster::cache::{Cache, Cached};
use crate::rollout::observation::{Mark, Routed, Routers, Seen};
use crate::rollout::spec::{Component, Router};
use crate::rollout::status::RouterStatus;
use crate::rollout::weight::Weight;
use crate::routing::{self, RoutingError, Target, targets};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who may raise weights by hand for a while: `<who> <until>`, on the resource or on a routed object.
pub(super) const BREAK_GLASS: &str = "rollout.sealos.io/break-glass";

/// What a routed object said when it was last read, and the very copy it was read from: as long as the watch brings
/// no other, there is nothing to read anew.
#[derive(Debug, Default)]
pub(super) struct Memo {
    slots: Vec<Option<Known>>,
    /// Something was read anew since the last report.
    fresh: bool,
}

#[derive(Debug)]
struct Known {
    json: Arc<Value>,
    routed: Routed,
    waiting_for: Option<String>,
    /// It says no weight of its own.
    silent: bool,
}

impl Memo {
    /// What an object says. One that says nothing goes by the object before it, which its pods read.
    fn read_beside(
        &mut self,
        at: usize,
        target: &Target<'_>,
        json: &Arc<Value>,
        before: Option<&Routed>,
    ) -> Result<Routed, RoutingError> {
        let mut routed = self.read(at, target, json)?;
        let silent = self
            .slots
            .get(at)
            .is_some_and(|s| s.as_ref().is_some_and(|s| s.silent));
        if let Some(before) = before.filter(|_| silent) {
            (routed.lowest, routed.highest) = (before.lowest, before.highest);
        }
        Ok(routed)
    }

    /// Nothing is known of an object any more.
    fn lose(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at) {
            self.fresh |= slot.take().is_some();
        }
    }

    fn read(&mut self, at: usize, target: &Target<'_>, json: &Arc<Value>) -> Result<Routed, RoutingError> {
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        let Some(slot) = self.slots.get_mut(at) else {
            return target.read(json).map(|object| put(target, object));
        };
        match slot {
            Some(known) if Arc::ptr_eq(&known.json, json) => Ok(known.routed.clone()),
            Some(_) | None => {
                self.fresh = true;
                // Should it be unreadable now, what it said before is no answer.
                *slot = None;
                let object = target.read(json)?;
                let (waiting_for, silent) = (object.waiting_for.clone(), object.is_silent());
                let routed = put(target, object);
                *slot = Some(Known {
                    json: json.clone(),
                    routed: routed.clone(),
                    waiting_for,
                    silent,
                });
                Ok(routed)
            }
        }
    }

    /// Each router of a component as it was last read; `None` when nothing changed since the last report about the
    /// same wish.
    pub(super) fn report(
        &mut self,
        component: &Component,
        namespace: &str,
        asked: Weight,
        before: &[RouterStatus],
    ) -> Option<Vec<RouterStatus>> {
        let same_wish = before.iter().all(|router| router.asked == asked);
        if !std::mem::take(&mut self.fresh) && same_wish {
            return None;
        }
        let all = targets(component, namespace);
        let report = component.routers.iter().enumerate().map(|(n, router)| {
            let of = |target: &Target<'_>| target.router() == n;
            let known: Vec<Option<&Known>> = all
                .iter()
                .enumerate()
                .filter(|(_, target)| of(target))
                .map(|(at, _)| self.slots.get(at)?.as_ref())
                .collect();
            let read = || known.iter().flatten();
            let whole = known.iter().all(Option::is_some);
            let lowest = read().filter(|k| !k.silent).map(|k| k.routed.lowest).min();
            let highest = read().filter(|k| !k.silent).map(|k| k.routed.highest).max();
            let clip = |text: &String, n: usize| text.chars().take(n).collect::<String>();
            let newest = read()
                .filter_map(|k| k.routed.stamp.as_ref())
                .max_by(|a, b| a.id.cmp(&b.id));
            RouterStatus {
                router: kind_of(router).to_owned(),
                asked,
                written: newest.map(|mark| mark.weight),
                observed: highest.filter(|_| whole && lowest == highest),
                settled: whole && read().all(|k| k.routed.settled),
                waiting_for: read()
                    .find_map(|k| k.waiting_for.as_ref())
                    .map(|text| clip(text, 96)),
                manager: read()
                    .find_map(|k| k.routed.manager.as_ref())
                    .map(|text| clip(text, 48)),
            }
        });
        Some(report.collect())
    }
}

/// What a component's routed objects say now, out of the watch caches alone.
pub(super) fn see(
    cache: &Cache,
    component: &Component,
    namespace: &str,
    lane: &Lane,
    memo: &mut Memo,
) -> Seen {
    let all = targets(component, namespace);
    let mut seen = Seen {
        busy: lane.is_busy(),
        control_ready: control_ready(cache, &all),
        ..Seen::default()
    };
    let mut routed = Vec::with_capacity(all.len());
    for (at, target) in all.iter().enumerate() {
        let json = match cache.get(target.object()) {
            Cached::Object(json) => json,
            Cached::Syncing => {
                memo.lose(at);
                seen.routers = Routers::Unread;
                return seen;
            }
            Cached::Missing => {
                memo.lose(at);
                let message = format!(
                    "there is no {}: create it, or correct the router's name",
                    target.object()
                );
                seen.routers = Routers::Unreadable(message);
                return seen;
            }
            Cached::Problem(message) => {
                memo.lose(at);
                seen.routers = Routers::Unreadable(format!("{} cannot be read: {message}", target.object()));
                return seen;
            }
        };
        seen.break_glass = seen
            .break_glass
            .take()
            .or_else(|| break_glass(json.pointer("/metadata/annotations")));
        match memo.read_beside(at, target, &json, routed.last()) {
            Ok(object) => routed.push(object),
            Err(error) => {
                seen.routers = Routers::Unreadable(error.to_string());
                return seen;
            }
        }
    }
    seen.routers = Routers::Read(routed);
    seen
}

/// What a router is called in the spec.
const fn kind_of(router: &Router) -> &'static str {
    match router {
        Router::Istio(_) => "istio",
        Router::GatewayApi(_) => "gatewayApi",
        Router::ControllerSwitch(_) => "controllerSwitch",
    }
}

fn put(target: &Target<'_>, object: routing::Seen) -> Routed {
    Routed {
        object: target.object().to_string(),
        lowest: object.lowest,
        highest: object.weight,
        stamp: object.stamp.map(|stamp| Mark {
            id: stamp.id().to_owned(),
            weight: stamp.weight(),
            reason: stamp.reason().parse().ok(),
        }),
        settled: object.settled,
        waiting_for: object.waiting_for,
        refusal: object.parents.refusal,
        remark: object.parents.remark,
        manager: object.foreign_manager,
        aside: object.aside,
    }
}

/// Whether every Service that control names has a ready endpoint. One that is known to have none says no; nothing
/// known says nothing.
fn control_ready(cache: &Cache, all: &[Target<'_>]) -> Option<bool> {
    let known: Vec<bool> = all
        .iter()
        .flat_map(Target::control_services)
        .filter_map(|(namespace, service)| cache.endpoints_ready(&namespace, &service))
        .collect();
    if known.is_empty() {
        None
    } else {
        Some(known.iter().all(|ready| *ready))
    }
}

/// Reads `<who> <until>`.
pub(super) fn break_glass(annotations: Option<&Value>) -> Option<(String, Timestamp)> {
    parse_glass(annotations?.get(BREAK_GLASS)?.as_str()?)
}

/// The same, from the resource's own annotations.
pub(super) fn own_break_glass(annotations: &BTreeMap<String, String>) -> Option<(String, Timestamp)> {
    parse_glass(annotations.get(BREAK_GLASS)?)
}

fn parse_glass(text: &str) -> Option<(String, Timestamp)> {
    let (who, until) = text.trim().rsplit_once(' ')?;
    Some((who.to_owned(), until.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_glass_names_who_and_until_when() {
        let (who, until) = parse_glass("ada lovelace 2026-03-02T10:00:00Z").unwrap();
        assert_eq!(
            (who.as_str(), until.to_string().as_str()),
            ("ada lovelace", "2026-03-02T10:00:00Z")
        );
        assert_eq!(parse_glass("ada"), None);
        assert_eq!(parse_glass("ada tomorrow"), None);
    }
}
