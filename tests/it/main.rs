//! Integration tests: one binary, one module per subject.

mod deploy;
mod house;
mod support;
