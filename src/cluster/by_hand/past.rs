//! What a cluster remembers for those who come afterwards: Events, and the logs of daemons.

use super::{ByHand, Error, within};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, LogParams};

/// The label of a daemon's pods, as deploy/ gives it.
const DAEMONS: &str = "app.kubernetes.io/name=gradual-rollout";
/// Lines of a log that are read, from its end.
const LINES: i64 = 5000;
/// Bytes likewise.
const BYTES: i64 = 4 * 1024 * 1024;

/// An Event about a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When it was said first.
    pub at: String,
    /// The rollout.
    pub about: String,
    /// `Normal` or `Warning`.
    pub kind: String,
    /// A code.
    pub reason: String,
    /// A sentence.
    pub note: String,
    /// How often it was said.
    pub count: i32,
}

impl ByHand {
    /// The Events of a namespace about rollouts, oldest first.
    pub async fn events(&self, namespace: &str) -> Result<Vec<Told>, Error> {
        let doing = format!("listing the Events of {namespace}");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let listed = within(&doing, None, api.list(&ListParams::default())).await?;
        let ours = |event: &Event| {
            let kind = event.regarding.as_ref().and_then(|r| r.kind.as_deref());
            kind == Some("GradualRollout")
        };
        let mut told: Vec<Told> = listed
            .items
            .into_iter()
            .filter(ours)
            .map(|event| Told {
                at: event.event_time.map(|at| at.0.to_string()).unwrap_or_default(),
                about: event.regarding.and_then(|r| r.name).unwrap_or_default(),
                kind: event.type_.unwrap_or_default(),
                reason: event.reason.unwrap_or_default(),
                note: event.note.unwrap_or_default(),
                count: event.series.map_or(1, |series| series.count),
            })
            .collect();
        told.sort_by(|a, b| a.at.cmp(&b.at));
        Ok(told)
    }

    /// The ends of the logs of a namespace's daemons, by pod.
    pub async fn logs(&self, namespace: &str) -> Result<Vec<(String, Result<String, Error>)>, Error> {
        let doing = format!("listing the pods of daemons in {namespace}");
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let listed = within(&doing, None, api.list(&ListParams::default().labels(DAEMONS))).await?;
        let params = LogParams {
            tail_lines: Some(LINES),
            limit_bytes: Some(BYTES),
            timestamps: true,
            ..LogParams::default()
        };
        let mut logs = Vec::new();
        for pod in listed.items.into_iter().filter_map(|pod| pod.metadata.name) {
            let doing = format!("reading the log of the pod {namespace}/{pod}");
            let what = format!("the log of {namespace}/{pod}");
            let log = within(&doing, Some(&what), api.logs(&pod, &params)).await;
            logs.push((pod, log));
        }
        Ok(logs)
    }
}
