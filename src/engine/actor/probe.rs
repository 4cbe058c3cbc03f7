//! The daemon's own requests to components that ask for them.

use super::{Actor, Done};
use jiff::Timestamp;
use std::time::Duration;

/// A probe waits up to this part of its interval: components that were made at once are not asked at once.
const JITTER: u32 = 10;

impl Actor {
    /// Sends the probes that are due.
    pub(super) fn probe(&mut self, now: Timestamp) {
        let Ok(sound) = &self.sound else { return };
        for planned in sound.plan.cared_for() {
            let Some(probe) = &planned.component.probe else {
                continue;
            };
            let name = planned.name();
            if !self.watched.iter().any(|watched| watched == name) {
                continue;
            }
            let prober = self.shared.settings.prober.clone();
            let refusal = match &prober {
                Some(prober) => prober.refusal(probe),
                None => Some("this daemon sends no probes".to_owned()),
            };
            if !self.probes.begin(name, probe, now, refusal) {
                continue;
            }
            let Some(prober) = prober else { continue };
            let (component, probe) = (name.to_owned(), probe.clone());
            self.tasks.spawn(async move {
                tokio::time::sleep(chance(probe.every() / JITTER)).await;
                let results = prober.send(&probe).await;
                Done::Probed { component, results }
            });
        }
    }
}

/// Anything up to this.
fn chance(up_to: Duration) -> Duration {
    let millis = u64::try_from(up_to.as_millis()).unwrap_or(u64::MAX);
    let any = u64::try_from(ulid::Ulid::generate().random() & 0xffff_ffff).unwrap_or_default();
    Duration::from_millis(any.checked_rem(millis).unwrap_or_default())
}
