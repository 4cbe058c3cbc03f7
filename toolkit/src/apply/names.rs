//! Where names of hosts lead that are closed as nothing needs them any more: somebody may still ask for them.

use super::args::ApplyArgs;
use super::gateway::{self, Host};
use super::live::{self, Live};
use super::plan::Plan;
use super::select::shown;
use crate::cleanup::names::Leads;
use crate::cluster;
use crate::finding::{Finding, Severity};
use crate::rollback::names::look;
use crate::trouble::Trouble;
use kube::Client;
use serde_json::Value;
use std::collections::BTreeSet;

const LEADS: &str = "APPLY-NAME-LEADS-TO-GATEWAY";
const UNKNOWN: &str = "APPLY-NAME-UNKNOWN";

/// What there is to say of hosts that a plan closes and does not open again.
pub async fn leading(
    args: &ApplyArgs,
    plan: &Plan,
    live: &Live,
    client: &Client,
) -> Result<Vec<Finding>, Trouble> {
    let routes = plan
        .items
        .iter()
        .filter(|item| item.kind == cluster::VIRTUAL_SERVICE);
    let served: BTreeSet<&String> = routes.flat_map(|item| &item.hosts).collect();
    let pruned = plan
        .pruned
        .iter()
        .filter(|(kind, _)| *kind == cluster::VIRTUAL_SERVICE);
    let closing: BTreeSet<Host> = pruned
        .flat_map(|(_, route)| {
            let namespace = gateway::key(route).0;
            live::hosts(route)
                .into_iter()
                .map(move |host| (namespace.clone(), host))
        })
        .filter(|(_, host)| !served.contains(host))
        .collect();
    if closing.is_empty() || args.pruning.prune_named {
        return Ok(Vec::new());
    }
    let gateways: Vec<Value> = live
        .ours(&cluster::GATEWAY)
        .filter(|gateway| !gateway::open(gateway).is_disjoint(&closing))
        .cloned()
        .collect();
    let known = args.pruning.gateway_address.iter().copied().collect();
    let (mut there, mut unknown) = (Vec::new(), Vec::new());
    for (host, leads) in look(client, &gateways, &closing, &known).await? {
        match leads {
            Leads::Away => {}
            Leads::Nginx(ip) => there.push(format!("{host} ({ip})")),
            Leads::Unknown(why) => unknown.push(format!("{host} ({why})")),
        }
    }
    let mut findings = Vec::new();
    if !there.is_empty() {
        findings.push(Finding {
            code: LEADS,
            severity: Severity::Blocker,
            object: "batch".to_owned(),
            message: format!("names of hosts that would be closed lead to the gateway: {}", shown(&there)),
            remedy: "move or delete the names, wait until their time to live is over, and ask again; or say --prune-named: who asks for them gets no answer then".to_owned(),
        });
    }
    if !unknown.is_empty() {
        findings.push(Finding {
            code: UNKNOWN,
            severity: Severity::Warning,
            object: "batch".to_owned(),
            message: format!(
                "where names of hosts lead that are closed nobody knows: {}",
                shown(&unknown)
            ),
            remedy: "look them up where names are known".to_owned(),
        });
    }
    Ok(findings)
}

/// Nothing is written where names lead to what would be closed.
pub fn refuse(findings: &[Finding]) -> Result<(), Trouble> {
    match findings.iter().find(|finding| finding.code == LEADS) {
        None => Ok(()),
        Some(finding) => Err(Trouble::Refused(format!(
            "nothing was written ({LEADS}): {}; {}",
            finding.message, finding.remedy
        ))),
    }
}
