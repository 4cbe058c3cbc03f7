//! How far a limit would have to move for the replay to end otherwise: found by replaying with moved limits, bounded.

use super::course::{Course, Walk};
use super::record::Track;
use super::replay::{Setup, replay};
use super::rules;
use super::scale::{give_way, scaled};
use crate::rollout::check::{CheckRule, Limits};
use crate::rollout::plan::Plan;
use crate::rollout::reason::State;

/// Limits are tried up to so many times wider and narrower.
pub const FARTHEST: f64 = 64.0;
/// Two factors this close are one.
const NEAR: f64 = 1.03;
/// Replays that one search may take.
const REPLAYS: usize = 16;
/// Where the farthest changes nothing, these shares of the way, on a logarithmic scale: a limit that is tightened too far
/// is one that control is over as well.
const NEARER: [f64; 6] = [0.04, 0.1, 0.2, 0.35, 0.55, 0.75];
/// Looks that all replays together may take: a few minutes.
const MOST_LOOKS: usize = 20_000_000;

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
    /// The check; `None`: the limits of the kind of every check that counts, by the same factor.
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
    /// Its limits of the other kind, where they have to give way: promotion's must be the stricter ones.
    pub other: Option<Limits>,
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

/// Looks for the nearest limits that change a component's way. Calls `progress` before each replay. The number is
/// that of the limits that were not tried, because it would have taken too long.
pub fn moves(
    plan: &Plan,
    tracks: &[Track],
    setup: &Setup,
    base: &Course,
    progress: &mut dyn FnMut(),
) -> (Vec<Move>, usize) {
    let looks: usize = tracks.iter().map(|track| track.looks.len()).sum();
    let mut budget = Budget {
        replays: MOST_LOOKS / looks.max(1),
        left_out: 0,
    };
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
            budget: &mut budget,
        };
        let held_to: Vec<_> = rules::acting(plan.check_set_at(planned, walk.highest())).collect();
        let armed: Vec<_> = held_to
            .iter()
            .filter(|(rule, puts_back)| *puts_back && rule.rollback.is_some())
            .map(|(rule, _)| *rule)
            .collect();
        for rule in &armed {
            found.extend(search.rollback(rule));
        }
        if armed.len() > 1
            && walk
                .rolled_back_by()
                .is_some_and(|by| armed.iter().any(|r| r.name == by))
        {
            found.extend(search.find(None, Kind::Rollback, None, Wanted::NotRolledBack));
        }
        let promoting: Vec<Move> = held_to
            .iter()
            .filter_map(|(rule, _)| search.promote(rule))
            .collect();
        // Of several checks that hold, the first is named: loosened alone, the next one holds.
        let mut farther = promoting
            .iter()
            .filter(|m| m.wanted == Wanted::Farther)
            .peekable();
        let stuck = farther.peek().is_some() && farther.all(|m| m.becomes.is_none());
        found.extend(promoting);
        if stuck {
            found.extend(search.find(None, Kind::Promote, None, Wanted::Farther));
        }
    }
    (found, budget.left_out)
}

/// What may still be tried.
struct Budget {
    replays: usize,
    left_out: usize,
}

struct Search<'a> {
    plan: &'a Plan,
    tracks: &'a [Track],
    setup: &'a Setup,
    base: &'a Walk,
    progress: &'a mut dyn FnMut(),
    budget: &'a mut Budget,
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
        self.find(
            Some(&rule.name),
            Kind::Rollback,
            Some((limits, rule.promote.as_ref())),
            wanted,
        )
    }

    /// It came as far as it could.
    fn arrived(&self) -> bool {
        self.base.has_completed() || self.base.promoted.is_some()
    }

    /// A check kept it from going on.
    fn held_by(&self, rule: &CheckRule) -> bool {
        let stays = self.base.state != State::RolledBack && !self.arrived();
        stays && !self.base.held_by(&rule.name).is_zero()
    }

    fn promote(&mut self, rule: &CheckRule) -> Option<Move> {
        let limits = rule.promote.as_ref()?;
        if self.base.state == State::RolledBack {
            return None;
        }
        let rose = self.arrived() || self.base.legs.len() > 1;
        let wanted = match (self.held_by(rule), rose) {
            (true, _) => Wanted::Farther,
            (false, true) => Wanted::LessFar,
            (false, false) => return None,
        };
        self.find(
            Some(&rule.name),
            Kind::Promote,
            Some((limits, rule.rollback.as_ref())),
            wanted,
        )
    }

    /// The nearest factor at which it is as wanted: the farthest is tried first, then halved on a logarithmic scale. Where
    /// the farthest is not, a few are tried on the way to it.
    /// `is`: the one check's limits of this kind, and those of the other.
    fn find(
        &mut self,
        check: Option<&str>,
        kind: Kind,
        is: Option<(&Limits, Option<&Limits>)>,
        wanted: Wanted,
    ) -> Option<Move> {
        if self.budget.replays < REPLAYS {
            self.budget.left_out += 1;
            return None;
        }
        let wider = matches!(wanted, Wanted::NotRolledBack | Wanted::Farther);
        let factor = |log: f64| if wider { log.exp() } else { (-log).exp() };
        let (mut near, mut far) = (0.0, FARTHEST.ln());
        let mut best = self
            .attempt(check, kind, factor(far))
            .filter(|walk| self.is(walk, check, wanted));
        if best.is_none() {
            for share in NEARER {
                let log = share * FARTHEST.ln();
                best = self
                    .attempt(check, kind, factor(log))
                    .filter(|walk| self.is(walk, check, wanted));
                if best.is_some() {
                    far = log;
                    break;
                }
                near = log;
            }
        }
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
            let factor = factor(far);
            let limits = is.and_then(|(limits, _)| scaled(limits, factor));
            let other = limits
                .zip(is.and_then(|(_, other)| other))
                .and_then(|(limits, is)| {
                    let mut other = *is;
                    give_way(&mut other, &limits, kind);
                    (other != *is).then_some(other)
                });
            let becomes = Becomes {
                factor,
                limits,
                other,
            };
            (becomes, walk)
        });
        Some(Move {
            component: self.base.component.clone(),
            check: check.map(str::to_owned),
            kind,
            is: is.map(|(limits, _)| *limits),
            wanted,
            becomes,
        })
    }

    fn is(&self, walk: &Walk, check: Option<&str>, wanted: Wanted) -> bool {
        let by = walk.rolled_back_by();
        let far = |walk: &Walk| {
            let promoted = walk.promoted.map(|(_, weight)| weight);
            (walk.highest(), promoted, walk.has_completed())
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
                let (slot, other) = match kind {
                    Kind::Promote => (&mut rule.promote, &mut rule.rollback),
                    Kind::Rollback => (&mut rule.rollback, &mut rule.promote),
                };
                if let Some(limits) = slot.as_ref().and_then(|limits| scaled(limits, factor)) {
                    // As it would have to be written: promotion's is the stricter one.
                    if let Some(other) = other {
                        give_way(other, &limits, kind);
                    }
                    *slot = Some(limits);
                    moved = true;
                }
            }
        }
        if !moved {
            return None;
        }
        (self.progress)();
        self.budget.replays = self.budget.replays.saturating_sub(1);
        let course = replay(&plan, self.tracks, self.setup);
        course.walk(&self.base.component).cloned()
    }
}
