//! Messages that wait for one receiver, and in which order they are told.

use super::message::{Message, Severity};
use std::cmp::Reverse;
use std::time::Duration;
use tokio::time::Instant;

/// So many wait at most: about half a megabyte. A thousand components that go back at once are more; then the oldest of
/// the quietest are lost, for the newest say how things stand.
pub(super) const QUEUE: usize = 512;

/// A message that waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) message: Message,
    number: u64,
    tries: u32,
    /// When it was tried first.
    began: Option<Instant>,
    /// When it is tried again.
    due: Option<Instant>,
    /// It goes with no other: beside others it was refused.
    alone: bool,
}

impl Queued {
    /// How often it was tried in vain.
    pub(super) const fn tries(&self) -> u32 {
        self.tries
    }

    /// The same, to be tried again by itself.
    pub(super) fn alone(self) -> Self {
        Self {
            tries: self.tries + 1,
            alone: true,
            ..self
        }
    }

    /// The same, tried in vain at `now` and to be tried again at `due`; `None` where that is longer than `most` after the
    /// first attempt.
    pub(super) fn later(self, now: Instant, due: Instant, most: Duration) -> Option<Self> {
        let began = self.began.unwrap_or(now);
        let one = Self {
            tries: self.tries + 1,
            began: Some(began),
            due: Some(due),
            ..self
        };
        (due.duration_since(began) < most).then_some(one)
    }

    fn is_due(&self, now: Option<Instant>) -> bool {
        now.is_none_or(|now| self.due.is_none_or(|due| due <= now))
    }
}

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    all: Vec<Queued>,
    numbers: u64,
}

impl Queue {
    /// Queues a message; how many were lost for it.
    pub(super) fn put(&mut self, message: Message) -> u64 {
        self.numbers += 1;
        self.put_back(Queued {
            message,
            number: self.numbers,
            tries: 0,
            began: None,
            due: None,
            alone: false,
        })
    }

    /// Queues one that was taken before; how many were lost for it.
    pub(super) fn put_back(&mut self, one: Queued) -> u64 {
        self.all.push(one);
        if self.all.len() <= QUEUE {
            return 0;
        }
        self.remove(|one| (one.message.severity, one.number), |_| true);
        1
    }

    /// The loudest that are due, each kind in its order; `None`: whether they are due or not.
    pub(super) fn take(&mut self, now: Option<Instant>, most: usize) -> Vec<Queued> {
        let place = |one: &Queued| (Reverse(one.message.severity), one.number);
        let first = self.remove(place, |one| one.is_due(now));
        let alone = first.as_ref().is_some_and(|one| one.alone);
        let mut batch: Vec<Queued> = first.into_iter().collect();
        while !alone && !batch.is_empty() && batch.len() < most {
            match self.remove(place, |one| one.is_due(now) && !one.alone) {
                Some(one) => batch.push(one),
                None => break,
            }
        }
        batch
    }

    /// One of those that were not tried yet, or not as often as others: whatever failed last may be to blame for it.
    pub(super) fn take_another(&mut self, now: Instant) -> Vec<Queued> {
        let place = |one: &Queued| (one.tries, Reverse(one.message.severity), one.number);
        let one = self.remove(place, |one| one.is_due(Some(now)));
        one.into_iter().collect()
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.all.iter().filter_map(|one| one.due).min()
    }

    /// Whether one that loud waits and was never tried.
    pub(super) fn has_fresh(&self, severity: Severity) -> bool {
        let fresh = |one: &Queued| one.tries == 0 && one.message.severity == severity;
        self.all.iter().any(fresh)
    }

    /// Whether none waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn remove<K: Ord>(
        &mut self,
        place: impl Fn(&Queued) -> K,
        is: impl Fn(&Queued) -> bool,
    ) -> Option<Queued> {
        let of = self.all.iter().enumerate().filter(|(_, one)| is(one));
        let (at, _) = of.min_by_key(|(_, one)| place(one))?;
        Some(self.all.remove(at))
    }
}
