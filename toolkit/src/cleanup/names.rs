//! Where names lead.

use crate::answering::on;
use crate::cluster::{self, Cluster, annotation};
use crate::convert::is_controller;
use crate::marks;
use crate::see::{self, Listed};
use crate::trouble::Trouble;
use futures::StreamExt as _;
use kube::Client;
use kube::api::ListParams;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    /// Somewhere else than to nginx.
    Away,
    /// To nginx.
    Nginx(IpAddr),
    /// Nobody knows.
    Unknown(String),
}

/// Where something is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// As far as it is known.
    pub known: BTreeSet<IpAddr>,
    /// Names of load balancers whose addresses could not be looked up, and why. While there are such, no name is known to
    /// lead elsewhere.
    pub unknown: BTreeMap<String, String>,
    /// How whoever knows better can name them; empty where they cannot.
    pub hint: &'static str,
}

/// What an Ingress says by an annotation of ingress-nginx. An Ingress that was migrated tells the prefix that the
/// controller goes by.
pub(super) fn says<'a>(ingress: &'a Value, name: &str) -> Option<&'a str> {
    let prefix = annotation(ingress, marks::SOURCE)
        .and_then(|said| said.rsplit_once('@'))
        .map_or("nginx.ingress.kubernetes.io", |(_, prefix)| prefix);
    annotation(ingress, &format!("{prefix}/{name}"))
}

/// Every name by which an Ingress may be asked for: hosts of its rules, aliases, the other of `www` and none where it
/// redirects; `*` for all that nobody else has.
pub fn of(ingress: &Value) -> BTreeSet<String> {
    let rules = ingress.pointer("/spec/rules").and_then(Value::as_array);
    let host = |rule: &Value| {
        let host = rule.get("host").and_then(Value::as_str).unwrap_or_default();
        if host.is_empty() {
            "*".to_owned()
        } else {
            host.to_ascii_lowercase()
        }
    };
    let mut all: BTreeSet<String> = rules.into_iter().flatten().map(host).collect();
    if says(ingress, "from-to-www-redirect").is_some_and(on) {
        let other = |host: &String| {
            host.strip_prefix("www.")
                .map_or_else(|| format!("www.{host}"), ToOwned::to_owned)
        };
        let others: Vec<String> = all.iter().filter(|host| !host.contains('*')).map(other).collect();
        all.extend(others);
    }
    if ingress.pointer("/spec/defaultBackend").is_some() {
        all.insert("*".to_owned());
    }
    let aliases = says(ingress, "server-alias").unwrap_or_default().split(',');
    all.extend(
        aliases
            .map(|alias| alias.trim().to_ascii_lowercase())
            .filter(|alias| !alias.is_empty()),
    );
    all
}

/// The addresses in a list of load balancers; names of load balancers are looked up.
async fn balancers(object: &Value, into: &mut Addresses) {
    let list = object
        .pointer("/status/loadBalancer/ingress")
        .and_then(Value::as_array);
    for entry in list.into_iter().flatten() {
        let text = |field: &str| entry.get(field).and_then(Value::as_str);
        into.known
            .extend(text("ip").and_then(|ip| ip.parse::<IpAddr>().ok()));
        if let Some(name) = text("hostname") {
            match lookup(name).await {
                Ok(found) if !found.is_empty() => into.known.extend(found),
                Ok(_) => drop(
                    into.unknown
                        .insert(name.to_owned(), "it has no address".to_owned()),
                ),
                Err(why) => drop(into.unknown.insert(name.to_owned(), why)),
            }
        }
    }
}

/// The addresses of nginx: those of its Services, and those that it wrote on Ingresses.
pub async fn nginx(cluster: &Cluster, ingresses: &[&Value], said: &[IpAddr]) -> Result<Addresses, Trouble> {
    let mut found = Addresses {
        known: said.iter().copied().collect(),
        hint: ": that of nginx is named with --nginx-address",
        ..Addresses::default()
    };
    for ingress in ingresses {
        balancers(ingress, &mut found).await;
    }
    for kind in [cluster::DEPLOYMENT, cluster::DAEMON_SET] {
        for workload in cluster
            .all(&kind, None)
            .await?
            .iter()
            .filter(|w| is_controller(w))
        {
            let labels = workload.pointer("/spec/template/metadata/labels");
            let namespace = cluster::meta(workload, "namespace");
            for service in cluster.all(&cluster::SERVICE, Some(namespace)).await? {
                if selects(&service, labels) {
                    reached(&service, &mut found).await;
                }
            }
        }
    }
    Ok(found)
}

/// The addresses of the gateway: those of the Services in front of the pods of some Gateways, beside these.
pub async fn gateway<'a>(
    cluster: &Cluster,
    gateways: impl Iterator<Item = &'a Value>,
    said: &[IpAddr],
) -> Result<Addresses, Trouble> {
    let mut found = Addresses {
        known: said.iter().copied().collect(),
        hint: ": that of the gateway is named with --gateway-address",
        ..Addresses::default()
    };
    let mut homes: BTreeMap<&str, BTreeSet<Vec<(String, String)>>> = BTreeMap::new();
    for gateway in gateways {
        let pods: Vec<(String, String)> = see::entries(gateway, "/spec/selector")
            .filter_map(|(label, value)| Some((label.clone(), value.as_str()?.to_owned())))
            .collect();
        homes
            .entry(cluster::meta(gateway, "namespace"))
            .or_default()
            .insert(pods);
    }
    for (namespace, pods) in homes {
        for service in cluster.all(&cluster::SERVICE, Some(namespace)).await? {
            if pods.iter().any(|pods| fronts(&service, pods)) {
                reached(&service, &mut found).await;
            }
        }
    }
    Ok(found)
}

/// The addresses that a Service has from its load balancer.
pub(crate) async fn balancer(service: &Value) -> Addresses {
    let mut found = Addresses::default();
    balancers(service, &mut found).await;
    found
}

/// The addresses of a Service.
async fn reached(service: &Value, into: &mut Addresses) {
    balancers(service, into).await;
    let external = service.pointer("/spec/externalIPs").and_then(Value::as_array);
    let external = external.into_iter().flatten().filter_map(Value::as_str);
    into.known
        .extend(external.filter_map(|ip| ip.parse::<IpAddr>().ok()));
}

/// Whether a Service is in front of the pods that have these labels, and maybe more.
pub(crate) fn fronts(service: &Value, pods: &[(String, String)]) -> bool {
    let said = |label: &str| pods.iter().find(|(known, _)| known == label);
    let mut alike = false;
    for (label, value) in see::entries(service, "/spec/selector") {
        match said(label) {
            Some((_, known)) if value.as_str() == Some(known) => alike = true,
            Some(_) => return false,
            // Pods may have more labels than were named; of those that were, none may differ.
            None => {}
        }
    }
    alike
}

/// Hosts that are not known to lead away from the gateway whose pods have these labels: where each leads, in terms of
/// the gateway's addresses ([`Leads::Nginx`] carries the one that it leads to). While there is one, what serves it at the
/// gateway may not be taken away.
pub async fn leads_to_gateway(
    client: &Client,
    hosts: &BTreeSet<String>,
    gateway_namespace: &str,
    pods: &[(String, String)],
    said: Addresses,
) -> Result<BTreeMap<String, Leads>, Trouble> {
    let within = Some(gateway_namespace);
    let listed = see::list(client, see::kinds::SERVICE, within, &ListParams::default()).await?;
    let mut gateway = said;
    match &listed {
        Listed::Here(services) => {
            for service in services.iter().filter(|service| fronts(service, pods)) {
                reached(service, &mut gateway).await;
            }
        }
        Listed::NotServed => {}
        Listed::Forbidden(said) => {
            return Err(Trouble::Refused(format!(
                "unable to list the Services of {gateway_namespace}: {said}"
            )));
        }
    }
    let mut all = lead(hosts, &gateway, None).await;
    all.retain(|_, leads| *leads != Leads::Away);
    Ok(all)
}

fn selects(service: &Value, labels: Option<&Value>) -> bool {
    let selector = service.pointer("/spec/selector").and_then(Value::as_object);
    selector.is_some_and(|selector| {
        !selector.is_empty()
            && selector
                .iter()
                .all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
    })
}

async fn lookup(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = tokio::net::lookup_host((name, 443)).await;
    found
        .map(|all| all.map(|address| address.ip()).collect())
        .map_err(|error| error.to_string())
}

/// Names that are looked up at once.
const AT_ONCE: usize = 32;

/// Where each host leads; a wildcard is asked by a name under it. Where it is said what it should lead to `instead`, only
/// what leads there is known to lead away: any other address may be one of `to` that nobody tells, such as that of a load
/// balancer in front of ports of the nodes.
pub async fn lead(
    hosts: &BTreeSet<String>,
    to: &Addresses,
    instead: Option<&Addresses>,
) -> BTreeMap<String, Leads> {
    let work = hosts.iter().map(|host| async move {
        let leads = match host.strip_prefix("*.") {
            Some(domain) if !domain.contains('*') => {
                let one = format!("gradual-rollout-asks.{domain}");
                under(judge(lookup(&one).await, to, instead))
            }
            _ if host.contains('*') || host.starts_with('~') => {
                Leads::Unknown("it stands for names that cannot be told".to_owned())
            }
            _ => judge(lookup(host).await, to, instead),
        };
        (host.clone(), leads)
    });
    futures::stream::iter(work)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

/// What one name tells of all under a wildcard: that they may be there, but not that all are away.
fn under(one: Leads) -> Leads {
    match one {
        Leads::Away => Leads::Unknown(
            "a name under it that nobody made leads away, and others may have records of their own"
                .to_owned(),
        ),
        Leads::Nginx(_) | Leads::Unknown(_) => one,
    }
}

fn judge(found: Result<Vec<IpAddr>, String>, to: &Addresses, instead: Option<&Addresses>) -> Leads {
    let all = match found {
        Err(why) => return Leads::Unknown(why),
        Ok(all) if all.is_empty() => return Leads::Unknown("it has no address".to_owned()),
        Ok(all) => all,
    };
    if let Some(ip) = all.iter().find(|ip| to.known.contains(ip)) {
        return Leads::Nginx(*ip);
    }
    if let Some((name, why)) = to.unknown.iter().next() {
        return Leads::Unknown(format!("the load balancer {name} could not be looked up: {why}"));
    }
    if to.known.is_empty() {
        return Leads::Unknown(format!("no address to compare with is known{}", to.hint));
    }
    let Some(instead) = instead else {
        return Leads::Away;
    };
    match all.iter().find(|ip| !instead.known.contains(ip)) {
        None => Leads::Away,
        Some(ip) => Leads::Unknown(format!(
            "it leads to {ip}, which no object tells of either side{}",
            instead.hint
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_address_of_nginx_among_several_is_enough() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let nginx = Addresses {
            known: BTreeSet::from([ip("10.0.0.1")]),
            ..Addresses::default()
        };
        let mut partly = nginx.clone();
        partly
            .unknown
            .insert("lb.a.com".to_owned(), "no answer".to_owned());
        assert_eq!(
            judge(Ok(vec![ip("10.0.0.1")]), &partly, None),
            Leads::Nginx(ip("10.0.0.1"))
        );
        assert_eq!(
            judge(Ok(vec![ip("10.0.0.2"), ip("10.0.0.1")]), &nginx, None),
            Leads::Nginx(ip("10.0.0.1"))
        );
        assert_eq!(judge(Ok(vec![ip("10.0.0.2")]), &nginx, None), Leads::Away);
        for unknown in [
            judge(Ok(Vec::new()), &nginx, None),
            judge(Err("x".into()), &nginx, None),
            judge(Ok(vec![ip("::1")]), &Addresses::default(), None),
            judge(Ok(vec![ip("10.0.0.2")]), &partly, None),
            under(Leads::Away),
        ] {
            assert!(matches!(unknown, Leads::Unknown(_)));
        }
    }

    #[test]
    fn only_what_leads_to_the_gateway_alone_leads_away_from_an_nginx_behind_addresses_that_nobody_tells() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        // Nginx wrote those of its nodes on the Ingresses; the load balancer in front of them nobody tells.
        let nginx = Addresses {
            known: BTreeSet::from([ip("10.0.0.1")]),
            ..Addresses::default()
        };
        let gateway = Addresses {
            known: BTreeSet::from([ip("192.0.2.1"), ip("192.0.2.2")]),
            ..Addresses::default()
        };
        let ask = |all: &[&str]| {
            let all = all.iter().map(|text| ip(text)).collect();
            judge(Ok(all), &nginx, Some(&gateway))
        };
        assert_eq!(ask(&["192.0.2.1", "192.0.2.2"]), Leads::Away);
        assert_eq!(ask(&["192.0.2.1", "10.0.0.1"]), Leads::Nginx(ip("10.0.0.1")));
        for unknown in [&["198.51.100.7"][..], &["192.0.2.1", "198.51.100.7"]] {
            assert!(
                matches!(ask(unknown), Leads::Unknown(why) if why.contains("198.51.100.7")),
                "{unknown:?}"
            );
        }
    }

    #[test]
    fn the_other_of_www_is_a_name_however_its_switch_is_spelled() {
        let names = |value: &str| {
            of(
                &json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/from-to-www-redirect": value}},
                "spec": {"rules": [{"host": "www.a.com"}]}}),
            )
        };
        for value in crate::answering::ON {
            assert!(names(value).contains("a.com"), "{value}");
        }
        assert_eq!(names("false").len(), 1);
    }

    #[test]
    fn a_service_is_in_front_of_pods_that_have_more_labels_and_none_that_differs() {
        let pods = [("istio".to_owned(), "ingressgateway".to_owned())];
        let service = |selector: Value| json!({"spec": {"selector": selector}});
        assert!(fronts(
            &service(json!({"istio": "ingressgateway", "app": "x"})),
            &pods
        ));
        for other in [json!({}), json!({"app": "x"}), json!({"istio": "other"})] {
            assert!(!fronts(&service(other), &pods));
        }
    }

    #[test]
    fn a_service_selects_by_all_of_its_labels() {
        let labels = json!({"a": "1", "b": "2"});
        let service = |selector: Value| json!({"spec": {"selector": selector}});
        assert!(selects(&service(json!({"a": "1"})), Some(&labels)));
        for other in [json!({"a": "2"}), json!({}), json!({"a": "1", "c": "1"})] {
            assert!(!selects(&service(other), Some(&labels)));
        }
    }
}
