//! The Gateway: one server for HTTP, one for each certificate, one for TLS that is passed through.
//!
//! Istio skips a second server with the same port and host, and browsers reuse a connection for every host of a
//! certificate: so hosts with the same Secret share a server, and no host is in two.

use super::Options;
use crate::istio::{Gateway, Kind as _, Meta, Server, ServerPort, ServerTls};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Above this many hosts the object comes near what the API server takes (1.5 MB, at about 200 bytes a host).
pub(super) const MOST_HOSTS: usize = 5000;

/// Hosts, as `namespace/host`, by what they need.
#[derive(Default)]
pub(super) struct Hosts {
    pub clear: BTreeSet<String>,
    pub by_credential: BTreeMap<String, BTreeSet<String>>,
    pub passthrough: BTreeSet<String>,
}

impl Hosts {
    /// The object; none where no host is served.
    pub(super) fn object(&self, options: &Options) -> Option<Result<Value, String>> {
        let mut servers = Vec::new();
        let mut push = |number, name: String, protocol, hosts: &BTreeSet<String>, tls| {
            if !hosts.is_empty() {
                servers.push(Server {
                    port: ServerPort {
                        number,
                        name,
                        protocol,
                    },
                    hosts: hosts.iter().cloned().collect(),
                    tls,
                });
            }
        };
        push(options.http_port, "http".to_owned(), "HTTP", &self.clear, None);
        for (credential, hosts) in &self.by_credential {
            let tls = ServerTls {
                mode: "SIMPLE",
                credential_name: Some(credential.clone()),
            };
            push(
                options.https_port,
                format!("https-{credential}"),
                "HTTPS",
                hosts,
                Some(tls),
            );
        }
        let through = ServerTls {
            mode: "PASSTHROUGH",
            credential_name: None,
        };
        push(
            options.https_port,
            "tls-passthrough".to_owned(),
            "TLS",
            &self.passthrough,
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
            name: options.gateway_name.clone(),
            namespace: options.gateway_namespace.clone(),
            ..super::meta()
        };
        Some(super::value(&gateway.object(meta)))
    }
}
