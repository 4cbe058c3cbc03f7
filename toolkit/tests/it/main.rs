//! The verbs against the API server of the sandbox, over its wire.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "helpers of tests too say what went wrong by panicking, and read well without borrowing"
)]

mod backup;
mod kinds;
mod objects;
mod restore;
mod support;
