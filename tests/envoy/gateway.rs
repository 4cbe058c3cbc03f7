//! The same data plane, routed by the Gateway API.

use crate::band::is_within;
use crate::bridge::Kind;
use crate::world::{Plan, World, arrived};
use gradual_rollout::rollout::reason::State;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_httproute_moves_the_same_shares_and_fails_no_request() {
    let mut world = World::start(Kind::HttpRoute, &[Plan::new("shop", 80)]).await;
    let judge = json!({"interval": "1s", "settle": "1s"});
    let steps = [("10%", "3s"), ("50%", "3s")];
    world.roll_out("demo", &["shop"], &steps, &judge).await;
    world
        .until("shop", "completed", |shop| shop.state == State::Completed)
        .await;
    world.app("shop").answers(200).await;
    let spans = world.spans("shop");
    let shares: Vec<f64> = spans.iter().map(|span| span.share).collect();
    assert_eq!(shares, [0.0, 0.1, 0.5]);
    let app = world.app("shop");
    for span in spans {
        let (canary, control) = (arrived(&app.canary, span), arrived(&app.control, span));
        let total = canary + control;
        println!(
            "HTTPRoute {:5.1}%: {canary} of {total} at the canary's back end",
            span.share * 100.0
        );
        assert!(
            is_within(canary, total, span.share, 0.001 / 3.0),
            "{canary} of {total} is not {}",
            span.share
        );
    }
    assert!(app.complaints().is_empty(), "{:#?}", app.complaints());
    assert_eq!(world.bridge.refusals(), []);
}
