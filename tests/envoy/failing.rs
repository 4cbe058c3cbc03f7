//! A canary that fails is left alone within two looks and a second.

use crate::bridge::Kind;
use crate::foreign::Editor;
use crate::world::{App, Plan, World};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(5);
/// How long somebody else waits between two edits.
const EDITS: Duration = Duration::from_millis(300);
/// Its route has no time-out, as Istio's have none unless they say so; its clients lose patience.
const SILENT: Plan = Plan {
    timeout: None,
    patience: Duration::from_secs(2),
    ..Plan::new("silent", 60)
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_fails_hangs_or_refuses_gets_nothing_after_two_intervals_and_a_second() {
    fail(Kind::VirtualService, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_an_httproute_a_canary_that_fails_hangs_or_refuses_gets_nothing_just_as_soon() {
    fail(Kind::HttpRoute, false).await;
}

/// `silent`: with one app whose route has no time-out.
async fn fail(kind: Kind, silent: bool) {
    let names = ["failing", "hanging", "refusing"];
    let mut plans = names.map(|name| Plan::new(name, 60)).to_vec();
    plans.extend(silent.then_some(SILENT));
    let mut world = World::start(kind, &plans).await;
    let all: Vec<&str> = plans.iter().map(|plan| plan.name).collect();
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
    // Envoy counts a request when it ends, and these never do: what is under way tells.
    let waiting = json!({
        "name": "waiting", "metric": "query", "for": "5s", "promote": "none", "rollback": {"max": 8},
        "query": {"canary": "sum(envoy_cluster_upstream_rq_active{envoy_cluster_name=\"outbound|80|v2|{{component}}\"})"},
    });
    let mut with_waiting = checks.clone();
    with_waiting.as_array_mut().unwrap().push(waiting);
    if silent {
        world
            .roll_out_by("silent", &["silent"], &[("20%", "1h")], &judge, &with_waiting)
            .await;
    }
    for &name in &all {
        world
            .until(name, "judged at 20%", |c| c.reason == Reason::HoldingStep)
            .await;
    }
    let mut editors = Vec::new();
    for name in names {
        editors.push(world.editor(name).await);
    }
    let broken = Instant::now();
    for app in &mut world.apps {
        match app.name {
            "failing" => app.canary.fail(),
            "hanging" | "silent" => app.canary.hang(),
            _ => app.canary.refuse(),
        }
    }
    // Somebody else edits those routes until the canaries have nothing; not their time-outs, which are what is measured.
    let over = AtomicBool::new(false);
    let go_back = async {
        for &name in &all {
            world.until_share(name, 0.0).await;
            world
                .until(name, "rolled back", |c| c.state == State::RolledBack)
                .await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let edit = async |mut editor: Editor| {
        while !over.load(Ordering::Relaxed) {
            editor.edit_all_but_the_timeout().await;
            tokio::time::sleep(EDITS).await;
        }
        editor.done().await
    };
    let ((), edits) = tokio::join!(go_back, futures::future::join_all(editors.into_iter().map(edit)));
    println!("{kind:?}: {edits:?} edits of routes whose canaries were ill, each byte of them in place");
    assert!(edits.iter().all(|edits| *edits >= 7), "{edits:?}");
    for &name in &all {
        let app = world.app(name);
        app.answers(60).await;
        let bad: Vec<_> = app.load.bad();
        let first = bad.iter().map(|seen| seen.ended).min().unwrap();
        let last = last_to_reach(app, broken);
        let exposed = last.saturating_duration_since(first);
        let status = world.component(name).await.unwrap();
        println!(
            "{kind:?} {name}: {:.2?} from the first bad response to the last request that reached the canary, {} bad \
             responses; {}",
            exposed,
            bad.len(),
            status.message
        );
        assert!(bad.iter().all(|seen| seen.sent + INTERVAL > broken));
        assert_eq!(status.reason, Reason::Breach, "{}", status.message);
        // A query is judged by how long it is over its limit: a look, its `for`, and the look after.
        let looks = if name == "silent" { 3 } else { 2 };
        assert!(
            exposed <= looks * INTERVAL + Duration::from_secs(1),
            "{name}: {exposed:?}"
        );
    }
    assert_eq!(world.bridge.refusals(), []);
}

/// When the canary last got a request. One that refuses counts none: there it is the last that its clients lost.
fn last_to_reach(app: &App, broken: Instant) -> Instant {
    let lost = app.load.bad().into_iter().map(|seen| seen.sent).max();
    let came = app.canary.arrivals().into_iter().max();
    [lost, came].into_iter().flatten().max().unwrap_or(broken)
}
