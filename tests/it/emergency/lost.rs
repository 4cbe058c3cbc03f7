//! What is said when answers are lost, come too late, or are errors of whoever answers; and where traffic stood when the
//! status does not know.

use super::{Cluster, NAMESPACE, ROLLOUTS, SERVICES, reported};
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault, write_kubeconfig};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

fn lost() -> Action {
    Action::FailAfter(Failure::new(503, "ServiceUnavailable", "lost on the way"))
}

fn said(report: &Value) -> &str {
    report["components"][0]["message"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_that_is_there_although_every_answer_was_lost_is_not_said_to_be_unrecorded() {
    for (unread, says) in [(false, None), (true, Some("nobody answered whether the command"))] {
        let cluster = Cluster::start().await;
        cluster
            .store
            .inject(Fault::new(lost()).verb("patch").resource(ROLLOUTS));
        if unread {
            cluster
                .store
                .inject(Fault::new(lost()).verb("get").resource(ROLLOUTS));
        }
        let (code, report, out) = reported(&cluster, &["--timeout", "2s"]).await;
        assert_eq!((code, cluster.shop().0), (0, 0), "{out}");
        assert_eq!(cluster.commands().len(), 1);
        assert!(!said(&report).contains("could not be recorded"), "{report:#}");
        assert_eq!(
            says.is_some_and(|says| said(&report).contains(says)),
            unread,
            "{report:#}"
        );
    }
    let cluster = Cluster::start().await;
    let never = Failure::new(503, "ServiceUnavailable", "the store is away");
    cluster
        .store
        .inject(Fault::new(Action::Fail(never)).verb("patch").resource(ROLLOUTS));
    let (_, report, _) = reported(&cluster, &["--timeout", "1s"]).await;
    assert!(
        said(&report).contains("could not be recorded on shop"),
        "{report:#}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_answer_was_lost_is_waited_for_like_any_other() {
    let cluster = Cluster::start().await;
    cluster.lease();
    cluster
        .store
        .inject(Fault::new(lost()).verb("patch").resource(ROLLOUTS).times(1));
    let (code, out, err) = cluster
        .run(&["pause", "shop", "--no-confirm", "--timeout", "1s"])
        .await;
    assert_eq!((code, cluster.commands().len()), (75, 1), "{out}{err}");
    assert!(out.contains("the command stays on the rollout"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_hang_once_the_traffic_is_back_end_soon_after_the_timeout() {
    let cluster = Cluster::start().await;
    for resource in [ROLLOUTS, "endpointslices.discovery.k8s.io"] {
        let verb = if resource == ROLLOUTS { "get" } else { "list" };
        cluster
            .store
            .inject(Fault::new(Action::Hang).verb(verb).resource(resource));
    }
    let (code, report, out) = reported(&cluster, &["--timeout", "1s", "--verify", "0s"]).await;
    assert_eq!((code, cluster.shop().0), (0, 0), "{out}");
    let at = |field: &str| -> Timestamp { report[field].as_str().unwrap().parse().unwrap() };
    let took = at("finishedAt").duration_since(at("startedAt"));
    // A request alone would be waited for for ten seconds.
    assert!(took.as_secs() < 9, "{took:?}");
    assert_eq!(
        report["after"][0]["weight"],
        json!(0.0),
        "by the routes: {report:#}"
    );
}

/// Once it is written, the first reads of it are refused by a server that has too much to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_traffic_is_afterwards_is_read_again_from_a_server_that_is_busy() {
    let cluster = Cluster::start().await;
    let left = Arc::new(AtomicI32::new(i32::MAX));
    let layer = move |request: axum::extract::Request, next: axum::middleware::Next| {
        let left = left.clone();
        async move {
            let route = request.uri().path().contains("/virtualservices/");
            let writes = request.method() == http::Method::PATCH;
            if route
                && !writes
                && left.load(Ordering::SeqCst) != i32::MAX
                && left.fetch_sub(1, Ordering::SeqCst) > 0
            {
                let busy = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429,
                    "reason": "TooManyRequests", "message": "too many requests"});
                let busy = (http::StatusCode::TOO_MANY_REQUESTS, axum::Json(busy));
                return axum::response::IntoResponse::into_response(busy);
            }
            let answer = next.run(request).await;
            if route && writes {
                left.store(4, Ordering::SeqCst);
            }
            answer
        }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    write_kubeconfig(&cluster.kubeconfig(), listener.local_addr().unwrap()).unwrap();
    let app = cluster.store.router().layer(axum::middleware::from_fn(layer));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, app).await.unwrap() });
    let (code, report, out) = reported(&cluster, &[]).await;
    assert_eq!((code, cluster.shop().0), (0, 0), "{out}");
    assert_eq!(report["after"][0]["weight"], json!(0.0), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_answers_with_an_error_is_said_to_answer_and_what_to_do() {
    for (code, reason, remedy) in [
        (429, "TooManyRequests", "it has too much to do"),
        (500, "InternalError", "the fault is the API server's own"),
        (503, "ServiceUnavailable", "it is not ready"),
    ] {
        let cluster = Cluster::start().await;
        let failure = Failure::new(code, reason, "not now");
        cluster
            .store
            .inject(Fault::new(Action::Fail(failure)).verb("patch").resource(SERVICES));
        let (ended, report, out) = reported(&cluster, &["--timeout", "1s"]).await;
        assert_eq!((ended, cluster.shop().0), (75, 40), "{out}");
        let said = said(&report);
        assert!(said.contains(&format!("answered {code}")), "{said}");
        assert!(
            said.contains(remedy) && !said.contains("unable to reach"),
            "{said}"
        );
    }
}

/// A leader hangs whose Lease is fresh: what the status says is as old as its last breath. Whoever takes over moves the
/// traffic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_traffic_stood_is_told_by_the_routes_and_not_by_a_status_that_is_old() {
    let cluster = Cluster::start().await;
    cluster.lease();
    let nothing = json!({"asked": "0%", "written": "0%", "observed": "0%"});
    let old = json!({"components": [
        {"name": "shop", "state": "Walking", "reason": "HoldingStep", "message": "holds", "weight": nothing}]});
    cluster
        .store
        .put_status(ROLLOUTS, NAMESPACE, "shop", old)
        .unwrap();
    let store = cluster.store.clone();
    let mut successor = JoinSet::new();
    successor.spawn(async move {
        let key = loop {
            let rollout = store.get(ROLLOUTS, NAMESPACE, "shop").unwrap();
            let annotations = rollout.pointer("/metadata/annotations").cloned().unwrap_or_default();
            let keys = annotations.as_object().cloned().unwrap_or_default();
            if let Some(key) = keys.keys().find(|key| key.contains("/command.rollback.")) {
                break key.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let id = key.rsplit('.').next().unwrap();
        let mut shop = Value::clone(&store.get(SERVICES, NAMESPACE, "shop").unwrap());
        shop["spec"]["http"][0]["route"][0]["weight"] = json!(100);
        shop["spec"]["http"][0]["route"][1]["weight"] = json!(0);
        store.put(shop).unwrap();
        let answered = json!({"commands": [{"id": id, "verb": "rollback", "at": "2026-03-02T12:00:01Z",
            "result": "Accepted", "message": "shop: going to 0%"}], "components": [
            {"name": "shop", "state": "RolledBack", "reason": "Emergency", "message": "back", "weight": nothing}]});
        store.put_status(ROLLOUTS, NAMESPACE, "shop", answered).unwrap();
    });
    let (code, report, out) = reported(&cluster, &[]).await;
    assert_eq!((code, cluster.shop().0), (0, 0), "{out}");
    assert_eq!(report["components"][0]["result"], "done", "{report:#}");
    assert!(
        said(&report).contains("it was at 40% when this began") && !said(&report).contains("already"),
        "{report:#}"
    );
    assert_eq!(report["before"][0]["weight"], json!(40.0), "{report:#}");
    assert_eq!(report["after"][0]["weight"], json!(0.0), "{report:#}");
    let health = &report["health"]["before"]["components"][0]["weight"];
    assert_eq!(*health, json!(40.0), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_too_where_traffic_stood_is_what_the_routes_said() {
    let cluster = Cluster::start().await;
    let weights = json!({"asked": "5%", "written": "5%", "observed": "5%"});
    let stale = json!({"components": [
        {"name": "shop", "state": "Walking", "reason": "HoldingStep", "message": "holds", "weight": weights}]});
    cluster
        .store
        .put_status(ROLLOUTS, NAMESPACE, "shop", stale)
        .unwrap();
    let (code, report, out) = reported(&cluster, &[]).await;
    assert_eq!(code, 0, "{out}");
    assert_eq!(report["before"][0]["weight"], json!(40.0), "{report:#}");
}
