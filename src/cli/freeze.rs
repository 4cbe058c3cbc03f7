//! `freeze` and `unfreeze`: the switch by which nothing rises in a whole cluster. It is where the daemon looks for it that
//! was started with the same flags and settings.

use super::exit::{Exit, Failure};
use super::{connect, table, wish};
use crate::clock::Clock;
use crate::cluster::by_hand::{ByHand, Daemon, Error};
use crate::cluster::freeze::{NAME, Switch};
use crate::settings::Settings;
use jiff::Timestamp;
use std::io::Write;

/// Whom a switch in a namespace reaches.
enum Reach {
    /// A daemon is alive that looks there, or nobody here may know.
    Daemon(String),
    /// None is: why, and where others are.
    Nobody(String, Vec<String>),
}

/// Freezes everything that the daemon of these settings works. Where none looks at the switch, that is an error: another
/// daemon's freeze elsewhere is written only by `force`.
pub(super) async fn freeze(
    settings: &Settings,
    (reason, until, force): (&str, Option<Timestamp>, bool),
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
    let namespace = settings.namespace.as_str();
    let cluster = connect::connect().await?;
    let reach = reach(&cluster, settings, now).await;
    if let (Reach::Nobody(why, elsewhere), false) = (&reach, force)
        && !elsewhere.is_empty()
    {
        return Err(Failure::refused(format!(
            "nothing was frozen: {}; --force writes it there all the same",
            misplaced(namespace, why, elsewhere)
        )));
    }
    cluster
        .set_freeze(namespace, Some(&switch), now)
        .await
        .map_err(connect::failure)?;
    let words = table::plain(&switch.words());
    match reach {
        Reach::Daemon(who) => {
            writeln!(
                out,
                "{words} (configmap {namespace}/{NAME}{who}). Nothing rises; every lowering still happens."
            )?;
            Ok(Exit::Done)
        }
        Reach::Nobody(why, elsewhere) => {
            writeln!(
                out,
                "{words} (configmap {namespace}/{NAME}). It holds as soon as a daemon runs with `-n {namespace}`. Now none \
                 does: {}.",
                misplaced(namespace, &why, &elsewhere)
            )?;
            Ok(if force { Exit::Done } else { Exit::Partly })
        }
    }
}

/// Lifts the freeze.
pub(super) async fn unfreeze(settings: &Settings, out: &mut dyn Write) -> Result<Exit, Failure> {
    let namespace = settings.namespace.as_str();
    let cluster = connect::connect().await?;
    let before = cluster.freeze(namespace).await.map_err(connect::failure)?;
    let now = Clock::System.now();
    let Some(before) = before else {
        if let Reach::Nobody(why, elsewhere) = reach(&cluster, settings, now).await
            && !elsewhere.is_empty()
        {
            return Err(Failure::refused(format!(
                "nothing was frozen by configmap {namespace}/{NAME}: {}",
                misplaced(namespace, &why, &elsewhere)
            )));
        }
        writeln!(out, "Nothing was frozen by configmap {namespace}/{NAME}.")?;
        return Ok(Exit::Done);
    };
    cluster
        .set_freeze(namespace, None, now)
        .await
        .map_err(connect::failure)?;
    writeln!(
        out,
        "Lifted: {} (configmap {namespace}/{NAME}). A freeze in the daemon's settings or in a rollout's schedule stays.",
        table::plain(&before.words())
    )?;
    Ok(Exit::Done)
}

/// Looks for a daemon that reads the switch of these settings, and for others where there is none.
async fn reach(cluster: &ByHand, settings: &Settings, now: Timestamp) -> Reach {
    let (namespace, lease) = (settings.namespace.as_str(), settings.lease.name.as_str());
    let why = match cluster.daemon_in(&[namespace], lease, now).await {
        Ok(Daemon::Alive { holder }) => {
            return Reach::Daemon(format!(", read by {}", table::plain(&holder)));
        }
        Ok(Daemon::Silent { message }) => message,
        // Who may write the switch need not be one who may read Leases.
        Err(Error::Forbidden { .. }) => {
            return Reach::Daemon(
                "; whether a daemon reads it is not known, for Leases may not be read".to_owned(),
            );
        }
        Err(error) => format!("whether one runs cannot be told: {error}"),
    };
    let mut others = vec![settings.lease.namespace.clone()];
    // Who may not list them in the whole cluster looks at home alone.
    others.extend(cluster.namespaces_of_leases(lease).await.unwrap_or_default());
    others.sort();
    others.dedup();
    let mut elsewhere = Vec::new();
    for other in others.iter().filter(|other| *other != namespace) {
        if let Ok(Daemon::Alive { .. }) = cluster.daemon_in(&[other.as_str()], lease, now).await {
            elsewhere.push(other.clone());
        }
    }
    Reach::Nobody(why, elsewhere)
}

/// Where no daemon is, and where one is.
fn misplaced(namespace: &str, why: &str, elsewhere: &[String]) -> String {
    let why = table::plain(why);
    if elsewhere.is_empty() {
        return format!(
            "no daemon that looks at namespace {namespace} was found ({why}): start it, or look with `doctor`"
        );
    }
    let each: Vec<String> = elsewhere.iter().map(|other| format!("`-n {other}`")).collect();
    format!(
        "no daemon looks at namespace {namespace} ({why}); one runs in {}: write {}",
        elsewhere.join(", "),
        each.join(" or ")
    )
}
