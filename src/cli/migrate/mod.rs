//! `migrate`: from ingress-nginx to Istio. What is pure is in the crate `gradual-rollout-migration`; here it meets
//! files and people.

pub(super) mod args;
mod cluster;
mod convert;
mod explain;
mod files;
pub(super) mod older;

use super::args::{Global, Output};
use super::exit::{Exit, Failure};
use super::output_to::OutputTo;
use args::MigrateVerb;
use std::io::Write;

/// Does what was typed.
pub(super) fn run(what: &MigrateVerb, global: &Global, out: &mut dyn Write) -> Result<Exit, Failure> {
    match what {
        MigrateVerb::Convert(args) => convert::run(args, form(global)?, global, out),
        MigrateVerb::Cluster(verb) => super::block_on(cluster::run(verb, global, out)),
        // Typed anew before it comes here.
        MigrateVerb::Older(_) => Err(Failure::internal("an older word has no newer one".to_owned())),
        MigrateVerb::Explain { code } => explain::run(code, OutputTo::form(global.output.as_ref()), out),
    }
}

/// Objects are YAML or JSON; without a word YAML.
fn form(global: &Global) -> Result<convert::Form, Failure> {
    match &global.output {
        None | Some(OutputTo::Form(Output::Yaml)) => Ok(convert::Form::Yaml),
        Some(OutputTo::Form(Output::Json)) => Ok(convert::Form::Json),
        Some(OutputTo::Form(Output::Table | Output::Wide) | OutputTo::Place(_)) => Err(Failure::usage(
            "migrate convert writes objects: -o yaml or -o json",
        )),
    }
}
