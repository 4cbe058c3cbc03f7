//! `migrate explain`.

use crate::cli::args::Output;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, suggest, table};
use gradual_rollout_migration::report::{CODES, Explanation, explain};
use std::io::Write;

/// A code as typed, in whatever case.
pub(super) fn find(code: &str) -> Result<&'static Explanation, Failure> {
    explain(&code.to_ascii_uppercase()).ok_or_else(|| {
        let near = suggest::closest(code, CODES.iter().map(|known| known.code.text()));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        Failure::usage(format!(
            "the converter has no code {code:?}{hint} (`migrate explain list` shows them all); what another verb finds \
             says its remedy beside it"
        ))
    })
}

/// Tells what a code means.
pub(super) fn run(code: &str, form: Output, out: &mut dyn Write) -> Result<Exit, Failure> {
    let told: Vec<&Explanation> = if code.eq_ignore_ascii_case("list") {
        CODES.iter().collect()
    } else {
        vec![find(code)?]
    };
    if matches!(form, Output::Json | Output::Yaml) {
        output::data(out, form, &told)?;
        return Ok(Exit::Done);
    }
    for explanation in told {
        writeln!(out, "{}", table::plain_lines(&text(explanation)))?;
    }
    Ok(Exit::Done)
}

fn text(explanation: &Explanation) -> String {
    let security = if explanation.sec {
        ", a security control"
    } else {
        ""
    };
    let accept = if explanation.acceptable {
        format!(
            "\n  accept: --accept {} lets the route pass without it",
            explanation.code.text()
        )
    } else {
        String::new()
    };
    format!(
        "{}: {} ({}{security})\n  effect: {}\n  remedy: {}{accept}",
        explanation.code.text(),
        explanation.outcome,
        explanation.severity.text(),
        explanation.effect,
        explanation.remedy
    )
}
