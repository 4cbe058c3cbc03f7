//! `plan FILE`: what a rollout's plan comes to.

use super::args::Output;
use super::exit::{Exit, Failure};
use super::manifest::{self, Manifest};
use super::table::{self, Cell, LOOK};
use super::{output, validate};
use crate::rollout::duration::Span;
use crate::rollout::plan::{Plan, PlannedCheck, PlannedComponent, PlannedPhase, PlannedStep};
use crate::rollout::spec::{Action, Gate, GradualRollout, Router};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// One line of the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    /// The phase.
    pub phase: String,
    /// Whether a person opens it.
    pub approval: bool,
    /// What must be given before it: `approval`, `checklist`, `rollout`, `http`.
    pub gates: Vec<&'static str>,
    /// The component.
    pub component: String,
    /// The weight, in percent.
    pub weight: f64,
    /// How long it is held.
    pub hold: Span,
    /// The earliest time this weight can be written; gates take longer.
    pub earliest: Timestamp,
    /// The earliest time its hold is over.
    #[serde(skip)]
    pub over: Timestamp,
}

/// One check, as it is judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Judged {
    /// Its name.
    name: String,
    /// What is measured.
    metric: String,
    /// What must hold for the weight to rise.
    promote: String,
    /// What a breach is.
    rollback: String,
    /// The look-back, or the time over the limit.
    #[serde(rename = "for")]
    for_: Span,
    /// What a breach does: `rollback`, `hold`, `alert` or `dryRun`.
    action: String,
    /// The components it is for; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<Vec<String>>,
    /// The phase that it belongs to; absent: all that do not override it.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<String>,
}

/// The spec's checks, and those that a phase overrides.
fn checks(plan: &Plan) -> Vec<Judged> {
    let of = |check: &PlannedCheck, phase: Option<&str>| {
        let (promote, rollback) = check.limits_shown();
        let action = match (check.effect.dry_run, check.effect.action) {
            (true, _) => "dryRun",
            (false, Action::Rollback) => "rollback",
            (false, Action::Hold) => "hold",
            (false, Action::Alert) => "alert",
        };
        Judged {
            name: check.rule.name.clone(),
            metric: check.metric.to_string(),
            promote,
            rollback,
            for_: Span(check.rule.for_),
            action: action.to_owned(),
            components: check.components.clone(),
            phase: phase.map(str::to_owned),
        }
    };
    let mut all: Vec<Judged> = plan.checks.iter().map(|check| of(check, None)).collect();
    for phase in &plan.phases {
        let own = phase.checks.iter().filter(|check| !plan.checks.contains(check));
        all.extend(own.map(|check| of(check, Some(&phase.name))));
    }
    all
}

/// The earliest schedule: every check passes at once, every gate opens at once, and one interval is lost to
/// judging per step.
pub(super) fn schedule(plan: &Plan, start: Timestamp) -> Vec<Line> {
    let settle = plan.judge.settle + plan.judge.interval;
    let mut lines = Vec::new();
    let mut begins = start;
    for (index, phase) in plan.phases.iter().enumerate() {
        let mut ends = begins;
        for component in phase.components.iter().filter_map(|i| plan.components.get(*i)) {
            let mut at = begins;
            for step in component.steps.iter().filter(|s| s.phase == index) {
                at = plan.calendar.opening(at);
                let gates = gates(phase, step);
                let over = plan.calendar.held(at, step.hold.max(settle));
                lines.push(Line {
                    phase: phase.name.clone(),
                    approval: gates.contains(&"approval"),
                    gates,
                    component: component.name().to_owned(),
                    weight: step.weight.percent(),
                    hold: Span(step.hold),
                    earliest: at,
                    over: plan.calendar.held(at, step.hold),
                });
                at = over;
            }
            ends = ends.max(at);
        }
        begins = ends;
    }
    lines
}

/// What must be given before a step, its phase's own gates included.
fn gates(phase: &PlannedPhase, step: &PlannedStep) -> Vec<&'static str> {
    let mut all: Vec<&'static str> = Vec::new();
    for gate in phase.gates_before(*step, false) {
        let word = match gate.gate {
            Gate::Approval(_) => "approval",
            Gate::Checklist(_) => "checklist",
            Gate::Rollout(_) => "rollout",
            Gate::Http(_) => "http",
        };
        if !all.contains(&word) {
            all.push(word);
        }
    }
    all
}

/// Who shares samples with whom.
fn pools(plan: &Plan) -> Vec<String> {
    let mut pools: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for component in &plan.components {
        if let Some(pool) = component.component.pool.as_deref() {
            pools.entry(pool).or_default().push(component.name());
        }
    }
    let told = |(pool, members): (&str, Vec<&str>)| match members.as_slice() {
        [one] => format!("pool {pool}: {one} is alone in it, and is judged as without."),
        all => format!(
            "pool {pool}: {} share their samples and step together; each is put back by its own evidence, all by the pool's.",
            all.join(", ")
        ),
    };
    pools.into_iter().map(told).collect()
}

/// What a reader should know besides.
fn remarks(plan: &Plan) -> Vec<String> {
    let only_switch = |c: &PlannedComponent| {
        c.component
            .routers
            .iter()
            .all(|r| matches!(r, Router::ControllerSwitch(_)))
    };
    let mut remarks = Vec::new();
    for component in &plan.components {
        if only_switch(component) {
            remarks.push(format!(
                "{}: has only a controllerSwitch. Its percentage is a share of new objects: alone it moves no request of existing ones; add a router at the edge to move those.",
                component.name()
            ));
        }
        if component.component.arms.is_none() {
            remarks.push(format!(
                "{}: names no arms, so nothing can be judged, and its weight never rises by itself. Add arms, or set its weights by hand.",
                component.name()
            ));
        }
    }
    for component in &plan.components {
        if let Some(on) = component
            .component
            .depends_on
            .as_ref()
            .filter(|on| !on.is_empty())
        {
            remarks.push(format!(
                "{}: rises to a weight only when {} has it too, or has finished its plan; the dates do not reckon with that.",
                component.name(),
                on.join(" and ")
            ));
        }
    }
    if let Some(retry) = &plan.retry {
        remarks.push(format!(
            "after a rollback that no person asked for a component begins again by itself: {} times at most, first after {}, each further wait {} times as long.",
            retry.times,
            Span(retry.after),
            retry.factor
        ));
    }
    remarks.extend(pools(plan));
    if plan.paused {
        remarks.push("paused: true: no weight rises until it is taken away.".into());
    }
    remarks
}

/// Shows the plans of a file.
pub(super) fn run(file: &Path, start: Timestamp, form: Output, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (name, text) = validate::read_text(file)?;
    let mut shown: Vec<(GradualRollout, Plan)> = Vec::new();
    for manifest in manifest::read(&name, &text) {
        match manifest {
            Manifest::Rollout(rollout, plan) => shown.push((*rollout, *plan)),
            Manifest::Other(_) => {}
            Manifest::Broken(problems) => {
                let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
                return Err(Failure::usage(list.join("\n")));
            }
        }
    }
    if shown.is_empty() {
        return Err(Failure::usage(format!("{name} holds no GradualRollout")));
    }
    for (rollout, plan) in shown {
        let lines = schedule(&plan, start);
        let title = rollout.metadata.name.unwrap_or_default();
        let remarks = remarks(&plan);
        let checks = checks(&plan);
        match form {
            Output::Json | Output::Yaml => {
                let value = serde_json::json!({"rollout": title, "steps": lines, "checks": checks, "remarks": remarks});
                output::data(out, form, &value)?;
            }
            Output::Table | Output::Wide => picture(out, &title, &lines, &checks, &remarks)?,
        }
    }
    Ok(Exit::Done)
}

fn picture(
    out: &mut dyn Write,
    title: &str,
    lines: &[Line],
    checks: &[Judged],
    remarks: &[String],
) -> Result<(), Failure> {
    writeln!(out, "{}", table::plain(title))?;
    let rows: Vec<Vec<Cell>> = lines
        .iter()
        .map(|line| {
            let gate = if line.gates.is_empty() {
                "".into()
            } else {
                Cell::painted(line.gates.join(", "), LOOK)
            };
            let minutes = line.earliest.round(jiff::Unit::Minute).unwrap_or(line.earliest);
            vec![
                line.phase.as_str().into(),
                gate,
                line.component.as_str().into(),
                format!("{}%", line.weight).into(),
                line.hold.to_string().into(),
                minutes.to_string().into(),
            ]
        })
        .collect();
    let heading = ["PHASE", "GATE", "COMPONENT", "WEIGHT", "HOLD", "EARLIEST (UTC)"];
    table::write(out, &heading, &rows, table::terminal_width())?;
    let end = lines.iter().map(|l| l.over).max();
    let first = lines.iter().map(|l| l.earliest).min();
    if let (Some(first), Some(end)) = (first, end) {
        let length = Duration::try_from(end.duration_since(first)).unwrap_or_default();
        let whole = Span(Duration::from_secs(length.as_secs()));
        let at = end.round(jiff::Unit::Minute).unwrap_or(end);
        writeln!(
            out,
            "\nDone {whole} after the first weight, at {at} at the earliest, if every check passes at once and every gate opens \
             at once."
        )?;
    }
    writeln!(out)?;
    let rows: Vec<Vec<Cell>> = checks
        .iter()
        .map(|check| {
            let name = match &check.phase {
                Some(phase) => format!("{} ({phase})", check.name),
                None => check.name.clone(),
            };
            vec![
                name.into(),
                check.metric.as_str().into(),
                check.promote.as_str().into(),
                check.rollback.as_str().into(),
                check.for_.to_string().into(),
                check.action.as_str().into(),
            ]
        })
        .collect();
    let heading = ["CHECK", "METRIC", "PROMOTE", "ROLLBACK", "FOR", "ACTION"];
    table::write(out, &heading, &rows, table::terminal_width())?;
    for remark in remarks {
        writeln!(out, "{LOOK}note:{LOOK:#} {}", table::plain(remark))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::find::example;

    #[test]
    fn dates_reckon_with_the_clock_of_a_hold_that_stops_in_a_freeze() {
        let freeze = "  schedule: {freezes: [{from: 2026-03-03T12:00:00Z, to: 2026-03-04T12:00:00Z}]}\n";
        let text = example("shop", "default") + freeze;
        let Some(Manifest::Rollout(_, plan)) = manifest::read("x", &text).pop() else {
            panic!("{text}");
        };
        let lines = schedule(&plan, "2026-03-02T00:00:00Z".parse().unwrap());
        let days: Vec<String> = lines.iter().map(|line| line.earliest.to_string()).collect();
        assert_eq!(
            days,
            [
                "2026-03-02T00:00:00Z",
                "2026-03-03T00:00:00Z",
                "2026-03-05T00:00:00Z",
                "2026-03-06T00:00:00Z",
                "2026-03-07T00:00:00Z"
            ]
        );
        assert_eq!(lines[4].over.to_string(), "2026-03-08T00:00:00Z");
    }
}
