//! How much more control's bad requests vary than independent ones would: φ, by which evidence is tempered.
//!
//! Retries and single bad clients make errors come in bursts. φ is Pearson's χ² ÷ its degrees of freedom over
//! slices of time, each compared with the slice before: what drifts slowly is no burst. It is learned from control's
//! history before the rollout, and from control's own ticks while it runs; what was learned only grows. Until enough
//! was seen bursts are supposed ([`SUPPOSED`]): nobody has shown yet that there are none.
//!
//! An outage of control's is no burst ([`Dispersion::is_outage`]): taken for one, a minute of it would make every
//! fault of the canary's pass for chance for the rest of the rollout. Neither it nor what borders on it is compared.

use super::evidence::real;
use super::sample::Counts;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Errors are counted in slices of this length: longer than a burst.
pub(super) const ERROR_SLICE: Duration = Duration::from_secs(120);
/// Slow requests are: with them, all that changes for both arms within a slice would be taken for bursts.
pub(super) const SLOW_SLICE: Duration = Duration::from_secs(60);
/// Older slices are worth half from so many on.
const REMEMBERED: f64 = 240.0;
/// Fewer comparisons than this say nothing.
const LEAST: f64 = 5.0;
/// A slice with fewer requests than this goes on, up to [`LONGEST`]: a burst that is longer than its slices looks like
/// none.
const WORTH_CLOSING: u64 = 90;
const LONGEST: Duration = Duration::from_secs(900);
/// φ as long as control's past is unknown and little was seen of it: the bursts that a client brings who tries three times.
const SUPPOSED: f64 = 4.0;
/// The same for a disaster: a canary of which most fail is no burst, as a rule.
const SUPPOSED_OF_DISASTERS: f64 = 2.0;
/// So many slices with bad requests make the supposition needless.
const SEEN_ENOUGH: f64 = 20.0;
/// A slice that had to wait for its requests counts for so much: the quieter an arm, the rarer the burst that would
/// have shown how large they are. A quiet arm is known after a day.
const QUIET_WORTH: f64 = 0.2;
/// A past of this length does so too, whatever was in it.
const KNOWN_PAST: Duration = Duration::from_secs(2 * 3600);
/// Beyond this, evidence would never be enough.
const MOST: f64 = 50.0;
/// The same for a disaster: of bursts of ten, one in ten thousand is as long as what this asks for.
const MOST_OF_DISASTERS: f64 = 12.0;
/// A slice with so many bad requests, and [`OUTLYING`] times what control usually has, is an outage. One burst of ten in
/// fifty is as large.
const OUTAGE: f64 = 40.0;
const OUTLYING: f64 = 4.0;
/// What is usual is the mean of about so many slices.
const USUAL_OF: f64 = 30.0;

/// What is known of φ. Persists as a row of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Dispersion {
    /// The largest φ that was believed; 0 before the first.
    phi: f64,
    /// The slice that is being counted: milliseconds, good and bad requests.
    open: [u64; 3],
    /// The slice before: bad requests, and requests to expect them from.
    before: Option<[f64; 2]>,
    /// Good requests that a slice usually has.
    usual: f64,
    /// Σ (k₁e₂ − k₂e₁)² ÷ e₁e₂ over neighbours, and Σ (k₁ + k₂), which it is on average for independent requests.
    found: f64,
    expected: f64,
    /// How many neighbours were compared.
    pairs: f64,
    /// Slices with bad requests, or [`SEEN_ENOUGH`].
    seen: f64,
    /// Bad requests that a slice usually has; `None` before the first.
    usual_bad: Option<f64>,
    /// What the last two neighbours add to `found` and `expected`, until the slice after them has shown that they do
    /// not border on an outage.
    pending: Option<[f64; 2]>,
    /// The slice before was one of an outage.
    is_after_outage: bool,
}

impl From<Dispersion> for String {
    fn from(d: Dispersion) -> Self {
        let [millis, good, bad] = d.open.map(real);
        let [found, expected] = d.pending.unwrap_or_default();
        let mut row = vec![
            d.phi,
            millis,
            good,
            bad,
            d.usual,
            d.found,
            d.expected,
            d.pairs,
            d.seen,
            // One more, so that none is told from nothing.
            d.usual_bad.map_or(0.0, |usual| usual + 1.0),
            f64::from(u8::from(d.is_after_outage)),
            found,
            expected,
        ];
        row.extend(d.before.into_iter().flatten());
        let round = |x: f64| ((x * 100.0).round() / 100.0).to_string();
        row.into_iter().map(round).collect::<Vec<_>>().join(" ")
    }
}

impl TryFrom<String> for Dispersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let row: Result<Vec<f64>, _> = text.split(' ').map(str::parse).collect();
        let sound = |row: &Vec<f64>| row.iter().all(|x| x.is_finite() && *x >= 0.0);
        let row = row.ok().filter(sound).unwrap_or_default();
        let [phi, millis, good, bad, usual, found, expected, pairs, rest @ ..] = row.as_slice() else {
            return Err(format!("{text:?} is not what is stored of bursts"));
        };
        // Rows of before knew of no outages; those before them had no `seen` either, and supposed nothing.
        let (seen, [usual_bad, after_outage, pending @ ..], before) = match rest {
            [seen, usual, after, found, expected, before @ ..] => {
                (*seen, [*usual, *after, *found, *expected], before)
            }
            [seen, before @ ..] if rest.len() % 2 == 1 => (*seen, [0.0; 4], before),
            _ => (SEEN_ENOUGH, [0.0; 4], rest),
        };
        Ok(Self {
            phi: *phi,
            open: [*millis, *good, *bad].map(whole),
            before: before.try_into().ok(),
            usual: *usual,
            found: *found,
            expected: *expected,
            pairs: *pairs,
            seen,
            usual_bad: (usual_bad >= 1.0).then_some(usual_bad - 1.0),
            is_after_outage: after_outage > 0.0,
            // Two neighbours without a bad request add nothing.
            pending: pending.iter().any(|x| *x > 0.0).then_some(pending),
        })
    }
}

/// A stored count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be no less than 0, and `as` saturates"
)]
fn whole(x: f64) -> u64 {
    x as u64
}

impl Dispersion {
    /// φ as far as it is known, and supposed where it is not: 1 or more.
    pub(super) fn phi(&self) -> f64 {
        self.at_least(SUPPOSED, self.phi.max(self.surely())).min(MOST)
    }

    /// φ by which failures are counted that look like a disaster.
    pub(super) fn phi_of_disasters(&self) -> f64 {
        let learned = self.phi.max(self.surely());
        self.at_least(SUPPOSED_OF_DISASTERS, learned)
            .min(MOST_OF_DISASTERS)
    }

    fn at_least(&self, supposed: f64, learned: f64) -> f64 {
        let unknown = 1.0 - (self.seen / SEEN_ENOUGH).min(1.0);
        learned.max(1.0 + (supposed - 1.0) * unknown)
    }

    pub(super) fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// Nobody has seen bursts that are as large as φ says.
    pub(super) fn is_supposed(&self) -> bool {
        self.phi() > self.phi.max(self.surely()).max(1.0)
    }

    /// Takes in some of control's requests. True when φ grew.
    pub(super) fn add(&mut self, requests: u64, bad: u64, length: Duration, slice: Duration) -> bool {
        let before = self.phi();
        if let Some(closed) = self.count(requests, bad, length, slice) {
            self.close(closed);
        }
        self.phi() > before
    }

    /// Counts them to the open slice; the slice, when that was its end.
    fn count(&mut self, requests: u64, bad: u64, length: Duration, slice: Duration) -> Option<Closed> {
        let [millis, good, failed] = &mut self.open;
        *millis += u64::try_from(length.as_millis()).unwrap_or(0);
        *good += requests.saturating_sub(bad);
        *failed += bad;
        let (length, quiet) = (u128::from(*millis), *good + *failed < WORTH_CLOSING);
        if length < slice.as_millis() || quiet && length < LONGEST.as_millis() {
            return None;
        }
        let closed = Closed {
            good: real(*good),
            bad: real(*failed),
            is_quiet: length > 2 * slice.as_millis(),
        };
        self.open = [0; 3];
        Some(closed)
    }

    fn close(&mut self, Closed { good, bad, is_quiet }: Closed) {
        let is_outage = self.is_outage(bad);
        // An outage that does not end is what is usual, after a while.
        let usual = self.usual_bad.unwrap_or(bad);
        let most = OUTAGE.max(OUTLYING * usual);
        self.usual_bad = Some(usual + (bad.min(most) - usual) / USUAL_OF);
        if is_outage || std::mem::replace(&mut self.is_after_outage, is_outage) {
            // The slice before and the one after are the outage's in part.
            (self.before, self.pending, self.is_after_outage) = (None, None, is_outage);
            return;
        }
        let slices = self.pairs.clamp(1.0, 30.0);
        self.usual = if self.before.is_none() && self.pairs < 1.0 {
            good
        } else {
            self.usual + (good - self.usual) / slices
        };
        // By good requests, for a burst of retries brings its own requests; and half by the usual number, for a
        // quiet slice may have none.
        let e = f64::midpoint(good, self.usual).max(0.5);
        if bad > 0.0 {
            let worth = if is_quiet { QUIET_WORTH } else { 1.0 };
            self.seen = (self.seen + worth).min(SEEN_ENOUGH);
        }
        self.commit();
        if let Some([k, other]) = self.before {
            self.pending = Some([(bad * other - k * e).powi(2) / (e * other), bad + k]);
        }
        self.before = Some([bad, e]);
    }

    /// Whether a slice with so many bad requests is one of an outage: many, and many times what is usual.
    fn is_outage(&self, bad: f64) -> bool {
        self.usual_bad
            .is_some_and(|usual| bad >= OUTAGE && bad > OUTLYING * usual)
    }

    /// The last neighbours are believed: no outage came after them.
    fn commit(&mut self) {
        let Some([found, expected]) = self.pending.take() else {
            return;
        };
        self.found += found;
        self.expected += expected;
        self.pairs += 1.0;
        self.believe(self.surely());
        if self.pairs >= REMEMBERED {
            self.found /= 2.0;
            self.expected /= 2.0;
            self.pairs /= 2.0;
        }
    }

    /// φ by what was counted lately.
    fn estimate(&self) -> f64 {
        let [found, expected, pairs] = self.sums();
        if pairs < LEAST || expected <= 0.0 {
            return 1.0;
        }
        found / expected
    }

    /// `found`, `expected` and `pairs`, with the last neighbours.
    fn sums(&self) -> [f64; 3] {
        let [found, expected] = self.pending.unwrap_or_default();
        let last = f64::from(u8::from(self.pending.is_some()));
        [self.found + found, self.expected + expected, self.pairs + last]
    }

    /// φ without what chance may have added: estimates scatter by √(3/pairs) around 1, and the largest of many is
    /// kept; twice that is next to nothing against the φ of bursts.
    fn surely(&self) -> f64 {
        let [.., pairs] = self.sums();
        self.estimate() - 2.0 * (3.0 / pairs.max(1.0)).sqrt()
    }

    /// Takes the least calm member's bursts for those of all. What every member's past has shown needs no supposing.
    /// True when φ grew.
    pub(super) fn mind<'d>(&mut self, members: impl Iterator<Item = &'d Self> + Clone) -> bool {
        let known = members.clone().map(|m| m.seen).fold(SEEN_ENOUGH, f64::min);
        self.seen = self.seen.max(known);
        let learned = members.map(|m| m.phi).fold(0.0, f64::max);
        self.believe(learned)
    }

    /// True when φ grew.
    fn believe(&mut self, phi: f64) -> bool {
        let before = self.phi();
        if phi > self.at_least(SUPPOSED, self.phi) {
            self.phi = phi;
        }
        self.phi() > before
    }

    /// Errors that are independent of each other, as far as φ tells.
    fn bursts(&self) -> f64 {
        let [_, expected, _] = self.sums();
        expected / 2.0 / self.estimate().max(1.0)
    }

    /// Learns φ from control's past: from the last hours in short slices, and where those held few bursts, also from
    /// a day in longer ones. Each slice is its length, its requests and how many of them were bad.
    pub(super) fn learn(&mut self, past: &[(Duration, u64, u64)], slice: Duration) -> bool {
        let of = |wanted: fn(Duration) -> bool| {
            let mut one = Self::default();
            let past = past.iter().filter(|(length, ..)| wanted(*length));
            let closed: Vec<Closed> = past
                .filter_map(|(length, requests, bad)| one.count(*requests, *bad, *length, slice))
                .collect();
            one.usual_bad = median(closed.iter().map(|closed| closed.bad).collect());
            for closed in closed {
                one.close(closed);
            }
            one.commit();
            one
        };
        let short = of(|length| length <= LONG);
        let mut phi = short.surely();
        if short.bursts() < ENOUGH_BURSTS {
            let day = of(|length| length > LONG);
            // A handful of bursts seldom has a large one among them.
            let few = 1.0 + FEW / day.bursts().max(1.0).sqrt();
            phi = phi.max(1.0 + (day.estimate() - 1.0).max(0.0) * few);
        }
        let length: Duration = past
            .iter()
            .filter(|(_, n, _)| *n > 0)
            .map(|(length, ..)| *length)
            .sum();
        let seen = if length >= KNOWN_PAST {
            SEEN_ENOUGH
        } else {
            short.seen
        };
        self.seen = self.seen.max(seen);
        self.usual_bad = short.usual_bad.or(self.usual_bad);
        self.believe(phi)
    }
}

/// A slice whose time is over.
#[derive(Clone, Copy, Debug)]
struct Closed {
    good: f64,
    bad: f64,
    /// It had to wait for its requests.
    is_quiet: bool,
}

fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

/// A slice longer than this is one of the day's.
const LONG: Duration = Duration::from_secs(300);
/// So many bursts show how large they are.
const ENOUGH_BURSTS: f64 = 50.0;

/// How much more φ may be than what a single burst shows.
const FEW: f64 = 1.5;

/// φ of errors and of slow requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Noise {
    #[serde(rename = "e", default, skip_serializing_if = "Dispersion::is_unknown")]
    pub(super) errors: Dispersion,
    #[serde(rename = "s", default, skip_serializing_if = "Dispersion::is_unknown")]
    pub(super) slow: Dispersion,
}

impl Noise {
    pub(super) fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// As if a past had been learned in which nothing came in bursts.
    #[cfg(test)]
    pub(super) fn calm() -> Self {
        let calm = Dispersion {
            seen: SEEN_ENOUGH,
            ..Dispersion::default()
        };
        Self {
            errors: calm,
            slow: calm,
        }
    }

    /// Takes in what control did in a tick: `slow` of the requests with a known latency.
    pub(super) fn add(&mut self, control: &Counts, slow: Option<(u64, u64)>, length: Duration) -> [bool; 2] {
        let errors = self
            .errors
            .add(control.requests, control.errors, length, ERROR_SLICE);
        let slow = slow.is_some_and(|(n, k)| self.slow.add(n, k, length, SLOW_SLICE));
        [errors, slow]
    }
}

#[cfg(test)]
mod tests;
