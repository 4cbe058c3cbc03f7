//! What comes in over HTTP and changes something: who is let in, what is taken, and what is left alone.

use crate::support::world::{NS, World};
use axum::body::Body;
use gradual_rollout::api::{self, AlertRoute, ApiState, Inbound, InboundSettings};
use gradual_rollout::cluster::by_hand::ByHand;
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::sandbox::apiserver::{Action, Fault};
use gradual_rollout::telemetry::Metrics;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use tower::ServiceExt as _;

pub(crate) const SECRET: &str = "a secret of some length";

/// The API of a daemon in this world.
pub(crate) struct Door {
    router: axum::Router,
    _secret: tempfile::NamedTempFile,
}

impl Door {
    pub(crate) fn of(world: &World, commands: bool, alerts: Vec<AlertRoute>) -> Self {
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        writeln!(secret, "{SECRET}").unwrap();
        let settings = InboundSettings {
            secret_file: Some(secret.path().to_owned()),
            alerts,
            labels: true,
            commands,
            namespaces: Vec::new(),
        };
        let hand = ByHand::new(Clients::from_service(world.store.router()).fast);
        let router = api::router(ApiState {
            inbound: Some(Inbound::new(settings, hand, world.clock.clone())),
            view: world.view.clone(),
            ready: tokio::sync::watch::channel(true).1,
            metrics: Metrics::new(),
        });
        Self {
            router,
            _secret: secret,
        }
    }

    async fn post(&self, path: &str, token: Option<&str>, body: impl Into<Body>) -> (u16, Value) {
        let mut request = http::Request::post(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = self
            .router
            .clone()
            .oneshot(request.body(body.into()).unwrap())
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX)
            .await
            .unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub(crate) async fn alerts(&self, alerts: &Value) -> (u16, Value) {
        let payload = json!({"version": "4", "status": "firing", "receiver": "x", "alerts": alerts});
        self.post("/hooks/alertmanager", Some(SECRET), payload.to_string())
            .await
    }
}

pub(crate) fn firing(fingerprint: &str, labels: &Value, started: &str) -> Value {
    json!({
        "status": "firing", "labels": labels, "annotations": {"summary": "login \u{1b}[31mfails\nbadly"},
        "startsAt": started, "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": fingerprint,
    })
}

pub(crate) fn shop() -> Value {
    json!({"alertname": "Down", "namespace": NS, "rollout": "demo", "component": "shop"})
}

pub(crate) async fn at_five_percent() -> World {
    let world = World::with(&["shop", "cart"]);
    world
        .until("5%", |w| w.weight("shop") == 5 && w.weight("cart") == 5)
        .await;
    world
}

pub(crate) fn commands(world: &World) -> usize {
    let annotations = world.object()["metadata"]["annotations"].clone();
    let keys = annotations.as_object().cloned().unwrap_or_default();
    keys.keys().filter(|key| key.contains("/command.")).count() + world.status().commands.len()
}

#[tokio::test(start_paused = true)]
async fn three_complaints_hold_through_a_restart_until_resume() {
    let mut world = at_five_percent().await;
    let door = Door::of(&world, false, Vec::new());
    for n in 0..4 {
        // The caller's own id: the second is the first again.
        let id = if n == 1 { 0 } else { n };
        let body = json!({"namespace": NS, "component": "shop", "text": "slow", "who": "bob", "id": format!("ticket-{id}")});
        let (status, answer) = door
            .post("/hooks/complaint", Some(SECRET), body.to_string())
            .await;
        assert_eq!(
            (status, &answer["rollout"]),
            (if n == 1 { 200 } else { 202 }, &json!(format!("{NS}/demo"))),
            "{answer}"
        );
        world.pass(5).await;
    }
    world
        .until("held", |w| w.component("shop").reason == Reason::Complaints)
        .await;
    assert_eq!(world.component("shop").complaints.len(), 3);
    world.kill().await;
    world.start("daemon-2");
    world.pass(2400).await;
    assert_eq!(
        (world.weight("shop"), world.component("shop").reason),
        (5, Reason::Complaints)
    );
    assert!(world.weight("cart") > 5, "nobody complained of the other");
    world.say("resume", json!({"components": ["shop"], "who": "ada"}));
    world.until("25%", |w| w.weight("shop") == 25).await;
}

#[tokio::test(start_paused = true)]
async fn an_alert_puts_back_what_it_names_and_not_again_after_a_retry() {
    let world = at_five_percent().await;
    let door = Door::of(&world, false, Vec::new());
    let started = (world.clock.now() - std::time::Duration::from_secs(86_400)).to_string();
    let alerts = json!([
        firing("a1", &json!({"alertname": "Down", "namespace": NS, "component": "ghost"}), &started),
        firing("a2", &shop(), &started),
        {"status": "resolved", "labels": shop(), "startsAt": started, "fingerprint": "a3"},
    ]);
    let (status, answer) = door.alerts(&alerts).await;
    assert_eq!(status, 404, "{answer}");
    let results: Vec<&str> = (0..3)
        .map(|n| answer["alerts"][n]["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["unknown", "goingBack", "resolved"]);
    assert!(
        answer["alerts"][0]["message"].as_str().unwrap().contains("ghost"),
        "{answer}"
    );
    world
        .until("put back", |w| {
            w.weight("shop") == 0 && w.component("shop").state == State::RolledBack
        })
        .await;
    let message = world.component("shop").message;
    assert!(
        message.contains("alertmanager (claimed, by gradual-rollout-api) asked")
            && message.contains("Down: login [31mfails badly"),
        "{message:?}"
    );
    assert_eq!(world.weight("cart"), 5);
    world
        .until("read back", |w| w.component("shop").lowering.is_none())
        .await;
    world.say("retry", json!({"components": ["shop"], "who": "ada"}));
    world.until("5% again", |w| w.weight("shop") == 5).await;
    let before = commands(&world);
    let (status, answer) = door.alerts(&json!([firing("a2", &shop(), &started)])).await;
    assert_eq!(
        (status, &answer["alerts"][0]["result"]),
        (200, &json!("repeated")),
        "{answer}"
    );
    world.until("25%", |w| w.weight("shop") == 25).await;
    assert_eq!(commands(&world), before, "a repetition writes nothing");
    let (_, answer) = door
        .alerts(&json!([firing("a2", &shop(), &world.clock.now().to_string())]))
        .await;
    assert_eq!(
        answer["alerts"][0]["result"], "goingBack",
        "it fires anew: {answer}"
    );
    world.until("put back again", |w| w.weight("shop") == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_group_of_more_alerts_than_outcomes_are_kept_is_a_repetition_after_a_retry() {
    let world = at_five_percent().await;
    let door = Door::of(&world, false, Vec::new());
    let started = world.clock.now().to_string();
    let group: Vec<Value> = (0..90)
        .map(|n| firing(&format!("f{n}"), &shop(), &started))
        .collect();
    let results = |answer: &Value| -> Vec<String> {
        let alerts = answer["alerts"].as_array().unwrap().iter();
        alerts
            .map(|alert| alert["result"].as_str().unwrap().to_owned())
            .collect()
    };
    let (status, answer) = door.alerts(&json!(group)).await;
    assert_eq!(
        (status, results(&answer)),
        (200, vec!["goingBack".to_owned(); 90])
    );
    world
        .until("put back", |w| {
            w.component("shop").state == State::RolledBack && w.component("shop").lowering.is_none()
        })
        .await;
    world.say("retry", json!({"components": ["shop"], "who": "ada"}));
    world.until("5% again", |w| w.weight("shop") == 5).await;
    let (status, answer) = door.alerts(&json!(group)).await;
    assert_eq!((status, results(&answer)), (200, vec!["repeated".to_owned(); 90]));
    world.until("25%", |w| w.weight("shop") == 25).await;
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_cannot_be_read_keeps_up_no_other_and_one_without_a_usable_start_is_obeyed_once() {
    let world = at_five_percent().await;
    let door = Door::of(&world, false, Vec::new());
    let cart = json!({"alertname": "Slow", "namespace": NS, "rollout": "demo", "component": "cart"});
    let late = firing("f", &shop(), "9999-12-31T00:00:00Z");
    let bare = json!({"status": "firing", "labels": cart});
    let (status, answer) = door
        .alerts(&json!([{"status": 7, "labels": shop()}, "x", late, bare]))
        .await;
    assert_eq!(status, 422, "{answer}");
    let results = |answer: &Value| -> Vec<String> {
        let alerts = answer["alerts"].as_array().unwrap().iter();
        alerts
            .map(|alert| alert["result"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(results(&answer), ["refused", "refused", "goingBack", "goingBack"]);
    let why = answer["alerts"][0]["message"].as_str().unwrap();
    assert!(why.contains("invalid type"), "{why}");
    let back = |w: &World| w.weight("shop") == 0 && w.weight("cart") == 0;
    world.until("both are back", back).await;
    world.until("answered", |w| w.status().commands.len() == 2).await;
    let (status, answer) = door.alerts(&json!([late, bare])).await;
    assert_eq!(
        (status, results(&answer)),
        (200, vec!["repeated".to_owned(); 2]),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_operators_table_says_whom_an_alert_is_about() {
    let world = at_five_percent().await;
    let labels = BTreeMap::from([("job".to_owned(), "~edge-.*".to_owned())]);
    let route = AlertRoute::new(&labels, NS, None, "cart").unwrap();
    let door = Door::of(&world, false, vec![route]);
    let alert = firing(
        "x",
        &json!({"alertname": "Slow", "job": "edge-1"}),
        &world.clock.now().to_string(),
    );
    assert_eq!(door.alerts(&json!([alert])).await.0, 200);
    world.until("put back", |w| w.weight("cart") == 0).await;
    assert_eq!(world.weight("shop"), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_hostile_or_from_nobody_changes_nothing() {
    let world = at_five_percent().await;
    let door = Door::of(&world, false, Vec::new());
    let now = world.clock.now().to_string();
    let good = json!({"version": "4", "alerts": [firing("x", &shop(), &now)]}).to_string();
    let one = |labels: Value| json!({"version": "4", "alerts": [firing("x", &labels, &now)]}).to_string();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let complaint = |name: &str| json!({"namespace": NS, "component": name, "text": "x"}).to_string();
    let hooks = "/hooks/alertmanager";
    for (path, token, body, expected) in [
        (hooks, None, good.clone(), 401),
        (hooks, Some("a secret of some lengtH"), good.clone(), 401),
        (hooks, Some(""), good.clone(), 401),
        ("/hooks/complaint", None, complaint("shop"), 401),
        (hooks, Some(SECRET), String::new(), 400),
        (hooks, Some(SECRET), deep, 400),
        (hooks, Some(SECRET), good.replace("\"4\"", "\"3\""), 400),
        (hooks, Some(SECRET), good.replace("\"firing\"", "7"), 422),
        (hooks, Some(SECRET), " ".repeat(2 * 1024 * 1024 + 1), 413),
        (
            hooks,
            Some(SECRET),
            one(json!({"namespace": "../../api/v1/namespaces/kube-system", "component": "shop"})),
            404,
        ),
        (
            hooks,
            Some(SECRET),
            one(json!({"namespace": NS, "rollout": "demo/status", "component": "shop"})),
            404,
        ),
        (
            hooks,
            Some(SECRET),
            one(json!({"namespace": NS, "rollout": "demo", "component": "\u{202e}pohs"})),
            404,
        ),
        (hooks, Some(SECRET), one(json!({"alertname": "Down"})), 404),
        ("/hooks/complaint", Some(SECRET), complaint("../shop"), 404),
        ("/hooks/complaint", Some(SECRET), complaint("*"), 400),
        (
            "/hooks/complaint",
            Some(SECRET),
            complaint("shop").replace("\"x\"", "\" \\n\""),
            400,
        ),
        (
            "/hooks/complaint",
            Some(SECRET),
            complaint("shop").replace("text", "txt"),
            400,
        ),
        ("/hooks/complaint", Some(SECRET), " ".repeat(16 * 1024 + 1), 413),
    ] {
        let shown: String = body.chars().take(120).collect();
        let (status, answer) = door.post(path, token, body).await;
        assert_eq!(status, expected, "{shown}: {answer}");
        assert!(!answer.to_string().contains(SECRET), "{answer}");
    }
    world.pass(30).await;
    assert_eq!(commands(&world), 0);
    let without = api::router(ApiState {
        inbound: None,
        view: world.view.clone(),
        ready: tokio::sync::watch::channel(true).1,
        metrics: Metrics::new(),
    });
    let request = http::Request::post(hooks)
        .header("x-rollout-token", SECRET)
        .body(Body::from(good))
        .unwrap();
    assert_eq!(
        without.oneshot(request).await.unwrap().status().as_u16(),
        404,
        "off by default"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rest_command_needs_a_token_and_the_right_to_its_verb() {
    let world = at_five_percent().await;
    world
        .store
        .add_token("adas-token", "ada", &["system:authenticated"]);
    world
        .store
        .add_token("bobs-token", "bob", &["system:authenticated"]);
    world.store.set_access(|spec| {
        let right = &spec["resourceAttributes"];
        let asked = [
            &right["group"],
            &right["resource"],
            &right["namespace"],
            &right["name"],
        ];
        let ours = asked.map(|part| part.as_str().unwrap_or_default())
            == ["rollout.sealos.io", "gradualrollouts", NS, "demo"];
        ours && spec["user"] == "ada" && right["verb"] == "rollback"
    });
    let path = format!("/api/v1/rollouts/{NS}/demo/commands");
    let ask = |verb: &str| json!({"verb": verb, "components": ["shop"], "reason": "because"}).to_string();
    let closed = Door::of(&world, false, Vec::new());
    let (status, answer) = closed.post(&path, Some("adas-token"), ask("rollback")).await;
    assert_eq!(
        status, 403,
        "read-only unless the operator says otherwise: {answer}"
    );
    let door = Door::of(&world, true, Vec::new());
    for (token, body, expected, says) in [
        (None, ask("rollback"), 401, "knows nobody"),
        (Some("made-up"), ask("rollback"), 401, "knows nobody"),
        (Some(SECRET), ask("rollback"), 401, "knows nobody"),
        (Some("bobs-token"), ask("rollback"), 403, "bob may not rollback"),
        (
            Some("adas-token"),
            ask("promote"),
            403,
            "needs the verb \"promote\"",
        ),
        (Some("adas-token"), ask("fly"), 400, "the commands are"),
        (
            Some("adas-token"),
            ask("rollback").replace("reason", "who"),
            400,
            "unknown field",
        ),
        (
            Some("adas-token"),
            ask("rollback").replace("\"shop\"", "\"ghost\""),
            404,
            "ghost",
        ),
        (
            Some("adas-token"),
            ask("rollback").replace("[\"shop\"]", "[]"),
            422,
            "components is empty",
        ),
    ] {
        let (status, answer) = door.post(&path, token, body.clone()).await;
        assert_eq!(status, expected, "{body}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(says), "{answer}");
    }
    let elsewhere = format!("/api/v1/rollouts/{NS}/other/commands");
    assert_eq!(
        door.post(&elsewhere, Some("adas-token"), ask("rollback")).await.0,
        403,
        "the right is to one rollout"
    );
    assert_eq!(commands(&world), 0);
    let (status, answer) = door.post(&path, Some("adas-token"), ask("rollback")).await;
    assert_eq!((status, &answer["who"]), (202, &json!("ada")), "{answer}");
    world.until("put back", |w| w.weight("shop") == 0).await;
    let id = answer["command"].as_str().unwrap().to_owned();
    world
        .until("answered", |w| w.status().commands.iter().any(|c| c.id == id))
        .await;
    let who = world.status().commands[0].who.clone().unwrap();
    assert_eq!(
        who, "ada (claimed, by gradual-rollout-api)",
        "nothing keeps others from writing that here"
    );
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_has_the_alert_come_again() {
    let world = at_five_percent().await;
    let door = Door::of(&world, true, Vec::new());
    world
        .store
        .inject(Fault::new(Action::Hang).resource("gradualrollouts.rollout.sealos.io"));
    let (status, answer) = door
        .alerts(&json!([firing("x", &shop(), &world.clock.now().to_string())]))
        .await;
    assert_eq!(
        (status, &answer["alerts"][0]["result"]),
        (503, &json!("unavailable")),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_command_is_told_once_whatever_became_of_it() {
    let mut world = at_five_percent().await;
    world.say("pause", json!({"components": ["shop"], "who": "ada"}));
    world.say("promote", json!({"components": ["ghost"], "who": "ada"}));
    world.annotate("rollout.sealos.io/command.fly.1", "{}");
    world.pass(30).await;
    world.kill().await;
    world.say("resume", json!({"components": ["shop"], "who": "ada"}));
    world.say(
        "set",
        json!({"components": ["shop"], "who": "ada", "weight": "50%", "expiresAt": "2026-01-01T00:00:00Z"}),
    );
    world.say(
        "complaint",
        json!({"components": ["shop"], "who": "bob", "reason": "slow"}),
    );
    world.start("daemon-2");
    world
        .until("all answered", |w| w.status().commands.len() == 6)
        .await;
    world.pass(30).await;
    let events = world.store.list("events");
    let told: Vec<&str> = events
        .iter()
        .filter(|e| e["reason"] == "Command")
        .map(|e| e["message"].as_str().unwrap())
        .collect();
    for outcome in world.status().commands {
        let of = told
            .iter()
            .filter(|note| note.contains(&format!("({})", outcome.id)))
            .count();
        assert_eq!(of, 1, "{outcome:?}\n{told:#?}");
    }
    assert_eq!(told.len(), 6, "{told:#?}");
    assert!(
        told.iter().any(|note| note.starts_with("ada (claimed")
            && note.contains("pause Accepted")
            && note.contains("shop Walking 5% → shop Walking 5% paused")),
        "{told:#?}"
    );
}

/// A kind of the cluster's that this API server does not bring, so that objects of it can be put there.
fn definition(plural: &str, kind: &str) -> Value {
    let group = "admissionregistration.k8s.io";
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "scope": "Cluster",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    })
}

/// The shipped policy and its binding, as objects: nothing here enforces them.
pub(crate) fn install_policy(world: &World) {
    for (plural, kind) in [
        ("validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
        (
            "validatingadmissionpolicybindings",
            "ValidatingAdmissionPolicyBinding",
        ),
    ] {
        world.store.register_crd(&definition(plural, kind)).unwrap();
    }
    let policy = include_str!("../../deploy/admission-policy.yaml");
    for object in policy.split("\n---\n") {
        world.store.put(serde_saphyr::from_str(object).unwrap()).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_proven_is_verified_where_the_shipped_policy_is_in_force() {
    let world = at_five_percent().await;
    install_policy(&world);
    // The first command has it looked up again.
    world.say("pause", json!({"components": ["shop"], "who": "eve"}));
    world.pass(120).await;
    world.say("resume", json!({"components": ["shop"], "who": "eve"}));
    world.pass(30).await;
    world.store.add_token("adas-token", "ada", &[]);
    let door = Door::of(&world, true, Vec::new());
    let path = format!("/api/v1/rollouts/{NS}/demo/commands");
    let body = json!({"verb": "rollback", "components": ["shop"]}).to_string();
    assert_eq!(door.post(&path, Some("adas-token"), body).await.0, 202);
    world.until("answered", |w| w.status().commands.len() == 3).await;
    let who: Vec<String> = world
        .status()
        .commands
        .into_iter()
        .map(|c| c.who.unwrap())
        .collect();
    assert!(who[0].starts_with("eve (claimed"), "{who:?}");
    assert!(
        who[1].starts_with("eve") && !who[1].contains("claimed"),
        "the right was asked for: {who:?}"
    );
    assert_eq!(who[2], "ada (verified)");
}
