//! The model of nginx against a real nginx on loopback, where there is one: the same lines that ingress-nginx's
//! template makes, and the same answers.
//!
//! The order and expansion of locations are the model's own here; what nginx makes of them is not. Redirects to https are
//! asked about where nginx has Lua; those to or from `www` are left out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests too say what went wrong by panicking, and a test that cannot run says so"
)]

#[path = "nginx/agreement.rs"]
mod agreement;
#[path = "nginx/conf.rs"]
mod conf;
#[path = "edge/mod.rs"]
mod edge;
#[path = "nginx/sets.rs"]
mod sets;
#[path = "model/support.rs"]
#[allow(dead_code, reason = "the other tests' Ingresses are built with it too")]
mod support;
