//! What has to be done about each object of a backup.

use super::args::RestoreArgs;
use super::diff::{self, Difference};
use super::shares::{self, Shares};
use crate::backup::KINDS;
use crate::backup::folder::{Folder, Manifest};
use crate::backup::sanitise;
use crate::cluster::{self, Cluster, Kind, meta};
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// The code of what is being deleted.
const GOING: &str = "RESTORE-GOING";

/// What has to be done.
#[derive(Clone, Debug)]
pub enum Doing {
    /// It is not there.
    Create,
    /// It differs.
    Change {
        /// As it is now.
        live: Box<Value>,
        /// In what.
        differences: Vec<Difference>,
    },
}

/// One object of a backup that is not as it was.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What was kept of it.
    pub kept: Value,
    /// When it was created first, as the backup says; none where it does not.
    pub since: Option<String>,
    /// What has to be done.
    pub doing: Doing,
}

impl Step {
    /// `Kind namespace/name`.
    pub fn object(&self) -> String {
        self.kind.named(&self.namespace, &self.name)
    }

    /// Who, other than this program, changed it since.
    pub fn others(&self) -> Vec<&diff::Author> {
        match &self.doing {
            Doing::Create => Vec::new(),
            Doing::Change { differences, .. } => {
                let mut all: Vec<_> = differences.iter().flat_map(|d| &d.changed_by).collect();
                all.sort_by(|a, b| (&a.manager, &a.time).cmp(&(&b.manager, &b.time)));
                all.dedup();
                all
            }
        }
    }

    /// Its place in the order of writing.
    fn order(&self) -> (usize, bool, bool, usize) {
        let kind = KINDS.iter().position(|kind| *kind == self.kind);
        // Owners first: what an object is owned by has to be there when it is created.
        let owned = self.kept.pointer("/metadata/ownerReferences").is_some();
        // An older Gateway closes hosts: Ingresses that serve them have to be back before.
        let closes = self.kind == cluster::GATEWAY;
        (
            usize::from(kind.is_some()),
            closes,
            owned,
            kind.unwrap_or_default(),
        )
    }
}

/// What has to be done, and what is as it was.
#[derive(Debug, Default)]
pub struct Plan {
    /// In the order of writing.
    pub steps: Vec<Step>,
    /// When Ingresses were created first, as the backup says.
    pub ages: BTreeMap<Key, String>,
    /// How many objects are as they were.
    pub same: usize,
    /// What cannot be done, and what should be known.
    pub findings: Vec<Finding>,
}

/// Holds a backup against a cluster.
pub async fn make(
    args: &RestoreArgs,
    namespace: Option<&str>,
    folder: &Folder,
    manifest: &Manifest,
    cluster: &Cluster,
) -> Result<Plan, Trouble> {
    let kinds = || KINDS.iter().chain([&cluster::NAMESPACE]);
    let typo = args.kind.iter().find(|said| !kinds().any(|kind| is(kind, said)));
    if let Some(typo) = typo {
        let all: Vec<&str> = kinds().map(|kind| kind.kind).collect();
        return Err(Trouble::Usage(format!(
            "--kind {typo:?}: a backup has {}",
            all.join(", ")
        )));
    }
    let names: Vec<&String> = match namespace {
        Some(name) => manifest.namespaces.keys().filter(|key| *key == name).collect(),
        None => manifest.namespaces.keys().collect(),
    };
    if let (Some(name), true) = (namespace, names.is_empty()) {
        return Err(Trouble::Usage(format!("the backup has no namespace {name:?}")));
    }
    let mut plan = Plan::default();
    // Nothing is compared, let alone written, before everything was found whole.
    let mut read = Vec::new();
    for name in names {
        read.push((
            name,
            folder.read(manifest, name)?,
            folder.taken_at(manifest, name)?,
        ));
    }
    for (name, kept, taken_at) in read {
        one(args, name, kept, taken_at, cluster, &mut plan).await?;
    }
    if !args.name.is_empty() && plan.same == 0 && plan.findings.is_empty() {
        let found = |step: &Step| args.name.contains(&step.name);
        if !plan.steps.iter().any(found) {
            return Err(Trouble::Usage(format!(
                "--name: the backup has nothing of these kinds that is called {}",
                args.name.join(" or ")
            )));
        }
    }
    if plan.findings.iter().any(takes_a_way_in) {
        let gateways = plan.steps.extract_if(.., |step| step.kind == cluster::GATEWAY);
        let gateways: Vec<Finding> = gateways.map(|step| super::halted(&step)).collect();
        plan.findings.extend(gateways);
    }
    plan.steps.sort_by_key(Step::order);
    Ok(plan)
}

/// What is there and goes is not as in the backup, however alike it looks: soon it is gone.
fn going(object: String, what: &str) -> Finding {
    Finding {
        code: GOING,
        severity: Severity::Blocker,
        object,
        message: format!("it is being deleted, and {what}"),
        remedy: "wait until it is gone, or see which of its finalizers keeps it, and ask again".to_owned(),
    }
}

/// Whether an Ingress does not come back, so that no Gateway may be written: a host that it closes would have no way in.
fn takes_a_way_in(finding: &Finding) -> bool {
    let of = |kind: &Kind| finding.object.starts_with(&format!("{} ", kind.kind));
    finding.code == GOING && (of(&cluster::INGRESS) || of(&cluster::NAMESPACE))
}

fn goes(object: &Value) -> bool {
    !meta(object, "deletionTimestamp").is_empty()
}

/// Compares a namespace.
async fn one(
    args: &RestoreArgs,
    namespace: &str,
    kept: Vec<Value>,
    taken_at: Timestamp,
    cluster: &Cluster,
    plan: &mut Plan,
) -> Result<(), Trouble> {
    let mut live: BTreeMap<(Kind, String), Value> = BTreeMap::new();
    for kind in KINDS.iter().filter(|kind| wanted(args, kind)) {
        for object in cluster.all(kind, Some(namespace)).await? {
            live.insert((*kind, meta(&object, "name").to_owned()), object);
        }
    }
    let home = cluster
        .get(&cluster::NAMESPACE, "", namespace)
        .await
        .map_err(|error| Trouble::kube(format!("read the namespace {namespace}"), &error))?;
    if home.as_ref().is_some_and(goes) {
        let object = cluster::NAMESPACE.named("", namespace);
        plan.findings.push(going(
            object,
            "everything in it with it: nothing of it was compared or put back",
        ));
        return Ok(());
    }
    live.extend(home.map(|home| ((cluster::NAMESPACE, namespace.to_owned()), home)));
    let mut lacking: BTreeMap<Kind, usize> = BTreeMap::new();
    for mut object in kept {
        let since = sanitise::take_age(&mut object);
        let said = object.get("kind").and_then(Value::as_str).unwrap_or_default();
        let all = KINDS.iter().chain([&cluster::NAMESPACE]);
        let Some(kind) = all.into_iter().find(|kind| kind.kind == said).copied() else {
            continue;
        };
        let name = meta(&object, "name").to_owned();
        if let (true, Some(since)) = (kind == cluster::INGRESS, &since) {
            let key = (namespace.to_owned(), name.clone());
            plan.ages.insert(key, since.clone());
        }
        let is_home = kind == cluster::NAMESPACE;
        let named = args.name.is_empty() || args.name.contains(&name);
        if !(is_home || wanted(args, &kind) && named) {
            continue;
        }
        if !cluster.serves(&kind) {
            *lacking.entry(kind).or_default() += 1;
            continue;
        }
        let there = live.get(&(kind, name.clone()));
        if there.is_some_and(goes) {
            plan.findings
                .push(going(kind.named(namespace, &name), "was not put back"));
            continue;
        }
        let object = if kind == cluster::INGRESS {
            marks::of_now(object, there)
        } else {
            object
        };
        let Some(object) = with_shares_of_now((&kind, kind.named(namespace, &name)), object, there, plan)
        else {
            continue;
        };
        let doing = match there {
            None => Doing::Create,
            // A namespace that is there is left as it is: much else writes to it.
            Some(_) if is_home => continue,
            Some(live) => {
                let differences = diff::compare(&kind, &object, live, taken_at);
                if differences.is_empty() {
                    plan.same += 1;
                    continue;
                }
                Doing::Change {
                    live: Box::new(live.clone()),
                    differences,
                }
            }
        };
        plan.steps.push(Step {
            kind,
            namespace: if is_home {
                String::new()
            } else {
                namespace.to_owned()
            },
            name,
            kept: object,
            since,
            doing,
        });
    }
    plan.findings
        .extend(lacking.into_iter().map(|(kind, count)| Finding {
            code: "RESTORE-KIND-ABSENT",
            severity: Severity::Blocker,
            object: format!("namespace {namespace}"),
            message: format!(
                "{count} objects of {} cannot be written: the cluster does not serve them",
                kind.resource()
            ),
            remedy: "install what defines them and ask again".to_owned(),
        }));
    Ok(())
}

/// An object as it was kept, but for shares of traffic; `None` where it is left as it is. Says so.
fn with_shares_of_now(
    (kind, named): (&Kind, String),
    object: Value,
    there: Option<&Value>,
    plan: &mut Plan,
) -> Option<Value> {
    match shares::of_now(kind, object, there) {
        Shares::Same(object) => Some(object),
        Shares::Held(object, why) => {
            plan.findings.push(shares::told(named, why));
            Some(object)
        }
        Shares::Left(why) => {
            plan.findings.push(shares::told(named, why));
            None
        }
    }
}

/// Whether a kind was asked for.
fn wanted(args: &RestoreArgs, kind: &Kind) -> bool {
    args.kind.is_empty() || args.kind.iter().any(|said| is(kind, said))
}

/// Whether a kind is called like that.
fn is(kind: &Kind, said: &str) -> bool {
    [kind.kind, kind.plural]
        .iter()
        .any(|name| name.eq_ignore_ascii_case(said))
}
