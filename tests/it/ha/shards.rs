//! The work split among daemons: evenly, without a gap and without an overlap.

use super::{Daemon, holder, soon};
use crate::support::world::{NS, World, rollout, virtual_service};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use gradual_rollout::cluster::by_hand::{ByHand, Daemon as Alive};
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::cluster::share::shard_of;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const FAIL_OVER: Duration = Duration::from_secs(15);
const SHARDS: u32 = 4;

fn names() -> Vec<String> {
    (0..8).map(|n| format!("app-{n}")).collect()
}

/// A world of eight rollouts of one component each.
fn world() -> World {
    let mut world = World::new();
    world.shards = SHARDS;
    for name in names() {
        world.store.put(virtual_service(&name)).unwrap();
        let mut object = rollout(&name, &[&name]);
        object["spec"]["steps"] = ["5%", "25%", "50%"]
            .map(|weight| json!({"weight": weight, "hold": "1m"}))
            .into();
        world.store.put(object).unwrap();
    }
    world
}

fn holders(world: &World) -> Vec<String> {
    (0..SHARDS)
        .map(|n| holder(world, &format!("gradual-rollout-{n}")))
        .collect()
}

fn counts(world: &World) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for holder in holders(world).into_iter().filter(|h| !h.is_empty()) {
        *counts.entry(holder).or_default() += 1;
    }
    counts
}

/// Who wrote to which rollout, in order.
type Log = Arc<Mutex<Vec<(String, String)>>>;

fn recorded(world: &World, who: &str, log: &Log) -> Clients {
    let (log, who) = (log.clone(), who.to_owned());
    let record = from_fn(move |request: Request, next: Next| {
        let path = request.uri().path().to_owned();
        let name = path
            .split('/')
            .find(|part| part.starts_with("app-"))
            .map(str::to_owned);
        let writes = request.method() != "GET";
        let log = log.clone();
        let entry = name.filter(|_| writes).map(|name| (name, who.clone()));
        async move {
            let answer = next.run(request).await;
            // What was refused did nothing.
            if let (true, Some(entry)) = (answer.status().is_success(), entry) {
                log.lock().unwrap().push(entry);
            }
            answer
        }
    });
    Clients::from_service(world.store.router().layer(record))
}

fn start(world: &World, who: &str, log: &Log) -> Daemon {
    Daemon::over(world, who, recorded(world, who, log))
}

/// Nobody wrote to a rollout again once another daemon had.
fn assert_no_overlap(log: &Log, when: &str) {
    for (name, who) in turns(log) {
        let mut each = who.clone();
        each.sort_unstable();
        each.dedup();
        assert_eq!(
            each.len(),
            who.len(),
            "{when}: {name} was worked by turns: {who:?}"
        );
    }
}

/// For each rollout the daemons that wrote to it, one after the other, without repetitions in a row.
fn turns(log: &Log) -> BTreeMap<String, Vec<String>> {
    let mut turns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, who) in log.lock().unwrap().iter() {
        let of = turns.entry(name.clone()).or_default();
        if of.last() != Some(who) {
            of.push(who.clone());
        }
    }
    turns
}

#[tokio::test(start_paused = true)]
async fn shards_are_shared_out_evenly_handed_over_without_an_overlap_and_taken_over_without_a_gap() {
    let world = world();
    let log = Log::default();
    let first = start(&world, "first", &log);
    soon(&world, "the first has all", FAIL_OVER, |w| {
        counts(w).get("first") == Some(&4)
    })
    .await;
    world.pass(30).await;
    let second = start(&world, "second", &log);
    let even = |w: &World| counts(w) == BTreeMap::from([("first".to_owned(), 2), ("second".to_owned(), 2)]);
    soon(&world, "two each", FAIL_OVER, even).await;
    // Until everybody has written since.
    let handed_over = |log: &Log, to: &str| {
        turns(log)
            .values()
            .any(|who| who.len() > 1 && who.last().is_some_and(|last| last == to))
    };
    soon(
        &world,
        "the second works what it was given",
        Duration::from_secs(300),
        |_| handed_over(&log, "second"),
    )
    .await;
    assert_no_overlap(&log, "to the second");
    let third = start(&world, "third", &log);
    soon(&world, "2, 1 and 1", FAIL_OVER, |w| {
        let counts = counts(w);
        counts.len() == 3 && counts.values().sum::<usize>() == 4
    })
    .await;
    // Everything is worked, by whoever holds its shard, and goes on to be.
    world
        .until("25% everywhere", |w| {
            names().iter().all(|name| w.weight(name) == 25)
        })
        .await;
    let settled = holders(&world);
    assert!(handed_over(&log, "third"), "{:?}", turns(&log));
    assert_no_overlap(&log, "to the third");
    log.lock().unwrap().clear();
    world
        .until("50% everywhere", |w| {
            names().iter().all(|name| w.weight(name) == 50)
        })
        .await;
    assert_eq!(holders(&world), settled, "what is even stays where it is");
    for (name, who) in turns(&log) {
        let shard = usize::try_from(shard_of(NS, &name, SHARDS)).unwrap();
        assert_eq!(who, [settled[shard].clone()], "{name}");
    }
    // One dies, another leaves: what they had goes on.
    log.lock().unwrap().clear();
    first.kill().await;
    soon(&world, "nobody misses the first", FAIL_OVER, |w| {
        !counts(w).contains_key("first") && counts(w).values().sum::<usize>() == 4
    })
    .await;
    second.tell_to_stop();
    soon(&world, "the third has all", Duration::from_secs(2), |w| {
        counts(w).get("third") == Some(&4)
    })
    .await;
    for name in names() {
        let key = "rollout.sealos.io/command.rollback.01ARZ3NDEKTSV4RRFFQ69G5FAV";
        let mut object = world.rollout(&name);
        object["metadata"]["annotations"][key] =
            json!(json!({"components": [name], "who": "ada"}).to_string());
        world.store.put(object).unwrap();
    }
    soon(&world, "all are back", Duration::from_secs(2), |w| {
        names().iter().all(|name| w.weight(name) == 0)
    })
    .await;
    assert_no_overlap(&log, "to whoever is left");
    drop(third);
}

#[tokio::test(start_paused = true)]
async fn of_two_resources_that_route_one_object_the_older_owns_it_whoever_works_them() {
    // Two names in two shards.
    let names: Vec<String> = (0..2)
        .map(|shard| {
            (0..1000)
                .map(|n| format!("demo-{n}"))
                .find(|name| shard_of(NS, name, 2) == shard)
                .unwrap()
        })
        .collect();
    for (older, younger) in [(&names[0], &names[1]), (&names[1], &names[0])] {
        let mut world = World::new();
        world.shards = 2;
        world.store.put(virtual_service("shop")).unwrap();
        world.store.put(rollout(older, &["shop"])).unwrap();
        let _one = Daemon::start(&world, "one");
        soon(&world, "one leads", FAIL_OVER, |w| {
            holder(w, "gradual-rollout-1") == "one"
        })
        .await;
        let _two = Daemon::start(&world, "two");
        soon(&world, "each has one", FAIL_OVER, |w| {
            holder(w, "gradual-rollout-0") != holder(w, "gradual-rollout-1")
        })
        .await;
        world.pass(2).await;
        world.store.put(rollout(younger, &["shop"])).unwrap();
        let stalled = |w: &World| {
            let object = w.rollout(younger);
            let conditions = object["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            conditions
                .iter()
                .any(|c| c["type"] == "Stalled" && c["reason"] == "Claimed")
        };
        soon(&world, "the younger is told", FAIL_OVER, stalled).await;
        world.until("the older goes on", |w| w.weight("shop") == 25).await;
        assert!(stalled(&world));
        world
            .store
            .delete("gradualrollouts.rollout.sealos.io", NS, older)
            .unwrap();
        let takes = |w: &World| {
            let written = w
                .rollout(younger)
                .pointer("/status/components/0/weight/written")
                .cloned();
            written.is_some_and(|w: Value| !w.is_null())
        };
        world.until("the younger takes over", takes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_was_told_another_number_of_shards_leads_only_when_the_others_are_gone() {
    for (theirs, ours) in [(2, 3), (3, 2), (1, 2), (2, 1)] {
        let names = |shards: u32| gradual_rollout::cluster::lease::names("gradual-rollout", shards);
        let mut world = world();
        world.shards = theirs;
        let first = Daemon::start(&world, "first");
        let all = |w: &World, shards: u32, who: &str| names(shards).iter().all(|name| holder(w, name) == who);
        soon(&world, "the first leads", FAIL_OVER, |w| all(w, theirs, "first")).await;
        world.shards = ours;
        let _second = Daemon::start(&world, "second");
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(all(&world, theirs, "first"), "{theirs} and {ours}");
            let none = names(ours).iter().all(|name| holder(&world, name) != "second");
            assert!(
                none,
                "{theirs} and {ours}: two daemons split the work differently"
            );
        }
        first.tell_to_stop();
        soon(&world, "the second leads", FAIL_OVER, |w| all(w, ours, "second")).await;
        let hand = ByHand::new(Clients::from_service(world.store.router()).fast);
        let found = hand
            .daemon_in(&[NS], "gradual-rollout", world.clock.now())
            .await
            .unwrap();
        assert_eq!(
            found,
            Alive::Alive {
                holder: "second".into()
            },
            "{theirs} to {ours}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn after_everybody_was_killed_another_number_of_shards_is_waited_for_no_longer_than_one_lease() {
    for (theirs, ours) in [(2, 3), (3, 2), (1, 3), (4, 1)] {
        let names = |shards: u32| gradual_rollout::cluster::lease::names("gradual-rollout", shards);
        let all = |w: &World, shards: u32, who: &str| names(shards).iter().all(|name| holder(w, name) == who);
        let mut world = world();
        world.shards = theirs;
        let first = Daemon::start(&world, "first");
        soon(&world, "the first leads", FAIL_OVER, |w| all(w, theirs, "first")).await;
        first.kill().await;
        world.shards = ours;
        let _second = Daemon::start(&world, "second");
        let took = soon(&world, "the second leads", FAIL_OVER * 5, |w| {
            all(w, ours, "second")
        })
        .await;
        // The Lease's 12 s, and a look at the number of shards every 3 s.
        assert!(took <= Duration::from_secs(16), "{theirs} to {ours}: {took:?}");
        eprintln!("killed at {theirs} shards, started with {ours}: all held after {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whether_a_daemon_is_alive_is_asked_of_every_shards_lease() {
    let world = world();
    let hand = ByHand::new(Clients::from_service(world.store.router()).fast);
    let ask = async || {
        hand.daemon_in(&[NS], "gradual-rollout", world.clock.now())
            .await
            .unwrap()
    };
    assert!(matches!(ask().await, Alive::Silent { .. }));
    let first = Daemon::start(&world, "first");
    let second = Daemon::start(&world, "second");
    soon(&world, "two each", Duration::from_secs(60), |w| {
        counts(w).values().copied().collect::<Vec<_>>() == [2, 2]
    })
    .await;
    assert_eq!(
        ask().await,
        Alive::Alive {
            holder: "first, second".into()
        }
    );
    let left = holders(&world);
    first.kill().await;
    world.pass(30).await;
    assert_eq!(
        ask().await,
        Alive::Alive {
            holder: "second".into()
        },
        "{left:?}"
    );
    second.kill().await;
    world.pass(30).await;
    let Alive::Silent { message } = ask().await else {
        panic!("nobody lives")
    };
    for shard in 0..SHARDS {
        assert!(message.contains(&format!("gradual-rollout-{shard}")), "{message}");
    }
}

/// Two names whose rollouts are in two shards of two.
fn in_two_shards(prefix: &str) -> Vec<String> {
    let of = |shard| {
        let names = (0..1000).map(|n| format!("{prefix}-{n}"));
        names
            .into_iter()
            .find(|name| shard_of(NS, name, 2) == shard)
            .unwrap()
    };
    vec![of(0), of(1)]
}

/// Two daemons with a shard each.
async fn one_shard_each(world: &World) -> [Daemon; 2] {
    let one = Daemon::start(world, "one");
    soon(world, "one leads", FAIL_OVER, |w| {
        holder(w, "gradual-rollout-1") == "one"
    })
    .await;
    let two = Daemon::start(world, "two");
    soon(world, "each has one", FAIL_OVER, |w| {
        holder(w, "gradual-rollout-0") != holder(w, "gradual-rollout-1")
    })
    .await;
    world.pass(2).await;
    [one, two]
}

#[tokio::test(start_paused = true)]
async fn a_limit_holds_over_all_shards_whoever_begins_at_the_same_moment() {
    let mut world = World::new();
    world.shards = 2;
    world.limits.concurrent = Some(1);
    let _daemons = one_shard_each(&world).await;
    let names = in_two_shards("demo");
    for name in &names {
        world.store.put(virtual_service(name)).unwrap();
        world.store.put(rollout(name, &[name])).unwrap();
    }
    let state = |name: &str| world.rollout(name)["status"]["components"][0]["state"].clone();
    let mut waited = false;
    for _ in 0..7200 {
        let running: Vec<&String> = names
            .iter()
            .filter(|name| world.weight(name) > 0 && state(name) != "Completed")
            .collect();
        assert!(
            running.len() <= 1,
            "{running:?} run at once: {:#} {:#}",
            world.rollout(&names[0])["status"],
            world.rollout(&names[1])["status"]
        );
        waited |= names
            .iter()
            .any(|name| world.rollout(name).to_string().contains("running: "));
        if names.iter().all(|name| state(name) == "Completed") {
            assert!(waited, "one said for whom it waits");
            return;
        }
        world.pass(10).await;
    }
    panic!("both were to end: {:#}", world.rollout(&names[1]));
}

#[tokio::test(start_paused = true)]
async fn a_rollout_goes_after_one_that_another_daemon_works() {
    let mut world = World::new();
    world.shards = 2;
    let _daemons = one_shard_each(&world).await;
    let names = in_two_shards("demo");
    let (base, top) = (&names[0], &names[1]);
    for name in &names {
        world.store.put(virtual_service(name)).unwrap();
        let mut resource = rollout(name, &[name]);
        if name == top {
            let gate = json!([{"rollout": {"name": base, "is": "AtLeast", "weight": "50%"}}]);
            resource["spec"]["steps"][0]["requires"] = gate;
        }
        world.store.put(resource).unwrap();
    }
    world
        .until("it says how far the other is", |w| {
            w.rollout(top).to_string().contains(&format!("{base} is at 25%"))
        })
        .await;
    world.until("the other at 50%", |w| w.weight(base) == 50).await;
    assert_eq!(world.weight(top), 0);
    world.until("it begins", |w| w.weight(top) == 5).await;
}

/// Connections on which everything about Leases takes a while, so that a hand-over can be watched.
fn slow(world: &World) -> Clients {
    let wait = from_fn(async move |request: Request, next: Next| {
        if request.uri().path().contains("/leases/") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        next.run(request).await
    });
    Clients::from_service(world.store.router().layer(wait))
}

/// Who dies while a shard is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dies {
    Nobody,
    Giver,
    Asker,
}

#[tokio::test(start_paused = true)]
async fn what_fails_while_its_shard_is_handed_over_goes_back_whoever_dies_meanwhile() {
    for dies in [Dies::Nobody, Dies::Giver, Dies::Asker] {
        let world = world();
        for name in names() {
            let mut object = world.rollout(&name);
            object["spec"]["judge"] = json!({"interval": "10s", "settle": "10s"});
            object["spec"]["steps"][1]["hold"] = json!("10m");
            world.store.put(object).unwrap();
        }
        let giver = Daemon::over(&world, "giver", slow(&world));
        world
            .until("25% everywhere", |w| {
                names().iter().all(|name| w.weight(name) == 25)
            })
            .await;
        world.pass(30).await;
        let asker = Daemon::over(&world, "asker", slow(&world));
        let asked = |w: &World| {
            (0..SHARDS).any(|n| {
                let lease = w
                    .store
                    .get("leases.coordination.k8s.io", NS, &format!("gradual-rollout-{n}"));
                lease.is_some_and(|lease| lease["metadata"]["annotations"].to_string().contains("asked-by"))
            })
        };
        soon(&world, "it is asked for a shard", FAIL_OVER, asked).await;
        for name in names() {
            world.traffic.fail(&name);
        }
        let mut limit = Duration::from_secs(31);
        let mut left = vec![giver, asker];
        if dies != Dies::Nobody {
            let gone = left.remove(usize::from(dies == Dies::Asker));
            gone.kill().await;
            limit += FAIL_OVER;
        }
        let all_back = |w: &World| names().iter().all(|name| w.weight(name) == 0);
        let took = soon(&world, &format!("{dies:?} dies, all are back"), limit, all_back).await;
        eprintln!("{dies:?} dies: all are back after {took:?}");
        if dies == Dies::Nobody {
            soon(&world, "two each", FAIL_OVER, |w| {
                counts(w).values().copied().collect::<Vec<_>>() == [2, 2]
            })
            .await;
        }
    }
}
