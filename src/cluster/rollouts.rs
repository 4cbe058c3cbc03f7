//! `GradualRollout`s as raw JSON, so that one that cannot be decoded never stops the others.

use super::ClusterError;
use super::connect::Clients;
use crate::rollout::command::PREFIX;
use crate::rollout::spec::GradualRollout;
use futures::stream::{BoxStream, SelectAll};
use futures::{Stream, StreamExt};
use json_patch::jsonptr::PointerBuf;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Error as WatchError, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Keeps a resource until its traffic is where `onDelete` wants it and our marks are off the routed objects.
pub const FINALIZER: &str = "rollout.sealos.io/let-go";
/// What it was called while only `onDelete: restore` had one.
const OLD_FINALIZER: &str = "rollout.sealos.io/restore";

fn is_ours(finalizer: &str) -> bool {
    [FINALIZER, OLD_FINALIZER].contains(&finalizer)
}

/// A resource as the server has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawRollout {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Its version.
    pub resource_version: String,
    /// When it was created, in the server's own text.
    pub created: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Which field manager wrote each command's annotation, by its key, as far as the object tells.
    pub writers: BTreeMap<String, String>,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// Its spec as written.
    pub spec: Value,
    /// Its status as written.
    pub status: Value,
}

impl RawRollout {
    /// Whether our finalizer keeps it.
    pub fn has_finalizer(&self) -> bool {
        self.finalizers.iter().any(|f| is_ours(f))
    }

    /// Takes it out of an object: nothing of it is copied, for it is long and told often.
    fn of(object: Told) -> Self {
        let writers = writers(&object);
        let name = object.name_any();
        let meta = object.metadata;
        Self {
            namespace: meta.namespace.unwrap_or_default(),
            name,
            uid: meta.uid.unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            created: meta
                .creation_timestamp
                .map(|t| t.0.to_string())
                .unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            annotations: meta.annotations.unwrap_or_default(),
            writers,
            finalizers: meta.finalizers.unwrap_or_default(),
            spec: object.spec,
            status: object.status,
        }
    }
}

/// A resource as the server tells of it. kube's own object of no type reads each twice over, to tell its type from the rest;
/// this one is told after every write.
#[derive(Clone, Debug, Deserialize)]
struct Told {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

impl Resource for Told {
    type DynamicType = ();
    type Scope = <GradualRollout as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        GradualRollout::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        GradualRollout::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        GradualRollout::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        GradualRollout::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Who wrote each command, by the managed fields.
fn writers(object: &Told) -> BTreeMap<String, String> {
    let mut writers = BTreeMap::new();
    let annotations = object.metadata.annotations.iter().flatten();
    if !annotations.into_iter().any(|(key, _)| key.starts_with(PREFIX)) {
        return writers;
    }
    for entry in object.metadata.managed_fields.iter().flatten() {
        let fields = entry.fields_v1.as_ref().and_then(|fields| {
            let own = fields.0.get("f:metadata")?.get("f:annotations")?;
            own.as_object()
        });
        let keys = fields.into_iter().flat_map(|fields| fields.keys());
        for key in keys
            .filter_map(|key| key.strip_prefix("f:"))
            .filter(|key| key.starts_with(PREFIX))
        {
            let manager = entry.manager.clone().unwrap_or_default();
            writers.insert(key.to_owned(), manager.chars().take(64).collect());
        }
    }
    writers
}

/// What the watch tells.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is on its way, and nearly all of them are resources"
)]
pub enum RolloutEvent {
    /// A resource is there, new or changed.
    Applied(RawRollout),
    /// A resource is gone.
    Deleted {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Every resource that was there was told.
    Synced,
}

fn api(client: &Client, namespace: &str) -> Api<Told> {
    Api::namespaced(client.clone(), namespace)
}

/// Watches the resources of these namespaces; of all when none is named. Goes on after failures, which it tells.
pub fn watch(
    clients: &Clients,
    namespaces: Vec<String>,
) -> impl Stream<Item = Result<RolloutEvent, ClusterError>> + use<> {
    let scopes: Vec<Option<String>> = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.into_iter().map(Some).collect()
    };
    let mut waiting = scopes.len();
    let mut all: SelectAll<BoxStream<'static, _>> = SelectAll::new();
    for scope in scopes {
        let api: Api<Told> = match &scope {
            Some(namespace) => api(&clients.api, namespace),
            None => Api::all(clients.api.clone()),
        };
        let place = scope.unwrap_or_else(|| "all namespaces".to_owned());
        let mut known = BTreeSet::new();
        let mut listed = BTreeSet::new();
        let events = watcher(api, clients.watching())
            .default_backoff()
            .flat_map(move |event| futures::stream::iter(translate(&place, event, &mut known, &mut listed)));
        // Each scope has one say in whether all is told, however often it lists.
        let mut told = false;
        let events = events.filter(move |event| {
            let again = matches!(event, Ok(RolloutEvent::Synced)) && std::mem::replace(&mut told, true);
            std::future::ready(!again)
        });
        all.push(events.boxed());
    }
    all.filter_map(move |event| {
        // One word that all is told, when every scope has told its own.
        let event = match event {
            Ok(RolloutEvent::Synced) => {
                waiting = waiting.saturating_sub(1);
                (waiting == 0).then_some(Ok(RolloutEvent::Synced))
            }
            other => Some(other),
        };
        std::future::ready(event)
    })
}

type Names = BTreeSet<(String, String)>;

fn translate(
    place: &str,
    event: Result<Event<Told>, WatchError>,
    known: &mut Names,
    listed: &mut Names,
) -> Vec<Result<RolloutEvent, ClusterError>> {
    let gone = |(namespace, name): (String, String)| Ok(RolloutEvent::Deleted { namespace, name });
    match event {
        Ok(Event::Apply(object)) => {
            let raw = RawRollout::of(object);
            known.insert((raw.namespace.clone(), raw.name.clone()));
            vec![Ok(RolloutEvent::Applied(raw))]
        }
        Ok(Event::InitApply(object)) => {
            let raw = RawRollout::of(object);
            listed.insert((raw.namespace.clone(), raw.name.clone()));
            vec![Ok(RolloutEvent::Applied(raw))]
        }
        Ok(Event::Delete(object)) => {
            let key = (object.namespace().unwrap_or_default(), object.name_any());
            known.remove(&key);
            vec![gone(key)]
        }
        Ok(Event::Init) => {
            listed.clear();
            Vec::new()
        }
        Ok(Event::InitDone) => {
            let mut events: Vec<_> = known.difference(listed).cloned().map(gone).collect();
            *known = std::mem::take(listed);
            events.push(Ok(RolloutEvent::Synced));
            events
        }
        Err(error) => {
            let attempt = format!("watching gradualrollouts in {place}");
            vec![Err(match error {
                WatchError::InitialListFailed(e)
                | WatchError::WatchStartFailed(e)
                | WatchError::WatchFailed(e) => ClusterError::new(attempt, e),
                WatchError::WatchError(status) => {
                    ClusterError::of_status(attempt, status.code, status.message.clone())
                }
                WatchError::NoResourceVersion => ClusterError::Unreachable {
                    attempt,
                    message: "the list carries no resourceVersion".to_owned(),
                },
            })]
        }
    }
}

/// Reads a resource.
pub async fn get(client: &Client, namespace: &str, name: &str) -> Result<RawRollout, ClusterError> {
    let read = api(client, namespace).get(name).await;
    read.map(RawRollout::of)
        .map_err(|e| ClusterError::new(format!("reading gradualrollout {namespace}/{name}"), e))
}

/// Reads a resource, for those who have their own words for what goes wrong.
pub(super) async fn fetch(client: &Client, namespace: &str, name: &str) -> kube::Result<RawRollout> {
    api(client, namespace).get(name).await.map(RawRollout::of)
}

/// Reads every resource of a namespace.
pub(super) async fn fetch_all(client: &Client, namespace: &str) -> kube::Result<Vec<RawRollout>> {
    let listed = api(client, namespace).list(&ListParams::default()).await?;
    Ok(listed.items.into_iter().map(RawRollout::of).collect())
}

/// Writes a whole status on the version it was decided on, as a merge patch: what vanishes from it is null in it.
pub async fn write_status(
    client: &Client,
    namespace: &str,
    name: &str,
    resource_version: &str,
    status: &RawValue,
) -> Result<RawRollout, ClusterError> {
    let body = StatusPatch {
        metadata: json!({"resourceVersion": resource_version}),
        status,
    };
    let params = PatchParams {
        field_manager: Some(super::objects::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let written = api(client, namespace)
        .patch_status(name, &params, &Patch::Merge(&body))
        .await;
    written.map(RawRollout::of).map_err(|e| {
        ClusterError::new(
            format!("writing the status of gradualrollout {namespace}/{name}"),
            e,
        )
    })
}

#[derive(Debug, Serialize)]
struct StatusPatch<'a> {
    metadata: Value,
    status: &'a RawValue,
}

async fn json_patch(
    client: &Client,
    raw: &RawRollout,
    attempt: &str,
    body: Value,
) -> Result<RawRollout, ClusterError> {
    let attempt = || format!("{attempt} gradualrollout {}/{}", raw.namespace, raw.name);
    let body: json_patch::Patch = serde_json::from_value(body).map_err(|e| ClusterError::Unreachable {
        attempt: attempt(),
        message: e.to_string(),
    })?;
    let params = PatchParams {
        field_manager: Some(super::objects::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let written = api(client, &raw.namespace)
        .patch(&raw.name, &params, &Patch::Json::<()>(body))
        .await;
    written
        .map(RawRollout::of)
        .map_err(|e| ClusterError::new(attempt(), e))
}

/// Removes annotations, each only if it still has the value it was read with.
pub async fn remove_annotations(
    client: &Client,
    raw: &RawRollout,
    annotations: &[(String, String)],
) -> Result<RawRollout, ClusterError> {
    let operations: Vec<Value> = annotations
        .iter()
        .flat_map(|(key, value)| {
            let path = PointerBuf::from_tokens(["metadata", "annotations", key]).to_string();
            [
                json!({"op": "test", "path": path, "value": value}),
                json!({"op": "remove", "path": path}),
            ]
        })
        .collect();
    json_patch(
        client,
        raw,
        "removing finished commands from",
        Value::Array(operations),
    )
    .await
}

/// Lets the resource be deleted only after it was seen out.
pub async fn add_finalizer(client: &Client, raw: &RawRollout) -> Result<RawRollout, ClusterError> {
    let mut finalizers = raw.finalizers.clone();
    finalizers.push(FINALIZER.to_owned());
    set_finalizers(client, raw, &finalizers).await
}

/// Lets the resource go.
pub async fn remove_finalizer(client: &Client, raw: &RawRollout) -> Result<RawRollout, ClusterError> {
    let finalizers: Vec<String> = raw.finalizers.iter().filter(|f| !is_ours(f)).cloned().collect();
    set_finalizers(client, raw, &finalizers).await
}

async fn set_finalizers(
    client: &Client,
    raw: &RawRollout,
    finalizers: &[String],
) -> Result<RawRollout, ClusterError> {
    let body = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": raw.resource_version},
        {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
    ]);
    json_patch(client, raw, "setting the finalizers of", body).await
}
