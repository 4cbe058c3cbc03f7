//! What this program writes on objects to know them again.

use crate::cluster::{annotation, label};
use crate::digest;
use serde_json::{Map, Value, json};

/// The label of everything that this program made; converted objects have it too.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const OURS: &str = "gradual-rollout";
/// The label of an Ingress that is served by the gateway as well. A label and no annotation, as it is selected by.
pub const MIGRATED: &str = "sealos.io/migrated-to-istio";
/// When that was; an annotation of an Ingress, RFC 3339.
pub const MIGRATED_AT: &str = "sealos.io/migration-time";
/// The digest of what was converted; an annotation of an Ingress that has [`MIGRATED`].
pub const SOURCE: &str = "rollout.sealos.io/source-hash";
/// What of an Ingress was accepted to be lost when it was converted, codes by comma; an annotation of an Ingress, for people
/// to read. What a later run goes by is kept where who may only write Ingresses cannot write.
pub const ACCEPTED: &str = "rollout.sealos.io/accepted";
/// The digest of the `spec` that was written; an annotation of what was made of Ingresses.
pub const WRITTEN: &str = "rollout.sealos.io/written-hash";
/// Which Ingresses an object was made of.
pub const FROM: &str = "rollout.sealos.io/converted-from";
/// `namespace/name` of the Secret that an object is a copy of.
pub const COPY_OF: &str = "rollout.sealos.io/copy-of";
/// When requests to both data planes were last answered alike; an annotation of an Ingress, RFC 3339. Written by merge
/// patch: by server-side apply under the same manager it would take the other marks away.
pub const PROBED_AT: &str = "rollout.sealos.io/probed-at";
/// The same for the suites of the edge.
pub const EDGE_PROBED_AT: &str = "rollout.sealos.io/edge-probed-at";
/// Since when the gateway serves a host alone; an annotation of a `VirtualService`, RFC 3339.
pub const CLEANED_AT: &str = "rollout.sealos.io/cleaned-at";
/// Which Ingresses `cleanup` deleted, by comma; an annotation of a `VirtualService` that has [`CLEANED_AT`]. What else a
/// route was made of and is not there was deleted by another hand.
pub const CLEANED: &str = "rollout.sealos.io/cleaned-up";
/// Since when a route is on its way out: `rollback` wrote it before anything else of it, and it goes with the route; an
/// annotation of a `VirtualService`, RFC 3339. Empty where it was written anew since.
pub const GOING_BACK: &str = "rollout.sealos.io/going-back";
/// What a controller was told before `finish`, as JSON; an annotation of its Deployment or `ConfigMap`.
pub const BEFORE_FINISH: &str = "rollout.sealos.io/before-finish";
/// The annotation of a `GradualRollout` that a batch was handed to.
pub const HANDED_OVER: &str = "rollout.sealos.io/handed-over";
/// What nginx counted for an Ingress, and when; an annotation of an Ingress. Written by merge patch, as [`PROBED_AT`].
pub const REQUESTS: &str = "rollout.sealos.io/nginx-requests";

/// The canaries among the Ingresses that a route was made of, by comma; an annotation of a `VirtualService`. They split what
/// the others serve, and serve nothing themselves.
pub const CANARIES: &str = "rollout.sealos.io/canaries";

/// What a route may not be without, as `Kind namespace/name` by comma; an annotation of a `VirtualService`.
pub const NEEDS: &str = "rollout.sealos.io/needs";

/// The Ingresses whose paths a route answers itself, as they cannot be converted any more, by comma; an annotation of a
/// `VirtualService`.
pub const CLOSED: &str = "rollout.sealos.io/closed";
/// The digests of the Ingresses that an object was made of, and of canaries that were looked at and split nothing of it, as `namespace/name=digest` by comma; an annotation of a
/// `VirtualService` and of an `AuthorizationPolicy`.
pub const SOURCES: &str = "rollout.sealos.io/source-hashes";
/// The controller's ConfigMap that a route was made with, and the digest of it, as `namespace/name@digest`; an annotation
/// of a `VirtualService`.
pub const SETTINGS: &str = "rollout.sealos.io/controller-config";
/// The `ConfigMap`s of headers that the Ingresses of a route name, and the digests of them, as `namespace/name@digest` by
/// comma; an annotation of a `VirtualService`.
pub const HEADERS: &str = "rollout.sealos.io/custom-headers";
/// The names of the ports that a route leads to, as `service:number=name` by comma; an annotation of a `VirtualService`.
pub const PORTS: &str = "rollout.sealos.io/service-ports";

/// Whether an annotation is one that this program writes.
pub fn is_mark(name: &str) -> bool {
    [
        MIGRATED_AT,
        SOURCE,
        ACCEPTED,
        WRITTEN,
        COPY_OF,
        PROBED_AT,
        EDGE_PROBED_AT,
        REQUESTS,
    ]
    .contains(&name)
}

/// An Ingress as it was kept, with those of its marks alone that it has now, as they are now: a backup may take marks off,
/// and gives none, as those of then tell of a time before the Ingress was gone, or before the migration was taken back.
pub fn of_now(mut kept: Value, live: Option<&Value>) -> Value {
    let Some(meta) = kept.get_mut("metadata").and_then(Value::as_object_mut) else {
        return kept;
    };
    for field in ["labels", "annotations"] {
        let mark = |name: &str| match field {
            "labels" => name == MIGRATED,
            _ => is_mark(name),
        };
        let mut all = meta
            .get(field)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let now = live.and_then(|live| live.pointer(&format!("/metadata/{field}")));
        all = all
            .into_iter()
            .filter_map(|(name, value)| {
                if !mark(&name) {
                    return Some((name, value));
                }
                let now = now?.get(&name)?.clone();
                Some((name, now))
            })
            .collect();
        if all.is_empty() {
            meta.remove(field);
        } else {
            meta.insert(field.to_owned(), all.into());
        }
    }
    kept
}

/// Whether this program made an object.
pub fn ours(object: &Value) -> bool {
    label(object, MANAGED_BY) == Some(OURS)
}

/// Whether a rollback of a route was begun, and nobody wrote it anew since.
pub fn going_back(route: &Value) -> bool {
    annotation(route, GOING_BACK).is_some_and(|since| !since.is_empty())
}

/// Whether an Ingress has the mark.
pub fn migrated(ingress: &Value) -> bool {
    label(ingress, MIGRATED) == Some("true")
}

/// Whether what was written by this program is as it was written; none where it was written by another way.
pub fn untouched(object: &Value) -> Option<bool> {
    annotation(object, WRITTEN).map(|written| written == digest::short(&spec(object)))
}

/// The `spec`.
pub fn spec(object: &Value) -> Value {
    object.get("spec").cloned().unwrap_or_default()
}

/// The digest of what a conversion reads of an Ingress, what it asks for, not who has looked at it; and the prefix of the
/// annotations that are read.
pub fn source(ingress: &Value, prefix: &str) -> String {
    let wanted = |name: &str| {
        name.split_once('/').is_some_and(|(before, _)| before == prefix)
            || name == "kubernetes.io/ingress.class"
    };
    let annotations: Map<String, Value> = ingress
        .pointer("/metadata/annotations")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let digest = digest::short(&json!({"spec": spec(ingress), "annotations": annotations}));
    format!("{digest}@{prefix}")
}

/// Whether an Ingress is as it was when it was marked; none where the mark does not say.
pub fn as_converted(ingress: &Value) -> Option<bool> {
    let said = annotation(ingress, SOURCE)?;
    let (_, prefix) = said.split_once('@')?;
    Some(source(ingress, prefix) == said)
}

/// The annotations of a marked Ingress that keep somebody out, by their names without the prefix.
pub fn protections(ingress: &Value) -> Vec<&str> {
    let prefix = annotation(ingress, SOURCE)
        .and_then(|said| said.split_once('@'))
        .map_or("nginx.ingress.kubernetes.io", |(_, prefix)| prefix);
    protections_by(ingress, &|before| before == prefix)
}

/// The same for annotations with one of some prefixes.
pub fn protections_by<'a>(ingress: &'a Value, is_prefix: &dyn Fn(&str) -> bool) -> Vec<&'a str> {
    const WORDS: [&str; 11] = [
        "auth-",
        "whitelist-",
        "allowlist-",
        "denylist-",
        "satisfy",
        "limit-",
        "global-rate-limit",
        "modsecurity",
        "enable-modsecurity",
        "enable-owasp",
        "enable-global-auth",
    ];
    // Directives that may keep somebody out: what a snippet says is read by a conversion alone.
    const DIRECTIVES: [&str; 9] = [
        "deny",
        "auth",
        "return",
        "limit_",
        "satisfy",
        "secure",
        "access",
        "modsecurity",
        "valid_referers",
    ];
    let all = ingress
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    let names = all.into_iter().flatten().filter_map(|(name, value)| {
        let (before, name) = name.split_once('/')?;
        // `enable-modsecurity: "false"` and its like keep nobody out.
        let on = value
            .as_str()
            .is_some_and(|value| !value.is_empty() && value != "false");
        let guards = if name.ends_with("-snippet") {
            let text = value.as_str().unwrap_or_default();
            DIRECTIVES.iter().any(|word| text.contains(word))
        } else {
            WORDS.iter().any(|word| name.starts_with(word))
        };
        (is_prefix(before) && on && guards).then_some(name)
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_converted_changes_the_digest_of_an_ingress() {
        let prefix = "nginx.ingress.kubernetes.io";
        let mut ingress = json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/a": "1", "x": "1"}},
            "spec": {"rules": []}});
        let before = source(&ingress, prefix);
        ingress["metadata"]["annotations"]["x"] = json!("2");
        ingress["metadata"]["labels"] = json!({"y": "1"});
        ingress["status"] = json!({"loadBalancer": {}});
        assert_eq!(source(&ingress, prefix), before);
        ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/a"] = json!("2");
        assert_ne!(source(&ingress, prefix), before);
    }

    #[test]
    fn an_object_that_somebody_edited_is_told_from_one_that_nobody_did() {
        let mut object = json!({"spec": {"a": 1}});
        assert_eq!(untouched(&object), None);
        let written = digest::short(&spec(&object));
        object["metadata"] = json!({"annotations": {WRITTEN: written}});
        assert_eq!(untouched(&object), Some(true));
        object["spec"]["a"] = json!(2);
        assert_eq!(untouched(&object), Some(false));
    }
}
