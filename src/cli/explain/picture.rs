//! The explanation for people: one thing per line, folded to the terminal.

use crate::cli::exit::Failure;
use crate::cli::lines;
use crate::cli::table::{BAD, DIM, GOOD, HEAD, LOOK, plain};
use crate::rollout::command::ago;
use crate::rollout::explain::{Facts, Wait};
use crate::rollout::reason::State;
use crate::rollout::stands::Stands;
use crate::rollout::status::HistoryEntry;
use jiff::Timestamp;
use serde_json::Value;
use std::io::Write;

/// The column in which everything is said.
const INDENT: usize = 13;
/// Fields of a check that have a place of their own; whatever else it has is shown by its name.
const PLACED: &[&str] = &[
    "name",
    "verdict",
    "value",
    "control",
    "samples",
    "evidence",
    "bursts",
    "burstsSupposed",
    "message",
    "metric",
    "promote",
    "rollback",
    "for",
    "window",
    "compared",
    "counted",
];

/// Writes it.
pub(super) fn write(
    out: &mut dyn Write,
    facts: &Facts,
    width: Option<usize>,
    now: Timestamp,
) -> Result<(), Failure> {
    let style = match facts.state.map(Stands::state) {
        Some(State::RolledBack) => BAD,
        Some(State::Completed) => GOOD,
        _ => HEAD,
    };
    writeln!(
        out,
        "{style}{}{style:#} of {}/{}",
        plain(&facts.component),
        plain(&facts.namespace),
        plain(&facts.rollout)
    )?;
    for doubt in &facts.doubts {
        lines::write(out, ("  note", LOOK), doubt, INDENT, width)?;
    }
    let mut line = |label: &str, text: &str| lines::write(out, (label, DIM), text, INDENT, width);
    if let (Some(state), Some(reason)) = (facts.state, facts.reason) {
        let going = match (state, facts.going_to) {
            (Stands::RollingBack, Some(to)) => format!("; not back yet, going to {to}%"),
            _ => String::new(),
        };
        line("  state", &format!("{state}, {reason}{going}"))?;
    }
    line("  why", &facts.message)?;
    if let Some(weight) = &facts.weight {
        let observed = weight
            .observed
            .map_or_else(|| "not known".to_owned(), |w| format!("{w}%"));
        let since = facts
            .since
            .map(|since| format!("; since {since:.0} ({})", ago(since, now)))
            .unwrap_or_default();
        let (written, asked) = (weight.written, weight.asked);
        line(
            "  weight",
            &format!("{written}% written, {asked}% asked, {observed} observed{since}"),
        )?;
    }
    for (i, router) in facts.routers.iter().enumerate() {
        line(if i == 0 { "  routers" } else { "" }, &router.words())?;
    }
    if let Some(arrives) = &facts.arrives {
        line("  arrives", arrives)?;
    }
    if let Some(gateways) = &facts.gateways {
        line("  gateways", gateways)?;
    }
    if let Some(left) = &facts.left {
        line("  left", &left.message)?;
    }
    if let Some(phase) = &facts.phase {
        let step = match phase.step {
            0 => format!("before the first of {} steps", phase.of),
            step => format!("step {step} of {}", phase.of),
        };
        line("  phase", &format!("{}, {step}", phase.name))?;
    }
    if let Some(hold) = &facts.hold {
        let text = if hold.ended {
            format!("ended by a person, after {} of {}", hold.done, hold.asked)
        } else {
            format!("{} of {} done, {} left", hold.done, hold.asked, hold.left)
        };
        line("  hold", &text)?;
    }
    if let Some(next) = &facts.next {
        let when = next
            .not_before
            .map(|at| format!(", not before {at:.0}"))
            .unwrap_or_default();
        line(
            "  next",
            &format!("{}% in phase {}{when}", next.weight, next.phase),
        )?;
    }
    if let Some(door) = &facts.window {
        let until = door.until.map(|at| format!(" until {at:.0}")).unwrap_or_default();
        let text = match (&door.why, door.open) {
            (Some(why), _) => format!("frozen{until}: {why}"),
            (None, true) if facts.frozen.is_some() => "open, but everything is frozen".to_owned(),
            (None, true) => "weights may rise now".to_owned(),
            (None, false) => format!("closed{until}"),
        };
        line("  window", &text)?;
    }
    for gate in &facts.gates {
        let open = if gate.open { "open" } else { "shut" };
        line("  gate", &format!("{}, {open}: {}", gate.phase, gate.needs))?;
    }
    beside(out, facts, width)?;
    let mut line = |label: &str, text: &str| lines::write(out, (label, DIM), text, INDENT, width);
    for (i, wait) in facts.waiting_for.iter().enumerate() {
        line(if i == 0 { "  waits for" } else { "" }, &waits(wait))?;
    }
    checks(out, facts, width, now)?;
    history(out, facts, width, now)
}

/// What concerns more than the component: a freeze, its own retries, its pool.
fn beside(out: &mut dyn Write, facts: &Facts, width: Option<usize>) -> Result<(), Failure> {
    let mut line = |label: &str, text: &str| lines::write(out, (label, DIM), text, INDENT, width);
    if let Some(frozen) = &facts.frozen {
        line("  frozen", frozen)?;
    }
    if let Some(retry) = &facts.retry {
        let due = retry.due.map_or_else(
            || "not again by itself".to_owned(),
            |due| format!("next at {due:.0}"),
        );
        line(
            "  retry",
            &format!("{} of {} done, {due}", retry.tried, retry.times),
        )?;
    }
    if let Some(pool) = &facts.pool {
        let text = match pool.members.len() {
            0 => format!("{}, with nobody else of it at this weight", pool.name),
            n => format!(
                "{}, the samples of {n} members: {}",
                pool.name,
                pool.members.join(", ")
            ),
        };
        line("  pool", &text)?;
    }
    Ok(())
}

/// What happened, the newest first.
fn history(out: &mut dyn Write, facts: &Facts, width: Option<usize>, now: Timestamp) -> Result<(), Failure> {
    if facts.history.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{HEAD}history{HEAD:#}, newest first")?;
    for entry in facts.history.iter().rev() {
        let HistoryEntry {
            at,
            from,
            to,
            reason,
            message,
            ..
        } = entry;
        let moved = if from == to {
            to.to_string()
        } else {
            format!("{from} → {to}")
        };
        // What a step says is what it did.
        let why = match message.as_str() {
            said if said == moved => reason.to_string(),
            said => format!("{reason}: {said}"),
        };
        let text = format!("{moved} at {at:.0} ({} ago), {why}", ago(*at, now));
        lines::write(out, ("  ", DIM), &text, 4, width)?;
    }
    Ok(())
}

fn waits(wait: &Wait) -> String {
    match wait.until {
        Some(until) => format!("{} (not before {until:.0})", wait.what),
        None => wait.what.clone(),
    }
}

fn checks(out: &mut dyn Write, facts: &Facts, width: Option<usize>, now: Timestamp) -> Result<(), Failure> {
    if facts.checks.is_empty() {
        return Ok(());
    }
    let counted = match facts.counted_until {
        Some(at) => format!(
            ", counted until {at:.0} ({} ago)\n  told anew when a verdict changes, or after a minute",
            ago(at, now)
        ),
        None if facts.state.map(Stands::state) == Some(State::RolledBack) => {
            ", as they were when it went back".to_owned()
        }
        None => String::new(),
    };
    writeln!(out, "\n{HEAD}checks{HEAD:#}{counted}")?;
    for check in &facts.checks {
        let text = |field: &str| {
            check
                .get(field)
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        let verdict = text("verdict").unwrap_or_default();
        let style = match verdict.as_str() {
            "Pass" => GOOD,
            "Breach" => BAD,
            "Skipped" => DIM,
            _ => LOOK,
        };
        writeln!(
            out,
            "  {}: {style}{}{style:#}",
            plain(&text("name").unwrap_or_default()),
            plain(&verdict)
        )?;
        let mut line = |label: &str, text: &str| lines::write(out, (label, DIM), text, INDENT + 2, width);
        let value = text("value").unwrap_or_else(|| "no value".to_owned());
        let is = |field: &str| check.get(field).and_then(Value::as_bool).unwrap_or(true);
        let control = match text("control") {
            Some(control) => format!(", control {control}"),
            None if is("compared") => ", control not known".to_owned(),
            None => String::new(),
        };
        let samples = text("samples").unwrap_or_default();
        let what = if is("counted") { "requests" } else { "readings" };
        line("    canary", &format!("{value}{control}, {samples} {what}"))?;
        if let (Some(promote), Some(rollback)) = (text("promote"), text("rollback")) {
            line("    limits", &format!("promote {promote}; rollback {rollback}"))?;
        }
        if let Some(evidence) = check.get("evidence").and_then(Value::as_f64) {
            line(
                "    evidence",
                &format!(
                    "{:.0}% of what a rollback needs{}",
                    evidence * 100.0,
                    bursts(check)
                ),
            )?;
        }
        line("    says", &text("message").unwrap_or_default())?;
        let shared = facts.pool.iter().flat_map(|pool| &pool.checks);
        for sum in shared.filter(|sum| Some(&sum.name) == text("name").as_ref()) {
            let value = sum.value.as_deref().unwrap_or("no value");
            let evidence = sum
                .evidence
                .map(|e| format!(", {:.0}% of what a rollback of all needs", e * 100.0))
                .unwrap_or_default();
            let said = format!(
                "{}: {value}, {} requests{evidence}; {}",
                sum.verdict, sum.samples, sum.message
            );
            line("    pool", &said)?;
        }
        let more: Vec<String> = check
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(field, _)| !PLACED.contains(&field.as_str()))
            .filter_map(|(field, _)| Some(format!("{field} {}", text(field)?)))
            .collect();
        if !more.is_empty() {
            line("    also", &more.join(", "))?;
        }
    }
    Ok(())
}

/// That requests count for less than they would if each failed by itself.
fn bursts(check: &Value) -> String {
    let Some(phi) = check.get("bursts").and_then(Value::as_f64) else {
        return String::new();
    };
    let supposed = check.get("burstsSupposed").and_then(Value::as_bool);
    let why = if supposed == Some(true) {
        "until more of control is known, bad requests are taken to come in bursts"
    } else {
        "control's bad requests come in bursts"
    };
    format!("; each request counts 1/{phi}: {why}")
}
