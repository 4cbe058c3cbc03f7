//! Routes that lead to the canary and have no control in them: no lowering reaches them, for there is nobody in the
//! route who would take what the canary gives away. Ours or not, people have to know of them.

use super::before::taker_among;
use super::gateway_api::{RULES, Rules};
use super::istio::Routes;
use super::object::ObjectRef;
use super::pair::share;
use super::seen::{member, text};
use super::twins::twin;
use super::{backend, destination};
use crate::rollout::router_spec::Backend;
use crate::rollout::weight::Weight;
use serde_json::Value;

/// A route that may lead to the canary and does not carry the pair.
#[derive(Clone)]
pub(super) struct Lone<'j> {
    pub(super) at: usize,
    pub(super) label: String,
    pub(super) name: Option<&'j str>,
    /// What of its requests the canary gets; `None` where nobody can tell.
    pub(super) share: Option<Weight>,
}

impl Lone<'_> {
    /// What it gives the canary, for people.
    pub(super) fn says(&self) -> String {
        self.share
            .map_or_else(|| "something".to_owned(), |share| share.to_string())
    }

    pub(super) fn gives(&self) -> bool {
        self.share != Some(Weight::ZERO)
    }
}

/// What the canary gets of a route, where a destination that says no weight has `unsaid`, and one that is `alone` has
/// everything, whatever it says.
fn given(entries: &[Value], unsaid: i64, alone: bool, leads: impl Fn(&Value) -> bool) -> Weight {
    if alone && entries.len() == 1 {
        return if entries.iter().any(leads) {
            Weight::FULL
        } else {
            Weight::ZERO
        };
    }
    let weight = |entry: &Value| match entry.get("weight") {
        None | Some(Value::Null) => Some(unsaid),
        Some(value) => value.as_i64().filter(|weight| *weight >= 0),
    };
    let sum = |to_canary: bool| {
        let of = entries.iter().filter(|entry| leads(entry) == to_canary);
        of.map(weight)
            .try_fold(0_i64, |sum, weight| sum.checked_add(weight?))
    };
    match (sum(true), sum(false)) {
        (Some(0), _) => Weight::ZERO,
        // What cannot be told may be everything.
        (Some(canary), Some(others)) => share(canary, others).unwrap_or(Weight::FULL),
        (None, _) | (_, None) => Weight::FULL,
    }
}

impl Routes<'_> {
    /// Every route that leads to the canary and does not carry the pair; of those that the resource names also what may
    /// lead there in a way that nobody can tell the share of.
    pub(super) fn lone<'j>(&self, json: &'j Value) -> Vec<Lone<'j>> {
        let list = self.list();
        let routes = member(json, &format!("/spec/{list}")).and_then(Value::as_array);
        let (canary, control) = (&self.pair.canary, &self.pair.control);
        let named = |route: &Value| {
            let name = text(route, "/name");
            self.names()
                .is_some_and(|names| names.iter().any(|n| Some(n.as_str()) == name))
        };
        let lone = |(at, route): (usize, &'j Value)| {
            let entries = destination::entries(route);
            let to = |arm| entries.iter().any(|entry| destination::goes_to(entry, arm));
            if super::preview::is_anybodys(route) || to(canary) && to(control) {
                return None;
            }
            let leads = |entry: &Value| destination::leads_to(entry, canary);
            let share = if entries.iter().any(leads) {
                Some(given(entries, 0, true, leads))
            } else if named(route) && self.may_lead_unasked(json, route) {
                None
            } else {
                return None;
            };
            Some(Lone {
                at,
                label: destination::label(list, at, route),
                name: text(route, "/name"),
                share,
            })
        };
        routes
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(lone)
            .collect()
    }

    /// Whether any route leads to control: then what was ours may be there.
    pub(super) fn leads_to_control(&self, json: &Value) -> bool {
        let routes = member(json, &format!("/spec/{}", self.list())).and_then(Value::as_array);
        routes.into_iter().flatten().any(|route| {
            let entries = destination::entries(route).iter();
            let delegates = route.get("delegate").is_some_and(Value::is_object);
            delegates
                || entries
                    .clone()
                    .any(|e| destination::leads_to(e, &self.pair.control))
        })
    }

    /// The lone route that takes all requests of the route at a place, for it stands before it.
    pub(super) fn taken_by<'l, 'j>(
        &self,
        json: &Value,
        at: usize,
        lone: &'l [Lone<'j>],
    ) -> Option<&'l Lone<'j>> {
        if self.list() != "http" {
            return None;
        }
        let taker = taker_among(super::preview::http(json), at, |at| {
            lone.iter().any(|lone| lone.at == at)
        })?;
        lone.iter().find(|lone| lone.at == taker)
    }
}

impl Rules<'_> {
    /// See [`Routes::lone`].
    pub(super) fn lone<'j>(self, object: &ObjectRef, json: &'j Value) -> Vec<Lone<'j>> {
        let home = &object.namespace;
        let rules = member(json, "/spec/rules").and_then(Value::as_array);
        // The same back end on another port is the same canary, unless the port is what tells it from control.
        let apart = backend::place(&self.route.canary, home).0 != backend::place(&self.route.control, home).0;
        let canary = Backend {
            port: self.route.canary.port.filter(|_| !apart),
            ..self.route.canary.clone()
        };
        let named = |rule: &Value| {
            let name = text(rule, "/name");
            self.names()
                .is_some_and(|names| names.iter().any(|n| Some(n.as_str()) == name))
        };
        let lone = |(at, rule): (usize, &'j Value)| {
            let entries = backend::entries(rule);
            let to = |arm: &Backend| entries.iter().any(|entry| backend::goes_to(entry, arm, home));
            if to(&self.route.canary) && to(&self.route.control) {
                return None;
            }
            let leads = |entry: &Value| backend::goes_to(entry, &canary, home);
            let share = if entries.iter().any(leads) {
                Some(given(entries, 1, false, leads))
            } else if named(rule) && self.may_lead(object, rule) {
                None
            } else {
                return None;
            };
            Some(Lone {
                at,
                label: destination::label(RULES, at, rule),
                name: text(rule, "/name"),
                share,
            })
        };
        rules.into_iter().flatten().enumerate().filter_map(lone).collect()
    }

    /// See [`Routes::leads_to_control`].
    pub(super) fn leads_to_control(self, object: &ObjectRef, json: &Value) -> bool {
        let rules = member(json, "/spec/rules").and_then(Value::as_array);
        let control = |entry: &Value| backend::goes_to(entry, &self.route.control, &object.namespace);
        let mut entries = rules.into_iter().flatten().flat_map(backend::entries);
        entries.any(control)
    }

    /// See [`Routes::taken_by`].
    pub(super) fn taken_by<'l, 'j>(
        self,
        json: &Value,
        at: usize,
        lone: &'l [Lone<'j>],
    ) -> Option<&'l Lone<'j>> {
        let rules = member(json, "/spec/rules").and_then(Value::as_array)?;
        let taker = twin(self.route.kind, rules, at, |at| {
            lone.iter().any(|lone| lone.at == at)
        })?;
        lone.iter().find(|lone| lone.at == taker)
    }
}
