//! The gateway that will serve the hosts: its pods, its ports, and who has the hosts already.

use super::certificate::covers;
use super::code;
use super::controller::{Controller, ready};
use super::picture::Picture;
use crate::finding::Finding;
use crate::loadbalancer::clients::keeps;
use crate::see::{self, entries, items, text};
use gradual_rollout_migration::convert::Options;
use serde_json::Value;
use std::collections::BTreeSet;

/// Looks at the gateway of the options. `hosts` are those of the Ingresses.
pub(super) fn check(
    picture: &Picture,
    controllers: &[Controller<'_>],
    hosts: &BTreeSet<String>,
    options: &Options,
    found: &mut Vec<Finding>,
) {
    let pods = workloads(picture, options);
    if pods.is_empty() && picture.sees("Deployment") && picture.sees("DaemonSet") {
        let labels: Vec<String> = options
            .gateway_selector
            .iter()
            .map(|(label, value)| format!("{label}={value}"))
            .collect();
        found.push(code::GATEWAY_PODS_MISSING.at(
            format!("namespace {}", options.gateway_namespace),
            format!(
                "no Deployment or DaemonSet there has pods with {}",
                labels.join(",")
            ),
        ));
    }
    for workload in &pods {
        let (up, wanted) = ready(workload);
        let object = see::object(workload);
        if up == 0 {
            found.push(code::GATEWAY_DOWN.at(object, format!("0 of {wanted} pods are ready")));
        } else if up == 1 {
            found.push(code::GATEWAY_SINGLE.at(object, "one pod is ready"));
        }
    }
    let services = services(picture, options);
    ports(
        &services,
        !pods.is_empty() && picture.sees("Service"),
        options,
        found,
    );
    families(picture, controllers, &services, found);
    addresses(picture, controllers, &services, found);
    conflicts(picture, controllers, &pods, &services, found);
    taken(picture, hosts, options, found);
    routed(picture, hosts, found);
}

/// The workloads whose pods a Gateway selects.
fn workloads<'a>(picture: &'a Picture, options: &Options) -> Vec<&'a Value> {
    picture
        .workloads()
        .filter(|workload| see::namespace(workload) == options.gateway_namespace)
        .filter(|workload| {
            options.gateway_selector.iter().all(|(label, value)| {
                let labels = workload.pointer("/spec/template/metadata/labels");
                labels
                    .and_then(|labels| labels.get(label))
                    .and_then(Value::as_str)
                    == Some(value.as_str())
            })
        })
        .collect()
}

/// The Services that select the gateway's pods.
fn services<'a>(picture: &'a Picture, options: &Options) -> Vec<&'a Value> {
    selecting(picture, &workloads(picture, options))
}

/// The Services that select the pods of one of some workloads.
fn selecting<'a>(picture: &'a Picture, workloads: &[&Value]) -> Vec<&'a Value> {
    let selects = |service: &&Value| {
        let mut selector = entries(service, "/spec/selector").peekable();
        selector.peek().is_some()
            && workloads.iter().any(|workload| {
                let labels = workload.pointer("/spec/template/metadata/labels");
                see::namespace(workload) == see::namespace(service)
                    && entries(service, "/spec/selector")
                        .all(|(label, value)| labels.and_then(|labels| labels.get(label)) == Some(value))
            })
    };
    picture.of("Service").iter().filter(selects).collect()
}

fn exposes(service: &Value, port: u16) -> bool {
    items(service, "/spec/ports").any(|one| one.get("port").and_then(Value::as_u64) == Some(u64::from(port)))
}

fn ports(services: &[&Value], wanted: bool, options: &Options, found: &mut Vec<Finding>) {
    if !wanted {
        return;
    }
    for port in [options.http_port, options.https_port] {
        if !services.iter().any(|service| exposes(service, port)) {
            let names: Vec<String> = services.iter().map(|service| see::object(service)).collect();
            let object = names.first().cloned();
            found.push(code::GATEWAY_PORT_MISSING.at(
                object.unwrap_or_else(|| format!("namespace {}", options.gateway_namespace)),
                format!("no Service in front of the gateway's pods has port {port}"),
            ));
        }
    }
    let balanced = services
        .iter()
        .filter(|service| text(service, "/spec/type") == Some("LoadBalancer"));
    for service in balanced {
        if items(service, "/status/loadBalancer/ingress").next().is_none() {
            found.push(code::GATEWAY_ADDRESS_MISSING.at(see::object(service), "its status has no address"));
        }
    }
}

/// The families of addresses of some Services that clients reach.
fn families_of(services: &[&Value]) -> BTreeSet<String> {
    let outside = |service: &&&Value| text(service, "/spec/type").is_some_and(|kind| kind != "ClusterIP");
    let listed = services
        .iter()
        .filter(outside)
        .flat_map(|service| items(service, "/spec/ipFamilies"));
    listed.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

fn families(
    picture: &Picture,
    controllers: &[Controller<'_>],
    services: &[&Value],
    found: &mut Vec<Finding>,
) {
    let (Some(first), ours) = (services.first(), families_of(services)) else {
        return;
    };
    for controller in controllers {
        let theirs = families_of(&selecting(picture, &[controller.object]));
        let missing: Vec<String> = theirs.difference(&ours).cloned().collect();
        if !missing.is_empty() && !ours.is_empty() {
            let says = format!(
                "it has {}, not {}",
                ours.iter().cloned().collect::<Vec<_>>().join(", "),
                missing.join(", ")
            );
            found.push(code::GATEWAY_FAMILY.at(see::object(first), says));
        }
    }
}

/// Lists of addresses that the gateway is to keep, where its Service may hide those of clients.
fn addresses(
    picture: &Picture,
    controllers: &[Controller<'_>],
    services: &[&Value],
    found: &mut Vec<Finding>,
) {
    const LISTS: [&str; 3] = [
        "whitelist-source-range",
        "allowlist-source-range",
        "denylist-source-range",
    ];
    let prefixes: BTreeSet<&str> = controllers.iter().map(Controller::prefix).collect();
    let lists = |ingress: &&Value| {
        prefixes.iter().any(|prefix| {
            let mut all = LISTS.iter().map(|list| format!("{prefix}/{list}"));
            all.any(|list| see::annotation(ingress, &list).is_some())
        })
    };
    let own = |service: &&Value| services.iter().any(|known| std::ptr::eq(*known, *service));
    let ranges = |service: &&Value| {
        let mut all = items(service, "/spec/loadBalancerSourceRanges");
        text(service, "/spec/type") == Some("LoadBalancer") && all.next().is_some() && !own(service)
    };
    let ingresses = picture.of("Ingress").iter().filter(lists);
    let balancers = picture.of("Service").iter().filter(ranges);
    let named: Vec<String> = ingresses.chain(balancers).map(see::object).collect();
    let outside = |service: &&&Value| text(service, "/spec/type").is_some_and(|kind| kind != "ClusterIP");
    let hiding = services.iter().filter(outside).filter(|service| !keeps(service));
    for service in hiding.filter(|_| !named.is_empty()) {
        let says = format!(
            "it has not externalTrafficPolicy Local, and these have lists: {}",
            super::ingress::named(&named)
        );
        found.push(code::GATEWAY_CLIENT_ADDRESS.at(see::object(service), says));
    }
}

/// The ports of a node that a workload's pods take.
fn node_ports(workload: &Value) -> BTreeSet<u64> {
    let pod = "/spec/template/spec";
    let host = workload
        .pointer(&format!("{pod}/hostNetwork"))
        .and_then(Value::as_bool)
        == Some(true);
    items(workload, &format!("{pod}/containers"))
        .flat_map(|container| items(container, "/ports"))
        .filter_map(|port| {
            let own = port.get("hostPort").filter(|port| !port.is_null());
            own.or_else(|| port.get("containerPort").filter(|_| host))?
                .as_u64()
        })
        .collect()
}

fn conflicts(
    picture: &Picture,
    controllers: &[Controller<'_>],
    pods: &[&Value],
    services: &[&Value],
    found: &mut Vec<Finding>,
) {
    for controller in controllers {
        let theirs = node_ports(controller.object);
        for workload in pods {
            let both: Vec<String> = node_ports(workload)
                .intersection(&theirs)
                .map(ToString::to_string)
                .collect();
            // On different nodes they do not meet.
            let apart = controller.object.pointer("/spec/template/spec/nodeSelector")
                != workload.pointer("/spec/template/spec/nodeSelector");
            if !both.is_empty() && !apart {
                found.push(code::PORT_CONFLICT.at(
                    see::object(workload),
                    format!(
                        "ports {} of the nodes are also those of {}",
                        both.join(", "),
                        see::object(controller.object)
                    ),
                ));
            }
        }
    }
    let address = |service: &Value| text(service, "/spec/loadBalancerIP").map(ToOwned::to_owned);
    for service in services {
        let Some(wanted) = address(service).filter(|address| !address.is_empty()) else {
            continue;
        };
        let other = picture.of("Service").iter().find(|other| {
            address(other).as_ref() == Some(&wanted)
                && super::picture::key(other) != super::picture::key(service)
        });
        if let Some(other) = other {
            let says = format!("it asks for {wanted}, which {} has", see::object(other));
            found.push(code::PORT_CONFLICT.at(see::object(service), says));
        }
    }
}

/// `namespace/host`, `./host` and `host` are all about the host.
fn bare(host: &str) -> &str {
    host.split_once('/').map_or(host, |(_, host)| host)
}

/// TLS servers of other Gateways of the same pods, on our hosts.
fn taken(picture: &Picture, hosts: &BTreeSet<String>, options: &Options, found: &mut Vec<Finding>) {
    let own = |gateway: &Value| {
        see::namespace(gateway) == options.gateway_namespace && see::name(gateway) == options.gateway_name
    };
    let selects = |gateway: &Value| {
        entries(gateway, "/spec/selector")
            .all(|(label, value)| options.gateway_selector.get(label).map(String::as_str) == value.as_str())
    };
    // Without a certificate a host of ours is opened in clear only, where nothing is skipped.
    let secure: BTreeSet<String> = picture
        .of("Ingress")
        .iter()
        .flat_map(|ingress| items(ingress, "/spec/tls"))
        .flat_map(|tls| items(tls, "/hosts"))
        .filter_map(Value::as_str)
        .filter(|host| hosts.contains(*host))
        .map(ToOwned::to_owned)
        .collect();
    for gateway in picture
        .of("Gateway")
        .iter()
        .filter(|gateway| !own(gateway) && selects(gateway))
    {
        // What `apply` made is its own affair; what was made for tenants and load balancers is in its way as any other.
        let made = ["rollout.sealos.io/tenant", "rollout.sealos.io/loadbalancer"];
        let ours = see::label(gateway, "app.kubernetes.io/managed-by") == Some("gradual-rollout");
        let apart = made.iter().any(|label| see::label(gateway, label).is_some());
        let hosts = if ours { &secure } else { hosts };
        for server in items(gateway, "/spec/servers").filter(|_| !ours || apart) {
            let port = server.pointer("/port/number").and_then(Value::as_u64);
            if server.get("tls").is_none() || port != Some(u64::from(options.https_port)) {
                continue;
            }
            let both: Vec<String> = items(server, "/hosts")
                .filter_map(Value::as_str)
                .map(bare)
                .filter(|host| hosts.contains(*host))
                .map(ToOwned::to_owned)
                .collect();
            if !both.is_empty() {
                found.push(code::GATEWAY_HOST_TAKEN.at(
                    see::object(gateway),
                    format!("port {}: {}", options.https_port, super::ingress::named(&both)),
                ));
            }
        }
    }
}

fn routed(picture: &Picture, hosts: &BTreeSet<String>, found: &mut Vec<Finding>) {
    let foreign =
        |object: &&Value| see::label(object, "app.kubernetes.io/managed-by") != Some("gradual-rollout");
    for service in picture.of("VirtualService").iter().filter(foreign) {
        let both: Vec<String> = items(service, "/spec/hosts")
            .filter_map(Value::as_str)
            .filter(|host| {
                hosts.contains(*host)
                    || hosts
                        .iter()
                        .any(|ours| host.starts_with("*.") && covers(host, ours))
            })
            .map(ToOwned::to_owned)
            .collect();
        if both.is_empty() {
            continue;
        }
        let mut says = super::ingress::named(&both);
        let gateways: Vec<&str> = items(service, "/spec/gateways")
            .filter_map(Value::as_str)
            .collect();
        if gateways.is_empty() || gateways.contains(&"mesh") {
            says.push_str("; it is bound to the mesh");
        }
        found.push(code::HOST_ROUTED.at(see::object(service), says));
    }
}
