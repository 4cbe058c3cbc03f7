//! Whether what carries traffic is ready, as a person's command asks.

use super::{ByHand, Error, within};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::ListParams;

/// How much of something is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// So many are.
    pub ready: usize,
    /// Of so many.
    pub of: usize,
}

impl ByHand {
    /// The ready endpoints of a Service; `None` when no `EndpointSlice` names it.
    pub async fn endpoints(&self, namespace: &str, service: &str) -> Result<Option<Ready>, Error> {
        let doing = format!("reading the endpoints of the Service {namespace}/{service}");
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), namespace);
        let labels = format!("kubernetes.io/service-name={service}");
        let listed = within(&doing, None, slices.list(&ListParams::default().labels(&labels))).await?;
        if listed.items.is_empty() {
            return Ok(None);
        }
        let endpoints: Vec<bool> = listed
            .items
            .into_iter()
            .flat_map(|slice| slice.endpoints.unwrap_or_default())
            // A condition that is absent means ready, as the API says.
            .map(|endpoint| endpoint.conditions.and_then(|c| c.ready).unwrap_or(true))
            .collect();
        Ok(Some(Ready {
            ready: endpoints.iter().filter(|ready| **ready).count(),
            of: endpoints.len(),
        }))
    }

    /// The ready pods of a Deployment, once its controller has seen its newest spec; `None` before.
    pub async fn deployment(&self, namespace: &str, name: &str) -> Result<Option<Ready>, Error> {
        let doing = format!("reading the Deployment {namespace}/{name}");
        let what = format!("the Deployment {namespace}/{name}");
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        let found = within(&doing, Some(&what), api.get(name)).await?;
        let count = |n: Option<i32>| usize::try_from(n.unwrap_or_default()).unwrap_or_default();
        let wanted = usize::try_from(found.spec.replicas.unwrap_or(1)).unwrap_or_default();
        let Some(status) = found.status else {
            return Ok(None);
        };
        if status.observed_generation < found.metadata.generation {
            return Ok(None);
        }
        // Pods of the old spec do not count: they know nothing of the rollback.
        Ok(Some(Ready {
            ready: count(status.ready_replicas).min(count(status.updated_replicas)),
            of: wanted,
        }))
    }
}
