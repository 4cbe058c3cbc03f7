//! Daemons: their Lease, one after another, and as a process of its own beside a real Prometheus.

use super::scene::{Scene, on_cluster};
use crate::support::tools::Prometheus;
use axum::Router;
use axum::routing::get;
use gradual_rollout::rollout::reason::State;
use gradual_rollout::rollout::weight::Weight;
use std::time::Duration;

async fn holder(scene: &Scene) -> String {
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases/gradual-rollout",
        scene.ns
    );
    let lease = scene.admin.get(&path).await.body;
    lease["spec"]["holderIdentity"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_daemons_acts_and_the_other_takes_over_when_it_dies() {
    on_cluster(async |scene| {
        scene.bring(&["shop"], &["5%", "30%", "50%"]).await;
        let first = scene.start("first").await;
        scene
            .until("the first leads", async |s| holder(s).await == "first")
            .await;
        let second = scene.start("second").await;
        scene.until_weight("shop", 30).await;
        assert_eq!(holder(scene).await, "first");
        first.kill();
        scene
            .until("the second leads", async |s| holder(s).await == "second")
            .await;
        scene
            .until("completed", async |s| {
                s.component("shop").await.state == State::Completed
            })
            .await;
        let walked: Vec<Weight> = scene
            .component("shop")
            .await
            .history
            .iter()
            .map(|h| h.to)
            .collect();
        let planned = [5, 30, 50].map(|w| Weight::from_percent(w).unwrap());
        assert_eq!(walked, planned, "no step is skipped, none is taken twice");
        second.stop().await;
        assert_eq!(holder(scene).await, "", "told to stop, it gives the Lease back");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_itself_walks_a_plan_judged_by_a_real_prometheus_and_rolls_back() {
    on_cluster(async |scene| {
        scene.bring(&["shop", "cart"], &["5%", "30%"]).await;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (traffic, ns) = (scene.traffic.clone(), scene.ns.clone());
        let page = async move || format!("{}{}", traffic.page(&ns, "shop"), traffic.page(&ns, "cart"));
        let router = Router::new().route("/metrics", get(page));
        scene.beside(async move { axum::serve(listener, router).await.unwrap() });
        let prometheus = Prometheus::start(&[address], Duration::from_secs(1)).await;
        let settings = scene.folder.path().join("settings.toml");
        // Port 0: whichever is free.
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[watch]\nnamespaces = [\"{}\"]\n[prometheus]\nendpoints = [\"{}\"]\n",
            scene.ns,
            prometheus.url()
        );
        std::fs::write(&settings, text).unwrap();
        let log = std::fs::File::create(scene.folder.path().join("log")).unwrap();
        let mut command = scene
            .program(&["run", "--config", settings.to_str().unwrap()])
            .await;
        command.env("KUBECONFIG", scene.shipped().await);
        command.stdout(std::process::Stdio::null()).stderr(log);
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        scene.until_weight("cart", 30).await;
        scene.traffic.fail("shop");
        scene
            .until("cart is done and shop rolled back", async |s| {
                s.component("cart").await.state == State::Completed
                    && s.component("shop").await.state == State::RolledBack
            })
            .await;
        assert_eq!((scene.weight("shop").await, scene.weight("cart").await), (0, 30));
        assert_ne!(holder(scene).await, "");
        let id = child.id().unwrap().to_string();
        let told = tokio::process::Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .await;
        assert!(told.unwrap().success());
        let ended = tokio::time::timeout(super::cluster::LONG, child.wait())
            .await
            .unwrap()
            .unwrap();
        let log = std::fs::read_to_string(scene.folder.path().join("log")).unwrap();
        assert!(ended.success(), "{ended}\n{log}");
        assert_eq!(holder(scene).await, "", "{log}");
    })
    .await;
}
