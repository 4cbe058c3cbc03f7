//! The verbs of `gradual-rollout migrate` that meet a cluster: arguments as typed, and the way to their rooms.

use crate::apply::{self, args::ApplyArgs};
use crate::backup::{self, args::BackupArgs};
use crate::block::{self, BlockArgs, UnblockArgs};
use crate::cleanup::{self, args::CleanupArgs};
use crate::finish::{self, args::FinishArgs};
use crate::loadbalancer::{self, LoadBalancerVerb};
use crate::patience::patient;
use crate::place::Place;
use crate::preflight::{self, PreflightArgs};
use crate::probe::{self, ProbeArgs};
use crate::restore::{self, args::RestoreArgs};
use crate::rollback::{self, args::RollbackArgs};
use crate::status::{self, StatusArgs};
use crate::tenant::{self, TenantVerb};
use crate::trouble::{End, Trouble};
use crate::validate::{self, ValidateArgs};
use clap::Subcommand;
use std::cell::RefCell;
use std::io::{self, Write};
use tokio::sync::mpsc::unbounded_channel;

/// What is done about a migration, in a cluster.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say whether the migration may begin, and what stands in the way
    Preflight(Box<PreflightArgs>),
    /// Keep what a migration may change, in a folder
    Backup(BackupArgs),
    /// Put a backup back, or show in what the cluster differs from it
    Restore(RestoreArgs),
    /// Let ingress-nginx have no new hosts: audit, then warn, then deny
    Block(Box<BlockArgs>),
    /// Take the block away
    Unblock(UnblockArgs),
    /// Write what Ingresses are converted to, batch by batch
    Apply(Box<ApplyArgs>),
    /// Ask both data planes the same questions, and say where they answer differently
    Probe(Box<ProbeArgs>),
    /// Say how far the migration is, by namespace
    Status(StatusArgs),
    /// Say whether what was migrated is well
    Validate(ValidateArgs),
    /// Delete Ingresses that nothing needs any more
    Cleanup(Box<CleanupArgs>),
    /// Have the platform's controllers make no Ingresses any more
    Finish(Box<FinishArgs>),
    /// Undo what was written, so that nginx has everything again
    Rollback(RollbackArgs),
    /// Make, check and take away a tenant
    #[command(subcommand)]
    Tenant(TenantVerb),
    /// Let the gateway take the place of a Service's load balancer
    #[command(subcommand)]
    Loadbalancer(LoadBalancerVerb),
}

/// What several write to in turn.
struct Shared<'s, 'w>(&'s RefCell<&'w mut dyn Write>);

impl Write for Shared<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

/// Does what was typed, with patience towards the API server: what is waited for is told.
pub async fn run(verb: &Verb, place: &mut Place<'_>) -> Result<End, Trouble> {
    let (tell, mut told) = unbounded_channel();
    let err: RefCell<&mut dyn Write> = RefCell::new(&mut *place.err);
    let mut shared = Shared(&err);
    let mut patiently = Place {
        client: patient(&place.client, tell),
        now: place.now,
        stopped: place.stopped,
        out: &mut *place.out,
        err: &mut shared,
        terminal: place.terminal,
        namespace: place.namespace.clone(),
        json: place.json,
    };
    let mut work = Box::pin(run_in(verb, &mut patiently));
    loop {
        tokio::select! {
            biased;
            end = &mut work => return end,
            Some(line) = told.recv() => writeln!(err.borrow_mut(), "{line}")?,
        }
    }
}

async fn run_in(verb: &Verb, place: &mut Place<'_>) -> Result<End, Trouble> {
    match verb {
        Verb::Apply(args) => apply::run(args, place).await,
        Verb::Backup(args) => backup::run(args, place).await,
        Verb::Cleanup(args) => cleanup::run(args, place).await,
        Verb::Finish(args) => finish::run(args, place).await,
        Verb::Restore(args) => restore::run(args, place).await,
        Verb::Preflight(args) => preflight::run(args, place).await,
        Verb::Rollback(args) => rollback::run(args, place).await,
        Verb::Status(args) => status::run(args, place).await,
        Verb::Validate(args) => validate::run(args, place).await,
        Verb::Block(args) => block::block(args, place).await,
        Verb::Unblock(args) => block::unblock(args, place).await,
        Verb::Tenant(verb) => tenant::run(verb, place).await,
        Verb::Probe(args) => probe::run(args, place).await,
        Verb::Loadbalancer(verb) => loadbalancer::run(verb, place).await,
    }
}
