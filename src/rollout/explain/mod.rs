//! Why a component is where it is, told from spec and status alone: the same facts for the command line, the API and
//! programs. Pure, so that whoever holds the two can explain.

mod facts;
pub mod limits;
mod waits;

pub use facts::{Door, Facts, Gate, Hold, Next, Percents, Place, Subject, Wait};
