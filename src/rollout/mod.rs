//! The core: what is asked, where it stands, and what happens next. Pure: no async, no I/O, no clock.

pub mod arm_spec;
mod buckets;
pub mod check;
pub mod check_spec;
pub mod command;
pub mod decide;
mod dispersion;
pub mod duration;
pub mod evidence;
pub mod judge;
pub mod ledger;
mod lines;
pub mod observation;
mod packed;
pub mod plan;
pub mod preview;
mod quantity;
pub mod reason;
pub mod router_spec;
pub mod sample;
pub mod spec;
pub mod status;
mod tally;
pub mod template;
pub mod weight;
pub mod window;
