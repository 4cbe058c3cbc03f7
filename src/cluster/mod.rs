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
pub mod rollouts;

pub use error::ClusterError;
