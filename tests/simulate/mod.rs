//! The judge held to its promises by simulation: how often it is wrong about a healthy canary, and how fast it is
//! about a bad one. Traffic comes from models that the judge does not assume.
//!
//! A short form runs with the other tests; the full one is `make simulate` (`tests/simulate.rs`).

pub(crate) mod attempt;
pub(crate) mod draw;
pub(crate) mod figures;
pub(crate) mod pool;
pub(crate) mod promises;
pub(crate) mod promotion;
pub(crate) mod report;
pub(crate) mod table;
pub(crate) mod traffic;
pub(crate) mod trial;

use std::time::{SystemTime, UNIX_EPOCH};

/// The seed: today's date, so that every day draws other numbers; `GRADUAL_ROLLOUT_SEED` draws a day's again.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("GRADUAL_ROLLOUT_SEED")
        .ok()
        .and_then(|s| s.parse().ok());
    given.unwrap_or_else(|| {
        #[expect(
            clippy::disallowed_methods,
            reason = "which numbers are drawn, not what is decided"
        )]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let days = i64::try_from(now.as_secs() / 86_400).unwrap_or(0);
        let date = jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(days));
        let number = i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day());
        number.unsigned_abs()
    })
}
