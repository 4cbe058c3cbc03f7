//! Ids that are not as unique as their givers thought, such as the second of the clock.

use super::world::{World, weight};
use crate::rollout::command::{Command, NotACommand, Verb, Wish};
use crate::rollout::decide::{decide, refuse};
use crate::rollout::observation::Decision;
use crate::rollout::reason::State;
use crate::rollout::status::{CommandOutcome, CommandResult};
use std::collections::BTreeMap;

/// The second in which everything here is given.
const SECOND: &str = "1796040000";

fn command(verb: Verb, component: &str) -> Command {
    let wish = Wish {
        components: vec![component.to_owned()],
        who: "eve".into(),
        ..Wish::default()
    };
    Command {
        id: SECOND.to_owned(),
        verb,
        wish,
    }
}

/// Both components at 10%, on their way.
fn walking() -> World {
    let mut world = World::demo();
    world.until("10%", |w| {
        let at = |name: &str| w.component(name).weight.observed == Some(weight(100));
        at("alpha") && at("beta")
    });
    world
}

/// One look while these wait, which may have waited before.
fn look(world: &mut World, waiting: &[Command]) -> Decision {
    world.now += std::time::Duration::from_millis(400);
    let mut seen = world.observe(false);
    seen.commands = waiting.to_vec();
    let decision = decide(&world.plan, world.status.clone(), &seen, world.now);
    world.status = decision.next.clone();
    world.first = false;
    decision
}

fn told(world: &World, command: &Command) -> Option<CommandResult> {
    let mut found = world.status.commands.iter().filter(|c| c.is_of(command));
    let one = found.next().map(|outcome| outcome.result);
    assert_eq!(found.next(), None, "told twice: {:?}", world.status.commands);
    one
}

#[test]
fn a_rollback_is_obeyed_beside_another_command_of_the_same_id() {
    for other in [Verb::Pause, Verb::Detach, Verb::Complaint, Verb::Retry] {
        let mut world = walking();
        let mut first = command(other, "beta");
        first.wish.reason = "login fails".into();
        let back = command(Verb::Rollback, "alpha");
        let decision = look(&mut world, &[first.clone(), back.clone()]);
        assert_eq!(world.component("alpha").state, State::RolledBack, "{other}");
        assert_eq!(decision.done.len(), 2, "{other}");
        assert!(told(&world, &first).is_some(), "{other}");
        assert_eq!(told(&world, &back), Some(CommandResult::Accepted), "{other}");
        assert_eq!(
            decision.audits.iter().filter(|a| a.commanded).count(),
            2,
            "{other}"
        );
    }
}

#[test]
fn a_rollback_is_obeyed_after_a_pause_of_the_same_id_also_after_a_restart() {
    for restarts in [false, true] {
        let mut world = walking();
        let pause = command(Verb::Pause, "alpha");
        look(&mut world, std::slice::from_ref(&pause));
        assert_eq!(told(&world, &pause), Some(CommandResult::Accepted));
        if restarts {
            world.restart();
        }
        let back = command(Verb::Rollback, "alpha");
        look(&mut world, std::slice::from_ref(&back));
        assert_eq!(world.component("alpha").state, State::RolledBack);
        assert_eq!(told(&world, &back), Some(CommandResult::Accepted));
    }
}

#[test]
fn a_loop_over_components_puts_each_of_them_back_within_one_second() {
    for restarts in [false, true] {
        let mut world = walking();
        for component in ["alpha", "beta"] {
            let back = command(Verb::Rollback, component);
            look(&mut world, std::slice::from_ref(&back));
            assert_eq!(world.component(component).state, State::RolledBack);
            assert_eq!(told(&world, &back), Some(CommandResult::Accepted));
            if restarts {
                world.restart();
            }
        }
    }
}

#[test]
fn a_command_repeated_exactly_is_not_obeyed_twice() {
    let mut world = walking();
    let back = command(Verb::Rollback, "alpha");
    look(&mut world, std::slice::from_ref(&back));
    world.ticks(3);
    world.say(Verb::Retry, "alpha", None);
    world.tick();
    assert_ne!(world.component("alpha").state, State::RolledBack);
    for restarts in [false, true] {
        if restarts {
            world.restart();
        }
        let again = look(&mut world, std::slice::from_ref(&back));
        assert_eq!(again.done, [back.key()], "its annotation goes");
        assert!(!again.audits.iter().any(|audit| audit.commanded));
        assert_ne!(world.component("alpha").state, State::RolledBack);
        assert_eq!(told(&world, &back), Some(CommandResult::Accepted));
    }
}

#[test]
fn a_deeper_rollback_of_the_same_ulid_has_a_mark_of_its_own() {
    let mut world = walking();
    let millis = u64::try_from(world.now.as_millisecond()).unwrap();
    let mut back = command(Verb::Rollback, "alpha");
    back.id = ulid::Ulid::from_parts(millis, 1).to_string();
    back.wish.weight = Some(weight(50));
    look(&mut world, std::slice::from_ref(&back));
    let first = world.component("alpha").lowering.clone().unwrap();
    assert_eq!((first.id.as_str(), first.weight), (back.id.as_str(), weight(50)));
    back.wish.weight = None;
    look(&mut world, std::slice::from_ref(&back));
    let second = world.component("alpha").lowering.clone().unwrap();
    assert_eq!(second.weight, weight(0));
    assert_ne!(
        second.id, first.id,
        "the objects may bear the first one's mark already"
    );
    back.wish.weight = Some(weight(70));
    look(&mut world, &[back]);
    assert_eq!(
        world.component("alpha").lowering.clone().unwrap().weight,
        weight(0)
    );
}

#[test]
fn what_an_older_release_told_by_id_alone_keeps_no_rollback_from_being_obeyed() {
    let old = |verb: Verb| CommandOutcome {
        id: SECOND.to_owned(),
        verb: verb.to_string(),
        digest: None,
        who: None,
        at: "2026-03-02T03:00:00Z".parse().unwrap(),
        result: CommandResult::Accepted,
        message: String::new(),
        components: Vec::new(),
        automatic: false,
        refused: Vec::new(),
    };
    let mut world = walking();
    world.status.commands = vec![old(Verb::Rollback), old(Verb::Detach)];
    let (back, detach) = (command(Verb::Rollback, "alpha"), command(Verb::Detach, "beta"));
    let decision = look(&mut world, &[back, detach]);
    assert_eq!(decision.done.len(), 2);
    assert_eq!(
        world.component("alpha").state,
        State::RolledBack,
        "in doubt it is obeyed"
    );
    assert!(!world.component("beta").detached, "that was dealt with");
}

#[test]
fn each_command_is_told_by_who_gave_it_whatever_its_id() {
    let mut world = walking();
    let (pause, back) = (command(Verb::Pause, "beta"), command(Verb::Rollback, "alpha"));
    let mut seen = world.observe(false);
    seen.commands = vec![pause.clone(), back.clone()];
    seen.givers = [(pause.key(), "eve".to_owned()), (back.key(), "bob".to_owned())].into();
    world.status = decide(&world.plan, world.status.clone(), &seen, world.now).next;
    let who = |command: &Command| {
        let found = world.status.commands.iter().find(|c| c.is_of(command));
        found.and_then(|c| c.who.clone()).unwrap()
    };
    assert_eq!((who(&pause).as_str(), who(&back).as_str()), ("eve", "bob"));
}

fn slip(message: &str) -> (String, NotACommand) {
    let error = NotACommand {
        id: SECOND.to_owned(),
        verb: "rollback".into(),
        message: message.into(),
    };
    (command(Verb::Rollback, "alpha").key(), error)
}

#[test]
fn a_rollback_whose_slip_is_mended_is_obeyed_under_the_same_id() {
    let mut world = walking();
    let mut seen = world.observe(false);
    seen.malformed = vec![slip("the value is no command")];
    world.status = decide(&world.plan, world.status.clone(), &seen, world.now).next;
    assert_eq!(
        world.status.commands.last().unwrap().result,
        CommandResult::Refused
    );
    look(&mut world, &[command(Verb::Rollback, "alpha")]);
    assert_eq!(world.component("alpha").state, State::RolledBack);
}

#[test]
fn a_slip_beside_a_spec_that_was_never_usable_is_answered_once() {
    let mut status = crate::rollout::status::GradualRolloutStatus::default();
    let slips = [slip("the value is no command")];
    let back = [command(Verb::Rollback, "alpha")];
    let now = "2026-03-02T03:00:00Z".parse().unwrap();
    let mut look = |slips: &[(String, NotACommand)]| {
        let (done, audits) = refuse(&mut status, (&back, slips), &BTreeMap::new(), "no steps", now);
        (done, audits.len(), status.commands.clone())
    };
    let (done, audits, commands) = look(&slips);
    assert_eq!(
        (done, audits),
        (vec![slips[0].0.clone()], 1),
        "a rollback is kept"
    );
    assert!(
        commands[0].message.contains("the value is no command"),
        "{commands:?}"
    );
    let (done, audits, again) = look(&slips);
    assert_eq!((done.len(), audits, again), (1, 0, commands));
    let (_, audits, _) = look(&[slip("components is empty")]);
    assert_eq!(audits, 1, "another slip is another answer");
}
