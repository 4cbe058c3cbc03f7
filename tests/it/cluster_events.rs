//! News about a resource: each once, with a count when the same is said again.

use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::cluster::events::{self, EventSink};
use gradual_rollout::cluster::rollouts::RawRollout;
use gradual_rollout::sandbox::apiserver::Store;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

struct World {
    api: Api<Event>,
    sink: EventSink,
    about: RawRollout,
    _tasks: JoinSet<()>,
}

impl World {
    fn new() -> Self {
        Self::about("shop")
    }

    /// News about a resource of this name.
    fn about(name: &str) -> Self {
        let clock = Clock::simulated("2026-01-05T02:00:00Z".parse().unwrap());
        let store = Store::new(clock.clone());
        store.namespace("apps");
        let client = Clients::from_service(store.router()).api;
        let (sink, writer) = events::channel(client.clone(), clock, "daemon-1".into());
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run(CancellationToken::new()));
        let about = RawRollout {
            namespace: "apps".into(),
            name: name.into(),
            uid: "3f1c".into(),
            ..RawRollout::default()
        };
        Self {
            api: Api::namespaced(client, "apps"),
            sink,
            about,
            _tasks: tasks,
        }
    }

    async fn say(&self, note: &str, then: u64) {
        self.sink.publish(&self.about, "Drifted", note, true);
        tokio::time::sleep(Duration::from_secs(then)).await;
    }

    /// Note and count of every Event there is; a first one has no count.
    async fn told(&self) -> Vec<(String, Option<i32>)> {
        let all = self.api.list(&ListParams::default()).await.unwrap().items;
        let mut told: Vec<_> = all
            .into_iter()
            .map(|e| (e.note.unwrap_or_default(), e.series.map(|s| s.count)))
            .collect();
        told.sort();
        told
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_news_again_is_one_event_that_counts_at_most_once_a_minute() {
    let world = World::new();
    for _ in 0..4 {
        world.say("somebody lowered shop", 20).await;
    }
    world.say("somebody lowered cart", 1).await;
    let told = world.told().await;
    let (shop, cart) = (
        "somebody lowered shop".to_owned(),
        "somebody lowered cart".to_owned(),
    );
    assert_eq!(told, [(cart, None), (shop, Some(4))], "told at 0 s and at 60 s");
}

#[tokio::test(start_paused = true)]
async fn after_a_quiet_time_and_after_its_deletion_the_same_news_is_an_event_of_its_own() {
    let world = World::new();
    world.say("a", 601).await;
    world.say("a", 120).await;
    assert_eq!(
        world.told().await,
        [("a".to_owned(), None), ("a".to_owned(), None)]
    );
    let (delete, every) = (DeleteParams::default(), ListParams::default());
    world.api.delete_collection(&delete, &every).await.unwrap();
    world.say("a", 1).await;
    assert_eq!(world.told().await, [("a".to_owned(), None)]);
}

#[tokio::test(start_paused = true)]
async fn news_about_a_resource_with_the_longest_name_are_written_too() {
    // Where the name is cut, a dash comes last.
    for end in ["a-b", "-a", "a.b", "a"] {
        let name = format!("{}{end}{}", "x".repeat(178), "y".repeat(60));
        let world = World::about(&name);
        world.say("a", 1).await;
        assert_eq!(world.told().await, [("a".to_owned(), None)], "{name}");
    }
}
