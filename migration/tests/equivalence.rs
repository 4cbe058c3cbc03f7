//! The same request meets the same back end with the same path, or the report says so: what comes out of the converter
//! held against the models of both data planes, over random Ingresses.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "helpers of tests too say what went wrong by panicking, and a count is printed"
)]

#[path = "equivalence/agreement.rs"]
mod agreement;
#[path = "equivalence/excuses.rs"]
mod excuses;
#[path = "equivalence/gateway_api.rs"]
mod gateway_api;
#[path = "it/gateway_reader.rs"]
mod gateway_reader;
#[path = "it/given.rs"]
#[allow(dead_code, reason = "other tests build more with it")]
mod given;
#[path = "equivalence/guarded.rs"]
mod guarded;
#[path = "equivalence/scale.rs"]
mod scale;
#[path = "it/schema.rs"]
#[allow(dead_code, reason = "other tests ask it more")]
mod schema;
#[path = "nginx/sets.rs"]
mod sets;
#[path = "model/support.rs"]
#[allow(dead_code, reason = "the other tests' Ingresses are built with it too")]
mod support;
