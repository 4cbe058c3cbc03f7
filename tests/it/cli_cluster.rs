//! The program against a cluster: what it changes, what it leaves alone, and how it ends.

use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::crd;
use gradual_rollout::sandbox::apiserver::{Store, serve, write_kubeconfig};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A cluster with a rollout `shop` at 40% and its VirtualService.
pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) folder: tempfile::TempDir,
    _server: tokio::task::JoinSet<()>,
}

pub(crate) const NAMESPACE: &str = "sealos-system";
const ROLLOUTS: &str = "gradualrollouts.rollout.sealos.io";

impl Cluster {
    pub(crate) async fn start() -> Self {
        let store = Store::new(Clock::System);
        store.namespace(NAMESPACE);
        store
            .register_crd(&crd::definition())
            .expect("the API server takes the definition");
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/shop.yaml")).unwrap();
        store.put(serde_saphyr::from_str(&text).unwrap()).unwrap();
        let weights = json!({"asked": "40%", "written": "40%", "observed": "40%"});
        let shop = json!({"name": "shop", "state": "Walking", "reason": "HoldingStep", "message": "holds", "weight": weights});
        store
            .put_status(
                "gradualrollouts.rollout.sealos.io",
                NAMESPACE,
                "shop",
                json!({"components": [shop]}),
            )
            .unwrap();
        store
            .put(json!({
                "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                "metadata": {"name": "shop", "namespace": NAMESPACE},
                "spec": {"hosts": ["shop"], "http": [{"route": [
                    {"destination": {"host": "shop", "subset": "v1"}, "weight": 60},
                    {"destination": {"host": "shop", "subset": "v2"}, "weight": 40},
                ]}]},
            }))
            .unwrap();
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

    pub(crate) fn lease(&self) {
        let now = Clock::System.now();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "gradual-rollout", "namespace": NAMESPACE},
            "spec": {"holderIdentity": "test", "leaseDurationSeconds": 15, "renewTime": format!("{now:.6}")},
        });
        self.store.put(lease).unwrap();
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"));
        command
            .args(arguments)
            .env_clear()
            .env("KUBECONFIG", self.kubeconfig())
            .env("USER", "eve")
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// The canary's weight, and the stamp.
    pub(crate) fn shop(&self) -> (u64, Option<String>) {
        let shop = self
            .store
            .get("virtualservices.networking.istio.io", NAMESPACE, "shop")
            .unwrap();
        let stamp = shop.pointer("/metadata/annotations/rollout.sealos.io~1w.shop");
        let weight = shop
            .pointer("/spec/http/0/route/1/weight")
            .and_then(Value::as_u64)
            .unwrap();
        (weight, stamp.and_then(Value::as_str).map(str::to_owned))
    }

    /// The commands that wait on the rollout: their annotations' keys.
    pub(crate) fn commands(&self) -> Vec<String> {
        let rollout = self
            .store
            .get("gradualrollouts.rollout.sealos.io", NAMESPACE, "shop")
            .unwrap();
        let annotations = rollout
            .pointer("/metadata/annotations")
            .and_then(Value::as_object)
            .cloned();
        annotations
            .unwrap_or_default()
            .keys()
            .filter(|k| k.contains("/command."))
            .cloned()
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_a_raise_is_refused_and_leaves_nothing() {
    let cluster = Cluster::start().await;
    let (code, out, err) = cluster.run(&["-p", "60", "-c", "shop", "--no-confirm"]).await;
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains("no daemon is alive"), "{out}");
    assert_eq!(cluster.shop(), (40, None));
    assert!(cluster.commands().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_a_rollback_is_done_from_here_and_left_for_the_next_daemon() {
    let cluster = Cluster::start().await;
    let report = cluster.folder.path().join("report.json");
    let path = report.to_str().unwrap();
    let (code, out, err) = cluster
        .run(&[
            "rollback",
            "shop",
            "--no-confirm",
            "--reason",
            "x",
            "--report",
            path,
        ])
        .await;
    assert_eq!(code, 0, "{out}{err}");
    let (weight, stamp) = cluster.shop();
    let commands = cluster.commands();
    assert_eq!(weight, 0);
    let stamp = stamp.expect("stamped, so that the daemon recognises it");
    assert!(stamp.ends_with(" 0% RollbackRequested"), "{stamp}");
    assert_eq!(commands.len(), 1, "the wish stays for the next daemon");
    assert!(
        commands[0].ends_with(stamp.split(' ').next().unwrap()),
        "one id for both: {commands:?} {stamp}"
    );
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!(report["components"][0]["result"], "doneDirectly");
    assert_eq!(report["before"][0]["weight"], 40.0);
    assert_eq!(
        (&report["after"][0]["weight"], &report["after"][0]["observed"]),
        (&json!(0.0), &json!(0.0)),
        "what the objects say, not the status that nobody keeps: {report}"
    );
    assert_eq!((&report["who"], &report["exit"]), (&json!("eve"), &json!(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_a_raise_is_told_by_the_objects_and_not_by_the_old_status() {
    let cluster = Cluster::start().await;
    let (code, out, err) = cluster.run(&["rollback", "shop", "--no-confirm"]).await;
    assert_eq!(code, 0, "{out}{err}");
    let before = cluster.commands();
    let set = ["set", "5", "shop", "--force", "--no-confirm"];
    let (code, out, err) = cluster.run(&set).await;
    assert_eq!(code, 3, "the status still says 40%: {out}{err}");
    assert!(out.contains("no daemon is alive"), "{out}");
    assert_eq!(cluster.shop().0, 0);
    assert_eq!(cluster.commands(), before, "only the rollback stays");
}

/// A younger rollout on the same VirtualService, whose canary is the older one's control.
fn swapped(cluster: &Cluster) -> Value {
    let mut young = (*cluster.store.get(ROLLOUTS, NAMESPACE, "shop").unwrap()).clone();
    young["metadata"] =
        json!({"name": "reverse", "namespace": NAMESPACE, "creationTimestamp": "2099-01-01T00:00:00Z"});
    young["status"] = Value::Null;
    let pair = &mut young["spec"]["components"][0]["routers"][0]["istio"];
    let (canary, control) = (pair["canary"].clone(), pair["control"].clone());
    (pair["canary"], pair["control"]) = (control, canary);
    young
}

/// Creation times are whole seconds: it has to be another one.
async fn put_swapped(cluster: &Cluster) {
    let old = cluster.store.get(ROLLOUTS, NAMESPACE, "shop").unwrap();
    let old = old["metadata"]["creationTimestamp"].as_str().unwrap();
    while format!("{:.0}", Clock::System.now()).as_str() <= old {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    cluster.store.put(swapped(cluster)).unwrap();
    let young = cluster.store.get(ROLLOUTS, NAMESPACE, "reverse").unwrap();
    assert!(young["metadata"]["creationTimestamp"].as_str().unwrap() > old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_younger_rollouts_rollback_raises_no_canary_of_the_older_one() {
    let cluster = Cluster::start().await;
    put_swapped(&cluster).await;
    for words in [
        &[
            "rollback",
            "--all-components",
            "--rollout",
            "reverse",
            "--no-confirm",
        ][..],
        &[
            "emergency-rollback",
            "--rollout",
            "reverse",
            "--reason",
            "x",
            "--force",
        ],
        &["rollback", "--all-components", "--rollout", "reverse", "-d"],
    ] {
        let (code, out, err) = cluster.run(words).await;
        assert_ne!(code, 0, "{out}{err}");
        assert!(out.contains("older shop"), "{out}{err}");
        assert_eq!(cluster.shop(), (40, None), "{words:?}");
    }
    // The older one's goes back, and with it all there is.
    let (code, out, err) = cluster
        .run(&["rollback", "shop", "--rollout", "shop", "--no-confirm"])
        .await;
    assert_eq!((code, cluster.shop().0), (0, 0), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_rollout_that_the_daemon_refused_the_status_says_so() {
    let cluster = Cluster::start().await;
    put_swapped(&cluster).await;
    let condition = json!({"type": "Stalled", "status": "True", "reason": "Claimed", "lastTransitionTime": "2026-01-01T00:00:00Z",
        "message": "virtualservice shop is routed by the older shop"});
    let status = json!({"conditions": [condition], "components": []});
    cluster
        .store
        .put_status(ROLLOUTS, NAMESPACE, "reverse", status)
        .unwrap();
    for words in [
        &["status", "--rollout", "reverse", "-o", "wide"][..],
        &["explain", "shop", "--rollout", "reverse"],
    ] {
        let (_, out, err) = cluster.run(words).await;
        let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(out.contains("routed by the older shop"), "{words:?} {out}{err}");
        assert!(!out.contains("no daemon has looked"), "{out}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_a_set_that_lowers_is_done_from_here() {
    let cluster = Cluster::start().await;
    let (code, out, err) = cluster
        .run(&["set", "5", "shop", "--force", "--no-confirm"])
        .await;
    assert_eq!((code, cluster.shop().0), (0, 5), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_without_a_daemon_keeps_what_dual_keeps_and_never_raises() {
    let cluster = Cluster::start().await;
    let dual = ["emergency-rollback", "--mode", "dual", "--reason", "x", "--force"];
    let (code, out, err) = cluster.run(&dual).await;
    assert_eq!(code, 0, "{out}{err}");
    let (weight, stamp) = cluster.shop();
    assert_eq!(weight, 10);
    assert!(stamp.unwrap().ends_with(" 10% Emergency"));
    let (code, _, _) = cluster
        .run(&["emergency-rollback", "--reason", "x", "--force"])
        .await;
    assert_eq!((code, cluster.shop().0), (0, 0));
    let (code, _, _) = cluster.run(&dual).await;
    assert_eq!(
        (code, cluster.shop().0),
        (0, 0),
        "below what dual keeps already: it stays"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_the_exact_change_and_changes_nothing() {
    let cluster = Cluster::start().await;
    for (arguments, says) in [
        (
            vec!["-p", "60", "-c", "shop", "-d"],
            "virtualservice sealos-system/shop: 40% → 60%",
        ),
        (
            vec!["rollback", "shop", "-d"],
            "virtualservice sealos-system/shop: 40% → 0%",
        ),
        (
            vec!["emergency-rollback", "-d"],
            "virtualservice sealos-system/shop: 40% → 0%",
        ),
        (vec!["pause", "shop", "-d"], "rollout.sealos.io/command.pause."),
    ] {
        let version = cluster.store.version();
        let (code, out, err) = cluster.run(&arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        assert!(out.contains(says), "{arguments:?}: {out}");
        assert_eq!(cluster.store.version(), version, "{arguments:?} wrote something");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raise_that_nobody_takes_up_in_time_is_taken_back() {
    let cluster = Cluster::start().await;
    cluster.lease();
    let (code, out, err) = cluster
        .run(&["-p", "60", "-c", "shop", "--no-confirm", "--timeout", "1s"])
        .await;
    assert_eq!(code, 75, "{out}{err}");
    assert!(out.contains("taken back"), "{out}");
    assert!(cluster.commands().is_empty());
    let (code, out, _) = cluster
        .run(&["pause", "shop", "--no-confirm", "--timeout", "1s"])
        .await;
    assert_eq!(code, 75, "{out}");
    assert_eq!(cluster.commands().len(), 1, "what lowers or stops stays: {out}");
    assert_eq!(cluster.shop(), (40, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_for_the_whole_cluster_is_alive_for_rollouts_of_every_namespace() {
    let cluster = Cluster::start().await;
    cluster.store.namespace("shops");
    for (resource, name) in [
        ("gradualrollouts.rollout.sealos.io", "shop"),
        ("virtualservices.networking.istio.io", "shop"),
    ] {
        let mut object = Value::clone(&cluster.store.get(resource, NAMESPACE, name).unwrap());
        object["metadata"] = json!({"name": name, "namespace": "shops"});
        cluster.store.put(object).unwrap();
    }
    let (_, out, err) = cluster.run(&["-n", "shops", "status", "-o", "json"]).await;
    let status: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let said = status["daemon"]["message"].to_string();
    assert_eq!(status["daemon"]["alive"], json!(false), "{out}");
    assert!(
        said.contains("shops/gradual-rollout") && said.contains("sealos-system/gradual-rollout"),
        "{said}"
    );
    cluster.lease();
    let (_, out, _) = cluster.run(&["-n", "shops", "status", "-o", "json"]).await;
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["daemon"], json!({"alive": true, "holder": "test"}));
    let raise = [
        "-n",
        "shops",
        "-p",
        "60",
        "-c",
        "shop",
        "--no-confirm",
        "--timeout",
        "1s",
    ];
    let (code, out, err) = cluster.run(&raise).await;
    assert_eq!(code, 75, "it waits for the daemon: {out}{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_there_is_refused_and_nobody_to_confirm_is_a_usage_error() {
    let cluster = Cluster::start().await;
    let (code, _, err) = cluster.run(&["-p", "5", "-c", "terminal", "--no-confirm"]).await;
    assert_eq!(code, 3);
    assert!(
        err.contains("kind: GradualRollout") && err.contains("there are shop"),
        "{err}"
    );
    let (code, _, err) = cluster.run(&["rollback", "shop"]).await;
    assert_eq!(code, 64);
    assert!(err.contains("--no-confirm"), "{err}");
    let (code, _, err) = cluster.run(&["emergency-rollback", "--reason", "x"]).await;
    assert_eq!(code, 64);
    assert!(err.contains("--force"), "{err}");
    assert_eq!(cluster.shop(), (40, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_says_where_everything_stands_and_that_nobody_watches() {
    let cluster = Cluster::start().await;
    let (code, out, err) = cluster.run(&[]).await;
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("shop") && out.contains("dual") && out.contains("40%"),
        "{out}"
    );
    assert!(out.contains("no daemon is alive"), "{out}");
    cluster.lease();
    let (_, out, _) = cluster.run(&["status", "-o", "json"]).await;
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["daemon"]["alive"], true);
    assert_eq!(value["rollouts"][0]["components"][0]["weight"], 40.0);
    let (code, out, _) = cluster.run(&["status", "-n", "default"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("No GradualRollouts in default"), "{out}");
}

/// Skipped where there is no kubectl.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kubectl_examples_of_the_documentation_are_commands() {
    let there = |program: &str| Command::new(program).arg("--help").output().is_ok();
    if !there("kubectl") || !there("bash") {
        return;
    }
    let cluster = Cluster::start().await;
    let text = include_str!("../../docs/commands.md");
    let script = text.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-euc", script])
        .env("KUBECONFIG", cluster.kubeconfig());
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap())
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rollout = cluster
        .store
        .get("gradualrollouts.rollout.sealos.io", NAMESPACE, "shop")
        .unwrap();
    let annotations =
        serde_json::from_value(rollout.pointer("/metadata/annotations").unwrap().clone()).unwrap();
    let (good, bad) = gradual_rollout::rollout::command::pending(&annotations);
    assert!(bad.is_empty(), "{bad:?}");
    let mut verbs: Vec<&str> = good.iter().map(|c| c.verb.word()).collect();
    verbs.sort_unstable();
    assert_eq!(verbs, ["rollback", "set"]);
    assert!(
        good.iter()
            .all(|c| c.verb.only_lowers() || c.wish.expires_at.is_some())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_a_set_between_two_objects_lowers_the_one_and_says_that_the_other_stays() {
    let cluster = Cluster::start().await;
    let inner = cluster
        .store
        .get("virtualservices.networking.istio.io", NAMESPACE, "shop")
        .unwrap();
    let mut inner = (*inner).clone();
    inner["metadata"] = json!({"name": "inner", "namespace": NAMESPACE});
    inner["spec"]["http"][0]["route"][0]["weight"] = json!(100);
    inner["spec"]["http"][0]["route"][1]["weight"] = json!(0);
    cluster.store.put(inner).unwrap();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/shop.yaml")).unwrap();
    let text = text.replace("[{name: shop}]", "[{name: shop}, {name: inner}]");
    cluster.store.put(serde_saphyr::from_str(&text).unwrap()).unwrap();
    let (code, out, err) = cluster
        .run(&["set", "5", "shop", "--force", "--no-confirm"])
        .await;
    assert_eq!((code, cluster.shop().0), (3, 5), "{out}{err}");
    assert!(
        out.contains("40% → 5%") && out.contains("inner 0% → 0%") && out.contains("taken back"),
        "{out}"
    );
    assert!(cluster.commands().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wide_status_keeps_to_the_columns_that_it_is_given_and_loses_no_word() {
    let cluster = Cluster::start().await;
    cluster.lease();
    let words = "nothing of what is awaited has come for quite a while, and whoever reads this has to know where to look next";
    let weights = json!({"asked": "40%", "written": "40%", "observed": "40%"});
    let shop = json!({"name": "shop", "state": "Walking", "reason": "HoldingStep", "message": words, "weight": weights});
    cluster
        .store
        .put_status(ROLLOUTS, NAMESPACE, "shop", json!({"components": [shop]}))
        .unwrap();
    let (code, free, err) = cluster.run(&["status", "-o", "wide"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(free.contains(words) && free.contains("MESSAGE"), "{free}");
    for columns in ["60", "100"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"));
        command
            .args(["status", "-o", "wide"])
            .env_clear()
            .env("KUBECONFIG", cluster.kubeconfig())
            .env("COLUMNS", columns)
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let widest = out.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(
            widest <= columns.parse().unwrap(),
            "{widest} of {columns}:\n{out}"
        );
        let said: Vec<&str> = out.split_whitespace().collect();
        assert!(said.join(" ").contains(words), "{out}");
        assert!(out.contains("COMPONENT") && out.contains("WEIGHT"), "{out}");
    }
}
