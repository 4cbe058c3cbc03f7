//! A cluster's Ingresses as the pure converter reads them, and the part of them that belongs together.
//!
//! - [`args`]: what an operator says about it;
//! - [`closure`]: which Ingresses cannot be told apart at a gateway.

pub mod args;
pub mod closure;

use crate::classes;
use crate::cluster::{self, Cluster, Kind, meta};
use crate::digest;
use crate::marks;
use crate::preflight::controller;
use crate::trouble::Trouble;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gradual_rollout_migration::convert::{self, Conversion, Options};
use gradual_rollout_migration::input::{self, Inventory, Key, Source};
use gradual_rollout_migration::rules;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a conversion reads.
pub const READ: [Kind; 7] = [
    // Controllers first: what an Ingress is for is said by annotations with their prefix.
    cluster::DEPLOYMENT,
    cluster::DAEMON_SET,
    cluster::INGRESS,
    cluster::INGRESS_CLASS,
    cluster::SERVICE,
    cluster::SECRET,
    cluster::CONFIG_MAP,
];

/// A cluster as it was read.
#[derive(Debug)]
pub struct Seen {
    /// As the converter sees it; no values of Secrets are in it.
    pub inventory: Inventory,
    /// The Ingresses as they are stored.
    pub ingresses: BTreeMap<Key, Value>,
    /// Ingresses that are left out, as they serve no application: solvers of challenges, canaries of this program.
    pub passing: BTreeSet<Key>,
    /// Certificates, with their values.
    pub certificates: BTreeMap<Key, Value>,
}

/// Reads what a conversion needs. Nothing of it may be left out: a Secret that may not be read would look like a host
/// without a certificate.
pub async fn read(cluster: &Cluster) -> Result<Seen, Trouble> {
    let mut text = String::new();
    let (mut ingresses, mut certificates) = (BTreeMap::new(), BTreeMap::new());
    let (mut passing, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
    for kind in &READ {
        for mut object in cluster.all(kind, None).await? {
            let key = (
                meta(&object, "namespace").to_owned(),
                meta(&object, "name").to_owned(),
            );
            match kind.kind {
                "Deployment" | "DaemonSet" if !is_controller(&object) => continue,
                "Deployment" | "DaemonSet" => {
                    let found = controller::of(std::iter::once(&object));
                    prefixes.extend(found.iter().map(|one| one.prefix().to_owned()));
                }
                "Secret" => {
                    if object.pointer("/data/tls.crt").is_some() {
                        certificates.insert(key, object.clone());
                    }
                    hide(&mut object);
                }
                // Solvers come and go, and our own canaries lead to the gateway already.
                "Ingress" if classes::passes(&object, &known(&prefixes)) => {
                    passing.insert(key);
                    continue;
                }
                "Ingress" => {
                    ingresses.insert(key, object.clone());
                }
                _ => {}
            }
            if let Some(meta) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                meta.remove("managedFields");
                if let Some(notes) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
                    // Our own marks say nothing about how requests are served.
                    notes.retain(|name, _| !marks::is_mark(name));
                }
            }
            // JSON is YAML too; documents of their own are read by all hands.
            text.push_str("---\n");
            text.push_str(&object.to_string());
            text.push('\n');
        }
    }
    let source = Source {
        name: "cluster".to_owned(),
        text,
    };
    Ok(Seen {
        inventory: input::read(&[source]),
        ingresses,
        passing,
        certificates,
    })
}

/// That a Secret has a key is all that a conversion is told.
fn hide(secret: &mut Value) {
    let same = same(secret);
    if let Some(data) = secret.get_mut("data").and_then(Value::as_object_mut) {
        let filled = data
            .iter()
            .filter(|(_, value)| value.as_str().is_some_and(|v| !v.is_empty()));
        *data = filled
            .map(|(key, _)| (key.clone(), "c2V0".into()))
            .collect::<Map<_, _>>();
        if let Some(same) = same {
            data.insert("tls.crt".to_owned(), same.into());
        }
    }
    if let Some(notes) = secret
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        // kubectl keeps a copy of all values here.
        notes.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

/// How a certificate in PEM begins.
const BEGIN: &[u8] = b"-----BEGIN";

/// What stands for a certificate with its key: two are the same where this is.
fn same(secret: &Value) -> Option<String> {
    let text = |key: &str| STANDARD.decode(secret.pointer("/data")?.get(key)?.as_str()?).ok();
    let (certificate, key) = (text("tls.crt")?, text("tls.key")?);
    let digest = digest::of(&json!([digest::of_bytes(&certificate), digest::of_bytes(&key)]));
    (certificate.starts_with(BEGIN) && !key.is_empty())
        .then(|| STANDARD.encode([BEGIN, digest.as_bytes()].concat()))
}

/// The prefixes of the controllers that run, or the usual one where none is seen.
fn known(prefixes: &BTreeSet<String>) -> BTreeSet<String> {
    if prefixes.is_empty() {
        return BTreeSet::from(["nginx.ingress.kubernetes.io".to_owned()]);
    }
    prefixes.clone()
}

/// Whether a workload runs ingress-nginx.
pub fn is_controller(workload: &Value) -> bool {
    let containers = workload
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    let words = |container: &Value, field: &str| {
        let list = container.get(field).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(|word| word.ends_with("nginx-ingress-controller"))
    };
    containers
        .into_iter()
        .flatten()
        .any(|container| words(container, "command") || words(container, "args"))
}

/// The prefix of annotations that the controller goes by.
pub fn prefix(inventory: &Inventory, options: &Options) -> String {
    let flag = |flag: &String| {
        flag.trim_start_matches('-')
            .strip_prefix("annotations-prefix=")
            .map(ToOwned::to_owned)
    };
    let said = options.annotations_prefix.clone();
    let said = said.or_else(|| options.controller_flags.iter().find_map(flag));
    said.or_else(|| inventory.controller_flags.iter().find_map(flag))
        .unwrap_or_else(|| "nginx.ingress.kubernetes.io".to_owned())
}

/// Converts, and refuses to hand out what would break a rule of Istio.
pub fn convert(inventory: &Inventory, options: &Options) -> Result<Conversion, Trouble> {
    let conversion =
        convert::convert(inventory, options).map_err(|error| Trouble::Internal(error.to_string()))?;
    match rules::check(&conversion.objects).first() {
        Some(broken) => Err(Trouble::Internal(format!(
            "an object would break a rule of Istio: {broken}"
        ))),
        None => Ok(conversion),
    }
}
