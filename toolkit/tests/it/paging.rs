//! What a real API server does and the store does not: lists in pages, status written at any time, nobody at home.

use crate::apply::tenants;
use crate::support::migrate_by;
use gradual_rollout_apiserver::Store;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The value of a parameter of a query.
fn asked(request: &Request<Body>, name: &str) -> Option<usize> {
    let query = request.uri().query()?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name)?.1.parse().ok()
}

/// A client whose server sends three objects at most, and is told once that a list took too long.
fn paged(store: &Store, expire: Arc<AtomicUsize>) -> kube::Client {
    let inner = store.client("default");
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, expire) = (inner.clone(), expire.clone());
        async move {
            let Some(limit) = asked(&request, "limit") else {
                return inner.send(request).await;
            };
            assert_eq!(limit, 500);
            let from = asked(&request, "continue").unwrap_or_default();
            if from > 0 && expire.swap(0, Ordering::SeqCst) > 0 {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired",
                    "code": 410, "message": "The provided continue parameter is too old"});
                let response = Response::builder().status(410);
                return Ok(response
                    .body(Body::from(status.to_string().into_bytes()))
                    .unwrap());
            }
            let request = Request::get(request.uri().path()).body(Vec::new()).unwrap();
            let mut list: Value = inner.request(request).await?;
            let items = list["items"].as_array().unwrap().clone();
            let more = items.len() > from + 3;
            list["items"] = items.into_iter().skip(from).take(3).collect();
            if more {
                list["metadata"]["continue"] = json!((from + 3).to_string());
            }
            Ok(Response::new(Body::from(list.to_string().into_bytes())))
        }
    });
    kube::Client::new(service, "default")
}

#[tokio::test(start_paused = true)]
async fn every_page_is_read_and_a_list_that_took_too_long_is_begun_anew() {
    let names: Vec<String> = (0..10).map(|n| format!("ns-{n}")).collect();
    let (store, clock) = tenants(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for expire in [0, 1] {
        let client = paged(&store, Arc::new(AtomicUsize::new(expire)));
        let words = ["--json", "apply", "--all", "--dry-run"];
        let said = migrate_by(client, &clock, &words).await;
        assert_eq!(said.end.unwrap(), End::Done);
        let told: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(told["ingresses"], 10);
        assert_eq!(told["planned"].as_array().unwrap().len(), 11);
    }
}

/// A client in whose cluster a controller writes a status just before each deletion and each apply of a Gateway.
fn restless(store: &Store, times: Arc<AtomicUsize>) -> kube::Client {
    let inner = store.client("default");
    let store = store.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, store, times) = (inner.clone(), store.clone(), times.clone());
        async move {
            let path = request.uri().path().to_owned();
            let writes = ["DELETE", "PATCH"].contains(&request.method().as_str());
            let wanted = path.contains("/gateways/") || path.contains("/virtualservices/");
            if writes && wanted {
                let mut parts = path.rsplit('/');
                let (name, plural) = (parts.next().unwrap(), parts.next().unwrap());
                let namespace = parts.next().unwrap();
                let resource = format!("{plural}.networking.istio.io");
                let n = times.fetch_add(1, Ordering::SeqCst);
                if n % 2 == 0 && store.get(&resource, namespace, name).is_some() {
                    let status = json!({"observed": n});
                    store.put_status(&resource, namespace, name, status).unwrap();
                }
            }
            inner.send(request).await
        }
    });
    kube::Client::new(service, "default")
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_written_meanwhile_is_no_reason_to_fail() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    migrate_by(store.client("default"), &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    let times = Arc::new(AtomicUsize::new(0));
    let client = restless(&store, times.clone());
    let said = migrate_by(client.clone(), &clock, &["-n", "ns-b", "apply"]).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    let said = migrate_by(client, &clock, &["-n", "ns-b", "rollback"]).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(times.load(Ordering::SeqCst) > 4);
    assert_eq!(crate::apply::open(&store).len(), 1);
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_told_by_every_verb() {
    let (_, clock) = tenants(&[]);
    let dir = tempfile::tempdir().unwrap();
    let (dir, some) = (dir.path().join("b"), dir.path().join("c"));
    std::fs::create_dir(&some).unwrap();
    std::fs::write(
        some.join("manifest.json"),
        json!({"format": 1, "startedAt": "2026-01-05T02:00:00Z", "namespaces": {}}).to_string(),
    )
    .unwrap();
    let (dir, some) = (dir.to_str().unwrap(), some.to_str().unwrap());
    for words in [
        vec!["backup", "--dir", dir],
        vec!["restore", "--dir", some],
        vec!["apply", "--all"],
        vec!["rollback", "--all"],
        vec!["status"],
        vec!["validate"],
        vec!["cleanup", "--all", "--dir", some],
        vec!["finish"],
    ] {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let said = migrate_by(client, &clock, &words).await;
        let Err(Trouble::Unreachable(why)) = said.end else {
            panic!("{words:?}: {said:?}")
        };
        println!("{why}");
        assert!(why.contains("refused") && why.contains("kubectl config"), "{why}");
    }
}
