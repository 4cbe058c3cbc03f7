//! Messages of the daemon: what is told, and that nobody who listens slowly keeps traffic up.

use crate::support::world::{World, rollout, virtual_service};
use gradual_rollout::clock::Clock;
use gradual_rollout::notify::{Kind, Outbox, Receiver, Secret, Setup, Severity, Where};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

fn receiver(name: &str, url: &str, kind: Kind) -> Receiver {
    let setup = Setup {
        name: name.into(),
        kind,
        url: Where::Url(Secret::Plain(url.to_owned())),
        secret: None,
        min_severity: Severity::Info,
        allow: Vec::new(),
        link: None,
    };
    Receiver::new(setup, Clock::System).unwrap()
}

/// When shop's canary is put back after it begins to fail.
async fn put_back(outbox: Option<Outbox>) -> (Timestamp, World) {
    let mut world = World::new();
    for name in ["shop", "cart"] {
        world.store.put(virtual_service(name)).unwrap();
    }
    world.store.put(rollout("demo", &["shop", "cart"])).unwrap();
    world.outbox = outbox;
    world.start("daemon-1");
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    world.pass(120).await;
    world.traffic.fail("shop");
    let mut changes = world.store.subscribe("virtualservices.networking.istio.io");
    loop {
        let change = changes.recv().await.unwrap();
        let shop = change.object.pointer("/metadata/name") == Some(&json!("shop"));
        if shop && change.object.pointer("/spec/http/0/route/1/weight") == Some(&json!(0)) {
            return (world.clock.now(), world);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_delays_no_write() {
    let (alone, _) = put_back(None).await;
    // Takes connections and says nothing, ever.
    let deaf = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", deaf.local_addr().unwrap());
    let outbox = Outbox::new([
        receiver("deaf", &url, Kind::Webhook),
        receiver("chat", &url, Kind::Slack),
    ]);
    let (beside, _world) = put_back(Some(outbox.clone())).await;
    assert_eq!(alone, beside, "the same virtual instant");
    assert!(outbox.counts().iter().all(|(_, counts)| counts.sent == 0));
}

/// A receiver in a thread of its own: the world's time stands still only for those in it.
fn listening() -> (String, mpsc::UnboundedReceiver<Value>) {
    let (said, heard) = mpsc::unbounded_channel();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let app = axum::Router::new().route(
                "/",
                axum::routing::post(move |body: String| async move {
                    drop(said.send(serde_json::from_str(&body).unwrap()));
                }),
            );
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
    (url, heard)
}

#[tokio::test(start_paused = true)]
async fn a_rollback_and_an_end_are_told_once_each_and_a_restart_tells_nothing() {
    let (url, mut heard) = listening();
    let outbox = Outbox::new([receiver("ops", &url, Kind::Webhook)]);
    let (_, mut world) = put_back(Some(outbox)).await;
    world
        .until("cart done", |w| {
            w.component("cart").reason.to_string() == "Completed"
        })
        .await;
    world.stop().await;
    world.start("daemon-2");
    world.pass(3600).await;
    let mut all: Vec<Value> = Vec::new();
    while let Ok(message) = heard.try_recv() {
        all.push(message);
    }
    let about = |topic: &str| -> Vec<&Value> { all.iter().filter(|m| m["topic"] == topic).collect() };
    let [back] = about("rollback")[..] else {
        panic!("{all:#?}")
    };
    assert_eq!(
        (&back["component"], &back["reason"]),
        (&json!("shop"), &json!("Breach"))
    );
    assert_eq!((&back["from"], &back["to"]), (&json!(25.0), &json!(0.0)));
    assert_eq!(back["figures"][0]["check"], "errors", "{back:#}");
    assert!(back["figures"][0]["value"].is_string(), "{back:#}");
    assert!(
        back["key"]
            .as_str()
            .unwrap()
            .starts_with("sealos-system/demo/shop/"),
        "{back:#}"
    );
    let [done] = about("completed")[..] else {
        panic!("{all:#?}")
    };
    assert_eq!(done["component"], "cart");
    assert_eq!(all.len(), 2, "{all:#?}");
}
