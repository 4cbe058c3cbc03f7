//! What the transcripts' commands find: a cluster, a Prometheus and two files, all as they were on one morning.

use super::record;
use crate::support::tools::Prometheus;
use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::crd;
use gradual_rollout::sandbox::apiserver::{Store, serve, write_kubeconfig};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

const NAMESPACE: &str = "sealos-system";

pub(super) struct Scene {
    store: Store,
    prometheus: Prometheus,
    folder: tempfile::TempDir,
    _server: tokio::task::JoinSet<()>,
}

impl Scene {
    pub(super) async fn start() -> Self {
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
            prometheus: Prometheus::with_record(&record::shop()).await,
            folder,
            _server: server,
        }
    }

    /// The page's own file as `shop.yaml`, applied, with the status of 09:10; and as `wrong.yaml` with a slip.
    pub(super) fn files(&self, yaml: &str) {
        let wrong = yaml.replace("destination_version: v2", "destination_version: v3");
        assert_ne!(wrong, yaml, "the page's file names v2");
        std::fs::write(self.folder.path().join("shop.yaml"), yaml).unwrap();
        std::fs::write(self.folder.path().join("wrong.yaml"), wrong).unwrap();
        let object: Value = serde_saphyr::from_str(yaml).unwrap();
        self.store.put(object).unwrap();
        let status: Value = serde_json::from_str(include_str!("status.json")).unwrap();
        self.store
            .put_status("gradualrollouts.rollout.sealos.io", NAMESPACE, "shop", status)
            .unwrap();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "gradual-rollout", "namespace": NAMESPACE},
            "spec": {"holderIdentity": "daemon", "leaseDurationSeconds": 15, "renewTime": "2026-03-02T09:10:00.000000Z"},
        });
        self.store.put(lease).unwrap();
    }

    /// Runs a command of a transcript, on paper 100 columns wide.
    pub(super) async fn run(&self, command: &str) -> (i32, String, String) {
        let mut words = command.split_whitespace();
        assert_eq!(words.next(), Some("gradual-rollout"), "{command}");
        let mut program = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"));
        program
            .args(words)
            .env_clear()
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env("GRADUAL_ROLLOUT__PROMETHEUS__ENDPOINTS", self.prometheus.url())
            .env("COLUMNS", "100")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || program.output().unwrap());
        let output = output.await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        (code, text(output.stdout), text(output.stderr))
    }
}
