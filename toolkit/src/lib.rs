//! From ingress-nginx to Istio, in a cluster: what surrounds the shift of traffic.
//!
//! Each verb of `gradual-rollout migrate` that meets a cluster has a room here; what is pure is in the crate
//! `gradual-rollout-migration`. A verb reads, thinks, and only then writes; what it found or did is a [`finding`] with
//! a stable code, what it could not do a [`trouble`].
//!
//! - [`verb`]: the arguments as typed, and the way from them to the rooms;
//! - [`place`]: the cluster, the time and the streams that a verb meets;
//! - [`finding`]: codes, severities, remedies, and how they are printed;
//! - [`cluster`]: objects of kinds that may be absent, read page by page; [`digest`]: of objects;
//! - [`backup`], [`restore`]: what a migration may change, kept in a folder and put back;
//! - [`see`] and [`put`]: reading and writing a cluster's objects;
//! - [`classes`]: which Ingresses are ingress-nginx's; [`canaries`]: which routes some of them split;
//! - [`preflight`]: what stands in the way of a migration;
//! - [`convert`]: a cluster's Ingresses as the pure converter reads them; [`marks`]: what is written to know them again;
//! - [`apply`]: what was converted, written batch by batch; [`rollback`]: all of it undone;
//! - [`standing`]: where it stands; [`status`] tells it, [`validate`] judges it; [`cleanup`]: nginx without it;
//! - [`finish`]: controllers that make no Ingresses any more;
//! - [`block`]: no new hosts for ingress-nginx;
//! - [`batch`] and [`secret`]: several objects at once, and copies of certificates;
//! - [`tenant`]: tenants, their hosts and their isolation;
//! - [`loadbalancer`]: Services whose load balancer the gateway replaces;
//! - [`probe`]: the same questions to both data planes;
//! - `patience`: an API server that is busy or away is asked again;
//! - [`trouble`]: why a verb did not end well, and what that means for the exit code.

pub mod answering;
pub mod apply;
pub mod backup;
pub mod batch;
pub mod block;
pub mod canaries;
pub mod classes;
pub mod cleanup;
pub mod cluster;
pub mod convert;
pub mod digest;
pub mod dry;
pub mod explain;
pub mod finding;
pub mod finish;
pub mod foreign;
pub mod loadbalancer;
pub mod marks;
pub mod pace;
mod patience;
pub mod place;
pub mod preflight;
pub mod probe;
pub mod progress;
pub mod put;
pub mod restore;
pub mod rollback;
pub mod secret;
pub mod see;
pub mod shadow;
pub mod standing;
pub mod status;
pub mod tenant;
pub mod trouble;
pub mod validate;
pub mod verb;
pub mod whose;
