//! Ingresses: a component of all that hangs together by nginx's upstreams.
//!
//! nginx splits upstreams (namespace, Service, port), so an upstream is in one component alone: Ingresses that share
//! one are one component, and an Ingress that leads to several makes one of them all.

use super::{Adopted, Draft, LeftOut, Taken, arms, names, object_of, weights};
use crate::rollout::router_spec::{IngressNginx, Ingresses, Router, SplitGateway};
use crate::routing::found::found;
use crate::routing::home::Home;
use crate::routing::nginx::{self, Code, Finding, PREFIX, Severity};
use crate::routing::object::{ObjectKind, ObjectRef};
use crate::routing::seen::text;
use crate::routing::stock::Stock;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// As many names as a selection takes.
const MOST_NAMES: usize = 64;
/// As many findings are told beside a component; all of them by `routes check`.
const TOLD: usize = 12;

/// Ingresses that hang together.
#[derive(Default)]
struct Group {
    chosen: BTreeSet<String>,
    /// Others that lead to the same upstreams: they are split too.
    beside: BTreeSet<String>,
    services: BTreeSet<String>,
}

/// Makes components of Ingresses, or says why not.
pub(super) fn adopt(
    objects: &[Arc<Value>],
    gateway: &SplitGateway,
    stock: &Stock,
    taken: &mut Taken,
    adopted: &mut Adopted,
) {
    let mut classes: BTreeMap<(&str, Option<&str>), Vec<&Arc<Value>>> = BTreeMap::new();
    for json in objects {
        match canary(json) {
            Some(reason) => leave_out(adopted, json, reason),
            None => classes
                .entry((names(json).0, class(json)))
                .or_default()
                .push(json),
        }
    }
    for ((namespace, class), chosen) in classes {
        let (groups, lost) = groups(&chosen, gateway, namespace, stock);
        for json in chosen
            .iter()
            .filter(|json| !groups.iter().any(|g| g.chosen.contains(names(json).1)))
        {
            let reason = lost.get(names(json).1).cloned().unwrap_or_else(|| {
                "no rule of it leads to a Service, so nginx has no upstream of it to split".to_owned()
            });
            leave_out(adopted, json, reason);
        }
        for group in groups {
            match draft(&group, (namespace, class), gateway, stock, taken) {
                Ok(draft) => {
                    taken.take(&draft, stock, "nginx has one canary of an upstream");
                    adopted.drafts.push(draft);
                }
                Err(reason) => {
                    let of_group = chosen.iter().filter(|json| group.chosen.contains(names(json).1));
                    of_group.for_each(|json| leave_out(adopted, json, reason.clone()));
                }
            }
        }
    }
}

fn leave_out(adopted: &mut Adopted, json: &Value, reason: String) {
    let object = object_of(ObjectKind::Ingress, json);
    adopted.left_out.push(LeftOut { object, reason });
}

fn class(json: &Value) -> Option<&str> {
    text(json, "/spec/ingressClassName")
        .or_else(|| text(json, "/metadata/annotations/kubernetes.io~1ingress.class"))
}

/// Why an Ingress that is a canary itself is none to split.
fn canary(json: &Value) -> Option<String> {
    let annotations = json.pointer("/metadata/annotations");
    let says = |name: &str| annotations.and_then(|a| a.get(format!("{PREFIX}/{name}"))?.as_str());
    if !says("canary").is_some_and(nginx::is_true) {
        return None;
    }
    let label = |key: &str| {
        json.pointer("/metadata/labels")
            .and_then(|l| l.get(key)?.as_str())
    };
    Some(match label(nginx::COMPONENT) {
        Some(component) if label(nginx::MANAGED_BY) == Some(nginx::MANAGER) => {
            format!("it is the canary that component {component} of a GradualRollout made")
        }
        Some(_) | None => {
            "it is a canary itself, and nginx uses only one: delete it, or express its split in the VirtualService"
                .to_owned()
        }
    })
}

fn spec(names: impl IntoIterator<Item = String>, gateway: &SplitGateway) -> IngressNginx {
    IngressNginx {
        ingresses: Ingresses {
            match_labels: None,
            names: Some(names.into_iter().collect()),
            namespaces: None,
        },
        gateway: gateway.clone(),
        annotations_prefix: None,
        accept: None,
    }
}

/// What hangs together among Ingresses of one class, and why some are in no group.
fn groups(
    chosen: &[&Arc<Value>],
    gateway: &SplitGateway,
    namespace: &str,
    stock: &Stock,
) -> (Vec<Group>, BTreeMap<String, String>) {
    let all: BTreeSet<String> = chosen.iter().map(|json| names(json).1.to_owned()).collect();
    let nobody = nginx::Maker::new("", &Home::unnamed(namespace));
    let selected = nginx::select(&spec(all.iter().cloned(), gateway), &nobody, namespace, stock);
    let mut groups: Vec<Group> = Vec::new();
    for split in selected.splits {
        let leading = split
            .places
            .iter()
            .map(|place| names(&place.ingress).1.to_owned());
        let (own, beside): (BTreeSet<String>, BTreeSet<String>) =
            leading.partition(|name| all.contains(name));
        let mut group = Group {
            chosen: own,
            beside,
            services: BTreeSet::from([split.upstream.service.clone()]),
        };
        let (same, others): (Vec<Group>, Vec<Group>) = groups
            .into_iter()
            .partition(|g| !g.chosen.is_disjoint(&group.chosen));
        for other in same {
            group.chosen.extend(other.chosen);
            group.beside.extend(other.beside);
            group.services.extend(other.services);
        }
        groups = others;
        groups.push(group);
    }
    groups.sort_by(|a, b| a.chosen.cmp(&b.chosen));
    let shadowed = selected
        .findings
        .iter()
        .filter(|finding| finding.code == Code::Shadowed);
    let lost = shadowed.filter_map(|finding| {
        let name = finding.object.rsplit('/').next()?;
        Some((
            name.to_owned(),
            format!("{}; {}", finding.message, finding.remedy),
        ))
    });
    (groups, lost.collect())
}

fn draft(
    group: &Group,
    (namespace, class): (&str, Option<&str>),
    gateway: &SplitGateway,
    stock: &Stock,
    taken: &Taken,
) -> Result<Draft, String> {
    if group.chosen.len() > MOST_NAMES {
        return Err(format!(
            "it shares upstreams with {} other Ingresses, more than the {MOST_NAMES} that a selection can name: write that component by hand with `matchLabels`",
            group.chosen.len() - 1
        ));
    }
    let leading: Vec<&str> = group.chosen.union(&group.beside).map(String::as_str).collect();
    let arms = arms::of_ingresses(namespace, &leading).ok_or_else(|| {
        format!(
            "the names of the {} Ingresses of its upstreams are too long for one label matcher: write that component by hand",
            leading.len()
        )
    })?;
    let service = group.services.first().cloned().unwrap_or_default();
    let name = group.chosen.first().cloned().unwrap_or_default();
    let object = |name: &String| ObjectRef {
        kind: ObjectKind::Ingress,
        namespace: namespace.to_owned(),
        name: name.clone(),
    };
    let list = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut notes = vec![
        format!(
            "From {} {namespace}/{}: {} {}.",
            if group.chosen.len() == 1 {
                "ingress"
            } else {
                "ingresses"
            },
            list(&group.chosen),
            if group.services.len() == 1 {
                "upstream of Service"
            } else {
                "upstreams of the Services"
            },
            list(&group.services),
        ),
        format!(
            "The canary is the gateway {}/{} port {}; the control is the Services, by nginx as now.",
            gateway.namespace, gateway.service, gateway.port
        ),
    ];
    if group.chosen.len() > 1 || group.services.len() > 1 {
        notes.push(
            "They are one component because nginx splits upstreams, and these hang together by theirs."
                .to_owned(),
        );
    }
    notes.push(format!(
        "Counted by {}: with `honorLabels: true` in the scrape of ingress-nginx that label is called namespace.",
        arms::NAMESPACE
    ));
    if !group.beside.is_empty() {
        notes.push(format!(
            "Split with them, though not chosen: {} (the same upstream).",
            list(&group.beside)
        ));
    }
    match class {
        Some("nginx") => {}
        Some(class) => notes.push(format!("GUESSED: that ingress-nginx serves the class {class:?}.")),
        None => notes.push("GUESSED: that ingress-nginx serves it, for it names no class.".to_owned()),
    }
    let made = taken.fresh_draft(
        object(&name),
        Router::IngressNginx(spec(group.chosen.iter().cloned(), gateway)),
        arms,
        notes,
        &service,
    )?;
    let mut draft = Draft {
        objects: group.chosen.iter().map(object).collect(),
        ..made
    };
    if let Some(owner) = taken.owner_with(&draft.component, namespace, stock) {
        return Err(owner);
    }
    let said = {
        let found = found(&draft.component, &Home::unnamed(namespace), stock);
        let wrong = found
            .targets
            .iter()
            .flat_map(|target| target.check(&weights()))
            .next();
        if let Some(error) = wrong {
            return Err(error.to_string());
        }
        told(&found.findings)
    };
    draft.notes.extend(said);
    Ok(draft)
}

/// What speaks against splitting, as lines: only what has to be done or known before.
fn told(findings: &[Finding]) -> Vec<String> {
    let grave: Vec<&Finding> = findings.iter().filter(|f| f.severity != Severity::Info).collect();
    let mut lines = Vec::new();
    if grave.iter().any(|f| f.blocks()) {
        lines.push("It STAYS AT 0% until this is mended (`gradual-rollout routes check`):".to_owned());
    }
    lines.extend(grave.iter().take(TOLD).map(|finding| {
        let grave = if finding.blocks() { "blocker" } else { "warning" };
        format!("- {grave} {finding}")
    }));
    if grave.len() > TOLD {
        lines.push(format!("- and {} more", grave.len() - TOLD));
    }
    lines
}
