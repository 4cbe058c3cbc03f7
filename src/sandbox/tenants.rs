//! Simulated tenants: requests that nobody sent, counted as a gateway's proxy would count them.
//!
//! Nothing runs in the background. Whoever looks at the counters makes them catch up, scrape period by scrape
//! period, with the weights and faults of that moment.

use super::draw::Draw;
use super::draw::real;
use super::shape::{BUCKETS, Shape, daytime};
use crate::metrics::ask::Side;
use crate::metrics::exposition::bounds_ms;
use crate::metrics::{ArmSnapshot, Ask, Bucket, Counter, PodSnapshot, Simulation, Snapshot};
use crate::rollout::sample::{Blindness, Dark};
use crate::rollout::spec::Preset;
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The pod that counts: one gateway in front of both paths.
pub const GATEWAY: &str = "istio-ingressgateway-0";
/// The share of requests that fail although nothing is wrong.
pub const USUAL_ERRORS: f64 = 0.00005;
/// How long a host lives on average that a controller made: where a weight is a share of new objects alone, so much
/// time goes by until most requests follow it.
const HOST_LIFE: Duration = Duration::from_secs(2 * 3600);
/// How many scrapes of the past are remembered: a restarted daemon reads its last one again.
const REMEMBERED: usize = 40;

/// What decides how many requests reach the canary.
type Shares = Box<dyn Fn(&str) -> Weight + Send + Sync>;

/// How one arm of a component fares.
#[derive(Clone, Debug, PartialEq)]
struct Fare {
    errors: f64,
    slow: f64,
    shape: Shape,
}

/// What one arm's exporter counted since it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) answered: u64,
    /// Failures are quick: a proxy without an upstream answers at once, in [`QUICK`].
    pub(super) failed: u64,
    /// Where the answered ones fall.
    pub(super) buckets: [u64; BUCKETS],
}

/// The bucket of failures, of any histogram.
pub(super) const QUICK: usize = 1;

impl Counted {
    const NOTHING: Self = Self {
        answered: 0,
        failed: 0,
        buckets: [0; BUCKETS],
    };

    /// Requests in all.
    pub(super) const fn requests(&self) -> u64 {
        self.answered + self.failed
    }
}

/// Canary and control.
pub(super) type Both = [Counted; 2];

/// What a component's weight is a share of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moves {
    /// Of requests: the next one goes by it.
    Requests,
    /// Of new objects: a host stays on the path that it was made on, and requests go where their host is.
    NewObjects {
        /// The share of all hosts that are on the new path.
        moved: f64,
    },
}

impl Moves {
    /// Of hosts that have all been made on the old path.
    pub const HOSTS: Self = Self::NewObjects { moved: 0.0 };

    /// The share of requests that reach the canary after so many seconds at this weight.
    fn requests(&mut self, weight: f64, seconds: f64) -> f64 {
        match self {
            Self::Requests => weight,
            Self::NewObjects { moved } => {
                *moved += (weight - *moved) * (1.0 - (-seconds / HOST_LIFE.as_secs_f64()).exp());
                *moved
            }
        }
    }
}

#[derive(Debug)]
struct Flow {
    moves: Moves,
    /// Requests per second of both arms, on average over a day.
    rate: f64,
    preset: Preset,
    fares: [Fare; 2],
    /// The scrape up to which is counted.
    scrape: i64,
    counted: Both,
    past: VecDeque<(i64, Both)>,
    /// The newest sample that was shown to anybody, and the one shown before it.
    shown: [Option<Timestamp>; 2],
}

/// A component's traffic.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The component.
    pub component: String,
    /// Requests per second of both arms, on average over a day.
    pub rate: f64,
    /// Whose histogram its latencies are counted in.
    pub preset: Preset,
    /// What its weight is a share of.
    pub moves: Moves,
}

/// The traffic of all components. Deterministic: the same seed, weights and faults give the same counters.
pub struct Tenants {
    seed: u64,
    epoch: Timestamp,
    period_ms: i64,
    shares: Shares,
    steady: bool,
    flows: Mutex<BTreeMap<String, Flow>>,
    dark: Mutex<Option<String>>,
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenants(seed {})", self.seed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding it; a poisoned lock would still guard consistent counters.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tenants {
    /// Traffic from `epoch` on, scraped every `period`. `shares` tells a component's weight at the moment of the call.
    pub fn new(
        seed: u64,
        epoch: Timestamp,
        period: Duration,
        tenants: Vec<Tenant>,
        shares: impl Fn(&str) -> Weight + Send + Sync + 'static,
    ) -> Self {
        let flow = |tenant: Tenant| {
            let usual = Fare {
                errors: USUAL_ERRORS,
                slow: 1.0,
                shape: Shape::new(bounds_ms(tenant.preset), 1.0),
            };
            let flow = Flow {
                moves: tenant.moves,
                rate: tenant.rate,
                preset: tenant.preset,
                fares: [usual.clone(), usual],
                scrape: 0,
                counted: [Counted::NOTHING, Counted::NOTHING],
                past: VecDeque::new(),
                shown: [None; 2],
            };
            (tenant.component, flow)
        };
        Self {
            seed,
            epoch,
            period_ms: i64::try_from(period.as_millis()).unwrap_or(i64::MAX).max(1),
            shares: Box::new(shares),
            steady: false,
            flows: Mutex::new(tenants.into_iter().map(flow).collect()),
            dark: Mutex::default(),
        }
    }

    /// Without days and nights: the mean at every hour.
    #[must_use]
    pub fn steady(mut self) -> Self {
        self.steady = true;
        self
    }

    /// From now on this share of an arm's requests fails. `component` `*` means all.
    pub fn fail(&self, component: &str, side: Side, errors: f64, now: Timestamp) {
        self.change(component, side, now, |fare, _| {
            fare.errors = errors.clamp(0.0, 1.0);
        });
    }

    /// From now on an arm's requests take this many times as long as usual.
    pub fn slow(&self, component: &str, side: Side, factor: f64, now: Timestamp) {
        self.change(component, side, now, |fare, preset| {
            fare.slow = factor.max(0.01);
            fare.shape = Shape::new(bounds_ms(preset), fare.slow);
        });
    }

    /// Both arms of a component fare as usual again.
    pub fn heal(&self, component: &str, now: Timestamp) {
        for side in [Side::Canary, Side::Control] {
            self.fail(component, side, USUAL_ERRORS, now);
            self.slow(component, side, 1.0, now);
        }
    }

    /// The source of the metrics goes away, with this message, or comes back.
    pub fn darken(&self, message: Option<&str>) {
        *lock(&self.dark) = message.map(str::to_owned);
    }

    /// The newest sample of a component that was shown to anybody.
    pub fn shown(&self, component: &str) -> Option<Timestamp> {
        let [newest, _] = lock(&self.flows).get(component)?.shown;
        newest
    }

    /// The sample shown before the newest. Who reads through a store in between (a Prometheus) may not have the
    /// newest yet, but has surely this one.
    pub fn shown_before(&self, component: &str) -> Option<Timestamp> {
        let [newest, before] = lock(&self.flows).get(component)?.shown;
        before.or(newest)
    }

    fn change(&self, component: &str, side: Side, now: Timestamp, change: impl Fn(&mut Fare, Preset)) {
        let scrape = self.scrape_at(now);
        for (name, flow) in lock(&self.flows).iter_mut() {
            if component == "*" || component == name {
                self.catch_up(name, flow, scrape);
                let preset = flow.preset;
                if let Some(fare) = flow.fares.get_mut(index(side)) {
                    change(fare, preset);
                }
            }
        }
    }

    fn scrape_at(&self, at: Timestamp) -> i64 {
        (at.as_millisecond() - self.epoch.as_millisecond()).div_euclid(self.period_ms)
    }

    fn time_of(&self, scrape: i64) -> Timestamp {
        let millis = self.epoch.as_millisecond() + scrape * self.period_ms;
        Timestamp::from_millisecond(millis).unwrap_or(self.epoch)
    }

    fn rate_at(&self, flow: &Flow, second: i64) -> f64 {
        if self.steady {
            flow.rate
        } else {
            flow.rate * daytime(second)
        }
    }

    fn catch_up(&self, name: &str, flow: &mut Flow, scrape: i64) {
        if flow.scrape >= scrape {
            return;
        }
        let weight = (self.shares)(name).ratio();
        let seconds = real(self.period_ms.unsigned_abs()) / 1000.0;
        while flow.scrape < scrape {
            flow.past.push_back((flow.scrape, flow.counted.clone()));
            if flow.past.len() > REMEMBERED {
                flow.past.pop_front();
            }
            flow.scrape += 1;
            let mut draw = Draw::at(self.seed, name, flow.scrape);
            let rate = self.rate_at(flow, self.time_of(flow.scrape).as_second());
            let requests = draw.poisson(rate * seconds);
            let share = flow.moves.requests(weight, seconds);
            let canary = draw.binomial(requests, share);
            for ((counted, fare), arrived) in flow
                .counted
                .iter_mut()
                .zip(&flow.fares)
                .zip([canary, requests - canary])
            {
                let failed = draw.binomial(arrived, fare.errors);
                counted.failed += failed;
                counted.answered += arrived - failed;
                fare.shape
                    .spread(arrived - failed, &mut draw, &mut counted.buckets);
            }
        }
    }

    /// The counters of a component as of the newest scrape at `at`, with the time of that scrape.
    pub(super) fn look(&self, component: &str, at: Timestamp) -> Option<(Timestamp, Both)> {
        let scrape = self.scrape_at(at);
        let mut flows = lock(&self.flows);
        let flow = flows.get_mut(component)?;
        self.catch_up(component, flow, scrape);
        let both = if scrape == flow.scrape {
            flow.counted.clone()
        } else {
            flow.past.iter().find(|(known, _)| *known == scrape)?.1.clone()
        };
        let sampled = self.time_of(scrape);
        let [newest, _] = flow.shown;
        if newest < Some(sampled) {
            flow.shown = [Some(sampled), newest];
        }
        Some((sampled, both))
    }
}

const fn index(side: Side) -> usize {
    match side {
        Side::Canary => 0,
        Side::Control => 1,
    }
}

impl Simulation for Tenants {
    fn has_past(&self) -> bool {
        false
    }

    fn scrape(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
        if let Some(message) = lock(&self.dark).clone() {
            return Err(Blindness {
                kind: Dark::Down,
                message,
            });
        }
        let mut snapshot = ask.unanswered(at);
        let Some((sampled_at, [canary, control])) = self.look(&ask.component, at) else {
            return Ok(snapshot);
        };
        let usual = ask.wants_history.then(|| {
            let flows = lock(&self.flows);
            let rate = flows
                .get(&ask.component)
                .map(|flow| self.rate_at(flow, at.as_second()));
            // Every day is like the one before it.
            rate.unwrap_or_default()
        });
        snapshot.usual_rate = usual;
        snapshot.canary = arm(ask, ask.arms.canary.preset, &canary, sampled_at);
        snapshot.control = ask
            .arms
            .control
            .as_ref()
            .map(|source| arm(ask, source.preset, &control, sampled_at));
        Ok(snapshot)
    }
}

/// An exporter shows a series from its first request on.
fn arm(ask: &Ask, preset: Preset, counted: &Counted, sampled_at: Timestamp) -> ArmSnapshot {
    let mut arm = ArmSnapshot::default();
    if counted.requests() == 0 {
        return arm;
    }
    let mut requests = BTreeMap::new();
    for (code, count, error) in [("200", counted.answered, false), ("503", counted.failed, true)] {
        if count > 0 {
            requests.insert(
                code.to_owned(),
                Counter {
                    count: real(count),
                    error,
                },
            );
        }
    }
    let mut latency = BTreeMap::new();
    if ask.latency() {
        latency.insert(String::new(), buckets(preset, counted));
    }
    arm.pods.insert(
        GATEWAY.to_owned(),
        PodSnapshot {
            sampled_at,
            requests,
            latency,
        },
    );
    arm
}

fn buckets(preset: Preset, counted: &Counted) -> Vec<Bucket> {
    let bounds = bounds_ms(preset).iter().copied().chain([f64::INFINITY]);
    let mut sum = 0;
    bounds
        .zip(counted.buckets)
        .enumerate()
        .map(|(place, (le_ms, here))| {
            sum += here + if place == QUICK { counted.failed } else { 0 };
            Bucket {
                le_ms,
                count: real(sum),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
