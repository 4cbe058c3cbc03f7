//! Latency: the share of requests slower than a bucket's bound, by the same sequential evidence as errors. "P95 is
//! over L" is "more than 5% are slower than L", and that is a count: it adds up over pods and time, exactly.
//!
//! Held to control, a canary that is x slower has as many requests slower than b as control has slower than b/(1+x).
//! b is a bound; control's share is read between bounds ([`aim`]), the canary's is counted.
//!
//! [`aim`]: crate::rollout::aim

use super::blame::{Both, Fault, WORSE, Whose, whose_fault};
use super::counted::{BETA, heavier, rate, whole};
use super::finding::{Coarse, Slower};
use super::{Context, Finding, View, Why};
use crate::rollout::aim::Aim;
use crate::rollout::buckets::{at_least, at_most, nearest, over, over_bound, quantile, taken_over};
use crate::rollout::check::{Bound, CheckRule, Limits};
use crate::rollout::evidence::{SLOW, is_good, real, requests_needed, requests_needed_at, surely_over};
use crate::rollout::ledger::{Baseline, Ledger};
use crate::rollout::lines::Line;
use crate::rollout::sabotage;
use crate::rollout::spec::Traffic;
use crate::rollout::tally::{Sum, Tally};

/// Control's quantile, and the canary's where its share of slow requests cannot prove anything, needs so many
/// requests expected beyond it: 200 for a P95.
const TAIL: f64 = 10.0;
/// And so many in the last window to promote: 60 for a P95.
const WINDOW_TAIL: f64 = 3.0;
/// A canary as bad as this many times the share that is good enough is not promoted.
const TWICE: f64 = 2.0;
/// Shares closer together than this cannot be told apart by counting.
const APART: f64 = 1.25;
/// A share of slow requests that leaves no room for a worse one.
const NEARLY_ALL: f64 = 0.9;
/// Without a rollback limit, bad is so much slower than good.
const MUCH_SLOWER: f64 = 1.3;

fn highest(limits: &Limits) -> Option<f64> {
    match limits.max {
        Some(Bound::Time(max)) => Some(max.as_secs_f64() * 1000.0),
        Some(Bound::Percent(_)) | None => None,
    }
}

/// The share that may be slower than a quantile; rounded, for it is stored.
fn beyond(q: f64) -> f64 {
    ((1.0 - q) * 1e9).round() / 1e9
}

fn count(sum: &Sum) -> u64 {
    sum.latency.iter().sum()
}

fn least_in_window(q: f64) -> u64 {
    whole(WINDOW_TAIL / (1.0 - q).max(1e-9))
}

/// As many as show a quantile; fewer where the check asks for fewer in all.
pub(super) fn needed_in_window(rule: &CheckRule) -> u64 {
    let least = least_in_window(rule.quantile);
    if rule.min_requests > 0 {
        least.min(rule.min_requests)
    } else {
        least
    }
}

fn is_enough(sum: &Sum, q: f64, tail: f64) -> bool {
    real(count(sum)) * (1.0 - q) >= tail
}

/// The lines that a check draws: those that can roll back, and the one for when control is over the limit too.
pub(super) fn lines(rule: &CheckRule, ctx: &Context<'_>) -> ([Option<Line>; 2], Option<Line>) {
    let Some(limits) = rule
        .rollback
        .as_ref()
        .filter(|_| ctx.traffic != Traffic::LongLived)
    else {
        return ([None; 2], None);
    };
    let q = rule.quantile;
    let highest = highest(limits).map(|ms| Line::Slow(ms, beyond(q)));
    let increase = increase_line(rule, limits, ctx);
    // A line that does not move with control: both arms may be over it.
    let still = highest.is_some() || rule.by_history && increase.is_some();
    let beside = (still && ctx.has_control).then_some(Line::Slower(WORSE, q));
    ([highest, increase], beside)
}

/// The line for "so much slower than control": against control where it can be, else against what its frozen share may
/// at most have been, more widely, for another day is no fair comparison.
fn increase_line(rule: &CheckRule, limits: &Limits, ctx: &Context<'_>) -> Option<Line> {
    let (times, q) = (1.0 + limits.max_increase?.ratio(), rule.quantile);
    if rule.by_history {
        let past = past(rule, ctx).ok()?;
        let bound = Aim::choose(&past.bounds_ms, &past.latency, q, times.max(WORSE))?.bound;
        return slow_line(bound, past.slower_at_most(bound / times.max(WORSE)));
    }
    if !ctx.control_is_small() {
        return ctx.has_control.then_some(Line::Slower(times, q));
    }
    let baseline = ctx.baseline?;
    let (bounds, counts) = (&baseline.bounds_ms, &baseline.latency);
    let bound = Aim::choose(bounds, counts, q, times.max(WORSE))?.bound;
    slow_line(bound, baseline.slower_at_most(bound / times.max(WORSE)))
}

/// A line at a share that control may have had; `None` where that is nearly all, so that no canary can be beyond it.
fn slow_line(bound: f64, share: f64) -> Option<Line> {
    (share <= NEARLY_ALL).then(|| Line::Slow(bound, share.max(1e-5)))
}

/// Control before the rollout, where it had enough requests to be compared with.
fn past<'a>(rule: &CheckRule, ctx: &Context<'a>) -> Result<&'a Baseline, Why> {
    let recorded = ctx.recorded.ok_or(Why::NoHistory)?;
    let (have, need) = (recorded.timed(), whole(TAIL / (1.0 - rule.quantile).max(1e-9)));
    if have < need {
        return Err(Why::ThinHistory { have, need });
    }
    Ok(recorded)
}

/// Control's quantile: live, or frozen where control is small, or recorded before the rollout; `None` when it is not
/// known.
fn control_quantile(tally: &Tally, ledger: &Ledger, rule: &CheckRule, ctx: &Context<'_>) -> Option<f64> {
    let q = rule.quantile;
    if rule.by_history {
        let past = past(rule, ctx).ok()?;
        return quantile(&past.bounds_ms, &past.latency, q);
    }
    let beside = measured_quantile(tally, ledger, q, ctx);
    beside.or_else(|| {
        let baseline = ctx.baseline?;
        quantile(&baseline.bounds_ms, &baseline.latency, q)
    })
}

/// Control's quantile at the canary's side.
fn measured_quantile(tally: &Tally, ledger: &Ledger, q: f64, ctx: &Context<'_>) -> Option<f64> {
    let seen = ctx.has_control && ledger.control_seen && !ctx.control_is_small();
    let enough = seen && is_enough(&tally.control, q, TAIL);
    enough.then(|| quantile(&ledger.bounds, &tally.control.latency, q))?
}

/// Control's quantile to promote by. The frozen one never gets more exact, so it is taken for what it may likely have
/// been: else a plan whose control happened to be fast before it went would never end.
fn control_to_promote_by(
    ledger: &Ledger,
    rule: &CheckRule,
    ctx: &Context<'_>,
    [all, window]: [&Tally; 2],
) -> Option<f64> {
    let q = rule.quantile;
    if rule.by_history {
        return control_quantile(window, ledger, rule, ctx);
    }
    // The last window's control may be thin; all of its data at this weight is not.
    let beside = [window, all].into_iter();
    let mut beside = beside.filter_map(|tally| measured_quantile(tally, ledger, q, ctx));
    beside.next().or_else(|| {
        let baseline = ctx.baseline?;
        quantile(
            &baseline.bounds_ms,
            &baseline.latency,
            baseline.quantile_likely(q)?,
        )
    })
}

/// What a latency check comes to.
pub(super) fn find<'a>(ledger: &Ledger, rule: &'a CheckRule, ctx: &Context<'_>, view: &View) -> Finding<'a> {
    let mut finding = Finding::new(rule);
    finding.preset = ctx.preset;
    if ctx.traffic == Traffic::LongLived {
        return finding.with(Why::NotMeasurable(
            "connections are long-lived: how long they last says nothing",
        ));
    }
    let q = rule.quantile;
    let recent = ledger.slow.last(rule.for_, view.end);
    let window = ledger.last_window(rule, view.end, &view.all);
    finding.value = quantile(&ledger.bounds, &window.canary.latency, q);
    finding.control = control_quantile(&window, ledger, rule, ctx);
    finding.samples = count(&window.canary);
    finding.rate = rate(count(&view.all.canary), &view.all);
    finding.beyond = ledger.bounds.last().copied();
    let at_fault = rule.rollback.as_ref().and_then(|limits| {
        let (why, evidence) = rollback(ledger, rule, limits, ctx, (view, &recent));
        finding.evidence = Some(evidence);
        why
    });
    if at_fault.is_some() {
        finding.value = quantile(&ledger.bounds, &recent.canary.latency, q);
        finding.samples = count(&recent.canary);
    }
    let at_fault = at_fault.or_else(|| no_reach(ledger, rule));
    finding.coarse = blind(ledger, rule, ctx);
    finding.held_at = held_at(ledger, rule);
    let Some(limits) = &rule.promote else {
        return finding.with(at_fault.unwrap_or(Why::NoPromoteLimit));
    };
    finding.coarse = finding.coarse.or_else(|| coarse(ledger, limits, finding.control));
    let why = at_fault.unwrap_or_else(|| promote(ledger, rule, limits, ctx, [&view.all, &window]));
    if let Why::OverPromote { value, .. } = why
        && finding.value != Some(value)
    {
        // All data is over the limit, the last window is not: the value is the one that the sentence is about.
        finding.value = Some(value);
        finding.samples = count(&view.all.canary);
    }
    finding.with(why)
}

/// A rollback limit that no bucket reaches: a protection that is not there, and must not look as if it were.
fn no_reach(ledger: &Ledger, rule: &CheckRule) -> Option<Why> {
    let limit = rule.rollback.as_ref().and_then(highest)?;
    let last = *ledger.bounds.last()?;
    (limit > last).then_some(Why::NoReach { limit, last })
}

/// A rollback limit between two bounds: what ends in between is not seen to be past it.
fn held_at(ledger: &Ledger, rule: &CheckRule) -> Option<[f64; 2]> {
    let limit = rule.rollback.as_ref().and_then(highest)?;
    let bound = at_least(&ledger.bounds, limit)?;
    (bound / limit > 1.0 + 1e-6).then_some([limit, bound])
}

/// A rollback limit above control's: nearly all of control's requests may already be as slow as that.
fn blind(ledger: &Ledger, rule: &CheckRule, ctx: &Context<'_>) -> Option<Coarse> {
    let increase = rule.rollback.as_ref()?.max_increase?.ratio();
    let nothing = if rule.by_history {
        past(rule, ctx).is_ok() && increase_line(rule, rule.rollback.as_ref()?, ctx).is_none()
    } else if ctx.control_is_small() {
        ctx.baseline.is_some_and(|b| !b.latency.is_empty())
            && increase_line(rule, rule.rollback.as_ref()?, ctx).is_none()
    } else {
        let aim = ledger
            .aims
            .iter()
            .find(|a| a.is_for(1.0 + increase, rule.quantile));
        aim.is_some_and(Aim::shows_nothing)
    };
    nothing.then_some(Coarse::Blind { more: increase })
}

/// What the buckets cannot show.
fn coarse(ledger: &Ledger, limits: &Limits, control: Option<f64>) -> Option<Coarse> {
    if let Some(limit) = highest(limits)
        && let Some(used) = at_most(&ledger.bounds, limit)
        && (limit / used - 1.0).abs() > 1e-6
    {
        return Some(Coarse::Limit { limit, used });
    }
    let (more, control) = (limits.max_increase?.ratio(), control?);
    let lower = ledger.bounds.iter().copied().rfind(|b| *b < control)?;
    let upper = at_least(&ledger.bounds, control)?;
    (upper / lower > 1.0 + more).then_some(Coarse::Increase { more, lower, upper })
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
    let (stretches, all) = ([recent, &view.all], &view.all);
    let (q, bounds) = (rule.quantile, &ledger.bounds);
    let share = |line: Line| ledger.evidence(line) / view.needed;
    let enough = |share: f64| share >= 1.0 || sabotage::broken(4);
    let mut strongest: f64 = 0.0;
    let Some(canary) = quantile(bounds, &recent.canary.latency, q) else {
        return (None, strongest);
    };
    let live = ctx.control_testifies() && ledger.control_seen && count(&recent.control) > 0;
    // Surely more than `share` of the requests slower than `bound`, drawn as `line`, and the quantile over `limit`.
    let absolute = |limit: f64, bound: f64, p0: f64, line: Line| {
        let slow = over_bound(bounds, &recent.control.latency, bound);
        let both = live && surely_over(slow, count(&recent.control), p0) && !sabotage::broken(5);
        let line = if both { Line::Slower(WORSE, q) } else { line };
        let share = share(line);
        let control = quantile(bounds, &recent.control.latency, q).unwrap_or(0.0);
        let why = match (canary > limit, both) {
            (true, true) if canary <= WORSE * control => Some(Why::SharedOutage { limit }),
            (true, _) if enough(share) => {
                let counted = stretches.map(|s| Both {
                    canary: (over_bound(bounds, &s.canary.latency, bound), count(&s.canary)),
                    control: (over_bound(bounds, &s.control.latency, bound), count(&s.control)),
                    likened: taken_over(bounds, &s.control.latency, bound / WORSE),
                });
                let was_slow = |before: &Baseline| {
                    let slow = over_bound(&before.bounds_ms, &before.latency, bound);
                    real(slow) > p0 * real(before.timed())
                };
                let fault = Fault {
                    effects: &SLOW,
                    phi: ledger.noise.slow.phi(),
                    against: [1.0, p0],
                    was_bad: ctx.baseline.is_some_and(was_slow),
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
    let mut why = None;
    if let Some(limit) = highest(limits)
        && let Some(bound) = at_least(bounds, limit)
    {
        (why, strongest) = absolute(limit, bound, beyond(q), Line::Slow(limit, beyond(q)));
    }
    if let (Some(increase), Some(line)) = (limits.max_increase, increase_line(rule, limits, ctx)) {
        if let (true, Line::Slow(bound, p0)) = (rule.by_history, line) {
            let control = control_quantile(all, ledger, rule, ctx).unwrap_or(f64::INFINITY);
            let (past, share) = absolute(control * (1.0 + increase.ratio()), bound, p0, line);
            let worse = past.map(|past| past.than_the_past(increase.ratio()));
            return (heavier(why, worse), strongest.max(share));
        }
        let share = share(line);
        strongest = strongest.max(share);
        let acquitted = matches!(why, Some(Why::SharedOutage { .. } | Why::NotAlone { .. }));
        if enough(share)
            && !acquitted
            && let Some(slower) = slower_than_control(ledger, line, recent)
        {
            let control = control_quantile(recent, ledger, rule, ctx)
                .or_else(|| control_quantile(all, ledger, rule, ctx));
            let increase = increase.ratio();
            let limit = control.map(|control| control * (1.0 + increase));
            why = Some(match limit.filter(|limit| canary > *limit) {
                Some(limit) => Why::Increase { increase, limit },
                None => Why::Slower { increase, slower },
            });
        }
    }
    (why, strongest)
}

/// The point estimate in the terms in which evidence is gathered, where it is past the line. Quantiles are no such terms:
/// two that are read out of wide buckets can be nearer to each other, or further apart, than any requests were.
fn slower_than_control(ledger: &Ledger, line: Line, recent: &Tally) -> Option<Slower> {
    let bounds = &ledger.bounds;
    let counts = &recent.canary.latency;
    let (bound, allowed) = match line {
        Line::Slow(bound, share) => (bound, share),
        Line::Slower(times, q) => {
            let aim = ledger.aims.iter().find(|aim| aim.is_for(times, q))?;
            let all = real(count(&recent.control));
            let over = aim.control_over(bounds, &recent.control.latency);
            (aim.bound, if all > 0.0 { over / all } else { aim.share })
        }
        Line::Times(_) | Line::Ratio(_) => return None,
    };
    let share = real(over_bound(bounds, counts, bound)) / real(count(&recent.canary).max(1));
    (share > allowed).then_some(Slower {
        bound,
        share,
        allowed,
    })
}

/// Whether the promote limit is met on all data and on the last window, with enough requests to say so.
fn promote(
    ledger: &Ledger,
    rule: &CheckRule,
    limits: &Limits,
    ctx: &Context<'_>,
    stretches: [&Tally; 2],
) -> Why {
    let [all, window] = stretches;
    let (q, bounds) = (rule.quantile, &ledger.bounds);
    if all.canary.requests > 0 && all.canary.latency.is_empty() {
        return Why::NoHistogram { arm: "the canary" };
    }
    if let Some(limit) = highest(limits).filter(|limit| at_most(bounds, *limit).is_none())
        && let Some(first) = bounds.first()
    {
        return Why::NoBucket { limit, first: *first };
    }
    let least = least_in_window(q);
    let (have, need) = if rule.min_requests > 0 {
        (count(&all.canary), rule.min_requests)
    } else {
        (count(&window.canary), least)
    };
    if have < need {
        return Why::TooFew { have, need };
    }
    for tally in stretches {
        let Some(canary) = quantile(bounds, &tally.canary.latency, q) else {
            return Why::QuietWindow;
        };
        if let Some(limit) = highest(limits).and_then(|limit| at_most(bounds, limit)) {
            let slow = over_bound(bounds, &tally.canary.latency, limit);
            if real(slow) > real(count(&tally.canary)) * (1.0 - q) {
                return Why::OverPromote { value: canary, limit };
            }
        }
        if let Some(more) = limits.max_increase {
            let control = control_to_promote_by(ledger, rule, ctx, [all, tally]);
            let Some(control) = control else {
                if rule.by_history {
                    return past(rule, ctx).err().unwrap_or(Why::NoHistory);
                }
                return nothing_to_compare_with(ledger, ctx, all);
            };
            let limit = control * (1.0 + more.ratio());
            if canary > limit || canary.is_infinite() {
                return Why::OverPromote { value: canary, limit };
            }
        }
    }
    let unproven = too_few(ledger, rule, limits, ctx, all).filter(|_| rule.min_requests == 0);
    unproven.unwrap_or(Why::Passes { limit: None })
}

fn nothing_to_compare_with(ledger: &Ledger, ctx: &Context<'_>, all: &Tally) -> Why {
    if ctx.has_control && all.control.requests > 0 && count(&all.control) == 0 {
        Why::NoHistogram { arm: "control" }
    } else if !ctx.has_control {
        Why::NotMeasurable("no control arm is named, so there is nothing to compare with")
    } else if ledger.control_seen && !ctx.control_is_small() {
        Why::ThinControl
    } else {
        Why::NoControl
    }
}

/// Promotion's positive evidence: that the share of slow requests is that of a canary within its promote limit
/// rather than one that is far beyond it.
fn too_few(
    ledger: &Ledger,
    rule: &CheckRule,
    limits: &Limits,
    ctx: &Context<'_>,
    all: &Tally,
) -> Option<Why> {
    let (q, bounds, latency) = (rule.quantile, &ledger.bounds, &all.canary.latency);
    let n = count(&all.canary);
    let short = |need: u64| Why::TooFew { have: n, need };
    let unproven = |bound: f64, good: f64, bad: f64| {
        let slow = over_bound(bounds, latency, bound);
        (!is_good(slow, n, good, bad, BETA)).then(|| {
            if slow == 0 {
                return short(whole(requests_needed(good, bad, BETA)));
            }
            Why::Unproven {
                have: n,
                need: requests_needed_at(slow, n, good, bad, BETA).map(whole),
            }
        })
    };
    let absolute = highest(limits)
        .and_then(|limit| at_most(bounds, limit))
        .and_then(|bound| {
            let good = 1.0 - q;
            unproven(bound, good, (TWICE * good).min(0.95))
        });
    if absolute.is_some() {
        return absolute;
    }
    let more = 1.0 + limits.max_increase?.ratio();
    let increase = rule.rollback.as_ref().and_then(|l| l.max_increase);
    let much = increase.map_or(more * MUCH_SLOWER, |x| (1.0 + x.ratio()).max(more));
    let live = ctx.has_control && ledger.control_seen && !ctx.control_is_small();
    let known = if rule.by_history {
        ctx.recorded
    } else {
        ctx.baseline.filter(|_| !live)
    };
    let (bounds, counts) = match known {
        Some(baseline) => (&baseline.bounds_ms, &baseline.latency),
        None => (bounds, &all.control.latency),
    };
    let total = real(counts.iter().sum());
    let bound = quantile(bounds, counts, q).and_then(|p| nearest(bounds, p))?;
    let slow = |times: f64| over(bounds, counts, bound / times, 0.0) / total;
    let (good, bad) = (slow(more), slow(much).min(0.99));
    if good > 0.0 && bad >= APART * good {
        return unproven(bound, good, bad);
    }
    let need = whole(TAIL / (1.0 - q).max(1e-9));
    (n < need).then(|| short(need))
}
