//! Native histograms: from the buckets that Prometheus answers with, of which the empty ones are missing, to
//! cumulative counts at bounds that stay the same from look to look.
//!
//! Bounds of an exponential histogram are powers of 2^(2^-schema), in the exporter's own unit. Whole powers of two,
//! and half ones where most requests are, are bounds of every such histogram that is fine enough, and few enough to
//! be remembered like a classic one's; a histogram that is merged to be coarser keeps those of them that it has.

use super::preset::Facts;
use super::snapshot::Bucket;
use serde::Deserialize;
use std::borrow::Cow;

/// Exponents of the bounds in halves: of 2 in milliseconds from 1 to 65536. The same number of doublings lies
/// between 2^-10 s, which is 0.98 ms, and 2^6 s.
const WHOLE: std::ops::RangeInclusive<i32> = 0..=16;
/// Between them, from 22 ms to 1.4 s, there are half powers too.
const HALVES: std::ops::RangeInclusive<i32> = 4..=10;
/// Seconds are 2^10 milliseconds here: a shift of exponents.
const SECONDS: i32 = 10;

/// Which ends belong to a bucket, its lower and its upper bound, and how many.
type Answered<'a> = (u8, Cow<'a, str>, Cow<'a, str>, Cow<'a, str>);

/// A native histogram as the API answers it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NativeHistogram<'a> {
    #[serde(borrow)]
    count: Cow<'a, str>,
    /// Populated ones alone.
    #[serde(borrow, default)]
    buckets: Vec<Answered<'a>>,
}

/// A populated bucket, in the exporter's unit.
struct Populated {
    low: f64,
    high: f64,
    count: f64,
}

/// The histogram cannot be read as durations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Something in it is no number.
    NotANumber,
    /// Its bounds are no powers of two: a classic histogram that Prometheus was told to convert.
    Custom,
}

impl NativeHistogram<'_> {
    /// Cumulative counts in milliseconds, ascending, +Inf last.
    pub(crate) fn cumulative(&self, facts: &Facts<'_>) -> Result<Vec<Bucket>, Unreadable> {
        let number = |text: &str| text.parse::<f64>().ok().filter(|n| !n.is_nan());
        let all = number(&self.count).ok_or(Unreadable::NotANumber)?;
        let populated = self
            .buckets
            .iter()
            .map(|(_, low, high, count)| {
                let (low, high, count) = (number(low)?, number(high)?, number(count)?);
                Some(Populated { low, high, count })
            })
            .collect::<Option<Vec<_>>>()
            .ok_or(Unreadable::NotANumber)?;
        let schema = schema(&populated)?;
        let in_seconds = facts.to_ms > 1.0;
        let mut cumulative: Vec<Bucket> = halves()
            .map(|half| half - if in_seconds { 2 * SECONDS } else { 0 })
            .filter(|half| is_bound(*half, schema))
            .map(|half| {
                let bound = (f64::from(half) / 2.0).exp2();
                let below = populated
                    .iter()
                    .filter(|bucket| bucket.high <= bound * (1.0 + 1e-9));
                Bucket {
                    le_ms: (bound * facts.to_ms * 1e6).round() / 1e6,
                    count: below.map(|bucket| bucket.count).sum(),
                }
            })
            .collect();
        cumulative.push(Bucket {
            le_ms: f64::INFINITY,
            count: all,
        });
        Ok(cumulative)
    }
}

/// The exponents of all bounds, in halves, ascending.
fn halves() -> impl Iterator<Item = i32> {
    let (first, last) = (2 * WHOLE.start(), 2 * WHOLE.end());
    (first..=last).filter(|half| half % 2 == 0 || (2 * HALVES.start()..=2 * HALVES.end() + 1).contains(half))
}

/// Whether histograms of this schema have this bound; `None`: every schema may.
fn is_bound(half: i32, schema: Option<i32>) -> bool {
    match schema {
        None | Some(1..) => true,
        Some(0) => half % 2 == 0,
        // One bound every 2^-schema doublings; from -8 on there is only one.
        Some(coarse) => half % (2 << coarse.unsigned_abs().min(8)) == 0,
    }
}

/// Bounds grow by 2^(2^-schema): told by any bucket that does not touch zero. `None` when there is none.
fn schema(populated: &[Populated]) -> Result<Option<i32>, Unreadable> {
    let mut found = None;
    for bucket in populated {
        if bucket.low <= 0.0 || !bucket.high.is_finite() {
            continue;
        }
        let exact = -(bucket.high / bucket.low).log2().log2();
        let near = exact.round();
        let aligned = {
            // Both ends are whole steps away from 1.
            let steps = bucket.high.log2() * near.exp2();
            (steps - steps.round()).abs() < 1e-4
        };
        if (exact - near).abs() > 1e-4 || !(-8.0..=8.0).contains(&near) || !aligned {
            return Err(Unreadable::Custom);
        }
        #[expect(clippy::cast_possible_truncation, reason = "between -8 and 8")]
        let near = near as i32;
        found = Some(found.map_or(near, |known: i32| known.min(near)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::spec::Preset;

    fn histogram(text: &str) -> NativeHistogram<'_> {
        serde_json::from_str(text).unwrap()
    }

    fn at(buckets: &[Bucket], ms: f64) -> Option<f64> {
        let near = |bucket: &&Bucket| (bucket.le_ms - ms).abs() < ms * 0.001;
        buckets.iter().find(near).map(|bucket| bucket.count)
    }

    #[test]
    fn counts_below_a_bound_are_those_of_all_buckets_that_end_there_or_before() {
        // Schema 1: bounds 2^(k/2) seconds.
        let text = r#"{"count":"10","sum":"3","buckets":[[3,"-1e-128","1e-128","1"],
            [0,"0.03125","0.04419417382415922","4"],[0,"0.5","0.7071067811865475","3"],[0,"90.5","128","2"]]}"#;
        let buckets = histogram(text).cumulative(Preset::Traefik.facts());
        // 90.5 is not exactly 2^6.5.
        assert_eq!(buckets, Err(Unreadable::Custom));
        let text = text.replace("90.5", "90.50966799187809");
        let buckets = histogram(&text).cumulative(Preset::Traefik.facts()).unwrap();
        assert_eq!(at(&buckets, 31.25), Some(1.0));
        assert_eq!(at(&buckets, 44.194), Some(5.0));
        assert_eq!(at(&buckets, 500.0), Some(5.0));
        assert_eq!(at(&buckets, 707.107), Some(8.0));
        assert_eq!(at(&buckets, 64_000.0), Some(8.0));
        assert_eq!(buckets.last().unwrap().count.to_string(), "10");
        assert!(buckets.is_sorted_by(|a, b| a.le_ms < b.le_ms && a.count <= b.count));
        assert_eq!(buckets.len(), 17 + 7 + 1);
    }

    #[test]
    fn a_coarser_histogram_keeps_the_bounds_that_it_has() {
        let coarse = r#"{"count":"2","sum":"3","buckets":[[0,"16","32","2"]]}"#;
        let buckets = histogram(coarse).cumulative(Preset::Linkerd.facts()).unwrap();
        assert_eq!(buckets.len(), 17 + 1, "schema 0 has whole powers alone");
        assert_eq!((at(&buckets, 16.0), at(&buckets, 32.0)), (Some(0.0), Some(2.0)));
        let coarser = r#"{"count":"2","sum":"3","buckets":[[0,"16","64","2"]]}"#;
        let buckets = histogram(coarser).cumulative(Preset::Linkerd.facts()).unwrap();
        assert_eq!(at(&buckets, 32.0), None, "inside a bucket nobody knows");
        assert_eq!((at(&buckets, 16.0), at(&buckets, 64.0)), (Some(0.0), Some(2.0)));
        // Steps of 16, in seconds: 1/16 and 1 are bounds, a quarter is inside.
        let coarsest = r#"{"count":"2","sum":"3","buckets":[[0,"0.0625","1","2"]]}"#;
        let buckets = histogram(coarsest).cumulative(Preset::Traefik.facts()).unwrap();
        assert_eq!((at(&buckets, 62.5), at(&buckets, 1000.0)), (Some(0.0), Some(2.0)));
        assert_eq!((at(&buckets, 250.0), at(&buckets, 16_000.0)), (None, Some(2.0)));
    }

    #[test]
    fn an_empty_one_is_zero_everywhere_and_what_is_no_number_is_none() {
        let buckets = histogram(r#"{"count":"0","sum":"0"}"#).cumulative(Preset::Linkerd.facts());
        assert!(buckets.unwrap().iter().all(|bucket| bucket.count < 0.5));
        let nan = histogram(r#"{"count":"NaN","sum":"0"}"#).cumulative(Preset::Linkerd.facts());
        assert_eq!(nan, Err(Unreadable::NotANumber));
    }

    #[test]
    fn bounds_that_are_no_powers_of_two_are_refused() {
        let converted = r#"{"count":"2","sum":"3","buckets":[[0,"0.1","0.25","2"]]}"#;
        let read = histogram(converted).cumulative(Preset::Traefik.facts());
        assert_eq!(read, Err(Unreadable::Custom));
        let doubling = r#"{"count":"2","sum":"3","buckets":[[0,"0.1","0.2","2"]]}"#;
        let read = histogram(doubling).cumulative(Preset::Traefik.facts());
        assert_eq!(read, Err(Unreadable::Custom));
    }
}
