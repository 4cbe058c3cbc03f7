//! Whether the requests that were counted fit the share that a weight asks for.
//!
//! A proxy that obeys a weight `p` draws each request's arm by itself, so of `n` requests the canary's `k` are binomial.
//! The band around k/n is a *confidence sequence*: it may be looked at after every tick, for as long as it takes, and
//! the chance that it *ever* excludes the true share is at most [`CHANCE`]. It holds every `p` whose likelihood is at
//! least α times that of the uniform mixture of all shares, k!(n−k)!/(n+1)!: that ratio is a martingale under `p`, so
//! Ville's inequality bounds its maximum (H. Robbins, "Statistical methods related to the law of the iterated
//! logarithm", 1970). A band for one look, like Wilson's or the exact binomial one, would exclude the truth sooner or
//! later, with certainty.

use super::evidence::{real, wilson};
use super::tally::Tally;
use super::weight::{Percent, Weight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The chance that a band ever excludes the true share. Counts begin anew at most twice a day, so in five days at one
/// weight less than one in a thousand healthy components is suspected.
pub(super) const CHANCE: f64 = 1e-4;
/// What is within so much of the weight, or of what it leaves to control, is what was asked for.
const TOLERANCE: f64 = 0.1;
/// At high weights control keeps a little that no weight moves: health checks, connections that drain.
const LEFT_OVER: f64 = 0.01;
/// Standard deviations by which a last window has to be right for a deviation to be over.
const SURELY: f64 = 1.96;

/// What part of the requests arrives at the canary, as counted at both arms since settle, at most 24 hours of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// The canary's share.
    pub share: Percent,
    /// No less than this, whenever it is looked at (99.99%).
    pub low: Percent,
    /// No more than this.
    pub high: Percent,
    /// Requests of both arms that it rests on.
    pub requests: i64,
    /// What it means for the weight.
    pub verdict: Arrival,
}

impl Measured {
    /// The same as a sentence.
    pub fn sentence(&self, weight: Weight) -> String {
        let Self {
            share,
            low,
            high,
            requests,
            verdict,
        } = self;
        let counted = format!("{share} ({low} to {high}) of {requests} requests");
        match verdict {
            Arrival::Arriving => format!("{counted}, as {weight} asks for"),
            Arrival::TooFew => format!("{counted}, too few to tell whether that is {weight}"),
            Arrival::NotArriving => format!("none of {requests} requests, although {weight} is asked for"),
            Arrival::NotAchievable => format!(
                "{counted}, not the {weight} that is asked for: look for session affinity, a header or cookie route, \
                 another route to the same hosts, or arms that select other series"
            ),
        }
    }
}

/// Whether what was asked for arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Arrival {
    /// About what the weight says.
    Arriving,
    /// Too few requests to tell.
    TooFew,
    /// Nothing, although the weight is above 0: control keeps all.
    NotArriving,
    /// Something, and surely not what the weight says.
    NotAchievable,
}

impl Arrival {
    /// Whether somebody should look.
    pub const fn is_amiss(self) -> bool {
        matches!(self, Self::NotArriving | Self::NotAchievable)
    }
}

/// The shares that pass for a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Zone {
    low: f64,
    high: f64,
}

impl Zone {
    /// What is near enough to a weight to be what was asked for.
    pub(super) fn of(weight: Weight) -> Self {
        let ratio = weight.ratio();
        let near = TOLERANCE * ratio.min(1.0 - ratio);
        let near = if ratio > 0.5 { near.max(LEFT_OVER) } else { near };
        Self {
            low: ratio - near,
            high: ratio + near,
        }
    }

    /// At least half of a weight: less is another step than the one that was asked for.
    pub(super) fn half(weight: Weight) -> Self {
        Self {
            low: weight.ratio() / 2.0,
            high: 1.0,
        }
    }

    /// Whether `all` that was counted surely lies outside, and the last window, `recent`, does not show that this is
    /// over.
    pub(super) fn is_left(self, all: Counted, recent: Counted) -> bool {
        let Some(share) = all.share().filter(|share| !self.holds(*share)) else {
            return false;
        };
        let nearest = share.clamp(self.low, self.high);
        let (low, high) = wilson(recent.canary, recent.requests, SURELY);
        all.evidence_against(nearest) >= (1.0 / CHANCE).ln() && !(self.holds(low) && self.holds(high))
    }

    /// Whether what was counted, if anything, is a share inside.
    pub(super) fn fits(self, all: Counted) -> bool {
        all.share().is_none_or(|share| self.holds(share))
    }

    fn holds(self, share: f64) -> bool {
        (self.low..=self.high).contains(&share)
    }
}

/// Requests counted: the canary's among those of both arms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) canary: u64,
    pub(super) requests: u64,
}

impl From<&Tally> for Counted {
    fn from(tally: &Tally) -> Self {
        Self {
            canary: tally.canary.requests,
            requests: tally.requests(),
        }
    }
}

impl Counted {
    /// The canary's share; `None` without requests.
    pub(super) fn share(self) -> Option<f64> {
        (self.requests > 0).then(|| real(self.canary) / real(self.requests))
    }

    /// The logarithm of the evidence against a share: ln(1/α) excludes it at the chance α, however often one looks.
    fn evidence_against(self, share: f64) -> f64 {
        self.ln_mixture() - self.ln_likelihood(share)
    }

    /// ln ∫ pᵏ(1−p)ⁿ⁻ᵏ dp = ln k!(n−k)!/(n+1)!
    fn ln_mixture(self) -> f64 {
        let (k, n) = (real(self.canary.min(self.requests)), real(self.requests));
        ln_factorial(k) + ln_factorial(n - k) - ln_factorial(n + 1.0)
    }

    fn ln_likelihood(self, share: f64) -> f64 {
        let times = |count: f64, p: f64| if count == 0.0 { 0.0 } else { count * p.ln() };
        let control = real(self.requests.saturating_sub(self.canary));
        times(real(self.canary), share) + times(control, 1.0 - share)
    }

    /// Every share that is not excluded, by halving: evidence grows with the distance from k/n.
    pub(super) fn band(self) -> (f64, f64) {
        let Some(centre) = self.share() else {
            return (0.0, 1.0);
        };
        let line = self.ln_mixture() - (1.0 / CHANCE).ln();
        let edge = |outer: f64| {
            if self.ln_likelihood(outer) >= line {
                return outer;
            }
            let (mut inside, mut outside) = (centre, outer);
            for _ in 0..40 {
                let middle = f64::midpoint(inside, outside);
                if self.ln_likelihood(middle) >= line {
                    inside = middle;
                } else {
                    outside = middle;
                }
            }
            outside
        };
        (edge(0.0), edge(1.0))
    }

    /// The band and the verdict at a weight, for people; `nothing` when the judge knows that nothing arrives.
    pub(super) fn measured(
        self,
        weight: Weight,
        recent: Self,
        long_enough: bool,
        nothing: bool,
    ) -> Option<Measured> {
        let share = self.share()?;
        let (low, high) = self.band();
        let verdict = if nothing {
            Arrival::NotArriving
        } else if long_enough && Zone::of(weight).is_left(self, recent) {
            Arrival::NotAchievable
        } else if low >= Zone::half(weight).low {
            Arrival::Arriving
        } else {
            Arrival::TooFew
        };
        Some(Measured {
            share: Percent::of_ratio(share),
            low: Percent::of_ratio(low),
            high: Percent::of_ratio(high),
            requests: i64::try_from(self.requests).unwrap_or(i64::MAX),
            verdict,
        })
    }
}

/// ln x! for whole x ≥ 0, by Stirling's series (DLMF 5.11.1); beyond 12 its error is below 1e-10.
fn ln_factorial(x: f64) -> f64 {
    const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;
    let (mut z, mut below) = (x + 1.0, 0.0);
    while z < 12.0 {
        below += z.ln();
        z += 1.0;
    }
    let inverse = 1.0 / z;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0));
    (z - 0.5) * z.ln() - z + HALF_LN_TAU + series - below
}

#[cfg(test)]
mod tests;
