//! Who did what: each command leaves one record, and so does each change that nobody commanded.

use super::promises::{config, life};
use super::world::{World, weight};
use crate::rollout::audit::ITSELF;
use crate::rollout::command::Verb;
use crate::rollout::reason::Reason;
use proptest::prelude::*;

#[test]
fn a_record_says_who_what_before_and_after() {
    let mut world = World::demo();
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.ticks(3);
    world.say(Verb::Rollback, "alpha", None);
    let id = world.commands[0].id.clone();
    let first = world.tick().audits;
    assert_eq!(first.len(), 1, "{first:#?}");
    assert_eq!(
        (first[0].id.as_str(), first[0].who.as_str()),
        (id.as_str(), "ada")
    );
    assert_eq!(first[0].what, "rollback Accepted");
    assert_eq!(first[0].before, "alpha Walking 5%");
    assert_eq!(first[0].after, "alpha RolledBack 5% going to 0%");
    let then = world
        .ticks(2)
        .into_iter()
        .flat_map(|d| d.audits)
        .collect::<Vec<_>>();
    assert_eq!(then.len(), 1, "{then:#?}");
    assert_eq!(
        (then[0].who.as_str(), then[0].after.as_str()),
        ("ada", "alpha RolledBack 0%")
    );
    let entry = world.component("alpha").history.last().unwrap().clone();
    assert_eq!(
        (entry.who.as_deref(), entry.id.as_deref()),
        (Some("ada"), Some(id.as_str()))
    );
    let steps = world
        .component("alpha")
        .history
        .iter()
        .find(|h| h.reason == Reason::Step)
        .unwrap();
    assert!(
        steps.who.is_none() && steps.id.is_none(),
        "the daemon's own step: {steps:?}"
    );
}

#[test]
fn somebody_elses_change_is_told_by_its_field_manager() {
    let mut world = World::demo();
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.ticks(3);
    for object in world.objects.get_mut("alpha").unwrap() {
        object.weight = weight(20);
        object.manager = Some("kubectl-edit".into());
    }
    let audits = world.tick().audits;
    assert_eq!(audits.len(), 1, "{audits:#?}");
    assert_eq!(
        (audits[0].who.as_str(), audits[0].what.as_str()),
        ("kubectl-edit (field manager)", "Drifted")
    );
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_command_leaves_one_record_and_every_change_another(life in life()) {
        let mut world = World::demo();
        for event in &life {
            world.live(event, |before, after, decision| {
                for command in &before.commands {
                    let of = decision.audits.iter().filter(|a| a.commanded && a.id == command.id).count();
                    assert_eq!(of, 1, "{command:?}");
                }
                assert_eq!(decision.audits.iter().filter(|a| a.commanded).count(), before.commands.len());
                for c in &after.status.components {
                    let Some(was) = before.status.component(&c.name) else { continue };
                    let own = decision.audits.iter().filter(|a| !a.commanded && a.before.starts_with(&format!("{} ", c.name)));
                    let (own, told) = (own.clone().count(), own.map(|a| a.who.as_str()).next());
                    let moved = was.weight.written != decision.next.component(&c.name).unwrap().weight.written;
                    assert!(own <= 2, "before the commands and after");
                    assert!(own >= 1 || !moved, "{} moved and nobody was told", c.name);
                    assert!(told.is_none_or(|who| !who.is_empty()), "{ITSELF} or somebody");
                }
            });
        }
    }
}
