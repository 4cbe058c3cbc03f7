//! The core alone, with its own tests, for the sabotage builds.
//!
//! A sabotage build breaks one decision rule (`--cfg sabotage_N`) and must turn a test red. The core imports no
//! other room, so this crate compiles it and nothing else: fifteen broken builds cost seconds each instead of a
//! rebuild of the whole program. `make sabotage` drives it; plain `cargo test` leaves it out, because the same
//! tests already run there.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a mirror of the core, not a second place to lint it"
)]

#[path = "../src/rollout/mod.rs"]
pub mod rollout;
