//! Random draws that depend on nothing but where they are made: the same seed, component and instant always give
//! the same traffic, in whatever order the instants are asked for.

/// A stream of random numbers for one place in the simulation.
#[derive(Clone, Debug)]
pub(super) struct Draw(u64);

/// Below this mean a draw walks the distribution; above it the normal approximation is as good and cheaper.
const SMALL: f64 = 16.0;

impl Draw {
    /// The stream of a seed, a subject and an instant.
    pub(super) fn at(seed: u64, subject: &str, instant: i64) -> Self {
        let named = subject.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut stream = Self(named ^ instant.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Neighbouring instants begin alike until they are mixed once.
        let mixed = stream.next();
        Self(mixed)
    }

    /// 64 random bits (splitmix64).
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    fn unit(&mut self) -> f64 {
        (real(self.next() >> 11) + 1.0) / 9_007_199_254_740_992.0
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// How many of something that happens `mean` times on average.
    pub(super) fn poisson(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        if mean > SMALL {
            return whole(mean + mean.sqrt() * self.normal());
        }
        let mut rest = self.unit();
        let mut chance = (-mean).exp();
        let mut count = 0_u64;
        while rest > chance && count < 200 {
            rest -= chance;
            count += 1;
            chance *= mean / real(count);
        }
        count
    }

    /// How many of `n`, each with probability `p`.
    pub(super) fn binomial(&mut self, n: u64, p: f64) -> u64 {
        if n == 0 || p <= 0.0 {
            return 0;
        }
        if p >= 1.0 {
            return n;
        }
        if p > 0.5 {
            return n - self.binomial(n, 1.0 - p);
        }
        let mean = real(n) * p;
        if mean > SMALL {
            return whole(mean + (mean * (1.0 - p)).sqrt() * self.normal()).min(n);
        }
        let odds = p / (1.0 - p);
        let mut rest = self.unit();
        let mut chance = (real(n) * (-p).ln_1p()).exp();
        let mut count = 0_u64;
        while rest > chance && count < n {
            rest -= chance;
            chance *= odds * real(n - count) / real(count + 1);
            count += 1;
        }
        count
    }
}

/// The number as a float; exact below 2⁵³, which no simulated counter reaches.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
pub(super) const fn real(n: u64) -> f64 {
    n as f64
}

/// The nearest whole number, 0 at least.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, and the cast stops at both ends"
)]
pub(super) fn whole(x: f64) -> u64 {
    x.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_variance(samples: impl Iterator<Item = u64>) -> (f64, f64) {
        let all: Vec<f64> = samples.map(real).collect();
        let n = real(all.len() as u64);
        let mean = all.iter().sum::<f64>() / n;
        (mean, all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n)
    }

    #[test]
    fn the_same_place_draws_the_same_and_others_do_not() {
        let three = |seed, subject, instant| {
            let mut draw = Draw::at(seed, subject, instant);
            [draw.next(), draw.next(), draw.next()]
        };
        assert_eq!(three(1, "terminal", 7), three(1, "terminal", 7));
        assert_ne!(three(1, "terminal", 7), three(2, "terminal", 7));
        assert_ne!(three(1, "terminal", 7), three(1, "webhook", 7));
        assert_ne!(three(1, "terminal", 7), three(1, "terminal", 8));
    }

    #[test]
    fn draws_have_the_mean_and_the_spread_of_their_distribution() {
        for mean in [0.02, 3.0, 400.0] {
            let (m, v) = mean_and_variance((0..20_000).map(|i| Draw::at(1, "p", i).poisson(mean)));
            assert!(
                (m / mean - 1.0).abs() < 0.15 && (v / mean - 1.0).abs() < 0.15,
                "{mean}: {m} {v}"
            );
        }
        for (n, p) in [(5_u64, 0.3), (1000, 0.0005), (1000, 0.4), (3000, 0.95)] {
            let (m, v) = mean_and_variance((0..20_000).map(|i| Draw::at(1, "b", i).binomial(n, p)));
            let mean = real(n) * p;
            let spread = mean * (1.0 - p);
            assert!(
                (m / mean - 1.0).abs() < 0.05 && (v / spread - 1.0).abs() < 0.1,
                "{n} {p}: {m} {v}"
            );
        }
    }

    #[test]
    fn nothing_is_drawn_from_nothing_and_all_from_certainty() {
        let mut draw = Draw::at(1, "x", 0);
        assert_eq!(draw.binomial(0, 0.5), 0);
        assert_eq!(draw.binomial(9, 0.0), 0);
        assert_eq!(draw.binomial(9, 1.0), 9);
        assert_eq!(draw.poisson(0.0), 0);
    }
}
