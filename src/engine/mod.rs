//! The shell around the core: observe, decide, persist, act, read back.
//!
//! Each resource has one [`actor`](self) that awaits nothing but its inbox and its timer. Whatever talks to a
//! server runs beside it: one lane per component for writes, one status write at a time, one round of looks at the
//! metrics. So a router that hangs keeps nobody else's traffic up.

mod actor;
mod beside;
mod bystander;
mod checkup;
mod claims;
mod courses;
mod doors;
mod gauges;
mod guard;
mod hub;
mod lane;
mod leave;
mod looks;
mod lower;
mod observe;
mod order;
mod others;
mod pasts;
mod persist;
mod probes;
mod raise;
mod remembered;
mod roster;
mod select;
mod turns;
mod view;
mod wanted;
mod written;

pub use crate::cluster::freeze::Switch as Freeze;
pub use crate::metrics::{Condition, EndpointHealth, SourceHealth};
pub use checkup::DoctorSettings;
pub use hub::{EngineSettings, Hub};
pub use turns::Limits;
pub use view::{Explained, RolloutView, View};
