//! `freeze` and `unfreeze`: the switch by which nothing rises in a whole cluster.

use super::exit::{Exit, Failure};
use super::{connect, table, wish};
use crate::clock::Clock;
use crate::cluster::freeze::{NAME, Switch};
use crate::settings::Settings;
use jiff::Timestamp;
use std::io::Write;

/// Freezes everything that the daemon of these settings works.
pub(super) async fn freeze(
    settings: &Settings,
    reason: &str,
    until: Option<Timestamp>,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let now = Clock::System.now();
    if reason.trim().is_empty() {
        return Err(Failure::usage("a freeze needs its reason: --reason TEXT"));
    }
    if until.is_some_and(|until| until <= now) {
        return Err(Failure::usage("--until is over already: write a time to come"));
    }
    let switch = Switch {
        reason: Some(reason.trim().chars().take(256).collect()),
        until,
        who: Some(wish::who()),
    };
    let namespace = settings.lease.namespace.as_str();
    let cluster = connect::connect().await?;
    cluster
        .set_freeze(namespace, Some(&switch), now)
        .await
        .map_err(connect::failure)?;
    writeln!(
        out,
        "{} (configmap {namespace}/{NAME}). Nothing rises; every lowering still happens.",
        table::plain(&switch.words())
    )?;
    Ok(Exit::Done)
}

/// Lifts the freeze.
pub(super) async fn unfreeze(settings: &Settings, out: &mut dyn Write) -> Result<Exit, Failure> {
    let namespace = settings.lease.namespace.as_str();
    let cluster = connect::connect().await?;
    let before = cluster.freeze(namespace).await.map_err(connect::failure)?;
    let Some(before) = before else {
        writeln!(out, "Nothing was frozen by configmap {namespace}/{NAME}.")?;
        return Ok(Exit::Done);
    };
    cluster
        .set_freeze(namespace, None, Clock::System.now())
        .await
        .map_err(connect::failure)?;
    writeln!(
        out,
        "Lifted: {}. A freeze in the daemon's settings or in a rollout's schedule stays.",
        table::plain(&before.words())
    )?;
    Ok(Exit::Done)
}
