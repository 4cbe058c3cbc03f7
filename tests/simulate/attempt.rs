//! A whole attempt: twelve steps, judged tick by tick by the code that judges in the cluster.

use super::draw::Draw;
use super::traffic::{Ill, Model, TICK, Traffic, WELL};
use crate::rollout::check::{CheckRule, JudgeRules};
use crate::rollout::judge::{Context, How, Outlook};
use crate::rollout::ledger::{Baseline, Ledger};
use crate::rollout::plan::default_checks;
use crate::rollout::sample::{Reading, Tick};
use crate::rollout::spec::{InsufficientThen, OnBlind, Preset, Traffic as Kind};
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use std::time::Duration;

/// The steps of an attempt, in percent.
pub(crate) const STEPS: [u16; 12] = [5, 10, 15, 25, 35, 50, 60, 75, 85, 90, 95, 100];
const STEPS_COUNT: u32 = 12;
/// Settle, and two intervals: seconds whose data is not judged.
pub(crate) const SETTLED: u64 = 80;
/// From this weight on control says less than its own past.
const FREEZE_ABOVE: u16 = 90;

const JUDGE: JudgeRules = JudgeRules {
    interval: Duration::from_secs(TICK),
    settle: Duration::from_secs(60),
    false_rollback: 0.01,
    on_blind: OnBlind::Hold,
    blind_after: Duration::from_secs(600),
    insufficient_after: Duration::from_secs(3 * 86_400),
    insufficient_then: InsufficientThen::Hold,
};

/// The default checks.
pub(crate) fn checks() -> Vec<CheckRule> {
    default_checks().into_iter().map(|check| check.rule).collect()
}

/// A judge beside a stream of traffic.
pub(crate) struct Attempt<'a> {
    rules: &'a [CheckRule],
    pub(crate) traffic: Traffic,
    pub(crate) ledger: Ledger,
    pub(crate) baseline: Option<Baseline>,
    percent: u16,
    /// Over how many bodies of evidence the chance is split: the steps, and twice as many in a pool.
    pub(crate) looks: u32,
}

impl<'a> Attempt<'a> {
    /// Before the first raise.
    pub(crate) fn new(rules: &'a [CheckRule], model: Model, draw: Draw, history: bool) -> Self {
        let mut traffic = Traffic::new(model, draw);
        let now = traffic.time();
        let mut attempt = Self {
            rules,
            ledger: Ledger::begin(now, now),
            baseline: None,
            percent: 0,
            looks: STEPS_COUNT,
            traffic: Traffic::new(traffic.model.clone(), traffic.draw.clone()),
        };
        if history {
            let slices = traffic.history();
            attempt.traffic.draw = traffic.draw;
            let mut ledger = std::mem::take(&mut attempt.ledger);
            ledger.learn(&slices, &attempt.context(now));
            attempt.ledger = ledger;
        }
        // A look or two at 0%.
        for _ in 0..6 {
            drop(attempt.tick(WELL, WELL, false));
        }
        attempt
    }

    pub(crate) fn context(&self, now: Timestamp) -> Context<'_> {
        Context {
            rules: self.rules,
            judge: &JUDGE,
            weight: Weight::from_percent(self.percent).unwrap_or(Weight::ZERO),
            before: Weight::ZERO,
            traffic: Kind::Requests,
            preset: Preset::Istio,
            late: false,
            recorded: None,
            probe_every: Duration::ZERO,
            baseline: self.baseline.as_ref(),
            looks: self.looks,
            has_control: true,
            moves_requests: true,
            verifiable: true,
            clock_runs: true,
            now,
        }
    }

    pub(crate) fn raise(&mut self, percent: u16) {
        let now = self.traffic.time();
        if percent > FREEZE_ABOVE && self.baseline.is_none() {
            self.baseline = self.ledger.freeze(now);
        }
        self.ledger = self.ledger.follow(now, now + Duration::from_secs(SETTLED));
        self.percent = percent;
        self.traffic.raised();
    }

    pub(crate) fn tick(&mut self, canary: Ill, control: Ill, dark: bool) -> Outlook {
        self.look(canary, control, dark).0
    }

    /// What the judge says, and the tick if it was counted.
    pub(crate) fn look(&mut self, canary: Ill, control: Ill, dark: bool) -> (Outlook, Option<Tick>) {
        let weight = f64::from(self.percent) / 100.0;
        let reading = if dark {
            self.traffic.dark_tick(weight, canary, control)
        } else {
            self.traffic.tick(weight, canary, control)
        };
        let now = self.traffic.time();
        let mut ledger = std::mem::take(&mut self.ledger);
        let context = self.context(now);
        let counted = ledger.absorb(&reading, &context);
        let outlook = ledger.outlook(&context);
        self.ledger = ledger;
        match reading {
            Reading::Fresh(tick) if counted => (outlook, Some(tick)),
            Reading::Fresh(_) | Reading::Waiting | Reading::Blind(_) => (outlook, None),
        }
    }

    /// Ticks until the traffic goes back, counted from the first; `None` when it stays.
    pub(crate) fn ticks_to_breach(&mut self, canary: Ill, most: u64) -> Option<u64> {
        (1..=most).find(|_| matches!(self.tick(canary, WELL, false), Outlook::Breach { .. }))
    }
}

/// What happens to a healthy attempt besides its traffic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Weather {
    /// For five minutes a fifth of all requests fail on both arms, once, while control still has traffic.
    pub(crate) outage: bool,
    /// Prometheus is away, once: for four minutes, or for seven, of which nothing is known afterwards.
    pub(crate) restart: bool,
    /// Control's past is known.
    pub(crate) history: bool,
}

/// Why a healthy canary was rolled back, and at which weight.
pub(crate) type Blunder = Option<(String, u16)>;

/// Walks a healthy canary, or one that is a little slower, through all steps, each `hold` ticks long.
pub(crate) fn healthy(
    rules: &[CheckRule],
    (model, canary): (Model, Ill),
    seed: Draw,
    weather: Weather,
    hold: u64,
) -> Blunder {
    let mut attempt = Attempt::new(rules, model, seed, weather.history);
    let all = hold * STEPS.len() as u64;
    let draw = &mut attempt.traffic.draw;
    // Not at 100%: there nobody can tell a shared outage from the canary's.
    let outage = draw.below(all - hold - 30);
    let (dark, length) = (draw.below(all - 50), if draw.chance(0.5) { 24 } else { 42 });
    let mut at = 0;
    for percent in STEPS {
        attempt.raise(percent);
        for _ in 0..hold {
            let failing = weather.outage && (outage..outage + 30).contains(&at);
            let ill = if failing {
                Ill { errors: 0.2, ..WELL }
            } else {
                WELL
            };
            let is_dark = weather.restart && (dark..dark + length).contains(&at);
            if weather.restart && at == dark + length && length > 30 {
                attempt.traffic.forget();
            }
            if let Outlook::Breach { check, how, .. } = attempt.tick(
                Ill {
                    slow: canary.slow,
                    ..ill
                },
                ill,
                is_dark,
            ) {
                let how = match how {
                    How::Evidence => "evidence",
                    How::Trip => "trip",
                    How::Sustained => "for",
                    How::LostTraffic => "lost",
                };
                return Some((
                    format!("{check}/{how}{}", if failing { " in the outage" } else { "" }),
                    percent,
                ));
            }
            at += 1;
        }
    }
    None
}
