//! `doctor`: whether a rollout can work here, before it has to: the definition, the rights, Prometheus, the series,
//! the routed objects and who else applies them. Nothing is written.

mod code;
mod definition;
mod owner;
mod picture;
mod rights;
mod samples;

use super::args::{DoctorArgs, Output};
use super::exit::{Exit, Failure};
use super::manifest::{self, Manifest};
use super::recorded::Read;
use super::suggest::closest;
use super::{connect, lines, output, table, validate};
use crate::clock::Clock;
use crate::cluster::by_hand::{ByHand, Error};
use crate::cluster::crd;
use crate::rollout::plan::Plan;
use crate::rollout::spec::{Component, GradualRollout};
use crate::rollout::weight::Weight;
use crate::routing::{ObjectKind, Stock, found, needs};
use crate::settings::Settings;
use code::{Code, D001, D002, D003, D305, D501, D502, Severity};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// Questions to the API server at once.
const ABREAST: usize = 8;

/// Something found.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Finding {
    code: &'static Code,
    severity: Severity,
    /// What it is about, like `virtualservice ns/name`.
    object: String,
    message: String,
    remedy: &'static str,
}

impl Finding {
    fn new(code: &'static Code, object: &str, message: &str) -> Self {
        Self {
            code,
            severity: code.severity,
            object: object.to_owned(),
            message: message.to_owned(),
            remedy: code.remedy,
        }
    }
}

/// A rollout to look at.
struct Patient {
    namespace: String,
    read: Read,
}

impl Patient {
    fn components(&self) -> impl Iterator<Item = &Component> {
        self.read.plan.components.iter().map(|planned| &planned.component)
    }
}

/// Looks at everything, and tells.
pub(super) async fn run(
    settings: &Settings,
    args: &DoctorArgs,
    form: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let filed = args
        .file
        .as_deref()
        .map(|file| from_file(file, settings))
        .transpose()?;
    let cluster = connect::connect().await?;
    let mut all = definition(&cluster).await?;
    let patients = match filed {
        Some(patients) => patients,
        None => from_cluster(&cluster, settings, args, &mut all).await?,
    };
    all.extend(api_clock(&cluster).await?);
    all.extend(lacking(&cluster, settings, &patients).await?);
    for patient in &patients {
        for component in patient.components() {
            routed(&cluster, patient, component, &mut all).await?;
        }
    }
    all.extend(samples::findings(settings, &patients, Clock::System.now()).await);
    // The gravest first; those of one code stay in the order of the rollouts.
    all.sort_by_key(|finding| (finding.severity, finding.code.name));
    let names: Vec<&str> = patients.iter().map(|p| p.read.name.as_str()).collect();
    match form {
        Output::Json | Output::Yaml => {
            let whole = serde_json::json!({"rollouts": names, "findings": all});
            output::data(out, form, &whole)?;
        }
        Output::Table | Output::Wide => {
            let width = if form == Output::Wide {
                None
            } else {
                lines::width()
            };
            picture::write(out, &names, &all, width)?;
        }
    }
    let errors = all.iter().filter(|f| f.severity == Severity::Error).count();
    match errors {
        0 => Ok(Exit::Done),
        1 => Err(Failure::new(Exit::Internal, "one finding is an error: see above")),
        n => Err(Failure::new(
            Exit::Internal,
            format!("{n} findings are errors: see above"),
        )),
    }
}

/// `--explain`: what a code means, and what to do.
pub(super) fn explain(name: &str, out: &mut dyn Write) -> Result<Exit, Failure> {
    let Some(code) = code::named(name) else {
        let names = code::ALL.iter().map(|code| code.name);
        let near = closest(name, names).map_or_else(
            || "docs/doctor.md lists them all".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        return Err(Failure::usage(format!("there is no code {name:?}: {near}")));
    };
    picture::explain(out, code, lines::width())?;
    Ok(Exit::Done)
}

fn from_file(file: &Path, settings: &Settings) -> Result<Vec<Patient>, Failure> {
    let (name, text) = validate::read_text(file)?;
    let mut patients = Vec::new();
    for manifest in manifest::read(&name, &text) {
        match manifest {
            Manifest::Rollout(rollout, plan) => patients.push(patient(&rollout, *plan, settings)),
            Manifest::Other(_) => {}
            Manifest::Broken(problems) => {
                let list: Vec<String> = problems.iter().map(|p| table::plain(&p.to_string())).collect();
                return Err(Failure::usage(list.join("\n")));
            }
        }
    }
    if patients.is_empty() {
        return Err(Failure::usage(format!("{name} holds no GradualRollout")));
    }
    Ok(patients)
}

fn patient(rollout: &GradualRollout, plan: Plan, settings: &Settings) -> Patient {
    let meta = &rollout.metadata;
    let namespace = meta.namespace.as_deref().unwrap_or(&settings.namespace);
    Patient {
        namespace: namespace.to_owned(),
        read: Read {
            name: format!("{namespace}/{}", meta.name.as_deref().unwrap_or_default()),
            plan,
        },
    }
}

async fn from_cluster(
    cluster: &ByHand,
    settings: &Settings,
    args: &DoctorArgs,
    all: &mut Vec<Finding>,
) -> Result<Vec<Patient>, Failure> {
    let listed = if args.all_namespaces {
        cluster.rollouts_everywhere().await
    } else {
        cluster.rollouts(&settings.namespace).await
    };
    let place = if args.all_namespaces {
        "all namespaces".to_owned()
    } else {
        format!("namespace {}", settings.namespace)
    };
    let listed = match listed {
        // Told already: there is no definition.
        Err(Error::NoDefinition) => return Ok(Vec::new()),
        listed => seen(listed, &place, all)?,
    };
    let Some(rollouts) = listed else {
        return Ok(Vec::new());
    };
    if rollouts.is_empty() {
        all.push(Finding::new(D001, &place, "no GradualRollout is here"));
    }
    let mut patients = Vec::new();
    for rollout in rollouts {
        match Plan::parse(&rollout.spec) {
            Ok(plan) => patients.push(patient(&rollout, plan, settings)),
            Err(problems) => {
                let meta = &rollout.metadata;
                let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
                let object = format!(
                    "rollout {}/{}",
                    namespace.unwrap_or_default(),
                    name.unwrap_or_default()
                );
                let each = problems.iter();
                all.extend(each.map(|problem| Finding::new(D002, &object, &problem.to_string())));
            }
        }
    }
    Ok(patients)
}

/// What was read; `None` with a finding when reading it is not allowed or was refused. Without an answer at all there
/// is no more to find.
fn seen<T>(read: Result<T, Error>, object: &str, all: &mut Vec<Finding>) -> Result<Option<T>, Failure> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error @ (Error::NoConnection(_) | Error::Unreachable { .. })) => Err(connect::failure(error)),
        Err(error) => {
            all.push(Finding::new(D003, object, &error.to_string()));
            Ok(None)
        }
    }
}

async fn definition(cluster: &ByHand) -> Result<Vec<Finding>, Failure> {
    let mut all = Vec::new();
    let read = cluster.installed_definition().await;
    if let Some(installed) = seen(read, "definition gradualrollouts.rollout.sealos.io", &mut all)? {
        all.extend(definition::findings(installed.as_ref(), &crd::definition()));
    }
    Ok(all)
}

async fn api_clock(cluster: &ByHand) -> Result<Vec<Finding>, Failure> {
    let mut all = Vec::new();
    let read = cluster.time().await;
    if let Some(Some(theirs)) = seen(read, "API server", &mut all)? {
        all.extend(skew(theirs, Clock::System.now()));
    }
    Ok(all)
}

fn skew(theirs: Timestamp, ours: Timestamp) -> Option<Finding> {
    let seconds = theirs.as_second() - ours.as_second();
    let word = if seconds > 0 { "ahead of" } else { "behind" };
    let seconds = seconds.unsigned_abs();
    (seconds > samples::SKEW.as_secs()).then(|| {
        let message = format!("its clock is {seconds}s {word} this machine's");
        Finding::new(D305, "API server", &message)
    })
}

async fn lacking(
    cluster: &ByHand,
    settings: &Settings,
    patients: &[Patient],
) -> Result<Vec<Finding>, Failure> {
    let needed: Vec<_> = rights::needed(patients, &settings.lease).into_iter().collect();
    let asked = stream::iter(&needed).map(|right| async move { (right, cluster.may(right).await) });
    let answers: Vec<_> = asked.buffered(ABREAST).collect().await;
    let (mut all, mut lacking) = (Vec::new(), Vec::new());
    for (right, answer) in answers {
        if seen(answer, "own rights", &mut all)? == Some(false) {
            lacking.push(right.clone());
        }
    }
    all.dedup();
    all.extend(rights::findings(&lacking));
    Ok(all)
}

/// The routed objects of a component: there, able to carry the plan's weights, and applied by whom.
async fn routed(
    cluster: &ByHand,
    patient: &Patient,
    component: &Component,
    all: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let mut stock = Stock::default();
    for (kind, namespace) in needs(component, &patient.namespace) {
        let listed = cluster.list(kind, &namespace).await;
        let place = format!("{} in {namespace}", kind.plural());
        if let Some(listed) = seen(listed, &place, all)? {
            stock.put(kind, &namespace, listed);
        }
    }
    let found = found(component, &patient.namespace, &stock);
    let owner = format!("component {} of {}", component.name, patient.read.name);
    if let Some(obstacle) = found.obstacle() {
        all.push(Finding::new(D502, &owner, &obstacle));
    }
    let planned = patient.read.plan.component(&component.name);
    let weights: Vec<Weight> = planned
        .into_iter()
        .flat_map(|planned| planned.steps.iter().map(|step| step.weight))
        .collect();
    for target in &found.targets {
        let object = target.object();
        // Canary Ingresses are made when they are needed: that one is not there is no finding.
        if object.kind.is_elsewhere() || object.kind == ObjectKind::Ingress {
            continue;
        }
        let named = object.to_string();
        let json = match cluster.object(object).await {
            Err(Error::NotFound(_) | Error::NoDefinition) => {
                let hint = object.kind.missing().map(|hint| format!("; {hint}"));
                let message = format!("{owner} routes by it{}", hint.unwrap_or_default());
                all.push(Finding::new(D501, &named, &message));
                continue;
            }
            read => seen(read, &named, all)?,
        };
        let Some(json) = json else { continue };
        for error in target.validate_object(&json, &weights) {
            all.push(Finding::new(D502, &named, &error.to_string()));
        }
        all.extend(owner::finding(object, &json));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rollouts of a file of `config/`.
    pub(super) fn patients(file: &str) -> Vec<Patient> {
        let settings = Settings::load(None, [], &crate::settings::Flags::default()).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file);
        from_file(&path, &settings).unwrap()
    }

    #[test]
    fn clocks_that_differ_by_more_than_an_answer_takes_are_told() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(skew(at(1_005), at(1_000)), None);
        let told = skew(at(990), at(1_000)).unwrap();
        assert_eq!(told.message, "its clock is 10s behind this machine's");
    }
}
