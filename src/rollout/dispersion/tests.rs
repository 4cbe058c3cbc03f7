//! Bursts that are learned, and outages that are not.

use super::*;

/// A small generator: the same numbers every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        real(self.0 >> 11) / real(1 << 53)
    }

    /// How many of `n`, each with a chance of `p`; each of them is a burst of a mean size `b`.
    fn errors(&mut self, n: u64, p: f64, b: f64) -> u64 {
        let mut errors = 0;
        for _ in 0..n {
            if self.roll() < p {
                errors += 1;
                while self.roll() < 1.0 - 1.0 / b {
                    errors += 1;
                }
            }
        }
        errors
    }
}

fn past(n: u64, p: f64, b: f64, seed: u64) -> Vec<(Duration, u64, u64)> {
    let mut dice = Dice(seed);
    let mut slice = || {
        let errors = dice.errors(n, p / b, b);
        (ERROR_SLICE, n + errors, errors)
    };
    (0..60).map(|_| slice()).collect()
}

fn mean(n: u64, p: f64, b: f64) -> f64 {
    let one = |seed: u64| {
        let mut d = Dispersion::default();
        d.learn(&past(n, p, b, seed * 7919 + 1), ERROR_SLICE);
        d.phi()
    };
    (1..=40).map(one).sum::<f64>() / 40.0
}

#[test]
fn independent_errors_have_a_phi_of_one_and_bursts_one_that_grows_with_their_size() {
    let quiet = mean(2000, 0.002, 1.0);
    assert!((1.0..1.3).contains(&quiet), "{quiet}");
    let three = mean(2000, 0.002, 3.0);
    assert!((3.0..7.0).contains(&three), "2·3 − 1 = 5: {three}");
    let five = mean(2000, 0.002, 5.0);
    assert!((5.5..12.0).contains(&five), "2·5 − 1 = 9: {five}");
}

/// Two hours of 20 requests/s, of which `ratio` fail at each second.
fn hours(seed: u64, ratio: impl Fn(u64) -> f64) -> Vec<(Duration, u64, u64)> {
    let mut dice = Dice(seed);
    let mut tick = |i: u64| (0..10).map(|s| dice.errors(20, ratio(10 * i + s), 1.0)).sum();
    (0..720)
        .map(|i| (Duration::from_secs(10), 200, tick(i)))
        .collect()
}

#[test]
fn an_outage_of_controls_is_no_burst_wherever_its_slices_are_cut() {
    for (lasts, ratio) in [
        (300, 0.2),
        (300, 1.0),
        (60, 0.2),
        (15, 0.33),
        (60, 1.0),
        (1800, 0.1),
    ] {
        for starts in [1000, 3590, 3607, 3660, 3719] {
            let outage = |t| (starts..starts + lasts).contains(&t);
            let at = |t| if outage(t) { ratio } else { 0.002 };
            let (mut past, mut live) = (Dispersion::default(), Dispersion::default());
            let all = hours(starts + lasts, at);
            past.learn(&all, ERROR_SLICE);
            for (length, n, k) in all {
                live.add(n, k, length, ERROR_SLICE);
            }
            for phi in [past.phi(), live.phi()] {
                assert!(phi < 1.6, "{phi} after {lasts} s of {ratio} at {starts} s");
            }
        }
    }
}

#[test]
fn bursts_of_ten_are_learned_although_the_largest_are_outages() {
    let ten = mean(2000, 0.002, 10.0);
    assert!((9.0..22.0).contains(&ten), "2·10 − 1 = 19: {ten}");
}

#[test]
fn what_control_does_for_hours_is_usual_at_last_and_its_bursts_are_learned() {
    let mut d = Dispersion::default();
    for (length, n, k) in past(2000, 0.002, 1.0, 5) {
        d.add(n, k, length, ERROR_SLICE);
    }
    let before = d.phi();
    for (length, n, k) in past(2000, 0.05, 9.0, 6)
        .into_iter()
        .chain(past(2000, 0.05, 9.0, 7))
    {
        d.add(n, k, length, ERROR_SLICE);
    }
    assert!(before < 1.6 && d.phi() > 6.0, "{before}, then {}", d.phi());
}

#[test]
fn a_disaster_is_none_the_less_one_where_errors_come_in_long_bursts() {
    let mut d = Dispersion::default();
    d.learn(&past(2000, 0.02, 25.0, 4), ERROR_SLICE);
    assert!(d.phi() > 20.0, "{}", d.phi());
    assert!((d.phi_of_disasters() - MOST_OF_DISASTERS).abs() < 1e-9);
}

#[test]
fn a_slow_drift_is_no_burst() {
    let drift: Vec<_> = (0..60).map(|i| (ERROR_SLICE, 10_000, 10 + i)).collect();
    let mut d = Dispersion::default();
    d.learn(&drift, ERROR_SLICE);
    assert!(d.phi() < 1.05, "{}", d.phi());
}

#[test]
fn a_quiet_hour_asks_the_day_before() {
    let mut slices: Vec<_> = (0..60).map(|_| (ERROR_SLICE, 12, 0)).collect();
    slices.extend((0..96).map(|i| (Duration::from_secs(900), 90, if i % 30 == 7 { 9 } else { 0 })));
    let mut d = Dispersion::default();
    assert!(d.learn(&slices, ERROR_SLICE));
    assert!(d.phi() > 7.0, "{}", d.phi());
}

#[test]
fn phi_only_grows_and_is_learned_from_controls_own_ticks_too() {
    let mut d = Dispersion::default();
    for (length, n, k) in past(2000, 0.002, 5.0, 99) {
        d.add(n, k, length, ERROR_SLICE);
    }
    let learned = d.phi();
    assert!(learned > 3.0, "{learned}");
    for (length, n, k) in past(2000, 0.002, 1.0, 5).into_iter().cycle().take(600) {
        d.add(n, k, length, ERROR_SLICE);
    }
    assert!(d.phi() >= learned);
}

#[test]
fn bursts_are_supposed_until_enough_was_seen_and_a_known_past_supposes_nothing() {
    let mut d = Dispersion::default();
    assert!((d.phi() - SUPPOSED).abs() < 1e-9);
    d.learn(&[(ERROR_SLICE, 100, 0)], ERROR_SLICE);
    assert!((d.phi() - SUPPOSED).abs() < 1e-9, "two minutes are no past");
    let mut last = d.phi();
    for (length, n, k) in past(20_000, 0.002, 1.0, 3) {
        d.add(n, k, length, ERROR_SLICE);
        assert!(d.phi() <= last.max(1.2), "{} after {last}", d.phi());
        last = d.phi();
    }
    assert!(last < 1.2, "{last}");
    let mut clean = Dispersion::default();
    clean.learn(&vec![(ERROR_SLICE, 2000, 0); 60], ERROR_SLICE);
    assert!((clean.phi() - 1.0).abs() < 1e-9);
}

#[test]
fn a_quiet_arm_is_known_after_a_day_and_not_after_an_hour() {
    let mut d = Dispersion::default();
    let mut hours = |hours: u64| {
        for i in 0..hours * 30 {
            d.add(3, u64::from(i % 4 == 0), ERROR_SLICE, ERROR_SLICE);
        }
        d.phi()
    };
    assert!(hours(5) > 1.0 + (SUPPOSED - 1.0) / 2.0);
    assert!(hours(25) < 1.5);
}

#[test]
fn rows_from_before_anything_was_supposed_are_still_read() {
    for old in ["9 0 0 0 2000 12 15 30", "9 0 0 0 2000 12 15 30 4 1990"] {
        let d = Dispersion::try_from(old.to_owned()).unwrap();
        assert!((d.phi() - 9.0).abs() < 1e-9, "{old}");
        assert_eq!(Dispersion::try_from(String::from(d)), Ok(d));
    }
}

#[test]
fn it_is_stored_in_a_few_bytes() {
    let mut d = Dispersion::default();
    for (length, n, k) in past(20_000, 0.002, 5.0, 3) {
        d.add(n, k, length, ERROR_SLICE);
    }
    let text = serde_json::to_string(&d).unwrap();
    assert!(text.len() < 110, "{text}");
    let again: Dispersion = serde_json::from_str(&text).unwrap();
    assert!((again.phi() - d.phi()).abs() < 0.01);
}
