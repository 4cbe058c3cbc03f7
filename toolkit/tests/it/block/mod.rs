//! `block` and `unblock`: the stages, and the policy's expressions as an API server evaluates them.

pub(crate) mod expressions;
mod lasting;
pub(crate) mod webhook;

use crate::kinds::put;
use crate::support::{cluster, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};
use std::sync::Arc;

const NAME: &str = "gradual-rollout-block-ingress";
const POLICIES: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
const BINDINGS: &str = "validatingadmissionpolicybindings.admissionregistration.k8s.io";

/// A cluster with a controller of the classes `nginx` (by its flag) and `public` (by an `IngressClass`).
fn with_controller(flags: &[&str]) -> (Store, Clock) {
    let (store, clock) = cluster();
    let mut args = vec!["/nginx-ingress-controller"];
    args.extend(flags);
    let labels = json!({"app": "nginx"});
    put(
        &store,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "edge", "name": "nginx"},
            "spec": {"selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "controller", "image": "x", "args": args}]},
            }},
        }),
    );
    put(
        &store,
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "public"},
        "spec": {"controller": "k8s.io/ingress-nginx"}}),
    );
    put(
        &store,
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "other"},
        "spec": {"controller": "example.com/other"}}),
    );
    (store, clock)
}

fn policy(store: &Store) -> Arc<Value> {
    store.get(POLICIES, "", NAME).unwrap()
}

fn actions(store: &Store) -> Value {
    store.get(BINDINGS, "", NAME).unwrap()["spec"]["validationActions"].clone()
}

#[tokio::test]
async fn it_goes_from_the_audit_log_over_warnings_to_refusals() {
    let (store, clock) = with_controller(&[]);
    for wanted in [
        json!(["Audit"]),
        json!(["Warn", "Audit"]),
        json!(["Deny", "Audit"]),
        json!(["Deny", "Audit"]),
    ] {
        let said = migrate(&store, &clock, &["block"]).await;
        println!("{}", said.out);
        assert_eq!(said.end.unwrap(), End::Done);
        assert!(said.out.contains("class nginx, public"), "{}", said.out);
        assert_eq!(actions(&store), wanted);
    }
    let said = migrate(&store, &clock, &["block", "--mode", "warn"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(actions(&store), json!(["Warn", "Audit"]), "it goes back too");
}

#[tokio::test]
async fn nobody_is_refused_who_was_not_warned_unless_it_is_said() {
    let (store, clock) = with_controller(&[]);
    let said = migrate(&store, &clock, &["block", "--mode", "deny"]).await;
    assert!(matches!(said.end, Err(Trouble::Refused(why)) if why.contains("--mode warn first")));
    assert!(store.list(POLICIES).is_empty());
    let said = migrate(&store, &clock, &["block", "--mode", "deny", "--skip-stages"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let (store, clock) = with_controller(&[]);
    let said = migrate(&store, &clock, &["block", "--dry-run"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.out
            .contains(&format!("would be written: ValidatingAdmissionPolicy {NAME}")),
        "{}",
        said.out
    );
    assert!(store.list(POLICIES).is_empty() && store.list(BINDINGS).is_empty());
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_keeps_since_when() {
    let (store, clock) = with_controller(&[]);
    let block = ["block", "--mode", "warn", "--exempt-namespace", "kube-system"];
    migrate(&store, &clock, &block).await.end.unwrap();
    let (first, version) = (store.get(BINDINGS, "", NAME).unwrap(), store.version());
    assert_eq!(
        first["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"][0]["values"],
        json!(["kube-system"])
    );
    let again = migrate(&store, &clock, &block).await;
    again.end.unwrap();
    assert_eq!(store.version(), version);
    let told = again
        .out
        .matches("as it should be: ValidatingAdmissionPolicy")
        .count();
    assert!(told == 2 && !again.out.contains("written:"), "{}", again.out);
    let since = first["metadata"]["annotations"]["rollout.sealos.io/block-since"].as_str();
    assert!(since.unwrap().starts_with("2026-01-05T02:0"), "{since:?}");
}

#[tokio::test]
async fn a_policy_of_somebody_else_is_neither_changed_nor_deleted() {
    let (store, clock) = with_controller(&[]);
    put(
        &store,
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": NAME}, "spec": {"validations": [{"expression": "true"}]}}),
    );
    for verb in ["block", "unblock"] {
        let said = migrate(&store, &clock, &[verb]).await;
        assert!(
            matches!(said.end, Err(Trouble::Refused(why)) if why.contains("somebody else wrote it")),
            "{verb}"
        );
    }
    assert_eq!(policy(&store)["spec"]["validations"][0]["expression"], "true");
}

#[tokio::test]
async fn classes_that_nobody_serves_must_be_named() {
    let (store, clock) = cluster();
    let said = migrate(&store, &clock, &["block"]).await;
    assert!(matches!(said.end, Err(Trouble::Refused(why)) if why.contains("--class")));
    let said = migrate(&store, &clock, &["--json", "block", "--class", "nginx"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    let whole: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (whole["stage"].as_str(), &whole["before"]),
        (Some("audit"), &Value::Null)
    );
}

#[tokio::test]
async fn a_class_that_nobody_serves_beside_controllers_that_are_seen_is_a_slip_and_takes_no_block_away() {
    let (store, clock) = with_controller(&[]);
    let said = migrate(&store, &clock, &["block"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    let before = policy(&store);
    for slip in ["ngnix", "Public"] {
        let said = migrate(&store, &clock, &["block", "--class", slip]).await;
        let told = match said.end {
            Err(Trouble::Refused(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(
            told.contains(slip) && told.contains("nginx, other, public"),
            "{told}"
        );
        assert_eq!(policy(&store), before);
    }
    // Another controller's class, of which there is an object, may be meant.
    for class in ["nginx", "public", "other"] {
        let said = migrate(&store, &clock, &["block", "--class", class]).await;
        assert_eq!(said.end.unwrap(), End::Done, "{class}");
    }
}

#[tokio::test]
async fn what_is_written_by_half_is_listed_and_mended_by_the_next_run() {
    let (store, clock) = with_controller(&[]);
    let down = Failure::new(403, "Forbidden", "bindings are not for you");
    store.inject(
        Fault::new(Action::Fail(down))
            .verb("patch")
            .resource(BINDINGS)
            .times(1),
    );
    let said = migrate(&store, &clock, &["block"]).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("written: ValidatingAdmissionPolicy") && said.err.contains("not for you"),
        "{}",
        said.err
    );
    // A policy without binding is in no stage: the next run begins at the first.
    assert_eq!(migrate(&store, &clock, &["block"]).await.end.unwrap(), End::Done);
    assert_eq!(actions(&store), json!(["Audit"]));
}

#[tokio::test]
async fn unblock_takes_both_away_and_says_when_there_is_nothing() {
    let (store, clock) = with_controller(&[]);
    migrate(&store, &clock, &["block"]).await.end.unwrap();
    let said = migrate(&store, &clock, &["unblock", "--dry-run"]).await;
    assert!(said.out.contains("would be deleted"), "{}", said.out);
    assert_eq!(store.list(POLICIES).len() + store.list(BINDINGS).len(), 2);
    let said = migrate(&store, &clock, &["unblock"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(store.list(POLICIES).is_empty() && store.list(BINDINGS).is_empty());
    let said = migrate(&store, &clock, &["unblock"]).await;
    assert_eq!(said.out, "nothing is blocked\n");
}

#[tokio::test]
async fn a_block_that_changes_while_it_is_taken_away_stays() {
    let (store, clock) = with_controller(&[]);
    migrate(&store, &clock, &["block"]).await.end.unwrap();
    let late = Failure::new(409, "Conflict", "the UID in the precondition does not match");
    store.inject(
        Fault::new(Action::Fail(late))
            .verb("delete")
            .resource(POLICIES)
            .times(1),
    );
    let said = migrate(&store, &clock, &["unblock"]).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("deleted: ValidatingAdmissionPolicyBinding"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("unable to delete ValidatingAdmissionPolicy"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn a_namespace_is_not_taken_silently_and_names_that_cannot_be_are_refused_before_anything_is_written() {
    let (store, clock) = with_controller(&[]);
    for words in [
        &["-n", "ns-a", "block"][..],
        &["-n", "ns-a", "unblock"],
        &["block", "--exempt-namespace", "Bad_NS!"],
        &["block", "--exempt-namespace", ""],
    ] {
        let said = migrate(&store, &clock, words).await;
        assert!(matches!(said.end, Err(Trouble::Usage(_))), "{words:?}: {said:?}");
        assert!(store.list(POLICIES).is_empty() && store.list(BINDINGS).is_empty());
    }
}

#[tokio::test]
async fn the_next_stage_is_told_with_everything_that_is_left_alone() {
    let (store, clock) = with_controller(&[]);
    let words = [
        "block",
        "--exempt-user",
        "system:serviceaccount:a:b",
        "--exempt-namespace",
        "kube-system",
        "--class",
        "nginx",
    ];
    let said = migrate(&store, &clock, &words).await;
    assert!(
        said.out.contains("next: gradual-rollout migrate block --mode warn --class nginx --exempt-namespace kube-system --exempt-user system:serviceaccount:a:b\n"),
        "{said:?}"
    );
}

#[tokio::test]
async fn whoever_is_left_alone_no_more_is_named_and_words_are_told_as_a_shell_reads_them_back() {
    let (store, clock) = with_controller(&[]);
    let words = [
        "block",
        "--exempt-user",
        "it's me",
        "--exempt-namespace",
        "kube-system",
    ];
    let said = migrate(&store, &clock, &words).await;
    assert!(said.out.contains(r"--exempt-user 'it'\''s me'"), "{said:?}");
    assert!(!said.err.contains("left alone"), "{said:?}");
    let said = migrate(&store, &clock, &["block", "--exempt-user", "it's me"]).await;
    let told =
        "namespace kube-system was left alone and is so no more; say --exempt-namespace kube-system again";
    assert!(
        said.err.contains(told) && !said.err.contains("user it's me"),
        "{said:?}"
    );
    let said = migrate(&store, &clock, &["block", "--mode", "warn"]).await;
    assert!(said.err.contains("user it's me was left alone"), "{said:?}");
}
