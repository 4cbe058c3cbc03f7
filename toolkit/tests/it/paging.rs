//! Lists that come in pages, as a real API server sends them: the store sends everything at once.

use crate::apply::tenants;
use crate::support::migrate_by;
use gradual_rollout_apiserver::Store;
use gradual_rollout_toolkit::trouble::End;
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
