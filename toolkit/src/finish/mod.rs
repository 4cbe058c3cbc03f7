//! `migrate finish`: controllers make no Ingresses any more, and the migration is written down as complete.
//!
//! - [`switch`]: what controllers are told.

pub mod args;
mod pods;
pub mod switch;

use crate::apply::run::{Became, Line, said};
use crate::classes::Classes;
use crate::cluster::{self, Cluster, Kind, MANAGER, annotation, meta};
use crate::finding::{self, Finding, Severity, plain};
use crate::marks;
use crate::place::Place;
use crate::standing::{self, Standing, StandingArgs, State};
use crate::trouble::{End, Trouble};
use crate::validate;
use args::FinishArgs;
use jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use pods::rolled_out;
use serde_json::{Value, json};
use switch::Switch;

/// Where controllers live, unless -n says otherwise.
const HOME: &str = "sealos-system";
/// Their Deployments.
const DEPLOYMENTS: [&str; 4] = [
    "terminal-controller",
    "db-adminer-controller",
    "resources-controller",
    "webhook-admission",
];
/// Their `ConfigMaps`.
const CONFIG_MAPS: [&str; 3] = [
    "terminal-controller-config",
    "db-adminer-controller-config",
    "resources-controller-config",
];
/// The record of a migration that is complete.
const RECORD: &str = "gradual-rollout-migration";
/// What a controller is told.
struct Told {
    kind: Kind,
    object: Value,
    switch: Switch,
}

/// Finishes a migration, or takes that back.
pub async fn run(args: &FinishArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let more = [cluster::CONFIG_MAP, cluster::GRADUAL_ROLLOUT];
    let cluster = Cluster::look(&place.client, &[&standing::kinds()[..], &more].concat()).await?;
    if args.undo {
        let Undone { lines, late } = if args.dry_run {
            would_undo(&cluster).await?
        } else {
            undo(&cluster, args.wait, place).await?
        };
        tell(args, &lines, &[], place)?;
        if let Some(late) = late {
            return Err(late);
        }
        let whole = lines.iter().all(|line| line.result == Became::Written);
        return Ok(if whole { End::Done } else { End::Partly });
    }
    let home = place.namespace.clone().unwrap_or_else(|| HOME.to_owned());
    let now = (place.now)();
    // What is left of any class would be cut off: a class that is named is one more here.
    let named = args.standing.ingress_class.as_deref();
    let classes = Classes::read(&cluster, None).await?.and(named);
    let of_all = StandingArgs {
        ingress_class: None,
        ..args.standing.clone()
    };
    let standing = Standing::of(&cluster, &of_all, &classes, None).await?;
    let mut findings = left(args, &standing, now);
    findings.extend(validate::findings(&cluster, &standing, place).await?);
    let told = controllers(args, &cluster, &home, &mut findings).await?;
    findings.extend(moving(&cluster, &told).await?);
    if findings
        .iter()
        .any(|finding| finding.severity == Severity::Blocker)
    {
        tell(args, &[], &findings, place)?;
        return Ok(End::Refused);
    }
    let mut lines = Vec::new();
    for one in &told {
        let object = one
            .kind
            .named(meta(&one.object, "namespace"), meta(&one.object, "name"));
        let result = match &one.switch {
            Switch::None | Switch::Set => Ok(Became::Same),
            Switch::Patch(_) if args.dry_run => Ok(Became::Written),
            Switch::Patch(patch) => send(&cluster, &one.kind, &one.object, patch)
                .await
                .map(|()| Became::Written),
        };
        lines.push(line(object, "switch", result));
    }
    let switched = lines.iter().all(|line| line.result != Became::Failed);
    if switched && !args.dry_run {
        let advice = "put the controllers back with migrate finish --undo, or ask again";
        rolled_out(&cluster, &told, args.wait, advice, place).await?;
        let object = cluster::CONFIG_MAP.named(&home, RECORD);
        let result = record(&cluster, &home, &standing, now)
            .await
            .map(|()| Became::Written);
        lines.push(line(object, "record", result));
    }
    tell(args, &lines, &findings, place)?;
    let whole = lines.iter().all(|line| line.result != Became::Failed);
    Ok(if whole { End::Done } else { End::Partly })
}

fn line(object: String, action: &'static str, result: Result<Became, String>) -> Line {
    let (result, message) = match result {
        Ok(became) => (became, String::new()),
        Err(why) => (Became::Failed, why),
    };
    Line {
        object,
        action,
        result,
        message,
    }
}

fn blocker(code: &'static str, object: impl Into<String>, message: String, remedy: &str) -> Finding {
    Finding {
        code,
        severity: Severity::Blocker,
        object: object.into(),
        message,
        remedy: remedy.to_owned(),
    }
}

/// Tenants' Ingresses that nginx still has, and the time that the gateway has been alone.
fn left(args: &FinishArgs, standing: &Standing, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let tenants = standing
        .all
        .iter()
        .filter(|one| one.key.0.starts_with(&args.tenants));
    let still: Vec<String> = tenants
        .filter(|one| !matches!(one.state, State::Cleaned | State::Orphaned))
        .map(|one| format!("{}/{}", one.key.0, one.key.1))
        .collect();
    if !still.is_empty() {
        findings.push(blocker(
            "FINISH-INGRESSES-LEFT",
            "tenants",
            format!(
                "nginx still has {} of their Ingresses: {}",
                still.len(),
                crate::apply::select::shown(&still)
            ),
            "migrate and clean them up first: see migrate status",
        ));
    }
    let soak = SignedDuration::from_hours(i64::from(args.soak));
    let times = standing.live.ours(&cluster::VIRTUAL_SERVICE);
    let last = times
        .filter_map(|route| annotation(route, marks::CLEANED_AT)?.parse::<Timestamp>().ok())
        .max();
    match last {
        Some(last) if now.duration_since(last) < soak => findings.push(blocker(
            "FINISH-SOAKING",
            "tenants",
            format!("the gateway serves everything alone since {last} only"),
            "come again when --soak is over",
        )),
        Some(_) => {}
        None => findings.push(blocker(
            "FINISH-NOTHING-CLEANED",
            "tenants",
            "no Ingress was cleaned up by migrate cleanup".to_owned(),
            "migrate first; there is nothing to finish",
        )),
    }
    findings
}

/// What controllers have to be told. One that is not there is never passed over in silence.
async fn controllers(
    args: &FinishArgs,
    cluster: &Cluster,
    home: &str,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Told>, Trouble> {
    let or = |named: &Vec<String>, usual: &[&str]| -> Vec<String> {
        if args.deployment.is_empty() && args.config_map.is_empty() {
            usual.iter().map(ToString::to_string).collect()
        } else {
            named.clone()
        }
    };
    let mut told = Vec::new();
    for (kind, names) in [
        (cluster::CONFIG_MAP, or(&args.config_map, &CONFIG_MAPS)),
        (cluster::DEPLOYMENT, or(&args.deployment, &DEPLOYMENTS)),
    ] {
        for name in names {
            let object = kind.named(home, &name);
            let found = cluster.get(&kind, home, &name).await;
            let found = found.map_err(|error| Trouble::kube(format!("read {object}"), &error))?;
            let Some(found) = found else {
                findings.push(blocker(
                    "FINISH-CONTROLLER-ABSENT",
                    object,
                    "it is not there".to_owned(),
                    "name what is, with --deployment and --config-map, in the namespace of -n",
                ));
                continue;
            };
            let switch = switch::on(&kind, &found);
            if switch == Switch::None {
                findings.push(blocker(
                    "FINISH-NO-SWITCH",
                    object,
                    "it has none of the switches that are known".to_owned(),
                    "leave it out: name the others with --deployment and --config-map",
                ));
                continue;
            }
            told.push(Told {
                kind,
                object: found,
                switch,
            });
        }
    }
    Ok(told)
}

/// Rollouts that still move a controller: they would put back what is written here.
async fn moving(cluster: &Cluster, told: &[Told]) -> Result<Vec<Finding>, Trouble> {
    let mut findings = Vec::new();
    for rollout in cluster.all(&cluster::GRADUAL_ROLLOUT, None).await? {
        let components = rollout.pointer("/spec/components").and_then(Value::as_array);
        let switches = components.into_iter().flatten().any(|component| {
            let routers = component.get("routers").and_then(Value::as_array);
            routers.into_iter().flatten().any(|router| {
                let named = |field: &str| router.pointer(field).and_then(Value::as_str);
                let names = [
                    named("/controllerSwitch/deployment"),
                    named("/controllerSwitch/configMap"),
                ];
                told.iter()
                    .any(|one| names.contains(&Some(meta(&one.object, "name"))))
            })
        });
        let conditions = rollout.pointer("/status/conditions").and_then(Value::as_array);
        let complete = conditions.into_iter().flatten().any(|condition| {
            let is = |field: &str, value: &str| condition.get(field).and_then(Value::as_str) == Some(value);
            is("type", "Completed") && is("status", "True")
        });
        if switches && !complete {
            findings.push(blocker(
                "FINISH-ROLLOUT-RUNNING",
                cluster::GRADUAL_ROLLOUT.named(meta(&rollout, "namespace"), meta(&rollout, "name")),
                "it still moves a controller, and would put back what is written here".to_owned(),
                "wait until it is completed",
            ));
        }
    }
    Ok(findings)
}

async fn send(cluster: &Cluster, kind: &Kind, object: &Value, patch: &Value) -> Result<(), String> {
    let Some(api) = cluster.api(kind, Some(meta(object, "namespace"))) else {
        return Err(format!("the cluster does not serve {}", kind.resource()));
    };
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    // By container and variable: a plain merge would replace the whole list of containers.
    let done = api
        .patch(meta(object, "name"), &params, &Patch::Strategic(patch))
        .await;
    done.map(drop).map_err(|error| said(&error))
}

/// Writes down that it is complete.
async fn record(cluster: &Cluster, home: &str, standing: &Standing, now: Timestamp) -> Result<(), String> {
    let Some(api) = cluster.api(&cluster::CONFIG_MAP, Some(home)) else {
        return Err("the cluster serves no ConfigMaps".to_owned());
    };
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    // It was completed when it was, however often somebody asks.
    let there = cluster
        .get(&cluster::CONFIG_MAP, home, RECORD)
        .await
        .map_err(|error| said(&error))?;
    let first = there.as_ref().filter(|record| marks::ours(record));
    let first = first.and_then(|record| record.pointer("/data/completed-at")?.as_str());
    let completed = first.unwrap_or(&second);
    let body = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": RECORD, "namespace": home, "labels": {
            marks::MANAGED_BY: marks::OURS, marks::MIGRATED: "true",
        }},
        "data": {
            "completed-at": completed,
            "ingresses": standing.total().cleaned.to_string(),
            "namespaces": standing.counts().len().to_string(),
        },
    });
    let done = api
        .patch(RECORD, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&body))
        .await;
    done.map(drop).map_err(|error| said(&error))
}

/// What is done about an object to take it back.
enum Back {
    /// It is the record, and goes.
    Forget,
    /// It is told what it was told before, or cannot be.
    Switch(Result<Value, String>),
}

impl Back {
    const fn word(&self) -> &'static str {
        match self {
            Self::Forget => "delete",
            Self::Switch(_) => "switch back",
        }
    }
}

/// What has to be done to take it back, in order.
async fn backs(cluster: &Cluster) -> Result<Vec<(Kind, Value, Back)>, Trouble> {
    let mut all = Vec::new();
    for kind in [cluster::CONFIG_MAP, cluster::DEPLOYMENT] {
        for object in cluster.all(&kind, None).await? {
            let record =
                kind == cluster::CONFIG_MAP && meta(&object, "name") == RECORD && marks::ours(&object);
            let back = if record {
                Some(Back::Forget)
            } else {
                switch::back(&object).map(Back::Switch)
            };
            all.extend(back.map(|back| (kind, object, back)));
        }
    }
    Ok(all)
}

/// What [`undo`] would do, in its order: a word for it, and the object.
pub async fn undoing(cluster: &Cluster) -> Result<Vec<(&'static str, String)>, Trouble> {
    let all = backs(cluster).await?;
    let named = all.iter().map(|(kind, object, back)| {
        (
            back.word(),
            kind.named(meta(object, "namespace"), meta(object, "name")),
        )
    });
    Ok(named.collect())
}

/// The same as lines, with what cannot be put back.
async fn would_undo(cluster: &Cluster) -> Result<Undone, Trouble> {
    let all = backs(cluster).await?;
    let lines = all.into_iter().map(|(kind, object, back)| {
        let (name, word) = (
            kind.named(meta(&object, "namespace"), meta(&object, "name")),
            back.word(),
        );
        let result = match back {
            Back::Forget | Back::Switch(Ok(_)) => Ok(Became::Written),
            Back::Switch(Err(why)) => Err(why),
        };
        line(name, word, result)
    });
    Ok(Undone {
        lines: lines.collect(),
        late: None,
    })
}

/// What was taken back.
#[derive(Debug)]
pub struct Undone {
    /// Object by object.
    pub lines: Vec<Line>,
    /// That new pods of controllers do not run yet, with what was written for them.
    pub late: Option<Trouble>,
}

/// Puts back what controllers were told before, wherever it is written down, and takes the record away.
pub async fn undo(cluster: &Cluster, wait: u64, place: &mut Place<'_>) -> Result<Undone, Trouble> {
    let mut lines = Vec::new();
    let mut told = Vec::new();
    for (kind, object, back) in backs(cluster).await? {
        let name = kind.named(meta(&object, "namespace"), meta(&object, "name"));
        let word = back.word();
        let patch = match back {
            Back::Forget => {
                let api = cluster.must(&kind, Some(meta(&object, "namespace")))?;
                let gone = api.delete(RECORD, &cluster::exactly(&object, false)).await;
                let gone = gone.map(|_| Became::Written).map_err(|error| said(&error));
                lines.push(line(name, word, gone));
                continue;
            }
            // What was there before is known until its new pods run: whoever is told that they do not asks again.
            Back::Switch(patch) if kind == cluster::DEPLOYMENT => patch.map(switch::remembering_still),
            Back::Switch(patch) => patch,
        };
        let result = match &patch {
            Ok(patch) => send(cluster, &kind, &object, patch)
                .await
                .map(|()| Became::Written),
            Err(why) => Err(why.clone()),
        };
        lines.push(line(name, word, result));
        told.extend(patch.ok().map(|patch| Told {
            kind,
            object,
            switch: Switch::Patch(patch),
        }));
    }
    if lines.iter().all(|line| line.result == Became::Written) {
        let advice = "mend why they do not start: what they were told before finish is written already, and remembered until they run; then ask again";
        match rolled_out(cluster, &told, wait, advice, place).await {
            Ok(()) => {}
            Err(late @ Trouble::TimedOut(_)) => {
                return Ok(Undone {
                    lines,
                    late: Some(late),
                });
            }
            Err(trouble) => return Err(trouble),
        }
        let forget = json!({"metadata": {"annotations": {marks::BEFORE_FINISH: null}}});
        for one in told.iter().filter(|one| one.kind == cluster::DEPLOYMENT) {
            if let Err(why) = send(cluster, &one.kind, &one.object, &forget).await {
                let (namespace, name) = (meta(&one.object, "namespace"), meta(&one.object, "name"));
                let why = format!(
                    "its annotation {} could not be taken off: {why}",
                    marks::BEFORE_FINISH
                );
                lines.push(line(one.kind.named(namespace, name), "switch back", Err(why)));
            }
        }
    }
    Ok(Undone { lines, late: None })
}

fn tell(
    args: &FinishArgs,
    lines: &[Line],
    findings: &[Finding],
    place: &mut Place<'_>,
) -> Result<(), Trouble> {
    if place.json {
        let said = json!({
            "dryRun": args.dry_run, "undo": args.undo, "results": lines, "findings": findings,
        });
        writeln!(place.out, "{said:#}")?;
        return Ok(());
    }
    finding::write(place.err, findings)?;
    for line in lines {
        let word = match line.result {
            Became::Written if args.dry_run => "would be written",
            Became::Written => "written",
            Became::Same => "as it should be",
            Became::LeftOut | Became::Failed | Became::NotReached => "failed",
        };
        let more = if line.message.is_empty() {
            String::new()
        } else {
            format!(": {}", line.message)
        };
        writeln!(
            place.out,
            "{:<11} {}: {word}{}",
            line.action,
            plain(&line.object),
            plain(&more)
        )?;
    }
    if lines.is_empty() {
        writeln!(place.out, "nothing was written")?;
    }
    Ok(())
}
