//! Values at an instant. They have to be over their rollback limit for the whole of `for`, without a gap, before
//! traffic goes back; to promote, the newest one and all of the last window have to be within the promote limit.

use super::blame::WORSE;
use super::{Context, How, Outlook};
use crate::rollout::duration::Span;
use crate::rollout::plan::{Class, Gauge, GaugeAsk, GaugeLimits, PlannedCheck};
use crate::rollout::reason::Verdict;
use crate::rollout::sample::GaugeReading;
use crate::rollout::spec::MetricName;
use crate::rollout::status::CheckStatus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A status holds a sentence and the query that it is about, not pages.
const LONGEST: usize = 512;

/// What is remembered of one gauge. Serialises compactly: it is persisted in the status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct GaugeState {
    /// When it was last read.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    /// How often it was read since settle.
    #[serde(rename = "n")]
    readings: u32,
    /// The newest value, unless it could not be told.
    #[serde(rename = "v", skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    control: Option<f64>,
    /// Since when it is over its rollback limit without a gap.
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    over: Option<Timestamp>,
    /// When it was last not within its promote limit.
    #[serde(rename = "b", skip_serializing_if = "Option::is_none")]
    bad: Option<Timestamp>,
    /// Since when it cannot be told, and why.
    #[serde(rename = "u", skip_serializing_if = "Option::is_none")]
    unknown: Option<(Timestamp, String)>,
    /// Why it is not read at all.
    #[serde(rename = "k", skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

/// What a gauge comes to.
pub(super) struct Told {
    pub(super) verdict: Verdict,
    pub(super) message: String,
    /// What it means for the weight, if it may say anything about it.
    pub(super) outlook: Option<Outlook>,
}

/// A value against limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stand {
    /// Within them.
    Within,
    /// Past this limit.
    Past(f64),
    /// Past this limit, and control is too, hardly better.
    Shared(f64),
    /// Nothing to hold it against.
    NoControl,
    /// Control is not above 0: a share above it means nothing.
    FlatControl,
}

impl Stand {
    /// The limit that is passed.
    const fn limit(self) -> Option<f64> {
        match self {
            Self::Past(limit) | Self::Shared(limit) => Some(limit),
            Self::Within | Self::NoControl | Self::FlatControl => None,
        }
    }
}

/// On which side of a limit that is passed a value is.
fn side(value: f64, limit: f64) -> &'static str {
    if value < limit { "under" } else { "over" }
}

/// The limit that is passed, and on which side of it the value is.
fn passed(
    check: &PlannedCheck,
    limits: &GaugeLimits,
    value: f64,
    control: Option<f64>,
) -> (&'static str, String) {
    let limit = stand(limits, value, control).limit();
    let side = limit.map_or("past", |limit| side(value, limit));
    (side, limit.map(|l| check.show(l)).unwrap_or_default())
}

/// Whether the canary's value is at most [`WORSE`] times as bad as control's, both being past this limit on the same side.
/// Where control or the limit is below 0 there are no multiples to count: there it is how far past the limit they are.
fn hardly_worse(value: f64, control: f64, limit: f64) -> bool {
    // Not the canary's: what is worse must never be the less to blame.
    if control < 0.0 || limit < 0.0 {
        return (value - limit).abs() <= WORSE * (control - limit).abs();
    }
    if value > limit {
        value <= WORSE * control
    } else {
        value * WORSE >= control
    }
}

/// Where a value stands, as it is judged at every look.
pub fn stand(limits: &GaugeLimits, value: f64, control: Option<f64>) -> Stand {
    let mut stand = Stand::Within;
    if let Some(max) = limits.max.filter(|max| value > *max) {
        let shared = control.is_some_and(|c| c > max && hardly_worse(value, c, max));
        stand = if shared {
            Stand::Shared(max)
        } else {
            Stand::Past(max)
        };
    }
    if let Some(min) = limits.min.filter(|min| value < *min) {
        let shared = control.is_some_and(|c| c < min && hardly_worse(value, c, min));
        if !matches!(stand, Stand::Past(_)) {
            stand = if shared {
                Stand::Shared(min)
            } else {
                Stand::Past(min)
            };
        }
    }
    let Some(more) = limits.max_increase.filter(|_| stand == Stand::Within) else {
        return stand;
    };
    match control {
        None => Stand::NoControl,
        // An empty queue beside an empty one is no increase, whatever share of it would be one.
        Some(control) if value <= control => Stand::Within,
        Some(control) if control <= 0.0 => Stand::FlatControl,
        Some(control) if value > control * (1.0 + more) => Stand::Past(control * (1.0 + more)),
        Some(_) => Stand::Within,
    }
}

impl GaugeState {
    /// It was read since the weight was written.
    pub(super) const fn was_read(&self) -> bool {
        self.at.is_some()
    }

    /// Nobody reads it: what was known of it is no longer true.
    pub(super) fn skip(&mut self, why: &str) {
        *self = Self {
            skipped: Some(why.chars().take(240).collect()),
            ..Self::default()
        };
    }

    /// Takes up one look; nothing is known over what lies further apart than `short_gap`. One that was taken up before changes nothing.
    pub(super) fn absorb(
        &mut self,
        reading: &GaugeReading,
        gauge: &Gauge,
        settled_at: Timestamp,
        short_gap: Duration,
    ) {
        if self.at.is_some_and(|at| reading.at <= at) {
            return;
        }
        self.skipped = None;
        if self.at.is_some_and(|at| apart(at, reading.at) > short_gap) {
            self.over = None;
        }
        self.at = Some(reading.at);
        self.control = reading.control.as_ref().and_then(|c| sound(c.as_ref().ok()));
        self.value = sound(reading.canary.as_ref().ok());
        let Some(value) = self.value else {
            let why = match &reading.canary {
                Err(message) => message.clone(),
                Ok(value) => format!("its value is {value}, which is no number to judge by"),
            };
            self.cannot(reading.at, &why);
            return;
        };
        let missing = [&gauge.promote, &gauge.rollback]
            .into_iter()
            .flatten()
            .find_map(|limits| match stand(limits, value, self.control) {
                Stand::NoControl => Some(control_missing(reading)),
                Stand::FlatControl => Some(flat_control(gauge, self.control)),
                Stand::Within | Stand::Past(_) | Stand::Shared(_) => None,
            });
        match missing {
            Some(why) => {
                // A rollback limit that needs no control still counts.
                let over = self.over;
                self.cannot(reading.at, &why);
                self.over = over;
            }
            None => self.unknown = None,
        }
        if reading.at < settled_at {
            self.over = None;
            return;
        }
        self.readings = self.readings.saturating_add(1);
        let past = |limits: &Option<GaugeLimits>| limits.map(|l| stand(&l, value, self.control));
        match past(&gauge.rollback) {
            Some(Stand::Past(_)) => self.over = self.over.or(Some(reading.at)),
            _ => self.over = None,
        }
        if matches!(past(&gauge.promote), Some(Stand::Past(_) | Stand::Shared(_))) {
            self.bad = Some(reading.at);
        }
    }

    fn cannot(&mut self, at: Timestamp, why: &str) {
        self.over = None;
        let since = self.unknown.take().map_or(at, |(since, _)| since);
        // Others must fit into the status beside it.
        self.unknown = Some((since, why.chars().take(240).collect()));
    }

    /// Why it is not judged.
    fn unjudged(&self, check: &PlannedCheck, ctx: &Context<'_>) -> Option<String> {
        if ctx.weight.is_zero() && check.metric == MetricName::Query {
            return Some("at 0% there is no canary data".to_owned());
        }
        self.skipped.clone()
    }

    /// What it comes to now.
    pub(super) fn tell(
        &self,
        check: &PlannedCheck,
        gauge: &Gauge,
        since: Timestamp,
        ctx: &Context<'_>,
    ) -> Told {
        let name = &check.rule.name;
        let told = |verdict, message: String, outlook| Told {
            verdict,
            message,
            outlook,
        };
        let unclear = |since, message: String| {
            let outlook = Outlook::Unclear {
                since,
                message: format!("{name}: {message}"),
            };
            told(Verdict::Unknown, message, Some(outlook))
        };
        let between = |message: String| {
            let outlook = Outlook::Between {
                check: name.clone(),
                message: message.clone(),
            };
            told(Verdict::Hold, message, Some(outlook))
        };
        if let Some(why) = self.unjudged(check, ctx) {
            return told(Verdict::Skipped, why, None);
        }
        let Some(at) = self.at else {
            return unclear(since, "it was not read yet".to_owned());
        };
        let patience = (3 * ctx.judge.interval.max(ctx.probe_every)).max(Duration::from_secs(60));
        if apart(at, ctx.now) > patience {
            return unclear(at, format!("it was not read since {at:.0}"));
        }
        let value = self.value.unwrap_or_default();
        let shown = check.show(value);
        if let (Some(over), Some(limits)) = (self.over, &gauge.rollback) {
            let (side, limit) = passed(check, limits, value, self.control);
            // Looks come some milliseconds early or late, and one more would be an interval more.
            let long = apart(over, at) + ctx.judge.interval / 10 >= check.rule.for_;
            let then = match check.effect.class() {
                Class::Decides => "roll back",
                Class::Holds => "are a breach, which only holds",
                Class::Shows => "are a breach, which moves nothing",
            };
            let message = format!(
                "{shown} is {side} the rollback limit of {limit} since {over:.0}; {} without a gap {then}",
                Span(check.rule.for_)
            );
            if !long {
                return between(message);
            }
            let message = format!("{shown} is {side} the rollback limit of {limit} since {over:.0}");
            let outlook = Outlook::Breach {
                check: name.clone(),
                how: How::Sustained,
                message: message.clone(),
            };
            return told(Verdict::Breach, message, Some(outlook));
        }
        if let Some((since, why)) = &self.unknown {
            return unclear(*since, why.clone());
        }
        if self.readings == 0 && !ctx.weight.is_zero() {
            let outlook = Outlook::Insufficient {
                message: format!("{name}: not read since the change settled"),
            };
            return told(
                Verdict::Insufficient,
                "not read since the change settled".to_owned(),
                Some(outlook),
            );
        }
        for limits in [&gauge.rollback, &gauge.promote].into_iter().flatten() {
            if let Stand::Shared(limit) = stand(limits, value, self.control) {
                let control = self.control.map(|c| check.show(c)).unwrap_or_default();
                let message = format!(
                    "both arms are {} the limit of {}: canary {shown}, control {control}",
                    side(value, limit),
                    check.show(limit)
                );
                let outlook = Outlook::SharedOutage {
                    message: format!("{name}: {message}"),
                };
                return told(Verdict::Hold, message, Some(outlook));
            }
        }
        let Some(limits) = &gauge.promote else {
            let message = "no promote limit: it can only roll back".to_owned();
            return told(Verdict::Skipped, message, None);
        };
        if let Stand::Past(limit) = stand(limits, value, self.control) {
            return between(format!(
                "{shown} is {} the promote limit of {}",
                side(value, limit),
                check.show(limit)
            ));
        }
        match self.bad.filter(|bad| apart(*bad, at) < check.rule.window) {
            Some(bad) => between(format!(
                "{shown} is within the promote limit, and was not at {bad:.0}, within the last {}",
                Span(check.rule.window)
            )),
            None => told(Verdict::Pass, "within its promote limit".to_owned(), None),
        }
    }

    /// For the status.
    pub(super) fn status(&self, check: &PlannedCheck, told: &Told) -> CheckStatus {
        CheckStatus {
            name: check.rule.name.clone(),
            verdict: told.verdict,
            value: self.value.map(|v| check.show(v)),
            control: self.control.map(|v| check.show(v)),
            samples: i64::from(self.readings),
            message: told.message.chars().take(LONGEST).collect(),
            ..CheckStatus::default()
        }
    }
}

/// What cannot be compared, and what to write.
fn flat_control(gauge: &Gauge, control: Option<f64>) -> String {
    let asked = match &gauge.ask {
        GaugeAsk::Query(query) => query.control.as_deref().map(|promql| format!(" ({promql})")),
        GaugeAsk::Cpu(_)
        | GaugeAsk::Memory(_)
        | GaugeAsk::CertificateExpiry(_)
        | GaugeAsk::Readiness(_)
        | GaugeAsk::Probe => None,
    };
    format!(
        "control{} is at {} and the canary above it, and no share more than what is not above 0 is a limit: write max in place of \
         maxIncrease",
        asked.unwrap_or_default(),
        control.unwrap_or_default()
    )
}

fn control_missing(reading: &GaugeReading) -> String {
    match &reading.control {
        Some(Err(why)) => format!("control: {why}"),
        Some(Ok(_)) | None => "control has no value, so there is nothing to compare with".to_owned(),
    }
}

/// A number that can be judged by.
fn sound(value: Option<&f64>) -> Option<f64> {
    value.copied().filter(|v| v.is_finite())
}

fn apart(a: Timestamp, b: Timestamp) -> Duration {
    b.duration_since(a).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONE: GaugeLimits = GaugeLimits {
        max: None,
        min: None,
        max_increase: None,
    };

    fn max(max: f64) -> GaugeLimits {
        GaugeLimits {
            max: Some(max),
            ..NONE
        }
    }

    fn min(min: f64) -> GaugeLimits {
        GaugeLimits {
            min: Some(min),
            ..NONE
        }
    }

    proptest! {
        #[test]
        fn a_canary_that_is_control_is_never_past_an_absolute_limit_alone(
            value in prop_oneof![-1e9..1e9, -2.0..2.0, Just(0.0), Just(-0.0)], limit in prop_oneof![-1e9..1e9, -2.0..2.0, Just(0.0)],
        ) {
            for limits in [max(limit), min(limit)] {
                let stands = stand(&limits, value, Some(value));
                prop_assert!(!matches!(stands, Stand::Past(_)), "{value} against {limits:?}: {stands:?}");
            }
        }

        #[test]
        fn what_gets_worse_is_never_the_less_to_blame(
            limit in -10.0..10.0, control in -20.0..20.0, value in -20.0..20.0, more in 0.0..40.0, side in any::<bool>(),
        ) {
            let (limits, sign) = if side { (max(limit), 1.0) } else { (min(limit), -1.0) };
            let alone = |value: f64| matches!(stand(&limits, value, Some(control)), Stand::Past(_));
            prop_assert!(!alone(value) || alone(value + sign * more), "{value} and {more} more beside {control}");
        }

        #[test]
        fn who_is_twice_as_far_past_a_limit_as_control_is_past_it_alone(
            limit in -100.0..-1.0, control in 1.0..50.0, side in any::<bool>(),
        ) {
            let (limits, sign) = if side { (max(limit), 1.0) } else { (min(limit), -1.0) };
            let at = |distance: f64| limit + sign * distance;
            let stands = |times: f64| stand(&limits, at(control * times), Some(at(control)));
            prop_assert_eq!(stands(2.0), Stand::Past(limit));
            prop_assert_eq!(stands(1.4), Stand::Shared(limit));
        }
    }

    #[test]
    fn an_increase_over_nothing_is_none_where_nothing_increased() {
        let fifth = GaugeLimits {
            max_increase: Some(0.2),
            ..NONE
        };
        for (value, control, stands) in [
            (0.0, 0.0, Stand::Within),
            (-2.0, 0.0, Stand::Within),
            (-3.0, -2.0, Stand::Within),
            (3.0, 0.0, Stand::FlatControl),
            (-1.0, -2.0, Stand::FlatControl),
            (5.0, 5.0, Stand::Within),
            (6.0, 5.0, Stand::Within),
            (7.0, 5.0, Stand::Past(6.0)),
        ] {
            assert_eq!(
                stand(&fifth, value, Some(control)),
                stands,
                "{value} beside {control}"
            );
        }
    }

    #[test]
    fn certificates_that_expired_on_both_arms_are_a_shared_outage() {
        let week = min(604_800.0);
        assert_eq!(stand(&week, -3_600.0, Some(-3_600.0)), Stand::Shared(604_800.0));
        assert_eq!(stand(&week, -7_200.0, Some(-60.0)), Stand::Shared(604_800.0));
        assert_eq!(stand(&week, -3_600.0, Some(2_000_000.0)), Stand::Past(604_800.0));
        assert_eq!(stand(&week, -604_800.0, Some(-60.0)), Stand::Past(604_800.0));
    }

    #[test]
    fn above_zero_half_as_much_again_as_control_is_the_most_that_is_shared() {
        assert_eq!(stand(&max(10.0), 16.0, Some(11.0)), Stand::Shared(10.0));
        assert_eq!(stand(&max(10.0), 17.0, Some(11.0)), Stand::Past(10.0));
        assert_eq!(stand(&min(0.9), 0.5, Some(0.6)), Stand::Shared(0.9));
        assert_eq!(stand(&min(0.9), 0.0, Some(0.3)), Stand::Past(0.9));
    }
}
