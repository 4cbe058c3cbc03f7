//! What there is of a component, and what it says, without anything being written.

use super::{Error, read, stock};
use crate::cli::connect::Reach;
use crate::rollout::spec::Component;
use crate::rollout::weight::Weight;
use crate::routing::{Home, ObjectKind, ObjectRef, found};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// The first wait before what was not answered is read again; it doubles up to [`SLOWEST`].
const FIRST_WAIT: Duration = Duration::from_millis(50);
const SLOWEST: Duration = Duration::from_secs(1);

/// What the old path of a component consists of.
#[derive(Debug, Default)]
pub(in crate::cli) struct Control {
    /// Services that take its requests: namespace and name.
    pub services: Vec<(String, String)>,
    /// Deployments that are told of the weight.
    pub deployments: Vec<(String, String)>,
}

/// What the old path of a component consists of, as far as its routers tell.
pub(in crate::cli) async fn control(cluster: &Reach, component: &Component, home: &Home) -> Control {
    let (stock, _) = stock(cluster, component, home, None).await;
    let mut control = Control::default();
    for target in found(component, home, &stock).targets {
        control.services.extend(target.control_services());
        let object = target.object();
        if object.kind == ObjectKind::Deployment {
            control
                .deployments
                .push((object.namespace.clone(), object.name.clone()));
        }
    }
    control.services.sort();
    control.services.dedup();
    control
}

/// Every routed object of a component as it is there now, and why some could not be listed.
pub(in crate::cli) async fn objects(
    cluster: &Reach,
    component: &Component,
    home: &Home,
) -> (Vec<(ObjectRef, Result<Value, Error>)>, Vec<Error>) {
    let (stock, unlisted) = stock(cluster, component, home, None).await;
    let mut all = Vec::new();
    for target in found(component, home, &stock).targets {
        let object = target.object().clone();
        match read(cluster, &target).await {
            Ok(Some(json)) => all.push((object, Ok(json))),
            // It does not have to be there.
            Ok(None) => {}
            Err(error) => all.push((object, Err(error))),
        }
    }
    (all, unlisted.into_iter().map(|(_, error)| error).collect())
}

/// The greatest weight that a component's routed objects say now, and why some could not be read.
pub(in crate::cli) async fn says(
    cluster: &Reach,
    component: &Component,
    home: &Home,
) -> (Option<Weight>, Vec<String>) {
    says_by(cluster, component, home, Instant::now()).await
}

/// The same, where what is not answered is asked again until then: half of a weight is none.
pub(in crate::cli) async fn says_by(
    cluster: &Reach,
    component: &Component,
    home: &Home,
    end: Instant,
) -> (Option<Weight>, Vec<String>) {
    let mut wait = FIRST_WAIT;
    loop {
        let (weight, unread) = said(cluster, component, home).await;
        let again = unread.iter().any(Error::passes) && Instant::now() + wait < end;
        if !again {
            return (weight, unread.iter().map(ToString::to_string).collect());
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(SLOWEST);
    }
}

async fn said(cluster: &Reach, component: &Component, home: &Home) -> (Option<Weight>, Vec<Error>) {
    let (stock, unlisted) = stock(cluster, component, home, None).await;
    let all = found(component, home, &stock).targets;
    let reads = all.into_iter().map(|target| async move {
        match read(cluster, &target).await? {
            Some(json) => Ok::<Weight, Error>(target.read(&json)?.weight),
            None => Ok(Weight::ZERO),
        }
    });
    let mut highest = None;
    let mut unread: Vec<Error> = unlisted.into_iter().map(|(_, error)| error).collect();
    for read in futures::future::join_all(reads).await {
        match read {
            Ok(weight) => highest = highest.max(Some(weight)),
            Err(error) => unread.push(error),
        }
    }
    (highest, unread)
}
