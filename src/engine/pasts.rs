//! What control did before a component's attempt: asked for once, for how its errors cluster is not learned in a hurry.

use crate::rollout::sample::{Blindness, Slice};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long after a source that did not answer it is asked again.
const AGAIN: Duration = Duration::from_secs(300);

/// The past of each component of one resource.
#[derive(Debug, Default)]
pub(super) struct Pasts {
    asked: BTreeMap<String, Asked>,
    known: BTreeMap<String, Arc<[Slice]>>,
}

#[derive(Debug)]
struct Asked {
    attempt: i32,
    /// Somebody was going to keep it.
    kept: bool,
    /// It was not told; not before this is it asked for again.
    again: Option<Timestamp>,
}

impl Pasts {
    /// Whether a component's past is to be asked for now. Whoever is told so asks. `keep`: some check is held to it, and
    /// it is not in the status yet.
    pub(super) fn begin(&mut self, component: &str, attempt: i32, keep: bool, now: Timestamp) -> bool {
        let due = self.asked.get(component).is_none_or(|asked| {
            asked.attempt != attempt
                || keep && !asked.kept
                || (asked.again.is_some_and(|again| now >= again) && (keep || !asked.kept))
        });
        if due {
            let asked = Asked {
                attempt,
                kept: keep,
                again: None,
            };
            self.asked.insert(component.to_owned(), asked);
        }
        due
    }

    /// What came of it.
    pub(super) fn finish(&mut self, component: String, told: Result<Vec<Slice>, Blindness>, now: Timestamp) {
        match told {
            Ok(slices) => {
                // Where there is none yet, or nobody could keep it yet, it is asked for again as long as it is wanted.
                if let Some(asked) = self.asked.get_mut(&component).filter(|asked| asked.kept) {
                    asked.again = now.checked_add(AGAIN).ok();
                }
                self.known.insert(component, slices.into());
            }
            Err(blindness) => {
                tracing::info!(
                    component,
                    why = blindness.message,
                    "control's past is not told, asked again later"
                );
                if let Some(asked) = self.asked.get_mut(&component) {
                    asked.again = now.checked_add(AGAIN).ok();
                }
            }
        }
    }

    /// A component's past, once.
    pub(super) fn take(&mut self, component: &str) -> Option<Arc<[Slice]>> {
        self.known.remove(component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::sample::Dark;

    #[test]
    fn a_past_is_asked_for_once_an_attempt_and_again_only_after_a_while_in_the_dark() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let mut pasts = Pasts::default();
        assert!(pasts.begin("shop", 1, false, now));
        assert!(!pasts.begin("shop", 1, false, now), "it is under way");
        let down = Blindness {
            kind: Dark::Down,
            message: "refused".to_owned(),
        };
        pasts.finish("shop".to_owned(), Err(down), now);
        assert!(!pasts.begin("shop", 1, false, now + Duration::from_secs(299)));
        assert!(pasts.begin("shop", 1, false, now + AGAIN));
        pasts.finish("shop".to_owned(), Ok(Vec::new()), now);
        assert!(pasts.take("shop").is_some());
        assert!(pasts.take("shop").is_none(), "given once");
        assert!(!pasts.begin("shop", 1, false, now + 10 * AGAIN));
        assert!(pasts.begin("shop", 1, true, now), "a check wants it now");
        assert!(!pasts.begin("shop", 1, true, now), "it is under way");
        pasts.finish("shop".to_owned(), Ok(Vec::new()), now);
        assert!(!pasts.begin("shop", 1, false, now + AGAIN), "it is in the status");
        assert!(pasts.begin("shop", 1, true, now + AGAIN), "it is not");
        assert!(pasts.begin("shop", 2, false, now), "another attempt");
    }
}
