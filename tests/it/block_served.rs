//! The daemon serves the webhook of `migrate block`, and tells before it is asked no more.

use gradual_rollout::clock::Clock;
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
use gradual_rollout_toolkit::block::{self, BlockArgs, Stage};
use gradual_rollout_toolkit::place::Place;
use gradual_rollout_toolkit::trouble::End;
use serde_json::json;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::cluster::{Cluster, NAMESPACE};

/// How long anything may take on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// Blocks, in a cluster that knows no policies, so many days ago.
async fn blocked(cluster: &Cluster, days: i64) {
    for resource in ["validatingadmissionpolicies", "validatingadmissionpolicybindings"] {
        let gone = Action::Fail(Failure::no_such_resource());
        let fault = Fault::new(gone).resource(&format!("{resource}.admissionregistration.k8s.io"));
        cluster.store.inject(fault);
    }
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": NAMESPACE, "name": "gradual-rollout"}, "spec": {"ports": [{"port": 443}]}});
    cluster.store.put(service).unwrap();
    let args = BlockArgs {
        mode: Some(Stage::Audit),
        skip_stages: false,
        class: vec!["nginx".to_owned()],
        without_class: false,
        exempt_namespace: Vec::new(),
        exempt_user: Vec::new(),
        webhook_service: Some(format!("{NAMESPACE}/gradual-rollout")),
        dry_run: false,
    };
    let then = || Clock::System.now() - jiff::SignedDuration::from_hours(24 * days);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut place = Place {
        client: cluster.store.client("default"),
        now: &then,
        stopped: &|| false,
        out: &mut out,
        err: &mut err,
        terminal: None,
        namespace: None,
        json: false,
    };
    assert_eq!(block::block(&args, &mut place).await.unwrap(), End::Done);
}

#[tokio::test]
async fn the_daemon_tells_in_its_log_that_the_certificate_of_its_webhook_ends() {
    let cluster = Cluster::start().await;
    blocked(&cluster, 340).await;
    let settings = cluster.folder.path().join("daemon.toml");
    std::fs::write(
        &settings,
        "listen = \"127.0.0.1:0\"\n[block]\nlisten = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"))
        .args(["run", "--config", settings.to_str().unwrap()])
        .env_clear()
        .env("KUBECONFIG", cluster.folder.path().join("kubeconfig"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(daemon.stderr.take().unwrap()).lines();
    let told = async {
        let mut all = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("webhook") && line.contains("certificate ends") {
                return line;
            }
            all.push_str(&line);
            all.push('\n');
        }
        panic!("the daemon ended and told nothing of it:\n{all}");
    };
    let line = tokio::time::timeout(LONG, told).await.unwrap();
    assert!(line.contains("migrate block --mode audit"), "{line}");
}
