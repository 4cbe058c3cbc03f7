//! A proxy of one's own: found, started on a socket in a folder of its own, stopped with its owner.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gradual_rollout_migration::model::Request;

use super::wire::{self, Response};

/// Set where nothing may be skipped: `make test` sets it.
const DEMANDED: &str = "GRADUAL_ROLLOUT_TEST_NO_SKIP";

/// The program, from `PATH` or `.tools/`; prints why a test is skipped. `version` makes it say its version and end.
pub(crate) fn find(name: &str, version: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let fetched = ["usr/sbin", "usr/bin"].map(|folder| root.join(".tools").join(folder));
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .chain(fetched)
        .map(|folder| folder.join(name))
        .find(|file| {
            let asked = Command::new(file)
                .arg(version)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            asked.is_ok_and(|status| status.success())
        });
    if found.is_none() {
        // Where everything was fetched before, a test that is skipped is one that nobody sees fail.
        let demanded = std::env::var_os(DEMANDED).is_some_and(|value| !value.is_empty());
        assert!(
            !demanded,
            "{DEMANDED} is set, and there is no {name} on PATH or in .tools/: run scripts/tools.sh"
        );
        println!("skipped: no {name} on PATH or in .tools/");
    }
    found
}

/// A folder for one proxy. Its path is short: a socket's may have some hundred bytes.
pub(crate) fn folder(name: &str) -> PathBuf {
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::SeqCst);
    let folder = std::env::temp_dir().join(format!("{name}-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Where the proxy of a folder has to listen.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join("edge.sock")
}

/// A running proxy.
pub(crate) struct Proxy {
    child: Child,
    folder: PathBuf,
}

impl Proxy {
    /// Waits until it listens. `Err` is what it says of a configuration that it does not load.
    pub(crate) fn start(folder: PathBuf, command: &mut Command) -> Result<Self, String> {
        let log = std::fs::File::create(folder.join("stderr")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut proxy = Self { child, folder };
        // Some 30 s at worst, where a machine is busy.
        for _ in 0..15_000 {
            if UnixStream::connect(socket(&proxy.folder)).is_ok() {
                return Ok(proxy);
            }
            if proxy.child.try_wait().unwrap().is_some() {
                return Err(std::fs::read_to_string(proxy.folder.join("stderr")).unwrap());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("it does not listen: {command:?}");
    }

    /// A connection to a socket in its folder; none where nobody listens there.
    #[allow(dead_code, reason = "the replay has more than one")]
    pub(crate) fn try_connect(&self, socket: &str) -> Option<UnixStream> {
        let stream = UnixStream::connect(self.folder.join(socket)).ok()?;
        stream.set_read_timeout(Some(wire::PATIENCE)).unwrap();
        Some(stream)
    }

    pub(crate) fn ask(&self, request: &Request) -> Response {
        let mut stream = UnixStream::connect(socket(&self.folder)).unwrap();
        stream.set_read_timeout(Some(wire::PATIENCE)).unwrap();
        wire::exchange(&mut stream, request)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // One process, so its own id is all there is to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
