//! `doctor`: whether a rollout can work here, before it has to: the definition, the rights, Prometheus, the series,
//! the routed objects and who else applies them. Nothing is written.

mod picture;

use super::args::{DoctorArgs, Output};
use super::exit::{Exit, Failure};
use super::manifest::{self, Manifest};
use super::suggest::closest;
use super::{connect, lines, output, table, validate};
use crate::clock::Clock;
use crate::cluster::by_hand::{ByHand, Error};
use crate::daemon;
use crate::doctor::code::{self, D001, D002, D003, D301};
use crate::doctor::{
    Finding, Objects, Patient, Severity, api_clock, definition, lacking, rights, routed, samples,
};
use crate::rollout::plan::Plan;
use crate::rollout::spec::GradualRollout;
use crate::settings::Settings;
use std::io::Write;
use std::path::Path;

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
    let mut all = definition(&cluster).await.map_err(connect::failure)?;
    let patients = match filed {
        Some(patients) => patients,
        None => from_cluster(&cluster, settings, args, &mut all).await?,
    };
    all.extend(
        of_the_cluster(&cluster, settings, &patients)
            .await
            .map_err(connect::failure)?,
    );
    let now = Clock::System.now();
    match settings
        .prometheus
        .as_ref()
        .map(|prometheus| daemon::source(Some(prometheus)))
        .transpose()
    {
        Ok(source) => all.extend(samples(source.as_ref(), &patients, now).await),
        Err(error) => all.push(Finding::new(D301, "prometheus", &error.to_string())),
    }
    // The gravest first; those of one code stay in the order of the rollouts.
    all.sort_by_key(|finding| (finding.severity, finding.code.name));
    let names: Vec<&str> = patients.iter().map(|p| p.name.as_str()).collect();
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
        1 => Err(Failure::new(Exit::Refused, "one finding is an error: see above")),
        n => Err(Failure::new(
            Exit::Refused,
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
        name: format!("{namespace}/{}", meta.name.as_deref().unwrap_or_default()),
        plan,
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
        Err(error) if error.is_silence() || matches!(error, Error::NoConnection(_)) => {
            return Err(connect::failure(error));
        }
        Err(error) => {
            all.push(Finding::new(D003, &place, &error.to_string()));
            None
        }
        Ok(rollouts) => Some(rollouts),
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

/// What the API server tells: its clock, the rights, the routed objects.
async fn of_the_cluster(
    cluster: &ByHand,
    settings: &Settings,
    patients: &[Patient],
) -> Result<Vec<Finding>, Error> {
    let mut all = api_clock(cluster, || Clock::System.now()).await?;
    let lease = &settings.lease;
    let needed = rights::needed(patients, (&lease.namespace, &lease.name, lease.shards));
    let (lacks, refused) = lacking(cluster, &needed).await?;
    all.extend(refused);
    all.extend(rights::findings(&lacks));
    let objects = Objects::Asked(cluster);
    for patient in patients {
        for component in patient.components() {
            routed(&objects, patient, component, &mut all).await?;
        }
    }
    Ok(all)
}
