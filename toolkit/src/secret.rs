//! Copies of certificates for the gateway's namespace: its pods read Secrets there only. They carry the marks of those
//! that `apply` makes, so that `validate` tells when one is old and `apply --secrets-only` renews it.

use crate::digest;
use crate::marks;
use crate::put;
use crate::see::{self, kinds};
use crate::trouble::Trouble;
use kube::Client;
use serde_json::{Map, Value, json};

/// Keys that a gateway reads.
const KEYS: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

/// What of a Secret is copied.
fn data(secret: &Value) -> Map<String, Value> {
    see::entries(secret, "/data")
        .filter(|(key, _)| KEYS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Whether two Secrets hold the same certificate.
pub fn same(a: &Value, b: &Value) -> bool {
    data(a) == data(b)
}

/// The copy of a Secret under another name, with more labels.
pub fn copy(secret: &Value, namespace: &str, name: &str, labels: &Value) -> Value {
    let source = see::place(Some(see::namespace(secret)), see::name(secret));
    let mut all = put::labels();
    if let (Some(all), Some(more)) = (all.as_object_mut(), labels.as_object()) {
        all.extend(more.clone());
    }
    let data = Value::Object(data(secret));
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {
            "namespace": namespace, "name": name, "labels": all,
            "annotations": {(marks::COPY_OF): source, (marks::WRITTEN): digest::short(&data)},
        },
        "data": data,
    })
}

/// A copy by its name; none where it is not there, or is no copy of ours. Whoever renews a copy knows nothing of its
/// further labels, so the name is what it is found by.
pub async fn find(client: &Client, namespace: &str, name: &str) -> Result<Option<Value>, Trouble> {
    let found = see::get(client, kinds::SECRET, Some(namespace), name).await?;
    Ok(found.filter(|found| put::is_ours(found) && see::annotation(found, marks::COPY_OF).is_some()))
}
