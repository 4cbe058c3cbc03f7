//! What is handed in: texts of YAML or JSON documents, read to the few kinds that matter.
//!
//! Nothing here stops at the first mistake: a broken document becomes a [`Problem`] with its number and line. The
//! order of texts and documents has no influence on the objects.

mod documents;
mod fields;
mod kinds;
mod release;
mod strangers;
mod unread;

pub use documents::Origin;
pub use kinds::{
    Backend, ConfigMap, Ingress, Metadata, Path, PathType, Port, Rule, Secret, Service, ServicePort,
    TargetPort, Tls,
};
pub use release::{Release, Snippets, switch};
pub use unread::Unread;

use crate::report::Code;
use kinds::IngressClass;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use unread::Seems;

/// A text and the name by which people know it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file's name, or `standard input`.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// Something that could not be taken as an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// What, by code.
    pub code: Code,
    /// Which object, as far as known.
    pub object: String,
    /// What is wrong in particular.
    pub detail: String,
}

/// By namespace and name.
pub type Key = (String, String);

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The Ingresses, by namespace and name.
    pub ingresses: BTreeMap<Key, Ingress>,
    /// The Services.
    pub services: BTreeMap<Key, Service>,
    /// The Secrets; never their values.
    pub secrets: BTreeMap<Key, Secret>,
    /// The `ConfigMaps`.
    pub config_maps: BTreeMap<Key, ConfigMap>,
    /// `ConfigMaps` of which two different ones were read.
    pub clashing_config_maps: BTreeSet<Key>,
    /// The controller that each `IngressClass` names, by the name of the class.
    pub classes: BTreeMap<String, String>,
    /// Arguments of the controller, where its Deployment or `DaemonSet` was among the documents.
    pub controller_flags: Vec<String>,
    /// The same of each workload that runs one, sorted; the same arguments count once.
    pub controllers: Vec<Vec<String>>,
    /// The release of each workload that runs one, by its image; none where that does not tell.
    pub releases: BTreeSet<Option<Release>>,
    /// Ingresses that cannot be converted, but whose hosts and paths are known: nothing else may have their requests.
    pub ghosts: Vec<(Code, Ingress)>,
    /// What could not be taken, sorted.
    pub problems: Vec<Problem>,
    /// Those of it that may hold the controller's settings, sorted.
    pub unread: Vec<Unread>,
}

/// An object that was read once, and what a second one with the same name is held against.
struct Seen<T> {
    object: T,
    origin: Origin,
    /// What else was said under that name.
    others: Vec<T>,
}

/// Reads all texts.
pub fn read(sources: &[Source]) -> Inventory {
    let mut reader = Reader::default();
    for source in sources {
        documents::each(source, |document| match document {
            Ok((origin, value)) => reader.take(&origin, &value),
            Err((origin, detail, seems)) => reader.broken(&origin, detail, &seems),
        });
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    ingresses: BTreeMap<Key, Seen<Ingress>>,
    services: BTreeMap<Key, Seen<Service>>,
    secrets: BTreeMap<Key, Seen<Secret>>,
    config_maps: BTreeMap<Key, Seen<ConfigMap>>,
    classes: BTreeMap<Key, Seen<IngressClass>>,
    controllers: Vec<Vec<String>>,
    releases: BTreeSet<Option<Release>>,
    ghosts: Vec<(Code, Ingress)>,
    problems: Vec<Problem>,
    unread: Vec<Unread>,
}

impl Reader {
    /// A document that is none.
    fn broken(&mut self, origin: &Origin, detail: String, seems: &Seems) {
        let object = format!("{} {}", seems.kind, seems.name).trim().to_owned();
        if unread::decides(&seems.kind) {
            self.unread.push(Unread {
                origin: origin.clone(),
                kind: seems.kind.clone(),
                // What it is called is only a guess.
                key: None,
                seems: object.clone(),
                detail: detail.clone(),
            });
        }
        let object = if seems.kind.is_empty() {
            String::new()
        } else {
            object
        };
        self.problem(origin, Code::BrokenDocument, object, detail);
    }

    /// An object that cannot be taken.
    fn wrong(&mut self, origin: &Origin, kind: &str, value: &Value, object: String, detail: String) {
        let idle = ["Deployment", "DaemonSet"].contains(&kind) && fields::controller(value).is_none();
        if unread::decides(kind) && !idle {
            self.unread.push(Unread {
                origin: origin.clone(),
                kind: kind.to_owned(),
                key: unread::key(value),
                seems: object.trim().to_owned(),
                detail: detail.clone(),
            });
        }
        self.problem(origin, Code::BrokenObject, object, detail);
        if kind == "Ingress" {
            self.ghost(Code::BrokenObject, value);
        }
    }

    fn problem(&mut self, origin: &Origin, code: Code, object: String, detail: String) {
        self.problems.push(Problem {
            origin: origin.clone(),
            code,
            object,
            detail,
        });
    }

    fn take(&mut self, origin: &Origin, value: &Value) {
        let text = |key: &str| {
            value
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (kind, version) = (text("kind"), text("apiVersion"));
        if value.is_null() {
            return;
        }
        if let Value::Object(map) = value
            && let Some(Value::Array(items)) = map.get("items")
            && (kind.ends_with("List") || kind.is_empty())
        {
            // Items of `IngressList` may leave their kind out, those of `List` never do.
            let implied = kind.strip_suffix("List").filter(|k| !k.is_empty());
            for item in items {
                let Some(kind) = implied else {
                    self.take(origin, item);
                    continue;
                };
                let mut item = item.clone();
                if let Some(map) = item.as_object_mut() {
                    map.entry("kind").or_insert_with(|| kind.into());
                    map.entry("apiVersion").or_insert_with(|| version.clone().into());
                }
                self.take(origin, &item);
            }
            return;
        }
        let named = fields::name_of(value);
        let object = format!("{kind} {named}");
        let known = match (kind.as_str(), version.as_str()) {
            ("Ingress", "networking.k8s.io/v1") => {
                let read = fields::ingress(value);
                self.keep(origin, &object, read, |r| &mut r.ingresses, |o| o.meta.key())
            }
            ("Ingress", _) => {
                let detail = format!("apiVersion {version:?}; only networking.k8s.io/v1 is read");
                self.problem(origin, Code::IngressVersion, object, detail);
                self.ghost(Code::IngressVersion, value);
                return;
            }
            ("IngressClass", _) => {
                let read = fields::ingress_class(value);
                self.keep(origin, &object, read, |r| &mut r.classes, |o| o.meta.key())
            }
            ("Service", "v1") => {
                let read = fields::service(value);
                self.keep(origin, &object, read, |r| &mut r.services, |o| o.meta.key())
            }
            ("Secret", "v1") => {
                let read = fields::secret(value);
                self.keep(origin, &object, read, |r| &mut r.secrets, |o| o.meta.key())
            }
            ("ConfigMap", "v1") => {
                let read = fields::config_map(value);
                self.keep(origin, &object, read, |r| &mut r.config_maps, |o| o.meta.key())
            }
            ("Deployment" | "DaemonSet", _) if fields::controller(value).is_some() => {
                if let Some((flags, release)) = fields::controller(value) {
                    self.controllers.push(flags);
                    self.releases.insert(release);
                }
                return;
            }
            ("ConfigMap", _) => Err(format!("apiVersion {version:?}; only v1 is read")),
            ("", _) => Err("it has no kind".to_owned()),
            _ if unread::meant(&kind).is_some() => {
                let meant = unread::meant(&kind).unwrap_or_default();
                let detail = format!("kind {kind:?} is none: {meant} is written so");
                self.wrong(origin, meant, value, object, detail);
                return;
            }
            _ => {
                self.problem(origin, Code::OtherKind, object, format!("{version} {kind}"));
                return;
            }
        };
        if let Err(detail) = known {
            self.wrong(origin, &kind, value, object, detail);
        }
    }

    /// Remembers what an Ingress that cannot be taken says of hosts and paths.
    fn ghost(&mut self, code: Code, value: &Value) {
        self.ghosts
            .extend(fields::ghost(value).map(|ghost| (code, ghost)));
    }

    /// Keeps an object, unless another of that name says something else: then neither can be believed.
    fn keep<T: PartialEq>(
        &mut self,
        origin: &Origin,
        name: &str,
        read: Result<T, String>,
        shelf: impl Fn(&mut Self) -> &mut BTreeMap<Key, Seen<T>>,
        key: impl Fn(&T) -> Key,
    ) -> Result<(), String> {
        let object = read?;
        let key = key(&object);
        let fresh = Seen {
            object,
            origin: origin.clone(),
            others: Vec::new(),
        };
        let Some(first) = shelf(self).get_mut(&key) else {
            shelf(self).insert(key, fresh);
            return Ok(());
        };
        let same = first.object == fresh.object;
        if !same {
            first.others.push(fresh.object);
        }
        // The place that is told must not depend on the order of reading.
        let told = if first.origin <= fresh.origin {
            fresh.origin
        } else {
            std::mem::replace(&mut first.origin, fresh.origin)
        };
        let code = if same { Code::SameObject } else { Code::ObjectClash };
        self.problem(&told, code, name.to_owned(), "it was read before".to_owned());
        Ok(())
    }

    fn finish(mut self) -> Inventory {
        self.problems.sort();
        self.unread.sort();
        let mut flags = self.controllers.concat();
        flags.sort();
        flags.dedup();
        for controller in &mut self.controllers {
            controller.sort();
        }
        self.controllers.sort();
        self.controllers.dedup();
        let clashes = self.ingresses.values().filter(|seen| !seen.others.is_empty());
        for seen in clashes {
            let versions = std::iter::once(&seen.object).chain(&seen.others);
            self.ghosts
                .extend(versions.map(|version| (Code::ObjectClash, version.clone())));
        }
        // The order of reading must not show.
        self.ghosts.sort_by_cached_key(|ghost| format!("{ghost:?}"));
        for (index, (_, ghost)) in self.ghosts.iter_mut().enumerate() {
            // No Ingress may share its place in the report.
            ghost.meta.name = format!("{} (unread {})", ghost.meta.name, index + 1);
        }
        let clashing = self
            .config_maps
            .iter()
            .filter(|(_, seen)| !seen.others.is_empty());
        let clashing_config_maps = clashing.map(|(key, _)| key.clone()).collect();
        let mut ingresses = settle(self.ingresses);
        for (ingress, origin) in ingresses.values_mut() {
            ingress.origin = origin.clone();
        }
        Inventory {
            ingresses: ingresses
                .into_iter()
                .map(|(key, (object, _))| (key, object))
                .collect(),
            services: plain(self.services),
            secrets: plain(self.secrets),
            config_maps: plain(self.config_maps),
            clashing_config_maps,
            classes: plain(self.classes)
                .into_values()
                .map(|class| (class.meta.name, class.controller))
                .collect(),
            controller_flags: flags,
            controllers: self.controllers,
            releases: self.releases,
            ghosts: self.ghosts,
            problems: self.problems,
            unread: self.unread,
        }
    }
}

fn settle<T>(shelf: BTreeMap<Key, Seen<T>>) -> BTreeMap<Key, (T, Origin)> {
    let kept = shelf.into_iter().filter(|(_, seen)| seen.others.is_empty());
    kept.map(|(key, seen)| (key, (seen.object, seen.origin)))
        .collect()
}

fn plain<T>(shelf: BTreeMap<Key, Seen<T>>) -> BTreeMap<Key, T> {
    settle(shelf)
        .into_iter()
        .map(|(key, (object, _))| (key, object))
        .collect()
}

#[cfg(test)]
mod tests;
