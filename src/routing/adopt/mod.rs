//! Objects of a cluster to components: what a first resource is written from.
//!
//! Pure, like all of this room. [`adopt`] takes what was listed and says of each object which components it becomes,
//! or why it becomes none; nothing is dropped without a word. [`arrange`] puts components into resources, and
//! [`Resource::yaml`] writes one as text with comments. What cannot be known from the objects is guessed, and every
//! guess is a comment beside what it decided.

mod arms;
mod choose;
mod http_route;
mod ingress;
mod pairs;
mod resource;
mod taken;
mod text;
mod virtual_service;

pub use choose::{CanaryName, NotACanaryName};
pub use resource::{Arranged, Quiet, Resource, arrange};
pub use taken::Taken;

use super::object::{ObjectKind, ObjectRef};
use super::seen::text as member;
use super::stock::Stock;
use crate::rollout::router_spec::SplitGateway;
use crate::rollout::spec::Component;
use crate::rollout::weight::Weight;
use serde_json::Value;
use std::sync::Arc;

/// The default plan: weights in percent, and how many days each is held.
pub(super) const STEPS: [(u16, u16); 5] = [(5, 1), (25, 1), (50, 2), (75, 1), (100, 2)];

/// What components are made from.
#[derive(Clone, Debug)]
pub enum From {
    /// Routes of VirtualServices.
    VirtualServices,
    /// Rules of `HTTPRoute`s.
    HttpRoutes,
    /// Upstreams of Ingresses, whose share goes to this gateway.
    Ingresses(SplitGateway),
}

impl From {
    /// The kind of the objects.
    pub const fn kind(&self) -> ObjectKind {
        match self {
            Self::VirtualServices => ObjectKind::VirtualService,
            Self::HttpRoutes => ObjectKind::HttpRoute,
            Self::Ingresses(_) => ObjectKind::Ingress,
        }
    }
}

/// What is asked.
#[derive(Debug)]
pub struct Asked<'a> {
    /// What from.
    pub from: &'a From,
    /// The objects that are meant; any order.
    pub objects: &'a [Arc<Value>],
    /// What else there is in their namespaces and the gateway's: for Ingresses.
    pub stock: &'a Stock,
    /// Which destinations are canaries; none: it is guessed.
    pub canaries: &'a [CanaryName],
}

/// A component that can be written, and what to say about it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The namespace of its objects, which is the resource's.
    pub namespace: String,
    /// The component.
    pub component: Component,
    /// The objects that it comes from.
    pub objects: Vec<ObjectRef>,
    /// What a person has to know or check, a line each.
    pub notes: Vec<String>,
}

/// An object that became no component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The object.
    pub object: ObjectRef,
    /// Why, and what to do where something can be done.
    pub reason: String,
}

/// What became of the objects: each is in a draft or left out.
#[derive(Clone, Debug, Default)]
pub struct Adopted {
    /// Components, by namespace and name of their first object.
    pub drafts: Vec<Draft>,
    /// The others, by object.
    pub left_out: Vec<LeftOut>,
}

/// Makes components of what is asked. `taken` knows what the cluster's own resources write and are called; what is
/// made here is added to it.
pub fn adopt(asked: &Asked<'_>, taken: &mut Taken) -> Adopted {
    let mut objects: Vec<Arc<Value>> = asked.objects.to_vec();
    objects.sort_by(|a, b| names(a).cmp(&names(b)));
    objects.dedup_by(|a, b| names(a) == names(b));
    let mut adopted = Adopted::default();
    match asked.from {
        From::VirtualServices => {
            for json in &objects {
                virtual_service::adopt(json, asked.canaries, taken, &mut adopted);
            }
        }
        From::HttpRoutes => {
            for json in &objects {
                http_route::adopt(json, asked.canaries, taken, &mut adopted);
            }
        }
        From::Ingresses(gateway) => ingress::adopt(&objects, gateway, asked.stock, taken, &mut adopted),
    }
    adopted.left_out.sort();
    adopted
}

/// Namespace and name.
fn names(json: &Value) -> (&str, &str) {
    let of = |pointer| member(json, pointer).unwrap_or_default();
    (of("/metadata/namespace"), of("/metadata/name"))
}

fn object_of(kind: ObjectKind, json: &Value) -> ObjectRef {
    let (namespace, name) = names(json);
    ObjectRef {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// The weights of the default plan.
fn weights() -> Vec<Weight> {
    let of = |(percent, _)| Weight::from_percent(percent);
    STEPS.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests;
