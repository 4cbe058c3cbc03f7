//! Ingresses with the usual prefix of annotations: models, corpus and suites know no other.

use crate::preflight::controller::Controller;
use crate::see::{self, entries};
use serde_json::{Map, Value};

/// The prefix that everything here goes by.
pub(super) const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// The prefix by which an Ingress is read: that of the controller that serves it, of several the first.
pub(super) fn prefix<'a>(controllers: &'a [Controller<'_>], known: &[Value], ingress: &Value) -> &'a str {
    let serves = |one: &&Controller<'_>| {
        crate::classes::Classes::of(std::slice::from_ref(*one), known, None).serve(ingress)
    };
    let found = controllers.iter().find(serves).or_else(|| controllers.first());
    found.map_or(PREFIX, Controller::prefix)
}

/// An Ingress as it would be written for a controller with the usual prefix. What has that prefix and is not read by its
/// own controller is left out.
pub(super) fn spelled(ingress: &Value, prefix: &str) -> Value {
    let mut usual = ingress.clone();
    if prefix == PREFIX {
        return usual;
    }
    let annotations: Map<String, Value> = entries(ingress, "/metadata/annotations")
        .filter_map(|(name, value)| {
            let spelled = match name.split_once('/') {
                Some((before, name)) if before == prefix => format!("{PREFIX}/{name}"),
                Some((PREFIX, _)) => return None,
                Some(_) | None => name.clone(),
            };
            Some((spelled, value.clone()))
        })
        .collect();
    if let Some(meta) = usual.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.insert("annotations".to_owned(), annotations.into());
    }
    usual
}

/// The limit of bodies where an Ingress says none: of the first controller's settings, or nginx's own.
pub(super) fn body_size(
    controllers: &[Controller<'_>],
    picture: &crate::preflight::picture::Picture,
) -> String {
    let settings = controllers
        .first()
        .and_then(|controller| controller.settings(picture, "configmap"));
    settings
        .and_then(|settings| see::text(settings, "/data/proxy-body-size"))
        .unwrap_or("1m")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn annotations_of_another_prefix_are_spelled_as_usual_and_those_that_nobody_reads_go() {
        let ingress = json!({"metadata": {"annotations": {
            "my.org/server-alias": "b.com", "nginx.ingress.kubernetes.io/auth-url": "x", "team": "a"}}});
        let usual = spelled(&ingress, "my.org");
        assert_eq!(
            usual["metadata"]["annotations"],
            json!({"nginx.ingress.kubernetes.io/server-alias": "b.com", "team": "a"})
        );
        assert_eq!(spelled(&ingress, PREFIX), ingress);
    }
}
