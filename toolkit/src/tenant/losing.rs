//! What clients lose when a tenant is made anew, or deleted: it is said before, and done only where it is accepted.

use super::objects::{Tenant, gateway_name};
use crate::finding::{Finding, Severity};
use crate::place::Place;
use crate::preflight::certificate::covers;
use crate::put;
use crate::see::{self, Kind, Listed, items, kinds, text};
use crate::trouble::Trouble;
use kube::api::ListParams;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Hosts that the Gateway has, and would have no more.
pub(super) const HOST: &str = "TENANT-HOST-LOST";
/// Callers that the isolation lets in, and would let in no more.
pub(super) const CALLER: &str = "TENANT-CALLER-LOST";
/// What serves hosts and goes with the tenant.
pub(super) const IN_USE: &str = "TENANT-IN-USE";

/// What is lost.
pub(super) struct Losses {
    /// Nobody accepted it.
    pub refused: Vec<Finding>,
    /// Somebody did: a line each.
    pub accepted: Vec<String>,
}

impl Losses {
    fn of(found: Vec<Finding>, accepted: &[String]) -> Self {
        let taken = |finding: &Finding| accepted.iter().any(|code| code == finding.code);
        let (given_up, refused): (Vec<_>, Vec<_>) = found.into_iter().partition(taken);
        Self {
            refused,
            accepted: given_up
                .into_iter()
                .map(|finding| format!("accepted: {}: {}", finding.object, finding.message))
                .collect(),
        }
    }
}

/// Codes as typed.
pub(super) fn accepted(typed: &[String], acceptable: &[&str]) -> Result<Vec<String>, Trouble> {
    let codes: Vec<String> = typed.iter().map(|code| code.to_ascii_uppercase()).collect();
    match codes.iter().find(|code| !acceptable.contains(&code.as_str())) {
        Some(wrong) => Err(Trouble::Usage(format!(
            "--accept {wrong:?}: what may be accepted is {}",
            acceptable.join(", ")
        ))),
        None => Ok(codes),
    }
}

fn blocker(code: &'static str, object: &Value, message: String, remedy: &str) -> Finding {
    Finding {
        code,
        severity: Severity::Blocker,
        object: see::object(object),
        message,
        remedy: remedy.to_owned(),
    }
}

/// What clients lose when the objects of a tenant are written.
pub(super) async fn by_create(
    tenant: &Tenant,
    accepted: &[String],
    place: &Place<'_>,
) -> Result<Losses, Trouble> {
    let mut found = Vec::new();
    for (kind, wanted) in tenant.objects() {
        let within = Some(tenant.namespace.as_str());
        let there = see::get(&place.client, kind, within, see::name(&wanted)).await?;
        let Some(there) = there.filter(put::is_ours) else {
            continue;
        };
        if kind == kinds::GATEWAY {
            found.extend(hosts(&wanted, &there, place).await?);
        } else if kind == kinds::NETWORK_POLICY {
            found.extend(callers(&wanted, &there, place).await?);
        }
    }
    Ok(Losses::of(found, accepted))
}

/// Every host of a Gateway, without the namespace before it, with the ports that it is served on.
fn served(gateway: &Value) -> BTreeMap<String, BTreeSet<u64>> {
    let mut all: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for server in items(gateway, "/spec/servers") {
        let port = server
            .pointer("/port/number")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        for host in items(server, "/hosts").filter_map(Value::as_str) {
            let host = host.split_once('/').map_or(host, |(_, host)| host);
            all.entry(host.to_owned()).or_default().insert(port);
        }
    }
    all
}

async fn hosts(wanted: &Value, there: &Value, place: &Place<'_>) -> Result<Option<Finding>, Trouble> {
    let next = served(wanted);
    let mut gone = Vec::new();
    let mut said = Vec::new();
    for (host, ports) in served(there) {
        match next.get(&host) {
            None => said.push(host.clone()),
            Some(left) => {
                let closed: Vec<String> = ports.difference(left).map(ToString::to_string).collect();
                if closed.is_empty() {
                    continue;
                }
                said.push(format!("{host} on port {}", closed.join(", ")));
            }
        }
        gone.push(host);
    }
    if gone.is_empty() {
        return Ok(None);
    }
    let named = format!("{}/{}", see::namespace(there), see::name(there));
    let mut users = Vec::new();
    for service in virtual_services(see::namespace(there), place).await? {
        let meets = |host: &str| {
            gone.iter()
                .any(|gone| covers(gone, host) || covers(host, gone) || host == "*")
        };
        if is_bound(&service, &named) && names(&service).any(meets) {
            users.push(see::object(&service));
        }
    }
    let used = if users.is_empty() {
        String::new()
    } else {
        format!(" ({} is behind it)", users.join(", "))
    };
    Ok(Some(blocker(
        HOST,
        there,
        format!(
            "it serves {} by now, which would be served no more{used}",
            said.join(", ")
        ),
        "name it again (--domain, --host, --certificate), or end it with --accept TENANT-HOST-LOST",
    )))
}

async fn callers(wanted: &Value, there: &Value, place: &Place<'_>) -> Result<Option<Finding>, Trouble> {
    let next: Vec<&Value> = let_in(wanted).collect();
    let mut gone = Vec::new();
    for caller in let_in(there).filter(|caller| !next.contains(caller)) {
        let namespace = text(
            caller,
            "/namespaceSelector/matchLabels/kubernetes.io~1metadata.name",
        );
        let said = match (namespace, text(caller, "/ipBlock/cidr")) {
            (Some(namespace), _) => {
                // Nobody calls from a namespace that is gone, such as that of nginx in the end.
                if see::get(&place.client, kinds::NAMESPACE, None, namespace)
                    .await?
                    .is_none()
                {
                    continue;
                }
                format!("pods of namespace {namespace}")
            }
            (None, Some(cidr)) => format!("the addresses {cidr}"),
            (None, None) => caller.to_string(),
        };
        gone.push(said);
    }
    if gone.is_empty() {
        return Ok(None);
    }
    Ok(Some(blocker(
        CALLER,
        there,
        format!("it lets in {} by now, which would be shut out", gone.join(", ")),
        "name them again (--allow-namespace, --allow-cidr, or the gateway's flags), or shut them out with --accept TENANT-CALLER-LOST",
    )))
}

fn let_in(policy: &Value) -> impl Iterator<Item = &Value> {
    items(policy, "/spec/ingress").flat_map(|rule| items(rule, "/from"))
}

fn names(service: &Value) -> impl Iterator<Item = &str> {
    items(service, "/spec/hosts").filter_map(Value::as_str)
}

/// Whether a VirtualService is bound to a Gateway of its own namespace, `namespace/name`.
fn is_bound(service: &Value, gateway: &str) -> bool {
    let own = |bound: &str| bound == gateway || format!("{}/{bound}", see::namespace(service)) == gateway;
    items(service, "/spec/gateways")
        .filter_map(Value::as_str)
        .any(own)
}

async fn listed(kind: Kind, namespace: &str, place: &Place<'_>) -> Result<Vec<Value>, Trouble> {
    match see::list(&place.client, kind, Some(namespace), &ListParams::default()).await? {
        Listed::Here(found) => Ok(found),
        Listed::NotServed => Ok(Vec::new()),
        Listed::Forbidden(said) => Err(Trouble::Refused(format!(
            "unable to tell who uses the tenant's hosts: {} of namespace {namespace} may not be listed: {said}",
            kind.resource()
        ))),
    }
}

async fn virtual_services(namespace: &str, place: &Place<'_>) -> Result<Vec<Value>, Trouble> {
    listed(kinds::VIRTUAL_SERVICE, namespace, place).await
}

/// What clients lose when a tenant is deleted: what is behind its Gateway, and with the namespace everything that serves
/// a host from it.
pub(super) async fn by_delete(
    name: &str,
    namespace: &str,
    with_namespace: bool,
    accepted: &[String],
    place: &Place<'_>,
) -> Result<Losses, Trouble> {
    let gateway = format!("{namespace}/{}", gateway_name(name));
    let mut found = Vec::new();
    let mut say = |object: &Value, hosts: &[&str], goes: &str| {
        let hosts = if hosts.is_empty() {
            "every host".to_owned()
        } else {
            hosts.join(", ")
        };
        found.push(blocker(
            IN_USE,
            object,
            format!("it serves {hosts} {goes}"),
            "take it away first, or end it with --accept TENANT-IN-USE",
        ));
    };
    for service in virtual_services(namespace, place).await? {
        let hosts: Vec<&str> = names(&service).collect();
        if with_namespace {
            say(&service, &hosts, "and goes with the namespace");
        } else if is_bound(&service, &gateway) {
            say(&service, &hosts, &format!("by Gateway {gateway}, which goes"));
        }
    }
    if with_namespace {
        for ingress in listed(kinds::INGRESS, namespace, place).await? {
            let hosts: Vec<&str> = items(&ingress, "/spec/rules")
                .filter_map(|rule| text(rule, "/host"))
                .collect();
            say(&ingress, &hosts, "and goes with the namespace");
        }
    }
    Ok(Losses::of(found, accepted))
}
