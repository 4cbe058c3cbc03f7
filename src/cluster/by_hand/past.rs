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

/// The end of a log.
#[derive(Debug)]
pub struct Log {
    /// Whose.
    pub pod: String,
    /// Of which of its containers.
    pub container: String,
    /// Whether it is of the container before it was started again.
    pub previous: bool,
    /// What it says, or why it could not be read.
    pub text: Result<String, Error>,
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

    /// The ends of the logs of a namespace's daemons, by pod and container; also of a container before it was started
    /// again: what a daemon said last before it crashed stands nowhere else.
    pub async fn logs(&self, namespace: &str) -> Result<Vec<Log>, Error> {
        let doing = format!("listing the pods of daemons in {namespace}");
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let listed = within(&doing, None, api.list(&ListParams::default().labels(DAEMONS))).await?;
        let mut logs = Vec::new();
        for pod in listed.items {
            let Some(name) = pod.metadata.name else { continue };
            let stands = pod.status.and_then(|status| status.container_statuses);
            let stands = stands.unwrap_or_default();
            for container in pod.spec.into_iter().flat_map(|spec| spec.containers) {
                let restarted = stands
                    .iter()
                    .any(|stand| stand.name == container.name && stand.restart_count > 0);
                for previous in [false, true] {
                    if previous && !restarted {
                        continue;
                    }
                    let text = self.log(namespace, &name, &container.name, previous).await;
                    logs.push(Log {
                        pod: name.clone(),
                        container: container.name.clone(),
                        previous,
                        text,
                    });
                }
            }
        }
        Ok(logs)
    }
    async fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
    ) -> Result<String, Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let params = LogParams {
            // A pod of several containers has no log of its own.
            container: Some(container.to_owned()),
            previous,
            tail_lines: Some(LINES),
            limit_bytes: Some(BYTES),
            timestamps: true,
            ..LogParams::default()
        };
        let which = if previous { "previous log" } else { "log" };
        let doing = format!("reading the {which} of the container {container} of the pod {namespace}/{pod}");
        let what = format!("the {which} of {namespace}/{pod} ({container})");
        within(&doing, Some(&what), api.logs(pod, &params)).await
    }
}
