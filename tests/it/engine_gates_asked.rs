//! What gates and freezes rest on that is outside: other namespaces, the settings, a switch that cannot be read, addresses.

use crate::engine_gates::{freeze, hooks, status_of};
use crate::support::steady::{begin, handles, shop};
use crate::support::world::{NS, World, component, percent, rollout, virtual_service};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use gradual_rollout::clock::Clock;
use gradual_rollout::engine::Freeze;
use gradual_rollout::rollout::reason::Reason;
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault, Store};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A rollout `top` whose first step requires another one.
fn behind(world: &World, gate: &Value) {
    world.store.put(virtual_service("top-app")).unwrap();
    let mut top = rollout("top", &["top-app"]);
    top["spec"]["steps"][0]["requires"] = json!([{ "rollout": gate }]);
    world.store.put(top).unwrap();
}

fn says(world: &World) -> String {
    let status = status_of(world, "top");
    let c = status.component("top-app").cloned().unwrap_or_default();
    if c.reason == Reason::WaitingForRollout {
        c.message
    } else {
        String::new()
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_of_another_namespace_is_looked_at_only_with_the_operators_leave() {
    for allowed in [false, true] {
        let mut world = World::new();
        world.store.namespace("others");
        let mut base = rollout("base", &["base-app"]);
        base["metadata"]["namespace"] = json!("others");
        world.store.put(base).unwrap();
        behind(
            &world,
            &json!({"namespace": "others", "name": "base", "is": "Completed"}),
        );
        if allowed {
            world.foreign_namespaces = vec!["others".into()];
        }
        world.start("daemon-1");
        let expected = if allowed {
            "base-app is at 0%"
        } else {
            "watch.foreign_namespaces"
        };
        world.until("it says why", |w| says(w).contains(expected)).await;
        assert_eq!(says(&world).contains("watch.foreign_namespaces"), !allowed);
        world.pass(1200).await;
        assert_eq!(world.weight("top-app"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_requires_all_of_itself_says_that_it_waits_for_ever_and_stays_a_rollout() {
    let mut world = World::new();
    behind(&world, &json!({"name": "top", "is": "Completed"}));
    world.start("daemon-1");
    world
        .until("it says so", |w| {
            says(w).contains("it waits for itself, and would for ever")
        })
        .await;
    let status = status_of(&world, "top");
    assert_ne!(
        status.condition("Ready").unwrap().reason,
        "InvalidSpec",
        "a slip in a gate of the last phase takes no raise from the first"
    );
}

#[tokio::test(start_paused = true)]
async fn rollouts_that_wait_for_each_other_say_so_with_the_whole_ring_until_one_is_edited() {
    let mut world = World::new();
    behind(&world, &json!({"name": "base", "is": "Completed"}));
    world.store.put(virtual_service("base-app")).unwrap();
    let mut base = rollout("base", &["base-app"]);
    base["spec"]["steps"][1]["requires"] =
        json!([{"rollout": {"name": "top", "component": "top-app", "is": "AtLeast", "weight": "5%"}}]);
    world.store.put(base).unwrap();
    world.start("daemon-1");
    world
        .until("both say so", |w| {
            let other = status_of(w, "base");
            let other = other.component("base-app").cloned().unwrap_or_default();
            [says(w), other.message].iter().all(|said| {
                said.contains("these rollouts wait for each other, and would for ever")
                    && said.contains("/top before steps at 5% requires rollout base to be completed")
                    && said.contains("requires rollout top, component top-app to be at 5% or more")
            })
        })
        .await;
    world.pass(1200).await;
    assert_eq!((world.weight("top-app"), world.weight("base-app")), (0, 5));
    // The gate before base's second step goes.
    let mut base = world.rollout("base");
    base["spec"]["steps"][1]
        .as_object_mut()
        .unwrap()
        .remove("requires");
    world.store.put(base).unwrap();
    world
        .until("it is an ordinary wait", |w| {
            says(w).contains("base-app is at") && !says(w).contains("each other")
        })
        .await;
    world.until("top begins", |w| w.weight("top-app") == 5).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_settings_freeze_does_not_rise_until_its_end() {
    let mut world = World::new();
    let end = world.clock.now() + Duration::from_secs(3600);
    world.freeze = Some(Freeze {
        reason: Some("end of the year".into()),
        until: Some(end),
        who: None,
    });
    world.store.put(virtual_service("shop")).unwrap();
    world.store.put(rollout("demo", &["shop"])).unwrap();
    world.start("daemon-1");
    world
        .until("it is said", |w| {
            let frozen = w.status().frozen.unwrap_or_default();
            frozen.contains("end of the year") && frozen.contains("the daemon's settings")
        })
        .await;
    world.until("its end", |w| w.clock.now() >= end).await;
    assert_eq!(world.weight("shop"), 0, "until its end");
    world.until("then it begins", |w| w.weight("shop") == 5).await;
    assert_eq!(world.status().frozen, None);
}

fn unreadable() -> Fault {
    let no = Failure::new(403, "Forbidden", "configmaps is forbidden");
    Fault::new(Action::Fail(no)).resource("configmaps")
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_was_never_read_raises_nothing_and_says_which_right_is_missing() {
    let mut world = World::new();
    let fault = world.store.inject(unreadable());
    world.store.put(virtual_service("shop")).unwrap();
    world.store.put(rollout("demo", &["shop"])).unwrap();
    world.start("daemon-1");
    world
        .until("it is said", |w| {
            let frozen = w.status().frozen.unwrap_or_default();
            frozen.contains("until it is known") && frozen.contains("deploy/rbac.yaml")
        })
        .await;
    world.pass(3600).await;
    assert_eq!(world.weight("shop"), 0, "an hour");
    world.store.faults().lift(fault);
    world.until("it begins", |w| w.weight("shop") == 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_can_no_longer_be_read_stays_as_last_known_and_that_is_said() {
    let world = World::with(&["shop"]);
    world.until("5%", |w| w.weight("shop") == 5).await;
    freeze(&world.store, &json!({"reason": "quarter end"}));
    world
        .until("frozen", |w| {
            let frozen = w.status().frozen.unwrap_or_default();
            frozen.contains("quarter end") && !frozen.contains("as last known")
        })
        .await;
    let fault = world.store.inject(unreadable());
    world.store.break_watches();
    // Nobody can tell that it was lifted meanwhile.
    freeze(&world.store, &json!({}));
    world
        .until("it is said", |w| {
            let frozen = w.status().frozen.unwrap_or_default();
            frozen.contains("quarter end") && frozen.contains("as last known")
        })
        .await;
    world.pass(3600).await;
    assert_eq!(world.weight("shop"), 5);
    world.store.faults().lift(fault);
    world.until("it goes on", |w| w.weight("shop") == 25).await;
    assert_eq!(world.status().frozen, None);
}

/// What an address was asked, and when.
type Asked = Arc<Mutex<Vec<(Instant, BTreeMap<String, String>)>>>;

/// No answer twice, then a no, then yes.
async fn hesitant(State(asked): State<Asked>, request: Request) -> (StatusCode, &'static str) {
    let query = request.uri().query().unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut asked = asked.lock().unwrap();
    asked.push((Instant::now(), pairs.collect()));
    match asked.len() {
        1 | 2 => (StatusCode::BAD_GATEWAY, "down"),
        3 => (StatusCode::CONFLICT, "not before noon\nmore of it"),
        _ => (StatusCode::OK, "approved"),
    }
}

#[tokio::test]
async fn an_address_is_asked_about_whom_it_concerns_again_at_once_as_often_as_it_says_and_then_as_seldom() {
    let asked = Asked::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/gate", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(hesitant).with_state(asked.clone());
    let (mut tasks, key) = (JoinSet::new(), tempfile::NamedTempFile::new().unwrap());
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let store = Store::new(Clock::System);
    let mut handles = handles(&store);
    handles.engine.hooks = Some(Arc::new(hooks(&key, "127.0.0.1")));
    let mut shop_component = component("shop");
    shop_component["traffic"] = json!("longLived");
    let gate = json!([{"http": {"url": url, "retries": 2, "every": "5s", "expect": "approved"}}]);
    let spec = json!({
        "components": [shop_component],
        "phases": [{"name": "pilot", "steps": [{"weight": "5%", "hold": "1h", "requires": gate}]}],
        "judge": {"interval": "1s", "settle": "1s"},
    });
    begin(&store, &spec, handles, &mut tasks);
    let until = async |what: &str, so: &dyn Fn() -> bool| {
        for _ in 0..2400 {
            if so() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not in time: {what}: {:#?}", shop(&store));
    };
    until("it waits with the first line of the no", &|| {
        let c = shop(&store);
        c.reason == Reason::WaitingForGate
            && c.message.contains("not before noon")
            && !c.message.contains("more of it")
    })
    .await;
    until("5%", &|| shop(&store).weight.written == percent(5)).await;
    let asked = asked.lock().unwrap().clone();
    let about = &asked[0].1;
    let expected = [
        ("namespace", NS),
        ("rollout", "demo"),
        ("component", "shop"),
        ("phase", "pilot"),
        ("weight", "5"),
    ];
    for (name, value) in expected {
        assert_eq!(
            about.get(name).map(String::as_str),
            Some(value),
            "{name}: {about:?}"
        );
    }
    assert!(asked.iter().all(|(_, query)| query == about), "{asked:?}");
    let between: Vec<u128> = asked
        .windows(2)
        .map(|two| two[1].0.duration_since(two[0].0).as_millis())
        .collect();
    let least = [500, 1000, 5000];
    assert!(
        between.len() >= 3 && between.iter().zip(least).all(|(waited, least)| *waited >= least),
        "{between:?}"
    );
}
