//! Conversions as a whole: Ingresses in, objects out, and what a request meets at the gateway.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "helpers of tests too say what went wrong by panicking, and read well without borrowing"
)]

mod acceptance_hosts;
mod acceptance_page;
mod acceptance_paths;
mod acceptance_traffic;
mod ages;
mod bad_input;
mod ciphers;
mod closing;
mod codes;
mod controller;
mod envoy;
mod equivalence;
mod gateway_api;
mod gateway_reader;
mod given;
mod lessons;
mod odd_values;
mod passthrough;
mod properties;
mod schema;
mod security;
mod snippets;
mod spellings;
mod spoken;
mod unread;
mod usual;
