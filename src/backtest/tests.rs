//! Traffic that nobody sent, recorded and replayed.

use super::*;
use crate::metrics::{Ask, Bucket, Counter, PodSnapshot, Simulation, Snapshot, Source};
use crate::rollout::check::{Bound, Limits};
use crate::rollout::plan::Plan;
use crate::rollout::reason::{Reason, State, Verdict};
use crate::rollout::sample::{Blindness, Dark};
use crate::rollout::spec::GradualRolloutSpec;
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const STEP: Duration = Duration::from_secs(10);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_772_438_400 + second).unwrap()
}

/// 10 requests a second, a tenth of them on the canary, of which this share fails from `since` on.
#[derive(Debug)]
struct Failing {
    since: i64,
    share: f64,
    dark: std::ops::Range<i64>,
}

impl Simulation for Failing {
    fn scrape(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
        let mut snapshot = Snapshot::empty(ask, at);
        let second = at.as_second() - 1_772_438_400 + 3_600;
        if self.dark.contains(&(second - 3_600)) {
            return Ok(snapshot);
        }
        let bad = (second - 3_600 - self.since).max(0);
        let pod = |rate: f64, share: f64| {
            let all = f64::from(i32::try_from(second).unwrap()) * rate;
            let errors = (f64::from(i32::try_from(bad).unwrap()) * rate * share).floor();
            let counter = |count, error| Counter { count, error };
            let bucket = |le_ms, count| Bucket { le_ms, count };
            PodSnapshot {
                sampled_at: snapshot.at,
                requests: [
                    ("200".to_owned(), counter(all - errors, false)),
                    ("500".to_owned(), counter(errors, true)),
                ]
                .into(),
                latency: [(
                    "all".to_owned(),
                    vec![
                        bucket(50.0, all * 0.9),
                        bucket(100.0, all),
                        bucket(f64::INFINITY, all),
                    ],
                )]
                .into(),
            }
        };
        let canary = pod(1.0, self.share);
        let control = pod(9.0, 0.0);
        snapshot.canary.pods.insert("a".to_owned(), canary);
        if let Some(arm) = &mut snapshot.control {
            arm.pods.insert("b".to_owned(), control);
        }
        Ok(snapshot)
    }
}

fn spec(more: &Value) -> GradualRolloutSpec {
    let mut spec = json!({
        "components": [{
            "name": "shop",
            "routers": [{"istio": {"virtualServices": [{"name": "shop"}],
                "canary": {"host": "shop", "subset": "v2"}, "control": {"host": "shop", "subset": "v1"}}}],
            "arms": {"canary": {"preset": "istio", "labels": {"v": "2"}}, "control": {"preset": "istio", "labels": {"v": "1"}}},
        }],
        "steps": [{"weight": "10%", "hold": "20m"}, {"weight": "25%", "hold": "20m"}],
        "checks": [{"name": "throughput", "promote": "none"}],
    });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

async fn recorded(plan: &Plan, traffic: Failing, seconds: i64) -> Vec<Track> {
    recorded_every(STEP, plan, traffic, seconds).await
}

async fn recorded_every(step: Duration, plan: &Plan, traffic: Failing, seconds: i64) -> Vec<Track> {
    let ask = Ask {
        rollout: "ns/shop".to_owned(),
        component: "shop".to_owned(),
        arms: plan.components[0].component.arms.clone().unwrap(),
        traffic: plan.components[0].traffic(),
        wants_latency: true,
        wants_history: false,
    };
    let source = Source::Simulated(Arc::new(traffic));
    let span = (at(0), at(seconds));
    vec![
        record(&source, &ask, &Beside::default(), span, step, &mut |_, _| {})
            .await
            .unwrap(),
    ]
}

fn healthy() -> Failing {
    Failing {
        since: 0,
        share: 0.0,
        dark: 0..0,
    }
}

const BEGIN: Setup = Setup {
    weight: Weight::ZERO,
    stay: false,
    words: true,
};

fn weights(walk: &Walk) -> Vec<u16> {
    walk.legs.iter().map(|leg| leg.weight.permille() / 10).collect()
}

#[tokio::test]
async fn a_healthy_record_walks_the_whole_plan() {
    let plan = Plan::parse(&spec(&json!({}))).unwrap();
    let tracks = recorded(&plan, healthy(), 3 * 3600).await;
    assert_eq!(tracks[0].looks.len(), 1081, "each instant is looked at once");
    assert_eq!(tracks[0].scrape_period, Some(STEP));
    assert!((tracks[0].share().unwrap() - 0.1).abs() < 1e-3);
    let course = replay(&plan, &tracks, &BEGIN);
    let walk = course.walk("shop").unwrap();
    assert_eq!(weights(walk), [0, 10, 25]);
    assert_eq!(walk.state, State::Completed, "{walk:?}");
    let held: Vec<Duration> = walk.legs[1].stays.iter().map(|stay| stay.length).collect();
    let all: Duration = held.iter().sum();
    assert_eq!(
        walk.legs[1]
            .until
            .duration_since(walk.legs[1].from)
            .unsigned_abs(),
        all
    );
    assert!(walk.legs[1].stays.iter().any(|s| s.reason == Reason::HoldingStep));
}

#[tokio::test]
async fn a_record_of_weeks_is_walked_however_far_its_looks_are_apart() {
    let plan = Plan::parse(&spec(&json!({"steps": [{"weight": "10%", "hold": "3d"}]}))).unwrap();
    for minutes in [4, 7, 20, 90] {
        let step = Duration::from_secs(minutes * 60);
        let tracks = recorded_every(step, &plan, healthy(), 8 * 86_400).await;
        let looks = tracks[0].looks.len();
        assert_eq!(
            tracks[0].ticks(),
            looks - 1,
            "every {minutes} min: all but the first can be counted"
        );
        let course = replay(&plan, &tracks, &BEGIN);
        let walk = course.walk("shop").unwrap();
        assert_eq!(walk.state, State::Completed, "every {minutes} min: {walk:?}");
        let failing = Failing {
            since: 86_400,
            share: 0.2,
            ..healthy()
        };
        let tracks = recorded_every(step, &plan, failing, 8 * 86_400).await;
        let course = replay(&plan, &tracks, &BEGIN);
        let walk = course.walk("shop").unwrap();
        assert_eq!(
            walk.rolled_back_by(),
            Some("errors"),
            "every {minutes} min: {walk:?}"
        );
    }
}

#[tokio::test]
async fn a_canary_that_failed_is_rolled_back_when_it_failed_and_the_limits_that_spare_it_are_found() {
    let plan = Plan::parse(&spec(&json!({}))).unwrap();
    let traffic = Failing {
        since: 2400,
        share: 0.05,
        ..healthy()
    };
    let tracks = recorded(&plan, traffic, 2 * 3600).await;
    let base = replay(&plan, &tracks, &BEGIN);
    let walk = base.walk("shop").unwrap();
    assert_eq!(weights(walk), [0, 10, 25, 0]);
    assert_eq!(walk.rolled_back_by(), Some("errors"), "{walk:?}");
    let ended = walk.ended.unwrap();
    // The record begins with the rollout: without a past bursts are supposed, and a fault takes longer to prove.
    assert!(ended > at(2400) && ended < at(2400 + 1500), "{ended}");
    assert!(
        walk.checks
            .iter()
            .any(|check| check.name == "errors" && check.verdict == Verdict::Breach)
    );
    let mut replays = 0;
    let (found, _) = moves(&plan, &tracks, &BEGIN, &base, &mut || replays += 1);
    assert!(replays < 40, "{replays}");
    let errors = found
        .iter()
        .find(|m| m.check.as_deref() == Some("errors"))
        .unwrap();
    assert_eq!(
        (errors.kind, errors.wanted),
        (Kind::Rollback, Wanted::NotRolledBack)
    );
    let (becomes, instead) = errors.becomes.as_ref().unwrap();
    assert_eq!(
        instead.rolled_back_by(),
        Some("available"),
        "the next check would have done it"
    );
    assert!((1.0..6.0).contains(&becomes.factor), "{becomes:?}");
    let all = found.iter().find(|m| m.check.is_none()).unwrap();
    let (becomes, instead) = all.becomes.as_ref().unwrap();
    assert_eq!(instead.rolled_back_by(), None);
    assert!(
        (2.0..10.0).contains(&becomes.factor),
        "5% of errors are spared by about 5%: {becomes:?}"
    );
}

#[tokio::test]
async fn a_healthy_record_tells_how_tight_a_limit_may_be_and_what_keeps_it_back() {
    let plan = Plan::parse(&spec(&json!({}))).unwrap();
    let traffic = Failing {
        since: 0,
        share: 0.004,
        ..healthy()
    };
    let tracks = recorded(&plan, traffic, 2 * 3600).await;
    let base = replay(&plan, &tracks, &BEGIN);
    let walk = base.walk("shop").unwrap();
    assert_eq!(weights(walk), [0, 10], "0.4% is over the promote limit of 0.1%");
    assert!(
        walk.held_by("errors") > Duration::from_secs(3600),
        "{:?}",
        walk.legs
    );
    let (found, _) = moves(&plan, &tracks, &BEGIN, &base, &mut || ());
    let find = |check: &str, kind| {
        let of = |m: &&Move| m.check.as_deref() == Some(check) && m.kind == kind;
        found.iter().find(of).unwrap()
    };
    let tighter = find("errors", Kind::Rollback);
    assert_eq!(tighter.wanted, Wanted::RolledBack);
    let (becomes, _) = tighter.becomes.as_ref().unwrap();
    assert!(becomes.factor < 0.4, "below what was measured: {becomes:?}");
    // Availability holds as well: one limit alone would not have helped.
    assert_eq!(find("errors", Kind::Promote).wanted, Wanted::Farther);
    assert!(find("errors", Kind::Promote).becomes.is_none());
    let all = found.iter().find(|m| m.check.is_none()).unwrap();
    let (becomes, farther) = all.becomes.as_ref().unwrap();
    assert!(
        (3.0..8.0).contains(&becomes.factor),
        "0.4% passes a limit of 0.4%: {becomes:?}"
    );
    assert!(farther.highest() > walk.highest());
}

#[tokio::test]
async fn a_limit_that_has_to_give_way_to_a_moved_one_moves_with_it() {
    let held_to = |promote: &str, rollback: &str| {
        let errors = json!({"name": "errors", "promote": {"max": promote}, "rollback": {"max": rollback}});
        let others = ["p95", "available", "throughput"]
            .map(|name| json!({"name": name, "promote": "none", "rollback": "none"}));
        let checks: Vec<Value> = std::iter::once(errors).chain(others).collect();
        Plan::parse(&spec(&json!({"checks": checks}))).unwrap()
    };
    let failing = || Failing {
        since: 0,
        share: 0.02,
        dark: 0..0,
    };
    let percent = |limits: Option<Limits>| match limits.unwrap().max.unwrap() {
        Bound::Percent(percent) => percent.ratio() * 100.0,
        Bound::Time(time) => panic!("{time:?}"),
    };
    let found = async |plan: &Plan, kind: Kind, wanted: Wanted| {
        let tracks = recorded(plan, failing(), 3 * 3600).await;
        let course = replay(plan, &tracks, &BEGIN);
        let (moves, _) = moves(plan, &tracks, &BEGIN, &course, &mut || {});
        let mut of = moves.into_iter().filter(|m| m.kind == kind && m.wanted == wanted);
        of.next().unwrap().becomes.unwrap().0
    };
    // Held at 2% by a promote limit of 1%; whoever loosens it to that is past the rollback limit of 1.9%.
    let becomes = found(&held_to("1%", "1.9%"), Kind::Promote, Wanted::Farther).await;
    let [new, other] = [becomes.limits, becomes.other].map(percent);
    assert!(new >= 2.0 && (other - new).abs() < 1e-9, "{becomes:?}");
    // Tightened, the rollback limit takes the promote limit with it.
    let becomes = found(&held_to("3%", "8%"), Kind::Rollback, Wanted::RolledBack).await;
    let [new, other] = [becomes.limits, becomes.other].map(percent);
    assert!(new < 2.0 && (other - new).abs() < 1e-9, "{becomes:?}");
}

#[tokio::test]
async fn darkness_in_the_record_holds_and_is_never_good_or_bad() {
    let plan = Plan::parse(&spec(&json!({}))).unwrap();
    let traffic = Failing {
        dark: 600..1800,
        ..healthy()
    };
    let tracks = recorded(&plan, traffic, 2 * 3600).await;
    let (dark, first) = tracks[0].dark.clone().unwrap();
    assert!(dark > 100 && first.kind == Dark::Stale, "{dark} {first:?}");
    let course = replay(&plan, &tracks, &BEGIN);
    let walk = course.walk("shop").unwrap();
    let blind = walk.legs[1]
        .stays
        .iter()
        .find(|s| s.reason == Reason::Blind)
        .unwrap();
    assert!(blind.length > Duration::from_secs(1000), "{blind:?}");
    assert!(walk.legs[2].from > at(1800 + 600), "the hold's clock stood still");
}

#[tokio::test]
async fn a_replay_of_the_same_record_is_the_same() {
    let plan = Plan::parse(&spec(&json!({"paused": true}))).unwrap();
    let tracks = recorded(&plan, healthy(), 3600).await;
    let setup = Setup {
        weight: Weight::from_percent(10).unwrap(),
        stay: false,
        words: true,
    };
    let course = replay(&plan, &tracks, &setup);
    assert_eq!(course, replay(&plan, &tracks, &setup));
    assert_eq!(
        weights(course.walk("shop").unwrap()),
        [10, 25],
        "paused is not replayed"
    );
}

#[tokio::test]
async fn a_replay_that_stays_at_a_weight_tells_when_it_would_have_been_raised_and_judges_on() {
    let plan = Plan::parse(&spec(&json!({}))).unwrap();
    let traffic = Failing {
        since: 3600,
        share: 0.3,
        ..healthy()
    };
    let tracks = recorded(&plan, traffic, 2 * 3600).await;
    let setup = Setup {
        weight: Weight::from_percent(10).unwrap(),
        stay: true,
        words: true,
    };
    let course = replay(&plan, &tracks, &setup);
    let walk = course.walk("shop").unwrap();
    assert_eq!(weights(walk), [10, 0]);
    let (when, to) = walk.promoted.unwrap();
    assert!(when > at(1200) && when < at(3600), "{when}");
    assert_eq!(to, Weight::from_percent(25).unwrap());
    assert_eq!(walk.rolled_back_by(), Some("errors"));
}

#[tokio::test]
async fn a_replay_that_stays_at_the_last_weight_judges_on_behind_the_end_of_the_plan() {
    let plan = Plan::parse(&spec(&json!({"steps": [{"weight": "10%", "hold": "20m"}]}))).unwrap();
    let setup = Setup {
        weight: Weight::from_percent(10).unwrap(),
        stay: true,
        words: true,
    };
    for share in [0.0, 0.3] {
        let traffic = Failing {
            since: 5400,
            share,
            ..healthy()
        };
        let tracks = recorded(&plan, traffic, 2 * 3600).await;
        let course = replay(&plan, &tracks, &setup);
        let walk = course.walk("shop").unwrap();
        let completed = walk.completed.unwrap();
        assert!(completed < at(5400), "{completed}");
        if share > 0.0 {
            assert_eq!(walk.rolled_back_by(), Some("errors"));
            assert!(walk.ended.unwrap() > at(5400));
        } else {
            assert_eq!((walk.state, walk.ended), (State::Walking, None));
            let until = walk.legs.last().unwrap().until;
            assert_eq!(
                until,
                tracks[0].looks.last().unwrap().0,
                "to the end of the record"
            );
        }
    }
}

#[tokio::test]
async fn phases_gates_and_components_that_are_not_replayed_keep_nobody_waiting() {
    let phases = json!([
        {"name": "pilot", "components": ["other"], "steps": [{"weight": "10%", "hold": "20m"}]},
        {"name": "shops", "components": ["shop"], "requires": [{"approval": {}}], "steps": [{"weight": "10%", "hold": "20m"}],
         "checks": [{"name": "p95", "promote": {"max": "2s"}, "rollback": "none"}]},
    ]);
    let mut wide = spec(&json!({"steps": null, "phases": phases}));
    let mut other = wide.components[0].clone();
    other.name = "other".to_owned();
    wide.components.push(other);
    let plan = Plan::parse(&wide).unwrap();
    let tracks = recorded(&plan, healthy(), 2 * 3600).await;
    let course = replay(&plan, &tracks, &BEGIN);
    assert_eq!(course.walks.len(), 1);
    let walk = course.walk("shop").unwrap();
    assert_eq!(
        (weights(walk), walk.state),
        (vec![0, 10], State::Completed),
        "{walk:?}"
    );
    let own = |name: &str| {
        let rules = rules::of(&plan, plan.component(name).unwrap());
        let p95 = rules.iter().find(|rule| rule.name == "p95").unwrap();
        p95.promote.unwrap().max.is_some()
    };
    assert!(
        own("shop") && !own("other"),
        "each component is held to its own phases' checks"
    );
}
