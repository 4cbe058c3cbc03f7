//! Which Ingresses are ingress-nginx's, by one rule for all verbs: the classes of the controllers that run, not a name.
//!
//! As the controller itself decides: `spec.ingressClassName` first, held against the classes that name the controller;
//! then the legacy annotation, held against its flag; then, without either, its `--watch-ingress-without-class`.

use crate::answering::on;
use crate::cluster::{self, Cluster, Kind};
use crate::marks;
use crate::preflight::controller::{Controller, named};
use crate::see::{annotation, entries, items, label, text};
use crate::trouble::Trouble;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The label of what cert-manager writes to solve a challenge.
const SOLVER: &str = "acme.cert-manager.io/http01-solver";
/// Where challenges are asked for.
const CHALLENGE: &str = "/.well-known/acme-challenge/";
/// The one annotation of ingress-nginx that cert-manager gives a solver itself.
const SOLVERS_OWN: &str = "whitelist-source-range";

/// Kinds by which it is known.
pub const READ: [Kind; 3] = [cluster::DEPLOYMENT, cluster::DAEMON_SET, cluster::INGRESS_CLASS];

/// The classes of ingress-nginx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// Values of `spec.ingressClassName`.
    names: BTreeSet<String>,
    /// Values of the legacy annotation.
    legacy: BTreeSet<String>,
    /// Whether an Ingress without either is its.
    without: bool,
    /// The prefixes of annotations.
    prefixes: BTreeSet<String>,
    /// The `ConfigMaps` of controllers, by the classes that they serve.
    settings: BTreeMap<String, String>,
}

impl Classes {
    /// Those of the controllers that run in a cluster; a class that was named narrows them.
    pub async fn read(cluster: &Cluster, wanted: Option<&str>) -> Result<Self, Trouble> {
        let mut workloads = cluster.all(&cluster::DEPLOYMENT, None).await?;
        workloads.extend(cluster.all(&cluster::DAEMON_SET, None).await?);
        let known = cluster.all(&cluster::INGRESS_CLASS, None).await?;
        let controllers = crate::preflight::controller::of(workloads.iter());
        Ok(Self::of(&controllers, &known, wanted))
    }

    /// Those of some controllers, with the `IngressClass`es of the cluster. Where no controller is seen, it is taken to be
    /// one without flags, and what has no class may be its: what nobody looks at would be lost.
    pub(crate) fn of(controllers: &[Controller<'_>], known: &[Value], wanted: Option<&str>) -> Self {
        let unseen = [Controller {
            object: &Value::Null,
            flags: BTreeMap::new(),
        }];
        let all = if controllers.is_empty() {
            &unseen[..]
        } else {
            controllers
        };
        let mut serving: Vec<&Controller<'_>> = all
            .iter()
            .filter(|one| wanted.is_none_or(|class| one.has(class, known)))
            .collect();
        if serving.is_empty() {
            serving.extend(all);
        }
        let one = || wanted.map(|class| BTreeSet::from([class.to_owned()]));
        Self {
            names: one().unwrap_or_else(|| serving.iter().flat_map(|found| found.names(known)).collect()),
            legacy: one().unwrap_or_else(|| serving.iter().map(|found| found.class().to_owned()).collect()),
            without: controllers.is_empty()
                || serving
                    .iter()
                    .any(|found| found.on("watch-ingress-without-class", false)),
            prefixes: serving.iter().map(|found| found.prefix().to_owned()).collect(),
            settings: serving
                .iter()
                .flat_map(|found| configured(found, known))
                .collect(),
        }
    }

    /// The same with a class more.
    #[must_use]
    pub fn and(mut self, class: Option<&str>) -> Self {
        self.names.extend(class.map(ToOwned::to_owned));
        self.legacy.extend(class.map(ToOwned::to_owned));
        self
    }

    /// Whether an Ingress is ingress-nginx's.
    pub fn serve(&self, ingress: &Value) -> bool {
        match named(ingress) {
            (Some(class), _) => self.names.contains(class),
            (None, Some(class)) => self.legacy.contains(class),
            (None, None) => self.without,
        }
    }

    /// The ConfigMap of the controller that serves an Ingress, as `namespace/name`, where it is known.
    pub fn settings(&self, ingress: &Value) -> Option<&str> {
        let (class, legacy) = named(ingress);
        self.settings.get(class.or(legacy)?).map(String::as_str)
    }

    /// Whether annotations with a prefix count for one of the controllers.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.prefixes.contains(prefix)
    }

    /// Whether an Ingress serves no application: a canary of this program, or what solves a challenge and nothing else.
    pub fn pass_over(&self, ingress: &Value) -> bool {
        passes(ingress, &self.prefixes)
    }
}

/// The classes of a controller, with its ConfigMap.
fn configured(controller: &Controller<'_>, known: &[Value]) -> Vec<(String, String)> {
    let Some((namespace, name)) = controller.named("configmap") else {
        return Vec::new();
    };
    let mut classes = controller.names(known);
    classes.insert(controller.class().to_owned());
    let map = format!("{namespace}/{name}");
    classes.into_iter().map(|class| (class, map.clone())).collect()
}

/// Whether an Ingress serves no application, by the prefixes of annotations that controllers go by.
pub fn passes(ingress: &Value, prefixes: &BTreeSet<String>) -> bool {
    let canary = || {
        prefixes
            .iter()
            .any(|prefix| annotation(ingress, &format!("{prefix}/canary")).is_some_and(on))
    };
    marks::ours(ingress) && canary() || solves(ingress, prefixes)
}

/// Whether an Ingress solves a challenge and serves nothing else: the label alone is anybody's to write.
pub fn solves(ingress: &Value, prefixes: &BTreeSet<String>) -> bool {
    let token = |path: &str| {
        path.strip_prefix(CHALLENGE).is_some_and(|token| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            !token.is_empty() && token.bytes().all(plain)
        })
    };
    let only = |rule: &Value| {
        rule.get("http").is_some()
            && items(rule, "/http/paths").all(|path| text(path, "/path").is_some_and(token))
    };
    let known = |(name, _): (&String, &Value)| {
        name.split_once('/')
            .is_none_or(|(prefix, name)| !prefixes.contains(prefix) || name == SOLVERS_OWN)
    };
    label(ingress, SOLVER).is_some()
        && ingress.pointer("/spec/rules").is_some()
        && ingress.pointer("/spec/defaultBackend").is_none()
        && items(ingress, "/spec/rules").all(only)
        && entries(ingress, "/metadata/annotations").all(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::controller::LEGACY;
    use serde_json::json;

    fn controller(flags: &[(&str, &str)]) -> Controller<'static> {
        let flag = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        Controller {
            object: &Value::Null,
            flags: flags.iter().map(flag).collect(),
        }
    }

    fn class(name: &str, controller: &str) -> Value {
        json!({"metadata": {"name": name}, "spec": {"controller": controller}})
    }

    fn ingress(field: Option<&str>, legacy: Option<&str>) -> Value {
        let mut ingress = json!({"metadata": {"annotations": {}}, "spec": {}});
        if let Some(field) = field {
            ingress["spec"]["ingressClassName"] = json!(field);
        }
        if let Some(legacy) = legacy {
            ingress["metadata"]["annotations"][LEGACY] = json!(legacy);
        }
        ingress
    }

    #[test]
    fn the_field_is_held_against_classes_the_annotation_against_the_flag_and_the_field_is_first() {
        let known = [
            class("nginx", "k8s.io/ingress-nginx"),
            class("public", "k8s.io/ingress-nginx"),
            class("haproxy", "haproxy.org/ingress"),
        ];
        let all = Classes::of(&[controller(&[])], &known, None);
        for (field, legacy, served) in [
            (Some("nginx"), None, true),
            (Some("public"), None, true),
            (Some("haproxy"), None, false),
            (None, Some("nginx"), true),
            // The annotation is compared with the flag alone.
            (None, Some("public"), false),
            (Some("haproxy"), Some("nginx"), false),
            (Some("public"), Some("haproxy"), true),
            (None, None, false),
        ] {
            assert_eq!(all.serve(&ingress(field, legacy)), served, "{field:?} {legacy:?}");
        }
        let taking = controller(&[("watch-ingress-without-class", "true")]);
        assert!(Classes::of(&[taking], &known, None).serve(&ingress(None, None)));
        let unseen = Classes::of(&[], &known, None);
        assert!(unseen.serve(&ingress(Some("public"), None)) && unseen.serve(&ingress(None, None)));
    }

    #[test]
    fn a_class_that_is_named_narrows_and_brings_its_own_controller() {
        let known = [
            class("inner", "my.org/inner"),
            class("public", "k8s.io/ingress-nginx"),
        ];
        let both = [
            controller(&[
                ("annotations-prefix", "my.org"),
                ("controller-class", "my.org/inner"),
                ("ingress-class", "x"),
            ]),
            controller(&[("watch-ingress-without-class", "true")]),
        ];
        let inner = Classes::of(&both, &known, Some("inner"));
        assert!(inner.serve(&ingress(Some("inner"), None)) && !inner.serve(&ingress(Some("public"), None)));
        assert!(!inner.serve(&ingress(None, None)));
        assert_eq!(inner.prefixes, BTreeSet::from(["my.org".to_owned()]));
        let more = Classes::of(&both, &known, None).and(Some("gone"));
        for name in ["inner", "public", "nginx", "gone"] {
            assert!(more.serve(&ingress(Some(name), None)), "{name}");
        }
    }

    #[test]
    fn a_canary_of_ours_is_one_however_its_switch_is_spelled() {
        let prefixes = BTreeSet::from(["nginx.ingress.kubernetes.io".to_owned()]);
        let canary = |value: &str| {
            json!({"metadata": {"labels": {marks::MANAGED_BY: marks::OURS},
                "annotations": {"nginx.ingress.kubernetes.io/canary": value}}})
        };
        for value in crate::answering::ON.iter().chain(&[" true "]) {
            assert!(passes(&canary(value), &prefixes), "{value}");
        }
        for value in crate::answering::OFF.iter().chain(&["", "yes", "tRUE"]) {
            assert!(!passes(&canary(value), &prefixes), "{value}");
        }
    }

    #[test]
    fn a_label_makes_no_solver() {
        let solver = |path: &str| {
            json!({"metadata": {"labels": {SOLVER: "true"}}, "spec": {"rules": [
                {"host": "a.com", "http": {"paths": [{"path": path}]}}]}})
        };
        let prefixes = BTreeSet::from(["nginx.ingress.kubernetes.io".to_owned()]);
        assert!(solves(&solver("/.well-known/acme-challenge/x-1"), &prefixes));
        assert!(!solves(&solver("/"), &prefixes));
        let mut guarded = solver("/.well-known/acme-challenge/x-1");
        guarded["metadata"]["annotations"] =
            json!({"nginx.ingress.kubernetes.io/whitelist-source-range": "0.0.0.0/0"});
        assert!(solves(&guarded, &prefixes));
        guarded["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/server-snippet": "x"});
        assert!(!solves(&guarded, &prefixes));
    }
}
