//! An nginx of one's own: found, started on a socket in a folder of its own, stopped with its owner.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gradual_rollout_migration::model::Request;

use crate::wire::{self, Response};

/// The program, from `PATH` or `.tools/`; prints why a test is skipped.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let fetched = ["usr/sbin", "usr/bin"].map(|folder| root.join(".tools").join(folder));
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .chain(fetched)
        .map(|folder| folder.join("nginx"))
        .find(|file| {
            let version = Command::new(file)
                .arg("-v")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            version.is_ok_and(|status| status.success())
        });
    if found.is_none() {
        println!("skipped: no nginx on PATH or in .tools/");
    }
    found
}

/// A running nginx.
pub(crate) struct Nginx {
    child: Child,
    folder: PathBuf,
}

static FOLDERS: AtomicU32 = AtomicU32::new(0);

impl Nginx {
    /// Starts with what stands inside `http {}`; `listen` there is `unix:SOCKET`. `Err` is what nginx says of a
    /// configuration that it does not load.
    pub(crate) fn start(program: &Path, http: &str) -> Result<Self, String> {
        let number = FOLDERS.fetch_add(1, Ordering::SeqCst);
        // Short: a socket's path may have some hundred bytes.
        let folder = std::env::temp_dir().join(format!("nginx-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("nginx.conf");
        std::fs::write(&file, configuration(&folder, http)).unwrap();
        let log = std::fs::File::create(folder.join("stderr")).unwrap();
        let child = Command::new(program)
            .arg("-p")
            .arg(&folder)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut nginx = Self { child, folder };
        for _ in 0..5_000 {
            if UnixStream::connect(nginx.socket()).is_ok() {
                return Ok(nginx);
            }
            if nginx.child.try_wait().unwrap().is_some() {
                return Err(std::fs::read_to_string(nginx.folder.join("stderr")).unwrap());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("nginx does not listen");
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("edge.sock")
    }

    pub(crate) fn ask(&self, request: &Request) -> Response {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(wire::PATIENCE)).unwrap();
        wire::exchange(&mut stream, request)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // One process (no master), so its own id is all there is to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn configuration(folder: &Path, http: &str) -> String {
    let folder = folder.display();
    let http = http.replace("unix:SOCKET", &format!("unix:{folder}/edge.sock"));
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{\naccess_log off;\nmerge_slashes on;\nclient_body_temp_path {folder}/body;\n\
         proxy_temp_path {folder}/proxy;\nfastcgi_temp_path {folder}/fastcgi;\nuwsgi_temp_path {folder}/uwsgi;\n\
         scgi_temp_path {folder}/scgi;\n{http}}}\n"
    )
}
