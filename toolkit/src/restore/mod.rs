//! `migrate restore`: a backup put back.
//!
//! - [`diff`]: the three sides of a field that differs;
//! - [`plan`]: what has to be done about each object; [`guards`]: what stays as its Ingress does; [`shares`]: of what nothing
//!   is put back;
//! - [`mod@write`]: doing it; [`order`]: one after the other, where nginx decides by age.

pub mod args;
pub mod diff;
pub mod guards;
pub mod order;
pub mod plan;
pub mod shares;
pub mod write;

use crate::backup::KINDS;
use crate::backup::open::open;
use crate::cleanup::undone::undone;
use crate::cluster::{self, Cluster};
use crate::dry::DryRun;
use crate::finding::{self, Finding, Severity, plain};
use crate::marks;
use crate::pace::Pace;
use crate::place::Place;
use crate::progress::Progress;
use crate::shadow;
use crate::trouble::{End, Trouble};
use args::RestoreArgs;
use gradual_rollout_migration::input::Key;
use plan::{Doing, Plan, Step};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;

/// How much of a value is shown in a line.
const SHOWN: usize = 100;

/// What was done.
#[derive(Debug, Default)]
pub struct Restored {
    /// Objects that were written, or would be.
    pub written: Vec<String>,
    /// What was not, and what should be known.
    pub findings: Vec<Finding>,
}

/// Puts a backup back.
pub async fn run(args: &RestoreArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    guards::check(args)?;
    let cluster = Cluster::look(&place.client, &[&KINDS[..], &[cluster::NAMESPACE]].concat()).await?;
    let lacking = "name the folder that migrate backup wrote";
    let other = (!args.other_cluster)
        .then_some("look at kubectl config current-context, or say --other-cluster; nothing was written");
    let (folder, manifest) = open(&args.dir, &args.identity, &cluster, lacking, other).await?;
    let mut plan = plan::make(args, place.namespace.as_deref(), &folder, &manifest, &cluster).await?;
    let mut left = held_back(args, &mut plan);
    let mut findings = std::mem::take(&mut plan.findings);
    let (older, told) = guards::older(args, &cluster, &mut plan).await?;
    findings.extend(told);
    let staying = [&left[..], &older].concat();
    let (mut stays, told) = guards::held_back(&cluster, &mut plan, &staying).await?;
    findings.extend(told);
    stays.extend(older);
    if manifest.finished_at.is_none() {
        findings.push(Finding {
            code: "RESTORE-UNFINISHED",
            severity: Severity::Warning,
            object: args.dir.display().to_string(),
            message: "the backup was never finished: only the namespaces in it are put back".to_owned(),
            remedy: String::new(),
        });
    }
    if !place.json {
        show(place.out, &plan.steps)?;
        show(place.out, &left)?;
    }
    let done = act(args, &plan.steps, &cluster, place).await?;
    findings.extend(done.findings);
    findings.extend(came_back(args, &cluster, &plan.steps, &done.written).await?);
    if args.dry_run.is_none() {
        findings.extend(shadow::younger(&cluster, &plan.steps, &done.written, &plan.ages).await?);
    }
    findings.extend(left.iter().map(changed_since));
    let put = |finding: &Finding| finding.severity != Severity::Blocker && finding.code != shares::CODE;
    let whole = findings.iter().all(put) && left.is_empty() && stays.is_empty();
    plan.steps.append(&mut left);
    plan.steps.extend(stays);
    tell(args, &plan, &done.written, &findings, place)?;
    Ok(if whole { End::Done } else { End::Partly })
}

/// Ingresses that are there again are not cleaned up any more.
async fn came_back(
    args: &RestoreArgs,
    cluster: &Cluster,
    steps: &[Step],
    written: &[String],
) -> Result<Vec<Finding>, Trouble> {
    let back = steps
        .iter()
        .filter(|step| step.kind == cluster::INGRESS && matches!(step.doing, Doing::Create))
        .filter(|step| written.contains(&step.object()));
    let back: BTreeSet<Key> = back
        .map(|step| (step.namespace.clone(), step.name.clone()))
        .collect();
    if back.is_empty() || args.dry_run.is_some() {
        return Ok(Vec::new());
    }
    let routes = cluster.all(&cluster::VIRTUAL_SERVICE, None).await?;
    let ours = routes.iter().filter(|route| marks::ours(route));
    Ok(undone(cluster, ours, &back).await)
}

/// Takes what others changed since out of a plan, unless it is to be overwritten.
fn held_back(args: &RestoreArgs, plan: &mut Plan) -> Vec<Step> {
    if args.overwrite {
        return Vec::new();
    }
    let steps = std::mem::take(&mut plan.steps);
    let (left, steps) = steps.into_iter().partition(|step| !step.others().is_empty());
    plan.steps = steps;
    left
}

fn changed_since(step: &Step) -> Finding {
    let who: Vec<String> = step
        .others()
        .iter()
        .map(|author| format!("{} at {}", author.manager, author.time))
        .collect();
    Finding {
        code: "RESTORE-CHANGED-SINCE",
        severity: Severity::Warning,
        object: step.object(),
        message: format!("left as it is: {} changed it after the backup", who.join(", ")),
        remedy: "say --overwrite to put it back all the same".to_owned(),
    }
}

/// Writes steps in their order, those of one kind at once.
pub async fn act(
    args: &RestoreArgs,
    steps: &[Step],
    cluster: &Cluster,
    place: &mut Place<'_>,
) -> Result<Restored, Trouble> {
    let mut done = Restored::default();
    if args.dry_run == Some(DryRun::Client) {
        done.written = steps.iter().map(Step::object).collect();
        return Ok(done);
    }
    let dry_run = args.dry_run.is_some();
    let client = place.client.clone();
    let mut progress = Progress::new(&mut *place.err, place.terminal, "objects", steps.len());
    let mut lacking = false;
    let pace = Pace::new(args.rate);
    for group in steps.chunk_by(|a, b| a.kind == b.kind) {
        if lacking && group.iter().any(|step| step.kind == cluster::GATEWAY) {
            done.findings.extend(group.iter().map(halted));
            continue;
        }
        order::write_all(cluster, &client, group, &pace, dry_run, &mut |step, written| {
            if written.done {
                done.written.push(step.object());
            }
            lacking |= !written.done && step.kind == cluster::INGRESS;
            done.findings.extend(written.findings);
            Ok(progress.step()?)
        })
        .await?;
    }
    progress.stop()?;
    done.written.sort();
    Ok(done)
}

fn halted(step: &Step) -> Finding {
    Finding {
        code: "RESTORE-HALTED",
        severity: Severity::Blocker,
        object: step.object(),
        message: "not written: an Ingress did not come back, and a host that the Gateway closes would have no way in"
            .to_owned(),
        remedy: "mend what is said of the Ingress, and ask again".to_owned(),
    }
}

/// The three sides of everything that differs.
fn show(out: &mut dyn Write, steps: &[Step]) -> Result<(), Trouble> {
    for step in steps {
        match &step.doing {
            Doing::Create => writeln!(out, "{}: is not there", plain(&step.object()))?,
            Doing::Change { differences, .. } => {
                writeln!(out, "{}:", plain(&step.object()))?;
                for difference in differences {
                    writeln!(out, "  {}", plain(&difference.field()))?;
                    writeln!(out, "    backup: {}", line(difference.backup.as_ref()))?;
                    writeln!(out, "    now:    {}", line(difference.now.as_ref()))?;
                    for author in &difference.changed_by {
                        writeln!(
                            out,
                            "    by {} at {}",
                            plain(&author.manager),
                            plain(&author.time)
                        )?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn line(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    let text = plain(&value.to_string());
    if text.chars().count() <= SHOWN {
        return text;
    }
    let short: String = text.chars().take(SHOWN).collect();
    format!("{short}…")
}

fn tell(
    args: &RestoreArgs,
    plan: &Plan,
    written: &[String],
    findings: &[Finding],
    place: &mut Place<'_>,
) -> Result<(), Trouble> {
    if place.json {
        let steps: Vec<Value> = plan
            .steps
            .iter()
            .map(|step| match &step.doing {
                Doing::Create => json!({"object": step.object(), "action": "create"}),
                Doing::Change { differences, .. } => {
                    json!({"object": step.object(), "action": "change", "differences": differences})
                }
            })
            .collect();
        let said = json!({
            "dryRun": args.dry_run.is_some(), "same": plan.same, "steps": steps,
            "written": written, "findings": findings,
        });
        writeln!(place.out, "{said:#}")?;
        return Ok(());
    }
    finding::write(place.err, findings)?;
    writeln!(
        place.out,
        "{} objects are as in the backup, {} {}written",
        plan.same,
        written.len(),
        DryRun::would(args.dry_run)
    )?;
    Ok(())
}
