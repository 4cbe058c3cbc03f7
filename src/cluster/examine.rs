//! What a doctor asks of a cluster: its definition of the resource, the rights of whoever asks, its clock.

use super::by_hand::{ByHand, Error, within};
use crate::rollout::spec::GradualRollout;
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use kube::api::{Api, ListParams, PostParams};
use serde_json::Value;

/// One verb on one kind of object in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The namespace.
    pub namespace: String,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The plural.
    pub resource: &'static str,
    /// The subresource, or nothing.
    pub subresource: &'static str,
    /// The object's name; empty for any.
    pub name: String,
    /// `get`, `list`, …
    pub verb: &'static str,
}

impl ByHand {
    /// The definition of our resource as the cluster has it; `None` where it is not installed.
    pub async fn installed_definition(&self) -> Result<Option<Value>, Error> {
        let doing = "reading the definition of GradualRollouts";
        let all: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let found = within(doing, None, all.get_opt(GradualRollout::crd_name())).await?;
        found
            .map(|definition| {
                serde_json::to_value(definition).map_err(|e| Error::Refused {
                    doing: doing.to_owned(),
                    message: e.to_string(),
                })
            })
            .transpose()
    }

    /// Whether whoever asks has the right.
    pub async fn may(&self, right: &Right) -> Result<bool, Error> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    namespace: some(&right.namespace),
                    group: some(right.group),
                    resource: some(right.resource),
                    subresource: some(right.subresource),
                    name: some(&right.name),
                    verb: some(right.verb),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let doing = "asking for the own rights";
        let answer = within(doing, None, reviews.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// Every rollout of every namespace.
    pub async fn rollouts_everywhere(&self) -> Result<Vec<GradualRollout>, Error> {
        let all: Api<GradualRollout> = Api::all(self.client.clone());
        let doing = "listing the rollouts of all namespaces";
        let listed = within(doing, None, all.list(&ListParams::default())).await;
        Ok(listed?.items)
    }

    /// The time at the API server, to the second; `None` where it does not tell.
    pub async fn time(&self) -> Result<Option<Timestamp>, Error> {
        within("asking the API server for the time", None, self.served_at()).await
    }
}
