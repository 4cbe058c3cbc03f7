//! What the Ingresses promise: hosts with their paths, certificates and annotations.

use super::usual::{Kept, PREFIX};
use crate::answering::ON;
use crate::preflight::certificate::covers;
use crate::see::{self, entries, items, text};
use gradual_rollout_migration::model::Scheme;
use serde_json::Value;
use std::collections::BTreeMap;

/// A rule of an Ingress.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The Ingress's namespace.
    pub namespace: String,
    /// The host that is asked for: of a wildcard a name under it.
    pub host: String,
    /// Its first path that is no expression; `/` where there is none.
    pub path: String,
    /// All its paths, each once and in their order: of an expression what each request of it begins with.
    pub paths: Vec<String>,
    /// What its certificate is in, with the namespace; none: it has no TLS.
    pub secret: Option<String>,
    /// Annotations of ingress-nginx without their prefix.
    pub annotations: BTreeMap<String, String>,
    /// Whom the controller that serves it keeps out by its own settings.
    pub kept: Kept,
}

impl Target {
    /// How it is reached by those who use it.
    pub(super) fn scheme(&self) -> Scheme {
        if self.secret.is_some() {
            Scheme::Https
        } else {
            Scheme::Http
        }
    }

    /// An annotation that is not empty.
    pub(super) fn says(&self, name: &str) -> Option<&str> {
        self.annotations
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Whether an annotation that is a switch is on, as nginx reads it.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.says(name).is_some_and(|value| ON.contains(&value.trim()))
    }

    /// What it is without host and rule: what the Ingress says of itself.
    pub(super) fn of(ingress: &Value, kept: &Kept) -> Self {
        let annotations = entries(ingress, "/metadata/annotations").filter_map(|(key, value)| {
            let name = key.strip_prefix(PREFIX)?.strip_prefix('/')?;
            Some((name.to_owned(), value.as_str()?.to_owned()))
        });
        Self {
            namespace: see::namespace(ingress).to_owned(),
            host: NOBODY.to_owned(),
            path: "/".to_owned(),
            paths: Vec::new(),
            secret: None,
            annotations: annotations.collect(),
            kept: kept.clone(),
        }
    }
}

/// The Secret in which the certificate for a host is: by a section that names the host, by one with a wildcard over it, or by
/// one for whatever the certificate is for.
fn secret(ingress: &Value, host: &str) -> Option<String> {
    let all = || items(ingress, "/spec/tls");
    let has =
        |tls: &Value, has: &dyn Fn(&str) -> bool| items(tls, "/hosts").filter_map(Value::as_str).any(has);
    let exact = all().find(|tls| has(tls, &|name| name.eq_ignore_ascii_case(host)));
    let over = || all().find(|tls| has(tls, &|name| covers(&name.to_ascii_lowercase(), host)));
    let any = || all().find(|tls| items(tls, "/hosts").next().is_none());
    let tls = exact.or_else(over).or_else(any)?;
    let name = text(tls, "/secretName").unwrap_or_default();
    Some(format!("{}/{name}", see::namespace(ingress)))
}

/// The targets of Ingresses, sorted, each Ingress with what its controller keeps out. Canaries have none of their own. `shown`
/// has the hosts for which the gateway is given a certificate, and what that is in, whatever the Ingresses say.
pub(super) fn targets(ingresses: &[(Value, Kept)], shown: &BTreeMap<String, String>) -> Vec<Target> {
    let mut all = Vec::new();
    for (ingress, kept) in ingresses {
        let own = Target::of(ingress, kept);
        if own.is_on("canary") {
            continue;
        }
        for rule in items(ingress, "/spec/rules") {
            let Some(host) = text(rule, "/host").filter(|host| !host.is_empty()) else {
                continue;
            };
            let plain = |path: &&str| {
                path.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte))
            };
            let path = items(rule, "/http/paths")
                .filter_map(|path| text(path, "/path"))
                .find(plain);
            let path = path.filter(|path| path.starts_with('/')).unwrap_or("/");
            let paths = paths(ingress, rule);
            // What is asked for by another name is served as by its own.
            let aliases = own.says("server-alias").unwrap_or_default();
            let aliases = aliases.split(',').map(str::trim).filter(|alias| is_name(alias));
            for name in std::iter::once(host).chain(aliases) {
                let certificate =
                    secret(ingress, name).or_else(|| shown.get(&name.to_ascii_lowercase()).cloned());
                all.push(Target {
                    paths: paths.clone(),
                    host: name
                        .strip_prefix("*.")
                        .map_or_else(|| name.to_owned(), |rest| format!("probe.{rest}")),
                    path: path.to_owned(),
                    secret: certificate,
                    ..own.clone()
                });
            }
        }
    }
    all.sort_by(|a, b| (&a.host, &a.path, &a.namespace).cmp(&(&b.host, &b.path, &b.namespace)));
    all
}

/// What the Ingresses serve on hosts that nobody has, by a rule without host or a default back end. No suite asks for it: by
/// which name clients come there nothing tells.
pub(super) fn nameless(ingresses: &[(Value, Kept)]) -> Vec<Target> {
    let mut all = Vec::new();
    for (ingress, kept) in ingresses {
        let own = Target::of(ingress, kept);
        if own.is_on("canary") {
            continue;
        }
        let rules = items(ingress, "/spec/rules");
        let mut found: Vec<String> = rules
            .filter(|rule| text(rule, "/host").is_none_or(str::is_empty))
            .flat_map(|rule| paths(ingress, rule))
            .collect();
        if ingress.pointer("/spec/defaultBackend").is_some() {
            found.push("/".to_owned());
        }
        found.sort();
        found.dedup();
        if !found.is_empty() {
            all.push(Target { paths: found, ..own });
        }
    }
    all
}

/// The paths of a rule, each once and in their order; an Ingress's default back end serves whatever no path takes.
fn paths(ingress: &Value, rule: &Value) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for path in items(rule, "/http/paths") {
        let path = begins(text(path, "/path").unwrap_or("/"));
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    let root = "/".to_owned();
    if paths.is_empty() || ingress.pointer("/spec/defaultBackend").is_some() && !paths.contains(&root) {
        paths.push(root);
    }
    paths
}

/// Whether an alias is a name, and no expression.
fn is_name(alias: &str) -> bool {
    let alias = alias.strip_prefix("*.").unwrap_or(alias);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    alias.contains('.') && alias.bytes().all(fits)
}

/// What a path, or each request of an expression, begins with; `/` where that is not told.
fn begins(path: &str) -> String {
    let literal = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte);
    let mut head: String = path.bytes().take_while(literal).map(char::from).collect();
    // What may be there any number of times need not be there.
    if path
        .as_bytes()
        .get(head.len())
        .is_some_and(|next| b"?*{+".contains(next))
    {
        head.pop();
    }
    if head.starts_with('/') {
        head
    } else {
        "/".to_owned()
    }
}

/// The name that nobody has: it is answered by what serves all others.
pub(super) const NOBODY: &str = "nobody.invalid";

/// Every name by which an Ingress may be asked for: hosts of its rules, further names, the other of `www` and none; a
/// rule without host stands for the name that nobody has.
pub(super) fn hosts(ingress: &Value) -> Vec<String> {
    let alias = format!("{PREFIX}/server-alias");
    let aliases = see::annotation(ingress, &alias).unwrap_or_default().split(',');
    let mut all: Vec<String> = aliases
        .map(|alias| alias.trim().to_owned())
        .filter(|alias| !alias.is_empty())
        .collect();
    for rule in items(ingress, "/spec/rules") {
        match text(rule, "/host").filter(|host| !host.is_empty()) {
            Some(host) => {
                all.push(host.to_owned());
                all.push(
                    host.strip_prefix("www.")
                        .map_or_else(|| format!("www.{host}"), ToOwned::to_owned),
                );
            }
            None => all.push(NOBODY.to_owned()),
        }
    }
    if ingress.pointer("/spec/defaultBackend").is_some() {
        all.push(NOBODY.to_owned());
    }
    all
}
