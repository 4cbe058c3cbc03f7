//! The only room that talks to Kubernetes: reads, watches, preconditioned writes, events, the Lease.

pub mod crd;
