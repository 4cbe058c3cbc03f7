//! Leases on the wire: read, and written on the version that was read.

use super::sight::Act;
use super::{ASKED_BY, LeaseSettings, SHARDS};
use crate::clock::Clock;
use crate::cluster::{ClusterError, objects};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::ObjectMeta;
use std::time::Duration;

/// One Lease of the API server.
pub(super) struct Wire {
    api: Api<Lease>,
    clock: Clock,
    place: String,
    name: String,
    identity: String,
    believed: Duration,
}

impl Wire {
    pub(super) fn new(settings: &LeaseSettings, clock: &Clock, name: &str) -> Self {
        Self {
            api: Api::namespaced(settings.clients.api.clone(), &settings.namespace),
            clock: clock.clone(),
            place: format!("lease {}/{name}", settings.namespace),
            name: name.to_owned(),
            identity: settings.identity.clone(),
            believed: settings.duration,
        }
    }

    pub(super) fn api(&self) -> Api<Lease> {
        self.api.clone()
    }

    fn failed(&self, doing: &str, error: kube::Error) -> ClusterError {
        ClusterError::new(format!("{doing} {}", self.place), error)
    }

    /// As the API server has it now; `None` when there is none.
    pub(super) async fn read(&self) -> Result<Option<Lease>, ClusterError> {
        let read = self.api.get_opt(&self.name).await;
        read.map_err(|e| self.failed("reading", e))
    }

    /// Takes or renews it on the version that was read: of two that take it, one loses.
    pub(super) async fn hold(&self, known: Option<Lease>, act: Act) -> Result<Lease, ClusterError> {
        let takes = !matches!(act, Act::Renew);
        let before = known.as_ref().and_then(|l| l.spec.clone()).unwrap_or_default();
        let stamp = Some(MicroTime(self.clock.now()));
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.believed.as_secs()).ok(),
            renew_time: stamp.clone(),
            acquire_time: if takes { stamp } else { before.acquire_time },
            lease_transitions: Some(
                before
                    .lease_transitions
                    .unwrap_or(0)
                    .saturating_add(i32::from(takes)),
            ),
            ..LeaseSpec::default()
        };
        // Who holds it makes of it what it says: whatever was asked of the holder before is over.
        let forget: &[&str] = if takes { &[ASKED_BY, SHARDS] } else { &[] };
        self.write("writing", known, spec, forget, None).await
    }

    /// Gives it to somebody, or to nobody.
    pub(super) async fn give(&self, known: Lease, to: &str) -> Result<Lease, ClusterError> {
        let before = known.spec.clone().unwrap_or_default();
        let to_somebody = !to.is_empty();
        let spec = LeaseSpec {
            holder_identity: Some(to.to_owned()),
            renew_time: if to_somebody {
                Some(MicroTime(self.clock.now()))
            } else {
                before.renew_time
            },
            lease_transitions: Some(
                before
                    .lease_transitions
                    .unwrap_or(0)
                    .saturating_add(i32::from(to_somebody)),
            ),
            ..before
        };
        self.write("giving back", Some(known), spec, &[ASKED_BY], None)
            .await
    }

    /// Asks its holder for it.
    pub(super) async fn ask(&self, known: Lease) -> Result<Lease, ClusterError> {
        let spec = known.spec.clone().unwrap_or_default();
        let asked = format!("{} {}", self.identity, self.clock.now());
        self.write("asking for", Some(known), spec, &[], Some((ASKED_BY, asked)))
            .await
    }

    /// Says in how many shards the work is split from now on.
    pub(super) async fn split(&self, known: Option<Lease>, shards: u32) -> Result<Lease, ClusterError> {
        let before = known.as_ref().and_then(|l| l.spec.clone()).unwrap_or_default();
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            ..before
        };
        let said = Some((SHARDS, shards.to_string()));
        self.write("saying the number of shards in", known, spec, &[ASKED_BY], said)
            .await
    }

    async fn write(
        &self,
        doing: &str,
        known: Option<Lease>,
        spec: LeaseSpec,
        forget: &[&str],
        say: Option<(&str, String)>,
    ) -> Result<Lease, ClusterError> {
        let exists = known.is_some();
        let mut metadata = known.map_or_else(
            || ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            |lease| lease.metadata,
        );
        let mut annotations = metadata.annotations.take().unwrap_or_default();
        annotations.retain(|key, _| !forget.contains(&key.as_str()));
        annotations.extend(say.map(|(key, value)| (key.to_owned(), value)));
        metadata.annotations = (!annotations.is_empty()).then_some(annotations);
        let lease = Lease {
            metadata,
            spec: Some(spec),
        };
        let params = objects::creating();
        let written = if exists {
            self.api.replace(&self.name, &params, &lease).await
        } else {
            self.api.create(&params, &lease).await
        };
        written.map_err(|e| self.failed(doing, e))
    }
}
