//! The admission policy, evaluated: which change of a resource's annotations asks for which right.

use cel::extractors::This;
use cel::{Context, ExecutionError, Program, Value as Cel};
use gradual_rollout::rollout::command::{PREFIX, Verb};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

fn verbs() -> [&'static str; 11] {
    Verb::ALL.map(Verb::word)
}

/// The messages with which the policy refuses the change from `before` to `after` (annotations; `None`: the object
/// is created) by somebody who has the rights `granted`.
fn refusals(before: Option<Value>, after: Value, granted: &[&str]) -> Vec<String> {
    let policy = policy();
    let mut context = Context::default();
    context.add_variable_from_value("object", cel::to_value(object(after)).unwrap());
    let before = before.map_or(Value::Null, object);
    context.add_variable_from_value("oldObject", cel::to_value(before).unwrap());
    authorize(&mut context, granted);
    let mut variables: HashMap<String, Cel> = HashMap::new();
    for variable in policy["spec"]["variables"].as_array().unwrap() {
        let value = evaluate(&variable["expression"], &context);
        variables.insert(variable["name"].as_str().unwrap().to_owned(), value);
        context.add_variable_from_value("variables", variables.clone());
    }
    let validations = policy["spec"]["validations"].as_array().unwrap();
    assert_eq!(
        validations.len(),
        2 + Verb::ALL.len(),
        "the shape of a key, one right per verb, and who may vouch"
    );
    validations
        .iter()
        .filter(|validation| {
            let verdict = evaluate(&validation["expression"], &context);
            assert!(
                matches!(verdict, Cel::Bool(_)),
                "{} is {verdict:?}",
                validation["expression"]
            );
            verdict == Cel::Bool(false)
        })
        .map(|validation| validation["message"].as_str().unwrap().to_owned())
        .collect()
}

fn evaluate(expression: &Value, context: &Context) -> Cel {
    let expression = expression.as_str().unwrap();
    let program = Program::compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    program
        .execute(context)
        .unwrap_or_else(|error| panic!("{expression}: {error}"))
}

fn object(annotations: Value) -> Value {
    let mut metadata = json!({"namespace": "shop", "name": "canary"});
    if !annotations.is_null() {
        metadata["annotations"] = annotations;
    }
    json!({"metadata": metadata})
}

/// An `authorizer` like the API server's: each call narrows the question, `allowed` answers it.
fn authorize(context: &mut Context, granted: &[&str]) {
    fn narrow(This(asked): This<Cel>, with: Arc<String>) -> cel::ResolveResult {
        let Cel::List(asked) = asked else {
            return Err(ExecutionError::UnsupportedTargetType { target: asked });
        };
        Ok(Cel::from([asked.as_slice(), &[Cel::String(with)]].concat()))
    }
    let right = |verb: &&str| {
        Cel::from(vec![
            "rollout.sealos.io",
            "gradualrollouts",
            "shop",
            "canary",
            *verb,
        ])
    };
    let granted: Vec<Cel> = granted.iter().map(right).collect();
    context.add_variable_from_value("authorizer", Vec::<Cel>::new());
    for step in ["group", "resource", "namespace", "name", "check"] {
        context.add_function(step, narrow);
    }
    context.add_function("allowed", move |This(asked): This<Cel>| granted.contains(&asked));
}

fn policy() -> Value {
    super::of_kind("ValidatingAdmissionPolicy").remove(0)
}

fn key(verb: &str) -> String {
    format!("{PREFIX}{verb}.01JD0000000000000000000000")
}

#[test]
fn each_command_needs_the_right_to_its_own_verb() {
    for verb in verbs() {
        let after = json!({key(verb): "{}"});
        let others: Vec<&str> = verbs().into_iter().filter(|other| *other != verb).collect();
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
fn nobody_vouches_for_a_name_but_who_has_the_right_to() {
    let value = r#"{"components":["*"],"who":"ada","vouched":true}"#;
    let after = json!({ key("rollback"): value });
    let refused = refusals(Some(json!({})), after.clone(), &["rollback"]);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("only the daemon may write"), "{refused:?}");
    assert!(refusals(Some(json!({})), after, &["rollback", "vouch"]).is_empty());
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
        let refused = refusals(Some(json!({})), json!({key(unknown): "{}"}), &verbs());
        assert_eq!(refused.len(), 1, "{unknown}: {refused:?}");
        assert!(refused[0].contains(&verbs().join(", ")), "{refused:?}");
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
        .find(|rule| rule["verbs"] == json!(verbs()));
    assert_eq!(
        granted.expect("a rule with the command verbs")["resources"],
        json!(["gradualrollouts"])
    );
}
