//! What an object says now.

use super::error::RoutingError;
use super::object::ObjectRef;
use super::parents::Parents;
use super::stamp::Stamp;
use crate::rollout::observation::Aside;
use crate::rollout::weight::Weight;
use serde_json::Value;

pub use crate::rollout::observation::OUR_MANAGERS;

/// What a weight is a share of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Of requests: it can be seen in metrics.
    Requests,
    /// Of new objects: it moves no request by itself, and no metric of requests shows it (`notVerifiable`).
    NewObjects,
}

/// One place of an object that says a weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Where, for people: a route's name or a field.
    pub place: String,
    /// What it says.
    pub weight: Weight,
}

/// What an object says now about one component.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own")]
pub struct Seen {
    /// The weight; where places disagree ([`Seen::is_split`]) the most that the canary may be getting.
    pub weight: Weight,
    /// The least that the canary may be getting; equal to `weight` unless places disagree.
    pub lowest: Weight,
    /// The most that the canary may be getting by what is ours and no write reaches, for control is not in it. `weight`
    /// does not count it.
    pub beyond: Weight,
    /// Every place that was read.
    pub readings: Vec<Reading>,
    /// The component's stamp; `None` when there is none, or none that can be read.
    pub stamp: Option<Stamp>,
    /// Whether what is written is in force: a Deployment has rolled out, a Gateway API route is taken up by a parent;
    /// other objects always have.
    pub settled: bool,
    /// What a Deployment that has not rolled out, or a route that is not taken up, waits for, as a sentence.
    pub waiting_for: Option<String>,
    /// The object's uid; empty in a manifest that was never in a cluster.
    pub uid: String,
    /// The version that was read; empty in a manifest that was never in a cluster.
    pub resource_version: String,
    /// The object's generation, where its kind has one.
    pub generation: Option<i64>,
    /// Who wrote the weighing part of the object last, if that is not us, nor a controller writing its status.
    pub foreign_manager: Option<String>,
    /// Who wrote the weight last, us included.
    pub writer: Option<String>,
    /// Annotations by which requests choose the canary by themselves, in words.
    pub choosers: Option<String>,
    /// What the weight is a share of.
    pub share: Share,
    /// What a Gateway API route's parents say; nothing of other objects.
    pub parents: Parents,
    /// What it carries for the canary beside the weight; `None` where it can carry no such thing.
    pub aside: Option<Aside>,
    /// It is not there. Only of objects that we make; then it carries nothing, and no write that was computed before
    /// can land on it.
    pub absent: bool,
    /// It has yet to be brought to the component's weight: it, or what it stands for, is new.
    pub joins: bool,
    /// It is there, and we made it: for 0 it is deleted.
    pub made: bool,
}

impl Seen {
    /// Whether the object says no weight at all: pods that were not restarted by us yet run what their `ConfigMap`
    /// says.
    pub fn is_silent(&self) -> bool {
        self.readings.is_empty()
    }

    /// Whether places that should agree do not: then `weight` alone is not the whole truth, and the object must not
    /// pass for one that reads back what was written.
    pub fn is_split(&self) -> bool {
        self.lowest != self.weight
    }

    /// The one weight that every place says; `None` when they disagree.
    pub fn agreed(&self) -> Option<Weight> {
        (!self.is_split()).then_some(self.weight)
    }
}

/// Text at a JSON pointer; `None` when absent or not text.
pub(super) fn text<'j>(json: &'j Value, pointer: &str) -> Option<&'j str> {
    json.pointer(pointer).and_then(Value::as_str)
}

/// A member that counts: JSON null is as absent as no member.
pub(super) fn member<'j>(json: &'j Value, pointer: &str) -> Option<&'j Value> {
    json.pointer(pointer).filter(|value| !value.is_null())
}

/// Refuses JSON that is not the object: a patch for one must never be computed from another.
pub(super) fn expect_object(object: &ObjectRef, json: &Value) -> Result<(), RoutingError> {
    let differs = |pointer: &str, wanted: &str| text(json, pointer).is_some_and(|found| found != wanted);
    if !json.is_object()
        || differs("/kind", object.kind.kind())
        || differs("/metadata/namespace", &object.namespace)
        || text(json, "/metadata/name") != Some(&object.name)
    {
        let found = |pointer: &str| text(json, pointer).unwrap_or("?");
        return Err(RoutingError::WrongObject {
            object: object.clone(),
            found: format!(
                "{} {}/{}",
                found("/kind").to_lowercase(),
                found("/metadata/namespace"),
                found("/metadata/name")
            ),
        });
    }
    Ok(())
}

/// The manager that wrote the weight last, besides us. Times are whole seconds, so of two entries of one second the
/// later in the list counts.
pub(super) fn foreign_manager(object: &ObjectRef, json: &Value) -> Option<String> {
    let foreign = writers(object, json).filter(|(name, _)| !is_ours(name));
    Some(foreign.max_by_key(|(_, at)| *at)?.0.to_owned())
}

/// The manager that wrote the weight last, whoever that is. Within one second somebody else counts as later than us:
/// what we wrote we know.
pub(super) fn writer(object: &ObjectRef, json: &Value) -> Option<String> {
    let last = writers(object, json).max_by_key(|(name, at)| (*at, !is_ours(name)));
    Some(last?.0.to_owned())
}

fn is_ours(manager: &str) -> bool {
    manager.starts_with(OUR_MANAGERS)
}

/// Who owns a part of the object that says the weight, and since when. RFC 3339 in UTC to the second: the order of text
/// is the order of time.
fn writers<'j>(object: &ObjectRef, json: &'j Value) -> impl Iterator<Item = (&'j str, &'j str)> {
    let kind = object.kind;
    let listed = json.pointer("/metadata/managedFields").and_then(Value::as_array);
    let weighs = move |entry: &&Value| {
        text(entry, "/subresource").is_none_or(str::is_empty)
            && entry.get("fieldsV1").is_none_or(|fields| kind.weighs(fields))
    };
    let entries = listed.into_iter().flatten().filter(weighs);
    entries.filter_map(|entry| {
        let at = text(entry, "/time").unwrap_or_default();
        Some((text(entry, "/manager")?, at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::object::ObjectKind;
    use serde_json::json;

    fn shop() -> ObjectRef {
        ObjectRef {
            kind: ObjectKind::VirtualService,
            namespace: "apps".into(),
            name: "shop".into(),
        }
    }

    #[test]
    fn the_last_foreign_writer_of_the_weights_is_named() {
        let json = json!({"metadata": {"managedFields": [
            {"manager": "helm", "time": "2026-11-01T00:00:00Z", "fieldsV1": {"f:spec": {}}},
            {"manager": "argocd-controller", "time": "2026-11-03T00:00:00Z", "fieldsV1": {"f:spec": {}}},
            {"manager": "labeller", "time": "2026-11-05T00:00:00Z", "fieldsV1": {"f:metadata": {}}},
            {"manager": "kube-controller-manager", "time": "2026-11-06T00:00:00Z", "subresource": "status"},
            {"manager": "gradual-rollout", "time": "2026-11-07T00:00:00Z", "fieldsV1": {"f:spec": {}}},
        ]}});
        assert_eq!(
            foreign_manager(&shop(), &json).as_deref(),
            Some("argocd-controller")
        );
        assert_eq!(foreign_manager(&shop(), &json!({"metadata": {}})), None);
        assert_eq!(writer(&shop(), &json).as_deref(), Some("gradual-rollout"));
        assert_eq!(writer(&shop(), &json!({"metadata": {}})), None);
    }

    #[test]
    fn who_writes_beside_the_weight_has_not_written_it() {
        let at = |second: u8| format!("2026-11-01T00:00:{second:02}Z");
        let entry = |manager: &str, second: u8, fields: Value| json!({"manager": manager, "time": at(second), "fieldsV1": fields});
        let (rules, hosts) = (
            json!({"f:spec": {"f:http": {}}}),
            json!({"f:spec": {"f:hosts": {}}}),
        );
        let deep = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {}}}}});
        let ours = "gradual-rollout-cli";
        let canary =
            json!({"f:metadata": {"f:annotations": {"f:nginx.ingress.kubernetes.io/canary-weight": {}}}});
        let note = json!({"f:metadata": {"f:annotations": {".": {}, "f:example.com/note": {}}}});
        for (kind, entries, told) in [
            (
                ObjectKind::VirtualService,
                vec![entry("argocd", 1, rules.clone()), entry("team", 2, hosts.clone())],
                "argocd",
            ),
            (
                ObjectKind::VirtualService,
                vec![entry("argocd", 1, rules.clone()), entry(ours, 2, rules.clone())],
                ours,
            ),
            (
                ObjectKind::VirtualService,
                vec![entry("argocd", 2, rules.clone()), entry(ours, 2, rules.clone())],
                "argocd",
            ),
            (
                ObjectKind::VirtualService,
                vec![
                    entry("tls", 2, json!({"f:spec": {"f:tls": {}}})),
                    entry(ours, 1, rules),
                ],
                "tls",
            ),
            (
                ObjectKind::Deployment,
                vec![
                    entry("helm", 1, deep),
                    entry("hpa", 2, json!({"f:spec": {"f:replicas": {}}})),
                ],
                "helm",
            ),
            (
                ObjectKind::Ingress,
                vec![entry(ours, 1, canary), entry("team", 2, note)],
                ours,
            ),
            (
                ObjectKind::ConfigMap,
                vec![
                    entry("helm", 1, json!({"f:data": {"f:istio_percentage": {}}})),
                    entry("team", 2, json!({"f:data": {"f:colour": {}}})),
                ],
                "helm",
            ),
            (
                ObjectKind::HttpRoute,
                vec![
                    entry("flux", 1, json!({"f:spec": {"f:rules": {}}})),
                    entry("team", 2, json!({"f:spec": {"f:hostnames": {}}})),
                ],
                "flux",
            ),
        ] {
            let object = ObjectRef { kind, ..shop() };
            let json = json!({"metadata": {"managedFields": entries}});
            assert_eq!(writer(&object, &json).as_deref(), Some(told), "{json}");
            let foreign = foreign_manager(&object, &json);
            assert_eq!(
                foreign.as_deref().filter(|name| *name != told),
                (told == ours && kind == ObjectKind::VirtualService).then_some("argocd")
            );
        }
    }

    #[test]
    fn another_object_is_refused() {
        let meta = |name: &str| json!({"metadata": {"name": name, "namespace": "apps"}});
        assert!(expect_object(&shop(), &meta("shop")).is_ok());
        let error = expect_object(&shop(), &meta("cart")).unwrap_err();
        assert!(error.to_string().contains("? apps/cart"), "{error}");
        assert!(expect_object(&shop(), &json!({"kind": "Gateway", "metadata": {"name": "shop"}})).is_err());
    }
}
