//! `migrate rollback`: what was written is undone, in the order in which no request is lost.
//!
//! - [`plan`]: what has to be undone;
//! - [`traffic`]: the share that nginx sends to the gateway; [`back`]: Ingresses that were cleaned up, [`trial`]
//!   whether the cluster would take them, and [`settle`] the time that nginx gets to serve them;
//! - [`names`]: where names lead, before hosts are closed; [`watch`]: whether nginx serves them still;
//! - [`mod@run`]: marks, Gateways and the rest; [`last`]: the order of what takes something away; [`show`]: what would be undone, and what was.

pub mod args;
pub mod back;
pub mod guarding;
mod last;
pub mod names;
pub mod plan;
pub mod run;
mod settle;
mod show;
pub mod traffic;
pub mod trial;
pub mod watch;

use crate::apply::gateway::Host;
use crate::apply::live::{Live, MADE};
use crate::apply::remembered;
use crate::apply::run::{Became, Line};
use crate::backup::open::open;
use crate::block;
use crate::cluster::{self, Cluster, meta};
use crate::convert::args::key;
use crate::finding::{Finding, Severity, plain};
use crate::finish;
use crate::marks;
use crate::pace::Pace;
use crate::place::Place;
use crate::put;
use crate::restore;
use crate::see;
use crate::shadow;
use crate::trouble::{End, Trouble};
use args::RollbackArgs;
use back::{Back, Backup};
use gradual_rollout_migration::input::Key;
use kube::Client;
use plan::{Undo, Wanted};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use watch::Watch;

/// What was looked at before anything is undone.
struct Ready {
    wanted: Wanted,
    cluster: Cluster,
    undo: Undo,
    /// What comes back from the backups.
    back: Back,
    /// The Ingresses that hosts are given back to.
    watch: Watch,
    /// Routes that go, of Ingresses that nginx guards.
    guarded: BTreeSet<Host>,
    /// Whose share comes back.
    scope: traffic::Scope,
    /// What controllers are told, and the record that goes.
    switches: Vec<(&'static str, String)>,
    /// The block on new Ingresses, where it is to go.
    block: Vec<(see::Kind, Value)>,
}

/// Undoes what was asked.
pub async fn run(args: &RollbackArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    names::check(args)?;
    let ready = look(args, place).await?;
    let pace = Pace::new(args.rate);
    let mut findings = ready.undo.findings.clone();
    let switched = !ready.switches.is_empty();
    let mut tried = trial::findings(&place.client, &ready.cluster, &pace, &ready.back.steps, switched).await;
    if args.unblock {
        // It goes before anything comes back.
        tried.retain(|finding| !trial::OF_BLOCKS.contains(&finding.code));
    }
    tried.extend(ready.back.findings.iter().cloned());
    tried.extend(traffic::together(&ready.cluster, &ready.scope).await?);
    let refused = tried.iter().any(|finding| finding.severity == Severity::Blocker);
    findings.extend(tried);
    if args.dry_run {
        return show::would(args, &ready, findings, place).await;
    }
    if refused {
        show::tell(&[], &findings, place)?;
        return Ok(End::Refused);
    }
    show::folders(args, &ready.back, place)?;
    let mut lines = Vec::new();
    let done = undo(args, &ready, &pace, &mut lines, &mut findings, place).await;
    if let Err(trouble) = done {
        // What was done already is not lost in what went wrong.
        for line in &lines {
            writeln!(place.err, "done: {} {}", line.action, plain(&line.object))?;
        }
        return Err(trouble);
    }
    show::tell(&lines, &findings, place)?;
    let done = lines.iter().all(|line| line.result == Became::Written)
        && findings
            .iter()
            .all(|finding| finding.severity != Severity::Blocker);
    Ok(match (done, lines.is_empty() && !findings.is_empty()) {
        (true, _) => End::Done,
        (false, true) => End::Refused,
        (false, false) => End::Partly,
    })
}

/// Looks at what is to be undone, and whether it can be.
async fn look(args: &RollbackArgs, place: &Place<'_>) -> Result<Ready, Trouble> {
    let wanted = Wanted::of(args, place.namespace.as_deref())?;
    let (gateway_namespace, _) = key("--gateway", &args.gateway)?;
    let more = [
        cluster::INGRESS,
        cluster::SECRET,
        cluster::GRADUAL_ROLLOUT,
        cluster::DEPLOYMENT,
        cluster::CONFIG_MAP,
    ];
    let cluster = Cluster::look(&place.client, &[&MADE[..], &more].concat()).await?;
    let keyed = |object: Value| {
        let key = (
            meta(&object, "namespace").to_owned(),
            meta(&object, "name").to_owned(),
        );
        (key, object)
    };
    let ingresses = cluster.all(&cluster::INGRESS, None).await?;
    let ingresses: BTreeMap<_, _> = ingresses.into_iter().map(keyed).collect();
    let live = Live::read(&cluster, &gateway_namespace).await?;
    let backups = backups(args, &cluster).await?;
    let mut staying = BTreeMap::new();
    let (guarded, mut undo, mut back) = loop {
        let mut undo = plan::make(args, &wanted, &ingresses, &live, &staying);
        undo.missing.extend(back::kept(&backups, &undo.orphans)?);
        known(&wanted, &undo, &ingresses, &cluster).await?;
        for typed in args.gone.iter().filter(|typed| *typed != "orphans") {
            undo.missing.remove(&key("--gone", typed)?);
        }
        let accepted = args.accept.iter().any(|code| code == back::OTHER);
        let back = back::steps(&backups, &undo.missing, &live, accepted)?;
        let then = guarding::then(&ingresses, &back.steps);
        let before = staying.len();
        staying.extend(guarding::find(&undo, &then, &live));
        if staying.len() == before {
            break (guarding::guarded(&undo, &then), undo, back);
        }
    };
    if matches!(wanted, Wanted::All) {
        // What was accepted of Ingresses is nobody's word any more.
        let record = remembered::read(&cluster, &gateway_namespace).await?;
        let record = record.filter(marks::ours);
        undo.deleted
            .extend(record.map(|record| (cluster::CONFIG_MAP, record)));
    }
    let accepted = args.accept.iter().any(|code| code == shadow::YOUNGER);
    let foreseen = shadow::foreseen(&back.steps, &ingresses, &back.ages, (place.now)(), accepted);
    back.findings.extend(foreseen);
    let scope = plan::scope(&wanted, &undo, &ingresses);
    let watch = Watch::new(&undo.removed, &ingresses, &back.steps);
    let switches = match wanted {
        Wanted::All => finish::undoing(&cluster).await?,
        Wanted::Namespace(_) | Wanted::Ingresses(_) => Vec::new(),
    };
    let block = if args.unblock {
        block::standing(place).await?
    } else {
        Vec::new()
    };
    Ok(Ready {
        wanted,
        cluster,
        undo,
        back,
        watch,
        guarded,
        scope,
        switches,
        block,
    })
}

/// Undoes it, one step after the other, as far as nothing is lost by it.
async fn undo(
    args: &RollbackArgs,
    ready: &Ready,
    pace: &Pace,
    lines: &mut Vec<Line>,
    findings: &mut Vec<Finding>,
    place: &mut Place<'_>,
) -> Result<(), Trouble> {
    let (cluster, undo) = (&ready.cluster, &ready.undo);
    for told in traffic::back(cluster, &ready.scope, Duration::from_secs(args.wait), place).await? {
        lines.push(written(format!("GradualRollout {told}"), "back to 0"));
    }
    if !lift(&place.client, &ready.block, lines).await {
        findings.push(halted(
            "the block on new Ingresses could not be taken away, and would refuse them",
        ));
        return Ok(());
    }
    if matches!(ready.wanted, Wanted::All) {
        let undone = finish::undo(cluster, args.wait, place).await?;
        lines.extend(undone.lines);
        // Their old pods make no Ingresses, which takes nothing from those that come back.
        findings.extend(undone.late.as_ref().map(controllers_late));
    }
    let noted = run::note(cluster, pace, &undo.deleted, (place.now)()).await;
    lines.extend(noted.lines);
    if !noted.changed.is_empty() {
        findings.push(last::changed(&noted.changed));
        return Ok(());
    }
    let mut watch = ready.watch.clone();
    let steps = &ready.back.steps;
    if (place.stopped)() {
        findings.push(settle::interrupted("before any Ingress came back"));
        return Ok(());
    }
    if !steps.is_empty() {
        if bring_back(pace, cluster, steps, lines, findings, place).await? {
            // Their hosts are still served by the gateway, and stay so.
            findings.push(halted("not every Ingress that was cleaned up came back"));
            return Ok(());
        }
        let back: Vec<String> = steps.iter().map(restore::plan::Step::object).collect();
        let younger = shadow::younger(cluster, steps, &back, &ready.back.ages).await?;
        // What was foreseen is said already.
        let said: BTreeSet<String> = objects(&ready.back.findings);
        findings.extend(younger.into_iter().filter(|one| !said.contains(&one.object)));
    }
    if let Some(told) = settle::wait(args, cluster, &mut watch, !steps.is_empty(), place).await? {
        findings.push(told);
        return Ok(());
    }
    lines.extend(run::unmark(cluster, pace, &undo.unmarked()).await);
    last::take_away(
        args,
        ready,
        &watch,
        &noted.deleted,
        pace,
        (lines, findings),
        place,
    )
    .await
}

/// The backups that were named.
async fn backups(args: &RollbackArgs, cluster: &Cluster) -> Result<Vec<Backup>, Trouble> {
    let lacking = "name the folder that migrate backup wrote; nothing was undone";
    let mut backups = Vec::new();
    for dir in &args.dir {
        let other = Some("nothing was undone");
        let (folder, manifest) = open(dir, &args.identity, cluster, lacking, other).await?;
        backups.push(Backup {
            dir: dir.display().to_string(),
            folder,
            manifest,
        });
    }
    Ok(backups)
}

/// Whether there is what was named; nothing to undo is well, nothing of that name is a typing error.
async fn known(
    wanted: &Wanted,
    undo: &Undo,
    ingresses: &BTreeMap<Key, Value>,
    cluster: &Cluster,
) -> Result<(), Trouble> {
    if !(undo.marked.is_empty()
        && undo.hosts.is_empty()
        && undo.deleted.is_empty()
        && undo.findings.is_empty())
    {
        return Ok(());
    }
    match wanted {
        Wanted::All => Ok(()),
        Wanted::Namespace(name) => cluster.known(name).await,
        Wanted::Ingresses(keys) => match keys.iter().find(|key| !ingresses.contains_key(*key)) {
            None => Ok(()),
            Some((namespace, name)) => Err(Trouble::Usage(format!(
                "there is no Ingress {namespace}/{name}, and nothing was made of it: see migrate status -n {namespace}"
            ))),
        },
    }
}

fn written(object: String, action: &'static str) -> Line {
    Line {
        object,
        action,
        result: Became::Written,
        message: String::new(),
    }
}

/// Takes the block away: nothing that comes back is refused by it. Whether it is gone.
async fn lift(client: &Client, block: &[(see::Kind, Value)], lines: &mut Vec<Line>) -> bool {
    for (kind, object) in block {
        let name = see::object(object);
        match put::delete(client, *kind, object).await {
            Ok(_) => lines.push(written(name, "delete")),
            Err(trouble) => {
                lines.push(Line {
                    result: Became::Failed,
                    message: trouble.to_string(),
                    ..written(name, "delete")
                });
                return false;
            }
        }
    }
    true
}

/// What was foreseen of ages.
fn objects(findings: &[Finding]) -> BTreeSet<String> {
    let of = findings.iter().filter(|finding| finding.code == shadow::YOUNGER);
    of.map(|finding| finding.object.clone()).collect()
}

fn halted(why: &str) -> Finding {
    Finding {
        code: "ROLLBACK-HALTED",
        severity: Severity::Blocker,
        object: "rollback".to_owned(),
        message: format!("{why}, so nothing was closed at the gateway"),
        remedy: "mend what is said of them, and ask again".to_owned(),
    }
}

fn controllers_late(late: &Trouble) -> Finding {
    Finding {
        code: "ROLLBACK-CONTROLLERS-LATE",
        severity: Severity::Blocker,
        object: "controllers".to_owned(),
        message: format!(
            "{late}. Until then they make new objects for Istio alone; Ingresses come back all the same"
        ),
        remedy:
            "mend why their pods do not start, and ask again: the same rollback, or migrate finish --undo"
                .to_owned(),
    }
}

/// Writes Ingresses that were cleaned up. Whether one failed.
async fn bring_back(
    pace: &Pace,
    cluster: &Cluster,
    steps: &[restore::plan::Step],
    lines: &mut Vec<Line>,
    findings: &mut Vec<Finding>,
    place: &Place<'_>,
) -> Result<bool, Trouble> {
    let mut failed = false;
    restore::order::write_all(cluster, &place.client, steps, pace, false, &mut |step, done| {
        failed |= !done.done;
        lines.push(Line {
            result: if done.done {
                Became::Written
            } else {
                Became::Failed
            },
            message: done.why.unwrap_or_default(),
            ..written(step.object(), "come back")
        });
        findings.extend(done.findings);
        Ok(())
    })
    .await?;
    Ok(failed)
}
