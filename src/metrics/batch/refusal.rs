//! Asks that Prometheus refused while it answered others, and how much it takes at once.

use super::prepare::{Key, Ready};
use crate::metrics::wire::Fault;
use crate::rollout::sample::Blindness;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an ask that is wrong as it stands is not asked again.
pub(super) const WRONG: Duration = Duration::from_secs(60);
/// What could not be carried out is asked again at the next look. Refused there, too, it rests so long, each time twice
/// as long; a little less than the usual intervals, so that it ends before a look and not after it.
const FIRST_REST: Duration = Duration::from_secs(8);
/// The longest such rest: how much darkness a trouble may cost after it has passed.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// A refusal that nobody has asked about for so long is of a component that is gone.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// Asks in one query: with two arms of two pods and twenty buckets each some 20 MB of answer.
const MOST: usize = 1_000;
/// How long fewer are asked at once after too many were.
const CAUTIOUS: Duration = Duration::from_secs(600);
/// One query that failed as a whole and was answered in parts may have met a bad moment; a second one within this was
/// too large.
const TWICE_WITHIN: Duration = Duration::from_secs(90);

/// What was refused, and what was too much.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    asks: HashMap<Key, Suspect>,
    /// When a query about arms was answered last.
    answered: Option<Instant>,
    failed_whole: Option<Instant>,
    fewer: Option<(Instant, usize)>,
}

/// An ask that was refused while others were answered. It is asked apart from the others until it is answered.
#[derive(Debug)]
struct Suspect {
    /// Alone, in a row, and when that was last.
    times: u32,
    tried: Option<Instant>,
    /// Not asked before this.
    until: Instant,
    blindness: Blindness,
}

impl Refusals {
    /// The refusal of this ask while it rests; to whoever asks `now`, with the time when it ends.
    pub(super) fn remembered(&self, key: &Key, now: Option<Timestamp>) -> Option<Blindness> {
        let suspect = self.asks.get(key)?;
        let left = suspect.until.checked_duration_since(Instant::now())?;
        if left.is_zero() {
            return None;
        }
        let mut blindness = suspect.blindness.clone();
        if let Some(again) = now.and_then(|now| whole_second(now, left)) {
            blindness.message = format!("{}; asked again after {again}", blindness.message);
        }
        Some(blindness)
    }

    /// A query about arms was answered: whoever it was about is under no suspicion.
    pub(super) fn answered<'a>(&mut self, keys: impl Iterator<Item = &'a Key>) {
        self.answered = Some(Instant::now());
        for key in keys {
            self.asks.remove(key);
        }
    }

    /// Whether any query about arms was answered since then. Where none was, no ask is to blame for its refusal.
    pub(super) fn answered_since(&self, then: Instant) -> bool {
        self.answered.is_some_and(|at| at >= then)
    }

    /// This ask was refused, `alone` or among others that were, in the round of looks that began then, and asks beside
    /// it were answered.
    pub(super) fn suspect(
        &mut self,
        ready: &Ready,
        (blindness, fault): (Blindness, Fault),
        alone: bool,
        begun: Instant,
    ) {
        let now = Instant::now();
        self.asks.retain(|_, suspect| now < suspect.until + FORGOTTEN);
        let known = self.asks.get(&ready.key);
        let (times, tried) = known.map_or((0, None), |suspect| (suspect.times, suspect.tried));
        if known.is_none() {
            tracing::warn!(
                rollout = ready.ask.rollout,
                component = ready.ask.component,
                reason = blindness.message,
                "prometheus refuses the question about a component; asked apart from the others, and less often"
            );
        }
        let rest = match fault {
            // Any of them may be well.
            _ if !alone => Duration::ZERO,
            Fault::Wrong => WRONG,
            Fault::Failed | Fault::Source => rest(times),
        };
        let suspect = Suspect {
            times: times.saturating_add(u32::from(alone)),
            tried: if alone { Some(now) } else { tried },
            until: begun + rest,
            blindness,
        };
        self.asks.insert(ready.key.clone(), suspect);
    }

    /// When this ask was refused alone last.
    pub(super) fn tried(&self, key: &Key) -> Option<Instant> {
        self.asks.get(key)?.tried
    }

    /// Those under suspicion, which are asked apart, and the others.
    pub(super) fn sort_out(&self, asks: Vec<Arc<Ready>>) -> (Vec<Arc<Ready>>, Vec<Arc<Ready>>) {
        asks.into_iter()
            .partition(|ready| self.asks.contains_key(&ready.key))
    }

    /// So many at once were refused, and at most so many were answered.
    pub(super) fn too_many(&mut self, asks: usize, answered: usize) {
        let now = Instant::now();
        let again = self.failed_whole.is_some_and(|at| now < at + TWICE_WITHIN);
        self.failed_whole = Some(now);
        if !again {
            return;
        }
        let fewer = if answered == 0 { asks / 2 } else { answered }.max(1);
        tracing::warn!(
            asks,
            fewer,
            "one query about so many asks is more than prometheus answers"
        );
        self.fewer = Some((now + CAUTIOUS, fewer));
    }

    /// How many are asked for by one query.
    pub(super) fn most(&self) -> usize {
        match self.fewer {
            Some((until, fewer)) if until > Instant::now() => fewer,
            _ => MOST,
        }
    }
}

/// How long an ask rests that was refused so often before.
fn rest(times: u32) -> Duration {
    match times {
        0 => Duration::ZERO,
        times => FIRST_REST
            .saturating_mul(1 << (times - 1).min(4))
            .min(LONGEST_REST),
    }
}

/// The end of a rest, rounded up: a status that says it need not change from look to look.
fn whole_second(now: Timestamp, left: Duration) -> Option<Timestamp> {
    let end = now.checked_add(SignedDuration::try_from(left).ok()?).ok()?;
    let up = i64::from(end.subsec_nanosecond() > 0);
    Timestamp::from_second(end.as_second().saturating_add(up)).ok()
}
