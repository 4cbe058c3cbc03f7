//! Istio: the weights of a pair of destinations in routes of a VirtualService.
//!
//! As Istio reads them: a destination without a weight beside others gets nothing. Only the pair's two weights are
//! written; the pair keeps its sum, and whatever else the route has keeps its own.

use super::astray::{Form, Owners, Picked};
use super::destination::{describe, entries, goes_to, label, labels, may_reach, written};
use super::error::RoutingError;
use super::object::{ClaimKey, ObjectRef, Part, place};
use super::pair;
use super::patch::{Change, Draft, malformed, path, plain};
use super::preview::is_own;
use super::seen::{Reading, member, text};
use crate::rollout::router_spec::{Destination, HttpKind, Istio, VirtualServiceRoutes};
use crate::rollout::weight::Weight;
use serde_json::Value;

/// A pair in the routes of one VirtualService.
#[derive(Clone, Copy, Debug)]
pub(super) struct Routes<'a> {
    pub(super) pair: &'a Istio,
    pub(super) service: &'a VirtualServiceRoutes,
    pub(super) component: &'a str,
    /// For putting traffic back where the strict reading fails ([`super::astray`]): what anybody claims.
    pub(super) lowering: Option<&'a [ClaimKey]>,
}

/// A route that carries the pair.
pub(super) struct Carrier<'j> {
    pub(super) label: String,
    pub(super) name: Option<&'j str>,
    pub(super) at: usize,
    pub(super) index: String,
    pub(super) json: &'j Value,
    destinations: &'j [Value],
    pub(super) canary: Arm<'j>,
    control: Arm<'j>,
}

/// One of the pair, where it stands in its route.
pub(super) struct Arm<'j> {
    index: usize,
    pub(super) json: &'j Value,
    weight: i64,
}

impl Carrier<'_> {
    fn sum(&self) -> i64 {
        self.canary.weight + self.control.weight
    }

    fn alone(&self) -> bool {
        self.destinations.len() == 2
    }
}

/// The name of a list of routes in the spec.
pub(super) const fn list_name(kind: HttpKind) -> &'static str {
    match kind {
        HttpKind::Http => "http",
        HttpKind::Tls => "tls",
        HttpKind::Tcp => "tcp",
    }
}

impl<'a> Routes<'a> {
    pub(super) fn list(&self) -> &'static str {
        list_name(self.service.kind.unwrap_or_default())
    }

    pub(super) fn names(&self) -> Option<&'a [String]> {
        self.service.routes.as_deref().filter(|names| !names.is_empty())
    }

    /// What no other component may write: the routes by name, or whatever carries the pair.
    pub(super) fn claims(&self, object: &ObjectRef) -> Vec<ClaimKey> {
        let claim = |route: &str| ClaimKey {
            object: object.clone(),
            part: Part::Route {
                list: self.list(),
                route: route.to_owned(),
                pair: [place(&self.pair.canary), place(&self.pair.control)],
            },
        };
        match self.names() {
            Some(names) => names.iter().map(|name| claim(name)).collect(),
            None => vec![claim("*")],
        }
    }

    /// What is wrong with the question itself, whatever the object says.
    pub(super) fn check(&self, object: &ObjectRef) -> Result<(), RoutingError> {
        let (canary, control) = (&self.pair.canary, &self.pair.control);
        let ports_differ = matches!((canary.port, control.port), (Some(a), Some(b)) if a != b);
        if canary.host == control.host && canary.subset == control.subset && !ports_differ {
            return Err(RoutingError::SameDestination {
                object: object.clone(),
                destination: describe(canary),
            });
        }
        if self.names().is_some() && self.list() != "http" {
            return Err(RoutingError::NamesNotAllowed {
                object: object.clone(),
                list: self.list(),
            });
        }
        Ok(())
    }

    /// The routes that carry the pair: those that are named, in the order of their names, or the one that does.
    pub(super) fn carriers<'j>(
        &self,
        object: &ObjectRef,
        json: &'j Value,
    ) -> Result<Vec<Carrier<'j>>, RoutingError> {
        self.check(object)?;
        let list = self.list();
        let routes: &[Value] = match member(json, &format!("/spec/{list}")) {
            None => &[],
            Some(Value::Array(routes)) => routes,
            Some(_) => return Err(malformed(object, format!("spec.{list}"), "a list")),
        };
        match self.names() {
            Some(names) => {
                let mut names: Vec<&String> = names.iter().collect();
                names.sort();
                names.dedup();
                names
                    .into_iter()
                    .map(|name| self.named(object, routes, name))
                    .collect()
            }
            None => self.unnamed(object, routes).map(|carrier| vec![carrier]),
        }
    }

    fn named<'j>(
        &self,
        object: &ObjectRef,
        routes: &'j [Value],
        name: &str,
    ) -> Result<Carrier<'j>, RoutingError> {
        let mut found = routes
            .iter()
            .enumerate()
            .filter(|(_, route)| text(route, "/name") == Some(name));
        match (found.next(), found.next()) {
            (Some((index, route)), None) if route.get("delegate").is_some_and(Value::is_object) => {
                Err(delegates(object, [(index, route)]))
            }
            (Some((index, route)), None) => self.carrier(object, index, route),
            (Some((first, _)), Some((second, _))) => Err(RoutingError::Ambiguous {
                object: object.clone(),
                what: format!("the route name {name:?}"),
                found: format!("spec.http[{first}] and spec.http[{second}]"),
                remedy: "give them different names",
            }),
            (None, _) => Err(RoutingError::NoSuchRoute {
                object: object.clone(),
                list: self.list(),
                wanted: format!("named {name:?}"),
                found: labels(self.list(), routes.iter().enumerate()),
            }),
        }
    }

    fn carries(&self, route: &Value, arm: &Destination) -> bool {
        !is_own(self.component, route) && entries(route).iter().any(|e| goes_to(e, arm))
    }

    /// Whether none of the object's routes, of whatever list, can lead to the canary: by weight, as a mirror, or by
    /// another object that it leads on to.
    pub(super) fn leads_nowhere(&self, json: &Value) -> bool {
        let Some(spec) = json.get("spec").filter(|spec| spec.is_object()) else {
            return false;
        };
        ["http", "tls", "tcp"].into_iter().all(|list| {
            let routes = match member(spec, &format!("/{list}")) {
                None => return true,
                Some(routes) => routes.as_array(),
            };
            routes.is_some_and(|routes| routes.iter().all(|route| !self.may_lead(route)))
        })
    }

    pub(super) fn may_lead(&self, route: &Value) -> bool {
        let mirrors = route
            .get("mirrors")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mirrors = mirrors.filter_map(|mirror| mirror.get("destination"));
        let mirrors = mirrors.chain(route.get("mirror"));
        let mut all = entries(route)
            .iter()
            .filter_map(|entry| entry.get("destination"))
            .chain(mirrors);
        let canary = &self.pair.canary;
        route.get("delegate").is_some_and(Value::is_object)
            || all.any(|destination| may_reach(destination, canary))
    }

    pub(super) fn form(&self) -> Form {
        Form {
            list: self.list(),
            entries: "route",
            noun: "route",
            field: pair::ISTIO,
            unsaid: 0,
            identity: |entry| {
                let destination = entry.get("destination");
                destination.map(|d| ("destination", d)).into_iter().collect()
            },
        }
    }

    /// What a lowering writes where the strict reading fails; `None` where that counts.
    pub(super) fn picked<'j>(
        &self,
        object: &ObjectRef,
        json: &'j Value,
    ) -> Result<Option<Picked<'j>>, RoutingError> {
        let Some(claims) = self.lowering else {
            return Ok(None);
        };
        self.check(object)?;
        let owners = Owners {
            object,
            component: self.component,
            names: self.names(),
            claims,
        };
        let nowhere = !self.leads_to_control(json);
        let lone = (self.lone(object, json), nowhere, describe(&self.pair.control));
        Ok(owners.pick(self.form(), json, self.strays(object, json), lone))
    }

    fn unnamed<'j>(&self, object: &ObjectRef, routes: &'j [Value]) -> Result<Carrier<'j>, RoutingError> {
        let carries = |route: &Value, arm: &Destination| self.carries(route, arm);
        let both: Vec<(usize, &Value)> = routes
            .iter()
            .enumerate()
            .filter(|(_, r)| carries(r, &self.pair.canary) && carries(r, &self.pair.control))
            .collect();
        match both.as_slice() {
            [(index, route)] => self.carrier(object, *index, route),
            [] => {
                // A route with one of the two is the likeliest to be meant, and its error names the other.
                let mut all = routes.iter().enumerate();
                let half = all
                    .clone()
                    .find(|(_, r)| carries(r, &self.pair.canary) || carries(r, &self.pair.control))
                    .or_else(|| all.find(|(_, r)| self.is_spelt_otherwise(object, r)));
                let mut away = routes
                    .iter()
                    .enumerate()
                    .filter(|(_, r)| r.get("delegate").is_some_and(Value::is_object))
                    .peekable();
                match half {
                    Some((index, route)) => self.carrier(object, index, route),
                    None if away.peek().is_some() => Err(delegates(object, away)),
                    None => Err(RoutingError::NoSuchRoute {
                        object: object.clone(),
                        list: self.list(),
                        wanted: format!(
                            "to {} and {}",
                            describe(&self.pair.canary),
                            describe(&self.pair.control)
                        ),
                        found: labels(self.list(), routes.iter().enumerate()),
                    }),
                }
            }
            several => Err(RoutingError::Ambiguous {
                object: object.clone(),
                what: format!(
                    "the pair {} and {}",
                    describe(&self.pair.canary),
                    describe(&self.pair.control)
                ),
                found: labels(self.list(), several.iter().copied()),
                remedy: "name the routes in `routes`; in tls and tcp, whose routes have no names, keep the pair in one route",
            }),
        }
    }

    fn carrier<'j>(
        &self,
        object: &ObjectRef,
        index: usize,
        route: &'j Value,
    ) -> Result<Carrier<'j>, RoutingError> {
        let list = self.list();
        let label = label(list, index, route);
        let destinations = entries(route);
        let arm = |arm: &'static str, wanted: &Destination| {
            let mut found = destinations
                .iter()
                .enumerate()
                .filter(|(_, entry)| goes_to(entry, wanted));
            match (found.next(), found.next()) {
                (Some((at, json)), None) => Ok(Arm {
                    index: at,
                    json,
                    weight: weight(object, &format!("spec.{list}[{index}].route[{at}].weight"), json)?,
                }),
                (None, _) => Err(match self.spelling(object, route, wanted) {
                    Some(found) => RoutingError::SpeltOtherwise {
                        object: object.clone(),
                        route: label.clone(),
                        arm,
                        destination: format!("{} only as {found}", describe(wanted)),
                    },
                    None => RoutingError::MissingDestination {
                        object: object.clone(),
                        route: format!("{label} (to {})", written(destinations)),
                        arm,
                        destination: describe(wanted),
                    },
                }),
                (Some((first, _)), Some((second, _))) => Err(RoutingError::Ambiguous {
                    object: object.clone(),
                    what: format!("the {arm} destination {}", describe(wanted)),
                    found: format!("destinations {first} and {second} of route {label}"),
                    remedy: "merge them, or tell them apart by port",
                }),
            }
        };
        let canary = arm("canary", &self.pair.canary)?;
        let control = arm("control", &self.pair.control)?;
        if let Some(beside) = self.spelt_beside(object, route) {
            return Err(RoutingError::Ambiguous {
                object: object.clone(),
                what: format!(
                    "the canary destination {}, however it is spelt,",
                    describe(&self.pair.canary)
                ),
                found: format!("destinations {} and {beside} of route {label}", canary.index),
                remedy: "merge them, or tell them apart by port",
            });
        }
        if canary.weight + control.weight > pair::MAX {
            return Err(RoutingError::BadValue {
                object: object.clone(),
                path: format!("the pair's sum in route {label}"),
                found: (canary.weight + control.weight).to_string(),
                wanted: "a sum that one weight can hold",
            });
        }
        Ok(Carrier {
            name: text(route, "/name"),
            at: index,
            json: route,
            index: index.to_string(),
            label,
            destinations,
            canary,
            control,
        })
    }

    /// The share of every route.
    pub(super) fn read(&self, object: &ObjectRef, json: &Value) -> Result<Vec<Reading>, RoutingError> {
        if let Some(picked) = self.picked(object, json)? {
            return Ok(picked.read());
        }
        self.carriers(object, json)?
            .into_iter()
            .map(|carrier| {
                let weight = pair::share(carrier.canary.weight, carrier.control.weight)
                    .ok_or_else(|| empty(object, &carrier))?;
                Ok(Reading {
                    place: carrier.label,
                    weight,
                })
            })
            .collect()
    }

    /// The finest share that every route can express.
    pub(super) fn finest(&self, object: &ObjectRef, json: &Value) -> Result<Weight, RoutingError> {
        if let Some(picked) = self.picked(object, json)?.filter(Picked::can_write) {
            return Ok(picked.finest());
        }
        self.carriers(object, json)?
            .iter()
            .try_fold(None, |coarsest: Option<Weight>, carrier| {
                if carrier.sum() == 0 {
                    return Err(empty(object, carrier));
                }
                let own = pair::finest(carrier.sum(), carrier.alone());
                Ok(Some(coarsest.map_or(own, |other| pair::coarser(own, other))))
            })
            .map(|finest| finest.unwrap_or(Weight::FULL))
    }

    /// Drafts the weights of every route.
    pub(super) fn draft(
        &self,
        object: &ObjectRef,
        json: &Value,
        weight: Weight,
        draft: &mut Draft<'_>,
    ) -> Result<(), RoutingError> {
        if let Some(picked) = self.picked(object, json)?.filter(Picked::can_write) {
            picked.draft(weight, draft);
            return Ok(());
        }
        draft.versioned();
        for carrier in self.carriers(object, json)? {
            if carrier.sum() == 0 {
                return Err(empty(object, &carrier));
            }
            let (canary, control) =
                pair::split(carrier.sum(), carrier.alone(), weight).ok_or_else(|| RoutingError::TooFine {
                    object: object.clone(),
                    place: format!("route {}", carrier.label),
                    weight,
                    finest: pair::finest(carrier.sum(), carrier.alone()),
                })?;
            if let Some(name) = carrier.name {
                draft.test(path(["spec", self.list(), &carrier.index, "name"]), name.into());
            }
            for (arm, new, what) in [
                (&carrier.canary, canary, "canary"),
                (&carrier.control, control, "control"),
            ] {
                self.draft_arm(&carrier, arm, new, what, draft);
            }
        }
        Ok(())
    }

    /// Where the routes stand that carry the pair; `None` where that cannot be told.
    pub(super) fn places(&self, object: &ObjectRef, json: &Value) -> Option<Vec<usize>> {
        let carriers = self.carriers(object, json).ok()?;
        Some(carriers.iter().map(|carrier| carrier.at).collect())
    }

    /// Whether a route goes to one of the pair and not to the other.
    pub(super) fn goes_to_one_arm(&self, route: &Value) -> bool {
        let to = |arm: &Destination| entries(route).iter().any(|e| goes_to(e, arm));
        to(&self.pair.canary) != to(&self.pair.control)
    }

    /// Whether a route goes to the canary and nowhere else.
    pub(super) fn goes_to_canary_alone(&self, route: &Value) -> bool {
        let entries = entries(route);
        !entries.is_empty() && entries.iter().all(|e| goes_to(e, &self.pair.canary))
    }

    /// Whether a route goes to control and nowhere else.
    pub(super) fn goes_to_control_alone(&self, route: &Value) -> bool {
        let entries = entries(route);
        !entries.is_empty() && entries.iter().all(|e| goes_to(e, &self.pair.control))
    }

    fn draft_arm(&self, carrier: &Carrier<'_>, arm: &Arm<'_>, new: i64, what: &str, draft: &mut Draft<'_>) {
        let entry = arm.index.to_string();
        let at = |member| path(["spec", self.list(), &carrier.index, "route", &entry, member]);
        if let Some(destination) = arm.json.get("destination") {
            draft.test(at("destination"), destination.clone());
        }
        let old = arm.json.get("weight").filter(|old| !old.is_null());
        if let Some(old) = old {
            draft.test(at("weight"), old.clone());
        }
        // A weight that is left out already says 0.
        if arm.weight != new {
            let list = self.list();
            draft.set(
                at("weight"),
                new.into(),
                Change {
                    path: format!(
                        "spec.{list}[{}].route[{entry}].weight (route {}, {what})",
                        carrier.index, carrier.label
                    ),
                    from: old.map(plain),
                    to: Some(new.to_string()),
                },
            );
        }
    }
}

/// The CRD takes any 32-bit integer, negative ones too.
fn weight(object: &ObjectRef, path: &str, entry: &Value) -> Result<i64, RoutingError> {
    match entry.get("weight") {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value
            .as_i64()
            .filter(|weight| (0..=pair::MAX).contains(weight))
            .ok_or_else(|| RoutingError::BadValue {
                object: object.clone(),
                path: path.to_owned(),
                found: plain(value),
                wanted: "a whole number of at least 0",
            }),
    }
}

/// Routes that only hand on to other `VirtualService`s: the pair is written there.
fn delegates<'j>(object: &ObjectRef, routes: impl IntoIterator<Item = (usize, &'j Value)>) -> RoutingError {
    let (mut labelled, mut to) = (Vec::new(), Vec::new());
    for (index, route) in routes {
        labelled.push(label("http", index, route));
        let namespace = text(route, "/delegate/namespace").unwrap_or(&object.namespace);
        let delegate = format!("{namespace}/{}", text(route, "/delegate/name").unwrap_or("?"));
        if !to.contains(&delegate) {
            to.push(delegate);
        }
    }
    RoutingError::Delegates {
        object: object.clone(),
        route: labelled.join(", "),
        delegate: to.join(", "),
    }
}

fn empty(object: &ObjectRef, carrier: &Carrier<'_>) -> RoutingError {
    RoutingError::EmptyPair {
        object: object.clone(),
        route: carrier.label.clone(),
    }
}
