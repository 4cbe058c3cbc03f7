//! Weights in an `HTTPRoute`, with a gateway's controller played by the test: a cluster without one is a cluster too.

use super::cluster::Connection;
use super::objects::{GATEWAYS, http_route, rollout_of, routed_by_gateway};
use super::scene::{Scene, on_cluster};
use super::traffic::Traffic;
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::rollout::weight::Weight;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn path(scene: &Scene, name: &str) -> String {
    format!("/apis/{GATEWAYS}/namespaces/{}/httproutes/{name}", scene.ns)
}

/// The canary's weight of a route, in percent of the pair; left out it is 1.
fn canary(route: &Value) -> f64 {
    let weight = |n: usize| {
        let weight = &route["spec"]["rules"][0]["backendRefs"][n]["weight"];
        weight.as_f64().unwrap_or(1.0)
    };
    100.0 * weight(1) / (weight(0) + weight(1))
}

/// Does what a gateway and its controller do: says of each generation whether it is accepted, and splits the traffic.
async fn play_gateway(
    admin: Connection,
    path: String,
    name: &'static str,
    traffic: Arc<Traffic>,
    open: Arc<AtomicBool>,
) {
    loop {
        let route = admin.get(&path).await.body;
        traffic.split(name, canary(&route) / 100.0);
        let generation = &route["metadata"]["generation"];
        let status = if open.load(Ordering::SeqCst) {
            "True"
        } else {
            "False"
        };
        let said = &route["status"]["parents"][0]["conditions"][0];
        if said["status"] != status || said["observedGeneration"] != *generation {
            let condition = |kind: &str, status: &str| {
                json!({"type": kind, "status": status, "reason": "Played", "message": "says the test",
                    "observedGeneration": generation, "lastTransitionTime": "2026-03-02T02:00:00Z"})
            };
            let parents = json!([{"parentRef": route["spec"]["parentRefs"][0], "controllerName": "example.com/played",
                "conditions": [condition("Accepted", status), condition("ResolvedRefs", "True")]}]);
            let body = json!({"status": {"parents": parents}});
            admin.merge(&format!("{path}/status"), &body).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn until_canary(scene: &Scene, percent: f64) {
    let what = format!("shop at {percent}%");
    scene
        .until(&what, async |s| {
            let route = s.admin.get(&path(s, "shop")).await.body;
            (canary(&route) - percent).abs() < 1e-9
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_route_is_raised_while_its_gateway_accepts_it_and_put_back_whatever_that_says() {
    on_cluster(async |scene| {
        scene.create(&http_route(&scene.ns, "shop")).await;
        let component = routed_by_gateway(&scene.ns, "shop");
        let object = rollout_of(&scene.ns, "demo", &[component], &["5%", "30%", "60%"]);
        scene.create(&object).await;
        let before = scene.admin.get(&path(scene, "shop")).await.ok("the route");
        let open = Arc::new(AtomicBool::new(true));
        let (admin, traffic) = (scene.admin.clone(), scene.traffic.clone());
        let route = path(scene, "shop");
        scene.beside(play_gateway(admin, route, "shop", traffic, open.clone()));
        scene.start("daemon-1").await;
        until_canary(scene, 30.0).await;
        open.store(false, Ordering::SeqCst);
        scene
            .until("it is not accepted", async |s| {
                s.component("shop").await.reason == Reason::RouteNotAccepted
            })
            .await;
        let shop = scene.component("shop").await;
        assert!(shop.message.contains("example.com/played"), "{}", shop.message);
        assert_eq!(shop.weight.written, Weight::from_percent(30).unwrap());
        scene.traffic.fail("shop");
        until_canary(scene, 0.0).await;
        scene
            .until("rolled back", async |s| {
                s.component("shop").await.state == State::RolledBack
            })
            .await;
        let rest = |mut route: Value| {
            for n in 0..2 {
                route["spec"]["rules"][0]["backendRefs"][n]["weight"] = Value::Null;
            }
            (route["spec"].clone(), route["metadata"]["labels"].clone())
        };
        let after = scene.admin.get(&path(scene, "shop")).await.ok("the route");
        assert_eq!(rest(after), rest(before), "what is not ours stays");
    })
    .await;
}
