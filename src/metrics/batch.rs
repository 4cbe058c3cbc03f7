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
//! - An ask waits at most [`LONGEST`] for others, and never for another query's answer; unless it is refused, and was
//!   before: then for whether others are answered.
//! - An ask that Prometheus refuses spoils no other: the batch is halved until it stands alone, and is asked apart from
//!   the others until it is answered ([`search`], [`refusal`]).
//! - A source that refuses everything is asked for everything at the next look: nobody is to blame.

mod compare;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod plan;
mod prepare;
mod refusal;
mod route;
mod search;

use self::plan::{Plan, divide};
use self::prepare::{Key, Ready, Shelf};
use self::refusal::Refusals;
use self::route::route;
use self::search::Round;
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
/// Turns of bearing witness, before they begin anew.
const TURNS: usize = 1 << 16;
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
    /// Which ask bears witness next.
    turn: usize,
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

impl When {
    /// The present, if it is what is asked about.
    fn now(self, at: Timestamp) -> Option<Timestamp> {
        (self == Self::Now).then_some(at)
    }
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
            if let Some(blindness) = state.refusals.remembered(&ready.key, when.now(at)) {
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
        let (suspects, others) = state.refusals.sort_out(asks);
        let most = state.refusals.most();
        drop(state);
        let mut round = Round {
            names,
            when,
            at: open.at,
            begun: tokio::time::Instant::now(),
            others: None,
        };
        let mut sent = HashMap::new();
        let mut send = |asks: Vec<Vec<Arc<Ready>>>, round: &Round| {
            let mut all = Vec::new();
            for asks in asks {
                let keys: Vec<Key> = asks.iter().map(|ready| ready.key.clone()).collect();
                let answers = self.clone().answer(asks, round.clone()).boxed().shared();
                sent.extend(keys.into_iter().map(|key| (key, answers.clone())));
                all.push(answers);
            }
            all
        };
        round.others = Some(send(divide(others, most), &round));
        send(divide(suspects, most), &round);
        Arc::new(sent)
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
    fn next_turn(&mut self) -> usize {
        self.turn = self.turn.wrapping_add(1) % TURNS;
        self.turn
    }

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
