//! A plan walked over real HTTP in real time, and what stops it.

use super::scene::on_cluster;
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::rollout::weight::Weight;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_walked_to_the_end_and_nothing_else_is_touched() {
    on_cluster(async |scene| {
        scene.bring(&["shop"], &["5%", "25%", "50%", "75%", "100%"]).await;
        let before = scene.route("shop").await;
        scene.start("daemon-1").await;
        scene
            .until("completed", async |s| {
                s.component("shop").await.state == State::Completed
            })
            .await;
        let after = scene.route("shop").await;
        assert_eq!(
            after["spec"]["http"][0]["route"][0]["weight"]
                .as_u64()
                .unwrap_or(0),
            0
        );
        assert_eq!(after["spec"]["http"][0]["route"][1]["weight"], 100);
        let rest = |mut route: Value| {
            route["spec"]["http"][0]["route"] = Value::Null;
            (route["spec"].clone(), route["metadata"]["labels"].clone())
        };
        assert_eq!(rest(after), rest(before), "what is not ours stays");
        let status = scene.status().await;
        let shop = status.component("shop").unwrap();
        let walked: Vec<Weight> = shop.history.iter().map(|h| h.to).collect();
        let planned = [5, 25, 50, 75, 100].map(|w| Weight::from_percent(w).unwrap());
        assert_eq!(walked, planned, "{:#?}", shop.history);
        assert_eq!(status.condition("Completed").unwrap().status, "True");
        assert_eq!(status.condition("Ready").unwrap().status, "True");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_canary_goes_back_by_itself_the_others_go_on_and_events_tell_of_it() {
    on_cluster(async |scene| {
        scene.bring(&["shop", "cart"], &["5%", "30%", "50%"]).await;
        scene.start("daemon-1").await;
        scene.until_weight("shop", 30).await;
        scene.traffic.fail("shop");
        scene.until_weight("shop", 0).await;
        scene
            .until("shop is rolled back, cart completed", async |s| {
                let status = s.status().await;
                let state = |name| status.component(name).map(|c| c.state);
                state("shop") == Some(State::RolledBack) && state("cart") == Some(State::Completed)
            })
            .await;
        let status = scene.status().await;
        assert_eq!(status.component("shop").unwrap().reason, Reason::Breach);
        assert_eq!(status.condition("Stalled").unwrap().status, "True");
        assert_eq!(scene.weight("shop").await, 0);
        assert_eq!(scene.weight("cart").await, 50);
        let events = format!("/apis/events.k8s.io/v1/namespaces/{}/events", scene.ns);
        let uid = scene.object().await["metadata"]["uid"].clone();
        scene
            .until("an Event tells of the breach", async |s| {
                let listed = s.admin.get(&events).await.body;
                let all = listed["items"].as_array().cloned().unwrap_or_default();
                all.iter().any(|e| {
                    e["reason"] == "Breach" && e["type"] == "Warning" && e["regarding"]["uid"] == uid
                })
            })
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_in_the_dark_holds_and_goes_on_when_it_is_light() {
    on_cluster(async |scene| {
        scene.bring(&["shop"], &["5%", "30%"]).await;
        scene.start("daemon-1").await;
        scene.until_weight("shop", 5).await;
        scene.traffic.darken(true);
        scene
            .until("blind", async |s| {
                s.component("shop").await.reason == Reason::Blind
            })
            .await;
        assert_eq!(scene.weight("shop").await, 5);
        scene.traffic.darken(false);
        scene.until_weight("shop", 30).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_weight_that_somebody_lowered_stays_lowered_until_resume() {
    on_cluster(async |scene| {
        scene.bring(&["shop"], &["5%", "30%", "50%"]).await;
        scene.start("daemon-1").await;
        scene.until_weight("shop", 30).await;
        write_by_hand(scene, 10).await;
        scene
            .until("drifted", async |s| {
                s.component("shop").await.state == State::Drifted
            })
            .await;
        assert_eq!(scene.weight("shop").await, 10, "lowering is yielded to");
        scene
            .say("resume", &json!({"components": ["shop"], "who": "ada"}))
            .await;
        scene.until_weight("shop", 50).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_weight_that_somebody_raised_is_put_back() {
    on_cluster(async |scene| {
        scene.bring(&["shop"], &["5%", "30%"]).await;
        let long =
            json!({"spec": {"steps": [{"weight": "5%", "hold": "1h"}, {"weight": "30%", "hold": "1h"}]}});
        scene
            .admin
            .merge(&scene.rollouts("demo"), &long)
            .await
            .ok("long holds");
        scene.start("daemon-1").await;
        scene
            .until("5% is written and read back", async |s| {
                s.component("shop").await.weight.written == Weight::from_percent(5).unwrap()
            })
            .await;
        write_by_hand(scene, 80).await;
        scene.until_weight("shop", 5).await;
        scene
            .until("on record", async |s| {
                let shop = s.component("shop").await;
                shop.drifts.iter().any(|d| d.manager == "somebody")
                    && shop.history.iter().any(|h| h.reason == Reason::DriftReverted)
            })
            .await;
    })
    .await;
}

/// Sets the canary's weight as another field manager would.
async fn write_by_hand(scene: &super::scene::Scene, weight: u64) {
    let mut http = scene.route("shop").await["spec"]["http"].clone();
    http[0]["route"][0]["weight"] = json!(100 - weight);
    http[0]["route"][1]["weight"] = json!(weight);
    let path = format!("{}?fieldManager=somebody", scene.routes("shop"));
    let body = json!({"spec": {"http": http}});
    scene.admin.merge(&path, &body).await.ok("a change by hand");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_that_is_written_all_the_time_is_walked_all_the_same() {
    on_cluster(async |scene| {
        scene.bring(&["shop"], &["5%", "30%", "50%"]).await;
        let (admin, path) = (scene.admin.clone(), scene.rollouts("demo"));
        scene.beside(async move {
            for n in 0_u64.. {
                let body = json!({"metadata": {"labels": {"touched": n.to_string()}}});
                admin.merge(&path, &body).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        scene.start("daemon-1").await;
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
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_with_restore_the_traffic_goes_back_before_the_resource_does() {
    on_cluster(async |scene| {
        scene.bring(&["shop"], &["5%", "30%", "50%"]).await;
        let restore = json!({"spec": {"onDelete": "restore"}});
        scene
            .admin
            .merge(&scene.rollouts("demo"), &restore)
            .await
            .ok("restore");
        scene.start("daemon-1").await;
        scene.until_weight("shop", 30).await;
        let held = scene.object().await["metadata"]["finalizers"].clone();
        assert_eq!(held, json!(["rollout.sealos.io/let-go"]));
        scene.admin.delete(&scene.rollouts("demo")).await.ok("deleting");
        scene
            .until("gone", async |s| {
                s.admin.get(&s.rollouts("demo")).await.code == 404
            })
            .await;
        assert_eq!(scene.weight("shop").await, 0, "the traffic was back first");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_wire_a_missing_object_holds_its_component_by_name_and_the_others_go_on() {
    on_cluster(async |scene| {
        scene.bring(&["shop", "cart"], &["5%", "30%"]).await;
        scene.admin.delete(&scene.routes("cart")).await.ok("deleting");
        scene.start("daemon-1").await;
        scene
            .until("shop is done", async |s| s.weight("shop").await == 30)
            .await;
        let cart = scene.component("cart").await;
        assert_eq!(cart.reason, Reason::RouterUnreadable);
        let name = format!("virtualservice {}/cart", scene.ns);
        assert!(cart.message.contains(&name), "{}", cart.message);
    })
    .await;
}
