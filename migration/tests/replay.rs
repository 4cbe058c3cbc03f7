//! The acceptance cases, answered by a real nginx and by a real Envoy on loopback, where both are at hand.
//!
//! The Ingresses become nginx's lines as ingress-nginx's template would write them (`nginx_conf.rs`), and, by the
//! converter, objects, which become an Envoy's configuration as Istio would write it (`envoy_conf.rs`). Neither shares
//! code with the converter. The same request then goes to both, and status, Location, back end, what the back end is
//! sent and the headers that matter are compared.
//!
//! Clients speak the PROXY protocol in front of their request, so that they can come from any address.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "helpers of tests too say what went wrong by panicking, and a test that cannot run says so"
)]

#[path = "replay/backends.rs"]
mod backends;
#[path = "replay/backends_http2.rs"]
mod backends_http2;
#[path = "replay/certificates.rs"]
mod certificates;
#[path = "edge/mod.rs"]
#[allow(dead_code, reason = "the other tests ask in other ways")]
mod edge;
#[path = "replay/envoy_conf.rs"]
mod envoy_conf;
#[path = "it/given.rs"]
#[allow(dead_code, reason = "the other tests' Ingresses are built with it too")]
mod given;
#[path = "replay/hosts.rs"]
mod hosts;
#[path = "replay/nginx_conf.rs"]
mod nginx_conf;
#[path = "replay/nginx_location.rs"]
mod nginx_location;
#[path = "replay/paths.rs"]
mod paths;
#[path = "replay/random.rs"]
mod random;
#[path = "it/schema.rs"]
mod schema;
#[path = "replay/security.rs"]
mod security;
#[path = "nginx/sets.rs"]
mod sets;
#[path = "model/support.rs"]
#[allow(dead_code, reason = "the other tests' Ingresses are built with it too")]
mod support;
#[path = "replay/traffic.rs"]
mod traffic;
#[path = "replay/trust.rs"]
mod trust;
#[path = "replay/world.rs"]
mod world;
#[path = "gateway/xds.rs"]
#[allow(dead_code, reason = "the test of the model starts from there")]
mod xds;
