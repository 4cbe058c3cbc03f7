//! Routes that lead to the canary and have no control in them: no lowering reaches them, for there is nobody in the
//! route who would take what the canary gives away. Ours or not, people have to know of them.

use super::astray;
use super::before::taker_among;
use super::gateway_api::{RULES, Rules};
use super::istio::Routes;
use super::object::{ClaimKey, ObjectRef};
use super::pair::share;
use super::preview::is_anybodys;
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

/// Whether each of some matches asks for one of these.
fn chooses(matches: Option<&Value>, by: &[&str]) -> bool {
    let all = matches.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let chosen = |one: &Value| {
        by.iter()
            .any(|member| one.get(*member).is_some_and(|asks| !asks.is_null()))
    };
    !all.is_empty() && all.iter().all(chosen)
}

impl Routes<'_> {
    /// Every route that leads to the canary and does not carry the pair; of those that the resource names also what may
    /// lead there in a way that nobody can tell the share of.
    pub(super) fn lone<'j>(&self, object: &ObjectRef, json: &'j Value) -> Vec<Lone<'j>> {
        let strays = if self.lowering.is_some() {
            self.strays(object, json)
        } else {
            Vec::new()
        };
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
            if is_anybodys(route) || to(canary) && to(control) || strays.iter().any(|stray| stray.at == at) {
                return None;
            }
            let leads = |entry: &Value| destination::leads_to(entry, canary);
            let share = if entries.iter().any(leads) {
                Some(given(entries, 0, true, leads))
            } else if named(route) && self.may_lead_unseen(route) {
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

    /// The routes with the pair that are nobody's, where the resource names its own and all of these can be read: whoever
    /// added one gives the canary requests beside every weight that is written.
    pub(super) fn elsewhere<'j>(
        &self,
        object: &ObjectRef,
        json: &'j Value,
        claims: &[ClaimKey],
    ) -> Vec<Lone<'j>> {
        let list = self.list();
        let ours = self.names().and_then(|_| self.places(object, json));
        let theirs = astray::others(object, self.component, json, (list, claims));
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return Vec::new();
        };
        let (canary, control) = (&self.pair.canary, &self.pair.control);
        let pair = |(at, route): &(usize, &'j Value)| {
            let entries = destination::entries(route);
            let to = |arm| entries.iter().any(|entry| destination::goes_to(entry, arm));
            let name = text(route, "/name");
            to(canary)
                && to(control)
                && !ours.contains(at)
                && !is_anybodys(route)
                && !name.is_some_and(|name| theirs.contains(name))
        };
        let routes = member(json, &format!("/spec/{list}")).and_then(Value::as_array);
        let routes = routes.into_iter().flatten().enumerate().filter(pair);
        let lone = routes.map(|(at, route)| {
            let leads = |entry: &Value| destination::leads_to(entry, canary);
            Lone {
                at,
                label: destination::label(list, at, route),
                name: text(route, "/name"),
                share: Some(given(destination::entries(route), 0, true, leads)),
            }
        });
        lone.collect()
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

    /// Whether a route may lead to the canary in a way that nobody can tell the share of: by another object, or by a pool
    /// that both arms are in. A mirror is no share.
    fn may_lead_unseen(&self, route: &Value) -> bool {
        let (canary, control) = (&self.pair.canary, &self.pair.control);
        let unseen = |entry: &Value| {
            let reaches = entry
                .get("destination")
                .is_some_and(|to| destination::may_reach(to, canary));
            reaches && !destination::leads_to(entry, canary) && !destination::leads_to(entry, control)
        };
        route.get("delegate").is_some_and(Value::is_object) || destination::entries(route).iter().any(unseen)
    }

    /// Whether all that may lead to the canary says so itself, in lists that can be read.
    pub(super) fn is_open(&self, json: &Value) -> bool {
        ["http", "tls", "tcp"].into_iter().all(|list| {
            let Some(routes) = member(json, &format!("/spec/{list}")) else {
                return true;
            };
            let open = |route: &Value| is_anybodys(route) || !self.may_lead_unseen(route);
            routes.as_array().is_some_and(|routes| routes.iter().all(open))
        })
    }

    /// Where the routes stand that lead to control and not to the canary.
    pub(super) fn controls(&self, json: &Value) -> Vec<usize> {
        let (canary, control) = (&self.pair.canary, &self.pair.control);
        let to = |route: &Value, arm| {
            destination::entries(route)
                .iter()
                .any(|e| destination::leads_to(e, arm))
        };
        let routes = self.routes(json).iter().enumerate();
        let alone = routes.filter(|(_, route)| to(route, control) && !to(route, canary));
        alone.map(|(at, _)| at).collect()
    }

    /// What leads to the canary beside the lone routes, where none has the pair: mirrors, and routes of other lists.
    pub(super) fn beside(&self, json: &Value) -> Vec<String> {
        let of = |list: &'static str| {
            let routes = member(json, &format!("/spec/{list}")).and_then(Value::as_array);
            let routes = routes.into_iter().flatten().enumerate();
            routes.filter_map(move |(at, route)| {
                let leads = |entry: &Value| destination::leads_to(entry, &self.pair.canary);
                let weight = destination::entries(route).iter().any(leads);
                if is_anybodys(route) || weight && list == self.list() || !self.may_lead(route) {
                    return None;
                }
                let does = if weight { "leads" } else { "mirrors requests" };
                Some(format!(
                    "route {} {does} to the canary",
                    destination::label(list, at, route)
                ))
            })
        };
        ["http", "tls", "tcp"].into_iter().flat_map(of).collect()
    }

    /// Whether a route says of each of its requests more than where it goes: it is for some of the clients.
    pub(super) fn is_choosy(&self, json: &Value, at: usize) -> bool {
        let matches = self.routes(json).get(at).and_then(|route| route.get("match"));
        let by = [
            "headers",
            "withoutHeaders",
            "queryParams",
            "sourceLabels",
            "sourceNamespace",
        ];
        chooses(matches, &by)
    }

    /// The lone route that takes all requests of the route at a place, for it stands before it.
    pub(super) fn taken_by<'l, 'j>(
        &self,
        json: &Value,
        at: usize,
        lone: &'l [Lone<'j>],
    ) -> Option<&'l Lone<'j>> {
        let taker = taker_among(self.list(), self.routes(json), at, |at| {
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
        let canary = self.any_port(&self.route.canary, home);
        let strays = if self.lowering.is_some() {
            self.strays(object, json)
        } else {
            Vec::new()
        };
        let named = |rule: &Value| {
            let name = text(rule, "/name");
            self.names()
                .is_some_and(|names| names.iter().any(|n| Some(n.as_str()) == name))
        };
        let lone = |(at, rule): (usize, &'j Value)| {
            let entries = backend::entries(rule);
            let to = |arm: &Backend| entries.iter().any(|entry| backend::goes_to(entry, arm, home));
            if to(&self.route.canary) && to(&self.route.control) || strays.iter().any(|stray| stray.at == at)
            {
                return None;
            }
            let leads = |entry: &Value| backend::goes_to(entry, &canary, home);
            let share = if entries.iter().any(leads) {
                Some(given(entries, 1, false, leads))
            } else if named(rule) && self.may_lead_unseen(object, rule) {
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

    /// See [`Routes::elsewhere`].
    pub(super) fn elsewhere<'j>(
        self,
        object: &ObjectRef,
        json: &'j Value,
        claims: &[ClaimKey],
    ) -> Vec<Lone<'j>> {
        let home = &object.namespace;
        let ours = self.names().and_then(|_| self.places(object, json));
        let theirs = astray::others(object, self.component, json, (RULES, claims));
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return Vec::new();
        };
        let pair = |(at, rule): &(usize, &'j Value)| {
            let entries = backend::entries(rule);
            let to = |arm: &Backend| entries.iter().any(|entry| backend::goes_to(entry, arm, home));
            let name = text(rule, "/name");
            to(&self.route.canary)
                && to(&self.route.control)
                && !ours.contains(at)
                && !name.is_some_and(|name| theirs.contains(name))
        };
        let rules = member(json, "/spec/rules").and_then(Value::as_array);
        let rules = rules.into_iter().flatten().enumerate().filter(pair);
        let lone = rules.map(|(at, rule)| {
            let leads = |entry: &Value| backend::goes_to(entry, &self.route.canary, home);
            Lone {
                at,
                label: destination::label(RULES, at, rule),
                name: text(rule, "/name"),
                share: Some(given(backend::entries(rule), 1, false, leads)),
            }
        });
        lone.collect()
    }

    /// See [`Routes::leads_to_control`].
    pub(super) fn leads_to_control(self, object: &ObjectRef, json: &Value) -> bool {
        let rules = member(json, "/spec/rules").and_then(Value::as_array);
        let arm = self.any_port(&self.route.control, &object.namespace);
        let control = |entry: &Value| backend::goes_to(entry, &arm, &object.namespace);
        let mut entries = rules.into_iter().flatten().flat_map(backend::entries);
        entries.any(control)
    }

    /// One of the pair on whichever port: the same back end on another is the same, unless the port is what tells the two
    /// apart.
    pub(super) fn any_port(self, arm: &Backend, home: &str) -> Backend {
        let apart = backend::place(&self.route.canary, home).0 != backend::place(&self.route.control, home).0;
        Backend {
            port: arm.port.filter(|_| !apart),
            ..arm.clone()
        }
    }

    /// See [`Routes::may_lead_unseen`]: a back end that both arms are, for no port is said.
    fn may_lead_unseen(self, object: &ObjectRef, rule: &Value) -> bool {
        let home = &object.namespace;
        let arms = [&self.route.canary, &self.route.control].map(|arm| self.any_port(arm, home));
        let pool = Backend {
            port: None,
            ..self.route.canary.clone()
        };
        let is_arm = |entry: &Value| arms.iter().any(|arm| backend::goes_to(entry, arm, home));
        let unseen = |entry: &Value| backend::goes_to(entry, &pool, home) && !is_arm(entry);
        backend::entries(rule).iter().any(unseen)
    }

    /// See [`Routes::is_open`].
    pub(super) fn is_open(self, object: &ObjectRef, json: &Value) -> bool {
        let Some(rules) = member(json, "/spec/rules") else {
            return true;
        };
        let open = |rule: &Value| !self.may_lead_unseen(object, rule);
        rules.as_array().is_some_and(|rules| rules.iter().all(open))
    }

    /// See [`Routes::controls`].
    pub(super) fn controls(self, object: &ObjectRef, json: &Value) -> Vec<usize> {
        let home = &object.namespace;
        let [canary, control] = [&self.route.canary, &self.route.control].map(|arm| self.any_port(arm, home));
        let to = |rule: &Value, arm| {
            backend::entries(rule)
                .iter()
                .any(|e| backend::goes_to(e, arm, home))
        };
        let rules = member(json, "/spec/rules").and_then(Value::as_array);
        let rules = rules.into_iter().flatten().enumerate();
        let alone = rules.filter(|(_, rule)| to(rule, &control) && !to(rule, &canary));
        alone.map(|(at, _)| at).collect()
    }

    /// See [`Routes::beside`].
    pub(super) fn beside(self, object: &ObjectRef, json: &Value) -> Vec<String> {
        let home = &object.namespace;
        let canary = self.any_port(&self.route.canary, home);
        let rules = member(json, "/spec/rules").and_then(Value::as_array);
        let mirrors = |(at, rule): (usize, &Value)| {
            let weight = backend::entries(rule)
                .iter()
                .any(|e| backend::goes_to(e, &canary, home));
            let says = || {
                format!(
                    "rule {} mirrors requests to the canary",
                    destination::label(RULES, at, rule)
                )
            };
            (!weight && self.may_lead(object, rule)).then(says)
        };
        rules
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(mirrors)
            .collect()
    }

    /// See [`Routes::is_choosy`].
    pub(super) fn is_choosy(json: &Value, at: usize) -> bool {
        chooses(
            json.pointer(&format!("/spec/rules/{at}/matches")),
            &["headers", "queryParams"],
        )
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
