//! An in-process Kubernetes API server, simulated tenants, and stories that end as they say.

pub mod apiserver;
mod draw;
mod shape;
pub mod tenants;
