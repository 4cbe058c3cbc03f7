//! Who calls a tenant's pods from the network of a node, where policies do not know pods by their labels.

use super::objects::Tenant;
use crate::apply::select::shown;
use crate::finding::{Finding, Severity};
use crate::preflight::controller;
use crate::preflight::picture::Picture;
use crate::see::{self, items, text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Whether a text is a block of addresses, as network policies have them.
pub(super) fn is_block(cidr: &str) -> bool {
    let Some((address, bits)) = cidr.split_once('/') else {
        return false;
    };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.bytes().all(|byte| byte.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

/// Whether the pods of a workload are in the network of their nodes.
fn in_nodes_network(workload: &Value) -> bool {
    workload
        .pointer("/spec/template/spec/hostNetwork")
        .and_then(Value::as_bool)
        == Some(true)
}

/// Whether a workload makes pods of the tenant's gateway.
fn is_gateway(tenant: &Tenant, workload: &Value) -> bool {
    see::namespace(workload) == tenant.gateway_namespace
        && !tenant.gateway_selector.is_empty()
        && tenant.gateway_selector.iter().all(|(label, value)| {
            workload
                .pointer("/spec/template/metadata/labels")
                .and_then(|labels| labels.get(label)?.as_str())
                == Some(value)
        })
}

/// That nginx or the gateway is in the network of its nodes, and nobody said which addresses that are: the policy would
/// let in pods by labels, which most networks do not see of such, and cut the tenant off.
pub(super) fn shut_out(tenant: &Tenant, picture: &Picture) -> Option<Finding> {
    if !tenant.addresses.is_empty() {
        return None;
    }
    let nginx = controller::controllers(picture);
    let nginx = nginx.iter().map(|controller| controller.object);
    let gateways = picture
        .workloads()
        .filter(|workload| is_gateway(tenant, workload));
    let there: BTreeSet<String> = nginx
        .chain(gateways)
        .filter(|workload| in_nodes_network(workload))
        .map(see::object)
        .collect();
    if there.is_empty() {
        return None;
    }
    let nodes: BTreeSet<String> = picture
        .of("Node")
        .iter()
        .flat_map(|node| items(node, "/status/addresses"))
        .filter(|address| text(address, "/type") == Some("InternalIP"))
        .filter_map(|address| Some(text(address, "/address")?.to_owned()))
        .collect();
    let nodes: Vec<String> = nodes.into_iter().collect();
    let known = if nodes.is_empty() {
        String::new()
    } else {
        format!(" (the nodes have {})", shown(&nodes))
    };
    Some(Finding {
        code: "TENANT-HOST-NETWORK",
        severity: Severity::Blocker,
        object: there.into_iter().collect::<Vec<_>>().join(", "),
        message: "its pods are in the network of their nodes (hostNetwork), and most networks do not know such by their labels: the NetworkPolicy of the tenant would shut them out".to_owned(),
        remedy: format!(
            "name the addresses that they call from with --allow-cidr: those of the nodes{known}, and of their tunnels where the network has such"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_an_address_and_as_many_bits_as_that_may_have() {
        for cidr in ["10.0.0.0/24", "10.0.0.1/32", "0.0.0.0/0", "2001:db8::/64"] {
            assert!(is_block(cidr), "{cidr}");
        }
        for cidr in [
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "a.com/24",
            "::1/129",
        ] {
            assert!(!is_block(cidr), "{cidr}");
        }
    }
}
