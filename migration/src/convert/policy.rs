//! `DestinationRules`: how the gateway speaks to a Service's port. Each Service has one, which all its Ingresses share.

use super::Options;
use super::backend::Resolved;
use super::features::{Features, Protocol};
use super::names;
use crate::istio::{
    ConnectionPool, DestinationRule, HttpPool, Kind as _, LoadBalancer, Meta, Object, PortPolicy,
    PortSelector, TcpPool, TrafficPolicy, UpstreamTls,
};
use crate::report::Code;
use std::collections::BTreeMap;

/// What all Ingresses together say about a port.
#[derive(Clone, Debug)]
struct Port {
    host: String,
    protocol: Protocol,
    sni: Option<String>,
    http2: bool,
    balance: Option<LoadBalancer>,
    connect_timeout: Option<u64>,
}

/// Service (namespace and name) and port.
type PortKey = (String, String, u16);

/// The ports that are used.
#[derive(Default)]
pub(super) struct Policies {
    ports: BTreeMap<PortKey, Port>,
}

impl Policies {
    /// Takes a use of a port; the first one decides, so the oldest Ingress must come first. What cannot be said
    /// beside it is the code.
    ///
    /// Beside TLS that is passed through none is spoken: the rule holds for both.
    pub(super) fn join(&mut self, resolved: &Resolved, features: &Features, through: bool) -> Option<Code> {
        let (namespace, name) = resolved.service.clone();
        let key = (namespace, name, resolved.destination.port.number);
        let raw = through && features.protocol.is_encrypted();
        let fresh = Port {
            host: resolved.destination.host.clone(),
            protocol: if raw { Protocol::Http } else { features.protocol },
            sni: features.sni.clone().filter(|_| !raw),
            http2: resolved.http2,
            balance: features.balance.clone(),
            connect_timeout: features.connect_timeout,
        };
        let Some(known) = self.ports.get(&key) else {
            self.ports.insert(key, fresh);
            return None;
        };
        if known.protocol != fresh.protocol || known.sni != fresh.sni {
            return Some(Code::BackendConflict);
        }
        let same = known.balance == fresh.balance && known.connect_timeout == fresh.connect_timeout;
        (!same).then_some(Code::BalanceConflict)
    }

    /// The objects, for the Services that routes lead to.
    pub(super) fn objects(
        &self,
        options: &Options,
        used: impl Fn(&str, u16) -> bool,
    ) -> Vec<Object<DestinationRule>> {
        let mut services: BTreeMap<(&str, &str), (&str, Vec<PortPolicy>)> = BTreeMap::new();
        for ((namespace, name, number), port) in &self.ports {
            if !used(&port.host, *number) {
                continue;
            }
            if let Some(policy) = port.policy(*number) {
                let service = services
                    .entry((namespace, name))
                    .or_insert_with(|| (&port.host, Vec::new()));
                service.1.push(policy);
            }
        }
        services
            .into_iter()
            .map(|((namespace, name), (host, policies))| {
                let rule = DestinationRule {
                    host: host.to_owned(),
                    export_to: vec![options.gateway_namespace.clone()],
                    traffic_policy: TrafficPolicy {
                        port_level_settings: policies,
                    },
                };
                let meta = Meta {
                    name: names::label(name, &[namespace, name]),
                    namespace: namespace.to_owned(),
                    ..super::meta()
                };
                rule.object(meta)
            })
            .collect()
    }
}

impl Port {
    fn policy(&self, number: u16) -> Option<PortPolicy> {
        let encrypted = self.protocol.is_encrypted();
        let http2 = matches!(self.protocol, Protocol::Grpc | Protocol::Grpcs) && !self.http2;
        let tcp = self
            .connect_timeout
            .filter(|seconds| *seconds > 0)
            .map(|seconds| TcpPool {
                connect_timeout: format!("{seconds}s"),
            });
        let http = http2.then_some(HttpPool {
            h2_upgrade_policy: "UPGRADE",
        });
        let pool = (tcp.is_some() || http.is_some()).then_some(ConnectionPool { tcp, http });
        if !encrypted && pool.is_none() && self.balance.is_none() {
            return None;
        }
        Some(PortPolicy {
            port: PortSelector { number },
            load_balancer: self.balance.clone(),
            connection_pool: pool,
            tls: encrypted.then(|| UpstreamTls {
                mode: "SIMPLE",
                insecure_skip_verify: true,
                sni: self.sni.clone(),
            }),
        })
    }
}
