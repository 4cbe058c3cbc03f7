//! An answer as it is taken apart where one query serves many asks.

use super::plan::Plan;
use super::prepare::Shelf;
use super::route::route;
use crate::metrics::answer::{Series, Unusable};
use crate::metrics::ask::Ask;
use crate::metrics::snapshot::Snapshot;
use jiff::Timestamp;

/// What an answer says of this ask, which was asked together with one of the same shape.
pub(crate) fn routed(
    ask: &Ask,
    at: Timestamp,
    answer: Vec<Series<'_>>,
) -> Option<Result<Snapshot, Unusable>> {
    let mut other = ask.clone();
    for value in other.arms.canary.labels.values_mut() {
        "~v3|v2".clone_into(value);
    }
    let mut shelf = Shelf::default();
    let asks = [ask, &other].map(|ask| shelf.ready(ask).ok());
    let plan = Plan::new(asks.into_iter().flatten().collect());
    assert!(!plan.promql().is_empty());
    let routed = route(&plan, at, answer);
    assert_eq!(routed.snapshots.len(), plan.asks.len());
    routed.snapshots.into_iter().next()
}
