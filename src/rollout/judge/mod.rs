//! Verdicts and blame: what was counted, held to the limits.

mod beside;
mod blame;
mod counted;
mod finding;
mod gauge;
pub use super::aim::slower_is_hidden;
pub use gauge::{Stand, stand};
mod latency;
pub(super) mod measured;
#[cfg(test)]
mod rules;
mod traffic;
mod verify;

use super::check::{CheckRule, JudgeRules, Metric};
use super::duration::Span;
use super::evidence::real;
use super::ledger::{Baseline, Ledger, short_gap};
use super::lines::Line;
use super::reason::Verdict;
use super::sample::Dark;
use super::spec::{Preset, Traffic};
use super::status::CheckStatus;
use super::tally::Tally;
use super::weight::Weight;
use crate::rollout::sabotage;
use finding::{Finding, Why};
use jiff::Timestamp;
use std::time::Duration;

pub use beside::Beside;

/// What the judge works by, beside what was counted.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that have nothing to do with each other"
)]
pub struct Context<'a> {
    /// The checks of this phase.
    pub rules: &'a [CheckRule],
    /// How judging works.
    pub judge: &'a JudgeRules,
    /// The weight that is being judged.
    pub weight: Weight,
    /// The weight before this one.
    pub before: Weight,
    /// The kind of traffic.
    pub traffic: Traffic,
    /// What exports the canary's counters: for words alone.
    pub preset: Preset,
    /// Whether requests are counted when they end and may last for hours, so that failures are counted before the
    /// successes of their time; see [`super::late`].
    pub late: bool,
    /// Control's behaviour before the rollout, for checks that are held to it.
    pub recorded: Option<&'a Baseline>,
    /// Control's frozen behaviour, for when it is too small to compare with.
    pub baseline: Option<&'a Baseline>,
    /// Time between two probes of the component; zero without.
    pub probe_every: Duration,
    /// Over how many steps of this attempt the chance of a false rollback is split.
    pub looks: u32,
    /// Whether the component names a control arm.
    pub has_control: bool,
    /// Whether the weight is a share of requests: not where it is one of new objects, whose requests follow when they will.
    pub moves_requests: bool,
    /// Whether the canary's share of requests has to show in the counts.
    pub verifiable: bool,
    /// Whether hold time counts now: not while paused or frozen.
    pub clock_runs: bool,
    /// The time now.
    pub now: Timestamp,
}

/// What the judge says.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Each check, in the order of the rules.
    pub checks: Vec<CheckStatus>,
    /// All of them together.
    pub outlook: Outlook,
}

/// What the verdicts of all checks come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outlook {
    /// Every check that has a promote limit passes on all data and on the last window.
    Promotable,
    /// A check is between its limits.
    Between {
        /// Which.
        check: String,
        /// Why, for people.
        message: String,
    },
    /// Too few requests to tell.
    Insufficient {
        /// How many of how many, for people.
        message: String,
    },
    /// Nothing can be seen.
    Unknown {
        /// What kind of darkness.
        kind: Dark,
        /// Since when.
        since: Timestamp,
        /// Why, for people.
        message: String,
    },
    /// One check cannot be told, while the source itself is not dark: it holds, and never lowers.
    Unclear {
        /// Since when.
        since: Timestamp,
        /// Which, and why, for people.
        message: String,
    },
    /// Data is not judged yet.
    Settling {
        /// Until then.
        until: Timestamp,
    },
    /// Both arms are over the limit, the canary not much worse.
    SharedOutage {
        /// Which check, and how bad, for people.
        message: String,
    },
    /// Control is over the limit, the canary is not.
    ControlBad {
        /// Which check, and how bad, for people.
        message: String,
    },
    /// The canary gets no requests, although the total is unchanged.
    NotArriving {
        /// How many were expected, for people.
        message: String,
    },
    /// The canary gets surely less than half of the requests that its weight asks for.
    NotAchievable {
        /// How many, and where to look, for people.
        message: String,
    },
    /// The traffic has to go back.
    Breach {
        /// Which check; `traffic` when requests were lost.
        check: String,
        /// By which path.
        how: How,
        /// Why, for people.
        message: String,
    },
}

/// By which path a breach was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The sequential test and the point estimate agree.
    Evidence,
    /// So many failures that no statistics are needed.
    Trip,
    /// A measured value was over its limit for the check's whole `for`.
    Sustained,
    /// Requests vanished when the canary's share was raised, or the canary has no ready endpoint left.
    LostTraffic,
}

/// Everything that a look at the ledger needs more than once.
struct View {
    /// ln(1/α) that evidence has to reach.
    needed: f64,
    all: Tally,
    end: Timestamp,
}

impl Context<'_> {
    /// Control has less than 10% of the traffic: too little to compare with.
    pub(super) fn control_is_small(&self) -> bool {
        self.weight.permille() > 900
    }

    /// Control can say whose fault a fault is. At 100% what it still gets is no sample of the traffic: health checks, and
    /// connections of old, that may all go well or all fail as it is taken down.
    pub(in crate::rollout) fn control_testifies(&self) -> bool {
        self.has_control && self.weight < Weight::FULL
    }
}

/// How many canary requests promotion asks of a check's last window, which grows until it has them; 0 where it asks for
/// none.
pub fn needed_in_window(rule: &CheckRule) -> u64 {
    match rule.metric {
        _ if rule.promote.is_none() => 0,
        Metric::Latency => latency::needed_in_window(rule),
        Metric::ErrorRate | Metric::Availability => counted::needed_in_window(rule),
        Metric::Throughput => 0,
    }
}

/// Every line that evidence is gathered against, each once.
pub(super) fn lines(ctx: &Context<'_>) -> Vec<Line> {
    let mut all = Vec::new();
    for (armed, beside) in drawn(ctx) {
        armed
            .into_iter()
            .chain([beside])
            .flatten()
            .for_each(|l| once(&mut all, l));
    }
    all
}

fn drawn<'a>(ctx: &'a Context<'_>) -> impl Iterator<Item = ([Option<Line>; 2], Option<Line>)> + 'a {
    ctx.rules.iter().map(|rule| match rule.metric {
        Metric::Latency => latency::lines(rule, ctx),
        Metric::ErrorRate | Metric::Availability | Metric::Throughput => counted::lines(rule, ctx),
    })
}

fn once(lines: &mut Vec<Line>, line: Line) {
    if !lines.iter().any(|l| l.is(line)) {
        lines.push(line);
    }
}

/// ln(1/α) for one path at one weight. `falseRollback` is spent evenly over the steps and over the ways a check can
/// roll back, where checks that draw one line are one way; and over two, for a canary may be bad from the start or
/// go bad later. Ville's inequality makes each of them hold for any number of looks. What a value that has to stay over
/// its limit spends no theorem bounds: its share is set aside, and simulation counts what it takes. A healthy canary
/// never has a failing majority, so the trip spends nothing that counts.
fn threshold(ctx: &Context<'_>) -> f64 {
    let mut armed = Vec::new();
    let mut others = 0_u64;
    for (rule, (lines, _)) in ctx.rules.iter().zip(drawn(ctx)) {
        let drawn = lines.iter().flatten().count();
        lines.into_iter().flatten().for_each(|l| once(&mut armed, l));
        others += u64::from(drawn == 0 && rule.rollback.is_some());
    }
    let ways = real((armed.len() as u64 + others).max(1)) * f64::from(ctx.looks.max(1));
    (2.0 * ways / ctx.judge.false_rollback.clamp(1e-9, 0.5)).ln()
}

impl Ledger {
    /// Holds what was counted to the limits.
    pub fn judge(&self, ctx: &Context<'_>) -> Judgement {
        let findings = self.findings(ctx);
        let darkness = self.darkness(ctx);
        let dark = if let Some(Outlook::Unknown { message, .. }) = &darkness {
            Some(message.as_str())
        } else {
            None
        };
        Judgement {
            checks: findings.iter().map(|f| f.status(dark)).collect(),
            outlook: self.conclude(ctx, &findings, darkness),
        }
    }

    /// The outlook alone: the same as [`Ledger::judge`] gives, without the words for each check.
    pub fn outlook(&self, ctx: &Context<'_>) -> Outlook {
        self.conclude(ctx, &self.findings(ctx), self.darkness(ctx))
    }

    /// Whether some check is surely past its rollback limit, whoever's fault that is.
    pub(in crate::rollout) fn is_at_fault(&self, ctx: &Context<'_>) -> bool {
        let findings = self.findings(ctx);
        let past = |f: &Finding<'_>| matches!(f.why, Why::NotAlone { .. } | Why::Evidence { .. });
        findings.iter().any(past)
    }

    fn findings<'a>(&self, ctx: &Context<'a>) -> Vec<Finding<'a>> {
        let rules = ctx.rules.iter();
        if ctx.weight.is_zero() {
            return rules
                .map(|r| Finding::new(r).with(Why::NotMeasurable("at 0% there is no canary data")))
                .collect();
        }
        let Some(end) = self.last.filter(|_| self.recent.is_filled()) else {
            return rules.map(|r| Finding::new(r).with(Why::NothingYet)).collect();
        };
        let view = View {
            needed: threshold(ctx),
            all: self.all(),
            end,
        };
        rules
            .map(|rule| match rule.metric {
                Metric::ErrorRate | Metric::Availability => counted::find(self, rule, ctx, &view),
                Metric::Latency => latency::find(self, rule, ctx, &view),
                Metric::Throughput => measured::throughput(self, rule, ctx, &view),
            })
            .collect()
    }

    /// Why nothing can be seen now, if so.
    fn darkness(&self, ctx: &Context<'_>) -> Option<Outlook> {
        let unknown = |kind, since, message: &str| {
            Some(Outlook::Unknown {
                kind,
                since,
                message: message.to_owned(),
            })
        };
        if let Some(dark) = &self.dark {
            return unknown(dark.kind, dark.since, &dark.message);
        }
        let Some(last) = self.last else {
            return unknown(Dark::NotYet, self.since, "nothing was read from the source yet");
        };
        let gap = short_gap(ctx.judge.interval);
        if ctx.now.duration_since(last) > jiff::SignedDuration::try_from(gap).unwrap_or_default()
            && !sabotage::broken(2)
        {
            let message = format!("the source has had no new sample for {}", Span(gap));
            return unknown(Dark::Stale, last, &message);
        }
        None
    }

    fn conclude(&self, ctx: &Context<'_>, findings: &[Finding<'_>], darkness: Option<Outlook>) -> Outlook {
        if ctx.weight.is_zero() {
            return self.conclude_at_zero(ctx, darkness);
        }
        // The watch cache says so, whatever the metrics say or do not: series of pods that are gone vanish, too.
        if self.is_gone() {
            return Outlook::Breach {
                check: "traffic".to_owned(),
                how: How::LostTraffic,
                message: "a Service of the canary's has had no ready endpoint at two looks in a row, and control has: its \
                          requests have nowhere to go"
                    .to_owned(),
            };
        }
        let traffic = if darkness.is_none() {
            self.traffic(ctx)
        } else {
            None
        };
        if let Some(breach @ Outlook::Breach { .. }) = traffic {
            return breach;
        }
        if ctx.now < self.settled_at {
            return Outlook::Settling {
                until: self.settled_at,
            };
        }
        if let Some(darkness) = darkness {
            return darkness;
        }
        if !self.recent.is_filled() {
            return Outlook::Settling {
                until: self.settled_at,
            };
        }
        let first = |wanted: fn(&Finding<'_>) -> bool| findings.iter().find(|f| wanted(f));
        if let Some(f) = first(|f| f.verdict() == Verdict::Breach) {
            let how = if matches!(f.why, Why::Sustained { .. }) {
                How::Sustained
            } else {
                How::Evidence
            };
            return Outlook::Breach {
                check: f.rule.name.clone(),
                how,
                message: f.message(),
            };
        }
        if let Some(traffic) = traffic {
            return traffic;
        }
        if let Some(f) = first(|f| matches!(f.why, Why::SharedOutage { .. })) {
            return Outlook::SharedOutage { message: f.named() };
        }
        if let Some(f) = first(|f| matches!(f.why, Why::ControlBad { .. })) {
            return Outlook::ControlBad { message: f.named() };
        }
        if let Some(f) = first(|f| f.verdict() == Verdict::Hold) {
            return Outlook::Between {
                check: f.rule.name.clone(),
                message: f.message(),
            };
        }
        if let Some(f) = first(|f| f.verdict() == Verdict::Unknown && !f.is_unclear()) {
            return Outlook::Unknown {
                kind: Dark::Empty,
                since: self.settled_at,
                message: f.named(),
            };
        }
        // No darkness of the source: `onBlind` must not act on it.
        if let Some(f) = findings.iter().find(|f| f.is_unclear()) {
            return Outlook::Unclear {
                since: self.settled_at,
                message: f.named(),
            };
        }
        if let Some(f) = first(|f| f.verdict() == Verdict::Insufficient) {
            return Outlook::Insufficient { message: f.named() };
        }
        Outlook::Promotable
    }

    /// From 0% there is no canary data: a source that answers, and a control arm that is seen, are all there is.
    /// Where there is no control arm, an answer without series is one too: exporters make the canary's with its first
    /// request, which only the first raise can bring.
    fn conclude_at_zero(&self, ctx: &Context<'_>, darkness: Option<Outlook>) -> Outlook {
        match darkness {
            Some(Outlook::Unknown {
                kind: Dark::Empty, ..
            }) if !ctx.has_control => {}
            Some(darkness) => return darkness,
            None => {}
        }
        if ctx.has_control && !self.control_seen {
            return Outlook::Unknown {
                kind: Dark::Empty,
                since: self.since,
                message: "the source answers, but has no series of the control arm: check spec.components[].arms.control; \
                          `gradual-rollout checks test` prints the query and the label that matches nothing"
                    .to_owned(),
            };
        }
        Outlook::Promotable
    }
}
