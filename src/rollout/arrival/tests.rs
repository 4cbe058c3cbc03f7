//! What the band promises, by simulation and by hand.

use super::*;
use proptest::prelude::*;

fn counted(canary: u64, requests: u64) -> Counted {
    Counted { canary, requests }
}

fn weight(permille: u16) -> Weight {
    Weight::from_permille(permille).unwrap()
}

/// `SplitMix64`: small, seeded, good enough to draw requests from.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        real((z ^ (z >> 31)) >> 11) / real(1 << 53)
    }

    fn canary(&mut self, requests: u64, share: f64) -> u64 {
        (0..requests).filter(|_| self.next() < share).count() as u64
    }
}

#[test]
fn factorials_are_those_of_the_book() {
    for (x, wanted) in [(0.0, 1.0_f64), (1.0, 1.0), (5.0, 120.0), (10.0, 3_628_800.0)] {
        assert!((ln_factorial(x) - wanted.ln()).abs() < 1e-9, "{x}");
    }
    // ln 100! = 363.739375555563…
    assert!((ln_factorial(100.0) - 363.739_375_555_563_5).abs() < 1e-9);
}

#[test]
fn an_eight_percent_share_of_forty_requests_is_no_failure_of_a_five_percent_weight() {
    let few = counted(3, 40);
    let (low, high) = few.band();
    assert!(low < 0.05 && high > 0.05, "{low} {high}");
    assert!(!Zone::of(weight(50)).is_left(few, few));
    let told = few.measured(weight(50), few, true, false).unwrap();
    assert_eq!(told.verdict, Arrival::TooFew);
    // The same share of many is.
    let many = counted(3_200, 40_000);
    let told = many.measured(weight(50), many, true, false).unwrap();
    assert_eq!(told.verdict, Arrival::NotAchievable);
    assert_eq!(told.share.to_string(), "8%");
}

#[test]
fn what_obeys_its_weight_arrives_and_what_sticks_is_told_apart_from_what_does_not_come() {
    let fits = counted(505, 10_000);
    assert_eq!(
        fits.measured(weight(50), fits, true, false).unwrap().verdict,
        Arrival::Arriving
    );
    let sticky = counted(120, 10_000);
    let told = |nothing| {
        sticky
            .measured(weight(50), sticky, true, nothing)
            .unwrap()
            .verdict
    };
    assert_eq!(told(false), Arrival::NotAchievable);
    assert_eq!(told(true), Arrival::NotArriving);
    let early = sticky.measured(weight(50), sticky, false, false).unwrap();
    assert_eq!(early.verdict, Arrival::TooFew, "not before it lasts");
    assert_eq!(counted(0, 0).measured(weight(50), fits, true, false), None);
}

#[test]
fn at_full_weight_a_health_check_on_control_is_no_deviation_and_kept_sessions_are() {
    let checks = counted(99_950, 100_000);
    assert_eq!(
        checks
            .measured(Weight::FULL, checks, true, false)
            .unwrap()
            .verdict,
        Arrival::Arriving
    );
    let sessions = counted(90_000, 100_000);
    assert_eq!(
        sessions
            .measured(Weight::FULL, sessions, true, false)
            .unwrap()
            .verdict,
        Arrival::NotAchievable
    );
}

#[test]
fn a_deviation_is_over_when_the_last_window_alone_shows_it() {
    let was = counted(2_000, 100_000);
    assert!(Zone::of(weight(50)).is_left(was, counted(20, 1_000)));
    assert!(Zone::of(weight(50)).is_left(was, counted(0, 0)));
    assert!(Zone::half(weight(50)).is_left(was, counted(20, 1_000)));
    assert!(!Zone::of(weight(50)).is_left(was, counted(5_000, 100_000)));
    assert!(!Zone::half(weight(50)).is_left(was, counted(50, 1_000)));
}

/// Looks after every tick of a long hold, in which the proxy obeys: the share of holds that were ever suspected.
#[test]
fn a_proxy_that_obeys_is_hardly_ever_suspected_over_a_long_hold() {
    let (holds, ticks) = (2_000, 400);
    let mut dice = Dice(0x5eed);
    for (permille, rate) in [(5_u16, 200_u64), (50, 20), (500, 3), (950, 20)] {
        let mut suspected = 0;
        for _ in 0..holds {
            let mut all = Counted::default();
            // Exactly the weight, and no tolerance: the statistics alone.
            let exact = weight(permille).ratio();
            let mut ever = false;
            for _ in 0..ticks {
                all.canary += dice.canary(rate, exact);
                all.requests += rate;
                ever |= all.evidence_against(exact) >= (1.0 / CHANCE).ln();
            }
            suspected += u32::from(ever);
        }
        assert!(suspected <= 2, "{suspected} of {holds} at {permille}‰");
    }
}

#[test]
fn a_share_of_a_third_is_found_out_within_a_few_hundred_expected_requests() {
    let mut dice = Dice(7);
    let mut all = Counted::default();
    while !Zone::half(weight(50)).is_left(all, all) {
        all.canary += dice.canary(100, 0.05 / 3.0);
        all.requests += 100;
        assert!(all.requests < 10_000, "{all:?}");
    }
}

proptest! {
    #[test]
    fn the_band_holds_the_share_and_excludes_what_evidence_excludes(canary in 0..5_000_u64, control in 0..500_000_u64, share in 0.0001..0.9999_f64) {
        let counted = counted(canary, canary + control);
        let (low, high) = counted.band();
        prop_assert!((0.0..=1.0).contains(&low) && low <= high && high <= 1.0);
        if let Some(centre) = counted.share() {
            prop_assert!(low <= centre && centre <= high);
        }
        let excluded = counted.evidence_against(share) >= (1.0 / CHANCE).ln();
        let near = (share - low).abs() < 1e-6 || (share - high).abs() < 1e-6;
        prop_assert!(near || excluded != (low..=high).contains(&share));
    }

    #[test]
    fn nothing_is_suspected_inside_the_tolerance_of_its_weight(permille in 1..=1000_u16, requests in 1..10_000_000_u64) {
        let weight = weight(permille);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
        let canary = (real(requests) * weight.ratio()).round() as u64;
        let counted = counted(canary.min(requests), requests);
        prop_assert!(!Zone::half(weight).is_left(counted, Counted::default()) || canary == 0);
    }
}
