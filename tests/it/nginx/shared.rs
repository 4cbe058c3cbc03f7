//! Two resources whose components nginx splits for: each keeps what it made, and watches over it, whatever is chosen.

use super::*;

const RESOURCES: &str = "gradualrollouts.rollout.sealos.io";

/// A resource with one component that splits what `ingresses` choose.
fn resource(name: &str, component: &str, ingresses: Value) -> Value {
    let mut resource = rollout();
    resource["metadata"]["name"] = name.into();
    let split = &mut resource["spec"]["components"][0];
    split["name"] = component.into();
    split["routers"][0]["ingressNginx"]["ingresses"] = ingresses;
    resource
}

fn edge() -> Value {
    json!({"matchLabels": {"tier": "edge"}})
}

fn label(world: &World, name: &str) {
    let mut tenant = (*world.store.get(INGRESSES, NS, name).unwrap()).clone();
    tenant["metadata"]["labels"]["tier"] = "edge".into();
    world.store.put(tenant).unwrap();
}

/// `old` splits x by a label, and the younger `young` splits blog by its name, in a component of this name.
async fn two(component: &str) -> World {
    let mut world = World::new();
    world.store.namespace("istio-system");
    world.store.put(gateway()).unwrap();
    for name in ["x", "blog"] {
        let host = format!("{name}.example.com");
        world.store.put(ingress(name, &host, name)).unwrap();
        world.store.put(route(name, &host)).unwrap();
    }
    label(&world, "x");
    world.store.put(resource("old", "web", edge())).unwrap();
    world.start("daemon-1");
    world.pass(5).await;
    let young = resource("young", component, json!({"names": ["blog"]}));
    world.store.put(young).unwrap();
    for name in ["old", "young"] {
        let component = if name == "old" { "web" } else { component };
        let host = if name == "old" { "x" } else { "blog" };
        world.until("5%", |w| share(w, host) == Some(50)).await;
        world.say_to(name, "set", json!({"components": [component], "weight": "20%"}));
        world
            .until("20%", |w| share(w, host) == Some(200) && settled(w, name))
            .await;
    }
    world
}

/// The same, and blog is chosen by `old`, too.
async fn chosen_by_both() -> World {
    let world = two("blogc").await;
    label(&world, "blog");
    world
        .until("told", |w| of(w, "old")["reason"] == "Ineligible")
        .await;
    world
}

/// What the canary of a tenant's upstream gets, in permille.
fn share(world: &World, tenant: &str) -> Option<u16> {
    let weight = canary_of(world, tenant)?["metadata"]["annotations"][WEIGHT].clone();
    weight.as_str()?.parse().ok()
}

fn canary_of(world: &World, tenant: &str) -> Option<Value> {
    let all = world.store.list(INGRESSES);
    let host = format!("{tenant}.example.com");
    let ours = |i: &&std::sync::Arc<Value>| {
        i["metadata"]["annotations"].get(WEIGHT).is_some() && i["spec"]["rules"][0]["host"] == *host
    };
    all.iter().find(ours).map(|i| (**i).clone())
}

/// A resource's component, as its status has it.
fn of(world: &World, name: &str) -> Value {
    world.rollout(name)["status"]["components"][0].clone()
}

fn settled(world: &World, name: &str) -> bool {
    let c = of(world, name);
    c["weight"]["asked"] == c["weight"]["written"] && c["lowering"].is_null() && c["intent"].is_null()
}

fn roll_back(world: &World, name: &str) -> String {
    world.say_to(name, "rollback", json!({"components": ["*"], "who": "ada"}))
}

fn answer(world: &World, name: &str, id: &str) -> Option<String> {
    let object = world.rollout(name);
    let all = object["status"]["commands"].as_array()?.clone();
    let one = all.into_iter().find(|c| c["id"] == id)?;
    Some(one["result"].as_str().unwrap_or_default().to_owned())
}

fn versions(world: &World) -> Vec<Value> {
    let of = |kind: &str| world.store.list(kind);
    let all = [of(INGRESSES), of("services")].concat();
    all.iter()
        .map(|o| o["metadata"]["resourceVersion"].clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn components_of_one_name_in_two_resources_go_their_ways() {
    let mut world = two("web").await;
    for (name, tenant) in [("old", "x"), ("young", "blog")] {
        let canary = canary_of(&world, tenant).unwrap();
        let said = &canary["metadata"]["annotations"]["rollout.sealos.io/rollout"];
        assert_eq!(*said, format!("{NS}/{name}"));
        assert_eq!(of(&world, name)["state"], "Manual", "{:#}", of(&world, name));
    }
    world.kill().await;
    world.start("daemon-2");
    world.pass(120).await;
    let before = versions(&world);
    world.pass(600).await;
    assert_eq!(versions(&world), before, "nobody writes");
    world.say_to("young", "set", json!({"components": ["web"], "weight": "50%"}));
    world.until("50%", |w| share(w, "blog") == Some(500)).await;
    roll_back(&world, "young");
    world.until("back", |w| share(w, "blog").is_none()).await;
    world.pass(60).await;
    assert_eq!(share(&world, "x"), Some(200), "the other's stays");
    assert_eq!(of(&world, "old")["state"], "Manual");
}

#[tokio::test(start_paused = true)]
async fn what_a_deleted_resource_keeps_is_no_stray_of_a_component_that_is_called_alike() {
    let world = two("web").await;
    world.store.delete(RESOURCES, NS, "old").unwrap();
    world.until("gone", |w| w.rollout("old").is_null()).await;
    let kept = canary_of(&world, "x").unwrap();
    assert_eq!(
        kept["metadata"]["annotations"].get("rollout.sealos.io/rollout"),
        None,
        "it is nobody's"
    );
    roll_back(&world, "young");
    world.until("back", |w| share(w, "blog").is_none()).await;
    world.pass(60).await;
    assert_eq!(share(&world, "x"), Some(200), "it stays");
    // Whoever chooses the upstream takes it up as it is, whatever the component is called, and can put it back.
    let next = resource("next", "front", json!({"names": ["x"]}));
    world.store.put(next).unwrap();
    world
        .until("taken up", |w| of(w, "next")["weight"]["written"] == "20%")
        .await;
    assert_eq!(share(&world, "x"), Some(200));
    roll_back(&world, "next");
    world.until("back", |w| share(w, "x").is_none()).await;
    world
        .until("told", |w| {
            of(w, "next")["state"] == "RolledBack" && settled(w, "next")
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_label_takes_no_live_upstream_from_whoever_splits_it_and_both_are_judged() {
    let mut world = chosen_by_both().await;
    let message = of(&world, "old")["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("SplitByAnother: ingress sealos-system/gr-blog-80-") && message.contains("young"),
        "{message}"
    );
    for round in 0..2 {
        let before = versions(&world);
        world.pass(600).await;
        assert_eq!(versions(&world), before, "nobody writes, round {round}");
        assert_eq!(
            (share(&world, "x"), share(&world, "blog")),
            (Some(200), Some(200))
        );
        let young = of(&world, "young");
        assert_eq!(
            (&young["state"], &young["reason"]),
            (&json!("Manual"), &json!("Manual")),
            "{young:#}"
        );
        world.kill().await;
        world.start("daemon-2");
        world.pass(5).await;
    }
    let id = world.say_to("old", "set", json!({"components": ["web"], "weight": "30%"}));
    world.until("answered", |w| answer(w, "old", &id).is_some()).await;
    assert_eq!(answer(&world, "old", &id).unwrap(), "Refused", "nothing rises");
    world.say_to("old", "set", json!({"components": ["web"], "weight": "10%"}));
    world.until("10%", |w| share(w, "x") == Some(100)).await;
    assert_eq!(share(&world, "blog"), Some(200));
    world.traffic.fail("blogc");
    world.until("judged", |w| share(w, "blog").is_none()).await;
    world
        .until("told", |w| {
            of(w, "young")["reason"] == "Breach" && settled(w, "young")
        })
        .await;
    assert_eq!(share(&world, "x"), Some(100));
    world.traffic.fail("web");
    world.until("judged, too", |w| share(w, "x").is_none()).await;
    world
        .until("told", |w| {
            of(w, "old")["state"] == "RolledBack" && settled(w, "old")
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_lost_the_name_of_its_resource_is_known_by_its_alias() {
    let world = two("web").await;
    let mut canary = canary_of(&world, "blog").unwrap();
    let marks = canary["metadata"]["annotations"].as_object_mut().unwrap();
    assert!(marks.remove("rollout.sealos.io/rollout").is_some());
    world.store.put(canary).unwrap();
    label(&world, "blog");
    world
        .until("told", |w| of(w, "old")["reason"] == "Ineligible")
        .await;
    world.pass(60).await;
    assert_eq!(share(&world, "blog"), Some(200), "nothing was taken away");
    world.say_to("young", "rollback", json!({"components": ["web"], "who": "ada"}));
    world
        .until("its maker puts it back", |w| canary_of(w, "blog").is_none())
        .await;
    assert_eq!(share(&world, "x"), Some(200));
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_names_a_resource_that_is_no_more_is_not_called_put_back() {
    let world = two("blogc").await;
    let remark = |rollout: Option<&str>| {
        let mut canary = canary_of(&world, "blog").unwrap();
        let marks = canary["metadata"]["annotations"].as_object_mut().unwrap();
        match rollout {
            Some(rollout) => drop(marks.insert("rollout.sealos.io/rollout".to_owned(), rollout.into())),
            None => marks.retain(|key, _| !key.starts_with("rollout.sealos.io/")),
        }
        world.store.put(canary).unwrap();
    };
    remark(Some(&format!("{NS}/ghost")));
    world.pass(5).await;
    let id = roll_back(&world, "young");
    world
        .until("told", |w| {
            of(w, "young").to_string().contains("was not put back")
        })
        .await;
    world.pass(120).await;
    assert_eq!(share(&world, "blog"), Some(200));
    assert_ne!(answer(&world, "young", &id).as_deref(), Some("Done"));
    // What its message says to do.
    remark(None);
    world.until("back", |w| canary_of(w, "blog").is_none()).await;
    world
        .until("told", |w| {
            of(w, "young")["state"] == "RolledBack" && settled(w, "young")
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_chosen_by_both_is_put_back_by_who_split_it_and_not_taken_up_by_the_other() {
    let mut world = chosen_by_both().await;
    roll_back(&world, "young");
    world.until("back", |w| share(w, "blog").is_none()).await;
    world
        .until("told", |w| {
            of(w, "young")["state"] == "RolledBack" && settled(w, "young")
        })
        .await;
    world.pass(600).await;
    world.kill().await;
    world.start("daemon-2");
    world.say_to("old", "resume", json!({"components": ["web"]}));
    world.pass(3600).await;
    assert_eq!((share(&world, "x"), share(&world, "blog")), (Some(200), None));
    assert_eq!(of(&world, "young")["reason"], "RollbackRequested");
    let retry = world.say_to("young", "retry", json!({"components": ["blogc"]}));
    world
        .until("it begins again", |w| share(w, "blog") == Some(50))
        .await;
    assert_eq!(answer(&world, "young", &retry).unwrap(), "Accepted");
    // An emergency of the other one is of its own upstreams.
    world.say_to(
        "old",
        "rollback",
        json!({"components": ["*"], "who": "ada", "emergency": true}),
    );
    world.until("back", |w| share(w, "x").is_none()).await;
    world
        .until("told", |w| {
            of(w, "old")["reason"] == "Emergency" && settled(w, "old")
        })
        .await;
    assert!(share(&world, "blog").is_some_and(|share| share >= 50));
}

#[tokio::test(start_paused = true)]
async fn who_is_put_back_and_detached_leaves_its_upstream_to_the_other() {
    let world = chosen_by_both().await;
    roll_back(&world, "young");
    world.until("back", |w| share(w, "blog").is_none()).await;
    world
        .until("told", |w| {
            of(w, "young")["state"] == "RolledBack" && settled(w, "young")
        })
        .await;
    world.say_to("young", "detach", json!({"components": ["*"]}));
    world
        .until("let go", |w| of(w, "young")["detached"] == true)
        .await;
    world.say_to("old", "resume", json!({"components": ["web"]}));
    world
        .until("it joins", |w| share(w, "blog").is_some_and(|share| share >= 200))
        .await;
    assert!(!of(&world, "old")["history"].to_string().contains("Drift"));
}

#[tokio::test(start_paused = true)]
async fn what_was_let_go_of_is_watched_again_though_its_component_also_chooses_anothers_upstream() {
    for deleted in [false, true] {
        let world = chosen_by_both().await;
        if deleted {
            world.store.delete(RESOURCES, NS, "old").unwrap();
            world.until("gone", |w| w.rollout("old").is_null()).await;
            world.store.put(resource("old", "web", edge())).unwrap();
        } else {
            world.say_to("old", "detach", json!({"components": ["*"]}));
            world.until("let go", |w| of(w, "old")["detached"] == true).await;
            world.pass(60).await;
            world.say_to("old", "resume", json!({"components": ["*"]}));
            world
                .until("taken up", |w| of(w, "old")["detached"] != true)
                .await;
        }
        world
            .until("watched", |w| {
                let old = of(w, "old");
                old["weight"]["observed"] == "20%" && old["reason"] == "Ineligible"
            })
            .await;
        world.pass(600).await;
        assert_eq!(
            (share(&world, "x"), share(&world, "blog")),
            (Some(200), Some(200)),
            "nothing moves"
        );
        world.traffic.fail("web");
        world
            .until("judged", |w| {
                share(w, "x").is_none() && of(w, "old")["reason"] == "Breach"
            })
            .await;
        assert_eq!(share(&world, "blog"), Some(200), "the other's stays");
        assert_eq!(of(&world, "young")["state"], "Manual");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_detached_is_put_back_by_hand_though_its_component_also_chooses_anothers_upstream() {
    let world = chosen_by_both().await;
    world.say_to("old", "detach", json!({"components": ["*"]}));
    world.until("let go", |w| of(w, "old")["detached"] == true).await;
    world.pass(60).await;
    let id = roll_back(&world, "old");
    world.until("back", |w| share(w, "x").is_none()).await;
    assert_eq!(answer(&world, "old", &id).unwrap(), "Accepted");
    assert_eq!(share(&world, "blog"), Some(200), "the other's stays");
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_lost_all_of_its_marks_stays_its_makers_and_without_its_aliass_word_somebodys() {
    for alias_too in [false, true] {
        let world = chosen_by_both().await;
        let strip = |kind: &str, name: &str| {
            let mut object = (*world.store.get(kind, NS, name).unwrap()).clone();
            object["metadata"].as_object_mut().unwrap().remove("labels");
            if let Some(marks) = object["metadata"]["annotations"].as_object_mut() {
                marks.retain(|key, _| !key.starts_with("rollout.sealos.io/"));
            }
            world.store.put(object).unwrap();
        };
        let canary = canary_of(&world, "blog").unwrap();
        let name = canary["metadata"]["name"].as_str().unwrap();
        if alias_too {
            strip("services", name);
        }
        strip(INGRESSES, name);
        world.pass(600).await;
        let both = (share(&world, "x"), share(&world, "blog"));
        assert_eq!(both, (Some(200), Some(200)), "nothing moves");
        let watched = |name: &str| {
            let c = of(&world, name);
            c["reason"] != "Claimed" && c["weight"]["observed"] == "20%"
        };
        if alias_too {
            assert!(watched("old") || watched("young"));
            roll_back(&world, "old");
            roll_back(&world, "young");
            world.until("back", |w| canary_of(w, "blog").is_none()).await;
            continue;
        }
        assert!(watched("old") && watched("young"), "{:#}", of(&world, "young"));
        world.traffic.fail("blogc");
        world.until("judged", |w| canary_of(w, "blog").is_none()).await;
        world
            .until("told", |w| {
                of(w, "young")["reason"] == "Breach" && settled(w, "young")
            })
            .await;
        assert_eq!(share(&world, "x"), Some(200), "the other's stays");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_is_deleted_touches_only_its_own() {
    for restore in [false, true] {
        let world = two("blogc").await;
        if restore {
            let mut old = world.rollout("old");
            old["spec"]["onDelete"] = "restore".into();
            world.store.put(old).unwrap();
            world.pass(5).await;
        }
        label(&world, "blog");
        world
            .until("told", |w| of(w, "old")["reason"] == "Ineligible")
            .await;
        world.store.delete(RESOURCES, NS, "old").unwrap();
        world.until("gone", |w| w.rollout("old").is_null()).await;
        world.pass(600).await;
        let kept = (!restore).then_some(200);
        assert_eq!((share(&world, "x"), share(&world, "blog")), (kept, Some(200)));
        let blog = canary_of(&world, "blog").unwrap();
        let said = &blog["metadata"]["annotations"]["rollout.sealos.io/rollout"];
        assert_eq!(*said, format!("{NS}/young"));
        assert_eq!(of(&world, "young")["state"], "Manual");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_waits_at_the_start_is_not_taken_for_one_about_anothers_upstream() {
    let mut world = two("web").await;
    let third = resource("third", "late", json!({"names": ["blog"]}));
    world.store.put(third).unwrap();
    world
        .until("it waits", |w| of(w, "third")["reason"] == "Claimed")
        .await;
    world.kill().await;
    let id = roll_back(&world, "third");
    world.start("daemon-2");
    world
        .until("answered", |w| answer(w, "third", &id).is_some())
        .await;
    assert_eq!(
        answer(&world, "third", &id).unwrap(),
        "Refused",
        "{:#}",
        world.rollout("third")["status"]
    );
    assert_eq!(share(&world, "blog"), Some(200));
    assert!(
        of(&world, "third")["weight"]["written"] == "0%",
        "{:#}",
        of(&world, "third")
    );
}

#[tokio::test(start_paused = true)]
async fn of_two_components_that_choose_one_upstream_the_one_with_the_canary_goes_on() {
    let mut world = World::new();
    world.store.namespace("istio-system");
    world.store.put(gateway()).unwrap();
    world.store.put(ingress("x", "x.example.com", "x")).unwrap();
    world.store.put(route("x", "x.example.com")).unwrap();
    world
        .store
        .put(resource("demo", "zeta", json!({"names": ["x"]})))
        .unwrap();
    world.start("daemon-1");
    world.until("25%", |w| share(w, "x") == Some(250)).await;
    let mut both = world.object();
    let mut alpha = both["spec"]["components"][0].clone();
    alpha["name"] = "alpha".into();
    both["spec"]["components"].as_array_mut().unwrap().push(alpha);
    world.store.put(both).unwrap();
    world.until("50%", |w| share(w, "x") == Some(500)).await;
    let alpha = world.component("alpha");
    assert_eq!(alpha.weight.written, percent(0));
    assert!(
        matches!(alpha.reason, Reason::Ineligible | Reason::RouterUnreadable),
        "{:?}: {}",
        alpha.reason,
        alpha.message
    );
    assert!(alpha.message.contains("component zeta"), "{}", alpha.message);
    world.traffic.fail("zeta");
    world.until("judged", |w| share(w, "x").is_none()).await;
    world.pass(3600).await;
    assert_eq!(
        share(&world, "x"),
        None,
        "what it left is not taken up by the other"
    );
}
