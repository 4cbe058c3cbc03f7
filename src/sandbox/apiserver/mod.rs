//! A Kubernetes API server in this process: a JSON store that answers like kube-apiserver 1.36.
//!
//! [`Store`] holds the objects; [`Store::client`] talks to it in this process, also under a paused clock;
//! [`serve`] lets stock kubectl in over loopback, from a thread and runtime of its own. The way of a request:
//! [`http`] understands it, [`ask`] is what is left of it, [`write`] (with [`patch`], [`managed`] and [`schema`])
//! or [`view`] and [`watch`] answer it, and [`store`] remembers and tells the watchers.

pub mod ask;
mod builtin;
mod check;
pub mod column;
mod crd;
mod delete;
mod deployment;
mod direct;
mod discovery;
pub mod failure;
pub mod fault;
mod fields;
mod http;
mod istio;
mod json;
mod managed;
mod names;
mod openapi;
pub mod patch;
mod prune;
pub mod resource;
mod review;
mod rules;
mod scale;
pub mod schema;
mod selector;
mod serve;
mod store;
mod strategic;
mod view;
mod watch;
mod wire;
mod write;

pub use deployment::roll_out_deployments;
pub use failure::Failure;
pub use fault::{Action, Fault};
pub use serve::{serve, write_kubeconfig};
pub use store::{Change, Store};
