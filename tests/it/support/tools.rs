//! Finds and runs the real programs that tests talk to: a Prometheus and a stock kubectl.
//!
//! `make tools` fetches into `.tools/` what is not on `PATH`; the tests look in the same two places.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The program `name`: from `PATH`, else from `.tools/`. Panics with the remedy when it is in neither.
pub(crate) fn find(name: &str) -> PathBuf {
    optional(name).unwrap_or_else(|| panic!("no usable {name} on PATH or in .tools/: run `make tools`"))
}

/// The program `name`, if it is in either place.
pub(crate) fn optional(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/usr/bin");
    std::env::split_paths(&path)
        .chain([fetched])
        .map(|folder| folder.join(name))
        .find(|file| runs(name, file))
}

/// Whether `file` is there and answers as a `name` that is new enough (the same rule as in `scripts/tools.sh`).
fn runs(name: &str, file: &Path) -> bool {
    if !file.is_file() {
        return false;
    }
    let arguments: &[&str] = match name {
        "kubectl" => &["version", "--client", "-o", "json"],
        _ => &["--version"],
    };
    let Ok(output) = Command::new(file).args(arguments).stdin(Stdio::null()).output() else {
        return false;
    };
    output.status.success()
        && (name != "kubectl" || kubectl_minor(&output.stdout).is_some_and(|minor| minor >= 27))
}

/// The minor version in the answer of `kubectl version --client -o json`; builds of vendors write `"32+"`.
fn kubectl_minor(answer: &[u8]) -> Option<u32> {
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    let minor = answer.pointer("/clientVersion/minor")?.as_str()?;
    minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

/// A stock kubectl that knows no cluster but the one of `kubeconfig` (none: no cluster at all) and keeps its
/// caches in `home`, so that tests on reused ports never see another server's discovery.
pub(crate) fn kubectl(kubeconfig: Option<&Path>, home: &Path) -> Command {
    let mut command = Command::new(find("kubectl"));
    command
        .env("HOME", home)
        .env("KUBECONFIG", kubeconfig.unwrap_or(&home.join("no-cluster")))
        .arg("--cache-dir")
        .arg(home.join("cache"))
        .stdin(Stdio::null());
    command
}

/// A real Prometheus on a free loopback port with its data in a folder of its own; ends with this value.
#[derive(Debug)]
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it scraping `targets` (`host:port`, path `/metrics`) every `interval` and waits until it is ready.
    ///
    /// The port is found by binding it first; should somebody take it in between, another one is tried.
    pub(crate) async fn start(targets: &[SocketAddr], interval: Duration) -> Self {
        Self::start_over(targets, interval, "", &[], &serde_json::json!({})).await
    }

    /// The same, with these parts of the configuration too.
    pub(crate) async fn configured(
        targets: &[SocketAddr],
        interval: Duration,
        config: &serde_json::Value,
    ) -> Self {
        Self::start_over(targets, interval, "", &[], config).await
    }

    /// The same, with these arguments too.
    pub(crate) async fn start_with(targets: &[SocketAddr], interval: Duration, arguments: &[&str]) -> Self {
        Self::start_over(targets, interval, "", arguments, &serde_json::json!({})).await
    }

    /// Starts it with a past: `record` is `OpenMetrics` text whose samples have their times.
    pub(crate) async fn with_record(record: &str) -> Self {
        Self::start_over(&[], Duration::from_secs(15), record, &[], &serde_json::json!({})).await
    }

    async fn start_over(
        targets: &[SocketAddr],
        interval: Duration,
        record: &str,
        arguments: &[&str],
        config: &serde_json::Value,
    ) -> Self {
        let owned: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        for _ in 0..5 {
            let mut started = Self::launch(targets, interval, record, &owned, config);
            if started.becomes_ready().await {
                return started;
            }
        }
        panic!("prometheus did not become ready on any of five ports");
    }

    /// Where it answers: `http://127.0.0.1:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Launches it with more arguments and does not wait: who gives it TLS must ask it by TLS. It may lose its port
    /// to somebody else in between; then it ends.
    pub(crate) fn launch_with(arguments: &[String]) -> Self {
        Self::launch(&[], Duration::from_secs(1), "", arguments, &serde_json::json!({}))
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn launch(
        targets: &[SocketAddr],
        interval: Duration,
        record: &str,
        arguments: &[String],
        more: &serde_json::Value,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder for prometheus");
        if !record.is_empty() {
            let text = folder.path().join("record");
            std::fs::write(&text, record).expect("the record");
            let output = Command::new(find("promtool"))
                .args(["tsdb", "create-blocks-from", "openmetrics"])
                .args([&text, &folder.path().join("data")])
                .output()
                .expect("promtool starts");
            assert!(
                output.status.success(),
                "promtool refused the record: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
        let interval = format!("{}ms", interval.as_millis());
        let mut config = serde_json::json!({
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "scrape_configs": [{"job_name": "sandbox", "static_configs": [{"targets": targets}]}],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        // JSON is YAML.
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config.to_string()).expect("the configuration of prometheus");
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|free| free.local_addr())
            .expect("a free loopback port");
        let log = std::fs::File::create(folder.path().join("log")).expect("the log of prometheus");
        let child = Command::new(find("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            // A record keeps its own times, however long ago they are.
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address={address}"))
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        Self {
            child,
            address,
            folder,
        }
    }

    /// Polls until it says ready; false when it ended instead. Panics with its log after a minute.
    async fn becomes_ready(&mut self) -> bool {
        let client = reqwest::Client::new();
        let url = format!("{}/-/ready", self.url());
        for _ in 0..1200 {
            if self.child.try_wait().expect("the state of prometheus").is_some() {
                return false;
            }
            if let Ok(answer) = client.get(&url).send().await
                && answer.status().is_success()
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("prometheus is not ready after a minute:\n{log}");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody left to tell.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A real Alertmanager on a free loopback port, alone, with its data in a folder of its own; ends with this value.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts it with this configuration and waits until it is ready.
    pub(crate) async fn start(config: &serde_json::Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder for alertmanager");
        let file = folder.path().join("alertmanager.yml");
        std::fs::write(&file, config.to_string()).expect("the configuration of alertmanager");
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|free| free.local_addr())
            .expect("a free loopback port");
        let log = std::fs::File::create(folder.path().join("log")).expect("the log of alertmanager");
        let child = Command::new(relocated(folder.path()))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            // Alone: it looks for no others.
            .arg("--cluster.listen-address=")
            .arg("--log.level=debug")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("alertmanager starts");
        let started = Self {
            child,
            address,
            folder,
        };
        let url = format!("http://{address}/-/ready");
        for _ in 0..1200 {
            if reqwest::get(&url)
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return started;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("alertmanager is not ready after a minute:\n{}", started.log());
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says of itself.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Debian's Alertmanager reads its templates from where its package would be installed. Fetched into a folder it is not:
/// a copy looks for them where it runs, by a path of the same length. One that brings its templates along stays as it is.
fn relocated(folder: &Path) -> PathBuf {
    const INSTALLED: &[u8] = b"/usr/share/prometheus/alertmanager";
    let program = find("prometheus-alertmanager");
    let templates = program
        .parent()
        .map(|bin| bin.join("../share/prometheus/alertmanager"));
    let Some(templates) = templates.and_then(|folder| std::fs::read_dir(folder).ok()) else {
        return program;
    };
    for template in templates.flatten().filter(|file| file.path().is_file()) {
        std::fs::copy(template.path(), folder.join(template.file_name())).expect("a template");
    }
    let mut bytes = std::fs::read(&program).expect("the program");
    let mut here = vec![b'/'; INSTALLED.len()];
    here[0] = b'.';
    let mut at = 0;
    while let Some(found) = bytes[at..]
        .windows(INSTALLED.len())
        .position(|part| part == INSTALLED)
    {
        at += found;
        bytes[at..at + INSTALLED.len()].copy_from_slice(&here);
    }
    let copy = folder.join("alertmanager");
    std::fs::write(&copy, bytes).expect("a copy of the program");
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
    copy
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody left to tell.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn a_real_prometheus_starts_and_answers_queries() {
    let prometheus = Prometheus::start(&[], Duration::from_secs(1)).await;
    let url = format!("{}/api/v1/query?query=vector(42)", prometheus.url());
    let answer: serde_json::Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(
        answer.pointer("/data/result/0/value/1"),
        Some(&"42".into()),
        "{answer}"
    );
}

#[test]
fn vendors_plus_signs_in_kubectls_version_are_understood() {
    let minor = |text: &str| kubectl_minor(format!(r#"{{"clientVersion":{{"minor":"{text}"}}}}"#).as_bytes());
    assert_eq!(minor("32"), Some(32));
    assert_eq!(minor("32+"), Some(32));
    assert_eq!(minor("new"), None);
    assert_eq!(kubectl_minor(b"Client Version: v1.20.2"), None);
}
