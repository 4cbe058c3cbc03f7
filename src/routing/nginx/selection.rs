//! What speaks against a selection as a whole.

use super::eligibility::{finding, ingress, place, router};
use super::finding::{Code, Finding};
use super::locations::{Location, class, names};
use super::maker::release_command;
use crate::routing::object::ObjectRef;
use serde_json::Value;

pub(super) fn missing(namespaces: &[String], name: &str) -> Finding {
    let object = format!("ingress {}/{name}", namespaces.join("|"));
    let message = "is named and does not exist".to_owned();
    finding(
        Code::IngressMissing,
        object,
        None,
        message,
        "create it, or correct ingresses.names",
    )
}

pub(super) fn other_class(json: &Value, first: Option<&str>) -> Finding {
    let field = Some("spec.ingressClassName".to_owned());
    let message = format!(
        "its class is not {}, which the first chosen one has",
        first.unwrap_or("the default")
    );
    finding(
        Code::ClassDiffers,
        ingress(json),
        field,
        message,
        "choose the Ingresses of one class",
    )
}

/// An Ingress that another nginx may serve, or the same one.
pub(super) fn class_unknown(json: &Value, at: &Location, first: Option<&str>) -> Finding {
    let said = |class: Option<&str>| class.map_or_else(|| "no class".to_owned(), |c| format!("class {c}"));
    let message = format!(
        "{} leads to the upstream {} and has {}, not {}: where the same nginx serves both it is split with them, unchecked",
        place(at),
        at.upstream,
        said(class(json)),
        said(first)
    );
    let decides = match (class(json), first) {
        (Some(_), Some(_)) => "the spec.controller of the two IngressClasses decides that",
        (None, _) | (_, None) => "the controller's --watch-ingress-without-class decides that",
    };
    let remedy = format!(
        "{decides}: give `routes check -f` the controller's Deployment and the IngressClasses, and where it is the same nginx give the Ingress the same class"
    );
    let field = Some("spec.ingressClassName".to_owned());
    finding(Code::ClassUnknown, ingress(json), field, message, &remedy)
}

pub(super) fn nothing(namespaces: &[String]) -> Finding {
    let object = format!("ingresses in {}", namespaces.join(", "));
    let message = "none that the selection finds leads to a Service".to_owned();
    finding(
        Code::NothingSelected,
        object,
        None,
        message,
        "correct `ingresses` of the router",
    )
}

pub(super) fn too_many(component: &str, found: usize, most: usize) -> Finding {
    let message = format!("{found} upstreams are more than {most}");
    finding(
        Code::TooMany,
        router(component),
        None,
        message,
        "split it into several components",
    )
}

pub(super) fn shadowed(loser: &Location, winner: &Location) -> Finding {
    let message = format!(
        "{} is served by the older {} (upstream {})",
        place(loser),
        ingress(&winner.ingress),
        winner.upstream
    );
    let remedy = "remove the rule that never serves; it is not split";
    finding(
        Code::Shadowed,
        ingress(&loser.ingress),
        Some("spec.rules".to_owned()),
        message,
        remedy,
    )
}

/// An upstream that is chosen and is another's.
pub(super) fn split_by_another(
    object: &ObjectRef,
    places: &[Location],
    whose: &str,
    canary: Option<&Value>,
) -> Finding {
    let upstream = places.first().map(|place| place.upstream.to_string());
    let chosen = places.first().map(|place| names(&place.ingress).1.to_owned());
    let (upstream, chosen) = (upstream.unwrap_or_default(), chosen.unwrap_or_default());
    let message = format!("the upstream {upstream} (ingress {chosen}) is chosen here, too, and {whose}");
    let gone = canary.map(|json| {
        format!(
            "; where that one is no more, `{}` leaves the canary to this one",
            release_command(json)
        )
    });
    let remedy = format!(
        "nothing of it is written here, and nothing rises: choose each upstream in one component{}",
        gone.unwrap_or_default()
    );
    let code = Code::SplitByAnother;
    finding(code, object.to_string(), None, message, &remedy)
}

pub(super) fn no_such_code(component: &str, code: &str) -> Finding {
    let all: Vec<&str> = Code::ALL
        .iter()
        .filter(|c| c.may_be_accepted())
        .map(|c| c.text())
        .collect();
    let remedy = format!("one of {}", all.join(", "));
    let field = Some("ingressNginx.accept".to_owned());
    finding(
        Code::AcceptUnknown,
        router(component),
        field,
        format!("{code:?} cannot be accepted"),
        &remedy,
    )
}
