//! x
mod names;
mod pattern;
