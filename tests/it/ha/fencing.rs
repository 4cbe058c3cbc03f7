//! A leader that is cut off in the middle of a raise, at each of its calls, and comes back when another one leads. The
//! call that was held arrives late, as it would from a process that was stopped with the request half sent.

use super::gate::Gate;
use super::{Daemon, leader, soon};
use crate::support::world::{NS, World, main_route, rollout, virtual_service};
use gradual_rollout::rollout::reason::State;
use gradual_rollout::sandbox::apiserver::Store;
use serde_json::{Value, json};
use std::time::Duration;

const FAIL_OVER: Duration = Duration::from_secs(15);

/// What is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raise {
    /// From 5% to 25%.
    Further,
    /// From 0%.
    First,
    /// From 0%, where the routed object has to be made.
    Made,
}

/// What the daemon that takes over does before the late call arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    /// It leads.
    Leads,
    /// A person had it roll back.
    RollsBack,
}

const COMPONENT: &str = "shop";

/// The canary's share in permille, whatever the router.
fn share(world: &World, raise: Raise) -> u64 {
    share_in(&world.store, raise)
}

/// The same, in any store.
pub(super) fn share_in(store: &Store, raise: Raise) -> u64 {
    if raise != Raise::Made {
        let vs = store.get("virtualservices.networking.istio.io", NS, COMPONENT);
        return main_route(&vs.unwrap())["route"][1]["weight"].as_u64().unwrap() * 10;
    }
    let ours = store.list("ingresses.networking.k8s.io");
    let weights = ours
        .iter()
        .filter(|i| i["metadata"]["labels"]["rollout.sealos.io/component"] == COMPONENT)
        .map(|i| {
            let weight = &i["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"];
            weight
                .as_str()
                .and_then(|w| w.parse::<u64>().ok())
                .unwrap_or_default()
        });
    // Of 1,000 in all.
    weights.max().unwrap_or_default()
}

/// The same plan over canary Ingresses that are made by the first raise.
fn made() -> Vec<Value> {
    let arm =
        |canary: &str| json!({"preset": "ingress-nginx", "labels": {"ingress": "shop", "canary": canary}});
    let mut demo = rollout("demo", &[]);
    demo["spec"]["components"] = json!([{"name": COMPONENT, "routers": [{"ingressNginx": {
        "ingresses": {"matchLabels": {"app": COMPONENT}},
        "gateway": {"namespace": "istio-system", "service": "istio-ingressgateway", "port": 8081, "name": "istio-system/split"}}}],
        "arms": {"canary": arm("~.+"), "control": arm("")}}]);
    vec![
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
            "spec": {"selector": {"istio": "ingressgateway"}, "ports": [{"name": "split", "port": 8081, "targetPort": 8081}]}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "one", "namespace": NS, "labels": {"app": COMPONENT}},
            "spec": {"ingressClassName": "nginx", "rules": [{"host": "one.example.com", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "one", "port": {"number": 80}}}}]}}]}}),
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "one", "namespace": NS},
            "spec": {"hosts": ["one.example.com"], "gateways": ["istio-system/split"],
                "http": [{"route": [{"destination": {"host": "one"}}]}]}}),
        demo,
    ]
}

fn world(raise: Raise) -> World {
    let world = World::new();
    world.store.namespace("istio-system");
    for object in furniture(raise) {
        world.store.put(object).unwrap();
    }
    world
}

/// What is in the cluster.
pub(super) fn furniture(raise: Raise) -> Vec<Value> {
    match raise {
        Raise::Made => made(),
        Raise::First | Raise::Further => vec![virtual_service(COMPONENT), rollout("demo", &[COMPONENT])],
    }
}

/// Cuts the first leader off at a call of its raise. What was held, or nothing when the raise has no such call.
async fn cut_off_at(number: usize, raise: Raise, meanwhile: Meanwhile) -> Option<String> {
    let world = world(raise);
    let gate = Gate::new();
    let _first = Daemon::over(&world, "first", gate.clients(&world));
    soon(&world, "the first leads", FAIL_OVER, |w| leader(w) == "first").await;
    let _second = Daemon::start(&world, "second");
    let (before, after) = match raise {
        Raise::Further => (50, 250),
        Raise::First | Raise::Made => (0, 50),
    };
    if raise == Raise::Further {
        world.until("5%", |w| share(w, raise) == 50).await;
        world.pass(280).await;
    }
    gate.arm(number);
    // Until the call is held, or the raise is over without it.
    let mut over = 0;
    while gate.held().is_none() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let c = world.component(COMPONENT);
        if u64::from(c.weight.written.permille()) >= after && c.intent.is_none() {
            over += 1;
            // Two status writes more are part of it: what was read back, and what is judged from there on.
            if over > 200 {
                return None;
            }
        }
    }
    let call = gate.held().unwrap();
    soon(
        &world,
        "the second leads",
        FAIL_OVER + Duration::from_secs(1),
        |w| leader(w) == "second",
    )
    .await;
    if meanwhile == Meanwhile::RollsBack {
        world.say("rollback", json!({"components": [COMPONENT], "who": "ada"}));
        soon(&world, "back", Duration::from_secs(10), |w| {
            share(w, raise) == 0 && w.component(COMPONENT).state == State::RolledBack
        })
        .await;
    }
    // What the new leader has declared is the most that may be.
    let status = world.object()["status"].clone();
    let declared = |w: &World| {
        let c = w.component(COMPONENT);
        u64::from(c.weight.written.max(c.weight.asked).permille())
    };
    gate.open();
    let place = format!("{raise:?}, {meanwhile:?}, call {number}: {call}");
    for _ in 0..400 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (share, most) = (share(&world, raise), declared(&world));
        assert!(share <= most, "{place}: {share} is written, {most} is declared");
        assert_eq!(leader(&world), "second", "{place}");
    }
    match meanwhile {
        Meanwhile::RollsBack => {
            assert_eq!(
                share(&world, raise),
                0,
                "{place}: a raise landed after the rollback"
            );
            let c = world.component(COMPONENT);
            assert_eq!(c.state, State::RolledBack, "{place}: the status was overwritten");
            assert_eq!(c.intent, None, "{place}");
            let history = |status: &Value| status["components"][0]["history"].clone();
            assert_eq!(history(&world.object()["status"]), history(&status), "{place}");
        }
        Meanwhile::Leads => {
            assert!(share(&world, raise) >= before, "{place}");
            world
                .until("completed", |w| w.component(COMPONENT).state == State::Completed)
                .await;
            let c = world.component(COMPONENT);
            let walked: Vec<u16> = c.history.iter().map(|h| h.to.permille()).collect();
            assert_eq!(
                walked,
                [50, 250, 500, 750, 1000],
                "{place}: no step is skipped, none is taken twice"
            );
        }
    }
    Some(call)
}

/// Every call of a raise; each must be seen to be held.
async fn at_every_call(raise: Raise, meanwhile: Meanwhile, expected: &[&str]) {
    let mut calls = Vec::new();
    while let Some(call) = cut_off_at(calls.len(), raise, meanwhile).await {
        calls.push(call);
        assert!(calls.len() < 60, "it never ends: {calls:#?}");
    }
    eprintln!("{raise:?}, {meanwhile:?}: {} calls\n{calls:#?}", calls.len());
    for what in expected {
        assert!(
            calls.iter().any(|call| call.contains(what)),
            "no call like {what} was held: {calls:#?}"
        );
    }
}

const READ: &str = "GET /apis/networking.istio.io/v1/namespaces/sealos-system/virtualservices/shop";
const DECLARE: &str =
    "PATCH /apis/rollout.sealos.io/v1alpha1/namespaces/sealos-system/gradualrollouts/demo/status";
const WRITE: &str = "PATCH /apis/networking.istio.io/v1/namespaces/sealos-system/virtualservices/shop";

#[tokio::test(start_paused = true)]
async fn cut_off_at_any_call_of_a_raise_it_lifts_nothing_above_what_its_successor_has_declared() {
    at_every_call(Raise::Further, Meanwhile::Leads, &[READ, DECLARE, WRITE]).await;
}

#[tokio::test(start_paused = true)]
async fn cut_off_at_any_call_of_a_raise_it_undoes_no_rollback_of_its_successor() {
    at_every_call(Raise::Further, Meanwhile::RollsBack, &[READ, DECLARE, WRITE]).await;
}

#[tokio::test(start_paused = true)]
async fn a_first_raise_that_arrives_late_undoes_no_rollback_although_the_weight_was_0_all_the_time() {
    at_every_call(Raise::First, Meanwhile::RollsBack, &[READ, DECLARE, WRITE]).await;
}

#[tokio::test(start_paused = true)]
async fn a_raise_that_makes_its_object_undoes_no_rollback_either() {
    let made = [
        "POST /apis/networking.k8s.io/v1/namespaces/sealos-system/ingresses",
        "PATCH /apis/networking.k8s.io/v1",
    ];
    at_every_call(Raise::Made, Meanwhile::RollsBack, &made).await;
}
