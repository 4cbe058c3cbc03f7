//! What the operator says about the conversion.

use crate::input::Key;
use crate::report::Code;
use std::collections::{BTreeMap, BTreeSet};

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
        }
    }
}
