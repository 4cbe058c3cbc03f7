//! A cluster that holds one rollout with a given status, and the program against it.

use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::crd;
use gradual_rollout::sandbox::apiserver::{Store, serve, write_kubeconfig};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

pub(crate) const NAMESPACE: &str = "sealos-system";

pub(crate) struct Cluster {
    pub(crate) store: Store,
    /// Where the program runs; holds the kubeconfig, too.
    pub(crate) folder: tempfile::TempDir,
    _server: tokio::task::JoinSet<()>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let store = Store::new(Clock::System);
        store.namespace(NAMESPACE);
        store.register_crd(&crd::definition()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        write_kubeconfig(&folder.path().join("kubeconfig"), listener.local_addr().unwrap()).unwrap();
        let mut server = tokio::task::JoinSet::new();
        let objects = store.clone();
        server.spawn(async move {
            let _ = serve(listener, objects, std::future::pending()).await;
        });
        Self {
            store,
            folder,
            _server: server,
        }
    }

    /// Applies a rollout and gives it a status.
    pub(crate) fn rollout(&self, yaml: &str, status: Value) {
        let object: Value = serde_saphyr::from_str(yaml).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.store.put(object).unwrap();
        self.store
            .put_status("gradualrollouts.rollout.sealos.io", NAMESPACE, &name, status)
            .unwrap();
    }

    /// A daemon that was alive then.
    pub(crate) fn daemon(&self, at: &str) {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "gradual-rollout", "namespace": NAMESPACE},
            "spec": {"holderIdentity": "daemon", "leaseDurationSeconds": 15, "renewTime": at},
        });
        self.store.put(lease).unwrap();
    }

    /// Runs the program with these words and nothing inherited.
    pub(crate) async fn run(&self, words: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"));
        program
            .args(words)
            .env_clear()
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .envs(env.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || program.output().unwrap());
        let output = output.await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        (code, text(output.stdout), text(output.stderr))
    }
}
