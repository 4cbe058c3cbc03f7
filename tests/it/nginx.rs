//! Components whose share nginx splits: the shipped daemon, a virtual cluster, and no nginx.

mod choosers;
pub(crate) mod listener;
mod renamed;
mod shared;

use crate::support::world::{NS, World, percent};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::{Value, json};

const INGRESSES: &str = "ingresses.networking.k8s.io";
const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";

fn ingress(name: &str, host: &str, service: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": NS, "labels": {"app": "terminal"}},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}}
        ]}}]}
    })
}

fn route(name: &str, host: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": name, "namespace": NS},
        "spec": {"hosts": [host], "gateways": ["istio-system/split"],
            "http": [{"route": [{"destination": {"host": "terminal"}}]}]}
    })
}

fn gateway() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
        "spec": {"selector": {"istio": "ingressgateway"}, "ports": [{"name": "split", "port": 8081, "targetPort": 8081}]}
    })
}

fn rollout() -> Value {
    let arm = |canary: &str| json!({"preset": "ingress-nginx", "labels": {"ingress": "terminal", "canary": canary}});
    json!({
        "apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
        "metadata": {"name": "demo", "namespace": NS},
        "spec": {
            "components": [{"name": "terminal",
                "routers": [{"ingressNginx": {
                    "ingresses": {"matchLabels": {"app": "terminal"}},
                    "gateway": {"namespace": "istio-system", "service": "istio-ingressgateway", "port": 8081, "name": "istio-system/split"},
                }}],
                "arms": {"canary": arm("~.+"), "control": arm("")}}],
            "steps": [{"weight": "5%", "hold": "5m"}, {"weight": "25%", "hold": "5m"}, {"weight": "50%", "hold": "5m"},
                      {"weight": "75%", "hold": "5m"}, {"weight": "100%", "hold": "5m"}]}
    })
}

/// A cluster with one tenant whose Ingress has a route on the split listener, and a daemon.
fn world() -> World {
    let mut world = World::new();
    world.store.namespace("istio-system");
    for object in [
        gateway(),
        ingress("one", "one.example.com", "one"),
        route("one", "one.example.com"),
        rollout(),
    ] {
        world.store.put(object).unwrap();
    }
    world.start("daemon-1");
    world
}

/// The canaries' weights in permille, by the hosts of their first rules.
fn canaries(world: &World) -> Vec<(String, String)> {
    let all = world.store.list(INGRESSES);
    let ours = all
        .iter()
        .filter(|i| i["metadata"]["labels"]["rollout.sealos.io/component"] == "terminal");
    let told = ours.map(|i| {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        (
            text(&i["spec"]["rules"][0]["host"]),
            text(&i["metadata"]["annotations"][WEIGHT]),
        )
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}

fn say(host: &str, weight: &str) -> (String, String) {
    (host.to_owned(), weight.to_owned())
}

fn canary(world: &World) -> Value {
    let all = world.store.list(INGRESSES);
    let ours = all
        .iter()
        .find(|i| i["metadata"]["labels"]["rollout.sealos.io/component"] == "terminal");
    ours.map(|i| (**i).clone()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_component_walks_from_nothing_to_everything_by_a_canary_ingress() {
    let world = world();
    assert!(canaries(&world).is_empty());
    world
        .until("5%", |w| canaries(w) == [say("one.example.com", "50")])
        .await;
    let made = canary(&world);
    assert_eq!(made["spec"]["ingressClassName"], "nginx");
    let alias = made["metadata"]["name"].as_str().unwrap();
    let service = world.store.get("services", NS, alias).unwrap();
    assert_eq!(
        service["spec"]["externalName"],
        "istio-ingressgateway.istio-system.svc.cluster.local"
    );
    world
        .until("all", |w| canaries(w) == [say("one.example.com", "1000")])
        .await;
    world
        .until("done", |w| w.component("terminal").state == State::Completed)
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_goes_back_by_deleting_the_canary() {
    let world = world();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
    world.pass(120).await;
    let before = world.store.get(INGRESSES, NS, "one").unwrap();
    world.traffic.fail("terminal");
    world.until("deleted", |w| canaries(w).is_empty()).await;
    world
        .until("told", |w| w.component("terminal").lowering.is_none())
        .await;
    let c = world.component("terminal");
    assert_eq!((c.state, c.weight.written), (State::RolledBack, percent(0)));
    let primary = world.store.get(INGRESSES, NS, "one").unwrap();
    assert_eq!(
        primary["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
    assert_eq!(
        primary["metadata"].get("annotations"),
        None,
        "the tenant's own object is untouched"
    );
    world.pass(600).await;
    assert!(canaries(&world).is_empty(), "nothing comes back by itself");
}

#[tokio::test(start_paused = true)]
async fn no_weight_is_written_while_a_host_of_the_upstream_has_no_route() {
    let mut world = World::new();
    world.store.namespace("istio-system");
    let mut other = ingress("two", "two.example.com", "one");
    // Not chosen; but it leads to the same Service.
    other["metadata"]["labels"] = json!({});
    for object in [
        gateway(),
        ingress("one", "one.example.com", "one"),
        route("one", "one.example.com"),
        other,
        rollout(),
    ] {
        world.store.put(object).unwrap();
    }
    world.start("daemon-1");
    world
        .until("told", |w| w.component("terminal").reason == Reason::Ineligible)
        .await;
    let message = world.component("terminal").message;
    assert!(
        message.contains("RouteMissing: ingress sealos-system/two") && message.contains("two.example.com"),
        "{message}"
    );
    world.pass(1800).await;
    assert!(canaries(&world).is_empty());
    world.store.put(route("two", "two.example.com")).unwrap();
    world
        .until("5%", |w| canaries(w).first().is_some_and(|c| c.1 == "50"))
        .await;
    assert_eq!(
        canary(&world)["spec"]["rules"].as_array().unwrap().len(),
        2,
        "the whole closure"
    );
}

#[tokio::test(start_paused = true)]
async fn a_tenant_who_comes_later_is_brought_to_the_weight_that_the_others_have() {
    let world = world();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
    let since = world.component("terminal").since;
    world.store.put(route("two", "two.example.com")).unwrap();
    world.store.put(ingress("two", "two.example.com", "two")).unwrap();
    world
        .until("joined", |w| {
            canaries(w) == [say("one.example.com", "250"), say("two.example.com", "250")]
        })
        .await;
    assert_eq!(
        world.component("terminal").since,
        since,
        "the hold goes on as it was"
    );
    world
        .until("50%", |w| {
            canaries(w) == [say("one.example.com", "500"), say("two.example.com", "500")]
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_somebody_deletes_stays_deleted() {
    let world = world();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
    world.pass(5).await;
    let name = canary(&world)["metadata"]["name"].as_str().unwrap().to_owned();
    world.store.delete(INGRESSES, NS, &name).unwrap();
    world
        .until("seen", |w| w.component("terminal").state == State::Drifted)
        .await;
    assert_eq!(world.component("terminal").weight.written, percent(0));
    world.pass(600).await;
    assert!(canaries(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_weight_that_somebody_raises_is_put_back() {
    let world = world();
    world
        .until("5%", |w| canaries(w) == [say("one.example.com", "50")])
        .await;
    world.pass(5).await;
    let mut edited = canary(&world);
    edited["metadata"]["annotations"][WEIGHT] = "900".into();
    world.store.put(edited).unwrap();
    world
        .until("back", |w| canaries(w) == [say("one.example.com", "50")])
        .await;
    let history = world.component("terminal").history;
    assert!(
        history.iter().any(|h| h.reason == Reason::DriftReverted),
        "{history:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_canary_of_an_upstream_that_is_gone_goes_with_the_next_write() {
    let world = world();
    world.store.put(route("two", "two.example.com")).unwrap();
    world.store.put(ingress("two", "two.example.com", "two")).unwrap();
    world
        .until("5%", |w| canaries(w).len() == 2 && canaries(w)[1].1 == "50")
        .await;
    world.store.delete(INGRESSES, NS, "two").unwrap();
    world
        .until("swept", |w| canaries(w) == [say("one.example.com", "50")])
        .await;
    assert_eq!(world.component("terminal").state, State::Walking);
}

#[tokio::test(start_paused = true)]
async fn a_new_daemon_finds_the_weight_and_writes_nothing() {
    let mut world = world();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
    world.pass(5).await;
    world.kill().await;
    let before = canary(&world);
    world.start("daemon-2");
    world.pass(60).await;
    assert_eq!(canary(&world), before);
    world
        .until("50%", |w| canaries(w) == [say("one.example.com", "500")])
        .await;
}

#[tokio::test(start_paused = true)]
async fn detaching_takes_the_stamp_off_and_leaves_the_traffic() {
    let world = world();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
    world.pass(5).await;
    let stamp = "rollout.sealos.io/w.terminal";
    assert!(canary(&world)["metadata"]["annotations"].get(stamp).is_some());
    world.say(
        "detach",
        json!({"components": ["terminal"], "reason": "done", "who": "ada"}),
    );
    world
        .until("unstamped", |w| {
            canary(w)["metadata"]["annotations"].get(stamp).is_none()
        })
        .await;
    assert_eq!(canaries(&world), [say("one.example.com", "250")]);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_by_hand_deletes_and_a_retry_makes_it_anew() {
    let world = world();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
    world.pass(5).await;
    let uid = canary(&world)["metadata"]["uid"].clone();
    world.say(
        "rollback",
        json!({"components": ["terminal"], "reason": "no", "who": "ada"}),
    );
    world.until("deleted", |w| canaries(w).is_empty()).await;
    world
        .until("told", |w| w.component("terminal").lowering.is_none())
        .await;
    world.say(
        "retry",
        json!({"components": ["terminal"], "reason": "yes", "who": "ada"}),
    );
    world
        .until("5%", |w| canaries(w) == [say("one.example.com", "50")])
        .await;
    assert_ne!(canary(&world)["metadata"]["uid"], uid);
}

#[tokio::test(start_paused = true)]
async fn a_canary_whose_labels_a_tool_replaced_goes_back_and_a_strangers_is_never_told_as_done() {
    let world = world();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
    world.pass(5).await;
    let mut relabelled = canary(&world);
    let name = relabelled["metadata"]["name"].clone();
    relabelled["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "Helm"});
    world.store.put(relabelled.clone()).unwrap();
    let there = |w: &World| {
        w.store
            .list(INGRESSES)
            .iter()
            .any(|i| i["metadata"]["name"] == name)
    };
    world.say("rollback", json!({"components": ["terminal"], "who": "ada"}));
    world.until("deleted", |w| !there(w)).await;
    world
        .until("told", |w| w.component("terminal").state == State::RolledBack)
        .await;

    let metadata = relabelled["metadata"].as_object_mut().unwrap();
    for own in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "generation",
    ] {
        metadata.remove(own);
    }
    metadata["annotations"]
        .as_object_mut()
        .unwrap()
        .remove("rollout.sealos.io/w.terminal");
    let backend = &mut relabelled["spec"]["rules"][0]["http"]["paths"][0]["backend"];
    backend["service"]["name"] = "theirs".into();
    world.store.put(relabelled).unwrap();
    world.say("rollback", json!({"components": ["terminal"], "who": "ada"}));
    world.pass(30).await;
    assert!(there(&world), "a stranger's is not deleted");
    let terminal = world.component("terminal");
    assert!(
        terminal.message.contains("not lowered"),
        "{:?} {}",
        terminal.state,
        terminal.message
    );
}

#[tokio::test(start_paused = true)]
async fn an_emergency_that_keeps_some_traffic_lowers_and_does_not_delete() {
    let world = world();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
    world.pass(5).await;
    let wish =
        json!({"components": ["terminal"], "weight": "10%", "reason": "no", "who": "ada", "emergency": true});
    world.say("rollback", wish);
    world
        .until("10%", |w| canaries(w) == [say("one.example.com", "100")])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_loses_the_race_three_times_still_ends_at_nothing_in_two_seconds() {
    use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
    let world = world();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
    world.pass(5).await;
    let lost = Failure::new(409, "Conflict", "somebody was faster");
    world.store.inject(
        Fault::new(Action::Fail(lost))
            .verb("delete")
            .resource("ingresses")
            .times(3),
    );
    let begun = world.clock.now();
    world.say(
        "rollback",
        json!({"components": ["terminal"], "reason": "no", "who": "ada"}),
    );
    while !canaries(&world).is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert!(
            world.clock.now().duration_since(begun).as_millis() < 2000,
            "still there"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_further_name_that_comes_at_five_percent_holds_it_there_until_it_has_a_route() {
    let world = world();
    world
        .until("5%", |w| canaries(w) == [say("one.example.com", "50")])
        .await;
    world.pass(5).await;
    let mut tenant = ingress("one", "one.example.com", "one");
    tenant["metadata"]["annotations"] =
        json!({"nginx.ingress.kubernetes.io/server-alias": "alias.example.org"});
    world.store.put(tenant).unwrap();
    world
        .until("seen", |w| w.component("terminal").reason == Reason::Ineligible)
        .await;
    let message = world.component("terminal").message;
    assert!(message.contains("alias.example.org"), "{message}");
    world.pass(1800).await;
    assert_eq!(canaries(&world), [say("one.example.com", "50")]);
    world.store.put(route("alias", "alias.example.org")).unwrap();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
}

#[tokio::test(start_paused = true)]
async fn two_components_that_choose_one_upstream_do_not_fight_over_it() {
    let mut world = World::new();
    world.store.namespace("istio-system");
    let mut both = rollout();
    let mut second = both["spec"]["components"][0].clone();
    second["name"] = "zweite".into();
    both["spec"]["components"].as_array_mut().unwrap().push(second);
    for object in [
        gateway(),
        ingress("one", "one.example.com", "one"),
        route("one", "one.example.com"),
        both,
    ] {
        world.store.put(object).unwrap();
    }
    world.start("daemon-1");
    world
        .until("5%", |w| canaries(w) == [say("one.example.com", "50")])
        .await;
    let second = world.component("zweite");
    assert_eq!(second.weight.written, percent(0));
    assert!(
        matches!(second.reason, Reason::Ineligible | Reason::RouterUnreadable),
        "{:?}: {}",
        second.reason,
        second.message
    );
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_was_made_while_nobody_heard_of_it_is_taken_as_it_is() {
    use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault};
    for unheard in [
        Failure::new(409, "AlreadyExists", "somebody was faster"),
        Failure::new(504, "Timeout", "the answer was lost"),
    ] {
        let mut world = World::new();
        world.store.namespace("istio-system");
        for object in [
            gateway(),
            ingress("one", "one.example.com", "one"),
            route("one", "one.example.com"),
        ] {
            world.store.put(object).unwrap();
        }
        for resource in ["ingresses.networking.k8s.io", "services"] {
            world.store.inject(
                Fault::new(Action::FailAfter(unheard.clone()))
                    .verb("create")
                    .resource(resource)
                    .times(1),
            );
        }
        world.store.put(rollout()).unwrap();
        world.start("daemon-1");
        for weight in ["50", "250"] {
            world
                .until("the next step", |w| {
                    canaries(w) == [say("one.example.com", weight)]
                })
                .await;
        }
        assert_eq!(world.component("terminal").attempt, 1);
        let raised = world.component("terminal").history;
        assert_eq!(
            raised.len(),
            2,
            "nothing is written twice, nothing taken back: {raised:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_component_with_a_canary_ingress_is_renamed_once_it_is_back() {
    let world = world();
    world
        .until("25%", |w| canaries(w) == [say("one.example.com", "250")])
        .await;
    let mut object = world.object();
    object["spec"]["components"][0]["name"] = json!("console");
    world.store.put(object).unwrap();
    let told = |w: &World| {
        w.object()["status"]["conditions"]
            .to_string()
            .contains("before it is called console")
    };
    world.until("told", told).await;
    world.pass(900).await;
    assert_eq!(
        canaries(&world),
        [say("one.example.com", "250")],
        "it stays, and is watched over"
    );
    assert_eq!(world.component("terminal").state, State::Walking);
    world.say("rollback", json!({"components": ["terminal"], "who": "ada"}));
    world.until("gone", |w| canaries(w).is_empty()).await;
    world
        .until("renamed", |w| w.status().component("console").is_some())
        .await;
}

#[tokio::test(start_paused = true)]
async fn two_resources_that_choose_alike_and_cannot_be_used_any_more_keep_each_other_from_no_rest() {
    let world = world();
    let mut other = rollout();
    other["metadata"]["name"] = json!("other");
    world.store.put(other).unwrap();
    let claimed = |w: &World, name: &str| w.rollout(name)["status"]["components"][0]["reason"] == "Claimed";
    world
        .until("one waits", |w| claimed(w, "demo") || claimed(w, "other"))
        .await;
    for name in ["demo", "other"] {
        let mut object = world.rollout(name);
        object["spec"]["steps"] = json!([{"weight": "50%", "hold": "5m"}, {"weight": "100%", "hold": "5m"}]);
        world.store.put(object).unwrap();
    }
    let told = |w: &World, name: &str| {
        w.rollout(name)["status"]["conditions"]
            .to_string()
            .contains("InvalidSpec")
    };
    // Whoever would answer each other's news with news would never let time pass.
    world
        .until("both are told", |w| told(w, "demo") && told(w, "other"))
        .await;
    world.pass(3600).await;
    let versions =
        |w: &World| ["demo", "other"].map(|name| w.rollout(name)["metadata"]["resourceVersion"].clone());
    let before = versions(&world);
    world.pass(30).await;
    assert_eq!(versions(&world), before, "and nobody writes");
}
