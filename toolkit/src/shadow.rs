//! Ingresses of one host and path: nginx serves the oldest, with its guards. One that goes and comes back is the youngest.

use crate::answering::canary;
use crate::apply::select::shown;
use crate::cluster::{self, Cluster, annotation, meta};
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::restore::order;
use crate::restore::plan::{Doing, Step};
use crate::see::{items, text};
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The Ingresses of a cluster.
pub async fn read(cluster: &Cluster) -> Result<BTreeMap<Key, Value>, Trouble> {
    let all = cluster.all(&cluster::INGRESS, None).await?.into_iter();
    let key = |object: &Value| {
        (
            meta(object, "namespace").to_owned(),
            meta(object, "name").to_owned(),
        )
    };
    Ok(all.map(|object| (key(&object), object)).collect())
}

/// Class, host, path, and whether that is exact.
pub type Location = (Option<String>, String, String, bool);

/// Class and host.
pub type Server = (Option<String>, String);

fn class(ingress: &Value) -> Option<String> {
    let said = text(ingress, "/spec/ingressClassName");
    said.or_else(|| annotation(ingress, "kubernetes.io/ingress.class"))
        .map(ToOwned::to_owned)
}

fn host(rule: &Value) -> String {
    text(rule, "/host").unwrap_or_default().to_ascii_lowercase()
}

/// The paths that an Ingress has; a canary has none of its own.
pub fn locations(ingress: &Value) -> BTreeSet<Location> {
    let mut all = BTreeSet::new();
    if canary(ingress) {
        return all;
    }
    let class = class(ingress);
    for rule in items(ingress, "/spec/rules") {
        let host = host(rule);
        for path in items(rule, "/http/paths") {
            let exact = text(path, "/pathType") == Some("Exact");
            let path = text(path, "/path").unwrap_or("/").to_owned();
            all.insert((class.clone(), host.clone(), path, exact));
        }
    }
    all
}

/// The Secret, as `namespace/name`, whose certificate an Ingress shows for each of its hosts.
pub fn certificates(ingress: &Value) -> BTreeMap<Server, String> {
    let mut all = BTreeMap::new();
    if canary(ingress) {
        return all;
    }
    let class = class(ingress);
    for rule in items(ingress, "/spec/rules") {
        let host = host(rule);
        let names = |tls: &&Value| {
            let mut hosts = items(tls, "/hosts").filter_map(Value::as_str);
            hosts.any(|name| name.eq_ignore_ascii_case(&host))
        };
        let nameless = |tls: &&Value| items(tls, "/hosts").next().is_none();
        let tls = || items(ingress, "/spec/tls").filter(|tls| text(tls, "/secretName").is_some());
        if let Some(secret) = tls().find(names).or_else(|| tls().find(nameless)) {
            let secret = text(secret, "/secretName").unwrap_or_default();
            let secret = format!("{}/{secret}", meta(ingress, "namespace"));
            all.insert((class.clone(), host), secret);
        }
    }
    all
}

/// What became of one of two Ingresses between which nginx decides by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// The other's path is served now.
    Path,
    /// The other's certificate is shown now.
    Certificate,
    /// The other is served, and nobody knows whether it was.
    Unknown,
    /// It is served now, and the other was.
    Ahead,
}

/// The annotations of an Ingress that keep somebody out, with what they say.
fn guards(ingress: &Value) -> BTreeSet<(&str, &str)> {
    let names: BTreeSet<&str> = marks::protections_by(ingress, &|_| true).into_iter().collect();
    let notes = ingress
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    let all = notes.into_iter().flatten().filter_map(|(name, value)| {
        let (_, name) = name.split_once('/')?;
        names
            .contains(name)
            .then(|| (name, value.as_str().unwrap_or_default()))
    });
    all.collect()
}

impl Turn {
    /// Whether a guard of what was served is lost by it.
    fn loses(self, back: &Value, other: &Value) -> bool {
        match self {
            Self::Path | Self::Unknown => !guards(back).is_subset(&guards(other)),
            Self::Ahead => !guards(other).is_subset(&guards(back)),
            Self::Certificate => false,
        }
    }

    fn said(self, others: &str) -> String {
        match self {
            Self::Path => format!(
                "it came back younger than {others}, of the same host and path: nginx serves that, with that one's guards"
            ),
            Self::Certificate => format!(
                "it came back younger than {others}, of the same host with another certificate: nginx shows that one's"
            ),
            Self::Unknown => format!(
                "it came back younger than {others}, of the same host and path or with another certificate: nginx serves that, with that one's guards; whether it did before the backup does not say"
            ),
            Self::Ahead => format!(
                "nginx serves it before {others}, of the same host and path or with another certificate, which was served before it once: that was created anew since"
            ),
        }
    }
}

/// What nginx decides by the age of two Ingresses.
fn contest(one: &Value, other: &Value) -> Option<Turn> {
    if !locations(one).is_disjoint(&locations(other)) {
        return Some(Turn::Path);
    }
    let others = certificates(other);
    let mut own = certificates(one).into_iter();
    own.any(|(server, secret)| others.get(&server).is_some_and(|other| *other != secret))
        .then_some(Turn::Certificate)
}

/// Ingresses by what they serve.
#[derive(Debug)]
pub struct Beside<'a> {
    all: BTreeMap<Location, Vec<(&'a Key, &'a Value)>>,
}

impl<'a> Beside<'a> {
    /// Of some Ingresses.
    pub fn new(ingresses: &'a BTreeMap<Key, Value>) -> Self {
        let mut all: BTreeMap<Location, Vec<(&Key, &Value)>> = BTreeMap::new();
        for (key, ingress) in ingresses {
            for location in locations(ingress) {
                all.entry(location).or_default().push((key, ingress));
            }
        }
        Self { all }
    }

    /// Others of a class, host and path of an Ingress.
    fn others(&self, key: &Key, ingress: &Value) -> BTreeMap<&'a Key, &'a Value> {
        let found = locations(ingress);
        let found = found
            .iter()
            .filter_map(|location| self.all.get(location))
            .flatten();
        found.filter(|(other, _)| *other != key).copied().collect()
    }

    /// The younger Ingresses that nginx would serve without one.
    pub fn behind(&self, key: &Key, ingress: &Value) -> Vec<String> {
        let since = meta(ingress, "creationTimestamp");
        self.others(key, ingress)
            .into_iter()
            .filter(|(_, there)| meta(there, "creationTimestamp") >= since)
            .map(|(other, _)| named(other))
            .collect()
    }
}

fn named(key: &Key) -> String {
    format!("{}/{}", key.0, key.1)
}

/// Whether the first of two is served before the second: the older, and of two of an age the one that is later by name.
fn before(one: (&str, &Key), other: (&str, &Key)) -> bool {
    (one.0, other.1) < (other.0, one.1)
}

/// Ingresses of a host, as it is and by their class.
fn by_server(all: &BTreeMap<Key, Value>) -> BTreeMap<Server, BTreeSet<&Key>> {
    let mut found: BTreeMap<Server, BTreeSet<&Key>> = BTreeMap::new();
    for (key, ingress) in all.iter().filter(|(_, ingress)| !canary(ingress)) {
        for rule in items(ingress, "/spec/rules") {
            found.entry((class(ingress), host(rule))).or_default().insert(key);
        }
    }
    found
}

/// That Ingresses which came back are younger than others of their host now, and were not before, or the other way round:
/// nginx serves others than it did. `ages` tells since when they were there; of one that is not in it and is there, it is that
/// long.
pub async fn younger(
    cluster: &Cluster,
    steps: &[Step],
    written: &[String],
    ages: &BTreeMap<Key, String>,
) -> Result<Vec<Finding>, Trouble> {
    let back: BTreeMap<Key, &Step> = steps
        .iter()
        .filter(|step| step.kind == cluster::INGRESS && matches!(step.doing, Doing::Create))
        .filter(|step| written.contains(&step.object()))
        .map(|step| ((step.namespace.clone(), step.name.clone()), step))
        .collect();
    if back.is_empty() {
        return Ok(Vec::new());
    }
    let told = changed(&back, &read(cluster).await?, ages).into_iter();
    Ok(told.map(|(finding, _)| finding).collect())
}

/// What [`younger`] will say once Ingresses are back, before anything is written: as of now they are the youngest. Where a guard
/// is lost by it, that is a blocker unless it was `accepted`.
pub fn foreseen(
    steps: &[Step],
    there: &BTreeMap<Key, Value>,
    ages: &BTreeMap<Key, String>,
    now: Timestamp,
    accepted: bool,
) -> Vec<Finding> {
    let mut all = there.clone();
    let mut back: BTreeMap<Key, &Step> = BTreeMap::new();
    for (second, round) in (now.as_second()..).zip(order::rounds(steps)) {
        for step in round {
            let key = (step.namespace.clone(), step.name.clone());
            let mut ingress = step.kept.clone();
            let since = Timestamp::from_second(second).unwrap_or(now).to_string();
            if let Some(meta) = ingress.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                meta.insert("creationTimestamp".to_owned(), since.into());
            }
            all.insert(key.clone(), ingress);
            back.insert(key, step);
        }
    }
    let told = changed(&back, &all, ages).into_iter();
    told.map(|(finding, guard)| match (guard, accepted) {
        (false, _) => finding,
        (true, true) => Finding {
            remedy: format!("accepted: {}", finding.remedy),
            ..finding
        },
        (true, false) => Finding {
            severity: Severity::Blocker,
            message: format!("{}; a guard is lost by that, so nothing is undone", finding.message),
            remedy: format!(
                "give the other the same guard, or take it away until this one is back (it is the older again then); or take it as it is with --accept {YOUNGER}"
            ),
            ..finding
        },
    })
    .collect()
}

/// The code of an Ingress that is served after or before others since it came back.
pub const YOUNGER: &str = "RESTORE-YOUNGER";

fn changed(
    back: &BTreeMap<Key, &Step>,
    all: &BTreeMap<Key, Value>,
    ages: &BTreeMap<Key, String>,
) -> Vec<(Finding, bool)> {
    let servers = by_server(all);
    let now = |key: &Key| all.get(key).map_or("", |there| meta(there, "creationTimestamp"));
    let then = |key: &Key| match (back.get(key), ages.get(key)) {
        (Some(step), _) => step.since.as_deref(),
        (None, Some(age)) => Some(age.as_str()),
        (None, None) => Some(now(key)),
    };
    let mut told: BTreeMap<(&Key, Turn), (Vec<String>, bool)> = BTreeMap::new();
    let mut tell = |key, how: Turn, other: &Key| {
        let (others, guard) = told.entry((key, how)).or_default();
        others.push(named(other));
        let both = all.get(key).zip(all.get(other));
        *guard |= both.is_some_and(|(back, other)| how.loses(back, other));
    };
    for (key, step) in back {
        let hosts = items(&step.kept, "/spec/rules").map(|rule| (class(&step.kept), host(rule)));
        let others: BTreeSet<&Key> = hosts
            .filter_map(|host| servers.get(&host))
            .flatten()
            .copied()
            .collect();
        for other in others.into_iter().filter(|other| *other != key) {
            let Some(contest) = all.get(other).and_then(|there| contest(&step.kept, there)) else {
                continue;
            };
            let (is, both) = (
                before((now(key), key), (now(other), other)),
                back.contains_key(other),
            );
            let was = match (then(key), then(other)) {
                (Some(one), Some(two)) => Some(before((one, key), (two, other))),
                _ => None,
            };
            // Of two that came back each is looked at; it is told of the one that is behind now.
            match (was, is) {
                (Some(was), is) if was == is => {}
                (None | Some(_), false) => {
                    let how = if was.is_none() { Turn::Unknown } else { contest };
                    tell(key, how, other);
                }
                (Some(_), true) if !both => {
                    tell(key, Turn::Ahead, other);
                }
                (None | Some(_), true) => {}
            }
        }
    }
    let finding = |((key, how), (others, guard)): ((&Key, Turn), (Vec<String>, bool))| {
        let finding = Finding {
        code: YOUNGER,
        severity: Severity::Warning,
        object: cluster::INGRESS.named(&key.0, &key.1),
        message: how.said(&shown(&others)),
        remedy: "look at the guards and certificates of both; to have the right one served, delete the other and write it again".to_owned(),
        };
        (finding, guard)
    };
    told.into_iter().map(finding).collect()
}
