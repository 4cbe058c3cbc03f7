//! Where names lead.

use crate::cluster::{self, Cluster};
use crate::convert::is_controller;
use crate::trouble::Trouble;
use futures::StreamExt as _;
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

/// The addresses in a list of load balancers; names of load balancers are looked up.
async fn balancers(object: &Value, into: &mut BTreeSet<IpAddr>) {
    let list = object
        .pointer("/status/loadBalancer/ingress")
        .and_then(Value::as_array);
    for entry in list.into_iter().flatten() {
        let text = |field: &str| entry.get(field).and_then(Value::as_str);
        into.extend(text("ip").and_then(|ip| ip.parse::<IpAddr>().ok()));
        if let Some(name) = text("hostname") {
            into.extend(lookup(name).await.unwrap_or_default());
        }
    }
}

/// The addresses of nginx: those of its Services, and those that it wrote on Ingresses.
pub async fn nginx(
    cluster: &Cluster,
    ingresses: &[&Value],
    said: &[IpAddr],
) -> Result<BTreeSet<IpAddr>, Trouble> {
    let mut found: BTreeSet<IpAddr> = said.iter().copied().collect();
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
                    balancers(&service, &mut found).await;
                    let external = service.pointer("/spec/externalIPs").and_then(Value::as_array);
                    let external = external.into_iter().flatten().filter_map(Value::as_str);
                    found.extend(external.filter_map(|ip| ip.parse::<IpAddr>().ok()));
                }
            }
        }
    }
    Ok(found)
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

/// Where each host leads; a wildcard is asked by a name under it.
pub async fn lead(hosts: &BTreeSet<String>, nginx: &BTreeSet<IpAddr>) -> BTreeMap<String, Leads> {
    let work = hosts.iter().map(|host| async move {
        let name = host
            .strip_prefix('*')
            .map_or_else(|| host.clone(), |domain| format!("gradual-rollout-asks{domain}"));
        (host.clone(), judge(lookup(&name).await, nginx))
    });
    futures::stream::iter(work)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

fn judge(found: Result<Vec<IpAddr>, String>, nginx: &BTreeSet<IpAddr>) -> Leads {
    match found {
        Err(why) => Leads::Unknown(why),
        Ok(all) if all.is_empty() => Leads::Unknown("it has no address".to_owned()),
        Ok(_) if nginx.is_empty() => {
            Leads::Unknown("no address of nginx is known: name it with --nginx-address".to_owned())
        }
        Ok(all) => match all.into_iter().find(|ip| nginx.contains(ip)) {
            Some(ip) => Leads::Nginx(ip),
            None => Leads::Away,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_address_of_nginx_among_several_is_enough() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let nginx = BTreeSet::from([ip("10.0.0.1")]);
        assert_eq!(
            judge(Ok(vec![ip("10.0.0.2"), ip("10.0.0.1")]), &nginx),
            Leads::Nginx(ip("10.0.0.1"))
        );
        assert_eq!(judge(Ok(vec![ip("10.0.0.2")]), &nginx), Leads::Away);
        for unknown in [
            judge(Ok(Vec::new()), &nginx),
            judge(Err("x".into()), &nginx),
            judge(Ok(vec![ip("::1")]), &BTreeSet::new()),
        ] {
            assert!(matches!(unknown, Leads::Unknown(_)));
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
