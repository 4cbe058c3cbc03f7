//! The judge by simulation, in short: the same promises as `make simulate`, with fewer and shorter runs.

use crate::simulate::pool::pools;
use crate::simulate::promises::{allowed, fast, healthy, published};
use crate::simulate::promotion::climbs;
use crate::simulate::seed;

/// What was drawn, for whoever wants it drawn again.
fn drawn(seed: u64, wrong: &[String]) -> String {
    format!("{}\nGRADUAL_ROLLOUT_SEED={seed} repeats this", wrong.join("\n"))
}

#[test]
fn a_healthy_canary_is_rolled_back_no_more_often_than_promised() {
    let seed = seed();
    let (found, wrong) = healthy(seed, 9, 120);
    assert!(wrong.is_empty(), "{}", drawn(seed, &wrong));
    assert_eq!(found.len(), 24);
    assert!(allowed(9) <= 2 && allowed(2000) <= 36);
}

#[test]
fn healthy_members_of_pools_are_rolled_back_no_more_often_than_promised() {
    let seed = seed();
    let (_, wrong) = pools(seed, 8, 60);
    assert!(wrong.is_empty(), "{}", drawn(seed, &wrong));
}

#[test]
fn faults_are_found_as_soon_as_promised() {
    let seed = seed();
    let (_, wrong) = fast(seed, 25, 1.5);
    assert!(wrong.is_empty(), "{}", drawn(seed, &wrong));
}

#[test]
fn the_published_table_is_found_again() {
    let seed = seed();
    let (_, wrong) = published(seed, 60);
    assert!(wrong.is_empty(), "{}", drawn(seed, &wrong));
}

#[test]
fn a_healthy_canary_with_few_requests_may_rise_within_a_day() {
    let seed = seed();
    let (_, wrong) = climbs(seed, &[0.5], 6);
    assert!(wrong.is_empty(), "{}", drawn(seed, &wrong));
}
