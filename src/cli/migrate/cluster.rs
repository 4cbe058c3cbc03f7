//! The verbs that meet a cluster: the crate `gradual-rollout-toolkit`, with this program's cluster, time and streams.

use crate::cli::args::{Global, Output};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output_to::OutputTo;
use crate::clock::Clock;
use crate::cluster::connect::{self, Clients};
use gradual_rollout_migration::input::Inventory;
use gradual_rollout_toolkit::cluster::Cluster;
use gradual_rollout_toolkit::convert;
use gradual_rollout_toolkit::place::Place;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use gradual_rollout_toolkit::verb::{self, Verb};
use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// Does it.
pub(super) async fn run(verb: &Verb, global: &Global, out: &mut dyn Write) -> Result<Exit, Failure> {
    let json = match &global.output {
        None | Some(OutputTo::Form(Output::Table)) => false,
        Some(OutputTo::Form(Output::Json)) => true,
        Some(OutputTo::Form(Output::Wide | Output::Yaml) | OutputTo::Place(_)) => {
            return Err(Failure::usage("this command prints text, or with -o json JSON"));
        }
    };
    let clients = connected().await?;
    let now = || Clock::System.now();
    let mut err = anstream::stderr();
    // The other verbs end where they are; `apply` says what it wrote, and `rollback` where it stopped.
    let stop = Arc::new(AtomicBool::new(false));
    let mut listening = JoinSet::new();
    if matches!(verb, Verb::Apply(_) | Verb::Rollback(_)) {
        listening.spawn(stop_when_told(Arc::clone(&stop)));
    }
    let stopped = || stop.load(Ordering::Relaxed);
    let end = verb::run(
        verb,
        &mut Place {
            client: clients.fast,
            now: &now,
            stopped: &stopped,
            out,
            err: &mut err,
            terminal: columns(),
            namespace: global.namespace.clone(),
            json,
        },
    )
    .await;
    match end {
        Ok(End::Done) => Ok(Exit::Done),
        Ok(End::Refused) => Ok(Exit::Refused),
        Ok(End::Partly) => Ok(Exit::Partly),
        Err(trouble) => Err(failure(trouble)),
    }
}

/// How wide the terminal is that progress is shown on; none where there is none.
fn columns() -> Option<usize> {
    let err = std::io::stderr();
    let width = terminal_size::terminal_size_of(&err).map_or(80, |(width, _)| usize::from(width.0));
    err.is_terminal().then_some(width)
}

/// Waits for an interrupt from the keyboard, or SIGTERM; a second one ends the program where it is.
async fn stop_when_told(stop: Arc<AtomicBool>) {
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return;
    };
    loop {
        let told = tokio::select! { key = tokio::signal::ctrl_c() => key.is_ok(), some = term.recv() => some.is_some() };
        if !told {
            return;
        }
        if stop.swap(true, Ordering::Relaxed) {
            // As a shell says that a signal ended it.
            std::process::exit(130);
        }
    }
}

async fn connected() -> Result<Clients, Failure> {
    connect::connect(None, None)
        .await
        .map_err(|error| Failure::new(Exit::Unreachable, error.to_string()))
}

/// What a conversion reads, out of the cluster: the Ingresses of one namespace where one is named, and all that says
/// how they are served.
pub(super) async fn inventory(global: &Global) -> Result<Inventory, Failure> {
    let cluster = Cluster::look(&connected().await?.fast, &convert::READ)
        .await
        .map_err(failure)?;
    let seen = convert::read(&cluster).await.map_err(failure)?;
    let Some(namespace) = &global.namespace else {
        return Ok(seen.inventory);
    };
    let wanted: BTreeSet<_> = seen
        .ingresses
        .keys()
        .filter(|key| key.0 == *namespace)
        .cloned()
        .collect();
    Ok(convert::closure::reduced(&seen.inventory, &wanted))
}

fn failure(trouble: Trouble) -> Failure {
    let (exit, told) = match trouble {
        // Output that nobody reads any more is success.
        Trouble::Output(error) => return Failure::from(error),
        Trouble::Usage(told) => (Exit::Usage, told),
        Trouble::Refused(told) => (Exit::Refused, told),
        Trouble::Unreachable(told) => (Exit::Unreachable, told),
        Trouble::TimedOut(told) => (Exit::TimedOut, told),
        Trouble::Internal(told) => (Exit::Internal, told),
    };
    Failure::new(exit, told)
}
