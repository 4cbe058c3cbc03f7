//! A small world to live in: routed objects, a clock, weather, people. No I/O, everything in a `Vec`.

use crate::rollout::command::{Command, Verb, Wish};
use crate::rollout::decide::{decide, declare, let_go};
use crate::rollout::observation::{
    Aside, Decision, Frozen, GateAnswer, Lower, Mark, Observation, Routed, Routers, Seen, Turn,
};
use crate::rollout::plan::Plan;
use crate::rollout::reason::Reason;
use crate::rollout::sample::Dark;
use crate::rollout::spec::GradualRolloutSpec;
use crate::rollout::status::{Fence, GradualRolloutStatus, Intent, LeftOver};
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the metrics say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weather {
    Good,
    /// The canary fails, control does not.
    CanaryFails,
    /// Two of a hundred canary requests fail, in a thin stream: over the limit, and explained by chance.
    Blip,
    /// Both fail alike.
    BothFail,
    /// Control fails, the canary does not.
    ControlFails,
    /// All requests still go to control.
    Elsewhere,
    /// The canary gets this part of its share, in percent.
    Sticky(u8),
    /// A handful of requests.
    Quiet,
    /// One request in fifty seconds, and of the canary's so many of a thousand fail.
    Rare(u16),
    Blind(Dark),
    /// No look at all.
    NoLook,
}

/// What happens between two looks.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Weather(Weather, u8),
    Say(Verb, Option<u16>),
    /// Somebody else writes this weight.
    Foreign(u16),
    /// The next raise is declared, and then the daemon dies before it is written.
    DieBeforeWrite,
    /// The next raise is written to the first object only.
    DieHalfway,
    /// Everything in memory is lost; the status is read back from its JSON.
    Restart,
    /// Time passes with nobody looking.
    Sleep(u16),
    /// A pod of control's becomes ready or not.
    Endpoint(Option<bool>),
    /// Everything is frozen, or no more.
    Freeze(bool),
    /// The address before the cutover says yes, or no.
    Answer(bool),
    /// There is room for one more rollout, or none.
    Room(bool),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub(crate) weight: Weight,
    pub(crate) stamp: Option<Mark>,
    pub(crate) manager: Option<String>,
    pub(crate) settled: bool,
    pub(crate) refusal: Option<String>,
    pub(crate) aside: Option<Aside>,
    /// It is gone, or there and not to be understood.
    pub(crate) lost: Option<Lost>,
    /// What of it no write reaches.
    pub(crate) beyond: Weight,
    /// What else in it gives the canary requests.
    pub(crate) left: Option<LeftOver>,
}

/// Why a routed object says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    Gone,
    Garbled,
    /// Not as the resource has it, and still: what it gives the canary is known.
    InPart,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) spec: GradualRolloutSpec,
    pub(crate) status: GradualRolloutStatus,
    pub(crate) now: Timestamp,
    pub(crate) objects: BTreeMap<String, Vec<Object>>,
    pub(crate) weather: BTreeMap<String, Weather>,
    pub(crate) commands: Vec<Command>,
    pub(crate) ready: Option<bool>,
    pub(crate) canary_ready: Option<bool>,
    pub(crate) first: bool,
    pub(crate) glass: Option<(String, Timestamp)>,
    pub(crate) invalid: Option<String>,
    pub(crate) frozen: Option<Frozen>,
    pub(crate) turn: Turn,
    pub(crate) answers: BTreeMap<String, GateAnswer>,
    pub(crate) die: Option<usize>,
    /// What gauges say, by the check's name.
    pub(crate) gauges: BTreeMap<String, Result<f64, String>>,
    /// Requests and errors of the canary in streams that are read apart, by key; control has no errors.
    pub(crate) streams: BTreeMap<String, (u64, u64)>,
    /// Why no routed object can be read or written, if so.
    pub(crate) unreadable: Option<String>,
    /// Whose the routed objects are, where they are another's.
    pub(crate) claimed: Option<String>,
    /// An object that takes no writes.
    pub(crate) stuck: Option<usize>,
    pub(super) looked: Timestamp,
    serial: u32,
    generation: i64,
}

pub(crate) fn weight(permille: u16) -> Weight {
    Weight::from_permille(permille).unwrap()
}

/// Two components, two phases, short holds.
pub(crate) fn spec() -> serde_json::Value {
    let component = |name: &str| {
        serde_json::json!({
            "name": name,
            "routers": [{"controllerSwitch": {"configMap": format!("{name}-config"), "deployment": name}}],
            "arms": {
                "canary": {"preset": "istio-gateway", "labels": {"destination_service_name": format!("{name}-v2")}},
                "control": {"preset": "istio-gateway", "labels": {"destination_service_name": format!("{name}-v1")}}
            }
        })
    };
    serde_json::json!({
        "components": [component("alpha"), component("beta")],
        "phases": [
            {"name": "pilot", "components": ["alpha"], "steps": [{"weight": "5%", "hold": "30s"}]},
            {"name": "all", "steps": [{"weight": "10%", "hold": "30s"}, {"weight": "40%", "hold": "30s"}, {"weight": "70%", "hold": "30s"}]},
            {"name": "cutover", "requires": [{"approval": {}}],
             "steps": [{"weight": "90%", "hold": "30s"}, {"weight": "95%", "hold": "30s"}, {"weight": "100%", "hold": "60s"}]}
        ],
        "judge": {"interval": "10s", "settle": "10s"}
    })
}

/// So many components that walk the same steps, in one pool or each alone.
pub(crate) fn alike(names: &[String], pool: Option<&str>) -> serde_json::Value {
    let mut spec = spec();
    let mut all = spec.clone();
    let mut components = Vec::new();
    for name in names {
        let text = spec["components"][0].to_string().replace("alpha", name);
        let mut component: serde_json::Value = serde_json::from_str(&text).unwrap();
        if let Some(pool) = pool {
            component["pool"] = pool.into();
        }
        components.push(component);
    }
    all["components"] = components.into();
    let pilot = &mut spec["phases"][0];
    pilot.as_object_mut().unwrap().remove("components");
    all["phases"][0] = pilot.take();
    all
}

impl World {
    /// A pool of three, one of them quiet.
    pub(crate) fn pooled() -> Self {
        let names = ["alpha", "beta", "gamma"].map(str::to_owned);
        let mut world = Self::new(alike(&names, Some("trio")));
        world.weather.insert("gamma".into(), Weather::Quiet);
        world
    }

    pub(crate) fn new(spec: serde_json::Value) -> Self {
        Self::found(spec, Weight::ZERO).0
    }

    /// One whose routed objects have a weight when they are looked at first, and what is decided then.
    pub(crate) fn found(spec: serde_json::Value, at: Weight) -> (Self, Decision) {
        let spec: GradualRolloutSpec = serde_json::from_value(spec).unwrap();
        let plan = Plan::parse(&spec).unwrap();
        let object = Object {
            weight: at,
            stamp: None,
            manager: None,
            settled: true,
            refusal: None,
            aside: None,
            lost: None,
            beyond: Weight::ZERO,
            left: None,
        };
        let objects = plan
            .components
            .iter()
            .map(|c| (c.name().to_owned(), vec![object.clone(), object.clone()]))
            .collect();
        let now = "2026-03-02T03:00:00Z".parse().unwrap();
        let mut world = Self {
            plan,
            spec,
            status: GradualRolloutStatus::default(),
            now,
            objects,
            weather: BTreeMap::new(),
            commands: Vec::new(),
            ready: Some(true),
            canary_ready: None,
            first: true,
            glass: None,
            invalid: None,
            frozen: None,
            turn: Turn::Unlimited,
            answers: BTreeMap::new(),
            die: None,
            gauges: BTreeMap::new(),
            streams: BTreeMap::new(),
            looked: now,
            unreadable: None,
            claimed: None,
            stuck: None,
            serial: 0,
            generation: 1,
        };
        // Every story begins with a first look that enrolls the components.
        world.all(Weather::NoLook);
        let decision = world.tick();
        world.weather.clear();
        (world, decision)
    }

    pub(crate) fn demo() -> Self {
        Self::new(spec())
    }

    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut GradualRolloutSpec)) {
        change(&mut self.spec);
        self.generation += 1;
        self.plan = Plan::parse(&self.spec).unwrap();
        self.plan.take_in(&self.status, |_| false);
    }

    pub(crate) fn component(&self, name: &str) -> &crate::rollout::status::ComponentStatus {
        self.status.component(name).unwrap()
    }

    pub(crate) fn say(&mut self, verb: Verb, components: &str, weight: Option<Weight>) {
        self.serial += 1;
        let millis = u64::try_from(self.now.as_millisecond()).unwrap();
        let id = ulid::Ulid::from_parts(millis, u128::from(self.serial)).to_string();
        let wish = Wish {
            components: vec![components.to_owned()],
            weight,
            reason: "because".into(),
            who: "ada".into(),
            ..Wish::default()
        };
        self.commands.push(Command { id, verb, wish });
    }

    pub(crate) fn observe(&self, look: bool) -> Observation {
        let components = self
            .objects
            .iter()
            .map(|(name, objects)| {
                let is = |what| objects.iter().any(|o| o.lost == Some(what));
                let lost = objects.iter().any(|o| o.lost.is_some());
                let routed: Vec<Routed> = objects
                    .iter()
                    .enumerate()
                    .filter(|(_, o)| o.lost != Some(Lost::Garbled))
                    .map(|(n, o)| (n, o, o.lost == Some(Lost::Gone)))
                    .map(|(n, o, gone)| Routed {
                        object: format!("configmap sealos-system/{name}-{n}"),
                        lowest: if gone { Weight::ZERO } else { o.weight },
                        highest: if gone { Weight::ZERO } else { o.weight },
                        beyond: o.beyond,
                        left: o.left.clone(),
                        stamp: o.stamp.clone(),
                        settled: o.settled,
                        manager: o.manager.clone(),
                        aside: o.aside.clone(),
                        refusal: o.refusal.clone(),
                        absent: o.lost == Some(Lost::Gone),
                        ..Routed::default()
                    })
                    .collect();
                let seen = Seen {
                    routers: match &self.unreadable {
                        _ if self.claimed.is_some() => {
                            Routers::Claimed(self.claimed.clone().unwrap_or_default())
                        }
                        Some(why) => Routers::Unreadable(why.clone()),
                        None if lost => Routers::Unreadable("one of them says nothing".into()),
                        None => Routers::Read(routed.clone()),
                    },
                    partly: if lost { routed } else { Vec::new() },
                    unknown: self.unreadable.is_some() || is(Lost::Garbled),
                    reading: if look { self.reading(name) } else { None },
                    streams: if look {
                        self.read_streams()
                    } else {
                        BTreeMap::new()
                    },
                    gauges: if look { self.read_gauges() } else { BTreeMap::new() },
                    control_ready: self.ready,
                    canary_ready: self.canary_ready,
                    break_glass: self.glass.clone(),
                    ..Seen::default()
                };
                (name.clone(), seen)
            })
            .collect();
        Observation {
            generation: self.generation,
            first: self.first,
            invalid: self.invalid.clone(),
            frozen: self.frozen.clone(),
            turn: self.turn.clone(),
            answers: self.answers.clone(),
            commands: self.commands.clone(),
            components,
            ..Observation::default()
        }
    }

    /// One look: decide, and let the shell do what is asked, in its order: lowers, status, raises.
    pub(crate) fn tick(&mut self) -> Decision {
        self.now += Duration::from_secs(10);
        let seen = self.observe(true);
        self.looked = self.now;
        let decision = decide(&self.plan, self.status.clone(), &seen, self.now);
        self.first = false;
        self.commands.clear();
        if self.unreadable.is_none() {
            for lower in &decision.lowers {
                self.lower(lower);
            }
        }
        self.status = decision.next.clone();
        for name in &decision.detached {
            self.release(name);
        }
        for order in &decision.previews {
            let asides = self.objects.get_mut(&order.component).into_iter().flatten();
            for aside in asides.filter_map(|o| o.aside.as_mut()) {
                let (_, mark) = order.wanted.of(&aside.spec);
                aside.written = Some(mark).filter(|mark| !mark.is_empty());
                (aside.stale, aside.missing) = (false, None);
            }
        }
        for raise in &decision.raises {
            let fence = Fence {
                object: "x".into(),
                uid: "u".into(),
                resource_version: "1".into(),
            };
            let intent = Intent {
                id: raise.id.clone(),
                weight: raise.weight,
                reason: raise.reason,
                at: self.now,
                objects: vec![fence],
            };
            declare(&mut self.status, &raise.component, intent);
            let reach = self.die.take().unwrap_or(usize::MAX);
            self.write(&raise.component, &raise.id, raise.weight, raise.reason, reach);
        }
        decision
    }

    /// As the shell does it: our marks come off, or it says why not.
    fn release(&mut self, component: &str) {
        let stuck = self.stuck;
        let objects = self.objects.get_mut(component).into_iter().flatten();
        let mut failed = None;
        for (n, object) in objects.enumerate() {
            if stuck == Some(n) {
                failed = Some("one of them takes no writes");
            } else {
                object.stamp = None;
            }
        }
        let orphan = !self.plan.names(component);
        let_go(&mut self.status, (component, orphan), &[], failed);
    }

    /// As the shell does it: each object goes down to the weight, and none up to it; once for each order.
    fn lower(&mut self, order: &Lower) {
        let stuck = self.stuck;
        let known = self
            .status
            .component(&order.component)
            .and_then(|c| c.mark.clone());
        let objects = self.objects.get_mut(&order.component).into_iter().flatten();
        for (n, object) in objects.enumerate() {
            let emergency =
                |mark: &Mark| mark.reason == Some(Reason::Emergency) && Some(&mark.id) > known.as_ref();
            let kept = order.reason == Reason::OtherFailed
                && object.weight <= order.weight
                && object.stamp.as_ref().is_some_and(emergency);
            let done = kept || object.stamp.as_ref().is_some_and(|mark| mark.id == order.id);
            let writable = matches!(object.lost, None | Some(Lost::InPart));
            if done || !writable || stuck == Some(n) {
                continue;
            }
            object.weight = object.weight.min(order.weight);
            object.stamp = Some(Mark {
                id: order.id.clone(),
                weight: object.weight,
                reason: Some(order.reason),
            });
            object.manager = None;
            if order.reason.is_rollback()
                && let Some(aside) = &mut object.aside
            {
                aside.written = None;
            }
        }
    }

    pub(crate) fn write(&mut self, component: &str, id: &str, weight: Weight, reason: Reason, reach: usize) {
        let there = |object: &&mut Object| object.lost.is_none();
        for object in self
            .objects
            .get_mut(component)
            .into_iter()
            .flatten()
            .take(reach)
            .filter(there)
        {
            object.weight = weight;
            object.stamp = Some(Mark {
                id: id.to_owned(),
                weight,
                reason: Some(reason),
            });
            object.manager = None;
            if reason.is_rollback()
                && let Some(aside) = &mut object.aside
            {
                aside.written = None;
            }
        }
    }

    pub(crate) fn ticks(&mut self, n: usize) -> Vec<Decision> {
        (0..n).map(|_| self.tick()).collect()
    }

    /// Ticks until something holds; panics after a virtual day.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..8640 {
            if holds(self) {
                return;
            }
            self.tick();
        }
        panic!("never: {what}: {:#?}", self.status);
    }

    pub(crate) fn all(&mut self, weather: Weather) {
        let names: Vec<String> = self.objects.keys().cloned().collect();
        self.weather = names.into_iter().map(|n| (n, weather)).collect();
    }

    pub(crate) fn highest(&self, name: &str) -> Weight {
        self.objects
            .get(name)
            .and_then(|o| o.iter().map(|o| o.weight).max())
            .unwrap_or_default()
    }

    /// Lets one event happen, and the looks that belong to it; `check` sees the world before each look.
    pub(crate) fn live(&mut self, event: &Event, mut check: impl FnMut(&Self, &Self, &Decision)) {
        let mut look = |world: &mut Self| {
            let before = world.clone();
            let decision = world.tick();
            check(&before, world, &decision);
        };
        match event {
            Event::Weather(weather, n) => {
                self.weather.insert("alpha".into(), *weather);
                for _ in 0..*n {
                    look(self);
                }
            }
            Event::Say(verb, permille) => {
                self.say(*verb, "alpha", permille.map(weight));
                look(self);
            }
            Event::Foreign(permille) => {
                for object in self.objects.get_mut("alpha").into_iter().flatten() {
                    object.weight = weight(*permille);
                    object.manager = Some("kubectl-edit".into());
                }
                look(self);
            }
            Event::DieBeforeWrite | Event::DieHalfway => {
                self.die = Some(usize::from(matches!(event, Event::DieHalfway)));
                look(self);
                self.die = None;
                self.restart();
                look(self);
            }
            Event::Restart => {
                self.restart();
                look(self);
            }
            Event::Sleep(seconds) => {
                self.now += Duration::from_secs(u64::from(*seconds));
                look(self);
            }
            Event::Endpoint(ready) => {
                self.ready = *ready;
                look(self);
            }
            Event::Freeze(frozen) => {
                self.freeze(*frozen);
                look(self);
            }
            Event::Answer(open) => {
                self.answer("cutover/1/alpha", *open);
                self.answer("cutover/1/beta", *open);
                look(self);
            }
            Event::Room(room) => {
                self.turn = if *room {
                    Turn::Held
                } else {
                    Turn::Full("it waits".into())
                };
                look(self);
            }
        }
    }

    pub(crate) fn restart(&mut self) {
        let text = serde_json::to_string(&self.status).unwrap();
        self.status = serde_json::from_str(&text).unwrap();
        self.first = true;
    }
}
