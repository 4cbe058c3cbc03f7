//! The only reader of time.

use jiff::Timestamp;
use std::time::Duration;

/// Wall-clock time, real or virtual. Cheap to clone; clones agree.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// Virtual time that follows tokio's clock: under a paused runtime it jumps from timer to timer, and after
    /// `tokio::time::resume` it goes on at real speed from where it was.
    Simulated {
        /// The wall-clock time at `origin`.
        epoch: Timestamp,
        /// The instant of tokio's clock that stands for `epoch`.
        origin: tokio::time::Instant,
    },
}

impl Clock {
    /// A virtual clock that says `epoch` now. Needs no runtime, but follows the paused clock of the one it is
    /// read in.
    pub fn simulated(epoch: Timestamp) -> Self {
        Self::Simulated {
            epoch,
            origin: tokio::time::Instant::now(),
        }
    }

    /// The time now.
    #[expect(clippy::disallowed_methods, reason = "this is the room that owns the clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Simulated { epoch, origin } => {
                let passed = tokio::time::Instant::now().saturating_duration_since(*origin);
                epoch.checked_add(passed).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// How long to wait until `at`; zero when it has passed. At most 30 days, because timers refuse far futures:
    /// wake, look again, and wait the rest.
    pub fn until(&self, at: Timestamp) -> Duration {
        const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
        Duration::try_from(at.duration_since(self.now()))
            .unwrap_or(Duration::ZERO)
            .min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn virtual_time_is_the_runtimes_time() {
        let epoch: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        let clock = Clock::simulated(epoch);
        tokio::time::sleep(Duration::from_secs(3 * 24 * 3600)).await;
        assert_eq!(clock.now().duration_since(epoch).as_hours(), 72);
        assert_eq!(clock.until(epoch), Duration::ZERO, "the past is due now");
        assert_eq!(
            clock.until(clock.now() + Duration::from_secs(7)),
            Duration::from_secs(7)
        );
    }
}
