//! What a person sets: refused where it cannot be, told where something is wrong with it, and left alone where it is
//! well.

use crate::support::world::{World, percent, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::rollout::status::{CommandOutcome, CommandResult};
use serde_json::{Value, json};

const ROUTES: &str = "virtualservices.networking.istio.io";
const NS: &str = crate::support::world::NS;

async fn set(world: &World, weight: &str) -> CommandOutcome {
    let wish = json!({"components": ["shop"], "weight": weight, "who": "ada"});
    let id = world.say("set", wish);
    let answer = |w: &World| w.status().commands.into_iter().find(|c| c.id == id);
    world.until("answered", |w| answer(w).is_some()).await;
    answer(world).unwrap()
}

/// A route with a third destination, whose pair has a sum of 80: 2.5% and its multiples.
async fn with_a_third() -> World {
    let mut world = World::new();
    let mut vs = virtual_service("shop");
    let route = vs["spec"]["http"][0]["route"].as_array_mut().unwrap();
    route[0]["weight"] = 60.into();
    route[1]["weight"] = 20.into();
    route.push(json!({"destination": {"host": "third"}, "weight": 20}));
    world.store.put(vs).unwrap();
    let mut object = rollout("demo", &["shop"]);
    object["spec"]["paused"] = true.into();
    world.store.put(object).unwrap();
    world.start("daemon-1");
    world
        .until("read", |w| {
            w.status()
                .component("shop")
                .is_some_and(|c| c.weight.written == percent(25))
        })
        .await;
    world.pass(5).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_weight_that_the_pair_cannot_say_is_refused_and_nothing_moves() {
    let world = with_a_third().await;
    let route = |w: &World| {
        (
            w.vs("shop")["spec"].clone(),
            w.vs("shop")["metadata"]["generation"].clone(),
        )
    };
    let before = route(&world);
    for weight in ["12.1%", "0.1%", "24%", "33.3%"] {
        let answer = set(&world, weight).await;
        assert_eq!(
            answer.result,
            CommandResult::Refused,
            "{weight}: {}",
            answer.message
        );
        for part in [
            "virtualservice sealos-system/shop",
            weight,
            "2.5%",
            "nothing was changed",
        ] {
            assert!(answer.message.contains(part), "{part}: {}", answer.message);
        }
        world.pass(120).await;
        assert_eq!(route(&world), before, "{weight}");
        assert_eq!(world.component("shop").weight.written, percent(25));
    }
    let answer = set(&world, "10%").await;
    assert_eq!(answer.result, CommandResult::Accepted, "{}", answer.message);
    world
        .until("10%", |w| {
            w.vs("shop")["spec"]["http"][0]["route"][1]["weight"] == 8
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_weight_that_was_raised_by_hand_says_so_and_waits_for_a_person_once_it_is_written() {
    let world = World::with(&["shop"]);
    world.until("5%", |w| w.weight("shop") == 5).await;
    world.pass(5).await;
    let answer = set(&world, "50%").await;
    assert_eq!(answer.result, CommandResult::Accepted, "{}", answer.message);
    world
        .until("read back", |w| w.component("shop").weight.written == percent(50))
        .await;
    world.pass(30).await;
    let shop = world.component("shop");
    assert_eq!((shop.state, shop.reason), (State::Manual, Reason::Manual));
    assert!(
        shop.message.contains(" set 50%; the plan waits until `resume`"),
        "{}",
        shop.message
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_set_a_route_that_is_wrong_stays_named_until_it_is_well_again() {
    let world = World::with(&["shop"]);
    world.until("5%", |w| w.weight("shop") == 5).await;
    world.pass(5).await;
    set(&world, "50%").await;
    world
        .until("read back", |w| w.component("shop").weight.written == percent(50))
        .await;
    let good = world.vs("shop");
    let mut wrong = good.clone();
    wrong["spec"]["http"][0]["route"][1]["destination"]["host"] = "elsewhere".into();
    let put = |vs: Value| {
        let mut vs = vs;
        vs["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        world.store.put(vs).unwrap();
    };
    let named = |w: &World| {
        let shop = w.component("shop");
        shop.reason == Reason::RouterUnreadable && shop.message.contains("virtualservice sealos-system/shop")
    };
    put(wrong);
    world.until("named", named).await;
    world.pass(1200).await;
    assert!(
        named(&world),
        "and stays named: {}",
        world.component("shop").message
    );
    assert_eq!(world.component("shop").state, State::Manual);
    put(good.clone());
    world
        .until("well again", |w| w.component("shop").reason == Reason::Manual)
        .await;
    world.store.delete(ROUTES, NS, "shop").unwrap();
    world.until("named", named).await;
    let answer = set(&world, "60%").await;
    assert!(
        answer
            .message
            .contains("it cannot be written: there is no virtualservice sealos-system/shop")
            && answer.message.contains("nothing was changed"),
        "{}",
        answer.message
    );
    put(good);
    world
        .until("well again", |w| w.component("shop").reason == Reason::Manual)
        .await;
    set(&world, "60%").await;
    world.until("60%", |w| w.weight("shop") == 60).await;
}
