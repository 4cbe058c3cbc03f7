//! Control's past is kept once an attempt, by those who need it.

use super::world::{World, spec};
use crate::rollout::decide::decide;
use crate::rollout::sample::{Counts, Slice};
use crate::rollout::status::GradualRolloutStatus;
use serde_json::json;
use std::time::Duration;

/// Tells the past of `alpha`, so many requests in each quarter hour of a day.
fn recall(world: &mut World, requests: u64) {
    let slice = Slice {
        length: Duration::from_secs(900),
        control: Counts {
            requests,
            errors: requests / 100,
            latency: None,
        },
    };
    let mut seen = world.observe(false);
    let alpha = seen.components.get_mut("alpha").unwrap();
    alpha.history = Some(vec![slice; 96].into());
    world.status = decide(&world.plan, world.status.clone(), &seen, world.now).next;
}

fn recorded(world: &World) -> Option<u64> {
    world.component("alpha").recorded.as_ref().map(|r| r.requests)
}

#[test]
fn the_past_is_kept_from_the_first_time_it_is_told_until_the_next_attempt() {
    let mut spec = spec();
    spec["components"][0]["baseline"] = json!("history");
    let mut world = World::new(spec);
    world.ticks(2);
    recall(&mut world, 500);
    assert_eq!(recorded(&world), Some(48_000));
    world.ticks(5);
    recall(&mut world, 9);
    assert_eq!(
        recorded(&world),
        Some(48_000),
        "later tellings hold the rollout's own time"
    );
    let text = serde_json::to_string(&world.status).unwrap();
    let again: GradualRolloutStatus = serde_json::from_str(&text).unwrap();
    assert_eq!(
        again.component("alpha").unwrap().recorded,
        world.component("alpha").recorded
    );
    world.edit(|spec| spec.components[0].baseline = None);
    world.tick();
    assert_eq!(recorded(&world), None, "nobody needs it");
}

#[test]
fn nobody_keeps_what_no_check_is_held_to() {
    let mut world = World::demo();
    world.ticks(2);
    recall(&mut world, 500);
    assert_eq!(recorded(&world), None);
}
