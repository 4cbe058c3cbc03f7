//! The product on a real data plane: real requests through a real Envoy, scraped by a real Prometheus, moved by the
//! program in a process of its own over HTTP.
//!
//! In this process are the API server, back ends that count, clients, and a [`bridge`] from routes to Envoy's route
//! file. Everything is on loopback, on free ports, bounded, and ends with its test.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests too say what went wrong by panicking, and figures are printed"
)]

mod backend;
mod band;
mod bridge;
mod drift;
mod edited;
mod failing;
mod foreign;
mod load;
mod objects;
mod outages;
mod process;
mod prometheus;
mod proxy;
mod shares;
mod testers;
#[path = "../it/support/tools.rs"]
#[allow(dead_code, reason = "the other tests' programs are found there too")]
mod tools;
mod wait;
mod world;
