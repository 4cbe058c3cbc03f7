//! A real Envoy on free loopback ports: one listener, the back ends as clusters, routes out of a file.

use crate::process::Process;
use crate::tools;
use crate::wait::until;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the one route configuration is called.
pub(crate) const ROUTES: &str = "edge";

/// A running Envoy.
#[derive(Debug)]
pub(crate) struct Envoy {
    process: Process,
    folder: PathBuf,
    /// Where requests go in.
    pub(crate) listener: SocketAddr,
    /// Where its statistics are.
    pub(crate) admin: SocketAddr,
}

impl Envoy {
    /// Starts it with these clusters and waits until it has taken up the routes that are in the folder.
    ///
    /// The ports are found by binding them first; should somebody take one in between, others are tried.
    pub(crate) async fn start(folder: &Path, clusters: &[(String, SocketAddr)]) -> Self {
        for _ in 0..5 {
            let (listener, admin) = (free(), free());
            let config = bootstrap(folder, listener, admin, clusters);
            std::fs::write(folder.join("envoy.json"), config.to_string()).unwrap();
            let mut envoy = Self {
                process: launch(folder),
                folder: folder.to_owned(),
                listener,
                admin,
            };
            if envoy.becomes_ready().await {
                return envoy;
            }
        }
        panic!("envoy did not become ready on any of five pairs of ports");
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it anew where it was, and waits until it is ready.
    pub(crate) async fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.folder);
        let ready = self.becomes_ready().await;
        assert!(ready, "envoy does not start again:\n{}", self.process.said());
    }

    /// Waits until it serves; false when it ended instead.
    async fn becomes_ready(&mut self) -> bool {
        let url = format!("http://{}/ready", self.admin);
        until("envoy is ready", async || {
            if !self.process.runs() {
                return Some(false);
            }
            let answer = reqwest::get(&url).await.ok()?;
            answer.status().is_success().then_some(true)
        })
        .await
    }
}

fn launch(folder: &Path) -> Process {
    let mut command = Command::new(tools::find("envoy"));
    command
        .args(["-c", "envoy.json", "--disable-hot-restart", "--concurrency", "1"])
        .args(["--log-level", "warning"]);
    Process::start(command, folder, "envoy.log")
}

/// A loopback port that was free just now.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|free| free.local_addr())
        .unwrap()
}

/// The version of the routes that an Envoy has taken up.
pub(crate) async fn version_in_force(admin: SocketAddr) -> Option<String> {
    let url = format!("http://{admin}/config_dump?resource=dynamic_route_configs");
    let dump: Value = reqwest::get(url).await.ok()?.json().await.ok()?;
    let version = dump.pointer("/configs/0/version_info")?.as_str()?;
    Some(version.to_owned())
}

fn bootstrap(
    folder: &Path,
    listener: SocketAddr,
    admin: SocketAddr,
    clusters: &[(String, SocketAddr)],
) -> Value {
    let socket = |at: SocketAddr| json!({"socket_address": {"address": at.ip(), "port_value": at.port()}});
    let clusters: Vec<Value> = clusters
        .iter()
        .map(|(name, address)| {
            json!({
                "name": name, "type": "STATIC", "connect_timeout": "1s",
                "load_assignment": {"cluster_name": name, "endpoints": [
                    {"lb_endpoints": [{"endpoint": {"address": socket(*address)}}]}
                ]},
            })
        })
        .collect();
    let routes = folder.join("routes");
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "rds": {"route_config_name": ROUTES, "config_source": {
            "resource_api_version": "V3",
            "path_config_source": {"path": routes.join("routes.json"), "watched_directory": {"path": routes}},
        }},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        }}],
    });
    json!({
        "node": {"id": "edge", "cluster": "edge"},
        "admin": {"address": socket(admin)},
        "static_resources": {
            "listeners": [{"name": "edge", "address": socket(listener), "filter_chains": [{"filters": [
                {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
            ]}]}],
            "clusters": clusters,
        },
    })
}
