//! The cluster under test: the one that the environment names, or the sandbox's behind a socket.

use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::connect::{Clients, connect};
use gradual_rollout::sandbox::apiserver::{Store, serve, write_kubeconfig_of};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// Names the kubeconfig of the cluster to test against.
pub(super) const VARIABLE: &str = "GRADUAL_ROLLOUT_TEST_KUBECONFIG";
/// How long anything may take that needs no judging: far more than a slow cluster needs.
pub(super) const LONG: Duration = Duration::from_secs(120);

/// The kubeconfig of the cluster under test. Starts the sandbox's API server when no other cluster is named; it
/// lasts as long as the process.
pub(super) fn kubeconfig() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match named() {
        Some(file) => std::path::absolute(file).unwrap(),
        None => sandbox(),
    })
}

fn named() -> Option<std::ffi::OsString> {
    std::env::var_os(VARIABLE).filter(|v| !v.is_empty())
}

/// Whether the sandbox stands in for a cluster.
pub(super) fn is_sandbox() -> bool {
    named().is_none()
}

/// The token of whoever may do everything there.
const ADMIN: &str = "admin";

fn sandbox() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("any-cluster");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("kubeconfig-{}", std::process::id()));
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            let store = Store::new(Clock::System);
            store.enforce_rbac(ADMIN);
            serve(listener, store, std::future::pending()).await.unwrap();
        });
    });
    write_kubeconfig_of(&path, is_ready.recv().unwrap(), ADMIN).unwrap();
    path
}

/// An answer of the API server.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) warnings: Vec<String>,
    pub(super) body: Value,
}

impl Answer {
    /// The body of a success; anything else ends the test, with what the server said.
    #[track_caller]
    pub(super) fn ok(self, what: impl Debug) -> Value {
        assert!((200..300).contains(&self.code), "{what:?}: {self:#?}");
        self.body
    }

    /// The fields that an answer finds fault with, each with its reason.
    pub(super) fn causes(&self) -> Vec<(String, String)> {
        let text = |cause: &Value, key: &str| cause[key].as_str().unwrap_or_default().to_owned();
        let causes = self.body.pointer("/details/causes").and_then(Value::as_array);
        causes
            .into_iter()
            .flatten()
            .map(|cause| (text(cause, "field"), text(cause, "reason")))
            .collect()
    }
}

pub(super) const JSON: &str = "application/json";
pub(super) const MERGE: &str = "application/merge-patch+json";
pub(super) const APPLY: &str = "application/apply-patch+yaml";

/// A connection, as somebody.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) clients: Clients,
}

impl Connection {
    pub(super) async fn open(kubeconfig: &Path) -> Self {
        let clients = connect(Some(kubeconfig), None).await.unwrap();
        Self { clients }
    }

    /// One request, in the API server's own words.
    pub(super) async fn send(&self, method: &str, path: &str, media: &str, body: &Value) -> Answer {
        self.send_for(method, path, media, JSON, body).await
    }

    pub(super) async fn send_for(
        &self,
        method: &str,
        path: &str,
        media: &str,
        accept: &str,
        body: &Value,
    ) -> Answer {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media)
            .header("accept", accept)
            .body(Body::from(bytes))
            .unwrap();
        let response = self
            .clients
            .fast
            .send(request)
            .await
            .unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        let code = response.status().as_u16();
        let warnings = response.headers().get_all("warning");
        let warnings = warnings.iter().map(|w| w.to_str().unwrap().to_owned()).collect();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { code, warnings, body }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, JSON, &Value::Null).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, JSON, body).await
    }

    pub(super) async fn merge(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, MERGE, body).await
    }

    /// As `kubectl apply --server-side` does it.
    pub(super) async fn apply(&self, path: &str, body: &Value) -> Answer {
        let path = format!("{path}?fieldManager=gradual-rollout-test&force=true");
        self.send("PATCH", &path, APPLY, body).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, JSON, &Value::Null).await
    }

    /// Whether the server serves a resource under this group and version.
    pub(super) async fn serves(&self, group_version: &str, plural: &str) -> bool {
        let answer = self.get(&format!("/apis/{group_version}")).await;
        let resources = answer.body.get("resources").and_then(Value::as_array);
        answer.code == 200 && resources.into_iter().flatten().any(|r| r["name"] == plural)
    }
}

/// Waits until something is so. Ends the test when it never is, saying how things stand.
pub(super) async fn until<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
    stands: impl AsyncFnOnce() -> String,
) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    match tokio::time::timeout(LONG, wait).await {
        Ok(found) => found,
        Err(late) => panic!("never ({late}): {what}\n{}", stands().await),
    }
}
