//! Pools: what members share, and what each of them keeps.

use super::super::pools::split;
use super::promises::{config, life};
use super::world::{Weather, World, alike, weight};
use crate::rollout::command::Verb;
use crate::rollout::plan::Plan;
use crate::rollout::reason::{Reason, State, Verdict};
use crate::rollout::sample::Dark;
use crate::rollout::status::{CheckStatus, ComponentStatus, GradualRolloutStatus};
use proptest::prelude::*;
use serde_json::json;

/// Whether a member's own checks lack nothing but requests, and its pool's all pass at its weight, or its pool went
/// on before it.
pub(super) fn allowed_by_its_pool(
    status: &GradualRolloutStatus,
    c: &ComponentStatus,
    all_pass: impl Fn(&[CheckStatus]) -> bool,
) -> bool {
    let lacking = |k: &CheckStatus| {
        matches!(
            k.verdict,
            Verdict::Pass | Verdict::Skipped | Verdict::Insufficient
        )
    };
    let mut sums = status.pools.iter();
    let shared =
        sums.any(|p| p.members.contains(&c.name) && p.weight == c.weight.written && all_pass(&p.checks));
    let ahead = status
        .components
        .iter()
        .any(|o| o.weight.written > c.weight.written);
    c.checks.iter().all(lacking) && (shared || c.released && ahead)
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("app-{i:02}")).collect()
}

/// Members with next to no traffic, judged without look-backs of five minutes, which nobody fills at that pace.
fn quiet(n: usize, pool: Option<&str>) -> World {
    let mut spec = alike(&names(n), pool);
    spec["checks"] =
        json!([{"name": "p95", "minRequests": 100}, {"name": "errors", "window": "1h", "for": "1h"}]);
    let mut world = World::new(spec);
    world.all(Weather::Rare(0));
    world
}

fn at_least(world: &World, permille: u16) -> usize {
    let risen = |c: &&ComponentStatus| c.weight.written >= weight(permille);
    world.status.components.iter().filter(risen).count()
}

#[test]
fn sixty_quiet_components_go_on_by_what_they_have_seen_together_long_before_any_would_alone() {
    let (mut pooled, mut alone) = (quiet(60, Some("quiet")), quiet(60, None));
    pooled.until("the pool is at 10%", |w| at_least(w, 100) == 60);
    let took = pooled.now;
    assert!(took.duration_since(alone.now).as_hours() < 3, "{took}");
    while alone.now < took {
        alone.tick();
    }
    assert_eq!((at_least(&alone, 50), at_least(&alone, 51)), (60, 0));
    assert_eq!(alone.component("app-07").reason, Reason::Insufficient);
    let size = serde_json::to_string(&pooled.status).unwrap().len();
    assert!(size <= 60 * 4096, "{size} bytes");
}

#[test]
fn of_ten_the_bad_one_goes_back_alone_and_its_data_stop_counting() {
    let mut world = quiet(10, Some("quiet"));
    world.until("all are at 5%", |w| at_least(w, 50) == 10);
    world.ticks(200);
    world.weather.insert("app-03".into(), Weather::CanaryFails);
    world.until("it went back", |w| {
        w.component("app-03").state == State::RolledBack
    });
    assert!(
        world.component("app-03").message.starts_with("errors: "),
        "{}",
        world.component("app-03").message
    );
    world.tick();
    let sum = world.status.pools.first().unwrap();
    assert!(!sum.members.contains(&"app-03".to_owned()));
    let errors = sum.checks.iter().find(|c| c.name == "available").unwrap();
    assert_eq!(errors.value.as_deref(), Some("100%"), "{errors:?}");
    assert_eq!(sum.again, 1, "its evidence begins anew");
    world.until("the others are at 10%", |w| at_least(w, 100) == 9);
    assert_eq!(
        world
            .status
            .components
            .iter()
            .filter(|c| c.state == State::RolledBack)
            .count(),
        1
    );
}

#[test]
fn what_is_wrong_with_all_a_little_puts_all_back_before_anyone_knows_it_of_one() {
    let mut world = quiet(40, Some("quiet"));
    world.until("all are at 5%", |w| at_least(w, 50) == 40);
    let (mut alone, begun) = (quiet(40, None), world.now);
    alone.until("all are at 5%", |w| at_least(w, 50) == 40);
    world.all(Weather::Rare(150));
    alone.all(Weather::Rare(150));
    world.until("all went back", |w| {
        w.status.components.iter().all(|c| c.state == State::RolledBack)
    });
    assert!(
        world
            .component("app-05")
            .message
            .starts_with("pool quiet, 40 members at 5% together: errors: "),
        "{}",
        world.component("app-05").message
    );
    assert!(world.now.duration_since(begun).as_hours() < 6, "{}", world.now);
    while alone.now < world.now {
        alone.tick();
    }
    assert!(alone.status.components.iter().all(|c| c.state == State::Walking));
}

#[test]
fn one_that_is_blind_holds_its_pool_by_name_and_one_that_is_paused_does_not() {
    let mut world = World::pooled();
    world.until("all are at 10%", |w| at_least(w, 100) == 3);
    world.all(Weather::Good);
    world.weather.insert("beta".into(), Weather::Blind(Dark::Down));
    world.ticks(60);
    let alpha = world.component("alpha");
    assert_eq!(
        (alpha.weight.written, alpha.reason),
        (weight(100), Reason::WaitingForPool)
    );
    assert!(alpha.message.contains("waits for beta: "), "{}", alpha.message);
    world.say(Verb::Pause, "beta", None);
    world.until("the others go on", |w| at_least(w, 400) == 2);
    assert_eq!(world.component("beta").weight.written, weight(100));
}

#[test]
fn one_whose_write_was_lost_follows_its_pool() {
    let mut world = quiet(20, Some("quiet"));
    world.until("all are at 5%", |w| at_least(w, 50) == 20);
    for _ in 0..8640 {
        // The next raise is declared and never written.
        world.die = Some(0);
        world.tick();
        if at_least(&world, 100) > 0 || world.highest("app-19") == weight(100) {
            break;
        }
    }
    world.restart();
    world.until("the first one followed", |w| at_least(w, 100) == 20);
    assert_eq!(
        world
            .status
            .components
            .iter()
            .filter(|c| c.state == State::RolledBack)
            .count(),
        0
    );
}

#[test]
fn all_of_a_pool_finish_in_one_look_and_nobody_is_left_with_too_little() {
    let mut world = quiet(20, Some("quiet"));
    world.say(Verb::Approve, "*", None);
    world.until("all are done", |w| {
        w.status.components.iter().all(|c| c.state == State::Completed)
    });
    world.tick();
    assert!(world.status.pools.is_empty());
}

#[test]
fn members_that_are_not_alike_are_refused_by_name_and_field() {
    let names = names(2);
    let spoil = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut spec = alike(&names, Some("quiet"));
        change(&mut spec);
        let problems = Plan::parse(&serde_json::from_value(spec).unwrap()).unwrap_err();
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let phases = spoil(&|s| s["phases"][0]["components"] = json!(["app-00"]));
    assert!(phases.contains("spec.components[1].pool: app-01 walks the phases all, cutover, and app-00 of the same pool pilot, all, cutover"), "{phases}");
    let checks = spoil(
        &|s| s["checks"] = json!([{"name": "cpu", "metric": "cpu", "series": {"canary": {"pod": "y"}}, "components": ["app-00"]}]),
    );
    assert!(
        checks.contains("spec.components[1].pool: check cpu is in force for only one of app-00 and app-01"),
        "{checks}"
    );
    let arms = spoil(&|s| {
        s["components"][1].as_object_mut().unwrap().remove("arms");
    });
    assert!(
        arms.contains("spec.components[1].pool: app-01 names no arms"),
        "{arms}"
    );
    let twice = spoil(&|s| s["components"][1]["arms"] = s["components"][0]["arms"].clone());
    assert!(
        twice.contains("select the same series, which would count twice"),
        "{twice}"
    );
    let traffic = spoil(&|s| s["components"][1]["traffic"] = json!("longLived"));
    assert!(
        traffic.contains("differ in spec.components[].traffic"),
        "{traffic}"
    );
    let name = spoil(&|s| s["components"][0]["pool"] = json!("Quiet Ones"));
    assert!(
        name.contains("spec.components[0].pool: \"Quiet Ones\" is no name of a pool"),
        "{name}"
    );
}

#[test]
fn a_members_own_evidence_and_all_of_its_pools_together_spend_no_more_than_one_alone() {
    let halves = |pool| {
        let plan = Plan::parse(&serde_json::from_value(alike(&names(2), pool)).unwrap()).unwrap();
        let halves: Vec<u32> = plan.components.iter().map(|c| plan.halves(c)).collect();
        halves
    };
    assert_eq!((halves(None), halves(Some("quiet"))), (vec![1, 1], vec![2, 2]));
    for steps in [1, 7, 12] {
        let own = steps * 2;
        // Sixty-three of sixty-four members are put back, one after the other.
        let pools: f64 = (0..63).map(|again| 1.0 / f64::from(split(own, again))).sum();
        let spent = 1.0 / f64::from(own) + pools;
        assert!(spent <= 1.0 / f64::from(steps) + 1e-7, "{spent}");
        assert!(spent > 0.99 / f64::from(steps), "{spent}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_pool_steps_together_and_never_takes_along_who_is_held_itself(life in life()) {
        let mut world = World::pooled();
        for event in &life {
            world.live(event, |_, _, decision| {
                let next = &decision.next;
                for raise in decision.raises.iter().filter(|r| r.reason != Reason::Manual) {
                    let c = next.component(&raise.component).unwrap();
                    let held = c.checks.iter().any(|k| matches!(k.verdict, Verdict::Hold | Verdict::Breach | Verdict::Unknown));
                    assert!(!held || c.weight.written.is_zero(), "{:?}", c.checks);
                    for mate in next.components.iter().filter(|o| o.alone == c.alone && o.paused_by.is_none()) {
                        let live = matches!(mate.state, State::Walking | State::Drifted) && !mate.detached;
                        assert!(!live || mate.weight.written >= c.weight.written, "{} rises before {}", c.name, mate.name);
                    }
                }
            });
        }
    }

    #[test]
    fn a_restart_changes_nothing_about_a_pool(looks in 1usize..200) {
        let mut steady = World::pooled();
        steady.ticks(looks);
        let mut restarted = steady.clone();
        restarted.restart();
        steady.ticks(3);
        restarted.ticks(3);
        let places = |w: &World| w.status.components.iter().map(|c| c.weight.written).collect::<Vec<_>>();
        prop_assert_eq!(places(&steady), places(&restarted));
        prop_assert_eq!(steady.status.pools.len(), restarted.status.pools.len());
        for (one, other) in steady.status.pools.iter().zip(&restarted.status.pools) {
            prop_assert_eq!((&one.members, one.again), (&other.members, other.again));
            let verdicts = |p: &crate::rollout::status::PoolStatus| p.checks.iter().map(|c| c.verdict).collect::<Vec<_>>();
            prop_assert_eq!(verdicts(one), verdicts(other));
        }
    }
}
