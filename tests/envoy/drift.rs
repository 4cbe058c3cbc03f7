//! Somebody else moves the weight while traffic flows.

use crate::bridge::Kind;
use crate::wait::until;
use crate::world::{Plan, World};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::json;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raise_is_put_back_a_lowering_stays_and_a_tool_that_keeps_at_it_is_named() {
    let mut world = World::start(Kind::VirtualService, &[Plan::new("shop", 80)]).await;
    let judge = json!({"interval": "1s", "settle": "1s"});
    world
        .roll_out("demo", &["shop"], &[("10%", "2s"), ("30%", "1h")], &judge)
        .await;
    world
        .until("shop", "judged at 30%", |shop| {
            shop.reason == Reason::HoldingStep && shop.weight.written.permille() == 300
        })
        .await;
    let mut editor = world.editor("shop").await;

    editor.edit().await;
    let raised = Instant::now();
    editor.weigh(80, "ada").await;
    until("30% again", async || (editor.weight().await == 30).then_some(())).await;
    println!(
        "a raise by somebody else is put back after {:.0?}",
        raised.elapsed()
    );
    editor.edit().await;
    world
        .until("shop", "on record", |shop| {
            let put_back = |h: &&_| {
                matches!(
                    h,
                    gradual_rollout::rollout::status::HistoryEntry {
                        reason: Reason::DriftReverted,
                        ..
                    }
                )
            };
            shop.history.iter().filter(put_back).count() == 1
                && shop.weight.observed == Some(shop.weight.written)
        })
        .await;

    editor.weigh(10, "ada").await;
    world
        .until("shop", "drifted", |shop| {
            (shop.state, shop.reason) == (State::Drifted, Reason::Drifted)
        })
        .await;
    editor.edit().await;
    world.app("shop").answers(400).await;
    assert_eq!(editor.weight().await, 10, "a lowering is yielded to");
    let said = world.run(&["resume", "-c", "shop", "--no-confirm"]).await;
    assert!(said.status.success(), "{said:?}");
    world.until_share("shop", 0.3).await;

    // A GitOps tool that applies what is in its repository, over and over.
    for time in 1..=3 {
        world
            .until("shop", "at 30% and read back", |shop| {
                shop.weight.written.permille() == 300 && shop.weight.observed == Some(shop.weight.written)
            })
            .await;
        editor.edit().await;
        editor.weigh(0, "kustomize-controller").await;
        let expected = if time < 3 {
            Reason::Drifted
        } else {
            Reason::GitOpsFight
        };
        world
            .until("shop", "out of the plan", |shop| shop.reason == expected)
            .await;
        assert_eq!(editor.weight().await, 0);
        if time < 3 {
            let said = world.run(&["resume", "-c", "shop", "--no-confirm"]).await;
            assert!(said.status.success(), "{said:?}");
        }
    }
    let shop = world.component("shop").await.unwrap();
    assert!(shop.message.contains("kustomize-controller"), "{}", shop.message);
    assert!(shop.message.contains("ignoreDifferences"), "{}", shop.message);
    editor.edit().await;
    editor.done().await;
    let app = world.app("shop");
    assert!(app.complaints().is_empty(), "{:#?}", app.complaints());
    assert_eq!(world.bridge.refusals(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_whose_weights_others_move_at_each_step_ends_at_everything_and_fails_no_request() {
    let mut world = World::start(Kind::VirtualService, &[Plan::new("shop", 80)]).await;
    let judge = json!({"interval": "1s", "settle": "1s"});
    let steps = [("5%", "4s"), ("25%", "4s"), ("50%", "4s"), ("100%", "4s")];
    world.roll_out("demo", &["shop"], &steps, &judge).await;
    let mut editor = world.editor("shop").await;
    // Each time somebody else: one who keeps at it is a fight.
    for ((step, _), who) in steps[..3].iter().zip(["ada", "bob", "cyd"]) {
        let weight: u64 = step.trim_end_matches('%').parse().unwrap();
        world
            .until("shop", step, |shop| {
                u64::from(shop.weight.written.permille()) == 10 * weight
                    && shop.weight.observed == Some(shop.weight.written)
            })
            .await;
        for _ in 0..4 {
            editor.edit().await;
        }
        editor.weigh(weight + 30, who).await;
        until("put back", async || {
            (editor.weight().await == weight).then_some(())
        })
        .await;
        world
            .until("shop", "read back", |shop| {
                shop.weight.observed == Some(shop.weight.written) && shop.lowering.is_none()
            })
            .await;
        editor.edit().await;
        editor.weigh(weight - 3, who).await;
        world
            .until("shop", "drifted", |shop| shop.state == State::Drifted)
            .await;
        editor.edit().await;
        let said = world.run(&["resume", "-c", "shop", "--no-confirm"]).await;
        assert!(said.status.success(), "{said:?}");
    }
    world
        .until("shop", "completed", |shop| shop.state == State::Completed)
        .await;
    world.until_share("shop", 1.0).await;
    editor.edit().await;
    let edits = editor.done().await;
    println!("{edits} edits and six foreign weights on the way to everything");
    let app = world.app("shop");
    assert!(app.complaints().is_empty(), "{:#?}", app.complaints());
    let most = world
        .spans("shop")
        .iter()
        .map(|span| span.share)
        .fold(0.0, f64::max);
    assert!((most - 1.0).abs() < 1e-9);
    assert_eq!(world.bridge.refusals(), []);
}
