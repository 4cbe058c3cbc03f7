//! The bare tests, without settle, blame or tempering, beside limits on a window: an hour of a canary at 5%, tested
//! every 10 s at α = 1% against 1% of errors and 1.2 times control's.

use super::draw::{Draw, real};
use super::trial::{on_all_cores, quantile};
use crate::rollout::evidence::{ERRORS, LogE, Pace};

const TICKS: u64 = 360;
const WEIGHT: f64 = 0.05;
const LIMIT: f64 = 0.01;
const RHO: f64 = 1.2;

/// What is told apart: the tests, and a success rate under 99% in a window of a minute, never or three times forgiven.
pub(crate) const JUDGES: [&str; 5] = [
    "relative",
    "absolute",
    "both",
    "window, no failure",
    "window, 3 failures",
];

/// A kind of traffic, and what is known of it from elsewhere: percent tripped, and the median seconds.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) rps: f64,
    /// Error ratios of control and canary.
    base: f64,
    canary: f64,
    /// Both fail more for five minutes.
    outage: bool,
    /// The error ratio scatters from tick to tick.
    scatter: bool,
    pub(crate) known: [(f64, f64); 5],
}

const NAN: f64 = f64::NAN;

/// The published table.
pub(crate) fn rows() -> Vec<Row> {
    let row = |name, rps, base, canary, known| Row {
        name,
        rps,
        base,
        canary,
        outage: false,
        scatter: false,
        known,
    };
    let share = |shares: [f64; 5]| shares.map(|share| (share, NAN));
    let all = |seconds: [f64; 5]| seconds.map(|seconds| (100.0, seconds));
    let healthy = |name, rps, known| row(name, rps, 0.002, 0.002, known);
    vec![
        healthy("healthy, 2 rps", 2.0, share([0.3, 0.0, 0.0, 57.0, 1.3])),
        healthy("healthy, 20 rps", 20.0, share([0.0, 0.0, 0.0, 100.0, 91.0])),
        healthy("healthy, 200 rps", 200.0, share([0.3, 0.0, 0.0, 4.7, 0.0])),
        row(
            "healthy but base 0.9%, 20 rps",
            20.0,
            0.009,
            0.009,
            share([0.3, 0.3, 0.3, 100.0, 100.0]),
        ),
        Row {
            outage: true,
            ..healthy(
                "20% more errors on both for 5 min, 20 rps",
                20.0,
                share([0.0, 100.0, 0.0, 100.0, 100.0]),
            )
        },
        Row {
            scatter: true,
            ..healthy(
                "error ratio scatters, 200 rps",
                200.0,
                share([0.7, 0.0, 0.0, 12.0, 0.0]),
            )
        },
        row(
            "canary 5%, 20 rps",
            20.0,
            0.002,
            0.05,
            all([70.0, 140.0, 140.0, 60.0, 240.0]),
        ),
        row(
            "canary 20%, 20 rps",
            20.0,
            0.002,
            0.2,
            all([20.0, 20.0, 20.0, 60.0, 240.0]),
        ),
        row(
            "canary 50%, 200 rps",
            200.0,
            0.002,
            0.5,
            all([10.0, 10.0, 10.0, 60.0, 240.0]),
        ),
    ]
}

/// Percent tripped and the median seconds, for each judge.
pub(crate) fn run(row: &Row, seed: u64, runs: u64) -> [(f64, f64); 5] {
    let place = row
        .name
        .bytes()
        .fold(0_u64, |h, b| h.rotate_left(7) ^ u64::from(b));
    let all = on_all_cores(runs, |n| one(row, Draw::new(seed, place.wrapping_add(n))));
    std::array::from_fn(|judge| {
        let mut seconds: Vec<f64> = all.iter().filter_map(|trips| trips[judge]).collect();
        seconds.sort_by(f64::total_cmp);
        (
            100.0 * real(seconds.len() as u64) / real(runs),
            quantile(&seconds, 0.5),
        )
    })
}

/// When each judge trips.
fn one(row: &Row, mut draw: Draw) -> [Option<f64>; 5] {
    let needed = 100.0_f64.ln();
    let (mut relative, mut absolute) = (LogE::default(), LogE::default());
    let (mut window, mut failures) = ((0, 0), 0);
    let mut trips = [None; 5];
    let outage = draw.below(TICKS - 30);
    for tick in 0..TICKS {
        let more = if row.outage && (outage..outage + 30).contains(&tick) {
            0.2
        } else {
            0.0
        };
        let mut arm = |share: f64, ratio: f64| {
            let n = draw.poisson(row.rps * 10.0 * share);
            let scatter = if row.scatter {
                (0.4 * draw.normal() - 0.08).exp()
            } else {
                1.0
            };
            (n, draw.binomial(n, ratio * scatter + more))
        };
        let (n_c, k_c) = arm(WEIGHT, row.canary);
        let (n_b, k_b) = arm(1.0 - WEIGHT, row.base);
        relative.step_relative(&ERRORS, Pace::PLAIN, RHO, k_c, n_c, real(k_b), n_b);
        absolute.step_absolute(&ERRORS, Pace::PLAIN, LIMIT, k_c, n_c);
        window = (window.0 + n_c, window.1 + k_c);
        if tick % 6 == 5 {
            failures += u32::from(real(window.1) > LIMIT * real(window.0));
            window = (0, 0);
        }
        let (r, a) = (relative.log_e() >= needed, absolute.log_e() >= needed);
        for (trip, now) in trips.iter_mut().zip([r, a, r && a, failures > 0, failures > 3]) {
            if now && trip.is_none() {
                *trip = Some(real((tick + 1) * 10));
            }
        }
    }
    trips
}
