//! What would be undone, object by object in the order of undoing; and what was.

use super::args::RollbackArgs;
use super::back::Back;
use super::plan::named;
use super::{Ready, names, run, traffic, trial, written};
use crate::apply::gateway;
use crate::apply::run::{Became, Line};
use crate::apply::select::{object, shown};
use crate::cluster;
use crate::finding::{self, Finding, Severity, plain};
use crate::place::Place;
use crate::see;
use crate::trouble::{End, Trouble};
use serde_json::json;
use std::collections::BTreeMap;

/// What would be undone. The same words for the same objects as when it is done, and nothing is written.
pub(super) async fn would(
    args: &RollbackArgs,
    ready: &Ready,
    mut findings: Vec<Finding>,
    place: &mut Place<'_>,
) -> Result<End, Trouble> {
    let (undo, cluster) = (&ready.undo, &ready.cluster);
    let mut lines: Vec<Line> = Vec::new();
    let told = traffic::telling(cluster, &ready.scope).await?;
    lines.extend(
        told.iter()
            .map(|told| written(format!("GradualRollout {told}"), "back to 0")),
    );
    lines.extend(
        ready
            .block
            .iter()
            .map(|(_, object)| written(see::object(object), "delete")),
    );
    lines.extend(
        ready
            .switches
            .iter()
            .map(|(word, object)| written(object.clone(), word)),
    );
    let noting = run::noting(&undo.deleted);
    lines.extend(noting.map(|route| written(named(&cluster::VIRTUAL_SERVICE, route), "note")));
    let several = args.dir.len() > 1;
    lines.extend(trial::lines(&ready.back, several));
    let unmarked = undo.unmarked();
    lines.extend(unmarked.iter().map(|key| written(object(key), "unmark")));
    for one in &undo.gateways {
        let mut hosts: Vec<String> = gateway::open(one)
            .into_iter()
            .filter(|host| undo.hosts.contains(host))
            .map(|(_, host)| host)
            .collect();
        hosts.dedup();
        let goes = gateway::without(one, &|host| undo.hosts.contains(host), &undo.staying(one)).is_none();
        let more = if goes {
            "; it is deleted, as it has no other"
        } else {
            ""
        };
        let line = written(named(&cluster::GATEWAY, one), "close");
        lines.push(Line {
            message: format!("{}{more}", hosts.join(", ")),
            ..line
        });
    }
    lines.extend(
        undo.deleted
            .iter()
            .map(|(kind, object)| written(named(kind, object), "delete")),
    );
    let rollouts = traffic::done_with(cluster, &ready.scope).await?;
    lines.extend(
        rollouts
            .iter()
            .map(|rollout| written(named(&cluster::GRADUAL_ROLLOUT, rollout), "delete")),
    );
    findings.extend(names::leading(args, undo, &place.client).await?);
    if place.json {
        let steps: Vec<_> = lines
            .iter()
            .map(|line| json!({"action": line.action, "object": line.object, "more": line.message}))
            .collect();
        let said = json!({"dryRun": true, "steps": steps, "findings": findings});
        writeln!(place.out, "{said:#}")?;
    } else {
        finding::write(place.err, &findings)?;
        for line in &lines {
            let more = if line.message.is_empty() {
                String::new()
            } else {
                format!(": {}", line.message)
            };
            writeln!(
                place.out,
                "{:<11} {}{}",
                line.action,
                plain(&line.object),
                plain(&more)
            )?;
        }
        if lines.is_empty() {
            writeln!(place.out, "nothing of it was written: there is nothing to undo")?;
        }
    }
    let blocked = findings
        .iter()
        .any(|finding| finding.severity == Severity::Blocker);
    Ok(if blocked { End::Partly } else { End::Done })
}

/// Which folder has what, where there are several.
pub(super) fn folders(args: &RollbackArgs, back: &Back, place: &mut Place<'_>) -> Result<(), Trouble> {
    if args.dir.len() < 2 {
        return Ok(());
    }
    let mut all: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    for (key, dir) in &back.from {
        all.entry(dir).or_default().push(object(key));
    }
    for (dir, names) in all {
        writeln!(place.err, "from {}: {}", plain(dir), plain(&shown(&names)))?;
    }
    Ok(())
}

/// What was undone.
pub(super) fn tell(lines: &[Line], findings: &[Finding], place: &mut Place<'_>) -> Result<(), Trouble> {
    if place.json {
        let said = json!({"dryRun": false, "results": lines, "findings": findings});
        writeln!(place.out, "{said:#}")?;
        return Ok(());
    }
    finding::write(place.err, findings)?;
    for line in lines.iter().filter(|line| line.result != Became::Written) {
        writeln!(
            place.err,
            "failed   {} {}: {}",
            line.action,
            plain(&line.object),
            plain(&line.message)
        )?;
    }
    if lines.is_empty() {
        let blocked = findings
            .iter()
            .any(|finding| finding.severity == Severity::Blocker);
        let why = if blocked {
            "nothing was undone"
        } else {
            "nothing of it was written: there is nothing to undo"
        };
        writeln!(place.out, "{why}")?;
        return Ok(());
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.result == Became::Written) {
        *counts.entry(line.action).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(action, count)| format!("{count} {action}"))
        .collect();
    writeln!(place.out, "undone: {}", shown(&counts))?;
    Ok(())
}
