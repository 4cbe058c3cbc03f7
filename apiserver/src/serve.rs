//! The ways in: a client in this process, and loopback HTTP for kubectl.

use super::http::router;
use super::store::Store;
use http::HeaderValue;
use http::header::DATE;
use jiff::Timestamp;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::TcpListener;

impl Store {
    /// The API as a service for clients in this process.
    pub fn router(&self) -> axum::Router {
        router(self.clone())
    }

    /// A client in this process. It has none of the layers of a client from a kubeconfig: no retries, no
    /// authentication.
    pub fn client(&self, namespace: &str) -> kube::Client {
        kube::Client::new(self.router(), namespace)
    }
}

/// Serves the store to kubectl until `shutdown`. Run it on a runtime of its own in real time, never on the paused
/// one of a story: there a socket that is slow by a millisecond looks slow by hours.
pub async fn serve(
    listener: TcpListener,
    store: Store,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let clock = store.clone();
    let app = router(store).layer(axum::middleware::map_response(move |response| {
        let now = clock.now();
        async move { dated(response, now) }
    }));
    let app = axum::serve(listener, app).with_graceful_shutdown(std::future::pending());
    tokio::select! {
        // Watches never end by themselves, so there is nothing to wait for.
        () = shutdown => Ok(()),
        ended = app => ended,
    }
}

/// Says the cluster's time, as every server does: whoever compares it with a renewal in here must not take their
/// own machine's.
fn dated(mut response: axum::response::Response, now: Timestamp) -> axum::response::Response {
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
    if let Some(date) = date.ok().and_then(|date| HeaderValue::from_str(&date).ok()) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

/// Writes a kubeconfig for a server on `address`.
pub fn write_kubeconfig(path: &Path, address: SocketAddr) -> std::io::Result<()> {
    write(path, address, "{}")
}

/// The same, for whoever a bearer token is of.
pub fn write_kubeconfig_of(path: &Path, address: SocketAddr, token: &str) -> std::io::Result<()> {
    // JSON is YAML.
    write(path, address, &serde_json::json!({"token": token}).to_string())
}

fn write(path: &Path, address: SocketAddr, user: &str) -> std::io::Result<()> {
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: sandbox\nclusters:\n- name: sandbox\n  cluster:\n    \
         server: http://{address}\ncontexts:\n- name: sandbox\n  context:\n    cluster: sandbox\n    user: sandbox\n\
         users:\n- name: sandbox\n  user: {user}\n"
    );
    std::fs::write(path, config)
}
