//! What must be persisted at once, what can wait for more of it, and what a start is no news about.

use super::world::{Weather, World, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::decide::decide;
use crate::rollout::observation::Decision;
use crate::rollout::reason::{Reason, State};
use crate::rollout::sample::Dark;
use serde_json::json;
use std::time::Duration;

/// Both at 10%, where they stay for long, and judged.
fn walking(mut demo: serde_json::Value) -> World {
    demo["phases"][1]["steps"][0]["hold"] = json!("5h");
    let mut world = World::new(demo);
    let holds = |w: &World, name: &str| {
        let c = w.component(name);
        c.weight.written == weight(100) && c.reason == Reason::HoldingStep
    };
    world.until("10%", |w| holds(w, "alpha") && holds(w, "beta"));
    world.ticks(3);
    world
}

fn any(decisions: &[Decision], holds: impl Fn(&Decision) -> bool) -> bool {
    decisions.iter().any(holds)
}

#[test]
fn what_is_only_seen_otherwise_can_wait_and_what_is_done_answered_or_told_is_persisted_at_once() {
    let mut world = walking(spec());
    world.all(Weather::Blind(Dark::Down));
    let dark = world.tick();
    assert_eq!(world.component("alpha").reason, Reason::Blind);
    assert!(
        dark.changed && !dark.at_once,
        "a reason and verdicts: {:?}",
        dark.notes
    );
    let told = world.ticks(70);
    let alarm = |d: &Decision| d.notes.iter().any(|n| n.reason == Reason::Blind);
    assert!(any(&told, alarm), "somebody is told");
    assert!(
        told.iter().all(|d| !alarm(d) || d.at_once),
        "what was told once is not told again"
    );

    let mut world = walking(spec());
    world.say(Verb::Pause, "alpha", None);
    let paused = world.tick();
    assert!(!paused.done.is_empty() && paused.at_once, "an answer");

    let mut world = walking(spec());
    world.all(Weather::CanaryFails);
    let failing = world.ticks(6);
    assert_eq!(world.component("alpha").state, State::RolledBack);
    let lowers = |d: &Decision| d.lowers.iter().any(|l| l.component == "alpha");
    let first = failing.iter().find(|d| lowers(d)).unwrap();
    assert!(first.at_once, "a rollback");
    assert!(failing.iter().all(|d| !d.at_once || d.changed));
}

#[test]
fn what_nobody_looked_at_while_no_daemon_was_there_is_no_darkness_until_somebody_looks() {
    for (on_blind, falls) in [("hold", false), ("rollbackAlways", true)] {
        let mut demo = spec();
        demo["judge"]["onBlind"] = json!(on_blind);
        demo["judge"]["blindAfter"] = json!("10m");
        let mut world = walking(demo);
        world.restart();
        world.now += Duration::from_secs(2 * 3600);
        let mut seen = world.observe(false);
        for component in seen.components.values_mut() {
            component.unlooked = true;
        }
        let early = decide(&world.plan, world.status.clone(), &seen, world.now);
        assert!(
            early.lowers.is_empty() && early.notes.is_empty(),
            "{on_blind}: {:?}",
            early.notes
        );
        assert!(early.raises.is_empty());
        // Whoever has looked and found nothing does as before.
        world.all(Weather::Blind(Dark::Down));
        let alarms = |d: &Decision| d.notes.iter().any(|n| n.reason == Reason::Blind);
        assert!(any(&world.ticks(70), alarms), "{on_blind}");
        assert_eq!(world.highest("alpha").is_zero(), falls, "{on_blind}");
    }
}
