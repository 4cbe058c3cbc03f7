//! What is seen: watch caches, annotations and looks, put into the words of the core.

use super::lane::Lane;
use super::select::{NoStock, stock};
use crate::cluster::cache::{Cache, Cached};
use crate::rollout::observation::{Mark, Routed, Routers, Seen};
use crate::rollout::spec::{Component, Router};
use crate::rollout::status::{LeftOver, RouterStatus};
use crate::rollout::weight::Weight;
use crate::routing::{self, ClaimKey, Home, ObjectRef, RoutingError, Sought, Target, found, needs};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who may raise weights by hand for a while: `<who> <until>`, on the resource or on a routed object.
pub(super) const BREAK_GLASS: &str = "rollout.sealos.io/break-glass";

/// What anybody claims of the component's objects, and whether everybody has told; asked for only where it cannot be told
/// which route is meant.
type Claims<'a> = &'a dyn Fn() -> (Vec<ClaimKey>, bool);

/// What a routed object said when it was last read, and the very copy it was read from: as long as the watch brings
/// no other, there is nothing to read anew.
#[derive(Debug, Default)]
pub(super) struct Memo {
    slots: Vec<Option<Known>>,
    /// Which router each slot belongs to.
    routers: Vec<usize>,
    /// `None`: they were not looked at yet.
    sought: Option<Vec<Sought>>,
    /// Something else is known than at the last report.
    fresh: bool,
}

#[derive(Debug)]
struct Known {
    /// `None`: it is not there, and does not have to be.
    json: Option<Arc<Value>>,
    routed: Routed,
    waiting_for: Option<String>,
    /// It says no weight of its own.
    silent: bool,
    /// Why its route is never reached.
    unreached: Option<String>,
    /// There are routes in it of which nobody knew yet whose they are.
    unsure: bool,
}

impl Memo {
    /// What the component's selections found when they were last looked at; `None` while they were not.
    pub(super) fn sought(&self) -> Option<&[Sought]> {
        self.sought.as_deref()
    }

    /// What was said of routes that are not ours is asked anew, for whose they are may be known otherwise by now. True where
    /// there are any.
    pub(super) fn ask_whose_anew(&mut self) -> bool {
        let told = |slot: &Option<Known>| {
            slot.as_ref()
                .is_some_and(|known| known.unsure || known.routed.left.is_some())
        };
        let mut any = false;
        for slot in &mut self.slots {
            if told(slot) {
                *slot = None;
                any = true;
            }
        }
        any
    }

    /// Makes room for these objects, which may be others than the last time.
    fn lay_out(&mut self, all: &[Target<'_>]) {
        let same = self.routers.len() == all.len()
            && all
                .iter()
                .zip(&self.routers)
                .all(|(target, at)| target.router() == *at);
        if same {
            return;
        }
        self.routers = all.iter().map(Target::router).collect();
        self.slots = all.iter().map(|_| None).collect();
        self.fresh = true;
    }

    /// What an object says. One that says nothing goes by the object before it, which its pods read. What was read of
    /// the very same copy holds, unless it is asked for `anew`.
    fn read_beside(
        &mut self,
        at: usize,
        target: &Target<'_>,
        (json, anew): (&Arc<Value>, bool),
        before: Option<&Routed>,
        claims: Claims<'_>,
    ) -> Result<Routed, RoutingError> {
        let known = self.slots.get(at).and_then(Option::as_ref);
        let same = known.filter(|k| !anew && k.json.as_ref().is_some_and(|known| Arc::ptr_eq(known, json)));
        let (mut routed, silent) = if let Some(known) = same {
            (known.routed.clone(), known.silent)
        } else {
            match target.read(json) {
                Ok(object) => {
                    let left = left(target, json, claims);
                    self.keep(at, target, Some(json.clone()), (object, left))
                }
                Err(error) => {
                    // What it said before is no answer.
                    self.lose(at);
                    return Err(error);
                }
            }
        };
        if let Some(before) = before.filter(|_| silent) {
            (routed.lowest, routed.highest) = (before.lowest, before.highest);
        }
        Ok(routed)
    }

    /// Remembers what was read, and says whether the object has a weight of its own.
    fn keep(
        &mut self,
        at: usize,
        target: &Target<'_>,
        json: Option<Arc<Value>>,
        (object, (left, unsure)): (routing::Seen, (Option<LeftOver>, bool)),
    ) -> (Routed, bool) {
        let of = target.object();
        let named = |what: &String| {
            if of.kind.is_elsewhere() {
                what.clone()
            } else {
                // Without the namespace: there is little room, and the reason matters more.
                format!("{} {}: {what}", of.kind.kind().to_lowercase(), of.name)
            }
        };
        let (waiting_for, silent) = (object.waiting_for.as_ref().map(named), object.is_silent());
        let mut routed = put(target, json.as_deref(), object);
        routed.left = left;
        if let Some(slot) = self.slots.get_mut(at) {
            self.fresh |= slot
                .as_ref()
                .is_none_or(|k| k.routed != routed || k.waiting_for != waiting_for || k.silent != silent);
            *slot = Some(Known {
                unreached: json.as_deref().and_then(|json| target.unreached(json)),
                unsure,
                json,
                routed: routed.clone(),
                waiting_for,
                silent,
            });
        }
        (routed, silent)
    }

    /// Why an object's route is never reached, as it was last read.
    fn unreached(&self, at: usize) -> Option<String> {
        self.slots.get(at)?.as_ref()?.unreached.clone()
    }

    /// Nothing is known of an object any more.
    fn lose(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at) {
            self.fresh |= slot.take().is_some();
        }
    }

    /// Each router of a component as it was last read; `None` when nothing changed since the last report about the
    /// same wish.
    pub(super) fn report(
        &mut self,
        component: &Component,
        asked: Weight,
        before: &[RouterStatus],
    ) -> Option<Vec<RouterStatus>> {
        let same_wish = before.iter().all(|router| router.asked == asked);
        if !std::mem::take(&mut self.fresh) && same_wish {
            return None;
        }
        let report = component.routers.iter().enumerate().map(|(n, router)| {
            let slots = self.slots.iter().zip(&self.routers);
            let known: Vec<Option<&Known>> = slots
                .filter(|(_, at)| **at == n)
                .map(|(slot, _)| slot.as_ref())
                .collect();
            let read = || known.iter().flatten();
            // What is yet to be brought along says nothing of where the router is, unless there is nothing else.
            let all_join = read().all(|k| k.routed.joins);
            let stands = || read().filter(|k| all_join || !k.routed.joins);
            let newcomers = read().filter(|k| !all_join && k.routed.joins && k.routed.highest.is_zero());
            let newcomers = newcomers.count();
            let whole = known.iter().all(Option::is_some);
            let lowest = stands().filter(|k| !k.silent).map(|k| k.routed.lowest).min();
            let highest = stands().filter(|k| !k.silent).map(|k| k.routed.highest).max();
            let clip = |text: &String, n: usize| text.chars().take(n).collect::<String>();
            let newest = stands()
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
                    .map(|text| clip(text, 96))
                    .or_else(|| {
                        (newcomers > 0).then(|| format!("{newcomers} new, at 0% until brought along"))
                    }),
                manager: read()
                    .find_map(|k| k.routed.manager.as_ref())
                    .map(|text| clip(text, 48)),
            }
        });
        Some(report.collect())
    }
}

/// What a component's routed objects say now, out of the watch caches alone. `taken` is what its selections find and is
/// another's.
pub(super) fn see(
    cache: &Cache,
    component: &Component,
    home: &Home,
    (lane, taken): (&Lane, BTreeMap<ObjectRef, String>),
    claims: Claims<'_>,
    memo: &mut Memo,
) -> Seen {
    let namespace = home.namespace.as_str();
    let selects = !needs(component, namespace).is_empty();
    let mut seen = Seen {
        busy: lane.is_busy(),
        ..Seen::default()
    };
    let mut stock = match stock(cache, component, namespace) {
        Ok(stock) => stock,
        Err(NoStock::Syncing) => return seen,
        Err(NoStock::Problem(message)) => {
            seen.unknown = true;
            seen.routers = Routers::Unreadable(message);
            return seen;
        }
    };
    stock.set_taken(taken);
    let found = found(component, home, &stock);
    seen.control_ready = control_ready(cache, &found.targets);
    seen.canary_ready = canary_ready(cache, &found.targets);
    seen.obstacle = found.obstacle();
    // Canaries that say that they are another's may have our traffic: then nothing is back yet.
    seen.unknown |= found.nothing_of_ours().is_some();
    memo.lay_out(&found.targets);
    if selects {
        memo.sought = Some(found.sought.clone());
    }
    let mut routed: Vec<Routed> = Vec::with_capacity(found.targets.len());
    // The first thing that is wrong with one of them. The others are read all the same: what somebody makes of them is
    // seen, and what goes back is seen to be back.
    let mut wrong: Option<String> = None;
    for (at, target) in found.targets.iter().enumerate() {
        let json = match cache.get(target.object()) {
            Cached::Object(json) => json,
            Cached::Syncing => {
                memo.lose(at);
                seen.routers = Routers::Unread;
                return seen;
            }
            Cached::Missing => {
                if let Some(absent) = target.absent() {
                    routed.push(memo.keep(at, target, None, (absent, (None, false))).0);
                    continue;
                }
                memo.lose(at);
                wrong.get_or_insert_with(|| {
                    format!(
                        "there is no {}: create it, or correct the router's name",
                        target.object()
                    )
                });
                routed.push(Routed {
                    object: target.object().to_string(),
                    absent: true,
                    ..Routed::default()
                });
                continue;
            }
            Cached::Problem(message) => {
                memo.lose(at);
                wrong.get_or_insert_with(|| format!("{} cannot be read: {message}", target.object()));
                seen.unknown = true;
                continue;
            }
        };
        seen.break_glass = seen
            .break_glass
            .take()
            .or_else(|| break_glass(json.pointer("/metadata/annotations")));
        // What an object says that stands for a selection depends on what was found, too.
        match memo.read_beside(at, target, (&json, selects), routed.last(), claims) {
            Ok(object) => {
                // Who takes its requests to the canary says more than that they do not arrive.
                let taken = object.left.as_ref().filter(|left| left.all);
                let taken = taken.map(|left| left.message.clone());
                routed.push(object);
                let obstacle = seen.obstacle.take().or(taken);
                seen.obstacle = obstacle.or_else(|| memo.unreached(at));
            }
            Err(error) => {
                wrong.get_or_insert_with(|| target.renamed(&json).unwrap_or_else(|| error.to_string()));
                let (object, unknown) = amiss(target, &json, claims);
                seen.unknown |= unknown;
                routed.extend(object);
            }
        }
    }
    seen.routers = match (wrong, &seen.obstacle) {
        (Some(message), _) => {
            seen.partly = routed;
            Routers::Unreadable(message)
        }
        // Where its selections find nothing there is nothing of ours either.
        (None, Some(obstacle)) if routed.is_empty() => Routers::Unreadable(obstacle.clone()),
        (None, _) => Routers::Read(routed),
    };
    seen
}

/// What a router is called in the spec.
const fn kind_of(router: &Router) -> &'static str {
    match router {
        Router::Istio(_) => "istio",
        Router::GatewayApi(_) => "gatewayApi",
        Router::IngressNginx(_) => "ingressNginx",
        Router::Hook(_) => "hook",
        Router::Manual(_) => "manual",
        Router::ControllerSwitch(_) => "controllerSwitch",
    }
}

fn put(target: &Target<'_>, json: Option<&Value>, object: routing::Seen) -> Routed {
    Routed {
        object: target.object().to_string(),
        lowest: object.lowest,
        highest: object.weight,
        beyond: object.beyond,
        left: None,
        finest: json.and_then(|json| target.finest(json).ok()).unwrap_or_default(),
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
        writer: object.writer,
        choosers: object.choosers,
        aside: object.aside,
        absent: object.absent,
        // What nothing wants any more says nothing about the component, and goes with the next write.
        joins: object.joins || target.is_stray(),
        made: object.made,
    }
}

/// What can be read of an object that is not as the resource has it, if anything, and whether that is not all there is to
/// know.
fn amiss(target: &Target<'_>, json: &Value, claims: Claims<'_>) -> (Option<Routed>, bool) {
    let (claims, _) = claims();
    let lowering = target.for_lowering(json, &claims);
    let left = over(&lowering.left(json));
    let nothing = |left: Option<LeftOver>| Routed {
        object: target.object().to_string(),
        absent: true,
        left,
        ..Routed::default()
    };
    if lowering.leads_nowhere(json) {
        // Nothing of ours gives the canary anything, as one that is gone.
        return (Some(nothing(left)), false);
    }
    let Some(read) = target.in_part(json, &claims) else {
        // What is known all the same is told.
        return (left.map(|left| nothing(Some(left))), true);
    };
    let mut routed = put(target, Some(json), read.seen);
    routed.left = left;
    (Some(routed), read.unknown)
}

/// What else of an object gives the canary requests, and whether nobody knows yet whose some of it is.
fn left(target: &Target<'_>, json: &Value, claims: Claims<'_>) -> (Option<LeftOver>, bool) {
    if !target.is_plain(json) {
        return (over(&target.for_lowering(json, &claims().0).left(json)), false);
    }
    // Whose the others are is asked only where there are others.
    let others = over(&target.left_among(json, Some(&[])));
    if others.is_none() {
        return (None, false);
    }
    let (claims, complete) = claims();
    let known = complete.then_some(claims.as_slice());
    (over(&target.left_among(json, known)), !complete)
}

fn over(left: &routing::Left) -> Option<LeftOver> {
    let message = left.sentence()?;
    Some(LeftOver {
        message,
        all: !left.taken.is_empty(),
    })
}

/// Whether every Service that control names has a ready endpoint. One that is known to have none says no; nothing
/// known says nothing.
fn control_ready(cache: &Cache, all: &[Target<'_>]) -> Option<bool> {
    all_ready(cache, all.iter().flat_map(Target::control_services))
}

/// The same of the Services that the canary has to itself: of one that both arms share, told apart by subsets, nobody
/// can say whose endpoints are missing.
fn canary_ready(cache: &Cache, all: &[Target<'_>]) -> Option<bool> {
    let controls: Vec<_> = all.iter().flat_map(Target::control_services).collect();
    let own = all.iter().flat_map(Target::canary_services);
    all_ready(cache, own.filter(|service| !controls.contains(service)))
}

fn all_ready(cache: &Cache, services: impl Iterator<Item = (String, String)>) -> Option<bool> {
    let known: Vec<bool> = services
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
