//! `explain`, as the program prints it for a rollout in a cluster.

use crate::support::cluster::Cluster;
use crate::support::world::{NS, World};
use gradual_rollout::api::{self, ApiState};
use gradual_rollout::telemetry::Metrics;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The transcripts' status: a component held by a check at 09:10.
async fn held() -> Cluster {
    let cluster = Cluster::start().await;
    let status: Value = serde_json::from_str(include_str!("transcripts/status.json")).unwrap();
    let yaml = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/shop.yaml")).unwrap();
    cluster.rollout(&yaml, status);
    cluster
}

const AT: &[&str] = &["--at", "2026-03-02T09:10:00Z"];

async fn explain(cluster: &Cluster, words: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
    cluster.run(&[&["explain"], words].concat(), env).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_it_explains_all_the_same_and_says_so_first() {
    let cluster = held().await;
    let (code, out, err) = explain(&cluster, &[&["shop"], AT].concat(), &[]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "shop of sealos-system/shop");
    assert!(lines[1].contains("no daemon is alive"), "{out}");
    assert!(out.contains("37% of what a rollback needs"), "{out}");
    assert!(!out.contains('\u{1b}'), "a pipe gets no colours: {out}");
    cluster.daemon("2026-03-02T09:09:55.000000Z");
    let (_, out, _) = explain(&cluster, &[&["shop"], AT].concat(), &[]).await;
    assert!(!out.contains("  note"), "{out}");
    let (_, out, _) = explain(&cluster, &["shop", "--at", "2026-03-02T12:00:00Z"], &[]).await;
    assert!(
        out.contains("no daemon is alive") && out.contains("this status is old"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_columns_and_colours_are_as_the_environment_says() {
    let cluster = held().await;
    let words = [&["shop"], AT].concat();
    let (_, out, _) = explain(&cluster, &words, &[("COLUMNS", "60")]).await;
    let widest = out.lines().map(|line| line.chars().count()).max().unwrap();
    assert!((50..=60).contains(&widest), "{widest}\n{out}");
    let (_, coloured, _) = explain(&cluster, &words, &[("CLICOLOR_FORCE", "1")]).await;
    assert!(
        coloured.contains('\u{1b}'),
        "colours are there to be switched off"
    );
    let (_, plain, _) = explain(&cluster, &words, &[("NO_COLOR", "1")]).await;
    assert!(!plain.contains('\u{1b}'));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_are_told_the_same_in_json_and_yaml() {
    let cluster = held().await;
    let words = [&["shop", "-o", "json"], AT].concat();
    let (code, out, _) = explain(&cluster, &words, &[]).await;
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["reason"]), (0, &json!("BetweenLimits")));
    assert_eq!(
        told["weight"],
        json!({"asked": 5.0, "written": 5.0, "observed": 5.0})
    );
    let errors = &told["checks"][0];
    for (field, value) in [
        ("name", json!("errors")),
        ("verdict", json!("Hold")),
        ("value", json!("0.344%")),
        ("control", json!("0.036%")),
        ("promote", json!("≤ 0.1%")),
        ("rollback", json!("≤ 1%")),
        ("samples", json!(291)),
        ("evidence", json!(0.37)),
    ] {
        assert_eq!(errors[field], value, "{field}");
    }
    assert_eq!(told["waitingFor"][1]["until"], "2026-03-03T08:30:00Z", "{told:#}");
    let words = [&["shop", "-o", "yaml"], AT].concat();
    let (_, out, _) = explain(&cluster, &words, &[]).await;
    let yaml: Value = serde_saphyr::from_str(&out).unwrap();
    assert_eq!(yaml["checks"], told["checks"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_nobody_has_is_refused_with_the_one_that_was_meant() {
    let cluster = held().await;
    let (code, out, err) = explain(&cluster, &["shpo"], &[]).await;
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(err.contains("did you mean \"shop\"?"), "{err}");
    let (code, _, err) = explain(&cluster, &["shop", "--rollout", "other"], &[]).await;
    assert_eq!(code, 3, "{err}");
    assert!(
        err.contains("no rollout \"other\" in sealos-system: shop"),
        "{err}"
    );
    let (code, _, err) = explain(&cluster, &[], &[]).await;
    assert_eq!(code, 64, "{err}");
    let (code, _, err) = explain(&cluster, &["shop"], &[("KUBECONFIG", "/nonexistent")]).await;
    assert_eq!(code, 69, "{err}");
}

/// What the API of the world's daemon answers.
pub(crate) async fn api(world: &World, path: &str) -> (u16, Value) {
    let router = api::router(ApiState {
        inbound: None,
        view: world.view.clone(),
        ready: tokio::sync::watch::channel(true).1,
        metrics: Metrics::new(),
    });
    let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX)
        .await
        .unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_api_gives_the_very_facts_that_the_program_prints() {
    let mut world = World::with(&["shop", "cart"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.pass(100).await;
    let path = format!("/api/v1/rollouts/{NS}/demo/components/shop/explain");
    let (status, told) = api(&world, &path).await;
    assert_eq!(status, 200, "{told}");
    let (_, all) = api(&world, "/api/v1/rollouts").await;
    let at = world.clock.now().to_string();
    let mut object = world.object();
    world.stop().await;
    // The same state in a cluster, for the program.
    let cluster = Cluster::start().await;
    object["metadata"] = json!({"name": "demo", "namespace": NS});
    object["status"] = Value::Null;
    cluster.rollout(&object.to_string(), all["rollouts"][0]["status"].clone());
    cluster.daemon(&world.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string());
    let words = ["explain", "shop", "-o", "json", "--at", &at];
    let (code, out, err) = cluster.run(&words, &[]).await;
    assert_eq!(code, 0, "{err}");
    let printed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told, printed);
    let check = &told["checks"][0];
    for field in ["value", "control", "samples", "promote", "rollback"] {
        assert!(!check[field].is_null(), "{field} is missing in {check}");
    }
    assert_ne!(told["waitingFor"], json!([]), "{told:#}");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_finds_all_as_it_was_tells_of_it_without_waiting_for_a_change() {
    let mut world = World::with(&["shop"]);
    world.until("25%", |w| w.weight("shop") == 25).await;
    world.pass(100).await;
    world.stop().await;
    world.start("daemon-2");
    world.pass(5).await;
    let path = format!("/api/v1/rollouts/{NS}/demo/components/shop/explain");
    let (status, told) = api(&world, &path).await;
    assert_eq!((status, &told["state"]), (200, &json!("Walking")), "{told:#}");
}

#[tokio::test(start_paused = true)]
async fn the_api_names_what_there_is_when_it_is_asked_for_something_else() {
    let world = World::with(&["shop", "cart"]);
    world.until("seen", |w| !w.status().components.is_empty()).await;
    let of = |rollout: &str, component: &str| {
        format!("/api/v1/rollouts/{NS}/{rollout}/components/{component}/explain")
    };
    let (status, told) = api(&world, &of("demo", "shpo")).await;
    assert_eq!(status, 404);
    assert_eq!(
        told["error"],
        format!("{NS}/demo has no component \"shpo\"; it has cart, shop")
    );
    let (status, told) = api(&world, &of("dmeo", "shop")).await;
    assert_eq!(status, 404);
    assert!(
        told["error"]
            .as_str()
            .unwrap()
            .contains("/api/v1/rollouts lists all"),
        "{told}"
    );
    let (status, told) = api(&World::new(), &of("demo", "shop")).await;
    assert_eq!(status, 503);
    assert!(told["error"].as_str().unwrap().contains("stands by"), "{told}");
}
