//! A canary that fails is left alone within two looks and a second.

use crate::world::{App, Plan, World};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_fails_hangs_or_refuses_gets_nothing_after_two_intervals_and_a_second() {
    let names = ["failing", "hanging", "refusing"];
    let mut world = World::start(&names.map(|name| Plan::new(name, 60))).await;
    let judge = json!({"interval": "5s", "settle": "1s"});
    // The shipped limits for putting back; nothing has to be good enough to go on.
    let checks = json!([
        {"name": "errors", "promote": "none"},
        {"name": "available", "promote": "none"},
        {"name": "p95", "promote": "none", "rollback": "none"},
        {"name": "throughput", "promote": "none"},
    ]);
    world
        .roll_out_by("demo", &names, &[("20%", "1h")], &judge, &checks)
        .await;
    for name in names {
        world
            .until(name, "judged at 20%", |c| c.reason == Reason::HoldingStep)
            .await;
    }
    let broken = Instant::now();
    for app in &mut world.apps {
        match app.name {
            "failing" => app.canary.fail(),
            "hanging" => app.canary.hang(),
            _ => app.canary.refuse(),
        }
    }
    for name in names {
        world.until_share(name, 0.0).await;
        world
            .until(name, "rolled back", |c| c.state == State::RolledBack)
            .await;
    }
    for name in names {
        let app = world.app(name);
        app.answers(60).await;
        let bad: Vec<_> = app.load.bad();
        let first = bad.iter().map(|seen| seen.ended).min().unwrap();
        let last = last_to_reach(app, broken);
        let exposed = last.saturating_duration_since(first);
        let status = world.component(name).await.unwrap();
        println!(
            "{name}: {:.2?} from the first bad response to the last request that reached the canary, {} bad \
             responses; {}",
            exposed,
            bad.len(),
            status.message
        );
        assert!(bad.iter().all(|seen| seen.sent + INTERVAL > broken));
        assert_eq!(status.reason, Reason::Breach, "{}", status.message);
        assert!(
            exposed <= 2 * INTERVAL + Duration::from_secs(1),
            "{name}: {exposed:?}"
        );
    }
}

/// When the canary last got a request. One that refuses counts none: there it is the last that its clients lost.
fn last_to_reach(app: &App, broken: Instant) -> Instant {
    let lost = app.load.bad().into_iter().map(|seen| seen.sent).max();
    let came = app.canary.arrivals().into_iter().max();
    [lost, came].into_iter().flatten().max().unwrap_or(broken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_silent() {
    let plan = Plan {
        timeout: None,
        patience: Duration::from_secs(2),
        ..Plan::new("silent", 60)
    };
    let mut world = World::start(&[plan]).await;
    let judge = json!({"interval": "5s", "settle": "1s"});
    world
        .roll_out("demo", &["silent"], &[("20%", "1h")], &judge)
        .await;
    world
        .until("silent", "at 20", |c| c.weight.written.permille() == 200)
        .await;
    world.app("silent").answers(700).await;
    world.app("silent").canary.hang();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let c = world.component("silent").await.unwrap();
        println!(
            "{:?} {:?} {} {:?}",
            c.state,
            c.reason,
            c.message,
            c.checks
                .iter()
                .map(|k| (k.name.clone(), k.verdict, k.message.clone()))
                .collect::<Vec<_>>()
        );
    }
    let stats = reqwest::get(format!(
        "http://{}/stats?filter=cluster.outbound.*upstream_rq",
        world.envoy.admin
    ))
    .await
    .unwrap()
    .text()
    .await
    .unwrap();
    println!("{stats}");
}
