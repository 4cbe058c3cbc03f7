//! A raise that was refused is not asked for again at once: a webhook that says no would be asked without end, and
//! the status written each time.

use crate::rollout::weight::Weight;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The first wait; it doubles up to [`LONGEST`]. Short, for most failures are races that the next try wins.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Whose raises failed, and until when they wait.
#[derive(Debug, Default)]
pub(super) struct Patience(BTreeMap<String, Failed>);

#[derive(Debug)]
struct Failed {
    weight: Weight,
    wait: Duration,
    until: Timestamp,
}

impl Patience {
    /// A raise to this weight failed.
    pub(super) fn failed(&mut self, component: &str, weight: Weight, now: Timestamp) {
        let before = self.0.get(component).filter(|failed| failed.weight == weight);
        let wait = before.map_or(FIRST, |failed| (failed.wait * 2).min(LONGEST));
        let failed = Failed {
            weight,
            wait,
            until: now + wait,
        };
        self.0.insert(component.to_owned(), failed);
    }

    /// A raise was written.
    pub(super) fn done(&mut self, component: &str) {
        self.0.remove(component);
    }

    /// Whether a raise to this weight has to wait. Another weight is another wish.
    pub(super) fn waits(&self, component: &str, weight: Weight, now: Timestamp) -> bool {
        self.0
            .get(component)
            .is_some_and(|failed| failed.weight == weight && now < failed.until)
    }

    /// When the next wait is over.
    pub(super) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        self.0
            .values()
            .map(|failed| failed.until)
            .filter(|until| *until > now)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_again_and_again_waits_longer_and_another_wish_does_not_wait() {
        let mut patience = Patience::default();
        let mut now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let (five, ten) = (
            Weight::from_percent(5).unwrap(),
            Weight::from_percent(10).unwrap(),
        );
        let mut waits = Vec::new();
        for _ in 0..7 {
            patience.failed("shop", five, now);
            let until = patience.due(now).unwrap();
            waits.push(until.duration_since(now).as_secs());
            assert!(patience.waits("shop", five, now));
            assert!(!patience.waits("shop", ten, now));
            now = until;
            assert!(!patience.waits("shop", five, now));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        patience.failed("shop", five, now);
        patience.done("shop");
        assert_eq!(patience.due(now), None);
    }
}
