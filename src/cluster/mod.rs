//! The only room that talks to Kubernetes: reads, watches, preconditioned writes, events, the Lease.

mod bounds;
pub mod by_hand;
pub mod crd;
