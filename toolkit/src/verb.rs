//! The verbs of `gradual-rollout migrate` that meet a cluster: arguments as typed, and the way to their rooms.

use crate::block::{self, BlockArgs, UnblockArgs};
use crate::loadbalancer::{self, LoadBalancerVerb};
use crate::place::Place;
use crate::preflight::{self, PreflightArgs};
use crate::probe::{self, ProbeArgs};
use crate::tenant::{self, TenantVerb};
use crate::trouble::{End, Trouble};
use clap::Subcommand;

/// What is done about a migration, in a cluster.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say whether the migration may begin, and what stands in the way
    Preflight(Box<PreflightArgs>),
    /// Let ingress-nginx have no new hosts: audit, then warn, then deny
    Block(Box<BlockArgs>),
    /// Take the block away
    Unblock(UnblockArgs),
    /// Make, check and take away a tenant
    #[command(subcommand)]
    Tenant(TenantVerb),
    /// Ask both data planes the same questions, and say where they answer differently
    Probe(Box<ProbeArgs>),
    /// Let the gateway take the place of a Service's load balancer
    #[command(subcommand)]
    Loadbalancer(LoadBalancerVerb),
}

/// Does what was typed.
pub async fn run(verb: &Verb, place: &mut Place<'_>) -> Result<End, Trouble> {
    match verb {
        Verb::Preflight(args) => preflight::run(args, place).await,
        Verb::Block(args) => block::block(args, place).await,
        Verb::Unblock(args) => block::unblock(args, place).await,
        Verb::Tenant(verb) => tenant::run(verb, place).await,
        Verb::Probe(args) => probe::run(args, place).await,
        Verb::Loadbalancer(verb) => loadbalancer::run(verb, place).await,
    }
}
