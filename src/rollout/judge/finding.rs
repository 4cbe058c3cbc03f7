//! What one check comes to, as numbers; turned into words only when somebody reads them.

use crate::rollout::buckets::remedy;
use crate::rollout::check::{CheckRule, Metric};
use crate::rollout::duration::Span;
use crate::rollout::evidence::real;
use crate::rollout::reason::Verdict;
use crate::rollout::spec::Preset;
use crate::rollout::status::CheckStatus;
use jiff::Timestamp;
use std::time::Duration;

/// What one check comes to.
pub(super) struct Finding<'a> {
    pub(super) rule: &'a CheckRule,
    pub(super) value: Option<f64>,
    pub(super) control: Option<f64>,
    pub(super) samples: u64,
    /// Canary requests per second of all judged data, where they are what is waited for.
    pub(super) rate: Option<f64>,
    /// Those of the samples that are connections of the canary's which have not ended yet, as its weight promises them.
    pub(super) lent: u64,
    pub(super) evidence: Option<f64>,
    /// The last finite latency bound: a slower value is only known to be beyond it.
    pub(super) beyond: Option<f64>,
    /// Where latency buckets are too coarse for the limit.
    pub(super) coarse: Option<Coarse>,
    /// A rollback limit on latencies that is no bound, and the next bound above it, at which it is held.
    pub(super) held_at: Option<[f64; 2]>,
    /// What exports the canary's histogram: for the remedy.
    pub(super) preset: Preset,
    pub(super) why: Why,
}

/// Which difference latency buckets cannot show. In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Coarse {
    /// Control's quantile lies between these bounds, further apart than an increase by so much.
    Increase { more: f64, lower: f64, upper: f64 },
    /// The limit is no bound: the nearest one on the safe side is looked at.
    Limit { limit: f64, used: f64 },
    /// Nearly all of control's requests may already be slower than control by so much, as far as the bounds tell.
    Blind { more: f64 },
}

/// Slow requests, in shares: what tells a canary that is slower than control by its buckets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slower {
    /// Slower than this counts, in milliseconds.
    pub(super) bound: f64,
    /// The canary's share of such requests.
    pub(super) share: f64,
    /// Control's, if each of its requests had taken as much longer as the limit allows.
    pub(super) allowed: f64,
}

/// What to do where control's past is of no use.
const HISTORY_REMEDY: &str = "write baseline: concurrent, or a fixed value in the metric's unit";

impl Coarse {
    fn words(self, flags: &str) -> String {
        match self {
            Self::Increase { more, lower, upper } => format!(
                "buckets end at {lower}ms and {upper}ms and cannot tell +{}% from +{}%: {flags}",
                round(more * 100.0),
                ((upper / lower - 1.0) * 100.0).round()
            ),
            Self::Limit { limit, used } => format!(
                "its limit of {} is held to the bucket that ends at {used}ms: {flags}",
                written(limit)
            ),
            Self::Blind { more } => format!(
                "its rollback limit of +{}% cannot be judged, buckets are too far apart: {flags}",
                round(more * 100.0)
            ),
        }
    }
}

/// Why a check has its verdict. Ratios 0–1, latencies in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Why {
    NothingYet,
    Passes {
        limit: Option<f64>,
    },
    NoPromoteLimit,
    NotMeasurable(&'static str),
    NoControl,
    ThinControl,
    /// Nothing is known of control before the rollout.
    NoHistory,
    /// Control had too few requests before the rollout.
    ThinHistory {
        have: u64,
        need: u64,
    },
    /// An arm's requests are counted, and how long they take is not.
    NoHistogram {
        arm: &'static str,
    },
    TooFew {
        have: u64,
        need: u64,
    },
    /// Within its limits, with too few requests to tell for what is bad among them; so many would do at the same share,
    /// if any number would.
    Unproven {
        have: u64,
        need: Option<u64>,
    },
    QuietWindow,
    OverPromote {
        value: f64,
        limit: f64,
    },
    UnderPromote {
        value: f64,
        limit: f64,
    },
    OverSince {
        since: Timestamp,
    },
    SharedOutage {
        limit: f64,
    },
    /// Surely over the limit, and control has too few requests to say that it is not; until when that is waited for,
    /// where it has an end.
    NotAlone {
        limit: f64,
        until: Option<Timestamp>,
    },
    /// No bucket ends at or below the promote limit.
    NoBucket {
        limit: f64,
        first: f64,
    },
    /// The rollback limit lies beyond the last bound: nothing can be seen to be past it.
    NoReach {
        limit: f64,
        last: f64,
    },
    ControlBad {
        limit: f64,
    },
    Evidence {
        limit: f64,
    },
    Increase {
        increase: f64,
        limit: f64,
    },
    /// The same, where the quantiles that are read out of the buckets do not show it.
    Slower {
        increase: f64,
        slower: Slower,
    },
    Sustained {
        since: Timestamp,
    },
}

impl Why {
    /// Past a line that was drawn so much above control before the rollout.
    pub(super) fn than_the_past(self, increase: f64) -> Self {
        if let Self::Evidence { limit } = self {
            Self::Increase { increase, limit }
        } else {
            self
        }
    }
}

impl<'a> Finding<'a> {
    pub(super) fn new(rule: &'a CheckRule) -> Self {
        Self {
            rule,
            value: None,
            control: None,
            samples: 0,
            rate: None,
            lent: 0,
            evidence: None,
            beyond: None,
            coarse: None,
            held_at: None,
            preset: Preset::Istio,
            why: Why::NothingYet,
        }
    }

    pub(super) fn with(self, why: Why) -> Self {
        Self { why, ..self }
    }

    pub(super) fn verdict(&self) -> Verdict {
        match self.why {
            Why::Passes { .. } => Verdict::Pass,
            Why::NoPromoteLimit | Why::NotMeasurable(_) => Verdict::Skipped,
            Why::NoControl
            | Why::NoHistogram { .. }
            | Why::NoBucket { .. }
            | Why::NoReach { .. }
            | Why::NoHistory
            | Why::ThinHistory { .. } => Verdict::Unknown,
            Why::NothingYet
            | Why::TooFew { .. }
            | Why::Unproven { .. }
            | Why::QuietWindow
            | Why::ThinControl => Verdict::Insufficient,
            Why::OverPromote { .. }
            | Why::UnderPromote { .. }
            | Why::OverSince { .. }
            | Why::SharedOutage { .. }
            | Why::NotAlone { .. }
            | Why::ControlBad { .. } => Verdict::Hold,
            Why::Evidence { .. } | Why::Increase { .. } | Why::Slower { .. } | Why::Sustained { .. } => {
                Verdict::Breach
            }
        }
    }

    /// A value with its unit.
    fn show(&self, value: f64) -> String {
        match self.rule.metric {
            Metric::Latency if value.is_infinite() => format!("> {:.0}ms", self.beyond.unwrap_or(0.0)),
            Metric::Latency if value < 10.0 => format!("{value:.1}ms"),
            Metric::Latency => format!("{value:.0}ms"),
            Metric::ErrorRate | Metric::Availability if value > 0.0 && value < 1.0 => {
                format!("{:.3}%", value * 100.0)
            }
            Metric::ErrorRate | Metric::Availability => format!("{:.0}%", value * 100.0),
            Metric::Throughput => format!("{:.1}%", value * 100.0),
        }
    }

    /// A limit on errors, in the metric's own terms.
    fn limit(&self, limit: f64) -> String {
        match self.rule.metric {
            Metric::Availability => format!("{}%", round(100.0 - limit * 100.0)),
            Metric::ErrorRate | Metric::Throughput => format!("{}%", round(limit * 100.0)),
            Metric::Latency => self.show(limit),
        }
    }

    fn shown(&self) -> String {
        self.value.map_or_else(|| "no value".to_owned(), |v| self.show(v))
    }

    fn control_shown(&self) -> String {
        self.control
            .map_or_else(|| "unknown".to_owned(), |v| self.show(v))
    }

    /// One sentence.
    pub(super) fn message(&self) -> String {
        let (says, flags) = (self.with_buckets(), remedy(self.preset));
        // Whoever is put back, or waits for something else, is not helped by it.
        match self
            .held_at
            .filter(|_| matches!(self.why, Why::Passes { .. } | Why::NoPromoteLimit))
        {
            Some([limit, bound]) => format!(
                "{says}; up to {} its rollback limit of {} puts nothing back, for no bucket ends there: {flags}",
                written(bound),
                written(limit)
            ),
            None => says,
        }
    }

    fn with_buckets(&self) -> String {
        let says = self.says();
        match self.coarse {
            Some(coarse)
                if matches!(self.why, Why::Passes { .. } | Why::OverPromote { .. })
                    || matches!(
                        (coarse, self.why),
                        (
                            Coarse::Blind { .. },
                            Why::NoPromoteLimit
                                | Why::TooFew { .. }
                                | Why::Unproven { .. }
                                | Why::QuietWindow
                        )
                    ) =>
            {
                format!("{says}; {}", coarse.words(remedy(self.preset)))
            }
            _ if self.lent > 0 => format!(
                "{says}; {} of {} connections are taken for not ended yet, by the weight",
                self.lent, self.samples
            ),
            _ => says,
        }
    }

    /// A value on the wrong side of a promote limit. Rounded, the two may read alike.
    fn beside(&self, side: &str, shown: &str, limit: f64) -> String {
        let limit = self.limit(limit);
        let number = |text: &str| {
            let unit = |c: char| c.is_ascii_alphabetic() || c == '%';
            text.trim_end_matches(unit).parse::<f64>().ok()
        };
        let hair = if number(shown) == number(&limit) {
            "a hair "
        } else {
            ""
        };
        format!("{shown} is {hair}{side} the promote limit of {limit}")
    }

    fn says(&self) -> String {
        let flags = remedy(self.preset);
        match self.why {
            Why::NothingYet => "nothing was counted yet".to_owned(),
            Why::Passes { limit: Some(limit) } => {
                format!("within its promote limit of {}", self.limit(limit))
            }
            Why::Passes { limit: None } => "within its promote limit".to_owned(),
            Why::NoPromoteLimit => "no promote limit: it can only roll back".to_owned(),
            Why::NotMeasurable(why) => why.to_owned(),
            Why::NoControl => "control is not seen, so there is nothing to compare with".to_owned(),
            Why::ThinControl => "control has too few requests to compare with".to_owned(),
            Why::NoHistory => format!(
                "nothing is known of control before the rollout, or not two minutes of it: {HISTORY_REMEDY}"
            ),
            Why::ThinHistory { have, need } => format!(
                "control had {have} requests in the 24 h before the rollout, and {need} are needed: {HISTORY_REMEDY}"
            ),
            Why::NoHistogram { arm } => format!(
                "the source has no latency histogram of {arm} that can be read (none, in another unit, of no numbers, with buckets that \
                 do not rise, or with no bound that the other arm has too): `gradual-rollout checks test` prints the query and what is wrong"
            ),
            Why::TooFew { have: 0, .. } => "the canary has had no requests".to_owned(),
            Why::TooFew { have, need } => {
                let few = format!("{have} canary requests are too few to tell, at least {need} are needed");
                self.too_few(few, need)
            }
            Why::Unproven { have, need } => self.unproven(have, need),
            Why::QuietWindow => "no canary requests in the last window".to_owned(),
            Why::OverPromote { value, limit } if self.rule.metric == Metric::Availability => {
                self.beside("under", &self.show(1.0 - value), limit)
            }
            Why::OverPromote { value, limit } => self.beside("over", &self.show(value), limit),
            Why::UnderPromote { value, limit } => self.beside("under", &self.show(value), limit),
            Why::OverSince { since } => {
                format!("{} is past the rollback limit since {since:.0}", self.shown())
            }
            Why::SharedOutage { limit } => format!(
                "both arms are past the limit of {}: canary {}, control {}",
                self.limit(limit),
                self.shown(),
                self.control_shown()
            ),
            Why::NotAlone { limit, until } => format!(
                "{} in {} requests is surely past the rollback limit of {}, but control has too few requests to rule \
                 out that both arms are{}",
                self.shown(),
                self.samples,
                self.limit(limit),
                until.map_or_else(String::new, |at| format!(
                    "; if it stays so it goes back at {at:.0}"
                ))
            ),
            Why::NoBucket { limit, first } => format!(
                "no latency bucket ends at or below the promote limit of {}, the first one at {}: {flags}",
                written(limit),
                written(first)
            ),
            Why::NoReach { limit, last } => format!(
                "its rollback limit of {} cannot be judged, for the last latency bucket ends at {}: {flags}, or set a lower \
                 limit",
                written(limit),
                written(last)
            ),
            Why::ControlBad { limit } => format!(
                "control is past the limit of {} with {}, the canary is not with {}",
                self.limit(limit),
                self.control_shown(),
                self.shown()
            ),
            Why::Evidence { limit } => format!(
                "{} in {} requests is surely past the rollback limit of {}; control {}",
                self.shown(),
                self.samples,
                self.limit(limit),
                self.control_shown()
            ),
            Why::Increase { increase, limit } => format!(
                "{} is surely more than {}% above control{}: past {}",
                self.shown(),
                round(increase * 100.0),
                self.before(),
                self.limit(limit)
            ),
            Why::Slower { increase, slower } => format!(
                "it is surely more than {}% slower than control{}: {:.1}% of its requests took longer than {}ms, and with \
                 so much added {:.1}% of control's would",
                round(increase * 100.0),
                self.before(),
                slower.share * 100.0,
                slower.bound,
                slower.allowed * 100.0
            ),
            Why::Sustained { since } => format!(
                "{} is past the rollback limit without a gap since {since:.0}; control {}",
                self.shown(),
                self.control_shown()
            ),
        }
    }

    fn before(&self) -> &'static str {
        if self.rule.by_history {
            " before the rollout"
        } else {
            ""
        }
    }

    /// How many it would take with what is bad among them.
    fn unproven(&self, have: u64, need: Option<u64>) -> String {
        let bad = match self.rule.metric {
            Metric::Latency => "slow ones",
            Metric::ErrorRate | Metric::Availability | Metric::Throughput => "errors",
        };
        let Some(need) = need else {
            return format!(
                "{have} canary requests do not tell, and with as many {bad} among them as so far no number would"
            );
        };
        let few = format!(
            "{have} canary requests are too few to tell: about {need} are needed with as many {bad} among them as so far"
        );
        self.too_few(few, need)
    }

    /// How many are missing, and whether they will ever come.
    fn too_few(&self, few: String, need: u64) -> String {
        let Some(rate) = self.rate.filter(|rate| rate * DAY < real(need)) else {
            return few;
        };
        format!(
            "{few}: {need} within 24h takes {} canary requests/s, and there are {}. Pool it, widen its limits, or set \
             minRequests",
            digits(real(need) / DAY),
            digits(rate)
        )
    }

    /// It cannot be told although the source answers and the canary's requests are there: what is missing is control or
    /// its past, a histogram, or a bucket.
    pub(super) fn is_unclear(&self) -> bool {
        matches!(
            self.why,
            Why::NoHistory
                | Why::ThinHistory { .. }
                | Why::NoBucket { .. }
                | Why::NoReach { .. }
                | Why::NoControl
                | Why::NoHistogram { .. }
        )
    }

    /// The sentence with the check's name before it.
    pub(super) fn named(&self) -> String {
        format!("{}: {}", self.rule.name, self.message())
    }

    /// For the status. In the dark, for which `dark` gives the reason, the old verdict is not repeated.
    pub(super) fn status(&self, dark: Option<&str>) -> CheckStatus {
        let dark = dark.filter(|_| self.verdict() != Verdict::Skipped);
        CheckStatus {
            name: self.rule.name.clone(),
            verdict: dark.map_or_else(|| self.verdict(), |_| Verdict::Unknown),
            value: self.value.map(|v| self.show(v)),
            control: self.control.map(|v| self.show(v)),
            samples: i64::try_from(self.samples).unwrap_or(i64::MAX),
            evidence: self
                .evidence
                .map(|e| (e.clamp(0.0, 99.0) * 100.0).round() / 100.0),
            message: dark.map_or_else(|| self.message(), no_fresh_data),
            ..CheckStatus::default()
        }
    }
}

/// A bound or a limit on latencies as it would be written in a resource.
fn written(ms: f64) -> String {
    if ms.fract().abs() > 1e-9 {
        return format!("{ms}ms");
    }
    Span(Duration::from_secs_f64(ms.clamp(0.0, 1e12) / 1000.0)).to_string()
}

/// What is judged is at most so many seconds old.
const DAY: f64 = 86_400.0;

/// A rate with two digits that count.
fn digits(rate: f64) -> String {
    let decimals = (2..8).find(|n| rate * 10_f64.powi(*n) >= 10.0).unwrap_or(8);
    format!("{rate:.*}", usize::try_from(decimals).unwrap_or(2))
}

/// Characters of the reason that a check repeats; the whole of it is the component's message.
const REASON: usize = 220;

fn no_fresh_data(why: &str) -> String {
    let mut said = format!("no fresh data: {}", why.chars().take(REASON).collect::<String>());
    if why.chars().nth(REASON).is_some() {
        said.push('…');
    }
    said
}

fn round(percent: f64) -> f64 {
    (percent * 1000.0).round() / 1000.0
}
