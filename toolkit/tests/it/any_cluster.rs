//! What an API server of its own says of the block's policy: its compiler of expressions is not the one of the other
//! tests.
//!
//! `GRADUAL_ROLLOUT_TEST_KUBECONFIG` names the cluster; without it the sandbox's API server stands in, which checks no
//! types. Nothing is blocked: the policy is written under another name, without a binding, and taken away again.

use crate::support::migrate_by;
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use std::time::Duration;

/// Names the kubeconfig of the cluster to test against.
const VARIABLE: &str = "GRADUAL_ROLLOUT_TEST_KUBECONFIG";
/// How long the controller that checks types may take; a bare kube-apiserver has none.
const TURNS: usize = 60;

async fn named() -> Option<Client> {
    let file = std::env::var_os(VARIABLE).filter(|file| !file.is_empty())?;
    let kubeconfig = Kubeconfig::read_from(file).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    Some(Client::try_from(config).unwrap())
}

fn policies(client: Client) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: "admissionregistration.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "admissionregistration.k8s.io/v1".to_owned(),
        kind: "ValidatingAdmissionPolicy".to_owned(),
        plural: "validatingadmissionpolicies".to_owned(),
    };
    Api::all_with(client, &resource)
}

/// Waits for what the type checker says; none where nobody checks.
async fn checked(api: &Api<DynamicObject>, name: &str) -> Option<Value> {
    for _ in 0..TURNS {
        let found = api.get(name).await.unwrap();
        let status = found.data.get("status");
        if status
            .and_then(|status| status.get("observedGeneration"))
            .is_some()
        {
            return Some(status?.get("typeChecking").cloned().unwrap_or_default());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    None
}

#[tokio::test]
async fn an_api_server_finds_no_fault_with_the_types_of_the_blocks_policy() {
    let clock = Clock::System;
    let given = named().await;
    let demanded = given.is_some();
    let client = given.unwrap_or_else(|| Store::new(clock.clone()).client("default"));
    let words = [
        "--json",
        "block",
        "--class",
        "nginx",
        "--without-class",
        "--dry-run",
    ];
    let said = migrate_by(client.clone(), &clock, &words).await;
    match &said.end {
        Ok(end) => assert_eq!(*end, End::Done, "{}{}", said.out, said.err),
        Err(Trouble::Refused(why)) if why.contains("1.30") => {
            println!("skipped: {why}");
            return;
        }
        Err(trouble) => panic!("{trouble}"),
    }
    let told: Value = serde_json::from_str(&said.out).unwrap();
    let mut policy = told["objects"][0].clone();
    assert_eq!(policy["kind"], "ValidatingAdmissionPolicy");
    let name = format!("gradual-rollout-test-block-{}", std::process::id());
    policy["metadata"] = json!({"name": name});
    let api = policies(client);
    let body: DynamicObject = serde_json::from_value(policy).unwrap();
    api.create(&PostParams::default(), &body).await.unwrap();
    let found = if demanded {
        checked(&api, &name).await
    } else {
        Some(Value::Null)
    };
    api.delete(&name, &DeleteParams::default()).await.unwrap();
    let Some(types) = found else {
        println!("nobody checks types here; the API server compiled the expressions, and took them");
        return;
    };
    let warnings = types.get("expressionWarnings").and_then(Value::as_array);
    assert_eq!(warnings.map_or(0, Vec::len), 0, "{types:#}");
}
