//! The models of nginx and Envoy: the seed vectors and acceptance cases by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests too say what went wrong by panicking"
)]

#[path = "model/anything.rs"]
mod anything;
#[path = "model/comparison.rs"]
mod comparison;
#[path = "model/envoy_rules.rs"]
mod envoy_rules;
#[path = "model/nginx_facts.rs"]
mod nginx_facts;
#[path = "model/nginx_vectors.rs"]
mod nginx_vectors;
#[path = "model/support.rs"]
mod support;
