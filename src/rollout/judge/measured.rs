//! Throughput: a value that is measured, not counted, and has to be past its limit for the whole of `for` before
//! traffic goes back.

use super::{Context, Finding, View, Why, threshold};
use crate::rollout::check::{CheckRule, Metric};
use crate::rollout::evidence::{real, wilson};
use crate::rollout::ledger::Ledger;
use crate::rollout::spec::Traffic;
use crate::rollout::tally::Tally;
use jiff::Timestamp;

/// Standard deviations of the band around a throughput that is promoted by.
const BAND: f64 = 1.96;
/// Fewer expected canary requests than this make no share.
const SHARE_NEEDS: f64 = 20.0;
const SHARE_NEEDS_WHOLE: u64 = 20;

/// Whether a measured check is over its rollback limit now, beyond what chance explains, and not by a fault that
/// control shares.
pub(in crate::rollout) fn is_over(ledger: &Ledger, rule: &CheckRule, ctx: &Context<'_>) -> bool {
    let (Some(limits), Some(end)) = (&rule.rollback, ledger.last) else {
        return false;
    };
    // Where control is small all requests are held to what is usual at this hour. Fewer than that is no fault of the
    // canary's: it holds, and puts nothing back.
    if ctx.traffic == Traffic::LongLived || ctx.weight.is_zero() || ctx.control_is_small() {
        return false;
    }
    match rule.metric {
        Metric::Throughput => {
            let window = ledger.recent.last(rule.window, end);
            let min = limits.min.map(crate::rollout::weight::Percent::ratio);
            // A new window is looked at again and again, for days: each is held to what evidence has to reach, and the
            // normal tail beyond z is smaller than e^(−z²/2).
            let band = (2.0 * threshold(ctx)).sqrt();
            min.is_some_and(
                |min| matches!(share(&window, ledger, ctx, band), Share::Of { high, .. } if high < min),
            )
        }
        Metric::ErrorRate | Metric::Availability | Metric::Latency => false,
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

/// The canary's requests ÷ what its weight promises it.
enum Share {
    /// So much, and at most so much.
    Of { value: f64, high: f64 },
    /// Too few requests to tell.
    TooFew { have: u64 },
    /// Nothing to hold it against.
    Nothing(&'static str),
}

fn share(tally: &Tally, ledger: &Ledger, ctx: &Context<'_>, band: f64) -> Share {
    if !ctx.moves_requests {
        return Share::Nothing(
            "its weight is a share of new objects, which promises the canary no share of requests",
        );
    }
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
        let high = (real(total) + band * real(total.max(1)).sqrt()) / expected;
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
        return Share::TooFew {
            have: tally.canary.requests,
        };
    }
    let (_, high) = wilson(tally.canary.requests, total, band);
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
    match share(&window, ledger, ctx, BAND) {
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
    let why = match share(wide, ledger, ctx, BAND) {
        Share::Of { value, high } if high < limit => Why::UnderPromote { value, limit },
        Share::Of { value, .. } => {
            finding.value.get_or_insert(value);
            Why::Passes { limit: Some(limit) }
        }
        Share::TooFew { have } => Why::TooFew {
            have,
            need: have.saturating_add(1).max(SHARE_NEEDS_WHOLE),
        },
        Share::Nothing(why) => Why::NotMeasurable(why),
    };
    finding.with(why)
}
