//! A real Prometheus whose rule fires, a real Alertmanager that tells of it, and the daemon's hook: weight 0.

use crate::support::steady::{begin_on, handles, said, shop};
use crate::support::tools::{Alertmanager, Prometheus};
use crate::support::world::component;
use gradual_rollout::api::InboundSettings;
use gradual_rollout::clock::Clock;
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::rollout::status::ComponentStatus;
use gradual_rollout::rollout::weight::Weight;
use gradual_rollout::sandbox::apiserver::Store;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const SECRET: &str = "a secret of some length";

async fn until(store: &Store, what: &str, so: impl Fn(&ComponentStatus) -> bool) -> ComponentStatus {
    for _ in 0..2400 {
        let c = shop(store);
        if so(&c) {
            return c;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not in time: {what}\n{:#?}", shop(store));
}

/// A page whose metric says that something is down, once told to.
async fn exporter(down: Arc<AtomicBool>, tasks: &mut JoinSet<()>) -> std::net::SocketAddr {
    let page = move || {
        let down = down.load(Ordering::SeqCst);
        async move { format!("shop_down {}\n", u8::from(down)) }
    };
    let router = axum::Router::new().route("/metrics", axum::routing::get(page));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// Passes everything on to the daemon, and counts.
async fn counting(daemon: std::net::SocketAddr, seen: Arc<AtomicUsize>, tasks: &mut JoinSet<()>) -> String {
    let client = reqwest::Client::new();
    let pass = move |headers: http::HeaderMap, body: String| {
        let (client, seen) = (client.clone(), seen.clone());
        async move {
            let token = headers["authorization"].clone();
            let url = format!("http://{daemon}/hooks/alertmanager");
            let answer = client
                .post(url)
                .header("authorization", token)
                .body(body)
                .send()
                .await
                .unwrap();
            seen.fetch_add(1, Ordering::SeqCst);
            (answer.status(), answer.text().await.unwrap())
        }
    };
    let router = axum::Router::new().route("/", axum::routing::post(pass));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_fires_puts_the_traffic_back_once_and_not_again_after_a_retry() {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let store = Store::new(Clock::System);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let seen = Arc::new(AtomicUsize::default());
    let url = counting(listener.local_addr().unwrap(), seen.clone(), &mut tasks).await;
    let mut handles = handles(&store);
    handles.inbound = Some(InboundSettings {
        secret_file: Some(secret),
        labels: true,
        ..InboundSettings::default()
    });
    let mut component = component("shop");
    component["traffic"] = json!("longLived");
    let spec = json!({
        "components": [component], "judge": {"interval": "1s", "settle": "1s"},
        "steps": [{"weight": "5%", "hold": "3s"}, {"weight": "25%", "hold": "1h"}],
    });
    begin_on(&store, &spec, handles, Some(listener), &mut tasks);

    let down = Arc::new(AtomicBool::default());
    let target = exporter(down.clone(), &mut tasks).await;
    let alertmanager = Alertmanager::start(&json!({
        "route": {"receiver": "rollout", "group_wait": "100ms", "group_interval": "1s", "repeat_interval": "1s"},
        "receivers": [{"name": "rollout", "webhook_configs": [{
            "url": url, "send_resolved": true,
            "http_config": {"authorization": {"type": "Bearer", "credentials": SECRET}},
        }]}],
    }))
    .await;
    let rules = folder.path().join("rules.yml");
    let rule = json!({"groups": [{"name": "shop", "rules": [{
        "alert": "ShopDown", "expr": "shop_down == 1",
        "labels": {"namespace": "sealos-system", "rollout": "demo", "component": "shop"},
        "annotations": {"summary": "login fails"},
    }]}]});
    std::fs::write(&rules, rule.to_string()).unwrap();
    let config = json!({
        "rule_files": [rules],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address()]}]}]},
    });
    let _prometheus = Prometheus::configured(&[target], Duration::from_secs(1), &config).await;

    until(&store, "25%", |c| {
        c.weight.written == Weight::from_percent(25).unwrap()
    })
    .await;
    assert_eq!(seen.load(Ordering::SeqCst), 0, "nothing fires yet");
    down.store(true, Ordering::SeqCst);
    let back = until(&store, "put back", |c| {
        c.state == State::RolledBack && c.weight.written.is_zero()
    })
    .await;
    assert_eq!(back.reason, Reason::RollbackRequested);
    assert!(
        back.message.starts_with("alertmanager (claimed") && back.message.contains("ShopDown: login fails"),
        "{}\n{}",
        back.message,
        alertmanager.log()
    );
    let told = seen.load(Ordering::SeqCst);
    said(&store, "retry", &json!({"components": ["shop"], "who": "ada"}));
    until(&store, "25% again, in spite of the alert", |c| {
        c.weight.written == Weight::from_percent(25).unwrap() && seen.load(Ordering::SeqCst) > told + 2
    })
    .await;
}
