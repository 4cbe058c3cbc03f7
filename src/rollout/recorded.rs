//! What control was like before the rollout, for checks with `baseline: history`.
//!
//! It is an estimate as the canary's is: rollback lines are drawn at the upper end of its band, three standard
//! deviations up and wider by φ, so that what a healthy canary's own past left to chance is not held against it.

use super::buckets;
use super::buckets::taken_over;
use super::check::{Bound, Metric};
use super::evidence::{band, real};
use super::judge::Context;
use super::ledger::{Baseline, Ledger};
use super::sample::Slice;
use super::tally::Tally;
use jiff::Timestamp;
use std::time::Duration;

/// Slices longer than this are the day's; the others, of its last hours, repeat what those say.
const LONG: Duration = Duration::from_secs(300);
/// How far above the recorded level a rollback line starts, in standard deviations: one in a thousand.
const SURE: f64 = 3.0;
/// And a promote limit: one in twenty.
const LIKELY: f64 = 1.645;
/// Fewer requests than this are no level of errors that a canary could be held to.
pub(super) const LEAST: u64 = 1000;

impl Ledger {
    /// Control's last 24 h before the rollout; `None` when it had no requests.
    pub(super) fn record(&self, history: &[Slice], now: Timestamp, ctx: &Context<'_>) -> Option<Baseline> {
        let slices = |long: bool| history.iter().filter(move |s| (s.length > LONG) == long);
        let has_day = slices(true).any(|s| s.control.requests > 0);
        let chosen = || slices(has_day);
        let none = super::sample::Counts::default();
        let mut sum = Tally::default();
        for slice in chosen() {
            sum.add_counts(&none, &slice.control, slice.length);
        }
        let (bounds_ms, latency) = curve(chosen(), ctx).unwrap_or_default();
        (sum.control.requests > 0).then(|| Baseline {
            at: now,
            requests: sum.control.requests,
            errors: sum.control.errors,
            bounds_ms,
            latency,
            phi: Some(
                [self.noise.errors.phi(), self.noise.slow.phi()].map(|phi| (phi * 100.0).round() / 100.0),
            ),
        })
    }
}

/// The sum of all latencies that have the first one's bounds, at the bounds worth remembering.
fn curve<'a>(slices: impl Iterator<Item = &'a Slice>, ctx: &Context<'_>) -> Option<(Vec<f64>, Vec<u64>)> {
    let rules = || ctx.rules.iter().filter(|r| r.metric == Metric::Latency);
    let first = rules().next()?;
    let mut curves = slices.filter_map(|s| s.control.latency.as_ref());
    let begun = curves.next()?;
    let (bounds, mut counts) = (&begun.bounds_ms, begun.counts.clone());
    for curve in curves.filter(|c| c.bounds_ms == *bounds) {
        for (sum, more) in counts.iter_mut().zip(&curve.counts) {
            *sum = sum.saturating_add(*more);
        }
    }
    let limits: Vec<f64> = rules()
        .flat_map(|r| r.promote.iter().chain(&r.rollback))
        .filter_map(|limits| match limits.max {
            Some(Bound::Time(max)) => Some(max.as_secs_f64() * 1000.0),
            _ => None,
        })
        .collect();
    let pivot = buckets::quantile(bounds, &counts, first.quantile);
    let kept = buckets::worth_keeping(bounds, pivot, &limits);
    let counts = buckets::onto(&kept, bounds, &counts)?;
    Some((kept, counts))
}

impl Baseline {
    fn phi(&self, which: usize) -> f64 {
        self.phi
            .and_then(|both| both.get(which).copied())
            .unwrap_or(1.0)
            .max(1.0)
    }

    /// The error ratio that a canary surely has to be above, to be worse than control was.
    pub(super) fn errors_at_most(&self) -> f64 {
        self.errors_up_to(SURE)
    }

    /// The error ratio that is likely still control's.
    pub(super) fn errors_likely(&self) -> f64 {
        self.errors_up_to(LIKELY)
    }

    /// The highest quantile that is likely still control's at `q`: of a few hundred requests the slowest twentieth is known
    /// to a third of it only. `None` where nothing was recorded.
    pub(super) fn quantile_likely(&self, q: f64) -> Option<f64> {
        let n = real(self.latency.iter().sum());
        if n <= 0.0 {
            return None;
        }
        let phi = self.phi(1);
        Some(1.0 - band(n * (1.0 - q) / phi, n / phi, LIKELY).0)
    }

    fn errors_up_to(&self, z: f64) -> f64 {
        let phi = self.phi(0);
        band(real(self.errors) / phi, real(self.requests) / phi, z).1
    }

    /// The share of requests slower than so many milliseconds that a canary surely has to be above; read
    /// between bounds as [`taken_over`] says.
    pub(super) fn slower_at_most(&self, ms: f64) -> f64 {
        let phi = self.phi(1);
        let all = real(self.latency.iter().sum());
        let slow = taken_over(&self.bounds_ms, &self.latency, ms);
        band(slow / phi, all / phi, SURE).1
    }

    /// How many requests with a known latency there are.
    pub(super) fn timed(&self) -> u64 {
        self.latency.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewer_requests_were_recorded_the_higher_controls_quantile_may_likely_have_been() {
        let of = |requests: u64| {
            let baseline = Baseline {
                latency: vec![requests],
                ..Baseline::default()
            };
            baseline.quantile_likely(0.95)
        };
        assert_eq!(of(0), None);
        let (few, many) = (of(100).unwrap(), of(100_000).unwrap());
        assert!(few > 0.965 && few < 1.0, "{few}");
        assert!(many > 0.95 && many < 0.953, "{many}");
    }
}
