//! From one query to more, where Prometheus refuses it: to whoever it can answer, and to whoever it cannot.
//!
//! An ask is blamed only when others were answered in the same round of looks. When nothing is, the trouble is the
//! source's: three queries find that out, whatever the number of asks, everybody is told the same, and at the next look
//! all are asked as if nothing had been.

use super::prepare::{Key, Ready};
use super::{Answer, Answers, Batches, Names, When};
use crate::metrics::remedy::asked_for;
use crate::metrics::wire::{Failure, Fault};
use crate::rollout::sample::{Blindness, Dark};
use jiff::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::time::Instant;

/// Queries that may be spent on finding the asks that spoil a batch; the next look goes on where this one stopped.
const SEARCH: usize = 64;
/// The same where all of them were under suspicion before.
const SEARCH_AGAIN: usize = 16;
/// Asks that are tried alone where that left some undivided, those first that waited longest for it: who is well must not
/// stay dark for as long as its neighbours do.
const ALONE: usize = 16;
/// Characters of a refusal; each check's sentence holds it, and when it is asked again.
const LONGEST: usize = 420;
/// Queries without any answer, after which no more are put in this look.
const SILENT: usize = 2;
/// Asks that are tried alone before a batch is divided.
const WITNESSES: usize = 2;

/// A round of looks: whom it is about, which instant, and when it began.
#[derive(Clone)]
pub(super) struct Round {
    pub(super) names: Arc<Names>,
    pub(super) when: When,
    pub(super) at: Timestamp,
    pub(super) begun: Instant,
    /// The answers to those who are under no suspicion, where these are.
    pub(super) others: Option<Vec<Answers>>,
}

/// Who is to blame for what was refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// As far as is known, the source.
    Nobody,
    /// Every smaller query was answered, or would have been: it was too much at once.
    Size,
    /// Whoever was refused, or one that was asked together with them.
    Asks,
}

/// What is known about a batch so far.
#[derive(Default)]
struct Search {
    left: VecDeque<Vec<Arc<Ready>>>,
    answers: HashMap<Key, Answer>,
    refused: Vec<(Vec<Arc<Ready>>, Failure)>,
    most: usize,
    queries: usize,
    silent: usize,
    /// Asks in the largest query that was answered, and in the smallest that was refused.
    largest: usize,
    smallest: Option<usize>,
}

impl Batches {
    /// Asks for all of these, by one query or, when that is refused, by more.
    pub(super) async fn answer(
        self: Arc<Self>,
        asks: Vec<Arc<Ready>>,
        round: Round,
    ) -> Arc<HashMap<Key, Answer>> {
        let whole = asks.len();
        let mut search = Search {
            left: [asks].into(),
            most: if round.others.is_some() {
                SEARCH_AGAIN
            } else {
                SEARCH
            },
            ..Search::default()
        };
        while let Some(asks) = search.left.pop_front() {
            let Some((asks, failure)) = self.put(&mut search, asks, &round).await else {
                continue;
            };
            if !failure.fault.is_of_the_question() {
                search.give_up(asks, &failure);
            } else if search.queries == 1 && asks.len() > 1 {
                self.find_witness(&mut search, asks, failure, &round).await;
            } else {
                search.divide(asks, failure);
            }
        }
        let judged = self.judge(&search, &round).await;
        if judged == Judged::Asks {
            self.try_alone(&mut search, &round).await;
        }
        if judged == Judged::Size {
            self.state().refusals.too_many(whole, search.largest);
        }
        Arc::new(self.conclude(search, &round, judged))
    }

    /// Puts one query; gives back what was refused.
    async fn put(
        &self,
        search: &mut Search,
        asks: Vec<Arc<Ready>>,
        round: &Round,
    ) -> Option<(Vec<Arc<Ready>>, Failure)> {
        search.queries += 1;
        match self.query(&asks, &round.names, round.at).await {
            Ok(snapshots) => {
                search.largest = search.largest.max(asks.len());
                let keys = asks.iter().map(|ready| &ready.key);
                self.state().refusals.answered(keys.clone());
                search.answers.extend(keys.cloned().zip(snapshots));
                None
            }
            Err(failure) => {
                let smallest = search.smallest.unwrap_or(usize::MAX);
                search.smallest = Some(smallest.min(asks.len()));
                Some((asks, failure))
            }
        }
    }

    /// Before a batch is divided: whether anything is answered at all. Other asks bear witness at each look, for these
    /// may be the very ones that spoil it.
    async fn find_witness(
        &self,
        search: &mut Search,
        mut asks: Vec<Arc<Ready>>,
        failure: Failure,
        round: &Round,
    ) {
        let mut found = self.state().refusals.answered_since(round.begun);
        let mut alone = Vec::new();
        while !found && alone.len() < WITNESSES && !asks.is_empty() {
            // The first at any place, the second far from it: neighbours are alike.
            let far = alone.len() * asks.len() / WITNESSES;
            let place = (self.state().next_turn() + far) % asks.len();
            let witness = vec![asks.swap_remove(place)];
            match self.put(search, witness, round).await {
                None => found = true,
                Some(refused) => alone.push(refused),
            }
        }
        // It says nothing of how much is too much.
        search.largest = 0;
        if !found {
            asks.extend(alone.into_iter().flat_map(|(asks, _)| asks));
            search.refused.push((asks, failure));
            return;
        }
        search.refused.extend(alone);
        match asks.len() {
            0 => {}
            // It was not asked by itself yet.
            1 => search.left.push_back(asks),
            _ => search.divide(asks, failure),
        }
    }

    /// Who is to blame.
    async fn judge(&self, search: &Search, round: &Round) -> Judged {
        let of_question = |(_, failure): &(_, Failure)| failure.fault.is_of_the_question();
        if search.queries == 1 && !search.refused.iter().any(of_question) {
            return Judged::Nobody;
        }
        let answered = || self.state().refusals.answered_since(round.begun);
        for others in round.others.iter().flatten() {
            if answered() {
                break;
            }
            others.clone().await;
        }
        let too_much = |least: usize| round.others.is_none() && least > search.largest.max(1);
        if !answered() {
            Judged::Nobody
        } else if search.queries > 1 && search.smallest.is_some_and(too_much) {
            Judged::Size
        } else {
            Judged::Asks
        }
    }

    /// Tries some of those alone that were refused among others.
    async fn try_alone(&self, search: &mut Search, round: &Round) {
        let mut waiting: Vec<Arc<Ready>> = search.undivided().flat_map(|(asks, _)| asks.clone()).collect();
        {
            let state = self.state();
            waiting.sort_by_key(|ready| state.refusals.tried(&ready.key));
        }
        waiting.truncate(ALONE);
        for ready in waiting {
            let refused = self.put(search, vec![ready.clone()], round).await;
            for (asks, _) in &mut search.refused {
                asks.retain(|other| other.key != ready.key);
            }
            let silent = refused.iter().any(|(_, failure)| failure.fault == Fault::Source);
            search.refused.extend(refused);
            if silent {
                return;
            }
        }
    }

    /// Tells everybody, and remembers who is under suspicion.
    fn conclude(&self, search: Search, round: &Round, judged: Judged) -> HashMap<Key, Answer> {
        let Search {
            mut answers, refused, ..
        } = search;
        let mut state = self.state();
        for (asks, failure) in refused {
            let (alone, others) = (asks.len() == 1, asks.len().saturating_sub(1));
            for ready in asks {
                let mut blindness = named(&ready, &failure, others);
                if judged == Judged::Asks && failure.fault.is_of_the_question() {
                    let refusal = (blindness.clone(), failure.fault);
                    state.refusals.suspect(&ready, refusal, alone, round.begun);
                    let rests = state.refusals.remembered(&ready.key, round.when.now(round.at));
                    blindness = rests.unwrap_or(blindness);
                }
                answers.insert(ready.key.clone(), Err(blindness));
            }
        }
        answers
    }
}

impl Search {
    /// Nothing is known of these. A question may be so heavy that it has no answer in time; when another one has none
    /// either, the rest need not wait for as many time-outs.
    fn give_up(&mut self, asks: Vec<Arc<Ready>>, failure: &Failure) {
        self.silent += 1;
        self.refused.push((asks, failure.clone()));
        if self.silent >= SILENT {
            let left = self.left.drain(..).map(|asks| (asks, failure.clone()));
            self.refused.extend(left);
        }
    }

    /// Asks that were refused together.
    fn undivided(&self) -> impl Iterator<Item = &(Vec<Arc<Ready>>, Failure)> {
        self.refused
            .iter()
            .filter(|(asks, failure)| asks.len() > 1 && failure.fault.is_of_the_question())
    }

    /// Halves what was refused, and its halves after everything that is of about their size; unless that would take
    /// too many queries.
    fn divide(&mut self, asks: Vec<Arc<Ready>>, failure: Failure) {
        if asks.len() < 2 || self.queries + self.left.len() + 2 > self.most {
            self.refused.push((asks, failure));
            return;
        }
        let (one, other) = asks.split_at(asks.len() / 2);
        self.left.extend([one.to_vec(), other.to_vec()]);
    }
}

/// Why nothing is known of an ask, with what was asked for where the question may be at fault.
fn named(ready: &Ready, failure: &Failure, others: usize) -> Blindness {
    let Blindness { kind, message } = &failure.blindness;
    let message = match (failure.fault, kind) {
        (Fault::Source, _) | (_, Dark::NotANumber) => message.clone(),
        (Fault::Wrong | Fault::Failed, _) => {
            let asked = asked_for(&ready.ask);
            let together = match others {
                0 => String::new(),
                1 => ", together with 1 other".to_owned(),
                more => format!(", together with {more} others"),
            };
            let told = format!("{message}. Asked for{together}: {asked}");
            match told.char_indices().nth(LONGEST) {
                Some((end, _)) => format!("{}…", &told[..end]),
                None => told,
            }
        }
    };
    Blindness { kind: *kind, message }
}
