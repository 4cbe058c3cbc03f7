//! The command line: one file per verb. Arguments as typed ([`args`]), exit codes ([`exit`]), the verbs.

pub mod args;
mod backtest;
mod beside;
mod checks_test;
mod confirm;
mod confirmed;
mod connect;
mod direct;
mod doctor;
mod dry_run;
mod emergency;
pub mod exit;
mod explain;
mod find;
mod freeze;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod generate;
mod incident;
mod init;
mod insist;
mod lines;
mod manifest;
mod meaning;
mod migrate;
mod output;
mod output_to;
mod overdue;
mod ownership;
mod plan;
mod progress;
mod pursue;
mod put_back;
mod record;
mod recorded;
mod report;
mod routes;
mod run;
mod sandbox;
mod sound;
mod status;
mod suggest;
mod table;
mod validate;
mod values;
mod view;
mod wait;
mod wish;
mod yaml;

use crate::clock::Clock;
use crate::settings::{Flags, Settings};
use args::{ChecksVerb, Global, Output, Raw, RawEmergency, RoutesVerb, VerbArgs};
use clap::Parser as _;
use exit::{Exit, Failure};
use meaning::Ask;
use output_to::OutputTo;
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
                    table::plain_lines(&failure.message)
                );
            }
            failure.exit.into()
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each command")]
fn act(arguments: &[OsString], out: &mut dyn Write) -> Result<Exit, Failure> {
    let raw = match typed(arguments) {
        Ok(raw) => raw,
        Err(error) => return told(&error),
    };
    let Raw {
        global,
        classic,
        verb,
    } = raw;
    let form = OutputTo::form(global.output.as_ref());
    let verb = match verb {
        None => {
            // What is asked is understood before any file is read.
            let ask = Ask::classic(classic)?;
            let settings = settings(&global)?;
            return match ask {
                Some(ask) => block_on(wish::run(&settings, &ask, form, out)),
                None => block_on(status::run(&settings, None, false, form, out)),
            };
        }
        Some(verb) if classic == args::Classic::default() => verb,
        Some(_) => return Err(Failure::usage("write the flags after the command, not before it")),
    };
    if matches!(verb, VerbArgs::Migrate { .. } | VerbArgs::Older(_)) && global.config.is_some() {
        // They go by no setting; a file that was named and cannot be read is a mistake all the same.
        settings(&global)?;
    }
    if let Some(older) = migrate::older::of(&verb) {
        let words = migrate::older::words(older, &global)?;
        writeln!(
            anstream::stderr(),
            "this is now: gradual-rollout {}",
            migrate::older::line(&words)
        )?;
        let program = arguments.first().cloned().unwrap_or_default();
        let line: Vec<OsString> = [program]
            .into_iter()
            .chain(words.into_iter().map(Into::into))
            .collect();
        return act(&line, out);
    }
    match verb {
        VerbArgs::Init(args) => {
            let folder = OutputTo::folder(global.output.as_ref())?;
            let settings = settings_with(&global, args.prometheus.as_deref(), None)?;
            block_on(init::run(
                &settings,
                &args,
                global.namespace.as_deref(),
                folder.as_deref(),
                out,
            ))
        }
        VerbArgs::Migrate { what } => migrate::run(&what, &global, out),
        // Typed anew above.
        VerbArgs::Older(_) => Err(Failure::internal("an older word has no newer one".to_owned())),
        VerbArgs::Validate { files, named } => validate::run(&[files, named].concat(), form, out),
        VerbArgs::Plan { file, named, start } => {
            let file = file.or(named).unwrap_or_default();
            plan::run(&file, start.unwrap_or_else(|| Clock::System.now()), form, out)
        }
        VerbArgs::Generate { what } => generate::run(what, out),
        VerbArgs::Sandbox(mut args) => {
            args.json = form == Output::Json;
            sandbox::run(&args, out)
        }
        VerbArgs::Status { rollout, watch } => {
            let settings = settings(&global)?;
            block_on(status::run(&settings, rollout.as_deref(), watch, form, out))
        }
        VerbArgs::Checks {
            what: ChecksVerb::Test(args),
        } => {
            let settings = settings_with(&global, args.prometheus.as_deref(), None)?;
            block_on(checks_test::run(&settings, &args, form, out))
        }
        VerbArgs::Routes {
            what: RoutesVerb::Check(args),
        } => block_on(routes::run(&settings(&global)?, &args, form, out)),
        VerbArgs::Doctor(args) => doctor(&global, &args, form, out),
        VerbArgs::Backtest(args) => {
            let settings = settings_with(&global, args.prometheus.as_deref(), None)?;
            block_on(backtest::run(&settings, &args, form, out))
        }
        VerbArgs::Explain {
            component,
            rollout,
            at,
        } => {
            let settings = settings(&global)?;
            let now = at.unwrap_or_else(|| Clock::System.now());
            let (component, rollout) = (component.as_str(), rollout.as_deref());
            block_on(explain::run(&settings, component, rollout, now, form, out))
        }
        VerbArgs::Confirm {
            component, rollout, ..
        } => {
            let settings = settings(&global)?;
            block_on(confirmed::run(&settings, &component, rollout.as_deref(), out))
        }
        VerbArgs::Run { shards } => run::run(settings_with(&global, None, shards)?),
        VerbArgs::Incident(args) => incident(&global, &args, out),
        VerbArgs::Freeze { reason, until, force } => frozen(&global, Some((reason, until, force)), out),
        VerbArgs::Unfreeze => frozen(&global, None, out),
        verb @ (VerbArgs::Set { .. }
        | VerbArgs::Pause(_)
        | VerbArgs::Resume(_)
        | VerbArgs::Approve { .. }
        | VerbArgs::Promote(_)
        | VerbArgs::Rollback { .. }
        | VerbArgs::Retry(_)
        | VerbArgs::Detach { .. }
        | VerbArgs::HeaderRoute { .. }
        | VerbArgs::Mirror { .. }
        | VerbArgs::Complaint(_)
        | VerbArgs::EmergencyRollback(_)) => {
            let ask = Ask::verb(verb)?;
            let settings = settings(&global)?;
            match ask {
                Some(ask) => block_on(wish::run(&settings, &ask, form, out)),
                None => Err(Failure::internal(
                    "a command that changes nothing was taken for one that does",
                )),
            }
        }
    }
}

/// Freezes everything, or lifts that.
fn frozen(
    global: &Global,
    wanted: Option<(String, Option<jiff::Timestamp>, bool)>,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let settings = settings(global)?;
    match wanted {
        Some((reason, until, force)) => block_on(freeze::freeze(&settings, (&reason, until, force), out)),
        None => block_on(freeze::unfreeze(&settings, out)),
    }
}

fn incident(
    global: &Global,
    args: &incident::args::IncidentArgs,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let settings = settings_with(global, args.prometheus.as_deref(), None)?;
    block_on(incident::run(&settings, args, global.output.as_ref(), out))
}

fn doctor(
    global: &Global,
    args: &args::DoctorArgs,
    form: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    if let Some(code) = &args.explain {
        return doctor::explain(code, out);
    }
    let settings = settings_with(global, args.prometheus.as_deref(), None)?;
    block_on(doctor::run(&settings, args, form, out))
}

/// What was typed, by either of the program's names.
fn typed(arguments: &[OsString]) -> Result<Raw, clap::Error> {
    let called = arguments.first().map(Path::new).and_then(Path::file_stem);
    if called.is_some_and(|name| name == "emergency-rollback") {
        RawEmergency::try_parse_from(arguments).map(|raw| Raw {
            global: raw.global,
            classic: args::Classic::default(),
            verb: Some(VerbArgs::EmergencyRollback(raw.emergency)),
        })
    } else {
        Raw::try_parse_from(arguments)
    }
}

/// One thread is enough to wait for answers.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::internal(format!("unable to start the runtime: {e}")))?
        .block_on(work)
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
    settings_with(global, None, None)
}

/// Settings in which a flag names the Prometheus: the way in (tokens, certificates) stays the settings'. Another says in
/// how many shards the work is split.
fn settings_with(
    global: &Global,
    prometheus: Option<&str>,
    shards: Option<u32>,
) -> Result<Settings, Failure> {
    let flags = Flags {
        namespace: global.namespace.clone(),
        log_level: match global.verbose {
            0 => None,
            1 => Some("info,gradual_rollout=debug"),
            _ => Some("debug,gradual_rollout=trace"),
        },
        shards,
    };
    let flag = prometheus.map(|url| {
        (
            "GRADUAL_ROLLOUT__PROMETHEUS__ENDPOINTS".to_owned(),
            url.to_owned(),
        )
    });
    let environment = std::env::vars().chain(flag);
    Settings::load(global.config.as_deref(), environment, &flags)
        .map_err(|error| Failure::usage(error.to_string()))
}
