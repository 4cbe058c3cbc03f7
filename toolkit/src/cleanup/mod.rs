//! `migrate cleanup`: Ingresses that nothing needs any more are deleted, and can come back.
//!
//! - [`judge`]: every reason why one has to stay; [`well`]: whether what serves its hosts then is;
//! - [`kept`]: whether it could come back;
//! - [`split`]: canaries, which go with what they split; [`notes`]: what is written on routes before;
//! - [`counter`]: what nginx itself counted; [`names`]: where names lead; [`undone`]: what came back.

pub mod args;
pub mod counter;
mod exposition;
pub mod judge;
pub mod kept;
pub mod names;
mod notes;
mod split;
pub mod undone;
pub mod well;

use crate::answering::{canary, typed};
use crate::apply::gateway;
use crate::apply::keep;
use crate::apply::read::from;
use crate::apply::run::said;
use crate::apply::select::object;
use crate::backup::open::open;
use crate::cluster::{self, Cluster, MANAGER, exactly, meta};
use crate::convert::args::key;
use crate::finding::{self, Finding, Severity};
use crate::marks;
use crate::pace::{Pace, paced};
use crate::place::Place;
use crate::shadow::Beside;
use crate::standing::{self, One, Standing};
use crate::trouble::{End, Trouble};
use crate::validate;
use args::CleanupArgs;
use counter::{Count, Counted};
use futures::StreamExt as _;
use gradual_rollout_migration::input::Key;
use jiff::Timestamp;
use judge::Known;
use kept::{Kept, plain};
use kube::api::{Patch, PatchParams, PropagationPolicy};
use names::Leads;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Deletes what may go.
pub async fn run(args: &CleanupArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let accepted = judge::accepted(args)?;
    let more = [cluster::DEPLOYMENT, cluster::DAEMON_SET, cluster::CERTIFICATE];
    let cluster = Cluster::look(&place.client, &[&standing::kinds()[..], &more].concat()).await?;
    let lacking = "nothing is deleted that could not come back. Take one: migrate backup --dir";
    let other = Some("nothing was deleted");
    let (folder, manifest) = open(&args.dir, &args.identity, &cluster, lacking, other).await?;
    let standing = Standing::read(&cluster, &args.standing, place.namespace.as_deref()).await?;
    let candidates = candidates(args, place.namespace.as_deref(), &standing)?;
    let now = (place.now)();
    let counted = counter::ask(&cluster, &place.client, args.metrics_port).await?;
    let live: Vec<&Value> = standing.ingresses.values().collect();
    let nginx = names::nginx(&cluster, &live, &args.nginx_address).await?;
    let gateways = standing.live.ours(&cluster::GATEWAY);
    let gateway = names::gateway(&cluster, gateways, &args.gateway_address).await?;
    let mut hosts: BTreeSet<String> = candidates.iter().flat_map(|one| one.hosts.clone()).collect();
    let asked = candidates
        .iter()
        .filter_map(|one| standing.ingresses.get(&one.key));
    hosts.extend(asked.flat_map(names::of));
    let asked = ["CLEANUP-NAME-UNKNOWN", "CLEANUP-NAME-LEADS-TO-NGINX"]
        .iter()
        .any(|code| !accepted.iter().any(|accepted| accepted == code));
    let leads = if asked {
        names::lead(&hosts, &nginx, Some(&gateway)).await
    } else {
        // Whatever the answer was, it would be accepted.
        let unasked = |host| (host, Leads::Unknown("it was not looked up".to_owned()));
        hosts.into_iter().map(unasked).collect()
    };
    let all = standing.beside.iter().chain(&standing.ingresses);
    let all: BTreeMap<Key, Value> = all.map(|(key, ingress)| (key.clone(), ingress.clone())).collect();
    let beside = Beside::new(&all);
    let unwell = validate::findings(&cluster, &standing, place).await?;
    let mut kept = Kept::new(&folder, &manifest);
    let (mut going, mut findings, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for one in candidates {
        let Some(ingress) = standing.ingresses.get(&one.key) else {
            continue;
        };
        let blind = counted.as_ref().ok().and_then(|counted| counted.blind(ingress));
        let count = match (&counted, &blind) {
            (Ok(counted), None) => Ok(counter::next(ingress, &one.key, counted, now)),
            (_, Some(why)) | (Err(why), _) => Err(why.as_str()),
        };
        if let Ok(count) = &count {
            counts.push((one.key.clone(), count.clone()));
        }
        let known = Known {
            one,
            ingress,
            count,
            leads: &leads,
            kept: kept.has(ingress, &one.key)?,
            shadows: beside.behind(&one.key, ingress),
            going_back: notes::going_back(&standing, &one.key),
            unwell: well::blockers(&unwell, one, &standing),
        };
        let reasons = judge::reasons(&known, args, now);
        let (taken, left): (Vec<Finding>, Vec<Finding>) = reasons
            .into_iter()
            .partition(|finding| accepted.iter().any(|code| code == finding.code));
        findings.extend(taken.into_iter().map(|finding| Finding {
            severity: Severity::Info,
            remedy: "accepted".to_owned(),
            ..finding
        }));
        if left.is_empty() {
            going.push((one.key.clone(), ingress));
        }
        findings.extend(left);
    }
    findings.extend(split::left(&standing, &mut going));
    findings.extend(certificates(&cluster, &going).await?);
    let mut deleted: Vec<Key> = going.iter().map(|(key, _)| key.clone()).collect();
    if !args.dry_run {
        let pace = Pace::new(args.rate);
        findings.extend(remember(&cluster, &pace, &standing, &counts, counted.as_ref().ok()).await);
        let (done, failed) = in_order(&cluster, &pace, &standing, &going, now).await;
        findings.extend(failed);
        deleted.clone_from(&done);
    }
    tell(args, &deleted, &findings, place)?;
    let left = findings
        .iter()
        .any(|finding| finding.severity == Severity::Blocker);
    Ok(match (left, deleted.is_empty()) {
        (false, _) => End::Done,
        (true, true) => End::Refused,
        (true, false) => End::Partly,
    })
}

/// The marked Ingresses that were named.
fn candidates<'a>(
    args: &CleanupArgs,
    namespace: Option<&str>,
    standing: &'a Standing,
) -> Result<Vec<&'a One>, Trouble> {
    if namespace.is_none() && args.ingress.is_empty() && !args.all {
        return Err(Trouble::Usage(
            "nothing was named: write -n NAMESPACE, --ingress NAMESPACE/NAME or --all".to_owned(),
        ));
    }
    let mut named: BTreeSet<Key> = BTreeSet::new();
    for typed in &args.ingress {
        let key = key("--ingress", typed)?;
        if !standing.ingresses.get(&key).is_some_and(marks::migrated) {
            return Err(Trouble::Usage(format!(
                "there is no Ingress {typed} that is marked as migrated: see migrate status"
            )));
        }
        if !standing.all.iter().any(|one| one.key == key) {
            return Err(Trouble::Usage(format!(
                "Ingress {typed} is none of those that are looked at: it serves no application, or --ingress-class \
                 leaves it out"
            )));
        }
        named.insert(key);
    }
    let marked = standing.all.iter().filter(|one| {
        standing.ingresses.get(&one.key).is_some_and(marks::migrated)
            && (named.is_empty() || named.contains(&one.key))
    });
    Ok(marked.collect())
}

/// Certificates that belong to an Ingress stay without it; how they are renewed may have to be looked at.
async fn certificates(cluster: &Cluster, going: &[(Key, &Value)]) -> Result<Vec<Finding>, Trouble> {
    let mut findings = Vec::new();
    let namespaces: BTreeSet<&String> = going.iter().map(|(key, _)| &key.0).collect();
    for namespace in namespaces {
        for certificate in cluster.all(&cluster::CERTIFICATE, Some(namespace)).await? {
            let owners = certificate
                .pointer("/metadata/ownerReferences")
                .and_then(Value::as_array);
            let owned = owners.into_iter().flatten().any(|owner| {
                let uid = owner.get("uid").and_then(Value::as_str).unwrap_or_default();
                going.iter().any(|(_, ingress)| meta(ingress, "uid") == uid)
            });
            if owned {
                findings.push(Finding {
                    code: "CLEANUP-CERTIFICATE-STAYS",
                    severity: Severity::Info,
                    object: cluster::CERTIFICATE.named(namespace, meta(&certificate, "name")),
                    message: "it belongs to an Ingress that goes, and stays without an owner".to_owned(),
                    remedy: "if it is issued by HTTP-01 through nginx, give its issuer a solver that works without it".to_owned(),
                });
            }
        }
    }
    Ok(findings)
}

/// Writes down what nginx counted, for the next run.
async fn remember(
    cluster: &Cluster,
    pace: &Pace,
    standing: &Standing,
    counts: &[(Key, Count)],
    counted: Option<&Counted>,
) -> Vec<Finding> {
    if counted.is_none() {
        return Vec::new();
    }
    let work = counts.iter().filter_map(|(key, count)| {
        let text = serde_json::to_string(count).ok()?;
        let before = standing
            .ingresses
            .get(key)
            .and_then(|i| cluster::annotation(i, marks::REQUESTS));
        if before == Some(text.as_str()) {
            return None;
        }
        Some(async move {
            let patch = json!({"metadata": {"annotations": {marks::REQUESTS: text}}});
            merge(cluster, &cluster::INGRESS, key, &patch)
                .await
                .err()
                .map(|why| Finding {
                    code: "CLEANUP-NOT-REMEMBERED",
                    severity: Severity::Warning,
                    object: object(key),
                    message: format!("what nginx counted could not be written down: {why}"),
                    remedy: "have patch on ingresses granted".to_owned(),
                })
        })
    });
    let said: Vec<Option<Finding>> = paced(work, pace).collect().await;
    said.into_iter().flatten().collect()
}

async fn merge(cluster: &Cluster, kind: &cluster::Kind, key: &Key, patch: &Value) -> Result<(), String> {
    let Some(api) = cluster.api(kind, Some(&key.0)) else {
        return Err(format!("the cluster does not serve {}", kind.resource()));
    };
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let done = api.patch(&key.1, &params, &Patch::Merge(patch)).await;
    done.map(drop).map_err(|error| said(&error))
}

/// Deletes what is served before the canaries that split it: without its canary nginx would serve it otherwise.
async fn in_order(
    cluster: &Cluster,
    pace: &Pace,
    standing: &Standing,
    going: &[(Key, &Value)],
    now: Timestamp,
) -> (Vec<Key>, Vec<Finding>) {
    let (mut canaries, serving): (Vec<_>, Vec<_>) =
        going.iter().cloned().partition(|(_, ingress)| canary(ingress));
    let (mut done, mut failed) = delete(cluster, pace, standing, &serving, &[], now).await;
    failed.extend(split::staying(standing, &done, &mut canaries));
    let (more, others) = delete(cluster, pace, standing, &canaries, &done, now).await;
    done.extend(more);
    failed.extend(others);
    done.sort();
    (done, failed)
}

/// Deletes Ingresses exactly as they were judged; what belongs to them stays. That one goes is written on its routes
/// before: whoever ends this half-way leaves none of which nobody knows that it was cleaned up.
async fn delete(
    cluster: &Cluster,
    pace: &Pace,
    standing: &Standing,
    going: &[(Key, &Value)],
    before: &[Key],
    now: Timestamp,
) -> (Vec<Key>, Vec<Finding>) {
    let mut routes: BTreeMap<Key, Vec<(&Value, Value)>> = BTreeMap::new();
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let goes: BTreeSet<&Key> = going.iter().map(|(key, _)| key).chain(before).collect();
    for route in standing.live.ours(&cluster::VIRTUAL_SERVICE) {
        let from = from(route);
        // All that go together, whichever of them is first.
        let gone = |key: &Key| !standing.has(key) && keep::cleaned(route, key);
        let cleaned = typed(from.iter().filter(|key| goes.contains(key) || gone(key)));
        let notes = json!({marks::CLEANED_AT: second, marks::CLEANED: cleaned});
        for key in from {
            routes.entry(key).or_default().push((route, notes.clone()));
        }
    }
    let routes = &routes;
    let work = going.iter().map(|(key, ingress)| async move {
        for (route, patch) in routes.get(key).into_iter().flatten() {
            pace.turn().await;
            if let Err(why) = notes::write(cluster, route, patch).await {
                let route = gateway::key(route);
                let route = cluster::VIRTUAL_SERVICE.named(&route.0, &route.1);
                return (
                    key,
                    Err(format!("it could not be written on {route} before: {why}")),
                );
            }
        }
        (key, delete_one(cluster, key, ingress).await)
    });
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    let mut stream = std::pin::pin!(paced(work, pace));
    while let Some((key, result)) = stream.next().await {
        match result {
            Ok(()) => done.push(key.clone()),
            Err(why) => failed.push(Finding {
                code: "CLEANUP-FAILED",
                severity: Severity::Blocker,
                object: object(key),
                message: format!("it was not deleted: {why}"),
                remedy: "mend that and ask again".to_owned(),
            }),
        }
    }
    done.sort();
    (done, failed)
}

async fn delete_one(cluster: &Cluster, key: &Key, ingress: &Value) -> Result<(), String> {
    // Its version may have been raised by our own note; its uid and what it asks for may not change.
    match cluster.get(&cluster::INGRESS, &key.0, &key.1).await {
        Ok(Some(now)) if !marks::migrated(&now) => {
            Err("its mark was taken off while it was judged, as a rollback does".to_owned())
        }
        Ok(Some(now)) if meta(&now, "uid") == meta(ingress, "uid") && plain(&now) == plain(ingress) => {
            let mut params = exactly(&now, false);
            params.propagation_policy = Some(PropagationPolicy::Orphan);
            match cluster.api(&cluster::INGRESS, Some(&key.0)) {
                Some(api) => api
                    .delete(&key.1, &params)
                    .await
                    .map(drop)
                    .map_err(|error| said(&error)),
                None => Err("the cluster serves no Ingresses".to_owned()),
            }
        }
        Ok(Some(_)) => Err("somebody changed it while it was judged".to_owned()),
        Ok(None) => Ok(()),
        Err(error) => Err(said(&error)),
    }
}

fn tell(
    args: &CleanupArgs,
    deleted: &[Key],
    findings: &[Finding],
    place: &mut Place<'_>,
) -> Result<(), Trouble> {
    if place.json {
        let deleted: Vec<String> = deleted.iter().map(object).collect();
        let said = json!({"dryRun": args.dry_run, "deleted": deleted, "findings": findings});
        writeln!(place.out, "{said:#}")?;
        return Ok(());
    }
    finding::write(place.err, findings)?;
    let word = if args.dry_run {
        "would be deleted"
    } else {
        "deleted"
    };
    for key in deleted {
        writeln!(place.out, "{word}: {}", finding::plain(&object(key)))?;
    }
    let blocked = findings.iter().filter(|f| f.severity == Severity::Blocker);
    let left: BTreeSet<&String> = blocked.map(|f| &f.object).collect();
    writeln!(
        place.out,
        "{} Ingresses {word}, {} stay",
        deleted.len(),
        left.len()
    )?;
    if !deleted.is_empty() && !args.dry_run {
        let dir = args.dir.display();
        let mut opened = String::new();
        for file in &args.identity.identity {
            opened.push_str(" --identity ");
            opened.push_str(&file.display().to_string());
        }
        // By their names: a backup of before would take the marks off every other Ingress that it has.
        let mut named: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (namespace, name) in deleted {
            named.entry(namespace).or_default().push(name);
        }
        for (namespace, names) in named {
            writeln!(
                place.out,
                "to have them back: migrate restore -n {} --dir {dir}{opened} --kind Ingress --name {}",
                finding::plain(namespace),
                finding::plain(&names.join(","))
            )?;
        }
    }
    Ok(())
}
