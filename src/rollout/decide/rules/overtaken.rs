//! Commands that are heard of after a later one was answered: for every two that contradict each other the later one
//! stands, or what is safer does and that is told.

use super::world::{World, spec, weight};
use crate::rollout::command::{Command, Verb, Wish};
use crate::rollout::observation::Aside;
use crate::rollout::preview::{EditAction, RouteEdit};
use crate::rollout::reason::{Reason, State};
use crate::rollout::status::{CommandOutcome, CommandResult, ComponentStatus};
use crate::rollout::weight::Weight;
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ask {
    Up,
    Down,
    Pause,
    Resume,
    Promote,
    Rollback,
    Retry,
    Detach,
}

const ALL: [Ask; 8] = [
    Ask::Up,
    Ask::Down,
    Ask::Pause,
    Ask::Resume,
    Ask::Promote,
    Ask::Rollback,
    Ask::Retry,
    Ask::Detach,
];

impl Ask {
    const fn verb(self) -> Verb {
        match self {
            Self::Up | Self::Down => Verb::Set,
            Self::Pause => Verb::Pause,
            Self::Resume => Verb::Resume,
            Self::Promote => Verb::Promote,
            Self::Rollback => Verb::Rollback,
            Self::Retry => Verb::Retry,
            Self::Detach => Verb::Detach,
        }
    }

    const fn stops(self) -> bool {
        matches!(self, Self::Down | Self::Pause | Self::Rollback)
    }

    /// With an id of `ago` before now.
    fn given(self, world: &World, ago: u64) -> Command {
        let millis = u64::try_from(world.now.as_millisecond()).unwrap() - ago;
        let to = match self {
            Self::Up => Some(weight(700)),
            Self::Down => Some(weight(100)),
            Self::Pause | Self::Resume | Self::Promote | Self::Rollback | Self::Retry | Self::Detach => None,
        };
        let wish = Wish {
            components: vec!["alpha".to_owned()],
            weight: to,
            force: true,
            who: "ada".into(),
            ..Wish::default()
        };
        Command {
            id: ulid::Ulid::from_parts(millis, u128::from(ago)).to_string(),
            verb: self.verb(),
            wish,
        }
    }

    /// A world in which this is a thing to ask for.
    fn scene(self) -> World {
        let mut world = World::demo();
        world.until("40%", |w| {
            w.component("alpha").weight.observed == Some(weight(400))
        });
        match self {
            Self::Resume => world.say(Verb::Pause, "alpha", None),
            Self::Retry => world.say(Verb::Rollback, "alpha", None),
            Self::Up | Self::Down | Self::Pause | Self::Promote | Self::Rollback | Self::Detach => {}
        }
        world.ticks(3);
        // What prepared the scene is long ago.
        world.status.commands.clear();
        world
    }
}

fn outcome(world: &World, command: &Command) -> CommandOutcome {
    let mut all = world.status.commands.iter();
    all.find(|c| c.is_of(command)).unwrap().clone()
}

/// What people's words made of a component.
fn stands(c: &ComponentStatus) -> (State, bool, bool, Weight, Option<Weight>) {
    let lowering = c.lowering.as_ref().map(|order| order.weight);
    (
        c.state,
        c.paused_by.is_some(),
        c.detached,
        c.weight.asked,
        lowering,
    )
}

/// The later of two is answered, the daemon dies perhaps, and then the other one comes.
fn late(older: Ask, newer: Ask, ticks: usize, dies: bool) {
    let mut world = newer.scene();
    let (first, last) = (older.given(&world, 5000), newer.given(&world, 3000));
    world.commands.push(last.clone());
    world.ticks(ticks);
    assert_eq!(
        outcome(&world, &last).result,
        CommandResult::Accepted,
        "{newer:?}"
    );
    if dies {
        world.restart();
    }
    let mut without = world.clone();
    without.tick();
    world.commands.push(first.clone());
    world.tick();
    let told = outcome(&world, &first);
    let (is, was) = (world.component("alpha"), without.component("alpha"));
    let what = format!("{older:?} after the later {newer:?}: {told:?}");
    // Where the weight is there already, `set` only takes it off its plan.
    let stops = older.stops() || older == Ask::Up && was.weight.written >= weight(700);
    if stops && !(older == Ask::Down && matches!(newer, Ask::Detach | Ask::Rollback)) {
        assert!(is.weight.asked <= was.weight.asked, "{what}");
        assert!(older != Ask::Pause || is.paused_by.is_some(), "{what}");
        assert!(older != Ask::Rollback || is.state == State::RolledBack, "{what}");
        let goes_on = !matches!(newer, Ask::Pause | Ask::Rollback);
        let says = format!("given before the {} {}", newer.verb(), last.id);
        let accepted = told.result == CommandResult::Accepted;
        // `set` to more than there is would raise, and is cancelled.
        assert_eq!(
            accepted && goes_on,
            accepted && told.message.contains(&says),
            "{what}"
        );
        return;
    }
    if matches!(
        (older, newer),
        (Ask::Promote, Ask::Resume) | (Ask::Detach, Ask::Detach)
    ) {
        // They do not contradict each other: a hold is over, paused in between or not, and what is let go is let go.
        return;
    }
    assert_eq!(stands(is), stands(was), "{what}");
    assert!(
        matches!(told.result, CommandResult::Cancelled | CommandResult::Refused),
        "{what}"
    );
}

#[test]
fn of_every_two_commands_the_later_stands_or_the_safer_does_whichever_is_heard_of_first() {
    for older in ALL {
        for newer in ALL {
            for (ticks, dies) in [(1, false), (3, false), (1, true), (3, true)] {
                late(older, newer, ticks, dies);
            }
        }
    }
}

#[test]
fn a_resume_that_was_given_before_a_pause_and_arrives_after_it_was_answered_is_cancelled() {
    let mut world = Ask::Up.scene();
    world.commands.push(Ask::Pause.given(&world, 1000));
    world.tick();
    world.restart();
    let resume = Ask::Resume.given(&world, 30_000);
    world.commands.push(resume.clone());
    world.ticks(20);
    assert!(world.component("alpha").paused_by.is_some());
    let told = outcome(&world, &resume);
    assert_eq!(told.result, CommandResult::Cancelled);
    assert!(
        told.message.contains("given before the pause"),
        "{}",
        told.message
    );
    assert!(
        told.message.contains("set the clock of whoever gives it"),
        "{}",
        told.message
    );
    // One that was given after it is obeyed, and so is one for whom the pause was not.
    let now = Ask::Resume.given(&world, 0);
    let mut other = Ask::Resume.given(&world, 30_001);
    other.wish.components = vec!["beta".to_owned()];
    world.commands = vec![now.clone(), other.clone()];
    world.tick();
    assert_eq!(outcome(&world, &now).result, CommandResult::Accepted);
    assert_eq!(
        outcome(&world, &other).result,
        CommandResult::Refused,
        "not paused"
    );
    assert!(world.component("alpha").paused_by.is_none());
}

#[test]
fn a_pause_whose_id_tells_no_time_or_one_that_has_not_come_counts_by_when_it_was_answered() {
    for id in [Some("1796040000"), None] {
        for (before, wanted) in [(true, CommandResult::Cancelled), (false, CommandResult::Accepted)] {
            let mut world = Ask::Up.scene();
            let mut pause = Ask::Pause.given(&world, 0);
            let day = world.now + Duration::from_secs(86_400);
            let ahead = ulid::Ulid::from_parts(u64::try_from(day.as_millisecond()).unwrap(), 1).to_string();
            pause.id = id.map_or(ahead, str::to_owned);
            world.commands.push(pause);
            let early = Ask::Resume.given(&world, 1000);
            world.tick();
            world.now += Duration::from_secs(5);
            let resume = if before {
                early
            } else {
                Ask::Resume.given(&world, 0)
            };
            world.commands.push(resume.clone());
            world.tick();
            let told = outcome(&world, &resume);
            assert_eq!(told.result, wanted, "{id:?}: {told:?}");
        }
    }
}

#[test]
fn a_pause_of_all_counts_for_each_and_one_that_was_refused_for_a_component_does_not() {
    let mut world = Ask::Up.scene();
    let mut pause = Ask::Pause.given(&world, 1000);
    pause.wish.components = vec!["*".to_owned()];
    world.commands.push(pause.clone());
    world.tick();
    assert_eq!(outcome(&world, &pause).components, ["*"]);
    let resume = Ask::Resume.given(&world, 20_000);
    let mut again = world.clone();
    again.status.commands[0].refused = vec!["alpha".to_owned()];
    again.status.commands[0].result = CommandResult::Partly;
    for (mut world, wanted) in [
        (world, CommandResult::Cancelled),
        (again, CommandResult::Accepted),
    ] {
        world.commands.push(resume.clone());
        world.tick();
        assert_eq!(outcome(&world, &resume).result, wanted);
    }
}

#[test]
fn a_resume_settles_no_complaint_that_came_after_it_was_given() {
    let mut world = Ask::Up.scene();
    world.say(Verb::Pause, "alpha", None);
    world.commands[0].id = "1".into();
    world.tick();
    world.status.commands.clear();
    let resume = Ask::Resume.given(&world, 1);
    for n in 0..3 {
        world.say(Verb::Complaint, "alpha", None);
        world.commands[n].wish.reason = "login is slow".into();
    }
    world.tick();
    world.commands.push(resume.clone());
    world.ticks(5);
    assert_eq!(outcome(&world, &resume).result, CommandResult::Accepted);
    let alpha = world.component("alpha");
    assert!(alpha.paused_by.is_none(), "the pause it did see is over");
    assert_eq!(alpha.reason, Reason::Complaints, "{}", alpha.message);
}

#[test]
fn a_mirror_or_a_route_that_was_given_before_another_word_about_it_is_not_brought_back() {
    let mut spec = spec();
    spec["components"][0]["routers"] = json!([{"istio": {"virtualServices": [{"name": "alpha"}],
        "canary": {"host": "new"}, "control": {"host": "old"}}}]);
    for verb in [Verb::Mirror, Verb::HeaderRoute] {
        let mut world = World::new(spec.clone());
        for object in world.objects.get_mut("alpha").unwrap() {
            object.aside = Some(Aside::default());
        }
        let command = |world: &World, ago: u64, adds: bool| {
            let mut command = Ask::Pause.given(world, ago);
            command.verb = verb;
            if verb == Verb::Mirror {
                command.wish.weight = adds.then(|| weight(100));
            } else {
                command.wish.route = Some(RouteEdit {
                    action: if adds { EditAction::Add } else { EditAction::Remove },
                    header: adds.then(|| "canary=true".parse().unwrap()),
                    cookie: None,
                });
            }
            command
        };
        let (add, remove) = (command(&world, 2000, true), command(&world, 1000, false));
        world.commands.push(remove.clone());
        world.tick();
        assert_eq!(outcome(&world, &remove).result, CommandResult::Accepted, "{verb}");
        world.commands.push(add.clone());
        world.ticks(2);
        assert_eq!(outcome(&world, &add).result, CommandResult::Cancelled, "{verb}");
        let later = command(&world, 0, true);
        world.commands.push(later.clone());
        world.tick();
        assert_eq!(outcome(&world, &later).result, CommandResult::Accepted, "{verb}");
    }
}

#[test]
fn a_flood_of_rollbacks_makes_no_pause_forgotten() {
    let mut world = Ask::Up.scene();
    world.commands.push(Ask::Pause.given(&world, 1000));
    let resume = Ask::Resume.given(&world, 2000);
    world.tick();
    for n in 0..120_u64 {
        let mut back = Ask::Rollback.given(&world, n);
        back.wish.components = vec!["beta".to_owned()];
        world.commands.push(back);
    }
    world.ticks(3);
    world.commands.push(resume.clone());
    world.tick();
    assert_eq!(outcome(&world, &resume).result, CommandResult::Cancelled);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Words of a minute arrive one by one, in any order.
    #[test]
    fn in_whatever_order_words_arrive_the_last_of_them_is_not_undone(
        words in prop::collection::vec((0..ALL.len(), 0..60_u64), 2..7),
        dies in prop::collection::vec(prop::bool::ANY, 7),
    ) {
        let mut world = Ask::Up.scene();
        let start = world.now;
        let given: Vec<(Ask, Command)> = words.iter().enumerate().map(|(n, (ask, ago))| {
            let ask = ALL[*ask];
            (ask, ask.given(&world, ago * 1000 + n as u64))
        }).collect();
        for ((_, command), dies) in given.iter().zip(dies) {
            world.commands.push(command.clone());
            world.tick();
            if dies {
                world.restart();
            }
        }
        let taken = given.iter().filter(|(_, c)| outcome(&world, c).result == CommandResult::Accepted);
        let last = taken.max_by_key(|(_, c)| c.given_at()).cloned();
        let alpha = world.component("alpha");
        match last.map(|(ask, _)| ask) {
            Some(Ask::Pause) => prop_assert!(alpha.paused_by.is_some(), "{:?}", world.status.commands),
            Some(Ask::Rollback) => prop_assert!(
                alpha.state == State::RolledBack && alpha.weight.asked.is_zero(),
                "{:?}", world.status.commands
            ),
            Some(Ask::Down) => prop_assert!(alpha.weight.asked <= weight(100), "{:?}", world.status.commands),
            _ => {}
        }
        prop_assert!(world.now > start);
    }
}
