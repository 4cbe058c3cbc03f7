//! The outcome of a backtest: the same for people and programs.

use crate::backtest::moves::FARTHEST;
use crate::backtest::{Arm, Course, Kind, Leg, Move, Track, Walk, Wanted};
use crate::cli::args::BacktestArgs;
use crate::cli::recorded::Read;
use crate::rollout::duration::Span;
use crate::rollout::explain::limits;
use crate::rollout::plan::Plan;
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::CheckStatus;
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// All there is to say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Facts {
    pub(super) rollout: String,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) step: Span,
    pub(super) components: Vec<Way>,
    pub(super) assumptions: Vec<String>,
}

/// A component's way.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Way {
    pub(super) component: String,
    pub(super) record: Recorded,
    pub(super) outcome: Outcome,
    pub(super) legs: Vec<LegFacts>,
    /// The checks when it was rolled back, or at the end.
    pub(super) checks: Vec<CheckStatus>,
    /// How limits would have to move for it to end otherwise.
    pub(super) limits: Vec<Moved>,
}

/// What was recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recorded {
    pub(super) canary: Totals,
    pub(super) control: Totals,
    /// The canary's share of the requests, in percent.
    pub(super) share: Option<f64>,
    pub(super) scrape_period: Option<Span>,
    pub(super) ticks: usize,
    /// Looks at which nothing could be seen, with the first one's reason.
    pub(super) dark_looks: usize,
    pub(super) dark_because: Option<String>,
}

/// Totals of an arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) errors: u64,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    /// `rolledBack`, `completed`, `promotable` (at one weight: would have been raised) or `held`.
    pub(super) end: &'static str,
    pub(super) at: Option<Timestamp>,
    /// The highest weight it had, in percent.
    pub(super) highest: f64,
    /// What it would have been raised to, where it stays at one weight.
    pub(super) next: Option<f64>,
    pub(super) message: String,
}

/// The time at one weight.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LegFacts {
    /// In percent.
    pub(super) weight: f64,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) reason: Reason,
    /// The canary's recorded share meanwhile, in percent.
    pub(super) recorded_share: Option<f64>,
    pub(super) stayed: Vec<StayFacts>,
}

/// Why a weight stayed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct StayFacts {
    pub(super) reason: Reason,
    pub(super) check: Option<String>,
    pub(super) length: Span,
    pub(super) first: Timestamp,
    pub(super) message: String,
}

/// A limit, and where it would have to be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Moved {
    /// The check; absent: every check's.
    pub(super) check: Option<String>,
    /// `promote` or `rollback`.
    pub(super) kind: &'static str,
    pub(super) is: Option<String>,
    /// What was looked for.
    pub(super) wanted: &'static str,
    /// Where it would have to be; absent: nowhere within the bounds of the search.
    pub(super) becomes: Option<String>,
    /// By which factor more is tolerated.
    pub(super) factor: Option<f64>,
    /// How it would have ended then.
    pub(super) then: Option<Outcome>,
}

impl Facts {
    pub(super) fn of(
        read: &Read,
        plan: &Plan,
        args: &BacktestArgs,
        step: Duration,
        tracks: &[Track],
        course: &Course,
        moved: &[Move],
    ) -> Self {
        let component = |walk: &Walk| {
            let track = tracks.iter().find(|track| track.component == walk.component)?;
            let own = moved.iter().filter(|m| m.component == walk.component);
            Some(Way {
                component: walk.component.clone(),
                record: recorded(track),
                outcome: outcome(walk),
                legs: walk
                    .legs
                    .iter()
                    .map(|l| leg(l, track, walk.promoted.is_some() || walk.completed.is_some()))
                    .collect(),
                checks: walk.checks.clone(),
                limits: own.map(limit).collect(),
            })
        };
        Self {
            rollout: read.name.clone(),
            from: args.from,
            to: args.to,
            step: Span(step),
            components: course.walks.iter().filter_map(component).collect(),
            assumptions: assumptions(plan, args, step, tracks),
        }
    }
}

/// Looks that are further apart than samples are see no period but their own.
fn seen(track: &Track, period: Duration) -> bool {
    let looks: Vec<Timestamp> = track.looks.iter().take(2).map(|(at, _)| *at).collect();
    let [first, second] = looks.as_slice() else {
        return true;
    };
    let apart = second.duration_since(*first).unsigned_abs();
    apart <= Duration::from_secs(60) || period < apart
}

fn recorded(track: &Track) -> Recorded {
    let totals = |arm: &Arm| Totals {
        requests: arm.requests,
        errors: arm.errors,
    };
    Recorded {
        canary: totals(&track.canary),
        control: totals(&track.control),
        share: track.share().map(percent),
        scrape_period: track
            .scrape_period
            .filter(|period| seen(track, *period))
            .map(Span),
        ticks: track.ticks(),
        dark_looks: track.dark.as_ref().map_or(0, |(looks, _)| *looks),
        dark_because: track
            .dark
            .as_ref()
            .map(|(_, blindness)| blindness.message.clone()),
    }
}

fn percent(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 10.0
}

fn outcome(walk: &Walk) -> Outcome {
    let (end, at) = match (walk.state, walk.promoted) {
        (State::RolledBack, _) => ("rolledBack", walk.ended),
        _ if walk.has_completed() => ("completed", walk.ended.or(walk.completed)),
        (_, Some((at, _))) => ("promotable", Some(at)),
        (_, None) => ("held", None),
    };
    Outcome {
        end,
        at,
        highest: walk.highest().percent(),
        next: walk.promoted.map(|(_, weight)| weight.percent()),
        message: walk.message.clone(),
    }
}

/// How it ended with moved limits: sentences are made for what rolls back alone, to replay faster.
fn then(walk: &Walk) -> Outcome {
    let mut outcome = outcome(walk);
    if outcome.end != "rolledBack" {
        outcome.message.clear();
    }
    outcome
}

/// `stays`: a raise, or the end of the plan, is asked for again and again, and not made.
fn leg(leg: &Leg, track: &Track, stays: bool) -> LegFacts {
    let stayed = leg.stays.iter().filter(|stay| !stay.length.is_zero());
    LegFacts {
        weight: leg.weight.percent(),
        from: leg.from,
        until: leg.until,
        reason: leg.reason,
        recorded_share: (leg.from < leg.until)
            .then(|| track.share_between(leg.from, leg.until))
            .flatten()
            .map(percent),
        stayed: stayed
            .map(|stay| StayFacts {
                reason: stay.reason,
                check: stay.subject.clone(),
                length: Span(stay.length),
                first: stay.first,
                message: if stays && stay.reason == Reason::Raising {
                    "everything allows the raise".to_owned()
                } else if stays && stay.reason == Reason::Completed {
                    "everything allows the end of the plan".to_owned()
                } else {
                    stay.message.clone()
                },
            })
            .collect(),
    }
}

fn limit(moved: &Move) -> Moved {
    let becomes = moved.becomes.as_ref();
    Moved {
        check: moved.check.clone(),
        kind: match moved.kind {
            Kind::Promote => "promote",
            Kind::Rollback => "rollback",
        },
        is: moved.is.as_ref().map(|is| limits::shown(Some(is))),
        wanted: match (moved.wanted, &moved.check) {
            (Wanted::NotRolledBack, Some(_)) => "not rolled back by it",
            (Wanted::NotRolledBack, None) => "not rolled back",
            (Wanted::RolledBack, _) => "rolled back by it",
            (Wanted::Farther, _) => "promoted farther",
            (Wanted::LessFar, _) => "not promoted as far",
        },
        becomes: becomes.map(|(becomes, _)| match &becomes.limits {
            Some(limits) => {
                let other = match moved.kind {
                    Kind::Promote => "rollback",
                    Kind::Rollback => "promote",
                };
                let with =
                    |limits| format!(", and its {other} limit with it, {}", limits::shown(Some(limits)));
                let with = becomes.other.as_ref().map(with);
                format!("{}{}", limits::shown(Some(limits)), with.unwrap_or_default())
            }
            None => format!("{:.2} times as wide", becomes.factor),
        }),
        factor: becomes.map(|(becomes, _)| (becomes.factor * 1000.0).round() / 1000.0),
        then: becomes.map(|(_, walk)| then(walk)),
    }
}

/// What the replay takes for granted.
fn assumptions(plan: &Plan, args: &BacktestArgs, step: Duration, tracks: &[Track]) -> Vec<String> {
    let mut told = vec![
        "The requests are those that were recorded. The canary's share of them was what it was then, whatever weight the replay gives it; how it would have borne more traffic is not in the record.".to_owned(),
        "Routers obey at once, gates are approved at once, nothing is paused, and control always has ready endpoints.".to_owned(),
    ];
    if args.weight.is_none() {
        told.push("Throughput is not judged while the plan is walked, for it holds the recorded share against the plan's weight: --weight judges it at one weight.".to_owned());
    } else {
        told.push(
            "The weight is taken as written at --from and stays; a raise is noted and not made.".to_owned(),
        );
    }
    let without: Vec<&str> = plan
        .components
        .iter()
        .map(crate::rollout::plan::PlannedComponent::name)
        .filter(|name| tracks.iter().all(|track| track.component != *name))
        .collect();
    if !without.is_empty() {
        told.push(format!(
            "Taken as finished, for they were not asked for or name no arms: {}.",
            without.join(", ")
        ));
    }
    if step != plan.judge.interval {
        told.push(format!(
            "Looks are {} apart, the daemon's {}: it would have decided at other instants in between.",
            Span(step),
            Span(plan.judge.interval)
        ));
    }
    if !args.quick {
        told.push(format!(
            "Limits are moved one at a time (one row moves all), up to {FARTHEST:.0} times wider or narrower."
        ));
    }
    told
}
