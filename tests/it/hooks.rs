//! Weights that are set by requests: a receiver on loopback that behaves, fails, lies, or is set by somebody else.

#![expect(clippy::float_cmp, reason = "weights in percent, as they were sent")]

use crate::cli_cluster::Cluster;
use crate::support::hook::{Mood, Receiver};
use crate::support::steady::{begin, handles, said, shop};
use crate::support::world::{NS, component};
use gradual_rollout::clock::Clock;
use gradual_rollout::probe::{Allowed, HookFailure, HookState, Hooks};
use gradual_rollout::rollout::reason::State;
use gradual_rollout::rollout::router_spec::Hook;
use gradual_rollout::rollout::status::ComponentStatus;
use gradual_rollout::rollout::weight::Weight;
use gradual_rollout::sandbox::apiserver::Store;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const ROLLOUTS: &str = "gradualrollouts.rollout.sealos.io";
const ROUTES: &str = "virtualservices.networking.istio.io";
const KEY: &str = "correct horse battery staple";

fn spec(url: &str) -> Value {
    let mut shop = component("shop");
    shop["routers"] = json!([{"hook": {"url": url}}]);
    shop["traffic"] = json!("longLived");
    json!({
        "components": [shop],
        "steps": [{"weight": "5%", "hold": "3s"}, {"weight": "25%", "hold": "1h"}],
        "judge": {"interval": "1s", "settle": "1s"},
    })
}

struct Scene {
    store: Store,
    receiver: Receiver,
    key: tempfile::NamedTempFile,
    tasks: JoinSet<()>,
}

impl Scene {
    async fn new() -> Self {
        let mut tasks = JoinSet::new();
        let receiver = Receiver::start(KEY, &mut tasks).await;
        let key = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key.path(), format!("{KEY}\n")).unwrap();
        Self {
            store: Store::new(Clock::System),
            receiver,
            key,
            tasks,
        }
    }

    fn hooks(&self, allow: &[&str]) -> Hooks {
        let allowed = Allowed::new(allow.iter().map(|host| (*host).to_owned())).unwrap();
        Hooks::new(allowed, Some(self.key.path().to_owned()), Clock::System).unwrap()
    }

    fn begin(&mut self, allow: &[&str]) {
        let mut handles = handles(&self.store);
        handles.engine.hooks = Some(Arc::new(self.hooks(allow)));
        begin(&self.store, &spec(&self.receiver.url), handles, &mut self.tasks);
    }

    async fn until(&self, what: &str, so: impl Fn(&ComponentStatus, &Receiver) -> bool) -> ComponentStatus {
        for _ in 0..2400 {
            let c = shop(&self.store);
            if so(&c, &self.receiver) {
                return c;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "not in time: {what}\n{:#?}\n{:?}",
            shop(&self.store),
            self.receiver.puts()
        );
    }
}

#[tokio::test]
async fn a_plan_is_walked_by_signed_requests_and_a_raise_of_somebody_else_is_put_back() {
    let mut scene = Scene::new().await;
    scene.begin(&["127.0.0.1"]);
    let c = scene
        .until("25% is set and read back", |c, r| {
            r.weight("shop") == 25.0 && c.weight.observed.is_some_and(|w| w.permille() == 250)
        })
        .await;
    assert_eq!(
        scene.receiver.puts(),
        [5.0, 25.0],
        "each step once, and nothing between"
    );
    assert_eq!(scene.receiver.unsigned(), 0, "every request is signed");
    assert_eq!(c.routers[0].router, "hook");
    scene.receiver.set("shop", 60.0, "somebody");
    scene
        .until("it is put back", |_, r| r.weight("shop") == 25.0)
        .await;
    scene.receiver.set("shop", 10.0, "somebody-else");
    let c = scene
        .until("it is yielded to", |c, _| c.state == State::Drifted)
        .await;
    assert_eq!(scene.receiver.weight("shop"), 10.0, "{c:?}");
}

#[tokio::test]
async fn a_rollback_is_tried_until_the_receiver_takes_it_and_nothing_rises_after() {
    let mut scene = Scene::new().await;
    scene.begin(&["127.0.0.1"]);
    scene.until("it is at 5%", |_, r| r.weight("shop") == 5.0).await;
    scene.receiver.mood(Mood::Failing);
    said(
        &scene.store,
        "rollback",
        &json!({"components": ["shop"], "who": "ada"}),
    );
    let refused = scene.receiver.refused();
    scene
        .until("it is tried again and again", |_, r| r.refused() > refused + 3)
        .await;
    let c = shop(&scene.store);
    assert_ne!(c.state, State::RolledBack, "nobody says done before it is: {c:?}");
    scene.receiver.mood(Mood::Obliging);
    scene
        .until("it is back", |c, r| {
            r.weight("shop") == 0.0 && c.state == State::RolledBack
        })
        .await;
    let puts = scene.receiver.puts();
    let from = puts.iter().position(|w| *w == 0.0).unwrap();
    assert!(puts[from..].iter().all(|w| *w == 0.0), "{puts:?}");
}

#[tokio::test]
async fn a_receiver_that_cannot_say_its_weight_is_put_back_all_the_same_and_done_when_it_says_so() {
    let mut scene = Scene::new().await;
    scene.begin(&["127.0.0.1"]);
    scene
        .until("it is at 5%", |c, r| {
            r.weight("shop") == 5.0 && c.weight.written.permille() == 50
        })
        .await;
    scene.receiver.mood(Mood::Mute);
    // Until nobody knows any more what it said.
    let unread = |c: &ComponentStatus| c.message.contains("500");
    scene.until("it cannot be read", |c, _| unread(c)).await;
    let wish = json!({"components": ["shop"], "who": "ada"});
    said(&scene.store, "rollback", &wish);
    let c = scene.until("0% is set", |_, r| r.weight("shop") == 0.0).await;
    assert_ne!(
        c.state,
        State::RolledBack,
        "nobody says done before it is read: {c:?}"
    );
    scene.receiver.mood(Mood::Obliging);
    scene
        .until("it is back", |c, _| c.state == State::RolledBack)
        .await;
    assert_eq!(scene.receiver.weight("shop"), 0.0);
}

#[tokio::test]
async fn deleted_with_keep_in_the_middle_of_a_raise_every_router_is_where_the_component_stood() {
    let mut scene = Scene::new().await;
    let mut spec = spec(&scene.receiver.url);
    let inside = component("shop")["routers"][0].clone();
    spec["components"][0]["routers"] =
        json!([{"hook": {"url": scene.receiver.url, "timeout": "10s"}}, inside]);
    spec["steps"] = json!([{"weight": "5%", "hold": "1h"}, {"weight": "25%", "hold": "1h"}]);
    spec["onDelete"] = json!("keep");
    let mut handles = handles(&scene.store);
    handles.engine.hooks = Some(Arc::new(scene.hooks(&["127.0.0.1"])));
    begin(&scene.store, &spec, handles, &mut scene.tasks);
    let inside = |store: &Store| {
        let vs = store.get(ROUTES, NS, "shop").unwrap();
        vs["spec"]["http"][0]["route"][1]["weight"].as_f64().unwrap()
    };
    scene
        .until("it is at 5%", |c, r| {
            r.weight("shop") == 5.0 && c.weight.written.permille() == 50
        })
        .await;
    scene.receiver.mood(Mood::Stuck);
    let wish = json!({"components": ["shop"], "who": "ada", "weight": "25%"});
    said(&scene.store, "set", &wish);
    let store = scene.store.clone();
    scene
        .until("inside is at 25%", |_, _| inside(&store) == 25.0)
        .await;
    scene.receiver.mood(Mood::Obliging);
    scene.store.delete(ROLLOUTS, NS, "demo").unwrap();
    for _ in 0..2400 {
        if scene.store.get(ROLLOUTS, NS, "demo").is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(scene.store.get(ROLLOUTS, NS, "demo").is_none(), "it goes");
    assert_eq!((inside(&scene.store), scene.receiver.weight("shop")), (5.0, 5.0));
    let marks = scene.store.get(ROUTES, NS, "shop").unwrap()["metadata"]["annotations"].to_string();
    assert!(!marks.contains("rollout.sealos.io"), "{marks}");
}

#[tokio::test]
async fn a_receiver_that_takes_a_weight_and_says_another_has_not_done_it() {
    let mut scene = Scene::new().await;
    scene.receiver.mood(Mood::Lying);
    scene.begin(&["127.0.0.1"]);
    let c = scene
        .until("it is told", |c, _| c.message.contains("afterwards"))
        .await;
    assert!(
        c.message.contains("says 0% with id none afterwards"),
        "{}",
        c.message
    );
    assert_eq!(c.weight.written, Weight::ZERO);
}

#[tokio::test]
async fn a_host_that_the_operator_does_not_allow_is_never_asked() {
    let mut scene = Scene::new().await;
    scene.begin(&["*"]);
    let c = scene
        .until("it is told", |c, _| c.message.contains("hooks.allow"))
        .await;
    assert!(
        c.message.contains("127.0.0.1 is a loopback address"),
        "{}",
        c.message
    );
    assert_eq!(scene.receiver.asked(), 0);
}

#[tokio::test]
async fn what_is_no_answer_of_a_hook_is_named() {
    let scene = Scene::new().await;
    let hooks = scene.hooks(&["127.0.0.1"]);
    let hook: Hook = serde_json::from_value(json!({"url": scene.receiver.url, "timeout": "1s"})).unwrap();
    for (mood, says) in [
        (Mood::Failing, "status 500"),
        (Mood::Hanging, "no answer in time"),
        (Mood::Garbled, "no answer of a hook"),
        (Mood::Mistaken, "it answers about another"),
        (Mood::Endless, "longer than"),
        (Mood::Finer, "is no percentage"),
        (Mood::Redirecting, "status 302"),
    ] {
        scene.receiver.mood(mood);
        let said = hooks.get(&hook, "shop").await;
        let Err(HookFailure::Failed(why)) = &said else {
            panic!("{mood:?}: {said:?}");
        };
        assert!(why.contains(says), "{mood:?}: {why}");
        assert!(why.contains(&scene.receiver.url), "{mood:?}: {why}");
    }
}

#[tokio::test]
async fn a_write_that_was_decided_on_an_older_one_does_not_land() {
    let scene = Scene::new().await;
    let hooks = scene.hooks(&["127.0.0.1"]);
    let hook: Hook = serde_json::from_value(json!({"url": scene.receiver.url})).unwrap();
    let state = |percent, id: &str| HookState {
        weight: Weight::from_percent(percent).unwrap(),
        id: Some(id.to_owned()),
        reason: None,
    };
    hooks.put(&hook, "shop", &state(5, "a"), None).await.unwrap();
    // A rollback comes between the read and the write of a raise.
    hooks.put(&hook, "shop", &state(0, "b"), Some("a")).await.unwrap();
    let late = hooks.put(&hook, "shop", &state(25, "c"), Some("a")).await;
    assert_eq!(late, Err(HookFailure::Race));
    assert_eq!(scene.receiver.weight("shop"), 0.0);
    hooks.put(&hook, "shop", &state(0, "b"), Some("b")).await.unwrap();
    assert_eq!(scene.receiver.weight("shop"), 0.0, "the same again is harmless");
}

#[tokio::test]
async fn a_first_raise_that_was_given_up_does_not_land_after_the_first_rollback() {
    let scene = Scene::new().await;
    let hooks = scene.hooks(&["127.0.0.1"]);
    let hook: Hook = serde_json::from_value(json!({"url": scene.receiver.url})).unwrap();
    let state = |percent, id: &str| HookState {
        weight: Weight::from_percent(percent).unwrap(),
        id: Some(id.to_owned()),
        reason: None,
    };
    // Both were decided while the hook had no id; the raise was under way the longer.
    hooks.put(&hook, "shop", &state(0, "b"), None).await.unwrap();
    let late = hooks.put(&hook, "shop", &state(5, "a"), None).await;
    assert_eq!(late, Err(HookFailure::Race));
    assert_eq!(scene.receiver.weight("shop"), 0.0);
}

/// A cluster without a daemon whose `shop` is routed by the receiver, and settings that allow it.
async fn deserted(scene: &Scene) -> (Cluster, tempfile::NamedTempFile) {
    let cluster = Cluster::start().await;
    let shop = cluster.store.get(ROLLOUTS, crate::cli_cluster::NAMESPACE, "shop");
    let mut rollout = (*shop.unwrap()).clone();
    rollout["spec"]["components"][0]["routers"] = json!([{"hook": {"url": scene.receiver.url}}]);
    cluster.store.put(rollout).unwrap();
    let settings = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    let text = format!(
        "[hooks]\nallow = [\"127.0.0.1\"]\nkey_file = \"{}\"\n",
        scene.key.path().display()
    );
    std::fs::write(settings.path(), text).unwrap();
    (cluster, settings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_a_hook_that_cannot_be_read_is_set_to_nothing_and_never_called_done() {
    let scene = Scene::new().await;
    let (cluster, settings) = deserted(&scene).await;
    let path = settings.path().to_str().unwrap();
    let dry = ["rollback", "shop", "--dry-run", "--config", path];
    scene.receiver.set("shop", 40.0, "01A");
    scene.receiver.mood(Mood::Mute);
    let (code, out, err) = cluster.run(&dry).await;
    assert!(out.contains("0% would be set unread"), "{code} {out}{err}");
    assert_eq!(scene.receiver.weight("shop"), 40.0, "a dry run sets nothing");
    let back = ["rollback", "shop", "--no-confirm", "--config", path];
    let emergency = [
        "emergency-rollback",
        "--force",
        "--reason",
        "x",
        "--verify",
        "0s",
        "--config",
        path,
    ];
    for command in [&back[..], &emergency[..]] {
        scene.receiver.set("shop", 40.0, "01A");
        scene.receiver.mood(Mood::Mute);
        let (code, out, err) = cluster.run(command).await;
        let told = format!("{out}{err}");
        assert_eq!(scene.receiver.weight("shop"), 0.0, "{command:?}: {told}");
        assert!(matches!(code, 3 | 4), "{command:?}: {code} {told}");
        let said = format!("0% was set and cannot be read back: GET {}", scene.receiver.url);
        assert!(told.contains(&said), "{command:?}: {told}");
        assert!(told.contains("look there whether it is at 0%"), "{told}");
        assert!(!told.contains("not lowered"), "{told}");
    }
    scene.receiver.set("shop", 40.0, "01A");
    scene.receiver.mood(Mood::Failing);
    let (code, out, err) = cluster.run(&back).await;
    let told = format!("{out}{err}");
    assert_eq!(code, 3, "{told}");
    assert!(
        told.contains("not lowered") && told.contains("0% was not set"),
        "{told}"
    );
    // What may be a raise is not set unread.
    scene.receiver.mood(Mood::Mute);
    let set = ["set", "10", "shop", "--force", "--no-confirm", "--config", path];
    let (_, out, err) = cluster.run(&set).await;
    assert_eq!(scene.receiver.weight("shop"), 40.0, "{out}{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_a_rollback_calls_the_hook_from_here_or_says_why_not() {
    let scene = Scene::new().await;
    scene.receiver.set("shop", 40.0, "01A");
    let cluster = Cluster::start().await;
    let name = "gradualrollouts.rollout.sealos.io";
    let mut rollout = (*cluster
        .store
        .get(name, crate::cli_cluster::NAMESPACE, "shop")
        .unwrap())
    .clone();
    rollout["spec"]["components"][0]["routers"] = json!([{"hook": {"url": scene.receiver.url}}]);
    cluster.store.put(rollout).unwrap();
    let (code, out, err) = cluster.run(&["rollback", "shop", "--no-confirm"]).await;
    assert_eq!(code, 3, "{out}{err}");
    assert!(
        format!("{out}{err}").contains("the operator allows no hooks"),
        "{out}{err}"
    );
    assert_eq!(scene.receiver.weight("shop"), 40.0);
    let settings = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    let text = format!(
        "[hooks]\nallow = [\"127.0.0.1\"]\nkey_file = \"{}\"\n",
        scene.key.path().display()
    );
    std::fs::write(settings.path(), text).unwrap();
    let path = settings.path().to_str().unwrap();
    let (code, out, err) = cluster
        .run(&["rollback", "shop", "--no-confirm", "--config", path])
        .await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(scene.receiver.weight("shop"), 0.0);
    assert_eq!(scene.receiver.unsigned(), 0);
}
