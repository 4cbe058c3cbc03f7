//! What was found or done: a stable code, how bad it is, on which object, and what to do about it.

use serde::Serialize;
use std::io::{self, Write};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Somebody should look, nothing waits for it.
    Warning,
    /// Nothing goes on before it is mended.
    Blocker,
}

impl Severity {
    /// As it is printed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Blocker => "blocker",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable; what people search for.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// `Kind namespace/name`, or what else it is about.
    pub object: String,
    /// What is the case, in a sentence.
    pub message: String,
    /// What to do now; empty where nothing is to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// Text without control characters: names come from others, and a terminal obeys what it is sent.
pub fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Writes findings for people, the worst first, one line each and one for the remedy.
pub fn write(out: &mut dyn Write, findings: &[Finding]) -> io::Result<()> {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for f in sorted {
        writeln!(
            out,
            "{:<8} {}  {}: {}",
            f.severity.word(),
            f.code,
            plain(&f.object),
            plain(&f.message)
        )?;
        if !f.remedy.is_empty() {
            writeln!(out, "         -> {}", plain(&f.remedy))?;
        }
    }
    Ok(())
}
