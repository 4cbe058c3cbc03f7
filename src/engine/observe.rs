//! What is seen: watch caches, annotations and looks, put into the words of the core.

use super::lane::Lane;
use super::select::{NoStock, stock};
use crate::cluster::cache::{Cache, Cached};
use crate::rollout::observation::{Mark, Routed, Routers, Seen};
use crate::rollout::spec::Component;
use crate::routing::{self, ClaimKey, RoutingError, Target, found, needs};
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
    read: Vec<Option<(Arc<Value>, Routed)>>,
    claims: Vec<ClaimKey>,
}

impl Memo {
    /// What the component's selections found when they were last looked at: nobody else may write it.
    pub(super) fn claims(&self) -> &[ClaimKey] {
        &self.claims
    }

    fn read(&mut self, at: usize, target: &Target<'_>, json: &Arc<Value>) -> Result<Routed, RoutingError> {
        if self.read.len() <= at {
            self.read.resize_with(at + 1, || None);
        }
        let Some(slot) = self.read.get_mut(at) else {
            return target.read(json).map(|object| put(target, object));
        };
        match slot {
            Some((known, routed)) if Arc::ptr_eq(known, json) => Ok(routed.clone()),
            Some(_) | None => {
                let routed = put(target, target.read(json)?);
                *slot = Some((json.clone(), routed.clone()));
                Ok(routed)
            }
        }
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
    let selects = !needs(component, namespace).is_empty();
    let mut seen = Seen {
        busy: lane.is_busy(),
        ..Seen::default()
    };
    let stock = match stock(cache, component, namespace) {
        Ok(stock) => stock,
        Err(NoStock::Syncing) => return seen,
        Err(NoStock::Problem(message)) => {
            seen.routers = Routers::Unreadable(message);
            return seen;
        }
    };
    let found = found(component, namespace, &stock);
    seen.control_ready = control_ready(cache, &found.targets);
    seen.obstacle = found.obstacle();
    if selects {
        memo.claims = found.targets.iter().flat_map(Target::claims).collect();
    }
    let mut routed = Vec::with_capacity(found.targets.len());
    for (at, target) in found.targets.iter().enumerate() {
        let json = match cache.get(target.object()) {
            Cached::Object(json) => json,
            Cached::Syncing => {
                seen.routers = Routers::Unread;
                return seen;
            }
            Cached::Missing => {
                if let Some(absent) = target.absent() {
                    routed.push(put(target, absent));
                    continue;
                }
                let message = format!(
                    "there is no {}: create it, or correct the router's name",
                    target.object()
                );
                seen.routers = Routers::Unreadable(message);
                return seen;
            }
            Cached::Problem(message) => {
                seen.routers = Routers::Unreadable(format!("{} cannot be read: {message}", target.object()));
                return seen;
            }
        };
        seen.break_glass = seen
            .break_glass
            .take()
            .or_else(|| break_glass(json.pointer("/metadata/annotations")));
        // What an object says that stands for a selection depends on what was found, too.
        let read = if selects {
            target.read(&json).map(|object| put(target, object))
        } else {
            memo.read(at, target, &json)
        };
        match read {
            Ok(object) => routed.push(object),
            Err(error) => {
                seen.routers = Routers::Unreadable(error.to_string());
                return seen;
            }
        }
    }
    seen.routers = match (routed.is_empty(), &seen.obstacle) {
        (true, Some(obstacle)) => Routers::Unreadable(obstacle.clone()),
        _ => Routers::Read(routed),
    };
    seen
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
        manager: object.foreign_manager,
        absent: object.absent,
        // What nothing wants any more says nothing about the component, and goes with the next write.
        joins: object.joins || target.is_stray(),
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
