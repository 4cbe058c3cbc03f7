//! What earlier runs were told to accept: an Ingress that is as it was is served as it was, whoever asks again without.

use super::live::Live;
use super::read::from;
use crate::cluster::{self, annotation};
use crate::convert::Seen;
use crate::marks;
use gradual_rollout_migration::convert::Conversion;
use gradual_rollout_migration::input::Key;
use gradual_rollout_migration::report::{Code, explain};
use std::collections::{BTreeMap, BTreeSet};

/// What was accepted of Ingresses that are as they were converted, and that the gateway serves so: whoever changes one has
/// to be asked anew, and an annotation alone, which its owner may write, lets nothing in that was never served.
pub fn accepted(seen: &Seen, live: &Live) -> BTreeMap<Key, BTreeSet<Code>> {
    let served: BTreeSet<Key> = live.ours(&cluster::VIRTUAL_SERVICE).flat_map(from).collect();
    let unchanged = seen.ingresses.iter().filter(|(key, ingress)| {
        marks::migrated(ingress) && marks::as_converted(ingress) == Some(true) && served.contains(*key)
    });
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
