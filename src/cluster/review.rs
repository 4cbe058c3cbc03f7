//! Whom a bearer token belongs to, and what they may do: asked of the API server each time and kept nowhere.

use super::by_hand::{ByHand, Error, within};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

/// Somebody whom the API server knows by a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Person(UserInfo);

impl Person {
    /// The user's name, as audit logs have it.
    pub fn name(&self) -> &str {
        self.0.username.as_deref().unwrap_or_default()
    }
}

impl ByHand {
    /// Who presents this token; `None`: the API server knows nobody by it. Needs `create` on `tokenreviews`.
    pub async fn person(&self, token: &str) -> Result<Option<Person>, Error> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let doing = "asking whose token it is";
        let answer = within(doing, None, reviews.create(&PostParams::default(), &review)).await?;
        let status = answer.status.unwrap_or_default();
        let known = status.authenticated.unwrap_or(false);
        let user = status.user.filter(|_| known).map(Person);
        Ok(user.filter(|person| !person.name().is_empty()))
    }

    /// Whether somebody may do this to a rollout: the verb on `gradualrollouts`, as the admission policy asks for it.
    /// Needs `create` on `subjectaccessreviews`.
    pub async fn may_command(
        &self,
        person: &Person,
        verb: &str,
        namespace: &str,
        rollout: &str,
    ) -> Result<bool, Error> {
        let user = person.0.clone();
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: user.username,
                uid: user.uid,
                groups: user.groups,
                extra: user.extra,
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(namespace.to_owned()),
                    group: Some("rollout.sealos.io".to_owned()),
                    resource: Some("gradualrollouts".to_owned()),
                    name: Some(rollout.to_owned()),
                    verb: Some(verb.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let doing = format!("asking for the rights of {}", person.name());
        let answer = within(&doing, None, reviews.create(&PostParams::default(), &review)).await?;
        // Neither an error of the evaluation nor no opinion is a yes.
        Ok(answer.status.is_some_and(|s| s.allowed && s.denied != Some(true)))
    }
}
