//! The admission policy, evaluated: which change of a resource's annotations asks for which right.

use kube_cel::{VapEvaluator, VapExpression};
use serde_json::{Value, json};

const VERBS: [&str; 8] = [
    "set", "pause", "resume", "approve", "promote", "rollback", "retry", "detach",
];

/// The messages with which the policy refuses the change from `before` to `after` (annotations; `None`: the object
/// is created) by somebody who has the rights `granted`.
///
/// The evaluator knows neither variables nor the authorizer: a variable is put in place as its expression, and the
/// question to the authorizer becomes a look into `params`. Both are checked to have happened.
fn refusals(before: Option<Value>, after: Value, granted: &[&str]) -> Vec<String> {
    let policy = policy();
    let question = regex::Regex::new(
        r"authorizer\.group\('rollout\.sealos\.io'\)\.resource\('gradualrollouts'\)\s*\.namespace\(object\.metadata\.namespace\)\.name\(object\.metadata\.name\)\.check\('([a-z]+)'\)\.allowed\(\)",
    )
    .unwrap();
    let mut variables: Vec<(String, String)> = Vec::new();
    let put_in = |text: &str, variables: &[(String, String)]| {
        variables.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("variables.{name}"), &format!("({value})"))
        })
    };
    for variable in policy["spec"]["variables"].as_array().unwrap() {
        let value = put_in(variable["expression"].as_str().unwrap(), &variables);
        variables.push((variable["name"].as_str().unwrap().to_owned(), value));
    }
    let expressions: Vec<VapExpression> = policy["spec"]["validations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|validation| {
            let expression = put_in(validation["expression"].as_str().unwrap(), &variables);
            let expression = question
                .replace_all(&expression, "('$1' in params.granted)")
                .into_owned();
            assert!(
                !expression.contains("variables.") && !expression.contains("authorizer"),
                "{expression}"
            );
            VapExpression {
                expression,
                message: validation["message"].as_str().map(str::to_owned),
                message_expression: None,
            }
        })
        .collect();
    let object = |annotations: Value| {
        let mut object =
            json!({"metadata": {"namespace": "shop", "name": "canary", "annotations": annotations}});
        if object["metadata"]["annotations"].is_null() {
            object["metadata"].as_object_mut().unwrap().remove("annotations");
        }
        object
    };
    let mut request = VapEvaluator::builder()
        .object(object(after))
        .params(json!({"granted": granted}));
    if let Some(before) = before {
        request = request.old_object(object(before));
    }
    let results = request.build().evaluate(&expressions);
    assert_eq!(
        results.len(),
        1 + VERBS.len(),
        "the shape of a key, and one right per verb"
    );
    results
        .into_iter()
        .filter(|result| !result.passed)
        .map(|result| result.message.unwrap_or_default())
        .collect()
}

fn policy() -> Value {
    super::of_kind("ValidatingAdmissionPolicy").remove(0)
}

fn key(verb: &str) -> String {
    format!("rollout.sealos.io/command.{verb}.01JD0000000000000000000000")
}

#[test]
fn each_command_needs_the_right_to_its_own_verb() {
    for verb in VERBS {
        let after = json!({key(verb): "{}"});
        let others: Vec<&str> = VERBS.into_iter().filter(|other| *other != verb).collect();
        let refused = refusals(Some(json!({})), after.clone(), &others);
        assert_eq!(refused.len(), 1, "{verb}: {refused:?}");
        assert!(
            refused[0].contains(&format!("needs the verb \"{verb}\"")),
            "{refused:?}"
        );
        assert!(refused[0].contains("ask for a role"), "{refused:?}");
        assert!(refusals(Some(json!({})), after, &[verb]).is_empty(), "{verb}");
    }
}

#[test]
fn a_command_given_with_the_object_or_to_one_without_annotations_is_seen_too() {
    let after = json!({key("promote"): "{}"});
    assert_eq!(
        refusals(None, after.clone(), &[]).len(),
        1,
        "created with a command"
    );
    assert_eq!(
        refusals(Some(Value::Null), after, &[]).len(),
        1,
        "no annotations before"
    );
}

#[test]
fn a_changed_command_needs_the_right_again() {
    let (before, after) = (
        json!({key("set"): r#"{"weight":"5%"}"#}),
        json!({key("set"): r#"{"weight":"50%"}"#}),
    );
    assert_eq!(refusals(Some(before), after, &[]).len(), 1);
}

#[test]
fn removing_and_keeping_commands_asks_for_nothing() {
    let before = json!({key("set"): "{}", key("pause"): "{}", "team": "a"});
    assert!(refusals(Some(before.clone()), json!({key("set"): "{}", "team": "b"}), &[]).is_empty());
    assert!(refusals(Some(before), Value::Null, &[]).is_empty());
}

#[test]
fn changes_that_are_no_commands_ask_for_nothing() {
    let after = json!({"rollout.sealos.io/break-glass": "ann 2026-01-05T02:00:00Z", "example.com/command.set.x": "{}"});
    assert!(refusals(None, after.clone(), &[]).is_empty());
    assert!(refusals(Some(Value::Null), after, &[]).is_empty());
    assert!(refusals(None, Value::Null, &[]).is_empty());
}

#[test]
fn an_unknown_verb_is_refused_whatever_the_rights() {
    for unknown in ["rollbak", "set.rollback", "SET"] {
        let refused = refusals(Some(json!({})), json!({key(unknown): "{}"}), &VERBS);
        assert_eq!(refused.len(), 1, "{unknown}: {refused:?}");
        assert!(
            refused[0].contains("set, pause, resume, approve, promote, rollback, retry, detach"),
            "{refused:?}"
        );
    }
}

#[test]
fn a_policy_that_cannot_be_evaluated_never_blocks_and_its_binding_denies() {
    assert_eq!(policy()["spec"]["failurePolicy"], "Ignore");
    let binding = &super::of_kind("ValidatingAdmissionPolicyBinding")[0];
    assert_eq!(binding["spec"]["policyName"], policy()["metadata"]["name"]);
    assert_eq!(binding["spec"]["validationActions"], json!(["Deny"]));
}

#[test]
fn the_operators_role_grants_exactly_the_verbs_that_the_policy_asks_for() {
    let roles = super::of_kind("ClusterRole");
    let operator = roles
        .iter()
        .find(|role| role["metadata"]["name"] == "gradual-rollout-operator")
        .unwrap();
    let granted = operator["rules"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["verbs"] == json!(VERBS));
    assert_eq!(
        granted.expect("a rule with the command verbs")["resources"],
        json!(["gradualrollouts"])
    );
}
