//! Which Ingresses keep somebody out, so that an answer may be their guard's and no back end's.

use super::ask::Outcome;
use super::mark::has;
use super::suite::guards::{guarded, keeps_out};
use super::target::{Target, hosts};
use super::usual::Kept;
use serde_json::Value;
use std::collections::BTreeMap;

/// Ingresses with a guard, by the names that they are asked for.
#[derive(Debug, Default)]
pub(super) struct Guarded {
    all: Vec<(Vec<String>, Target)>,
    exact: BTreeMap<String, Vec<usize>>,
    wild: Vec<usize>,
}

impl Guarded {
    pub(super) fn of(ingresses: &[(Value, Kept)]) -> Self {
        let mut found = Self::default();
        for (ingress, kept) in ingresses {
            let own = Target::of(ingress, kept);
            // Some paths may be free; which is seen when one is asked for.
            if !guarded(&own, "") {
                continue;
            }
            let names = hosts(ingress);
            let index = found.all.len();
            if names.iter().any(|name| name.starts_with("*.")) {
                found.wild.push(index);
            }
            for name in &names {
                found.exact.entry(name.clone()).or_default().push(index);
            }
            found.all.push((names, own));
        }
        found
    }

    /// Whether an answer of nginx to a host's path is that of a guard.
    pub(super) fn keeps_out(&self, host: &str, path: &str, nginx: &Outcome) -> bool {
        let exact = self.exact.get(host).into_iter().flatten();
        let mut all = exact
            .chain(&self.wild)
            .filter_map(|index| self.all.get(*index))
            .filter(|(names, _)| has(names, host));
        all.any(|(_, own)| guarded(own, path) && keeps_out(own, nginx))
    }
}
