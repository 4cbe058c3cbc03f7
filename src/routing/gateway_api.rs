//! The Gateway API: the weights of a pair of back ends in rules of an `HTTPRoute`, `GRPCRoute`, `TLSRoute` or `TCPRoute`.
//!
//! As the Gateway API reads them: a back end without a weight has weight 1, not 0; one without a kind is a Service,
//! one without a namespace is in the route's own. Only the pair's two weights are written; the pair keeps its sum, and
//! whatever else the rule has keeps its own.

use super::astray::{Form, Owners, Picked};
use super::backend::{describe, entries, goes_to, identity, place, written};
use super::destination::{label, labels};
use super::error::RoutingError;
use super::object::{ClaimKey, ObjectKind, ObjectRef, Part};
use super::pair::{self, GATEWAY_API};
use super::patch::{Change, Draft, malformed, path, plain};
use super::seen::{Reading, member, text};
use crate::rollout::router_spec::{Backend, GatewayApi, RouteKind};
use crate::rollout::weight::Weight;
use serde_json::Value;

/// The list of a route's rules.
pub(super) const RULES: &str = "rules";

/// How its rules are written.
pub(super) const FORM: Form = Form {
    list: RULES,
    entries: "backendRefs",
    noun: "rule",
    field: GATEWAY_API,
    unsaid: 1,
    identity: |entry| identity(entry).collect(),
};

/// A pair in the rules of one route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) route: &'a GatewayApi,
    pub(super) component: &'a str,
    /// For putting traffic back where the strict reading fails ([`super::astray`]): what anybody claims.
    pub(super) lowering: Option<&'a [ClaimKey]>,
}

/// A rule that carries the pair.
struct Carrier<'j> {
    label: String,
    name: Option<&'j str>,
    index: String,
    alone: bool,
    canary: Arm<'j>,
    control: Arm<'j>,
}

/// One of the pair, where it stands in its rule.
struct Arm<'j> {
    index: usize,
    json: &'j Value,
    weight: i64,
}

impl Carrier<'_> {
    fn sum(&self) -> i64 {
        self.canary.weight + self.control.weight
    }
}

/// The kind of object that a router names.
pub(super) const fn object_kind(kind: RouteKind) -> ObjectKind {
    match kind {
        RouteKind::Http => ObjectKind::HttpRoute,
        RouteKind::Grpc => ObjectKind::GrpcRoute,
        RouteKind::Tls => ObjectKind::TlsRoute,
        RouteKind::Tcp => ObjectKind::TcpRoute,
    }
}

impl<'a> Rules<'a> {
    pub(super) fn names(self) -> Option<&'a [String]> {
        self.route.rules.as_deref().filter(|names| !names.is_empty())
    }

    /// What no other component may write: the rules by name, or whatever carries the pair.
    pub(super) fn claims(self, object: &ObjectRef) -> Vec<ClaimKey> {
        let claim = |rule: &str| ClaimKey {
            object: object.clone(),
            part: Part::Route {
                list: RULES,
                route: rule.to_owned(),
                pair: [&self.route.canary, &self.route.control].map(|arm| place(arm, &object.namespace)),
            },
        };
        match self.names() {
            Some(names) => names.iter().map(|name| claim(name)).collect(),
            None => vec![claim("*")],
        }
    }

    /// What is wrong with the question itself, whatever the object says.
    pub(super) fn check(self, object: &ObjectRef) -> Result<(), RoutingError> {
        let home = &object.namespace;
        let (canary, control) = (place(&self.route.canary, home), place(&self.route.control, home));
        let ports_differ = matches!((canary.2, control.2), (Some(a), Some(b)) if a != b);
        if canary.0 == control.0 && !ports_differ {
            return Err(RoutingError::SameDestination {
                object: object.clone(),
                destination: describe(&self.route.canary),
            });
        }
        Ok(())
    }

    fn carriers<'j>(self, object: &ObjectRef, json: &'j Value) -> Result<Vec<Carrier<'j>>, RoutingError> {
        self.check(object)?;
        let rules: &[Value] = match member(json, "/spec/rules") {
            None => &[],
            Some(Value::Array(rules)) => rules,
            Some(_) => return Err(malformed(object, "spec.rules", "a list")),
        };
        match self.names() {
            Some(names) => {
                let mut names: Vec<&String> = names.iter().collect();
                names.sort();
                names.dedup();
                names
                    .into_iter()
                    .map(|name| self.named(object, rules, name))
                    .collect()
            }
            None => self.unnamed(object, rules).map(|carrier| vec![carrier]),
        }
    }

    fn named<'j>(
        self,
        object: &ObjectRef,
        rules: &'j [Value],
        name: &str,
    ) -> Result<Carrier<'j>, RoutingError> {
        let mut found = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| text(rule, "/name") == Some(name));
        match (found.next(), found.next()) {
            (Some((index, rule)), None) => self.carrier(object, index, rule),
            (Some((first, _)), Some((second, _))) => Err(RoutingError::Ambiguous {
                object: object.clone(),
                what: format!("the rule name {name:?}"),
                found: format!("spec.rules[{first}] and spec.rules[{second}]"),
                remedy: "give them different names",
            }),
            (None, _) => Err(RoutingError::NoSuchRoute {
                object: object.clone(),
                list: RULES,
                wanted: format!("named {name:?}"),
                found: labels(RULES, rules.iter().enumerate()),
            }),
        }
    }

    /// Whether none of the object's rules can lead to the canary, by weight or as a mirror.
    pub(super) fn leads_nowhere(self, object: &ObjectRef, json: &Value) -> bool {
        let Some(spec) = json.get("spec").filter(|spec| spec.is_object()) else {
            return false;
        };
        let rules = match member(spec, "/rules") {
            None => return true,
            Some(rules) => rules.as_array(),
        };
        rules.is_some_and(|rules| rules.iter().all(|rule| !self.may_lead(object, rule)))
    }

    /// Whether a rule can lead to the canary, by weight or as a mirror.
    pub(super) fn may_lead(self, object: &ObjectRef, rule: &Value) -> bool {
        // The same back end on another port is the same canary.
        let canary = Backend {
            port: None,
            ..self.route.canary.clone()
        };
        let filters = |rule: &'_ Value| -> Vec<Value> {
            let filters = rule
                .get("filters")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            filters
                .filter_map(|filter| filter.pointer("/requestMirror/backendRef").cloned())
                .collect()
        };
        let leads = |entry: &Value| goes_to(entry, &canary, &object.namespace);
        let own = entries(rule).iter();
        let inner = own.clone().flat_map(filters);
        own.clone().any(leads) || inner.chain(filters(rule)).any(|entry| leads(&entry))
    }

    /// Where the rules stand that carry the pair; `None` where that cannot be told.
    pub(super) fn places(self, object: &ObjectRef, json: &Value) -> Option<Vec<usize>> {
        let carriers = self.carriers(object, json).ok()?;
        Some(carriers.iter().filter_map(|c| c.index.parse().ok()).collect())
    }

    /// What a lowering writes where the strict reading fails; `None` where that counts.
    pub(super) fn picked<'j>(
        self,
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
        let strays = self.strays(object, json);
        let nowhere = !self.leads_to_control(object, json);
        let lone = (self.lone(object, json), nowhere, describe(&self.route.control));
        Ok(owners.pick(FORM, json, strays, lone))
    }

    fn unnamed<'j>(self, object: &ObjectRef, rules: &'j [Value]) -> Result<Carrier<'j>, RoutingError> {
        let pair = || {
            format!(
                "{} and {}",
                describe(&self.route.canary),
                describe(&self.route.control)
            )
        };
        let having = |wanted: usize| {
            rules.iter().enumerate().filter(move |(_, rule)| {
                let arms = [&self.route.canary, &self.route.control];
                arms.into_iter().filter(|arm| carries(object, rule, arm)).count() == wanted
            })
        };
        let both: Vec<(usize, &Value)> = having(2).collect();
        match both.as_slice() {
            [(index, rule)] => self.carrier(object, *index, rule),
            // A rule with one of the two is the likeliest to be meant, and its error names the other.
            [] => match having(1).next().or_else(|| {
                let arms = [&self.route.canary, &self.route.control];
                let spelt = |rule: &Value| arms.iter().all(|arm| self.spelling(object, rule, arm).is_some());
                rules.iter().enumerate().find(|(_, rule)| spelt(rule))
            }) {
                Some((index, rule)) => self.carrier(object, index, rule),
                None => Err(RoutingError::NoSuchRoute {
                    object: object.clone(),
                    list: RULES,
                    wanted: format!("to {}", pair()),
                    found: labels(RULES, rules.iter().enumerate()),
                }),
            },
            several => Err(RoutingError::Ambiguous {
                object: object.clone(),
                what: format!("the pair {}", pair()),
                found: labels(RULES, several.iter().copied()),
                remedy: "name the rules in `rules`",
            }),
        }
    }

    fn carrier<'j>(
        self,
        object: &ObjectRef,
        index: usize,
        rule: &'j Value,
    ) -> Result<Carrier<'j>, RoutingError> {
        let label = label(RULES, index, rule);
        let backends = entries(rule);
        let arm = |arm: &'static str, wanted: &Backend| {
            let mut found = backends
                .iter()
                .enumerate()
                .filter(|(_, entry)| goes_to(entry, wanted, &object.namespace));
            match (found.next(), found.next()) {
                (Some((at, json)), None) => Ok(Arm {
                    index: at,
                    json,
                    weight: weight(
                        object,
                        &format!("spec.rules[{index}].backendRefs[{at}].weight"),
                        json,
                    )?,
                }),
                (None, _) => Err(match self.spelling(object, rule, wanted) {
                    Some(found) => RoutingError::SpeltOtherwise {
                        object: object.clone(),
                        route: label.clone(),
                        arm,
                        destination: format!("{} only as {found}", describe(wanted)),
                    },
                    None => RoutingError::MissingDestination {
                        object: object.clone(),
                        route: format!("{label} (to {})", written(backends)),
                        arm,
                        destination: describe(wanted),
                    },
                }),
                (Some((first, _)), Some((second, _))) => Err(RoutingError::Ambiguous {
                    object: object.clone(),
                    what: format!("the {arm} back end {}", describe(wanted)),
                    found: format!("backendRefs {first} and {second} of rule {label}"),
                    remedy: "merge them, or tell them apart by port",
                }),
            }
        };
        let canary = arm("canary", &self.route.canary)?;
        let control = arm("control", &self.route.control)?;
        if canary.weight + control.weight > GATEWAY_API.max {
            return Err(RoutingError::BadValue {
                object: object.clone(),
                path: format!("the pair's sum in rule {label}"),
                found: (canary.weight + control.weight).to_string(),
                wanted: "a sum that one weight can hold, at most 1000000",
            });
        }
        Ok(Carrier {
            name: text(rule, "/name"),
            index: index.to_string(),
            label,
            alone: backends.len() == 2,
            canary,
            control,
        })
    }

    /// The share of every rule.
    pub(super) fn read(self, object: &ObjectRef, json: &Value) -> Result<Vec<Reading>, RoutingError> {
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

    /// The finest share that every rule can express.
    pub(super) fn finest(self, object: &ObjectRef, json: &Value) -> Result<Weight, RoutingError> {
        if let Some(picked) = self.picked(object, json)?.filter(Picked::can_write) {
            return Ok(picked.finest());
        }
        let mut finest: Option<Weight> = None;
        for carrier in self.carriers(object, json)? {
            if carrier.sum() == 0 {
                return Err(empty(object, &carrier));
            }
            let own = GATEWAY_API.finest(carrier.sum(), carrier.alone);
            finest = Some(finest.map_or(own, |other| pair::coarser(own, other)));
        }
        Ok(finest.unwrap_or(Weight::FULL))
    }

    /// Drafts the weights of every rule.
    pub(super) fn draft(
        self,
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
            let (canary, control) = GATEWAY_API
                .split(carrier.sum(), carrier.alone, weight)
                .ok_or_else(|| RoutingError::TooFine {
                    object: object.clone(),
                    place: format!("rule {}", carrier.label),
                    weight,
                    finest: GATEWAY_API.finest(carrier.sum(), carrier.alone),
                })?;
            if let Some(name) = carrier.name {
                draft.test(path(["spec", RULES, &carrier.index, "name"]), name.into());
            }
            draft_arm(&carrier, &carrier.canary, canary, "canary", draft);
            draft_arm(&carrier, &carrier.control, control, "control", draft);
        }
        Ok(())
    }
}

fn carries(object: &ObjectRef, rule: &Value, arm: &Backend) -> bool {
    entries(rule).iter().any(|e| goes_to(e, arm, &object.namespace))
}

fn draft_arm(carrier: &Carrier<'_>, arm: &Arm<'_>, new: i64, what: &str, draft: &mut Draft<'_>) {
    let entry = arm.index.to_string();
    let at = |member| path(["spec", RULES, &carrier.index, "backendRefs", &entry, member]);
    for (member, value) in identity(arm.json) {
        draft.test(at(member), value.clone());
    }
    let old = arm.json.get("weight").filter(|old| !old.is_null());
    if let Some(old) = old {
        draft.test(at("weight"), old.clone());
    }
    // A weight that is left out already says 1.
    if arm.weight != new {
        draft.set(
            at("weight"),
            new.into(),
            Change {
                path: format!(
                    "spec.rules[{}].backendRefs[{entry}].weight (rule {}, {what})",
                    carrier.index, carrier.label
                ),
                from: old.map(plain),
                to: Some(new.to_string()),
            },
        );
    }
}

/// Weights of another schema than the CRD's are possible where an old object was never validated again.
fn weight(object: &ObjectRef, path: &str, entry: &Value) -> Result<i64, RoutingError> {
    match entry.get("weight") {
        None | Some(Value::Null) => Ok(1),
        Some(value) => value
            .as_i64()
            .filter(|weight| (0..=GATEWAY_API.max).contains(weight))
            .ok_or_else(|| RoutingError::BadValue {
                object: object.clone(),
                path: path.to_owned(),
                found: plain(value),
                wanted: "a whole number from 0 to 1000000",
            }),
    }
}

fn empty(object: &ObjectRef, carrier: &Carrier<'_>) -> RoutingError {
    RoutingError::EmptyPair {
        object: object.clone(),
        route: carrier.label.clone(),
    }
}
