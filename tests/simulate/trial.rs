//! Many attempts, and what they come to.

use super::attempt::{Attempt, Blunder, SETTLED, Weather, checks, healthy};
use super::draw::Draw;
use super::traffic::{Ill, Model, NGINX, TICK, WELL};
use crate::rollout::check::{CheckRule, Limits, Metric};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// How a kind of traffic is called, and what it is.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) model: Model,
    pub(crate) weather: Weather,
    /// The canary's requests take up to so much longer, as a share of control's, and at least 2%.
    pub(crate) slower: f64,
    /// What it is held to.
    pub(crate) rules: Vec<CheckRule>,
}

/// The case that the judge assumes.
pub(crate) const ASSUMED: &str = "independent errors";

/// Latencies in spikes that end just under bounds, on both arms alike.
pub(crate) const UNDER_BOUNDS: &str = "times just under bounds";

/// The same with a canary that is slower, by less than the least limit, where that moves every spike over its bound: a
/// histogram of these bounds is the same as one of a canary that is far slower. Nothing is promised of it; how often
/// it goes back is published.
pub(crate) const UNTOLD: &str = "times just under bounds, the canary 2 to 12% slower (no promise)";

/// The default checks, and a measured one that rolls back: by its value in all of `for`, without evidence.
pub(crate) const MEASURED: &str = "everything at once, throughput under 80% for 2 min rolls back";

/// The default checks with that one.
fn measured() -> Vec<CheckRule> {
    let mut rules = checks();
    for rule in rules.iter_mut().filter(|rule| rule.metric == Metric::Throughput) {
        rule.rollback = Some(Limits {
            min: "80%".parse().ok(),
            ..Limits::default()
        });
        rule.for_ = Duration::from_secs(120);
        // As where `for` alone is written; a longer window would be refused.
        rule.window = rule.for_;
    }
    rules
}

/// Calm, with control's past known.
const CALM: Weather = Weather {
    outage: false,
    restart: false,
    history: true,
};

/// The kinds of traffic, half of each with Istio's buckets and half with those of nginx, that a healthy canary is tried with at a rate.
pub(crate) fn cases(rps: f64) -> Vec<Case> {
    let case = |name, model, weather| Case {
        name,
        model,
        weather,
        slower: 0.0,
        rules: checks(),
    };
    let stormy = Weather {
        outage: true,
        restart: true,
        ..CALM
    };
    vec![
        case(ASSUMED, Model::plain(rps), CALM),
        case("everything at once", Model::wild(rps), stormy),
        case(
            "everything at once, no past known",
            Model::wild(rps),
            Weather {
                history: false,
                ..stormy
            },
        ),
        Case {
            rules: measured(),
            ..case(MEASURED, Model::wild(rps), stormy)
        },
        case(UNDER_BOUNDS, Model::under_bounds(rps), CALM),
        Case {
            slower: 0.12,
            ..case(UNTOLD, Model::under_bounds(rps), CALM)
        },
    ]
}

/// How often a healthy canary was rolled back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blunders {
    pub(crate) runs: u64,
    pub(crate) count: u64,
    /// By which check and path, and at which weights.
    pub(crate) how: BTreeMap<String, Vec<u16>>,
}

/// Runs something for each number on all cores, in order of the numbers.
pub(crate) fn on_all_cores<T: Send>(runs: u64, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let one = &one;
    let mut found: Vec<(u64, T)> = thread::scope(|scope| {
        let work = (0..cores).map(|core| {
            scope.spawn(move || {
                let mine = (0..runs).filter(|n| n % cores == core);
                mine.map(|n| (n, one(n))).collect::<Vec<_>>()
            })
        });
        let work: Vec<_> = work.collect();
        work.into_iter()
            .flat_map(|w| w.join().unwrap_or_default())
            .collect()
    });
    found.sort_by_key(|(n, _)| *n);
    found.into_iter().map(|(_, one)| one).collect()
}

/// Whole attempts of a healthy canary.
pub(crate) fn blunders(case: &Case, seed: u64, runs: u64, hold: u64) -> Blunders {
    let rules = &case.rules;
    let place = case
        .name
        .bytes()
        .fold(case.model.rps.to_bits(), |h, b| h.rotate_left(7) ^ u64::from(b));
    let one = |n: u64| -> Blunder {
        let draw = Draw::new(seed, place.wrapping_add(n));
        let mut model = case.model.clone();
        if n % 2 == 1 {
            model.bounds = NGINX.into();
        }
        #[expect(clippy::cast_precision_loss, reason = "below 11")]
        let part = (n / 2 % 11) as f64 / 10.0;
        let canary = Ill {
            slow: if case.slower > 0.0 {
                1.02 + (case.slower - 0.02) * part
            } else {
                1.0
            },
            ..WELL
        };
        healthy(rules, (model, canary), draw, case.weather, hold)
    };
    let mut sum = Blunders {
        runs,
        ..Blunders::default()
    };
    for (how, percent) in on_all_cores(runs, one).into_iter().flatten() {
        sum.count += 1;
        sum.how.entry(how).or_default().push(percent);
    }
    sum
}

/// When a canary goes bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Onset {
    /// With the raise: it is judged from when the weight has settled.
    AtOnce,
    /// After hours of good work at this weight.
    Later,
}

/// A canary that goes bad.
pub(crate) struct Bad<'a> {
    pub(crate) rules: &'a [CheckRule],
    pub(crate) model: Model,
    pub(crate) percent: u16,
    pub(crate) ill: Ill,
    pub(crate) onset: Onset,
    pub(crate) history: bool,
}

/// Seconds from when a fault could be seen until it was, one for each run, in order; those that took longer than an
/// hour are counted as infinite.
pub(crate) fn seconds_to_breach(bad: &Bad<'_>, seed: u64, runs: u64) -> Vec<f64> {
    let one = |n: u64| {
        let draw = Draw::new(seed, 0x00ba_d000_0000 + n);
        let mut attempt = Attempt::new(bad.rules, bad.model.clone(), draw, bad.history);
        attempt.raise(bad.percent);
        let settled = SETTLED / TICK;
        let well = match bad.onset {
            Onset::AtOnce => 0,
            Onset::Later => 720,
        };
        for _ in 0..well {
            drop(attempt.tick(WELL, WELL, false));
        }
        // A canary that never works is found before it has settled; it is not this that is asked here.
        let unjudged = if bad.onset == Onset::AtOnce { settled } else { 0 };
        let most = unjudged + 360;
        match attempt.ticks_to_breach(bad.ill, most) {
            #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
            Some(ticks) => (ticks.saturating_sub(unjudged) * TICK) as f64,
            None => f64::INFINITY,
        }
    };
    let mut seconds = on_all_cores(runs, one);
    seconds.sort_by(f64::total_cmp);
    seconds
}

/// The value below which a share `q` lies.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((sorted.len() as f64 * q).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
