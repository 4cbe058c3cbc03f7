//! The only room that talks to Kubernetes: reads, watches, preconditioned writes, events, the Lease.

pub mod by_hand;
pub mod crd;
