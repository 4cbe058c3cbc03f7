//! One address of Prometheus, and whether it is worth asking.

use super::health::EndpointHealth;
use prometheus_http_query::Client;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// So many failures in a row, and an endpoint rests.
const FAILURES: u32 = 3;
/// Its first rest; each further one is twice as long.
const REST: Duration = Duration::from_secs(5);
/// The longest rest: how much darkness a source that comes back may cost at most.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// One address.
pub(crate) struct Endpoint {
    pub(crate) client: Client,
    /// For messages: without query, user or password.
    pub(crate) name: String,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    /// In a row.
    failures: u32,
    /// Not asked before this.
    rests_until: Option<Instant>,
    /// Somebody is finding out whether it is back.
    tried: bool,
    asked: u64,
    /// Why it gave nothing the last time; `None`: it did, or was never asked.
    failing: Option<String>,
}

/// Whether an endpoint may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It answered, or was never asked.
    Sound,
    /// It has rested enough: one question may find out.
    Due,
    /// Not now.
    Resting(Duration),
}

impl Endpoint {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self {
            client,
            name,
            record: Mutex::default(),
        }
    }

    /// Never held across an await.
    fn with<T>(&self, act: impl FnOnce(&mut Record) -> T) -> T {
        act(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn standing(&self) -> Standing {
        let now = Instant::now();
        self.with(|record| match record.rests_until {
            None => Standing::Sound,
            Some(until) if until > now => Standing::Resting(until - now),
            Some(_) if record.tried => Standing::Resting(Duration::ZERO),
            Some(_) => Standing::Due,
        })
    }

    /// A question begins; its outcome must be told to the [`Attempt`], else it counts as a failure when it was to
    /// find out whether a resting endpoint is back, and as nothing otherwise.
    pub(crate) fn attempt(&self) -> Attempt<'_> {
        self.with(|record| {
            record.asked += 1;
            let trial = record.rests_until.is_some();
            record.tried |= trial;
            Attempt {
                endpoint: self,
                trial,
                failures: record.failures,
            }
        })
    }

    fn answered(&self) {
        self.with(|record| {
            if record.rests_until.is_some() {
                tracing::info!(endpoint = self.name, "prometheus answers again");
            }
            *record = Record {
                asked: record.asked,
                ..Record::default()
            };
        });
    }

    /// `before`: how many failures in a row there were when the question began. Questions that were under way at once
    /// and failed together are one failure: they met the same trouble.
    fn failed(&self, before: u32, why: &str) {
        let now = Instant::now();
        self.with(|record| {
            if record.failures <= before {
                record.failures = record.failures.saturating_add(1);
            }
            record.tried = false;
            record.failing = Some(why.to_owned());
            if record.failures >= FAILURES {
                if record.rests_until.is_none() {
                    tracing::warn!(
                        endpoint = self.name,
                        why,
                        "prometheus gives no answer; asked less often"
                    );
                }
                record.rests_until = Some(now + rest(record.failures));
            }
        });
    }

    /// Why it gave nothing the last time.
    pub(crate) fn failing(&self) -> Option<String> {
        self.with(|record| record.failing.clone())
    }

    pub(crate) fn health(&self) -> EndpointHealth {
        self.with(|record| EndpointHealth {
            name: self.name.clone(),
            asked: record.asked,
            resting: record.rests_until.is_some(),
            failing: record.failing.clone(),
        })
    }
}

/// How long after so many failures, with a tenth of chance on top: daemons that lost the same Prometheus at once
/// must not all come back to it at once.
fn rest(failures: u32) -> Duration {
    let doubled = failures.saturating_sub(FAILURES).min(8);
    let rest = REST.saturating_mul(1 << doubled).min(LONGEST_REST);
    rest + chance(rest / 10)
}

/// Anything up to this.
pub(crate) fn chance(up_to: Duration) -> Duration {
    let millis = u64::try_from(up_to.as_millis()).unwrap_or(u64::MAX);
    // The hasher's keys are the standard library's only source of chance; nothing here needs a better one.
    let any = RandomState::new().hash_one(millis);
    Duration::from_millis(any.checked_rem(millis).unwrap_or_default())
}

/// A question that is under way.
pub(crate) struct Attempt<'a> {
    endpoint: &'a Endpoint,
    trial: bool,
    /// Of the endpoint, in a row, when it began.
    failures: u32,
}

impl Attempt<'_> {
    pub(crate) fn answered(mut self) {
        self.trial = false;
        self.endpoint.answered();
    }

    pub(crate) fn failed(mut self, why: &str) {
        self.trial = false;
        self.endpoint.failed(self.failures, why);
    }
}

/// Whoever asked went away.
impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.trial {
            self.endpoint
                .failed(self.failures, "no answer while another endpoint gave one");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        let client = Client::from(reqwest::Client::new(), "http://prometheus").unwrap();
        Endpoint::new(client, "http://prometheus".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_in_a_row_are_a_rest_and_one_question_finds_out_whether_it_is_over() {
        let endpoint = endpoint();
        for _ in 0..2 {
            endpoint.attempt().failed("refused");
            assert_eq!(endpoint.standing(), Standing::Sound);
        }
        endpoint.attempt().failed("refused");
        assert!(matches!(endpoint.standing(), Standing::Resting(_)));
        tokio::time::advance(REST + REST / 10).await;
        assert_eq!(endpoint.standing(), Standing::Due);
        let trial = endpoint.attempt();
        assert!(
            matches!(endpoint.standing(), Standing::Resting(_)),
            "one at a time"
        );
        drop(trial);
        assert!(
            matches!(endpoint.standing(), Standing::Resting(left) if left > REST),
            "longer each time"
        );
        tokio::time::advance(LONGEST_REST + LONGEST_REST / 10).await;
        endpoint.attempt().answered();
        assert_eq!(endpoint.standing(), Standing::Sound);
        assert_eq!(endpoint.health().failing, None);
        endpoint.attempt().failed("refused");
        assert_eq!(endpoint.standing(), Standing::Sound, "counting begins anew");
    }

    #[test]
    fn questions_that_fail_together_are_one_failure() {
        let endpoint = endpoint();
        for round in 0..2 {
            let at_once: Vec<Attempt<'_>> = (0..4).map(|_| endpoint.attempt()).collect();
            for attempt in at_once {
                attempt.failed("refused");
            }
            assert_eq!(endpoint.standing(), Standing::Sound, "round {round}");
        }
        let late = endpoint.attempt();
        endpoint.attempt().answered();
        late.failed("refused");
        endpoint.attempt().failed("refused");
        assert_eq!(endpoint.standing(), Standing::Sound, "an answer came between");
        endpoint.attempt().failed("refused");
        assert!(matches!(endpoint.standing(), Standing::Resting(_)));
    }

    #[test]
    fn rests_double_up_to_the_longest() {
        let at_most = |rest: Duration| rest + rest / 10;
        for (failures, base) in [(3, 5), (4, 10), (5, 20), (6, 30), (60, 30)] {
            let base = Duration::from_secs(base);
            let rest = rest(failures);
            assert!(base <= rest && rest <= at_most(base), "{failures}: {rest:?}");
        }
    }
}
