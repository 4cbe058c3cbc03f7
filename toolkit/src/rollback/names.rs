//! Where names lead, before what serves them at the gateway is taken away.
//!
//! It is looked up when nginx serves everything again and not before: a name can only be moved back to where it is
//! served. That nobody knows where one leads is a warning alone, for going back has to work where there is no DNS.

use super::args::RollbackArgs;
use super::back::OTHER;
use super::plan::Undo;
use crate::apply::gateway::{self, Host};
use crate::apply::select::shown;
use crate::cleanup::names::{Addresses, Leads, leads_to_gateway};
use crate::cluster::meta;
use crate::finding::{Finding, Severity};
use crate::see::entries;
use crate::shadow::YOUNGER;
use crate::trouble::Trouble;
use kube::Client;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

const LEADS: &str = "ROLLBACK-NAME-LEADS-TO-GATEWAY";
const UNKNOWN: &str = "ROLLBACK-NAME-UNKNOWN";

/// Says what of `--accept` is nothing that can be accepted.
pub fn check(args: &RollbackArgs) -> Result<(), Trouble> {
    match args
        .accept
        .iter()
        .find(|code| ![LEADS, OTHER, YOUNGER].contains(&code.as_str()))
    {
        None => Ok(()),
        Some(typed) => Err(Trouble::Usage(format!(
            "--accept {typed:?}: only {LEADS}, {OTHER} and {YOUNGER} can be accepted here"
        ))),
    }
}

/// What there is to say of hosts that would be closed; nothing where that was accepted.
pub async fn leading(args: &RollbackArgs, undo: &Undo, client: &Client) -> Result<Vec<Finding>, Trouble> {
    if args.accept.iter().any(|code| code == LEADS) {
        return Ok(Vec::new());
    }
    let known = args.gateway_address.iter().copied().collect();
    let mut found = BTreeMap::new();
    for (gateway, hosts) in &undo.behind {
        look_one(client, gateway, hosts, &known, &mut found).await?;
    }
    Ok(told(&found))
}

/// Where hosts of Gateways lead, of those that are not known to lead away; `known` are addresses beside those that are seen.
pub async fn look(
    client: &Client,
    gateways: &[Value],
    closing: &BTreeSet<Host>,
    known: &BTreeSet<IpAddr>,
) -> Result<BTreeMap<String, Leads>, Trouble> {
    let mut found: BTreeMap<String, Leads> = BTreeMap::new();
    for gateway in gateways {
        let closed = gateway::open(gateway).into_iter();
        let hosts: BTreeSet<String> = closed
            .filter(|host| closing.contains(host))
            .map(|(_, host)| host)
            .collect();
        look_one(client, gateway, &hosts, known, &mut found).await?;
    }
    Ok(found)
}

/// Where hosts lead that one Gateway serves.
async fn look_one(
    client: &Client,
    gateway: &Value,
    hosts: &BTreeSet<String>,
    known: &BTreeSet<IpAddr>,
    found: &mut BTreeMap<String, Leads>,
) -> Result<(), Trouble> {
    let pods: Vec<(String, String)> = entries(gateway, "/spec/selector")
        .filter_map(|(label, value)| Some((label.clone(), value.as_str()?.to_owned())))
        .collect();
    let said = Addresses {
        known: known.clone(),
        hint: ": that of the gateway is named with --gateway-address",
        ..Addresses::default()
    };
    match leads_to_gateway(client, hosts, meta(gateway, "namespace"), &pods, said).await {
        Ok(leads) => found.extend(leads),
        // Going back does not wait for a right to look.
        Err(Trouble::Refused(why)) => {
            found.extend(
                hosts
                    .iter()
                    .map(|host| (host.clone(), Leads::Unknown(why.clone()))),
            );
        }
        Err(trouble) => return Err(trouble),
    }
    Ok(())
}

/// One finding for all that lead there, and one for all of which nobody knows.
fn told(found: &BTreeMap<String, Leads>) -> Vec<Finding> {
    let (mut there, mut unknown, mut why) = (Vec::new(), Vec::new(), None);
    for (host, leads) in found {
        match leads {
            Leads::Away => {}
            Leads::Nginx(ip) => there.push(format!("{host} ({ip})")),
            Leads::Unknown(said) => {
                unknown.push(host.clone());
                why.get_or_insert_with(|| format!("nobody knows where {host} leads: {said}"));
            }
        }
    }
    let mut findings = Vec::new();
    if !there.is_empty() {
        findings.push(Finding {
            code: LEADS,
            severity: Severity::Blocker,
            object: "rollback".to_owned(),
            message: format!(
                "names lead to the gateway, so nothing is closed there: {}",
                shown(&there)
            ),
            remedy: format!(
                "nginx serves their Ingresses: move the names (DNS, load balancer) back to it, wait until their time to live is over, and ask again; or lose them with --accept {LEADS}"
            ),
        });
    }
    if let Some(why) = why {
        findings.push(Finding {
            code: UNKNOWN,
            severity: Severity::Warning,
            object: "rollback".to_owned(),
            message: format!(
                "of {} hosts it is not known that they lead away from the gateway ({}); {why}",
                unknown.len(),
                shown(&unknown)
            ),
            remedy:
                "whoever still asks the gateway for them gets no answer: look them up where names are known"
                    .to_owned(),
        });
    }
    findings
}
