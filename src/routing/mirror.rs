//! Istio: a mirror of ours on the routes of a pair. It is a field of the route itself, so an annotation remembers what of
//! it is ours; a user's mirror is never replaced.

use super::error::RoutingError;
use super::istio::{Carrier, Routes};
use super::object::ObjectRef;
use super::patch::{Change, Draft, path};
use super::preview::{http, is_own, memory};
use super::seen::text;
use crate::rollout::weight::Weight;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A mirror of ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mirror {
    /// The routes that have it; an empty name is the one without.
    pub(super) routes: Vec<String>,
    /// Where it goes.
    pub(super) to: Value,
    /// How much of it.
    pub(super) share: Weight,
}

impl Mirror {
    /// Whether a route has this mirror, and we put it there.
    pub(super) fn is_on(&self, route: &Value) -> bool {
        self.is_alike(route) && self.names(route)
    }

    /// Whether a route has exactly this mirror. Numbers are compared as numbers: an API server may write 10 for 10.0.
    fn is_alike(&self, route: &Value) -> bool {
        let share = route.pointer("/mirrorPercentage/value").and_then(Value::as_f64);
        let bare = route
            .get("mirrorPercentage")
            .and_then(Value::as_object)
            .is_some_and(|p| p.len() == 1);
        route.get("mirror") == Some(&self.to)
            && bare
            && share.is_some_and(|share| (share - self.share.percent()).abs() < 1e-9)
    }

    pub(super) fn names(&self, route: &Value) -> bool {
        let name = text(route, "/name").unwrap_or_default();
        self.routes.iter().any(|known| known == name)
    }

    /// Drafts it on a route, which then stands `at` this place.
    pub(super) fn put(&self, carrier: &Carrier<'_>, at: &str, draft: &mut Draft<'_>) {
        draft.scaffold(path(["spec", "http", at, "mirror"]), self.to.clone());
        let share = self.share;
        // Whole numbers are written as such.
        let value = share
            .whole_percent()
            .map_or_else(|| json!(share.percent()), |whole| json!(whole));
        draft.set(
            path(["spec", "http", at, "mirrorPercentage"]),
            json!({ "value": value }),
            Change {
                path: format!("spec.http[{}].mirror (route {})", carrier.index, carrier.label),
                from: None,
                to: Some(format!("{share} copied to the canary")),
            },
        );
    }

    /// Drafts that it is taken off a route, which stood at the first place and stands at the second when that is done.
    pub(super) fn take_off(&self, (at, now): (usize, usize), draft: &mut Draft<'_>) {
        let now = now.to_string();
        draft.remove(
            path(["spec", "http", &now, "mirrorPercentage"]),
            Change {
                path: format!("spec.http[{at}].mirrorPercentage"),
                from: Some(self.share.to_string()),
                to: None,
            },
        );
        draft.remove(
            path(["spec", "http", &now, "mirror"]),
            Change {
                path: format!("spec.http[{at}].mirror"),
                from: Some(self.to.to_string()),
                to: None,
            },
        );
    }
}

impl Routes<'_> {
    /// Our mirror, as it is remembered. One of whose routes is gone may have been renamed, as weights follow a renamed
    /// route: then it is on each route with our pair that has exactly this mirror, too; or, where none with the
    /// pair has it, on those that lead to one of the pair: the other may have been taken out as well.
    pub(super) fn mirror(&self, json: &Value) -> Option<Mirror> {
        let mut mirror = memory(self.component, json)?.mirror?;
        let names = |known: &String| {
            http(json)
                .iter()
                .any(|route| text(route, "/name").unwrap_or_default() == known)
        };
        if !mirror.routes.iter().all(names) {
            let strays = self.carrying(json);
            let renamed = strays.iter().filter(|stray| {
                let route = http(json).get(stray.at);
                route.is_some_and(|route| mirror.is_alike(route))
            });
            let mut renamed: Vec<String> = renamed.map(|s| s.name.unwrap_or_default().to_owned()).collect();
            if renamed.is_empty() {
                let single = http(json).iter().filter(|route| {
                    !is_own(self.component, route) && self.goes_to_one_arm(route) && mirror.is_alike(route)
                });
                renamed.extend(single.map(|route| text(route, "/name").unwrap_or_default().to_owned()));
            }
            mirror.routes.extend(renamed);
            mirror.routes.dedup();
        }
        Some(mirror)
    }
}

/// A mirror that is the user's is never replaced.
pub(super) fn free_of_mirrors(
    object: &ObjectRef,
    carrier: &Carrier<'_>,
    ours: bool,
) -> Result<(), RoutingError> {
    const FIELDS: [&str; 5] = [
        "mirror",
        "mirrors",
        "mirrorPercentage",
        "mirrorPercent",
        "mirror_percent",
    ];
    let there = |field: &&&str| carrier.json.get(**field).is_some_and(|v| !v.is_null());
    match FIELDS.iter().find(there) {
        Some(field) if !ours => Err(RoutingError::CannotPreview {
            object: object.clone(),
            route: carrier.label.clone(),
            why: format!(
                "it has a `{field}` of its own; take `mirror` out of the router, or that out of the route"
            ),
        }),
        Some(_) | None => Ok(()),
    }
}
