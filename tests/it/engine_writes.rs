//! Every write that the product makes: by whom, and on what condition.

use crate::support::world::{NS, World, component, rollout, virtual_service};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use gradual_rollout::cluster::by_hand::ByHand;
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::rollout::command::{Command, Verb, Wish};
use gradual_rollout::rollout::spec::Component;
use gradual_rollout::routing::{Stamp, WriteMode, targets};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

#[derive(Clone, Debug)]
struct Write {
    method: String,
    path: String,
    query: String,
    form: String,
    body: Value,
}

type Log = Arc<Mutex<Vec<Write>>>;

/// Connections to a store that write down every request that is no read.
fn recorded(world: &World, log: &Log) -> Clients {
    let log = log.clone();
    let record = from_fn(move |request: Request, next: Next| {
        let log = log.clone();
        async move {
            let (parts, body) = request.into_parts();
            let bytes = to_bytes(body, usize::MAX).await.unwrap();
            if !["GET", "HEAD"].contains(&parts.method.as_str()) {
                let form = parts.headers.get("content-type").and_then(|v| v.to_str().ok());
                log.lock().unwrap().push(Write {
                    method: parts.method.to_string(),
                    path: parts.uri.path().to_owned(),
                    query: parts.uri.query().unwrap_or_default().to_owned(),
                    form: form.unwrap_or_default().to_owned(),
                    body: serde_json::from_slice(&bytes).unwrap_or_default(),
                });
            }
            next.run(Request::from_parts(parts, Body::from(bytes))).await
        }
    });
    Clients::from_service(world.store.router().layer(record))
}

/// What a write is, and what is wrong with it.
fn judge(write: &Write) -> (String, Option<String>) {
    let names: Vec<&str> = write.path.split('/').collect();
    let at = names.iter().position(|n| *n == "namespaces").unwrap();
    let (plural, sub) = (names[at + 2], names.get(at + 4).copied().unwrap_or_default());
    let kind = format!("{} {plural} {sub}", write.method).trim().to_owned();
    let ours = [
        "fieldManager=gradual-rollout&",
        "fieldManager=gradual-rollout-cli&",
    ]
    .iter()
    .any(|manager| format!("{}&", write.query).contains(manager));
    let first = &write.body[0];
    let versioned = first["op"] == "replace" && first["path"] == "/metadata/resourceVersion";
    let tests = |path: &str| {
        let operations = write.body.as_array().into_iter().flatten();
        operations
            .clone()
            .any(|o| o["op"] == "test" && o["path"].as_str().unwrap().starts_with(path))
    };
    let json = write.form == "application/json-patch+json";
    let wrong = match (write.method.as_str(), plural, sub) {
        (_, _, _) if !ours => Some("not our field manager"),
        // Its own name, made up by us: there is nothing that it could overwrite.
        ("POST" | "PATCH", "events", _) | ("POST", "leases", _) => None,
        ("PUT", "leases", _) => write.body["metadata"]["resourceVersion"]
            .is_null()
            .then_some("no version"),
        ("PATCH", "leases" | "gradualrollouts", "status" | "")
            if write.form == "application/merge-patch+json" =>
        {
            // A command is a key of its own, which nobody else has.
            let annotations = write.body["metadata"]["annotations"].as_object();
            let command = annotations.is_some_and(|a| a.keys().all(|k| k.contains("/command.")));
            let version = write.body["metadata"]["resourceVersion"].is_string();
            (!version && !command).then_some("no version")
        }
        ("PATCH", "gradualrollouts", "") => {
            (!json || !(versioned || tests("/metadata"))).then_some("no condition")
        }
        ("PATCH", "virtualservices" | "configmaps" | "deployments", "") => (!json
            || !(versioned || tests("/metadata/annotations/rollout.sealos.io~1w.")))
        .then_some("no fence"),
        _ => Some("unheard of"),
    };
    (kind, wrong.map(|wrong| format!("{wrong}: {write:#?}")))
}

fn switched() -> Value {
    let mut shop = component("shop");
    shop["routers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"controllerSwitch": {"deployment": "shop-controller", "configMap": "shop-config"}}));
    shop
}

#[tokio::test(start_paused = true)]
async fn every_write_names_our_field_manager_and_the_state_it_was_decided_on() {
    let log = Log::default();
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    let metadata = |name: &str| json!({"name": name, "namespace": NS});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("shop-config")});
    world.store.put(map).unwrap();
    let pod = json!({"spec": {"containers": [{"name": "controller", "image": "shop:1"}]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata("shop-controller"),
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "shop"}}, "template": pod}});
    world.store.put(deployment).unwrap();
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["onDelete"] = json!("restore");
    object["spec"]["components"] = json!([switched()]);
    world.store.put(object).unwrap();
    let clients = recorded(&world, &log);
    let hand = ByHand::new(clients.fast.clone());
    world.start_over("daemon-1", clients);
    world
        .until("25%", |w| w.component("shop").weight.written.permille() == 250)
        .await;

    // A person's command, one that is taken back, and a write without a daemon.
    let wish = |verb: &str| {
        let wish: Wish = serde_json::from_value(json!({"components": ["shop"], "who": "ada"})).unwrap();
        let id = ulid::Ulid::from_parts(u64::try_from(world.clock.now().as_millisecond()).unwrap(), 7);
        let verb = Verb::ALL.into_iter().find(|v| v.word() == verb).unwrap();
        Command {
            id: id.to_string(),
            verb,
            wish,
        }
    };
    hand.command(NS, "demo", &wish("pause"), false).await.unwrap();
    // Whether it comes in time or not, it is written on a condition.
    hand.withdraw(NS, "demo", &wish("pause")).await.unwrap();
    let shop: Component = serde_json::from_value(switched()).unwrap();
    for target in targets(&shop, NS) {
        let json = hand.object(target.object()).await.unwrap();
        let stamp = Stamp::new("01ZZZZ", target.read(&json).unwrap().weight, "Manual").unwrap();
        let patch = target.write(&json, &stamp, WriteMode::Normal).unwrap();
        let patch = target.journalled(&json, patch);
        hand.patch(target.object(), &json, &patch, false).await.unwrap();
    }
    world.say("rollback", json!({"components": ["shop"], "who": "ada"}));
    world.until("back", |w| w.weight("shop") == 0).await;
    world.pass(120).await;
    world
        .store
        .delete("gradualrollouts.rollout.sealos.io", NS, "demo")
        .unwrap();
    world.until("gone", |w| w.object().is_null()).await;
    world.stop().await;

    let log = log.lock().unwrap().clone();
    let (mut kinds, mut wrong) = (BTreeSet::new(), BTreeSet::new());
    for (kind, complaint) in log.iter().map(judge) {
        kinds.insert(kind);
        wrong.extend(complaint);
    }
    assert!(
        wrong.is_empty(),
        "{} of {}: {}",
        wrong.len(),
        log.len(),
        wrong.first().unwrap()
    );
    // Whoever adds a write adds it here, with its condition above.
    let expected = [
        "PATCH configmaps",
        "PATCH deployments",
        "PATCH gradualrollouts",
        "PATCH gradualrollouts status",
        "PATCH virtualservices",
        "POST events",
        "POST leases",
        "PUT leases",
    ];
    assert_eq!(kinds, expected.map(str::to_owned).into());
}

#[tokio::test(start_paused = true)]
async fn an_alert_for_each_of_many_pods_puts_the_traffic_back_once_and_then_nothing_is_written() {
    let mut world = World::new();
    world.store.put(virtual_service("shop")).unwrap();
    world.store.put(rollout("demo", &["shop"])).unwrap();
    let log = Log::default();
    world.start_over("pod-1", recorded(&world, &log));
    world.until("5%", |w| w.weight("shop") == 5).await;
    for pod in 0..230 {
        world.say(
            "rollback",
            json!({"components": ["shop"], "who": "alertmanager", "reason": format!("pod {pod} fails")}),
        );
    }
    let waiting = |w: &World| {
        let annotations = w.object()["metadata"]["annotations"].clone();
        let keys = annotations.as_object().into_iter().flatten();
        keys.filter(|(key, _)| key.contains("/command.")).count()
    };
    let before = log.lock().unwrap().len();
    world
        .until("all are answered", |w| w.weight("shop") == 0 && waiting(w) == 0)
        .await;
    world.pass(30).await;
    let writes: Vec<Write> = log.lock().unwrap().split_off(before);
    let is = |write: &&Write, plural: &str| write.path.contains(plural);
    let routes = writes.iter().filter(|w| is(w, "/virtualservices/")).count();
    let statuses = writes.iter().filter(|w| w.path.ends_with("/status")).count();
    // Once for what the first look knew, once for the rest: the mark names the command.
    assert!((1..=12).contains(&routes), "{routes} writes of the route");
    assert!((1..=30).contains(&statuses), "{statuses} writes of the status");
    log.lock().unwrap().clear();
    world.pass(30).await;
    let after = log.lock().unwrap();
    let more: Vec<_> = after.iter().filter(|w| !is(w, "/leases/")).collect();
    assert!(more.is_empty(), "{more:#?}");
}

/// A daemon that was stopped for a minute and goes on still believes to lead, and hears by its watch what its successor
/// wrote before it finds out: that is gone on from, and never written over.
#[tokio::test(start_paused = true)]
async fn a_status_that_another_daemon_wrote_is_gone_on_from_and_not_written_over() {
    let world = World::with(&["shop", "cart"]);
    world
        .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
        .await;
    let mut status = world.object()["status"].clone();
    let shop = &mut status["components"][0];
    assert_eq!(shop["name"], "shop");
    shop["pausedBy"] = json!("eve");
    world
        .store
        .put_status("gradualrollouts.rollout.sealos.io", NS, "demo", status)
        .unwrap();
    world.until("cart goes on", |w| w.weight("cart") == 100).await;
    assert_eq!(world.component("shop").paused_by.as_deref(), Some("eve"));
    assert_eq!(world.weight("shop"), 25, "it was paused by whoever led then");
}

/// A pause, a rollback and a hold stand nowhere but in the status. Who empties it, or takes one component out of it, beside a
/// live daemon takes nothing of that away.
#[tokio::test(start_paused = true)]
async fn a_status_that_is_emptied_beside_a_live_daemon_takes_no_word_of_a_person_away() {
    for emptied in [
        json!({}),
        json!({"phase": "pilot"}),
        json!({"components": []}),
        json!(null),
        json!("cart"),
    ] {
        let world = World::with(&["shop", "cart"]);
        world
            .until("25%", |w| w.weight("shop") == 25 && w.weight("cart") == 25)
            .await;
        world.say("pause", json!({"components": ["shop"], "who": "eve"}));
        let is_paused = |w: &World| w.component("shop").paused_by.is_some();
        world.until("it is paused", is_paused).await;
        let before = world.component("shop");
        let status = if emptied == json!("cart") {
            // One component alone is taken out.
            let mut status = world.object()["status"].clone();
            let components = status["components"].as_array_mut().unwrap();
            components.retain(|c| c["name"] != "shop");
            assert_eq!(components.len(), 1);
            status
        } else {
            emptied.clone()
        };
        world
            .store
            .put_status("gradualrollouts.rollout.sealos.io", NS, "demo", status)
            .unwrap();
        world.until("cart goes on", |w| w.weight("cart") == 100).await;
        assert_eq!(world.weight("shop"), 25, "{emptied}");
        let after = world.component("shop");
        assert_eq!(
            (after.paused_by, after.since, after.attempt),
            (before.paused_by, before.since, before.attempt),
            "{emptied}"
        );
        let events = world.store.list("events");
        let told = events.iter().filter(|e| e["reason"] == "StatusRestored");
        let told: Vec<_> = told
            .filter_map(|e| e["message"].as_str().or(e["note"].as_str()))
            .collect();
        assert!(told.iter().any(|text| text.contains("shop")), "{told:?}");
    }
}
