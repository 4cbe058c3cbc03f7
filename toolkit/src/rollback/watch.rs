//! Whether nginx still serves what is given back to it, as it did when it was looked at.
//!
//! Between that look and the moment in which a host is closed at the gateway a minute may go by. An Ingress that is deleted
//! meanwhile, by a cleanup or by a person, would leave its host without any way in; one whose guards were taken off would
//! be open as soon as the gateway's guard is gone. So they are read again at the last moment.

use crate::answering::typed;
use crate::apply::gateway::Host;
use crate::apply::live::hosts;
use crate::apply::read::{destinations, from, guarded};
use crate::canaries;
use crate::cluster::{self, Cluster, Kind, annotation, meta};
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::restore::plan::Step;
use crate::shadow;
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is read by nginx where no route says otherwise.
const USUAL: &str = "nginx.ingress.kubernetes.io";

/// How an Ingress was.
#[derive(Clone, Debug)]
struct Was {
    /// None where it came back by this run and was not read since.
    uid: Option<String>,
    /// What nginx reads of it, by the prefix of its annotations.
    digests: BTreeMap<String, String>,
}

/// A route that goes, and the Ingresses that have to serve its hosts then.
#[derive(Clone, Debug)]
struct Giving {
    route: Value,
    needs: BTreeSet<Key>,
}

/// Ingresses that are given their hosts back.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    was: BTreeMap<Key, Was>,
    giving: Vec<Giving>,
}

/// Why an Ingress is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It is not there.
    Gone,
    /// Its deletion is under way.
    Going,
    /// Another one of its name is there.
    Anew,
    /// nginx reads something else of it.
    Changed,
}

impl Lost {
    /// As a clause of a sentence.
    pub const fn said(self) -> &'static str {
        match self {
            Self::Gone => "it is not there any more",
            Self::Going => "it is being deleted",
            Self::Anew => "it was created anew",
            Self::Changed => "it was changed in what nginx reads, guards among it",
        }
    }
}

impl Watch {
    /// Of routes that go, Ingresses that are there, and those that come back.
    pub fn new(removed: &[Value], ingresses: &BTreeMap<Key, Value>, steps: &[Step]) -> Self {
        let back: BTreeMap<Key, &Step> = steps
            .iter()
            .map(|step| ((step.namespace.clone(), step.name.clone()), step))
            .collect();
        let mut watch = Self::default();
        let prefixes: BTreeSet<String> = removed.iter().flat_map(prefixes).collect();
        for route in removed {
            let serving = canaries::serving(route).into_iter();
            let needs: BTreeSet<Key> = serving
                .filter(|key| ingresses.contains_key(key) || back.contains_key(key))
                .collect();
            for key in &needs {
                let there = ingresses.get(key);
                let Some(ingress) = there.or_else(|| back.get(key).map(|step| &step.kept)) else {
                    continue;
                };
                let digest = |prefix: &String| (prefix.clone(), marks::source(ingress, prefix));
                let was = Was {
                    uid: there.map(|there| meta(there, "uid").to_owned()),
                    digests: prefixes.iter().map(digest).collect(),
                };
                watch.was.insert(key.clone(), was);
            }
            watch.giving.push(Giving {
                route: route.clone(),
                needs,
            });
        }
        watch
    }

    /// Why one is not what it was.
    fn judge(&self, key: &Key, now: Option<&Value>) -> Option<Lost> {
        let was = self.was.get(key)?;
        let Some(now) = now else {
            return Some(Lost::Gone);
        };
        let going = now.pointer("/metadata/deletionTimestamp");
        if going.is_some_and(|at| !at.is_null()) {
            return Some(Lost::Going);
        }
        if was.uid.as_ref().is_some_and(|uid| *uid != meta(now, "uid")) {
            return Some(Lost::Anew);
        }
        let changed = |(prefix, digest): (&String, &String)| marks::source(now, prefix) != *digest;
        was.digests.iter().any(changed).then_some(Lost::Changed)
    }

    /// Reads all of them again; those that are not what they were.
    pub async fn look(&self, cluster: &Cluster) -> Result<BTreeMap<Key, Lost>, Trouble> {
        if self.was.is_empty() {
            return Ok(BTreeMap::new());
        }
        let now = shadow::read(cluster).await?;
        let judged = self.was.keys();
        Ok(judged
            .filter_map(|key| Some((key.clone(), self.judge(key, now.get(key))?)))
            .collect())
    }

    /// Notes which ones came back, so that no others are taken for them, and returns since when each is there.
    pub async fn came_back(&mut self, cluster: &Cluster) -> Result<BTreeMap<Key, String>, Trouble> {
        let now = shadow::read(cluster).await?;
        let mut since = BTreeMap::new();
        for (key, was) in &mut self.was {
            if let Some(there) = now.get(key) {
                was.uid.get_or_insert_with(|| meta(there, "uid").to_owned());
                since.insert(key.clone(), meta(there, "creationTimestamp").to_owned());
            }
        }
        Ok(since)
    }

    /// Reads those again that one route gives its hosts to; the first that is not what it was.
    pub async fn look_at(&self, cluster: &Cluster, route: &Value) -> Result<Option<(Key, Lost)>, String> {
        let same = |giving: &&Giving| meta(&giving.route, "uid") == meta(route, "uid");
        for key in self.giving.iter().filter(same).flat_map(|giving| &giving.needs) {
            let now = cluster.get(&cluster::INGRESS, &key.0, &key.1).await;
            let now = now.map_err(|error| crate::apply::run::said(&error))?;
            if let Some(lost) = self.judge(key, now.as_ref()) {
                return Ok(Some((key.clone(), lost)));
            }
        }
        Ok(None)
    }

    /// The routes that have to stay for the sake of some Ingresses.
    fn held<'a>(&'a self, lost: &'a BTreeMap<Key, Lost>) -> impl Iterator<Item = &'a Value> {
        let holds = |giving: &&Giving| giving.needs.iter().any(|key| lost.contains_key(key));
        self.giving.iter().filter(holds).map(|giving| &giving.route)
    }

    /// The hosts that have to stay open for the sake of some Ingresses.
    pub fn hosts(&self, lost: &BTreeMap<Key, Lost>) -> BTreeSet<Host> {
        let named = |route: &Value| {
            let namespace = meta(route, "namespace").to_owned();
            let named = hosts(route).into_iter();
            named
                .map(move |host| (namespace.clone(), host))
                .collect::<Vec<_>>()
        };
        self.held(lost).flat_map(named).collect()
    }

    /// Whether something that was to be deleted has to stay for the sake of some Ingresses: their routes, and what these
    /// need. `shown` are the certificates of hosts that stay open.
    pub fn keeps(
        &self,
        (kind, object): &(Kind, Value),
        lost: &BTreeMap<Key, Lost>,
        shown: &BTreeSet<String>,
    ) -> bool {
        let named: BTreeSet<String> = self.hosts(lost).into_iter().map(|(_, host)| host).collect();
        let mut held = self.held(lost);
        if *kind == cluster::VIRTUAL_SERVICE {
            held.any(|route| meta(route, "uid") == meta(object, "uid"))
        } else if *kind == cluster::AUTHORIZATION_POLICY {
            let made = from(object);
            !guarded(object).is_disjoint(&named) || held.any(|route| !from(route).is_disjoint(&made))
        } else if *kind == cluster::DESTINATION_RULE {
            let service = object.pointer("/spec/host").and_then(Value::as_str);
            held.any(|route| service.is_some_and(|service| destinations(route).contains(service)))
        } else if *kind == cluster::SECRET {
            shown.contains(meta(object, "name"))
        } else {
            // What is of all of them together goes with the last.
            held.next().is_some()
        }
    }

    /// What there is to say of Ingresses that are not what they were; `opened` are hosts that were closed by then, and are
    /// open again.
    pub fn findings(
        &self,
        lost: &BTreeMap<Key, Lost>,
        opened: &BTreeSet<Host>,
        dirs: &[String],
    ) -> Vec<Finding> {
        let finding = |(key, lost): (&Key, &Lost)| {
            let one = BTreeMap::from([(key.clone(), *lost)]);
            let all = self.hosts(&one);
            let names: BTreeSet<&str> = all.iter().map(|(_, host)| host.as_str()).collect();
            let names: Vec<&str> = names.into_iter().collect();
            let again = if all.is_disjoint(opened) {
                "stays open at the gateway, with its route and its guards"
            } else {
                "was opened again at the gateway"
            };
            Finding {
                code: "ROLLBACK-INGRESS-LOST",
                severity: Severity::Blocker,
                object: cluster::INGRESS.named(&key.0, &key.1),
                message: format!(
                    "{} since this rollback looked at it, so {} {again}",
                    lost.said(),
                    names.join(", ")
                ),
                remedy: remedy(key, *lost, dirs),
            }
        };
        lost.iter().map(finding).collect()
    }
}

fn remedy(key: &Key, lost: Lost, dirs: &[String]) -> String {
    let (namespace, name) = key;
    match lost {
        Lost::Gone | Lost::Going => {
            let dir = dirs.first().map_or("FOLDER", String::as_str);
            format!(
                "ask who deletes it; have it back (migrate restore -n {namespace} --dir {dir} --kind Ingress --name {name}) and ask again; or, where nobody wants it any more, ask again with --gone {}",
                typed([key])
            )
        }
        Lost::Anew | Lost::Changed => {
            "look at it, its guards above all, and give it back what it lacks; then ask again, which takes it as it is then"
                .to_owned()
        }
    }
}

/// The prefixes by which the Ingresses of a route were read, and the usual one.
pub fn prefixes(route: &Value) -> BTreeSet<String> {
    let noted = annotation(route, marks::SOURCES).unwrap_or_default();
    let noted = noted.split(',').filter_map(|one| one.rsplit_once('@'));
    noted
        .map(|(_, prefix)| prefix.to_owned())
        .chain([USUAL.to_owned()])
        .collect()
}
