//! What earlier runs were told to accept: an Ingress that is as it was is served as it was, whoever asks again without.

use crate::cluster::annotation;
use crate::convert::Seen;
use crate::marks;
use gradual_rollout_migration::convert::Conversion;
use gradual_rollout_migration::input::Key;
use gradual_rollout_migration::report::{Code, explain};
use std::collections::{BTreeMap, BTreeSet};

/// What was accepted of Ingresses that are as they were converted; whoever changes one has to be asked anew.
pub fn accepted(seen: &Seen) -> BTreeMap<Key, BTreeSet<Code>> {
    let unchanged = seen
        .ingresses
        .iter()
        .filter(|(_, ingress)| marks::migrated(ingress) && marks::as_converted(ingress) == Some(true));
    let said = unchanged.filter_map(|(key, ingress)| {
        let codes = annotation(ingress, marks::ACCEPTED)?.split(',');
        // A code that a later version does not know any more cannot refuse.
        let codes = codes.filter_map(|code| Some(explain(code.trim())?.code));
        Some((key.clone(), codes.collect()))
    });
    said.collect()
}

/// The codes that would have refused each Ingress had they not been accepted, by comma.
pub fn lost(conversion: &Conversion) -> BTreeMap<Key, String> {
    let said = conversion.report.ingresses.iter().filter_map(|result| {
        let entries = result.entries.iter().filter(|entry| entry.accepted);
        let codes: BTreeSet<&str> = entries.map(|entry| entry.code.text()).collect();
        let codes = codes.into_iter().collect::<Vec<_>>().join(",");
        (!codes.is_empty()).then(|| ((result.namespace.clone(), result.name.clone()), codes))
    });
    said.collect()
}
