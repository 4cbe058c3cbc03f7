//! Copies of Secrets for the gateway's namespace: its pods read certificates there only.

use crate::put;
use crate::see;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// From where a copy was made, as `namespace/name`.
pub const SOURCE: &str = "rollout.sealos.io/copied-from";
/// The hash of what was copied, by which a renewal is seen.
pub const HASH: &str = "rollout.sealos.io/copied-hash";

/// SHA-256 of a Secret's values, in hexadecimal digits. The order of keys does not matter.
pub fn hash(secret: &Value) -> String {
    let mut sorted: Vec<(&String, &Value)> = see::entries(secret, "/data").collect();
    sorted.sort_by_key(|(key, _)| *key);
    let text = json!(sorted).to_string();
    let mut hash = String::new();
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// The copy of a Secret under another name, with more labels.
pub fn copy(secret: &Value, namespace: &str, name: &str, labels: &Value) -> Value {
    let source = see::place(Some(see::namespace(secret)), see::name(secret));
    let mut all = put::labels();
    if let (Some(all), Some(more)) = (all.as_object_mut(), labels.as_object()) {
        all.extend(more.clone());
    }
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "namespace": namespace, "name": name, "labels": all,
            "annotations": {(SOURCE): source, (HASH): hash(secret)},
        },
        "type": secret.get("type").cloned().unwrap_or_else(|| "kubernetes.io/tls".into()),
        "data": secret.get("data").cloned().unwrap_or_default(),
    })
}
