//! Conversions as a whole: Ingresses in, objects out, and what a request meets at the gateway.

mod acceptance_hosts;
mod acceptance_paths;
mod acceptance_traffic;
mod bad_input;
mod envoy;
mod given;
mod properties;
mod scale;
mod security;
