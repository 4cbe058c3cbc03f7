//! A controller switched by its ConfigMap and its Deployment's environment.

use super::cluster::Connection;
use super::objects::{rollout_of, switched};
use super::scene::{Scene, on_cluster};
use gradual_rollout::rollout::reason::State;
use serde_json::{Value, json};
use std::time::Duration;

/// A controller's ConfigMap and Deployment, without pods, so that nothing has to be pulled and started.
pub(super) async fn bring_controller(scene: &Scene, name: &str) {
    let metadata = json!({"name": name, "namespace": scene.ns});
    let data = json!({"networking_mode": "ingress", "istio_percentage": "0", "domain": "example.com"});
    scene
        .create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))
        .await;
    let env = json!([{"name": "NETWORKING_MODE", "value": "ingress"}, {"name": "ISTIO_PERCENTAGE", "value": "0"},
        {"name": "KEPT", "value": "yes"}]);
    let pod = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [
        {"name": "side", "image": "example.invalid/side:1"},
        {"name": "controller", "image": "example.invalid/controller:1", "env": env}]}});
    let spec = json!({"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": pod});
    scene
        .create(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}))
        .await;
}

/// Does what the Deployment controller does with a Deployment without pods; it may be there as well, or not.
pub(super) async fn play_controller(admin: Connection, path: String) {
    loop {
        let found = admin.get(&path).await.body;
        let generation = &found["metadata"]["generation"];
        if found["status"]["observedGeneration"].as_i64() < generation.as_i64() {
            let status = json!({"status": {"observedGeneration": generation}});
            admin.merge(&format!("{path}/status"), &status).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn variable<'v>(deployment: &'v Value, name: &str) -> &'v Value {
    let containers = deployment["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap();
    let controller = containers.iter().find(|c| c["name"] == "controller").unwrap();
    let env = controller["env"].as_array().unwrap();
    &env.iter().find(|v| v["name"] == name).unwrap()["value"]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_is_told_by_config_map_and_environment_and_nothing_else_changes() {
    on_cluster(async |scene| {
        bring_controller(scene, "terminal").await;
        let component = switched(&scene.ns, "terminal");
        scene
            .create(&rollout_of(&scene.ns, "demo", &[component], &["5%", "30%"]))
            .await;
        let (admin, path) = (scene.admin.clone(), scene.deployments("terminal"));
        scene.beside(play_controller(admin, path));
        scene.start("daemon-1").await;
        scene
            .until("completed", async |s| {
                s.component("terminal").await.state == State::Completed
            })
            .await;
        let config = scene.admin.get(&scene.core("configmaps", "terminal")).await.body;
        assert_eq!(config["data"]["networking_mode"], "dual");
        assert_eq!(config["data"]["istio_percentage"], "30");
        assert_eq!(config["data"]["domain"], "example.com");
        let deployment = scene.admin.get(&scene.deployments("terminal")).await.body;
        assert_eq!(variable(&deployment, "NETWORKING_MODE"), "dual");
        assert_eq!(variable(&deployment, "ISTIO_PERCENTAGE"), "30");
        assert_eq!(variable(&deployment, "KEPT"), "yes");
        assert_eq!(
            deployment["spec"]["template"]["spec"]["containers"][0]["name"],
            "side"
        );
    })
    .await;
}
