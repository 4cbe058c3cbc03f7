//! What an onlooker sees of the rollout: its status in the store, every version of it, as `kubectl get -w` would.

use super::apiserver::{Change, Store};
use super::share::{Shares, resource};
use super::tenants::Tenants;
use crate::rollout::duration::Span;
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::{HistoryEntry, Weights};
use crate::rollout::weight::Weight;
use crate::routing::ObjectKind;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

/// The resource whose status is watched.
pub(super) const ROLLOUTS: &str = "gradualrollouts.rollout.sealos.io";
/// The objects whose weights move requests.
pub(super) const EDGES: &str = "virtualservices.networking.istio.io";

/// One component as it stands, as far as an onlooker cares.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The kind of place it is in.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Why, as a sentence.
    pub message: String,
    /// Its phase.
    pub phase: Option<String>,
    /// Its weights.
    pub weight: Weights,
    /// How much of the step's hold is done.
    pub held: Option<Span>,
    #[serde(deserialize_with = "is_there")]
    pub(super) intent: bool,
    pub(super) history: Vec<HistoryEntry>,
}

fn is_there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<IgnoredAny>::deserialize(deserializer).map(|there| there.is_some())
}

/// A weight that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// When.
    pub at: Timestamp,
    /// Of which component.
    pub component: String,
    /// The weight before.
    pub from: Weight,
    /// The weight after.
    pub to: Weight,
    /// Why, as the record says.
    pub reason: Reason,
}

/// Looks on, and remembers.
pub struct Observer {
    store: Store,
    namespace: String,
    name: String,
    changes: broadcast::Receiver<Arc<Change>>,
    rows: Vec<Row>,
    said: BTreeSet<(String, String)>,
    moves: BTreeMap<(Timestamp, String, Weight, Weight), Reason>,
}

impl Observer {
    /// Looks at one rollout of a store.
    pub(super) fn new(store: Store, namespace: &str, name: &str) -> Self {
        let changes = store.subscribe(ROLLOUTS);
        Self {
            store,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            changes,
            rows: Vec::new(),
            said: BTreeSet::new(),
            moves: BTreeMap::new(),
        }
    }

    /// Catches up. Says whether anything changed.
    pub(super) fn look(&mut self) -> bool {
        let mut changed = false;
        loop {
            match self.changes.try_recv() {
                Ok(change) => {
                    changed = true;
                    self.hear(&change.object);
                }
                // What was missed in between is made up for by the record that each status carries.
                Err(TryRecvError::Lagged(_)) => changed = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if changed && let Some(now) = self.store.get(ROLLOUTS, &self.namespace, &self.name) {
            self.hear(&now);
            self.read(&now);
        }
        changed
    }

    /// Remembers the reasons of one version: cheap, because there are tens of thousands.
    fn hear(&mut self, rollout: &Value) {
        for component in components(rollout) {
            let text = |key: &str| component.get(key).and_then(Value::as_str).unwrap_or_default();
            let pair = (text("name").to_owned(), text("reason").to_owned());
            self.said.insert(pair);
        }
    }

    fn read(&mut self, rollout: &Value) {
        self.rows = components(rollout)
            .filter_map(|component| match Row::deserialize(component) {
                Ok(row) => Some(row),
                Err(error) => {
                    tracing::error!(%error, "a component's status in the store cannot be read");
                    None
                }
            })
            .collect();
        for row in &self.rows {
            for entry in &row.history {
                let key = (entry.at, row.name.clone(), entry.from, entry.to);
                self.moves.insert(key, entry.reason);
            }
        }
    }

    /// The components as they stand.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// One component as it stands.
    pub fn row(&self, component: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == component)
    }

    /// Every change of a weight that is on record, in order.
    pub fn moves(&self) -> impl Iterator<Item = Move> {
        self.moves.iter().map(|((at, component, from, to), reason)| Move {
            at: *at,
            component: component.clone(),
            from: *from,
            to: *to,
            reason: *reason,
        })
    }

    /// Whether a component ever gave this reason, for where it was or for a change of its weight.
    pub fn saw(&self, component: &str, reason: Reason) -> bool {
        self.said.contains(&(component.to_owned(), reason.to_string()))
            || self
                .moves()
                .any(|m| m.component == component && m.reason == reason)
    }

    /// Whether a component was ever put back for good.
    pub fn rolled_back(&self, component: &str) -> bool {
        self.row(component)
            .is_some_and(|row| row.state == State::RolledBack)
            || self
                .moves()
                .any(|m| m.component == component && m.reason.is_rollback())
    }
}

fn components(rollout: &Value) -> impl Iterator<Item = &Value> {
    let listed = rollout.pointer("/status/components").and_then(Value::as_array);
    listed.into_iter().flatten()
}

/// How long each component's way to 0 took: from the sample that showed the breach to the weight 0 in the object
/// that moves its requests; at `real` time at most so long. Runs as long as the store is there; a task of the story.
pub(super) async fn clock_rollbacks(
    store: Store,
    shares: Shares,
    tenants: Arc<Tenants>,
    names: Vec<String>,
    real: bool,
    record: Arc<Mutex<BTreeMap<String, i64>>>,
) {
    let mut changes = ObjectKind::ALL.map(|kind| store.subscribe(&resource(kind)));
    let mut last: BTreeMap<String, Weight> = BTreeMap::new();
    loop {
        // Whichever object changed, or however many were missed: all are read.
        let any = changes.iter_mut().map(|change| Box::pin(change.recv()));
        drop(futures::future::select_all(any).await);
        for name in &names {
            let weight = shares.of(name);
            let before = last.insert(name.clone(), weight).unwrap_or_default();
            if weight.is_zero()
                && !before.is_zero()
                && let Some(shown) = if real {
                    tenants.shown_before(name)
                } else {
                    tenants.shown(name)
                }
            {
                let took = store.now().as_millisecond() - shown.as_millisecond();
                record
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(name.clone(), took);
            }
        }
    }
}
