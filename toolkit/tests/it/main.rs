//! The verbs against the API server of the sandbox, over its wire.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::print_stdout,
    reason = "helpers of tests too say what went wrong by panicking, and read well without borrowing"
)]

mod apply;
mod backup;
mod cleanup;
mod finish;
mod kinds;
mod objects;
mod paging;
mod restore;
mod rollback;
mod standing;
mod support;
