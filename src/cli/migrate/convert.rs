//! `migrate convert`.

use super::args::{ConvertArgs, ConvertTarget};
use super::{cluster, explain, files};
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, table};
use gradual_rollout_migration::convert::{self, GatewayApi, Objects, Options, Plan, Target};
use gradual_rollout_migration::input;
use gradual_rollout_migration::istio::to_json;
use gradual_rollout_migration::report::Report;
use std::io::Write;

/// How objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One document for each.
    Yaml,
    /// A list.
    Json,
}

/// Converts what was named.
pub(super) fn run(
    args: &ConvertArgs,
    form: Form,
    global: &Global,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let options = options(args)?;
    if let Some(namespace) = global.namespace.as_ref().filter(|_| !args.file.is_empty()) {
        return Err(Failure::usage(format!(
            "--namespace {namespace} chooses among a cluster's Ingresses, and files are converted whole: leave it or --file out"
        )));
    }
    if let Some(report) = &args.report {
        output::writable(report)?;
    }
    let inventory = if args.file.is_empty() {
        crate::cli::block_on(cluster::inventory(global))?
    } else {
        if let Some(report) = &args.report {
            files::differs(report, &args.file)?;
        }
        input::read(&files::read(&args.file)?)
    };
    if inventory.ingresses.is_empty() && inventory.problems.is_empty() {
        return Err(Failure::usage(match (args.file.is_empty(), &global.namespace) {
            (true, Some(namespace)) => format!("there is no Ingress in namespace {namespace}"),
            (true, None) => "there is no Ingress in the cluster".to_owned(),
            (false, _) => {
                "no Ingress is in what was named: hand in networking.k8s.io/v1 Ingresses".to_owned()
            }
        }));
    }
    if let Some(key) = options.controller_config.as_ref().filter(|key| {
        !inventory.config_maps.contains_key(*key) && !inventory.clashing_config_maps.contains(*key)
    }) {
        return Err(Failure::usage(format!(
            "--controller-config {}/{}: this ConfigMap is not among what was read",
            key.0, key.1
        )));
    }
    let plan = convert::plan(&inventory, &options).map_err(|error| Failure::internal(error.to_string()))?;
    if let Some(broken) = plan.broken.first() {
        // Nothing is better than what the API server would refuse, or the gateway read otherwise.
        return Err(Failure::internal(format!(
            "an object would break a rule: {broken}"
        )));
    }
    // Objects without their report would be applied by whoever sees them alone.
    report(&plan.report, args)?;
    write(&plan.objects, form, out)?;
    end(&plan)
}

/// YAML document by document: thousands of objects need not be there together.
fn write(objects: &Objects, form: Form, out: &mut dyn Write) -> Result<(), Failure> {
    let internal = |error: convert::Failed| Failure::internal(error.to_string());
    match form {
        Form::Yaml => {
            for document in objects.yaml() {
                out.write_all(document.map_err(internal)?.as_bytes())?;
            }
        }
        Form::Json => {
            let all: Vec<_> = objects.values().collect::<Result<_, _>>().map_err(internal)?;
            let json = to_json(&all).map_err(|error| Failure::internal(error.to_string()))?;
            out.write_all(table::plain_json(&json).as_bytes())?;
        }
    }
    out.flush()?;
    Ok(())
}

fn report(report: &Report, args: &ConvertArgs) -> Result<(), Failure> {
    if let Some(path) = &args.report {
        return output::file(path, report);
    }
    write!(anstream::stderr(), "{}", table::plain_lines(&report.to_string()))?;
    Ok(())
}

fn end(conversion: &Plan) -> Result<Exit, Failure> {
    if !conversion.report.refused() {
        return Ok(Exit::Done);
    }
    let exit = if conversion.objects.is_empty() {
        Exit::Refused
    } else {
        Exit::Partly
    };
    Err(Failure::new(exit, said(conversion)))
}

/// What was refused, in one line.
fn said(conversion: &Plan) -> String {
    let report = &conversion.report;
    let documents = report.input.iter().filter(|input| input.entry.refuses()).count();
    let summary = &report.summary;
    let see = "the report names each with its remedy; see `migrate explain CODE`";
    if summary.refused > 0 || documents > 0 {
        return format!(
            "{} of {} paths were refused, {documents} documents could not be read: {see}",
            summary.refused, summary.paths
        );
    }
    let entries = report.ingresses.iter().flat_map(|ingress| &ingress.entries);
    let findings = entries
        .chain(&report.controller)
        .filter(|entry| entry.refuses())
        .count();
    format!(
        "{findings} findings about Ingresses or the controller refuse something, though no path of its own: {see}"
    )
}

fn options(args: &ConvertArgs) -> Result<Options, Failure> {
    for code in &args.conversion.accept {
        // It knows what a mistyped one comes closest to.
        explain::find(code)?;
    }
    let mut options = args
        .conversion
        .options()
        .map_err(|trouble| Failure::usage(trouble.to_string()))?;
    options.target = target(args)?;
    options.controller_flags.clone_from(&args.controller_flag);
    if let Some((flag, mistake)) = options.mistakes().into_iter().next() {
        return Err(Failure::usage(format!("{flag}: {mistake}")));
    }
    Ok(options)
}

fn target(args: &ConvertArgs) -> Result<Target, Failure> {
    if args.target == ConvertTarget::Istio {
        if args.gateway_class.is_some() || args.regular_expressions {
            return Err(Failure::usage(
                "--gateway-class and --regular-expressions belong to --target gateway-api",
            ));
        }
        return Ok(Target::Istio);
    }
    if !args.conversion.gateway_selector.is_empty() {
        return Err(Failure::usage(
            "--gateway-selector belongs to --target istio: a Gateway of the Gateway API has a class, see --gateway-class",
        ));
    }
    let mut wishes = GatewayApi {
        regular_expressions: args.regular_expressions,
        ..GatewayApi::default()
    };
    if let Some(class) = &args.gateway_class {
        wishes.class.clone_from(class);
    }
    Ok(Target::GatewayApi(wishes))
}
