//! What one arm did between the last look and this one: per pod, then added up.

use super::histogram::{self, Curve};
use super::snapshot::{Bucket, Counter, PodSnapshot};
use crate::rollout::sample::{Counts, Histogram};
use std::collections::BTreeMap;

/// Exporting processes by name.
pub(crate) type Pods = BTreeMap<String, PodSnapshot>;

/// What one arm did in a tick.
#[derive(Default)]
pub(crate) struct ArmDelta {
    requests: f64,
    errors: f64,
    curves: Vec<Curve>,
    /// A histogram fell although its pod did not start anew, or says what no counter can: its latency is not known in this
    /// tick.
    latency_lost: bool,
    /// Pods whose counters could be compared.
    pub(crate) counted: usize,
}

impl ArmDelta {
    /// From what was known of this arm's pods, and of the other arm's, to what is seen now. Pods without a newer
    /// sample add nothing: their requests come with their next sample. `believed` says whether a pod of that name can have
    /// counted so much in so many seconds.
    pub(crate) fn between(
        known: &Pods,
        other: &Pods,
        seen: &Pods,
        believed: &dyn Fn(&str, f64, f64) -> bool,
    ) -> Self {
        let mut delta = Self::default();
        for (name, pod) in seen {
            match (known.get(name), other.get(name)) {
                (Some(before), _) if pod.sampled_at > before.sampled_at => {
                    let seconds = pod.sampled_at.duration_since(before.sampled_at).as_secs_f64();
                    delta.add(before, pod, |gained| believed(name, gained, seconds));
                }
                // The pod was seen exporting this metric without a series of this arm: they were born since.
                (None, Some(before)) if pod.sampled_at > before.sampled_at => {
                    let unborn = PodSnapshot {
                        sampled_at: before.sampled_at,
                        requests: BTreeMap::new(),
                        latency: BTreeMap::new(),
                    };
                    delta.count(&unborn, pod, !before.latency.is_empty());
                }
                // Without a newer sample, or new as a whole: it starts here, its past is another time's.
                _ => {}
            }
        }
        delta
    }

    fn add(&mut self, before: &PodSnapshot, now: &PodSnapshot, believed: impl Fn(f64) -> bool) {
        let histograms = !before.latency.is_empty();
        let restarted = PodSnapshot {
            sampled_at: before.sampled_at,
            requests: BTreeMap::new(),
            latency: BTreeMap::new(),
        };
        let from = match movement(before, now) {
            Movement::Went => before,
            Movement::Restarted => &restarted,
            Movement::Unclear => return,
        };
        // What is not believed starts here, as what is unclear does.
        if believed(
            now.requests
                .iter()
                .map(|(key, counter)| more(from, key, counter))
                .sum(),
        ) {
            self.count(from, now, histograms);
        }
    }

    /// `histograms`: whether the pod exported any before, so that a new one was born since.
    fn count(&mut self, before: &PodSnapshot, now: &PodSnapshot, histograms: bool) {
        self.counted += 1;
        for (key, counter) in &now.requests {
            let more = more(before, key, counter);
            self.requests += more;
            if counter.error {
                self.errors += more;
            }
        }
        for (key, buckets) in &now.latency {
            let before = before.latency.get(key);
            if !counted(buckets) || before.is_some_and(|before| !counted(before)) {
                self.latency_lost = true;
                continue;
            }
            match before {
                Some(old) => match histogram::between(old, buckets) {
                    Some(curve) => self.curves.push(curve),
                    None => self.latency_lost = true,
                },
                None if histograms => self.curves.push(buckets.clone()),
                None => {}
            }
        }
    }

    /// As the core wants it.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            requests: histogram::whole(self.requests),
            errors: histogram::whole(self.errors),
            latency: self.latency(),
        }
    }

    fn latency(&self) -> Option<Histogram> {
        if self.latency_lost {
            None
        } else {
            histogram::sum(&self.curves)
        }
    }
}

/// How many more of one kind there are: what fell so far that it began anew is counted from 0.
fn more(before: &PodSnapshot, key: &str, counter: &Counter) -> f64 {
    let from = before.requests.get(key).map(|was| was.count);
    let from = from.filter(|was| !born_anew(*was, counter.count));
    (counter.count - from.unwrap_or(0.0)).max(0.0)
}

/// What became of a pod's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Movement {
    /// None fell, or some were dropped and born anew while others went on.
    Went,
    /// All fell, together by more than half: the process started anew, and what it says now happened since.
    Restarted,
    /// Some fell by less. A process that started anew would have had to reach most of what it had counted in all
    /// its life within a scrape; rather some of the series behind a sum were dropped. What remains is a lifetime's
    /// count and must not be taken for a tick's: this pod starts here. All of it, for a tick of which only the
    /// failures are counted would be a disaster that never was.
    Unclear,
}

/// Judged over the series seen both times: one that vanished is no fall, one that appeared no rise.
pub(crate) fn movement(before: &PodSnapshot, now: &PodSnapshot) -> Movement {
    let (mut old, mut new) = (0.0, 0.0);
    let (mut all_fell, mut little) = (true, false);
    for (key, counter) in &now.requests {
        let Some(was) = before.requests.get(key).map(|was| was.count) else {
            continue;
        };
        old += was;
        new += counter.count;
        all_fell &= counter.count < was || was == 0.0;
        little |= counter.count < was && !born_anew(was, counter.count);
    }
    if all_fell && born_anew(old, new) {
        Movement::Restarted
    } else if little {
        Movement::Unclear
    } else {
        Movement::Went
    }
}

/// Whether any of a pod's counts is smaller than it was.
pub(crate) fn fell(before: &PodSnapshot, now: &PodSnapshot) -> bool {
    now.requests.iter().any(|(key, counter)| {
        let was = before.requests.get(key);
        was.is_some_and(|was| counter.count < was.count)
    })
}

/// Whether a count fell so far that it must have begun at 0 again.
fn born_anew(was: f64, now: f64) -> bool {
    now < was && now * 2.0 <= was
}

/// What is known after this look: newer samples replace older ones; series and pods that are missing are kept for a
/// while, so that a gap is not taken for a birth.
pub(crate) fn remember(known: &mut Pods, seen: Pods, forget_before_ms: i64) {
    for (name, mut pod) in seen {
        if let Some(before) = known.get(&name) {
            if pod.sampled_at <= before.sampled_at {
                continue;
            }
            if movement(before, &pod) == Movement::Went {
                for (key, counter) in &before.requests {
                    pod.requests.entry(key.clone()).or_insert(*counter);
                }
                for (key, buckets) in &before.latency {
                    pod.latency.entry(key.clone()).or_insert_with(|| buckets.clone());
                }
            }
        }
        known.insert(name, pod);
    }
    known.retain(|_, pod| pod.sampled_at.as_millisecond() >= forget_before_ms);
}

/// What a counter can say; beyond it, floating-point counters no longer count.
const COUNTABLE: std::ops::RangeInclusive<f64> = 0.0..=9_007_199_254_740_992.0;

/// Whether all of a histogram are counts.
fn counted(buckets: &[Bucket]) -> bool {
    buckets.iter().all(|bucket| COUNTABLE.contains(&bucket.count))
}

/// A count of requests that no counter can have: on which pod, and what it says. Durations like that are no reason to
/// judge no errors: they are left out.
pub(crate) fn impossible(pods: &Pods) -> Option<(&str, f64)> {
    pods.iter().find_map(|(name, pod)| {
        let mut counts = pod.requests.values().map(|counter| counter.count);
        let count = counts.find(|count| !COUNTABLE.contains(count))?;
        Some((name.as_str(), count))
    })
}
