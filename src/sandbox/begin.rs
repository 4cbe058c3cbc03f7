//! The command: which story, how fast, shown how.

use super::run::{Options, play, play_for_real};
use super::screen::Form;
use super::stories;
use super::story::Story;
use anyhow::Context as _;
use std::io::Write;

/// What the command line asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args {
    /// The story; `list` shows them all. Default: the migration.
    pub story: Option<String>,
    /// How many times faster than the wall; 0 or nothing: as fast as it goes.
    pub speed: Option<f64>,
    /// Stay up when the story is over.
    pub keep: bool,
    /// Judge by a real Prometheus, in real time.
    pub prometheus: bool,
    /// The seed of the traffic. Default 1.
    pub seed: Option<u64>,
    /// JSON instead of a picture.
    pub json: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The story ended as expected.
    Reached,
    /// It did not.
    Missed,
    /// The stories were listed.
    Listed,
}

/// Arguments that do not go together, and what to write instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotPlayable(String);

/// Runs the sandbox. Blocks, and may be called from anywhere: stories have a thread of their own.
pub fn begin(args: &Args) -> anyhow::Result<Outcome> {
    if args.story.as_deref() == Some("list") {
        let mut out = std::io::stdout().lock();
        for story in stories::all() {
            writeln!(out, "{:<14} {}", story.name, story.title)?;
            writeln!(out, "{:<14} → {}", "", story.expected)?;
        }
        return Ok(Outcome::Listed);
    }
    let name = args.story.as_deref().unwrap_or("migration");
    let story = stories::named(name).with_context(|| {
        let names: Vec<_> = stories::all().iter().map(|story| story.name).collect();
        format!("there is no story {name:?}; the stories are {}", names.join(", "))
    })?;
    if let Some(speed) = args.speed.filter(|speed| !speed.is_finite() || *speed < 0.0) {
        anyhow::bail!(NotPlayable(format!(
            "--speed {speed} is no speed: write a number above 0, like 3600, or 0 for as fast as it goes"
        )));
    }
    let real = args.prometheus;
    if real && args.speed.is_some() {
        anyhow::bail!(NotPlayable(
            "--speed does not go with --prometheus, which is played at real time: leave one out".to_owned()
        ));
    }
    let story = if real {
        let fits = |story: &Story| story.clone().in_minutes().is_some();
        let names: Vec<_> = stories::all()
            .iter()
            .filter(|s| fits(s))
            .map(|s| s.name)
            .collect();
        story.in_minutes().with_context(|| {
            NotPlayable(format!(
                "the story {name:?} cannot be told at real time with --prometheus; these can: {}",
                names.join(", ")
            ))
        })?
    } else {
        story
    };
    let options = Options {
        seed: args.seed.unwrap_or(1),
        speed: args.speed,
        loopback: true,
        keep: args.keep,
        form: Form::fitting(args.json),
    };
    let thread = std::thread::Builder::new().name("sandbox-story".to_owned());
    let told = thread
        .spawn(move || {
            let play = if real { play_for_real } else { play };
            play(&story, &options, Box::new(std::io::stdout()))
        })
        .context("unable to start the story's thread")?
        .join();
    match told {
        Ok(report) => Ok(if report?.reached {
            Outcome::Reached
        } else {
            Outcome::Missed
        }),
        Err(_) => anyhow::bail!("the story panicked: a mistake in the program"),
    }
}
