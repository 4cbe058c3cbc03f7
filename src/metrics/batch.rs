//! Many asks, few queries.
//!
//! Components look at their metrics each by itself, and on the same beats ([`super::Source::next_beat`]). Asks that
//! come within [`QUIET`] of each other are collected and put as one query per exporter and shape of selector, wide
//! enough for all of them ([`plan`]); whose an answer is, is decided here ([`route`]). Every ask gets exactly what it
//! would have got alone.
//!
//! Nobody owns a batch: it is a shared future that all who wait for it drive together, so that an asker that goes
//! away takes nothing with it, and with the last one the query goes too.
//!
//! # Guarantees
//! - An ask waits at most [`LONGEST`] for others, and never for another query's answer.
//! - An ask that Prometheus refuses spoils no other: the batch is halved until it stands alone. It is remembered, and
//!   asked again by itself after [`REMEMBERED`].

mod compare;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod plan;
mod prepare;
mod refusal;
mod route;

use self::plan::{Plan, divide};
use self::prepare::{Key, Ready, Shelf};
use self::refusal::Refusals;
use self::route::route;
use super::answer;
use super::ask::Ask;
use super::snapshot::{Snapshot, whole_millis};
use super::wire::{Failure, Question, Wire};
use crate::rollout::sample::{Blindness, Dark};
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When nobody has asked for so long, everybody who would has.
const QUIET: Duration = Duration::from_millis(10);
/// The longest that an ask waits for others.
const LONGEST: Duration = Duration::from_millis(50);
/// Queries that may be spent on finding the asks that spoil a batch; the next look goes on where this one stopped.
const SEARCH: usize = 64;
/// Pairs of components with common series that are remembered as told.
const MOST_PAIRS: usize = 256;

type Answer = Result<Snapshot, Blindness>;
type Answers = Shared<BoxFuture<'static, Arc<HashMap<Key, Answer>>>>;
/// By ask, the answers of the query that it went into.
type Sent = Arc<HashMap<Key, Answers>>;
type Gate = BoxFuture<'static, Sent>;

/// Collects asks and shares out answers.
pub(crate) struct Batches {
    wire: Arc<Wire>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: BTreeMap<When, Open>,
    shelf: Shelf,
    refusals: Refusals,
    /// Who shares series with whom, as told.
    pairs: BTreeSet<String>,
}

/// Which instant is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    /// The present: whatever instant the batch has.
    Now,
    /// This one: a cursor resumes from it.
    Exactly(Timestamp),
}

/// A batch that is being collected.
struct Open {
    at: Timestamp,
    asks: HashMap<Key, (Arc<Ready>, BTreeSet<String>)>,
    gate: WeakShared<Gate>,
}

impl Batches {
    pub(crate) fn new(wire: Arc<Wire>) -> Arc<Self> {
        Arc::new(Self {
            wire,
            state: Mutex::default(),
        })
    }

    /// Short, and never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer of about now: the batch's instant is that of its first ask.
    pub(crate) async fn look(self: &Arc<Self>, ask: &Ask, now: Timestamp) -> Answer {
        self.join(ask, When::Now, whole_millis(now)).await
    }

    /// The answer of exactly this instant.
    pub(crate) async fn read(self: &Arc<Self>, ask: &Ask, at: Timestamp) -> Answer {
        let at = whole_millis(at);
        self.join(ask, When::Exactly(at), at).await
    }

    /// Pairs of components that share series, in words.
    pub(crate) fn shared_series(&self) -> Vec<String> {
        self.state().pairs.iter().cloned().collect()
    }

    async fn join(self: &Arc<Self>, ask: &Ask, when: When, at: Timestamp) -> Answer {
        let (key, gate) = {
            let mut state = self.state();
            let ready = state.shelf.ready(ask).map_err(|error| Blindness {
                kind: Dark::Refused,
                message: error.to_string(),
            })?;
            if let Some(blindness) = state.refusals.remembered(&ready.key) {
                return Err(blindness);
            }
            let key = ready.key.clone();
            let gate = self.enter(&mut state, ready, ask, when, at);
            (key, gate)
        };
        let lost = || Blindness {
            kind: Dark::Down,
            message: "the question was lost: it is asked again at the next look".to_owned(),
        };
        let sent = gate.await;
        let answers = sent.get(&key).ok_or_else(lost)?.clone().await;
        answers.get(&key).cloned().unwrap_or_else(|| Err(lost()))
    }

    /// Puts an ask into the batch that is being collected, or begins one.
    fn enter(
        self: &Arc<Self>,
        state: &mut State,
        ready: Arc<Ready>,
        ask: &Ask,
        when: When,
        at: Timestamp,
    ) -> Shared<Gate> {
        let name = format!("{} of {}", ask.component, ask.rollout);
        // A batch that everybody has left is never collected.
        state.open.retain(|_, open| open.gate.upgrade().is_some());
        if let Some(open) = state.open.get_mut(&when)
            && let Some(gate) = open.gate.upgrade()
        {
            let entry = open.asks.entry(ready.key.clone());
            let (_, names) = entry.or_insert_with(|| (ready, BTreeSet::new()));
            names.insert(name);
            return gate;
        }
        let gate = self.clone().collect(when).boxed().shared();
        if let Some(weak) = gate.downgrade() {
            let open = Open {
                at,
                asks: [(ready.key.clone(), (ready, [name].into()))].into(),
                gate: weak,
            };
            state.open.insert(when, open);
        }
        gate
    }

    /// Waits until nobody else asks, and shares the asks out among queries.
    async fn collect(self: Arc<Self>, when: When) -> Sent {
        let mut known = 0;
        let begun = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(QUIET).await;
            let asked = self.state().open.get(&when).map_or(0, |open| open.asks.len());
            if asked == known || begun.elapsed() + QUIET > LONGEST {
                break;
            }
            known = asked;
        }
        let mut state = self.state();
        let Some(open) = state.open.remove(&when) else {
            return Sent::default();
        };
        let names: Names = open
            .asks
            .iter()
            .map(|(key, (_, names))| (key.clone(), names.iter().cloned().collect()))
            .collect();
        for names in names.values().filter(|names| names.len() > 1) {
            state.tell_of_pair(names.first(), names.get(1), "ask for the very same series");
        }
        let names = Arc::new(names);
        let asks = open.asks.into_values().map(|(ready, _)| ready).collect();
        let (alone, together) = state.refusals.sort_out(asks);
        let most = state.refusals.most();
        drop(state);
        let queries = divide(together, most)
            .into_iter()
            .chain(alone.into_iter().map(|ask| vec![ask]));
        let mut sent = HashMap::new();
        for asks in queries {
            let keys: Vec<Key> = asks.iter().map(|ready| ready.key.clone()).collect();
            let answers = self.clone().answer(asks, names.clone(), open.at).boxed().shared();
            sent.extend(keys.into_iter().map(|key| (key, answers.clone())));
        }
        Arc::new(sent)
    }

    /// Asks for all of these, by one query or, when that is refused, by more.
    async fn answer(
        self: Arc<Self>,
        asks: Vec<Arc<Ready>>,
        names: Arc<Names>,
        at: Timestamp,
    ) -> Arc<HashMap<Key, Answer>> {
        let mut answers = HashMap::new();
        let whole = asks.len();
        let (mut left, mut spoiled, mut searched) = (vec![asks], false, 0);
        while let Some(asks) = left.pop() {
            searched += 1;
            let Failure { blindness, divisible } = match self.query(&asks, &names, at).await {
                Ok(snapshots) => {
                    let keys = asks.iter().map(|ready| ready.key.clone());
                    if let [alone] = asks.as_slice() {
                        self.state().refusals.withdraw(&alone.key);
                    }
                    answers.extend(keys.zip(snapshots));
                    continue;
                }
                Err(failure) => failure,
            };
            match asks.as_slice() {
                [alone] if divisible => {
                    spoiled = true;
                    self.state()
                        .refusals
                        .remember(alone.key.clone(), blindness.clone());
                }
                [_, _, ..] if divisible && searched < SEARCH => {
                    let (one, other) = asks.split_at(asks.len() / 2);
                    left.extend([other.to_vec(), one.to_vec()]);
                    continue;
                }
                _ => {}
            }
            let refused = asks
                .iter()
                .map(|ready| (ready.key.clone(), Err(blindness.clone())));
            answers.extend(refused);
        }
        // Nobody was to blame: it was too much at once.
        if searched > 1 && !spoiled {
            self.state().refusals.too_many(whole);
        }
        Arc::new(answers)
    }

    async fn query(
        &self,
        asks: &[Arc<Ready>],
        names: &Arc<Names>,
        at: Timestamp,
    ) -> Result<Vec<Answer>, Failure> {
        let plan = Plan::new(asks.to_vec());
        let question = Question::Instant {
            promql: plan.promql(),
            at,
        };
        let plan = Arc::new(plan);
        let planned = plan.clone();
        let understood = move |status, body: &[u8]| {
            let series = answer::read(status, body)?;
            Ok(route(&planned, at, series))
        };
        let (routed, endpoint) = self.wire.ask(&question, understood).await?;
        if !routed.shared.is_empty() {
            let mut state = self.state();
            for (one, other) in routed.shared {
                let name = |place: usize| names.get(&plan.asks.get(place)?.key)?.first();
                state.tell_of_pair(name(one), name(other), "have series in common");
            }
        }
        let answer = |answer: Result<Snapshot, answer::Unusable>| {
            answer.map_err(|unusable| Blindness {
                kind: unusable.kind,
                message: format!("{endpoint}: {}", unusable.why),
            })
        };
        Ok(routed.snapshots.into_iter().map(answer).collect())
    }
}

/// Who asks, by what they ask.
type Names = HashMap<Key, Vec<String>>;

impl State {
    /// Both are judged by those series, which is rarely meant. Said once.
    fn tell_of_pair(&mut self, one: Option<&String>, other: Option<&String>, what: &str) {
        let (Some(one), Some(other)) = (one, other) else {
            return;
        };
        let sentence = if one == other {
            format!("both arms of {one} {what}: each request counts on both sides; tell them apart by labels")
        } else {
            format!(
                "{one} and {other} {what}: each is judged by them; tell them apart by labels, if that is not meant"
            )
        };
        if self.pairs.len() < MOST_PAIRS && self.pairs.insert(sentence.clone()) {
            tracing::warn!("{sentence}");
        }
    }
}

#[cfg(test)]
mod tests;
