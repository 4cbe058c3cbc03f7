//! How far a limit would have to move for the replay to end otherwise: found by replaying with moved limits, bounded.

use super::course::{Course, Walk};
use super::record::Track;
use super::replay::{Setup, replay};
use super::rules;
use super::scale::scaled;
use crate::rollout::check::{CheckRule, Limits};
use crate::rollout::plan::Plan;
use crate::rollout::reason::State;

/// Limits are tried up to so many times wider and narrower.
pub const FARTHEST: f64 = 64.0;
/// Two factors this close are one.
const NEAR: f64 = 1.03;

/// Which of a check's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What must hold for the weight to rise.
    Promote,
    /// What puts the traffic back.
    Rollback,
}

/// A limit, and where it would have to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// The component whose way would be another one.
    pub component: String,
    /// The check; `None`: every check's limits of the kind, by the same factor.
    pub check: Option<String>,
    /// Which limits.
    pub kind: Kind,
    /// The limits as they are; of the first check when it is about all.
    pub is: Option<Limits>,
    /// What was looked for.
    pub wanted: Wanted,
    /// Where they would have to be, and the way it would have gone then; `None`: nowhere within [`FARTHEST`].
    pub becomes: Option<(Becomes, Walk)>,
}

/// Moved limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Becomes {
    /// By which factor more is tolerated.
    pub factor: f64,
    /// The limits of the one check.
    pub limits: Option<Limits>,
}

/// What another end would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Not rolled back by this check (by any, when it is about all).
    NotRolledBack,
    /// Rolled back by it.
    RolledBack,
    /// Farther than it came.
    Farther,
    /// Not as far as it came.
    LessFar,
}

/// Looks for the nearest limits that change a component's way. Calls `progress` before each replay.
pub fn moves(
    plan: &Plan,
    tracks: &[Track],
    setup: &Setup,
    base: &Course,
    progress: &mut dyn FnMut(),
) -> Vec<Move> {
    let setup = Setup {
        words: false,
        ..setup.clone()
    };
    let mut found = Vec::new();
    for walk in &base.walks {
        let Some(planned) = plan.component(&walk.component) else {
            continue;
        };
        let mut search = Search {
            plan,
            tracks,
            setup: &setup,
            base: walk,
            progress,
        };
        let held_to = plan.checks_at(planned, walk.highest());
        for rule in held_to {
            found.extend(search.rollback(rule));
        }
        if held_to.iter().filter(|r| r.rollback.is_some()).count() > 1 && walk.rolled_back_by().is_some() {
            found.push(search.find(None, Kind::Rollback, None, Wanted::NotRolledBack));
        }
        for rule in held_to {
            found.extend(search.promote(rule));
        }
    }
    found
}

struct Search<'a> {
    plan: &'a Plan,
    tracks: &'a [Track],
    setup: &'a Setup,
    base: &'a Walk,
    progress: &'a mut dyn FnMut(),
}

impl Search<'_> {
    fn rollback(&mut self, rule: &CheckRule) -> Option<Move> {
        let limits = rule.rollback.as_ref()?;
        let wanted = match self.base.rolled_back_by() {
            Some(check) if check == rule.name => Wanted::NotRolledBack,
            // Another check was first: this one's limit changes nothing that happened.
            Some(_) => return None,
            None => Wanted::RolledBack,
        };
        Some(self.find(Some(&rule.name), Kind::Rollback, Some(limits), wanted))
    }

    fn promote(&mut self, rule: &CheckRule) -> Option<Move> {
        let limits = rule.promote.as_ref()?;
        if self.base.state == State::RolledBack {
            return None;
        }
        let arrived = self.base.state == State::Completed || self.base.promoted.is_some();
        let held = !self.base.held_by(&rule.name).is_zero() && !arrived;
        let rose =
            self.base.promoted.is_some() || self.base.legs.len() > 1 || self.base.state == State::Completed;
        let wanted = match (held, rose) {
            (true, _) => Wanted::Farther,
            (false, true) => Wanted::LessFar,
            (false, false) => return None,
        };
        Some(self.find(Some(&rule.name), Kind::Promote, Some(limits), wanted))
    }

    /// The nearest factor at which it is as wanted: the farthest is tried first, then halved on a logarithmic scale.
    fn find(&mut self, check: Option<&str>, kind: Kind, is: Option<&Limits>, wanted: Wanted) -> Move {
        let wider = matches!(wanted, Wanted::NotRolledBack | Wanted::Farther);
        let factor = |log: f64| if wider { log.exp() } else { (-log).exp() };
        let (mut near, mut far) = (0.0, FARTHEST.ln());
        let mut best = self
            .attempt(check, kind, factor(far))
            .filter(|walk| self.is(walk, check, wanted));
        while best.is_some() && far - near > NEAR.ln() {
            let middle = f64::midpoint(near, far);
            match self
                .attempt(check, kind, factor(middle))
                .filter(|walk| self.is(walk, check, wanted))
            {
                Some(walk) => {
                    best = Some(walk);
                    far = middle;
                }
                None => near = middle,
            }
        }
        let becomes = best.map(|walk| {
            let limits = is.and_then(|limits| scaled(limits, factor(far)));
            let factor = factor(far);
            (Becomes { factor, limits }, walk)
        });
        Move {
            component: self.base.component.clone(),
            check: check.map(str::to_owned),
            kind,
            is: is.copied(),
            wanted,
            becomes,
        }
    }

    fn is(&self, walk: &Walk, check: Option<&str>, wanted: Wanted) -> bool {
        let by = walk.rolled_back_by();
        let far = |walk: &Walk| {
            let promoted = walk.promoted.map(|(_, weight)| weight);
            (walk.highest(), promoted, walk.state == State::Completed)
        };
        match wanted {
            Wanted::NotRolledBack => by.is_none() || check.is_some_and(|check| by != Some(check)),
            Wanted::RolledBack => by.is_some() && by == check,
            Wanted::Farther => far(walk) > far(self.base),
            Wanted::LessFar => far(walk) < far(self.base),
        }
    }

    /// The way it would have gone; `None` when the limits cannot be moved so far.
    fn attempt(&mut self, check: Option<&str>, kind: Kind, factor: f64) -> Option<Walk> {
        let mut plan = self.plan.clone();
        let mut moved = false;
        for rule in rules::each(&mut plan) {
            if check.is_none_or(|name| rule.name == name) {
                let slot = match kind {
                    Kind::Promote => &mut rule.promote,
                    Kind::Rollback => &mut rule.rollback,
                };
                if let Some(limits) = slot.as_ref().and_then(|limits| scaled(limits, factor)) {
                    *slot = Some(limits);
                    moved = true;
                }
            }
        }
        if !moved {
            return None;
        }
        (self.progress)();
        let course = replay(&plan, self.tracks, self.setup);
        course.walk(&self.base.component).cloned()
    }
}
