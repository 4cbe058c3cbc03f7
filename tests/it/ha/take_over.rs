//! How soon another daemon takes over, what it knows then, and what it does before.

use super::{Daemon, leader, soon};
use crate::support::world::{NS, World, rollout, virtual_service};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::daemon;
use gradual_rollout::engine::Explained;
use gradual_rollout::rollout::reason::State;
use gradual_rollout::sandbox::apiserver::{Action, Fault};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const FAIL_OVER: Duration = Duration::from_secs(15);
const HAND_OVER: Duration = Duration::from_secs(1);

/// A world in mid-plan: shop at 25%, judged for a while; one daemon leads, another stands by.
async fn mid_plan() -> (World, Daemon, Daemon) {
    let world = World::new();
    for name in ["shop", "cart"] {
        world.store.put(virtual_service(name)).unwrap();
    }
    world.store.put(rollout("demo", &["shop", "cart"])).unwrap();
    let first = Daemon::start(&world, "first");
    soon(&world, "the first leads", FAIL_OVER, |w| leader(w) == "first").await;
    let second = Daemon::start(&world, "second");
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    world.pass(120).await;
    assert_eq!(leader(&world), "first");
    (world, first, second)
}

#[tokio::test(start_paused = true)]
async fn killed_in_mid_plan_a_leader_is_replaced_within_15_seconds_and_what_broke_meanwhile_goes_back() {
    let (mut slowest, mut slowest_back) = (Duration::ZERO, Duration::ZERO);
    // Wherever in the leader's renewals and looks it happens.
    for offset in [0, 1_100, 2_300, 2_990, 4_700, 9_990] {
        let (world, first, _second) = mid_plan().await;
        tokio::time::sleep(Duration::from_millis(offset)).await;
        first.kill().await;
        let killed = Instant::now();
        world.pass(1).await;
        world.traffic.fail("shop");
        soon(&world, "the second leads", FAIL_OVER, |w| leader(w) == "second").await;
        slowest = slowest.max(killed.elapsed());
        soon(&world, "shop is back", Duration::from_secs(60), |w| {
            w.weight("shop") == 0
        })
        .await;
        slowest_back = slowest_back.max(killed.elapsed());
        world
            .until("known", |w| w.component("shop").state == State::RolledBack)
            .await;
        assert_eq!(world.weight("cart"), 25, "who is well stays");
    }
    eprintln!(
        "killed: another leads after {slowest:?} at most, the breach in between is at 0 after {slowest_back:?}"
    );
    assert!(slowest <= FAIL_OVER, "{slowest:?}");
    // With a leader that lives it takes up to 31 s.
    assert!(slowest_back <= Duration::from_secs(31), "{slowest_back:?}");
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_a_leader_is_replaced_within_a_second_and_a_wish_of_that_moment_is_done() {
    for offset in [0, 700, 2_990, 7_777] {
        let (world, first, _second) = mid_plan().await;
        tokio::time::sleep(Duration::from_millis(offset)).await;
        let told = Instant::now();
        first.tell_to_stop();
        world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
        soon(&world, "the second leads", HAND_OVER, |w| leader(w) == "second").await;
        soon(&world, "shop is back", HAND_OVER, |w| w.weight("shop") == 0).await;
        assert!(told.elapsed() <= HAND_OVER, "{:?}", told.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lowering_that_hangs_does_not_keep_a_stopping_leader_from_giving_the_lease_back() {
    let (world, first, _second) = mid_plan().await;
    let hang = Fault::new(Action::Hang)
        .resource("virtualservices.networking.istio.io")
        .name("cart");
    world.store.faults().inject(hang.verb("patch"));
    world.say("rollback", json!({"components": ["cart"], "who": "ada"}));
    world.pass(1).await;
    first.tell_to_stop();
    soon(&world, "the second leads", HAND_OVER, |w| leader(w) == "second").await;
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    soon(&world, "shop is back", HAND_OVER, |w| w.weight("shop") == 0).await;
}

/// The Lease is given back half a second after the order to stop at the latest, whatever hangs. So which comes first, it
/// or the last status, decides nothing: that carries the version that it was decided on.
#[tokio::test(start_paused = true)]
async fn a_last_status_that_arrives_after_the_lease_was_given_back_is_refused_and_nothing_is_lost() {
    let world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    world.store.put(rollout("demo", &["shop"])).unwrap();
    let (late, arrives) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let answers = Arc::new(Mutex::new(Vec::new()));
    let under_way = Arc::new(Mutex::new(JoinSet::new()));
    let (slow, opened, answered, tasks) = (late.clone(), arrives.clone(), answers.clone(), under_way.clone());
    // What is slow has left: it arrives although whoever sent it has given up meanwhile.
    let hold = from_fn(move |request: Request, next: Next| {
        let held = request.uri().path().ends_with("/status") && slow.load(Ordering::Relaxed);
        let (opened, answered, tasks) = (opened.clone(), answered.clone(), tasks.clone());
        async move {
            if !held {
                return next.run(request).await;
            }
            tasks.lock().unwrap().spawn(async move {
                opened.notified().await;
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let answer = next.run(Request::from_parts(parts, body.into())).await;
                answered.lock().unwrap().push(answer.status().as_u16());
            });
            std::future::pending().await
        }
    });
    let first = Daemon::over(
        &world,
        "first",
        Clients::from_service(world.store.router().layer(hold)),
    );
    soon(&world, "the first leads", FAIL_OVER, |w| leader(w) == "first").await;
    let _second = Daemon::start(&world, "second");
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.pass(30).await;
    late.store(true, Ordering::Relaxed);
    world.say("pause", json!({"components": ["shop"], "who": "ada"}));
    soon(&world, "its status is under way", HAND_OVER, |_| {
        !under_way.lock().unwrap().is_empty()
    })
    .await;
    first.tell_to_stop();
    soon(&world, "the second leads", HAND_OVER, |w| leader(w) == "second").await;
    let paused = |w: &World| w.component("shop").paused_by.is_some() && w.status().commands.len() == 1;
    soon(&world, "the second has obeyed", HAND_OVER, paused).await;
    let before = world.object()["status"].clone();
    arrives.notify_waiters();
    soon(&world, "the late one is answered", HAND_OVER, |_| {
        !answers.lock().unwrap().is_empty()
    })
    .await;
    assert!(
        answers.lock().unwrap().iter().all(|code| *code == 409),
        "{answers:?}"
    );
    assert_eq!(world.object()["status"], before);
}

type Log = Arc<Mutex<Vec<String>>>;

/// Connections that write down every request.
fn recorded(world: &World, log: &Log) -> Clients {
    let log = log.clone();
    let record = from_fn(move |request: Request, next: Next| {
        let said = format!("{} {}", request.method(), request.uri());
        log.lock().unwrap().push(said);
        next.run(request)
    });
    Clients::from_service(world.store.router().layer(record))
}

#[tokio::test(start_paused = true)]
async fn who_stands_by_has_read_everything_and_writes_nothing_and_reads_nothing_again_to_take_over() {
    let world = World::with(&["shop"]);
    let mut world = world;
    soon(&world, "one leads", FAIL_OVER, |w| leader(w) == "daemon-1").await;
    let log = Log::default();
    let _second = Daemon::over(&world, "second", recorded(&world, &log));
    world.until("25%", |w| w.weight("shop") == 25).await;
    let so_far = std::mem::take(&mut *log.lock().unwrap());
    let has = |what: &str| so_far.iter().any(|said| said.contains(what));
    assert!(
        has("/gradualrollouts") && has("/virtualservices"),
        "not warm: {so_far:#?}"
    );
    let write = so_far.iter().find(|said| !said.starts_with("GET"));
    assert_eq!(write, None, "wrote while standing by");
    // While the leader renews, its Lease is not even read.
    let read = so_far
        .iter()
        .filter(|said| said.contains("/leases/gradual-rollout"))
        .count();
    assert!(read <= 2, "read {read} times: {so_far:#?}");

    world.kill().await;
    soon(&world, "the second leads", FAIL_OVER, |w| leader(w) == "second").await;
    world.until("50%", |w| w.weight("shop") == 50).await;
    let then = log.lock().unwrap().clone();
    let listed =
        |said: &&String| said.starts_with("GET") && !said.contains("watch=") && !said.contains("/shop");
    let lists: Vec<_> = then
        .iter()
        .filter(listed)
        .filter(|said| said.contains("/virtualservices") || said.contains("/endpointslices"))
        .collect();
    assert!(lists.is_empty(), "cold caches: {lists:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_watched_is_still_taken_over() {
    let mut world = World::with(&["shop"]);
    soon(&world, "one leads", FAIL_OVER, |w| leader(w) == "daemon-1").await;
    for verb in ["list", "watch"] {
        let refuse = gradual_rollout::sandbox::apiserver::Failure::new(403, "Forbidden", "not this one");
        let fault = Fault::new(Action::Fail(refuse)).resource("leases.coordination.k8s.io");
        world.store.faults().inject(fault.verb(verb));
    }
    let _second = Daemon::start(&world, "second");
    world.pass(60).await;
    world.stop().await;
    soon(&world, "the second leads", Duration::from_secs(4), |w| {
        leader(w) == "second"
    })
    .await;
}

/// Connections of which those about Leases hang from a moment on.
fn without_leases(world: &World, cut: &Arc<AtomicBool>) -> Clients {
    let cut = cut.clone();
    let hang = from_fn(move |request: Request, next: Next| {
        let hangs = cut.load(Ordering::Relaxed) && request.uri().path().contains("/leases");
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            next.run(request).await
        }
    });
    Clients::from_service(world.store.router().layer(hang))
}

/// A fifth of the Lease's time is left for stopping: whatever else still works, who cannot renew leads no more then.
#[tokio::test(start_paused = true)]
async fn who_cannot_renew_leads_no_more_before_another_one_may() {
    let world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    world.store.put(rollout("demo", &["shop"])).unwrap();
    let cut = Arc::new(AtomicBool::new(false));
    let (handles, shown) = world.handles("first", without_leases(&world, &cut));
    let mut first = JoinSet::new();
    first.spawn(async move {
        daemon::run(handles, None, CancellationToken::new())
            .await
            .unwrap();
    });
    soon(&world, "the first leads", FAIL_OVER, |w| leader(w) == "first").await;
    let _second = Daemon::start(&world, "second");
    world.until("25%", |w| w.weight("shop") == 25).await;
    cut.store(true, Ordering::Relaxed);
    let leads = || shown.borrow().explain(NS, "demo", "shop") != Explained::StandingBy;
    assert!(leads());
    let begun = Instant::now();
    let mut stopped = None;
    while leader(&world) != "second" {
        if stopped.is_none() && !leads() {
            stopped = Some(begun.elapsed());
        }
        assert!(begun.elapsed() < FAIL_OVER, "nobody takes over");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let stopped = stopped.expect("two lead at once");
    eprintln!(
        "led no more after {stopped:?}, another one after {:?}",
        begun.elapsed()
    );
    assert!(!leads(), "it began again");
    world
        .until("the second goes on", |w| w.weight("shop") == 50)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_whose_lease_is_taken_away_stops_and_stands_by() {
    let (world, _first, _second) = mid_plan().await;
    let mut lease = (*world
        .store
        .get("leases.coordination.k8s.io", NS, "gradual-rollout")
        .unwrap())
    .clone();
    lease["spec"]["holderIdentity"] = json!("somebody");
    world.store.put(lease).unwrap();
    world.pass(1).await;
    let before = world.object()["metadata"]["resourceVersion"].clone();
    world.pass(10).await;
    assert_eq!(
        world.object()["metadata"]["resourceVersion"],
        before,
        "it still writes"
    );
    // Somebody never renews: one of the two comes back.
    soon(&world, "one leads again", FAIL_OVER, |w| leader(w) != "somebody").await;
    world
        .until("completed", |w| w.component("shop").state == State::Completed)
        .await;
}
