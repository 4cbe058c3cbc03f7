//! Whether the admission policy of `deploy/` guards commands here.

use super::by_hand::{ByHand, Error, within};
use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    ValidatingAdmissionPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::Api;

/// What the policy and its binding are called.
const POLICY: &str = "gradual-rollout-commands";
/// The policy as it is shipped, and its binding.
const SHIPPED: &str = include_str!("../../deploy/admission-policy.yaml");

impl ByHand {
    /// Whether the shipped policy is there as this program knows it, bound to everything, and denies: then an annotation's
    /// verb was allowed to whoever wrote it, and a vouched name is true. One that is narrowed in any way vouches for
    /// nothing.
    pub async fn commands_are_guarded(&self) -> Result<bool, Error> {
        let doing = "reading the admission policy";
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(self.client.clone());
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(self.client.clone());
        let policy = within(doing, None, policies.get_opt(POLICY)).await?;
        let Some(policy) = policy.and_then(|policy| policy.spec) else {
            return Ok(false);
        };
        if !is_whole(&policy) {
            return Ok(false);
        }
        let binding = within(doing, None, bindings.get_opt(POLICY)).await?;
        let Some(binding) = binding.map(|binding| binding.spec) else {
            return Ok(false);
        };
        let denies = binding.validation_actions.iter().any(|action| action == "Deny");
        // Without parameters of its own the policy takes none.
        let everywhere = binding.match_resources.is_none() && binding.param_ref.is_none();
        Ok(denies && everywhere && binding.policy_name == POLICY)
    }
}

/// Whether a policy asks for all that the shipped one asks for, and of every command. It may ask for more.
fn is_whole(policy: &ValidatingAdmissionPolicySpec) -> bool {
    let shipped = SHIPPED.split("\n---\n").next().unwrap_or_default();
    let Ok(shipped) = serde_saphyr::from_str::<ValidatingAdmissionPolicy>(shipped) else {
        return false;
    };
    let Some(shipped) = shipped.spec else {
        return false;
    };
    let asks = |policy: &ValidatingAdmissionPolicySpec| -> Vec<String> {
        let all = policy.validations.iter().flatten();
        all.map(|validation| words(&validation.expression)).collect()
    };
    // A variable that is defined otherwise narrows every expression that uses it.
    let variables = |policy: &ValidatingAdmissionPolicySpec| -> Vec<(String, String)> {
        let all = policy.variables.iter().flatten();
        all.map(|variable| (variable.name.clone(), words(&variable.expression)))
            .collect()
    };
    let there = asks(policy);
    asks(&shipped).iter().all(|asked| there.contains(asked))
        && variables(&shipped) == variables(policy)
        && policy.match_conditions.iter().flatten().next().is_none()
        && policy.param_kind.is_none()
        && policy.match_constraints.as_ref().is_some_and(is_everywhere)
}

/// Folded as YAML folds, however it was written.
fn words(expression: &str) -> String {
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether it looks at every rollout, wherever it is, when it is made and when it is changed.
fn is_everywhere(constraints: &MatchResources) -> bool {
    let any = |selector: Option<&LabelSelector>| {
        let none = |s: &LabelSelector| {
            s.match_labels.iter().flatten().next().is_none()
                && s.match_expressions.iter().flatten().next().is_none()
        };
        selector.is_none_or(none)
    };
    any(constraints.namespace_selector.as_ref())
        && any(constraints.object_selector.as_ref())
        && constraints
            .exclude_resource_rules
            .iter()
            .flatten()
            .next()
            .is_none()
        && constraints.resource_rules.iter().flatten().any(takes_all)
}

fn takes_all(rule: &NamedRuleWithOperations) -> bool {
    let has = |list: &Option<Vec<String>>, wanted: &str| {
        let mut all = list.iter().flatten();
        all.any(|one| one == "*" || one == wanted)
    };
    has(&rule.api_groups, "rollout.sealos.io")
        && has(&rule.api_versions, "v1alpha1")
        && has(&rule.resources, "gradualrollouts")
        && has(&rule.operations, "CREATE")
        && has(&rule.operations, "UPDATE")
        && rule.resource_names.iter().flatten().next().is_none()
        && rule.scope.as_deref().is_none_or(|scope| scope != "Cluster")
}
