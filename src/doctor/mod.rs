//! What would keep a rollout from working here: the definition, the rights, clocks, Prometheus, each arm's series and
//! each routed object. Nothing is written. The command `doctor` asks by hand, the daemon at its start and when a
//! resource is accepted; both find the same.

mod clocks;
pub(crate) mod code;
mod definition;
pub(crate) mod diagnose;
mod examine;
mod finding;
mod look;
mod owner;
pub(crate) mod rights;
mod samples;
mod summary;

pub(crate) use code::{Code, Severity};
pub(crate) use finding::{Finding, Patient};
pub(crate) use look::{Objects, api_clock, definition, lacking, routed};
pub(crate) use samples::findings as samples;
pub(crate) use summary::summary;
