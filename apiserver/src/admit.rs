//! What a write must pass, and what the server itself writes into an object on its way.

use super::ask::{Ask, Sub, Unknown};
use super::failure::{Cause, Failure};
use super::json::{self, meta};
use super::resource::Resource;
use super::store::Inner;
use super::{crd, event, names, protobuf};
use serde_json::{Value, json};

/// Fields of `metadata` that only the server writes.
const KEPT: [&str; 8] = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
];

/// The body must be about the object the path is about.
pub(super) fn identify(ask: &Ask, body: &mut Value) -> Result<(), Failure> {
    let resource = &*ask.resource;
    if !body.is_object() {
        return Err(Failure::bad_request(
            "the body of the request is not a JSON object",
        ));
    }
    let (version, kind) = (
        json::text(body, "/apiVersion").to_owned(),
        json::text(body, "/kind").to_owned(),
    );
    if kind.is_empty() && resource.custom {
        return Err(Failure::bad_request(format!(
            "Object 'Kind' is missing in '{body}'"
        )));
    }
    if !version.is_empty() && version != resource.group_version() {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            resource.group_version()
        )));
    }
    if !kind.is_empty() && kind != resource.kind {
        return Err(Failure::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {}",
            resource.version, resource.kind
        )));
    }
    json::set(body, "apiVersion", Some(json!(resource.group_version())));
    json::set(body, "kind", Some(json!(resource.kind)));
    let (name, namespace) = (meta(body, "name").to_owned(), meta(body, "namespace").to_owned());
    if !ask.name.is_empty() {
        if name.is_empty() && ask.verb == "patch" {
            json::metadata(body).insert("name".to_owned(), json!(ask.name));
        } else if name != ask.name {
            return Err(Failure::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                ask.name
            )));
        }
    }
    if !namespace.is_empty() && namespace != ask.namespace {
        return Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if resource.namespaced {
        if ask.namespace.is_empty() {
            return Err(Failure::bad_request(
                "an empty namespace may not be set during creation",
            ));
        }
        json::metadata(body).insert("namespace".to_owned(), json!(ask.namespace));
    }
    Ok(())
}

pub(super) fn open_namespace(inner: &Inner, ask: &Ask, name: &str) -> Result<(), Failure> {
    let key = (String::new(), ask.namespace.clone());
    let Some(namespace) = inner.objects.get("namespaces").and_then(|n| n.get(&key)) else {
        let mut failure = Failure::new(
            404,
            "NotFound",
            format!("namespaces \"{}\" not found", ask.namespace),
        );
        failure.about = vec![("name", ask.namespace.clone()), ("kind", "namespaces".to_owned())];
        return Err(failure);
    };
    if meta(&namespace.value, "deletionTimestamp").is_empty() {
        return Ok(());
    }
    let mut failure = Failure::forbidden(&ask.resource, name, "create", &ask.namespace);
    failure.message = format!(
        "{} \"{name}\" is forbidden: unable to create new content in namespace {} because it is being terminated",
        ask.resource.group_resource(),
        ask.namespace
    );
    Err(failure)
}

/// The server keeps no empty lists and maps in metadata: what was emptied is gone, and has to be made again.
fn drop_empty(metadata: &mut serde_json::Map<String, Value>) {
    for field in ["annotations", "labels", "finalizers", "ownerReferences"] {
        let is_empty = match metadata.get(field) {
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            Some(_) | None => false,
        };
        if is_empty {
            metadata.remove(field);
        }
    }
}

/// Drops what the schema does not know and fills defaults.
pub(super) fn decode(ask: &Ask, body: &mut Value, applied: bool) -> Result<Vec<String>, Failure> {
    let resource = &*ask.resource;
    let mut unknown = Vec::new();
    if ask.sub == Sub::Status {
        if let (Some(schema), Some(status)) = (resource.schema().field("status"), body.get_mut("status")) {
            schema.prune(status, "status", &mut unknown);
            schema.fill(status);
        }
    } else {
        resource.schema().prune(body, "", &mut unknown);
        resource.schema().fill(body);
        drop_empty(json::metadata(body));
    }
    unknown.sort();
    let said: Vec<String> = unknown
        .iter()
        .map(|path| format!("unknown field \"{path}\""))
        .collect();
    match ask.unknown {
        Unknown::Strict if !said.is_empty() && !applied => Err(Failure::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
            resource.kind,
            resource.version,
            resource.kind,
            said.join(", ")
        ))),
        Unknown::Strict | Unknown::Warn => Ok(said),
        Unknown::Ignore => Ok(Vec::new()),
    }
}

pub(super) fn valid(
    resource: &Resource,
    name: &str,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), Failure> {
    let mut causes = resource.schema().check(new, old);
    if old.is_none_or(|old| old.get("metadata") != new.get("metadata")) {
        causes.extend(names::check(resource, new));
    }
    causes.extend(event::check(resource, new, old));
    if resource.plural == "customresourcedefinitions" && old.is_none_or(|o| o.get("spec") != new.get("spec"))
    {
        crd::check(resource, new)?;
    }
    if !resource.custom
        && let Some(wrong) = causes.iter().find(|c| c.reason == "FieldValueTypeInvalid")
    {
        return Err(Failure::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: json: cannot unmarshal into field {}: {}",
            resource.kind, resource.version, resource.kind, wrong.field, wrong.message
        )));
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Failure::invalid(resource, name, causes))
    }
}

/// What the server itself writes into new objects.
pub(super) fn defaults(resource: &Resource, body: &mut Value, id: u64, stamp: &str) {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces") => {
            let name = json!(meta(body, "name"));
            let labels = json::object(json::metadata(body).entry("labels").or_insert(Value::Null));
            labels.insert("kubernetes.io/metadata.name".to_owned(), name);
            json::set(body, "status", Some(json!({"phase": "Active"})));
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            let status = crd::established(body, stamp);
            json::set(body, "status", Some(status));
        }
        ("", "services") => {
            let spec = json::child(body, "spec");
            spec.entry("type").or_insert_with(|| json!("ClusterIP"));
            if spec.get("type") != Some(&json!("ExternalName")) {
                let [.., high, low] = id.to_be_bytes();
                spec.entry("clusterIP")
                    .or_insert_with(|| json!(format!("10.96.{high}.{low}")));
            }
        }
        _ => {}
    }
}

/// What a secret is given in clear is stored encoded, on every write.
pub(super) fn encode_secret(resource: &Resource, body: &mut Value) {
    if resource.plural != "secrets" || resource.custom {
        return;
    }
    json::object(body)
        .entry("type")
        .or_insert_with(|| json!("Opaque"));
    if let Some(Value::Object(clear)) = json::object(body).remove("stringData") {
        let data = json::child(body, "data");
        for (key, value) in clear {
            let value = value.as_str().unwrap_or_default();
            data.insert(key, json!(protobuf::base64(value.as_bytes())));
        }
    }
}

pub(super) fn keep(old: &Value, new: &mut Value, applied: bool) {
    let meta = json::metadata(new);
    for field in KEPT.iter().filter(|f| !applied || **f != "managedFields") {
        match old.get("metadata").and_then(|m| m.get(field)) {
            Some(value) => meta.insert((*field).to_owned(), value.clone()),
            None => meta.remove(*field),
        };
    }
    if let Some(version) = old.pointer("/metadata/resourceVersion") {
        meta.insert("resourceVersion".to_owned(), version.clone());
    }
}

/// Takes everything but status from `old`. What is equal already is not copied: most writes are status writes.
pub(super) fn only_status(old: &Value, new: &mut Value, applied: bool) {
    let managed = if applied {
        new.pointer_mut("/metadata/managedFields").map(Value::take)
    } else {
        None
    };
    let (Some(old), Some(fields)) = (old.as_object(), new.as_object_mut()) else {
        return;
    };
    fields.retain(|name, _| name == "status" || old.contains_key(name));
    for (name, value) in old.iter().filter(|(name, _)| *name != "status") {
        if fields.get(name) != Some(value) {
            fields.insert(name.clone(), value.clone());
        }
    }
    if let Some(managed) = managed {
        json::metadata(new).insert("managedFields".to_owned(), managed);
    }
}

pub(super) fn finalizers(resource: &Resource, name: &str, old: &Value, new: &Value) -> Result<(), Failure> {
    if meta(old, "deletionTimestamp").is_empty() {
        return Ok(());
    }
    let list = |v: &Value| -> Vec<String> {
        let all = v.pointer("/metadata/finalizers").and_then(Value::as_array);
        all.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let had = list(old);
    let added: Vec<String> = list(new).into_iter().filter(|f| !had.contains(f)).collect();
    if added.is_empty() {
        return Ok(());
    }
    let cause = Cause {
        reason: "FieldValueForbidden",
        field: "metadata.finalizers".to_owned(),
        message: format!(
            "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers \
             []string{{{}}}",
            added
                .iter()
                .map(|f| format!("{f:?}"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    Err(Failure::invalid(resource, name, vec![cause]))
}

/// Does the write change what is asked for, rather than labels or status?
pub(super) fn asks_otherwise(resource: &Resource, old: &Value, new: &Value) -> bool {
    let differs = |a: &Value, b: &Value| {
        a.as_object().into_iter().flatten().any(|(name, value)| {
            let asked = match name.as_str() {
                "metadata" => false,
                "status" => !resource.status,
                _ => true,
            };
            asked && b.get(name) != Some(value)
        })
    };
    differs(old, new) || differs(new, old)
}

pub(super) fn raise_generation(value: &mut Value) {
    let meta = json::metadata(value);
    let generation = meta.get("generation").and_then(Value::as_i64).unwrap_or_default() + 1;
    meta.insert("generation".to_owned(), json!(generation));
}

pub(super) fn uid(high: u64, low: u64) -> String {
    let text = format!("{high:016x}{low:016x}");
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
    format!(
        "{}-{}-4{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

pub(super) fn suffix(id: u64) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rest = id;
    (0..5)
        .filter_map(|_| {
            let at = usize::try_from(rest % LETTERS.len() as u64).ok()?;
            rest /= LETTERS.len() as u64;
            LETTERS.get(at).map(|b| char::from(*b))
        })
        .collect()
}
