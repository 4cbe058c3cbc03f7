//! Routes for testers and mirrors: when they are wanted, and when no more.

use super::world::{Lost, Weather, World, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::observation::{Aside, Wanted};
use crate::rollout::preview::{EditAction, Preview, RouteEdit};
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::CommandResult;
use serde_json::json;

const ASKED: &str = "header canary=true";

/// Two components behind Istio, of which alpha asks for testers.
fn world() -> World {
    let mut spec = spec();
    for (i, name) in ["alpha", "beta"].into_iter().enumerate() {
        spec["components"][i]["routers"] = json!([{"istio": {"virtualServices": [{"name": name}],
            "canary": {"host": "new"}, "control": {"host": "old"}}}]);
    }
    spec["components"][0]["routers"][0]["istio"]["testers"] = json!({"headers": {"canary": "true"}});
    let mut world = World::new(spec);
    let preview = Preview {
        headers: [("canary".to_owned(), "true".to_owned())].into(),
        ..Preview::default()
    };
    for object in world.objects.get_mut("alpha").unwrap() {
        object.aside = Some(Aside {
            spec: preview.clone(),
            ..Aside::default()
        });
    }
    world.all(Weather::Good);
    world
}

fn written(world: &World) -> Option<String> {
    let all: Vec<_> = world.objects["alpha"]
        .iter()
        .map(|o| o.aside.as_ref().unwrap().written.clone())
        .collect();
    assert_eq!(all[0], all[1], "every object carries the same");
    all[0].clone()
}

fn say_route(world: &mut World, action: EditAction, header: &str) {
    world.say(Verb::HeaderRoute, "alpha", None);
    world.commands.last_mut().unwrap().wish.route = Some(RouteEdit {
        action,
        header: Some(header.parse().unwrap()),
        cookie: None,
    });
}

fn answer(world: &World) -> (CommandResult, String) {
    let last = world.status.commands.last().unwrap();
    (last.result, last.message.clone())
}

#[test]
fn testers_are_let_in_before_any_weight_and_asked_for_only_once() {
    let mut world = world();
    assert_eq!(world.tick().previews.len(), 1);
    assert_eq!(written(&world).as_deref(), Some(ASKED));
    let told = world.ticks(5);
    assert!(
        told.iter().all(|d| d.previews.is_empty()),
        "read back, it is done"
    );
    let preview = world.component("alpha").preview.clone().unwrap();
    assert_eq!((preview.written.as_deref(), preview.message), (Some(ASKED), None));
}

#[test]
fn a_canary_that_was_put_back_has_no_testers_until_retry() {
    let mut world = world();
    world.until("raised", |w| w.highest("alpha") == weight(50));
    world.say(Verb::Rollback, "alpha", None);
    let decision = world.tick();
    assert_eq!(decision.lowers.len(), 1);
    assert!(
        decision.previews.is_empty(),
        "they go with the rollback's own write"
    );
    world.ticks(5);
    assert_eq!(written(&world), None);
    say_route(&mut world, EditAction::Add, "canary=yes");
    world.tick();
    let (result, message) = answer(&world);
    assert_eq!(result, CommandResult::Refused);
    assert!(message.contains("`retry` begins again"), "{message}");
    world.say(Verb::Retry, "alpha", None);
    world.ticks(2);
    assert_eq!(written(&world).as_deref(), Some(ASKED));
}

#[test]
fn leftovers_at_a_rolled_back_component_are_taken_away() {
    let mut world = world();
    world.until("raised", |w| w.highest("alpha") == weight(50));
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(3);
    for object in world.objects.get_mut("alpha").unwrap() {
        object.aside.as_mut().unwrap().written = Some("?".into());
    }
    let decision = world.tick();
    assert_eq!(decision.previews[0].wanted, Wanted::Nothing);
    assert_eq!(written(&world), None);
}

#[test]
fn a_finished_component_needs_no_testers() {
    let mut world = world();
    world.edit(|spec| spec.phases.as_mut().unwrap()[2].requires = None);
    world.until("completed", |w| w.component("alpha").state == State::Completed);
    world.ticks(2);
    assert_eq!(written(&world), None);
    assert_eq!(world.component("alpha").preview, None);
}

#[test]
fn a_command_counts_in_place_of_the_spec_until_the_plan_begins_again() {
    let mut world = world();
    world.ticks(2);
    say_route(&mut world, EditAction::Add, "team=web");
    world.ticks(2);
    let id = world.component("alpha").preview.clone().unwrap().command.unwrap();
    assert_eq!(answer(&world).0, CommandResult::Accepted);
    assert_eq!(
        written(&world),
        Some(format!("header canary=true, header team=web ({id})"))
    );
    // The spec's own testers are edited meanwhile: the command still counts, and a restart forgets nothing.
    world.restart();
    let told = world.ticks(3);
    assert!(told.iter().all(|d| d.previews.is_empty()));
    say_route(&mut world, EditAction::Remove, "nobody=x");
    world.tick();
    assert_eq!(answer(&world).0, CommandResult::Refused);
    for header in ["team=web", "canary=true"] {
        say_route(&mut world, EditAction::Remove, header);
        world.ticks(2);
    }
    assert_eq!(written(&world), None, "told to carry nothing");
    world.say(Verb::Mirror, "alpha", Some(weight(100)));
    world.ticks(2);
    assert!(written(&world).unwrap().starts_with("mirror 10% ("));
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(3);
    world.say(Verb::Retry, "alpha", None);
    world.ticks(3);
    assert_eq!(written(&world).as_deref(), Some(ASKED));
}

#[test]
fn paused_nothing_is_added_and_everything_may_go() {
    let mut world = world();
    world.say(Verb::Pause, "alpha", None);
    let told = world.ticks(3);
    assert!(told.iter().all(|d| d.previews.is_empty()));
    let message = world.component("alpha").preview.clone().unwrap().message.unwrap();
    assert!(message.contains("paused"), "{message}");
    world.say(Verb::Resume, "alpha", None);
    world.ticks(2);
    assert_eq!(written(&world).as_deref(), Some(ASKED));
    world.say(Verb::Pause, "alpha", None);
    world.tick();
    say_route(&mut world, EditAction::Remove, "canary=true");
    world.ticks(2);
    assert_eq!(written(&world), None);
}

#[test]
fn what_somebody_took_away_is_yielded_to_and_told_once() {
    let mut world = world();
    world.ticks(3);
    for object in world.objects.get_mut("alpha").unwrap() {
        object.aside.as_mut().unwrap().missing = Some("somebody took away our rule".into());
    }
    let told = world.ticks(5);
    assert!(told.iter().all(|d| d.previews.is_empty()), "never fought over");
    let notes = told
        .iter()
        .flat_map(|d| &d.notes)
        .filter(|n| n.reason == Reason::PreviewChanged);
    assert_eq!(notes.count(), 1);
    say_route(&mut world, EditAction::Add, "canary=true");
    world.ticks(2);
    assert!(written(&world).unwrap().starts_with("header canary=true ("));
    assert_eq!(world.component("alpha").preview.clone().unwrap().message, None);
}

#[test]
fn a_later_remove_cancels_no_raise() {
    let mut world = world();
    world.until("raised", |w| w.highest("alpha") == weight(50));
    world.say(Verb::Set, "alpha", Some(weight(200)));
    say_route(&mut world, EditAction::Remove, "canary=true");
    world.ticks(3);
    assert_eq!(world.highest("alpha"), weight(200));
}

#[test]
fn removed_from_the_spec_with_testers_at_no_weight_it_is_an_orphan_until_it_is_put_back() {
    let mut world = world();
    world.all(Weather::NoLook);
    world.ticks(3);
    assert_eq!(world.highest("alpha"), weight(0));
    world.edit(|spec| {
        spec.components.remove(0);
        for phase in spec.phases.iter_mut().flatten() {
            phase.components = None;
        }
    });
    world.ticks(3);
    assert_eq!(world.component("alpha").state, State::Orphaned);
    assert_eq!(
        written(&world).as_deref(),
        Some(ASKED),
        "nobody asked to take them away"
    );
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(3);
    assert_eq!(written(&world), None);
}

#[test]
fn where_no_router_can_the_command_says_so() {
    let backend = |name: &str| json!({"name": name, "port": 80});
    let gateway = json!([{"gatewayApi": {"kind": "HTTPRoute", "name": "alpha",
        "canary": backend("new"), "control": backend("old")}}]);
    for routers in [spec()["components"][0]["routers"].clone(), gateway] {
        let mut spec = spec();
        spec["components"][0]["routers"] = routers.clone();
        for verb in [Verb::Mirror, Verb::HeaderRoute] {
            let mut world = World::new(spec.clone());
            if verb == Verb::Mirror {
                world.say(verb, "alpha", Some(weight(100)));
            } else {
                say_route(&mut world, EditAction::Add, "canary=true");
            }
            world.tick();
            let (result, message) = answer(&world);
            assert_eq!(result, CommandResult::Refused, "{routers}");
            assert!(message.contains("none of its routers can do this"), "{message}");
        }
    }
}

#[test]
fn testers_and_a_mirror_in_a_spec_are_refused_where_no_router_takes_them() {
    use crate::rollout::spec::GradualRolloutSpec;
    for (field, value) in [
        ("testers", json!({"headers": {"canary": "true"}})),
        ("mirror", json!("10%")),
    ] {
        let mut spec = spec();
        let mut router = json!({"kind": "HTTPRoute", "name": "alpha",
            "canary": {"name": "new", "port": 80}, "control": {"name": "old", "port": 80}});
        router[field] = value;
        spec["components"][0]["routers"] = json!([{"gatewayApi": router}]);
        let told = serde_json::from_value::<GradualRolloutSpec>(spec)
            .unwrap_err()
            .to_string();
        assert!(told.contains(&format!("unknown field `{field}`")), "{told}");
    }
}

#[test]
fn taking_testers_off_a_route_that_is_gone_is_done_and_off_one_that_cannot_be_read_waits_for_that() {
    for lost in [Lost::Gone, Lost::Garbled] {
        let mut world = world();
        say_route(&mut world, EditAction::Add, "beta=true");
        world.until("written", |w| {
            written(w).is_some_and(|what| what.contains("beta"))
        });
        world.tick();
        let preview = world.status.components[0].preview.as_mut().unwrap();
        preview.message = Some("what was wrong long ago".to_owned());
        for object in world.objects.get_mut("alpha").unwrap() {
            object.lost = Some(lost);
        }
        world.commands.clear();
        world.say(Verb::HeaderRoute, "alpha", None);
        world.commands.last_mut().unwrap().wish.route = Some(RouteEdit {
            action: EditAction::Remove,
            header: None,
            cookie: None,
        });
        world.ticks(2);
        assert_eq!(answer(&world).0, CommandResult::Accepted);
        let preview = world.component("alpha").preview.clone().unwrap();
        if lost == Lost::Gone {
            assert_eq!((preview.written, preview.message), (None, None));
        } else {
            assert!(preview.written.is_some(), "nobody knows");
            let message = preview.message.unwrap();
            assert!(message.contains("one of them says nothing"), "{message}");
        }
    }
}
