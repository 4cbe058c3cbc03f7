//! Who may still come by the address that a load balancer gives up: looked up before the one step that cannot be taken
//! back.

use super::args::MigrateArgs;
use super::plan::Plan;
use super::{clients, service};
use crate::cleanup::names::{self, Leads};
use crate::finding::{Finding, Severity};
use crate::see;
use crate::trouble::Trouble;
use serde_json::Value;
use std::collections::BTreeSet;

const LEADS: &str = "RELEASE-NAME-LEADS-TO-BALANCER";
const UNKNOWN: &str = "RELEASE-NAME-UNKNOWN";
const ACCEPTABLE: [&str; 3] = [clients::CODE, LEADS, UNKNOWN];

/// Names that external-dns keeps for a Service.
const NAMED: &str = "external-dns.alpha.kubernetes.io/hostname";

/// Codes as typed.
pub(super) fn accepted(args: &MigrateArgs) -> Result<Vec<String>, Trouble> {
    let codes: Vec<String> = args.accept.iter().map(|code| code.to_ascii_uppercase()).collect();
    if let Some(early) = codes
        .iter()
        .find(|code| [LEADS, UNKNOWN].contains(&code.as_str()) && !args.release_address)
    {
        return Err(Trouble::Usage(format!(
            "--accept {early}: it is about giving the address up; say it with --release-address"
        )));
    }
    match codes.iter().find(|code| !ACCEPTABLE.contains(&code.as_str())) {
        Some(wrong) => Err(Trouble::Usage(format!(
            "--accept {wrong:?}: what may be accepted is {}",
            ACCEPTABLE.join(", ")
        ))),
        None => Ok(codes),
    }
}

/// Why the address may not be given up yet, but for what was accepted.
pub(super) async fn findings(service: &Value, plan: &Plan, accepted: &[String]) -> Vec<Finding> {
    // Where there is no address nobody comes by it.
    if service::addresses(service).is_empty() {
        return Vec::new();
    }
    let object = see::object(service);
    let mut findings = Vec::new();
    let mut say = |code: &'static str, message: String, remedy: &str| {
        if !accepted.iter().any(|accepted| accepted == code) {
            findings.push(Finding {
                code,
                severity: Severity::Blocker,
                object: object.clone(),
                message,
                remedy: remedy.to_owned(),
            });
        }
    };
    let mut hosts: BTreeSet<String> = plan.ports.iter().filter_map(|(_, host)| host.clone()).collect();
    let kept = see::annotation(service, NAMED).unwrap_or_default().split(',');
    hosts.extend(
        kept.map(|host| host.trim().trim_end_matches('.').to_ascii_lowercase())
            .filter(|host| !host.is_empty()),
    );
    let balancer = names::balancer(service).await;
    for (host, leads) in names::lead(&hosts, &balancer, None).await {
        match leads {
            Leads::Away => {}
            Leads::Nginx(ip) => say(
                LEADS,
                format!("{host} leads to {ip}, the address that would be given up"),
                "move the name to the gateway, wait until its time to live is over, and run this again; or lose it with --accept",
            ),
            Leads::Unknown(why) => say(
                UNKNOWN,
                format!("nobody knows where {host} leads: {why}"),
                "run this where names are known, or accept it with --accept",
            ),
        }
    }
    for (port, _) in plan.ports.iter().filter(|(_, host)| host.is_none()) {
        say(
            UNKNOWN,
            format!(
                "port {} has no host that could be looked up, so nobody knows who still comes by its address",
                port.number
            ),
            "see at the load balancer that nobody does, and accept it with --accept",
        );
    }
    findings
}
