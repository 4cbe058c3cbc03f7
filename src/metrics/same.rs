//! One answer for all who ask the very same thing at about the same time: the checks of many resources that read one
//! gauge.

use super::answer;
use super::gauge::Sample;
use super::snapshot::whole_millis;
use super::wire::{Question, Wire};
use crate::rollout::sample::Blindness;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Instants so close are one: everybody looks on the same beats, and then a few milliseconds apart.
const ABOUT: Duration = Duration::from_secs(1);

type Answer = Shared<BoxFuture<'static, Result<Arc<[Sample]>, Blindness>>>;

/// Questions of this moment, by their PromQL.
pub(crate) struct Same {
    wire: Arc<Wire>,
    // Short, and never across an await.
    asked: Mutex<HashMap<String, (Timestamp, Answer)>>,
}

impl Same {
    pub(crate) fn new(wire: Arc<Wire>) -> Self {
        Self {
            wire,
            asked: Mutex::default(),
        }
    }

    /// The answer at this instant, or at one that is as good as it. Cancel-safe: who waits drives it on.
    pub(crate) async fn ask(&self, promql: &str, at: Timestamp) -> Result<Arc<[Sample]>, Blindness> {
        let answer = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.retain(|_, (then, _)| at.duration_since(*then).unsigned_abs() < ABOUT);
            let begin = || (at, self.begin(promql.to_owned(), at));
            let (_, answer) = asked.entry(promql.to_owned()).or_insert_with(begin);
            answer.clone()
        };
        // One for all: each with a copy of its own, so many checks would take so many times the memory.
        answer.await
    }

    fn begin(&self, promql: String, at: Timestamp) -> Answer {
        let wire = self.wire.clone();
        let asking = async move {
            let at = whole_millis(at);
            let question = Question::Instant { promql, at };
            let read = |status, body: &[u8]| {
                let series = answer::read(status, body)?;
                Ok(series.iter().map(Sample::of).collect::<Arc<[Sample]>>())
            };
            let answered = wire.ask(&question, read).await;
            answered
                .map(|(samples, _)| samples)
                .map_err(|failure| failure.blindness)
        };
        asking.boxed().shared()
    }
}
