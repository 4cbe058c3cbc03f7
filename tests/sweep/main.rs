//! Nothing is lost, whenever the daemon dies: every story is told again and again, and each time the daemon dies before
//! or after another one of its calls.
//!
//! `make test` tells each with some of its points, `make sweep` with all of them and then with two deaths at random.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::needless_pass_by_value,
    clippy::print_stdout,
    reason = "helpers of tests too say what went wrong by panicking"
)]

mod emergency;
mod faults;
mod figure;
mod live;
mod process;
mod promises;
mod tale;
#[path = "../it/support/tools.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod tools;
#[path = "../it/any_cluster/traffic.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod traffic;
mod weather;
#[allow(dead_code, reason = "a month of it uses more")]
mod wire;
#[path = "../it/support/world.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod world;

use live::{Told, tell};
use std::sync::atomic::{AtomicUsize, Ordering};
use tale::{TALES, Tale};
use wire::{Point, Side};

/// As many threads tell stories at once; each has a runtime and a clock of its own.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A call that leaves something behind for others; renewing the Lease and telling news do not.
fn matters(call: &str) -> bool {
    let reads = ["GET", "scrape"].iter().any(|word| call.starts_with(word));
    !reads && !call.contains("/leases") && !call.contains("/events")
}

/// So many of a life's points are tried when not all are.
const SOME: usize = 24;

/// Every point of a life, or some of those at its writes.
fn points(log: &[String], all: bool) -> Vec<Point> {
    let both = |n| [(n, Side::Before), (n, Side::After)];
    let chosen = log.iter().enumerate().filter(|(_, call)| all || matters(call));
    let chosen: Vec<Point> = chosen.flat_map(|(n, _)| both(n)).collect();
    let step = if all { 1 } else { chosen.len().div_ceil(SOME) | 1 };
    chosen.into_iter().step_by(step).collect()
}

/// Tells a story once for every way to die, and gives what went wrong.
fn all_deaths(tale: &Tale, ways: &[Vec<Point>]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || {
            let mut wrong = Vec::new();
            while let Some(points) = ways.get(next.fetch_add(1, Ordering::Relaxed)) {
                let told = tell(tale, points);
                // The call at which it died, and what it had said before.
                let n = points.first().map_or(0, |(n, _)| *n);
                let calls = told.log.get(n.saturating_sub(8)..=n).unwrap_or_default();
                let broken = told.wrong.iter();
                wrong.extend(broken.map(|what| format!("{points:?}: {what}, after {calls:#?}")));
            }
            wrong
        };
        let workers: Vec<_> = (0..threads()).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    })
}

fn shown(wrong: &[String]) -> String {
    let some: Vec<&str> = wrong.iter().take(12).map(String::as_str).collect();
    some.join("\n  ")
}

/// A number that looks like chance and is the same every time.
fn scrambled(n: u64) -> usize {
    let mut x = n
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(0x1234_5678_9abc_def1);
    x ^= x >> 31;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x >> 33) as usize
}

fn sweep(n: usize) {
    let tale = &TALES[n];
    let Told {
        log, wrong, seconds, ..
    } = tell(tale, &[]);
    assert!(
        wrong.is_empty(),
        "{}, and nobody died:\n  {}",
        tale.name,
        shown(&wrong)
    );
    let asked = std::env::var("SWEEP").unwrap_or_default();
    let all = asked == "all";
    if asked == "once" {
        return;
    }
    let single = points(&log, all);
    let mut ways: Vec<Vec<Point>> = single.iter().map(|p| vec![*p]).collect();
    if all {
        // And again while the next life finds its way.
        let side = |n: usize| {
            if n.is_multiple_of(2) {
                Side::Before
            } else {
                Side::After
            }
        };
        ways.extend((0..100).map(|i| {
            let any = |k: u64| scrambled(i * 7 + k);
            vec![
                (any(1) % log.len(), side(any(2))),
                (any(3) % 60, side(any(4))),
                (any(5) % 60, side(any(6))),
            ]
        }));
        assert!(single.len() >= 300, "{}: only {} points", tale.name, single.len());
    }
    let wrong = all_deaths(tale, &ways);
    println!(
        "{}: {seconds} s, {} calls, killed at {} points of {}, and {} times again and again: {} violations",
        tale.name,
        log.len(),
        single.len(),
        2 * log.len(),
        ways.len() - single.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}:\n  {}", tale.name, shown(&wrong));
}

macro_rules! stories {
    ($($n:literal $name:ident)*) => { $( #[test] fn $name() { sweep($n); } )* };
}

stories! {
    0 whenever_the_daemon_dies_a_healthy_plan_is_walked_to_its_end
    1 whenever_the_daemon_dies_a_failing_canary_goes_back
    2 whenever_the_daemon_dies_every_command_is_done_once
    3 whenever_the_daemon_dies_drift_ends_as_declared
    4 whenever_the_daemon_dies_darkness_and_shared_outages_move_nothing
    5 whenever_the_daemon_dies_a_joint_rollback_is_a_joint_one
    6 whenever_the_daemon_dies_a_deleted_resource_restores
    7 whenever_the_daemon_dies_a_canary_ingress_is_made_at_zero_and_deleted
    8 whenever_the_daemon_dies_what_left_the_spec_stays_and_goes_back_when_it_fails
    9 whenever_the_daemon_dies_pods_start_when_their_config_map_says_what_for
}
