//! Who is blamed for a weight that is not ours: whoever wrote it, and never a bystander.

use crate::support::world::{NS, World, percent};
use gradual_rollout::rollout::reason::{Reason, State};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

/// Another one writes to the component's object, as it would be written over the wire.
async fn write(world: &World, manager: &str, patch: Value) {
    let kind = ApiResource {
        group: "networking.istio.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "networking.istio.io/v1".to_owned(),
        kind: "VirtualService".to_owned(),
        plural: "virtualservices".to_owned(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(world.store.client(NS), NS, &kind);
    let who = PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    api.patch("shop", &who, &Patch::Merge(patch)).await.unwrap();
}

/// The same, of the weight alone.
async fn weigh(world: &World, manager: &str, weight: u64) {
    let mut http = world.vs("shop")["spec"]["http"].clone();
    http[0]["route"][0]["weight"] = (100 - weight).into();
    http[0]["route"][1]["weight"] = weight.into();
    write(world, manager, json!({"spec": {"http": http}})).await;
}

async fn at_25() -> World {
    let world = World::with(&["shop"]);
    world
        .until("25%", |w| {
            w.weight("shop") == 25 && w.component("shop").weight.written == percent(25)
        })
        .await;
    world.pass(3).await;
    world
}

#[tokio::test(start_paused = true)]
async fn what_our_own_command_line_writes_is_put_down_to_nobody_else_and_is_no_fight() {
    let world = at_25().await;
    // It has had a hand in the object, not in this.
    write(
        &world,
        "argocd-controller",
        json!({"spec": {"hosts": ["shop.example.org"]}}),
    )
    .await;
    for n in 1..=4 {
        weigh(&world, "gradual-rollout-cli", 60).await;
        world.pass(5).await;
        assert_eq!(world.weight("shop"), 25, "put back, time {n}");
        let shop = world.component("shop");
        assert_eq!(shop.state, State::Walking, "{}", shop.message);
        let told = shop.drifts.last().unwrap();
        assert_eq!(told.manager, "gradual-rollout-cli", "{told:?}");
    }
    weigh(&world, "gradual-rollout-cli", 5).await;
    world.pass(5).await;
    let shop = world.component("shop");
    assert_eq!(
        (shop.state, shop.reason),
        (State::Drifted, Reason::Drifted),
        "{}",
        shop.message
    );
    assert!(
        shop.message.starts_with("gradual-rollout-cli lowered"),
        "{}",
        shop.message
    );
    world.say("resume", json!({"components": ["shop"], "who": "ada"}));
    world
        .until("on its plan", |w| w.component("shop").state == State::Walking)
        .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_wrote_the_weight_is_blamed_and_not_who_wrote_beside_it_later() {
    let world = at_25().await;
    weigh(&world, "kubectl-edit", 60).await;
    write(
        &world,
        "labeller",
        json!({"metadata": {"labels": {"team": "edge"}}}),
    )
    .await;
    write(
        &world,
        "gatekeeper",
        json!({"spec": {"gateways": ["infra/public"]}}),
    )
    .await;
    world.pass(5).await;
    let shop = world.component("shop");
    assert_eq!(
        shop.drifts.last().unwrap().manager,
        "kubectl-edit",
        "{:?}",
        shop.drifts
    );
    // And before anybody has touched the weight there is nobody to report.
    let router = &shop.routers[0];
    assert_ne!(router.manager.as_deref(), Some("labeller"));
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_resets_the_weight_is_a_fight_as_before() {
    let world = at_25().await;
    for _ in 0..3 {
        weigh(&world, "argocd-controller", 60).await;
        world.pass(5).await;
    }
    let shop = world.component("shop");
    assert_eq!(
        (shop.state, shop.reason),
        (State::Drifted, Reason::GitOpsFight),
        "{}",
        shop.message
    );
    assert!(
        shop.message.starts_with("argocd-controller changed"),
        "{}",
        shop.message
    );
}
