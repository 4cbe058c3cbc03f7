//! Random draws, the same for the same seed.

/// A stream of random numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

/// Below this mean a draw walks the distribution; above it the normal approximation is as good and cheaper.
const SMALL: f64 = 20.0;

impl Draw {
    /// The stream of a seed and a place in the simulation.
    pub(crate) fn new(seed: u64, place: u64) -> Self {
        let mut draw = Self(seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self(draw.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (real(self.next() >> 11) + 1.0) / 9_007_199_254_740_992.0
    }

    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() <= p
    }

    /// One of so many.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        if mean > SMALL {
            return whole(mean + mean.sqrt() * self.normal());
        }
        let (mut rest, mut chance, mut count) = (self.unit(), (-mean).exp(), 0_u64);
        while rest > chance && count < 500 {
            rest -= chance;
            count += 1;
            chance *= mean / real(count);
        }
        count
    }

    pub(crate) fn binomial(&mut self, n: u64, p: f64) -> u64 {
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
        let (mut rest, mut chance, mut count) = (self.unit(), (real(n) * (-p).ln_1p()).exp(), 0_u64);
        while rest > chance && count < n {
            rest -= chance;
            chance *= odds * real(n - count) / real(count + 1);
            count += 1;
        }
        count
    }

    /// How many in a burst whose mean is `mean`: one at least, and as many more as a coin says.
    pub(crate) fn geometric(&mut self, mean: f64) -> u64 {
        if mean <= 1.0 {
            return 1;
        }
        1 + whole((self.unit().ln() / (1.0 - 1.0 / mean).ln()).floor())
    }
}

/// The number as a float; exact below 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
pub(crate) const fn real(n: u64) -> f64 {
    n as f64
}

/// The nearest whole number, 0 at least.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, and the cast stops at both ends"
)]
pub(crate) fn whole(x: f64) -> u64 {
    x.round() as u64
}
