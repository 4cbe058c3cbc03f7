//! At which bucket bound a canary is held to control, where the question is "more than so many times as slow?".
//!
//! If each of control's requests had taken `times` as long, those slower than a bound b would be the ones that took
//! longer than b/times. No bound may lie there, so control's share is read between the two beside it, and of control
//! alone: evenly over the logarithm of the time where the histogram falls, which is more than the truth in a tail, and
//! more than that where it rises ([`buckets::rise`]). How it rises is taken from control's past, so a tick has no part
//! in how it is read. b is chosen by what control's own past says the counts would show of a canary that is twice
//! beyond the limit, and never depends on the canary's data.
//!
//! [`buckets::rise`]: super::buckets::rise

use super::buckets::{at_most, nearest, over, over_bound, quantile, rise};
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
#[serde(from = "Vec<f64>", into = "[Short; 5]")]
pub(super) struct Aim {
    /// How many times as slow a canary may be.
    pub(super) times: f64,
    /// The quantile that is looked at.
    pub(super) quantile: f64,
    /// The bound: of the canary, requests slower than this count; in milliseconds.
    pub(super) bound: f64,
    /// Control's share that is compared, so far: a guess by which evidence is gathered, and no part of the line.
    pub(super) share: f64,
    /// How steeply control's histogram rises where it is read; stored as -1 where that is infinite.
    pub(super) rise: f64,
}

impl From<Vec<f64>> for Aim {
    /// Where no rise was stored all of the bucket counts, until it is chosen anew with the next tick.
    fn from(row: Vec<f64>) -> Self {
        let at = |i: usize| row.get(i).copied().unwrap_or_default();
        let rise = row.get(4).copied().filter(|rise| *rise >= 0.0);
        Self {
            times: at(0),
            quantile: at(1),
            bound: at(2),
            share: at(3),
            rise: rise.unwrap_or(f64::INFINITY),
        }
    }
}

impl From<Aim> for [Short; 5] {
    fn from(aim: Aim) -> Self {
        let rise = if aim.rise.is_finite() { aim.rise } else { -1.0 };
        [aim.times, aim.quantile, aim.bound, aim.share, rise].map(Short)
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
            let here = bound / times;
            let allowed = share(over(bounds, counts, here, rise(bounds, counts, here)), all);
            let bad = likely_over(bounds, counts, bound / (times * BEYOND));
            let shown = divergence(bad, allowed);
            if shown > best.1 {
                best = (bound, shown);
            }
        }
        let (bound, _) = best;
        let rise = (rise(bounds, counts, bound / times) * 100.0).round() / 100.0;
        let share = over(bounds, counts, bound / times, rise) / real(all.max(1));
        Some(Self {
            times,
            quantile: q,
            bound,
            share: (share * 1e4).round() / 1e4,
            rise,
        })
    }

    /// Whether it is the one for this question.
    pub(super) fn is_for(&self, times: f64, q: f64) -> bool {
        (self.times - times).abs() < 1e-9 && (self.quantile - q).abs() < 1e-9
    }

    /// Of control's requests those that count as slow: a share of one may.
    pub(super) fn control_over(&self, bounds: &[f64], counts: &[u64]) -> f64 {
        over(bounds, counts, self.bound / self.times, self.rise)
    }

    /// All of control's requests may be as slow as this: no canary can be seen to be slower.
    pub(super) fn shows_nothing(&self) -> bool {
        self.share > FULL
    }
}

/// Whether nearly all of control's requests may already be as slow as `times` what the quantile is, as far as these
/// bounds tell: then no slower canary shows.
pub fn slower_is_hidden(bounds: &[f64], control: &[u64], q: f64, times: f64) -> bool {
    Aim::choose(bounds, control, q, times).is_some_and(|aim| aim.shows_nothing())
}

/// Half a request more and less: no share is known to be none or all.
fn share(k: f64, all: u64) -> f64 {
    (k + 0.5) / (real(all) + 1.0)
}

/// The share that is likely to have taken longer than `ms`: between two bounds the logarithm of its odds falls in a
/// straight line over the logarithm of the time, as it does about everywhere in a log-normal or log-logistic law.
fn likely_over(bounds: &[f64], counts: &[u64], ms: f64) -> f64 {
    let all = counts.iter().sum();
    let upper = bounds.iter().copied().find(|b| *b >= ms);
    let lower = at_most(bounds, ms).filter(|b| *b > 0.0);
    let odds = |bound: f64| {
        let p = share(real(over_bound(bounds, counts, bound)), all);
        (p / (1.0 - p)).ln()
    };
    match (lower, upper) {
        (Some(lower), Some(upper)) if upper > lower => {
            let part = (ms / lower).ln() / (upper / lower).ln();
            let here = odds(lower) * (1.0 - part) + odds(upper) * part;
            1.0 / (1.0 + (-here).exp())
        }
        (None, Some(upper)) => {
            let p = share(real(over_bound(bounds, counts, upper)), all);
            1.0 - (1.0 - p) * ms / upper
        }
        (Some(bound), _) => share(real(over_bound(bounds, counts, bound)), all),
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

    /// What Istio's proxies count in, as far as it matters.
    const ISTIO: [f64; 13] = [
        0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0,
    ];

    fn counts_of(law: &impl statrs::distribution::ContinuousCDF<f64, f64>, bounds: &[f64]) -> Vec<u64> {
        let (mut below, mut counts) = (0.0, Vec::new());
        for bound in bounds.iter().copied().chain([f64::INFINITY]) {
            let here = if bound.is_finite() { law.cdf(bound) } else { 1.0 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            counts.push(((here - below) * 1e6).round() as u64);
            below = here;
        }
        counts
    }

    #[test]
    fn between_bounds_control_is_read_evenly_over_the_logarithm_and_all_of_it_counts_where_it_rises_steeply()
    {
        let (bounds, counts) = ([50.0, 100.0, 250.0], [800, 100, 90, 10]);
        let falling = rise(&bounds, &counts, 250.0 / 1.5);
        assert!(falling.abs() < 1e-9, "{falling}");
        // 10 beyond 250 ms, and of the 90 between 100 and 250 ms as many as lie above 166.7 ms.
        let even = 10.0 + 90.0 * 1.5_f64.ln() / 2.5_f64.ln();
        let read = over(&bounds, &counts, 250.0 / 1.5, falling);
        assert!((read - even).abs() < 1e-9, "{read}");
        // All of them may take 240 ms: then 1.1 times that is beyond 250 ms for every one.
        let steep = rise(&[50.0, 100.0, 250.0], &[5, 5, 980, 10], 250.0 / 1.5);
        assert!(steep.is_infinite());
        let all = over(&[50.0, 100.0, 250.0], &[5, 5, 980, 10], 250.0 / 1.5, steep);
        assert!((all - 990.0).abs() < 1e-9, "{all}");
    }

    #[test]
    fn with_istios_bounds_a_canary_within_half_as_slow_again_is_within_the_line_and_one_twice_as_slow_beyond_it()
     {
        use statrs::distribution::{ContinuousCDF, LogNormal};
        let (mut twice, mut more, mut asked) = (0, 0, 0);
        for step in 0..40 {
            let median = 3.0 * 200.0_f64.powf(f64::from(step) / 40.0);
            for sigma in [0.2, 0.4, 0.6, 0.8, 1.0, 1.3] {
                let law = |times: f64| LogNormal::new((median * times).ln(), sigma).unwrap();
                let aim = Aim::choose(&ISTIO, &counts_of(&law(1.0), &ISTIO), 0.95, 1.5).unwrap();
                let over = |times: f64| law(times).sf(aim.bound);
                for within in [1.0, 1.2, 1.35, 1.5] {
                    assert!(
                        over(within) < aim.share * 1.03 + 0.000_5,
                        "{median} {sigma} {within}: {aim:?}"
                    );
                }
                asked += 1;
                twice += u32::from(over(2.0) > aim.share * 1.02);
                more += u32::from(over(2.5) > aim.share * 1.02);
            }
        }
        // The others have nearly all of their requests in one bucket.
        assert!(twice * 10 >= asked * 9, "twice as slow: {twice} of {asked}");
        assert!(more * 100 >= asked * 97, "2.5 times as slow: {more} of {asked}");
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
