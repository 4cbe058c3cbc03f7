//! An emergency that was called before: when its wish is this one, and when it is an older one that has had its time.

use super::ALIVE_WITHIN;
use crate::cli::connect::Reach;
use crate::cli::pursue::Task;
use crate::rollout::command::{self, Command, RAISE_EXPIRES, Verb, given_by};
use crate::rollout::spec::GradualRollout;
use crate::rollout::status::{ComponentStatus, GradualRolloutStatus};
use jiff::Timestamp;
use std::time::Duration;
use ulid::Ulid;

/// So far ahead a clock may be. An id of a later time is not surpassed: until that time had come every `retry` would look
/// older than the emergency, and what waits beside one gives way to it anyway.
const AHEAD: Duration = RAISE_EXPIRES;

/// The task as the resource is now: before it was confirmed it was read minutes ago. Who gets no answer at once goes
/// by a wish of their own.
pub(super) async fn afresh(cluster: &Reach, namespace: &str, mut task: Task, confirmed: bool) -> Task {
    if confirmed {
        let read = cluster.rollout(namespace, task.name());
        match tokio::time::timeout(ALIVE_WITHIN, read).await {
            Ok(Ok(rollout)) => task.rollout = rollout,
            Ok(Err(_)) | Err(_) => return task,
        }
    }
    given_before(task)
}

/// A wish that stands on the resource already, and that nobody has taken up, is this one: the marks are the same, and
/// whoever comes back finds one wish and not one for each time that somebody was in a hurry.
fn given_before(mut task: Task) -> Task {
    if let Some(known) = same(&task) {
        task.command = known;
    }
    task
}

/// The wish that is the same as the task's, and the last word so far. What a daemon has answered, or what a raise was
/// asked for or declared after, is another emergency's: its mark stands on objects that a raise may be on its way to,
/// and only another mark stops that.
fn same(task: &Task) -> Option<Command> {
    let annotations = task.rollout.metadata.annotations.clone().unwrap_or_default();
    let pending = command::pending(&annotations).0;
    let mut after = pending.iter().rev().take_while(|known| !is_same(known, task));
    if after.any(|later| !later.verb.only_lowers()) {
        return None;
    }
    let known = pending.iter().rev().find(|known| is_same(known, task))?;
    let status = task.rollout.status.clone().unwrap_or_default();
    let answered = status.commands.iter().any(|outcome| outcome.id == known.id);
    let given = known.given_at();
    let raised = status
        .components
        .iter()
        .filter(|c| known.names(&c.name))
        .any(|c| {
            let intent = c.intent.as_ref();
            intent.is_some_and(|intent| given.is_none_or(|given| intent.at >= given))
        });
    (!answered && !raised).then(|| known.clone())
}

fn is_same(known: &Command, task: &Task) -> bool {
    let mine = &task.command.wish;
    known.verb == Verb::Rollback
        && known.wish.emergency
        && known.wish.weight == mine.weight
        && known.wish.components == mine.components
}

/// The task with an id that is later than all that is known of the resource: what waits on it, and what was written to
/// its routed objects or declared for them. Whoever goes by ids then agrees that the emergency was called last, also where
/// the clock here is behind.
pub(super) fn above(mut task: Task, now: Timestamp) -> Task {
    let annotations = task.rollout.metadata.annotations.clone().unwrap_or_default();
    if annotations.contains_key(&task.command.key()) {
        // It is the wish that stands there already.
        return task;
    }
    let waiting = command::pending(&annotations).0;
    let status = task.rollout.status.as_ref();
    let now = status.map_or(now, |status| by_now(status, now));
    let answered = status.iter().flat_map(|status| &status.commands).map(|outcome| {
        // Whatever its id claims, it had been given when it was answered.
        let given = given_by(&outcome.id).map_or(outcome.at, |given| given.min(outcome.at));
        at(given)
    });
    let written = status.iter().flat_map(|status| &status.components).flat_map(|c| {
        let intent = c.intent.as_ref().map(|intent| &intent.id);
        let lowering = c.lowering.as_ref().map(|order| &order.id);
        [c.mark.as_ref(), intent, lowering]
    });
    let known = waiting.iter().map(|command| &command.id).chain(written.flatten());
    let told = |id: &String| id.parse().ok().or_else(|| given_by(id).map(at));
    let ids = known.filter_map(told).chain(answered);
    if let Some(id) = later(&task.command.id, ids, now) {
        task.command.id = id;
    }
    task
}

/// What time it is at least: a clock here may be days behind, and what a daemon has written down is past.
fn by_now(status: &GradualRolloutStatus, now: Timestamp) -> Timestamp {
    let of = |c: &ComponentStatus| {
        let entries = c.history.iter().map(|entry| entry.at);
        let order = c.lowering.as_ref().map(|order| order.at);
        let intent = c.intent.as_ref().map(|intent| intent.at);
        entries.chain(c.since).chain(order).chain(intent).max()
    };
    let answered = status.commands.iter().map(|outcome| outcome.at);
    let known = status.components.iter().filter_map(of).chain(answered).max();
    known.map_or(now, |known| known.max(now))
}

/// The last id of a moment.
fn at(moment: Timestamp) -> Ulid {
    Ulid::from_parts(
        u64::try_from(moment.as_millisecond()).unwrap_or_default(),
        u128::MAX,
    )
}

/// An id above all of these that may be of a clock that is only ahead; `None` where it is above them itself.
pub(in crate::cli) fn later(id: &str, known: impl Iterator<Item = Ulid>, now: Timestamp) -> Option<String> {
    let latest = u64::try_from((now + AHEAD).as_millisecond()).unwrap_or_default();
    let highest = known.filter(|id| id.timestamp_ms() <= latest).max()?;
    let mine: Ulid = id.parse().ok()?;
    // The next millisecond: some compare ids by their time alone.
    let next = Ulid::from_parts(highest.timestamp_ms() + 1, mine.random());
    (mine.timestamp_ms() <= highest.timestamp_ms()).then(|| next.to_string())
}

/// Whether nothing can be under way to a component: no raise of it is declared or asked for, by the status.
pub(in crate::cli) fn nothing_rises(rollout: &GradualRollout, name: &str) -> bool {
    let status = rollout.status.as_ref();
    let found = status.and_then(|status| status.component(name));
    found.is_none_or(|c| c.intent.is_none() && c.weight.asked <= c.weight.written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::find::example;
    use crate::cli::manifest::{self, Manifest};
    use crate::rollout::command::Wish;
    use serde_json::{Value, json};
    use std::sync::Arc;

    /// Ids by age: of noon, a minute later, two minutes later.
    fn id(minute: u64) -> String {
        Ulid::from_parts(1_772_452_800_000 + minute * 60_000, 7).to_string()
    }

    fn emergency(minute: u64) -> Command {
        let wish = Wish {
            components: vec!["*".into()],
            weight: Some(crate::rollout::weight::Weight::ZERO),
            emergency: true,
            ..Wish::default()
        };
        Command {
            id: id(minute),
            verb: Verb::Rollback,
            wish,
        }
    }

    /// The emergency of minute 5, beside these commands and this status.
    fn task(commands: &[Command], status: Value) -> Task {
        let Some(Manifest::Rollout(mut rollout, _)) = manifest::read("x", &example("shop", "default")).pop()
        else {
            unreachable!()
        };
        rollout.metadata.annotations = Some(commands.iter().map(|c| (c.key(), c.value())).collect());
        rollout.status = Some(serde_json::from_value::<GradualRolloutStatus>(status).unwrap());
        Task {
            rollout: *rollout,
            components: vec!["shop".into()],
            command: emergency(5),
            foreign: std::collections::BTreeMap::new(),
            claimed: Arc::default(),
        }
    }

    /// The id that a second emergency goes by.
    fn goes_by(commands: &[Command], status: Value) -> String {
        given_before(task(commands, status)).command.id
    }

    #[test]
    fn the_wish_of_before_is_taken_for_this_one_only_while_it_is_the_last_word() {
        let set = Command {
            verb: Verb::Set,
            ..emergency(1)
        };
        let pause = Command {
            verb: Verb::Pause,
            ..emergency(1)
        };
        let nothing = || json!({});
        let before = [emergency(0)];
        assert_eq!(goes_by(&before, nothing()), id(0));
        assert_eq!(
            goes_by(&[emergency(0), pause], nothing()),
            id(0),
            "it lowers as well"
        );
        assert_eq!(
            goes_by(&[emergency(0), set], nothing()),
            id(5),
            "a raise was asked for since"
        );
        assert_eq!(goes_by(&[], nothing()), id(5));
        let answered = json!({"commands": [{"id": id(0), "verb": "rollback", "at": "2026-03-02T12:00:01Z",
            "result": "Accepted", "message": ""}]});
        assert_eq!(goes_by(&before, answered), id(5), "the daemon has taken it up");
        let declared = |at: &str| {
            json!({"components": [{"name": "shop", "state": "Manual", "reason": "Raising", "message": "",
                "weight": {"asked": "10%", "written": "0%"},
                "intent": {"id": "i", "weight": "10%", "reason": "Manual", "at": at, "objects": []}}]})
        };
        assert_eq!(
            goes_by(&before, declared("2026-03-02T12:00:30Z")),
            id(5),
            "a raise was declared since"
        );
        assert_eq!(
            goes_by(&before, declared("2026-03-02T11:59:00Z")),
            id(0),
            "its mark stops that one"
        );
    }

    /// The id that an emergency is given.
    fn is_given(commands: &[Command], status: Value) -> String {
        let now = emergency(5).given_at().unwrap();
        above(task(commands, status), now).command.id
    }

    #[test]
    fn an_emergency_is_later_than_all_that_waits_and_was_written_however_the_clocks_go() {
        let raise = |minute| Command {
            verb: Verb::Set,
            ..emergency(minute)
        };
        let component = |field: &str, value: Value| {
            json!({"components": [{"name": "shop", "state": "Manual", "reason": "Raising", "message": "",
                "weight": {"asked": "10%", "written": "0%"}, field: value}]})
        };
        let intent = json!({"id": id(8), "weight": "10%", "reason": "Manual", "at": "2026-03-02T12:08:00Z", "objects": []});
        let order = json!({"id": id(9), "weight": "0%", "reason": "Manual", "at": "2026-03-02T12:09:00Z"});
        for (commands, status, above) in [
            (vec![raise(15), raise(3)], json!({}), 15),
            (vec![], component("mark", id(7).into()), 7),
            (vec![raise(3)], component("intent", intent), 8),
            (vec![], component("lowering", order), 9),
        ] {
            let given: Ulid = is_given(&commands, status).parse().unwrap();
            let above: Ulid = id(above).parse().unwrap();
            assert_eq!(given.timestamp_ms(), above.timestamp_ms() + 1);
        }
        let times = "1772453400";
        let raised = Command {
            id: times.to_owned(),
            ..raise(1)
        };
        let given: Ulid = is_given(&[raised], json!({})).parse().unwrap();
        assert_eq!(
            given.timestamp_ms(),
            1_772_453_400_999 + 1,
            "a number is a time, too"
        );
        assert_eq!(is_given(&[raise(3)], json!({})), id(5), "it is the latest itself");
        for nonsense in ["7ZZZZZZZZZZZZZZZZZZZZZZZZZ", &id(16)] {
            let nonsense = Command {
                id: nonsense.to_owned(),
                ..raise(1)
            };
            assert_eq!(
                is_given(&[nonsense], json!({})),
                id(5),
                "nobody goes by such a time"
            );
        }
        // Two days later by all that is known, which only the clock here does not know.
        let day = 24 * 60;
        let later = id(2 * day);
        let status = json!({
            "components": [{"name": "shop", "state": "Manual", "reason": "Manual", "message": "", "mark": later,
                "since": "2026-03-04T12:00:01Z", "weight": {"asked": "10%", "written": "10%"}}],
            "commands": [{"id": id(2 * day + 1), "verb": "set", "at": "2026-03-04T12:01:01Z", "result": "Accepted",
                "message": ""}],
        });
        let waits = raise(2 * day + 3);
        let given: Ulid = is_given(&[waits], status.clone()).parse().unwrap();
        let above = |minute| id(minute).parse::<Ulid>().unwrap().timestamp_ms() + 1;
        assert_eq!(given.timestamp_ms(), above(2 * day + 3));
        let given: Ulid = is_given(&[], status).parse().unwrap();
        assert_eq!(given.timestamp_ms(), above(2 * day + 1), "what was answered, too");
        assert_eq!(
            is_given(&[emergency(5), raise(15)], json!({})),
            id(5),
            "it stands there already"
        );
    }
}
