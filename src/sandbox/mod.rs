//! An in-process Kubernetes API server, simulated tenants, and stories that end as they say.
//!
//! [`play`] plays a [`story`] in virtual time: the [`apiserver`]'s store holds a simulated [`cluster`], [`tenants`]
//! send requests that nobody sent, the shipped daemon works on both, and an onlooker watches how it ends. [`begin`]
//! is the command.

pub use gradual_rollout_apiserver as apiserver;
mod begin;
pub mod cluster;
mod draw;
mod exporter;
mod host;
mod loopback;
mod nginx;
pub mod observer;
mod person;
pub mod plan;
mod progress;
mod prometheus;
pub mod report;
mod run;
pub mod screen;
mod script;
mod shape;
pub mod share;
pub mod stories;
pub mod story;
pub mod tenants;

pub use begin::{Args, NotPlayable, Outcome, begin};
pub use prometheus::PrometheusError;
pub use report::Report;
pub use run::{Options, play, play_for_real};
