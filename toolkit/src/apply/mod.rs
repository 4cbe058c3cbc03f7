//! `migrate apply`: what Ingresses are converted to, written batch by batch.
//!
//! - [`select`]: which Ingresses a batch is;
//! - [`live`]: what the cluster has already;
//! - [`plan`]: what has to be written, from [`item`]s, [`secret`]s and the [`gateway`] ([`read`]: from a conversion);
//! - [`remembered`]: what was accepted by earlier runs;
//! - [`left`]: what is left out of it; [`keep`]: what is kept although its Ingress is gone;
//! - [`closed`]: what may not be served any more; [`prune`]: what nothing needs any more, [`names`]: whether nobody asks for it; [`needed`], [`needs`]: what routes
//!   may not be without; [`inputs`], [`headers`]: what they were made with; [`owned`]: whose all of it is;
//! - [`mod@run`]: writing it, [`send`] one object of it; [`rollout`]: handing it over, once it is [`probed`]
//!   and not [`handed`] to another, at the listener of the [`split`]; [`tell`]: saying it, and what of the controller's [`settings`] is lost.

pub mod args;
pub mod closed;
pub mod gateway;
pub mod handed;
pub mod headers;
pub mod inputs;
pub mod item;
pub mod keep;
pub mod left;
pub mod live;
pub mod names;
pub mod needed;
pub mod needs;
pub mod opening;
pub mod owned;
pub mod plan;
pub mod probed;
pub mod prune;
pub mod read;
pub mod remembered;
pub mod rollout;
pub mod run;
pub mod secret;
pub mod select;
pub mod send;
pub mod settings;
pub mod split;
pub mod tell;

use crate::cleanup::undone::undone;
use crate::cluster::{self, Cluster};
use crate::convert;
use crate::dry::DryRun;
use crate::finding::{Finding, Severity};
use crate::pace::Pace;
use crate::place::Place;
use crate::progress::Progress;
use crate::trouble::{End, Trouble};
use args::ApplyArgs;
use gradual_rollout_migration::input::Key;
use live::{Live, MADE};
use opening::Opening;
use plan::{Plan, Sources};
use run::{Became, Line, Run};
use std::collections::BTreeSet;

/// Converts a batch and writes it.
pub async fn run(args: &ApplyArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let mut options = args.conversion.options()?;
    options.controller_flags.clone_from(&args.controller_flag);
    let kinds = [&convert::READ[..], &MADE, &[cluster::GRADUAL_ROLLOUT]].concat();
    let cluster = Cluster::look(&place.client, &kinds).await?;
    for kind in MADE {
        cluster.must(&kind, None)?;
    }
    let seen = convert::read(&cluster).await?;
    let live = Live::read(&cluster, &options.gateway_namespace).await?;
    let gateway = live.get(
        &cluster::GATEWAY,
        &options.gateway_namespace,
        &options.gateway_name,
    );
    let named = !args.conversion.gateway_selector.is_empty();
    gateway::pods(named, gateway, &mut options)?;
    let record = remembered::read(&cluster, &options.gateway_namespace).await?;
    options.accepted = remembered::accepted(&seen, &live, record.as_ref());
    let batch = select::batch(&args.which, place.namespace.as_deref(), &seen)?;
    let rollouts = if args.secrets_only {
        Vec::new()
    } else {
        handed::read(&cluster).await?
    };
    let found = split::find(&args.handing_over, &options, &cluster, &live).await?;
    let listener = found.as_ref().and_then(|found| found.as_deref().ok());
    let rollout = rollout::body(args, &options, &batch.ingresses, listener)?;
    let bindings = split::Bindings::new(&rollouts, None);
    let opening = Opening::new(&options, &seen, &live);
    let sources = Sources {
        opening: &opening,
        args,
        options: &options,
        cluster: &cluster,
        seen: &seen,
        live: &live,
        record: record.as_ref(),
        bindings: &bindings,
    };
    let mut plan = handed::plan(sources, &rollouts, rollout, found, &batch)?;
    if let Some(expected) = args.plan.as_ref().filter(|expected| **expected != plan.hash) {
        return Err(Trouble::Refused(format!(
            "the plan is {} now, not {expected}: something was changed since it was looked at. Look again with --dry-run; nothing was written",
            plan.hash
        )));
    }
    plan.findings
        .extend(names::leading(args, &plan, &live, &place.client).await?);
    let mut findings = plan.findings.clone();
    let dry = args.dry_run == Some(DryRun::Client);
    if !dry {
        names::refuse(&findings)?;
    }
    // What asks nobody need not go slowly.
    let pace = Pace::new(if dry { u32::MAX } else { args.rate });
    let mut run = Run {
        args,
        cluster: &cluster,
        pace: &pace,
        stopped: place.stopped,
        live: &live,
        home: &options.gateway_namespace,
        lines: Vec::new(),
        failures: 0,
        bad: plan.bad.clone(),
        withheld: plan.withheld.clone(),
        opening: &opening,
        early: Vec::new(),
    };
    let total = plan.items.len() + plan.marks.len() + plan.pruned.len();
    let now = (place.now)();
    let mut nowhere = std::io::sink();
    let to: &mut dyn std::io::Write = if dry { &mut nowhere } else { &mut *place.err };
    let mut progress = Progress::new(to, place.terminal, "objects", total);
    run.all(&plan, now, &mut progress).await?;
    progress.stop()?;
    let (mut lines, failures) = (run.lines, run.failures);
    if args.dry_run.is_none() && !args.secrets_only {
        let there: BTreeSet<Key> = plan.marks.iter().map(|mark| mark.key.clone()).collect();
        findings.extend(undone(&cluster, live.ours(&cluster::VIRTUAL_SERVICE), &there).await);
    }
    if failures > args.max_failures {
        findings.push(stopped(failures));
    } else if lines.iter().any(|line| line.result == Became::NotReached) {
        findings.push(interrupted(&lines));
    } else if let Some(body) = &plan.rollout {
        let refused = findings.iter().any(|f| f.severity == Severity::Blocker);
        findings.extend(hand_over(args, &cluster, body, refused, &mut lines).await);
    }
    if dry && !place.json {
        tell::plan(&plan, &lines, place)?;
    }
    tell::done(args, &plan, &lines, &findings, place)?;
    Ok(end(&plan, &lines, &findings))
}

fn stopped(failures: usize) -> Finding {
    Finding {
        code: "APPLY-STOPPED",
        severity: Severity::Blocker,
        object: "batch".to_owned(),
        message: format!(
            "{failures} objects failed, which is more than --max-failures: the rest was not begun"
        ),
        remedy: "mend what they say and ask again: what is written stays and is not written twice".to_owned(),
    }
}

/// That it was ended from outside, and how to go on.
fn interrupted(lines: &[Line]) -> Finding {
    let count = |became: Became| lines.iter().filter(|line| line.result == became).count();
    let written: Vec<String> = lines
        .iter()
        .filter(|line| line.result == Became::Written)
        .map(|line| line.object.clone())
        .collect();
    let what = if written.is_empty() {
        "nothing".to_owned()
    } else {
        select::shown(&written)
    };
    Finding {
        code: "APPLY-INTERRUPTED",
        severity: Severity::Blocker,
        object: "batch".to_owned(),
        message: format!(
            "it was told to end: {} objects were written ({what}), what was under way among them, and {} were not begun; what is marked is whole, and hosts that were not opened are served by nginx alone",
            written.len(),
            count(Became::NotReached)
        ),
        remedy: "ask again for the same: what is written is not written twice. migrate validate says what is half there, -o json of this run lists all of it; to go back: migrate rollback with the same batch".to_owned(),
    }
}

/// Writes the rollout once its routes are there.
async fn hand_over(
    args: &ApplyArgs,
    cluster: &Cluster,
    body: &serde_json::Value,
    refused: bool,
    lines: &mut Vec<Line>,
) -> Option<Finding> {
    let (namespace, name) = gateway::key(body);
    let object = cluster::GRADUAL_ROLLOUT.named(&namespace, &name);
    // Ingresses that share an upstream are split together, so one that is missing would meet a closed gateway.
    let unfit = refused
        || lines
            .iter()
            .any(|line| !matches!(line.result, Became::Written | Became::Same));
    let (result, message, finding) = if unfit {
        let why = "not everything of the batch is there, or probed".to_owned();
        (Became::LeftOut, why, None)
    } else {
        match rollout::write(cluster, args, body).await {
            // The plan says it.
            Ok(_) if args.dry_run == Some(DryRun::Client) => (Became::Written, String::new(), None),
            Ok(_) => {
                let moves = if args.dry_run.is_some() {
                    "nothing is written: it would ask the daemon to move the traffic of"
                } else {
                    "the daemon is asked to move the traffic of"
                };
                let said = Finding {
                    code: "APPLY-HANDED-OVER",
                    severity: Severity::Info,
                    object: object.clone(),
                    message: format!("{moves} {}", rollout::components(body)),
                    remedy: format!(
                        "see whether it does with gradual-rollout status -n {namespace}: what the daemon refuses, a namespace beside watch.foreign_namespaces among it, is said there"
                    ),
                };
                (Became::Written, String::new(), Some(said))
            }
            Err(why) => (Became::Failed, why, None),
        }
    };
    lines.push(Line {
        object,
        action: "apply",
        result,
        message,
    });
    finding
}

/// Done where all of the batch is there, refused where nothing is.
fn end(plan: &Plan, lines: &[Line], findings: &[Finding]) -> End {
    let left = findings
        .iter()
        .any(|finding| finding.severity == Severity::Blocker)
        || lines
            .iter()
            .any(|line| !matches!(line.result, Became::Written | Became::Same));
    let some = lines.is_empty()
        || lines
            .iter()
            .any(|line| matches!(line.result, Became::Written | Became::Same));
    let written = lines.iter().any(|line| line.result == Became::Written);
    if !left {
        End::Done
    } else if written {
        End::Partly
    } else if plan.marks.is_empty() || !some || findings.iter().any(handed::keeps) {
        End::Refused
    } else {
        End::Partly
    }
}
