//! Certificates: issuers that can grant them, names, ends, and who renews them.

use super::code;
use super::controller::Controller;
use super::picture::Picture;
use crate::finding::Finding;
use crate::see::{self, items, text};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Looks at issuers, Certificates and the Secrets of Ingresses and Gateways.
pub(super) fn check(
    picture: &Picture,
    (controllers, ingresses): (&[Controller<'_>], &[&Value]),
    classes: &BTreeSet<String>,
    soon: SignedDuration,
    found: &mut Vec<Finding>,
) {
    if !picture.serves("Certificate") {
        found.push(
            code::CERT_MANAGER_MISSING.at("cluster", "kind Certificate of cert-manager.io is not served"),
        );
    }
    for issuer in picture.of("Issuer").iter().chain(picture.of("ClusterIssuer")) {
        solves_by_nginx(issuer, classes, found);
    }
    for certificate in picture.of("Certificate") {
        one(picture, certificate, found);
    }
    used(picture, (controllers, ingresses), soon, found);
}

/// The solvers of an ACME issuer.
fn solvers(issuer: &Value) -> impl Iterator<Item = &Value> {
    items(issuer, "/spec/acme/solvers")
}

fn solves_by_nginx(issuer: &Value, classes: &BTreeSet<String>, found: &mut Vec<Finding>) {
    for solver in solvers(issuer) {
        let class = text(solver, "/http01/ingress/ingressClassName")
            .or_else(|| text(solver, "/http01/ingress/class"))
            .filter(|class| classes.contains(*class));
        if let Some(class) = class {
            let says = format!("its http01 solver uses the class {class}");
            found.push(code::ISSUER_SOLVES_BY_NGINX.at(see::object(issuer), says));
            return;
        }
    }
}

fn one(picture: &Picture, certificate: &Value, found: &mut Vec<Finding>) {
    let object = see::object(certificate);
    let ready = items(certificate, "/status/conditions").find(|c| text(c, "/type") == Some("Ready"));
    if ready.and_then(|ready| text(ready, "/status")) != Some("True") {
        let says = ready.and_then(|ready| text(ready, "/message"));
        found.push(code::CERTIFICATE_NOT_READY.at(&object, says.unwrap_or("it has no condition Ready")));
    }
    let name = text(certificate, "/spec/issuerRef/name").unwrap_or_default();
    let kind = text(certificate, "/spec/issuerRef/kind").unwrap_or("Issuer");
    let group = text(certificate, "/spec/issuerRef/group").unwrap_or("cert-manager.io");
    // Issuers of other projects are their own business.
    if group != "cert-manager.io" || !picture.sees(kind) {
        return;
    }
    let namespace = if kind == "ClusterIssuer" {
        ""
    } else {
        see::namespace(certificate)
    };
    let Some(issuer) = picture.find(kind, namespace, name) else {
        found.push(code::ISSUER_MISSING.at(object, format!("there is no {kind} {name}")));
        return;
    };
    if issuer.pointer("/spec/acme").is_none() {
        return;
    }
    let names = items(certificate, "/spec/dnsNames")
        .chain(certificate.pointer("/spec/commonName"))
        .filter_map(Value::as_str);
    let impossible: BTreeSet<&str> = names
        .filter(|name| name.starts_with("*."))
        .filter(|name| {
            let solver = solver(issuer, certificate, name);
            solver.is_some_and(|solver| solver.get("http01").is_some() && solver.get("dns01").is_none())
        })
        .collect();
    if !impossible.is_empty() {
        let names: Vec<String> = impossible.into_iter().map(ToOwned::to_owned).collect();
        found.push(code::WILDCARD_HTTP01.at(
            object,
            format!("{} would be asked of {kind} {name} by HTTP-01", names.join(", ")),
        ));
    }
}

/// The solver that cert-manager takes for a name: the one whose selector fits most closely, by names, then by zones,
/// then by labels; of equals the first.
fn solver<'a>(issuer: &'a Value, certificate: &Value, name: &str) -> Option<&'a Value> {
    let domain = name.strip_prefix("*.").unwrap_or(name);
    let mut best: Option<((bool, usize, usize), &Value)> = None;
    for solver in solvers(issuer) {
        let names: Vec<&str> = items(solver, "/selector/dnsNames")
            .filter_map(Value::as_str)
            .collect();
        let zones: Vec<&str> = items(solver, "/selector/dnsZones")
            .filter_map(Value::as_str)
            .collect();
        let zone = zones
            .iter()
            .filter(|zone| domain == **zone || domain.ends_with(&format!(".{zone}")))
            .map(|zone| zone.len())
            .max();
        let labels: Vec<(&String, &Value)> = see::entries(solver, "/selector/matchLabels").collect();
        let labelled = labels
            .iter()
            .all(|(label, value)| see::label(certificate, label) == value.as_str());
        if !labelled || !names.is_empty() && !names.contains(&name) || !zones.is_empty() && zone.is_none() {
            continue;
        }
        let rank = (!names.is_empty(), zone.unwrap_or_default(), labels.len());
        if best.is_none_or(|(known, _)| rank > known) {
            best = Some((rank, solver));
        }
    }
    best.map(|(_, solver)| solver)
}

/// The Secrets that Ingresses, Gateways and controllers name, each with the hosts it is used for.
fn used(
    picture: &Picture,
    (controllers, ingresses): (&[Controller<'_>], &[&Value]),
    soon: SignedDuration,
    found: &mut Vec<Finding>,
) {
    let Some(secrets) = &picture.secrets else {
        return;
    };
    let mut hosts: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let usual: BTreeSet<(&str, &str)> = controllers
        .iter()
        .filter_map(|controller| controller.named("default-ssl-certificate"))
        // That one is not there is told of the controller.
        .filter(|(namespace, name)| secrets.contains_key(&((*namespace).to_owned(), (*name).to_owned())))
        .collect();
    for (namespace, name) in &usual {
        hosts.insert(((*namespace).to_owned(), (*name).to_owned()), BTreeSet::new());
    }
    // Of several it is not known which serves a host.
    let usual = usual
        .first()
        .filter(|_| usual.len() == 1 && controllers.len() == 1);
    let mut use_for = |namespace: &str, secret: &str, names: Vec<&str>| {
        let known = hosts
            .entry((namespace.to_owned(), secret.to_owned()))
            .or_default();
        known.extend(names.into_iter().map(ToOwned::to_owned));
    };
    for ingress in ingresses {
        for tls in items(ingress, "/spec/tls") {
            let names = items(tls, "/hosts").filter_map(Value::as_str).collect();
            if let Some(secret) = text(tls, "/secretName").filter(|name| !name.is_empty()) {
                use_for(see::namespace(ingress), secret, names);
            } else if let Some((namespace, name)) = usual {
                use_for(namespace, name, names);
            }
        }
    }
    for gateway in picture.of("Gateway") {
        let homes = homes(picture, gateway);
        for server in items(gateway, "/spec/servers") {
            if let Some(secret) = text(server, "/tls/credentialName") {
                let names = items(server, "/hosts").filter_map(Value::as_str);
                let names = names.map(|host| host.split_once('/').map_or(host, |(_, host)| host));
                let names: Vec<&str> = names.filter(|host| *host != "*").collect();
                for namespace in &homes {
                    use_for(namespace, secret, names.clone());
                }
            }
        }
    }
    for ((namespace, name), hosts) in hosts {
        let object = format!("Secret {namespace}/{name}");
        match secrets.get(&(namespace, name)) {
            None => {
                let hosts: Vec<String> = hosts.into_iter().collect();
                found.push(code::SECRET_MISSING.at(
                    object,
                    format!("it is to serve {}", super::ingress::named(&hosts)),
                ));
            }
            Some(Err(reason)) => found.push(code::SECRET_BROKEN.at(object, reason)),
            Some(Ok(certificate)) => {
                ends(picture.now, certificate.ends, soon, &object, found);
                let uncovered: Vec<String> = hosts
                    .into_iter()
                    .filter(|host| !certificate.covers(host))
                    .collect();
                if !uncovered.is_empty() {
                    let says = format!(
                        "it has {}, not {}",
                        super::ingress::named(&certificate.names),
                        super::ingress::named(&uncovered)
                    );
                    found.push(code::CERTIFICATE_NAMES.at(object, says));
                }
            }
        }
    }
}

/// The namespaces of the pods that serve a Gateway: Istio reads its certificates there, wherever the Gateway is. Where no
/// such pods are seen it may be its own.
fn homes<'a>(picture: &'a Picture, gateway: &'a Value) -> BTreeSet<&'a str> {
    let selects = |pods: &Value| {
        let labels = pods.pointer("/spec/template/metadata/labels");
        let mut wanted = see::entries(gateway, "/spec/selector");
        wanted.all(|(label, value)| labels.and_then(|labels| labels.get(label)) == Some(value))
    };
    let named = see::entries(gateway, "/spec/selector").next().is_some();
    let pods = picture.workloads().filter(|pods| named && selects(pods));
    let mut homes: BTreeSet<&str> = pods.map(see::namespace).collect();
    if homes.is_empty() {
        homes.insert(see::namespace(gateway));
    }
    homes
}

fn ends(now: Timestamp, end: Timestamp, soon: SignedDuration, object: &str, found: &mut Vec<Finding>) {
    if end <= now {
        found.push(code::CERTIFICATE_EXPIRED.at(object, format!("it ended {end}")));
    } else if end.duration_since(now) < soon {
        found.push(code::CERTIFICATE_EXPIRES.at(object, format!("it ends {end}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_solver_that_fits_most_closely_is_taken() {
        let issuer = json!({"spec": {"acme": {"solvers": [
            {"http01": {}},
            {"dns01": {}, "selector": {"dnsZones": ["a.com"]}},
            {"http01": {}, "selector": {"dnsNames": ["*.b.a.com"]}},
            {"http01": {}, "selector": {"matchLabels": {"x": "y"}, "dnsZones": ["z.com"]}},
        ]}}});
        let certificate = json!({"metadata": {"labels": {}}});
        let chosen = |name: &str| {
            let solver = solver(&issuer, &certificate, name).unwrap();
            solver.get("dns01").is_some()
        };
        assert!(chosen("*.a.com"));
        assert!(!chosen("*.b.a.com"));
        assert!(!chosen("*.z.com") && !chosen("*.other.com"));
    }
}
