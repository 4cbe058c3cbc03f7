//! The headers of answers that Ingresses name a `ConfigMap` for, noted on their routes: who changes that changes what nginx
//! adds to answers, and nothing of an Ingress.

use super::inputs;
use super::needs::annotate;
use super::read::from;
use crate::cluster::{self, Cluster, annotation, meta};
use crate::digest;
use crate::marks;
use crate::see::entries;
use crate::trouble::Trouble;
use futures::{StreamExt as _, TryStreamExt as _};
use gradual_rollout_migration::input::{Inventory, Key};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The annotation, behind a controller's prefix.
const NAME: &str = "custom-headers";
/// What stands for the digest of a `ConfigMap` that is not there.
const ABSENT: &str = "absent";
/// How many are read at once.
const AT_ONCE: usize = 16;

/// The `ConfigMaps` that Ingresses name, by the prefix of whichever controller.
fn named<'a>(ingresses: impl Iterator<Item = &'a Value>) -> BTreeSet<Key> {
    let all = ingresses.flat_map(|ingress| entries(ingress, "/metadata/annotations"));
    let maps = all.filter_map(|(name, value)| {
        let (_, name) = name.split_once('/')?;
        let (namespace, map) = value.as_str()?.split_once('/')?;
        (name == NAME).then(|| (namespace.to_owned(), map.to_owned()))
    });
    maps.collect()
}

/// The digest of what a `ConfigMap` says.
fn digest_of(data: Option<&Value>) -> String {
    data.map_or_else(|| ABSENT.to_owned(), digest::short)
}

/// Notes on a route what its Ingresses name.
pub fn note(route: &mut Value, there: &BTreeMap<Key, Value>, inventory: &Inventory) {
    let its = from(route);
    let ingresses = its.iter().filter_map(|key| there.get(key));
    let noted: Vec<String> = named(ingresses)
        .into_iter()
        .map(|key| {
            let data = inventory.config_maps.get(&key).map(|map| json!(map.data));
            format!("{}/{}@{}", key.0, key.1, digest_of(data.as_ref()))
        })
        .collect();
    if !noted.is_empty() {
        annotate(route, marks::HEADERS, &noted.join(","));
    }
}

/// What is noted on a route: the `ConfigMaps`, and their digests.
fn noted(route: &Value) -> impl Iterator<Item = (&str, &str)> {
    let all = annotation(route, marks::HEADERS).unwrap_or_default().split(',');
    all.filter_map(|noted| noted.split_once('@'))
}

/// Whether a route was made with all that another is; one of before notes nothing.
pub fn made_with(wanted: &Value, route: &Value) -> bool {
    let before: BTreeSet<(&str, &str)> = noted(route).collect();
    before.is_empty() || noted(wanted).all(|one| before.contains(&one))
}

/// The digests of `ConfigMaps` as they are now, or why one may not be looked at.
pub type Headers = BTreeMap<String, Result<String, String>>;

/// Looks at those that routes were made with.
pub async fn read(cluster: &Cluster, routes: impl Iterator<Item = &Value>) -> Result<Headers, Trouble> {
    let maps: BTreeSet<&str> = routes.flat_map(noted).map(|(map, _)| map).collect();
    let pairs = maps
        .into_iter()
        .filter_map(|map| Some((map, map.split_once('/')?)));
    let looks = pairs.map(|(map, (namespace, name))| async move {
        let found = inputs::data(cluster, namespace, name).await?;
        let now = found.map(|data| digest_of(data.as_ref()));
        Ok::<_, Trouble>((map.to_owned(), now))
    });
    futures::stream::iter(looks)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// What of it is not as a route was made with. What only an Ingress named that is gone nginx adds to nothing.
pub fn changed<'r>(
    route: &Value,
    now: &Headers,
    there: &dyn Fn(&Key) -> Option<&'r Value>,
) -> Vec<(&'static str, String, String)> {
    let its = from(route);
    let asked = named(its.iter().filter_map(there));
    let object = cluster::VIRTUAL_SERVICE.named(meta(route, "namespace"), meta(route, "name"));
    let is_asked = |map: &str| {
        map.split_once('/')
            .is_some_and(|(namespace, name)| asked.contains(&(namespace.to_owned(), name.to_owned())))
    };
    let all = noted(route).filter(|(map, _)| is_asked(map));
    let said = all.filter_map(|(map, digest)| match now.get(map)? {
        Ok(now) if now == digest => None,
        Ok(now) if now == ABSENT => Some(format!(
            "ConfigMap {map} is gone, whose headers it adds to answers: nginx adds none of them"
        )),
        Ok(_) => Some(format!(
            "ConfigMap {map} was changed since it was written: nginx adds other headers to answers than the gateway"
        )),
        Err(why) => Some(format!(
            "whether the headers of ConfigMap {map} are as it was made with nobody knows: {why}"
        )),
    });
    said.map(|said| ("STATE-HEADERS-CHANGED", object.clone(), said))
        .collect()
}
