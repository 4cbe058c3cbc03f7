//! An emergency that was called before: when its wish is this one, and when it is an older one that has had its time.

use super::ALIVE_WITHIN;
use crate::cli::connect::Reach;
use crate::cli::pursue::Task;
use crate::rollout::command::{self, Command, Verb};
use crate::rollout::spec::GradualRollout;

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
    use crate::rollout::status::GradualRolloutStatus;
    use serde_json::{Value, json};
    use std::sync::Arc;

    /// Ids by age: of noon, a minute later, two minutes later.
    fn id(minute: u64) -> String {
        ulid::Ulid::from_parts(1_772_452_800_000 + minute * 60_000, 7).to_string()
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

    /// The id that a second emergency goes by, beside these commands and this status.
    fn goes_by(commands: &[Command], status: Value) -> String {
        let Some(Manifest::Rollout(mut rollout, _)) = manifest::read("x", &example("shop", "default")).pop()
        else {
            unreachable!()
        };
        rollout.metadata.annotations = Some(commands.iter().map(|c| (c.key(), c.value())).collect());
        rollout.status = Some(serde_json::from_value::<GradualRolloutStatus>(status).unwrap());
        let task = Task {
            rollout: *rollout,
            components: vec!["shop".into()],
            command: emergency(5),
            foreign: std::collections::BTreeMap::new(),
            claimed: Arc::default(),
        };
        given_before(task).command.id
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
}
