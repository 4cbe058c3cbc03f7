//! Writes: what an API server does between decoding a body and telling the watchers.

use super::admit;
use super::ask::{Ask, Sub};
use super::failure::{Cause, Failure};
use super::json::{self, meta};
use super::managed::{self, Author, Managers};
use super::patch::{self, PatchKind};
use super::store::{Inner, Key, Store, Stored};
use super::{scale, wire};
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
    admit::identify(ask, &mut body)?;
    if !meta(&body, "resourceVersion").is_empty() {
        return Err(Failure::internal(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let id = inner.id();
    if meta(&body, "name").is_empty() && !meta(&body, "generateName").is_empty() {
        let name = format!("{}{}", meta(&body, "generateName"), admit::suffix(id));
        json::metadata(&mut body).insert("name".to_owned(), json!(name));
    }
    let name = meta(&body, "name").to_owned();
    if resource.namespaced {
        admit::open_namespace(inner, ask, &name)?;
    }
    if inner.find(resource, &ask.namespace, &name).is_some() {
        return Err(Failure::already_exists(resource, &name));
    }
    if resource.status && !ask.trusted {
        json::set(&mut body, "status", None);
    }
    let warnings = admit::decode(ask, &mut body, managers.is_some())?;
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
    meta.insert("uid".to_owned(), json!(admit::uid(id, other)));
    meta.insert("creationTimestamp".to_owned(), json!(stamp));
    if resource.generations {
        meta.insert("generation".to_owned(), json!(1));
    }
    admit::valid(resource, &name, &body, None)?;
    admit::defaults(resource, &mut body, id, stamp);
    admit::encode_secret(resource, &mut body);
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
    admit::identify(ask, &mut body)?;
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
        admit::identify(ask, &mut patched)?;
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
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
            .clone_into(&mut failure.message);
        return Err(failure);
    }
    let mut config = body.clone();
    admit::identify(ask, &mut config)?;
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
        admit::only_status(&seen, &mut new, managers.is_some());
    } else if resource.status && !ask.trusted {
        json::set(&mut new, "status", seen.get("status").cloned());
    }
    let warnings = admit::decode(ask, &mut new, managers.is_some())?;
    admit::keep(&seen, &mut new, managers.is_some());
    admit::finalizers(resource, &ask.name, &seen, &new)?;
    admit::valid(resource, &ask.name, &new, Some(&seen))?;
    if resource.generations && ask.sub != Sub::Status && admit::asks_otherwise(resource, &seen, &new) {
        admit::raise_generation(&mut new);
    }
    admit::encode_secret(resource, &mut new);
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

fn author<'a>(ask: &'a Ask, stamp: &'a str) -> Author<'a> {
    Author {
        manager: &ask.manager,
        subresource: ask.sub.name(),
        api_version: &ask.api_version,
        time: stamp,
    }
}
