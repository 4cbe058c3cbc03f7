//! From ingress-nginx to Istio, without a cluster.
//!
//! Pure: no client, no clock, no files. What it reads is handed to it, what it finds is returned.
//!
//! - [`input`]: multi-document YAML or JSON to typed objects; what is broken is told, the rest proceeds;
//! - [`convert`]: Ingresses and controller settings to Istio objects;
//! - [`report`]: what became of every path and annotation, by stable code;
//! - [`rules`]: what Istio demands of an object beyond its schema;
//! - [`istio`]: the objects that are written, and how they become text;
//! - [`model`]: where nginx and where an Istio gateway sends a request, to hold one against the other.

pub mod convert;
pub mod input;
pub mod istio;
pub mod model;
pub mod report;
pub mod rules;
