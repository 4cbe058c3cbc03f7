//! The backtest for people.

use super::facts::{Facts, LegFacts, Moved, Outcome, Recorded, Way};
use crate::cli::exit::Failure;
use crate::cli::lines;
use crate::cli::table::{BAD, DIM, GOOD, HEAD, LOOK, plain};
use crate::rollout::reason::Verdict;
use std::io::Write;

const INDENT: usize = 13;

/// Writes it.
pub(super) fn write(out: &mut dyn Write, facts: &Facts, width: Option<usize>) -> Result<(), Failure> {
    writeln!(
        out,
        "{HEAD}{}{HEAD:#} from {:.0} to {:.0}, a look every {}",
        plain(&facts.rollout),
        facts.from,
        facts.to,
        facts.step
    )?;
    for component in &facts.components {
        self::component(out, component, width)?;
    }
    writeln!(out, "\n{HEAD}assumptions{HEAD:#}")?;
    for assumption in &facts.assumptions {
        lines::write(out, ("  -", DIM), assumption, 4, width)?;
    }
    Ok(())
}

fn component(out: &mut dyn Write, told: &Way, width: Option<usize>) -> Result<(), Failure> {
    writeln!(out, "\n{HEAD}{}{HEAD:#}", plain(&told.component))?;
    let style = match told.outcome.end {
        "rolledBack" => BAD,
        "completed" | "promotable" => GOOD,
        _ => LOOK,
    };
    lines::write(out, ("  outcome", style), &sentence(&told.outcome), INDENT, width)?;
    lines::write(out, ("  record", DIM), &record(&told.record), INDENT, width)?;
    for leg in &told.legs {
        self::leg(out, leg, width)?;
    }
    let word = if told.outcome.end == "rolledBack" {
        "when it was rolled back"
    } else {
        "at the end"
    };
    writeln!(out, "  checks {word}")?;
    for check in &told.checks {
        let style = match check.verdict {
            Verdict::Pass => GOOD,
            Verdict::Breach => BAD,
            Verdict::Skipped => DIM,
            Verdict::Hold | Verdict::Insufficient | Verdict::Unknown => LOOK,
        };
        let label = format!("    {}", check.name);
        let label = format!("{label:<width$}", width = INDENT - 1);
        let evidence = check
            .evidence
            .map(|evidence| format!(" (evidence {:.0}% of what a rollback needs)", evidence * 100.0))
            .unwrap_or_default();
        let text = format!("{}: {}{evidence}", check.verdict, check.message);
        lines::write(out, (&format!("{label} "), style), &text, INDENT + 2, width)?;
    }
    if !told.limits.is_empty() {
        writeln!(out, "  what would have changed it")?;
    }
    for moved in &told.limits {
        let label = format!("    {}", moved.check.as_deref().unwrap_or("all counts"));
        lines::write(out, (&label, DIM), &becomes(moved), INDENT + 2, width)?;
    }
    Ok(())
}

fn sentence(outcome: &Outcome) -> String {
    let at = outcome.at.map(|at| format!(" at {at:.0}")).unwrap_or_default();
    let Outcome { highest, message, .. } = outcome;
    match (outcome.end, outcome.next) {
        ("rolledBack", _) => format!("rolled back{at} from {highest}%: {message}"),
        ("completed", _) => format!("completed{at} at {highest}%"),
        ("promotable", Some(next)) => format!("would have been raised from {highest}% to {next}%{at}"),
        _ if message.is_empty() => format!("held at {highest}%"),
        _ => format!("held at {highest}%: {message}"),
    }
}

fn record(record: &Recorded) -> String {
    let share = record
        .share
        .map(|share| format!(" ({share}%)"))
        .unwrap_or_default();
    let scraped = record
        .scrape_period
        .map(|period| format!(", scraped every {period}"))
        .unwrap_or_default();
    let dark = match &record.dark_because {
        Some(why) => format!("; nothing to be seen at {} looks: {why}", record.dark_looks),
        None => String::new(),
    };
    format!(
        "{} requests{share} and {} errors on the canary, {} and {} on control{scraped}{dark}",
        record.canary.requests, record.canary.errors, record.control.requests, record.control.errors
    )
}

fn leg(out: &mut dyn Write, leg: &LegFacts, width: Option<usize>) -> Result<(), Failure> {
    let share = leg
        .recorded_share
        .map(|share| format!("; the canary had {share}% then"))
        .unwrap_or_default();
    let text = format!("from {:.0}, {}{share}", leg.from, leg.reason);
    lines::write(out, (&format!("  {}%", leg.weight), HEAD), &text, INDENT, width)?;
    for stay in &leg.stayed {
        let text = format!("{} {}: {}", stay.length, stay.reason, stay.message);
        lines::write(out, ("", DIM), &text, INDENT + 2, width)?;
    }
    Ok(())
}

fn becomes(moved: &Moved) -> String {
    let is = moved.is.as_ref().map(|is| format!(" {is}")).unwrap_or_default();
    let (kind, wanted) = (moved.kind, moved.wanted);
    match (&moved.becomes, &moved.then) {
        (Some(becomes), Some(then)) => {
            format!("{kind}{is}: {wanted} with {becomes}; then {}", sentence(then))
        }
        _ => format!("{kind}{is}: {wanted} with no limit that was tried"),
    }
}
