//! What `approve` and `complaint` write on a rollout, to the letter.

use crate::cli_cluster::{Cluster, NAMESPACE};
use serde_json::{Value, json};
use std::time::Duration;

const ROLLOUTS: &str = "gradualrollouts.rollout.sealos.io";

/// Answers the first command as a daemon would, and gives its verb and what stood in it.
async fn answered(cluster: &Cluster) -> (String, Value) {
    loop {
        let object = cluster.store.get(ROLLOUTS, NAMESPACE, "shop").unwrap();
        let annotations = object["metadata"]["annotations"].as_object().cloned();
        let found = annotations
            .into_iter()
            .flatten()
            .find(|(key, _)| key.contains("/command."));
        let Some((key, value)) = found else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (verb, id) = key.rsplit_once('.').unwrap();
        let verb = verb.rsplit('.').next().unwrap().to_owned();
        let mut status = object["status"].clone();
        status["commands"] = json!([{"id": id, "verb": verb, "at": "2026-03-02T02:00:00Z", "result": "Accepted",
            "message": "shop: done"}]);
        let mut without = (*object).clone();
        without["metadata"]["annotations"] = json!({});
        cluster.store.put(without).unwrap();
        cluster
            .store
            .put_status(ROLLOUTS, NAMESPACE, "shop", status)
            .unwrap();
        return (verb, serde_json::from_str(value.as_str().unwrap()).unwrap());
    }
}

async fn said(words: &[&str]) -> (String, Value) {
    let cluster = Cluster::start().await;
    cluster.lease();
    let ((code, out, err), (verb, mut wish)) = tokio::join!(cluster.run(words), answered(&cluster));
    assert_eq!(code, 0, "{words:?}: {out}{err}");
    // When it is no longer wanted hangs on the clock.
    wish.as_object_mut().unwrap().remove("expiresAt");
    (verb, wish)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complaint_is_written_with_its_text_and_who_complains() {
    let words = [
        "complaint",
        "shop",
        "--text",
        "login is slow",
        "--who",
        "ticket 4711",
    ];
    let expected = json!({"components": ["shop"], "reason": "login is slow", "who": "ticket 4711"});
    assert_eq!(said(&words).await, ("complaint".to_owned(), expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_is_written_with_the_gate_that_it_opens() {
    let words = [
        "approve",
        "--rollout",
        "shop",
        "--comment",
        "change 4711",
        "--no-confirm",
    ];
    let expected = json!({"components": ["*"], "reason": "change 4711", "who": "eve"});
    assert_eq!(said(&words).await, ("approve".to_owned(), expected));
    let words = [
        "approve",
        "--rollout",
        "shop",
        "--item",
        "runbook-read",
        "--phase",
        "cutover",
        "--step",
        "90",
        "--no-confirm",
    ];
    let (verb, wish) = said(&words).await;
    let expected = json!({"components": ["*"], "item": "runbook-read", "phase": "cutover", "weight": "90%",
        "reason": "", "who": "eve"});
    assert_eq!((verb.as_str(), wish), ("approve", expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complaint_without_words_is_none() {
    let cluster = Cluster::start().await;
    let (code, _, err) = cluster.run(&["complaint", "shop", "--text", "  "]).await;
    assert!(code == 64 && err.contains("--text"), "{code} {err}");
}
