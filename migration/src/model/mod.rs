//! What a request meets on either side: at ingress-nginx with a set of Ingresses, at an Istio gateway with what was
//! made of them.
//!
//! Two models that share nothing but [`Request`] and [`Answer`]: [`nginx`] reads Ingresses, [`envoy`] reads Istio
//! objects. [`compare`] asks both the same questions, which [`corpus`] makes up. What a model does not cover it says
//! ([`Answer::Unsupported`]); it never guesses.

mod answer;
pub mod compare;
pub mod corpus;
pub mod envoy;
pub mod nginx;
mod objects;
mod pattern;
mod request;

pub use answer::{Answer, Arrival, Octets, Port};
pub use request::{Request, Scheme};
