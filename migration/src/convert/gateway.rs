//! The Gateways: one server for HTTP, one for each certificate, one for TLS that is passed through.
//!
//! Istio skips a second server with the same port and host, and browsers reuse a connection for every host of a
//! certificate: so hosts with the same Secret share a server, and no host is in two.
//!
//! Istio gives a server's host the routes of every `VirtualService` of its namespace that has the host or a wildcard
//! over it, one list behind the other: with `*.a.com` and `x.a.com` in one Gateway, the wildcard's routes would have
//! what those of `x.a.com` leave. So in clear only the widest names are listed, under which each `VirtualService` keeps
//! its own; and for TLS a host under a wildcard is in a Gateway one layer down, of which the wildcard's
//! `VirtualService` knows nothing.

use super::Options;
use crate::istio::{Gateway, Kind as _, Meta, Object, Server, ServerPort, ServerTls};
use std::collections::{BTreeMap, BTreeSet};

/// Above this many hosts the object comes near what the API server takes (1.5 MB, at about 200 bytes a host).
pub(super) const MOST_HOSTS: usize = 5000;

/// A host, behind the namespace of its `VirtualService`.
type Host = (String, String);

/// Hosts by what they need.
#[derive(Default)]
pub(super) struct Hosts {
    pub clear: BTreeSet<Host>,
    pub credentials: BTreeMap<Host, String>,
    pub passthrough: BTreeSet<Host>,
    /// Ciphers by credential.
    pub ciphers: BTreeMap<String, Vec<String>>,
}

/// The same, and how many wildcards of its namespace are over each.
pub(super) struct Layers {
    hosts: Hosts,
    over: BTreeMap<Host, usize>,
    /// Hosts whose nearest wildcard with TLS is of their namespace and shows the same certificate: its server has them.
    inside: BTreeSet<Host>,
}

/// The wildcards over a host, itself not among them: `*.b.com` and `*` over `a.b.com`.
pub(super) fn wildcards(host: &str) -> impl Iterator<Item = String> {
    let name = host.strip_prefix('*').unwrap_or(host);
    let dots = name.match_indices('.').filter_map(|(at, _)| name.get(at..));
    let all = dots.chain([""]).map(|suffix| format!("*{suffix}"));
    all.filter(move |wildcard| wildcard != host)
}

impl Layers {
    pub(super) fn new(mut hosts: Hosts) -> Self {
        // Connections for a host without a certificate end at the nearest wildcard that has one. Its server does not
        // take what another namespace says about the host, so it gets one of its own.
        let named = by_name(&hosts.credentials);
        let left = hosts
            .clear
            .iter()
            .filter(|host| !hosts.credentials.contains_key(*host) && !hosts.passthrough.contains(*host));
        let strange = left.filter_map(|host| {
            let (namespace, credential) = nearest(&named, &host.1)?;
            (*namespace != host.0).then(|| (host.clone(), credential.clone()))
        });
        let strange: Vec<(Host, String)> = strange.collect();
        hosts.credentials.extend(strange);
        let over = |(namespace, host): &Host| {
            let written = |wildcard: &String| hosts.clear.contains(&(namespace.clone(), wildcard.clone()));
            wildcards(host).filter(written).count()
        };
        let over = hosts
            .clear
            .iter()
            .map(|host| (host.clone(), over(host)))
            .collect();
        let named = by_name(&hosts.credentials);
        let inside = hosts
            .credentials
            .iter()
            .filter(|((namespace, host), credential)| {
                nearest(&named, host) == Some((namespace, *credential))
            });
        let inside: BTreeSet<Host> = inside.map(|(host, _)| host.clone()).collect();
        Self { hosts, over, inside }
    }

    fn layer(&self, host: &Host) -> usize {
        self.over.get(host).copied().unwrap_or_default()
    }

    /// The Gateways of a host's `VirtualService`: of its own layer and all above, never one below.
    pub(super) fn gateways(&self, namespace: &str, host: &str, options: &Options) -> Vec<String> {
        let own = self.layer(&(namespace.to_owned(), host.to_owned()));
        let written = (0..=own).filter(|layer| *layer == 0 || self.has(*layer));
        written
            .map(|layer| format!("{}/{}", options.gateway_namespace, name(layer, options)))
            .collect()
    }

    fn has(&self, layer: usize) -> bool {
        self.hosts
            .credentials
            .keys()
            .any(|host| self.layer(host) == layer && !self.inside.contains(host))
    }

    /// The objects; none where no host is served.
    pub(super) fn objects(&self, options: &Options) -> Vec<Object<Gateway>> {
        let deepest = self.over.values().copied().max().unwrap_or_default();
        (0..=deepest)
            .filter_map(|layer| self.object(layer, options))
            .collect()
    }

    fn object(&self, layer: usize, options: &Options) -> Option<Object<Gateway>> {
        let mut servers = Vec::new();
        let mut push = |number, name: String, protocol, hosts: Vec<String>, tls| {
            if !hosts.is_empty() {
                servers.push(Server {
                    port: ServerPort {
                        number,
                        name,
                        protocol,
                    },
                    hosts,
                    tls,
                });
            }
        };
        let first = layer == 0;
        let clear = self
            .hosts
            .clear
            .iter()
            .filter(|host| first && self.layer(host) == 0);
        push(
            options.http_port,
            "http".to_owned(),
            "HTTP",
            clear.map(written).collect(),
            None,
        );
        let mut by_credential: BTreeMap<&String, Vec<String>> = BTreeMap::new();
        for (host, credential) in &self.hosts.credentials {
            if self.layer(host) == layer && !self.inside.contains(host) {
                by_credential.entry(credential).or_default().push(written(host));
            }
        }
        for (credential, hosts) in by_credential {
            let tls = ServerTls {
                mode: "SIMPLE",
                credential_name: Some(credential.clone()),
                cipher_suites: self.hosts.ciphers.get(credential).cloned().unwrap_or_default(),
            };
            let name = format!("https-{credential}");
            push(options.https_port, name, "HTTPS", hosts, Some(tls));
        }
        let through = ServerTls {
            mode: "PASSTHROUGH",
            credential_name: None,
            cipher_suites: Vec::new(),
        };
        let passed = self
            .hosts
            .passthrough
            .iter()
            .filter(|_| first)
            .map(written)
            .collect();
        push(
            options.https_port,
            "tls-passthrough".to_owned(),
            "TLS",
            passed,
            Some(through),
        );
        if servers.is_empty() {
            return None;
        }
        let gateway = Gateway {
            selector: options.gateway_selector.clone(),
            servers,
        };
        let meta = Meta {
            name: name(layer, options),
            namespace: options.gateway_namespace.clone(),
            ..super::meta()
        };
        Some(gateway.object(meta))
    }
}

/// Namespaces and credentials, by host alone: no host is in two namespaces.
fn by_name(credentials: &BTreeMap<Host, String>) -> BTreeMap<String, (String, String)> {
    let name = |((namespace, host), credential): (&Host, &String)| {
        (host.clone(), (namespace.clone(), credential.clone()))
    };
    credentials.iter().map(name).collect()
}

/// The wildcard that a connection ends at which no host of its own has.
fn nearest<'a>(
    named: &'a BTreeMap<String, (String, String)>,
    host: &str,
) -> Option<(&'a String, &'a String)> {
    let (namespace, credential) = wildcards(host).find_map(|wildcard| named.get(&wildcard))?;
    Some((namespace, credential))
}

fn written((namespace, host): &Host) -> String {
    format!("{namespace}/{host}")
}

/// The first layer's Gateway has the name that was asked for.
fn name(layer: usize, options: &Options) -> String {
    if layer == 0 {
        return options.gateway_name.clone();
    }
    format!("{}-under-{layer}", options.gateway_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(hosts: &[(&str, &str, &str)]) -> Layers {
        let mut all = Hosts::default();
        for (namespace, host, credential) in hosts {
            let host = ((*namespace).to_owned(), (*host).to_owned());
            if !credential.is_empty() {
                all.credentials.insert(host.clone(), (*credential).to_owned());
            }
            all.clear.insert(host);
        }
        Layers::new(all)
    }

    fn servers(layers: &Layers, layer: usize) -> Vec<String> {
        let object = layers.object(layer, &Options::default()).unwrap();
        let object = serde_json::to_value(object).unwrap();
        let servers = object["spec"]["servers"].as_array().unwrap().iter();
        servers
            .map(|server| format!("{} {}", server["port"]["protocol"], server["hosts"]))
            .collect()
    }

    #[test]
    fn wildcards_from_narrow_to_wide() {
        let over = |host: &str| wildcards(host).collect::<Vec<_>>();
        assert_eq!(over("x.a.com"), ["*.a.com", "*.com", "*"]);
        assert_eq!(over("*.a.com"), ["*.com", "*"]);
        assert!(over("*").is_empty());
    }

    #[test]
    fn a_host_under_a_wildcard_with_another_certificate_is_a_layer_down() {
        let layers = layers(&[
            ("n", "*.a.com", "wild"),
            ("n", "x.a.com", "own"),
            ("n", "y.a.com", "wild"),
        ]);
        assert_eq!(
            servers(&layers, 0),
            [r#""HTTP" ["n/*.a.com"]"#, r#""HTTPS" ["n/*.a.com"]"#]
        );
        assert_eq!(servers(&layers, 1), [r#""HTTPS" ["n/x.a.com"]"#]);
        let of = |host: &str| layers.gateways("n", host, &Options::default()).len();
        assert_eq!((of("*.a.com"), of("x.a.com")), (1, 2));
    }

    #[test]
    fn a_host_of_another_namespace_is_listed_beside_the_wildcard_that_has_its_connections() {
        let layers = layers(&[("n", "*.a.com", "wild"), ("m", "x.a.com", "")]);
        assert_eq!(
            servers(&layers, 0),
            [
                r#""HTTP" ["m/x.a.com","n/*.a.com"]"#,
                r#""HTTPS" ["m/x.a.com","n/*.a.com"]"#
            ]
        );
    }
}
