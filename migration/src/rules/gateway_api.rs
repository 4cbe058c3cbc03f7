//! `HTTPRoutes` and Gateways of the Gateway API: their CEL rules, patterns and bounds, as far as they concern what is
//! written here, and references that nobody allows.
//!
//! Source: the CRDs of gateway-api v1.5.

use super::{At, list, text, texts};
use crate::convert::{is_header_name, is_host};
use serde_json::Value;
use std::collections::BTreeSet;

/// Whether an object is of this API; Istio has a Gateway too.
pub(super) fn is(object: &Value) -> bool {
    text(object, "apiVersion").starts_with("gateway.networking.k8s.io/")
}

pub(super) fn gateway(at: &mut At, spec: &Value) {
    let listeners = list(spec, "listeners");
    at.demand(
        (1..=64).contains(&listeners.len()),
        "spec.listeners",
        "1 to 64 listeners",
    );
    let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
    for (number, listener) in listeners.iter().enumerate() {
        let field = format!("spec.listeners[{number}]");
        at.demand(names.insert(text(listener, "name")), &field, "two have this name");
        let place = (
            listener.get("port").and_then(Value::as_u64),
            text(listener, "protocol"),
            text(listener, "hostname"),
        );
        at.demand(
            places.insert(place),
            &field,
            "two have this port, protocol and hostname",
        );
        let secure = text(listener, "protocol") == "HTTPS";
        at.demand(
            secure == listener.get("tls").is_some(),
            &field,
            "tls belongs to HTTPS",
        );
        if let Some(tls) = listener.get("tls") {
            let certificates = list(tls, "certificateRefs");
            at.demand(!certificates.is_empty(), &field, "a certificate is missing");
            let elsewhere = certificates.iter().any(|c| c.get("namespace").is_some());
            at.demand(
                !elsewhere,
                &field,
                "a Secret of another namespace needs a ReferenceGrant",
            );
        }
    }
}

pub(super) fn route(at: &mut At, object: &Value, spec: &Value, grants: &BTreeSet<Grant>) {
    for host in texts(spec, "hostnames") {
        at.demand(is_host(host), "spec.hostnames", "no host name");
    }
    let rules = list(spec, "rules");
    at.demand((1..=16).contains(&rules.len()), "spec.rules", "1 to 16 rules");
    let matches: usize = rules.iter().map(|rule| list(rule, "matches").len()).sum();
    at.demand(matches <= 128, "spec.rules", "128 matches at most");
    let own = object.get("metadata").map_or("", |meta| text(meta, "namespace"));
    for (number, rule) in rules.iter().enumerate() {
        let field = format!("spec.rules[{number}]");
        for matched in list(rule, "matches") {
            self::matched(at, matched, &field);
        }
        filters(at, rule, &field);
        for reference in list(rule, "backendRefs") {
            at.demand(
                reference.get("port").is_some(),
                &field,
                "a Service needs its port",
            );
            let namespace = Some(text(reference, "namespace")).filter(|n| !n.is_empty());
            let there = namespace.unwrap_or(own);
            let allowed = there == own || {
                let key = [there, own, text(reference, "name")].map(ToOwned::to_owned);
                grants.contains(&key)
            };
            at.demand(
                allowed,
                &field,
                "a Service of another namespace needs a ReferenceGrant",
            );
        }
    }
}

fn matched(at: &mut At, matched: &Value, field: &str) {
    let path = matched.get("path").unwrap_or(&Value::Null);
    let value = text(path, "value");
    at.demand(value.len() <= 1024, field, "a path has 1024 characters at most");
    if ["Exact", "PathPrefix"].contains(&text(path, "type")) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-/._~!$&'()*+,;=:@%".contains(c);
        let fits = value.starts_with('/')
            && value.chars().all(plain)
            && !["//", "/./", "/../", "%2f", "%2F"]
                .iter()
                .any(|part| value.contains(part))
            && !value.ends_with("/..")
            && !value.ends_with("/.");
        at.demand(fits, field, "no path of an HTTPRoute");
    }
    for header in list(matched, "headers") {
        let fits = is_header_name(text(header, "name")) && is_value(text(header, "value"));
        at.demand(fits, field, "no header of an HTTPRoute");
    }
}

/// `^[!-~]+([\t ]?[!-~]+)*$`, 4096 at most.
fn is_value(value: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_graphic());
    let inner = |c: char| c.is_ascii_graphic() || c == ' ' || c == '\t';
    let mut pairs = value.chars().zip(value.chars().skip(1));
    value.len() <= 4096
        && value.chars().all(inner)
        && ends(value.chars().next())
        && ends(value.chars().next_back())
        && !pairs.any(|(a, b)| a.is_ascii_whitespace() && b.is_ascii_whitespace())
}

fn filters(at: &mut At, rule: &Value, field: &str) {
    let filters = list(rule, "filters");
    let kinds: BTreeSet<&str> = filters.iter().map(|filter| text(filter, "type")).collect();
    at.demand(kinds.len() == filters.len(), field, "a filter is there twice");
    let redirects = kinds.contains("RequestRedirect");
    let forwards = !list(rule, "backendRefs").is_empty();
    at.demand(!(redirects && forwards), field, "a redirect has no back ends");
    at.demand(
        !(redirects && kinds.contains("URLRewrite")),
        field,
        "a redirect rewrites nothing",
    );
    for filter in filters {
        for way in ["requestHeaderModifier", "responseHeaderModifier"] {
            let Some(change) = filter.get(way) else { continue };
            let set = list(change, "set");
            at.demand(set.len() <= 16, field, "16 headers at most");
            for header in set {
                let fits = is_header_name(text(header, "name")) && is_value(text(header, "value"));
                at.demand(fits, field, "no header of an HTTPRoute");
            }
        }
    }
}

/// A Service's namespace, the namespace of routes that may lead to it, its name.
pub(super) type Grant = [String; 3];

pub(super) fn grants(objects: &[Value]) -> BTreeSet<Grant> {
    let mut all = BTreeSet::new();
    for object in objects
        .iter()
        .filter(|object| text(object, "kind") == "ReferenceGrant")
    {
        let (Some(meta), Some(spec)) = (object.get("metadata"), object.get("spec")) else {
            continue;
        };
        for from in list(spec, "from") {
            for to in list(spec, "to") {
                let grant = [text(meta, "namespace"), text(from, "namespace"), text(to, "name")];
                all.insert(grant.map(ToOwned::to_owned));
            }
        }
    }
    all
}
