//! Adding up histograms of several pods whose bounds may differ.

use super::snapshot::Bucket;
use crate::rollout::sample::Histogram;

/// Cumulative counts by bound, ascending, +Inf last: what happened in a tick, not since the process started.
pub(crate) type Curve = Vec<Bucket>;

/// The curve between two readings of one histogram; `None` when a count fell or the bounds have nothing in common.
pub(crate) fn between(before: &[Bucket], after: &[Bucket]) -> Option<Curve> {
    let at = |le_ms: f64| before.iter().find(|bucket| same(bucket.le_ms, le_ms));
    let common = after
        .iter()
        .filter_map(|bucket| at(bucket.le_ms).map(|before| (before, bucket)));
    let curve: Curve = common
        .map(|(before, after)| Bucket {
            le_ms: after.le_ms,
            count: after.count - before.count,
        })
        .collect();
    (!curve.is_empty() && curve.iter().all(|bucket| bucket.count >= 0.0)).then_some(curve)
}

/// The sum of these curves over the bounds that all of them have. Cumulative counts at a common bound add up
/// exactly: nothing is interpolated. `None` when there is no curve, one has no +Inf bucket, or one is not monotone:
/// then how long requests took is not known, while how many there were still is.
pub(crate) fn sum(curves: &[Curve]) -> Option<Histogram> {
    let first = curves.first()?;
    let has = |curve: &Curve, le_ms: f64| curve.iter().any(|bucket| same(bucket.le_ms, le_ms));
    let bounds: Vec<f64> = first
        .iter()
        .map(|bucket| bucket.le_ms)
        .filter(|&le_ms| curves.iter().all(|curve| has(curve, le_ms)))
        .collect();
    let (last, finite) = bounds.split_last()?;
    if !last.is_infinite() || finite.is_empty() {
        return None;
    }
    let monotone = |curve: &Curve| curve.is_sorted_by(|a, b| a.count <= b.count);
    if !curves.iter().all(monotone) {
        return None;
    }
    let total = |le_ms: f64| -> u64 {
        let of = |curve: &Curve| {
            curve
                .iter()
                .find(|bucket| same(bucket.le_ms, le_ms))
                .map_or(0.0, |b| b.count)
        };
        whole(curves.iter().map(of).sum())
    };
    let mut below = 0;
    let counts = bounds
        .iter()
        .map(|&le_ms| {
            let cumulative = total(le_ms);
            let count = cumulative.saturating_sub(below);
            below = cumulative;
            count
        })
        .collect();
    Some(Histogram {
        bounds_ms: finite.into(),
        counts,
    })
}

/// The same histogram with only those bounds that the other has too, so that both can be compared bucket by bucket;
/// `None` when they have none in common.
pub(crate) fn on_bounds_of(histogram: &Histogram, other: &Histogram) -> Option<Histogram> {
    let mut bounds = Vec::new();
    let mut counts = Vec::new();
    let mut open = 0;
    for (&bound, &count) in histogram.bounds_ms.iter().zip(&histogram.counts) {
        open += count;
        if other.bounds_ms.iter().any(|&theirs| same(theirs, bound)) {
            bounds.push(bound);
            counts.push(open);
            open = 0;
        }
    }
    counts.push(open + histogram.counts.last().copied().unwrap_or_default());
    (!bounds.is_empty()).then(|| Histogram {
        bounds_ms: bounds.into(),
        counts,
    })
}

/// Bounds are printed numbers: equal when they are the same number.
fn same(a: f64, b: f64) -> bool {
    a.total_cmp(&b).is_eq()
}

/// Counts are whole numbers below 2^53 when they get here.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be 0..2^53"
)]
pub(crate) fn whole(count: f64) -> u64 {
    count.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(f64, f64)]) -> Curve {
        let bucket = |&(le_ms, count)| Bucket { le_ms, count };
        points.iter().map(bucket).collect()
    }
    const INF: f64 = f64::INFINITY;

    #[test]
    fn pods_with_other_bounds_are_added_where_both_have_a_bound() {
        let a = curve(&[(5.0, 1.0), (10.0, 3.0), (25.0, 6.0), (INF, 7.0)]);
        let b = curve(&[(10.0, 10.0), (50.0, 20.0), (INF, 20.0)]);
        let sum = sum(&[a, b]).unwrap();
        assert_eq!(*sum.bounds_ms, [10.0]);
        assert_eq!(sum.counts, [13, 14]);
    }

    #[test]
    fn a_curve_that_falls_says_nothing_about_latency() {
        assert_eq!(sum(&[curve(&[(5.0, 3.0), (10.0, 2.0), (INF, 4.0)])]), None);
        assert_eq!(sum(&[curve(&[(5.0, 3.0), (10.0, 4.0)])]), None, "no +Inf");
        assert_eq!(sum(&[]), None);
        let (before, after) = (curve(&[(5.0, 3.0), (INF, 4.0)]), curve(&[(5.0, 2.0), (INF, 4.0)]));
        assert_eq!(between(&before, &after), None);
    }

    #[test]
    fn arms_are_brought_to_common_bounds_without_losing_a_request() {
        let histogram = |bounds: &[f64], counts: &[u64]| Histogram {
            bounds_ms: bounds.into(),
            counts: counts.to_vec(),
        };
        let ours = histogram(&[5.0, 10.0, 25.0], &[1, 2, 3, 4]);
        let theirs = histogram(&[10.0, 100.0], &[0, 0, 0]);
        assert_eq!(on_bounds_of(&ours, &theirs), Some(histogram(&[10.0], &[3, 7])));
        assert_eq!(on_bounds_of(&ours, &ours), Some(ours.clone()));
        assert_eq!(on_bounds_of(&ours, &histogram(&[7.0], &[0, 0])), None);
    }
}
