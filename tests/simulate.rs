//! The judge held to its promises by simulation, in full: `make simulate`.
//!
//! The core imports no other room, so this crate compiles it and nothing else, optimised. Plain `cargo test` leaves
//! it out: a short form runs with the integration tests.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a mirror of the core, not a second place to lint it; and a program for people"
)]

#[path = "../src/rollout/mod.rs"]
pub mod rollout;
#[path = "simulate/mod.rs"]
mod simulate;

use simulate::trial::{blunders, cases};

#[test]
fn explore() {
    let seed = simulate::seed();
    println!("seed {seed}");
    let runs = std::env::var("RUNS")
        .ok()
        .and_then(|r| r.parse().ok())
        .unwrap_or(2000);
    let rates = std::env::var("RPS").unwrap_or("0.1 2 20 200".into());
    for rps in rates.split(' ').map(|r| r.parse::<f64>().unwrap()) {
        for case in cases(rps) {
            let start = std::time::Instant::now();
            let found = blunders(&case, seed, runs, 720);
            println!(
                "{rps} {}: {} of {} {:?} in {:?}",
                case.name,
                found.count,
                found.runs,
                found.how,
                start.elapsed()
            );
        }
    }
}
