//! What the probe says, and whether it opens the gate.

use super::ProbeArgs;
use super::hit::{Hit, summed};
use super::mark::Marked;
use crate::finding::{self, Severity};
use crate::place::Place;
use crate::trouble::{End, Trouble};
use serde_json::json;
use std::collections::BTreeMap;

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
    let whole = json!({
        "alike": alike, "asked": counts, "blockers": blockers, "warnings": warnings, "differences": hits,
        "marked": marked.done, "notMarked": marked.failed,
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
        if !marked.done.is_empty() {
            writeln!(place.out, "marked as probed: {}", few(&marked.done))?;
        }
        for failure in &marked.failed {
            writeln!(place.err, "not marked: {}", finding::plain(failure))?;
        }
        let verdict = if alike { "alike" } else { "not alike" };
        writeln!(place.out, "{verdict}: {blockers} blockers, {warnings} warnings")?;
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
