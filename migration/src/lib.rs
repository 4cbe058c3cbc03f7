//! From ingress-nginx to Istio, without a cluster.
//!
//! Pure: no client, no clock, no files. What it reads is handed to it, what it finds is returned.

pub mod model;
