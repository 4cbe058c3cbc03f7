//! Upstreams that come, go and are called otherwise in the middle of a rollout: nobody's hand on a weight.

use super::*;

fn backend(world: &World, ingress: &str, service: &str) {
    let mut object = (*world.store.get(INGRESSES, NS, ingress).unwrap()).clone();
    let backend = &mut object["spec"]["rules"][0]["http"]["paths"][0]["backend"];
    backend["service"]["name"] = service.into();
    world.store.put(object).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_primary_back_end_that_is_renamed_is_nobodys_lowering_and_begins_again_after_resume() {
    let world = world();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
    world.pass(5).await;
    backend(&world, "one", "two");
    world
        .until("told", |w| w.component("terminal").state == State::Drifted)
        .await;
    let terminal = world.component("terminal");
    let message = &terminal.message;
    assert!(message.contains("it leads to other back ends now"), "{message}");
    assert!(message.contains("nobody lowered a weight"), "{message}");
    assert!(terminal.drifts.is_empty(), "{:?}", terminal.drifts);
    world.say("resume", json!({"components": ["terminal"], "who": "ada"}));
    world
        .until("its new upstream is split, and the old canary gone", |w| {
            canaries(w) == [say("one.example.com", "50")]
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_new_and_yet_at_nothing_is_no_deviation_of_its_router() {
    let world = world();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
    world.pass(5).await;
    world
        .store
        .put(ingress("other", "other.example.com", "other"))
        .unwrap();
    world
        .until("it has no route", |w| {
            w.component("terminal").reason == Reason::Ineligible
        })
        .await;
    world.pass(120).await;
    let router = world.component("terminal").routers[0].clone();
    let weights = (router.asked, router.written, router.observed);
    assert_eq!(weights, (percent(25), Some(percent(25)), Some(percent(25))));
    assert_eq!(
        router.waiting_for.as_deref(),
        Some("1 new, at 0% until brought along")
    );
}
