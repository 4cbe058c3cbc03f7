//! Has it been done? Judged from the rollout's status alone, component by component.

use crate::rollout::command::{Command, STAYS_BACK, Verb};
use crate::rollout::reason::{Reason, State};
use crate::rollout::several;
use crate::rollout::spec::GradualRollout;
use crate::rollout::status::{CommandOutcome, CommandResult, ComponentStatus, HistoryEntry};
use crate::rollout::weight::Weight;

/// How a command stands for one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// Not yet: what it waits for.
    Waiting(String),
    /// Done, and read back.
    Done(String),
    /// Not done, and it will not be.
    Refused(String),
    /// The traffic was put back while the raise was waited for.
    RolledBack(String),
}

/// How a command stands for a component of the rollout as it was read.
pub(super) fn stand(command: &Command, rollout: &GradualRollout, component: &str) -> Stand {
    let status = rollout.status.clone().unwrap_or_default();
    let Some(outcome) = status.commands.iter().find(|c| c.id == command.id) else {
        let annotations = rollout.metadata.annotations.as_ref();
        return if annotations.is_some_and(|a| a.contains_key(&command.key())) {
            let unusable = status.unusable(rollout.metadata.generation);
            Stand::Waiting(unusable.map_or_else(
                || "the daemon has not taken it up yet".to_owned(),
                |c| {
                    format!(
                        "the daemon has not taken it up yet, and cannot use the spec ({}): {}",
                        c.reason, c.message
                    )
                },
            ))
        } else {
            Stand::Refused(
                "the command vanished before the daemon saw it (`kubectl replace` drops it): give it again"
                    .to_owned(),
            )
        };
    };
    let names = status.components.iter().map(|c| c.name.as_str()).collect();
    let said = several::about(&outcome.message, component, &names)
        .unwrap_or(&outcome.message)
        .to_owned();
    match outcome.result {
        CommandResult::Refused | CommandResult::Expired | CommandResult::Cancelled => {
            return Stand::Refused(said);
        }
        CommandResult::Accepted | CommandResult::Partly => {}
    }
    let found = status.component(component);
    match command.verb {
        Verb::Set | Verb::Rollback => {}
        Verb::HeaderRoute | Verb::Mirror => return beside(command, found, said),
        Verb::Pause
        | Verb::Resume
        | Verb::Approve
        | Verb::Promote
        | Verb::Retry
        | Verb::Detach
        | Verb::Complaint => {
            // An older daemon does not say for whom.
            let untold = outcome.result == CommandResult::Partly && outcome.refused.is_empty();
            return if untold {
                Stand::Refused(format!("not for every component: {}", outcome.message))
            } else if outcome.refused.iter().any(|name| name == component) {
                Stand::Refused(said)
            } else {
                taken_up(command, found, said)
            };
        }
    }
    let Some(found) = found else {
        return Stand::Refused("it is not in the rollout any more".to_owned());
    };
    let weight = found.weight;
    let shown = weight.observed.map_or_else(|| "?".to_owned(), |w| w.to_string());
    // Every lowering is an order, which ends when each routed object was read with its mark.
    let ended = found.lowering.is_none();
    let now = format!(
        "asked {}, written {}, observed {shown}{}",
        weight.asked,
        weight.written,
        waits(found)
    );
    if command.verb == Verb::Rollback {
        let to = back_to(command, rollout);
        // As long as its order stands, what is observed may be from before the command: of a hook, that was asked half
        // a minute ago and does not answer any more.
        let there = ended && weight.written <= to && weight.observed.is_some_and(|w| w <= to);
        // Where an object is gone nothing can be read back as a whole, and nothing has to be.
        let over = ended && weight.written <= to && found.state == State::RolledBack;
        return if there {
            back(found, "")
        } else if over {
            back(found, &format!(": {}", found.message))
        } else {
            Stand::Waiting(format!("{now} ({})", found.message))
        };
    }
    let goal = command.wish.weight.unwrap_or_default();
    if found.state == State::RolledBack {
        // It was set where it is, or lower, and stays back.
        return match (said.contains(STAYS_BACK), ended) {
            (true, true) => Stand::Done(format!("at {}: {said}", weight.written)),
            (true, false) => Stand::Waiting(format!("{now} ({})", found.message)),
            (false, true) => Stand::RolledBack(found.message.clone()),
            (false, false) => Stand::Waiting(format!("being put back: {now} ({})", found.message)),
        };
    }
    if ended && weight.written == goal && weight.observed == Some(goal) {
        return back(found, &beside_the_answer(&said));
    }
    // What is read in part is observed by nobody as a whole; a lowering that ended was read back in each part of it.
    if ended && weight.written == goal && is_lowered_in_part(found, outcome) {
        return back(found, &format!(": {}", found.message));
    }
    if weight.asked == goal {
        return Stand::Waiting(format!("{now} ({})", found.message));
    }
    // The wish was taken up and dropped again: refused for this one of several, or overtaken.
    let why = if said.starts_with("going to") {
        found.message.clone()
    } else {
        said
    };
    Stand::Refused(why)
}

/// How a command that was taken up stands: done, but for what is let go while our marks are on it.
fn taken_up(command: &Command, found: Option<&ComponentStatus>, said: String) -> Stand {
    let going = found.and_then(|c| c.letting_go.as_ref());
    match going.filter(|_| command.verb == Verb::Detach) {
        None => Stand::Done(said),
        Some(going) => Stand::Waiting(going.message.as_ref().map_or_else(
            || "let go; our marks are not off yet".to_owned(),
            |why| format!("let go; our marks are still on: {why}"),
        )),
    }
}

/// What was answered beside where it goes: a warning, or what it calls off.
fn beside_the_answer(said: &str) -> String {
    let rest = said
        .strip_prefix("going to ")
        .and_then(|rest| rest.split_once(['%', ' ', ';']));
    let rest = rest.map_or("", |(_, rest)| rest.trim_start_matches(['%', ' ', ';']));
    match rest.chars().next() {
        None => String::new(),
        Some('(') => format!(" {rest}"),
        Some(_) => format!("; {rest}"),
    }
}

/// Whether the last that was written of what nobody could observe as a whole is what a command lowered, or found there.
fn is_lowered_in_part(found: &ComponentStatus, outcome: &CommandOutcome) -> bool {
    let fell = |h: &HistoryEntry| h.to < h.from || h.to == h.from && h.reason == Reason::Manual;
    let last = found.history.last();
    let lowered = last.is_some_and(|h| h.to == found.weight.written && h.at >= outcome.at && fell(h));
    found.weight.observed.is_none() && lowered
}

/// How what was lowered stands: done, unless requests reach the canary all the same.
fn back(found: &ComponentStatus, more: &str) -> Stand {
    let at = found.weight.written;
    match &found.left {
        Some(left) if left.all => Stand::Refused(format!(
            "it is at {at}, and the canary gets its requests all the same: {}",
            left.message
        )),
        Some(left) => Stand::Done(format!("at {at}{more}; warning: {}", left.message)),
        None => Stand::Done(format!("at {at}{more}")),
    }
}

/// What each router waits for: pods, a gateway, a person.
fn waits(found: &ComponentStatus) -> String {
    let each = found.routers.iter().filter_map(|router| {
        let what = router.waiting_for.as_ref()?;
        Some(format!(", {} waits for {what}", router.router))
    });
    each.collect()
}

/// How a command about what reaches the canary beside its weight stands: done when it is read back.
fn beside(command: &Command, found: Option<&ComponentStatus>, said: String) -> Stand {
    let preview = found.and_then(|c| c.preview.as_ref());
    // What it was asked for, this one or a later command took.
    let Some(preview) = preview.filter(|p| p.command.as_deref() == Some(command.id.as_str())) else {
        return Stand::Refused(said);
    };
    let mark = format!("({})", command.id);
    let wanted = preview.asked.as_ref().is_some_and(|asked| !asked.is_empty());
    match (&preview.written, &preview.message) {
        (Some(written), _) if wanted && written.ends_with(&mark) => {
            let what = written.strip_suffix(&mark).unwrap_or(written).trim_end();
            Stand::Done(format!("to the canary beside its weight: {what}"))
        }
        (None, _) if !wanted => Stand::Done("nothing reaches the canary beside its weight".to_owned()),
        (_, Some(message)) => Stand::Waiting(message.clone()),
        (_, None) => Stand::Waiting("it is not written yet".to_owned()),
    }
}

/// Where a rollback goes at most.
pub(super) fn back_to(command: &Command, rollout: &GradualRollout) -> Weight {
    let own = rollout.spec.rollback.as_ref().and_then(|r| r.to);
    command.wish.weight.or(own).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::find::example;
    use crate::cli::manifest::{self, Manifest};
    use crate::rollout::command::Wish;
    use crate::rollout::status::{
        ComponentStatus, GradualRolloutStatus, LeftOver, LettingGo, Lowering, RouterStatus, Weights,
    };

    fn command(verb: Verb, weight: Option<u16>) -> Command {
        Command {
            id: "01A".into(),
            verb,
            wish: Wish {
                components: vec!["shop".into()],
                weight: weight.and_then(Weight::from_percent),
                reason: String::new(),
                who: String::new(),
                ..Wish::default()
            },
        }
    }

    fn at(asked: u16, written: u16, observed: Option<u16>) -> GradualRollout {
        let weight = |w| Weight::from_percent(w).unwrap();
        let Some(Manifest::Rollout(mut rollout, _)) = manifest::read("x", &example("shop", "default")).pop()
        else {
            unreachable!()
        };
        let weight = Weights {
            asked: weight(asked),
            written: weight(written),
            observed: observed.map(weight),
        };
        let shop = ComponentStatus {
            name: "shop".into(),
            weight,
            message: "because".into(),
            ..Default::default()
        };
        rollout.status = Some(GradualRolloutStatus {
            components: vec![shop],
            ..Default::default()
        });
        *rollout
    }

    fn answered(mut rollout: GradualRollout, result: CommandResult, message: &str) -> GradualRollout {
        rollout.status.as_mut().unwrap().commands.push(CommandOutcome {
            id: "01A".into(),
            verb: "set".into(),
            digest: None,
            who: None,
            at: "2026-03-02T09:00:00Z".parse().unwrap(),
            result,
            message: message.into(),
            components: Vec::new(),
            automatic: false,
            refused: Vec::new(),
        });
        rollout
    }

    #[test]
    fn a_weight_is_done_only_when_it_is_written_and_read_back() {
        let set = command(Verb::Set, Some(10));
        let ok = |r| answered(r, CommandResult::Accepted, "shop: going to 10%");
        assert!(matches!(
            stand(&set, &ok(at(10, 5, Some(5))), "shop"),
            Stand::Waiting(_)
        ));
        assert!(matches!(
            stand(&set, &ok(at(10, 10, None)), "shop"),
            Stand::Waiting(_)
        ));
        assert!(matches!(
            stand(&set, &ok(at(10, 10, Some(5))), "shop"),
            Stand::Waiting(_)
        ));
        assert_eq!(
            stand(&set, &ok(at(10, 10, Some(10))), "shop"),
            Stand::Done("at 10%".into())
        );
    }

    #[test]
    fn a_lowering_that_was_read_back_in_each_part_of_an_object_is_done_although_nobody_saw_it_as_a_whole() {
        let set = command(Verb::Set, Some(10));
        for (from, at_time, is_done) in [
            (40, "2026-03-02T09:00:02Z", true),
            (10, "2026-03-02T09:00:02Z", true),
            (40, "2026-03-02T08:00:00Z", false),
            (5, "2026-03-02T09:00:02Z", false),
        ] {
            let mut rollout = answered(at(10, 10, None), CommandResult::Accepted, "shop: going to 10%");
            rollout.status.as_mut().unwrap().components[0].history = vec![HistoryEntry {
                at: at_time.parse().unwrap(),
                from: Weight::from_percent(from).unwrap(),
                to: Weight::from_percent(10).unwrap(),
                reason: Reason::Manual,
                message: String::new(),
                who: None,
                id: None,
            }];
            let stood = stand(&set, &rollout, "shop");
            assert_eq!(matches!(&stood, Stand::Done(_)), is_done, "{stood:?}");
            let shop = &mut rollout.status.as_mut().unwrap().components[0];
            shop.lowering = Some(Lowering {
                id: "01B".into(),
                weight: Weight::ZERO,
                reason: Reason::DriftReverted,
                at: "2026-03-02T09:00:03Z".parse().unwrap(),
                emergency: false,
            });
            assert!(matches!(stand(&set, &rollout, "shop"), Stand::Waiting(_)));
        }
    }

    #[test]
    fn a_weight_that_is_there_already_counts_only_when_the_daemon_answered() {
        let set = command(Verb::Set, Some(10));
        let mut rollout = at(10, 10, Some(10));
        rollout.metadata.annotations = Some([(set.key(), set.value())].into());
        assert!(matches!(stand(&set, &rollout, "shop"), Stand::Waiting(_)));
        rollout.metadata.annotations = None;
        assert!(matches!(stand(&set, &rollout, "shop"), Stand::Refused(why) if why.contains("vanished")));
    }

    #[test]
    fn who_waits_is_told_that_the_spec_cannot_be_used() {
        let retry = command(Verb::Retry, None);
        let mut rollout = at(0, 0, Some(0));
        rollout.metadata.generation = Some(3);
        rollout.metadata.annotations = Some([(retry.key(), retry.value())].into());
        let said = |rollout: &GradualRollout| {
            let Stand::Waiting(said) = stand(&retry, rollout, "shop") else {
                panic!("it does not wait")
            };
            said
        };
        assert_eq!(said(&rollout), "the daemon has not taken it up yet");
        let now = "2026-03-02T09:00:00Z".parse().unwrap();
        let (status, jump) = (
            rollout.status.as_mut().unwrap(),
            "spec.steps[1].weight: shop jumps",
        );
        crate::rollout::decide::conditions::set_condition(
            status,
            "Ready",
            false,
            "InvalidSpec",
            jump,
            3,
            now,
        );
        assert!(said(&rollout).contains("InvalidSpec") && said(&rollout).contains(jump));
        rollout.metadata.generation = Some(4);
        assert_eq!(
            said(&rollout),
            "the daemon has not taken it up yet",
            "of another spec"
        );
    }

    #[test]
    fn a_component_is_let_go_only_when_our_marks_are_off() {
        let detach = command(Verb::Detach, None);
        let said = "let go at 20%";
        let mut rollout = answered(at(20, 20, Some(20)), CommandResult::Accepted, said);
        assert_eq!(stand(&detach, &rollout, "shop"), Stand::Done(said.into()));
        let still_on = Some("virtualservice ns/shop: forbidden".to_owned());
        for (message, says) in [
            (None, "not off yet"),
            (still_on, "still on: virtualservice ns/shop"),
        ] {
            rollout.status.as_mut().unwrap().components[0].letting_go = Some(LettingGo {
                restore: false,
                message,
            });
            let stood = stand(&detach, &rollout, "shop");
            assert!(
                matches!(&stood, Stand::Waiting(why) if why.contains(says)),
                "{stood:?}"
            );
        }
    }

    #[test]
    fn an_automatic_rollback_is_told_apart_from_a_refusal() {
        let set = command(Verb::Set, Some(10));
        let mut rollout = answered(at(0, 0, Some(0)), CommandResult::Accepted, "shop: going to 10%");
        rollout.status.as_mut().unwrap().components[0].state = State::RolledBack;
        assert_eq!(stand(&set, &rollout, "shop"), Stand::RolledBack("because".into()));
        // Decided, and not written: a refusal may keep its traffic up for as long as it lasts.
        let shop = &mut rollout.status.as_mut().unwrap().components[0];
        shop.weight.written = Weight::from_percent(25).unwrap();
        shop.lowering = Some(Lowering {
            id: "01".into(),
            weight: Weight::ZERO,
            reason: Reason::Breach,
            at: "2026-03-02T09:00:00Z".parse().unwrap(),
            emergency: false,
        });
        let Stand::Waiting(why) = stand(&set, &rollout, "shop") else {
            panic!("{:?}", stand(&set, &rollout, "shop"))
        };
        assert!(
            why.contains("being put back") && why.contains("written 25%"),
            "{why}"
        );
        let two = || {
            let mut rollout = at(5, 5, Some(5));
            let all = &mut rollout.status.as_mut().unwrap().components;
            all.push(ComponentStatus {
                name: "other".into(),
                ..ComponentStatus::default()
            });
            rollout
        };
        let refused = answered(two(), CommandResult::Refused, "shop: it is paused; other: x");
        assert_eq!(
            stand(&set, &refused, "shop"),
            Stand::Refused("it is paused".into())
        );
        let partly = answered(
            two(),
            CommandResult::Partly,
            "other: going to 10%; shop: it is paused",
        );
        assert_eq!(
            stand(&set, &partly, "shop"),
            Stand::Refused("it is paused".into())
        );
    }

    #[test]
    fn what_was_answered_beside_where_it_goes_is_told_when_it_is_there() {
        let set = command(Verb::Set, Some(10));
        for (said, shown) in [
            ("going to 10%", "at 10%"),
            (
                "going to 10% (warning: nobody sees it)",
                "at 10% (warning: nobody sees it)",
            ),
            (
                "going to 10%; it still goes on to 0%",
                "at 10%; it still goes on to 0%",
            ),
        ] {
            let rollout = answered(
                at(10, 10, Some(10)),
                CommandResult::Accepted,
                &format!("shop: {said}"),
            );
            assert_eq!(stand(&set, &rollout, "shop"), Stand::Done(shown.into()));
        }
    }

    #[test]
    fn what_was_set_where_it_is_after_a_rollback_is_done_and_said_to_stay_back() {
        let set = command(Verb::Set, Some(0));
        let said = format!("shop: it {STAYS_BACK}");
        let mut rollout = answered(at(0, 0, Some(0)), CommandResult::Accepted, &said);
        rollout.status.as_mut().unwrap().components[0].state = State::RolledBack;
        let Stand::Done(told) = stand(&set, &rollout, "shop") else {
            panic!("{:?}", stand(&set, &rollout, "shop"))
        };
        assert!(told.contains("stays rolled back"), "{told}");
    }

    #[test]
    fn what_was_taken_up_for_some_is_done_for_them_and_refused_for_the_others() {
        let resume = command(Verb::Resume, None);
        let mut rollout = at(5, 5, Some(5));
        rollout.status.as_mut().unwrap().components.push(ComponentStatus {
            name: "other".into(),
            ..ComponentStatus::default()
        });
        let message = "other: back on its plan; shop: it is not paused";
        let mut rollout = answered(rollout, CommandResult::Partly, message);
        let untold = stand(&resume, &rollout, "other");
        assert!(matches!(untold, Stand::Refused(why) if why.contains("not for every")));
        rollout.status.as_mut().unwrap().commands[0].refused = vec!["shop".into()];
        assert_eq!(
            stand(&resume, &rollout, "other"),
            Stand::Done("back on its plan".into())
        );
        assert_eq!(
            stand(&resume, &rollout, "shop"),
            Stand::Refused("it is not paused".into())
        );
    }

    #[test]
    fn a_rollback_is_done_at_or_below_where_it_goes() {
        let back = command(Verb::Rollback, Some(10));
        let ok = |r| answered(r, CommandResult::Accepted, "shop: going to 5%");
        assert_eq!(
            stand(&back, &ok(at(5, 5, Some(5))), "shop"),
            Stand::Done("at 5%".into())
        );
        assert!(matches!(
            stand(&back, &ok(at(10, 40, Some(40))), "shop"),
            Stand::Waiting(_)
        ));
        assert!(
            matches!(stand(&back, &ok(at(5, 5, None)), "shop"), Stand::Waiting(_)),
            "what cannot be read is not known to be back"
        );
    }

    #[test]
    fn what_was_lowered_while_the_canary_gets_all_the_requests_all_the_same_is_no_success() {
        for command in [command(Verb::Rollback, Some(0)), command(Verb::Set, Some(0))] {
            for all in [true, false] {
                let mut rollout = answered(at(0, 0, Some(0)), CommandResult::Accepted, "shop: going to 0%");
                rollout.status.as_mut().unwrap().components[0].left = Some(LeftOver {
                    message: "route all".into(),
                    all,
                });
                match stand(&command, &rollout, "shop") {
                    Stand::Refused(why) => assert!(all && why.contains("route all"), "{why}"),
                    Stand::Done(said) => assert!(!all && said.contains("warning: route all"), "{said}"),
                    other @ (Stand::Waiting(_) | Stand::RolledBack(_)) => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_was_observed_before_a_command_is_never_its_success() {
        for command in [command(Verb::Rollback, Some(0)), command(Verb::Set, Some(0))] {
            let mut rollout = answered(at(0, 0, Some(0)), CommandResult::Accepted, "shop: going to 0%");
            let shop = &mut rollout.status.as_mut().unwrap().components[0];
            if command.verb == Verb::Rollback {
                shop.state = State::RolledBack;
            }
            shop.lowering = Some(Lowering {
                id: command.id.clone(),
                weight: Weight::ZERO,
                reason: Reason::RollbackRequested,
                at: "2026-03-02T09:00:00Z".parse().unwrap(),
                emergency: false,
            });
            let stood = stand(&command, &rollout, "shop");
            assert!(
                matches!(stood, Stand::Waiting(_)),
                "{:?}: {stood:?}",
                command.verb
            );
            rollout.status.as_mut().unwrap().components[0].lowering = None;
            let stood = stand(&command, &rollout, "shop");
            let done = |s: &Stand| matches!(s, Stand::Done(_) | Stand::RolledBack(_));
            assert!(done(&stood), "{:?}: {stood:?}", command.verb);
        }
    }

    #[test]
    fn what_waits_for_pods_says_for_which_and_why() {
        let mut rollout = answered(at(10, 5, None), CommandResult::Accepted, "shop: going to 10%");
        let router = |router: &str, waiting_for: Option<&str>| RouterStatus {
            router: router.to_owned(),
            waiting_for: waiting_for.map(str::to_owned),
            settled: waiting_for.is_none(),
            ..RouterStatus::default()
        };
        let pods = "deployment apps/terminal: 1 of 3 pods are updated";
        rollout.status.as_mut().unwrap().components[0].routers =
            vec![router("istio", None), router("controllerSwitch", Some(pods))];
        for command in [command(Verb::Set, Some(10)), command(Verb::Rollback, Some(0))] {
            let Stand::Waiting(told) = stand(&command, &rollout, "shop") else {
                panic!()
            };
            assert!(
                told.contains("controllerSwitch waits for") && told.contains(pods),
                "{told}"
            );
            assert!(!told.contains("istio waits"), "{told}");
        }
    }
}
