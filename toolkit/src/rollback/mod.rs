//! `migrate rollback`: what was written is undone, in the order in which no request is lost.
//!
//! - [`plan`]: what has to be undone;
//! - [`traffic`]: the share that nginx sends to the gateway; [`back`]: Ingresses that were cleaned up;
//! - [`mod@run`]: marks, Gateways and the rest.

pub mod args;
pub mod back;
pub mod plan;
pub mod run;
pub mod traffic;

use crate::apply::live::{Live, MADE};
use crate::apply::run::{Became, Line};
use crate::apply::select::{object, shown};
use crate::backup::folder::{Folder, Manifest};
use crate::backup::open::open;
use crate::cluster::{self, Cluster, meta};
use crate::convert::args::key;
use crate::finding::{self, Finding, Severity, plain};
use crate::finish;
use crate::pace::{Pace, paced};
use crate::place::Place;
use crate::restore;
use crate::trouble::{End, Trouble};
use args::RollbackArgs;
use gradual_rollout_migration::input::Key;
use plan::{Undo, Wanted};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Undoes what was asked.
pub async fn run(args: &RollbackArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
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
    let ingresses: BTreeMap<_, _> = cluster
        .all(&cluster::INGRESS, None)
        .await?
        .into_iter()
        .map(|object| {
            (
                (
                    meta(&object, "namespace").to_owned(),
                    meta(&object, "name").to_owned(),
                ),
                object,
            )
        })
        .collect();
    let live = Live::read(&cluster, &gateway_namespace).await?;
    let mut undo = plan::make(args, &wanted, &ingresses, &live);
    let backup = backup(args, &cluster).await?;
    undo.missing.extend(back::kept(backup.as_ref(), &undo.orphans)?);
    known(&wanted, &undo, &ingresses, &cluster).await?;
    for typed in args.gone.iter().filter(|typed| *typed != "orphans") {
        undo.missing.remove(&key("--gone", typed)?);
    }
    let steps = back::steps(backup.as_ref(), &undo.missing)?;
    if args.dry_run {
        let splitting = traffic::splitting(&cluster, &undo.namespaces).await?;
        let switched = if matches!(wanted, Wanted::All) {
            finish::switched(&cluster).await?
        } else {
            Vec::new()
        };
        return show(&undo, &splitting, &switched, place);
    }
    let mut lines = Vec::new();
    let pace = Pace::new(args.rate);
    let mut findings = undo.findings.clone();
    for told in traffic::back(&cluster, &undo.namespaces, Duration::from_secs(args.wait), place).await? {
        lines.push(written(format!("GradualRollout {told}"), "back to 0"));
    }
    if matches!(wanted, Wanted::All) {
        lines.extend(finish::undo(&cluster, args.wait, place).await?);
    }
    if !steps.is_empty() {
        let failed = bring_back(&pace, &cluster, &steps, &mut lines, &mut findings, place).await;
        if failed {
            // Their hosts are still served by the gateway, and stay so.
            findings.push(halted());
            tell(&lines, &findings, place)?;
            return Ok(End::Partly);
        }
        writeln!(
            place.err,
            "giving nginx {} s to serve what came back",
            args.settle
        )?;
        tokio::time::sleep(Duration::from_secs(args.settle)).await;
    }
    let mut marked = undo.marked.clone();
    marked.extend(undo.missing.iter().cloned());
    lines.extend(run::unmark(&cluster, &pace, &marked).await);
    let closed = run::close(&cluster, &pace, &undo).await;
    let shut = closed.iter().all(|line| line.result == Became::Written);
    lines.extend(closed);
    if shut {
        lines.extend(run::delete(&cluster, &pace, &undo.deleted).await);
        let rollouts = traffic::done_with(&cluster, &undo.namespaces).await?;
        let rollouts: Vec<_> = rollouts
            .into_iter()
            .map(|r| (cluster::GRADUAL_ROLLOUT, r))
            .collect();
        lines.extend(run::delete(&cluster, &pace, &rollouts).await);
    } else {
        findings.push(still_open());
    }
    tell(&lines, &findings, place)?;
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

/// The backup, where one was named.
async fn backup(args: &RollbackArgs, cluster: &Cluster) -> Result<Option<(Folder, Manifest)>, Trouble> {
    let Some(dir) = &args.dir else { return Ok(None) };
    let lacking = "name the folder that migrate backup wrote; nothing was undone";
    let other = Some("nothing was undone");
    open(dir, &args.identity, cluster, lacking, other).await.map(Some)
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

fn halted() -> Finding {
    Finding {
        code: "ROLLBACK-HALTED",
        severity: Severity::Blocker,
        object: "rollback".to_owned(),
        message: "not every Ingress that was cleaned up came back, so nothing was closed at the gateway"
            .to_owned(),
        remedy: "mend what is said of them, and ask again".to_owned(),
    }
}

fn still_open() -> Finding {
    Finding {
        code: "ROLLBACK-STILL-OPEN",
        severity: Severity::Blocker,
        object: "rollback".to_owned(),
        message: "a Gateway could not be written, so its routes and policies were left: an open host without them would be worse".to_owned(),
        remedy: "mend what is said of it, and ask again".to_owned(),
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
) -> bool {
    use futures::StreamExt as _;
    let client = &place.client;
    let work = steps
        .iter()
        .map(|step| async move { (step, restore::write::write(cluster, client, step, false).await) });
    let mut failed = false;
    let mut stream = std::pin::pin!(paced(work, pace));
    while let Some((step, done)) = stream.next().await {
        failed |= !done.done;
        lines.push(Line {
            result: if done.done {
                Became::Written
            } else {
                Became::Failed
            },
            ..written(step.object(), "come back")
        });
        findings.extend(done.findings);
    }
    failed
}

/// What would be undone.
fn show(
    undo: &Undo,
    splitting: &[String],
    switched: &[String],
    place: &mut Place<'_>,
) -> Result<End, Trouble> {
    let deleted: Vec<String> = undo
        .deleted
        .iter()
        .map(|(kind, object)| plan::named(kind, object))
        .collect();
    if place.json {
        let names =
            |keys: &std::collections::BTreeSet<_>| -> Vec<String> { keys.iter().map(object).collect() };
        let said = json!({
            "dryRun": true, "back": splitting, "switchBack": switched,
            "comeBack": names(&undo.missing), "unmark": names(&undo.marked),
            "close": undo.hosts.iter().map(|(_, host)| host).collect::<Vec<_>>(), "delete": deleted,
            "findings": undo.findings,
        });
        writeln!(place.out, "{said:#}")?;
    } else {
        finding::write(place.err, &undo.findings)?;
        let mut lines: Vec<String> = Vec::new();
        lines.extend(splitting.iter().map(|name| format!("back to 0   Ingress {name}")));
        lines.extend(switched.iter().map(|name| format!("switch back {name}")));
        lines.extend(
            undo.missing
                .iter()
                .map(|key| format!("come back   {}", object(key))),
        );
        lines.extend(
            undo.marked
                .iter()
                .map(|key| format!("unmark      {}", object(key))),
        );
        lines.extend(undo.hosts.iter().map(|(_, host)| format!("close       {host}")));
        lines.extend(deleted.iter().map(|name| format!("delete      {name}")));
        for line in &lines {
            writeln!(place.out, "{}", plain(line))?;
        }
        if lines.is_empty() {
            writeln!(place.out, "nothing of it was written: there is nothing to undo")?;
        }
    }
    let blocked = undo
        .findings
        .iter()
        .any(|finding| finding.severity == Severity::Blocker);
    Ok(if blocked { End::Partly } else { End::Done })
}

fn tell(lines: &[Line], findings: &[Finding], place: &mut Place<'_>) -> Result<(), Trouble> {
    if place.json {
        let said: Value = json!({"dryRun": false, "results": lines, "findings": findings});
        writeln!(place.out, "{said:#}")?;
        return Ok(());
    }
    finding::write(place.err, findings)?;
    for line in lines.iter().filter(|line| line.result != Became::Written) {
        writeln!(
            place.err,
            "failed   {} {}: {}",
            line.action,
            plain(&line.object),
            plain(&line.message)
        )?;
    }
    if lines.is_empty() {
        writeln!(place.out, "nothing of it was written: there is nothing to undo")?;
        return Ok(());
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.result == Became::Written) {
        *counts.entry(line.action).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(action, count)| format!("{count} {action}"))
        .collect();
    writeln!(place.out, "undone: {}", shown(&counts))?;
    Ok(())
}
