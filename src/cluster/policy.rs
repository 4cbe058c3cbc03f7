//! Whether the admission policy of `deploy/` guards commands here.

use super::by_hand::{ByHand, Error, within};
use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, Validation,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::Api;

/// What the policy and its binding are called.
const POLICY: &str = "gradual-rollout-commands";

impl ByHand {
    /// Whether the policy is there, bound to everything, denies, and keeps `vouched` to those who may vouch: then an
    /// annotation's verb was allowed to whoever wrote it, and a vouched name is true.
    pub async fn commands_are_guarded(&self) -> Result<bool, Error> {
        let doing = "reading the admission policy";
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(self.client.clone());
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(self.client.clone());
        let policy = within(doing, None, policies.get_opt(POLICY)).await?;
        let Some(policy) = policy.and_then(|policy| policy.spec) else {
            return Ok(false);
        };
        let vouches =
            |v: &Validation| v.expression.contains("vouched") && v.expression.contains("check('vouch')");
        let keeps = policy.validations.iter().flatten().any(vouches)
            && policy.match_conditions.is_none()
            && everywhere(policy.match_constraints.as_ref());
        let binding = within(doing, None, bindings.get_opt(POLICY)).await?;
        let Some(binding) = binding.map(|binding| binding.spec).filter(|_| keeps) else {
            return Ok(false);
        };
        let denies = binding.validation_actions.iter().any(|action| action == "Deny");
        Ok(denies && binding.policy_name == POLICY && binding.match_resources.is_none())
    }
}

/// Whether it looks at every object, wherever it is.
fn everywhere(constraints: Option<&MatchResources>) -> bool {
    let any = |selector: Option<&LabelSelector>| {
        selector.is_none_or(|s| s.match_labels.is_none() && s.match_expressions.is_none())
    };
    constraints.is_some_and(|c| any(c.namespace_selector.as_ref()) && any(c.object_selector.as_ref()))
}
