//! A real Prometheus that scrapes Envoy, and that can be stopped and started again over what it has stored.

use crate::process::Process;
use crate::proxy::free;
use crate::tools;
use crate::wait::until;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running Prometheus.
#[derive(Debug)]
pub(crate) struct Prometheus {
    process: Process,
    folder: PathBuf,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts it scraping Envoy's statistics every second.
    pub(crate) async fn start(folder: &Path, envoy: SocketAddr) -> Self {
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{
                "job_name": "envoy", "metrics_path": "/stats/prometheus",
                "static_configs": [{"targets": [envoy.to_string()]}],
            }],
        });
        // JSON is YAML.
        std::fs::write(folder.join("prometheus.yml"), config.to_string()).unwrap();
        for _ in 0..5 {
            let address = free();
            let mut started = Self {
                process: launch(folder, address),
                folder: folder.to_owned(),
                address,
            };
            if started.becomes_ready().await {
                return started;
            }
        }
        panic!("prometheus did not become ready on any of five ports");
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it anew over the same storage.
    pub(crate) async fn restart(&mut self) {
        self.process = launch(&self.folder, self.address);
        let ready = self.becomes_ready().await;
        assert!(ready, "prometheus does not start again:\n{}", self.process.said());
    }

    async fn becomes_ready(&mut self) -> bool {
        let url = format!("{}/-/ready", self.url());
        until("prometheus is ready", async || {
            if !self.process.runs() {
                return Some(false);
            }
            let answer = reqwest::get(&url).await.ok()?;
            answer.status().is_success().then_some(true)
        })
        .await
    }
}

fn launch(folder: &Path, address: SocketAddr) -> Process {
    let mut command = Command::new(tools::find("prometheus"));
    command
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=prometheus"])
        .arg(format!("--web.listen-address={address}"));
    Process::start(command, folder, "prometheus.log")
}
