use super::*;
use crate::metrics::{Cursor, advance};
use crate::rollout::sample::{Arm, Counts, Reading};
use crate::rollout::spec::{ArmSource, Arms, Traffic};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

const PERIOD: Duration = Duration::from_secs(10);

fn epoch() -> Timestamp {
    "2026-01-05T02:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::from_second(epoch().as_second() + seconds).unwrap()
}

fn tenants(seed: u64, permille: u16) -> (Tenants, Arc<AtomicU16>) {
    let weight = Arc::new(AtomicU16::new(permille));
    let told = weight.clone();
    let shop = |component: &str| Tenant {
        component: component.to_owned(),
        rate: 100.0,
        preset: Preset::IstioGateway,
        moves: if component == "made" {
            Moves::HOSTS
        } else {
            Moves::Requests
        },
    };
    let tenants = Tenants::new(
        seed,
        epoch(),
        PERIOD,
        vec![shop("shop"), shop("till"), shop("made")],
        move |_| Weight::from_permille(told.load(Ordering::Relaxed)).unwrap(),
    );
    (tenants, weight)
}

fn ask(component: &str) -> Ask {
    let source = |name: &str| ArmSource {
        preset: Preset::IstioGateway,
        labels: BTreeMap::from([("destination_service_name".to_owned(), name.to_owned())]),
        latency_labels: BTreeMap::new(),
        metrics: None,
    };
    Ask {
        rollout: "apps/shop".to_owned(),
        component: component.to_owned(),
        arms: Arms {
            canary: source("new"),
            control: Some(source("old")),
        },
        traffic: Traffic::Requests,
        wants_latency: true,
        wants_history: false,
    }
}

/// What both arms did between two seconds, by the arithmetic that ships.
fn between(tenants: &Tenants, from: i64, to: i64) -> (Counts, Counts) {
    let mut cursor = Cursor::default();
    let mut total = (Counts::default(), Counts::default());
    for second in (from..=to).step_by(10) {
        if let Reading::Fresh(tick) =
            advance(&mut cursor, tenants.scrape(&ask("shop"), after(second)).unwrap())
        {
            for (sum, arm) in [(&mut total.0, tick.canary), (&mut total.1, tick.control)] {
                if let Arm::Seen(counts) = arm {
                    sum.requests += counts.requests;
                    sum.errors += counts.errors;
                    sum.latency = counts.latency;
                }
            }
        }
    }
    total
}

#[test]
fn the_same_seed_gives_the_same_counters_whatever_is_looked_at_between() {
    let (one, _) = tenants(7, 300);
    let (two, _) = tenants(7, 300);
    let (other, _) = tenants(8, 300);
    for second in (0..3600).step_by(10) {
        one.scrape(&ask("shop"), after(second)).unwrap();
    }
    let at = after(3600);
    assert_eq!(one.scrape(&ask("shop"), at), two.scrape(&ask("shop"), at));
    assert_ne!(one.scrape(&ask("shop"), at), other.scrape(&ask("shop"), at));
    assert_ne!(one.look("shop", at).unwrap().1, one.look("till", at).unwrap().1);
}

#[test]
fn the_canary_gets_its_weight_and_control_the_rest() {
    let (tenants, weight) = tenants(1, 0);
    let (canary, control) = between(&tenants, 0, 600);
    assert_eq!(canary.requests, 0);
    assert!(control.requests > 30_000, "{control:?}");
    for permille in [50_u16, 500, 1000] {
        weight.store(permille, Ordering::Relaxed);
        let from = i64::from(permille) * 100;
        tenants.scrape(&ask("shop"), after(from)).unwrap();
        let (canary, control) = between(&tenants, from, from + 3600);
        let share = real(canary.requests) / real(canary.requests + control.requests);
        assert!(
            (share - f64::from(permille) / 1000.0).abs() < 0.005,
            "{permille}: {share}"
        );
    }
}

#[test]
fn a_share_of_new_objects_moves_requests_as_hosts_come_and_go_and_stays_when_it_is_lowered() {
    let (tenants, weight) = tenants(1, 500);
    let share = |from: i64| {
        let at = |second| {
            let [canary, control] = tenants.look("made", after(second)).unwrap().1;
            (real(canary.requests()), real(control.requests()))
        };
        let (before, then) = (at(from), at(from + 300));
        let (canary, control) = (then.0 - before.0, then.1 - before.1);
        canary / (canary + control)
    };
    let first = share(10);
    assert!(first < 0.05, "{first}: hosts that exist stay where they are");
    tenants.look("made", after(12 * 3600)).unwrap();
    let late = share(12 * 3600);
    assert!((late - 0.5).abs() < 0.02, "{late}: all of them were made since");
    weight.store(0, Ordering::Relaxed);
    let lowered = share(12 * 3600 + 310);
    assert!(lowered > 0.4, "{lowered}: lowering moves no host back");
}

#[test]
fn counters_never_fall_and_the_past_stays_as_it_was() {
    let (tenants, weight) = tenants(1, 100);
    let mut before = tenants.look("shop", after(0)).unwrap().1;
    for second in (10..2000).step_by(10) {
        weight.store(u16::try_from(second / 2).unwrap(), Ordering::Relaxed);
        let now = tenants.look("shop", after(second)).unwrap().1;
        assert_eq!(tenants.look("shop", after(second - 10)).unwrap().1, before);
        for (old, new) in before.iter().zip(&now) {
            assert!(new.answered >= old.answered && new.failed >= old.failed);
            assert!(new.buckets.iter().zip(old.buckets).all(|(new, old)| *new >= old));
            assert_eq!(new.buckets.iter().sum::<u64>(), new.answered);
        }
        before = now;
    }
    let five_minutes_ago = tenants.scrape(&ask("shop"), after(1990 - 300)).unwrap();
    assert!(!five_minutes_ago.canary.pods.is_empty());
}

#[test]
fn between_two_scrapes_nothing_is_new() {
    let (tenants, _) = tenants(1, 100);
    assert_eq!(tenants.look("shop", after(100)), tenants.look("shop", after(109)));
    assert_ne!(tenants.look("shop", after(100)), tenants.look("shop", after(110)));
    assert_eq!(tenants.shown("shop"), Some(after(110)));
}

#[test]
fn an_arm_that_fails_fails_as_told_and_the_other_does_not() {
    let (tenants, _) = tenants(1, 500);
    tenants.fail("shop", Side::Canary, 0.2, after(0));
    let (canary, control) = between(&tenants, 0, 600);
    let ratio = real(canary.errors) / real(canary.requests);
    assert!((0.19..0.21).contains(&ratio), "{ratio}");
    assert!(control.errors < 20, "{control:?}");
    tenants.heal("*", after(600));
    let (canary, _) = between(&tenants, 600, 1200);
    assert!(canary.errors < 20, "{canary:?}");
}

#[test]
fn a_slow_arm_falls_into_higher_buckets() {
    let (tenants, _) = tenants(1, 500);
    tenants.slow("shop", Side::Canary, 3.0, after(0));
    let (canary, control) = between(&tenants, 0, 60);
    let above = |counts: Counts| {
        let latency = counts.latency.unwrap();
        let slow = latency.bounds_ms.iter().position(|b| *b > 100.0).unwrap();
        real(latency.counts[slow..].iter().sum()) / real(latency.counts.iter().sum())
    };
    let (slow, usual) = (above(canary), above(control));
    assert!(slow > 0.7 && usual < 0.25, "{slow} {usual}");
}

#[test]
fn a_dark_source_says_why_and_counts_on() {
    let (tenants, _) = tenants(1, 500);
    let before = tenants.look("shop", after(0)).unwrap().1;
    tenants.darken(Some("connection refused"));
    let dark = tenants.scrape(&ask("shop"), after(300)).unwrap_err();
    assert_eq!(
        (dark.kind, dark.message.as_str()),
        (Dark::Down, "connection refused")
    );
    tenants.darken(None);
    let after = tenants.look("shop", after(300)).unwrap().1;
    assert!(after[0].requests() > before[0].requests() + 10_000);
}

#[test]
fn three_weeks_of_scrapes_are_cheap() {
    // Not a time measured: a number of steps that would take minutes if a step were dear.
    let (tenants, _) = tenants(1, 250);
    let (_, [canary, control]) = tenants.look("shop", after(21 * 86_400)).unwrap();
    let all = canary.requests() + control.requests();
    assert!((150_000_000..210_000_000).contains(&all), "{all}");
}
