//! What a batch comes down to and what was done, told.

use super::args::ApplyArgs;
use super::gateway::key;
use super::item::Change;
use super::live::hosts;
use super::plan::Plan;
use super::run::{Became, Line};
use crate::cluster::{GRADUAL_ROLLOUT, VIRTUAL_SERVICE};
use crate::dry::DryRun;
use crate::finding::{self, Finding, plain};
use crate::place::Place;
use crate::trouble::Trouble;
use serde_json::{Value, json};

/// What would be written, a line for each object.
pub fn plan(plan: &Plan, place: &mut Place<'_>) -> Result<(), Trouble> {
    for item in plan.items.iter().filter(|item| item.change != Change::Same) {
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
        writeln!(place.out, "prune  {}", plain(&kind.named(&namespace, &name)))?;
    }
    for mark in plan.marks.iter().filter(|mark| !mark.stands()) {
        writeln!(place.out, "mark   {}", plain(&super::select::object(&mark.key)))?;
    }
    if let Some(body) = &plan.rollout {
        let moves = super::rollout::components(body);
        let object = rollout(body);
        writeln!(
            place.out,
            "hand over to {}, which moves the traffic of {}",
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
    let pruned = match plan.pruned.len() {
        0 => String::new(),
        some => format!(", {some} to prune"),
    };
    if args.dry_run == Some(DryRun::Client) {
        writeln!(
            place.out,
            "plan {}: {marked} Ingresses, {} objects to write, {} as they should be{pruned}",
            plan.hash,
            plan.items.iter().filter(|item| item.change.is_written()).count(),
            plan.items
                .iter()
                .filter(|item| item.change == Change::Same)
                .count(),
        )?;
        return Ok(());
    }
    writeln!(
        place.out,
        "plan {}: {} objects {}written, {} as they should be, {} left out, {} failed, {} not reached",
        plan.hash,
        count(lines, Became::Written),
        DryRun::would(args.dry_run),
        count(lines, Became::Same),
        count(lines, Became::LeftOut),
        count(lines, Became::Failed),
        count(lines, Became::NotReached),
    )?;
    Ok(())
}
