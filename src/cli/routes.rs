//! `routes check`: whether nginx's upstreams can be split, and what is missing; from manifests or from the cluster.

use super::args::{Output, RoutesCheckArgs};
use super::exit::{Exit, Failure};
use super::manifest::{self, Manifest};
use super::table::{self, BAD, Cell, DIM, LOOK};
use super::{connect, output, validate, yaml};
use crate::cluster::by_hand::ByHand;
use crate::rollout::router_spec::Router;
use crate::rollout::spec::{Component, GradualRollout};
use crate::rollout::weight::Weight;
use crate::routing::{
    Classes, Finding, Home, ObjectKind, Severity, Stock, controller_findings, found, needs,
};
use crate::settings::Settings;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// What is told about a component.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    rollout: String,
    component: String,
    /// Whether weights above 0 are written.
    eligible: bool,
    /// What it has now, as its status says.
    written: Weight,
    /// The canary Ingresses, there or yet to be made.
    canaries: Vec<String>,
    findings: Vec<Finding>,
}

/// Manifests out of files.
#[derive(Default)]
struct Files {
    rollouts: Vec<GradualRollout>,
    objects: BTreeMap<(ObjectKind, String), Vec<Arc<Value>>>,
    controllers: Vec<Finding>,
    classes: Classes,
}

/// Checks every component that nginx splits.
pub(super) async fn run(
    settings: &Settings,
    args: &RoutesCheckArgs,
    form: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let files = read(settings, args)?;
    let offline = files.objects.keys().any(|(kind, _)| *kind == ObjectKind::Ingress);
    let cluster = if offline {
        None
    } else {
        Some(connect::connect().await?)
    };
    let rollouts = match &cluster {
        Some(cluster) if args.file.is_empty() => {
            let listed = cluster.rollouts(&settings.namespace).await;
            listed.map_err(connect::failure)?
        }
        _ => files.rollouts,
    };
    let mut checked = Vec::new();
    for rollout in &rollouts {
        let namespace = rollout
            .metadata
            .namespace
            .as_deref()
            .unwrap_or(&settings.namespace);
        let name = rollout.metadata.name.as_deref().unwrap_or_default();
        for component in rollout
            .spec
            .components
            .iter()
            .filter(|c| is_meant(c, &args.component))
        {
            let mut stock = match &cluster {
                Some(cluster) => listed(cluster, component, namespace).await?,
                None => stocked(&files.objects, component, namespace),
            };
            stock.set_classes(files.classes.clone());
            let mut found = found(component, &Home::of(rollout, namespace), &stock);
            found.findings.extend(files.controllers.iter().cloned());
            let nginx = found
                .targets
                .iter()
                .filter(|t| t.object().kind == ObjectKind::Ingress && !t.is_stray());
            checked.push(Checked {
                rollout: format!("{namespace}/{name}"),
                component: component.name.clone(),
                eligible: found.obstacle().is_none(),
                written: rollout
                    .status
                    .as_ref()
                    .and_then(|status| status.component(&component.name))
                    .map_or(Weight::ZERO, |c| c.weight.written),
                canaries: nginx
                    .map(|t| format!("{}/{}", t.object().namespace, t.object().name))
                    .collect(),
                findings: found.findings.clone(),
            });
        }
    }
    if checked.is_empty() {
        let message = match args.component.as_slice() {
            [] => "no rollout here has a component with an ingressNginx router".to_owned(),
            names => format!("no component {} with an ingressNginx router", names.join(", ")),
        };
        return Err(if args.component.is_empty() {
            Failure::refused(message)
        } else {
            Failure::usage(message)
        });
    }
    match form {
        Output::Json | Output::Yaml => output::data(out, form, &json!({ "components": checked }))?,
        Output::Table | Output::Wide => show(out, &checked)?,
    }
    match checked.iter().filter(|c| !c.eligible).count() {
        0 => Ok(Exit::Done),
        1 => Err(Failure::refused("one component rises no further: see above")),
        n => Err(Failure::refused(format!(
            "{n} components rise no further: see above"
        ))),
    }
}

fn is_meant(component: &Component, names: &[String]) -> bool {
    component
        .routers
        .iter()
        .any(|r| matches!(r, Router::IngressNginx(_)))
        && (names.is_empty() || names.contains(&component.name))
}

fn show(out: &mut dyn Write, checked: &[Checked]) -> Result<(), Failure> {
    for one in checked {
        let word = match (one.eligible, one.written) {
            (true, _) => "can be split".to_owned(),
            (false, Weight::ZERO) => "stays at 0%".to_owned(),
            // What has traffic keeps it until somebody says otherwise.
            (false, written) => format!("has {written} and rises no further, `rollback` takes it off"),
        };
        let (rollout, component) = (table::plain(&one.rollout), table::plain(&one.component));
        writeln!(
            out,
            "{component} of {rollout}: {word}, {} upstream(s)",
            one.canaries.len()
        )?;
        let mut rows = Vec::new();
        for finding in &one.findings {
            let (word, style) = match finding.severity {
                Severity::Blocker => ("blocker", BAD),
                Severity::Warning => ("warning", LOOK),
                Severity::Info => ("info", DIM),
            };
            let field = finding
                .field
                .as_ref()
                .map(|f| format!(" {f}"))
                .unwrap_or_default();
            let text = format!(
                "{}{field}: {}; {}",
                finding.object, finding.message, finding.remedy
            );
            rows.push(vec![
                Cell::painted(word, style),
                Cell::from(finding.code.text()),
                Cell::from(table::plain(&text)),
            ]);
        }
        // Remedies are what this is for: they are never cut.
        table::write(out, &["SEVERITY", "CODE", "FINDING"], &rows, None)?;
    }
    Ok(())
}

fn read(settings: &Settings, args: &RoutesCheckArgs) -> Result<Files, Failure> {
    let mut files = Files::default();
    for file in &args.file {
        let (name, text) = validate::read_text(file)?;
        for manifest in manifest::read(&name, &text) {
            match manifest {
                Manifest::Rollout(rollout, _) => files.rollouts.push(*rollout),
                Manifest::Other(_) => {}
                Manifest::Broken(problems) => {
                    let list: Vec<String> = problems.iter().map(|p| table::plain(&p.to_string())).collect();
                    return Err(Failure::usage(list.join("\n")));
                }
            }
        }
        for document in yaml::read(&text).unwrap_or_default() {
            keep(&mut files, settings, document.value);
        }
    }
    if !args.file.is_empty() && files.rollouts.is_empty() {
        return Err(Failure::usage(
            "the files hold no GradualRollout: add the one that is to be checked with -f",
        ));
    }
    Ok(files)
}

fn keep(files: &mut Files, settings: &Settings, mut object: Value) {
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if matches!(kind.as_str(), "Deployment" | "DaemonSet") {
        files.controllers.extend(controller_findings(&object));
    }
    if matches!(kind.as_str(), "Deployment" | "DaemonSet" | "IngressClass") {
        files.classes.learn(&object);
    }
    let Some(kind) = ObjectKind::ALL.into_iter().find(|known| known.kind() == kind) else {
        return;
    };
    let group = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    // The Gateway API has a Gateway of its own.
    if kind == ObjectKind::Gateway && !group.starts_with(kind.group()) {
        return;
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let namespace = metadata
        .entry("namespace")
        .or_insert_with(|| settings.namespace.clone().into());
    let namespace = namespace.as_str().unwrap_or_default().to_owned();
    files
        .objects
        .entry((kind, namespace))
        .or_default()
        .push(Arc::new(object));
}

fn stocked(
    objects: &BTreeMap<(ObjectKind, String), Vec<Arc<Value>>>,
    component: &Component,
    namespace: &str,
) -> Stock {
    let mut stock = Stock::default();
    for (kind, namespace) in needs(component, namespace) {
        let known = objects.get(&(kind, namespace.clone())).cloned();
        // Files without any say nothing of it.
        if known.is_none() && kind.may_be_unseen() {
            continue;
        }
        stock.put(kind, &namespace, known.unwrap_or_default());
    }
    stock
}

async fn listed(cluster: &ByHand, component: &Component, namespace: &str) -> Result<Stock, Failure> {
    let mut stock = Stock::default();
    for (kind, namespace) in needs(component, namespace) {
        if kind.may_be_unseen() {
            let seen = cluster.search(kind, Some(&namespace), None).await;
            if let Ok(Some(objects)) = seen {
                stock.put(kind, &namespace, objects);
            }
            continue;
        }
        let objects = cluster.list(kind, &namespace).await.map_err(connect::failure)?;
        stock.put(kind, &namespace, objects);
    }
    Ok(stock)
}
