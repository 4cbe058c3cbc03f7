//! What goes over the wire: lists in pages that may grow too old, writes with our name, deletions of what was read.

use gradual_rollout_toolkit::put;
use gradual_rollout_toolkit::see::{self, Listed, kinds};
use http::{Request, Response};
use kube::Client;
use kube::api::ListParams;
use kube::client::Body;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

/// An API server that answers one request after the other as told, and remembers what was asked.
fn answering(answers: Vec<(u16, Value)>) -> (Client, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let left = Arc::new(Mutex::new(answers));
    let seen = asked.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (status, body) = left.lock().unwrap().remove(0);
        let seen = seen.clone();
        let response = Response::builder()
            .status(status)
            .body(Body::from(body.to_string().into_bytes()));
        async move {
            let (uri, method) = (request.uri().to_string(), request.method().to_string());
            let body = request.into_body().collect_bytes().await.unwrap();
            let line = format!("{method} {uri} {}", String::from_utf8_lossy(&body));
            seen.lock().unwrap().push(line);
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    (Client::new(service, "default"), asked)
}

fn page(names: &[&str], token: &str) -> (u16, Value) {
    let items: Vec<Value> = names
        .iter()
        .map(|name| json!({"metadata": {"name": name}}))
        .collect();
    (
        200,
        json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {"continue": token}, "items": items}),
    )
}

fn refusal(code: u16, message: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}),
    )
}

async fn names(answers: Vec<(u16, Value)>) -> (Vec<String>, Vec<String>) {
    let (client, asked) = answering(answers);
    let listed = see::list(&client, kinds::NODE, None, &ListParams::default())
        .await
        .unwrap();
    let names = listed
        .objects()
        .iter()
        .map(|node| see::name(node).to_owned())
        .collect();
    let asked = asked.lock().unwrap().clone();
    (names, asked)
}

#[tokio::test]
async fn every_page_is_asked_for_with_the_token_of_the_one_before() {
    let (names, asked) = names(vec![
        page(&["a", "b"], "two"),
        page(&["c"], "three"),
        page(&["d"], ""),
    ])
    .await;
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert!(
        asked[0].contains("limit=500") && !asked[0].contains("continue"),
        "{asked:?}"
    );
    assert!(
        asked[2].contains("limit=500") && asked[2].contains("continue=three"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_list_whose_pages_grew_too_old_begins_anew_and_has_nothing_twice() {
    let old = refusal(410, "The provided continue parameter is too old");
    let (names, asked) = names(vec![
        page(&["a"], "two"),
        old,
        page(&["a"], "two"),
        page(&["b"], ""),
    ])
    .await;
    assert_eq!(names, ["a", "b"]);
    assert!(!asked[2].contains("continue"), "{asked:?}");
}

#[tokio::test]
async fn a_kind_that_is_not_served_or_not_allowed_is_no_failure() {
    let (client, _) = answering(vec![refusal(404, "404 page not found"), refusal(403, "not you")]);
    let list = async || {
        see::list(&client, kinds::GATEWAY, None, &ListParams::default())
            .await
            .unwrap()
    };
    assert_eq!(list().await, Listed::NotServed);
    assert_eq!(list().await, Listed::Forbidden("not you".to_owned()));
}

#[tokio::test]
async fn what_is_applied_carries_our_name_is_held_against_the_schema_and_forces_nothing() {
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "a", "name": "b"}});
    let (client, asked) = answering(vec![(200, object.clone())]);
    put::apply(&client, kinds::CONFIG_MAP, &object, true)
        .await
        .unwrap();
    let asked = asked.lock().unwrap()[0].clone();
    assert!(
        asked.starts_with("PATCH /api/v1/namespaces/a/configmaps/b?"),
        "{asked}"
    );
    for part in [
        "fieldManager=gradual-rollout",
        "fieldValidation=Strict",
        "dryRun=All",
    ] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    assert!(!asked.contains("force"), "{asked}");
}

#[tokio::test]
async fn only_what_was_read_is_deleted() {
    let (client, asked) = answering(vec![
        (
            200,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
        ),
        refusal(404, "not found"),
        refusal(409, "the ResourceVersion in the precondition does not match"),
    ]);
    let read = json!({"metadata": {"namespace": "a", "name": "b", "uid": "u-1", "resourceVersion": "7"}});
    let delete = async || put::delete(&client, kinds::CONFIG_MAP, &read).await;
    assert!(delete().await.unwrap());
    assert!(!delete().await.unwrap(), "it was gone already");
    let refused = delete().await.unwrap_err().to_string();
    assert!(
        refused.contains("delete ConfigMap a/b") && refused.contains("does not match"),
        "{refused}"
    );
    let asked = asked.lock().unwrap()[0].clone();
    let (_, body) = asked.split_once(" {").unwrap();
    let body: Value = serde_json::from_str(&format!("{{{body}")).unwrap();
    assert_eq!(
        body["preconditions"],
        json!({"uid": "u-1", "resourceVersion": "7"})
    );
}

#[test]
fn an_image_is_built_with_every_member_of_the_workspace_and_what_this_one_includes() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let (manifest, taken) = (read("../Cargo.toml"), read("../.dockerignore"));
    let members = manifest
        .lines()
        .find_map(|line| line.strip_prefix("members = ["))
        .unwrap();
    let members = members.split('"').skip(1).step_by(2);
    for needed in members.chain(["deploy/migration-rbac.yaml", "docs/migration-toolkit.md"]) {
        assert!(
            taken.lines().any(|line| line == format!("!{needed}")),
            "{needed} is not in .dockerignore, so the build has it not"
        );
    }
}
