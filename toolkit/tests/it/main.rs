//! The verbs against the API server of the sandbox, over its wire.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "helpers of tests too say what went wrong by panicking, and read well without borrowing"
)]

mod block;
mod kinds;
mod loadbalancer;
mod pages;
mod preflight;
mod probe;
mod schemas;
mod support;
mod tenant;
