//! Lists for a person: over namespaces, by labels, and with the difference between none and not served.

use super::{ByHand, Error, within};
use crate::cluster::objects;
use crate::rollout::spec::GradualRollout;
use crate::routing::ObjectKind;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;
use std::sync::Arc;

impl ByHand {
    /// Objects of a kind, in one namespace or in all, with these labels; `None` when the cluster does not serve the
    /// kind.
    pub async fn search(
        &self,
        kind: ObjectKind,
        namespace: Option<&str>,
        selector: Option<&str>,
    ) -> Result<Option<Vec<Arc<Value>>>, Error> {
        let place = namespace.unwrap_or("all namespaces");
        let doing = format!("listing {} in {place}", kind.plural());
        let params = ListParams {
            label_selector: selector.map(str::to_owned),
            ..ListParams::default()
        };
        for version in kind.versions() {
            let resource = objects::resource(kind, version);
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
                None => Api::all_with(self.client.clone(), &resource),
            };
            match within(&doing, None, api.list(&params)).await {
                Ok(listed) => {
                    let json = |object| {
                        objects::json(kind, object).map_err(|e| Error::Refused {
                            doing: doing.clone(),
                            message: e.to_string(),
                        })
                    };
                    return listed.items.iter().map(json).collect::<Result<_, _>>().map(Some);
                }
                Err(Error::NoDefinition) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Every rollout, in one namespace or in all; none where the cluster does not know the custom resource yet.
    pub async fn existing_rollouts(&self, namespace: Option<&str>) -> Result<Vec<GradualRollout>, Error> {
        let place = namespace.unwrap_or("all namespaces");
        let doing = format!("listing the rollouts of {place}");
        let api: Api<GradualRollout> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        match within(&doing, None, api.list(&ListParams::default())).await {
            Ok(listed) => Ok(listed.items),
            Err(Error::NoDefinition) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}
