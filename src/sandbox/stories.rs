//! The stories.

use super::plan::Plan;
use super::story::{Act, Demand, End, Story, When};
use crate::metrics::ask::Side;
use crate::rollout::command::Verb;
use crate::rollout::reason::Reason;
use std::time::Duration;

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

const fn days(n: u64) -> Duration {
    minutes(n * 24 * 60)
}

/// All stories, the default first.
pub fn all() -> Vec<Story> {
    vec![
        migration(),
        errors(),
        latency(),
        blackout(),
        low_traffic(),
        shared_outage(),
        drift(),
        restart(),
        gateway(),
    ]
}

/// A story by name.
pub fn named(name: &str) -> Option<Story> {
    all().into_iter().find(|story| story.name == name)
}

fn story(name: &'static str, title: &'static str, expected: &'static str) -> Story {
    Story {
        name,
        title,
        expected,
        plan: Plan::Hours,
        traffic: 1.0,
        acts: Vec::new(),
        ends: Vec::new(),
        demands: Vec::new(),
        deadline: days(2),
        step: Duration::from_secs(10),
        persist: minutes(1),
    }
}

fn migration() -> Story {
    Story {
        plan: Plan::Sealos,
        demands: vec![Demand::NoRollback],
        deadline: days(42),
        step: minutes(1),
        persist: minutes(15),
        ..story(
            "migration",
            "the Sealos plan, 5% to 100%, three weeks with nights and weekends",
            "every component at 100%",
        )
    }
}

fn errors() -> Story {
    Story {
        acts: vec![(
            When::Weight("db-adminer", 25),
            Act::Fail("db-adminer", Side::Canary, 0.08),
        )],
        ends: vec![("db-adminer", End::PUT_BACK)],
        ..story(
            "errors",
            "the canary of db-adminer fails 8% of its requests from 25% on",
            "db-adminer back at 0%, the others at 100%",
        )
    }
}

fn latency() -> Story {
    Story {
        acts: vec![(
            When::Weight("webhook", 50),
            Act::Slow("webhook", Side::Canary, 3.0),
        )],
        ends: vec![("webhook", End::PUT_BACK)],
        ..story(
            "latency",
            "the canary of webhook takes three times as long from 50% on",
            "webhook back at 0%, the others at 100%",
        )
    }
}

fn blackout() -> Story {
    Story {
        acts: vec![
            (When::Weight("frontend", 25), Act::Dark),
            // Twenty intervals.
            (When::After(Duration::from_secs(200)), Act::Light),
        ],
        demands: vec![Demand::NoRollback, Demand::Sees("frontend", Reason::Blind)],
        ..story(
            "blackout",
            "the source of metrics goes away for 20 intervals",
            "nothing rises meanwhile, nothing is rolled back, every component at 100%",
        )
    }
}

fn low_traffic() -> Story {
    Story {
        plan: Plan::Quiet,
        traffic: 0.000_2,
        demands: vec![
            Demand::NoRollback,
            Demand::EveryRaise(Reason::PromotedInsufficient),
        ],
        ..story(
            "low-traffic",
            "a handful of requests an hour: too few to tell at any step",
            "every step waits insufficient.after and is promoted with that on record, every component at 100%",
        )
    }
}

fn shared_outage() -> Story {
    Story {
        acts: vec![
            (
                When::Weight("resources", 50),
                Act::Fail("resources", Side::Control, 0.2),
            ),
            (
                When::After(Duration::ZERO),
                Act::Fail("resources", Side::Canary, 0.2),
            ),
            (When::After(minutes(30)), Act::Heal("resources")),
        ],
        demands: vec![
            Demand::NoRollback,
            Demand::Sees("resources", Reason::SharedOutage),
        ],
        deadline: days(7),
        ..story(
            "shared-outage",
            "both arms of resources fail a fifth of their requests for half an hour",
            "resources holds and is not rolled back, every component at 100%",
        )
    }
}

fn drift() -> Story {
    Story {
        acts: vec![
            (When::Weight("frontend", 25), Act::Edit("frontend", 10)),
            (
                When::Says("frontend", Reason::Drifted),
                Act::Say(Verb::Resume, "frontend"),
            ),
            (When::Weight("frontend", 50), Act::Edit("frontend", 90)),
        ],
        demands: vec![
            Demand::NoRollback,
            Demand::Sees("frontend", Reason::Drifted),
            Demand::Sees("frontend", Reason::DriftReverted),
        ],
        ..story(
            "drift",
            "somebody lowers a weight of frontend and says resume; later somebody raises one",
            "the lowering is respected until resume, the raise is put back, every component at 100%",
        )
    }
}

fn restart() -> Story {
    Story {
        acts: vec![
            (When::Weight("terminal", 5), Act::Restart),
            (
                When::Weight("frontend", 10),
                Act::Stall("frontend", Duration::from_secs(45)),
            ),
            (When::MidRaise("frontend"), Act::Restart),
            (When::Weight("frontend", 25), Act::LoseAnswer("frontend")),
            (When::Weight("frontend", 50), Act::Restart),
            (When::After(minutes(1)), Act::Restart),
            (When::After(minutes(1)), Act::Restart),
            (When::MidRaise("terminal"), Act::Restart),
        ],
        demands: vec![Demand::NoRollback],
        ..story(
            "restart",
            "the daemon is killed and started anew, also in the middle of a raise",
            "it goes on where it was, every component at 100%",
        )
    }
}

fn gateway() -> Story {
    Story {
        plan: Plan::Routes,
        acts: vec![(
            When::Weight("launchpad", 50),
            Act::Fail("launchpad", Side::Canary, 0.08),
        )],
        ends: vec![("launchpad", End::PUT_BACK)],
        ..story(
            "gateway",
            "two components behind HTTPRoutes; the canary of launchpad fails 8% of its requests from 50% on",
            "launchpad back at 0%, frontend at 100%",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stories_name_components_of_their_plan_and_have_a_name_of_their_own() {
        let mut names: Vec<_> = all().iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
        for story in all() {
            let rollout = story.plan.rollout().unwrap();
            let known = |name: &str| name == "*" || rollout.spec.components.iter().any(|c| c.name == name);
            for (name, _) in &story.ends {
                assert!(known(name), "{}: {name}", story.name);
            }
            for (when, act) in &story.acts {
                let waits_for = match when {
                    When::Weight(name, _) | When::MidRaise(name) | When::Says(name, _) => name,
                    When::After(_) => "*",
                };
                assert!(known(waits_for), "{}: {when:?}", story.name);
                let (Act::Fail(name, ..)
                | Act::Slow(name, ..)
                | Act::Heal(name)
                | Act::Edit(name, _)
                | Act::Say(_, name)
                | Act::Stall(name, _)
                | Act::LoseAnswer(name)) = act
                else {
                    continue;
                };
                assert!(known(name), "{}: {act:?}", story.name);
            }
        }
    }

    #[test]
    fn the_default_story_is_the_migration() {
        assert_eq!(all()[0].name, "migration");
        assert!(named("errors").is_some() && named("nonsense").is_none());
    }
}
