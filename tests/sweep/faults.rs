//! The matrix of faults of the API server: what each does to a plan that is healthy, and to a canary that fails while
//! it lasts. `docs/reliability.md` has the table; a row there is a test here.

use crate::promises::{Promises, canary};
use crate::tale::plan;
use crate::weather::{Kind, Weather};
use crate::wire::Wire;
use crate::world::{NS, World, component, virtual_service};
use gradual_rollout::rollout::reason::State;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// When the traffic of a canary that fails under a fault is back.
#[derive(Clone, Copy, Debug)]
enum Back {
    /// While it lasts: so many seconds after the canary began to fail.
    Meanwhile(i64),
    /// So many seconds after it is over.
    After(i64),
}

/// How long a fault lasts.
const LASTS: u64 = 180;
/// How long a canary that fails 70% of its requests has, and nothing is wrong otherwise: two looks and one in reserve.
const USUALLY: i64 = 31;

/// How many requests a second one resource may cost an API server, whatever is wrong with it.
const BUSY: u64 = 4;

struct Scene {
    world: World,
    weather: Weather,
    promises: Arc<Promises>,
}

impl Scene {
    /// A daemon at 25%, judged for a while.
    async fn at_25() -> Self {
        let mut world = World::new();
        world.store.put(virtual_service("shop")).unwrap();
        let rollout = plan(&[component("shop")]);
        let promises = Arc::new(Promises::of(std::slice::from_ref(&rollout), &world.clock, NS));
        world.store.put(rollout).unwrap();
        let weather = Weather::default();
        let clients = Wire::until(None).connect(&world.store, &weather, &promises);
        world.start_over("daemon-1", clients);
        world.until("25%", |w| canary(&w.vs("shop")) == 250).await;
        world.pass(25).await;
        Self {
            world,
            weather,
            promises,
        }
    }

    fn weight(&self) -> u64 {
        canary(&self.world.vs("shop"))
    }

    fn fail(&self) {
        self.world.traffic.fail("shop");
        let now = self.world.clock.now();
        self.promises
            .facts
            .lock()
            .unwrap()
            .failing
            .insert("shop".into(), now);
    }

    /// So many requests in so many seconds are few.
    fn is_not_busy(kind: Kind, met: u64, seconds: u64) {
        eprintln!("{kind:?}: {met} requests in {seconds} s");
        assert!(met > 0, "{kind:?}: nothing met it");
        assert!(met <= seconds * BUSY, "{kind:?}: {met} requests in {seconds} s");
    }

    fn kept(&self, what: &str) {
        let broken = self.promises.broken();
        assert!(broken.is_empty(), "{what}:\n  {}", broken.join("\n  "));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

/// A fault, in a healthy plan and in one whose canary fails.
fn row(kind: Kind, goes_on: GoesOn, back: Back) {
    runtime().block_on(healthy(kind, goes_on));
    runtime().block_on(failing(kind, back));
}

/// When a healthy plan goes on.
#[derive(Clone, Copy, Debug)]
enum GoesOn {
    Meanwhile,
    /// Slowly, for each raise takes several calls that must all get through: meanwhile, if the fault lasts longer.
    Later,
    After,
}

async fn healthy(kind: Kind, goes_on: GoesOn) {
    let scene = Scene::at_25().await;
    scene.weather.set(kind);
    scene.world.pass(LASTS).await;
    let met = scene.weather.met();
    let risen = scene.weight() > 250;
    match goes_on {
        GoesOn::Meanwhile => assert!(risen, "{kind:?}: still at 25% after {LASTS} s"),
        GoesOn::Later => {
            scene
                .world
                .until("more than 25%", |w| canary(&w.vs("shop")) > 250)
                .await;
        }
        GoesOn::After => assert_eq!(scene.weight(), 250, "{kind:?}: it rose in the middle of it"),
    }
    Scene::is_not_busy(kind, met, LASTS);
    scene.weather.set(Kind::Clear);
    scene
        .world
        .until("completed", |w| w.component("shop").state == State::Completed)
        .await;
    scene.kept(&format!("{kind:?}, a healthy plan"));
}

async fn failing(kind: Kind, back: Back) {
    let scene = Scene::at_25().await;
    scene.weather.set(kind);
    scene.fail();
    let mut began = scene.world.clock.now();
    let limit = match back {
        Back::Meanwhile(limit) => limit,
        Back::After(limit) => {
            scene.world.pass(LASTS).await;
            Scene::is_not_busy(kind, scene.weather.met(), LASTS);
            assert_eq!(
                scene.weight(),
                250,
                "{kind:?}: the traffic moved although nothing gets through"
            );
            scene.weather.set(Kind::Clear);
            began = scene.world.clock.now();
            limit
        }
    };
    while scene.weight() > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let took = scene.world.clock.now().duration_since(began).as_secs();
        assert!(
            took <= limit,
            "{kind:?}: still {} permille after {took} s: {}",
            scene.weight(),
            {
                let c = scene.world.component("shop");
                format!(
                    "{:?} {:?} {} {:?} {:?}",
                    c.state, c.reason, c.message, c.lowering, c.weight
                )
            }
        );
    }
    let took = scene.world.clock.now().duration_since(began);
    eprintln!("{kind:?}: back after {took:#}");
    scene.world.pass(60).await;
    if matches!(back, Back::Meanwhile(_)) {
        let lasted = scene.world.clock.now().duration_since(began).as_secs();
        Scene::is_not_busy(kind, scene.weather.met(), lasted.unsigned_abs());
    }
    scene.weather.set(Kind::Clear);
    scene
        .world
        .until("known", |w| w.component("shop").state == State::RolledBack)
        .await;
    scene.world.pass(600).await;
    assert_eq!(scene.weight(), 0, "{kind:?}: it stays back");
    scene.kept(&format!("{kind:?}, a canary that fails"));
}

/// A Lease that was lost while nobody answered is taken again first: its renewal is tried every second.
const AGAIN: i64 = 12;

#[test]
fn conflicts_on_everything_stop_raises_and_the_rollback_lands_when_they_end() {
    row(Kind::Answers(409, None), GoesOn::After, Back::After(AGAIN));
}

#[test]
fn answers_of_500_stop_raises_and_the_rollback_lands_when_they_end() {
    row(Kind::Answers(500, None), GoesOn::After, Back::After(AGAIN));
}

#[test]
fn answers_of_503_with_retry_after_are_not_waited_for_by_a_rollback() {
    row(Kind::Answers(503, Some(300)), GoesOn::After, Back::After(AGAIN));
}

#[test]
fn too_many_requests_half_of_the_time_keep_neither_a_raise_nor_a_rollback_up() {
    row(Kind::HalfTooMany, GoesOn::Later, Back::Meanwhile(USUALLY + 1));
}

#[test]
fn an_api_server_that_hangs_stops_raises_and_the_rollback_lands_when_it_answers() {
    row(Kind::Hangs, GoesOn::After, Back::After(AGAIN));
}

#[test]
fn a_slow_api_server_delays_a_rollback_by_its_slowness() {
    row(Kind::Slow(1500), GoesOn::Meanwhile, Back::Meanwhile(USUALLY + 4));
}

#[test]
fn connections_that_break_stop_raises_and_the_rollback_lands_when_they_hold() {
    row(Kind::Resets, GoesOn::After, Back::After(AGAIN));
}

#[test]
fn answers_that_are_lost_raise_nothing_twice_and_keep_no_rollback_up() {
    row(Kind::LosesAnswers, GoesOn::After, Back::After(AGAIN));
}

#[test]
fn events_that_are_lost_move_nothing_wrongly() {
    row(Kind::DropsEvents, GoesOn::Meanwhile, Back::Meanwhile(USUALLY));
}

#[test]
fn events_that_come_twice_change_nothing() {
    row(Kind::DoublesEvents, GoesOn::Meanwhile, Back::Meanwhile(USUALLY));
}

#[test]
fn old_versions_raise_nothing_and_the_rollback_lands_when_reads_are_fresh() {
    row(Kind::Stale, GoesOn::After, Back::After(AGAIN));
}

#[test]
fn a_definition_that_vanishes_stops_raises_and_no_rollback() {
    row(
        Kind::NotServed("gradualrollouts"),
        GoesOn::After,
        Back::Meanwhile(USUALLY),
    );
}

#[test]
fn without_the_right_to_write_the_status_nothing_rises_and_traffic_goes_back() {
    row(
        Kind::Forbids("gradualrollouts/status"),
        GoesOn::After,
        Back::Meanwhile(USUALLY),
    );
}

#[test]
fn without_the_right_to_write_routes_nothing_rises_and_the_rollback_lands_when_it_is_back() {
    row(
        Kind::Forbids("virtualservices"),
        GoesOn::After,
        Back::After(AGAIN),
    );
}

#[test]
fn a_command_that_comes_while_the_answer_to_another_is_written_goes_when_its_own_answer_is() {
    runtime().block_on(async {
        let scene = Scene::at_25().await;
        scene.weather.set(Kind::Slow(1500));
        let wish = || serde_json::json!({"components": ["shop"], "who": "ada"});
        for verb in ["pause", "resume", "pause"] {
            scene.world.say(verb, wish());
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        scene.world.pass(60).await;
        scene.kept("commands in a row");
        let answered = scene.world.status().commands.len();
        assert_eq!(answered, 3, "{:?}", scene.world.status().commands);
    });
}

/// Ends every watch, and tells whoever begins one from where it was that this is too long ago: so many times, so many
/// seconds apart.
async fn expire(scene: &Scene, times: u64, seconds: u64) {
    for _ in 0..times {
        scene.world.store.forget_history();
        scene.world.store.break_watches();
        scene.world.pass(seconds).await;
    }
}

#[test]
fn a_watch_that_is_told_410_lists_anew_and_goes_on() {
    runtime().block_on(async {
        let scene = Scene::at_25().await;
        expire(&scene, LASTS / 3, 3).await;
        assert!(
            scene.weight() > 250,
            "{} permille after {LASTS} s",
            scene.weight()
        );
        scene
            .world
            .until("completed", |w| w.component("shop").state == State::Completed)
            .await;
        scene.kept("410, a healthy plan");
    });
    runtime().block_on(async {
        let scene = Scene::at_25().await;
        scene.fail();
        let began = scene.world.clock.now();
        while scene.weight() > 0 {
            expire(&scene, 1, 1).await;
            assert!(scene.world.clock.now().duration_since(began).as_secs() <= USUALLY);
        }
        scene
            .world
            .until("known", |w| w.component("shop").state == State::RolledBack)
            .await;
        scene.kept("410, a canary that fails");
    });
}

#[test]
fn a_definition_of_routes_that_vanishes_stops_raises_and_the_rollback_lands_when_it_is_back() {
    row(
        Kind::NotServed("virtualservices"),
        GoesOn::After,
        Back::After(AGAIN),
    );
}

#[test]
fn without_the_right_to_read_routes_nothing_rises_and_traffic_goes_back() {
    row(
        Kind::Hides("virtualservices"),
        GoesOn::After,
        Back::Meanwhile(USUALLY),
    );
}

/// Whatever anybody writes on the resource changes its version, and then no raise can be declared on the one that is known.
#[test]
fn without_the_right_to_read_the_resource_the_plan_goes_on_as_last_known_and_traffic_goes_back() {
    row(
        Kind::Hides("gradualrollouts"),
        GoesOn::Meanwhile,
        Back::Meanwhile(USUALLY),
    );
}

#[test]
fn without_the_right_to_read_the_lease_nobody_leads_until_it_is_back() {
    row(Kind::Hides("leases"), GoesOn::After, Back::After(AGAIN));
}

/// What failed while nobody could see it counts from the first light on, as ever.
#[test]
fn a_canary_that_begins_to_fail_in_the_dark_goes_back_as_usual_when_it_is_light() {
    runtime().block_on(async {
        let scene = Scene::at_25().await;
        scene.world.traffic.darken(true);
        scene.fail();
        scene.world.pass(600).await;
        assert_eq!(scene.weight(), 250, "nothing moves in the dark");
        scene.world.traffic.darken(false);
        let light = scene.world.clock.now();
        while scene.weight() > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let took = scene.world.clock.now().duration_since(light).as_secs();
            assert!(
                took <= USUALLY,
                "still {} permille after {took} s",
                scene.weight()
            );
        }
        scene
            .world
            .until("known", |w| w.component("shop").state == State::RolledBack)
            .await;
        scene.kept("a canary that fails in the dark");
    });
}

/// A start brings what is seen one after the other: who leads, whose routes are whose, what the routes say, what the
/// first look finds. So does a watch that breaks and lists anew.
#[test]
fn a_start_and_a_broken_watch_that_change_nothing_write_each_status_once_at_most() {
    runtime().block_on(async {
        let mut scene = Scene::at_25().await;
        let wish = json!({"components": ["shop"], "who": "ada", "reason": "nothing is to rise"});
        scene.world.say("pause", wish);
        scene.world.pass(20).await;
        scene.world.kill().await;
        let wire = Wire::until(None);
        let clients = wire.connect(&scene.world.store, &scene.weather, &scene.promises);
        scene.world.start_over("daemon-2", clients);
        let writes = || {
            let log = wire.log();
            let told = log
                .iter()
                .filter(|c| c.starts_with("PATCH") && c.ends_with("/gradualrollouts/demo/status"));
            (log.len(), told.count())
        };
        scene.world.pass(45).await;
        let (calls, first) = writes();
        assert!(calls > 5, "the second daemon does not lead");
        assert!(
            first <= 1,
            "{first} writes of the status at a start: {:#?}",
            wire.log()
        );
        scene.world.store.forget_history();
        scene.world.store.break_watches();
        scene.world.pass(8).await;
        let second = writes().1;
        assert!(
            second <= first + 1,
            "{second} writes of the status: {:#?}",
            wire.log()
        );
        scene.kept("a start and a broken watch");
    });
}
