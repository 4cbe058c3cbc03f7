//! Testers' requests and copies of requests on a real data plane.

use crate::band::is_within;
use crate::bridge::Kind;
use crate::objects::host;
use crate::wait::until;
use crate::world::{Plan, World, arrived};
use gradual_rollout::rollout::reason::Reason;
use serde_json::json;
use std::net::SocketAddr;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn testers_reach_the_canary_a_mirror_copies_and_no_client_notices_either() {
    let mut world = World::start(Kind::VirtualService, &[Plan::new("shop", 80)]).await;
    let judge = json!({"interval": "1s", "settle": "1s"});
    world.roll_out("demo", &["shop"], &[("10%", "1h")], &judge).await;
    world
        .until("shop", "judged at 10%", |shop| {
            shop.reason == Reason::HoldingStep && shop.weight.written.permille() == 100
        })
        .await;
    let before = spec(&world).await;

    said(
        &world,
        &["header-route", "add", "shop", "--header", "canary=true"],
    )
    .await;
    let envoy = world.envoy.listener;
    // By chance, twenty of ten in a hundred: never.
    until("testers are at the canary", async || {
        let arms = arms(envoy, Some(("canary", "true")), 20).await;
        arms.iter().all(|arm| arm == "canary").then_some(())
    })
    .await;
    let testers = arms(envoy, Some(("canary", "true")), 200).await;
    assert!(testers.iter().all(|arm| arm == "canary"), "{testers:?}");
    for other in [None, Some(("canary", "false"))] {
        let plain = arms(envoy, other, 400).await;
        let canary = plain.iter().filter(|arm| *arm == "canary").count() as u64;
        assert!(
            is_within(canary, 400, 0.1, 0.0005),
            "{canary} of 400 is not 10%: {other:?}"
        );
    }

    said(&world, &["mirror", "set", "100", "shop"]).await;
    let app = world.app("shop");
    until("copies arrive", async || {
        let (before, sent) = (app.canary.arrivals().len(), app.load.seen().len());
        app.answers(100).await;
        let copies = app.canary.arrivals().len() - before;
        (copies >= app.load.seen().len() - sent).then_some(())
    })
    .await;
    let from = Instant::now();
    app.answers(400).await;
    let window = crate::world::Span {
        share: 0.1,
        from,
        to: Instant::now(),
    };
    let (canary, control) = (arrived(&app.canary, window), arrived(&app.control, window));
    println!("mirror 100% at 10%: {control} at the control, {canary} at the canary, copies among them");
    assert!(
        canary > control,
        "{canary} at the canary, {control} at the control: copies are missing"
    );
    // Of a hundred requests ninety reach the control, and ten and a hundred copies the canary.
    assert!(
        canary < 2 * control,
        "{canary} at the canary, {control} at the control: answers moved, too"
    );

    said(&world, &["mirror", "off", "shop"]).await;
    said(
        &world,
        &["header-route", "remove", "shop", "--header", "canary=true"],
    )
    .await;
    until("nothing of it is left", async || {
        (spec(&world).await == before).then_some(())
    })
    .await;
    let app = world.app("shop");
    assert!(app.complaints().is_empty(), "{:#?}", app.complaints());
    assert_eq!(world.bridge.refusals(), []);
}

async fn said(world: &World, words: &[&str]) {
    let said = world.run(&[words, &["--no-confirm"]].concat()).await;
    assert!(said.status.success(), "{words:?}: {said:?}");
}

async fn spec(world: &World) -> serde_json::Value {
    let object = world.routes().get("shop").await.unwrap();
    object.data["spec"].clone()
}

/// Which arm answered each of so many requests.
async fn arms(envoy: SocketAddr, header: Option<(&str, &str)>, count: usize) -> Vec<String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut arms = Vec::new();
    for _ in 0..count {
        let mut request = client
            .get(format!("http://{envoy}/"))
            .header("host", host("shop"));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        arms.push(answer.headers()["x-arm"].to_str().unwrap().to_owned());
    }
    arms
}
