//! Istio's control plane: what is served, whether it runs, how the mesh is configured.

use super::code;
use super::controller::ready;
use super::ingress::ready_services;
use super::picture::Picture;
use crate::finding::{Finding, Severity};
use crate::see::{self, entries, items, text};
use serde_json::Value;
use std::collections::BTreeSet;

/// The kinds that are written.
const KINDS: &[&str] = &[
    "Gateway",
    "VirtualService",
    "DestinationRule",
    "AuthorizationPolicy",
];

/// Looks at the control plane. `classes` are those that ingress-nginx serves.
pub(super) fn check(picture: &Picture, classes: &BTreeSet<String>, found: &mut Vec<Finding>) {
    for kind in KINDS.iter().filter(|kind| !picture.serves(kind)) {
        found.push(code::ISTIO_KIND_MISSING.at(format!("kind {kind}"), "it is not served in version v1"));
    }
    if picture.sees("Deployment") {
        istiod(picture, found);
    }
    webhook(picture, found);
    mesh(picture, classes, found);
    if let Some(policy) = picture
        .of("ValidatingAdmissionPolicy")
        .iter()
        .find(|p| forbids_filters(p))
    {
        found.push(code::ISTIO_FILTERS_FORBIDDEN.at(see::object(policy), "it is about EnvoyFilters"));
    }
}

fn istiod(picture: &Picture, found: &mut Vec<Finding>) {
    let all: Vec<&Value> = picture
        .of("Deployment")
        .iter()
        .filter(|deployment| {
            see::label(deployment, "app") == Some("istiod") || see::name(deployment) == "istiod"
        })
        .collect();
    if all.is_empty() {
        found.push(
            code::ISTIOD_MISSING.at("cluster", "no Deployment is called istiod or labelled app=istiod"),
        );
    }
    for deployment in all {
        let (up, wanted) = ready(deployment);
        if up == 0 {
            found
                .push(code::ISTIOD_DOWN.at(see::object(deployment), format!("0 of {wanted} pods are ready")));
        }
        let images = items(deployment, "/spec/template/spec/containers").filter_map(|c| text(c, "/image"));
        for image in images {
            if let Some((major, minor)) = version(image).filter(|version| *version < (1, 22)) {
                let says = format!("its image is {image}, version {major}.{minor}");
                found.push(code::ISTIO_OLD.at(see::object(deployment), says));
            }
        }
    }
}

/// Major and minor version of an image's tag.
fn version(image: &str) -> Option<(u32, u32)> {
    let tag = image.split('@').next()?.rsplit('/').next()?.split_once(':')?.1;
    let mut numbers = tag.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn webhook(picture: &Picture, found: &mut Vec<Finding>) {
    if !picture.sees("EndpointSlice") {
        return;
    }
    let ready = ready_services(picture);
    let istio = |configuration: &&Value| see::name(configuration).starts_with("istio");
    for configuration in picture.of("ValidatingWebhookConfiguration").iter().filter(istio) {
        for hook in items(configuration, "/webhooks") {
            let service = "/clientConfig/service";
            let (Some(namespace), Some(name)) = (
                text(hook, &format!("{service}/namespace")),
                text(hook, &format!("{service}/name")),
            ) else {
                continue;
            };
            if ready.contains(&(namespace.to_owned(), name.to_owned())) {
                continue;
            }
            let says = format!("Service {namespace}/{name} has no ready endpoint");
            let mut finding = code::ISTIO_WEBHOOK_DOWN.at(see::object(configuration), says);
            if text(hook, "/failurePolicy") == Some("Ignore") {
                finding.severity = Severity::Warning;
                finding.message.push_str("; writes pass unchecked meanwhile");
            }
            found.push(finding);
        }
    }
}

fn mesh(picture: &Picture, classes: &BTreeSet<String>, found: &mut Vec<Finding>) {
    if !picture.sees("ConfigMap") {
        return;
    }
    let config = picture
        .of("ConfigMap")
        .iter()
        .find(|config| see::name(config) == "istio" && config.pointer("/data/mesh").is_some());
    let Some(config) = config else {
        found.push(
            code::ISTIO_CONFIG_UNREAD.at("cluster", "no ConfigMap is called istio and has the key mesh"),
        );
        return;
    };
    let object = see::object(config);
    let mesh: Value = match serde_saphyr::from_str(text(config, "/data/mesh").unwrap_or_default()) {
        Ok(mesh) => mesh,
        Err(error) => {
            found.push(code::ISTIO_CONFIG_UNREAD.at(object, format!("its mesh is no YAML: {error}")));
            return;
        }
    };
    let mode = text(&mesh, "/ingressControllerMode").unwrap_or("STRICT");
    let class = text(&mesh, "/ingressClass").unwrap_or("istio");
    if mode == "DEFAULT" {
        let says = "ingressControllerMode is DEFAULT: Istio serves Ingresses without class";
        found.push(code::ISTIO_SERVES_INGRESSES.at(&object, says));
    } else if mode != "OFF" && classes.contains(class) {
        let says = format!("its ingressClass is {class}, which ingress-nginx serves");
        found.push(code::ISTIO_SERVES_INGRESSES.at(&object, says));
    }
    settings(&object, &mesh, found);
    let slashes = text(&mesh, "/pathNormalization/normalization").unwrap_or("DEFAULT");
    if !["MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"].contains(&slashes) {
        found.push(code::ISTIO_SLASHES.at(&object, format!("pathNormalization is {slashes}")));
    }
}

/// What of a mesh's configuration is told as it is.
const SETTINGS: [(&str, &str); 2] = [
    ("gatewayTopology", "/defaultConfig/gatewayTopology"),
    ("extensionProviders", "/extensionProviders"),
];

fn settings(object: &str, mesh: &Value, found: &mut Vec<Finding>) {
    for (name, pointer) in SETTINGS {
        let Some(value) = mesh.pointer(pointer).filter(|value| !value.is_null()) else {
            continue;
        };
        let providers: Vec<String> = items(mesh, pointer)
            .filter_map(|one| text(one, "/name").map(ToOwned::to_owned))
            .collect();
        let says = if providers.is_empty() {
            value.to_string()
        } else {
            super::ingress::named(&providers)
        };
        found.push(code::ISTIO_SETTING.at(object, format!("{name}: {says}")));
    }
}

/// Whether a policy is about `EnvoyFilters`, as that of Istio's stable channel.
fn forbids_filters(policy: &Value) -> bool {
    items(policy, "/spec/matchConstraints/resourceRules").any(|rule| {
        let group = items(rule, "/apiGroups").any(|group| group == "networking.istio.io" || group == "*");
        group
            && (items(rule, "/resources").any(|resource| resource == "envoyfilters")
                || entries(policy, "/spec").any(|(_, part)| part.to_string().contains("EnvoyFilter")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_tag_of_an_image() {
        assert_eq!(version("docker.io/istio/pilot:1.20.1-distroless"), Some((1, 20)));
        assert_eq!(version("registry:5000/istio/pilot:1.26"), Some((1, 26)));
        assert_eq!(version("registry:5000/istio/pilot"), None);
        assert_eq!(version("istio/pilot:latest@sha256:ab"), None);
    }
}
