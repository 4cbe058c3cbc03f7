//! Writes: what an API server does between decoding a body and telling the watchers.

use super::ask::{Ask, Sub, Unknown};
use super::failure::{Cause, Failure};
use super::json::{self, meta};
use super::managed::{self, Author, Managers};
use super::patch::{self, PatchKind};
use super::resource::Resource;
use super::store::{Inner, Key, Store, Stored};
use super::{crd, names, protobuf, scale, wire};
use serde_json::{Value, json};
use std::sync::Arc;

/// What a write did.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The object after it, in the version of the request.
    pub object: Arc<Value>,
    /// It did not exist before.
    pub created: bool,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
}

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

/// POST.
pub(super) fn create(store: &Store, ask: &Ask, body: Value) -> Result<Outcome, Failure> {
    let stamp = store.stamp();
    let mut inner = store.lock();
    create_in(&mut inner, ask, body, None, &stamp)
}

fn create_in(
    inner: &mut Inner,
    ask: &Ask,
    mut body: Value,
    managers: Option<Managers>,
    stamp: &str,
) -> Result<Outcome, Failure> {
    let resource = &*ask.resource;
    identify(ask, &mut body)?;
    if !meta(&body, "resourceVersion").is_empty() {
        return Err(Failure::internal(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let id = inner.id();
    if meta(&body, "name").is_empty() && !meta(&body, "generateName").is_empty() {
        let name = format!("{}{}", meta(&body, "generateName"), suffix(id));
        json::metadata(&mut body).insert("name".to_owned(), json!(name));
    }
    let name = meta(&body, "name").to_owned();
    if resource.namespaced {
        open_namespace(inner, ask, &name)?;
    }
    if inner.find(resource, &ask.namespace, &name).is_some() {
        return Err(Failure::already_exists(resource, &name));
    }
    if resource.status && !ask.trusted {
        json::set(&mut body, "status", None);
    }
    let warnings = decode(ask, &mut body, managers.is_some())?;
    let other = inner.id();
    let meta = json::metadata(&mut body);
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
    ] {
        meta.remove(field);
    }
    if managers.is_none() {
        meta.remove("managedFields");
    }
    meta.insert("uid".to_owned(), json!(uid(id, other)));
    meta.insert("creationTimestamp".to_owned(), json!(stamp));
    if resource.generations {
        meta.insert("generation".to_owned(), json!(1));
    }
    valid(resource, &name, &body, None)?;
    defaults(resource, &mut body, id, stamp);
    encode_secret(resource, &mut body);
    let mut new = wire::inward(resource, body);
    let managers = match managers {
        Some(managers) => managers,
        None => managed::update(
            resource.schema(),
            &Managers::default(),
            &author(ask, stamp),
            None,
            &mut new,
        ),
    };
    let key = (ask.namespace.clone(), name);
    let object = save(inner, ask, &key, new, managers);
    Ok(Outcome {
        object: wire::outward(resource, &object),
        created: true,
        warnings,
    })
}

/// PUT.
pub(super) fn replace(store: &Store, ask: &Ask, mut body: Value) -> Result<Outcome, Failure> {
    let stamp = store.stamp();
    let mut inner = store.lock();
    let resource = &*ask.resource;
    let current = inner.find(resource, &ask.namespace, &ask.name).cloned();
    let Some(current) = current else {
        if resource.create_on_update && ask.sub == Sub::None {
            json::metadata(&mut body).remove("resourceVersion");
            return create_in(&mut inner, ask, body, None, &stamp);
        }
        return Err(Failure::not_found(resource, &ask.name));
    };
    if ask.sub == Sub::Scale {
        body = scale::onto(resource, &wire::outward(resource, &current.value), &body);
    }
    identify(ask, &mut body)?;
    let uid = meta(&body, "uid");
    if !uid.is_empty() && uid != meta(&current.value, "uid") {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            meta(&current.value, "uid")
        );
        return Err(Failure::conflict_because(resource, &ask.name, &why));
    }
    if meta(&body, "resourceVersion").is_empty() && !resource.unconditional && !ask.trusted {
        let cause = Cause::invalid(
            "metadata.resourceVersion",
            &json!(0),
            "must be specified for an update",
        );
        return Err(Failure::invalid(resource, &ask.name, vec![cause]));
    }
    update(&mut inner, ask, &current, body, None, &stamp)
}

/// PATCH.
pub(super) fn patch(store: &Store, ask: &Ask, kind: PatchKind, body: &Value) -> Result<Outcome, Failure> {
    let stamp = store.stamp();
    let mut inner = store.lock();
    let resource = &*ask.resource;
    let current = inner.find(resource, &ask.namespace, &ask.name).cloned();
    if kind == PatchKind::Apply {
        return apply(&mut inner, ask, current, body, &stamp);
    }
    let Some(current) = current else {
        return Err(Failure::not_found(resource, &ask.name));
    };
    let seen = wire::outward(resource, &current.value);
    let patched = if ask.sub == Sub::Scale {
        let scaled = patch::apply(kind, resource, &scale::of(&seen), body)?;
        scale::onto(resource, &seen, &scaled)
    } else {
        let mut patched = patch::apply(kind, resource, &seen, body)?;
        // A patch cannot say which object it is about.
        let uid = seen.pointer("/metadata/uid").cloned();
        if let Some(uid) = uid {
            json::metadata(&mut patched).insert("uid".to_owned(), uid);
        }
        patched
    };
    update(&mut inner, ask, &current, patched, None, &stamp)
}

fn apply(
    inner: &mut Inner,
    ask: &Ask,
    current: Option<Stored>,
    body: &Value,
    stamp: &str,
) -> Result<Outcome, Failure> {
    let resource = &*ask.resource;
    if ask.manager_given.is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        let mut failure = Failure::invalid(resource, "", vec![cause]);
        failure.message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch".to_owned();
        return Err(failure);
    }
    let mut config = body.clone();
    identify(ask, &mut config)?;
    if config
        .pointer("/metadata/managedFields")
        .is_some_and(|m| !m.is_null())
    {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let mut unknown = Vec::new();
    resource.schema().prune(&mut config.clone(), "", &mut unknown);
    if let Some(field) = unknown.first() {
        return Err(Failure::internal(format!(
            "failed to create typed patch object ({}/{}; {}, Kind={}): .{field}: field not declared in schema",
            ask.namespace,
            ask.name,
            resource.group_version(),
            resource.kind
        )));
    }
    resource.schema().fill_keys(&mut config);
    if resource.status && ask.sub == Sub::None && !ask.trusted {
        json::set(&mut config, "status", None);
    }
    if ask.sub == Sub::Status {
        let status = config.get("status").cloned();
        config = json!({
            "apiVersion": config.get("apiVersion"), "kind": config.get("kind"),
            "metadata": {"name": ask.name, "resourceVersion": config.pointer("/metadata/resourceVersion")},
        });
        json::set(&mut config, "status", status);
    }
    let author = author(ask, stamp);
    let Some(current) = current else {
        if ask.sub != Sub::None {
            return Err(Failure::not_found(resource, &ask.name));
        }
        if !meta(&config, "uid").is_empty() || !meta(&config, "resourceVersion").is_empty() {
            return Err(Failure::conflict_because(
                resource,
                &ask.name,
                "StorageError: the object does not exist, but a uid or resourceVersion was given",
            ));
        }
        let applied = managed::apply(resource, None, &config, &author, ask.force)?;
        return create_in(inner, ask, applied.value, Some(applied.managers), stamp);
    };
    let seen = wire::outward(resource, &current.value);
    let asked = meta(&config, "resourceVersion").to_owned();
    let applied = managed::apply(
        resource,
        Some((&seen, &current.managers)),
        &config,
        &author,
        ask.force,
    )?;
    let mut value = applied.value;
    if !asked.is_empty() {
        json::metadata(&mut value).insert("resourceVersion".to_owned(), json!(asked));
    }
    update(inner, ask, &current, value, Some(applied.managers), stamp)
}

/// Validates `new` (in the version of the request) and puts it in the place of `current`.
fn update(
    inner: &mut Inner,
    ask: &Ask,
    current: &Stored,
    mut new: Value,
    managers: Option<Managers>,
    stamp: &str,
) -> Result<Outcome, Failure> {
    let resource = &*ask.resource;
    let seen = wire::outward(resource, &current.value);
    let asked = meta(&new, "resourceVersion");
    if !asked.is_empty() && asked != meta(&seen, "resourceVersion") {
        return Err(Failure::conflict(resource, &ask.name));
    }
    if ask.sub == Sub::Status {
        let mut next = Value::clone(&seen);
        json::set(&mut next, "status", new.get_mut("status").map(Value::take));
        if let Some(managed) = new.pointer("/metadata/managedFields") {
            json::metadata(&mut next).insert("managedFields".to_owned(), managed.clone());
        }
        new = next;
    } else if resource.status && !ask.trusted {
        json::set(&mut new, "status", seen.get("status").cloned());
    }
    let warnings = decode(ask, &mut new, managers.is_some())?;
    keep(&seen, &mut new, managers.is_some());
    finalizers(resource, &ask.name, &seen, &new)?;
    valid(resource, &ask.name, &new, Some(&seen))?;
    if resource.generations && ask.sub != Sub::Status && asks_otherwise(resource, &seen, &new) {
        raise_generation(&mut new);
    }
    encode_secret(resource, &mut new);
    let mut new = wire::inward(resource, new);
    let managers = match managers {
        Some(managers) => managers,
        None if new == *current.value => current.managers.clone(),
        None => {
            let author = author(ask, stamp);
            managed::update(
                resource.schema(),
                &current.managers,
                &author,
                Some(&current.value),
                &mut new,
            )
        }
    };
    if new == *current.value {
        return Ok(Outcome {
            object: seen,
            created: false,
            warnings,
        });
    }
    let key = (ask.namespace.clone(), ask.name.clone());
    let dying = !meta(&new, "deletionTimestamp").is_empty();
    let bound = new
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .is_some_and(|f| !f.is_empty());
    let object = if dying && !bound {
        drop_object(inner, ask, &key, new)
    } else {
        save(inner, ask, &key, new, managers)
    };
    Ok(Outcome {
        object: wire::outward(resource, &object),
        created: false,
        warnings,
    })
}

fn save(inner: &mut Inner, ask: &Ask, key: &Key, mut new: Value, managers: Managers) -> Arc<Value> {
    if ask.dry_run {
        return Arc::new(new);
    }
    json::metadata(&mut new).insert("resourceVersion".to_owned(), json!(inner.next().to_string()));
    let value = Arc::new(new);
    inner.commit(
        &ask.resource,
        key,
        Some(Stored {
            value: value.clone(),
            managers,
        }),
        None,
    );
    value
}

pub(super) fn drop_object(inner: &mut Inner, ask: &Ask, key: &Key, mut last: Value) -> Arc<Value> {
    if ask.dry_run {
        return Arc::new(last);
    }
    json::metadata(&mut last).insert("resourceVersion".to_owned(), json!(inner.next().to_string()));
    let last = Arc::new(last);
    inner.commit(&ask.resource, key, None, Some(last.clone()));
    last
}

/// The body must be about the object the path is about.
fn identify(ask: &Ask, body: &mut Value) -> Result<(), Failure> {
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

fn open_namespace(inner: &Inner, ask: &Ask, name: &str) -> Result<(), Failure> {
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

/// Drops what the schema does not know and fills defaults.
fn decode(ask: &Ask, body: &mut Value, applied: bool) -> Result<Vec<String>, Failure> {
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

fn valid(resource: &Resource, name: &str, new: &Value, old: Option<&Value>) -> Result<(), Failure> {
    let mut causes = resource.schema().check(new, old);
    if old.is_none_or(|old| old.get("metadata") != new.get("metadata")) {
        causes.extend(names::check(resource, new));
    }
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
fn defaults(resource: &Resource, body: &mut Value, id: u64, stamp: &str) {
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
fn encode_secret(resource: &Resource, body: &mut Value) {
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

fn keep(old: &Value, new: &mut Value, applied: bool) {
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

fn finalizers(resource: &Resource, name: &str, old: &Value, new: &Value) -> Result<(), Failure> {
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
fn asks_otherwise(resource: &Resource, old: &Value, new: &Value) -> bool {
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

fn author<'a>(ask: &'a Ask, stamp: &'a str) -> Author<'a> {
    Author {
        manager: &ask.manager,
        subresource: ask.sub.name(),
        api_version: &ask.api_version,
        time: stamp,
    }
}

fn uid(high: u64, low: u64) -> String {
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

fn suffix(id: u64) -> String {
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
