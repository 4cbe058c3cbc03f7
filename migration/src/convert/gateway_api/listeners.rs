//! Gateways: one listener for HTTP, and for TLS one for each host, or one for all hosts of a domain with one
//! certificate.

use super::super::gateway::wildcards;
use super::super::names;
use super::super::options::{GatewayApi, Options};
use super::GROUP;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A Gateway takes no more (its CRD).
const MOST: usize = 64;

/// A host of this namespace, and the certificate that it shows.
#[derive(Default)]
pub(super) struct Listeners {
    hosts: BTreeMap<String, (String, Option<String>)>,
}

/// A listener for TLS.
#[derive(Clone, Debug)]
struct Listener {
    credential: String,
    /// Namespaces whose routes it takes.
    namespaces: BTreeSet<String>,
}

/// Which host is in which listener.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// By the name that clients ask for, `*` being any.
    listeners: BTreeMap<String, Listener>,
    /// Of a host, the name of its listener for TLS.
    of: BTreeMap<String, String>,
    /// Of a listener, its place among all; that for HTTP is the first.
    places: BTreeMap<String, usize>,
    /// Namespaces with hosts at all.
    namespaces: BTreeSet<String>,
}

impl Listeners {
    pub(super) fn add(&mut self, namespace: &str, host: &str, credential: Option<String>) {
        self.hosts
            .insert(host.to_owned(), (namespace.to_owned(), credential));
    }

    pub(super) fn laid_out(mut self) -> Layout {
        // Connections for a host without a certificate end at the nearest wildcard that has one: its route has to be
        // there too, else the wildcard's would have its requests.
        let nearest = |host: &str| {
            let mut over = wildcards(host);
            over.find_map(|wildcard| self.hosts.get(&wildcard)?.1.clone())
        };
        let left = self
            .hosts
            .iter()
            .filter(|(_, (_, credential))| credential.is_none());
        let found: Vec<(String, String)> = left
            .filter_map(|(host, _)| Some((host.clone(), nearest(host)?)))
            .collect();
        for (host, credential) in found {
            if let Some(entry) = self.hosts.get_mut(&host) {
                entry.1 = Some(credential);
            }
        }
        let shared = self.shared();
        let mut layout = Layout {
            listeners: BTreeMap::new(),
            of: BTreeMap::new(),
            places: BTreeMap::new(),
            namespaces: BTreeSet::new(),
        };
        for (host, (namespace, credential)) in self.hosts {
            layout.namespaces.insert(namespace.clone());
            let Some(credential) = credential else { continue };
            let name = parent(&host)
                .filter(|wildcard| shared.get(wildcard) == Some(&credential))
                .unwrap_or_else(|| host.clone());
            layout.of.insert(host, name.clone());
            let listener = layout.listeners.entry(name).or_insert_with(|| Listener {
                credential,
                namespaces: BTreeSet::new(),
            });
            listener.namespaces.insert(namespace);
        }
        let names = layout.listeners.keys().cloned();
        layout.places = names.zip(1..).collect();
        layout
    }

    /// Domains of which at least two hosts show one certificate, which then stands for the domain. A host with a
    /// certificate of its own has a listener of its own, which comes first.
    fn shared(&self) -> BTreeMap<String, String> {
        let mut counts: BTreeMap<String, BTreeMap<&String, usize>> = BTreeMap::new();
        for (host, (_, credential)) in &self.hosts {
            if let (Some(wildcard), Some(credential)) = (parent(host), credential) {
                *counts.entry(wildcard).or_default().entry(credential).or_default() += 1;
            }
        }
        let mut shared = BTreeMap::new();
        for (wildcard, counts) in counts {
            let own = self
                .hosts
                .get(&wildcard)
                .and_then(|(_, credential)| credential.as_ref());
            let most = counts.iter().max_by_key(|(_, count)| **count);
            let chosen = own.or_else(|| most.filter(|(_, count)| **count > 1).map(|(name, _)| *name));
            if let Some(credential) = chosen {
                shared.insert(wildcard, credential.clone());
            }
        }
        shared
    }
}

/// The wildcard over a plain host.
fn parent(host: &str) -> Option<String> {
    let (label, domain) = host.split_once('.')?;
    (label != "*" && domain.contains('.')).then(|| format!("*.{domain}"))
}

/// A reference to a listener.
fn section(gateway: &str, listener: &str, options: &Options) -> Value {
    json!({
        "group": GROUP, "kind": "Gateway", "namespace": options.gateway_namespace, "name": gateway,
        "sectionName": listener,
    })
}

impl Layout {
    /// How many Gateways there are.
    pub(super) fn gateways(&self) -> usize {
        (self.listeners.len() + 1).div_ceil(MOST)
    }

    /// The listener for HTTP.
    pub(super) fn clear(options: &Options) -> Value {
        section(&gateway(0, options), "http", options)
    }

    /// The listener for TLS of a host, where it has one.
    pub(super) fn secure(&self, host: &str, options: &Options) -> Option<Value> {
        let name = self.of.get(host)?;
        let at = self.places.get(name)?;
        Some(section(&gateway(at / MOST, options), &listener(name), options))
    }

    pub(super) fn objects(&self, wishes: &GatewayApi, options: &Options) -> Vec<Value> {
        if self.namespaces.is_empty() {
            return Vec::new();
        }
        let clear = json!({
            "name": "http", "port": options.http_port, "protocol": "HTTP",
            "allowedRoutes": allowed(&self.namespaces),
        });
        let secure = self.listeners.iter().map(|(name, known)| {
            let mut built = json!({
                "name": listener(name), "port": options.https_port, "protocol": "HTTPS",
                "allowedRoutes": allowed(&known.namespaces),
                "tls": {
                    "mode": "Terminate",
                    "certificateRefs": [{"group": "", "kind": "Secret", "name": known.credential}],
                },
            });
            if name != "*"
                && let Some(fields) = built.as_object_mut()
            {
                fields.insert("hostname".to_owned(), json!(name));
            }
            built
        });
        let all: Vec<Value> = std::iter::once(clear).chain(secure).collect();
        let objects = all.chunks(MOST).enumerate().map(|(at, listeners)| {
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "metadata": {
                    "name": gateway(at, options),
                    "namespace": options.gateway_namespace,
                    "labels": super::super::meta().labels,
                },
                "spec": {"gatewayClassName": wishes.class, "listeners": listeners},
            })
        });
        objects.collect()
    }
}

fn gateway(at: usize, options: &Options) -> String {
    if at == 0 {
        return options.gateway_name.clone();
    }
    format!("{}-{}", options.gateway_name, at + 1)
}

fn listener(name: &str) -> String {
    format!("https-{}", names::label(name, &[name]))
}

/// Only the namespaces whose hosts it has.
fn allowed(namespaces: &BTreeSet<String>) -> Value {
    json!({"namespaces": {"from": "Selector", "selector": {"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces},
    ]}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_a_domain_with_one_certificate_share_a_listener() {
        let mut listeners = Listeners::default();
        for (host, credential) in [
            ("x.a.com", Some("wild")),
            ("y.a.com", Some("wild")),
            ("z.a.com", Some("own")),
            ("plain.a.com", None),
            ("b.com", Some("b")),
        ] {
            listeners.add("ns", host, credential.map(str::to_owned));
        }
        let layout = listeners.laid_out();
        let names: Vec<&str> = layout.listeners.keys().map(String::as_str).collect();
        assert_eq!(names, ["*.a.com", "b.com", "z.a.com"]);
        assert_eq!(layout.of.get("plain.a.com"), None, "it has no certificate");
    }

    #[test]
    fn a_host_under_a_wildcard_with_tls_is_in_its_listener() {
        let mut listeners = Listeners::default();
        listeners.add("ns", "*.a.com", Some("wild".to_owned()));
        listeners.add("other", "deep.x.a.com", None);
        let layout = listeners.laid_out();
        assert!(layout.of.contains_key("deep.x.a.com"));
    }

    #[test]
    fn more_than_64_listeners_are_divided() {
        let mut listeners = Listeners::default();
        for number in 0..64 {
            listeners.add("ns", &format!("h{number}.com"), Some(format!("s{number}")));
        }
        let layout = listeners.laid_out();
        let objects = layout.objects(&GatewayApi::default(), &Options::default());
        let counts: Vec<usize> = objects
            .iter()
            .map(|object| object["spec"]["listeners"].as_array().unwrap().len())
            .collect();
        assert_eq!(counts, [64, 1]);
        let last = layout.secure("h9.com", &Options::default()).unwrap();
        assert_eq!(last["name"], "sealos-gateway-2");
    }
}
