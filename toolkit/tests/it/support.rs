//! A cluster, and a verb that is run in it as the command line runs it.

use clap::Parser;
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::place::Place;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use gradual_rollout_toolkit::verb::{self, Verb};
use std::io::Write;

#[derive(Debug, Parser)]
struct Typed {
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

/// An empty cluster at a known time.
pub(crate) fn cluster() -> (Store, Clock) {
    let clock = Clock::simulated("2026-01-05T02:00:00Z".parse().unwrap());
    (Store::new(clock.clone()), clock)
}

/// How a verb ended, and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub end: Result<End, Trouble>,
    pub out: String,
    pub err: String,
}

/// Runs what is typed after `gradual-rollout migrate`.
pub(crate) async fn migrate(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    migrate_by(store.client("default"), clock, words).await
}

/// The same, by a client of the test's own.
pub(crate) async fn migrate_by(client: kube::Client, clock: &Clock, words: &[&str]) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let end = migrate_to(client, clock, words, &mut out, &mut err).await;
    Said {
        end,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

/// The same, and what is said goes where the test wants it.
pub(crate) async fn migrate_to(
    client: kube::Client,
    clock: &Clock,
    words: &[&str],
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<End, Trouble> {
    migrate_until(client, clock, words, &|| false, out, err).await
}

/// The same, on a terminal of so many columns.
pub(crate) async fn migrate_on(
    client: kube::Client,
    clock: &Clock,
    words: &[&str],
    columns: usize,
    stopped: &(dyn Fn() -> bool + Sync),
) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let end = shown(client, clock, words, stopped, Some(columns), &mut out, &mut err).await;
    Said {
        end,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

/// The same, and it ends when the test wants it to.
pub(crate) async fn migrate_until(
    client: kube::Client,
    clock: &Clock,
    words: &[&str],
    stopped: &(dyn Fn() -> bool + Sync),
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<End, Trouble> {
    shown(client, clock, words, stopped, None, out, err).await
}

async fn shown(
    client: kube::Client,
    clock: &Clock,
    words: &[&str],
    stopped: &(dyn Fn() -> bool + Sync),
    terminal: Option<usize>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<End, Trouble> {
    let typed = Typed::try_parse_from([&["migrate"], words].concat()).unwrap();
    let now = || clock.now();
    verb::run(
        &typed.verb,
        &mut Place {
            client,
            now: &now,
            stopped,
            out,
            err,
            terminal,
            namespace: typed.namespace,
            json: typed.json,
        },
    )
    .await
}
