//! The command line: one file per verb. Arguments as typed ([`args`]), exit codes ([`exit`]), the verbs.

pub mod args;
pub mod exit;
mod generate;
mod manifest;
mod output;
mod plan;
mod suggest;
mod table;
mod validate;
mod yaml;

use crate::clock::Clock;
use crate::settings::{Flags, Settings};
use args::{Global, Output, Raw, RawEmergency, VerbArgs};
use clap::Parser as _;
use exit::{Exit, Failure};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Runs the program with its arguments, the first of which is the name it was called by. Called
/// `emergency-rollback`, it is that command.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut out = anstream::stdout();
    let result = act(&arguments, &mut out).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                // Nobody is left to be told when this fails too.
                let _ = writeln!(
                    anstream::stderr(),
                    "{}error:{0:#} {}",
                    table::BAD,
                    failure.message
                );
            }
            failure.exit.into()
        }
    }
}

fn act(arguments: &[OsString], out: &mut dyn Write) -> Result<Exit, Failure> {
    let called = arguments.first().map(Path::new).and_then(Path::file_stem);
    let raw = if called.is_some_and(|name| name == "emergency-rollback") {
        RawEmergency::try_parse_from(arguments).map(|raw| Raw {
            global: raw.global,
            classic: args::Classic::default(),
            verb: Some(VerbArgs::EmergencyRollback(raw.emergency)),
        })
    } else {
        Raw::try_parse_from(arguments)
    };
    let raw = match raw {
        Ok(raw) => raw,
        Err(error) => return told(&error),
    };
    let Raw {
        global,
        classic: _,
        verb,
    } = raw;
    let form = global.output.unwrap_or_default();
    match verb {
        Some(VerbArgs::Validate { files }) => validate::run(&files, out),
        Some(VerbArgs::Plan { file, start }) => {
            let start = start.unwrap_or_else(|| Clock::System.now());
            plan::run(&file, start, form, out)
        }
        Some(VerbArgs::Generate { what }) => generate::run(what, out),
        _ => {
            let _ = settings(&global)?;
            Err(Failure::internal("not built yet"))
        }
    }
}

/// Help and version are answers; everything else that clap says is a usage error.
fn told(error: &clap::Error) -> Result<Exit, Failure> {
    error.print()?;
    if error.use_stderr() {
        Err(Failure::usage(""))
    } else {
        Ok(Exit::Done)
    }
}

fn settings(global: &Global) -> Result<Settings, Failure> {
    let flags = Flags {
        namespace: global.namespace.clone(),
        log_level: match global.verbose {
            0 => None,
            1 => Some("info,gradual_rollout=debug"),
            _ => Some("debug,gradual_rollout=trace"),
        },
    };
    Settings::load(global.config.as_deref(), std::env::vars(), &flags)
        .map_err(|error| Failure::usage(error.to_string()))
}

#[allow(dead_code)]
const _: Option<Output> = None;
