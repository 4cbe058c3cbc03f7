//! Self-made certificates, and where each side finds them.

use std::collections::BTreeMap;
use std::path::Path;

use gradual_rollout_migration::convert::Options;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::given::{Done, Ingress};
use crate::nginx_conf::Files;

/// The key of the certificate for hosts without.
pub(crate) const DEFAULT: &str = "default";

/// Self-made ones for every Secret that an Ingress names.
pub(crate) struct Certificates {
    pub(crate) files: BTreeMap<String, Files>,
    /// By what is sent in the handshake.
    pub(crate) names: BTreeMap<Vec<u8>, String>,
}

impl Certificates {
    pub(crate) fn new(folder: &Path, ingresses: &[Ingress], options: &Options) -> Self {
        let mut hosts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        hosts.insert(DEFAULT.to_owned(), vec!["ingress.local".to_owned()]);
        for ingress in ingresses {
            let namespace = ingress.0["metadata"]["namespace"].as_str().unwrap();
            for tls in ingress.0["spec"]["tls"].as_array().into_iter().flatten() {
                let key = format!("{namespace}/{}", tls["secretName"].as_str().unwrap());
                let names = tls["hosts"].as_array().unwrap().iter();
                let names = names.map(|name| name.as_str().unwrap().to_owned());
                hosts.entry(key).or_default().extend(names);
            }
        }
        let mut made = Self {
            files: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        for (number, (key, hosts)) in hosts.into_iter().enumerate() {
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(hosts).unwrap();
            let files = Files {
                chain: folder.join(format!("{number}.crt")),
                key: folder.join(format!("{number}.key")),
            };
            std::fs::write(&files.chain, cert.pem()).unwrap();
            std::fs::write(&files.key, signing_key.serialize_pem()).unwrap();
            made.names.insert(cert.der().to_vec(), key.clone());
            made.files.insert(key, files);
        }
        if let Some((namespace, name)) = &options.default_certificate {
            let files = made.files[DEFAULT].clone();
            made.files.insert(format!("{namespace}/{name}"), files);
        }
        made
    }

    /// What the gateway finds there: its own, and the copies that the report asks for.
    pub(crate) fn in_the_gateways_namespace(
        &self,
        done: &Done,
        options: &Options,
    ) -> BTreeMap<String, Files> {
        let mut found = BTreeMap::new();
        for (key, files) in &self.files {
            if let Some(name) = key.strip_prefix(&format!("{}/", options.gateway_namespace)) {
                found.insert(name.to_owned(), files.clone());
            }
        }
        for copy in &done.conversion.report.secrets {
            let key = format!("{}/{}", copy.from_namespace, copy.from_name);
            assert_eq!(copy.to_namespace, options.gateway_namespace);
            found.insert(copy.to_name.clone(), self.files[&key].clone());
        }
        found
    }
}
