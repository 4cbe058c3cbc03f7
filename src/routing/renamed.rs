//! A canary that goes by another name in its route: our mark on the object still says what it was given.

use super::backend;
use super::destination::{self, label, leads_to};
use super::gateway_api::{RULES, Rules};
use super::istio::Routes;
use super::object::ObjectRef;
use super::pair::{MAX, share};
use super::preview::is_own;
use super::seen::{member, text};
use super::target::Target;
use crate::rollout::weight::Weight;
use serde_json::Value;

impl Target<'_> {
    /// A route without the canary that gives somebody beside control just what our mark says that the canary was given, as
    /// a sentence with the remedy: nobody may call that back.
    pub fn renamed(&self, json: &Value) -> Option<String> {
        let given = self.stamp(json).map(|stamp| stamp.weight())?;
        if given.is_zero() {
            return None;
        }
        let (route, holder, canary) = match (self.way.istio(), self.way.gateway_api()) {
            (Some(routes), _) => routes.holder(json, given)?,
            (None, Some(rules)) => rules.holder(&self.object, json, given)?,
            (None, None) => return None,
        };
        Some(format!(
            "{}: {route} lacks the canary destination {canary}, and gives {holder} {given}, which is what the canary was given: \
             if that is the canary by another name, write its old name again; if not, give its weight to control, and add \
             the canary with weight 0",
            self.object
        ))
    }
}

/// What people call the route, who holds the canary's share in it, and the canary.
type Held = (String, String, String);

impl Routes<'_> {
    fn holder(&self, json: &Value, given: Weight) -> Option<Held> {
        let list = self.list();
        let routes = member(json, &format!("/spec/{list}")).and_then(Value::as_array)?;
        let (canary, control) = (&self.pair.canary, &self.pair.control);
        let ours = routes
            .iter()
            .enumerate()
            .filter(|(_, route)| !is_own(self.component, route) && is_named(self.names(), route));
        ours.into_iter().find_map(|(at, route)| {
            let of = (destination::entries(route), 0, given);
            let held = held(of, |e| leads_to(e, canary), |e| leads_to(e, control))?;
            Some((
                format!("route {}", label(list, at, route)),
                destination::written(std::slice::from_ref(held)),
                destination::describe(canary),
            ))
        })
    }
}

impl Rules<'_> {
    fn holder(self, object: &ObjectRef, json: &Value, given: Weight) -> Option<Held> {
        let rules = member(json, "/spec/rules").and_then(Value::as_array)?;
        let (canary, control) = (&self.route.canary, &self.route.control);
        let ours = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| is_named(self.names(), rule));
        ours.into_iter().find_map(|(at, rule)| {
            let goes_to = |arm| move |entry: &Value| backend::goes_to(entry, arm, &object.namespace);
            let held = held(
                (backend::entries(rule), 1, given),
                goes_to(canary),
                goes_to(control),
            )?;
            Some((
                format!("rule {}", label(RULES, at, rule)),
                backend::written(std::slice::from_ref(held)),
                backend::describe(canary),
            ))
        })
    }
}

/// Whether a route is one of those that the resource may mean.
fn is_named(names: Option<&[String]>, route: &Value) -> bool {
    names.is_none_or(|names| {
        names
            .iter()
            .any(|name| Some(name.as_str()) == text(route, "/name"))
    })
}

/// Who, beside control, has the share in a route without the canary, where a destination that says no weight has `unsaid`.
fn held(
    (entries, unsaid, given): (&[Value], i64, Weight),
    canary: impl Fn(&Value) -> bool,
    control: impl Fn(&Value) -> bool,
) -> Option<&Value> {
    let weight = |entry: &Value| match entry.get("weight") {
        None | Some(Value::Null) => Some(unsaid),
        Some(value) => value.as_i64().filter(|weight| (0..=MAX).contains(weight)),
    };
    if entries.iter().any(canary) {
        return None;
    }
    let mut controls = entries.iter().filter(|entry| control(entry)).peekable();
    controls.peek()?;
    let kept = controls.try_fold(0_i64, |sum, entry| sum.checked_add(weight(entry)?))?;
    entries
        .iter()
        .filter(|entry| !control(entry))
        .find(|entry| weight(entry).and_then(|weight| share(weight, kept)) == Some(given))
}
