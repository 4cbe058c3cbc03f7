//! Counters that fall again and again are no counters: a restart makes one fall once.

use crate::metrics::delta::{Pods, fell};
use std::collections::BTreeMap;

/// What a fall weighs; every newer sample without one takes 1 off.
const FALL: u8 = 3;
/// From so much on a pod's counters are not believed: three falls in a row, or more than one in four for long. A
/// process that crashes and is restarted ever later stays below.
const TOO_MANY: u8 = 9;
/// No more is remembered.
const MOST: u8 = 18;

/// How often the counters of pods fell lately. Empty while none did.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Falls(BTreeMap<String, u8>);

impl Falls {
    /// Newer samples of an arm, held to those that were known.
    pub(super) fn note(&mut self, known: &Pods, seen: &Pods) {
        self.0.retain(|name, _| known.contains_key(name));
        for (name, pod) in seen {
            let Some(before) = known
                .get(name)
                .filter(|before| pod.sampled_at > before.sampled_at)
            else {
                continue;
            };
            // One of its series is enough: the others may be another process' behind the same address.
            if fell(before, pod) {
                let falls = self.0.entry(name.clone()).or_default();
                *falls = falls.saturating_add(FALL).min(MOST);
            } else if let Some(falls) = self.0.get_mut(name) {
                *falls = falls.saturating_sub(1);
            }
        }
        self.0.retain(|_, falls| *falls > 0);
    }

    /// Whether a pod's counts fell within its last samples.
    pub(super) fn lately(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A pod whose counters are none.
    pub(super) fn too_many(&self) -> Option<&str> {
        self.0
            .iter()
            .find_map(|(name, falls)| (*falls >= TOO_MANY).then_some(name.as_str()))
    }
}
