//! What takes something away at the gateway, when nginx has everything again: hosts are closed, then what served them goes.

use super::args::RollbackArgs;
use super::watch::{Lost, Watch};
use super::{Ready, names, run, traffic};
use crate::apply::gateway::{self, Host};
use crate::apply::run::{Became, Line};
use crate::apply::select::shown;
use crate::cluster::{self, Kind};
use crate::finding::{Finding, Severity};
use crate::pace::Pace;
use crate::place::Place;
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Closes and deletes, as far as nobody loses an answer by it.
pub(super) async fn take_away(
    args: &RollbackArgs,
    ready: &Ready,
    watch: &Watch,
    deleted: &[(Kind, Value)],
    pace: &Pace,
    (lines, findings): (&mut Vec<Line>, &mut Vec<Finding>),
    place: &Place<'_>,
) -> Result<(), Trouble> {
    let (cluster, undo) = (&ready.cluster, &ready.undo);
    let leading = names::leading(args, undo, &place.client).await?;
    let lead = leading
        .iter()
        .any(|finding| finding.severity == Severity::Blocker);
    findings.extend(leading);
    if lead {
        return Ok(());
    }
    if let Some(again) = traffic::again(cluster, &ready.scope).await? {
        findings.push(again);
        return Ok(());
    }
    let dirs: Vec<String> = args.dir.iter().map(|dir| dir.display().to_string()).collect();
    let (closed, mut lost) = run::close(cluster, pace, undo, watch).await;
    let shut = closed.iter().all(|line| line.result == Became::Written);
    lines.extend(closed);
    let mut opened = BTreeSet::new();
    if shut {
        // Whoever deleted one between the last look and the write is seen now, while its route is still there.
        let more = watch.look(cluster).await?;
        again(ready, watch, &more, &mut lost, &mut opened, lines).await;
        let shows = kept_certificates(ready, &watch.hosts(&lost));
        let (routes, rest): (Vec<_>, Vec<_>) = deleted
            .iter()
            .filter(|one| !watch.keeps(one, &lost, &shows))
            .cloned()
            .partition(|(kind, _)| *kind == cluster::VIRTUAL_SERVICE);
        let (gone, _) = run::delete_routes(cluster, pace, &routes, &ready.guarded, watch).await;
        let left = gone.iter().any(|line| line.result != Became::Written);
        lines.extend(gone);
        if left {
            let more = watch.look(cluster).await?;
            again(ready, watch, &more, &mut lost, &mut opened, lines).await;
        }
        let shows = kept_certificates(ready, &watch.hosts(&lost));
        let rest: Vec<_> = rest
            .into_iter()
            .filter(|one| !watch.keeps(one, &lost, &shows))
            .collect();
        lines.extend(run::delete(cluster, pace, &rest, false).await);
    }
    findings.extend(watch.findings(&lost, &opened, &dirs));
    if !shut {
        findings.push(still_open());
        return Ok(());
    }
    if lost.is_empty() {
        let rollouts = traffic::done_with(cluster, &ready.scope).await?;
        let rollouts: Vec<_> = rollouts
            .into_iter()
            .map(|r| (cluster::GRADUAL_ROLLOUT, r))
            .collect();
        lines.extend(run::delete(cluster, pace, &rollouts, false).await);
    }
    Ok(())
}

/// Opens hosts again whose Ingresses are lost since they were closed.
async fn again(
    ready: &Ready,
    watch: &Watch,
    now: &BTreeMap<Key, Lost>,
    lost: &mut BTreeMap<Key, Lost>,
    opened: &mut BTreeSet<Host>,
    lines: &mut Vec<Line>,
) {
    let held = watch.hosts(lost);
    let hosts: BTreeSet<Host> = watch.hosts(now).difference(&held).cloned().collect();
    if !hosts.is_empty() {
        lines.extend(run::reopen(&ready.cluster, &ready.undo, &hosts).await);
    }
    opened.extend(hosts);
    lost.extend(now.iter().map(|(key, why)| (key.clone(), *why)));
}

/// The certificates of hosts that stay open.
fn kept_certificates(ready: &Ready, held: &BTreeSet<Host>) -> BTreeSet<String> {
    let names: BTreeSet<&String> = held.iter().map(|(_, host)| host).collect();
    let shows = ready.undo.gateways.iter().flat_map(gateway::showing);
    shows
        .filter(|(_, hosts)| hosts.iter().any(|host| names.contains(host)))
        .map(|(secret, _)| secret)
        .collect()
}

/// That a route was written by somebody else since it was looked at.
pub(super) fn changed(routes: &[String]) -> Finding {
    Finding {
        code: "ROLLBACK-CHANGED",
        severity: Severity::Blocker,
        object: "rollback".to_owned(),
        message: format!(
            "somebody else wrote {} since this rollback looked at it, as a cleanup does before it deletes Ingresses, or an apply: nothing was closed nor deleted",
            shown(routes)
        ),
        remedy: "end what is under way, and ask again: everything is looked at anew then".to_owned(),
    }
}

fn still_open() -> Finding {
    Finding {
        code: "ROLLBACK-STILL-OPEN",
        severity: Severity::Blocker,
        object: "rollback".to_owned(),
        message: "a Gateway could not be written, so its routes and policies were left: an open host without them would be worse".to_owned(),
        remedy: "mend what is said of it, and ask again".to_owned(),
    }
}
