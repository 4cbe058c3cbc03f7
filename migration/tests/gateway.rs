//! The model of an Istio gateway against a real Envoy on loopback, where there is one: routes as Istio would hand them
//! to it, and the same answers.
//!
//! What stands between, Istio's own translation, is written down here once more (`xds.rs`), after its source and apart
//! from the model's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests too say what went wrong by panicking, and a test that cannot run says so"
)]

#[path = "gateway/agreement.rs"]
mod agreement;
#[path = "edge/mod.rs"]
mod edge;
#[path = "gateway/objects.rs"]
mod objects;
#[path = "gateway/xds.rs"]
mod xds;
