//! What is let go is what it was, as a real server keeps it.

use super::objects::{rollout_of, switched};
use super::scene::{Scene, on_cluster};
use super::switching::{bring_controller, play_controller};
use serde_json::{Value, json};

/// An object without what each write of anybody's changes.
fn owned(mut object: Value) -> Value {
    for key in ["resourceVersion", "managedFields", "generation"] {
        object["metadata"].as_object_mut().unwrap().remove(key);
    }
    object.as_object_mut().unwrap().remove("status");
    object
}

async fn all(scene: &Scene) -> [Value; 3] {
    let read = async |path: String| owned(scene.admin.get(&path).await.body);
    [
        owned(scene.route("shop").await),
        read(scene.core("configmaps", "terminal")).await,
        read(scene.deployments("terminal")).await,
    ]
}

async fn delete(scene: &Scene) {
    scene.admin.delete(&scene.rollouts("demo")).await.ok("deleting");
    scene
        .until("gone", async |s| {
            s.admin.get(&s.rollouts("demo")).await.code == 404
        })
        .await;
}

/// Two components at 30%: a route, and a controller with a restarted Deployment.
async fn at_thirty(scene: &mut Scene, on_delete: &str) -> [Value; 3] {
    bring_controller(scene, "terminal").await;
    scene
        .create(&super::objects::virtual_service(&scene.ns, "shop"))
        .await;
    let before = all(scene).await;
    let mut demo = super::objects::rollout(&scene.ns, "demo", &["shop"], &["5%", "30%"]);
    let mut controller = switched(&scene.ns, "terminal");
    controller["routers"][0]["controllerSwitch"]["restart"] = json!(true);
    let more = rollout_of(&scene.ns, "demo", &[controller], &["5%"]);
    let components = demo["spec"]["components"].as_array_mut().unwrap();
    components.push(more["spec"]["components"][0].clone());
    demo["spec"]["onDelete"] = json!(on_delete);
    scene.create(&demo).await;
    let (admin, path) = (scene.admin.clone(), scene.deployments("terminal"));
    scene.beside(play_controller(admin, path));
    scene.start("daemon-1").await;
    scene
        .until("both at 30%", async |s| {
            let [a, b] = [s.component("shop").await, s.component("terminal").await];
            a.weight.written.permille() == 300 && b.weight.written.permille() == 300
        })
        .await;
    before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_with_restore_every_object_is_byte_for_byte_what_it_was() {
    on_cluster(async |scene| {
        let before = at_thirty(scene, "restore").await;
        delete(scene).await;
        assert_eq!(all(scene).await, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_with_keep_the_traffic_stays_and_no_mark_does() {
    on_cluster(async |scene| {
        at_thirty(scene, "keep").await;
        delete(scene).await;
        let [route, map, deployment] = all(scene).await;
        assert_eq!(route["spec"]["http"][0]["route"][1]["weight"], 30);
        assert_eq!(map["data"]["istio_percentage"], "30");
        for object in [&route, &map, &deployment] {
            let annotations = object["metadata"]["annotations"].to_string();
            assert!(!annotations.contains("rollout.sealos.io"), "{annotations}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_the_finalizer_keeps_the_resource_until_somebody_takes_it_off() {
    on_cluster(async |scene| {
        scene.bring(&["shop"], &["5%", "30%"]).await;
        let daemon = scene.start("daemon-1").await;
        scene.until_weight("shop", 30).await;
        daemon.stop().await;
        scene.admin.delete(&scene.rollouts("demo")).await.ok("deleting");
        assert!(scene.object().await["metadata"]["deletionTimestamp"].is_string());
        // As the documentation says.
        let off = json!({"metadata": {"finalizers": null}});
        scene.admin.merge(&scene.rollouts("demo"), &off).await.ok("off");
        assert_eq!(scene.admin.get(&scene.rollouts("demo")).await.code, 404);
        assert_eq!(scene.weight("shop").await, 30, "the traffic stays where it is");
    })
    .await;
}
