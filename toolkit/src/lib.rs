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
//! - [`preflight`]: what stands in the way of a migration;
//! - [`trouble`]: why a verb did not end well, and what that means for the exit code.

pub mod backup;
pub mod cluster;
pub mod digest;
pub mod dry;
pub mod finding;
pub mod pace;
pub mod place;
pub mod preflight;
pub mod progress;
pub mod put;
pub mod restore;
pub mod see;
pub mod trouble;
pub mod verb;
