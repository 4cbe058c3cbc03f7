//! Recorded metrics, judged again: what the shipped core would have decided, had it seen them as they came.
//!
//! [`record()`] reads a stretch of history through the daemon's own counter arithmetic; [`replay()`] walks a plan over it
//! by [`crate::rollout::decide`] under a virtual clock, with routers that obey at once; [`moves()`] asks how far each
//! limit would have to move for it to end otherwise. Only `record()` waits for anything: the rest is pure.

pub mod beside;
pub mod course;
pub mod moves;
pub mod record;
pub mod replay;
pub mod rules;
pub mod scale;

#[cfg(test)]
mod tests;

pub use beside::{Beside, Readings};
pub use course::{Course, Leg, Stay, Walk};
pub use moves::{Becomes, Kind, Move, Wanted, moves};
pub use record::{Arm, Track, record};
pub use replay::{Setup, replay};
