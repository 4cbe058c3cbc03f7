//! The share that back ends count is the weight, and no change of it costs a request.

use crate::band::is_within;
use crate::bridge::Kind;
use crate::world::{Plan, Span, World, arrived};
use gradual_rollout::rollout::reason::State;
use serde_json::json;
use tokio::time::Instant;

/// The chance that a right share is called wrong, over all comparisons of the test: each weight's band holds a little
/// more than 99.9%, so that the whole test cries wolf once in a thousand runs.
const ALPHA: f64 = 0.001;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn back_ends_count_each_weight_of_a_plan_and_a_hundred_changes_fail_no_request() {
    walk(Kind::VirtualService).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_httproute_moves_the_same_shares_and_a_hundred_changes_fail_no_request() {
    walk(Kind::HttpRoute).await;
}

async fn walk(kind: Kind) {
    let mut world = World::start(kind, &[Plan::new("shop", 120), Plan::new("cart", 80)]).await;
    let judge = json!({"interval": "1s", "settle": "1s"});
    let steps = [("5%", "5s"), ("25%", "5s"), ("50%", "5s"), ("100%", "5s")];
    world.roll_out("shop", &["shop"], &steps, &judge).await;
    world.roll_out("cart", &["cart"], &[("5%", "1h")], &judge).await;
    world.until_share("cart", 0.05).await;
    let (mut shop, mut cart) = (world.editor("shop").await, world.editor("cart").await);
    let began = Instant::now();
    for n in 1..=100_u64 {
        // 37 is prime to 101: up and down by all sizes, each weight once.
        let weight = (n * 37 % 101).to_string();
        let said = world
            .run(&["set", &weight, "-c", "cart", "--no-confirm", "--timeout", "60s"])
            .await;
        assert!(
            said.status.success(),
            "set {weight}: {}{}\n{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr),
            world.daemon_said()
        );
        if n % 4 == 0 {
            shop.edit().await;
            cart.edit().await;
        }
    }
    let took = began.elapsed();
    world
        .until("shop", "completed", |shop| shop.state == State::Completed)
        .await;
    world.app("shop").answers(200).await;

    let spans = world.spans("cart");
    let changes = spans.len() - 1;
    println!("{kind:?}: {changes} changes of one weight under load in {took:.1?}");
    assert!(changes >= 100, "{changes}");
    // A load that stands still fails nothing either.
    let ended: Vec<Instant> = world
        .app("cart")
        .load
        .seen()
        .iter()
        .map(|seen| seen.ended)
        .collect();
    let under_load = |span: &&Span| ended.iter().any(|at| (span.from..span.to).contains(at));
    let loaded = spans.iter().filter(under_load).count();
    println!(
        "requests ended in {loaded} of {} spans between changes",
        spans.len()
    );
    assert!(10 * loaded >= 9 * spans.len(), "{loaded} of {}", spans.len());
    for app in &world.apps {
        let (seen, bad) = (app.load.seen().len(), app.complaints());
        println!("{}: {seen} requests, {} failed", app.name, bad.len());
        assert!(bad.is_empty(), "{}: {bad:#?}", app.name);
    }
    let spans = world.spans("shop");
    let shares: Vec<f64> = spans.iter().map(|span| span.share).collect();
    assert_eq!(shares, [0.0, 0.05, 0.25, 0.5, 1.0]);
    let app = world.app("shop");
    let comparisons = f64::from(u32::try_from(spans.len()).unwrap());
    for span in spans {
        let (canary, control) = (arrived(&app.canary, span), arrived(&app.control, span));
        let total = canary + control;
        println!(
            "{:5.1}%: {canary} of {total} at the canary's back end",
            span.share * 100.0
        );
        assert!(
            span.share == 0.0 || total >= 300,
            "{total} requests at {}",
            span.share
        );
        assert!(
            is_within(canary, total, span.share, ALPHA / comparisons),
            "{canary} of {total} is not {}",
            span.share
        );
    }
    let edits = shop.done().await + cart.done().await;
    println!("{edits} edits by somebody else, each byte of them in place");
    assert_eq!(world.bridge.refusals(), []);
}
