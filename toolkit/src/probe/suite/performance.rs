//! How long both take for the same questions, asked in turns so that both meet the same load.

use crate::probe::Probe;
use crate::probe::ask::{Body, Outcome, Question};
use crate::probe::code;
use crate::probe::hit::Hit;
use crate::probe::target::Target;
use std::time::Duration;

const SUITE: &str = "performance";
/// How many hosts are asked.
const HOSTS: usize = 20;
/// Less than this is the noise of a network.
const NOISE: Duration = Duration::from_millis(2);

/// Asks the first hosts that answer.
pub(super) async fn run(probe: &Probe, targets: &[Target]) -> (usize, Vec<Hit>) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut count = 0;
    for target in targets.iter().take(HOSTS) {
        let question = Question::get(target.scheme(), &target.host, &target.path);
        let (mut nginx, mut istio) = probe.pair(false);
        for turn in 0..=probe.samples {
            count += 1;
            probe.pace.turn().await;
            let (here, there) = (nginx.ask(&question).await, istio.ask(&question).await);
            let (Outcome::Answered(here), Outcome::Answered(there)) = (here, there) else {
                break;
            };
            // The first of each shakes hands.
            let whole = here.body == Body::Whole && there.body == Body::Whole;
            if turn > 0 && whole && here.status < 400 && there.status < 400 {
                ours.push(here.took);
                theirs.push(there.took);
            }
        }
    }
    (count, judged(probe, ours, theirs, count))
}

/// The value that 95 of a hundred do not exceed.
fn p95(mut all: Vec<Duration>) -> Option<Duration> {
    all.sort();
    let rank = (all.len() * 95).div_ceil(100);
    all.get(rank.checked_sub(1)?).copied()
}

fn judged(probe: &Probe, ours: Vec<Duration>, theirs: Vec<Duration>, asked: usize) -> Vec<Hit> {
    let samples = ours.len();
    let (Some(here), Some(there)) = (p95(ours), p95(theirs)) else {
        let what = format!("{asked} questions");
        let none = "nothing to time";
        return vec![Hit::new(SUITE, code::NO_SAMPLES, "all hosts", what, none, none)];
    };
    let over = |percent: u32| there > here + here.saturating_mul(percent) / 100 && there > here + NOISE;
    let code = if over(probe.much_slower) {
        code::MUCH_SLOWER
    } else if over(probe.slower) {
        code::SLOWER
    } else {
        code::TIMED
    };
    let words = |took: Duration| format!("{:.1} ms", took.as_secs_f64() * 1000.0);
    let asked = format!("95th percentile of {samples} answers of {asked} questions");
    vec![Hit::new(
        SUITE,
        code,
        "all hosts",
        asked,
        words(here),
        words(there),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_of_the_answers_that_came() {
        let ms = |all: std::ops::RangeInclusive<u64>| all.rev().map(Duration::from_millis).collect();
        assert_eq!(p95(ms(1..=100)), Some(Duration::from_millis(95)));
        assert_eq!(p95(ms(1..=1)), Some(Duration::from_millis(1)));
        assert_eq!(p95(Vec::new()), None);
    }
}
