//! What keeps the way in narrow: when hooks are open, to whom, to how many at a time, and what an alert may not do.

use crate::inbound::{Door, SECRET, at_five_percent, commands, firing, shop};
use crate::support::world::NS;
use axum::body::{Body, Bytes};
use gradual_rollout::api::{self, ApiState, Inbound, InboundSettings};
use gradual_rollout::cluster::by_hand::ByHand;
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::telemetry::Metrics;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tower::ServiceExt as _;

const HOOK: &str = "/hooks/alertmanager";

fn endpoints(ready: bool) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "shop-v1-1", "namespace": NS, "labels": {"kubernetes.io/service-name": "shop-v1"}},
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}], "ports": []})
}

#[tokio::test(start_paused = true)]
async fn an_alert_while_control_is_down_waits_for_it_over_a_death_and_sends_nobody_to_nobody() {
    let mut world = at_five_percent().await;
    let door = Door::of(&world, false, Vec::new());
    world.store.put(endpoints(false)).unwrap();
    world.pass(5).await;
    let alert = firing("a1", &shop(), &world.clock.now().to_string());
    let (status, answer) = door.alerts(&json!([alert])).await;
    assert_eq!(
        (status, &answer["alerts"][0]["result"]),
        (200, &json!("goingBack")),
        "{answer}"
    );
    world
        .until("told", |w| w.component("shop").reason == Reason::ControlNotReady)
        .await;
    world.kill().await;
    world.start("daemon-2");
    world.pass(900).await;
    let c = world.component("shop");
    assert_eq!((world.weight("shop"), c.reason), (5, Reason::ControlNotReady));
    assert!(
        c.message.contains("alertmanager") && c.message.contains("no ready endpoint"),
        "{}",
        c.message
    );
    assert!(world.weight("cart") > 5, "the other one walks");
    world.store.put(endpoints(true)).unwrap();
    world.until("back", |w| w.weight("shop") == 0).await;
    world
        .until("for good", |w| w.component("shop").state == State::RolledBack)
        .await;
    assert_eq!(world.component("shop").reason, Reason::RollbackRequested);
}

#[tokio::test(start_paused = true)]
async fn all_of_a_rollout_goes_back_only_where_the_rollout_is_named() {
    let world = at_five_percent().await;
    let door = Door::of(&world, false, Vec::new());
    let now = world.clock.now().to_string();
    let labels = |rollout: Option<&str>| {
        let mut labels = json!({"alertname": "Down", "namespace": NS, "component": "*"});
        if let Some(rollout) = rollout {
            labels["rollout"] = json!(rollout);
        }
        labels
    };
    let (status, answer) = door.alerts(&json!([firing("x", &labels(None), &now)])).await;
    assert_eq!(status, 422, "{answer}");
    let why = answer["alerts"][0]["message"].as_str().unwrap();
    assert!(why.contains("name the rollout"), "{why}");
    world.pass(30).await;
    assert_eq!((commands(&world), world.weight("shop")), (0, 5));
    let (status, answer) = door
        .alerts(&json!([firing("y", &labels(Some("demo")), &now)]))
        .await;
    assert_eq!(status, 200, "{answer}");
    world
        .until("both are back", |w| {
            w.weight("shop") == 0 && w.weight("cart") == 0
        })
        .await;
}

/// The API of a daemon that is given this file with the secret.
fn router(world: &crate::support::world::World, secret_file: Option<PathBuf>) -> axum::Router {
    let settings = InboundSettings {
        secret_file,
        labels: true,
        ..InboundSettings::default()
    };
    let hand = ByHand::new(Clients::from_service(world.store.router()).fast);
    api::router(ApiState {
        inbound: Some(Inbound::new(settings, hand, world.clock.clone())),
        view: world.view.clone(),
        ready: tokio::sync::watch::channel(true).1,
        metrics: Metrics::new(),
    })
}

async fn knock(router: &axum::Router, header: (&str, &str), body: Body) -> (u16, Value) {
    let request = http::Request::post(HOOK)
        .header(header.0, header.1)
        .body(body)
        .unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX)
        .await
        .unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn empty() -> Body {
    Body::from(json!({"version": "4", "alerts": []}).to_string())
}

#[tokio::test(start_paused = true)]
async fn hooks_are_off_until_the_settings_name_a_secret_and_it_is_read_anew_for_each_call() {
    let world = at_five_percent().await;
    let off = router(&world, None);
    let (status, answer) = knock(&off, ("x-rollout-token", SECRET), empty()).await;
    assert_eq!(status, 404, "{answer}");
    assert!(
        answer["error"].as_str().unwrap().contains("hooks are off"),
        "{answer}"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let door = router(&world, Some(file.path().to_owned()));
    std::fs::write(file.path(), "short\n").unwrap();
    let (status, answer) = knock(&door, ("x-rollout-token", "short"), empty()).await;
    assert_eq!(status, 503, "a secret that is none opens to nobody: {answer}");
    std::fs::write(file.path(), format!("{SECRET}\n")).unwrap();
    for header in [
        ("x-rollout-token", SECRET),
        ("authorization", "Bearer a secret of some length"),
        ("authorization", "bearer a secret of some length"),
    ] {
        let (status, answer) = knock(&door, header, empty()).await;
        assert_eq!(status, 200, "{header:?}: {answer}");
    }
    std::fs::write(file.path(), "another secret of some length").unwrap();
    let old = knock(&door, ("x-rollout-token", SECRET), empty()).await;
    let new = knock(
        &door,
        ("x-rollout-token", "another secret of some length"),
        empty(),
    )
    .await;
    assert_eq!((old.0, new.0), (401, 200), "{old:?} {new:?}");
    std::fs::remove_file(file.path()).unwrap();
    let gone = knock(&door, ("x-rollout-token", SECRET), empty()).await;
    assert_eq!(gone.0, 503, "{gone:?}");
    assert!(
        !gone.1.to_string().contains(file.path().to_str().unwrap()),
        "who asks is not told where secrets are: {gone:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_token_of_hooks_counts_whatever_bearer_stands_beside_it_and_without_it_the_bearer_does() {
    let world = at_five_percent().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SECRET).unwrap();
    let door = router(&world, Some(file.path().to_owned()));
    let (right, wrong) = (SECRET.to_owned(), format!("{SECRET}."));
    let bearer = |token: &str| format!("Bearer {token}");
    for (token, authorization, expected) in [
        (Some(&right), None, 200),
        (Some(&wrong), None, 401),
        (None, None, 401),
        (Some(&right), Some(bearer(&wrong)), 200),
        (Some(&right), Some("Basic YTpi".to_owned()), 200),
        (Some(&wrong), Some(bearer(&right)), 401),
        (Some(&String::new()), Some(bearer(&right)), 401),
        (None, Some(bearer(&right)), 200),
        (None, Some(bearer(&wrong)), 401),
        (None, Some(right.clone()), 401),
    ] {
        for path in [HOOK, "/hooks/complaint"] {
            let mut request = http::Request::post(path);
            if let Some(token) = token {
                request = request.header("X-Rollout-Token", token);
            }
            if let Some(authorization) = &authorization {
                request = request.header("authorization", authorization);
            }
            let answer = door
                .clone()
                .oneshot(request.body(empty()).unwrap())
                .await
                .unwrap();
            // Who is let in with what is no complaint is told so.
            let let_in = if path == HOOK { 200 } else { 400 };
            let expected = if expected == 200 { let_in } else { expected };
            assert_eq!(
                answer.status().as_u16(),
                expected,
                "{path}: {token:?}, {authorization:?}"
            );
        }
    }
}

/// A body that never comes to its end.
fn endless() -> Body {
    Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>())
}

#[tokio::test(start_paused = true)]
async fn sixteen_calls_are_worked_at_a_time_and_a_body_that_does_not_arrive_gives_its_place_back() {
    let world = at_five_percent().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SECRET).unwrap();
    let door = router(&world, Some(file.path().to_owned()));
    let token = ("x-rollout-token", SECRET);
    let mut slow: Vec<_> = (0..16)
        .map(|_| Box::pin(knock(&door, token, endless())))
        .collect();
    let all = futures::future::join_all(slow.iter_mut());
    // Each of them has taken its place once it was asked.
    let early = tokio::time::timeout(std::time::Duration::from_secs(5), all).await;
    assert!(early.is_err(), "their bodies are waited for");
    let strangers = knock(&door, ("x-rollout-token", "no secret of anybody's"), empty()).await;
    assert_eq!(
        strangers.0, 401,
        "who is not let in takes no place, and needs none"
    );
    let (status, answer) = knock(&door, token, empty()).await;
    assert_eq!(status, 503, "the seventeenth: {answer}");
    let late = futures::future::join_all(slow).await;
    assert!(late.iter().all(|(status, _)| *status == 408), "{late:?}");
    let (status, answer) = knock(&door, token, empty()).await;
    assert_eq!(status, 200, "and then there is room again: {answer}");
}

/// Log lines, kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn read(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn each_command_and_each_step_leaves_one_line_in_the_log_under_the_target_audit() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter("audit=info")
        .with_writer(move || writer.clone())
        .finish();
    // Where there is but one in the process, what other tests' threads log first is taken for unwanted everywhere.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let _until_the_end = tracing::subscriber::set_default(log);
    let world = at_five_percent().await;
    let id = world.say(
        "rollback",
        json!({"components": ["shop"], "who": "ada", "reason": "logins hang"}),
    );
    world
        .until("answered and back", |w| {
            w.status().commands.len() == 1 && w.component("shop").lowering.is_none()
        })
        .await;
    world.pass(30).await;
    let told = lines.read();
    assert!(told.iter().all(|line| line["target"] == "audit"), "{told:#?}");
    let commanded: Vec<&Value> = told.iter().filter(|line| line["id"] == json!(id)).collect();
    let of_the_command = |line: &&&Value| line["what"].as_str().unwrap().starts_with("rollback");
    let line = commanded.iter().find(of_the_command).unwrap();
    assert_eq!(commanded.iter().filter(of_the_command).count(), 1, "{told:#?}");
    for (field, says) in [
        ("namespace", NS),
        ("rollout", "demo"),
        ("who", "ada (claimed"),
        ("before", "shop Walking 5%"),
        ("after", "shop RolledBack"),
        ("message", "going to 0%"),
        ("at", "2026-03-02T"),
    ] {
        let said = line[field].as_str().unwrap();
        assert!(said.contains(says), "{field}: {line:#}");
    }
    let own = |line: &&Value| line["what"] == "Step" && line["before"].as_str().unwrap().contains("shop");
    assert_eq!(told.iter().filter(own).count(), 1, "its step to 5%: {told:#?}");
}
