//! Gateway.

use super::{At, list, present, text, texts, words};
use crate::convert::{CIPHERS, is_label};
use serde_json::Value;
use std::collections::BTreeSet;

const PROTOCOLS: &[&str] = &[
    "HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "TCP", "TLS",
];

pub(super) fn check(at: &mut At, object: &Value, spec: &Value) {
    let name = object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    at.demand(is_label(name), "metadata.name", "a Gateway's name is a DNS label");
    let servers = list(spec, "servers");
    at.demand(!servers.is_empty(), "spec.servers", "a Gateway has a server");
    let mut names = BTreeSet::new();
    let mut hosts = BTreeSet::new();
    for (index, server) in servers.iter().enumerate() {
        let field = format!("spec.servers[{index}]");
        let port = server.get("port").unwrap_or(&Value::Null);
        words::port(at, &format!("{field}.port.number"), port.get("number"));
        let name = text(port, "name");
        at.demand(
            !name.is_empty(),
            &format!("{field}.port.name"),
            "a port has a name",
        );
        at.demand(
            names.insert(name),
            &format!("{field}.port.name"),
            "names of ports are unique",
        );
        let protocol = text(port, "protocol");
        at.demand(
            PROTOCOLS.contains(&protocol),
            &format!("{field}.port.protocol"),
            "Istio does not know this protocol",
        );
        tls(at, &format!("{field}.tls"), protocol, server.get("tls"));
        at.demand(
            !list(server, "hosts").is_empty(),
            &format!("{field}.hosts"),
            "a server has hosts",
        );
        for host in texts(server, "hosts") {
            let (namespace, name) = host.split_once('/').unwrap_or(("*", host));
            let fits = ["*", "."].contains(&namespace) || is_label(namespace);
            at.demand(
                fits,
                &format!("{field}.hosts"),
                "a host is `namespace/host`, where the namespace may be `*` or `.`",
            );
            words::host(at, &format!("{field}.hosts"), name, true);
            // Istio skips the second server of a port with the same host, with a line in its log only.
            let number = port.get("number").and_then(Value::as_u64);
            let fresh = hosts.insert((number, name.to_owned()));
            at.demand(
                fresh,
                &format!("{field}.hosts"),
                "another server of this port has the host",
            );
        }
    }
}

fn tls(at: &mut At, field: &str, protocol: &str, tls: Option<&Value>) {
    let Some(tls) = tls else {
        at.demand(
            !["HTTPS", "TLS"].contains(&protocol),
            field,
            "HTTPS and TLS need tls",
        );
        return;
    };
    if !["HTTPS", "TLS"].contains(&protocol) {
        let only = tls
            .as_object()
            .is_some_and(|tls| tls.keys().all(|key| key == "httpsRedirect"));
        at.demand(
            only && protocol == "HTTP",
            field,
            "only httpsRedirect is allowed beside plain HTTP",
        );
        return;
    }
    at.demand(
        texts(tls, "cipherSuites")
            .iter()
            .all(|name| CIPHERS.contains(name)),
        field,
        "Envoy does not know a name among cipherSuites, and Istio leaves it out",
    );
    let sources = present(tls, &["credentialName", "credentialNames", "serverCertificate"]);
    match text(tls, "mode") {
        "SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL" => {
            at.demand(
                sources == 1,
                field,
                "exactly one source of the certificate is demanded",
            );
            let empty = tls.get("credentialName").is_some_and(|name| name == "");
            at.demand(!empty, field, "credentialName must not be empty");
        }
        "PASSTHROUGH" | "AUTO_PASSTHROUGH" | "ISTIO_MUTUAL" => {
            at.demand(sources == 0, field, "this mode has no certificate");
        }
        _ => at.wrong(field, "Istio does not know this mode"),
    }
}
