//! When a weight moves: not before its hold is over, and not an evaluation late.

use super::ROUTES;
use crate::support::world::{World, rollout, virtual_service};
use gradual_rollout::rollout::reason::State;
use serde_json::json;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn restarts_right_after_a_step_shorten_no_hold() {
    for restarts in [1, 5] {
        let mut world = World::new();
        world.store.put(virtual_service("shop")).unwrap();
        let mut object = rollout("demo", &["shop"]);
        object["spec"]["steps"] = json!([{"weight": "25%", "hold": "10m"}, {"weight": "50%", "hold": "10m"}]);
        object["spec"]["allowJump"] = json!(true);
        world.store.put(object).unwrap();
        let mut changes = world.store.subscribe(ROUTES);
        world.start("daemon-1");
        let mut written = Vec::new();
        while written.len() < 2 {
            let change = tokio::time::timeout(Duration::from_millis(100), changes.recv()).await;
            if let Ok(change) = change {
                let object = change.unwrap().object.clone();
                let weight = object["spec"]["http"][0]["route"][1]["weight"].as_u64().unwrap();
                if written.last().is_none_or(|(_, last)| *last != weight) {
                    written.push((world.clock.now(), weight));
                }
            }
            let since = |at: jiff::Timestamp| world.clock.now().duration_since(at).as_secs();
            let up = written.first().map(|(at, _)| since(*at));
            assert!(up.is_none_or(|up| up < 900), "{restarts}: {written:?}");
            // The first 30 s after the step, then every 17 s: the Lease of the dead runs out in between.
            if up == Some(30) {
                for n in 0..restarts {
                    world.kill().await;
                    world.start(&format!("daemon-{}", n + 2));
                    world.pass(17).await;
                }
            }
        }
        let [(first, 25), (second, 50)] = written[..] else {
            panic!("{written:?}")
        };
        let held = second.duration_since(first).as_secs();
        assert!(held >= 600, "{restarts} restarts: 10m took {held} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_never_answered_anything_but_errors_is_away_after_two_looks() {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    world.store.put(rollout("demo", &["shop"])).unwrap();
    world.traffic.never_works("shop");
    world.start("daemon-1");
    while world.weight("shop") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.weight("shop"), 5);
    let up = world.clock.now();
    while world.weight("shop") != 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let took = world.clock.now().duration_since(up).as_millis();
        assert!(
            took <= 21_000,
            "{took} ms, at looks of 10 s, of which the first counts nothing"
        );
    }
    world
        .until("told", |w| w.component("shop").state == State::RolledBack)
        .await;
}
