//! Where samples come from: Prometheus, or the simulation.
//!
//! A [`Source`] answers an [`Ask`] with a [`Snapshot`]: raw counters of both arms, read at one instant. What
//! happened between two snapshots is our own arithmetic ([`counters::advance`]), pure and the same for every
//! source: resets, births, gaps, disjoint ticks, darkness. Nothing here asks for `rate` or `increase` to judge by:
//! a first 5xx series that appears at 40 has an `increase` of 0, and a 10 s window over 15 s scrapes is empty.
//!
//! `ask` → `query` (PromQL) → `prometheus` (HTTP) → `answer` (JSON) → `split` → [`Snapshot`] → `counters`.

pub mod ask;
pub mod counters;
pub mod errors;
pub mod exposition;
pub mod gauge;
pub mod health;
pub mod preset;
pub mod prometheus;
pub mod query;
pub mod settings;
mod skew;
pub mod slices;
pub mod snapshot;

mod answer;
mod batch;
mod delta;
mod dialect;
mod endpoint;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod histogram;
mod history;
mod matcher;
mod native;
mod remedy;
mod same;
mod secret;
mod source;
mod split;
mod tls;
mod wire;

pub use ask::{Ask, AskError, problems};
pub use counters::{Cursor, advance};
pub(crate) use endpoint::chance;
pub use errors::{ErrorRule, RuleError};
pub use health::{Condition, EndpointHealth, HealthBook, SourceHealth};
pub use prometheus::PrometheusSource;
pub use query::{queries, request_rate};
pub(crate) use remedy::series;
pub use settings::{PrometheusSettings, SettingsError};
pub use snapshot::{ArmSnapshot, Bucket, Counter, PodSnapshot, Snapshot};
pub use source::{Simulation, Source, instants};
