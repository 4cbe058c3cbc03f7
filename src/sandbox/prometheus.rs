//! A real Prometheus beside the sandbox: found, started on a free loopback port, ended with the value that holds it.

use serde_json::json;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Where `make tools` puts what is not on `PATH`, below the folder that it runs in.
const FETCHED: &str = ".tools/usr/bin";
/// How often it is asked whether it is ready, and how many times.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 600;
/// A port that was free may be taken in between; then another one is tried.
const PORTS: u32 = 3;

/// Why there is no Prometheus.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// It is not installed.
    #[error(
        "--prometheus needs the program `prometheus`, which is neither on PATH nor in {FETCHED}: run `make tools` in the source folder, or install it (Debian: apt-get install prometheus)"
    )]
    Missing,
    /// It is, and does not run.
    #[error("unable to start {program}: {cause}")]
    Failed {
        /// The file.
        program: String,
        /// Why, with the end of its log.
        cause: String,
    },
}

/// The program: from `PATH`, else where `make tools` has put it.
pub(super) fn find() -> Result<PathBuf, PrometheusError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    look_in(std::env::split_paths(&path).chain([PathBuf::from(FETCHED)]))
}

fn look_in(mut folders: impl Iterator<Item = PathBuf>) -> Result<PathBuf, PrometheusError> {
    folders
        .find_map(|folder| {
            let file = folder.join("prometheus");
            // It is started in another folder than this one.
            file.is_file().then(|| std::path::absolute(&file).unwrap_or(file))
        })
        .ok_or(PrometheusError::Missing)
}

/// A running Prometheus. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub(super) struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Prometheus {
    /// Starts it, scraping `/metrics` of `target` every `interval`, and waits until it is ready.
    pub(super) async fn start(
        program: &Path,
        target: SocketAddr,
        interval: Duration,
    ) -> Result<Self, PrometheusError> {
        let failed = |cause: String| PrometheusError::Failed {
            program: program.display().to_string(),
            cause,
        };
        let mut log = String::new();
        for _ in 0..PORTS {
            let mut started =
                Self::launch(program, target, interval).map_err(|error| failed(error.to_string()))?;
            for _ in 0..LOOKS {
                match started.child.try_wait() {
                    Ok(None) => {}
                    Ok(Some(_)) => break,
                    Err(error) => return Err(failed(error.to_string())),
                }
                if started.is_ready().await {
                    return Ok(started);
                }
                tokio::time::sleep(LOOK).await;
            }
            log = started.last_words();
        }
        Err(failed(format!("it did not become ready; it said: {log}")))
    }

    /// Where it answers.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn launch(program: &Path, target: SocketAddr, interval: Duration) -> io::Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let folder = std::env::temp_dir().join(format!(
            "gradual-rollout-sandbox-prometheus-{}-{}",
            std::process::id(),
            address.port()
        ));
        fs::create_dir(&folder)?;
        let child = run(program, &folder, address, target, interval);
        if child.is_err() {
            remove(&folder);
        }
        Ok(Self {
            child: child?,
            address,
            folder,
        })
    }

    async fn is_ready(&self) -> bool {
        let ask = async {
            let mut stream = TcpStream::connect(self.address).await?;
            let request = "GET /-/ready HTTP/1.0\r\nHost: localhost\r\n\r\n";
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        };
        let answer = tokio::time::timeout(Duration::from_secs(2), ask).await;
        // HTTP/1.x 200 …
        matches!(answer, Ok(Ok(answer)) if answer.split(' ').nth(1) == Some("200"))
    }

    /// The end of its log.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines().last().unwrap_or("nothing").to_owned()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            tracing::debug!(%error, "prometheus had ended already");
        }
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(%error, folder = %folder.display(), "a temporary folder was not removed");
    }
}

fn run(
    program: &Path,
    folder: &Path,
    address: SocketAddr,
    target: SocketAddr,
    interval: Duration,
) -> io::Result<Child> {
    let every = format!("{}ms", interval.as_millis());
    let config = json!({
        "global": {"scrape_interval": every, "scrape_timeout": every},
        "scrape_configs": [{"job_name": "sandbox", "static_configs": [{"targets": [target.to_string()]}]}],
    });
    // JSON is YAML.
    fs::write(folder.join("prometheus.yml"), config.to_string())?;
    Command::new(program)
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=data")
        .arg(format!("--web.listen-address={address}"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("log"))?)
        .spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_the_remedy() {
        let error = look_in([PathBuf::from("/nowhere")].into_iter()).unwrap_err();
        assert!(error.to_string().contains("make tools"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_is_an_error_and_leaves_no_folder() {
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let error = Prometheus::start(Path::new("/bin/false"), target, SCRAPE)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("did not become ready"), "{error}");
        let mine = format!("gradual-rollout-sandbox-prometheus-{}-", std::process::id());
        let left = fs::read_dir(std::env::temp_dir()).unwrap();
        let left = left.filter(|e| {
            e.as_ref()
                .is_ok_and(|e| e.file_name().to_string_lossy().starts_with(&mine))
        });
        assert_eq!(left.count(), 0);
    }

    const SCRAPE: Duration = Duration::from_secs(1);
}
