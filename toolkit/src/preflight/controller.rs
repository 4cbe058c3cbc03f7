//! Which ingress-nginx controllers run, with which flags and settings, and which Ingresses are theirs.

use super::picture::Picture;
use crate::classes::Classes;
use crate::see::{self, annotation, entries, items, text};
use gradual_rollout_migration::input::{self, Inventory, Snippets, Source};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One ingress-nginx controller.
pub(crate) struct Controller<'a> {
    /// Its Deployment or `DaemonSet`.
    pub object: &'a Value,
    /// Its flags by name without dashes; a switch without value is `true`.
    pub flags: BTreeMap<String, String>,
}

/// The prefix of annotations of a controller without a flag that says otherwise.
pub(crate) const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// The legacy annotation for a class.
pub(crate) const LEGACY: &str = "kubernetes.io/ingress.class";

impl Controller<'_> {
    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        self.flags.get(name).map(String::as_str)
    }

    /// Whether a switch is on.
    pub(crate) fn on(&self, name: &str, otherwise: bool) -> bool {
        self.flag(name).map_or(otherwise, |value| value != "false")
    }

    /// The object that a flag names, as namespace and name.
    pub(crate) fn named(&self, flag: &str) -> Option<(&str, &str)> {
        self.flag(flag)?
            .split_once('/')
            .filter(|(namespace, _)| !namespace.contains("$("))
    }

    /// The values of the ConfigMap that a flag names.
    pub(crate) fn settings<'p>(&self, picture: &'p Picture, flag: &str) -> Option<&'p Value> {
        let (namespace, name) = self.named(flag)?;
        picture.find("ConfigMap", namespace, name)
    }

    /// Whether it acts upon snippets.
    pub(crate) fn snippets(&self, picture: &Picture) -> Snippets {
        let said = self.settings(picture, "configmap");
        let said = said.and_then(|config| text(config, "/data/allow-snippet-annotations"));
        let release = read(self.object).releases.into_iter().flatten().next();
        Snippets::of(said.and_then(input::switch), release)
    }

    /// The class of its flag.
    pub(crate) fn class(&self) -> &str {
        self.flag("ingress-class").unwrap_or("nginx")
    }

    /// The prefix of its annotations.
    pub(crate) fn prefix(&self) -> &str {
        self.flag("annotations-prefix")
            .unwrap_or(PREFIX)
            .trim_end_matches('/')
    }

    /// How many of its pods are ready, and how many there should be.
    pub(crate) fn ready(&self) -> (u64, u64) {
        ready(self.object)
    }

    /// The names of classes that are its own.
    pub(crate) fn classes(&self, picture: &Picture) -> BTreeSet<String> {
        self.names(picture.of("IngressClass"))
    }

    /// The names of its classes, of those that are known.
    pub(crate) fn names(&self, known: &[Value]) -> BTreeSet<String> {
        let controller = self.flag("controller-class").unwrap_or("k8s.io/ingress-nginx");
        let class = self.class();
        let mut names: BTreeSet<String> = known
            .iter()
            .filter(|found| text(found, "/spec/controller") == Some(controller))
            .map(|found| see::name(found).to_owned())
            .collect();
        // By its name alone, whatever controller the class names.
        let by_name = self.on("ingress-class-by-name", false);
        if by_name || !known.iter().any(|found| see::name(found) == class) {
            names.insert(class.to_owned());
        }
        names
    }

    /// Whether a class is its own, by its flag or by the field of the class.
    pub(crate) fn has(&self, class: &str, known: &[Value]) -> bool {
        self.class() == class || self.names(known).contains(class)
    }
}

/// What an Ingress says of its class: the field, then the legacy annotation. The controller looks at the second only
/// where there is no first.
pub(crate) fn named(ingress: &Value) -> (Option<&str>, Option<&str>) {
    let legacy = annotation(ingress, LEGACY).filter(|class| !class.is_empty());
    (text(ingress, "/spec/ingressClassName"), legacy)
}

/// Ready and wanted pods of a Deployment or `DaemonSet`.
pub(crate) fn ready(workload: &Value) -> (u64, u64) {
    let number = |pointer: &str| workload.pointer(pointer).and_then(Value::as_u64);
    if text(workload, "/kind") == Some("DaemonSet") {
        let ready = number("/status/numberReady").unwrap_or_default();
        return (
            ready,
            number("/status/desiredNumberScheduled").unwrap_or_default(),
        );
    }
    let ready = number("/status/readyReplicas").unwrap_or_default();
    (ready, number("/spec/replicas").unwrap_or(1))
}

/// The controllers of the cluster, by namespace and name.
pub(crate) fn controllers(picture: &Picture) -> Vec<Controller<'_>> {
    of(picture.workloads())
}

/// Those among some workloads.
pub(crate) fn of<'a>(workloads: impl Iterator<Item = &'a Value>) -> Vec<Controller<'a>> {
    workloads
        .filter(|workload| runs_nginx(workload))
        .map(|object| {
            let read = read(object).controllers.into_iter().flatten();
            Controller {
                object,
                flags: read.map(|flag| parsed(&flag)).collect(),
            }
        })
        .collect()
}

/// A workload as the conversion reads it.
fn read(object: &Value) -> Inventory {
    let source = Source {
        name: see::object(object),
        text: object.to_string(),
    };
    input::read(&[source])
}

fn runs_nginx(workload: &Value) -> bool {
    items(workload, "/spec/template/spec/containers").any(|container| {
        items(container, "/command")
            .chain(items(container, "/args"))
            .filter_map(Value::as_str)
            .any(|word| word.ends_with("nginx-ingress-controller"))
    })
}

fn parsed(flag: &str) -> (String, String) {
    let flag = flag.trim().trim_start_matches('-');
    let (name, value) = flag.split_once(['=', ' ']).unwrap_or((flag, "true"));
    (name.to_owned(), value.trim().to_owned())
}

/// The Ingresses that one of the controllers serves; a class that was named narrows them.
pub(crate) fn ingresses<'a>(
    picture: &'a Picture,
    controllers: &[Controller<'_>],
    class: Option<&str>,
) -> Vec<&'a Value> {
    let classes = Classes::of(controllers, picture.of("IngressClass"), class);
    let all = picture.of("Ingress").iter();
    all.filter(|ingress| classes.serve(ingress)).collect()
}

/// The names of a ConfigMap's entries with their values.
pub(crate) fn data(config_map: &Value) -> impl Iterator<Item = (&str, &str)> {
    entries(config_map, "/data").filter_map(|(key, value)| value.as_str().map(|value| (key.as_str(), value)))
}
