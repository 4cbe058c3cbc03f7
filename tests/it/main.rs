//! Integration tests: one binary, one module per subject.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests too say what went wrong by panicking"
)]

mod any_cluster;
mod apiserver;
mod apiserver_kubectl;
mod cli;
mod cli_cluster;
mod cli_explain;
mod cluster;
mod cluster_events;
mod deploy;
mod engine;
mod engine_orphans;
mod generated;
mod house;
mod prometheus;
mod prometheus_batch;
mod prometheus_tls;
mod sandbox_prometheus;
mod stories;
mod support;
mod transcripts;
mod why;
