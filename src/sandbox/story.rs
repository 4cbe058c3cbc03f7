//! What a story is: what happens when, how it must end, and what must and must not be seen on the way.

use super::observer::Observer;
use super::plan::Plan;
use crate::metrics::ask::Side;
use crate::rollout::command::Verb;
use crate::rollout::reason::{Reason, State};
use crate::rollout::weight::Weight;
use std::time::Duration;

/// A story.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub title: &'static str,
    /// How it must end, in a sentence.
    pub expected: &'static str,
    /// The rollout that is played.
    pub plan: Plan,
    /// Traffic as a multiple of the usual.
    pub traffic: f64,
    /// What happens, one after the other: each waits for its moment.
    pub acts: Vec<(When, Act)>,
    /// How each component must end; whoever is not named must finish its plan.
    pub ends: Vec<(&'static str, End)>,
    /// What must be, and must not be, on the way there.
    pub demands: Vec<Demand>,
    /// How long it may take, in virtual time.
    pub deadline: Duration,
    /// How often the story looks at its cluster, in virtual time.
    pub step: Duration,
    /// How often the daemon writes a status in which nothing changed; every write costs real time.
    pub persist: Duration,
}

/// The moment of an act.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// A component holds at least this weight, in percent.
    Weight(&'static str, u16),
    /// So long after the act before.
    After(Duration),
    /// A raise of the component is declared and not yet read back.
    MidRaise(&'static str),
    /// The component says this reason.
    Says(&'static str, Reason),
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// This share of an arm's requests fails.
    Fail(&'static str, Side, f64),
    /// An arm's requests take this many times as long.
    Slow(&'static str, Side, f64),
    /// Both arms of a component fare as usual again.
    Heal(&'static str),
    /// The source of metrics goes away.
    Dark,
    /// It comes back.
    Light,
    /// Somebody edits the canary's weight in the VirtualService, in percent.
    Edit(&'static str, u16),
    /// A person says this.
    Say(Verb, &'static str),
    /// The next write to the component's VirtualService takes this long.
    Stall(&'static str, Duration),
    /// The next write to the component's VirtualService lands, and its answer is lost.
    LoseAnswer(&'static str),
    /// The daemon is killed and started anew.
    Restart,
}

/// How a component ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct End {
    /// The kind of place.
    pub state: State,
    /// The weight, written and in every routed object.
    pub weight: Weight,
    /// Why.
    pub reason: Reason,
}

impl End {
    /// The plan was finished.
    pub const FINISHED: Self = Self {
        state: State::Completed,
        weight: Weight::FULL,
        reason: Reason::Completed,
    };
    /// The traffic was put back because a check was breached.
    pub const PUT_BACK: Self = Self {
        state: State::RolledBack,
        weight: Weight::ZERO,
        reason: Reason::Breach,
    };
}

/// What must be, or must not be, on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Demand {
    /// The component once gave this reason.
    Sees(&'static str, Reason),
    /// No component was ever put back.
    NoRollback,
    /// Every raise from above 0% has this reason on record.
    EveryRaise(Reason),
}

impl Demand {
    /// Why it is not met; `None` when it is.
    pub(super) fn unmet(&self, observer: &Observer) -> Option<String> {
        match *self {
            Self::Sees(component, reason) => {
                (!observer.saw(component, reason)).then(|| format!("{component} never said {reason}"))
            }
            Self::NoRollback => observer
                .rows()
                .iter()
                .find(|row| observer.rolled_back(&row.name))
                .map(|row| format!("{} was rolled back", row.name)),
            Self::EveryRaise(reason) => {
                let raises: Vec<_> = observer
                    .moves()
                    .filter(|m| m.to > m.from && !m.from.is_zero())
                    .collect();
                if raises.is_empty() {
                    return Some("no raise is on record".to_owned());
                }
                raises.iter().find(|m| m.reason != reason).map(|m| {
                    format!(
                        "{} was raised from {} to {} for {}, not {reason}",
                        m.component, m.from, m.to, m.reason
                    )
                })
            }
        }
    }
}

/// What takes half an hour among hours takes half a minute among minutes; a few seconds must be left.
fn hasten(wait: Duration) -> Duration {
    if wait.is_zero() {
        wait
    } else {
        (wait / 60).max(Duration::from_secs(5))
    }
}

impl Story {
    /// How a component must end.
    pub fn end_of(&self, component: &str) -> End {
        let named = self.ends.iter().find(|(name, _)| *name == component);
        named.map_or(End::FINISHED, |(_, end)| *end)
    }

    /// The same story in minutes, for real time; `None` for stories that are about hours, about a source that a
    /// real Prometheus is not, or about routes that the plan in minutes does not have.
    pub fn in_minutes(mut self) -> Option<Self> {
        if matches!(self.plan, Plan::Quiet | Plan::Routes)
            || self.acts.iter().any(|(_, act)| *act == Act::Dark)
        {
            return None;
        }
        if self.plan != Plan::Seconds {
            self.plan = Plan::Minutes;
        }
        // Enough to tell within seconds.
        self.traffic *= 20.0;
        for (when, act) in &mut self.acts {
            if let When::After(wait) = when {
                *wait = hasten(*wait);
            }
            if let Act::Stall(_, wait) = act {
                *wait = hasten(*wait);
            }
        }
        self.deadline = Duration::from_secs(300);
        self.step = Duration::from_millis(250);
        self.persist = Duration::from_secs(5);
        Some(self)
    }

    /// For tests: one component alone at real time, whose canary fails half of its requests from 40% on.
    pub fn in_seconds() -> Self {
        let story = Self {
            name: "seconds",
            title: "the canary of frontend fails half of its requests from 40% on",
            expected: "frontend back at 0%",
            plan: Plan::Seconds,
            traffic: 1.0,
            acts: vec![(
                When::Weight("frontend", 40),
                Act::Fail("frontend", Side::Canary, 0.5),
            )],
            ends: vec![("frontend", End::PUT_BACK)],
            demands: Vec::new(),
            deadline: Duration::from_secs(300),
            step: Duration::from_millis(250),
            persist: Duration::from_secs(5),
        };
        Self {
            deadline: Duration::from_secs(60),
            ..story.clone().in_minutes().unwrap_or(story)
        }
    }

    /// The same story with its plan in hours, for when weeks are too many.
    #[must_use]
    pub fn quick(mut self) -> Self {
        if self.plan == Plan::Sealos {
            self.plan = Plan::Hours;
            self.step = Duration::from_secs(10);
            self.persist = Duration::from_secs(60);
        }
        self
    }
}
