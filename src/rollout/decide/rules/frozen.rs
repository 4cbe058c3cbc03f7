//! A freeze of everything, by the operator's settings or the cluster's switch.

use super::world::{Weather, World, weight};
use crate::rollout::command::Verb;
use crate::rollout::observation::{Frozen, GateAnswer};
use crate::rollout::reason::Reason;
use crate::rollout::status::CommandResult;
use crate::rollout::weight::Weight;

impl World {
    pub(crate) fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen.then(|| Frozen {
            until: None,
            says: "frozen by ada: quarter end".into(),
        });
    }

    pub(crate) fn answer(&mut self, key: &str, open: bool) {
        let says = if open { "yes" } else { "no" }.into();
        self.answers.insert(key.into(), GateAnswer { open, says });
    }
}

#[test]
fn frozen_nothing_rises_the_clock_stands_and_what_fails_goes_back() {
    let mut world = World::demo();
    // Before the first raise, which no hold keeps back.
    world.freeze(true);
    world.ticks(30);
    assert_eq!(
        (world.highest("alpha"), world.component("alpha").reason),
        (Weight::ZERO, Reason::Frozen)
    );
    world.freeze(false);
    world.until("5%", |w| w.highest("alpha") == weight(50));
    world.ticks(4);
    world.freeze(true);
    world.tick();
    assert_eq!(world.status.frozen.as_deref(), Some("frozen by ada: quarter end"));
    assert_eq!(world.status.condition("Ready").unwrap().reason, "Frozen");
    let held = world.component("alpha").held;
    world.ticks(60);
    assert_eq!(world.component("alpha").held, held, "the hold's clock runs");
    assert_eq!(
        (world.highest("alpha"), world.highest("beta")),
        (weight(50), Weight::ZERO)
    );
    world.restart();
    world.ticks(30);
    assert_eq!(world.highest("alpha"), weight(50));
    world.freeze(false);
    world.until("it goes on", |w| w.highest("alpha") == weight(100));
    assert_eq!(world.status.frozen, None);
    world.freeze(true);
    world.weather.insert("alpha".into(), Weather::CanaryFails);
    world.ticks(8);
    assert_eq!(
        world.highest("alpha"),
        Weight::ZERO,
        "a freeze kept traffic on a canary that fails"
    );
}

#[test]
fn frozen_raising_commands_are_refused_unless_forced_and_lowering_ones_obeyed() {
    let mut world = World::demo();
    world.until("5%", |w| w.component("alpha").weight.written == weight(50));
    world.ticks(4);
    world.freeze(true);
    for (verb, to) in [
        (Verb::Set, Some(weight(300))),
        (Verb::Promote, None),
        (Verb::Approve, None),
        (Verb::Retry, None),
    ] {
        world.say(verb, "alpha", to);
        world.tick();
        let outcome = world.status.commands.last().unwrap();
        assert_eq!(outcome.result, CommandResult::Refused, "{verb}");
        assert!(
            outcome.message.contains("quarter end") && outcome.message.contains("--force"),
            "{verb}: {}",
            outcome.message
        );
    }
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.commands[0].wish.force = true;
    world.ticks(2);
    assert_eq!(world.highest("alpha"), weight(300), "whoever insists is obeyed");
    world.say(Verb::Set, "alpha", Some(weight(100)));
    world.ticks(2);
    assert_eq!(world.highest("alpha"), weight(100));
    world.say(Verb::Rollback, "alpha", None);
    world.ticks(2);
    assert_eq!(world.highest("alpha"), Weight::ZERO);
}

#[test]
fn a_raise_by_hand_that_was_not_written_yet_is_not_written_into_a_freeze() {
    let mut world = World::demo();
    world.until("5%", |w| w.component("alpha").weight.written == weight(50));
    world.ticks(4);
    for object in world.objects.get_mut("alpha").unwrap() {
        object.settled = false;
    }
    world.say(Verb::Set, "alpha", Some(weight(300)));
    world.ticks(2);
    world.freeze(true);
    for object in world.objects.get_mut("alpha").unwrap() {
        object.settled = true;
    }
    world.ticks(10);
    assert_eq!(world.highest("alpha"), weight(50));
    assert_eq!(world.component("alpha").reason, Reason::Manual);
}
