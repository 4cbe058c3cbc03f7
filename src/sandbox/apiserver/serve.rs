//! The ways in: a client in this process, and loopback HTTP for kubectl.

use super::http::router;
use super::store::Store;
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
    let app = axum::serve(listener, router(store)).with_graceful_shutdown(std::future::pending());
    tokio::select! {
        // Watches never end by themselves, so there is nothing to wait for.
        () = shutdown => Ok(()),
        ended = app => ended,
    }
}

/// Writes a kubeconfig for a server on `address`.
pub fn write_kubeconfig(path: &Path, address: SocketAddr) -> std::io::Result<()> {
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: sandbox\nclusters:\n- name: sandbox\n  cluster:\n    \
         server: http://{address}\ncontexts:\n- name: sandbox\n  context:\n    cluster: sandbox\n    user: sandbox\n\
         users:\n- name: sandbox\n  user: {{}}\n"
    );
    std::fs::write(path, config)
}
