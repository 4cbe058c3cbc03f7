//! Traffic by models that the judge does not assume.

use super::draw::{Draw, real, whole};
use crate::rollout::sample::{Arm, Blindness, Counts, Dark, HISTORY, Histogram, Reading, Slice, Tick};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Seconds between two looks.
pub(crate) const TICK: u64 = 10;
/// Seconds before the rollout between which control was out.
const OUTAGE: (u64, u64) = (5_400, 5_100);
/// Over how many ticks a burst is spread.
const SPREAD: usize = 4;
/// Half of all requests are answered within this many milliseconds, and the spread of the logarithm of their times.
const MEDIAN_MS: f64 = 55.0;
const SIGMA: f64 = 0.6;
/// The same within a mode.
const NARROW: f64 = 0.01;
/// Pods of an arm; one that is replaced takes along what it did since its last scrape.
const PODS: f64 = 3.0;

/// Upper bounds of Istio's duration histogram, in milliseconds.
pub(crate) const ISTIO: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];
/// Those of ingress-nginx.
pub(crate) const NGINX: [f64; 11] = [
    5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
];

/// How traffic behaves.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// Requests per second of both arms.
    pub(crate) rps: f64,
    /// The share that fails, on both arms while the canary is healthy.
    pub(crate) base: f64,
    /// The mean size of a burst of errors; 1 for independent ones. A burst is a client that tries again.
    pub(crate) burst: f64,
    /// The standard deviation of the logarithm of the rate, an AR(1) over ticks; 0 for a constant rate.
    pub(crate) swing: f64,
    /// The share of requests of slow clients: they come eight at a time and take seconds.
    pub(crate) slow_clients: f64,
    /// The chance, per arm and tick, that a pod is replaced.
    pub(crate) churn: f64,
    /// The chance that a scrape is missed: its tick comes with the next.
    pub(crate) missed: f64,
    /// An hour and a half before the rollout a fifth of the requests failed for five minutes.
    pub(crate) outage_before: bool,
    /// How long requests take, where not log-normally: milliseconds, and the share of requests around them.
    pub(crate) modes: &'static [(f64, f64)],
    /// The histogram's bounds.
    pub(crate) bounds: Arc<[f64]>,
}

impl Model {
    /// Independent errors at a constant rate.
    pub(crate) fn plain(rps: f64) -> Self {
        Self {
            rps,
            base: 0.002,
            burst: 1.0,
            swing: 0.0,
            slow_clients: 0.0,
            churn: 0.0,
            missed: 0.0,
            outage_before: false,
            modes: &[],
            bounds: ISTIO.into(),
        }
    }

    /// Most requests end just under a bucket's bound, where a little more puts them beyond it.
    pub(crate) fn under_bounds(rps: f64) -> Self {
        Self {
            modes: &[(98.0, 0.93), (240.0, 0.05), (485.0, 0.02)],
            ..Self::plain(rps)
        }
    }

    /// Everything at once.
    pub(crate) fn wild(rps: f64) -> Self {
        Self {
            burst: 5.0,
            swing: 0.3,
            slow_clients: 0.005,
            churn: 0.002,
            missed: 0.02,
            ..Self::plain(rps)
        }
    }
}

/// What is wrong with an arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ill {
    /// The share of requests that fails besides the base.
    pub(crate) errors: f64,
    /// How many times as long answers take.
    pub(crate) slow: f64,
}

/// Nothing.
pub(crate) const WELL: Ill = Ill {
    errors: 0.0,
    slow: 1.0,
};

#[derive(Clone, Debug, Default)]
struct Side {
    /// Errors and slow requests of bursts that are still to come.
    errors: [u64; SPREAD],
    slow: [u64; SPREAD],
    /// What missed scrapes have not shown yet.
    unseen: Counts,
    seen: bool,
}

/// A stream of ticks.
pub(crate) struct Traffic {
    pub(crate) model: Model,
    pub(crate) draw: Draw,
    /// Seconds since the beginning.
    pub(crate) now: u64,
    from: u64,
    swing: f64,
    canary: Side,
    control: Side,
    usual: Shape,
    ill: (f64, Shape),
}

/// The beginning of everything.
fn at(seconds: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(1_767_578_400 + seconds)
}

impl Traffic {
    pub(crate) fn new(model: Model, draw: Draw) -> Self {
        let usual = Shape::new(&model, 1.0);
        Self {
            draw,
            now: 0,
            from: 0,
            swing: 0.0,
            canary: Side::default(),
            control: Side::default(),
            ill: (1.0, usual.clone()),
            usual,
            model,
        }
    }

    pub(crate) fn time(&self) -> Timestamp {
        at(self.now)
    }

    /// Another weight: nothing of the canary's was seen at it yet.
    pub(crate) fn raised(&mut self) {
        self.canary.seen = false;
    }

    /// The next tick at this weight.
    pub(crate) fn tick(&mut self, weight: f64, canary: Ill, control: Ill) -> Reading {
        self.now += TICK;
        // An autocorrelation of 0.98 per tick: swings last for minutes.
        self.swing = 0.98 * self.swing + 0.199 * self.draw.normal();
        let rate = self.model.rps * (self.model.swing * self.swing).exp();
        let mean = rate * real(TICK);
        self.arm(true, mean * weight, canary);
        self.arm(false, mean * (1.0 - weight), control);
        if self.draw.chance(self.model.missed) {
            return Reading::Waiting;
        }
        self.reading()
    }

    /// Prometheus is down; what happens meanwhile is counted when it is back.
    pub(crate) fn dark_tick(&mut self, weight: f64, canary: Ill, control: Ill) -> Reading {
        drop(self.tick(weight, canary, control));
        Reading::Blind(Blindness {
            kind: Dark::Down,
            message: "connection refused".to_owned(),
        })
    }

    /// What was counted while it was dark is lost.
    pub(crate) fn forget(&mut self) {
        self.from = self.now;
        self.canary.unseen = Counts::default();
        self.control.unseen = Counts::default();
    }

    fn reading(&mut self) -> Reading {
        let tick = Tick {
            from: at(self.from),
            to: at(self.now),
            canary: self.canary.take(),
            control: self.control.take(),
            usual_rate: Some(self.model.rps),
        };
        self.from = self.now;
        Reading::Fresh(tick)
    }

    fn arm(&mut self, canary: bool, mean: f64, ill: Ill) {
        let Self { model, draw, .. } = self;
        let side = if canary {
            &mut self.canary
        } else {
            &mut self.control
        };
        let mut requests = draw.poisson(mean);
        let mut errors = draw.binomial(requests, ill.errors);
        if model.burst > 1.0 {
            for _ in 0..draw.poisson(mean * model.base / model.burst) {
                burst(draw, model.burst, &mut side.errors);
            }
            let [now, rest @ ..] = side.errors;
            side.errors = [rest[0], rest[1], rest[2], 0];
            requests += now;
            errors += now;
        } else {
            errors += draw.binomial(requests - errors, model.base);
        }
        for _ in 0..draw.poisson(mean * model.slow_clients / 8.0) {
            burst(draw, 8.0, &mut side.slow);
        }
        let [slow, rest @ ..] = side.slow;
        side.slow = [rest[0], rest[1], rest[2], 0];
        if (self.ill.0 - ill.slow).abs() > 1e-9 && (ill.slow - 1.0).abs() > 1e-9 {
            self.ill = (ill.slow, Shape::new(model, ill.slow));
        }
        let shape = if (ill.slow - 1.0).abs() < 1e-9 {
            &self.usual
        } else {
            &self.ill.1
        };
        let mut counts = shape.spread(requests, draw);
        // A slow client's request takes between one and ten seconds.
        let bucket = model
            .bounds
            .partition_point(|b| *b < 1_000.0 * 10.0_f64.powf(draw.unit()));
        counts[bucket] += slow;
        requests += slow;
        if draw.chance(model.churn) {
            let kept = 1.0 - 1.0 / PODS;
            let lost = |n: u64| whole(real(n) * kept);
            errors = lost(errors);
            for n in &mut counts {
                *n = lost(*n);
            }
            requests = counts.iter().sum::<u64>().max(errors);
        }
        side.add(requests, errors, &counts, &model.bounds);
    }

    /// Control's past before the rollout, as it is asked for.
    pub(crate) fn history(&mut self) -> Vec<Slice> {
        let mut slices = Vec::new();
        for (back, step) in HISTORY {
            let steps = back.as_secs() / step.as_secs();
            for i in 0..steps {
                let ticks = step.as_secs() / TICK;
                // A long step is drawn at once: what happens inside does not show, and no burst reaches beyond it.
                let long = ticks > 6;
                let ago = (steps - i) * step.as_secs();
                let out = self.model.outage_before && !long && (OUTAGE.1..OUTAGE.0).contains(&ago);
                let ill = if out { Ill { errors: 0.2, ..WELL } } else { WELL };
                for _ in 0..if long { 1 } else { ticks } {
                    let ticks = if long { ticks } else { 1 };
                    self.arm(false, self.model.rps * real(TICK * ticks), ill);
                }
                if long {
                    self.control.hurry(&self.model.bounds);
                }
                let control = std::mem::take(&mut self.control.unseen);
                slices.push(Slice {
                    length: step,
                    control,
                });
            }
        }
        self.control = Side::default();
        slices
    }
}

fn burst(draw: &mut Draw, mean: f64, to_come: &mut [u64; SPREAD]) {
    for _ in 0..draw.geometric(mean) {
        let when = draw.below(SPREAD as u64);
        to_come[usize::try_from(when).unwrap_or(0)] += 1;
    }
}

impl Side {
    fn add(&mut self, requests: u64, errors: u64, counts: &[u64], bounds: &Arc<[f64]>) {
        self.seen |= requests > 0;
        self.unseen.requests += requests;
        self.unseen.errors += errors;
        match &mut self.unseen.latency {
            Some(known) => known.counts.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n),
            none => {
                *none = Some(Histogram {
                    bounds_ms: bounds.clone(),
                    counts: counts.to_vec(),
                });
            }
        }
    }

    /// What bursts still have to come comes now.
    fn hurry(&mut self, bounds: &Arc<[f64]>) {
        let sum = |to_come: &mut [u64; SPREAD]| std::mem::take(to_come).iter().sum::<u64>();
        let (errors, slow) = (sum(&mut self.errors), sum(&mut self.slow));
        let mut counts = vec![0; bounds.len() + 1];
        counts[bounds.partition_point(|b| *b < 3_000.0)] = slow;
        self.add(errors + slow, errors, &counts, bounds);
    }

    fn take(&mut self) -> Arm {
        let counts = std::mem::take(&mut self.unseen);
        if self.seen { Arm::Seen(counts) } else { Arm::Absent }
    }
}

/// Where requests fall in a histogram: log-normal times or the model's, so many times as long as usual.
#[derive(Clone, Debug)]
struct Shape(Vec<f64>);

impl Shape {
    fn new(model: &Model, times: f64) -> Self {
        use statrs::distribution::{ContinuousCDF, Normal};
        let normal = Normal::standard();
        let below = |bound: f64, ms: f64, sigma: f64| normal.cdf((bound / (ms * times)).ln() / sigma);
        let mut before = 0.0;
        let chances = model.bounds.iter().map(|bound| {
            let now = match model.modes {
                [] => below(*bound, MEDIAN_MS, SIGMA),
                modes => modes
                    .iter()
                    .map(|(ms, share)| share * below(*bound, *ms, NARROW))
                    .sum(),
            };
            let left = 1.0 - before;
            let chance = if left > 1e-9 { (now - before) / left } else { 1.0 };
            before = now;
            chance
        });
        Self(chances.chain([1.0]).collect())
    }

    fn spread(&self, requests: u64, draw: &mut Draw) -> Vec<u64> {
        let mut left = requests;
        let share = |chance: &f64| {
            // Buckets that next to nothing falls into are not worth a draw.
            let here = if *chance > 1e-7 {
                draw.binomial(left, *chance)
            } else {
                0
            };
            left -= here;
            here
        };
        self.0.iter().map(share).collect()
    }
}
