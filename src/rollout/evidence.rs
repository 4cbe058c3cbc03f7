//! Sequential tests on counts: evidence that may be looked at after every tick without losing its meaning.
//!
//! Each test is a mean of likelihood ratios over six sizes of effect. While the canary is no worse than its line,
//! that mean is a martingale with expectation at most 1, so by Ville's inequality the chance that it *ever*
//! reaches 1/α is at most α, however often it is looked at and however the traffic varies.

use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many times its line a bad canary's errors may be: the mixture over which evidence is averaged.
pub const ERRORS: Effects = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0];
/// The same for the share of slow requests: it starts at some percent, so it cannot grow as far.
pub const SLOW: Effects = [1.2, 1.5, 2.0, 3.0, 5.0, 10.0];
/// No alternative assumes more errors than this.
const WORST: f64 = 0.95;
/// Beyond this a log-likelihood says nothing more; it keeps the sums finite and their text short.
const FARTHEST: f64 = 1_000.0;
/// What is stored of evidence for the canary.
const FORGOTTEN: f64 = -99.0;
/// How near a tempered effect may come to where bursts give it an infinite mean. See [`Pace::trusts`].
const NEAR: f64 = 0.85;

/// Six sizes of effect, as multiples of the line.
pub type Effects = [f64; 6];

/// How a tick's evidence is taken in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How much more counts vary than independent requests would (φ ≥ 1): evidence is raised to the power 1/φ.
    pub phi: f64,
    /// How much weight "it went bad at this very tick" has, against 1 for "it was bad from the start".
    pub start: f64,
}

impl Pace {
    /// Independent requests, bad from the start or never.
    pub const PLAIN: Self = Self { phi: 1.0, start: 0.0 };

    /// Whether an effect of `r` times may be tested. Errors that come in bursts of geometric sizes have
    /// φ = 2b − 1 at a mean size b, and the mean of r^(k/φ) over a burst of k is infinite from
    /// ln r = φ·ln(b/(b−1)) on: a large effect would take one long burst for proof.
    fn trusts(self, r: f64) -> bool {
        let more = self.phi - 1.0;
        more <= 0.0 || r.ln() <= NEAR * self.phi * ((self.phi + 1.0) / more).ln()
    }
}

/// The log-likelihood ratio of each size of effect; serialised with two decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogE([f64; 6]);

impl LogE {
    /// A tick's errors `k` of requests `n` of canary (`c`) and control (`b`), against the null that the canary's
    /// error ratio is at most `rho` times control's. Says nothing where either arm is empty or nothing failed.
    ///
    /// Each factor has a mean of at most 1 under the null whatever the ratios are, small or not. With `a` = q/π and
    /// `b` = (1−q)/(1−π) that mean is at most `exp(n_c·p_c·(a−1) + n_b·p_b·(b−1))`, for 1 + p(a−1) ≤ exp(p(a−1)), and
    /// the exponent is at most 0 where `p_c ≤ ρ·p_b`. So no correction by odds is needed, and `k_b` may be a fraction:
    /// bʷ ≤ 1 + w(b−1) for a request of which only a share w counts.
    #[expect(
        clippy::too_many_arguments,
        reason = "a table of two arms, and how to test it"
    )]
    pub fn step_relative(
        &mut self,
        effects: &Effects,
        pace: Pace,
        rho: f64,
        k_c: u64,
        n_c: u64,
        k_b: f64,
        n_b: u64,
    ) {
        if n_c == 0 || n_b == 0 || (k_c == 0 && k_b <= 0.0) {
            return;
        }
        let (k_c, n_c, n_b) = (real(k_c), real(n_c), real(n_b));
        let share = |r: f64| r * n_c / (r * n_c + n_b);
        let null = share(rho);
        self.take(effects, pace, |effect| {
            let q = share(rho * effect);
            k_c * (q / null).ln() + k_b * ((1.0 - q) / (1.0 - null)).ln()
        });
    }

    /// A tick's bad requests `k` of requests `n` of canary (`c`) and control (`b`), against the null that the canary's
    /// share is at most control's, where that share may be large. `guess` is control's share as it was known before
    /// the tick: a wrong one costs power and nothing else (Turner, Ly and Grünwald, "Generic E-variables for exact
    /// sequential k-sample tests", 2021).
    ///
    /// An effect of `r` times the odds supposes `p_c` of the canary and `p_b` = `guess` of control; the null supposes
    /// of both their mean `p_0`, weighted by `n_c` and `n_b`. A request that is bad with a chance of p has a factor with
    /// the mean 1 + (p − `p_0`)(`p_i` − `p_0`)/`p_0`(1 − `p_0`). Where both chances are p the means' product is at most the
    /// exponential of (p − `p_0`)/`p_0`(1 − `p_0`) times Σ `n_i`(`p_i` − `p_0`), which is 0. It rises with the canary's chance and
    /// falls with control's, so it is at most 1 under the whole null. `k_b` may be a fraction, as above: of a request that
    /// counts as bad to a share w the factor is at most the weighted mean of the two.
    #[expect(
        clippy::too_many_arguments,
        reason = "a table of two arms, and how to test it"
    )]
    pub fn step_shares(
        &mut self,
        effects: &Effects,
        pace: Pace,
        guess: f64,
        k_c: u64,
        n_c: u64,
        k_b: f64,
        n_b: u64,
    ) {
        if n_c == 0 || n_b == 0 {
            return;
        }
        let guess = guess.clamp(1e-4, 1.0 - 1e-4);
        let (bad_c, good_c) = (real(k_c), real(n_c.saturating_sub(k_c)));
        let (bad_b, good_b) = (k_b, (real(n_b) - k_b).max(0.0));
        let canary = real(n_c) / (real(n_c) + real(n_b));
        self.take(effects, pace, |effect| {
            let odds = effect * guess / (1.0 - guess);
            let p_c = odds / (1.0 + odds);
            let p_0 = canary * p_c + (1.0 - canary) * guess;
            bad_c * (p_c / p_0).ln()
                + good_c * ((1.0 - p_c) / (1.0 - p_0)).ln()
                + bad_b * (guess / p_0).ln()
                + good_b * ((1.0 - guess) / (1.0 - p_0)).ln()
        });
    }

    /// A tick's errors `k` of requests `n`, against the null that the error ratio is at most `p0`.
    pub fn step_absolute(&mut self, effects: &Effects, pace: Pace, p0: f64, k: u64, n: u64) {
        if n == 0 {
            return;
        }
        // A line of 0% would make the first error infinite evidence; 0.001% is the finest limit one can write.
        let p0 = p0.clamp(1e-5, WORST);
        let (k, good) = (real(k), real(n.saturating_sub(k)));
        self.take(effects, pace, |effect| {
            let p = (effect * p0).min(WORST);
            k * (p / p0).ln() + good * ((1.0 - p) / (1.0 - p0)).ln()
        });
    }

    fn take(&mut self, effects: &Effects, pace: Pace, ratio: impl Fn(f64) -> f64) {
        let phi = pace.phi.max(1.0);
        let start = pace.start.ln();
        for (sum, effect) in self.0.iter_mut().zip(effects) {
            *sum = if pace.trusts(*effect) {
                (ln_add(*sum, start) + ratio(*effect) / phi).clamp(-FARTHEST, FARTHEST)
            } else {
                -FARTHEST
            };
        }
    }

    /// Counts turned out to vary more than was thought: what speaks against the canary is worth so much of itself.
    pub(super) fn temper(&mut self, worth: f64) {
        for sum in &mut self.0 {
            if *sum > 0.0 {
                *sum *= worth;
            }
        }
    }

    /// The logarithm of the evidence: a rollback at level α needs ln(1/α).
    pub fn log_e(&self) -> f64 {
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.0.iter().map(|s| (s - most).exp()).sum();
        most + (sum / real(self.0.len() as u64)).ln()
    }
}

/// ln(eᵃ + eᵇ).
fn ln_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    // e⁻⁴⁰ is below what a sum of two floats can show; this also takes care of ln 0.
    if high - low > 40.0 {
        high
    } else {
        high + (low - high).exp().ln_1p()
    }
}

impl Serialize for LogE {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_seq(Some(self.0.len()))?;
        for sum in self.0 {
            // What is far below 0 is soon outweighed by a start at a later tick, wherever it stood.
            if sum.abs() < 30.0 {
                row.serialize_element(&((sum * 100.0).round() / 100.0))?;
            } else {
                #[expect(clippy::cast_possible_truncation, reason = "between -99 and 1,000")]
                row.serialize_element(&(sum.max(FORGOTTEN).round() as i64))?;
            }
        }
        row.end()
    }
}

impl<'de> Deserialize<'de> for LogE {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sums = <[f64; 6]>::deserialize(deserializer)?;
        Ok(Self(sums.map(|s| if s.is_finite() { s } else { 0.0 })))
    }
}

/// Whether `k` errors of `n` requests speak for an error ratio of at most `good` rather than `bad`, at the given
/// chance `beta` of being wrong: promotion's positive evidence. Without any error it needs [`requests_needed`].
pub fn is_good(k: u64, n: u64, good: f64, bad: f64, beta: f64) -> bool {
    let good = good.max(1e-9);
    let clean = real(n.saturating_sub(k)) * ((1.0 - good) / (1.0 - bad)).ln();
    clean + real(k) * (good / bad).ln() >= (1.0 / beta).ln()
}

/// How many requests without an error promotion needs: ln(1/β) ÷ ln((1−good)/(1−bad)).
pub fn requests_needed(good: f64, bad: f64, beta: f64) -> f64 {
    ((1.0 / beta).ln() / ((1.0 - good) / (1.0 - bad)).ln()).ceil()
}

/// How many requests it takes until [`is_good`], if `k` of each `n` more are errors too; `None` where such a ratio never
/// speaks for `good`.
pub fn requests_needed_at(k: u64, n: u64, good: f64, bad: f64, beta: f64) -> Option<f64> {
    let good = good.max(1e-9);
    let ratio = real(k) / real(n.max(1));
    let each = (1.0 - ratio) * ((1.0 - good) / (1.0 - bad)).ln() + ratio * (good / bad).ln();
    (each > 0.0).then(|| ((1.0 / beta).ln() / each).ceil())
}

/// Whether `k` errors of `n` requests are surely more than the line `p0` allows: their likelihood ratio against it
/// is at least 20.
pub fn surely_over(k: u64, n: u64, p0: f64) -> bool {
    if n == 0 || k == 0 {
        return false;
    }
    let (ratio, p0) = (real(k) / real(n), p0.clamp(1e-5, WORST));
    if ratio <= p0 {
        return false;
    }
    let clean = if k >= n {
        0.0
    } else {
        real(n - k) * ((1.0 - ratio) / (1.0 - p0)).ln()
    };
    real(k) * (ratio / p0).ln() + clean >= 20_f64.ln()
}

/// How surely `k` errors of `n` requests are less than the line `p0` allows: the logarithm of their likelihood ratio
/// against it; 0 where they are not less.
pub fn under(k: u64, n: u64, p0: f64) -> f64 {
    let (ratio, p0) = (real(k) / real(n.max(1)), p0.clamp(1e-5, WORST));
    if n == 0 || ratio >= p0 {
        return 0.0;
    }
    let bad = if k == 0 { 0.0 } else { real(k) * (ratio / p0).ln() };
    bad + real(n - k) * ((1.0 - ratio) / (1.0 - p0)).ln()
}

/// Wilson's interval of a share of `k` in `n` at `z` standard deviations.
pub fn wilson(k: u64, n: u64, z: f64) -> (f64, f64) {
    band(real(k), real(n), z)
}

/// The same of counts that may be fractions, as those are that were divided by φ.
pub(super) fn band(k: f64, n: f64, z: f64) -> (f64, f64) {
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    let (p, z2) = (k / n, z * z);
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// A count as a real number.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 lose a digit that no ratio shows"
)]
pub(crate) fn real(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests;
