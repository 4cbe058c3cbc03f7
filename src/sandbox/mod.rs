//! An in-process Kubernetes API server, simulated tenants, and stories that end as they say.
