//! Paths that protect beside paths that do not, and what nginx and Istio hear differently.

use super::{Case, flags};
use crate::given::{Done, Ingress, convert_all, convert_objects, convert_with};
use gradual_rollout_migration::convert::Options;
use serde_json::json;

fn guarded(path: &str) -> Ingress {
    Ingress::new("a/guarded")
        .note("whitelist-source-range", "10.0.0.0/8")
        .path("a.com", "Prefix", path, "s")
}

fn open(kind: &str, path: &str) -> Ingress {
    Ingress::new("a/open").path("a.com", kind, path, "s")
}

fn through(host: &str, notes: &[(&str, &str)]) -> Done {
    let one = Ingress::new("a/x")
        .note("ssl-passthrough", "true")
        .path(host, "Prefix", "/", "s");
    let one = notes
        .iter()
        .fold(one, |ingress, (name, value)| ingress.note(name, value));
    convert_with(&[one], &[], &flags(&["--enable-ssl-passthrough"]))
}

pub(super) fn cases() -> Vec<Case> {
    let h2c = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "a", "name": "s"},
        "spec": {"ports": [{"name": "http2", "port": 80}]}});
    vec![
        (
            "PATH-SPELLING",
            convert_all(&[guarded("/"), open("Prefix", "/pub")]),
        ),
        (
            "PATH-NEVER",
            convert_all(&[open("ImplementationSpecific", "/admin//x")]),
        ),
        (
            "PATH-PAIR",
            convert_all(&[guarded("/admin").day(2), open("Prefix", "/admin/").day(1)]),
        ),
        (
            "BACKEND-HTTP2",
            convert_objects(&[open("Prefix", "/").0, h2c], &Options::default()),
        ),
        (
            "SSL-PASSTHROUGH-CLEAR",
            through("a.com", &[("whitelist-source-range", "10.0.0.0/8")]),
        ),
        ("SSL-PASSTHROUGH-WILDCARD", through("*.a.com", &[])),
    ]
}
