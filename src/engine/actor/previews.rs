//! Routes for testers and mirrors: written in the component's lane, after everything that is about its weight.

use super::{Actor, Done};
use crate::engine::beside;
use crate::engine::lane::Lane;
use crate::rollout::observation::PreviewOrder;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What was refused, or written and not read back, is tried again after this long.
const AGAIN: Duration = Duration::from_secs(30);

/// What was tried last, of whom.
#[derive(Debug, Default)]
pub(super) struct Previews {
    tried: BTreeMap<String, Tried>,
    asked: BTreeMap<String, PreviewOrder>,
}

/// An order that was tried.
#[derive(Debug)]
struct Tried {
    order: PreviewOrder,
    /// Why it failed, if it did.
    failure: Option<String>,
    /// When it is tried again, if it is still asked for.
    again: Timestamp,
}

impl Previews {
    pub(super) fn failure(&self, component: &str) -> Option<String> {
        self.tried.get(component)?.failure.clone()
    }

    /// When something is to be tried again. What is due already waits for its lane, and that tells when it is free.
    pub(super) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        self.tried
            .values()
            .map(|tried| tried.again)
            .filter(|at| *at > now)
            .min()
    }
}

impl Actor {
    pub(super) fn start_previews(&mut self, orders: Vec<PreviewOrder>) {
        // What nobody asks for any more is read back, or not wanted.
        self.previews
            .tried
            .retain(|name, _| orders.iter().any(|order| order.component == *name));
        for order in orders {
            let Some(component) = self.planned(&order.component) else {
                continue;
            };
            if self.refused.whole.contains_key(&order.component) {
                continue;
            }
            let now = self.shared.clock.now();
            let too_soon = |tried: &Tried| tried.order == order && now < tried.again;
            if self.previews.tried.get(&order.component).is_some_and(too_soon) {
                continue;
            }
            let lane = self.lanes.entry(order.component.clone()).or_default();
            if !matches!(lane, Lane::Idle) {
                continue;
            }
            let job = beside::write(
                self.shared.clients.api.clone(),
                self.shared.cache.clone(),
                component,
                self.raw.namespace.clone(),
                order.clone(),
            );
            let name = order.component.clone();
            let task = self.tasks.spawn(async move {
                Done::Previewed {
                    component: name,
                    result: job.await,
                }
            });
            *lane = Lane::Beside { task };
            self.previews.asked.insert(order.component.clone(), order);
        }
    }

    pub(super) fn previewed(&mut self, component: String, result: Result<(), String>) {
        let order = self.previews.asked.remove(&component);
        if !matches!(self.lanes.get(&component), Some(Lane::Beside { .. })) {
            return;
        }
        self.lanes.insert(component.clone(), Lane::Idle);
        let Some(order) = order else { return };
        let failure = result.err();
        if let Some(message) = &failure {
            tracing::warn!(rollout = %self.raw.name, component, message, "routes for testers were not written, again in 30s");
        }
        let again = self.shared.clock.now() + AGAIN;
        let tried = Tried {
            order,
            failure,
            again,
        };
        self.previews.tried.insert(component, tried);
    }
}
