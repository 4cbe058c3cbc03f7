//! The Lease that says a daemon is alive, and which one. It saves work; correctness comes from the preconditions on
//! every write.

use super::ClusterError;
use crate::clock::Clock;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;
use kube::{Api, Client};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The Lease's usual name.
pub const NAME: &str = "gradual-rollout";
/// A Lease renewed within this says that a daemon is alive.
pub const ALIVE_WITHIN: Duration = Duration::from_secs(15);

/// Which Lease, and how it is held.
#[derive(Clone)]
pub struct LeaseSettings {
    /// The cluster.
    pub client: Client,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who asks.
    pub identity: String,
    /// How often it is renewed.
    pub renew: Duration,
    /// How long it is believed without renewal.
    pub duration: Duration,
}

/// Who holds a Lease, as far as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its name.
    pub identity: String,
    /// When it last said so.
    pub renewed: Timestamp,
    /// For how long it is believed.
    pub duration: Duration,
}

impl Holder {
    /// Whether it is still believed.
    pub fn alive(&self, now: Timestamp) -> bool {
        // Whoever may write the Lease may write any time into it.
        let end = self.renewed.checked_add(self.duration).unwrap_or(Timestamp::MAX);
        !self.identity.is_empty() && now < end
    }
}

/// What to do with a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Take it: nobody holds it, or its holder was not heard of for too long.
    Take,
    /// Renew it.
    Renew,
    /// Stand by.
    Wait,
}

/// Decides about a Lease.
pub fn step(holder: Option<&Holder>, me: &str, now: Timestamp) -> Act {
    match holder {
        Some(holder) if holder.identity == me => Act::Renew,
        Some(holder) if holder.alive(now) => Act::Wait,
        Some(_) | None => Act::Take,
    }
}

fn holder(lease: &Lease) -> Option<Holder> {
    let spec = lease.spec.as_ref()?;
    let seconds = u64::try_from(spec.lease_duration_seconds.unwrap_or(15)).unwrap_or(15);
    Some(Holder {
        identity: spec.holder_identity.clone().unwrap_or_default(),
        renewed: spec.renew_time.as_ref()?.0,
        duration: Duration::from_secs(seconds),
    })
}

/// The daemon that is alive, if there is one.
pub async fn alive(
    client: &Client,
    namespace: &str,
    name: &str,
    now: Timestamp,
) -> Result<Option<Holder>, ClusterError> {
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let lease = api
        .get_opt(name)
        .await
        .map_err(|e| ClusterError::new(format!("reading lease {namespace}/{name}"), e))?;
    Ok(lease.as_ref().and_then(holder).filter(|h| h.alive(now)))
}

/// Holds the Lease whenever it can be had; tells in `held`. Gives it back when told to stop.
pub async fn run(settings: LeaseSettings, clock: Clock, held: watch::Sender<bool>, stop: CancellationToken) {
    let api: Api<Lease> = Api::namespaced(settings.client.clone(), &settings.namespace);
    // Whoever cannot renew must stop before anybody else may begin; a fifth is left for stopping.
    let patience = settings.duration.mul_f64(0.8);
    let mut renewed = tokio::time::Instant::now();
    loop {
        let begun = tokio::time::Instant::now();
        let holds = *held.borrow();
        let left = (renewed + patience).saturating_duration_since(begun);
        let longest = if holds {
            left.min(settings.renew)
        } else {
            settings.renew
        };
        let pause = match tokio::time::timeout(longest, attempt(&api, &settings, clock.now())).await {
            Ok(Ok(mine)) => {
                renewed = begun;
                announce(&held, mine);
                settings.renew
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the Lease was not renewed");
                settings.renew / 5
            }
            Err(_) => {
                tracing::warn!("the Lease was not renewed in time");
                settings.renew / 5
            }
        };
        let left = (renewed + patience).saturating_duration_since(tokio::time::Instant::now());
        if left.is_zero() {
            announce(&held, false);
        }
        let pause = if *held.borrow() { pause.min(left) } else { pause };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    if *held.borrow()
        && let Err(error) = release(&api, &settings).await
    {
        tracing::warn!(%error, "the Lease was not given back; the next daemon waits until it runs out");
    }
    announce(&held, false);
}

fn announce(held: &watch::Sender<bool>, mine: bool) {
    held.send_if_modified(|known| std::mem::replace(known, mine) != mine);
}

/// One attempt; true when it is ours afterwards.
async fn attempt(api: &Api<Lease>, settings: &LeaseSettings, now: Timestamp) -> Result<bool, ClusterError> {
    let what = || format!("lease {}/{}", settings.namespace, settings.name);
    let known = api
        .get_opt(&settings.name)
        .await
        .map_err(|e| ClusterError::new(format!("reading {}", what()), e))?;
    let act = step(known.as_ref().and_then(holder).as_ref(), &settings.identity, now);
    if act == Act::Wait {
        return Ok(false);
    }
    let before = known.as_ref().and_then(|l| l.spec.clone()).unwrap_or_default();
    let stamp = Some(MicroTime(now));
    let spec = LeaseSpec {
        holder_identity: Some(settings.identity.clone()),
        lease_duration_seconds: i32::try_from(settings.duration.as_secs()).ok(),
        renew_time: stamp.clone(),
        acquire_time: if act == Act::Take {
            stamp
        } else {
            before.acquire_time
        },
        lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(act == Act::Take)),
        ..LeaseSpec::default()
    };
    let written = if let Some(lease) = known {
        // The version that was read goes with it: of two that take it, one loses.
        api.replace(
            &settings.name,
            &super::objects::creating(),
            &Lease {
                spec: Some(spec),
                ..lease
            },
        )
        .await
    } else {
        let metadata = ObjectMeta {
            name: Some(settings.name.clone()),
            ..ObjectMeta::default()
        };
        api.create(
            &super::objects::creating(),
            &Lease {
                metadata,
                spec: Some(spec),
            },
        )
        .await
    };
    match written.map_err(|e| ClusterError::new(format!("writing {}", what()), e)) {
        Ok(_) => Ok(true),
        Err(ClusterError::Conflict { .. }) if act == Act::Take => Ok(false),
        Err(error) => Err(error),
    }
}

async fn release(api: &Api<Lease>, settings: &LeaseSettings) -> Result<(), ClusterError> {
    let what = format!("giving back lease {}/{}", settings.namespace, settings.name);
    let lease = api
        .get(&settings.name)
        .await
        .map_err(|e| ClusterError::new(what.clone(), e))?;
    if holder(&lease).is_none_or(|h| h.identity != settings.identity) {
        return Ok(());
    }
    let spec = LeaseSpec {
        holder_identity: Some(String::new()),
        ..lease.spec.clone().unwrap_or_default()
    };
    let written = api
        .replace(
            &settings.name,
            &super::objects::creating(),
            &Lease {
                spec: Some(spec),
                ..lease
            },
        )
        .await;
    written.map(|_| ()).map_err(|e| ClusterError::new(what, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_only_from_nobody_or_from_the_dead() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let by = |identity: &str, ago: u64| Holder {
            identity: identity.into(),
            renewed: now - Duration::from_secs(ago),
            duration: Duration::from_secs(15),
        };
        assert_eq!(step(None, "me", now), Act::Take);
        assert_eq!(step(Some(&by("me", 60)), "me", now), Act::Renew);
        assert_eq!(step(Some(&by("other", 14)), "me", now), Act::Wait);
        assert_eq!(step(Some(&by("other", 15)), "me", now), Act::Take);
        assert_eq!(step(Some(&by("", 1)), "me", now), Act::Take, "given back");
    }
}
