//! At which bucket bound a canary is held to control, where the question is "more than so many times as slow?".
//!
//! If each of control's requests had taken `times` as long, those slower than a bound b would be the ones that took
//! longer than b/times. No bound may lie there. Control has at *most* as many as were slower than its largest bound
//! that is no larger: that share is counted, not read between bounds, so a canary within its limit is within this
//! line whatever shape control's latencies have. What it costs is power, so b is chosen by what control's own past
//! says the counts would show of a canary that is twice beyond the limit. It never depends on the canary's data.

use super::buckets::{at_most, nearest, over_bound, quantile};
use super::evidence::real;
use super::packed::Short;
use serde::{Deserialize, Serialize};

/// Bounds that are tried: the one below control's quantile and so many in all.
const TRIED: usize = 3;
/// How far beyond its limit the canary is that a bound is chosen to find.
const BEYOND: f64 = 2.0;
/// A share of control's that leaves a canary no room to be worse.
const FULL: f64 = 0.95;

/// A bound to compare at. Stored as a row of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 4]", into = "[Short; 4]")]
pub(super) struct Aim {
    /// How many times as slow a canary may be.
    pub(super) times: f64,
    /// The quantile that is looked at.
    pub(super) quantile: f64,
    /// The bound: of the canary, requests slower than this count; in milliseconds.
    pub(super) bound: f64,
    /// Control's share that is compared, so far: a guess by which evidence is gathered, and no part of the line.
    pub(super) share: f64,
}

impl From<[f64; 4]> for Aim {
    fn from([times, quantile, bound, share]: [f64; 4]) -> Self {
        Self {
            times,
            quantile,
            bound,
            share,
        }
    }
}

impl From<Aim> for [Short; 4] {
    fn from(aim: Aim) -> Self {
        [aim.times, aim.quantile, aim.bound, aim.share].map(Short)
    }
}

impl Aim {
    /// The best bound by what control did so far; `None` without requests or bounds.
    pub(super) fn choose(bounds: &[f64], counts: &[u64], q: f64, times: f64) -> Option<Self> {
        let all: u64 = counts.iter().sum();
        let pivot = quantile(bounds, counts, q)?;
        let last = bounds.iter().copied().rfind(|b| *b > 0.0)?;
        let mut best = (nearest(bounds, pivot).unwrap_or(last), 0.0);
        let from = bounds.partition_point(|b| *b <= pivot).saturating_sub(1);
        for bound in bounds.iter().copied().skip(from).take(TRIED).filter(|b| *b > 0.0) {
            let allowed = share(at_most_over(bounds, counts, bound / times), all);
            let bad = likely_over(bounds, counts, bound / (times * BEYOND));
            let shown = divergence(bad, allowed);
            if shown > best.1 {
                best = (bound, shown);
            }
        }
        let (bound, _) = best;
        let share = real(at_most_over(bounds, counts, bound / times)) / real(all.max(1));
        Some(Self {
            times,
            quantile: q,
            bound,
            share: (share * 1e4).round() / 1e4,
        })
    }

    /// Whether it is the one for this question.
    pub(super) fn is_for(&self, times: f64, q: f64) -> bool {
        (self.times - times).abs() < 1e-9 && (self.quantile - q).abs() < 1e-9
    }

    /// All of control's requests may be as slow as this: no canary can be seen to be slower.
    pub(super) fn shows_nothing(&self) -> bool {
        self.share > FULL
    }
}

/// The most requests that can have taken longer than `ms`: those beyond the largest bound that is no larger, and all
/// where there is none.
pub(super) fn at_most_over(bounds: &[f64], counts: &[u64], ms: f64) -> u64 {
    match at_most(bounds, ms) {
        Some(bound) => over_bound(bounds, counts, bound),
        None => counts.iter().sum(),
    }
}

/// Half a request more and less: no share is known to be none or all.
fn share(k: u64, all: u64) -> f64 {
    (real(k) + 0.5) / (real(all) + 1.0)
}

/// The share that is likely to have taken longer than `ms`: between two bounds the logarithm of its odds falls in a
/// straight line over the logarithm of the time, as it does about everywhere in a log-normal or log-logistic law.
fn likely_over(bounds: &[f64], counts: &[u64], ms: f64) -> f64 {
    let all = counts.iter().sum();
    let upper = bounds.iter().copied().find(|b| *b >= ms);
    let lower = at_most(bounds, ms).filter(|b| *b > 0.0);
    let odds = |bound: f64| {
        let p = share(over_bound(bounds, counts, bound), all);
        (p / (1.0 - p)).ln()
    };
    match (lower, upper) {
        (Some(lower), Some(upper)) if upper > lower => {
            let part = (ms / lower).ln() / (upper / lower).ln();
            let here = odds(lower) * (1.0 - part) + odds(upper) * part;
            1.0 / (1.0 + (-here).exp())
        }
        (None, Some(upper)) => {
            let p = share(over_bound(bounds, counts, upper), all);
            1.0 - (1.0 - p) * ms / upper
        }
        (Some(bound), _) => share(over_bound(bounds, counts, bound), all),
        (None, None) => 1.0,
    }
}

/// What one request of a canary whose share is `bad` says against a share of `allowed`, on average; nothing where it
/// is not worse.
fn divergence(bad: f64, allowed: f64) -> f64 {
    if bad <= allowed {
        return 0.0;
    }
    bad * (bad / allowed).ln() + (1.0 - bad) * ((1.0 - bad) / (1.0 - allowed)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [f64; 5] = [50.0, 100.0, 250.0, 500.0, 1000.0];

    #[test]
    fn control_has_at_most_what_was_slower_than_the_bound_below() {
        let counts = [10, 20, 40, 20, 5, 5];
        for (ms, most) in [(100.0, 70), (166.7, 70), (249.0, 70), (250.0, 30), (40.0, 100)] {
            assert_eq!(at_most_over(&BOUNDS, &counts, ms), most, "{ms}");
        }
    }

    #[test]
    fn a_bound_below_which_control_has_all_its_requests_is_not_compared_at() {
        // All of control takes 50 to 100 ms: 1.5 times that may be beyond 100, but never beyond 250.
        let aim = Aim::choose(&BOUNDS, &[0, 100, 0, 0, 0, 0], 0.95, 1.5).unwrap();
        assert!((aim.bound - 250.0).abs() < 1e-9 && aim.share < 0.01, "{aim:?}");
        assert!(!aim.shows_nothing());
        let beyond = Aim::choose(&BOUNDS, &[0, 0, 0, 0, 0, 100], 0.95, 1.5).unwrap();
        assert!(beyond.shows_nothing(), "{beyond:?}");
        assert_eq!(Aim::choose(&BOUNDS, &[0; 6], 0.95, 1.5), None);
        assert_eq!(Aim::choose(&[], &[7], 0.95, 1.5), None);
    }

    #[test]
    fn a_share_between_bounds_is_guessed_as_in_a_log_normal_law() {
        use statrs::distribution::{ContinuousCDF, LogNormal};
        let law = LogNormal::new(55.0_f64.ln(), 0.6).unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let counts: Vec<u64> = [0.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e9]
            .windows(2)
            .map(|w| ((law.cdf(w[1]) - law.cdf(w[0])) * 1e9) as u64)
            .collect();
        for ms in [33.3, 83.3, 166.7, 60.0] {
            let (said, truth) = (
                likely_over(&[25.0, 50.0, 100.0, 250.0, 500.0], &counts, ms),
                law.sf(ms),
            );
            assert!((said - truth).abs() < 0.03, "{ms}: {said} for {truth}");
        }
    }

    #[test]
    fn it_is_stored_as_a_row_of_numbers() {
        let aim = Aim::choose(&BOUNDS, &[40, 42, 17, 1, 0, 0], 0.95, 1.5).unwrap();
        let text = serde_json::to_string(&aim).unwrap();
        assert!(text.len() < 40 && text.starts_with("[1.5,0.95,"), "{text}");
        assert_eq!(serde_json::from_str::<Aim>(&text).unwrap(), aim);
    }
}
