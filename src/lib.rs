//! The map of the house.
//!
//! Data goes one way through it: a watch event, a timer or fresh samples reach [`engine`], which builds an
//! observation; [`rollout`] decides, purely; [`cluster`] persists and patches; [`api`] and [`cli`] read what
//! happened. Nothing flows back into the core except values.

pub mod api;
pub mod backtest;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod daemon;
mod doctor;
pub mod engine;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod metrics;
pub mod notify;
pub mod probe;
pub mod rollout;
pub mod routing;
pub mod sandbox;
pub mod settings;
mod shown;
pub mod telemetry;
