//! The core: what is asked, where it stands, and what happens next. Pure: no async, no I/O, no clock.

pub mod arm_spec;
pub mod check;
pub mod command;
pub mod decide;
pub mod duration;
pub mod evidence;
pub mod judge;
pub mod ledger;
pub mod observation;
pub mod plan;
pub mod reason;
pub mod router_spec;
pub mod sample;
pub mod spec;
pub mod status;
mod tally;
pub mod weight;
pub mod window;
