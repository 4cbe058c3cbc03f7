//! Freezes, turns and gates with a whole daemon: the switch without a restart, who goes first, who is asked.

use crate::cli_cluster::{Cluster, NAMESPACE};
use crate::support::hook::{Mood, Receiver};
use crate::support::steady::{begin, handles, shop};
use crate::support::world::{NS, World, component, percent, rollout, virtual_service};
use gradual_rollout::clock::Clock;
use gradual_rollout::engine::Limits;
use gradual_rollout::probe::{Allowed, GateQuestion, HookFailure, Hooks};
use gradual_rollout::rollout::gate_spec::HttpGate;
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::rollout::status::GradualRolloutStatus;
use gradual_rollout::sandbox::apiserver::Store;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const SWITCH: &str = "gradual-rollout-freeze";

pub(crate) fn freeze(store: &Store, data: &Value) {
    store
        .put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SWITCH, "namespace": NS}, "data": data}))
        .unwrap();
}

pub(crate) fn status_of(world: &World, name: &str) -> GradualRolloutStatus {
    serde_json::from_value(world.rollout(name)["status"].clone()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn the_switch_freezes_without_a_restart_and_a_canary_that_fails_goes_back_all_the_same() {
    let mut world = World::with(&["shop", "blog"]);
    world.until("5%", |w| w.weight("shop") == 5).await;
    freeze(&world.store, &json!({"reason": "quarter end", "who": "ada"}));
    world
        .until("it is said", |w| {
            w.status()
                .frozen
                .is_some_and(|said| said.contains("by ada") && said.contains("quarter end"))
        })
        .await;
    world.pass(3600).await;
    assert_eq!(
        (world.weight("shop"), world.weight("blog")),
        (5, 5),
        "an hour, frozen"
    );
    world.kill().await;
    world.start("daemon-2");
    world.pass(3600).await;
    assert_eq!(
        world.weight("shop"),
        5,
        "another daemon reads the switch before it raises"
    );
    world.traffic.fail("shop");
    world.until("back", |w| w.weight("shop") == 0).await;
    freeze(&world.store, &json!({}));
    world.until("blog goes on", |w| w.weight("blog") == 25).await;
    assert_eq!(world.status().frozen, None);
    let end = world.clock.now() + Duration::from_secs(1800);
    freeze(&world.store, &json!({"until": end.to_string()}));
    world.pass(60).await;
    let stands = world.weight("blog");
    world.until("its end", |w| w.clock.now() >= end).await;
    assert_eq!(world.weight("blog"), stands, "until its end");
    world
        .until("it ends by itself", |w| w.weight("blog") > stands)
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_two_rollouts_one_begins_and_the_other_waits_for_its_end_over_a_change_of_daemons() {
    let mut world = World::new();
    world.limits = Limits {
        concurrent: Some(1),
        ..Limits::default()
    };
    for name in ["first", "second"] {
        world.store.put(virtual_service(&format!("{name}-app"))).unwrap();
        world.store.put(rollout(name, &[&format!("{name}-app")])).unwrap();
        if name == "first" {
            world.start("daemon-1");
            world
                .until("the first runs", |w| w.weight("first-app") == 5)
                .await;
        }
    }
    world
        .until("the second waits and says for whom", |w| {
            let status = status_of(w, "second");
            let c = status.component("second-app").cloned().unwrap_or_default();
            c.reason == Reason::WaitingForTurn && c.message.contains("running: first")
        })
        .await;
    world.kill().await;
    world.start("daemon-2");
    while status_of(&world, "first")
        .component("first-app")
        .is_none_or(|c| c.state != State::Completed)
    {
        assert_eq!(world.weight("second-app"), 0, "both run");
        world.pass(10).await;
    }
    world
        .until("then it begins", |w| w.weight("second-app") == 5)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_goes_after_another_waits_until_that_one_is_so_far_and_says_how_far_it_is() {
    let mut world = World::new();
    for name in ["base", "top"] {
        world.store.put(virtual_service(&format!("{name}-app"))).unwrap();
        let mut resource = rollout(name, &[&format!("{name}-app")]);
        if name == "top" {
            let gate = json!([{"rollout": {"name": "base", "is": "AtLeast", "weight": "50%"}}]);
            resource["spec"]["steps"][0]["requires"] = gate;
        }
        world.store.put(resource).unwrap();
    }
    world.start("daemon-1");
    world
        .until("it says so", |w| {
            let status = status_of(w, "top");
            let c = status.component("top-app").cloned().unwrap_or_default();
            c.reason == Reason::WaitingForRollout && c.message.contains("base-app is at 25%")
        })
        .await;
    world.until("base at 50%", |w| w.weight("base-app") == 50).await;
    assert_eq!(world.weight("top-app"), 0);
    world.until("top begins", |w| w.weight("top-app") == 5).await;
    let status = status_of(&world, "base");
    assert!(status.component("base-app").unwrap().weight.written >= percent(50));
}

const KEY: &str = "correct horse battery staple";

pub(crate) fn hooks(key: &tempfile::NamedTempFile, allow: &str) -> Hooks {
    std::fs::write(key.path(), KEY).unwrap();
    let allowed = Allowed::new([allow.to_owned()]).unwrap();
    Hooks::new(allowed, Some(key.path().to_owned()), Clock::System).unwrap()
}

#[tokio::test]
async fn an_address_is_asked_signed_and_only_what_says_yes_opens() {
    let (mut tasks, key) = (JoinSet::new(), tempfile::NamedTempFile::new().unwrap());
    let receiver = Receiver::start(KEY, &mut tasks).await;
    let question = GateQuestion {
        namespace: NS.into(),
        rollout: "demo".into(),
        component: "shop".into(),
        phase: "cutover".into(),
        weight: percent(90),
    };
    let mut gate: HttpGate =
        serde_json::from_value(json!({"url": receiver.url, "timeout": "500ms"})).unwrap();
    let asks = hooks(&key, "127.0.0.1");
    assert!(asks.ask_gate(&gate, &question).await.unwrap().open);
    assert_eq!(receiver.unsigned(), 0, "the signature covers path and query");
    gate.expect = Some("approved".into());
    let answer = asks.ask_gate(&gate, &question).await.unwrap();
    assert!(
        !answer.open && answer.says.contains("without \"approved\""),
        "{}",
        answer.says
    );
    receiver.mood(Mood::Redirecting);
    let before = receiver.asked();
    let answer = asks.ask_gate(&gate, &question).await.unwrap();
    assert!(!answer.open && answer.says.contains("302"), "{}", answer.says);
    assert_eq!(receiver.asked(), before + 1, "a redirect is not followed");
    for (mood, says) in [
        (Mood::Failing, "status 500"),
        (Mood::Hanging, "no answer in time"),
        (Mood::Endless, "longer than"),
    ] {
        receiver.mood(mood);
        let failure = asks.ask_gate(&gate, &question).await.unwrap_err();
        assert!(matches!(failure, HookFailure::Failed(_)), "{mood:?}: {failure}");
        assert!(failure.to_string().contains(says), "{mood:?}: {failure}");
    }
    let asked = receiver.asked();
    let refused = hooks(&key, "elsewhere.example.com")
        .ask_gate(&gate, &question)
        .await
        .unwrap_err();
    assert!(
        refused.is_refused() && refused.to_string().contains("hooks.allow"),
        "{refused}"
    );
    assert_eq!(receiver.asked(), asked, "nothing was sent");
}

#[tokio::test]
async fn an_address_that_is_down_holds_the_step_and_its_yes_lets_it_go_on() {
    let (mut tasks, key) = (JoinSet::new(), tempfile::NamedTempFile::new().unwrap());
    let receiver = Receiver::start(KEY, &mut tasks).await;
    receiver.mood(Mood::Failing);
    let store = Store::new(Clock::System);
    let mut handles = handles(&store);
    handles.engine.hooks = Some(Arc::new(hooks(&key, "127.0.0.1")));
    let mut shop_component = component("shop");
    shop_component["traffic"] = json!("longLived");
    let gate = json!([{"http": {"url": receiver.url, "retries": 1, "every": "5s"}}]);
    let spec = json!({
        "components": [shop_component],
        "steps": [{"weight": "5%", "hold": "3s"}, {"weight": "25%", "hold": "1h", "requires": gate}],
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
    until("it waits with the answer", &|| {
        let c = shop(&store);
        c.reason == Reason::WaitingForGate && c.message.contains("status 500")
    })
    .await;
    assert_eq!(shop(&store).weight.written, percent(5));
    receiver.mood(Mood::Obliging);
    until("25%", &|| shop(&store).weight.written == percent(25)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freeze_and_unfreeze_write_the_switch_and_say_what_they_did() {
    let cluster = Cluster::start().await;
    let data = || {
        let map = cluster.store.get("configmaps", NAMESPACE, SWITCH);
        map.and_then(|map| map.get("data").cloned()).unwrap_or_default()
    };
    let (code, _, err) = cluster.run(&["freeze"]).await;
    assert_eq!(code, 64, "a freeze needs its reason: {err}");
    let (code, _, err) = cluster
        .run(&["freeze", "--reason", "x", "--until", "2020-01-01T00:00:00Z"])
        .await;
    assert!(code == 64 && err.contains("over already"), "{code} {err}");
    assert_eq!(data(), Value::Null, "nothing was written");
    cluster.lease();
    let (code, out, err) = cluster
        .run(&[
            "freeze",
            "--reason",
            "quarter end",
            "--until",
            "2090-01-01T00:00:00Z",
        ])
        .await;
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("by eve") && out.contains("every lowering still happens"),
        "{out}"
    );
    assert_eq!(data()["reason"], "quarter end");
    let (code, ..) = cluster.run(&["freeze", "--reason", "audit"]).await;
    assert_eq!(
        (code, data()["until"].clone()),
        (0, Value::Null),
        "the newer one stands alone"
    );
    let (code, out, _) = cluster.run(&["unfreeze"]).await;
    assert!(
        code == 0 && out.contains("Lifted") && out.contains("audit"),
        "{out}"
    );
    assert_eq!(data().get("reason"), None);
    let (code, out, _) = cluster.run(&["unfreeze"]).await;
    assert!(code == 0 && out.contains("Nothing was frozen"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_where_no_daemon_looks_says_so_and_where_one_does_and_is_no_success() {
    let cluster = Cluster::start().await;
    cluster.store.namespace("other");
    let data = |namespace: &str| {
        let map = cluster.store.get("configmaps", namespace, SWITCH);
        map.and_then(|map| map.get("data").cloned()).unwrap_or_default()
    };
    // Nobody is there at all: it is written, for whoever begins.
    let (code, out, err) = cluster.run(&["freeze", "--reason", "audit"]).await;
    assert_eq!(code, 4, "{out}{err}");
    assert!(
        out.contains("no daemon that looks at namespace") && !out.contains("Nothing rises"),
        "{out}"
    );
    assert_eq!(data(NAMESPACE)["reason"], "audit");
    cluster.lease();
    let (code, out, err) = cluster.run(&["freeze", "--reason", "audit"]).await;
    assert!(
        code == 0 && out.contains(&format!("configmap {NAMESPACE}/{SWITCH}")),
        "{code} {out}{err}"
    );
    // The daemon looks elsewhere.
    let elsewhere = ["-n", "other", "freeze", "--reason", "quarter end"];
    let (code, out, err) = cluster.run(&elsewhere).await;
    assert_eq!(code, 3, "{out}{err}");
    assert!(err.contains(&format!("write `-n {NAMESPACE}`")), "{err}");
    assert_eq!(data("other"), Value::Null, "nothing was written");
    let (code, _, err) = cluster.run(&["-n", "other", "unfreeze"]).await;
    assert!(code == 3 && err.contains(NAMESPACE), "{code} {err}");
    let (code, out, err) = cluster.run(&[&elsewhere[..], &["--force"][..]].concat()).await;
    assert!(code == 0 && out.contains("configmap other/"), "{code} {out}{err}");
    assert_eq!(data("other")["reason"], "quarter end");
}
