//! ingress-nginx: a canary Ingress of our own for each upstream that the chosen Ingresses use.
//!
//! A canary Ingress makes no server and no location. nginx merges its back end into the *upstream* (namespace,
//! Service, port) of the location that its rule matches, as an alternative that every host and path of that upstream
//! then has. So the upstream is the unit, its closure is what must have routes in Istio, and what is written can be
//! ours alone. What nginx does was read from its sources; no ingress-nginx runs in the tests.

use crate::rollout::weight::Weight;

mod annotations;
mod canary;
mod classes;
mod controller;
mod eligibility;
mod finding;
mod listener;
mod locations;
mod maker;
mod routes;
mod rules;
mod scheme;
mod select;
mod selection;
mod snippet;

pub(super) use canary::Canary;
pub use classes::Classes;
pub use controller::controller_findings;
pub use finding::{Code, Finding, Severity};
pub(super) use locations::is_true;
pub(super) use maker::Maker;
pub(super) use select::{claims_of, needs, select};

/// What nginx's annotations begin with unless the controller was told otherwise.
pub(in crate::routing) const PREFIX: &str = "nginx.ingress.kubernetes.io";
/// The label that says whose object it is.
pub(in crate::routing) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value on ours.
pub(in crate::routing) const MANAGER: &str = "gradual-rollout";
/// The label with the component.
pub(in crate::routing) const COMPONENT: &str = "rollout.sealos.io/component";
/// The annotation with the resource, as `namespace/name`.
pub(in crate::routing) const ROLLOUT: &str = "rollout.sealos.io/rollout";
/// What the names of canaries and aliases begin with.
pub(in crate::routing) const CANARY: &str = "gr-";
/// nginx's weights are held to this total: tenths of a percent.
pub(super) const TOTAL: i64 = 1000;
/// The finest weight above 0.
pub(super) const FINEST: Weight = match Weight::from_permille(1) {
    Some(weight) => weight,
    None => Weight::FULL,
};
