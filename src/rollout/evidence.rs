//! Sequential tests on counts: evidence that may be looked at after every tick without losing its meaning.
//!
//! Each test is a mean of likelihood ratios over six sizes of effect. While the canary is no worse than its line,
//! that mean is a martingale with expectation at most 1, so by Ville's inequality the chance that it *ever*
//! reaches 1/α is at most α, however often it is looked at and however the traffic varies.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many times its line a bad canary may be: the mixture over which evidence is averaged.
const EFFECTS: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0];
/// No alternative assumes more errors than this.
const WORST: f64 = 0.95;
/// Beyond this a log-likelihood says nothing more; it keeps the sums finite and their text short.
const FARTHEST: f64 = 100_000.0;

/// The log-likelihood ratio of each size of effect; serialised with two decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogE([f64; EFFECTS.len()]);

impl LogE {
    /// A tick's errors `k` of requests `n` of canary (`c`) and control (`b`), against the null that the canary's
    /// error ratio is at most `rho` times control's. Says nothing where either arm is empty or nothing failed.
    pub fn step_relative(&mut self, rho: f64, k_c: u64, n_c: u64, k_b: u64, n_b: u64) {
        if n_c == 0 || n_b == 0 || k_c + k_b == 0 {
            return;
        }
        let (k_c, n_c, k_b, n_b) = (real(k_c), real(n_c), real(k_b), real(n_b));
        let share = |r: f64| r * n_c / (r * n_c + n_b);
        let null = share(rho);
        for (sum, effect) in self.0.iter_mut().zip(EFFECTS) {
            let q = share(rho * effect);
            let step = k_c * (q / null).ln() + k_b * ((1.0 - q) / (1.0 - null)).ln();
            *sum = (*sum + step).clamp(-FARTHEST, FARTHEST);
        }
    }

    /// A tick's errors `k` of requests `n`, against the null that the error ratio is at most `p0`.
    pub fn step_absolute(&mut self, p0: f64, k: u64, n: u64) {
        // A line of 0% would make the first error infinite evidence; 0.001% is the finest limit one can write.
        let p0 = p0.clamp(1e-5, WORST);
        let (k, good) = (real(k), real(n.saturating_sub(k)));
        for (sum, effect) in self.0.iter_mut().zip(EFFECTS) {
            let p = (effect * p0).min(WORST);
            let step = k * (p / p0).ln() + good * ((1.0 - p) / (1.0 - p0)).ln();
            *sum = (*sum + step).clamp(-FARTHEST, FARTHEST);
        }
    }

    /// The logarithm of the evidence: a rollback at level α needs ln(1/α).
    pub fn log_e(&self) -> f64 {
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.0.iter().map(|s| (s - most).exp()).sum();
        most + (sum / real(EFFECTS.len() as u64)).ln()
    }

    /// Nothing was said yet.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|s| *s == 0.0)
    }
}

impl Serialize for LogE {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.map(|s| (s * 100.0).round() / 100.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LogE {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sums = <[f64; EFFECTS.len()]>::deserialize(deserializer)?;
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

/// Wilson's interval of a share of `k` in `n` at `z` standard deviations.
pub fn wilson(k: u64, n: u64, z: f64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (k, n) = (real(k), real(n));
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
mod tests {
    use super::*;
    use statrs::distribution::{Binomial, Discrete};

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-5
    }

    fn relative(rho: f64, k_c: u64, n_c: u64, k_b: u64, n_b: u64) -> f64 {
        let mut e = LogE::default();
        e.step_relative(rho, k_c, n_c, k_b, n_b);
        e.log_e()
    }

    fn absolute(p0: f64, k: u64, n: u64) -> f64 {
        let mut e = LogE::default();
        e.step_absolute(p0, k, n);
        e.log_e()
    }

    #[test]
    fn the_relative_test_gives_the_published_figures() {
        assert!(close(relative(1.2, 3, 200, 2, 3800), 4.108_869));
        assert!(close(relative(1.2, 0, 200, 5, 3800), -0.816_366));
        assert!(close(relative(1.2, 6, 200, 4, 3800), 8.997_358));
    }

    #[test]
    fn the_absolute_test_gives_the_published_figures() {
        assert!(close(absolute(0.01, 0, 1000), -6.848_916));
        assert!(close(absolute(0.01, 20, 1000), 2.596_924));
        assert!(close(absolute(0.01, 30, 1000), 11.482_811));
    }

    #[test]
    fn each_test_is_a_mean_of_binomial_likelihood_ratios() {
        let pmf = |p: f64, n: u64, k: u64| Binomial::new(p, n).unwrap().pmf(k);
        let mean = |ratio: &dyn Fn(f64) -> f64| EFFECTS.iter().map(|e| ratio(*e)).sum::<f64>() / 6.0;
        let want = mean(&|e| pmf((e * 0.01_f64).min(0.95), 700, 12) / pmf(0.01, 700, 12)).ln();
        assert!(close(absolute(0.01, 12, 700), want));
        let share = |r: f64| r * 300.0 / (r * 300.0 + 900.0);
        let want = mean(&|e| pmf(share(1.5 * e), 9, 6) / pmf(share(1.5), 9, 6)).ln();
        assert!(close(relative(1.5, 6, 300, 3, 900), want));
    }

    #[test]
    fn evidence_has_mean_one_under_the_null_so_it_can_be_looked_at_at_any_time() {
        let null = Binomial::new(0.01, 50).unwrap();
        let mean: f64 = (0..=50).map(|k| null.pmf(k) * absolute(0.01, k, 50).exp()).sum();
        assert!((mean - 1.0).abs() < 1e-6, "{mean}");
    }

    #[test]
    fn silence_is_no_evidence() {
        assert!(close(relative(1.5, 0, 100, 0, 100), 0.0));
        assert!(close(relative(1.5, 5, 100, 0, 0), 0.0));
        assert!(close(relative(1.5, 0, 0, 5, 100), 0.0));
        assert!(close(absolute(0.01, 0, 0), 0.0));
        assert!(absolute(0.0, u64::MAX / 2, u64::MAX / 2).is_finite());
    }

    #[test]
    fn promotion_needs_the_requests_that_the_formula_asks_for() {
        assert!(close(requests_needed(0.002, 0.01, 0.05), 373.0));
        assert!(is_good(0, 373, 0.002, 0.01, 0.05));
        assert!(!is_good(0, 372, 0.002, 0.01, 0.05));
        assert!(
            !is_good(1, 373, 0.002, 0.01, 0.05),
            "an error costs more requests"
        );
    }

    #[test]
    fn wilson_gives_the_published_figures() {
        let (low, high) = wilson(3, 200, 1.959_964);
        assert!((low - 0.005_114).abs() < 1e-6 && (high - 0.043_166).abs() < 1e-6);
        let (low, high) = wilson(0, 100, 1.959_964);
        assert!(low.abs() < 1e-9 && (high - 0.036_993).abs() < 1e-6);
    }

    #[test]
    fn persisted_evidence_stays_within_a_hundredth() {
        let mut e = LogE::default();
        e.step_absolute(0.01, 7, 1234);
        let again: LogE = serde_json::from_str(&serde_json::to_string(&e).unwrap()).unwrap();
        assert!((again.log_e() - e.log_e()).abs() < 0.02);
    }
}
