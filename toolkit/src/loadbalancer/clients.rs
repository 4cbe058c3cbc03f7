//! Whether the gateway knows the addresses of clients, which it must where a load balancer's source ranges are to be kept
//! by it: one that sees those of nodes shuts everybody out, or lets everybody in.

use crate::finding::{Finding, Severity};
use crate::see::{self, items, kinds, text};
use serde_json::Value;

/// The code, as `convert` has it.
pub(super) const CODE: &str = "CLIENT-ADDRESS";

/// Whether a Service keeps the addresses of clients, as far as the cluster tells.
pub(crate) fn keeps(service: &Value) -> bool {
    text(service, "/spec/externalTrafficPolicy") == Some("Local")
}

/// What is found where a plan has ranges, and a Service in front of the gateway does not keep addresses for certain.
pub(super) fn finding(
    service: &Value,
    written: &[(see::Kind, Value)],
    gateways: &[&Value],
) -> Option<Finding> {
    if !written.iter().any(|(kind, _)| *kind == kinds::AUTHORIZATION) {
        return None;
    }
    let hiding: Vec<String> = gateways
        .iter()
        .filter(|gateway| !keeps(gateway))
        .map(|gateway| see::object(gateway))
        .collect();
    if hiding.is_empty() {
        return None;
    }
    let ranges: Vec<&str> = items(service, "/spec/loadBalancerSourceRanges")
        .filter_map(Value::as_str)
        .collect();
    Some(Finding {
        code: CODE,
        severity: Severity::Blocker,
        object: see::object(service),
        message: format!(
            "it lets in {} only, which the gateway judges by the address it sees, and {} has not externalTrafficPolicy Local: where that is a node's, everybody is shut out, or everybody let in",
            ranges.join(", "),
            hiding.join(", ")
        ),
        remedy: "set externalTrafficPolicy: Local there; or have the client's address told by PROXY protocol or numTrustedProxies, see from outside that others are kept out, and accept it with --accept CLIENT-ADDRESS".to_owned(),
    })
}
