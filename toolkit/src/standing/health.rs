//! Whether what routes need is there: gateways that run, certificates that are current, Services that exist.

use super::Standing;
use crate::apply::gateway;
use crate::apply::live::{hosts, texts};
use crate::apply::read::destinations;
use crate::apply::secret;
use crate::canaries;
use crate::cluster::{self, Cluster, meta};
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::preflight::certificate::{Certificate, SOON};
use crate::rollback::plan::named;
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn finding(code: &'static str, severity: Severity, object: String, message: String, remedy: &str) -> Finding {
    Finding {
        code,
        severity,
        object,
        message,
        remedy: remedy.to_owned(),
    }
}

/// What may not be looked at is not known to be well.
fn unseen(object: String, what: &str, why: &str) -> Finding {
    finding(
        "VALIDATE-UNSEEN",
        Severity::Warning,
        object,
        format!("{what} may not be looked at: {why}"),
        "have the right granted, or ask as somebody who has it",
    )
}

/// Everything that is not well.
pub async fn check(cluster: &Cluster, standing: &Standing, now: Timestamp) -> Result<Vec<Finding>, Trouble> {
    let mut findings = gateways(cluster, standing, now).await?;
    findings.extend(copies(cluster, standing).await?);
    findings.extend(backends(cluster, standing).await?);
    findings.extend(twice(standing));
    findings.extend(tls_twice(standing));
    Ok(findings)
}

/// Gateways without a pod that is ready, or without a certificate that they show.
async fn gateways(cluster: &Cluster, standing: &Standing, now: Timestamp) -> Result<Vec<Finding>, Trouble> {
    let mut findings = Vec::new();
    for gateway in standing.live.all(&cluster::GATEWAY) {
        let namespace = meta(gateway, "namespace");
        let bad = if marks::ours(gateway) {
            Severity::Blocker
        } else {
            Severity::Warning
        };
        let object = named(&cluster::GATEWAY, gateway);
        let selector: Vec<String> = gateway
            .pointer("/spec/selector")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
            .collect();
        // Its pods read certificates in their own namespace, wherever the Gateway is.
        let mut homes: BTreeSet<String> = BTreeSet::new();
        if !selector.is_empty() {
            let selector = selector.join(",");
            // A Gateway's pods may be anywhere, and are mostly beside it.
            let pods = match cluster.list(&cluster::POD, None, Some(&selector)).await {
                Ok(pods) => pods,
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    findings.push(unseen(object.clone(), "its pods", &status.message));
                    continue;
                }
                Err(error) => {
                    return Err(Trouble::kube(format!("list the pods of {object}"), &error));
                }
            };
            homes.extend(pods.iter().map(|pod| meta(pod, "namespace").to_owned()));
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            if ready == 0 {
                findings.push(finding(
                    "VALIDATE-GATEWAY-DOWN",
                    bad,
                    object.clone(),
                    format!("of {} pods with {selector} none is ready", pods.len()),
                    "look at the gateway's Deployment; --gateway-selector of apply says which pods are meant",
                ));
            }
        }
        if !marks::ours(gateway) {
            continue;
        }
        if homes.is_empty() {
            homes.insert(namespace.to_owned());
        }
        for (credential, hosts) in gateway::showing(gateway) {
            for home in &homes {
                let at = (home.as_str(), credential.as_str());
                match certificate(cluster, standing, &object, at).await? {
                    Shown::Here(secret) => findings.extend(shows(&object, at, &secret, &hosts, now)),
                    Shown::Wrong(finding) => findings.push(finding),
                }
            }
        }
    }
    Ok(findings)
}

/// A certificate where it is shown.
enum Shown {
    /// Its Secret.
    Here(Value),
    /// It is not there, or may not be looked at.
    Wrong(Finding),
}

/// In what a certificate that is shown falls short. One that cannot be read is none of ours to judge.
fn shows(
    gateway: &str,
    (home, credential): (&str, &str),
    secret: &Value,
    hosts: &BTreeSet<String>,
    now: Timestamp,
) -> Vec<Finding> {
    const RENEW: &str = "have it renewed, then copied: migrate apply --all --secrets-only, or what made the Gateway (tenant, loadbalancer) again";
    let Ok(read) = Certificate::of(secret) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut say = |code, severity, message: String, remedy: &str| {
        findings.push(finding(code, severity, gateway.to_owned(), message, remedy));
    };
    if read.ends <= now {
        let said = format!(
            "it shows the certificate {home}/{credential}, which ended {}: clients refuse its hosts",
            read.ends
        );
        say("VALIDATE-CERTIFICATE-ENDED", Severity::Blocker, said, RENEW);
    } else if read.ends.duration_since(now) < SOON {
        let said = format!(
            "it shows the certificate {home}/{credential}, which ends {}",
            read.ends
        );
        say("VALIDATE-CERTIFICATE-ENDS", Severity::Warning, said, RENEW);
    }
    let uncovered: Vec<&str> = hosts
        .iter()
        .map(String::as_str)
        .filter(|host| !read.covers(host))
        .collect();
    if !uncovered.is_empty() {
        let said = format!(
            "it shows the certificate {home}/{credential}, which has not the names {}",
            uncovered.join(", ")
        );
        let remedy =
            "have one issued with these names, or name another (--certificate; spec.tls of the Ingress)";
        say("VALIDATE-CERTIFICATE-NAMES", Severity::Warning, said, remedy);
    }
    findings
}

/// A certificate that a Gateway shows, where its pods read it.
async fn certificate(
    cluster: &Cluster,
    standing: &Standing,
    gateway: &str,
    (home, credential): (&str, &str),
) -> Result<Shown, Trouble> {
    if let Some(secret) = standing.live.get(&cluster::SECRET, home, credential) {
        return Ok(Shown::Here(secret.clone()));
    }
    match cluster.get(&cluster::SECRET, home, credential).await {
        Ok(Some(secret)) => Ok(Shown::Here(secret)),
        Ok(None) => Ok(Shown::Wrong(finding(
            "VALIDATE-CERTIFICATE-MISSING",
            Severity::Blocker,
            gateway.to_owned(),
            format!(
                "it shows the certificate {home}/{credential}, which is not there: TLS fails for its hosts"
            ),
            "write it anew: migrate apply --all --secrets-only, or what made the Gateway (tenant, loadbalancer) again",
        ))),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Shown::Wrong(unseen(
            gateway.to_owned(),
            &format!("its certificate {home}/{credential}"),
            &status.message,
        ))),
        Err(error) => Err(Trouble::kube(format!("read Secret {home}/{credential}"), &error)),
    }
}

/// Whether two Gateways may be of the same pods: no label that they both name differs.
fn together(a: &Value, b: &Value) -> bool {
    let labels = |gateway: &Value| {
        gateway
            .pointer("/spec/selector")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let (a, b) = (labels(a), labels(b));
    a.iter()
        .all(|(label, value)| b.get(label).is_none_or(|other| other == value))
}

/// TLS hosts that two Gateways of the same pods have at one port: of such servers Istio skips one, whole, and only logs it.
fn tls_twice(standing: &Standing) -> Vec<Finding> {
    let mut having: BTreeMap<(u64, String), Vec<&Value>> = BTreeMap::new();
    for gateway in standing.live.all(&cluster::GATEWAY) {
        let servers = gateway.pointer("/spec/servers").and_then(Value::as_array);
        for server in servers.into_iter().flatten() {
            let protocol = server.pointer("/port/protocol").and_then(Value::as_str);
            let port = server.pointer("/port/number").and_then(Value::as_u64);
            let (Some("HTTPS" | "TLS"), Some(port)) = (protocol, port) else {
                continue;
            };
            for host in texts(server, "/hosts") {
                let host = host.split_once('/').map_or(host, |(_, host)| host);
                let all = having.entry((port, host.to_ascii_lowercase())).or_default();
                if !all.iter().any(|other| std::ptr::eq(*other, gateway)) {
                    all.push(gateway);
                }
            }
        }
    }
    let mut findings = Vec::new();
    for ((port, host), gateways) in having {
        let meets = |gateway: &&Value| {
            gateways.iter().any(|other| {
                !std::ptr::eq(*other, *gateway)
                    && together(other, gateway)
                    && (marks::ours(other) || marks::ours(gateway))
            })
        };
        let names: Vec<String> = gateways
            .iter()
            .copied()
            .filter(meets)
            .map(|gateway| named(&cluster::GATEWAY, gateway))
            .collect();
        if !names.is_empty() {
            findings.push(finding(
                "VALIDATE-TLS-HOST-TWICE",
                Severity::Blocker,
                format!("host {host}"),
                format!(
                    "port {port} has it with TLS at {}: Istio skips one of the servers, whole",
                    names.join(" and ")
                ),
                "leave it at one: make the tenant anew without the host, or take the host back with migrate rollback",
            ));
        }
    }
    findings
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        condition.get("type").and_then(Value::as_str) == Some("Ready")
            && condition.get("status").and_then(Value::as_str) == Some("True")
    })
}

/// Copies of certificates that are older than their source, or have none any more.
async fn copies(cluster: &Cluster, standing: &Standing) -> Result<Vec<Finding>, Trouble> {
    let mut findings = Vec::new();
    for copy in standing.live.ours(&cluster::SECRET) {
        let Some((namespace, name)) = secret::source(copy) else {
            continue;
        };
        let object = named(&cluster::SECRET, copy);
        let source = match cluster.get(&cluster::SECRET, &namespace, &name).await {
            Ok(source) => source,
            Err(kube::Error::Api(status)) if status.code == 403 => {
                findings.push(unseen(object, "its source", &status.message));
                continue;
            }
            Err(error) => {
                return Err(Trouble::kube(format!("read Secret {namespace}/{name}"), &error));
            }
        };
        match source {
            Some(source) if secret::renewed(&source, copy) => findings.push(finding(
                "VALIDATE-COPY-STALE",
                Severity::Blocker,
                object,
                format!("{namespace}/{name} was renewed, and the gateway still shows the copy from before"),
                "copy it anew: migrate apply --all --secrets-only, best by CronJob",
            )),
            Some(_) => {}
            None => findings.push(finding(
                "VALIDATE-COPY-ORPHANED",
                Severity::Warning,
                object,
                format!("its source {namespace}/{name} is gone: it will not be renewed"),
                "have the certificate issued again, or take the host back: migrate rollback --ingress",
            )),
        }
    }
    Ok(findings)
}

/// Routes to Services that are not there.
async fn backends(cluster: &Cluster, standing: &Standing) -> Result<Vec<Finding>, Trouble> {
    let services: BTreeSet<(String, String)> = cluster
        .all(&cluster::SERVICE, None)
        .await?
        .iter()
        .map(|service| {
            (
                meta(service, "namespace").to_owned(),
                meta(service, "name").to_owned(),
            )
        })
        .collect();
    let mut findings = Vec::new();
    for route in standing.live.ours(&cluster::VIRTUAL_SERVICE) {
        for host in destinations(route) {
            let mut parts = host.split('.');
            let (Some(name), Some(namespace), Some("svc")) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let service = (namespace.to_owned(), name.to_owned());
            if !services.contains(&service) {
                findings.push(missing(route, &service, standing));
            }
        }
    }
    Ok(findings)
}

/// Whether two of some routes may be for requests of one kind; one that says nothing of its kind may be for any.
fn meet(names: &BTreeSet<gateway::Host>, standing: &Standing) -> bool {
    const KINDS: [&str; 3] = ["/spec/http", "/spec/tls", "/spec/tcp"];
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let mut routes = names
        .iter()
        .filter_map(|(namespace, name)| standing.live.get(&cluster::VIRTUAL_SERVICE, namespace, name));
    routes.any(|route| {
        let own = KINDS.iter().filter(|kind| route.pointer(kind).is_some());
        let mut own: BTreeSet<&str> = own.copied().collect();
        if own.is_empty() {
            own.extend(KINDS);
        }
        let meets = !own.is_disjoint(&taken);
        taken.extend(own);
        meets
    })
}

/// That a Service is not there, and what nginx does without it: with one that only a canary leads to it serves all by the
/// other, and of Ingresses that were changed or are gone it may lead elsewhere.
fn missing(route: &Value, service: &Key, standing: &Standing) -> Finding {
    let there = |key: &Key| standing.ingresses.get(key).or_else(|| standing.beside.get(key));
    let (namespace, name) = service;
    let leads = format!("it leads to Service {namespace}/{name}, which is not there: ");
    let (severity, said, remedy) = match canaries::alone(route, service, &there) {
        Some(false) => (
            Severity::Warning,
            "requests get 503, as nginx answers them too",
            "create the Service, or delete the Ingress and take its route away (migrate rollback)",
        ),
        Some(true) => (
            Severity::Blocker,
            "the requests that it gets are answered 503, and by nginx they are not: no Ingress that is served leads there but for a canary's share",
            "create the Service; where the canary is over, delete its Ingress and have the route written anew: migrate apply",
        ),
        None => (
            Severity::Blocker,
            "requests get 503, and nginx has no Ingress for them any more",
            "create the Service; or have the Ingress back (migrate restore), or nobody's route taken away (migrate rollback)",
        ),
    };
    finding(
        "VALIDATE-BACKEND-MISSING",
        severity,
        named(&cluster::VIRTUAL_SERVICE, route),
        format!("{leads}{said}"),
        remedy,
    )
}

/// Hosts that more than one `VirtualService` has at gateways: which of them answers nobody knows. One for HTTP and one for TLS
/// that is passed on are never asked for the same.
fn twice(standing: &Standing) -> Vec<Finding> {
    let ours: BTreeSet<String> = standing
        .live
        .ours(&cluster::VIRTUAL_SERVICE)
        .flat_map(hosts)
        .collect();
    standing
        .live
        .at_gateways()
        .into_iter()
        .filter(|(host, names)| names.len() > 1 && ours.contains(host) && meet(names, standing))
        .map(|(host, names)| {
            finding(
                "VALIDATE-HOST-TWICE",
                Severity::Blocker,
                format!("host {host}"),
                format!(
                    "at gateways it has {}",
                    names
                        .iter()
                        .map(|(namespace, name)| cluster::VIRTUAL_SERVICE.named(namespace, name))
                        .collect::<Vec<_>>()
                        .join(" and ")
                ),
                "take the host out of all but one",
            )
        })
        .collect()
}
