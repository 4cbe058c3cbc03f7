//! What is lost of the controller's flags and settings, told with every batch as `convert` tells it.

use super::read::codes;
use crate::finding::{Finding, Severity};
use gradual_rollout_migration::convert::Conversion;
use gradual_rollout_migration::report::{Code, Entry, Severity as Gravity};
use std::collections::BTreeSet;

/// A guard of every host first, then what is lost beside, then in what nginx is different by itself.
pub fn lost(conversion: &Conversion) -> Vec<Finding> {
    let entries = conversion.report.ingresses.iter().flat_map(|one| &one.entries);
    let guards = entries.filter(|entry| entry.code == Code::ControllerSecurity);
    let mut seen = BTreeSet::new();
    let mut found: Vec<Finding> = guards
        .filter(|entry| seen.insert((&entry.field, entry.accepted)))
        .map(|entry| {
            let severity = if entry.accepted {
                Severity::Warning
            } else {
                Severity::Blocker
            };
            finding(entry, severity)
        })
        .collect();
    let (usual, said): (Vec<&Entry>, Vec<&Entry>) = conversion
        .report
        .controller
        .iter()
        .partition(|entry| is_usual(entry));
    found.extend(said.into_iter().map(|entry| {
        let severity = if entry.severity >= Gravity::Medium {
            Severity::Warning
        } else {
            Severity::Info
        };
        finding(entry, severity)
    }));
    if !usual.is_empty() {
        found.push(Finding {
            code: CODE,
            severity: Severity::Info,
            object: OBJECT.to_owned(),
            message: format!(
                "what nginx does for every host and the gateway does not, or otherwise: {}",
                codes(usual.into_iter())
            ),
            remedy: "see `migrate explain CODE`".to_owned(),
        });
    }
    found
}

const CODE: &str = "APPLY-CONTROLLER";
const OBJECT: &str = "controller";

/// Whether that is so of any controller, whatever it is told.
fn is_usual(entry: &Entry) -> bool {
    entry.field.is_empty() || entry.code == Code::BodyLimitDefault
}

fn finding(entry: &Entry, severity: Severity) -> Finding {
    let field = entry.field.trim_start_matches("ConfigMap ");
    let detail = if entry.detail.is_empty() {
        String::new()
    } else {
        format!(" ({})", entry.detail)
    };
    Finding {
        code: CODE,
        severity,
        object: OBJECT.to_owned(),
        message: format!(
            "{field} = {}{detail}: {} ({})",
            shortened(&entry.value),
            entry.effect,
            entry.code.text()
        ),
        remedy: entry.remedy.to_owned(),
    }
}

/// Values may be long, and of several lines.
fn shortened(value: &str) -> String {
    const LONGEST: usize = 80;
    let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    let head: String = line.chars().take(LONGEST).collect();
    format!("{head}…")
}
