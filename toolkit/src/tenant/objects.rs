//! The objects of a tenant.

use crate::put;
use crate::see::{Kind, kinds};
use serde_json::{Value, json};

/// The label with a tenant's name, on everything that is written for it.
pub(super) const TENANT: &str = "rollout.sealos.io/tenant";

/// The name of a tenant's Gateway.
pub(super) fn gateway_name(tenant: &str) -> String {
    format!("{tenant}-gateway")
}

/// What a tenant is made of.
#[derive(Clone, Debug)]
pub(super) struct Tenant {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// The namespace of the gateway's pods.
    pub gateway_namespace: String,
    /// Their labels.
    pub gateway_selector: Vec<(String, String)>,
    /// The Secret in the gateway's namespace; none: HTTP only.
    pub secret: Option<String>,
    /// Further namespaces whose pods may call the tenant's.
    pub callers: Vec<String>,
    /// Addresses that may.
    pub addresses: Vec<String>,
    /// There are sidecars, which can tell callers apart.
    pub mesh: bool,
}

impl Tenant {
    fn metadata(&self, namespace: &str, name: &str) -> Value {
        json!({"namespace": namespace, "name": name, "labels": self.labels()})
    }

    /// The labels of every object of this tenant.
    pub(super) fn labels(&self) -> Value {
        let mut labels = put::labels();
        if let Some(map) = labels.as_object_mut() {
            map.insert(TENANT.to_owned(), self.name.clone().into());
        }
        labels
    }

    /// The Secret's name, where it is copied.
    pub(super) fn secret_name(&self) -> String {
        format!("{}-tls-cert", self.name)
    }

    /// Its namespace, for the case that it is not there.
    pub(super) fn namespace_object(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": self.namespace, "labels": self.labels(),
        }})
    }

    /// Everything but namespace and Secret, in the order of writing: what keeps others out comes before what lets
    /// clients in.
    pub(super) fn objects(&self) -> Vec<(Kind, Value)> {
        let mut all = vec![
            (kinds::QUOTA, self.quota()),
            (kinds::NETWORK_POLICY, self.network_policy()),
        ];
        if self.mesh {
            all.push(self.for_sidecars());
        }
        all.push((kinds::GATEWAY, self.gateway()));
        all
    }

    /// What is written only where there are sidecars.
    pub(super) fn for_sidecars(&self) -> (Kind, Value) {
        (kinds::AUTHORIZATION, self.authorization())
    }

    fn quota(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": self.metadata(&self.namespace, "tenant-network"),
            "spec": {"hard": {"services.loadbalancers": "0"}},
        })
    }

    /// Without sidecars only the network can tell who calls.
    fn network_policy(&self) -> Value {
        let named = |namespace: &str| json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
        let selector: serde_json::Map<String, Value> = self
            .gateway_selector
            .iter()
            .map(|(label, value)| (label.clone(), value.clone().into()))
            .collect();
        let mut from = vec![
            json!({"podSelector": {}}),
            json!({
                "namespaceSelector": named(&self.gateway_namespace), "podSelector": {"matchLabels": selector},
            }),
        ];
        from.extend(
            self.callers
                .iter()
                .map(|namespace| json!({"namespaceSelector": named(namespace)})),
        );
        from.extend(
            self.addresses
                .iter()
                .map(|cidr| json!({"ipBlock": {"cidr": cidr}})),
        );
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": self.metadata(&self.namespace, "tenant-isolation"),
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": from}]},
        })
    }

    fn authorization(&self) -> Value {
        let mut namespaces = vec![self.namespace.clone(), self.gateway_namespace.clone()];
        namespaces.extend(self.callers.iter().cloned());
        let mut from = vec![json!({"source": {"namespaces": namespaces}})];
        // Pods in the network of a node have no sidecar, and so no name that they could show.
        if !self.addresses.is_empty() {
            from.push(json!({"source": {"ipBlocks": self.addresses}}));
        }
        json!({
            "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": self.metadata(&self.namespace, "tenant-isolation"),
            "spec": {"action": "ALLOW", "rules": [{"from": from}]},
        })
    }

    /// `namespace/host`: only VirtualServices of the tenant may use the tenant's hosts.
    fn gateway(&self) -> Value {
        let hosts: Vec<String> = self
            .hosts
            .iter()
            .map(|host| format!("{}/{host}", self.namespace))
            .collect();
        let selector: serde_json::Map<String, Value> = self
            .gateway_selector
            .iter()
            .map(|(label, value)| (label.clone(), value.clone().into()))
            .collect();
        let mut servers = vec![json!({
            "hosts": hosts, "port": {"number": 80, "name": "http", "protocol": "HTTP"},
        })];
        if let Some(secret) = &self.secret {
            servers.push(json!({
                "hosts": hosts, "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
                "tls": {"mode": "SIMPLE", "credentialName": secret},
            }));
        }
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": self.metadata(&self.namespace, &gateway_name(&self.name)),
            "spec": {"selector": selector, "servers": servers},
        })
    }
}
