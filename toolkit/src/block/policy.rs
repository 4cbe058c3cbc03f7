//! The admission policy and its binding, as they are written.

use crate::put;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The name of both.
pub(super) const NAME: &str = "gradual-rollout-block-ingress";

/// Since when the stage is what it is, on the binding.
pub(super) const SINCE: &str = "rollout.sealos.io/block-since";

/// What whoever is refused reads.
pub(super) const MESSAGE: &str = "ingress-nginx takes no new hosts any more, as its hosts move to Istio: write a \
    VirtualService for the gateway instead, or ask the platform's team";

/// How hard the block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Only the audit log tells who would have been refused
    Audit,
    /// Whoever writes is told, and the write is done
    Warn,
    /// The write is refused
    Deny,
}

impl Stage {
    /// The word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }

    /// The one that comes after it.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Audit => Self::Warn,
            Self::Warn | Self::Deny => Self::Deny,
        }
    }

    /// Kubernetes takes no binding that denies and warns.
    const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Audit => &["Audit"],
            Self::Warn => &["Warn", "Audit"],
            Self::Deny => &["Deny", "Audit"],
        }
    }

    /// The stage of a binding.
    pub(super) fn of(binding: &Value) -> Self {
        let has =
            |action: &str| crate::see::items(binding, "/spec/validationActions").any(|one| one == action);
        if has("Deny") {
            Self::Deny
        } else if has("Warn") {
            Self::Warn
        } else {
            Self::Audit
        }
    }
}

/// What controllers with one prefix of annotations serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Values of `spec.ingressClassName`.
    pub classes: Vec<String>,
    /// Values of the legacy annotation.
    pub legacy: Vec<String>,
    /// Whether an Ingress without class is theirs. One that the API server gives the default class to has a class
    /// when a policy sees it.
    pub without_class: bool,
    /// The prefix of their annotations.
    pub prefix: String,
}

/// What is blocked, and who is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "Written")]
pub struct Blocked {
    /// What is served, by prefix of annotations: what exempts an Ingress counts by those of whoever serves it.
    pub groups: Vec<Group>,
    /// Namespaces that are left alone.
    pub namespaces: Vec<String>,
    /// Users that are left alone.
    pub users: Vec<String>,
}

impl Blocked {
    /// Every value of `spec.ingressClassName`, once.
    pub fn classes(&self) -> Vec<&str> {
        let all = self.groups.iter().flat_map(|group| &group.classes);
        let all: BTreeSet<&str> = all.map(String::as_str).collect();
        all.into_iter().collect()
    }

    /// Whether Ingresses without class are blocked.
    pub fn without_class(&self) -> bool {
        self.groups.iter().any(|group| group.without_class)
    }
}

/// What a daemon may find written: before there were groups, there was one.
#[derive(Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Written {
    Groups {
        groups: Vec<Group>,
        namespaces: Vec<String>,
        users: Vec<String>,
    },
    One {
        #[serde(flatten)]
        group: Group,
        namespaces: Vec<String>,
        users: Vec<String>,
    },
}

impl From<Written> for Blocked {
    fn from(written: Written) -> Self {
        let (groups, namespaces, users) = match written {
            Written::Groups {
                groups,
                namespaces,
                users,
            } => (groups, namespaces, users),
            Written::One {
                group,
                namespaces,
                users,
            } => (vec![group], namespaces, users),
        };
        Self {
            groups,
            namespaces,
            users,
        }
    }
}

/// A text in an expression.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{escaped}'")
}

fn list(texts: &[String]) -> String {
    let all: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", all.join(", "))
}

/// Expressions of which one, or each, has to hold.
fn joined(all: &[String], word: &str) -> String {
    match all {
        [one] => one.clone(),
        all => all
            .iter()
            .map(|one| format!("({one})"))
            .collect::<Vec<_>>()
            .join(word),
    }
}

/// Whether a controller of a group serves the object of this name.
fn served_by(object: &str, annotations: &str, group: &Group) -> String {
    let legacy = "'kubernetes.io/ingress.class'";
    format!(
        "has({object}.spec.ingressClassName) ? {object}.spec.ingressClassName in {} : \
         ({legacy} in {annotations} && {annotations}[{legacy}] != '' ? {annotations}[{legacy}] in {} : {})",
        list(&group.classes),
        list(&group.legacy),
        group.without_class,
    )
}

/// Whether nginx serves the object of this name.
fn served(object: &str, annotations: &str, blocked: &Blocked) -> String {
    let by = |group| served_by(object, annotations, group);
    joined(&blocked.groups.iter().map(by).collect::<Vec<_>>(), " || ")
}

/// The hosts of the object of this name; the empty one stands for a rule, or a default back end, without a host.
fn hosts(object: &str) -> String {
    format!(
        "(has({object}.spec.rules) ? {object}.spec.rules.map(r, has(r.host) ? r.host : '') : []) \
         + (has({object}.spec.defaultBackend) ? [''] : [])"
    )
}

/// The label by which cert-manager knows its solvers.
pub(super) const SOLVER: &str = "acme.cert-manager.io/http01-solver";

/// What a solver's paths begin with; a token follows.
pub(super) const CHALLENGE: &str = "/.well-known/acme-challenge/";

/// The annotation of ingress-nginx that cert-manager itself gives a solver, without its prefix. Any other could make the
/// solver serve more than its challenge: aliases, expressions, rewrites, snippets.
pub(super) const SOLVERS_OWN: &str = "whitelist-source-range";

/// Whether the object of this name passes whatever its hosts are: a solver of a challenge that serves nothing else, or a
/// canary of our own, which is no host of its own. A canary is one to whoever reads its annotation: it has to be one by
/// the prefix of each controller that serves it.
fn exempt(object: &str, annotations: &str, labels: &str, blocked: &Blocked) -> String {
    let own = |group: &Group| {
        let prefix = quoted(&format!("{}/", group.prefix));
        let own = quoted(&format!("{}/{SOLVERS_OWN}", group.prefix));
        format!("!a.startsWith({prefix}) || a == {own}")
    };
    let own = joined(&blocked.groups.iter().map(own).collect::<Vec<_>>(), " && ");
    let canary = |group: &Group| {
        let canary = quoted(&format!("{}/canary", group.prefix));
        let is = format!("{canary} in {annotations} && {annotations}[{canary}] == 'true'");
        if blocked.groups.len() == 1 {
            // Only what is served is asked about.
            return is;
        }
        format!("!({}) || ({is})", served_by(object, annotations, group))
    };
    let canary = joined(&blocked.groups.iter().map(canary).collect::<Vec<_>>(), " && ");
    // No backslash is needed for a dot in brackets.
    let token = quoted(&format!("^{}[A-Za-z0-9_-]+$", CHALLENGE.replace('.', "[.]")));
    let (key, ours) = (quoted(put::MANAGED_BY.0), quoted(put::MANAGED_BY.1));
    format!(
        "('{SOLVER}' in {labels} && has({object}.spec.rules) && !has({object}.spec.defaultBackend) \
         && {object}.spec.rules.all(r, has(r.http) && r.http.paths.all(p, has(p.path) && p.path.matches({token}))) \
         && {annotations}.all(a, {own})) \
         || ({key} in {labels} && {labels}[{key}] == {ours} && {canary})"
    )
}

/// What a controller reads as yes (Go's `ParseBool`).
pub(super) const YES: [&str; 6] = ["1", "t", "T", "TRUE", "true", "True"];

/// Whether the object has an alias by some prefix that it did not have before: one that it names, or its own name with or
/// without `www.`.
fn more_aliases(blocked: &Blocked) -> String {
    let yes = list(&YES.map(ToOwned::to_owned));
    let more = |group: &Group| {
        let alias = quoted(&format!("{}/server-alias", group.prefix));
        let www = quoted(&format!("{}/from-to-www-redirect", group.prefix));
        let has_www =
            |annotations: &str| format!("({www} in {annotations} && {annotations}[{www}] in {yes})");
        format!(
            "({alias} in variables.now && !({alias} in variables.before && variables.before[{alias}] == variables.now[{alias}])) \
             || ({} && !{})",
            has_www("variables.now"),
            has_www("variables.before")
        )
    };
    joined(&blocked.groups.iter().map(more).collect::<Vec<_>>(), " || ")
}

/// The policy.
pub(super) fn policy(blocked: &Blocked) -> Value {
    let annotations =
        |object: &str| format!("has({object}.metadata.annotations) ? {object}.metadata.annotations : {{}}");
    let labels = |object: &str| format!("has({object}.metadata.labels) ? {object}.metadata.labels : {{}}");
    let variables = json!([
        {"name": "now", "expression": annotations("object")},
        {"name": "before", "expression": format!("oldObject == null ? {{}} : ({})", annotations("oldObject"))},
        {"name": "labels", "expression": labels("object")},
        {"name": "oldLabels", "expression": format!("oldObject == null ? {{}} : ({})", labels("oldObject"))},
        {"name": "isServed", "expression": served("object", "variables.now", blocked)},
        {"name": "wasServed", "expression":
            format!("oldObject != null && ({})", served("oldObject", "variables.before", blocked))},
        {"name": "hosts", "expression": hosts("object")},
        {"name": "oldHosts", "expression": format!("oldObject == null ? [] : ({})", hosts("oldObject"))},
        {"name": "moreHosts", "expression": "variables.hosts.exists(h, !(h in variables.oldHosts))"},
        {"name": "moreAliases", "expression": more_aliases(blocked)},
        {"name": "isExempt", "expression": exempt("object", "variables.now", "variables.labels", blocked)},
        // What only passed is not taken for served once it passes no more.
        {"name": "wasExempt", "expression": format!(
            "oldObject != null && ({})", exempt("oldObject", "variables.before", "variables.oldLabels", blocked)
        )},
    ]);
    let mut spec = json!({
        // It cannot be evaluated: then it must not stand between a person and a way back.
        "failurePolicy": "Ignore",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {}, "objectSelector": {},
            "resourceRules": [{
                "apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["ingresses"], "scope": "Namespaced",
            }],
        },
        "variables": variables,
        "validations": [{
            "expression": "!variables.isServed || variables.isExempt \
                || (variables.wasServed && !variables.wasExempt && !variables.moreHosts && !variables.moreAliases)",
            "reason": "Forbidden",
            "message": MESSAGE,
        }],
    });
    if let Some(fields) = spec.as_object_mut().filter(|_| !blocked.users.is_empty()) {
        let condition = format!("!(request.userInfo.username in {})", list(&blocked.users));
        fields.insert(
            "matchConditions".to_owned(),
            json!([{"name": "not-exempt", "expression": condition}]),
        );
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": NAME, "labels": put::labels()},
        "spec": spec,
    })
}

/// The binding at a stage.
pub(super) fn binding(blocked: &Blocked, stage: Stage, since: &str) -> Value {
    let selector = if blocked.namespaces.is_empty() {
        json!({})
    } else {
        json!({"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": blocked.namespaces},
        ]})
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": NAME, "labels": put::labels(), "annotations": {(SINCE): since}},
        "spec": {
            "policyName": NAME, "validationActions": stage.actions(),
            "matchResources": {"matchPolicy": "Equivalent", "namespaceSelector": selector, "objectSelector": {}},
        },
    })
}
