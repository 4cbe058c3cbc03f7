//! Istio: routes for testers, and a mirror, beside the weights of a pair.
//!
//! A rule of ours stands directly before the route it shadows: whatever the user's routes before it take, they go on
//! taking. It is that route with the testers' condition added to each of its matches, and the canary as its only
//! destination; timeouts, retries, rewrites and all else are the route's. Its name says whose it is. An annotation
//! remembers what the rules were made from, and our mirror ([`super::mirror`]).

use super::destination::label;
use super::error::RoutingError;
use super::istio::{Carrier, Routes};
use super::mirror::{Mirror, free_of_mirrors};
use super::object::ObjectRef;
use super::patch::{Change, Draft, malformed, path};
use super::seen::{member, text};
use super::stamp::{fnv1a, key};
use crate::rollout::observation::Aside;
use crate::rollout::preview::Preview;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What the annotation's key begins with; the component follows.
const MEMORY_PREFIX: &str = "rollout.sealos.io/p.";
/// The mark of rules of ours that nothing remembers.
const UNREMEMBERED: &str = "?";

/// What was written, as the annotation remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// The mark of what was asked.
    pub(super) asked: String,
    /// A sum of the routes that the rules are copies of.
    from: String,
    /// Our rules, and a sum of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) rules: BTreeMap<String, String>,
    /// Our mirror.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mirror: Option<Mirror>,
}

/// Whether a route is a rule of ours: only its name says so. No component's name makes another's rule its own, for
/// what follows the last `-testers-` is a number.
pub(super) fn is_own(component: &str, route: &Value) -> bool {
    text(route, "/name")
        .and_then(|name| name.strip_prefix("gradual-rollout-"))
        .and_then(|rest| rest.strip_prefix(component))
        .and_then(|rest| rest.strip_prefix("-testers-"))
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a route is a rule of ours for whichever component.
pub(super) fn is_anybodys(route: &Value) -> bool {
    text(route, "/name")
        .and_then(|name| name.strip_prefix("gradual-rollout-"))
        .and_then(|rest| rest.rsplit_once("-testers-"))
        .is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn rule_name(component: &str, n: usize) -> String {
    format!("gradual-rollout-{component}-testers-{n}")
}

pub(super) fn memory(component: &str, json: &Value) -> Option<Memory> {
    let annotations = json.pointer("/metadata/annotations")?;
    serde_json::from_str(annotations.get(key(MEMORY_PREFIX, component))?.as_str()?).ok()
}

pub(super) fn sum(json: &Value) -> String {
    format!("{:016x}", fnv1a(json.to_string().as_bytes()))
}

pub(super) fn http(json: &Value) -> &[Value] {
    json.pointer("/spec/http")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

impl Routes<'_> {
    /// What the spec asks for beside the weights.
    pub(super) fn preview(&self) -> Preview {
        let testers = self.pair.testers.clone().unwrap_or_default();
        Preview {
            headers: testers.headers.unwrap_or_default(),
            cookie: testers.cookie,
            mirror: self.pair.mirror,
        }
    }

    /// What is wrong with what is asked, whatever the object says.
    pub(super) fn check_preview(&self, object: &ObjectRef) -> Result<(), RoutingError> {
        let asked = self.preview();
        let refuse = |why: String| {
            Err(RoutingError::BadPreview {
                object: object.clone(),
                why,
            })
        };
        if !asked.is_empty() && !self.takes_previews() {
            return refuse(
                "testers and mirror take http routes; give this VirtualService a router of its own, without them"
                    .to_owned(),
            );
        }
        asked.check().or_else(refuse)
    }

    /// Whether its routes can be shadowed and mirrored.
    pub(super) fn takes_previews(&self) -> bool {
        self.list() == "http"
    }

    /// What the object carries beside the weights; `None` where it can carry nothing.
    pub(super) fn aside(&self, object: &ObjectRef, json: &Value) -> Result<Option<Aside>, RoutingError> {
        if !self.takes_previews() {
            return Ok(None);
        }
        let carriers = self.carriers(object, json)?;
        let memory = memory(self.component, json);
        let own = || http(json).iter().any(|route| is_own(self.component, route));
        let written = match &memory {
            Some(memory) => Some(memory.asked.clone()),
            None => own().then(|| UNREMEMBERED.to_owned()),
        };
        let mirror = self.mirror(json);
        let stale = memory
            .as_ref()
            .is_some_and(|m| m.from != source(&carriers, mirror.as_ref()));
        Ok(Some(Aside {
            spec: self.preview(),
            written,
            stale,
            missing: memory.and_then(|memory| self.missing(object, json, &carriers, &memory)),
            sticky: self.sticky(json, &carriers),
        }))
    }

    /// What of ours somebody else changed or took away.
    fn missing(
        &self,
        object: &ObjectRef,
        json: &Value,
        carriers: &[Carrier<'_>],
        memory: &Memory,
    ) -> Option<String> {
        let again = "it is theirs; ask for it again to have it back";
        for (n, carrier) in carriers.iter().enumerate() {
            let name = rule_name(self.component, n);
            let Some(known) = memory.rules.get(&name) else {
                continue;
            };
            let found = http(json)
                .iter()
                .enumerate()
                .find(|(_, route)| text(route, "/name") == Some(&name));
            let what = match found {
                None => "took away",
                Some((_, rule)) if sum(rule) != *known => "changed",
                Some((at, _)) if at > carrier.at => "moved behind the route it shadows",
                Some((at, rule)) => match self.taken(json, carriers, at, rule) {
                    None => continue,
                    Some(taker) => {
                        return Some(format!(
                            "route {taker} of {object} stands before our rule {name} and takes what testers send: put it \
                             behind"
                        ));
                    }
                },
            };
            return Some(format!("somebody {what} our rule {name} of {object}: {again}"));
        }
        let mirror = self.mirror(json)?;
        let gone = carriers
            .iter()
            .find(|c| mirror.names(c.json) && !mirror.is_on(c.json))?;
        Some(format!(
            "somebody changed our mirror of route {} of {object}: {again}",
            gone.label
        ))
    }

    /// A route of the user's that sends requests with a cookie to one arm.
    fn sticky(&self, json: &Value, carriers: &[Carrier<'_>]) -> Option<String> {
        let last = carriers.iter().map(|c| c.at).max()?;
        let by_cookie = |route: &Value| {
            let matches = route.get("match").and_then(Value::as_array);
            matches.into_iter().flatten().any(|m| {
                let headers = m.get("headers").and_then(Value::as_object);
                headers.is_some_and(|h| h.keys().any(|name| name.eq_ignore_ascii_case("cookie")))
            })
        };
        http(json)
            .iter()
            .enumerate()
            .take(last)
            .find(|(_, route)| {
                !is_own(self.component, route) && self.goes_to_one_arm(route) && by_cookie(route)
            })
            .map(|(at, route)| {
                format!(
                    "route {} keeps requests with a cookie on one arm: weights move only new sessions",
                    label("http", at, route)
                )
            })
    }

    /// Takes all of ours off.
    pub(super) fn strip(&self, json: &Value, draft: &mut Draft<'_>) {
        let _ = self.clear(json, None, draft);
        let place = key(MEMORY_PREFIX, self.component);
        let old = json
            .pointer("/metadata/annotations")
            .and_then(|annotations| annotations.get(&place));
        if let Some(old) = old {
            draft.versioned();
            draft.remove(
                path(["metadata", "annotations", &place]),
                Change {
                    path: format!("metadata.annotations[{place}]"),
                    from: Some(old.as_str().unwrap_or_default().to_owned()),
                    to: None,
                },
            );
        }
    }

    /// Takes our rules off, and our mirror unless it stays as it is. Gives the places of the rules.
    fn clear(&self, json: &Value, stays: Option<&Mirror>, draft: &mut Draft<'_>) -> Vec<usize> {
        let own: Vec<usize> = http(json)
            .iter()
            .enumerate()
            .filter(|(_, route)| is_own(self.component, route))
            .map(|(at, _)| at)
            .collect();
        // From the last to the first, so that each place is still where it was.
        for at in own.iter().rev() {
            draft.versioned();
            let name = http(json).get(*at).and_then(|route| text(route, "/name"));
            remove_rule(*at, name.unwrap_or_default(), draft);
        }
        let mirror = self.mirror(json).filter(|mirror| Some(mirror) != stays);
        for (at, route) in http(json).iter().enumerate() {
            let Some(mirror) = mirror.as_ref().filter(|mirror| mirror.is_on(route)) else {
                continue;
            };
            draft.versioned();
            mirror.take_off((at, shifted(at, &own)), draft);
        }
        own
    }

    /// Drafts what is wanted in place of what of ours is there.
    pub(super) fn draft_preview(
        &self,
        object: &ObjectRef,
        json: &Value,
        (wanted, mark): (&Preview, &str),
        draft: &mut Draft<'_>,
    ) -> Result<(), RoutingError> {
        if wanted.is_empty() {
            self.strip(json, draft);
            return Ok(());
        }
        draft.versioned();
        let carriers = self.carriers(object, json)?;
        let before = self.mirror(json);
        let mirror = wanted.mirror.zip(carriers.first()).map(|(share, first)| Mirror {
            routes: carriers
                .iter()
                .map(|c| c.name.unwrap_or_default().to_owned())
                .collect(),
            to: first.canary.json.get("destination").cloned().unwrap_or_default(),
            share,
        });
        let own = self.clear(json, mirror.as_ref(), draft);
        let mut rules = BTreeMap::new();
        // From the last to the first, so that each place is still where it was.
        let mut placed: Vec<(usize, &Carrier<'_>)> = carriers.iter().enumerate().collect();
        placed.sort_by_key(|(_, carrier)| std::cmp::Reverse(carrier.at));
        for (n, carrier) in placed {
            let at = shifted(carrier.at, &own).to_string();
            if let Some(mirror) = &mirror
                && !before
                    .as_ref()
                    .is_some_and(|b| b == mirror && b.is_on(carrier.json))
            {
                let ours = before.as_ref().is_some_and(|b| b.is_on(carrier.json));
                free_of_mirrors(object, carrier, ours)?;
                mirror.put(carrier, &at, draft);
            }
            if !wanted.has_testers() {
                continue;
            }
            let name = rule_name(self.component, n);
            let rule = rule(object, carrier, wanted, &name, before.as_ref())?;
            if let Some(taker) = self.taken(json, &carriers, carrier.at, &rule) {
                return Err(RoutingError::BadPreview {
                    object: object.clone(),
                    why: format!(
                        "route {taker} stands before route {} and takes what testers send: put it behind that route, or \
                         tell testers by something else",
                        carrier.label
                    ),
                });
            }
            rules.insert(name.clone(), sum(&rule));
            let testers = Preview {
                mirror: None,
                ..wanted.clone()
            };
            draft.set(
                path(["spec", "http", &at]),
                rule,
                Change {
                    path: format!("spec.http[{at}] (before route {})", carrier.label),
                    from: None,
                    to: Some(format!("the rule {name}, all to the canary: {testers}")),
                },
            );
        }
        let memory = Memory {
            asked: mark.to_owned(),
            from: source(&carriers, before.as_ref()),
            rules,
            mirror,
        };
        self.remember(object, json, &memory, draft)
    }

    fn remember(
        &self,
        object: &ObjectRef,
        json: &Value,
        memory: &Memory,
        draft: &mut Draft<'_>,
    ) -> Result<(), RoutingError> {
        let place = key(MEMORY_PREFIX, self.component);
        let value = serde_json::to_string(memory).unwrap_or_default();
        let change = |from: Option<&Value>| Change {
            path: format!("metadata.annotations[{place}]"),
            from: from.and_then(Value::as_str).map(str::to_owned),
            to: Some(value.clone()),
        };
        match member(json, "/metadata/annotations") {
            Some(Value::Object(map)) => {
                let change = change(map.get(&place));
                draft.set(
                    path(["metadata", "annotations", &place]),
                    value.clone().into(),
                    change,
                );
            }
            Some(_) => return Err(malformed(object, "metadata.annotations", "a map")),
            None => draft.set(
                path(["metadata", "annotations"]),
                json!({ &place: value.clone() }),
                change(None),
            ),
        }
        Ok(())
    }
}

pub(super) fn remove_rule(at: usize, name: &str, draft: &mut Draft<'_>) {
    draft.remove(
        path(["spec", "http", &at.to_string()]),
        Change {
            path: format!("spec.http[{at}]"),
            from: Some(format!("the rule {name}")),
            to: None,
        },
    );
}

/// Where a route stands when rules before it are gone.
fn shifted(at: usize, gone: &[usize]) -> usize {
    at - gone.iter().filter(|own| **own < at).count()
}

/// A sum of what rules are made from: the routes without weights, and without what of them is ours.
fn source(carriers: &[Carrier<'_>], mirror: Option<&Mirror>) -> String {
    let routes: Vec<Value> = carriers
        .iter()
        .map(|carrier| {
            let mut route = theirs(carrier, mirror);
            let entries = route.get_mut("route").and_then(Value::as_array_mut);
            for entry in entries.into_iter().flatten() {
                if let Some(entry) = entry.as_object_mut() {
                    entry.remove("weight");
                }
            }
            route.into()
        })
        .collect();
    sum(&routes.into())
}

/// A route without what of it is ours.
fn theirs(carrier: &Carrier<'_>, mirror: Option<&Mirror>) -> Map<String, Value> {
    let mut route = carrier.json.as_object().cloned().unwrap_or_default();
    if mirror.is_some_and(|mirror| mirror.is_on(carrier.json)) {
        route.remove("mirror");
        route.remove("mirrorPercentage");
    }
    route
}

/// The rule that shadows a route.
fn rule(
    object: &ObjectRef,
    carrier: &Carrier<'_>,
    wanted: &Preview,
    name: &str,
    mirror: Option<&Mirror>,
) -> Result<Value, RoutingError> {
    let mut rule = theirs(carrier, mirror);
    let given = carrier
        .json
        .get("match")
        .and_then(Value::as_array)
        .filter(|m| !m.is_empty());
    let bases = given.cloned().unwrap_or_else(|| vec![json!({})]);
    let mut matches = Vec::new();
    for (header, condition) in conditions(wanted) {
        for base in &bases {
            matches.push(with_header(object, carrier, base, &header, &condition)?);
        }
    }
    let mut canary = carrier.canary.json.clone();
    if let Some(canary) = canary.as_object_mut() {
        // A single destination's weight means nothing.
        canary.remove("weight");
    }
    rule.insert("name".to_owned(), name.into());
    rule.insert("match".to_owned(), matches.into());
    rule.insert("route".to_owned(), json!([canary]));
    Ok(rule.into())
}

/// The conditions that make a tester, each enough: the header `canary` first, the cookie last.
fn conditions(wanted: &Preview) -> Vec<(String, Value)> {
    let mut headers: Vec<(&String, &String)> = wanted.headers.iter().collect();
    headers.sort_by_key(|(name, _)| (*name != "canary", *name));
    let exact = headers
        .into_iter()
        .map(|(name, value)| (name.clone(), json!({"exact": value})));
    let cookie = wanted.cookie.iter();
    let cookie = cookie.map(|cookie| ("cookie".to_owned(), by_cookie(&cookie.name, &cookie.value)));
    exact.chain(cookie).collect()
}

/// The condition on the header `cookie` that tells who has this one.
pub(super) fn by_cookie(name: &str, value: &str) -> Value {
    let quoted = |text: &str| text.replace('.', "\\.");
    let pair = format!("{}={}", quoted(name), quoted(value));
    // The whole header is matched: other cookies may stand before and behind.
    json!({ "regex": format!("^(.*;[ ]*)?{pair}([ ]*;.*)?$") })
}

fn with_header(
    object: &ObjectRef,
    carrier: &Carrier<'_>,
    base: &Value,
    header: &str,
    condition: &Value,
) -> Result<Value, RoutingError> {
    let place = || format!("spec.http[{}].match", carrier.index);
    let mut result = base
        .as_object()
        .cloned()
        .ok_or_else(|| malformed(object, place(), "a list of objects"))?;
    let named = |field: &str| {
        let headers = base.get(field).and_then(Value::as_object);
        headers.is_some_and(|h| h.keys().any(|name| name.eq_ignore_ascii_case(header)))
    };
    if named("headers") || named("withoutHeaders") {
        return Err(RoutingError::CannotPreview {
            object: object.clone(),
            route: carrier.label.clone(),
            why: format!("it matches by the header {header} itself; tell testers by another"),
        });
    }
    let headers = result.entry("headers").or_insert_with(|| json!({}));
    if headers.is_null() {
        *headers = json!({});
    }
    headers
        .as_object_mut()
        .ok_or_else(|| malformed(object, format!("{}.headers", place()), "a map"))?
        .insert(header.to_owned(), condition.clone());
    Ok(result.into())
}
