//! The test's outcome for people.

use super::{About, Tested};
use crate::cli::exit::Failure;
use crate::cli::lines;
use crate::cli::table::{BAD, DIM, GOOD, HEAD, LOOK, plain};
use crate::rollout::reason::Verdict;
use std::io::Write;

const INDENT: usize = 13;

/// Writes it.
pub(super) fn write(out: &mut dyn Write, tested: &Tested, width: Option<usize>) -> Result<(), Failure> {
    writeln!(
        out,
        "{HEAD}{}{HEAD:#} at {:.0}",
        plain(&tested.rollout),
        tested.at
    )?;
    for component in &tested.components {
        self::component(out, component, width)?;
    }
    Ok(())
}

fn component(out: &mut dyn Write, told: &About, width: Option<usize>) -> Result<(), Failure> {
    writeln!(out, "\n{HEAD}{}{HEAD:#}", plain(&told.component))?;
    if let Some(pool) = &told.pool {
        lines::write(out, ("  pool", DIM), pool, INDENT, width)?;
    }
    if !told.queries.is_empty() {
        let scraped = told.scrape_period.map_or_else(
            || "scrape period not known".to_owned(),
            |period| format!("a new sample every {period}"),
        );
        let text = format!(
            "over {} at {}% ({}), {scraped}",
            told.window, told.weight, told.weight_from
        );
        lines::write(out, ("  judged", DIM), &text, INDENT, width)?;
    }
    if let Some(at) = told.put_back_at {
        let text = format!("at {at:.0} by a rollout; the checks below are as they were then");
        lines::write(out, ("  put back", BAD), &text, INDENT, width)?;
    }
    for query in &told.queries {
        let count = match query.series {
            None => format!("{BAD}no answer{BAD:#}"),
            Some(0) => format!("{BAD}no series{BAD:#}"),
            Some(1) => "1 series".to_owned(),
            Some(n) => format!("{n} series"),
        };
        writeln!(out, "  {}: {count}", plain(&query.purpose))?;
        // Never folded: a query is there to be copied.
        for line in query.promql.lines() {
            writeln!(out, "    {}", plain(line))?;
        }
    }
    for check in &told.checks {
        let status = &check.status;
        let style = match status.verdict {
            Verdict::Pass => GOOD,
            Verdict::Breach => BAD,
            Verdict::Skipped => DIM,
            Verdict::Hold | Verdict::Insufficient | Verdict::Unknown => LOOK,
        };
        writeln!(
            out,
            "  {}: {style}{}{style:#}",
            plain(&status.name),
            status.verdict
        )?;
        let value = status.value.as_deref().unwrap_or("no value");
        let control = status
            .control
            .as_deref()
            .map_or_else(|| "control not known".to_owned(), |c| format!("control {c}"));
        let mut line = |label: &str, text: &str| lines::write(out, (label, DIM), text, INDENT, width);
        let values = if check.beside {
            let control = status.control.as_ref().map(|c| format!(", control {c}"));
            let read = if status.samples > 0 { ", 1 reading" } else { "" };
            format!("{value}{}{read}", control.unwrap_or_default())
        } else {
            format!("{value}, {control}, {} requests", status.samples)
        };
        line("    value", &values)?;
        line(
            "    limits",
            &format!("promote {}; rollback {}", check.promote, check.rollback),
        )?;
        line("    says", &status.message)?;
    }
    for missing in &told.missing {
        let text = format!("{}: {}", missing.of, missing.message);
        lines::write(out, ("  missing", BAD), &text, INDENT, width)?;
    }
    if told.missing.is_empty() {
        writeln!(out, "  {GOOD}nothing is missing{GOOD:#}")?;
    }
    Ok(())
}
