//! Latency and throughput: values that are measured, not counted, and have to be over their limit for the whole
//! of `for` before traffic goes back. Sequential evidence on histogram buckets would take the place of
//! [`is_over`] for latency.

use super::counted::WORSE;
use super::{Context, Finding, View, Why};
use crate::rollout::check::{Bound, CheckRule, Limits, Metric};
use crate::rollout::evidence::{real, wilson};
use crate::rollout::ledger::Ledger;
use crate::rollout::spec::Traffic;
use crate::rollout::tally::{Sum, Tally, quantile};
use jiff::Timestamp;

/// A quantile needs so many requests expected beyond it, on all data and for a rollback: 200 for a P95.
const TAIL: f64 = 10.0;
/// And so many in the last window to promote: 60 for a P95.
const WINDOW_TAIL: f64 = 3.0;
/// How many standard deviations the canary's quantile has to be over the limit to count as over. Over by chance
/// at the start of `for` and, in other data, at its end: less than one in ten million pairs of windows.
const SURE: f64 = 3.5;
/// Standard deviations of the band around a throughput.
const BAND: f64 = 1.96;
/// Fewer expected canary requests than this make no share.
const SHARE_NEEDS: f64 = 20.0;

fn is_enough(sum: &Sum, q: f64, tail: f64) -> bool {
    real(sum.latency.iter().sum()) * (1.0 - q) >= tail
}

/// Control's quantile: live, or frozen where control is small; `None` when it is not known.
fn control_quantile(tally: &Tally, ledger: &Ledger, q: f64, ctx: &Context<'_>) -> Option<f64> {
    if ctx.has_control && ledger.control_seen && !ctx.control_is_small() && is_enough(&tally.control, q, TAIL)
    {
        return quantile(&ledger.bounds, &tally.control.latency, q);
    }
    let baseline = ctx.baseline?;
    quantile(&baseline.bounds_ms, &baseline.latency, q)
}

fn highest(limits: &Limits) -> Option<f64> {
    match limits.max {
        Some(Bound::Time(max)) => Some(max.as_secs_f64() * 1000.0),
        Some(Bound::Percent(_)) | None => None,
    }
}

/// Whether a measured check is over its rollback limit now, beyond what chance explains, and not by a fault that
/// control shares.
pub(in crate::rollout) fn is_over(ledger: &Ledger, rule: &CheckRule, ctx: &Context<'_>) -> bool {
    let (Some(limits), Some(end)) = (&rule.rollback, ledger.last) else {
        return false;
    };
    if ctx.traffic == Traffic::LongLived || ctx.weight.is_zero() {
        return false;
    }
    match rule.metric {
        Metric::Latency => {
            let window = ledger.slow.last(rule.window, end);
            let q = rule.quantile;
            if !is_enough(&window.canary, q, TAIL) {
                return false;
            }
            let n = real(window.canary.latency.iter().sum());
            let sure = (q - SURE * (q * (1.0 - q) / n).sqrt()).max(0.0);
            let Some(low) = quantile(&ledger.bounds, &window.canary.latency, sure) else {
                return false;
            };
            let control = control_quantile(&window, ledger, q, ctx);
            let over_max = highest(limits).is_some_and(|max| {
                let shared = control.is_some_and(|c| c > max && low <= WORSE * c) && !cfg!(sabotage_5);
                low > max && !shared
            });
            let over_control = limits
                .max_increase
                .is_some_and(|more| control.is_some_and(|c| low > c * (1.0 + more.ratio())));
            over_max || over_control
        }
        Metric::Throughput => {
            let window = ledger.recent.last(rule.window, end);
            let min = limits.min.map(crate::rollout::weight::Percent::ratio);
            min.is_some_and(|min| matches!(share(&window, ledger, ctx), Share::Of { high, .. } if high < min))
        }
        Metric::ErrorRate | Metric::Availability => false,
    }
}

fn sustained(ledger: &Ledger, rule: &CheckRule, end: Timestamp) -> Option<Why> {
    let since = *ledger.over.get(&rule.name)?;
    let long = end.duration_since(since).unsigned_abs() >= rule.for_;
    Some(if long {
        Why::Sustained { since }
    } else {
        Why::OverSince { since }
    })
}

/// What a latency check comes to.
pub(super) fn latency<'a>(
    ledger: &Ledger,
    rule: &'a CheckRule,
    ctx: &Context<'_>,
    view: &View,
) -> Finding<'a> {
    let mut finding = Finding::new(rule);
    if ctx.traffic == Traffic::LongLived {
        return finding.with(Why::NotMeasurable(
            "connections are long-lived: how long they last says nothing",
        ));
    }
    let q = rule.quantile;
    let window = ledger.slow.last(rule.window, view.end);
    let control = control_quantile(&window, ledger, q, ctx);
    let value = quantile(&ledger.bounds, &window.canary.latency, q);
    finding.value = value;
    finding.control = control;
    finding.samples = window.canary.latency.iter().sum();
    finding.beyond = ledger.bounds.last().copied();
    if let Some(why) = sustained(ledger, rule, view.end) {
        return finding.with(why);
    }
    let Some(limits) = &rule.promote else {
        return finding.with(Why::NoPromoteLimit);
    };
    if view.all.canary.requests > 0 && view.all.canary.latency.is_empty() {
        return finding.with(Why::NoHistogram);
    }
    let all = &view.all;
    for (tally, tail) in [(all, TAIL), (&window, WINDOW_TAIL)] {
        if !is_enough(&tally.canary, q, tail) {
            let have = tally.canary.latency.iter().sum();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a positive count, and `as` saturates"
            )]
            let need = (tail / (1.0 - q).max(1e-9)).ceil() as u64;
            return finding.with(Why::TooFew { have, need });
        }
        let canary = quantile(&ledger.bounds, &tally.canary.latency, q).unwrap_or(f64::INFINITY);
        if let Some(limit) = highest(limits).filter(|max| canary > *max) {
            return finding.with(Why::OverPromote { value: canary, limit });
        }
        if let Some(more) = limits.max_increase {
            // The last window's control may be thin; all of its data at this weight is not.
            let control =
                control_quantile(tally, ledger, q, ctx).or_else(|| control_quantile(all, ledger, q, ctx));
            let Some(control) = control else {
                return finding.with(if !ctx.has_control {
                    Why::NotMeasurable("no control arm is named, so there is nothing to compare with")
                } else if ledger.control_seen && !ctx.control_is_small() {
                    Why::ThinControl
                } else {
                    Why::NoControl
                });
            };
            let limit = control * (1.0 + more.ratio());
            if canary > limit || canary.is_infinite() {
                return finding.with(Why::OverPromote { value: canary, limit });
            }
        }
    }
    finding.with(Why::Passes { limit: None })
}

/// The canary's requests ÷ what its weight promises it.
enum Share {
    /// So much, and at most so much.
    Of { value: f64, high: f64 },
    /// Too few requests to tell.
    TooFew { have: u64 },
    /// Nothing to hold it against.
    Nothing(&'static str),
}

fn share(tally: &Tally, ledger: &Ledger, ctx: &Context<'_>) -> Share {
    let total = tally.requests();
    if ctx.control_is_small() {
        let Some(usual) = ledger.usual else {
            return Share::Nothing(
                "above 90% it takes the same hour of other days to compare with, and there is none",
            );
        };
        let expected = usual * real(tally.millis) / 1000.0;
        if expected < SHARE_NEEDS {
            return Share::TooFew { have: total };
        }
        let high = (real(total) + BAND * real(total.max(1)).sqrt()) / expected;
        return Share::Of {
            value: real(total) / expected,
            high,
        };
    }
    if !ctx.has_control {
        return Share::Nothing("no control arm is named, so the canary's share is not known");
    }
    let weight = ctx.weight.ratio();
    if weight * real(total) < SHARE_NEEDS {
        return Share::TooFew { have: total };
    }
    let (_, high) = wilson(tally.canary.requests, total, BAND);
    Share::Of {
        value: real(tally.canary.requests) / real(total) / weight,
        high: high / weight,
    }
}

/// What a throughput check comes to.
pub(super) fn throughput<'a>(
    ledger: &Ledger,
    rule: &'a CheckRule,
    ctx: &Context<'_>,
    view: &View,
) -> Finding<'a> {
    let mut finding = Finding::new(rule);
    finding.samples = view.all.canary.requests;
    if ctx.traffic == Traffic::LongLived {
        return finding.with(Why::NotMeasurable(
            "connections are long-lived: few of them in a while mean nothing",
        ));
    }
    if let Some(why) = sustained(ledger, rule, view.end) {
        return finding.with(why);
    }
    let Some(min) = rule.promote.as_ref().and_then(|l| l.min) else {
        return finding.with(Why::NoPromoteLimit);
    };
    let limit = min.ratio();
    let window = ledger.recent.last(rule.window, view.end);
    match share(&window, ledger, ctx) {
        Share::Of { value, high } => {
            finding.value = Some(value);
            if high < limit {
                return finding.with(Why::UnderPromote { value, limit });
            }
        }
        // A thin window's band allows everything: all data decides.
        Share::TooFew { .. } => {}
        Share::Nothing(why) => return finding.with(Why::NotMeasurable(why)),
    }
    // The usual rate is that of this hour, not of the whole step: there the window alone can be held against it.
    let wide = if ctx.control_is_small() {
        &window
    } else {
        &view.all
    };
    let why = match share(wide, ledger, ctx) {
        Share::Of { value, high } if high < limit => Why::UnderPromote { value, limit },
        Share::Of { value, .. } => {
            finding.value.get_or_insert(value);
            Why::Passes { limit: Some(limit) }
        }
        Share::TooFew { have } => Why::TooFew {
            have,
            need: have.saturating_add(1),
        },
        Share::Nothing(why) => Why::NotMeasurable(why),
    };
    finding.with(why)
}
