//! Walking a plan over recorded readings, by the core itself.

use super::course::{Course, Follower};
use super::record::Track;
use crate::rollout::decide::{decide, declare};
use crate::rollout::observation::{Decision, Mark, Observation, Routed, Routers, Seen};
use crate::rollout::plan::Plan;
use crate::rollout::reason::{Reason, State};
use crate::rollout::sample::{GaugeReading, Reading, Slice};
use crate::rollout::status::{CheckStatus, ComponentStatus, GradualRolloutStatus, Intent};
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Decisions at one instant: one that acts, one that reads back, one more for what that opens.
const ROUNDS: u32 = 4;

/// How a replay begins.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The weight that every component has at the beginning, as if it had been written then.
    pub weight: Weight,
    /// Stay at that weight: a raise is noted and not written, and so is the end of the plan, so that everything is
    /// judged at the one weight.
    pub stay: bool,
    /// Make sentences anew at every look: slower, and needed to know what held for how long.
    pub words: bool,
}

/// Walks the plan over these tracks. Components of the plan without a track are taken as finished, so that nobody
/// waits for them; gates are taken as approved, and nothing is paused.
pub fn replay(plan: &Plan, tracks: &[Track], setup: &Setup) -> Course {
    let mut times: Vec<Timestamp> = tracks
        .iter()
        .flat_map(|track| &track.looks)
        .map(|(at, _)| *at)
        .collect();
    times.sort_unstable();
    times.dedup();
    let Some(&begin) = times.first() else {
        return Course::default();
    };
    let mut scene = Scene::new(plan, tracks, setup, begin);
    let mut followers: Vec<Follower> = tracks.iter().map(|t| Follower::new(&t.component)).collect();
    let mut places = vec![0; tracks.len()];
    for now in times {
        let mut looks = BTreeMap::new();
        for (track, place) in tracks.iter().zip(&mut places) {
            // Tracks may have been read at other beats: each look is taken at its own time.
            if track.looks.get(*place).is_some_and(|(at, _)| *at == now) {
                looks.insert(track.component.as_str(), (track, *place));
                *place += 1;
            }
        }
        scene.look(&looks, now);
        for (track, follower) in tracks.iter().zip(&mut followers) {
            if let Some(c) = scene
                .status
                .component(&track.component)
                .filter(|_| !follower.is_over())
            {
                follower.see(c, scene.judged.remove(&track.component), now);
            }
        }
        if followers.iter().all(Follower::is_over) {
            break;
        }
    }
    Course {
        walks: followers
            .into_iter()
            .map(|follower| {
                let mut walk = follower.finish();
                walk.promoted = scene.promoted.remove(&walk.component);
                walk.completed = scene.completed.remove(&walk.component);
                walk
            })
            .collect(),
    }
}

/// What a look gave: of the arms, and beside them.
type Look = (
    Option<Reading>,
    BTreeMap<String, Reading>,
    BTreeMap<String, GaugeReading>,
);

fn read(track: &Track, place: usize) -> Look {
    fn at<T: Clone>(all: &BTreeMap<String, Vec<T>>, place: usize) -> BTreeMap<String, T> {
        let found = |(name, readings): (&String, &Vec<T>)| Some((name.clone(), readings.get(place)?.clone()));
        all.iter().filter_map(found).collect()
    }
    (
        track.looks.get(place).map(|(_, reading)| reading.clone()),
        at(&track.beside.streams, place),
        at(&track.beside.gauges, place),
    )
}

/// The plan, its status, and routers that obey at once.
struct Scene<'a> {
    plan: Plan,
    status: GradualRolloutStatus,
    routed: BTreeMap<&'a str, Routed>,
    /// What control did before, to be told at the first look.
    pasts: BTreeMap<&'a str, Arc<[Slice]>>,
    first: bool,
    words: bool,
    stay: bool,
    /// What the judge said of each component at the last look, before anything was done about it.
    judged: BTreeMap<String, Vec<CheckStatus>>,
    /// The first raise that was asked for, of each component that stays.
    promoted: BTreeMap<String, (Timestamp, Weight)>,
    /// When each component that stays first came to the end of the plan.
    completed: BTreeMap<String, Timestamp>,
}

impl<'a> Scene<'a> {
    fn new(plan: &Plan, tracks: &'a [Track], setup: &Setup, begin: Timestamp) -> Self {
        let mut plan = plan.clone();
        plan.paused = false;
        // Looks are recorded further apart than the daemon's where the record is long: that is no gap in it.
        let apart = |track: &Track| {
            let looks = track.looks.windows(2);
            looks
                .filter_map(|pair| pair.last()?.0.duration_since(pair.first()?.0).try_into().ok())
                .min()
        };
        let apart: Option<Duration> = tracks.iter().filter_map(apart).max();
        plan.judge.interval = apart.map_or(plan.judge.interval, |apart| apart.max(plan.judge.interval));
        let mut status = GradualRolloutStatus::default();
        // A record knows no persons, no other rollouts and no addresses; nor does it begin again.
        plan.phases.iter_mut().for_each(|phase| phase.gates.clear());
        plan.retry = None;
        let without = plan
            .components
            .iter()
            .filter(|planned| tracks.iter().all(|track| track.component != planned.name()));
        status.components = without
            .map(|planned| ComponentStatus {
                name: planned.name().to_owned(),
                state: State::Completed,
                reason: Reason::Completed,
                fingerprint: Some(planned.fingerprint.clone()),
                since: Some(begin),
                ..ComponentStatus::default()
            })
            .collect();
        let routed = tracks.iter().map(|track| {
            let routed = Routed {
                object: format!("the routes of {}", track.component),
                lowest: setup.weight,
                highest: setup.weight,
                settled: true,
                ..Routed::default()
            };
            (track.component.as_str(), routed)
        });
        let pasts = tracks
            .iter()
            .map(|track| (track.component.as_str(), track.past.clone()));
        Self {
            routed: routed.collect(),
            pasts: pasts.collect(),
            plan,
            status,
            first: true,
            words: setup.words,
            stay: setup.stay,
            judged: BTreeMap::new(),
            promoted: BTreeMap::new(),
            completed: BTreeMap::new(),
        }
    }

    /// Decides until nothing is left to do at this instant.
    fn look(&mut self, looks: &BTreeMap<&str, (&Track, usize)>, now: Timestamp) {
        for round in 0..ROUNDS {
            let seen = |(name, routed): (&&'a str, &Routed)| {
                let look = looks.get(*name).filter(|_| round == 0);
                let (reading, streams, gauges) =
                    look.map(|(track, place)| read(track, *place)).unwrap_or_default();
                let seen = Seen {
                    routers: Routers::Read(vec![routed.clone()]),
                    history: self.pasts.get(*name).filter(|_| self.first).cloned(),
                    reading,
                    streams,
                    gauges,
                    ..Seen::default()
                };
                ((*name).to_owned(), seen)
            };
            let observation = Observation {
                generation: 1,
                first: self.first,
                refresh: self.words,
                recorded: !self.stay,
                components: self.routed.iter().map(seen).collect(),
                ..Observation::default()
            };
            self.first = false;
            let decision = decide(&self.plan, std::mem::take(&mut self.status), &observation, now);
            if round == 0 {
                let said = decision.next.components.iter().filter(|c| !c.checks.is_empty());
                self.judged = said.map(|c| (c.name.clone(), c.checks.clone())).collect();
            }
            let acted = (!decision.raises.is_empty() && !self.stay) || !decision.lowers.is_empty();
            self.obey(decision, now);
            if !acted {
                return;
            }
        }
    }

    /// Does what was decided, as routers that never fail would.
    fn obey(&mut self, decision: Decision, now: Timestamp) {
        self.status = decision.next;
        if self.stay {
            self.judge_on(now);
        }
        for raise in decision.raises {
            if self.stay {
                self.promoted
                    .entry(raise.component)
                    .or_insert((now, raise.weight));
                continue;
            }
            let intent = Intent {
                id: raise.id.clone(),
                weight: raise.weight,
                reason: raise.reason,
                at: now,
                objects: Vec::new(),
            };
            declare(&mut self.status, &raise.component, intent);
            self.write(&raise.component, raise.id, raise.weight, raise.reason);
        }
        for lower in decision.lowers {
            self.write(&lower.component, lower.id, lower.weight, lower.reason);
        }
    }

    /// What came to the end of the plan is judged like any other for as long as there is a record.
    fn judge_on(&mut self, now: Timestamp) {
        let replayed = self.status.components.iter_mut();
        for c in replayed.filter(|c| self.routed.contains_key(c.name.as_str())) {
            if c.state == State::Completed {
                self.completed.entry(c.name.clone()).or_insert(now);
                c.state = State::Walking;
                c.fingerprint = None;
            }
        }
    }

    fn write(&mut self, component: &str, id: String, weight: Weight, reason: Reason) {
        if let Some(routed) = self.routed.get_mut(component) {
            routed.lowest = weight;
            routed.highest = weight;
            routed.stamp = Some(Mark {
                id,
                weight,
                reason: Some(reason),
            });
        }
    }
}
