//! Questions to a latency histogram: counts per bucket, not cumulative, the last for everything slower.

use super::evidence::real;
use super::spec::Preset;

/// The value below which a share `q` of the counted requests lies, by linear interpolation inside its bucket;
/// `None` without requests; infinite when it lies beyond the last bound. For people and for point estimates, as
/// `histogram_quantile` gives it; evidence never rests on it.
pub(super) fn quantile(bounds: &[f64], counts: &[u64], q: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = q.clamp(0.0, 1.0) * real(total);
    let (mut below, mut lower) = (0.0, 0.0);
    for (upper, count) in bounds.iter().zip(counts) {
        let count = real(*count);
        if below + count >= rank && count > 0.0 {
            return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
        }
        below += count;
        lower = *upper;
    }
    Some(f64::INFINITY)
}

/// The smallest bound that is at least `ms`.
pub(super) fn at_least(bounds: &[f64], ms: f64) -> Option<f64> {
    bounds.iter().copied().find(|b| *b >= ms * (1.0 - 1e-9))
}

/// The largest bound that is at most `ms`.
pub(super) fn at_most(bounds: &[f64], ms: f64) -> Option<f64> {
    bounds.iter().copied().rfind(|b| *b <= ms * (1.0 + 1e-9))
}

/// The bound nearest to `ms`, by ratio; a value beyond the last bound has none near.
pub(super) fn nearest(bounds: &[f64], ms: f64) -> Option<f64> {
    let far = |b: f64| (b / ms).ln().abs();
    let real = bounds.iter().copied().filter(|b| *b > 0.0);
    let known = ms > 0.0 && ms.is_finite();
    real.min_by(|a, b| far(*a).total_cmp(&far(*b))).filter(|_| known)
}

/// How many requests took longer than a bound of the histogram: exact.
pub(super) fn over_bound(bounds: &[f64], counts: &[u64], bound: f64) -> u64 {
    let slower = bounds.partition_point(|b| *b <= bound * (1.0 + 1e-9));
    counts.iter().skip(slower).sum()
}

/// A bucket so many times as dense as the one below may hold its requests anywhere: all of them may end just under its
/// upper bound.
const STEEP: f64 = 4.0;

/// How steeply the histogram rises into the bucket in which `ms` lies: the growth of the density over the logarithm of
/// the time. 0 where it falls, as it does in a tail; infinite where nothing says how the bucket is filled.
pub(super) fn rise(bounds: &[f64], counts: &[u64], ms: f64) -> f64 {
    let at = bounds.partition_point(|b| *b <= ms * (1.0 + 1e-9));
    let bound = |back: usize| at.checked_sub(back).and_then(|i| bounds.get(i)).copied();
    let (Some(upper), Some(lower)) = (bound(0), bound(1).filter(|b| *b > 0.0)) else {
        return 0.0;
    };
    let width = (upper / lower).ln();
    // The first bucket reaches down to 0: as far as this one is wide, for its share.
    let below = bound(2).filter(|b| *b > 0.0).map_or(width, |b| (lower / b).ln());
    let count = |i: usize| counts.get(i).copied().map_or(0.0, real) + 0.5;
    let times = (count(at) / width) / (count(at.saturating_sub(1)) / below);
    if times > STEEP {
        f64::INFINITY
    } else {
        times.max(1.0).ln() / (0.5 * (width + below))
    }
}

/// About how many requests took longer than `ms`: inside a bucket by a density that grows by `rise` over the logarithm
/// of the time, and evenly at 0. Beyond the last bound nothing is known: all that is there counts.
pub(super) fn over(bounds: &[f64], counts: &[u64], ms: f64, rise: f64) -> f64 {
    let at = bounds.partition_point(|b| *b <= ms * (1.0 + 1e-9));
    let slower = real(counts.iter().skip(at + 1).sum());
    let here = real(counts.get(at).copied().unwrap_or(0));
    let below = at
        .checked_sub(1)
        .and_then(|i| bounds.get(i))
        .copied()
        .unwrap_or(0.0);
    let part = match bounds.get(at) {
        Some(upper) if below > 0.0 => {
            let (whole, part) = ((upper / below).ln(), (ms / below).ln().max(0.0));
            if rise.is_infinite() {
                1.0
            } else if rise.abs() < 1e-6 {
                1.0 - part / whole
            } else {
                ((rise * whole).exp() - (rise * part).exp()) / (rise * whole).exp_m1()
            }
        }
        Some(upper) if *upper > 0.0 => 1.0 - ms / upper,
        _ => 1.0,
    };
    slower + here * part.clamp(0.0, 1.0)
}

/// As many of control's requests as are taken to have been slower than `ms`: read evenly between bounds where the
/// histogram falls, which is more than the truth in any tail with one hump, and more than that where it rises.
pub(super) fn taken_over(bounds: &[f64], counts: &[u64], ms: f64) -> f64 {
    over(bounds, counts, ms, rise(bounds, counts, ms))
}

/// A histogram with these bounds only; `None` unless it has them all.
pub(super) fn onto(kept: &[f64], bounds: &[f64], counts: &[u64]) -> Option<Vec<u64>> {
    if kept == bounds {
        return Some(counts.to_vec());
    }
    let mut fewer = Vec::with_capacity(kept.len() + 1);
    let mut from = 0;
    for bound in kept {
        let at = bounds.iter().position(|b| b.total_cmp(bound).is_eq())?;
        fewer.push(counts.iter().take(at + 1).skip(from).sum());
        from = at + 1;
    }
    fewer.push(counts.iter().skip(from).sum());
    Some(fewer)
}

/// Bounds beyond this many are thinned out.
const MANY: usize = 10;
/// So many are kept below and above what is looked at.
const AROUND: usize = 3;

/// The bounds worth remembering: those around control's quantile and those next to limits.
pub(super) fn worth_keeping(bounds: &[f64], pivot: Option<f64>, limits: &[f64]) -> Vec<f64> {
    let Some(pivot) = pivot.filter(|_| bounds.len() > MANY) else {
        return bounds.to_vec();
    };
    let at = bounds.partition_point(|b| *b < pivot);
    let beside = |b: f64| {
        let next = |limit: &f64| at_least(bounds, *limit) == Some(b) || at_most(bounds, *limit) == Some(b);
        limits.iter().any(next)
    };
    bounds
        .iter()
        .enumerate()
        .filter(|(i, b)| (*i + AROUND >= at && *i < at + AROUND) || beside(**b))
        .map(|(_, b)| *b)
        .collect()
}

/// What to do about bounds that are too far apart, or not where the limits are: by the exporter that has them.
pub(crate) fn remedy(preset: Preset) -> &'static str {
    match preset {
        Preset::Istio | Preset::IstioGateway => "set sidecar.istio.io/statsHistogramBuckets, in milliseconds",
        Preset::IngressNginx => "set the controller's --time-buckets, in seconds",
        Preset::Envoy | Preset::EnvoyGateway => "set stats_config.histogram_bucket_settings, in milliseconds",
        Preset::Traefik => "set metrics.prometheus.buckets, in seconds",
        Preset::Linkerd => "the proxy's are fixed, so put the limits where they are",
        Preset::GatewayApi => "set them where the exporter is configured",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_thinned_out_around_what_is_looked_at_without_losing_a_request() {
        let bounds: Vec<f64> = (0..19).map(|i| f64::from(1 << i)).collect();
        let kept = worth_keeping(&bounds, Some(100.0), &[3000.0]);
        assert_eq!(kept, [16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 2048.0, 4096.0]);
        let counts: Vec<u64> = (1..=20).collect();
        let fewer = onto(&kept, &bounds, &counts).unwrap();
        assert_eq!(fewer, [15, 6, 7, 8, 9, 10, 23, 13, 119]);
        assert_eq!(onto(&[3.0], &bounds, &counts), None);
        assert_eq!(worth_keeping(&bounds, None, &[]), bounds);
    }

    const BOUNDS: [f64; 4] = [10.0, 50.0, 100.0, 500.0];
    const COUNTS: [u64; 5] = [10, 20, 40, 20, 10];

    #[test]
    fn what_is_slower_than_a_bound_is_exact_and_in_between_lies_in_between() {
        for (bound, slower) in [(10.0, 90), (50.0, 70), (100.0, 30), (500.0, 10)] {
            assert_eq!(over_bound(&BOUNDS, &COUNTS, bound), slower);
            assert!((over(&BOUNDS, &COUNTS, bound, 0.0) - real(slower)).abs() < 1e-6);
        }
        let middle = over(&BOUNDS, &COUNTS, (50.0_f64 * 100.0).sqrt(), 0.0);
        assert!((middle - 50.0).abs() < 1e-9, "{middle}");
        assert!((over(&BOUNDS, &COUNTS, 5.0, 0.0) - 95.0).abs() < 1e-9);
        assert!((over(&BOUNDS, &COUNTS, 9000.0, 0.0) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn bounds_are_found_on_either_side_and_nearest_by_ratio() {
        assert_eq!(at_least(&BOUNDS, 50.0), Some(50.0));
        assert_eq!(at_least(&BOUNDS, 51.0), Some(100.0));
        assert_eq!(at_least(&BOUNDS, 501.0), None);
        assert_eq!(at_most(&BOUNDS, 99.0), Some(50.0));
        assert_eq!(at_most(&BOUNDS, 9.0), None);
        assert_eq!(nearest(&BOUNDS, 70.0), Some(50.0));
        assert_eq!(nearest(&BOUNDS, 71.0), Some(100.0));
        assert_eq!(nearest(&BOUNDS, f64::INFINITY), None);
    }

    #[test]
    fn a_line_over_the_logarithm_never_makes_control_faster_than_a_log_normal_tail_is() {
        use statrs::distribution::{ContinuousCDF, LogNormal};
        let law = LogNormal::new(55.0_f64.ln(), 0.6).unwrap();
        let bounds = [50.0, 100.0, 250.0, 500.0];
        let below = |ms: f64| law.cdf(ms) * 1e12;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let counts: Vec<u64> = [0.0, 50.0, 100.0, 250.0, 500.0, 1e9]
            .windows(2)
            .map(|w| (below(w[1]) - below(w[0])) as u64)
            .collect();
        for ms in [66.7, 87.0, 130.0, 166.7, 220.0, 300.0, 400.0] {
            let truth = law.sf(ms) * 1e12;
            assert!(over(&bounds, &counts, ms, 0.0) >= truth * 0.999, "{ms}");
        }
    }
}
