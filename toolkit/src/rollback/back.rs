//! Ingresses that were cleaned up, back from the backup.

use crate::answering::typed;
use crate::backup::folder::{Folder, Manifest};
use crate::cluster::{self, meta};
use crate::marks;
use crate::restore::plan::{Doing, Step};
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::BTreeSet;

/// Those of some Ingresses that the backup has: whoever deleted them, they can come back, so they do.
pub fn kept(backup: Option<&(Folder, Manifest)>, orphans: &BTreeSet<Key>) -> Result<BTreeSet<Key>, Trouble> {
    let mut kept = BTreeSet::new();
    let Some((folder, manifest)) = backup else {
        return Ok(kept);
    };
    let namespaces: BTreeSet<&String> = orphans.iter().map(|(namespace, _)| namespace).collect();
    for namespace in namespaces
        .into_iter()
        .filter(|name| manifest.namespaces.contains_key(*name))
    {
        let all = folder.read(manifest, namespace)?;
        let ingresses = all
            .iter()
            .filter(|kept| kept.get("kind").and_then(Value::as_str) == Some("Ingress"));
        let keys = ingresses.map(|kept| (namespace.clone(), meta(kept, "name").to_owned()));
        kept.extend(keys.filter(|key| orphans.contains(key)));
    }
    Ok(kept)
}

/// What has to be written for Ingresses to be there again. If one of them is not in the backup nothing is undone:
/// closing its host at the gateway would leave it without any way in.
pub fn steps(backup: Option<&(Folder, Manifest)>, missing: &BTreeSet<Key>) -> Result<Vec<Step>, Trouble> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = missing
        .iter()
        .map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect();
    let names = crate::apply::select::shown(&names);
    let Some((folder, manifest)) = backup else {
        return Err(Trouble::Usage(format!(
            "Ingresses are gone and have to come back first ({names}): name the folder of the backup with --dir, or say that nobody wants them any more: --gone {}",
            typed(missing)
        )));
    };
    let mut steps = Vec::new();
    let namespaces: BTreeSet<&String> = missing.iter().map(|(namespace, _)| namespace).collect();
    for namespace in namespaces
        .into_iter()
        .filter(|name| manifest.namespaces.contains_key(*name))
    {
        for kept in folder.read(manifest, namespace)? {
            let is_ingress = kept.get("kind").and_then(Value::as_str) == Some("Ingress");
            let name = meta(&kept, "name").to_owned();
            if is_ingress && missing.contains(&(namespace.clone(), name.clone())) {
                steps.push(Step {
                    kind: cluster::INGRESS,
                    namespace: namespace.clone(),
                    name,
                    // It is migrated no more: a mark of then would say so for as long as nginx is given time.
                    kept: marks::of_now(kept, None),
                    doing: Doing::Create,
                });
            }
        }
    }
    let found: BTreeSet<Key> = steps
        .iter()
        .map(|step| (step.namespace.clone(), step.name.clone()))
        .collect();
    let lacking: Vec<String> = missing
        .difference(&found)
        .map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect();
    if lacking.is_empty() {
        return Ok(steps);
    }
    Err(Trouble::Refused(format!(
        "Ingresses that are gone are not in the backup: {}. Without them their hosts would have no way in; nothing was undone. Create them by hand, name the backup that has them, or say with --gone that nobody wants them any more",
        crate::apply::select::shown(&lacking)
    )))
}
