//! What the gateways that carry a component's routes say, told once when it changes.

use super::Desk;
use crate::rollout::observation::Routed;
use crate::rollout::reason::Reason;

/// As much as the status holds of it.
const LONGEST: usize = 512;

impl Desk<'_> {
    /// Records what is not well with the gateways, and tells when that changes. It moves nothing by itself.
    pub(super) fn hear_gateways(&mut self, i: usize, objects: &[Routed]) {
        let faults: Vec<String> = objects
            .iter()
            .filter_map(|o| Some(format!("{} {}", o.object, o.remark.as_ref()?)))
            .collect();
        let said = (!faults.is_empty()).then(|| faults.join("; ").chars().take(LONGEST).collect::<String>());
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        if c.gateways == said {
            return;
        }
        c.gateways.clone_from(&said);
        self.out.changed = true;
        if let Some(faults) = said {
            self.note(i, Reason::RouteNotAccepted, faults, true);
        } else {
            let message = "its gateways accept its routes and find every back end again".to_owned();
            self.note(i, Reason::RouteAccepted, message, false);
        }
    }

    /// Why a raise would carry nothing, if so.
    pub(super) fn refused_by_gateways(&self, i: usize) -> Option<String> {
        let faults: Vec<String> = self
            .routed(i)
            .iter()
            .filter_map(|o| Some(format!("{} {}", o.object, o.refusal.as_ref()?)))
            .collect();
        (!faults.is_empty()).then(|| {
            format!(
                "{}: a raise would carry nothing; mend the route or its gateway",
                faults.join("; ")
            )
        })
    }

    /// What has not taken up its change yet, and what it waits for.
    pub(super) fn unsettled(&self, i: usize) -> String {
        let late = self.routed(i).iter().find(|o| !o.settled);
        late.map_or_else(String::new, |o| match &o.waiting_for {
            Some(wait) => format!("{} ({wait})", o.object),
            None => o.object.clone(),
        })
    }
}
