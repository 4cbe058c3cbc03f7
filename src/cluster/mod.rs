//! The only room that talks to Kubernetes: reads, watches, preconditioned writes, events, the Lease.

mod bounds;
pub mod by_hand;
pub mod cache;
pub mod connect;
pub mod crd;
mod error;
pub mod events;
pub mod examine;
pub mod freeze;
pub mod lease;
pub mod objects;
mod policy;
pub mod review;
pub mod rollouts;
pub mod share;

pub use error::ClusterError;
