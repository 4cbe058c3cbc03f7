//! Which requests earlier routes of a host take, so that no route is written that none would ever come to.

use crate::istio::{HttpMatch, HttpRoute};
use std::collections::{BTreeMap, BTreeSet};

/// What earlier routes take.
#[derive(Default)]
pub(super) struct Taken(BTreeSet<HttpMatch>);

impl Taken {
    /// Drops matches that an earlier route takes whole, as Envoy would never come to them.
    pub(super) fn reachable(&mut self, routes: Vec<HttpRoute>) -> Vec<HttpRoute> {
        let mut kept = Vec::new();
        for mut route in routes {
            route.matches.retain(|matched| {
                let wider = HttpMatch {
                    port: None,
                    headers: BTreeMap::new(),
                    ..matched.clone()
                };
                !self.0.contains(&wider) && !self.0.contains(matched)
            });
            self.0.extend(route.matches.iter().cloned());
            if !route.matches.is_empty() {
                kept.push(route);
            }
        }
        kept
    }

    /// Takes matches without a route.
    pub(super) fn add(&mut self, matches: Vec<HttpMatch>) {
        self.0.extend(matches);
    }
}
