//! An in-process Kubernetes API server, simulated tenants, and stories that end as they say.

pub mod apiserver;
