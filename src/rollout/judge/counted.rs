//! Error rate and availability: counts against lines, by sequential evidence, and who is to blame.

use super::blame::{Both, Fault, WORSE, Whose, whose_fault};
use super::{Context, Finding, View, Why};
use crate::rollout::check::{Bound, CheckRule, Limits, Metric};
use crate::rollout::evidence::{ERRORS, is_good, real, requests_needed, requests_needed_at, surely_over};
use crate::rollout::ledger::{Baseline, Ledger};
use crate::rollout::lines::Line;
use crate::rollout::recorded::LEAST;
use crate::rollout::sabotage;
use crate::rollout::tally::Tally;

/// The chance of promoting a canary that is as bad as its rollback limit.
pub(super) const BETA: f64 = 0.05;

/// The highest error ratio that limits allow.
fn highest(metric: Metric, limits: &Limits) -> Option<f64> {
    match (metric, limits.max, limits.min) {
        (Metric::Availability, _, Some(min)) => Some((1.0 - min.ratio()).max(0.0)),
        (Metric::ErrorRate, Some(Bound::Percent(max)), _) => Some(max.ratio()),
        _ => None,
    }
}

/// Canary requests per second, where there were some.
pub(super) fn rate(requests: u64, all: &Tally) -> Option<f64> {
    (requests > 0 && all.millis > 0).then(|| real(requests) * 1000.0 / real(all.millis))
}

fn is_counted(rule: &CheckRule) -> bool {
    matches!(rule.metric, Metric::ErrorRate | Metric::Availability)
}

/// The rollback limit on errors of the first check that has one: what a disaster is measured by.
pub(super) fn first_line<'a>(ctx: &Context<'a>) -> Option<(&'a CheckRule, f64)> {
    let counted = ctx.rules.iter().filter(|r| is_counted(r));
    let mut armed = counted.filter_map(|r| Some((r, r.rollback.as_ref()?)));
    armed
        .next()
        .map(|(r, limits)| (r, highest(r.metric, limits).unwrap_or(0.01)))
}

/// The line for "so much above control": relative to control where it can be, else to what its frozen ratio may at most
/// have been, more widely, for another day is no fair comparison.
fn increase_line(rule: &CheckRule, limits: &Limits, ctx: &Context<'_>) -> Option<Line> {
    let times = 1.0 + limits.max_increase?.ratio();
    if rule.by_history {
        let most = past(ctx).ok()?.errors_at_most();
        return Some(Line::Ratio((most * times.max(WORSE)).clamp(1e-5, 0.95)));
    }
    if ctx.control_is_small() {
        let baseline = ctx.baseline?;
        let most = baseline.errors_at_most() * times.max(WORSE);
        return Some(Line::Ratio(most.clamp(1e-5, 0.95)));
    }
    ctx.has_control.then_some(Line::Times(times))
}

/// Control before the rollout, where it had enough requests to be compared with.
fn past<'a>(ctx: &Context<'a>) -> Result<&'a Baseline, Why> {
    let recorded = ctx.recorded.ok_or(Why::NoHistory)?;
    if recorded.requests < LEAST {
        return Err(Why::ThinHistory {
            have: recorded.requests,
            need: LEAST,
        });
    }
    Ok(recorded)
}

/// The lines that a check draws: those that can roll back, and the one for when control is over the limit too.
pub(super) fn lines(rule: &CheckRule, ctx: &Context<'_>) -> ([Option<Line>; 2], Option<Line>) {
    let Some(limits) = rule.rollback.as_ref().filter(|_| is_counted(rule)) else {
        return ([None; 2], None);
    };
    let highest = highest(rule.metric, limits);
    let increase = increase_line(rule, limits, ctx);
    // A line that does not move with control: both arms may be over it.
    let still = highest.is_some() || rule.by_history && increase.is_some();
    let beside = (still && ctx.has_control).then_some(Line::Times(WORSE));
    ([highest.map(Line::Ratio), increase], beside)
}

/// What a counted check comes to.
pub(super) fn find<'a>(ledger: &Ledger, rule: &'a CheckRule, ctx: &Context<'_>, view: &View) -> Finding<'a> {
    let recent = ledger.recent.last(rule.for_, view.end);
    let (shown, samples) = match rule.metric {
        Metric::Availability => (1.0 - view.all.canary.ratio(), view.all.canary.requests),
        Metric::ErrorRate | Metric::Latency | Metric::Throughput => {
            (recent.canary.ratio(), recent.canary.requests)
        }
    };
    let control_shown = match rule.metric {
        Metric::Availability => 1.0 - view.all.control.ratio(),
        Metric::ErrorRate | Metric::Latency | Metric::Throughput => recent.control.ratio(),
    };
    let lent = match rule.metric {
        Metric::Availability => view.all.canary.lent,
        Metric::ErrorRate | Metric::Latency | Metric::Throughput => recent.canary.lent,
    };
    let mut finding = Finding {
        lent,
        rate: rate(view.all.canary.own(), &view.all),
        value: (samples > 0).then_some(shown),
        control: (recent.control.requests > 0).then_some(control_shown),
        samples,
        ..Finding::new(rule)
    };
    if rule.by_history {
        let good = |errors: f64| match rule.metric {
            Metric::Availability => 1.0 - errors,
            Metric::ErrorRate | Metric::Latency | Metric::Throughput => errors,
        };
        finding.control = ctx.recorded.map(|past| good(past.error_ratio()));
    }
    let at_fault = rule.rollback.as_ref().and_then(|limits| {
        let (why, evidence) = rollback(ledger, rule, limits, ctx, (view, &recent));
        finding.evidence = Some(evidence);
        why
    });
    if at_fault.is_some() && rule.metric == Metric::Availability {
        // Judged by the last `for`, as an error rate is; so what is said of it is of that, too.
        finding.value = (recent.canary.requests > 0).then(|| 1.0 - recent.canary.ratio());
        finding.samples = recent.canary.requests;
        finding.lent = recent.canary.lent;
        if !rule.by_history {
            let control = &recent.control;
            finding.control = (control.requests > 0).then(|| 1.0 - control.ratio());
        }
    }
    let why = at_fault.unwrap_or_else(|| match &rule.promote {
        Some(limits) => promote(ledger, rule, limits, ctx, view),
        None => Why::NoPromoteLimit,
    });
    finding.with(why)
}

/// Whether the canary is over its rollback limit and to blame for it; and how strong the evidence is, as a share
/// of what is needed.
fn rollback(
    ledger: &Ledger,
    rule: &CheckRule,
    limits: &Limits,
    ctx: &Context<'_>,
    (view, recent): (&View, &Tally),
) -> (Option<Why>, f64) {
    let stretches = [recent, &view.all];
    let share = |line: Line| ledger.evidence(line) / view.needed;
    let enough = |share: f64| share >= 1.0 || sabotage::broken(4);
    let (canary, control) = (recent.canary.ratio(), recent.control.ratio());
    let control_known = ctx.control_testifies() && ledger.control_seen && recent.control.requests > 0;
    let absolute = |limit: f64| {
        let both = control_known
            && surely_over(recent.control.errors, recent.control.requests, limit)
            && !sabotage::broken(5);
        let line = if both {
            Line::Times(WORSE)
        } else {
            Line::Ratio(limit)
        };
        let share = share(line);
        let why = match (canary > limit, both) {
            (true, true) if canary <= WORSE * control => Some(Why::SharedOutage { limit }),
            (true, _) if enough(share) => {
                let counted = stretches.map(|s| Both {
                    canary: (s.canary.errors, s.canary.requests),
                    control: (s.control.errors, s.control.requests),
                    likened: real(s.control.errors),
                });
                let fault = Fault {
                    effects: &ERRORS,
                    phi: ledger.noise.errors.phi(),
                    against: [WORSE, limit],
                    was_bad: ctx.baseline.is_some_and(|before| before.error_ratio() > limit),
                };
                Some(match whose_fault(ctx, ledger, fault, counted) {
                    Whose::Unclear(until) if !both => Why::NotAlone { limit, until },
                    Whose::Unclear(_) | Whose::Canary => Why::Evidence { limit },
                })
            }
            (false, true) => Some(Why::ControlBad { limit }),
            _ => None,
        };
        (why, share)
    };
    let (mut why, mut strongest) = highest(rule.metric, limits).map_or((None, 0.0), absolute);
    if let (Some(increase), Some(line)) = (limits.max_increase, increase_line(rule, limits, ctx)) {
        if let (true, Line::Ratio(limit)) = (rule.by_history, line) {
            let (past, share) = absolute(limit);
            let worse = past.map(|past| past.than_the_past(increase.ratio()));
            return (heavier(why, worse), strongest.max(share));
        }
        let (limit, usable) = match line {
            Line::Times(times) => (control * times, control_known),
            Line::Ratio(share) | Line::Slow(_, share) | Line::Slower(_, share) => (share, true),
        };
        let share = share(line);
        strongest = strongest.max(share);
        let acquitted = matches!(why, Some(Why::SharedOutage { .. } | Why::NotAlone { .. }));
        if usable && canary > limit && enough(share) && !acquitted {
            why = Some(Why::Increase {
                increase: increase.ratio(),
                limit,
            });
        }
    }
    (why, strongest)
}

/// Of two reasons not to go on the one that puts the traffic back, or else the first.
pub(super) fn heavier(first: Option<Why>, second: Option<Why>) -> Option<Why> {
    let goes_back = |why: &Why| {
        matches!(
            why,
            Why::Evidence { .. } | Why::Increase { .. } | Why::Slower { .. }
        )
    };
    match (first, second) {
        (Some(first), Some(second)) if goes_back(&second) && !goes_back(&first) => Some(second),
        (first, second) => first.or(second),
    }
}

/// Whether the promote limit is met on all data and on the last window, with enough requests to say so.
fn promote(ledger: &Ledger, rule: &CheckRule, limits: &Limits, ctx: &Context<'_>, view: &View) -> Why {
    let window = ledger.last_window(rule, view.end, &view.all);
    let (all, last) = (&view.all.canary, &window.canary);
    // What control lent keeps failures from weighing too much, and is no success of the canary's own.
    let own = all.own();
    if own == 0 {
        return Why::TooFew {
            have: 0,
            need: rule.min_requests.max(1),
        };
    }
    let good = highest(rule.metric, limits);
    if let Some(limit) = good
        && (all.ratio() > limit || last.ratio() > limit)
    {
        return Why::OverPromote {
            value: all.ratio().max(last.ratio()),
            limit,
        };
    }
    if let Some(increase) = limits.max_increase {
        let times = 1.0 + increase.ratio();
        let of = |control: f64| control * times;
        let limit = if rule.by_history {
            match past(ctx) {
                Ok(past) => of(past.errors_likely()),
                Err(why) => return why,
            }
        } else if ctx.control_is_small() {
            let Some(baseline) = ctx.baseline else {
                return Why::NoControl;
            };
            of(baseline.errors_likely())
        } else if !ctx.has_control {
            return Why::NotMeasurable("no control arm is named, so there is nothing to compare with");
        } else if !ledger.control_seen || view.all.control.requests == 0 {
            return Why::NoControl;
        } else {
            of(view.all.control.ratio())
        };
        if all.ratio() > limit {
            return Why::OverPromote {
                value: all.ratio(),
                limit,
            };
        }
    }
    let need = needed(rule, good);
    let (low, high) = band(rule, good);
    let proven = if rule.min_requests > 0 {
        own >= rule.min_requests
    } else {
        is_good(all.errors, own, low, high, BETA)
    };
    if proven && last.own() > 0 {
        Why::Passes { limit: good }
    } else if proven {
        Why::QuietWindow
    } else if rule.min_requests == 0 && all.errors > 0 {
        Why::Unproven {
            have: own,
            need: requests_needed_at(all.errors, own, low, high, BETA).map(whole),
        }
    } else {
        Why::TooFew { have: own, need }
    }
}

/// Good and bad, far enough apart to be told apart: without a rollback limit, bad is ten times good.
fn band(rule: &CheckRule, good: Option<f64>) -> (f64, f64) {
    let good = good.unwrap_or(0.001).clamp(0.0, 0.5);
    let bad = rule.rollback.as_ref().and_then(|l| highest(rule.metric, l));
    let bad = bad
        .filter(|bad| *bad > good)
        .unwrap_or((good * 10.0).clamp(0.01, 0.9));
    (good, bad.min(0.99))
}

fn needed(rule: &CheckRule, good: Option<f64>) -> u64 {
    if rule.min_requests > 0 {
        return rule.min_requests;
    }
    needed_by_statistics(rule, good)
}

/// As many as prove something by themselves, if none of them fails; fewer where the check asks for fewer in all.
pub(super) fn needed_in_window(rule: &CheckRule) -> u64 {
    let good = rule.promote.as_ref().and_then(|l| highest(rule.metric, l));
    let least = needed_by_statistics(rule, good);
    if rule.min_requests > 0 {
        least.min(rule.min_requests)
    } else {
        least
    }
}

fn needed_by_statistics(rule: &CheckRule, good: Option<f64>) -> u64 {
    let (good, bad) = band(rule, good);
    whole(requests_needed(good, bad, BETA))
}

/// A positive number of requests, rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive count, and `as` saturates"
)]
pub(super) fn whole(requests: f64) -> u64 {
    requests.ceil() as u64
}
