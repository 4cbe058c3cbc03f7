//! An ask, made ready once: its matchers compiled, its shape known. Kept from look to look.

use super::compare::Comparison;
use crate::metrics::ask::{Ask, AskError, Side};
use crate::metrics::query::{Part, parts};
use crate::rollout::spec::ArmSource;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Asks that are kept ready; beyond that all are forgotten and made ready anew.
const MOST_READY: usize = 20_000;

/// Which series are asked for, and which parts of them: equal asks share one answer.
pub(crate) type Key = (String, bool, bool);

/// The key of an ask.
pub(crate) fn key(ask: &Ask) -> Key {
    (ask.fingerprint(), ask.latency(), ask.wants_history)
}

/// An ask, made ready.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) key: Key,
    pub(crate) ask: Ask,
    pub(crate) arms: Vec<ReadyArm>,
}

/// One arm of it.
#[derive(Debug)]
pub(crate) struct ReadyArm {
    pub(crate) side: Side,
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) parts: Vec<Part>,
    /// Whose metrics, without any labels.
    pub(crate) bare: ArmSource,
    /// Arms of one shape are asked for together: one exporter's metrics, told apart by the same labels, each of which
    /// either picks values in all of them or leaves some out in all of them.
    pub(crate) shape: String,
}

impl Ready {
    fn new(ask: &Ask) -> Result<Self, AskError> {
        let arm = |(side, source): (Side, &ArmSource)| -> Result<ReadyArm, AskError> {
            let parts = parts(ask, side)?;
            let comparison = |(label, text): (&String, &String)| {
                Comparison::new(label, text).map_err(|message| AskError {
                    path: format!("arms.{side}.labels.{label}"),
                    message,
                })
            };
            let comparisons: Vec<Comparison> =
                source.labels.iter().map(comparison).collect::<Result<_, _>>()?;
            let bare = ArmSource {
                labels: BTreeMap::new(),
                ..source.clone()
            };
            let picks: Vec<(&str, bool)> = comparisons
                .iter()
                .map(|comparison| (comparison.label.as_str(), comparison.operator.picks()))
                .collect();
            let shape = format!("{bare:?} {picks:?} {parts:?}");
            Ok(ReadyArm {
                side,
                comparisons,
                parts,
                bare,
                shape,
            })
        };
        Ok(Self {
            key: key(ask),
            arms: ask.sides().map(arm).collect::<Result<_, _>>()?,
            ask: ask.clone(),
        })
    }

    /// About how many bytes of a query are about this ask.
    pub(crate) fn weight(&self) -> usize {
        let of = |arm: &ReadyArm| {
            let values = arm
                .comparisons
                .iter()
                .map(|comparison| comparison.value.len() + 5);
            values.sum::<usize>() * arm.parts.len()
        };
        self.arms.iter().map(of).sum()
    }
}

/// Asks that were made ready before.
#[derive(Debug, Default)]
pub(crate) struct Shelf(HashMap<Key, Arc<Ready>>);

impl Shelf {
    pub(crate) fn ready(&mut self, ask: &Ask) -> Result<Arc<Ready>, AskError> {
        let key = key(ask);
        if let Some(ready) = self.0.get(&key) {
            return Ok(ready.clone());
        }
        let ready = Arc::new(Ready::new(ask)?);
        if self.0.len() >= MOST_READY {
            self.0.clear();
        }
        self.0.insert(key, ready.clone());
        Ok(ready)
    }
}
