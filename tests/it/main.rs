//! Integration tests: one binary, one module per subject.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests too say what went wrong by panicking"
)]

/// The simulation says `crate::rollout`, as it does where it is compiled with the core alone.
use gradual_rollout::rollout;

mod acceptance;
mod alertmanager;
mod any_cluster;
mod apiserver;
mod apiserver_kubectl;
mod beside;
mod block_served;
mod by_hand;
mod cli;
mod cli_cluster;
mod cli_explain;
mod cli_init;
mod cli_left;
mod cli_migrate;
mod cli_migrate_live;
mod cli_migrate_page;
mod cli_previews;
mod cli_wishes;
mod cluster;
mod cluster_events;
mod deploy;
mod doctor;
mod emergency;
mod engine;
mod engine_blame;
mod engine_checkup;
mod engine_claims;
mod engine_edits;
mod engine_gates;
mod engine_gates_asked;
mod engine_gateway;
mod engine_lets_go;
mod engine_orphans;
mod engine_ownership;
mod engine_parts;
mod engine_previews;
mod engine_routers;
mod engine_routes;
mod engine_slips;
mod engine_together;
mod engine_writes;
mod fuzz_lock;
mod generated;
mod ha;
mod hooks;
mod house;
mod inbound;
mod inbound_guards;
mod incident;
mod judge;
mod long_words;
mod manual;
mod nginx;
mod nginx_cli;
mod notify;
mod policy;
mod probe;
mod prometheus;
mod prometheus_batch;
mod prometheus_tls;
mod rights;
mod sandbox_prometheus;
#[path = "../simulate/mod.rs"]
#[allow(dead_code, reason = "the short form writes no report")]
mod simulate;
mod stories;
mod support;
mod transcripts;
mod why;
