//! A Kubernetes API server in this process: a JSON store that answers like kube-apiserver 1.36.
//!
//! [`Store`] holds the objects; [`Store::client`] talks to it in this process, also under a paused clock;
//! [`serve`] lets stock kubectl in over loopback, from a thread and runtime of its own. The way of a request:
//! [`http`] understands it, [`ask`] is what is left of it, [`write`] (with [`patch`], [`managed`] and [`schema`])
//! or [`view`] and [`watch`] answer it, and [`store`] remembers and tells the watchers. [`rbac`] asks for rights where
//! the embedder wants it.

pub mod clock;

mod admit;
mod ask;
mod body;
mod builtin;
mod call;
mod cells;
mod check;
mod column;
mod crd;
mod delete;
mod deployment;
mod direct;
mod discovery;
mod event;
mod failure;
mod fault;
mod fields;
mod gateway_api;
mod http;
mod istio;
mod json;
mod managed;
mod names;
mod openapi;
mod patch;
mod protobuf;
mod prune;
mod rbac;
mod resource;
mod review;
mod rules;
mod scale;
mod schema;
mod selector;
mod serve;
mod store;
mod strategic;
mod view;
mod watch;
mod wire;
mod write;

pub use deployment::roll_out_deployments;
pub use failure::{Cause, Failure};
pub use fault::{Action, Fault, Faults};
pub use gateway_api::accept_routes;
pub use serve::{serve, write_kubeconfig, write_kubeconfig_of};
pub use store::{Change, Store};
