//! A canary Ingress beside a tenant's, with ingress-nginx played by the test, as far as it counts requests.

use super::cluster::Connection;
use super::objects::rollout_of;
use super::scene::{Scene, on_cluster};
use super::traffic::Traffic;
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
const MARK: &str = "rollout.sealos.io/w.terminal";

/// A tenant's Ingress, its route behind the gateway's split listener, and the gateway's Service.
async fn bring_tenant(scene: &Scene) {
    let ns = &scene.ns;
    let host = format!("one.{ns}.example.com");
    let backend = json!({"service": {"name": "one", "port": {"number": 80}}});
    scene
        .create(&json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "one", "namespace": ns, "labels": {"app": "terminal"}},
            "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
        }))
        .await;
    scene
        .create(&json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "one", "namespace": ns},
            "spec": {"hosts": [host], "gateways": [format!("{ns}/split")],
                "http": [{"route": [{"destination": {"host": "one"}}]}]},
        }))
        .await;
    scene
        .create(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "gateway", "namespace": ns},
            "spec": {"selector": {"istio": "gateway"}, "ports": [{"name": "split", "port": 8081, "targetPort": 8081}]},
        }))
        .await;
}

async fn bring_rollout(scene: &Scene, weights: &[&str]) {
    let ns = &scene.ns;
    let arm =
        |canary: &str| json!({"preset": "ingress-nginx", "labels": {"ingress": "one", "canary": canary}});
    let component = json!({
        "name": "terminal",
        "routers": [{"ingressNginx": {
            "ingresses": {"matchLabels": {"app": "terminal"}},
            "gateway": {"namespace": ns, "service": "gateway", "port": 8081, "name": format!("{ns}/split")},
        }}],
        "arms": {"canary": arm("~.+"), "control": arm("")},
    });
    scene.create(&rollout_of(ns, "demo", &[component], weights)).await;
}

/// The canary Ingress of ours, if there is one.
async fn canary(admin: &Connection, ingresses: &str) -> Option<Value> {
    let listed = admin.get(ingresses).await.body;
    let mut all = listed["items"].as_array().into_iter().flatten();
    all.find(|i| i["metadata"]["labels"]["rollout.sealos.io/component"] == "terminal")
        .cloned()
}

fn permille(canary: Option<&Value>) -> u32 {
    let weight = canary.and_then(|c| c["metadata"]["annotations"][WEIGHT].as_str()?.parse().ok());
    weight.unwrap_or_default()
}

/// Splits the traffic as nginx would by what the canary says.
async fn play_nginx(admin: Connection, ingresses: String, traffic: Arc<Traffic>) {
    loop {
        let found = canary(&admin, &ingresses).await;
        traffic.split("terminal", f64::from(permille(found.as_ref())) / 1000.0);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn begin(scene: &mut Scene, weights: &[&str]) {
    bring_tenant(scene).await;
    bring_rollout(scene, weights).await;
    let (admin, ingresses) = (scene.admin.clone(), scene.ingresses(""));
    scene.beside(play_nginx(admin, ingresses, scene.traffic.clone()));
    scene.start("daemon-1").await;
}

async fn until_permille(scene: &Scene, weight: u32) {
    let what = format!("a canary of {weight} in 1000");
    scene
        .until(&what, async |s| {
            permille(canary(&s.admin, &s.ingresses("")).await.as_ref()) == weight
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_ingress_is_made_raised_and_deleted_when_it_fails() {
    on_cluster(async |scene| {
        begin(scene, &["5%", "30%", "60%"]).await;
        let tenants = scene.admin.get(&scene.ingresses("one")).await.ok("the tenant's");
        until_permille(scene, 50).await;
        let made = canary(&scene.admin, &scene.ingresses("")).await.unwrap();
        let name = made["metadata"]["name"].as_str().unwrap().to_owned();
        let alias = scene
            .admin
            .get(&scene.core("services", &name))
            .await
            .ok("the alias");
        let leads_to = format!("gateway.{}.svc.cluster.local", scene.ns);
        assert_eq!(alias["spec"]["externalName"], *leads_to);
        until_permille(scene, 300).await;
        scene.traffic.fail("terminal");
        scene
            .until("the canary is deleted", async |s| {
                s.admin.get(&s.ingresses(&name)).await.code == 404
            })
            .await;
        scene
            .until("rolled back", async |s| {
                let terminal = s.component("terminal").await;
                terminal.state == State::RolledBack && terminal.lowering.is_none()
            })
            .await;
        let terminal = scene.component("terminal").await;
        assert_eq!(terminal.reason, Reason::Breach, "{}", terminal.message);
        let now = scene.admin.get(&scene.ingresses("one")).await.ok("the tenant's");
        assert_eq!(now, tenants, "not a byte of the tenant's changed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn detached_a_canary_ingress_keeps_its_weight_and_loses_our_mark() {
    on_cluster(async |scene| {
        begin(scene, &["5%", "30%"]).await;
        scene
            .until("30% is written and read back", async |s| {
                s.component("terminal").await.weight.written.permille() == 300
            })
            .await;
        let wish = json!({"components": ["terminal"], "reason": "by hand from here", "who": "ada"});
        scene.say("detach", &wish).await;
        scene
            .until("the mark is off", async |s| {
                let found = canary(&s.admin, &s.ingresses("")).await.unwrap();
                found["metadata"]["annotations"].get(MARK).is_none()
            })
            .await;
        until_permille(scene, 300).await;
    })
    .await;
}
