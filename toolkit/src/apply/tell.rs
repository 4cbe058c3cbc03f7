//! What a batch comes down to and what was done, told.

use super::args::ApplyArgs;
use super::gateway::key;
use super::item::Item;
use super::live::hosts;
use super::plan::Plan;
use super::run::{Became, Line};
use crate::cluster::{GRADUAL_ROLLOUT, VIRTUAL_SERVICE};
use crate::dry::DryRun;
use crate::finding::{self, Finding, plain};
use crate::place::Place;
use crate::trouble::Trouble;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The objects that ended in one way.
fn ended(lines: &[Line], became: Became) -> BTreeSet<&str> {
    let lines = lines.iter().filter(|line| line.result == became);
    lines.map(|line| line.object.as_str()).collect()
}

/// What would be written, a line for each object: what a run leaves out, its dry run does.
pub fn plan(plan: &Plan, lines: &[Line], place: &mut Place<'_>) -> Result<(), Trouble> {
    let written = ended(lines, Became::Written);
    let written = |object: String| written.contains(object.as_str());
    for item in plan.items.iter().filter(|item| written(item.object())) {
        let more = if item.kind == VIRTUAL_SERVICE {
            let hosts: Vec<String> = hosts(&item.body).into_iter().collect();
            format!(" for {}", hosts.join(", "))
        } else {
            String::new()
        };
        writeln!(
            place.out,
            "{:<6} {}{}",
            item.change.word(),
            plain(&item.object()),
            plain(&more)
        )?;
    }
    for (kind, object) in &plan.pruned {
        let (namespace, name) = key(object);
        let object = kind.named(&namespace, &name);
        if written(object.clone()) {
            writeln!(place.out, "prune  {}", plain(&object))?;
        }
    }
    let marks = plan.marks.iter().map(|mark| super::select::object(&mark.key));
    for object in marks.filter(|object| written(object.clone())) {
        writeln!(place.out, "mark   {}", plain(&object))?;
    }
    if let Some(body) = plan.rollout.as_ref().filter(|body| written(rollout(body))) {
        let moves = super::rollout::components(body);
        let object = rollout(body);
        writeln!(
            place.out,
            "hand over to {}, which is asked to move the traffic of {}",
            plain(&object),
            plain(&moves)
        )?;
    }
    Ok(())
}

/// A rollout by its name.
fn rollout(body: &Value) -> String {
    let (namespace, name) = key(body);
    GRADUAL_ROLLOUT.named(&namespace, &name)
}

/// How many ended how.
fn count(lines: &[Line], became: Became) -> usize {
    lines.iter().filter(|line| line.result == became).count()
}

/// What was done.
pub fn done(
    args: &ApplyArgs,
    plan: &Plan,
    lines: &[Line],
    findings: &[Finding],
    place: &mut Place<'_>,
) -> Result<(), Trouble> {
    let marked = plan.marks.len();
    if place.json {
        let pruned = plan.pruned.iter().map(|(kind, object)| {
            let (namespace, name) = key(object);
            json!({"object": kind.named(&namespace, &name), "action": "prune"})
        });
        let planned: Vec<Value> = plan
            .items
            .iter()
            .map(|item| json!({"object": item.object(), "action": item.change}))
            .chain(pruned)
            .chain(
                plan.rollout
                    .iter()
                    .map(|body| json!({"object": rollout(body), "action": "handOver"})),
            )
            .collect();
        let said = json!({
            "plan": plan.hash, "dryRun": args.dry_run.is_some(), "ingresses": marked,
            "planned": planned, "results": lines, "findings": findings,
        });
        writeln!(place.out, "{said:#}")?;
        return Ok(());
    }
    finding::write(place.err, findings)?;
    for line in lines
        .iter()
        .filter(|line| matches!(line.result, Became::Failed | Became::LeftOut))
    {
        let word = if line.result == Became::Failed {
            "failed"
        } else {
            "left out"
        };
        writeln!(
            place.err,
            "{word:<8} {}: {}",
            plain(&line.object),
            plain(&line.message)
        )?;
    }
    for line in lines
        .iter()
        .filter(|line| line.result == Became::Written && !line.message.is_empty())
    {
        writeln!(place.err, "{}: {}", plain(&line.object), plain(&line.message))?;
    }
    let objects: BTreeSet<String> = plan.items.iter().map(Item::object).collect();
    let (written, same) = (ended(lines, Became::Written), ended(lines, Became::Same));
    let items = |all: &BTreeSet<&str>| all.iter().filter(|object| objects.contains(**object)).count();
    let going = plan.pruned.iter().filter(|(kind, object)| {
        let (namespace, name) = key(object);
        written.contains(kind.named(&namespace, &name).as_str())
    });
    let pruned = match going.count() {
        0 => String::new(),
        some => format!(", {some} to prune"),
    };
    if args.dry_run == Some(DryRun::Client) {
        let left = ended(lines, Became::LeftOut);
        let marks = plan.marks.iter().map(|mark| super::select::object(&mark.key));
        let marked = marks.filter(|object| !left.contains(object.as_str())).count();
        writeln!(
            place.out,
            "plan {}: {marked} Ingresses, {} objects to write, {} as they should be{pruned}",
            plan.hash,
            items(&written),
            items(&same),
        )?;
        return Ok(());
    }
    // Those of which only a finding tells, as nothing of them was ever to be written.
    let lines_left = ended(lines, Became::LeftOut);
    let told = findings
        .iter()
        .filter(|finding| finding.message.starts_with("left out"));
    let told: BTreeSet<&str> = told
        .map(|finding| finding.object.as_str())
        .filter(|object| !lines_left.contains(object))
        .collect();
    writeln!(
        place.out,
        "plan {}: {} objects {}written, {} as they should be, {} left out, {} failed, {} not reached",
        plan.hash,
        count(lines, Became::Written),
        DryRun::would(args.dry_run),
        count(lines, Became::Same),
        count(lines, Became::LeftOut) + told.len(),
        count(lines, Became::Failed),
        count(lines, Became::NotReached),
    )?;
    Ok(())
}
