//! What preflight says: for people, and for programs.

use super::checklist::{self, ITEMS, Item, Standing, Tick, Ticks};
use crate::finding::{Finding, Severity, plain};
use crate::place::Place;
use serde_json::{Value, json};
use std::io;

/// The whole report.
pub(super) fn write(
    place: &mut Place<'_>,
    findings: &[Finding],
    ticks: &Ticks,
    score: usize,
) -> io::Result<()> {
    let blockers = count(findings, Severity::Blocker);
    if place.json {
        let items: Vec<Value> = ITEMS
            .iter()
            .map(|item| described(item, findings, ticks))
            .collect();
        let whole = json!({
            "ready": blockers == 0, "score": score, "checklist": items, "findings": findings,
        });
        return json(place, &whole);
    }
    grouped(place, findings)?;
    if !findings.is_empty() {
        writeln!(place.out)?;
    }
    list(place, findings, ticks, true)?;
    writeln!(place.out)?;
    let warnings = count(findings, Severity::Warning);
    let verdict = if blockers == 0 {
        "nothing stands in the way"
    } else {
        "not ready"
    };
    writeln!(
        place.out,
        "{verdict}: {blockers} blockers, {warnings} warnings, score {score} of 100"
    )
}

/// How many findings of a code are shown before the rest is only counted.
const SHOWN: usize = 5;

/// Findings, the worst first, those of one code together; what to do stands once below those it is the same for.
fn grouped(place: &mut Place<'_>, findings: &[Finding]) -> io::Result<()> {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    // Stable: the order in which a code was found is kept.
    sorted.sort_by_key(|f| (std::cmp::Reverse(f.severity), f.code));
    for same in sorted.chunk_by(|a, b| (a.severity, a.code, &a.remedy) == (b.severity, b.code, &b.remedy)) {
        for f in same.iter().take(SHOWN) {
            let (object, message) = (plain(&f.object), plain(&f.message));
            writeln!(
                place.out,
                "{:<8} {}  {object}: {message}",
                f.severity.word(),
                f.code
            )?;
        }
        if let Some(more) = same.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            writeln!(place.out, "         and {more} more; -o json has them all")?;
        }
        if let Some(first) = same.first().filter(|first| !first.remedy.is_empty()) {
            writeln!(place.out, "         -> {}", plain(&first.remedy))?;
        }
    }
    Ok(())
}

/// The items that people tick, with their ticks.
pub(super) fn people(place: &mut Place<'_>, ticks: &Ticks) -> io::Result<()> {
    if place.json {
        let people = ITEMS.iter().filter(|item| item.person);
        let items: Vec<Value> = people.map(|item| described(item, &[], ticks)).collect();
        return json(place, &json!({"checklist": items}));
    }
    list(place, &[], ticks, false)
}

/// What became of `--tick` or `--untick`.
pub(super) fn ticked(
    place: &mut Place<'_>,
    namespace: &str,
    item: &Item,
    tick: Option<&Tick>,
) -> io::Result<()> {
    if place.json {
        let name = checklist::NAME;
        return json(
            place,
            &json!({"item": item.id, "tick": tick, "configMap": format!("{namespace}/{name}")}),
        );
    }
    let what = match tick {
        Some(tick) => format!("ticked by {}", plain(&tick.by)),
        None => "no longer ticked".to_owned(),
    };
    writeln!(
        place.out,
        "{} ({}): {what}, in ConfigMap {namespace}/{}",
        item.id,
        item.text,
        checklist::NAME
    )
}

fn json(place: &mut Place<'_>, whole: &Value) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *place.out, whole)?;
    writeln!(place.out)
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings.iter().filter(|f| f.severity == severity).count()
}

fn described(item: &Item, findings: &[Finding], ticks: &Ticks) -> Value {
    json!({
        "item": item.id, "text": item.text, "by": if item.person { "person" } else { "machine" },
        "standing": checklist::standing(item, findings, ticks), "tick": ticks.get(item.id),
    })
}

fn list(place: &mut Place<'_>, findings: &[Finding], ticks: &Ticks, machine: bool) -> io::Result<()> {
    for item in ITEMS.iter().filter(|item| machine || item.person) {
        let mark = match checklist::standing(item, findings, ticks) {
            Standing::Pass => "[x]",
            Standing::Warn => "[~]",
            Standing::Open => "[ ]",
        };
        write!(place.out, "{mark} {:<13} {}", item.id, item.text)?;
        if let Some(tick) = ticks.get(item.id).filter(|_| item.person) {
            let day = tick.at.to_string().chars().take(10).collect::<String>();
            write!(place.out, " ({}, {day}", plain(&tick.by))?;
            if let Some(note) = &tick.note {
                write!(place.out, ": {}", plain(note))?;
            }
            write!(place.out, ")")?;
        }
        writeln!(place.out)?;
    }
    Ok(())
}
