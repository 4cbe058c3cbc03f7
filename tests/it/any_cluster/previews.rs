//! Routes for testers and mirrors beside the weights, as a real server keeps them.

use super::objects::{rollout, virtual_service};
use super::scene::{Scene, on_cluster};
use serde_json::{Value, json};

const RULE: &str = "gradual-rollout-shop-testers-0";

async fn rules(scene: &Scene) -> Vec<String> {
    let route = scene.route("shop").await;
    let routes = route["spec"]["http"].as_array().unwrap().iter();
    routes.map(|r| r["name"].as_str().unwrap().to_owned()).collect()
}

async fn main_route(scene: &Scene) -> Value {
    let route = scene.route("shop").await;
    let mut routes = route["spec"]["http"].as_array().unwrap().iter();
    routes.find(|r| r["name"] == "main").unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn testers_and_a_mirror_stand_beside_the_weights_and_go_with_a_rollback() {
    on_cluster(async |scene| {
        scene.create(&virtual_service(&scene.ns, "shop")).await;
        let before = scene.route("shop").await["spec"].clone();
        let mut object = rollout(&scene.ns, "demo", &["shop"], &["5%", "30%"]);
        object["spec"]["components"][0]["routers"][0]["istio"]["testers"] =
            json!({"headers": {"canary": "true"}});
        // Not completed within the test: then testers and mirror would go.
        object["spec"]["steps"][1]["hold"] = json!("1h");
        scene.create(&object).await;
        scene.start("daemon-1").await;
        scene
            .until("testers", async |s| rules(s).await == [RULE, "main"])
            .await;
        let share = json!({"components": ["shop"], "weight": "12.5%", "who": "ada"});
        scene.say("mirror", &share).await;
        scene
            .until("a mirror", async |s| {
                main_route(s).await["mirrorPercentage"]["value"] == json!(12.5)
            })
            .await;
        scene.until_weight("shop", 30).await;
        assert_eq!(rules(scene).await, [RULE, "main"]);
        let wish = json!({"components": ["shop"], "who": "ada"});
        scene.say("rollback", &wish).await;
        scene
            .until("as it was", async |s| s.route("shop").await["spec"] == before)
            .await;
    })
    .await;
}
