//! What must hold on every cluster, over a real socket and in real time.
//!
//! `GRADUAL_ROLLOUT_TEST_KUBECONFIG` names the cluster; without it the sandbox's API server stands in. Nothing here
//! may rest on what only the sandbox does, or on a controller: a bare kube-apiserver is a cluster too. Each test has
//! a namespace of its own and takes away what it brought, whether it succeeds or fails.

mod cluster;
mod commands;
mod daemons;
mod definition;
mod gateways;
mod news;
mod nginx;
mod objects;
mod ownership;
mod previews;
mod rights;
mod scene;
mod switching;
mod traffic;
mod walking;
