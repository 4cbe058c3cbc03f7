//! Ingresses with the usual prefix of annotations: models, corpus and suites know no other.

use crate::preflight::controller::Controller;
use crate::see::{self, entries};
use serde_json::{Map, Value};

/// The prefix that everything here goes by.
pub(super) const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// The controller that serves an Ingress, of several the first.
fn serving<'a, 'c>(
    controllers: &'a [Controller<'c>],
    known: &[Value],
    ingress: &Value,
) -> Option<&'a Controller<'c>> {
    let serves = |one: &&Controller<'_>| {
        crate::classes::Classes::of(std::slice::from_ref(*one), known, None).serve(ingress)
    };
    controllers.iter().find(serves).or_else(|| controllers.first())
}

/// The prefix by which an Ingress is read: that of the controller that serves it.
pub(super) fn prefix<'a>(controllers: &'a [Controller<'_>], known: &[Value], ingress: &Value) -> &'a str {
    serving(controllers, known, ingress).map_or(PREFIX, Controller::prefix)
}

/// Whom a controller keeps out by its own settings, whatever an Ingress says.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// It judges addresses.
    pub by_address: bool,
    /// It asks somebody about every request, unless an Ingress says that it shall not.
    pub by_asking: bool,
    /// It sends whom it keeps out to a page for signing in.
    pub signs_in: bool,
    /// What paths begin with that nobody is asked about.
    pub free: Vec<String>,
}

/// That of the controller that serves an Ingress.
pub(super) fn kept(
    controllers: &[Controller<'_>],
    picture: &crate::preflight::picture::Picture,
    ingress: &Value,
) -> Kept {
    let known = picture.of(see::kinds::CLASS.kind);
    let settings =
        serving(controllers, known, ingress).and_then(|controller| controller.settings(picture, "configmap"));
    let said = |name: &str| {
        let value = settings.and_then(|settings| see::text(settings, &format!("/data/{name}")));
        value.map(str::trim).filter(|value| !value.is_empty())
    };
    let lists = ["whitelist-source-range", "denylist-source-range", "block-cidrs"];
    let free = said("no-auth-locations").unwrap_or("/.well-known/acme-challenge");
    let free = free.split(',').map(str::trim).filter(|path| !path.is_empty());
    Kept {
        by_address: lists.into_iter().any(|name| said(name).is_some()),
        by_asking: said("global-auth-url").is_some(),
        signs_in: said("global-auth-signin").is_some(),
        free: free.map(ToOwned::to_owned).collect(),
    }
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
