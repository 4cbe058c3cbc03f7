//! What the product leans on goes away and comes back: no weight moves by it.

use crate::band::is_within;
use crate::bridge::Kind;
use crate::world::{Plan, Span, World, arrived};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::json;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_or_an_envoy_that_goes_away_moves_no_weight_and_the_plan_goes_on_after() {
    let mut world = World::start(Kind::VirtualService, &[Plan::new("shop", 120)]).await;
    let judge = json!({"interval": "1s", "settle": "1s"});
    let steps = [("10%", "6s"), ("40%", "1h")];
    world.roll_out("demo", &["shop"], &steps, &judge).await;
    world.until_share("shop", 0.1).await;
    world.prometheus.kill();
    world
        .until("shop", "blind", |shop| shop.reason == Reason::Blind)
        .await;
    // Requests go on, and so does the time that the hold would have taken.
    world.app("shop").answers(1200).await;
    let status = world.component("shop").await.unwrap();
    assert_eq!((status.state, status.reason), (State::Walking, Reason::Blind));
    assert_eq!(shares(&world), [0.0, 0.1], "nothing moves in the dark");
    world.prometheus.restart().await;
    world.until_share("shop", 0.4).await;
    assert!(world.app("shop").complaints().is_empty(), "so far nothing failed");

    world.envoy.kill();
    world
        .until("shop", "without fresh data", |shop| {
            matches!(shop.reason, Reason::Blind)
        })
        .await;
    world.envoy.restart().await;
    let back = Instant::now();
    world.app("shop").answers(900).await;
    let share = 0.4;
    let since = Span {
        share,
        from: back,
        to: Instant::now(),
    };
    let app = world.app("shop");
    let (canary, control) = (arrived(&app.canary, since), arrived(&app.control, since));
    println!(
        "after Envoy's restart: {canary} of {} at the canary",
        canary + control
    );
    assert!(
        is_within(canary, canary + control, share, 0.001),
        "{canary} and {control}"
    );
    world
        .until("shop", "judged again", |shop| shop.reason == Reason::HoldingStep)
        .await;
    assert_eq!(shares(&world), [0.0, 0.1, 0.4]);
}

fn shares(world: &World) -> Vec<f64> {
    world.spans("shop").iter().map(|span| span.share).collect()
}
