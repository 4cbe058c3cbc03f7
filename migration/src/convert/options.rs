//! What the operator says about the conversion.

use super::names;
use crate::input::Key;
use crate::report::Code;
use std::collections::{BTreeMap, BTreeSet};

/// What is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Gateways, `VirtualServices`, `DestinationRules` and `AuthorizationPolicies` of Istio.
    #[default]
    Istio,
    /// Gateways, `HTTPRoutes` and `ReferenceGrants` of the Gateway API. What only Istio's objects can say is refused.
    GatewayApi(GatewayApi),
}

impl Target {
    /// What is wished of the Gateway API, where that is written.
    pub(super) fn gateway_api(&self) -> Option<&GatewayApi> {
        match self {
            Self::Istio => None,
            Self::GatewayApi(wishes) => Some(wishes),
        }
    }
}

/// What is wished of the Gateway API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayApi {
    /// `spec.gatewayClassName`.
    pub class: String,
    /// Whether paths and headers may be compared by regular expressions. Which ones are taken, and which of two comes
    /// first, is the implementation's; here RE2 and the longer one are expected, as of Istio and Envoy Gateway.
    pub regular_expressions: bool,
}

impl Default for GatewayApi {
    fn default() -> Self {
        Self {
            class: "istio".to_owned(),
            regular_expressions: false,
        }
    }
}

/// What the operator says. The default is Sealos' shared gateway.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Gateway's name.
    pub gateway_name: String,
    /// Its namespace, which must be that of the gateway's pods: they read Secrets there only.
    pub gateway_namespace: String,
    /// Labels of the gateway's pods.
    pub gateway_selector: BTreeMap<String, String>,
    /// The port for HTTP.
    pub http_port: u16,
    /// The port for HTTPS.
    pub https_port: u16,
    /// The domain of Services.
    pub cluster_domain: String,
    /// The controller's ConfigMap; none: the one called `ingress-nginx-controller` or `nginx-configuration`.
    pub controller_config: Option<Key>,
    /// The controller's flags, with or without dashes.
    pub controller_flags: Vec<String>,
    /// The prefix of annotations; none: the controller's flag, or `nginx.ingress.kubernetes.io`.
    pub annotations_prefix: Option<String>,
    /// The class that is converted; none: the controller's flag, or `nginx`.
    pub ingress_class: Option<String>,
    /// The Secret with the default certificate; none: the controller's flag.
    pub default_certificate: Option<Key>,
    /// Codes that refuse nothing.
    pub accept: BTreeSet<Code>,
    /// Codes that refuse nothing of one Ingress, beside those.
    pub accepted: BTreeMap<Key, BTreeSet<Code>>,
    /// What is written.
    pub target: Target,
}

impl Options {
    /// What could never be written, by the name of the option.
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut demand = |fits: bool, option: &'static str, text: &str, what: &str| {
            if !fits {
                found.push((option, format!("{text:?} is no {what}")));
            }
        };
        for part in [&self.gateway_namespace, &self.gateway_name] {
            demand(names::is_label(part), "--gateway", part, "DNS label");
        }
        let domain = names::is_host(&self.cluster_domain) && !self.cluster_domain.starts_with('*');
        demand(domain, "--cluster-domain", &self.cluster_domain, "domain");
        if let Some(wishes) = self.target.gateway_api() {
            let class = names::is_host(&wishes.class) && !wishes.class.starts_with('*');
            demand(class, "--gateway-class", &wishes.class, "name of a GatewayClass");
        }
        for (name, value) in &self.gateway_selector {
            let label = name.split_once('/').map_or(name.as_str(), |(_, label)| label);
            let prefixed = name
                .split_once('/')
                .is_none_or(|(prefix, _)| names::is_host(prefix));
            demand(
                prefixed && is_label_text(label) && !label.is_empty(),
                "--gateway-selector",
                name,
                "label",
            );
            demand(
                is_label_text(value),
                "--gateway-selector",
                value,
                "value of a label",
            );
        }
        found
    }
}

/// As Kubernetes has the values of labels: letters, digits and `-_.`, the first and last of them letters or digits.
fn is_label_text(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= 63 && bytes.iter().copied().all(inner) && edge(bytes.first()) && edge(bytes.last())
}

impl Default for Options {
    fn default() -> Self {
        Self {
            gateway_name: "sealos-gateway".to_owned(),
            gateway_namespace: "istio-system".to_owned(),
            gateway_selector: BTreeMap::from([("istio".to_owned(), "ingressgateway".to_owned())]),
            http_port: 80,
            https_port: 443,
            cluster_domain: "cluster.local".to_owned(),
            controller_config: None,
            controller_flags: Vec::new(),
            annotations_prefix: None,
            ingress_class: None,
            default_certificate: None,
            accept: BTreeSet::new(),
            accepted: BTreeMap::new(),
            target: Target::Istio,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_never_be_written_is_a_mistake() {
        assert_eq!(Options::default().mistakes(), []);
        let with = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.mistakes().len()
        };
        assert_eq!(with(|o| o.gateway_namespace = "Bad_NS".to_owned()), 1);
        assert_eq!(with(|o| o.gateway_name = "G.x".to_owned()), 1);
        assert_eq!(with(|o| o.cluster_domain = "x y".to_owned()), 1);
        for (name, value, wrong) in [
            ("a", "b c", 1),
            ("a b", "c", 1),
            ("x.y/a", "", 0),
            ("istio", "edge-1", 0),
        ] {
            let mut options = Options::default();
            options.gateway_selector.insert(name.to_owned(), value.to_owned());
            assert_eq!(options.mistakes().len(), wrong, "{name}={value}");
        }
    }
}
