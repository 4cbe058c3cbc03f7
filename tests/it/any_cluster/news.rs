//! News: what a real API server makes of Events that count.

use super::objects::rollout;
use super::scene::on_cluster;
use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::events;
use gradual_rollout::cluster::rollouts::RawRollout;
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

// On one thread, because only there tokio's clock can be moved on by a minute.
#[tokio::test]
async fn the_same_news_a_minute_later_is_one_event_that_counts() {
    on_cluster(async |scene| {
        let object = scene
            .create(&rollout(&scene.ns, "demo", &["shop"], &["5%"]))
            .await;
        let about = RawRollout {
            namespace: scene.ns.clone(),
            name: "demo".into(),
            uid: object["metadata"]["uid"].as_str().unwrap().to_owned(),
            ..RawRollout::default()
        };
        let clock = Clock::simulated(Clock::System.now());
        let client = scene.admin.clients.api.clone();
        let (sink, writer) = events::channel(client, clock, "daemon-1".into());
        scene.beside(writer.run(CancellationToken::new()));
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", scene.ns);
        for said in 1..=3 {
            sink.publish(&about, "Drifted", "somebody raised shop", true);
            scene
                .until("the Event counts", async |s| {
                    let listed = s.admin.get(&path).await.body;
                    let all = listed["items"].as_array().cloned().unwrap_or_default();
                    assert!(all.len() <= 1, "{all:#?}");
                    let series = all.first().map(|event| event["series"]["count"].clone());
                    series == Some(if said == 1 { json!(null) } else { json!(said) })
                })
                .await;
            // What else runs here does not mind: nothing waits for it.
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(61)).await;
            tokio::time::resume();
        }
    })
    .await;
}
