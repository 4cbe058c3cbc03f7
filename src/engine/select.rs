//! What a component's selections look through: lists out of the watch caches, or read afresh where a lowering must not
//! wait for a watch.

use super::claims::Selected;
use super::lane::Objects;
use crate::cluster::cache::{Cache, Listed};
use crate::cluster::connect::Client;
use crate::cluster::objects;
use crate::rollout::observation::Seen;
use crate::rollout::spec::Component;
use crate::rollout::status::GradualRolloutStatus;
use crate::routing::{ClaimKey, Made, ObjectKind, ObjectRef, Stock, needs};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a lowering waits for a list.
const LIST: Duration = Duration::from_secs(1);

/// Why there is no stock.
#[derive(Debug)]
pub(super) enum NoStock {
    /// Not everything is listed yet.
    Syncing,
    /// Something cannot be watched: a sentence.
    Problem(String),
}

/// What the watches know. A component that names all its objects needs nothing.
pub(super) fn stock(cache: &Cache, component: &Component, namespace: &str) -> Result<Stock, NoStock> {
    let mut stock = Stock::default();
    for (kind, namespace) in needs(component, namespace) {
        match cache.list(kind, &namespace) {
            Listed::Objects(objects) => stock.put(kind, &namespace, objects),
            Listed::Syncing => return Err(NoStock::Syncing),
            Listed::Problem(_) if kind.may_be_unseen() => {}
            Listed::Problem(message) => return Err(NoStock::Problem(message)),
        }
    }
    Ok(stock)
}

/// The same for a lowering: what no watch knows is read; what cannot be read keeps nothing else waiting, and is told.
pub(super) async fn stock_at_any_cost(
    client: &Client,
    cache: &Cache,
    component: &Component,
    namespace: &str,
) -> (Stock, Vec<String>) {
    let (mut stock, mut failed) = (Stock::default(), Vec::new());
    // Where canaries are is all that has to be known; what they lead to is not.
    let wanted = needs(component, namespace).into_iter();
    for (kind, namespace) in wanted.filter(|(kind, _)| *kind == ObjectKind::Ingress) {
        match cache.list(kind, &namespace) {
            Listed::Objects(objects) => stock.put(kind, &namespace, objects),
            Listed::Syncing | Listed::Problem(_) => {
                // A list that hangs must not keep those objects up that are known by name.
                match tokio::time::timeout(LIST, objects::list(client, kind, &namespace)).await {
                    Ok(Ok(objects)) => stock.put(kind, &namespace, objects),
                    Ok(Err(error)) => failed.push(error.to_string()),
                    Err(_) => failed.push(format!(
                        "listing {} in {namespace}: no answer within {}s",
                        kind.plural(),
                        LIST.as_secs()
                    )),
                }
            }
        }
    }
    (stock, failed)
}

/// What a raise rests on: the stock that its objects were found in, and the objects as they were just read.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) stock: Stock,
    pub(super) objects: Objects,
}

impl Prepared {
    /// An object as it was read.
    pub(super) fn read(&self, object: &ObjectRef) -> Option<&Arc<Value>> {
        self.objects
            .iter()
            .find(|(o, _)| o == object)
            .map(|(_, json)| json)
    }
}

/// Two components of one resource that want the same objects: one of them gets none of those. Whoever made what stands
/// there is before whoever has canary traffic elsewhere, and that one before all others, by name.
pub(super) fn meet(
    selected: &Selected,
    status: &GradualRolloutStatus,
    components: &mut BTreeMap<String, Seen>,
) {
    let mut wanted: BTreeMap<&ClaimKey, Vec<(Made, bool, &String)>> = BTreeMap::new();
    for (name, sought) in selected {
        let carries = status.component(name).is_some_and(|c| c.definition.is_some());
        for sought in sought {
            let rank = (sought.made, !carries, name);
            wanted.entry(&sought.key).or_default().push(rank);
        }
    }
    for (key, mut ranks) in wanted {
        ranks.sort();
        ranks.dedup();
        let Some(((_, _, first), others)) = ranks.split_first() else {
            continue;
        };
        for (_, _, name) in others.iter().filter(|(_, _, name)| name != first) {
            if let Some(seen) = components.get_mut(*name) {
                seen.obstacle = Some(format!(
                    "component {first} of this resource splits the upstream of {key} too: choose each Ingress in one component"
                ));
            }
        }
    }
}
