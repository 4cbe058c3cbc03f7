//! `sandbox`: everything without a cluster.

use super::args::SandboxArgs;
use super::exit::{Exit, Failure};
use crate::sandbox::{Args, NotPlayable, Outcome, PrometheusError, begin, stories};
use std::io::Write;

/// Plays a story. Done only when it ended as expected.
pub(super) fn run(args: &SandboxArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    out.flush()?;
    let args = Args {
        story: args.story.clone(),
        speed: args.speed,
        keep: args.keep,
        prometheus: args.prometheus,
        seed: args.seed,
        json: args.json,
    };
    if let Some(name) = args.story.as_deref()
        && name != "list"
        && stories::named(name).is_none()
    {
        let names: Vec<_> = stories::all().iter().map(|story| story.name).collect();
        return Err(Failure::usage(format!(
            "there is no story {name:?}; the stories are {}",
            names.join(", ")
        )));
    }
    match begin(&args) {
        Ok(Outcome::Reached | Outcome::Listed) => Ok(Exit::Done),
        // The story itself has said what is missing.
        Ok(Outcome::Missed) => Ok(Exit::Internal),
        Err(error) if error.is::<PrometheusError>() => {
            Err(Failure::new(Exit::Unreachable, format!("{error:#}")))
        }
        Err(error) if error.is::<NotPlayable>() => Err(Failure::usage(format!("{error:#}"))),
        Err(error) => Err(Failure::internal(format!("{error:#}"))),
    }
}
