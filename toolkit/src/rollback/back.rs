//! Ingresses that were cleaned up, back from the backups.
//!
//! A cleanup that is done later wants a backup that is taken later, so one folder seldom has all of them as they were last.
//! Each comes from the folder that has it as its routes say that they were made of it: nginx with an older one would serve it
//! without the guards that it got since.

use crate::answering::typed;
use crate::apply::inputs::{self, Noted};
use crate::apply::live::Live;
use crate::apply::select::shown;
use crate::backup::folder::{Folder, Manifest};
use crate::backup::sanitise;
use crate::cluster::{self, meta};
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::restore::plan::{Doing, Step};
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The code of an Ingress that no backup has as its routes were made of it.
pub const OTHER: &str = "ROLLBACK-INGRESS-OTHER";

/// A backup that was named.
#[derive(Debug)]
pub struct Backup {
    /// Its folder, as typed.
    pub dir: String,
    /// What is in it.
    pub folder: Folder,
    /// Its page.
    pub manifest: Manifest,
}

/// What comes back.
#[derive(Debug, Default)]
pub struct Back {
    /// What is written.
    pub steps: Vec<Step>,
    /// When Ingresses of their namespaces were created first, as the backups say.
    pub ages: BTreeMap<Key, String>,
    /// The folder that each is from.
    pub from: BTreeMap<Key, String>,
    /// Those that no folder has as they were last.
    pub findings: Vec<Finding>,
}

/// An Ingress in one of the folders.
struct Found<'a> {
    dir: &'a str,
    kept: Value,
    since: Option<String>,
    taken_at: Timestamp,
    noted: Noted,
}

impl Found<'_> {
    /// The better it is, the more: as the routes say, then where they say nothing, and the newest of equals.
    fn rank(&self) -> (u8, Timestamp) {
        let fits = match self.noted {
            Noted::As => 2,
            Noted::Nowhere => 1,
            Noted::Otherwise(_) => 0,
        };
        (fits, self.taken_at)
    }
}

/// The Ingresses of a namespace in a backup, with when they were read; none where it does not have it.
fn read(backup: &Backup, namespace: &str) -> Result<Option<(Vec<Value>, Timestamp)>, Trouble> {
    if !backup.manifest.namespaces.contains_key(namespace) {
        return Ok(None);
    }
    let mut all = backup.folder.read(&backup.manifest, namespace)?;
    all.retain(|kept| kept.get("kind").and_then(Value::as_str) == Some("Ingress"));
    let taken_at = backup.folder.taken_at(&backup.manifest, namespace)?;
    Ok(Some((all, taken_at)))
}

fn namespaces(keys: &BTreeSet<Key>) -> BTreeSet<&String> {
    keys.iter().map(|(namespace, _)| namespace).collect()
}

/// Those of some Ingresses that a backup has: whoever deleted them, they can come back, so they do.
pub fn kept(backups: &[Backup], orphans: &BTreeSet<Key>) -> Result<BTreeSet<Key>, Trouble> {
    let mut kept = BTreeSet::new();
    for backup in backups {
        for namespace in namespaces(orphans) {
            let all = read(backup, namespace)?.map(|(all, _)| all).unwrap_or_default();
            let keys = all
                .iter()
                .map(|kept| (namespace.clone(), meta(kept, "name").to_owned()));
            kept.extend(keys.filter(|key| orphans.contains(key)));
        }
    }
    Ok(kept)
}

/// What has to be written for Ingresses to be there again. If one of them is in no backup nothing is undone: closing its
/// host at the gateway would leave it without any way in. One that is in them as it was before, and not as it was when its
/// routes were made, is a blocker unless that was `accepted`.
pub fn steps(
    backups: &[Backup],
    missing: &BTreeSet<Key>,
    live: &Live,
    accepted: bool,
) -> Result<Back, Trouble> {
    if missing.is_empty() {
        return Ok(Back::default());
    }
    if backups.is_empty() {
        return Err(Trouble::Usage(format!(
            "Ingresses are gone and have to come back first ({}): name the folder of the backup with --dir, or say that nobody wants them any more: --gone {}",
            shown(&names(missing.iter())),
            typed(missing)
        )));
    }
    let mut found: BTreeMap<Key, Vec<Found<'_>>> = BTreeMap::new();
    let mut ages: BTreeMap<Key, (Timestamp, String)> = BTreeMap::new();
    for backup in backups {
        for namespace in namespaces(missing) {
            let Some((all, taken_at)) = read(backup, namespace)? else {
                continue;
            };
            for mut kept in all {
                let key = (namespace.clone(), meta(&kept, "name").to_owned());
                let since = sanitise::take_age(&mut kept);
                if let Some(since) = &since {
                    // As the newest has it: what was created anew before is as old as it is there.
                    let told = ages
                        .entry(key.clone())
                        .or_insert_with(|| (taken_at, since.clone()));
                    if told.0 < taken_at {
                        *told = (taken_at, since.clone());
                    }
                }
                if missing.contains(&key) {
                    let noted = inputs::noted_by(live.ours(&cluster::VIRTUAL_SERVICE), &key, &kept);
                    let dir = backup.dir.as_str();
                    let one = Found {
                        dir,
                        kept,
                        since,
                        taken_at,
                        noted,
                    };
                    found.entry(key).or_default().push(one);
                }
            }
        }
    }
    let lacking = missing.iter().filter(|key| !found.contains_key(*key));
    let lacking = names(lacking);
    if !lacking.is_empty() {
        return Err(Trouble::Refused(format!(
            "Ingresses that are gone are not in the backup: {}. Without them their hosts would have no way in; nothing was undone. Create them by hand, name the backups that have them too (--dir may be repeated), or say with --gone that nobody wants them any more",
            shown(&lacking)
        )));
    }
    let mut back = Back {
        ages: ages.into_iter().map(|(key, (_, since))| (key, since)).collect(),
        ..Back::default()
    };
    for (key, all) in found {
        let dirs: Vec<String> = all.iter().map(|one| one.dir.to_owned()).collect();
        let Some(best) = all.into_iter().max_by_key(Found::rank) else {
            continue;
        };
        if let Noted::Otherwise(route) = &best.noted {
            back.findings.push(other(&key, route, &dirs, accepted));
        }
        back.from.insert(key.clone(), best.dir.to_owned());
        back.steps.push(Step {
            kind: cluster::INGRESS,
            namespace: key.0,
            name: key.1,
            // It is migrated no more: a mark of then would say so for as long as nginx is given time.
            kept: marks::of_now(best.kept, None),
            since: best.since,
            doing: Doing::Create,
        });
    }
    Ok(back)
}

fn names<'a>(keys: impl Iterator<Item = &'a Key>) -> Vec<String> {
    keys.map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect()
}

fn other(key: &Key, route: &str, dirs: &[String], accepted: bool) -> Finding {
    let taken = if accepted {
        "it comes back as it is there"
    } else {
        "nothing is undone"
    };
    Finding {
        code: OTHER,
        severity: if accepted {
            Severity::Warning
        } else {
            Severity::Blocker
        },
        object: cluster::INGRESS.named(&key.0, &key.1),
        message: format!(
            "{} has it otherwise than it was when {route} was made of it: nginx would serve it without what was changed since, guards among it; {taken}",
            shown(dirs)
        ),
        remedy: if accepted {
            "accepted: look at it at once, and give it back what it lacks".to_owned()
        } else {
            format!(
                "name the folder too that has it as it was last (--dir may be repeated; cleanup says which it was given), or take it as it is there with --accept {OTHER}"
            )
        },
    }
}
