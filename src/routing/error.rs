//! Why an object's weights cannot be read or written.

use super::object::ObjectRef;
use crate::rollout::weight::Weight;

/// Why an object's weights cannot be read or written. Nothing was written; every message names the object and the
/// remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoutingError {
    /// The JSON is another object than the one asked for.
    #[error("{object}: was given {found} instead; read the object again")]
    WrongObject {
        /// The one asked for.
        object: ObjectRef,
        /// What the JSON says it is.
        found: String,
    },
    /// A field that every object of this kind has is missing or has another type.
    #[error("{object}: {path} is not {wanted}; correct the object")]
    Malformed {
        /// The object.
        object: ObjectRef,
        /// The field.
        path: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A value that says the weight is none of those it may be.
    #[error("{object}: {path} is {found}, not {wanted}; correct it there")]
    BadValue {
        /// The object.
        object: ObjectRef,
        /// The field.
        path: String,
        /// What stands there.
        found: String,
        /// What may stand there.
        wanted: &'static str,
    },
    /// Routes were named in a list whose routes have no names.
    #[error("{object}: routes under spec.{list} have no names; leave `routes` out")]
    NamesNotAllowed {
        /// The object.
        object: ObjectRef,
        /// The list.
        list: &'static str,
    },
    /// No route has the name, or none carries the pair.
    #[error("{object}: spec.{list} has no route {wanted}; it has {found}; routes are never created here")]
    NoSuchRoute {
        /// The object.
        object: ObjectRef,
        /// The list.
        list: &'static str,
        /// What was looked for.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// More than one thing fits, so none is touched.
    #[error("{object}: {what} fits {found}; {remedy}")]
    Ambiguous {
        /// The object.
        object: ObjectRef,
        /// What was looked for.
        what: String,
        /// What fits.
        found: String,
        /// How to say which.
        remedy: &'static str,
    },
    /// A route has only one of the two destinations.
    #[error(
        "{object}: route {route} lacks the {arm} destination {destination}; {}, destinations are never created here",
        added(arm)
    )]
    MissingDestination {
        /// The object.
        object: ObjectRef,
        /// The route and the destinations it has.
        route: String,
        /// `canary` or `control`.
        arm: &'static str,
        /// The destination that is missing.
        destination: String,
    },
    /// A route has a destination, and not as the resource spells it.
    #[error(
        "{object}: route {route} has the {arm} destination {destination}: write it there as the resource does; traffic goes back all the same"
    )]
    SpeltOtherwise {
        /// The object.
        object: ObjectRef,
        /// The route.
        route: String,
        /// `canary` or `control`.
        arm: &'static str,
        /// The destination as the resource spells it, and as it stands there.
        destination: String,
    },
    /// The pair has no share of its route, so no share of it can be moved.
    #[error(
        "{object}: in route {route} both destinations have weight 0; give control the pair's share there"
    )]
    EmptyPair {
        /// The object.
        object: ObjectRef,
        /// The route.
        route: String,
    },
    /// The router cannot express the weight.
    #[error(
        "{object}: {weight} cannot be written at {place}; the finest weight there is {finest} and its multiples"
    )]
    TooFine {
        /// The object.
        object: ObjectRef,
        /// Which route or field.
        place: String,
        /// What was asked for.
        weight: Weight,
        /// The smallest weight above 0 that can be written; all its multiples can be too.
        finest: Weight,
    },
    /// The Deployment has no such container.
    #[error("{object}: no container {container:?}, only {found}; name the right one in `container`")]
    NoSuchContainer {
        /// The object.
        object: ObjectRef,
        /// The one asked for.
        container: String,
        /// Those it has.
        found: String,
    },
    /// The variable takes its value from elsewhere, and that is never overwritten.
    #[error(
        "{object}: {variable} of container {container:?} takes its value from elsewhere (valueFrom); name that ConfigMap as the router's only object, or give the variable a plain value"
    )]
    ValueFrom {
        /// The object.
        object: ObjectRef,
        /// The container.
        container: String,
        /// The variable.
        variable: String,
    },
    /// The object refuses every change of its data.
    #[error("{object}: is immutable; replace it by one that is not")]
    Immutable {
        /// The object.
        object: ObjectRef,
    },
    /// A route only hands on to another `VirtualService`.
    #[error(
        "{object}: route {route} only delegates; name the delegate {delegate} in `virtualServices`, its weights are written there"
    )]
    Delegates {
        /// The object.
        object: ObjectRef,
        /// The route, or several.
        route: String,
        /// To whom.
        delegate: String,
    },
    /// What is asked for beside the weights cannot be written to any object.
    #[error("{object}: {why}")]
    BadPreview {
        /// The object.
        object: ObjectRef,
        /// Why, and what to write instead.
        why: String,
    },
    /// A route leaves no room for what is asked for beside its weights.
    #[error("{object}: route {route} can have no testers or mirror of ours as asked: {why}")]
    CannotPreview {
        /// The object.
        object: ObjectRef,
        /// The route.
        route: String,
        /// Why, and the remedy.
        why: String,
    },
    /// An object that should be ours is somebody else's.
    #[error(
        "{object}: was not made by component {component} (neither its labels nor a mark say so), so it is not lowered and not deleted; let one component alone split this upstream, or delete it"
    )]
    NotOurs {
        /// The object.
        object: ObjectRef,
        /// The component that it should belong to.
        component: String,
    },
    /// A hook cannot be asked as it is written.
    #[error("{object}: {why}")]
    BadHook {
        /// The object.
        object: ObjectRef,
        /// The field, why, and what to write instead.
        why: String,
    },
    /// Canary and control are one destination.
    #[error("{object}: canary and control are both {destination}; tell them apart by host, subset or port")]
    SameDestination {
        /// The object.
        object: ObjectRef,
        /// That destination.
        destination: String,
    },
}

/// What to add a destination with. The canary begins with nothing; control takes what the canary has by now.
fn added(arm: &str) -> &'static str {
    if arm == "control" {
        "add it with the canary's weight, and give the canary 0"
    } else {
        "add it with weight 0"
    }
}

impl RoutingError {
    /// A stable code for events, metric labels and JSON.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::WrongObject { .. } => "WrongObject",
            Self::Malformed { .. } => "Malformed",
            Self::BadValue { .. } => "BadValue",
            Self::NamesNotAllowed { .. } => "NamesNotAllowed",
            Self::NoSuchRoute { .. } => "NoSuchRoute",
            Self::Ambiguous { .. } => "Ambiguous",
            Self::MissingDestination { .. } => "MissingDestination",
            Self::SpeltOtherwise { .. } => "SpeltOtherwise",
            Self::EmptyPair { .. } => "EmptyPair",
            Self::TooFine { .. } => "TooFine",
            Self::NoSuchContainer { .. } => "NoSuchContainer",
            Self::ValueFrom { .. } => "ValueFrom",
            Self::Immutable { .. } => "Immutable",
            Self::Delegates { .. } => "Delegates",
            Self::BadPreview { .. } => "BadPreview",
            Self::CannotPreview { .. } => "CannotPreview",
            Self::SameDestination { .. } => "SameDestination",
            Self::NotOurs { .. } => "NotOurs",
            Self::BadHook { .. } => "BadHook",
        }
    }
}
