//! What the Ingresses promise: hosts with their paths, certificates and annotations.

use super::usual::PREFIX;
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
    /// The Secret of its certificate; none: it has no TLS.
    pub secret: Option<String>,
    /// Annotations of ingress-nginx without their prefix.
    pub annotations: BTreeMap<String, String>,
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
}

/// The targets of Ingresses, sorted. Canaries have none of their own.
pub(super) fn targets(ingresses: &[Value]) -> Vec<Target> {
    let mut all = Vec::new();
    for ingress in ingresses {
        let annotations: BTreeMap<String, String> = entries(ingress, "/metadata/annotations")
            .filter_map(|(key, value)| {
                let name = key.strip_prefix(PREFIX)?.strip_prefix('/')?;
                Some((name.to_owned(), value.as_str()?.to_owned()))
            })
            .collect();
        if annotations.get("canary").is_some_and(|value| value == "true") {
            continue;
        }
        for rule in items(ingress, "/spec/rules") {
            let Some(host) = text(rule, "/host").filter(|host| !host.is_empty()) else {
                continue;
            };
            let tls = items(ingress, "/spec/tls")
                .find(|tls| items(tls, "/hosts").any(|name| name.as_str() == Some(host)));
            let plain = |path: &&str| {
                path.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte))
            };
            let path = items(rule, "/http/paths")
                .filter_map(|path| text(path, "/path"))
                .find(plain);
            let mut paths: Vec<String> = Vec::new();
            for path in items(rule, "/http/paths") {
                let path = begins(text(path, "/path").unwrap_or("/"));
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
            if paths.is_empty() {
                paths.push("/".to_owned());
            }
            all.push(Target {
                paths,
                namespace: see::namespace(ingress).to_owned(),
                host: host
                    .strip_prefix("*.")
                    .map_or_else(|| host.to_owned(), |rest| format!("probe.{rest}")),
                path: path
                    .filter(|path| path.starts_with('/'))
                    .unwrap_or("/")
                    .to_owned(),
                secret: tls.map(|tls| text(tls, "/secretName").unwrap_or_default().to_owned()),
                annotations: annotations.clone(),
            });
        }
    }
    all.sort_by(|a, b| (&a.host, &a.path, &a.namespace).cmp(&(&b.host, &b.path, &b.namespace)));
    all
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
