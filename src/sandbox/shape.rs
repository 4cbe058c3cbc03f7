//! How long requests take, and how their number rises and falls with the day.

use super::draw::{Draw, real};

/// Buckets that the widest histogram has, the one for everything slower included.
pub(super) const BUCKETS: usize = 20;

/// Half of all requests are answered within this many milliseconds.
const MEDIAN_MS: f64 = 55.0;
/// The spread of the logarithm of the time.
const SIGMA: f64 = 0.6;

/// Where requests fall in a histogram: log-normal times, `slow` times as long as usual.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    /// For each bucket the chance to fall into it, given that it is none of those before.
    chances: [f64; BUCKETS],
}

impl Shape {
    pub(super) fn new(bounds_ms: &[f64], slow: f64) -> Self {
        let below = |bound: f64| phi((bound / (MEDIAN_MS * slow)).ln() / SIGMA);
        let mut chances = [0.0; BUCKETS];
        let mut before = 0.0;
        for (slot, bound) in chances.iter_mut().zip(bounds_ms.iter().copied()) {
            let now = below(bound);
            let left = 1.0 - before;
            *slot = if left > 1e-9 {
                ((now - before) / left).clamp(0.0, 1.0)
            } else {
                1.0
            };
            before = now;
        }
        if let Some(last) = chances.get_mut(bounds_ms.len()) {
            *last = 1.0;
        }
        Self { chances }
    }

    /// Spreads requests over the buckets.
    pub(super) fn spread(&self, requests: u64, draw: &mut Draw, buckets: &mut [u64; BUCKETS]) {
        let mut left = requests;
        for (slot, chance) in buckets.iter_mut().zip(self.chances) {
            if left == 0 {
                return;
            }
            // Buckets that next to nothing falls into are not worth a draw.
            if chance > 1e-7 {
                let here = draw.binomial(left, chance);
                *slot += here;
                left -= here;
            }
        }
    }
}

/// The normal distribution function, to 1e-7 (Abramowitz and Stegun 26.2.17).
fn phi(x: f64) -> f64 {
    let t = 1.0 / 0.231_641_9_f64.mul_add(x.abs(), 1.0);
    let series = [
        1.330_274_429,
        -1.821_255_978,
        1.781_477_937,
        -0.356_563_782,
        0.319_381_530,
    ]
    .iter()
    .fold(0.0_f64, |sum, c| (sum + c) * t);
    let tail = (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt() * series;
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// Traffic by the hour in UTC, as permille of the mean; tenants are eight hours ahead.
const HOURS: [u64; 24] = [
    700, 950, 1150, 1250, 1200, 1100, 1200, 1350, 1450, 1450, 1350, 1200, 1150, 1250, 1300, 1150, 900, 700,
    550, 450, 400, 400, 450, 550,
];

/// How much traffic there is at this second, as a multiple of the mean.
pub(super) fn daytime(unix_second: i64) -> f64 {
    let second = unix_second.rem_euclid(86_400).cast_unsigned();
    let hour = usize::try_from(second / 3600).unwrap_or_default();
    let at = |hour: usize| real(HOURS.get(hour % 24).copied().unwrap_or(1000));
    let part = real(second % 3600) / 3600.0;
    (at(hour) * (1.0 - part) + at(hour + 1) * part) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::exposition::{ISTIO_BOUNDS_MS, NGINX_BOUNDS_MS};

    #[test]
    fn every_request_falls_into_a_bucket() {
        for bounds in [&ISTIO_BOUNDS_MS[..], &NGINX_BOUNDS_MS[..]] {
            for slow in [1.0, 2.5, 1e6] {
                let mut buckets = [0; BUCKETS];
                Shape::new(bounds, slow).spread(10_000, &mut Draw::at(1, "l", 0), &mut buckets);
                assert_eq!(buckets.iter().sum::<u64>(), 10_000);
            }
        }
    }

    #[test]
    fn half_are_answered_within_the_median() {
        assert!((phi(0.0) - 0.5).abs() < 1e-7 && (phi(1.644_854) - 0.95).abs() < 1e-6);
        let mut buckets = [0; BUCKETS];
        Shape::new(&[MEDIAN_MS], 1.0).spread(100_000, &mut Draw::at(1, "l", 0), &mut buckets);
        assert!((48_000..52_000).contains(&buckets[0]), "{buckets:?}");
    }

    #[test]
    fn a_day_averages_to_about_one_and_never_jumps() {
        let all: Vec<f64> = (0..1440).map(|minute| daytime(minute * 60)).collect();
        let mean = all.iter().sum::<f64>() / 1440.0;
        assert!((0.9..1.1).contains(&mean), "{mean}");
        assert!(all.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.01));
        assert!((daytime(-1) - daytime(86_399)).abs() < 1e-9);
    }
}
