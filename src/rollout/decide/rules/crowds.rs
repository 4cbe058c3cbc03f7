//! Very many commands at once, as an alert for each pod or a script that went wild brings them.

use super::world::{World, weight};
use crate::rollout::command::{Command, NotACommand, Verb, Wish, pending};
use crate::rollout::decide::decide;
use crate::rollout::observation::Decision;
use crate::rollout::reason::State;
use crate::rollout::status::{ALERTS_HEARD, COMMANDS_AT_ONCE, COMMANDS_KEPT, CommandOutcome, CommandResult};
use std::collections::BTreeSet;

fn rollbacks(world: &World, component: &str, count: u32) -> Vec<Command> {
    let millis = u64::try_from(world.now.as_millisecond()).unwrap();
    let command = |n: u32| Command {
        id: ulid::Ulid::from_parts(millis, u128::from(n)).to_string(),
        verb: Verb::Rollback,
        wish: Wish {
            components: vec![component.to_owned()],
            who: "ada".into(),
            ..Wish::default()
        },
    };
    (0..count).map(command).collect()
}

/// One look at all of these annotations.
fn look(world: &mut World, commands: &[Command], malformed: &[(String, NotACommand)]) -> Decision {
    world.now += std::time::Duration::from_secs(1);
    let mut seen = world.observe(false);
    seen.commands = commands.to_vec();
    seen.malformed = malformed.to_vec();
    let decision = decide(&world.plan, world.status.clone(), &seen, world.now);
    world.status = decision.next.clone();
    decision
}

fn commanded(decision: &Decision) -> usize {
    decision.audits.iter().filter(|audit| audit.commanded).count()
}

#[test]
fn commands_are_obeyed_once_however_many_there_are_and_however_long_their_annotations_stay() {
    let mut world = World::demo();
    world.until("5%", |w| w.component("alpha").weight.written == weight(50));
    let all = rollbacks(&world, "alpha", 180);
    let first = look(&mut world, &all, &[]);
    assert_eq!((first.done.len(), commanded(&first)), (180, 180));
    assert_eq!(world.component("alpha").state, State::RolledBack);
    let after = world.status.clone();
    for _ in 0..5 {
        let again = look(&mut world, &all, &[]);
        assert_eq!(commanded(&again), 0, "nothing is obeyed a second time");
        assert_eq!(again.done.len(), 180, "and the annotations still go");
        assert_eq!(world.status.commands, after.commands);
        assert_eq!(
            world.component("alpha").lowering,
            after.component("alpha").unwrap().lowering
        );
    }
    look(&mut world, &[], &[]);
    assert_eq!(
        world.status.commands.len(),
        COMMANDS_KEPT,
        "then the oldest are forgotten"
    );
}

#[test]
fn a_group_of_alerts_however_large_is_not_obeyed_again_after_a_retry_and_a_person_with_its_id_is() {
    let mut world = World::demo();
    world.until("5%", |w| w.component("alpha").weight.written == weight(50));
    let mut group = rollbacks(&world, "alpha", 700);
    for alert in &mut group {
        alert.wish.automatic = true;
    }
    let mut waiting = group.clone();
    while !waiting.is_empty() {
        let decision = look(&mut world, &waiting, &[]);
        waiting.retain(|command| !decision.done.contains(&command.key()));
    }
    assert_eq!(world.component("alpha").state, State::RolledBack);
    look(&mut world, &[], &[]);
    world.ticks(2);
    world.say(Verb::Retry, "alpha", None);
    world.tick();
    world.restart();
    for chunk in group.chunks(100) {
        let again = look(&mut world, chunk, &[]);
        assert_eq!((again.done.len(), commanded(&again)), (100, 0));
    }
    assert_ne!(world.component("alpha").state, State::RolledBack);
    let mut person = group[0].clone();
    person.wish.automatic = false;
    look(&mut world, &[person], &[]);
    assert_eq!(world.component("alpha").state, State::RolledBack);
    world.ticks(2);
    world.say(Verb::Retry, "alpha", None);
    world.tick();
    assert_ne!(world.component("alpha").state, State::RolledBack);
    let mut anew = group.remove(0);
    anew.id = ulid::Ulid::from_parts(1_900_000_000_000, 1).to_string();
    look(&mut world, &[anew], &[]);
    assert_eq!(world.component("alpha").state, State::RolledBack);
}

#[test]
fn of_alerts_so_many_are_remembered_and_the_oldest_are_forgotten_first() {
    let mut world = World::demo();
    for n in 0..8 {
        let mut alerts = rollbacks(&world, "alpha", 200);
        for (i, alert) in alerts.iter_mut().enumerate() {
            alert.id = format!("{n}alert{i}");
            alert.wish.automatic = true;
        }
        look(&mut world, &alerts, &[]);
        look(&mut world, &[], &[]);
    }
    assert_eq!(world.status.heard.len(), ALERTS_HEARD);
    let first = crate::rollout::status::heard_as("0alert0");
    let late = crate::rollout::status::heard_as("7alert0");
    assert!(!world.status.heard.contains(&first) && world.status.heard.contains(&late));
    let written = serde_json::to_value(&world.status).unwrap();
    assert_eq!(crate::rollout::bounded::too_long(&written), Vec::<String>::new());
}

#[test]
fn what_is_more_than_can_be_remembered_waits_and_is_obeyed_in_its_turn() {
    let mut world = World::demo();
    world.until("5%", |w| w.component("alpha").weight.written == weight(50));
    let mut waiting = rollbacks(&world, "alpha", 450);
    let slip = |n: usize| {
        let error = NotACommand {
            id: format!("slip-{n}"),
            verb: "bogus".into(),
            message: "no command".into(),
        };
        (format!("rollout.sealos.io/command.bogus.slip-{n}"), error)
    };
    let mut slips: Vec<_> = (0..60).map(slip).collect();
    let (mut obeyed, mut looks) = (BTreeSet::new(), 0);
    while !waiting.is_empty() || !slips.is_empty() {
        let decision = look(&mut world, &waiting, &slips);
        assert!(world.status.commands.len() <= COMMANDS_AT_ONCE + COMMANDS_KEPT);
        for audit in decision.audits.iter().filter(|audit| audit.commanded) {
            assert!(obeyed.insert(audit.id.clone()), "{} is obeyed twice", audit.id);
        }
        waiting.retain(|command| !decision.done.contains(&command.key()));
        slips.retain(|(key, _)| !decision.done.contains(key));
        looks += 1;
        assert!(looks < 10);
    }
    assert_eq!((obeyed.len(), looks), (510, 3));
}

#[test]
fn a_rollback_among_very_many_raises_is_obeyed_at_once_and_none_that_is_older_is_obeyed_after_it() {
    for (count, verb) in [
        (60, Verb::Rollback),
        (240, Verb::Rollback),
        (700, Verb::Rollback),
        (450, Verb::Pause),
    ] {
        let mut world = World::demo();
        world.until("5%", |w| w.component("alpha").weight.observed == Some(weight(50)));
        let mut waiting: std::collections::BTreeMap<String, String> = rollbacks(&world, "alpha", count)
            .into_iter()
            .map(|mut command| {
                command.verb = Verb::Set;
                command.wish.weight = Some(weight(70));
                command.wish.force = true;
                (command.key(), command.value())
            })
            .collect();
        let mut last = rollbacks(&world, "alpha", count + 1).pop().unwrap();
        last.verb = verb;
        waiting.insert(last.key(), last.value());
        let mut looks = 0;
        while !waiting.is_empty() {
            let (commands, malformed) = pending(&waiting);
            let decision = look(&mut world, &commands, &malformed);
            waiting.retain(|key, _| !decision.done.contains(key));
            let alpha = world.component("alpha");
            if verb == Verb::Pause {
                assert!(alpha.paused_by.is_some(), "{count}, look {looks}");
            } else {
                assert_eq!(alpha.state, State::RolledBack, "{count}, look {looks}");
            }
            assert!(
                alpha.weight.asked <= weight(50),
                "{count}, look {looks}: {}",
                alpha.weight.asked
            );
            looks += 1;
            assert!(looks < 20);
        }
        let outcome = |c: &&CommandOutcome| c.id == last.id;
        let told = world.status.commands.iter().find(outcome).map(|c| c.result);
        assert_eq!(told, Some(CommandResult::Accepted), "{count}");
    }
}

#[test]
fn a_slip_in_one_name_keeps_no_other_component_from_going_back() {
    let mut world = World::demo();
    world.until("5%", |w| w.component("alpha").weight.written == weight(50));
    world.say(Verb::Rollback, "alpha", None);
    world.commands[0].wish.components.push("nobody".into());
    world.tick();
    assert_eq!(world.component("alpha").state, State::RolledBack);
    let outcome = world.status.commands.last().unwrap();
    assert_eq!(outcome.result, CommandResult::Partly);
    assert!(
        outcome.message.contains("nobody: no component is named so"),
        "{}",
        outcome.message
    );
}
