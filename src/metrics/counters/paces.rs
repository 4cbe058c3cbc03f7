//! How fast pods count. After a fall, what no process can have counted since is not taken for a restart, nor for what a
//! restarted one did: two processes behind one address look like that.

use crate::metrics::delta::{Movement, Pods, movement};
use crate::metrics::snapshot::PodSnapshot;
use std::collections::BTreeMap;

/// A process that starts anew may be this many times as busy as before: what waited for it comes at once.
const BUSIER: f64 = 10.0;
/// And so many requests more are never too many.
const SLACK: f64 = 100.0;
/// What is left of a pace at the next sample, where that is slower.
const KEPT: f64 = 0.98;

/// Requests per second of an arm's pods, the fastest of late. Not known after a restart of the daemon: then every fall to
/// less than half is a restart, as far as anybody knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Paces(BTreeMap<String, f64>);

fn total(pod: &PodSnapshot) -> f64 {
    pod.requests.values().map(|counter| counter.count).sum()
}

impl Paces {
    /// Newer samples of an arm, held to those that were known; what fell lately is no measure.
    pub(super) fn note(&mut self, known: &Pods, seen: &Pods, fell_lately: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| known.contains_key(name));
        for (name, pod) in seen {
            let newer = known
                .get(name)
                .filter(|before| pod.sampled_at > before.sampled_at);
            if let Some(before) = newer
                && !fell_lately(name)
                && movement(before, pod) == Movement::Went
            {
                let seconds = pod.sampled_at.duration_since(before.sampled_at).as_secs_f64();
                let pace = (total(pod) - total(before)).max(0.0) / seconds;
                let known = self.0.entry(name.clone()).or_default();
                *known = pace.max(*known * KEPT);
            }
        }
    }

    /// Whether a process of this name can have counted so much in so many seconds.
    pub(super) fn allows(&self, name: &str, gained: f64, seconds: f64) -> bool {
        let most = |pace: &f64| BUSIER * pace * seconds + SLACK;
        self.0.get(name).is_none_or(|pace| gained <= most(pace))
    }
}
