//! `backtest -f FILE --from T --to T`: what the plan would have made of recorded traffic.

mod facts;
mod picture;

use super::args::{BacktestArgs, Output};
use super::exit::{Exit, Failure};
use super::progress::Progress;
use super::recorded::{self, Read};
use super::{lines, output};
use crate::backtest::record::{looks, whole_seconds};
use crate::backtest::{Beside, Setup, Track, moves, record, replay, rules};
use crate::doctor::diagnose::Probe;
use crate::metrics::{Ask, Source};
use crate::rollout::check::Metric;
use crate::rollout::duration::Span;
use crate::rollout::plan::{CheckSet, CheckSource, Class, Plan};
use crate::rollout::weight::Weight;
use crate::settings::Settings;
use facts::Facts;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// A longer record is looked at less often than the daemon would, unless --step says otherwise: every replay takes
/// every look, and there are dozens of replays.
const LOOKS: u32 = 20_000;
/// More looks than this are refused: their readings are kept in memory.
const MOST_LOOKS: u32 = 100_000;

/// Replays every rollout of the file.
pub(super) async fn run(
    settings: &Settings,
    args: &BacktestArgs,
    form: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let rollouts = recorded::rollouts(&args.file)?;
    let [read] = rollouts.as_slice() else {
        return Err(Failure::usage(format!(
            "{} holds {} rollouts: write one alone into a file",
            args.file.display(),
            rollouts.len()
        )));
    };
    let step = step(args, &read.plan)?;
    let source = recorded::source(settings)?;
    let mut progress = Progress::new();
    let outcome = work(&source, read, args, step, &mut progress).await;
    progress.end();
    let facts = outcome?;
    match form {
        Output::Json | Output::Yaml => output::data(out, form, &facts)?,
        Output::Table => picture::write(out, &facts, lines::width())?,
        Output::Wide => picture::write(out, &facts, None)?,
    }
    Ok(Exit::Done)
}

async fn work(
    source: &Source,
    read: &Read,
    args: &BacktestArgs,
    step: Duration,
    progress: &mut Progress,
) -> Result<Facts, Failure> {
    let (mut tracks, mut besides) = (Vec::new(), BTreeMap::new());
    let (namespace, name) = read.name.split_once('/').unwrap_or(("default", &read.name));
    for planned in recorded::chosen(read, &args.component)? {
        let Some(ask) = Ask::of(&read.name, planned, false) else {
            continue;
        };
        let mut told = |done: u32, all: u32| {
            let tenths = u64::from(done) * 10 / u64::from(all.max(1));
            progress.show(done, &format!("reading {}: {}0%", ask.component, tenths));
        };
        let beside = Beside::of(planned, namespace, name);
        let mut track = record(source, &ask, &beside, (args.from, args.to), step, &mut told)
            .await
            .map_err(recorded::blind)?;
        if track.ticks() == 0 {
            return Err(Failure::refused(nothing(&track, args)));
        }
        if let Some(at) = track.newest() {
            // Samples that come faster than our looks were not all seen: Prometheus has them all.
            let all = Probe::new(source, at)
                .scrape_period(&ask)
                .await
                .map_err(recorded::blind)?;
            track.scrape_period = all.or(track.scrape_period);
        }
        tracks.push(track);
        besides.insert(planned.name(), beside);
    }
    if tracks.is_empty() {
        return Err(Failure::refused(format!(
            "no component of {} names arms, so nothing was recorded of it: add spec.components[].arms",
            read.name
        )));
    }
    let setup = Setup {
        weight: args.weight.unwrap_or(Weight::ZERO),
        stay: args.weight.is_some(),
        words: true,
    };
    let plan = plan(&read.plan, args.weight.is_none(), &besides);
    let course = replay(&plan, &tracks, &setup);
    let (moved, left_out) = if args.quick {
        (Vec::new(), 0)
    } else {
        let mut replays = 0;
        let mut told = || {
            replays += 1;
            // Ten at a time: elsewhere than on a terminal each new sentence is a line.
            progress.show(
                replays,
                &format!("moving limits: replay {}", replays / 10 * 10 + 1),
            );
        };
        moves(&plan, &tracks, &setup, &course, &mut told)
    };
    let mut facts = Facts::of(read, &plan, args, step, &tracks, &course, &moved);
    let mut unrecorded: Vec<String> = Vec::new();
    for (name, why) in besides.values().flat_map(|beside| &beside.unrecorded) {
        let sentence = format!("{name} ({why})");
        if !unrecorded.contains(&sentence) {
            unrecorded.push(sentence);
        }
    }
    if !unrecorded.is_empty() {
        facts
            .assumptions
            .push(format!("Not replayed: {}.", unrecorded.join(", ")));
    }
    facts.assumptions.extend(unmoved(&plan).filter(|_| !args.quick));
    if left_out > 0 {
        facts.assumptions.push(format!(
            "{left_out} more limits were not moved, for it would have taken too long: write one --component, a longer --step or a shorter time."
        ));
    }
    Ok(facts)
}

/// The plan as it is replayed: with the checks that the record can answer. While it is walked, the recorded share is
/// not the plan's weight, so throughput, which holds one against the other, says nothing.
fn plan(plan: &Plan, walked: bool, besides: &BTreeMap<&str, Beside>) -> Plan {
    rules::only(plan, |component, check| {
        let weighed = check.source == CheckSource::Arms && check.rule.metric == Metric::Throughput;
        let recorded = besides.get(component).is_some_and(|beside| beside.has(check));
        recorded && !(walked && weighed)
    })
}

/// Which checks' limits were not tried elsewhere: those on values at an instant.
fn unmoved(plan: &Plan) -> Option<String> {
    let sets = plan.components.iter().flat_map(|planned| &planned.checks);
    let mut names: Vec<&str> = sets
        .flat_map(CheckSet::gauges)
        .filter(|(check, _)| check.effect.class() != Class::Shows)
        .map(|(check, _)| check.rule.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then(|| {
        format!(
            "Not moved, for they count nothing: the limits of {}. Where one of them put the traffic back or held it, no other \
             limit helps.",
            names.join(", ")
        )
    })
}

fn nothing(track: &Track, args: &BacktestArgs) -> String {
    let why = track.dark.as_ref().map_or_else(
        || "no two samples to count between".to_owned(),
        |(_, blindness)| blindness.message.clone(),
    );
    format!(
        "nothing was recorded of {} between {} and {}: {why}. `checks test --at TIME` says what is missing",
        track.component, args.from, args.to
    )
}

/// The time between two looks.
fn step(args: &BacktestArgs, plan: &Plan) -> Result<Duration, Failure> {
    let Some(length) = Duration::try_from(args.to.duration_since(args.from))
        .ok()
        .filter(|l| !l.is_zero())
    else {
        return Err(Failure::usage("--to must be after --from"));
    };
    let interval = plan.judge.interval;
    let step = match args.step {
        Some(Span(step)) if step < Duration::from_secs(1) => {
            return Err(Failure::usage("--step must be at least 1s"));
        }
        Some(Span(step)) => step,
        None => {
            let times = (length.as_secs_f64() / interval.as_secs_f64() / f64::from(LOOKS)).ceil();
            interval.mul_f64(times.max(1.0))
        }
    };
    let step = whole_seconds(step);
    let looks = looks(args.from, args.to, step);
    if looks > MOST_LOOKS {
        return Err(Failure::usage(format!(
            "{looks} looks are too many: write a longer --step, or a shorter time"
        )));
    }
    if looks < 2 {
        return Err(Failure::usage(format!(
            "from {} to {} there is no time for two looks, one every {}",
            args.from,
            args.to,
            Span(step)
        )));
    }
    Ok(step)
}
