//! `DestinationRule`.

use super::{At, list, present, text, texts, words};
use crate::convert::is_label;
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn check(at: &mut At, spec: &Value) {
    words::host(at, "spec.host", text(spec, "host"), false);
    for name in texts(spec, "exportTo") {
        let fits = ["*", "."].contains(&name) || is_label(name);
        at.demand(fits, "spec.exportTo", "a namespace, `*` or `.` is demanded");
    }
    if let Some(policy) = spec.get("trafficPolicy") {
        self::policy(at, "spec.trafficPolicy", policy);
    }
    let mut names = BTreeSet::new();
    for subset in list(spec, "subsets") {
        let name = text(subset, "name");
        at.demand(is_label(name), "spec.subsets", "a subset's name is a DNS label");
        at.demand(names.insert(name), "spec.subsets", "names of subsets are unique");
        if let Some(policy) = subset.get("trafficPolicy") {
            self::policy(at, "spec.subsets.trafficPolicy", policy);
        }
    }
}

fn policy(at: &mut At, field: &str, value: &Value) {
    let empty = value.as_object().is_none_or(serde_json::Map::is_empty);
    at.demand(!empty, field, "a policy says something");
    for (index, port) in list(value, "portLevelSettings").iter().enumerate() {
        let field = format!("{field}.portLevelSettings[{index}]");
        words::port(at, &format!("{field}.port"), port.pointer("/port/number"));
        let says = present(
            port,
            &["loadBalancer", "connectionPool", "outlierDetection", "tls"],
        );
        at.demand(says > 0, &field, "a policy says something");
        parts(at, &field, port);
    }
    parts(at, field, value);
}

/// What would end an attribute, or the header itself, is in none.
fn cookie(at: &mut At, field: &str, cookie: &Value) {
    let plain = |text: &str| {
        !text
            .chars()
            .any(|c| c == ';' || c.is_whitespace() || c.is_control())
    };
    at.demand(
        plain(text(cookie, "path")),
        field,
        "a cookie's path has neither blanks nor semicolons",
    );
    for attribute in list(cookie, "attributes") {
        let fits = plain(text(attribute, "name")) && plain(text(attribute, "value"));
        at.demand(
            fits,
            field,
            "a cookie's attribute has neither blanks nor semicolons",
        );
    }
}

fn parts(at: &mut At, field: &str, value: &Value) {
    if let Some(balancer) = value.get("loadBalancer") {
        let field = format!("{field}.loadBalancer");
        at.demand(
            present(balancer, &["simple", "consistentHash"]) <= 1,
            &field,
            "simple and consistentHash exclude each other",
        );
        if let Some(hash) = balancer.get("consistentHash") {
            let keys = [
                "httpHeaderName",
                "httpCookie",
                "useSourceIp",
                "httpQueryParameterName",
            ];
            at.demand(
                present(hash, &keys) == 1,
                &field,
                "exactly one thing to hash by is demanded",
            );
            for key in ["httpHeaderName", "httpQueryParameterName"] {
                at.demand(
                    hash.get(key).is_none_or(|name| name != ""),
                    &field,
                    "a name to hash by is not empty",
                );
            }
            if let Some(cookie) = hash.get("httpCookie") {
                self::cookie(at, &field, cookie);
                at.demand(!text(cookie, "name").is_empty(), &field, "a cookie has a name");
                if let Some(ttl) = cookie.get("ttl") {
                    let fits = ttl.as_str().and_then(words::milliseconds).is_some();
                    at.demand(fits, &field, "ttl is a duration");
                }
            }
        }
    }
    let connect = value.pointer("/connectionPool/tcp/connectTimeout");
    words::duration(at, &format!("{field}.connectionPool.tcp.connectTimeout"), connect);
    words::duration(
        at,
        &format!("{field}.connectionPool.http.idleTimeout"),
        value.pointer("/connectionPool/http/idleTimeout"),
    );
    if let Some(tls) = value.get("tls") {
        let field = format!("{field}.tls");
        let certificate = present(tls, &["clientCertificate", "privateKey", "credentialName"]);
        match text(tls, "mode") {
            "MUTUAL" => at.demand(certificate > 0, &field, "MUTUAL needs a client certificate"),
            "SIMPLE" => at.demand(
                present(tls, &["clientCertificate", "privateKey"]) == 0,
                &field,
                "SIMPLE has no client certificate",
            ),
            "ISTIO_MUTUAL" => at.demand(certificate == 0, &field, "ISTIO_MUTUAL has its own certificates"),
            "DISABLE" => {}
            _ => at.wrong(field, "Istio does not know this mode"),
        }
    }
}
