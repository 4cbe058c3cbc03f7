//! Lines that a canary is held to, and the evidence gathered against each, tick by tick.

use super::aim::Aim;
use super::buckets;
use super::check::{Bound, Metric};
use super::dispersion::{ERROR_SLICE, SLOW_SLICE};
use super::evidence::{ERRORS, LogE, Pace, SLOW, real, surely_over};
use super::judge::{Context, lines};
use super::ledger::{Ledger, Pivot};
use super::sample::{Counts, Slice, Tick};
use crate::rollout::sabotage;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY: f64 = 24.0 * 3600.0;

/// A line. Evidence counts for the line it was gathered against alone: another limit starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Line {
    /// At most so many times control's error ratio.
    #[serde(rename = "r")]
    Times(f64),
    /// At most this error ratio.
    #[serde(rename = "a")]
    Ratio(f64),
    /// Of the requests at most this share slower than so many milliseconds: (milliseconds, share).
    #[serde(rename = "s")]
    Slow(f64, f64),
    /// Not slower than control if each of its requests had taken so many times as long: (times, quantile to look at).
    #[serde(rename = "l")]
    Slower(f64, f64),
}

impl Line {
    /// The same line, for all that a text form may have done to its last digit.
    pub(super) fn is(self, other: Self) -> bool {
        let same = |a: f64, b: f64| (a - b).abs() < 1e-9;
        match (self, other) {
            (Self::Times(a), Self::Times(b)) | (Self::Ratio(a), Self::Ratio(b)) => same(a, b),
            (Self::Slow(a, p), Self::Slow(b, q)) | (Self::Slower(a, p), Self::Slower(b, q)) => {
                same(a, b) && same(p, q)
            }
            (Self::Times(_) | Self::Ratio(_) | Self::Slow(..) | Self::Slower(..), _) => false,
        }
    }

    fn is_about_errors(self) -> bool {
        matches!(self, Self::Times(_) | Self::Ratio(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LineEvidence {
    #[serde(rename = "l")]
    pub(super) line: Line,
    #[serde(rename = "e")]
    pub(super) log_e: LogE,
}

impl Ledger {
    /// Evidence gathered against a line, as a logarithm.
    pub(super) fn evidence(&self, line: Line) -> f64 {
        let found = self.lines.iter().find(|l| l.line.is(line));
        found.map_or(0.0, |l| l.log_e.log_e())
    }

    /// Ticks in which control itself is surely over an absolute line say nothing about the canary against it: a
    /// shared outage must not leave behind evidence that a later blip would cash in. Which ticks these are depends
    /// on control alone, so the test keeps its level.
    pub(super) fn gather_evidence(
        &mut self,
        tick: &Tick,
        canary: &Counts,
        control: &Counts,
        length: Duration,
        ctx: &Context<'_>,
    ) {
        let (drawn, testifies) = (lines(ctx), ctx.control_testifies());
        self.lines.retain(|l| drawn.iter().any(|line| line.is(l.line)));
        for line in drawn {
            if !self.lines.iter().any(|l| l.line.is(line)) {
                let log_e = LogE::default();
                self.lines.push(LineEvidence { line, log_e });
            }
        }
        let start = self.start(tick.to, length);
        let pace = |phi| Pace { phi, start };
        let (errors, slow) = (pace(self.noise.errors.phi()), pace(self.noise.slow.phi()));
        let mut entries = std::mem::take(&mut self.lines);
        for LineEvidence { line, log_e } in &mut entries {
            match *line {
                Line::Ratio(p0) => {
                    let shared = testifies && surely_over(control.errors, control.requests, p0);
                    if !shared || sabotage::broken(5) {
                        log_e.step_absolute(&ERRORS, errors, p0, canary.errors, canary.requests);
                    }
                }
                Line::Times(rho) => {
                    let (c, b) = (canary, control);
                    let k_b = real(b.errors);
                    log_e.step_relative(&ERRORS, errors, rho, c.errors, c.requests, k_b, b.requests);
                }
                Line::Slow(ms, p0) => {
                    if let Some((n, k)) = slower(canary, ms)
                        && !(testifies && slower(control, ms).is_some_and(|(n, k)| surely_over(k, n, p0)))
                    {
                        log_e.step_absolute(&SLOW, slow, p0, k, n);
                    }
                }
                Line::Slower(times, q) => {
                    if let Some(aim) = self.aims.iter().find(|a| a.is_for(times, q))
                        && let (Some(canary), Some(control)) = (&canary.latency, &control.latency)
                        && let Some(bound) = buckets::at_least(&canary.bounds_ms, aim.bound)
                    {
                        let k_c = buckets::over_bound(&canary.bounds_ms, &canary.counts, bound);
                        let k_b = aim.control_over(&control.bounds_ms, &control.counts);
                        let (n_c, n_b) = (canary.counts.iter().sum(), control.counts.iter().sum());
                        log_e.step_shares(&SLOW, slow, aim.share, k_c, n_c, k_b, n_b);
                    }
                }
            }
        }
        self.lines = entries;
    }

    /// How much weight a change for the worse at this tick has. All of the first day's ticks together have 1/2, the
    /// second's 1/4, and so on: with "bad from the start" no more than 2.
    fn start(&self, to: Timestamp, length: Duration) -> f64 {
        let since = to.duration_since(self.settled_at).as_secs_f64().max(0.0);
        length.as_secs_f64() / DAY * 0.5_f64.powf((since / DAY).floor() + 1.0)
    }

    /// Control's latencies of all judged data.
    fn control_latency(&self) -> Vec<u64> {
        let [now, before] = &self.blocks;
        let (long, other) = (&now.control.latency, &before.control.latency);
        let len = long.len().max(other.len());
        let at = |counts: &[u64], i: usize| counts.get(i).copied().unwrap_or(0);
        (0..len).map(|i| at(long, i) + at(other, i)).collect()
    }

    /// Decides at the first tick with latencies which bounds are remembered at this weight.
    pub(super) fn choose_bounds(&mut self, canary: &Counts, control: &Counts, ctx: &Context<'_>) {
        if !self.bounds.is_empty() {
            return;
        }
        let rules = || ctx.rules.iter().filter(|r| r.metric == Metric::Latency);
        let (Some(first), Some(histogram)) = (
            rules().next(),
            control.latency.as_ref().or(canary.latency.as_ref()),
        ) else {
            return;
        };
        let (bounds, counts) = (&histogram.bounds_ms, &histogram.counts);
        let here = buckets::quantile(bounds, counts, first.quantile);
        let pivot = self.pivot.map(|p| p.millis).or(here);
        let limits: Vec<f64> = rules()
            .flat_map(|r| r.promote.iter().chain(&r.rollback))
            .filter_map(|limits| match limits.max {
                Some(Bound::Time(max)) => Some(max.as_secs_f64() * 1000.0),
                _ => None,
            })
            .collect();
        self.bounds = buckets::worth_keeping(bounds, pivot, &limits);
    }

    /// Remembers by which quantile of control's and at which bounds latencies are compared, for the next tick.
    pub(super) fn find_pivot(&mut self, ctx: &Context<'_>) {
        let all = self.control_latency();
        let drawn = std::mem::take(&mut self.lines);
        self.take_aim(&self.bounds.clone(), &all, drawn.iter().map(|l| l.line));
        self.lines = drawn;
        let Some(rule) = ctx.rules.iter().find(|r| r.metric == Metric::Latency) else {
            return;
        };
        let quantile = rule.quantile;
        if let Some(millis) = buckets::quantile(&self.bounds, &all, quantile)
            && millis.is_finite()
        {
            let millis = (millis * 100.0).round() / 100.0;
            self.pivot = Some(Pivot { quantile, millis });
        }
    }

    /// Chooses the bounds at which canary and control are compared, by what control did. What it cannot tell stays as
    /// it was.
    fn take_aim(&mut self, bounds: &[f64], control: &[u64], drawn: impl Iterator<Item = Line>) {
        let before = std::mem::take(&mut self.aims);
        for line in drawn {
            if let Line::Slower(times, q) = line {
                let known = before.iter().find(|aim| aim.is_for(times, q)).copied();
                self.aims.extend(Aim::choose(bounds, control, q, times).or(known));
            }
        }
    }

    /// What evidence of this metric is divided by, because control's bad requests come in bursts, and whether that is only
    /// supposed so far; `None` where it is next to nothing.
    pub fn bursts(&self, metric: Metric) -> Option<(f64, bool)> {
        let of = match metric {
            Metric::Latency => &self.noise.slow,
            Metric::ErrorRate | Metric::Availability => &self.noise.errors,
            Metric::Throughput => return None,
        };
        Some((of.phi(), of.is_supposed())).filter(|(phi, _)| *phi >= 1.5)
    }

    /// Learns from a tick of control's how its bad requests cluster.
    pub(super) fn learn_noise(&mut self, control: &Counts, length: Duration) {
        let slow = self.pivot.and_then(|pivot| slow_of(control, pivot.millis));
        let before = [self.noise.errors.phi(), self.noise.slow.phi()];
        let [errors, slow] = self.noise.add(control, slow, length);
        if errors || slow {
            self.temper(before);
        }
    }

    /// Learns from control's history before the rollout how its bad requests cluster.
    pub fn learn(&mut self, history: &[Slice], ctx: &Context<'_>) {
        let quantile = ctx
            .rules
            .iter()
            .find(|r| r.metric == Metric::Latency)
            .map(|r| r.quantile);
        let before = [self.noise.errors.phi(), self.noise.slow.phi()];
        let errors: Vec<_> = history
            .iter()
            .map(|s| (s.length, s.control.requests, s.control.errors))
            .collect();
        self.noise.errors.learn(&errors, ERROR_SLICE);
        let curves = || history.iter().filter_map(|s| s.control.latency.as_ref());
        if let (Some(quantile), Some(first)) = (quantile, curves().next()) {
            let bounds = &first.bounds_ms;
            let mut sum = vec![0; bounds.len() + 1];
            for curve in curves().filter(|c| c.bounds_ms == *bounds) {
                for (sum, more) in sum.iter_mut().zip(&curve.counts) {
                    *sum += more;
                }
            }
            if self.aims.is_empty() {
                self.take_aim(bounds, &sum, lines(ctx).into_iter());
            }
            if let Some(millis) = buckets::quantile(bounds, &sum, quantile).filter(|ms| ms.is_finite()) {
                self.pivot.get_or_insert(Pivot { quantile, millis });
                let slow: Vec<_> = history
                    .iter()
                    .filter_map(|s| slow_of(&s.control, millis).map(|(n, k)| (s.length, n, k)))
                    .collect();
                self.noise.slow.learn(&slow, SLOW_SLICE);
            }
        }
        self.temper(before);
    }

    /// φ has grown: evidence of before is worth less. Where less is supposed than before it stays as it was counted.
    pub(super) fn temper(&mut self, [errors, slow]: [f64; 2]) {
        let worth =
            [errors / self.noise.errors.phi(), slow / self.noise.slow.phi()].map(|worth| worth.min(1.0));
        for LineEvidence { line, log_e } in &mut self.lines {
            let [errors, slow] = worth;
            log_e.temper(if line.is_about_errors() { errors } else { slow });
        }
    }
}

/// Requests with a known latency, and those slower than a limit: at the smallest bound that is no smaller, so that
/// nobody is called slow who is not. `None` where no bound is.
fn slower(counts: &Counts, ms: f64) -> Option<(u64, u64)> {
    let histogram = counts.latency.as_ref()?;
    let bound = buckets::at_least(&histogram.bounds_ms, ms)?;
    let slow = buckets::over_bound(&histogram.bounds_ms, &histogram.counts, bound);
    Some((histogram.counts.iter().sum(), slow))
}

/// The same at the bound nearest to a value.
fn slow_of(counts: &Counts, ms: f64) -> Option<(u64, u64)> {
    let histogram = counts.latency.as_ref()?;
    let bound = buckets::nearest(&histogram.bounds_ms, ms)?;
    let slow = buckets::over_bound(&histogram.bounds_ms, &histogram.counts, bound);
    Some((histogram.counts.iter().sum(), slow))
}
