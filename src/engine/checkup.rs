//! The doctor, run by the daemon: beside everything else, one resource after the other, and never in the way.

use crate::clock::Clock;
use crate::cluster::by_hand::{ByHand, Error};
use crate::cluster::cache::Cache;
use crate::cluster::connect::Clients;
use crate::doctor::code::D003;
use crate::doctor::rights::{self, Right};
use crate::doctor::{Finding, Objects, Patient, api_clock, definition, lacking, routed, samples};
use crate::metrics::Source;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// What the doctor has to know of the daemon.
#[derive(Clone, Debug)]
pub struct DoctorSettings {
    /// The namespace of the daemon's Lease.
    pub namespace: String,
    /// The Lease's name.
    pub lease: String,
    /// In how many shards daemons split the work.
    pub shards: u32,
    /// Whether the settings name a Prometheus.
    pub has_prometheus: bool,
}

/// How long looking at one resource may take, once it is its turn.
const LONGEST: Duration = Duration::from_secs(60);
/// What was found out about the cluster and the own rights is believed this long: many resources ask for the same.
const BELIEVED: Duration = Duration::from_secs(5 * 60);

/// Looks at one resource at a time, for whichever actor asks.
pub(super) struct Checkup {
    cluster: ByHand,
    cache: Cache,
    source: Source,
    clock: Clock,
    settings: DoctorSettings,
    turn: Semaphore,
    // A std mutex: held for a look-up or an insert, never across an await.
    known: Mutex<Known>,
}

/// What holds for every resource, and since when it is known.
#[derive(Default)]
struct Known {
    cluster: Option<(Instant, Vec<Finding>)>,
    rights: BTreeMap<Right, (Instant, bool)>,
}

impl Checkup {
    pub(super) fn new(
        clients: &Clients,
        cache: Cache,
        source: Source,
        clock: Clock,
        settings: DoctorSettings,
    ) -> Self {
        Self {
            cluster: ByHand::new(clients.fast.clone()),
            cache,
            source,
            clock,
            settings,
            turn: Semaphore::new(1),
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that was found within the time there is.
    pub(super) async fn examine(&self, patient: &Patient) -> Vec<Finding> {
        // Never closed.
        let _turn = self.turn.acquire().await.ok();
        let mut all = Vec::new();
        let object = format!("rollout {}", patient.name);
        match tokio::time::timeout(LONGEST, self.look(patient, &mut all)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => all.push(Finding::new(D003, &object, &error.to_string())),
            Err(_) => {
                let message = format!("not everything could be looked at within {}s", LONGEST.as_secs());
                all.push(Finding::new(D003, &object, &message));
            }
        }
        all
    }

    async fn look(&self, patient: &Patient, all: &mut Vec<Finding>) -> Result<(), Error> {
        all.extend(self.of_the_cluster().await?);
        all.extend(self.of_rights(patient).await?);
        let objects = Objects::Watched(&self.cache);
        for component in patient.components() {
            routed(&objects, patient, component, all).await?;
        }
        // A source that is simulated answers no PromQL.
        let source = match (&self.source, self.settings.has_prometheus) {
            (Source::Simulated(_), true) => return Ok(()),
            (source, true) => Some(source),
            (_, false) => None,
        };
        all.extend(samples(source, std::slice::from_ref(patient), self.clock.now()).await);
        Ok(())
    }

    async fn of_the_cluster(&self) -> Result<Vec<Finding>, Error> {
        let known = self.known().cluster.clone();
        if let Some((_, found)) = known.filter(|(since, _)| since.elapsed() < BELIEVED) {
            return Ok(found);
        }
        let mut found = definition(&self.cluster).await?;
        found.extend(api_clock(&self.cluster, || self.clock.now()).await?);
        self.known().cluster = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    async fn of_rights(&self, patient: &Patient) -> Result<Vec<Finding>, Error> {
        let DoctorSettings {
            namespace,
            lease,
            shards,
            ..
        } = &self.settings;
        let needed = rights::needed(std::slice::from_ref(patient), (namespace, lease, *shards));
        let unknown = {
            let mut known = self.known();
            known.rights.retain(|_, (since, _)| since.elapsed() < BELIEVED);
            let unknown = needed.iter().filter(|right| !known.rights.contains_key(right));
            unknown.cloned().collect()
        };
        let (lacks, mut found) = lacking(&self.cluster, &unknown).await?;
        let now = Instant::now();
        let mut known = self.known();
        // Where even asking was refused nothing is known.
        if found.is_empty() {
            let each = unknown.into_iter();
            known.rights.extend(each.map(|right| {
                let has = !lacks.contains(&right);
                (right, (now, has))
            }));
        }
        let lacks: Vec<Right> = needed
            .into_iter()
            .filter(|right| known.rights.get(right).is_some_and(|(_, has)| !has))
            .collect();
        found.extend(rights::findings(&lacks));
        Ok(found)
    }
}
