//! Whether the source of samples can be relied on, for people and for the daemon's own metrics. Nothing is decided
//! by it: what a component may conclude from darkness is the core's business.

use super::counters::Cursor;
use super::source::Source;
use crate::rollout::sample::Reading;
use jiff::Timestamp;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The scrape period while none was learned.
const UNLEARNED: Duration = Duration::from_secs(60);
/// No newer sample for so many scrapes: what the source says is old.
const SCRAPES: u32 = 3;
/// Failures of one round of looks come within this; failures further apart are of two rounds.
const ROUND: Duration = Duration::from_secs(1);

/// How the source stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    /// Nothing was asked yet: no component is watched.
    #[default]
    Unasked,
    /// It answers, and has new samples.
    Fresh,
    /// It answers, and its newest sample is older than three scrapes.
    Stale,
    /// It gave no answer that could be used at two looks in a row.
    Down,
}

/// The source, as it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceHealth {
    /// How it stands.
    pub condition: Condition,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When it gave an answer last.
    pub answered_at: Option<Timestamp>,
    /// When the newest sample of any component was scraped.
    pub newest_sample_at: Option<Timestamp>,
    /// Why it is not fresh.
    pub reason: Option<String>,
    /// Its addresses, in the order of the settings.
    pub endpoints: Vec<EndpointHealth>,
    /// Questions put on the wire since the daemon started.
    pub queries: u64,
    /// Bytes of answers read since the daemon started, unpacked.
    pub bytes: u64,
    /// Components that share series with others, each pair in a sentence.
    pub shared_series: Vec<String>,
}

/// One address of the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointHealth {
    /// Its address, without user or password.
    pub name: String,
    /// How often it was asked since the daemon started.
    pub asked: u64,
    /// It failed several times in a row and is asked less often until it answers.
    pub resting: bool,
    /// Why it gave nothing the last time; `None` when it did, or was never asked.
    pub failing: Option<String>,
}

/// What all looks together say of the source. Cheap to clone; clones are one book.
#[derive(Clone, Debug, Default)]
pub struct HealthBook(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    condition: Condition,
    since: Option<Timestamp>,
    reason: Option<String>,
    answered_at: Option<Timestamp>,
    newest: Option<Timestamp>,
    period: Option<Duration>,
    /// The first look without an answer since the last with one.
    failing_since: Option<Timestamp>,
}

impl HealthBook {
    /// Short, and never across an await.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look at this instant gave this, and left the cursor so.
    pub fn note(&self, at: Timestamp, reading: &Reading, cursor: &Cursor) {
        let mut entries = self.entries();
        let failed = match reading {
            Reading::Blind(blindness) if !blindness.kind.source_answers() => Some(&blindness.message),
            Reading::Fresh(_) | Reading::Waiting | Reading::Blind(_) => None,
        };
        if let Some(why) = failed {
            let since = *entries.failing_since.get_or_insert(at);
            // One ask that is refused among many that are answered says nothing of the source.
            if at >= since + ROUND {
                entries.turn(Condition::Down, at, Some(why.clone()));
            }
            return;
        }
        entries.failing_since = None;
        entries.answered_at = entries.answered_at.max(Some(at));
        entries.newest = entries.newest.max(cursor.newest_sample());
        entries.period = cursor.scrape_period().or(entries.period);
        let patience = entries.period.unwrap_or(UNLEARNED) * SCRAPES;
        match entries.newest {
            Some(newest) if newest + patience >= at => entries.turn(Condition::Fresh, at, None),
            Some(_) => {
                let why = format!(
                    "it answers, and its newest sample is more than {}s old: look at the scraping",
                    patience.as_secs()
                );
                entries.turn(Condition::Stale, at, Some(why));
            }
            None => {
                let why = "it answers, and has no series of any component: check their labels, and that it scrapes them";
                entries.turn(Condition::Stale, at, Some(why.to_owned()));
            }
        }
    }

    /// The source as it stands.
    pub fn health(&self, source: &Source) -> SourceHealth {
        let entries = self.entries();
        let mut health = SourceHealth {
            condition: entries.condition,
            since: entries.since,
            answered_at: entries.answered_at,
            newest_sample_at: entries.newest,
            reason: entries.reason.clone(),
            ..SourceHealth::default()
        };
        if let Source::Prometheus(prometheus) = source {
            health.endpoints = prometheus.endpoints();
            (health.queries, health.bytes) = prometheus.traffic();
            health.shared_series = prometheus.shared_series();
        }
        health
    }
}

impl Entries {
    /// Says so once, when it is another condition than before.
    fn turn(&mut self, condition: Condition, at: Timestamp, reason: Option<String>) {
        if self.condition != condition {
            match &reason {
                Some(reason) => {
                    tracing::warn!(?condition, reason, "the source of samples cannot be relied on");
                }
                None if self.condition != Condition::Unasked => {
                    tracing::info!(?condition, "the source of samples is well again");
                }
                None => {}
            }
            self.condition = condition;
            self.since = Some(at);
        }
        self.reason = reason;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::sample::{Blindness, Dark};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn blind(kind: Dark) -> Reading {
        Reading::Blind(Blindness {
            kind,
            message: "lights out".to_owned(),
        })
    }

    fn stands(book: &HealthBook) -> (Condition, Option<Timestamp>) {
        let entries = book.entries();
        (entries.condition, entries.since)
    }

    #[test]
    fn a_source_is_down_after_two_looks_without_an_answer_and_since_then() {
        let (book, cursor) = (HealthBook::default(), Cursor::default());
        assert_eq!(stands(&book).0, Condition::Unasked);
        for component in 0..5 {
            book.note(at(10), &blind(Dark::Down), &cursor);
            assert_eq!(
                stands(&book).0,
                Condition::Unasked,
                "component {component} of one round"
            );
        }
        for second in [20, 30, 40] {
            book.note(at(second), &blind(Dark::Down), &cursor);
            assert_eq!(stands(&book), (Condition::Down, Some(at(20))), "told once");
        }
        book.note(at(50), &blind(Dark::Empty), &cursor);
        assert_eq!(
            stands(&book),
            (Condition::Stale, Some(at(50))),
            "an answer without data"
        );
    }

    #[test]
    fn one_refused_ask_among_answered_ones_is_no_outage() {
        let book = HealthBook::default();
        for second in [10, 20, 30] {
            book.note(at(second), &blind(Dark::Refused), &Cursor::default());
            book.note(at(second), &Reading::Waiting, &Cursor::default());
            assert_ne!(stands(&book).0, Condition::Down);
        }
    }
}
