//! The production checklist: what a machine checks, what a person ticks, and the score that both make.
//!
//! A person's ticks are kept in a ConfigMap, one key for each item, so that everybody sees who vouched for what.

use super::code;
use crate::finding::{Finding, Severity};
use crate::see::{self, kinds};
use crate::trouble::Trouble;
use jiff::Timestamp;
use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The ConfigMap of the ticks.
pub(super) const NAME: &str = "gradual-rollout-checklist";

/// One item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// By which it is ticked.
    pub id: &'static str,
    /// What is asserted.
    pub text: &'static str,
    /// Ticked by a person; else a machine looks.
    pub person: bool,
}

const fn machine(id: &'static str, text: &'static str) -> Item {
    Item {
        id,
        text,
        person: false,
    }
}

const fn person(id: &'static str, text: &'static str) -> Item {
    Item {
        id,
        text,
        person: true,
    }
}

/// The checklist. Those of people are what the plan demands before the first and the last steps.
pub(super) const ITEMS: &[Item] = &[
    machine("cluster", "The cluster is new enough"),
    machine("rights", "Whoever migrates may do it"),
    machine("capacity", "Both data planes have room"),
    machine("nginx", "ingress-nginx is known and well"),
    machine("split", "Traffic can be split and measured"),
    machine("conversion", "Every Ingress can be converted"),
    machine("backends", "Every back end is there"),
    machine("istio", "Istio is installed and well"),
    machine("gateway", "The gateway is ready for the hosts"),
    machine("certificates", "Certificates are valid and renewed"),
    machine("controllers", "The platform's controllers speak both"),
    machine("tenants", "Quotas leave room, nothing bypasses the gateway"),
    person("backup", "A backup was taken, and restored for a trial"),
    person(
        "monitoring",
        "Dashboards and alerts show both data planes, and a test alert arrived",
    ),
    person("metrics", "Error rate, latency and availability are normal today"),
    person("rollback", "The emergency rollback was rehearsed"),
    person("team", "Those who will do it and those on call are trained"),
    person(
        "on-call",
        "Somebody is on call, and reachable, for the whole migration",
    ),
    person("dns", "The time to live of the hosts' DNS records was lowered"),
    person("tenants-told", "Tenants were told what will happen, and when"),
    person(
        "security",
        "Somebody reviewed what each host is protected by, before and after",
    ),
    person("window", "The window was agreed with those who depend on it"),
];

/// Who vouched, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tick {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Ticks by item.
pub(super) type Ticks = BTreeMap<String, Tick>;

/// How an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Standing {
    /// It holds.
    Pass,
    /// Somebody should look: half a point.
    Warn,
    /// It does not hold, or nobody vouched for it.
    Open,
}

/// How an item stands with these findings and ticks.
pub(super) fn standing(item: &Item, findings: &[Finding], ticks: &Ticks) -> Standing {
    if item.person {
        return if ticks.contains_key(item.id) {
            Standing::Pass
        } else {
            Standing::Open
        };
    }
    let belongs = |finding: &&Finding| {
        let code = code::ALL.iter().find(|code| code.name == finding.code);
        code.is_some_and(|code| code.item == item.id)
    };
    let unseen =
        |finding: &&Finding| finding.code == code::NOT_LOOKED_AT.name && feeds(&finding.object, item.id);
    let worst = findings
        .iter()
        .filter(belongs)
        .map(|finding| finding.severity)
        .max();
    match worst {
        // What was not seen is not known to be well.
        None | Some(Severity::Info) if findings.iter().any(|finding| unseen(&finding)) => Standing::Warn,
        None | Some(Severity::Info) => Standing::Pass,
        Some(Severity::Warning) => Standing::Warn,
        Some(Severity::Blocker) => Standing::Open,
    }
}

/// Whether an item is judged by objects of a resource.
fn feeds(resource: &str, item: &str) -> bool {
    let items: &[&str] = match resource.split('.').next().unwrap_or_default() {
        "selfsubjectaccessreviews" => &["rights"],
        "nodes" | "pods" => &["capacity"],
        "secrets" => &["certificates", "nginx"],
        "certificates" | "issuers" | "clusterissuers" => &["certificates"],
        "configmaps" => &["nginx", "conversion", "istio", "controllers"],
        "deployments" | "daemonsets" => &["nginx", "split", "conversion", "istio", "gateway", "controllers"],
        "ingresses" | "ingressclasses" => &["conversion", "split", "backends", "certificates", "tenants"],
        "services" => &["conversion", "backends", "gateway", "tenants"],
        "endpointslices" => &["backends", "istio"],
        "gateways" => &["gateway", "certificates"],
        "virtualservices" => &["gateway"],
        "resourcequotas" | "namespaces" => &["tenants"],
        _ => &["istio"],
    };
    items.contains(&item)
}

/// Of a hundred: each item counts the same, a warning half.
pub(super) fn score(findings: &[Finding], ticks: &Ticks) -> usize {
    let points: usize = ITEMS
        .iter()
        .map(|item| match standing(item, findings, ticks) {
            Standing::Pass => 2,
            Standing::Warn => 1,
            Standing::Open => 0,
        })
        .sum();
    points * 100 / (ITEMS.len() * 2)
}

/// A person's item by name; which there are, where it is none.
pub(super) fn find(id: &str) -> Result<&'static Item, Trouble> {
    let found = ITEMS.iter().find(|item| item.id == id);
    if let Some(item) = found.filter(|item| item.person) {
        return Ok(item);
    }
    let names: Vec<&str> = ITEMS
        .iter()
        .filter(|item| item.person)
        .map(|item| item.id)
        .collect();
    let why = if found.is_some() {
        "preflight looks at it itself"
    } else {
        "there is no such item"
    };
    Err(Trouble::Usage(format!(
        "unable to tick {id:?}: {why}; a person ticks {}",
        names.join(", ")
    )))
}

/// The ticks that are kept in a namespace, and the version they were read in.
pub(super) async fn read(client: &Client, namespace: &str) -> Result<(Ticks, Option<String>), Trouble> {
    let Some(config) = see::get(client, kinds::CONFIG_MAP, Some(namespace), NAME).await? else {
        return Ok((Ticks::new(), None));
    };
    let version = see::text(&config, "/metadata/resourceVersion").map(ToOwned::to_owned);
    let mut ticks = Ticks::new();
    for (item, value) in see::entries(&config, "/data") {
        let tick = serde_json::from_str(value.as_str().unwrap_or_default()).map_err(|error| {
            Trouble::Refused(format!(
                "unable to read the tick of {item} in ConfigMap {namespace}/{NAME}: {error}; remove the key"
            ))
        })?;
        ticks.insert(item.clone(), tick);
    }
    Ok((ticks, version))
}

/// How often a change is tried when others write the same ConfigMap.
const ATTEMPTS: u32 = 5;

/// Writes a tick, or takes it away. Ticks of other items stay, whoever writes them at the same time.
pub(super) async fn write(
    client: &Client,
    namespace: &str,
    item: &str,
    tick: Option<&Tick>,
) -> Result<(), Trouble> {
    let doing = format!("write ConfigMap {namespace}/{NAME}");
    let value = match tick {
        Some(tick) => Value::String(
            serde_json::to_string(tick)
                .map_err(|error| Trouble::Internal(format!("unable to {doing}: {error}")))?,
        ),
        None => Value::Null,
    };
    let api = kinds::CONFIG_MAP.within(client, namespace);
    let mut attempt = 1;
    loop {
        let (_, version) = read(client, namespace).await?;
        let result = match version {
            Some(version) => {
                let change = json!({"metadata": {"resourceVersion": version}, "data": {item: value}});
                let writing = PatchParams {
                    field_manager: Some(crate::put::MANAGER.to_owned()),
                    ..PatchParams::default()
                };
                api.patch(NAME, &writing, &Patch::Merge(&change)).await.map(drop)
            }
            None if tick.is_none() => return Ok(()),
            None => {
                let fresh: DynamicObject = serde_json::from_value(json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": NAME, "namespace": namespace, "labels": crate::put::labels()},
                    "data": {item: value},
                }))
                .map_err(|error| Trouble::Internal(format!("unable to {doing}: {error}")))?;
                let writing = PostParams {
                    field_manager: Some(crate::put::MANAGER.to_owned()),
                    ..PostParams::default()
                };
                api.create(&writing, &fresh).await.map(drop)
            }
        };
        match result {
            Ok(()) => return Ok(()),
            // Somebody else wrote in between: look again.
            Err(kube::Error::Api(status)) if status.code == 409 && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(Trouble::kube(doing, &error)),
        }
    }
}
