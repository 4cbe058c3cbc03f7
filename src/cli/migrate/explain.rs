//! `migrate explain`.

use crate::cli::args::Output;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, suggest, table};
use gradual_rollout_migration::report::{CODES, Explanation, explain};
use gradual_rollout_toolkit::explain::{self as verbs, Explanation as Found};
use serde::Serialize;
use std::io::Write;

/// What is known of a code: the converter's explanation, and that of what the other verbs find.
type Known = (Option<&'static Explanation>, Option<Found>);

/// A code as typed, in whatever case.
pub(super) fn find(code: &str) -> Result<Known, Failure> {
    let (converter, found) = (explain(&code.to_ascii_uppercase()), verbs::find(code));
    if converter.is_some() || found.is_some() {
        return Ok((converter, found));
    }
    let others = verbs::all();
    let names = CODES.iter().map(|known| known.code.text());
    let near = suggest::closest(code, names.chain(others.iter().map(|known| known.code.as_str())));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    Err(Failure::usage(format!(
        "there is no code {code:?}{hint} (`migrate explain list` shows them all)"
    )))
}

/// Tells what a code means.
pub(super) fn run(code: &str, form: Output, out: &mut dyn Write) -> Result<Exit, Failure> {
    let told: Vec<Known> = if code.eq_ignore_ascii_case("list") {
        let converters = CODES.iter().map(|known| (Some(known), None));
        converters
            .chain(verbs::all().into_iter().map(|found| (None, Some(found))))
            .collect()
    } else {
        vec![find(code)?]
    };
    if matches!(form, Output::Json | Output::Yaml) {
        let all: Vec<Told<'_>> = told
            .iter()
            .flat_map(|(converter, found)| {
                let converter = converter.map(Told::Converter);
                converter.into_iter().chain(found.as_ref().map(Told::Verb))
            })
            .collect();
        output::data(out, form, &all)?;
        return Ok(Exit::Done);
    }
    for (converter, found) in &told {
        if let Some(explanation) = converter {
            writeln!(out, "{}", table::plain_lines(&text(explanation)))?;
        }
        if let Some(found) = found {
            writeln!(out, "{}", table::plain_lines(&of_verb(found)))?;
        }
    }
    Ok(Exit::Done)
}

/// As it is told to programs.
#[derive(Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Converter(&'static Explanation),
    Verb(&'a Found),
}

fn of_verb(found: &Found) -> String {
    let remedy = if found.remedy.is_empty() {
        "-"
    } else {
        &found.remedy
    };
    format!(
        "{}: ({})\n  meaning: {}\n  remedy: {remedy}",
        found.code, found.severity, found.meaning
    )
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
