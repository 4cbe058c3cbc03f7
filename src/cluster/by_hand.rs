//! What a person's command does in the cluster: one-off reads and writes, each with an answer in words.
//!
//! The daemon has its own, watched and fenced ways; here nothing is cached and nothing is retried behind the
//! caller's back.

mod error;
mod health;
mod listing;
mod past;

use super::connect;
use super::lease::{ALIVE_WITHIN, names, said};
use super::objects;
use super::rollouts::{self, RawRollout};
use crate::rollout::command::Command;
use crate::rollout::spec::GradualRollout;
use crate::routing::{ObjectKind, ObjectPatch, ObjectRef, PatchBody};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use error::Error;
pub use health::Ready;
pub use past::{Log, Told};

/// The field manager of what a person's command writes.
pub const FIELD_MANAGER: &str = "gradual-rollout-cli";
/// How long the cluster may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Whether a daemon is alive, by its Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// It renewed its Lease in time.
    Alive {
        /// Its identity.
        holder: String,
    },
    /// It did not.
    Silent {
        /// Who it was, and since when it is silent, as a sentence.
        message: String,
    },
}

/// A connection for one command.
#[derive(Clone)]
pub struct ByHand {
    pub(super) client: Client,
    manager: &'static str,
}

impl std::fmt::Debug for ByHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByHand").finish_non_exhaustive()
    }
}

impl ByHand {
    /// Connects as the current kubeconfig says, or from inside a cluster.
    pub async fn connect() -> Result<Self, Error> {
        let clients = connect::connect(None, None).await?;
        // The one without retries: a person waits, and the caller decides what is tried again.
        Ok(Self::new(clients.fast))
    }

    /// With a client of the caller's.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            manager: FIELD_MANAGER,
        }
    }

    /// The same, whose writes carry another field manager.
    #[must_use]
    pub fn writing_as(self, manager: &'static str) -> Self {
        Self { manager, ..self }
    }

    /// One rollout as it is written, whether or not its spec can be used.
    pub async fn raw(&self, namespace: &str, name: &str) -> Result<RawRollout, Error> {
        let doing = format!("reading the rollout {namespace}/{name}");
        let what = format!("the rollout {namespace}/{name}");
        within(
            &doing,
            Some(&what),
            rollouts::fetch(&self.client, namespace, name),
        )
        .await
    }

    /// Every rollout of a namespace as it is written.
    pub async fn raw_all(&self, namespace: &str) -> Result<Vec<RawRollout>, Error> {
        let doing = format!("listing the rollouts of {namespace}");
        within(&doing, None, rollouts::fetch_all(&self.client, namespace)).await
    }

    /// Every rollout of a namespace, by name.
    pub async fn rollouts(&self, namespace: &str) -> Result<Vec<GradualRollout>, Error> {
        let doing = format!("listing the rollouts of {namespace}");
        let api = self.rollout_api(namespace);
        let listed = within(&doing, None, api.list(&ListParams::default())).await;
        let mut items = listed?.items;
        items.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        Ok(items)
    }

    /// One rollout.
    pub async fn rollout(&self, namespace: &str, name: &str) -> Result<GradualRollout, Error> {
        let doing = format!("reading the rollout {namespace}/{name}");
        let what = format!("the rollout {namespace}/{name}");
        within(&doing, Some(&what), self.rollout_api(namespace).get(name)).await
    }

    /// Writes a command on a rollout, or only asks whether it would be taken.
    pub async fn command(
        &self,
        namespace: &str,
        rollout: &str,
        command: &Command,
        dry_run: bool,
    ) -> Result<(), Error> {
        let doing = format!("giving the command to {namespace}/{rollout}");
        let what = format!("the rollout {namespace}/{rollout}");
        // A merge patch: JSON Patch cannot add where there are no annotations yet.
        let patch = json!({"metadata": {"annotations": {command.key(): command.value()}}});
        let api = self.rollout_api(namespace);
        let (params, patch) = (self.params(dry_run), Patch::Merge(&patch));
        within(&doing, Some(&what), api.patch(rollout, &params, &patch))
            .await
            .map(drop)
    }

    /// Writes an annotation on a rollout.
    pub async fn annotate(
        &self,
        namespace: &str,
        rollout: &str,
        key: &str,
        value: &str,
    ) -> Result<(), Error> {
        let doing = format!("annotating {namespace}/{rollout}");
        let what = format!("the rollout {namespace}/{rollout}");
        let patch = json!({"metadata": {"annotations": {key: value}}});
        let api = self.rollout_api(namespace);
        let (params, patch) = (self.params(false), Patch::Merge(&patch));
        within(&doing, Some(&what), api.patch(rollout, &params, &patch))
            .await
            .map(drop)
    }

    /// Takes a command back that nobody has taken up. False when it was gone already.
    pub async fn withdraw(&self, namespace: &str, rollout: &str, command: &Command) -> Result<bool, Error> {
        let doing = format!("taking the command back from {namespace}/{rollout}");
        let what = format!("the rollout {namespace}/{rollout}");
        let pointer = format!(
            "/metadata/annotations/{}",
            command.key().replace('~', "~0").replace('/', "~1")
        );
        let patch = json_patch(
            json!([
                {"op": "test", "path": pointer, "value": command.value()},
                {"op": "remove", "path": pointer},
            ]),
            &doing,
        )?;
        let api = self.rollout_api(namespace);
        let (params, patch) = (self.params(false), Patch::Json::<()>(patch));
        match within(&doing, Some(&what), api.patch(rollout, &params, &patch)).await {
            Ok(_) => Ok(true),
            Err(Error::Conflict(_) | Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a daemon is alive in any of these namespaces. Where none is, what cannot be read is an error, not a
    /// silent daemon.
    pub async fn daemon_in(&self, namespaces: &[&str], lease: &str, now: Timestamp) -> Result<Daemon, Error> {
        let (mut silent, mut unread) = (Vec::new(), None);
        for namespace in namespaces {
            match self.daemon(namespace, lease, now).await {
                Ok(alive @ Daemon::Alive { .. }) => return Ok(alive),
                Ok(Daemon::Silent { message }) => silent.push(message),
                Err(error) => unread = Some(error),
            }
        }
        match unread {
            Some(error) => Err(error),
            None => Ok(Daemon::Silent {
                message: silent.join("; "),
            }),
        }
    }

    /// Whether a daemon is alive; where the work is split, of any shard. What cannot be read is an error, not a silent
    /// daemon.
    async fn daemon(&self, namespace: &str, lease: &str, now: Timestamp) -> Result<Daemon, Error> {
        let found = self.lease(namespace, lease).await?;
        let shards = said(found.as_ref());
        if shards <= 1 {
            return self.holder(found, namespace, lease, now).await;
        }
        let (mut holders, mut idle) = (BTreeSet::new(), Vec::new());
        for name in names(lease, shards) {
            let found = self.lease(namespace, &name).await?;
            match self.holder(found, namespace, &name, now).await? {
                Daemon::Alive { holder } => {
                    holders.insert(holder);
                }
                Daemon::Silent { message } => idle.push(message),
            }
        }
        if holders.is_empty() {
            return Ok(Daemon::Silent {
                message: idle.join("; "),
            });
        }
        let mut holder = holders.into_iter().collect::<Vec<_>>().join(", ");
        if !idle.is_empty() {
            let lacking = format!(
                "; {} of {shards} shards have no daemon yet: {}",
                idle.len(),
                idle.join("; ")
            );
            holder.push_str(&lacking);
        }
        Ok(Daemon::Alive { holder })
    }

    async fn lease(&self, namespace: &str, lease: &str) -> Result<Option<Lease>, Error> {
        let doing = format!("reading the Lease {namespace}/{lease}");
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        within(&doing, None, leases.get_opt(lease)).await
    }

    /// Whether whoever holds a Lease is alive.
    async fn holder(
        &self,
        found: Option<Lease>,
        namespace: &str,
        lease: &str,
        now: Timestamp,
    ) -> Result<Daemon, Error> {
        let silent = |message: String| Ok(Daemon::Silent { message });
        let Some(spec) = found.and_then(|lease| lease.spec) else {
            return silent(format!(
                "there is no Lease {namespace}/{lease}: no daemon ever ran here"
            ));
        };
        let holder = spec.holder_identity.unwrap_or_default();
        let Some(renewed) = spec.renew_time.filter(|_| !holder.is_empty()) else {
            return silent(format!(
                "the Lease {namespace}/{lease} is released: no daemon runs"
            ));
        };
        let believed = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
        let believed = believed.map_or(ALIVE_WITHIN, Duration::from_secs);
        let fresh = Duration::try_from(now.duration_since(renewed.0)).is_ok_and(|age| age <= believed);
        if fresh {
            return Ok(Daemon::Alive { holder });
        }
        // This machine's clock may be off: the cluster's counts.
        let asking = "asking the API server for the time";
        let now = within(asking, None, self.served_at()).await?.unwrap_or(now);
        // A renewal in the future is another machine's clock, and alive.
        let age = Duration::try_from(now.duration_since(renewed.0)).unwrap_or(Duration::ZERO);
        if age <= believed {
            return Ok(Daemon::Alive { holder });
        }
        silent(format!(
            "the daemon {holder} has not renewed its Lease {namespace}/{lease} for {}s",
            age.as_secs()
        ))
    }

    /// The time at the API server, as far as it tells.
    pub(super) async fn served_at(&self) -> kube::Result<Option<Timestamp>> {
        let request = http::Request::get("/version")
            .body(kube::client::Body::empty())
            .map_err(kube::Error::HttpError)?;
        let answer = self.client.send(request).await?;
        let date = answer.headers().get(http::header::DATE);
        Ok(date.and_then(|date| Some(jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok()?.timestamp())))
    }

    /// A routed object, under the first of its kind's versions that the cluster serves.
    pub async fn object(&self, object: &ObjectRef) -> Result<Value, Error> {
        let doing = format!("reading {object}");
        for version in object.kind.versions() {
            let api = self.object_api(object, version);
            if let Some(found) = within(&doing, None, api.get_opt(&object.name)).await? {
                return serde_json::to_value(found).map_err(|e| Error::Refused {
                    doing,
                    message: e.to_string(),
                });
            }
        }
        Err(Error::NotFound(object.to_string()))
    }

    /// Writes a routed object that was read as `json`, or only asks whether it would be taken. Never sends a patch
    /// twice: after a conflict, read and compute it again.
    pub async fn patch(
        &self,
        object: &ObjectRef,
        json: &Value,
        patch: &ObjectPatch,
        dry_run: bool,
    ) -> Result<(), Error> {
        let doing = format!("writing {object}");
        let version = json
            .get("apiVersion")
            .and_then(Value::as_str)
            .and_then(|v| v.rsplit('/').next())
            .unwrap_or(object.kind.version());
        let PatchBody::Json(body) = &patch.body;
        let body = serde_json::to_value(body).map_err(|e| Error::Refused {
            doing: doing.clone(),
            message: e.to_string(),
        })?;
        let body = json_patch(body, &doing)?;
        let api = self.object_api(object, version);
        let (params, body) = (self.params(dry_run), Patch::Json::<()>(body));
        let what = object.to_string();
        within(&doing, Some(&what), api.patch(&object.name, &params, &body))
            .await
            .map(drop)
    }

    /// Every object of a kind in a namespace.
    pub async fn list(&self, kind: ObjectKind, namespace: &str) -> Result<Vec<Arc<Value>>, Error> {
        let doing = format!("listing {} in {namespace}", kind.plural());
        let mut answer = Ok(Vec::new());
        for version in kind.versions() {
            let of_any = ObjectRef {
                kind,
                namespace: namespace.to_owned(),
                name: String::new(),
            };
            let api = self.object_api(&of_any, version);
            match within(&doing, None, api.list(&ListParams::default())).await {
                Ok(listed) => {
                    return listed
                        .items
                        .iter()
                        .map(|object| {
                            objects::json(kind, object).map_err(|e| Error::Refused {
                                doing: doing.clone(),
                                message: e.to_string(),
                            })
                        })
                        .collect();
                }
                // Not served under this version, or not at all: then there is none of it.
                Err(Error::NoDefinition) => {}
                Err(error) => answer = Err(error),
            }
        }
        answer
    }

    /// Deletes an object if it is the very one that was read, in the version that was read.
    pub async fn delete(&self, object: &ObjectRef, uid: &str, resource_version: &str) -> Result<(), Error> {
        let doing = format!("deleting {object}");
        let api = self.object_api(object, object.kind.version());
        let params = objects::removing(uid, resource_version);
        let what = object.to_string();
        within(&doing, Some(&what), api.delete(&object.name, &params))
            .await
            .map(drop)
    }

    fn params(&self, dry_run: bool) -> PatchParams {
        PatchParams {
            dry_run,
            field_manager: Some(self.manager.to_owned()),
            ..PatchParams::default()
        }
    }

    fn rollout_api(&self, namespace: &str) -> Api<GradualRollout> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn object_api(&self, object: &ObjectRef, version: &str) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk(object.kind.group(), version, object.kind.kind());
        let resource = ApiResource::from_gvk_with_plural(&gvk, object.kind.plural());
        Api::namespaced_with(self.client.clone(), &object.namespace, &resource)
    }
}

/// An answer in time, or an error in words.
pub(super) async fn within<T>(
    doing: &str,
    what: Option<&str>,
    answer: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(answer) => answer.map_err(|error| error::told(error, doing, what)),
        Err(_) => Err(Error::no_answer(doing, ANSWER_WITHIN)),
    }
}

fn json_patch(operations: Value, doing: &str) -> Result<json_patch::Patch, Error> {
    serde_json::from_value(operations).map_err(|e| Error::Refused {
        doing: doing.to_owned(),
        message: e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::sandbox::apiserver::{Store, serve};
    use tokio::task::JoinSet;

    /// A server whose clock says January, with a Lease renewed so many seconds before.
    async fn told(renewed_ago: i64) -> Daemon {
        let there: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        let store = Store::new(Clock::simulated(there));
        store.namespace("sys");
        let renewed = Timestamp::from_second(there.as_second() - renewed_ago).unwrap();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "gradual-rollout", "namespace": "sys"},
            "spec": {"holderIdentity": "one", "leaseDurationSeconds": 15, "renewTime": format!("{renewed:.6}")},
        });
        store.put(lease).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut servers = JoinSet::new();
        servers.spawn(serve(listener, store, std::future::pending()));
        let client = Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
        let here = Clock::System.now();
        ByHand::new(client)
            .daemon("sys", "gradual-rollout", here)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_daemon_is_as_old_as_the_clusters_clock_says() {
        assert_eq!(told(3).await, Daemon::Alive { holder: "one".into() });
        let Daemon::Silent { message } = told(100).await else {
            panic!("not renewed for 100 s, and alive");
        };
        assert!(
            message.contains("for 100s") || message.contains("for 101s"),
            "{message}"
        );
    }
}
