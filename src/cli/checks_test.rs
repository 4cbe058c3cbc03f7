//! `checks test -f FILE`: the checks of a file, held against a live Prometheus. Nothing is applied, nothing is
//! written: the daemon's own queries, arithmetic and judge, over the last minutes.

mod beside;
mod picture;
mod ranges;

use super::args::{ChecksTestArgs, Output};
use super::exit::{Exit, Failure};
use super::progress::Progress;
use super::recorded::{self, Read};
use super::{lines, output};
use crate::backtest::record::whole_seconds;
use crate::backtest::{Beside, Setup, Track, record, replay, rules};
use crate::clock::Clock;
use crate::doctor::diagnose::{Missing, Probe, SCRAPES, short};
use crate::metrics::{Ask, Source, queries};
use crate::rollout::check::CheckRule;
use crate::rollout::duration::Span;
use crate::rollout::explain::limits;
use crate::rollout::judge::needed_in_window;
use crate::rollout::plan::{CheckSet, CheckSource, Class, PlannedComponent};
use crate::rollout::reason::{State, Verdict};
use crate::rollout::sample::{Blindness, Dark, Reading};
use crate::rollout::status::CheckStatus;
use crate::rollout::weight::Weight;
use crate::settings::Settings;
use jiff::Timestamp;
use serde::Serialize;
use std::io::Write;
use std::time::Duration;

/// What is told about a rollout.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tested {
    rollout: String,
    at: Timestamp,
    usable: bool,
    components: Vec<About>,
}

/// What is told about a component.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct About {
    component: String,
    /// What its pool makes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    /// In percent: the weight that the checks were held to.
    weight: f64,
    weight_from: &'static str,
    /// How much time was judged.
    window: Span,
    scrape_period: Option<Span>,
    /// When a rollout would have put the traffic back within that time: the checks are as they were then.
    #[serde(skip_serializing_if = "Option::is_none")]
    put_back_at: Option<Timestamp>,
    queries: Vec<Query>,
    checks: Vec<Check>,
    missing: Vec<Missing>,
}

/// A query, and how many series answer it; `None` when it has no answer at all.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Query {
    purpose: String,
    promql: String,
    series: Option<usize>,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Check {
    #[serde(flatten)]
    status: CheckStatus,
    promote: String,
    rollback: String,
    /// Not counted on requests.
    #[serde(skip)]
    beside: bool,
}

/// Tests every check of every rollout in the file.
pub(super) async fn run(
    settings: &Settings,
    args: &ChecksTestArgs,
    form: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let rollouts = recorded::rollouts(&args.file)?;
    for read in &rollouts {
        recorded::chosen(read, &args.component)?;
    }
    let source = recorded::source(settings)?;
    let at = args.at.unwrap_or_else(|| Clock::System.now());
    // Prometheus is asked for whole seconds.
    let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
    let mut tested = Vec::new();
    let progress = Progress::new();
    for read in &rollouts {
        let mut components = Vec::new();
        for planned in recorded::chosen(read, &args.component)? {
            progress.show(0, &format!("testing {}", planned.name()));
            let told = component(&source, read, planned, args, at).await;
            progress.end();
            components.push(told?);
        }
        tested.push(Tested {
            rollout: read.name.clone(),
            at,
            usable: components.iter().all(|c| c.missing.is_empty()),
            components,
        });
    }
    match (form, tested.as_slice()) {
        (Output::Json | Output::Yaml, [one]) => output::data(out, form, one)?,
        (Output::Json | Output::Yaml, all) => output::data(out, form, &all)?,
        (Output::Table | Output::Wide, all) => {
            let width = if form == Output::Wide {
                None
            } else {
                lines::width()
            };
            for one in all {
                picture::write(out, one, width)?;
            }
        }
    }
    let missing: usize = tested
        .iter()
        .flat_map(|t| &t.components)
        .map(|c| c.missing.len())
        .sum();
    match missing {
        0 => Ok(Exit::Done),
        1 => Err(Failure::refused("something is missing: see above")),
        n => Err(Failure::refused(format!("{n} things are missing: see above"))),
    }
}

async fn component(
    source: &Source,
    read: &Read,
    planned: &PlannedComponent,
    args: &ChecksTestArgs,
    at: Timestamp,
) -> Result<About, Failure> {
    let mut told = About {
        component: planned.name().to_owned(),
        pool: pool(read, planned),
        ..About::default()
    };
    let mut place = beside::Place {
        source,
        rollout: &read.name,
        component: planned.name(),
        weight: Weight::ZERO,
        at,
    };
    let probe = Probe::new(source, at);
    let Some(ask) = Ask::of(&read.name, planned, false) else {
        place.weight = weight(args, planned, None).0;
        let set = read.plan.check_set_at(planned, place.weight);
        told.missing.push(Missing::general(
            "arms",
            "the component names no arms, so nothing can be judged: add spec.components[].arms".to_owned(),
        ));
        told.join(beside::ask(&place, set).await, set, Vec::new());
        return Ok(told);
    };
    for (purpose, promql) in queries(&ask).map_err(|error| Failure::usage(error.to_string()))? {
        let series = probe.ask(&promql).await.map_err(recorded::blind)?.len();
        told.queries.push(Query {
            purpose,
            promql,
            series: Some(series),
        });
    }
    let all = rules::on_series(&read.plan, planned);
    let lengths = all.iter().map(|rule| rule.for_.max(rule.window));
    let longest = lengths.max().unwrap_or_default();
    let window = args.window.map_or(longest, |span| span.0);
    let counts = counts(read, planned, args);
    let track = track(source, read, &ask, &counts, (at, window)).await?;
    let (weight, weight_from) = weight(args, planned, Some(&track));
    let setup = Setup {
        weight,
        stay: true,
        words: true,
    };
    let plan = rules::only(&read.plan, |_, check| {
        !matches!(check.source, CheckSource::Gauge(_)) && counts.has(check)
    });
    let course = replay(&plan, std::slice::from_ref(&track), &setup);
    let set = read.plan.check_set_at(planned, weight);
    told.weight = weight.percent();
    told.weight_from = weight_from;
    told.window = Span(window);
    // Samples that come faster than our looks were not all seen: Prometheus has them all.
    let period = match (track.scrape_period, probe.scrape_period(&ask).await) {
        (Some(looked), Ok(Some(all))) => Some(looked.min(all)),
        (looked, Ok(_)) => looked,
        (_, Err(blindness)) => return Err(recorded::blind(blindness)),
    };
    told.scrape_period = period.map(Span);
    let walk = course.walks.into_iter().next().unwrap_or_default();
    told.put_back_at = walk.ended.filter(|_| walk.state == State::RolledBack);
    told.missing = missing(&probe, &ask, &all, (&track, period))
        .await
        .map_err(recorded::blind)?;
    if planned.component.pool.is_none() {
        let moves = |rule: &&&CheckRule| {
            let check = set.check(&rule.name);
            check.is_none_or(|check| check.effect.class() != Class::Shows)
        };
        let moving = all.iter().filter(moves);
        told.missing
            .extend(moving.filter_map(|rule| too_quiet(rule, &track, weight)));
    }
    for (name, why) in counts.unrecorded.iter().filter(|(name, _)| {
        let check = set.check(name);
        check.is_some_and(|check| matches!(check.source, CheckSource::Errors(_)))
    }) {
        let remedy = "write --weight to choose the phase, or correct the check";
        told.missing.push(Missing::check(
            name,
            format!("it cannot be counted: {why}; {remedy}"),
        ));
    }
    place.weight = weight;
    told.join(beside::ask(&place, set).await, set, walk.checks);
    if args.weight.is_none() {
        for other in &planned.checks {
            told.later(&place, set, other).await;
        }
    }
    Ok(told)
}

/// What is counted beside the arms; with `--weight`, in the phase of that weight alone.
fn counts(read: &Read, planned: &PlannedComponent, args: &ChecksTestArgs) -> Beside {
    let (namespace, name) = read.name.split_once('/').unwrap_or(("default", &read.name));
    let mut planned = planned.clone();
    if let Some(weight) = args.weight {
        planned.checks = vec![read.plan.check_set_at(&planned, weight).clone()];
    }
    Beside::of(&planned, namespace, name).counts()
}

/// Reads the last `window`, and before it the settling that follows every change of weight and a first pair of samples.
async fn track(
    source: &Source,
    read: &Read,
    ask: &Ask,
    counts: &Beside,
    (at, window): (Timestamp, Duration),
) -> Result<Track, Failure> {
    let judge = &read.plan.judge;
    let before = judge.settle + 2 * judge.interval + Duration::from_secs(120);
    let from = at
        .checked_sub(window + before)
        .map_err(|_| Failure::usage(format!("--window {} is too long", Span(window))))?;
    let step = whole_seconds(judge.interval);
    match record(source, ask, counts, (from, at), step, &mut |_, _| {}).await {
        Ok(track) => Ok(track),
        Err(blindness) if blindness.kind == Dark::Down => Err(recorded::blind(blindness)),
        // Prometheus answers, and these series cannot be used: the other components are none the worse for it.
        Err(blindness) => Ok(Track::blind(&ask.component, at, blindness)),
    }
}

impl About {
    /// Takes up what was asked beside the arms and what was counted: a row for every check of the set, in its order.
    fn join(&mut self, beside: beside::Beside, set: &CheckSet, counted: Vec<CheckStatus>) {
        self.queries.extend(beside.queries);
        self.missing.extend(beside.missing);
        let mut rows: Vec<Check> = counted.into_iter().map(|status| check(status, set)).collect();
        for row in beside.checks {
            // Asking once says less than what was counted.
            if rows.iter().all(|known| known.status.name != row.status.name) {
                rows.push(row);
            }
        }
        for planned in &set.checks {
            if rows.iter().all(|known| known.status.name != planned.rule.name) {
                let status = CheckStatus {
                    name: planned.rule.name.clone(),
                    verdict: Verdict::Unknown,
                    message: "nothing of it could be counted: see what is missing".to_owned(),
                    ..CheckStatus::default()
                };
                rows.push(check(status, set));
            }
        }
        let place = |row: &Check| set.checks.iter().position(|c| c.rule.name == row.status.name);
        rows.sort_by_key(place);
        self.checks = rows;
        self.name_the_unknown();
    }

    /// What is missing for checks that another phase has and this one has not: they would hold when it comes to them.
    async fn later(&mut self, place: &beside::Place<'_>, set: &CheckSet, other: &CheckSet) {
        let checks = other.checks.iter().filter(|check| !set.checks.contains(check));
        let only = CheckSet {
            checks: checks.cloned().collect(),
            ..other.clone()
        };
        let asked = beside::ask(place, &only).await;
        for query in asked.queries {
            if !self.queries.contains(&query) {
                self.queries.push(query);
            }
        }
        for mut missing in asked.missing {
            if !self.missing.contains(&missing) {
                missing.of = format!("{}, of another phase", missing.of);
                self.missing.push(missing);
            }
        }
    }

    /// A check that cannot be told is missing something, whatever it is; where the arms are, that is said of them.
    fn name_the_unknown(&mut self) {
        let general = self
            .missing
            .iter()
            .any(|missing| !missing.of.starts_with("check "));
        let mut found = Vec::new();
        for row in self
            .checks
            .iter()
            .filter(|row| row.status.verdict == Verdict::Unknown)
        {
            let one = Missing::check(&row.status.name, row.status.message.clone());
            if !general && self.missing.iter().all(|missing| missing.of != one.of) {
                found.push(one);
            }
        }
        self.missing.extend(found);
    }
}

/// A day's requests that are surely fewer than promotion needs: no weight would ever rise.
fn too_quiet(rule: &CheckRule, track: &Track, weight: Weight) -> Option<Missing> {
    const DAY: f64 = 86_400.0;
    let time = |reading: &Reading| match reading {
        Reading::Fresh(tick) => tick.to.duration_since(tick.from).as_secs_f64(),
        Reading::Waiting | Reading::Blind(_) => 0.0,
    };
    let seconds: f64 = track.looks.iter().map(|(_, reading)| time(reading)).sum();
    if seconds <= 0.0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "requests of some minutes")]
    let (total, need) = (
        (track.canary.requests + track.control.requests) as f64,
        needed_in_window(rule) as f64,
    );
    // No more than this, at two standard deviations of what was counted.
    let most = (total + 2.0 * total.sqrt() + 3.0) / seconds * weight.ratio();
    (most * DAY < need).then(|| {
        Missing::check(
            &rule.name,
            format!(
                "too few requests to ever promote: {need} within 24h takes {:.5} canary requests/s, and at {weight} there \
                 are about {:.5}: pool it, widen its limits, or set minRequests",
                need / DAY,
                total / seconds * weight.ratio()
            ),
        )
    })
}

/// That others' samples count for it, too: what is too few here may be enough there.
fn pool(read: &Read, planned: &PlannedComponent) -> Option<String> {
    let pool = planned.component.pool.as_deref()?;
    let members = read.plan.components.iter();
    let n = members
        .filter(|c| c.component.pool.as_deref() == Some(pool))
        .count();
    Some(format!(
        "{pool}, {n} members: judged here by its own samples alone; with too few of them it goes on by those of all"
    ))
}

fn check(status: CheckStatus, set: &CheckSet) -> Check {
    let none = || ("none".to_owned(), "none".to_owned());
    let (promote, rollback) = set.check(&status.name).map_or_else(none, limits::of);
    Check {
        status,
        promote,
        rollback,
        beside: false,
    }
}

/// The weight to judge by: the asked one, or the canary's share as it is, or the plan's first.
fn weight(
    args: &ChecksTestArgs,
    planned: &PlannedComponent,
    track: Option<&Track>,
) -> (Weight, &'static str) {
    if let Some(weight) = args.weight {
        return (weight, "asked");
    }
    let least = Weight::from_permille(1).unwrap_or_default();
    let seen = track
        .and_then(Track::share)
        .filter(|share| *share > 0.0)
        .and_then(Weight::from_ratio);
    if let Some(share) = seen {
        return (share.max(least), "the canary's share of the requests");
    }
    let first = planned.steps.first().map_or(least, |step| step.weight);
    let from = if track.is_none_or(|track| track.ticks() == 0) {
        "the first step, for no requests could be counted"
    } else {
        "the first step, for the canary has no requests"
    };
    (first.max(least), from)
}

/// Everything that stands in the way of judging.
async fn missing(
    probe: &Probe<'_>,
    ask: &Ask,
    rules: &[&CheckRule],
    (track, period): (&Track, Option<Duration>),
) -> Result<Vec<Missing>, Blindness> {
    let mut missing = probe.ahead(ask).await?;
    // What is only stamped too late is not taken for a wrong label.
    if missing.is_empty() {
        missing = probe.arms(ask).await?;
    }
    if missing.is_empty() {
        missing.extend(probe.behind(ask).await?);
    }
    if missing.is_empty()
        && let Some((_, Reading::Blind(blindness))) = track.looks.last()
    {
        missing.push(Missing::general("data", blindness.message.clone()));
    }
    if missing.is_empty() && track.ticks() == 0 {
        let message =
            "no two samples of both arms were found to count between: is this scraped at least every minute?";
        missing.push(Missing::general("data", message.to_owned()));
    }
    missing.extend(probe.histograms(ask, rules, track).await?);
    if let Some(period) = period {
        missing.extend(rules.iter().filter_map(|rule| short(rule, period)));
    }
    Ok(missing)
}
