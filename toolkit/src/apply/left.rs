//! What is left out of a batch, and why.

use super::args::ApplyArgs;
use super::inputs;
use super::item::Change;
use super::keep;
use super::live::Live;
use super::plan::Plan;
use super::read::{codes, from};
use super::select::object;
use crate::canaries;
use crate::cluster::{self, annotation};
use crate::convert::Seen;
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::trouble::Trouble;
use gradual_rollout_migration::convert::Conversion;
use gradual_rollout_migration::input::Key;
use gradual_rollout_migration::report::{Code, Outcome};
use std::collections::BTreeSet;

/// The Ingresses of a batch of which everything is converted.
pub fn accepted(
    batch: &BTreeSet<Key>,
    conversion: &Conversion,
    live: &Live,
    findings: &mut Vec<Finding>,
) -> BTreeSet<Key> {
    let served: BTreeSet<Key> = live.ours(&cluster::VIRTUAL_SERVICE).flat_map(from).collect();
    let mut accepted = BTreeSet::new();
    for result in &conversion.report.ingresses {
        let key = (result.namespace.clone(), result.name.clone());
        if !batch.contains(&key) {
            continue;
        }
        match result.outcome {
            Outcome::Converted | Outcome::Approximated => {
                let lost = codes(result.entries.iter().filter(|e| e.outcome != Outcome::Converted));
                if result.outcome == Outcome::Approximated {
                    findings.push(Finding {
                        code: "APPLY-APPROXIMATED",
                        severity: Severity::Info,
                        object: object(&key),
                        message: format!("something is different at the gateway: {lost}"),
                        remedy: "see `migrate explain CODE`".to_owned(),
                    });
                }
                accepted.insert(key);
            }
            Outcome::Refused => findings.push(Finding {
                code: "APPLY-REFUSED",
                severity: Severity::Blocker,
                object: object(&key),
                message: format!(
                    "left out, as it cannot be converted whole: {}",
                    codes(result.entries.iter().filter(|entry| entry.refuses()))
                ),
                remedy: "see `migrate explain CODE`; where it may be lost, say --accept CODE".to_owned(),
            }),
            Outcome::Dropped if served.contains(&key) && !splits(&key, batch, live) => {
                findings.push(Finding {
                    code: "APPLY-STILL-SERVED",
                    severity: Severity::Blocker,
                    object: object(&key),
                    message: format!(
                        "nginx does not serve it any more ({}), and the gateway serves it as it was before",
                        codes(result.entries.iter())
                    ),
                    remedy: format!(
                        "take away what was made of it: migrate rollback --ingress {}/{}",
                        key.0, key.1
                    ),
                });
            }
            Outcome::Dropped => findings.push(Finding {
                code: "APPLY-NOT-SERVED",
                severity: Severity::Info,
                object: object(&key),
                message: format!(
                    "left out: nginx does not serve it either ({})",
                    codes(result.entries.iter())
                ),
                remedy: String::new(),
            }),
        }
    }
    accepted
}

/// Whether an Ingress only split what routes serve for others, which are written anew without it, or were cleaned up: nginx
/// does not split anything of theirs any more.
fn splits(key: &Key, batch: &BTreeSet<Key>, live: &Live) -> bool {
    let routes = live.ours(&cluster::VIRTUAL_SERVICE);
    let mut its = routes.filter(|route| from(route).contains(key));
    its.all(|route| {
        let serving = canaries::serving(route);
        let anew = serving
            .iter()
            .any(|other| batch.contains(other) || keep::cleaned(route, other));
        !serving.contains(key) && anew
    })
}

/// Nothing is written where it is not certain which controller is meant: that is said of the run, not of any Ingress, and
/// what its settings protect is not known.
pub fn doubtful(conversion: &Conversion) -> Result<(), Trouble> {
    let entries = conversion.report.controller.iter();
    let mut doubts = entries.filter(|entry| entry.code == Code::ControllerAmbiguous && entry.refuses());
    let Some(doubt) = doubts.next() else {
        return Ok(());
    };
    Err(Trouble::Refused(format!(
        "nothing was written: which controller's settings hold is not certain (CONTROLLER-AMBIGUOUS: {} {}; {}). Say which class is meant with --ingress-class, and where that is not enough --controller-config or --controller-flag; --accept CONTROLLER-AMBIGUOUS takes what was found",
        doubt.field, doubt.value, doubt.detail
    )))
}

/// Nothing is written where annotations are read by another prefix than what is served was converted by: every guard would
/// look like somebody else's annotation.
pub fn prefixed(prefix: &str, spoken: &BTreeSet<Key>, seen: &Seen, live: &Live) -> Result<(), Trouble> {
    for route in live.ours(&cluster::VIRTUAL_SERVICE) {
        for key in from(route).intersection(spoken) {
            let ingress = seen.ingresses.get(key);
            let noted = inputs::noted(route, key);
            let noted = noted.or_else(|| annotation(ingress?, marks::SOURCE));
            let before = noted.and_then(|noted| noted.split_once('@'));
            if let Some((_, before)) = before.filter(|(_, before)| *before != prefix) {
                return Err(Trouble::Refused(format!(
                    "nothing was written: annotations with the prefix {prefix:?} would be read, and Ingress {}/{}, which is served, was converted by {before:?}. Say --annotations-prefix {before}; where the controller has another since, give back first what is served: migrate rollback",
                    key.0, key.1
                )));
            }
        }
    }
    Ok(())
}

/// What somebody else's hand is in is left alone, and what needs it stays closed.
pub fn drifted(args: &ApplyArgs, plan: &mut Plan) {
    for item in &plan.items {
        let (code, severity, message, remedy) = match item.change {
            Change::Create | Change::Update | Change::Same => continue,
            Change::Edited | Change::Both if args.overwrite => continue,
            Change::Edited => (
                "APPLY-EDITED",
                Severity::Warning,
                "left as it is: somebody edited it since it was written",
                "put the change into the Ingress instead, or say --overwrite to lose it",
            ),
            Change::Both => (
                "APPLY-EDITED-BOTH",
                Severity::Blocker,
                "left as it is: somebody edited it since it was written, and it should be written otherwise now",
                "put the change into the Ingress instead, or say --overwrite to lose it",
            ),
            Change::Foreign => (
                "APPLY-FOREIGN",
                Severity::Blocker,
                "left as it is: it is there, and this program did not make it",
                "take another name (--gateway for the Gateway), or remove it",
            ),
        };
        plan.bad.extend(item.hosts.iter().cloned());
        plan.findings.push(Finding {
            code,
            severity,
            object: item.object(),
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        });
    }
}
