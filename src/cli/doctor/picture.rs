//! Findings for people.

use crate::cli::lines;
use crate::cli::table::{self, BAD, DIM, GOOD, HEAD, LOOK};
use crate::doctor::{Code, Finding, Severity};
use anstyle::Style;
use std::io::{self, Write};

/// Where a finding's text begins: behind the longest severity.
const INDENT: usize = 9;

const fn style(severity: Severity) -> Style {
    match severity {
        Severity::Error => BAD,
        Severity::Warning => LOOK,
        Severity::Info => DIM,
    }
}

/// All of them, the gravest first, and how many.
pub(super) fn write(
    out: &mut dyn Write,
    rollouts: &[&str],
    all: &[Finding],
    width: Option<usize>,
) -> io::Result<()> {
    for finding in all {
        let label = (finding.severity.word(), style(finding.severity));
        let text = format!("{} {}: {}", finding.code.name, finding.object, finding.message);
        lines::write(out, label, &text, INDENT, width)?;
        lines::write(out, ("", Style::new()), finding.remedy, INDENT, width)?;
        // As it is, whatever the width: it is there to be pasted.
        for line in finding.paste.iter().flat_map(|text| text.lines()) {
            writeln!(out, "{:INDENT$}  {}", "", table::plain(line))?;
        }
    }
    let looked = match rollouts {
        [] => "no rollout".to_owned(),
        few if few.len() <= 3 => few.join(", "),
        many => format!("{} rollouts", many.len()),
    };
    let (word, paint) = match all.len() {
        0 => ("well", GOOD),
        _ => ("looked at", HEAD),
    };
    let count = match all.len() {
        0 => "nothing found".to_owned(),
        1 => "1 finding".to_owned(),
        n => format!("{n} findings"),
    };
    writeln!(out, "{paint}{word}{paint:#} {}: {count}", table::plain(&looked))
}

/// One code.
pub(super) fn explain(out: &mut dyn Write, code: &Code, width: Option<usize>) -> io::Result<()> {
    let head = (code.name, HEAD);
    let meaning = format!("{}: {}", code.severity.word(), code.meaning);
    lines::write(out, head, &meaning, 6, width)?;
    lines::write(out, ("", Style::new()), code.remedy, 6, width)
}
