//! What must hold, for as many runs as one has time for.

use super::figures::{Figure, complaint, figures};
use super::table::{JUDGES, Row, rows};
use super::trial::{Blunders, Case, Onset, blunders, cases, quantile};
use super::{figures as figure, table, trial};
use std::fmt::Write as _;

/// The chance of rolling back a healthy canary that one attempt may have.
pub(crate) const FALSE_ROLLBACK: f64 = 0.01;

/// The rates at which a healthy canary is tried, in requests per second of both arms.
pub(crate) const RATES: [f64; 4] = [0.1, 2.0, 20.0, 200.0];

/// From so many attempts on the promise is held as it is written.
pub(crate) const ENOUGH: u64 = 2_000;

/// The most that so many attempts may show: the promised share itself where there are enough of them. Fewer may show
/// what a chance of 1% shows in all but one simulation of a thousand.
pub(crate) fn allowed(runs: u64) -> u64 {
    use statrs::distribution::{Binomial, DiscreteCDF};
    if runs >= ENOUGH {
        return runs / 100;
    }
    Binomial::new(FALSE_ROLLBACK, runs).map_or(0, |law| law.inverse_cdf(0.999))
}

/// Healthy canaries at all rates, and what is wrong.
pub(crate) fn healthy(seed: u64, runs: u64, hold: u64) -> (Vec<(Case, Blunders)>, Vec<String>) {
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    for case in RATES.into_iter().flat_map(cases) {
        // Of what nothing is promised of a quarter shows what it costs; a promise takes all of them to be held to.
        let runs = if case.name == trial::UNTOLD {
            runs.div_ceil(4)
        } else {
            runs
        };
        let one = blunders(&case, seed, runs, hold);
        if case.name != trial::UNTOLD && one.count > allowed(runs) {
            let mut text = format!(
                "{} at {} rps: {} of {runs}:",
                case.name, case.model.rps, one.count
            );
            let _ = write!(text, " {:?}", one.how);
            wrong.push(text);
        }
        found.push((case, one));
    }
    (found, wrong)
}

/// All figures, and what is wrong.
pub(crate) fn fast(seed: u64, runs: u64, slack: f64) -> (Vec<(Figure, Vec<f64>)>, Vec<String>) {
    let found: Vec<_> = figures()
        .into_iter()
        .map(|one| {
            let seconds = figure::run(&one, seed, runs);
            (one, seconds)
        })
        .collect();
    let wrong = found
        .iter()
        .filter_map(|(one, seconds)| complaint(one, seconds, slack))
        .collect();
    (found, wrong)
}

/// The published table anew, and what is wrong.
#[expect(clippy::type_complexity, reason = "rows of cells")]
pub(crate) fn published(seed: u64, runs: u64) -> (Vec<(Row, [(f64, f64); 5])>, Vec<String>) {
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    for row in rows() {
        let cells = table::run(&row, seed, runs);
        for (((share, seconds), (known, when)), judge) in cells.into_iter().zip(row.known).zip(JUDGES) {
            // Both are shares of a finite number of runs: four standard errors of their difference, if both have
            // their mean, and a point. That something is always found within an hour, 300 runs cannot say: 97.5% of
            // 1000 is what docs/judging.md has for a published 100%, and a day's 60 runs may well be 57.
            let p = ((known + share) / 200.0).clamp(0.005, 0.98);
            #[expect(clippy::cast_precision_loss, reason = "thousands")]
            let error = 100.0 * (p * (1.0 - p) * (1.0 / runs as f64 + 1.0 / 300.0)).sqrt();
            let off = (share - known).abs() > 1.0 + 4.0 * error;
            let late = when.is_finite() && (seconds - when).abs() > 10.0 + 0.15 * when;
            if off || late {
                wrong.push(format!(
                    "{}, {judge}: {share:.1}% at {seconds} s, published {known}% at {when} s",
                    row.name
                ));
            }
        }
        found.push((row, cells));
    }
    (found, wrong)
}

/// When a fault begins, in words.
pub(crate) fn when(onset: Onset) -> &'static str {
    match onset {
        Onset::AtOnce => "with the raise",
        Onset::Later => "after 2 h",
    }
}

/// Seconds, or more than was simulated.
pub(crate) fn seconds(sorted: &[f64], q: f64) -> String {
    let seconds = quantile(sorted, q);
    if seconds.is_finite() {
        format!("{seconds:.0} s")
    } else {
        "> 1 h".to_owned()
    }
}
