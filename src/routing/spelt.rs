//! Destinations that are the pair's and are spelt otherwise than the resource spells them, or are on another port.
//!
//! A raise demands the resource's own spelling. A lowering goes by what is meant: `shop` and
//! `shop.apps.svc.cluster.local` are one Service, and what its pods get is the canary's on whichever port.

use super::astray::Stray;
use super::backend;
use super::destination::{entries, goes_to, is_spelt, label, written};
use super::gateway_api::{FORM, RULES, Rules};
use super::istio::Routes;
use super::object::{ClaimKey, ObjectRef, Part};
use super::preview::is_own;
use super::seen::{member, text};
use crate::rollout::router_spec::{Backend, Destination};
use serde_json::Value;

/// Chooses between the routes that carry the pair on the ports that the resource asks for, and those that do on any.
/// Where one has a share by the former, the others are somebody's own.
fn asked_first<'j>(asked: Vec<Stray<'j>>, any: impl FnOnce() -> Vec<Stray<'j>>) -> Vec<Stray<'j>> {
    if asked.iter().any(|stray| !stray.is_empty()) {
        return asked;
    }
    let any = any();
    if any.is_empty() { asked } else { any }
}

/// Whether somebody claims routes of the object for another pair: it may be the same one on another port.
fn has_others(object: &ObjectRef, claims: &[ClaimKey], own: &[ClaimKey]) -> bool {
    let pair = |claim: &ClaimKey| match &claim.part {
        Part::Route { list, pair, .. } if claim.object == *object => Some((*list, pair.clone())),
        Part::Route { .. } | Part::Whole | Part::Stamp(_) => None,
    };
    let own = own.iter().find_map(pair);
    let own = own.as_ref();
    let mut others = claims.iter().filter_map(pair);
    others.any(|other| own.is_some_and(|own| other.0 == own.0 && other.1 != own.1))
}

impl Routes<'_> {
    fn arms(&self) -> [&Destination; 2] {
        [&self.pair.canary, &self.pair.control]
    }

    /// The same on any port, unless the port is what tells the two apart.
    fn on_any_port(&self) -> [Destination; 2] {
        let [canary, control] = self.arms();
        let apart = canary.host != control.host || canary.subset != control.subset;
        self.arms().map(|arm| Destination {
            port: arm.port.filter(|_| !apart),
            ..arm.clone()
        })
    }

    /// Whether an entry goes to the first of two destinations, however it is spelt, and not to the other.
    fn is(entry: &Value, [arm, other]: [&Destination; 2], home: &str) -> bool {
        goes_to(entry, arm)
            || !goes_to(entry, other) && is_spelt(entry, arm, home) && !is_spelt(entry, other, home)
    }

    fn strays_of<'j>(&self, json: &'j Value, [canary, control]: [&Destination; 2]) -> Vec<Stray<'j>> {
        let home = text(json, "/metadata/namespace").unwrap_or_default();
        let is: [&dyn Fn(&Value) -> bool; 2] =
            [&|entry| Self::is(entry, [canary, control], home), &|entry| {
                Self::is(entry, [control, canary], home)
            }];
        let routes = self.routes(json).iter().enumerate();
        let users = routes.filter(|(_, route)| !is_own(self.component, route));
        users
            .filter_map(|(at, route)| {
                let label = label(self.list(), at, route);
                Stray::new(self.form(), (at, label, route), entries(route), is)
            })
            .collect()
    }

    /// Every route that carries the pair on the ports that the resource asks for.
    pub(super) fn carrying<'j>(&self, json: &'j Value) -> Vec<Stray<'j>> {
        self.strays_of(json, self.arms())
    }

    /// Every route that carries the pair, whatever else is wrong with it.
    pub(super) fn strays<'j>(&self, object: &ObjectRef, json: &'j Value) -> Vec<Stray<'j>> {
        let asked = self.carrying(json);
        let Some(claims) = self.lowering else {
            return asked;
        };
        asked_first(asked, || {
            if has_others(object, claims, &self.claims(object)) {
                return Vec::new();
            }
            let [canary, control] = self.on_any_port();
            self.strays_of(json, [&canary, &control])
        })
    }

    /// How a route without one of the pair, as the resource spells it, spells it.
    pub(super) fn spelling(&self, object: &ObjectRef, route: &Value, arm: &Destination) -> Option<String> {
        let other = self.arms().into_iter().find(|other| *other != arm)?;
        let spelt = |entry: &&Value| Self::is(entry, [arm, other], &object.namespace);
        let found = entries(route).iter().find(spelt)?;
        Some(written(std::slice::from_ref(found)))
    }

    /// Whether a route has the pair, in another spelling.
    pub(super) fn is_spelt_otherwise(&self, object: &ObjectRef, route: &Value) -> bool {
        let mut arms = self.arms().into_iter();
        !is_own(self.component, route) && arms.all(|arm| self.spelling(object, route, arm).is_some())
    }

    /// Where a route gives the canary something under another spelling than the resource's.
    pub(super) fn spelt_beside(&self, object: &ObjectRef, route: &Value) -> Option<usize> {
        let gives = |entry: &Value| {
            let weight = entry.get("weight").filter(|weight| !weight.is_null());
            weight.is_some_and(|weight| *weight != 0)
        };
        entries(route).iter().position(|entry| {
            !goes_to(entry, &self.pair.canary)
                && Self::is(entry, self.arms(), &object.namespace)
                && gives(entry)
        })
    }

    /// Destinations of a route that are the canary's on another port than the resource asks for, and give it something.
    pub(super) fn on_other_ports(&self, json: &Value, at: usize) -> Vec<usize> {
        let home = text(json, "/metadata/namespace").unwrap_or_default();
        let [canary, control] = self.on_any_port();
        let all = self.routes(json).get(at).map(entries).unwrap_or_default();
        let is =
            |entry: &Value| Self::is(entry, [&canary, &control], home) && !Self::is(entry, self.arms(), home);
        giving(all, 0, is)
    }
}

/// Which entries of some kind have a weight.
fn giving(all: &[Value], unsaid: i64, is: impl Fn(&Value) -> bool) -> Vec<usize> {
    let gives = |entry: &Value| match entry.get("weight") {
        None | Some(Value::Null) => unsaid != 0,
        Some(weight) => *weight != 0,
    };
    let all = all.iter().enumerate();
    let found = all.filter(|(_, entry)| is(entry) && gives(entry));
    found.map(|(at, _)| at).collect()
}

impl<'a> Rules<'a> {
    fn strays_of<'j>(object: &ObjectRef, json: &'j Value, arms: [&Backend; 2]) -> Vec<Stray<'j>> {
        let rules = member(json, "/spec/rules").and_then(Value::as_array);
        let rules = rules.into_iter().flatten().enumerate();
        let goes_to = |arm: &'_ Backend, entry: &Value| backend::goes_to(entry, arm, &object.namespace);
        let [canary, control] = arms;
        let is: [&dyn Fn(&Value) -> bool; 2] =
            [&|entry| goes_to(canary, entry), &|entry| goes_to(control, entry)];
        rules
            .filter_map(|(at, rule)| {
                let label = label(RULES, at, rule);
                Stray::new(FORM, (at, label, rule), backend::entries(rule), is)
            })
            .collect()
    }

    /// Every rule that carries the pair, whatever else is wrong with it.
    pub(super) fn strays<'j>(self, object: &ObjectRef, json: &'j Value) -> Vec<Stray<'j>> {
        let arms = [&self.route.canary, &self.route.control];
        let asked = Self::strays_of(object, json, arms);
        let Some(claims) = self.lowering else {
            return asked;
        };
        asked_first(asked, || {
            if has_others(object, claims, &self.claims(object)) {
                return Vec::new();
            }
            let [canary, control] = arms.map(|arm| self.any_port(arm, &object.namespace));
            Self::strays_of(object, json, [&canary, &control])
        })
    }

    /// See [`Routes::spelling`]: here only the port may differ.
    pub(super) fn spelling(self, object: &ObjectRef, rule: &Value, arm: &'a Backend) -> Option<String> {
        let any = self.any_port(arm, &object.namespace);
        let found = backend::entries(rule)
            .iter()
            .find(|entry| backend::goes_to(entry, &any, &object.namespace))?;
        Some(backend::written(std::slice::from_ref(found)))
    }

    /// See [`Routes::on_other_ports`].
    pub(super) fn on_other_ports(self, object: &ObjectRef, json: &Value, at: usize) -> Vec<usize> {
        let home = &object.namespace;
        let (asked, any) = (&self.route.canary, self.any_port(&self.route.canary, home));
        let rule = json.pointer(&format!("/spec/rules/{at}"));
        let is = |entry: &Value| backend::goes_to(entry, &any, home) && !backend::goes_to(entry, asked, home);
        giving(rule.map(backend::entries).unwrap_or_default(), 1, is)
    }
}
