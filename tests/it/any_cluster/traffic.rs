//! Requests that nobody sends: counted as the routes in the cluster split them.

use gradual_rollout::clock::Clock;
use gradual_rollout::metrics::exposition::{Exported, ExportedLatency, IstioLabels, bounds_ms, encode};
use gradual_rollout::metrics::{ArmSnapshot, Ask, Bucket, Counter, PodSnapshot, Simulation, Snapshot};
use gradual_rollout::rollout::sample::{Blindness, Dark};
use gradual_rollout::rollout::spec::Preset;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

/// Requests a second of each component: enough for every test of evidence within one tick.
const RATE: f64 = 200_000.0;

/// Tenants' requests.
#[derive(Debug, Default)]
pub(super) struct Traffic(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    shares: BTreeMap<String, f64>,
    failing: BTreeSet<String>,
    dark: bool,
    arms: BTreeMap<(String, bool), Arm>,
    past: BTreeMap<(String, Timestamp), Snapshot>,
}

#[derive(Clone, Copy, Debug)]
struct Arm {
    at: Timestamp,
    requests: f64,
    errors: f64,
}

impl Arm {
    fn grow(&mut self, at: Timestamp, share: f64, failing: bool) {
        let new = (at.duration_since(self.at).as_secs_f64().max(0.0) * RATE * share).floor();
        self.at = self.at.max(at);
        self.requests += new;
        self.errors += if failing { (new * 0.7).floor() } else { 0.0 };
    }

    fn snapshot(&self, at: Timestamp) -> ArmSnapshot {
        if self.requests == 0.0 {
            return ArmSnapshot::default();
        }
        let counter = |count, error| Counter { count, error };
        let bucket = |le_ms, share: f64| Bucket {
            le_ms,
            count: (self.requests * share).floor(),
        };
        let buckets = [(50.0, 0.5), (100.0, 0.97), (250.0, 1.0), (f64::INFINITY, 1.0)];
        let pod = PodSnapshot {
            sampled_at: at,
            requests: [
                ("200".to_owned(), counter(self.requests - self.errors, false)),
                ("503".to_owned(), counter(self.errors, true)),
            ]
            .into(),
            latency: [(
                "le".to_owned(),
                buckets.map(|(le, share)| bucket(le, share)).to_vec(),
            )]
            .into(),
        };
        ArmSnapshot {
            pods: [("gateway".to_owned(), pod)].into(),
        }
    }
}

impl State {
    /// Counts a component's requests up to now: canary and control.
    fn count(&mut self, component: &str, at: Timestamp) -> (Arm, Arm) {
        let share = self.shares.get(component).copied().unwrap_or(0.0);
        let failing = self.failing.contains(component);
        let mut arm = |canary: bool, share: f64| {
            let arm = self.arms.entry((component.to_owned(), canary)).or_insert(Arm {
                at,
                requests: 0.0,
                errors: 0.0,
            });
            arm.grow(at, share, canary && failing);
            *arm
        };
        (arm(true, share), arm(false, 1.0 - share))
    }
}

impl Traffic {
    /// A component's counters as Istio's proxies expose them.
    pub(super) fn page(&self, ns: &str, component: &str) -> String {
        let (canary, control) = self.state().count(component, Clock::System.now());
        let mut exported = Vec::new();
        for (version, arm) in [("v2", canary), ("v1", control)] {
            let service = format!("{component}-{version}");
            for (code, count) in [("200", arm.requests - arm.errors), ("503", arm.errors)] {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
                let requests = count as u64;
                let labels = IstioLabels {
                    reporter: "destination",
                    source_workload: "gateway",
                    source_namespace: "istio-system",
                    destination_workload: component,
                    destination_version: version,
                    destination_service: &service,
                    destination_namespace: ns,
                    protocol: "http",
                    code,
                    flags: "-",
                    grpc_status: "",
                };
                let bounds = bounds_ms(Preset::Istio).iter();
                exported.push(Exported {
                    labels: labels.labels(),
                    requests,
                    latency: Some(ExportedLatency {
                        cumulative: bounds.map(|&ms| if ms < 25.0 { 0 } else { requests }).collect(),
                        sum_ms: 0.0,
                    }),
                });
            }
        }
        encode(Preset::Istio, &exported)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The canary of a component fails from now on.
    pub(super) fn fail(&self, component: &str) {
        self.state().failing.insert(component.to_owned());
    }

    /// The metrics cannot be read, or can again.
    pub(super) fn darken(&self, dark: bool) {
        self.state().dark = dark;
    }

    /// What part of a component's requests the canary gets.
    pub(super) fn split(&self, component: &str, share: f64) {
        self.state().shares.insert(component.to_owned(), share);
    }
}

impl Simulation for Traffic {
    fn scrape(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
        let mut state = self.state();
        if state.dark {
            return Err(Blindness {
                kind: Dark::Down,
                message: "the lights are out".into(),
            });
        }
        let mut snapshot = Snapshot::empty(ask, at);
        let key = (ask.component.clone(), snapshot.at);
        if let Some(known) = state.past.get(&key) {
            return Ok(known.clone());
        }
        let (canary, control) = state.count(&ask.component, at);
        snapshot.canary = canary.snapshot(snapshot.at);
        snapshot.control = Some(control.snapshot(snapshot.at));
        state.past.insert(key, snapshot.clone());
        Ok(snapshot)
    }
}
