//! The daemon's own requests go the whole way: from a real server on loopback into the status, and to a rollback; and
//! where the operator does not allow them the rollout goes on without.

use crate::support::steady::{self, shop};
use crate::support::world::component;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use gradual_rollout::clock::Clock;
use gradual_rollout::probe::{Allowed, Prober};
use gradual_rollout::rollout::reason::{Reason, State, Verdict};
use gradual_rollout::rollout::status::{CheckStatus, ComponentStatus};
use gradual_rollout::sandbox::apiserver::Store;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

fn spec(url: &str) -> Value {
    let mut component = component("shop");
    component["probe"] = json!({"url": url, "interval": "1s", "timeout": "900ms", "expect": [101],
        "headers": {"Connection": "Upgrade", "Upgrade": "websocket"}});
    component["traffic"] = json!("longLived");
    json!({
        "components": [component],
        "steps": [{"weight": "5%", "hold": "1h"}],
        "judge": {"interval": "1s", "settle": "1s"},
        "checks": [{"name": "probe", "for": "2s", "window": "2s"}]
    })
}

fn begin(url: &str, allow: &[&str], tasks: &mut JoinSet<()>) -> Store {
    let store = Store::new(Clock::System);
    let allowed = Allowed::new(allow.iter().map(|host| (*host).to_owned())).unwrap();
    let mut handles = steady::handles(&store);
    handles.engine.prober = Some(Arc::new(Prober::new(allowed).unwrap()));
    steady::begin(&store, &spec(url), handles, tasks);
    store
}

async fn until(what: &str, store: &Store, so: impl Fn(&ComponentStatus) -> bool) -> ComponentStatus {
    for _ in 0..1800 {
        let c = shop(store);
        if so(&c) {
            return c;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not in time: {what}\n{:#?}", shop(store));
}

fn probe(c: &ComponentStatus) -> CheckStatus {
    c.checks
        .iter()
        .find(|k| k.name == "probe")
        .cloned()
        .unwrap_or_default()
}

/// A server whose handshakes work until it is told otherwise; its address, and how often it was asked.
async fn server(broken: Arc<AtomicBool>, tasks: &mut JoinSet<()>) -> (String, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let answer = move |headers: HeaderMap| async move {
        count.fetch_add(1, Ordering::SeqCst);
        if broken.load(Ordering::SeqCst) || !headers.contains_key("upgrade") {
            (StatusCode::SERVICE_UNAVAILABLE, [("upgrade", "none")])
        } else {
            (StatusCode::SWITCHING_PROTOCOLS, [("upgrade", "websocket")])
        }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/socket", listener.local_addr().unwrap());
    let router = Router::new().route("/socket", get(answer));
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, asked)
}

#[tokio::test]
async fn a_canary_whose_handshakes_fail_is_put_back_by_its_probe() {
    let mut tasks = JoinSet::new();
    let broken = Arc::new(AtomicBool::new(false));
    let (url, _) = server(broken.clone(), &mut tasks).await;
    let store = begin(&url, &["127.0.0.1"], &mut tasks);
    let c = until("the probe passes at 5%", &store, |c| {
        c.weight.written.permille() == 50 && probe(c).verdict == Verdict::Pass
    })
    .await;
    assert_eq!(probe(&c).value.as_deref(), Some("100%"));
    broken.store(true, Ordering::SeqCst);
    let c = until("the traffic is back", &store, |c| c.state == State::RolledBack).await;
    assert_eq!(c.reason, Reason::Breach);
    assert!(c.message.starts_with("probe: "), "{}", c.message);
}

#[tokio::test]
async fn where_the_operator_does_not_allow_it_nothing_is_sent_and_the_rollout_goes_on() {
    for (allow, says) in [
        (&[][..], "the operator allows no probes"),
        (&["*"][..], "127.0.0.1 is a loopback address"),
    ] {
        let mut tasks = JoinSet::new();
        let (url, asked) = server(Arc::new(AtomicBool::new(false)), &mut tasks).await;
        let store = begin(&url, allow, &mut tasks);
        let c = until("it is told", &store, |c| {
            c.weight.written.permille() == 50 && probe(c).verdict == Verdict::Skipped
        })
        .await;
        assert!(probe(&c).message.contains(says), "{}", probe(&c).message);
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    }
}
