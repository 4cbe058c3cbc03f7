//! What is asked of the API server.

use super::code::{D003, D305, D501, D502};
use super::{Finding, Patient, definition as installed, owner, rights, samples};
use crate::cluster::by_hand::{ByHand, Error};
use crate::cluster::cache::{Cache, Cached, Listed};
use crate::cluster::crd;
use crate::rollout::spec::Component;
use crate::rollout::weight::Weight;
use crate::routing::{ObjectKind, ObjectRef, Stock, found, needs};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Questions to the API server at once.
const ABREAST: usize = 8;
/// How long a watch that has not listed everything yet is left alone before it is asked again.
const SYNCING: Duration = Duration::from_secs(1);

/// What was read; `None` with a finding when reading it is not allowed or was refused. Without an answer at all there
/// is no more to find.
fn seen<T>(read: Result<T, Error>, object: &str, all: &mut Vec<Finding>) -> Result<Option<T>, Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_silence() || matches!(error, Error::NoConnection(_)) => Err(error),
        Err(error) => {
            all.push(Finding::new(D003, object, &error.to_string()));
            Ok(None)
        }
    }
}

/// The definition of the resource.
pub(crate) async fn definition(cluster: &ByHand) -> Result<Vec<Finding>, Error> {
    let mut all = Vec::new();
    let read = cluster.installed_definition().await;
    if let Some(there) = seen(read, "definition gradualrollouts.rollout.sealos.io", &mut all)? {
        all.extend(installed::findings(there.as_ref(), &crd::definition()));
    }
    Ok(all)
}

/// The API server's clock.
pub(crate) async fn api_clock(cluster: &ByHand, now: impl Fn() -> Timestamp) -> Result<Vec<Finding>, Error> {
    let mut all = Vec::new();
    let read = cluster.time().await;
    if let Some(Some(theirs)) = seen(read, "API server", &mut all)? {
        all.extend(skew(theirs, now()));
    }
    Ok(all)
}

fn skew(theirs: Timestamp, ours: Timestamp) -> Option<Finding> {
    let seconds = theirs.as_second() - ours.as_second();
    let word = if seconds > 0 { "ahead of" } else { "behind" };
    let seconds = seconds.unsigned_abs();
    (seconds > samples::SKEW.as_secs()).then(|| {
        let message = format!("its clock is {seconds}s {word} this machine's");
        Finding::new(D305, "API server", &message)
    })
}

/// Rights that whoever asks does not have, of those that are needed.
pub(crate) async fn lacking(
    cluster: &ByHand,
    needed: &BTreeSet<rights::Right>,
) -> Result<(Vec<rights::Right>, Vec<Finding>), Error> {
    let asked = stream::iter(needed.iter().cloned()).map(|right| async move {
        let answer = cluster.may(&right).await;
        (right, answer)
    });
    let answers: Vec<_> = asked.buffered(ABREAST).collect().await;
    let (mut all, mut lacking) = (Vec::new(), Vec::new());
    for (right, answer) in answers {
        if seen(answer, "own rights", &mut all)? == Some(false) {
            lacking.push(right);
        }
    }
    all.dedup();
    Ok((lacking, all))
}

/// Where routed objects are read.
pub(crate) enum Objects<'a> {
    /// Each is asked for.
    Asked(&'a ByHand),
    /// They are watched already.
    Watched(&'a Cache),
}

/// How an object was found.
enum There {
    Yes(Arc<Value>),
    /// The second: what to do where the API server does not know its kind.
    No(Option<&'static str>),
    Unknown,
}

impl Objects<'_> {
    async fn list(
        &self,
        kind: ObjectKind,
        namespace: &str,
        all: &mut Vec<Finding>,
    ) -> Result<Option<Vec<Arc<Value>>>, Error> {
        let place = format!("{} in {namespace}", kind.plural());
        match self {
            Self::Asked(cluster) if kind.may_be_unseen() => Ok(cluster
                .search(kind, Some(namespace), None)
                .await
                .unwrap_or_default()),
            Self::Asked(cluster) => seen(cluster.list(kind, namespace).await, &place, all),
            Self::Watched(cache) => loop {
                match cache.list(kind, namespace) {
                    Listed::Objects(objects) => return Ok(Some(objects)),
                    // A right that is lacking is told by itself.
                    Listed::Problem(_) if kind.may_be_unseen() => return Ok(None),
                    Listed::Problem(why) => {
                        all.push(Finding::new(D003, &place, &why));
                        return Ok(None);
                    }
                    Listed::Syncing => tokio::time::sleep(SYNCING).await,
                }
            },
        }
    }

    async fn get(&self, object: &ObjectRef, all: &mut Vec<Finding>) -> Result<There, Error> {
        match self {
            Self::Asked(cluster) => match cluster.object(object).await {
                Err(Error::NotFound(_)) => {
                    // The same answer where nobody knows the kind: a list tells the two apart.
                    let served = !matches!(
                        cluster.list(object.kind, &object.namespace).await,
                        Err(Error::NotFound(_))
                    );
                    Ok(There::No(object.kind.missing().filter(|_| !served)))
                }
                Err(Error::NoDefinition) => Ok(There::No(object.kind.missing())),
                read => Ok(seen(read, &object.to_string(), all)?
                    .map_or(There::Unknown, |json| There::Yes(Arc::new(json)))),
            },
            Self::Watched(cache) => loop {
                match cache.get(object) {
                    Cached::Object(json) => return Ok(There::Yes(json)),
                    Cached::Missing => return Ok(There::No(None)),
                    Cached::Problem(why) => {
                        all.push(Finding::new(D003, &object.to_string(), &why));
                        return Ok(There::Unknown);
                    }
                    Cached::Syncing => tokio::time::sleep(SYNCING).await,
                }
            },
        }
    }
}

/// The routed objects of a component: there, able to carry the plan's weights, and applied by whom.
pub(crate) async fn routed(
    objects: &Objects<'_>,
    patient: &Patient,
    component: &Component,
    all: &mut Vec<Finding>,
) -> Result<(), Error> {
    let mut stock = Stock::default();
    for (kind, namespace) in needs(component, &patient.namespace) {
        if let Some(listed) = objects.list(kind, &namespace, all).await? {
            stock.put(kind, &namespace, listed);
        }
    }
    let found = found(component, &patient.home(), &stock);
    let owner = format!("component {} of {}", component.name, patient.name);
    if let Some(obstacle) = found.obstacle() {
        all.push(Finding::new(D502, &owner, &obstacle));
    }
    let planned = patient.plan.component(&component.name);
    let weights: Vec<Weight> = planned
        .into_iter()
        .flat_map(|planned| planned.steps.iter().map(|step| step.weight))
        .collect();
    for target in &found.targets {
        let object = target.object();
        // Canary Ingresses are made when they are needed: that one is not there is no finding.
        if object.kind.is_elsewhere() || object.kind == ObjectKind::Ingress {
            continue;
        }
        let named = object.to_string();
        let json = match objects.get(object, all).await? {
            There::Yes(json) => json,
            There::No(hint) => {
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                let message = format!("it does not exist, and {owner} routes by it{hint}");
                all.push(Finding::new(D501, &named, &message));
                continue;
            }
            There::Unknown => continue,
        };
        for error in target.validate_object(&json, &weights) {
            all.push(Finding::new(D502, &named, &error.to_string()));
        }
        all.extend(owner::finding(object, &json));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_by_more_than_an_answer_takes_are_told() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(skew(at(1_005), at(1_000)), None);
        let told = skew(at(990), at(1_000)).unwrap();
        assert_eq!(told.message, "its clock is 10s behind this machine's");
    }
}
