//! A story from its beginning to its end, with a daemon that dies where it is told to.

use crate::promises::Promises;
use crate::tale::Tale;
use crate::weather::Weather;
use crate::wire::{Point, Scrapes, Wire};
use crate::world::{NS, World};
use std::sync::Arc;

/// How a story went.
#[derive(Debug)]
pub(crate) struct Told {
    /// The calls of the first life.
    pub(crate) log: Vec<String>,
    /// What was broken, and how it did not end.
    pub(crate) wrong: Vec<String>,
    /// How long it was, in virtual seconds.
    pub(crate) seconds: u64,
}

/// How long nothing may happen at the end, in virtual seconds.
const QUIET: u64 = 60;

/// Tells a story. Each life ends at its point; the one after the last point lives on.
pub(crate) fn tell(tale: &Tale, points: &[Point]) -> Told {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(live(tale, points))
}

async fn live(tale: &Tale, points: &[Point]) -> Told {
    let mut world = World::new();
    (tale.furnish)(&world);
    let rollout = (tale.rollout)();
    let promises = Arc::new(Promises::of(std::slice::from_ref(&rollout), &world.clock, NS));
    world.store.put(rollout).unwrap();
    let mut points = points.iter().copied();
    let mut lives = 0;
    let mut begin = |world: &mut World| {
        lives += 1;
        let wire = Wire::until(points.next());
        world.scrapes = Some(Arc::new(Scrapes {
            wire: wire.clone(),
            traffic: world.traffic.clone(),
        }));
        // A pod that is replaced has another name: it waits until the Lease of the dead runs out.
        let clients = wire.connect(&world.store, &Weather::default(), &promises);
        world.start_over(&format!("daemon-{lives}"), clients);
        wire
    };
    let mut wire = begin(&mut world);
    let mut log = None;
    let mut acts = tale.acts.iter().peekable();
    let mut quiet = 0;
    let mut ended = Err("it never came to its end".to_owned());
    let mut seconds = 0;
    // Nothing that a story waits for happens without a write.
    let mut looked_at = None;
    for second in 0..tale.deadline {
        seconds = second;
        if wire.is_dead() {
            world.kill().await;
            log.get_or_insert_with(|| wire.log());
            wire = begin(&mut world);
        }
        let version = Some(world.store.version());
        if looked_at != version {
            looked_at = version;
            match acts.peek() {
                Some((_, when, act)) if when(&world) => {
                    act(&world, &mut promises.facts.lock().unwrap());
                    acts.next();
                    looked_at = None;
                }
                Some(_) => {}
                None => ended = (tale.ends)(&world),
            }
        }
        quiet = if ended.is_ok() { quiet + 1 } else { 0 };
        if quiet > QUIET {
            break;
        }
        world.pass(1).await;
    }
    let mut wrong = promises.broken();
    if let Some((next, ..)) = acts.peek() {
        wrong.push(format!("this never happened: {next}"));
    }
    if let Err(why) = ended {
        let stalled = world.status().condition("Stalled").map(|c| c.message.clone());
        wrong.push(format!("{why}; stalled: {stalled:?}"));
    }
    let writes = promises.writes();
    world.pass(QUIET).await;
    if promises.writes() != writes {
        wrong.push("rule 15: it was over, and something was written again".to_owned());
    }
    world.kill().await;
    Told {
        log: log.unwrap_or_else(|| wire.log()),
        wrong,
        seconds,
    }
}
