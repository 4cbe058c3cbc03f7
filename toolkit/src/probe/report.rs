//! What the probe says, and whether it opens the gate.

use super::code;
use super::hit::{Hit, summed};
use super::mark::Marked;
use super::{ProbeArgs, Suite};
use crate::finding::{self, Severity};
use crate::marks;
use crate::place::Place;
use crate::trouble::{End, Trouble};
use serde_json::json;
use std::collections::BTreeMap;

/// The item of a checklist that stands for the edge's suites: `config/sealos.yaml` has it before the edge moves.
const EDGE_ITEM: &str = "edge-probed";

/// Writes the report, and the file where one is wanted.
pub(super) fn write(
    args: &ProbeArgs,
    place: &mut Place<'_>,
    counts: &BTreeMap<String, usize>,
    hits: &[Hit],
    marked: &Marked,
) -> Result<End, Trouble> {
    let count = |severity: Severity| hits.iter().filter(|hit| hit.severity == severity).count();
    let (blockers, warnings) = (count(Severity::Blocker), count(Severity::Warning));
    let alike = blockers == 0 && (warnings == 0 || !args.strict);
    let unasked = hits.iter().filter(|hit| hit.code == code::UNASKED.name).count();
    let whole = json!({
        "alike": alike, "asked": counts, "blockers": blockers, "warnings": warnings, "differences": hits,
        "unasked": unasked, "marked": marked.done, "marks": marked.names, "notMarked": marked.failed,
        "notMarkedAtTheEdge": marked.unguarded, "markTakenOff": marked.withdrawn,
    });
    if let Some(file) = &args.report {
        let text = format!("{whole:#}\n");
        std::fs::write(file, text).map_err(|error| {
            Trouble::Usage(format!(
                "unable to write {}: {error}; name another file with --report",
                file.display()
            ))
        })?;
    }
    if place.json {
        crate::batch::say(place, &whole, &[])?;
    } else {
        finding::write(place.out, &summed(hits))?;
        let asked: Vec<String> = counts
            .iter()
            .map(|(suite, count)| format!("{suite} {count}"))
            .collect();
        writeln!(place.out, "asked: {}", asked.join(", "))?;
        if unasked > 0 {
            writeln!(
                place.out,
                "not asked: {unasked} questions, as one side answers nothing"
            )?;
        }
        if !marked.done.is_empty() {
            let edge = if marked.names == [marks::EDGE_PROBED_AT] {
                " at the edge"
            } else {
                ""
            };
            writeln!(place.out, "marked as probed{edge}: {}", few(&marked.done))?;
        }
        if !marked.withdrawn.is_empty() {
            let names = few(&marked.withdrawn);
            writeln!(
                place.out,
                "not marked as probed any more, as they are not alike now: {names}"
            )?;
        }
        if !marked.unguarded.is_empty() {
            let names = few(&marked.unguarded);
            writeln!(
                place.out,
                "not marked at the edge, as nothing is known of their guards there: {names}"
            )?;
        }
        for failure in &marked.failed {
            writeln!(place.err, "not marked: {}", finding::plain(failure))?;
        }
        let verdict = if alike { "alike" } else { "not alike" };
        writeln!(place.out, "{verdict}: {blockers} blockers, {warnings} warnings")?;
        // The edge moves all hosts: what was asked of a part of them says nothing of the rest.
        let edge = Suite::Edge
            .parts()
            .iter()
            .all(|part| counts.contains_key(&part.word()));
        if edge
            && alike
            && !hits.iter().any(|hit| hit.code == code::GUARD_UNASKED.name)
            && marked.failed.is_empty()
            && place.namespace.is_none()
            && args.ingress_class.is_none()
        {
            writeln!(
                place.out,
                "where a phase waits for it: gradual-rollout approve --rollout NAME --phase edge --item {EDGE_ITEM}"
            )?;
        }
    }
    Ok(match (alike, marked.failed.is_empty()) {
        (false, _) => End::Refused,
        (true, false) => End::Partly,
        (true, true) => End::Done,
    })
}

/// How many, and the first of them.
fn few(names: &[String]) -> String {
    const NAMED: usize = 5;
    let head: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => head.join(", "),
        more => format!("{} and {more} more", head.join(", ")),
    }
}
