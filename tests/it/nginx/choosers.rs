//! Annotations by which requests choose their side, put on our canary by somebody else.

use super::*;

const HEADER: &str = "nginx.ingress.kubernetes.io/canary-by-header";
const CHOOSERS: [&str; 4] = [
    HEADER,
    "nginx.ingress.kubernetes.io/canary-by-header-value",
    "nginx.ingress.kubernetes.io/canary-by-header-pattern",
    "nginx.ingress.kubernetes.io/canary-by-cookie",
];

fn choosers(world: &World) -> usize {
    let canary = canary(world);
    let annotations = &canary["metadata"]["annotations"];
    CHOOSERS
        .iter()
        .filter(|key| annotations.get(**key).is_some())
        .count()
}

fn annotate(world: &World, key: &str, value: &str) {
    let mut edited = canary(world);
    edited["metadata"]["annotations"][key] = value.into();
    world.store.put(edited).unwrap();
}

async fn at_5() -> World {
    let world = world();
    world
        .until("5%", |w| {
            canaries(w) == [say("one.example.com", "50")]
                && w.component("terminal").weight.written == percent(5)
        })
        .await;
    world.pass(3).await;
    world
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_let_choose_our_canary_are_drift_and_taken_off_at_once() {
    for key in CHOOSERS {
        let world = at_5().await;
        annotate(&world, key, "always");
        // Less than a look: the event itself is what is answered.
        world.pass(1).await;
        assert_eq!(choosers(&world), 0, "{key}");
        assert_eq!(canaries(&world), [say("one.example.com", "50")]);
        world.pass(2).await;
        let terminal = world.component("terminal");
        assert_eq!(
            (terminal.state, terminal.weight.written),
            (State::Walking, percent(5)),
            "{}",
            terminal.message
        );
        let told = terminal.history.last().unwrap();
        assert_eq!(told.reason, Reason::DriftReverted, "{told:?}");
        assert!(told.message.contains(key), "{told:?}");
        world
            .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_paused_what_lets_requests_choose_stays_and_holds_until_resume() {
    let world = at_5().await;
    world.say("pause", json!({"components": ["terminal"], "who": "ada"}));
    world
        .until("paused", |w| w.component("terminal").paused_by.is_some())
        .await;
    annotate(&world, HEADER, "canary");
    world.pass(1800).await;
    let terminal = world.component("terminal");
    assert_eq!(
        choosers(&world),
        1,
        "a person's own doing, while nothing of ours moves"
    );
    assert_eq!(
        (terminal.state, terminal.reason, terminal.weight.written),
        (State::Manual, Reason::DriftAdopted, percent(5))
    );
    assert!(terminal.message.contains(HEADER), "{}", terminal.message);
    assert_eq!(
        terminal.drifts.len(),
        1,
        "it is one change however often it is looked at"
    );
    world.say("resume", json!({"components": ["terminal"], "who": "ada"}));
    world.until("taken off", |w| choosers(w) == 0).await;
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_lets_requests_choose_again_and_again_is_named_and_left() {
    let world = at_5().await;
    for _ in 0..3 {
        annotate(&world, HEADER, "canary");
        world.pass(5).await;
    }
    let terminal = world.component("terminal");
    assert_eq!(
        (terminal.state, terminal.reason),
        (State::Drifted, Reason::GitOpsFight),
        "{}",
        terminal.message
    );
    assert!(terminal.message.contains("app.kubernetes.io/managed-by"));
    world.pass(1800).await;
    assert_eq!(world.component("terminal").drifts.len(), 3);
    world.say("rollback", json!({"components": ["terminal"], "who": "ada"}));
    world.until("deleted", |w| canaries(w).is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn no_raise_leaves_a_chooser_behind() {
    let world = at_5().await;
    let set = |weight: &str| json!({"components": ["terminal"], "weight": weight, "who": "ada"});
    world.say("set", set("5%"));
    world
        .until("by hand", |w| w.component("terminal").state == State::Manual)
        .await;
    world.pass(5).await;
    annotate(&world, HEADER, "canary");
    world.pass(30).await;
    assert_eq!(choosers(&world), 1, "by hand it stays, as a raise would");
    assert_eq!(world.component("terminal").reason, Reason::DriftAdopted);
    world.say("set", set("10%"));
    world.pass(30).await;
    assert_eq!(
        canaries(&world),
        [say("one.example.com", "100")],
        "{:#}",
        world.object()["status"]
    );
    assert_eq!(choosers(&world), 0, "what we write says nothing but a weight");
}
