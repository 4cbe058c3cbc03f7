//! Somebody else edits the route and moves its weights while a canary fails, and while what the product leans on is
//! away: everything that is theirs stays byte by byte, and each weight ends where it should.

use crate::bridge::Kind;
use crate::foreign::Editor;
use crate::wait::until;
use crate::world::{Plan, World};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::json;

/// A tool that applies what is in its repository, over and over.
const TOOL: &str = "kustomize-controller";

/// Apps that each hold 30%.
async fn world(kind: Kind, apps: &[&'static str]) -> World {
    let plans: Vec<Plan> = apps.iter().map(|app| Plan::new(app, 60)).collect();
    let mut world = World::start(kind, &plans).await;
    let judge = json!({"interval": "1s", "settle": "1s"});
    let steps = [("10%", "2s"), ("30%", "1h")];
    world.roll_out("demo", apps, &steps, &judge).await;
    for app in apps {
        at_30(&mut world, app).await;
    }
    world
}

/// Waits until 30% is written, read back and judged.
async fn at_30(world: &mut World, app: &str) {
    world
        .until(app, "holding 30%", |shop| {
            shop.reason == Reason::HoldingStep
                && shop.weight.written.permille() == 300
                && shop.weight.observed == Some(shop.weight.written)
        })
        .await;
}

async fn weighs(editor: &Editor, weight: u64) {
    let what = format!("{weight}% again");
    until(&what, async || (editor.weight().await == weight).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_foreign_is_in_place_after_a_canary_failed_under_edits() {
    fail_under_edits(Kind::VirtualService).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_foreign_of_an_httproute_is_in_place_after_a_canary_failed_under_edits() {
    fail_under_edits(Kind::HttpRoute).await;
}

async fn fail_under_edits(kind: Kind) {
    let names = ["failing", "hanging", "refusing"];
    let mut world = world(kind, &names).await;
    let mut editors = Vec::new();
    for name in names {
        editors.push(world.editor(name).await);
    }
    for editor in &mut editors {
        for _ in 0..8 {
            editor.edit().await;
        }
    }
    for app in &mut world.apps {
        match app.name {
            "failing" => app.canary.fail(),
            "hanging" => app.canary.hang(),
            _ => app.canary.refuse(),
        }
    }
    // Evidence begins anew at the lower weight, and the canary goes back all the same.
    // Whether these come before or after it went back: it ends at nothing.
    for editor in &mut editors {
        editor.weigh(80, "ada").await;
        editor.edit().await;
        editor.weigh(10, TOOL).await;
    }
    for editor in &mut editors {
        weighs(editor, 0).await;
        for _ in 0..8 {
            editor.edit().await;
        }
    }
    for name in names {
        world
            .until(name, "rolled back", |app| {
                app.state == State::RolledBack && app.lowering.is_none()
            })
            .await;
        world.until_share(name, 0.0).await;
    }
    for weight in [30, 10, 100] {
        for (editor, name) in editors.iter_mut().zip(names) {
            editor.weigh(weight, TOOL).await;
            editor.edit().await;
            weighs(editor, 0).await;
            world
                .until(name, "rolled back and read back", |app| {
                    app.state == State::RolledBack && app.weight.observed == Some(app.weight.written)
                })
                .await;
        }
    }
    for (editor, name) in editors.into_iter().zip(names) {
        world.until_share(name, 0.0).await;
        world.app(name).answers(200).await;
        assert_eq!(editor.weight().await, 0);
        let edits = editor.done().await;
        println!("{kind:?} {name}: {edits} edits, each byte of them in place");
    }
    assert_eq!(world.bridge.refusals(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_foreign_is_in_place_after_an_outage_under_edits() {
    outages_under_edits(Kind::VirtualService).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_foreign_of_an_httproute_is_in_place_after_an_outage_under_edits() {
    outages_under_edits(Kind::HttpRoute).await;
}

async fn outages_under_edits(kind: Kind) {
    let mut world = world(kind, &["shop"]).await;
    let mut editor = world.editor("shop").await;
    world.prometheus.kill();
    world
        .until("shop", "blind", |shop| shop.reason == Reason::Blind)
        .await;
    for _ in 0..8 {
        editor.edit().await;
    }
    // In the dark nothing rises: what somebody raised is put back, what somebody lowered stays.
    editor.weigh(80, "ada").await;
    weighs(&editor, 30).await;
    editor.edit().await;
    editor.weigh(10, "ada").await;
    world
        .until("shop", "drifted", |shop| shop.state == State::Drifted)
        .await;
    let said = world.run(&["resume", "-c", "shop", "--no-confirm"]).await;
    assert!(said.status.success(), "{said:?}");
    world.app("shop").answers(300).await;
    assert_eq!(editor.weight().await, 10, "resumed, it still sees nothing");
    editor.edit().await;
    world.prometheus.restart().await;
    world.until_share("shop", 0.3).await;
    at_30(&mut world, "shop").await;
    assert!(world.app("shop").complaints().is_empty(), "so far nothing failed");

    world.envoy.kill();
    for _ in 0..8 {
        editor.edit().await;
    }
    for time in 1..=3 {
        editor.weigh(40, TOOL).await;
        if time < 3 {
            weighs(&editor, 30).await;
            world
                .until("shop", "read back", |shop| {
                    shop.weight.observed == Some(shop.weight.written) && shop.lowering.is_none()
                })
                .await;
        }
    }
    world
        .until("shop", "fought over", |shop| shop.reason == Reason::GitOpsFight)
        .await;
    let message = world.component("shop").await.unwrap().message;
    assert!(
        message.contains(TOOL) && message.contains("ignoreDifferences"),
        "{message}"
    );
    world.envoy.restart().await;
    world.until_share("shop", 0.4).await;
    world.app("shop").answers(200).await;
    assert_eq!(editor.weight().await, 40, "a fight is not fought");
    let edits = editor.done().await;
    println!("{edits} edits during two outages, each byte of them in place");
    assert_eq!(world.bridge.refusals(), []);
}
