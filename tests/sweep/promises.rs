//! What is promised, checked on the wire: at every write, on the state it finds and the state it leaves.
//!
//! Nothing here knows how the daemon decides. It knows what the story did (what fails, what is dark, who asked for
//! what) and reads what stands in the store.

use axum::body::Bytes;
use gradual_rollout::clock::Clock;
use gradual_rollout::rollout::duration::Span;
use gradual_rollout::rollout::reason::{Reason, State};
use gradual_rollout::rollout::status::{ComponentStatus, GradualRolloutStatus};
use gradual_rollout::sandbox::apiserver::Store;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const ROLLOUTS: &str = "gradualrollouts.rollout.sealos.io";
pub(crate) const ROUTES: &str = "virtualservices.networking.istio.io";
pub(crate) const INGRESSES: &str = "ingresses.networking.k8s.io";
const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
const STAMP: &str = "rollout.sealos.io/w.";

/// A request as it left the daemon.
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    /// As it was sent: of most requests nobody looks into it.
    pub(crate) body: Bytes,
}

/// What the story did, as far as it decides what is allowed.
#[derive(Debug)]
pub(crate) struct Facts {
    /// How many seconds after it happened nobody need have seen yet what fails, or that nothing can be seen.
    pub(crate) unseen: i64,
    /// Since when a component's canary, and not its control, fails.
    pub(crate) failing: BTreeMap<String, Timestamp>,
    /// Since when nothing can be seen.
    pub(crate) dark: Option<Timestamp>,
    /// Since when both arms fail alike.
    pub(crate) outage: Option<Timestamp>,
    /// Components that may be lowered, because somebody asked or something is wrong.
    pub(crate) may_fall: BTreeSet<String>,
    /// Weights, in permille, that a person asked for beside the plan.
    pub(crate) asked: BTreeSet<u64>,
    /// Components whose hold a person ended.
    pub(crate) promoted: BTreeSet<String>,
    /// Components that somebody lowered, and nobody resumed since.
    pub(crate) lowered: BTreeSet<String>,
    /// Components that were taken out of the spec.
    pub(crate) gone: BTreeSet<String>,
    /// Weights, in permille, that components keep although they are put back: nobody asked for less.
    pub(crate) keeps: BTreeMap<String, u64>,
    /// Components whose routes somebody else edited: what they had and when it rose is not known here any more.
    pub(crate) edited: BTreeSet<String>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            unseen: 20,
            failing: BTreeMap::new(),
            dark: None,
            outage: None,
            may_fall: BTreeSet::new(),
            asked: BTreeSet::new(),
            promoted: BTreeSet::new(),
            lowered: BTreeSet::new(),
            gone: BTreeSet::new(),
            keeps: BTreeMap::new(),
            edited: BTreeSet::new(),
        }
    }
}

/// What must be true, and what was not.
#[derive(Debug)]
pub(crate) struct Promises {
    clock: Clock,
    namespace: String,
    hold: Duration,
    steps: Vec<u64>,
    /// Of each component its resource, and its routed objects from the edge.
    routes: BTreeMap<String, (String, Vec<String>)>,
    /// Deployments that are restarted, and the `ConfigMap`s that their pods read then.
    switches: BTreeMap<String, String>,
    pub(crate) facts: Mutex<Facts>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    broken: Vec<String>,
    /// When each routed object was last raised.
    raised: BTreeMap<String, Timestamp>,
    /// Every weight that a component's edge has had.
    had: BTreeMap<String, BTreeSet<u64>>,
    /// When each canary Ingress came to 0.
    emptied: BTreeMap<String, Timestamp>,
    writes: usize,
}

impl Promises {
    /// For rollouts as they are written, all with the same steps. Every component is an Istio one or an nginx one, and
    /// no two have one name.
    pub(crate) fn of(rollouts: &[Value], clock: &Clock, namespace: &str) -> Self {
        let permille = |text: &Value| -> u64 {
            let percent = text.as_str().unwrap().trim_end_matches('%');
            (percent.parse::<f64>().unwrap() * 10.0) as u64
        };
        let steps = rollouts[0]["spec"]["steps"].as_array().unwrap();
        let (mut routes, mut switches) = (BTreeMap::new(), BTreeMap::new());
        let all = rollouts.iter().flat_map(|rollout| {
            let components = rollout["spec"]["components"].as_array().unwrap();
            components.iter().map(move |component| (rollout, component))
        });
        for (rollout, component) in all {
            let home = rollout["metadata"]["name"].as_str().unwrap().to_owned();
            let name = component["name"].as_str().unwrap().to_owned();
            let routers = component["routers"].as_array().unwrap();
            let objects = routers.iter().filter_map(|r| {
                r["istio"]["virtualServices"][0]["name"]
                    .as_str()
                    .map(str::to_owned)
            });
            routes.insert(name, (home, objects.collect()));
            switches.extend(routers.iter().filter_map(|r| {
                let told = |what: &str| r["controllerSwitch"][what].as_str().map(str::to_owned);
                Some((told("deployment")?, told("configMap")?))
            }));
        }
        let hold: Span = serde_json::from_value(steps[0]["hold"].clone()).unwrap();
        Self {
            clock: clock.clone(),
            namespace: namespace.to_owned(),
            hold: hold.0,
            steps: steps.iter().map(|s| permille(&s["weight"])).collect(),
            routes,
            switches,
            facts: Mutex::default(),
            memory: Mutex::default(),
        }
    }

    /// What was broken so far.
    pub(crate) fn broken(&self) -> Vec<String> {
        self.memory.lock().unwrap().broken.clone()
    }

    /// How many writes moved or touched a routed object.
    pub(crate) fn writes(&self) -> usize {
        self.memory.lock().unwrap().writes
    }

    fn complain(&self, rule: &str, what: String) {
        let mut memory = self.memory.lock().unwrap();
        // One life breaks a thing again and again; the first times say enough.
        if memory.broken.len() < 8 {
            memory.broken.push(format!("{} {rule}: {what}", self.clock.now()));
        }
    }

    /// What a routed object says before a request.
    pub(crate) fn before(&self, store: &Store, seen: &Seen) -> Option<Arc<Value>> {
        let (plural, name, _) = parts(&seen.path).filter(|_| seen.method != "GET")?;
        let resource = match plural {
            "virtualservices" => ROUTES,
            "ingresses" => INGRESSES,
            _ => return None,
        };
        store.get(resource, &self.namespace, name)
    }

    /// Looks at a request that was served.
    pub(crate) fn after(&self, store: &Store, seen: &Seen, before: Option<Arc<Value>>) {
        self.spares_control(seen);
        let Some((plural, name, sub)) = parts(&seen.path) else {
            return;
        };
        match (seen.method.as_str(), plural, sub) {
            ("PATCH", "virtualservices", "") => {
                let after = store.get(ROUTES, &self.namespace, name);
                if let (Some(before), Some(after)) = (before, after) {
                    self.routed(store, name, &before, &after);
                }
            }
            ("PATCH" | "DELETE", "ingresses", "") => {
                let after = store.get(INGRESSES, &self.namespace, name);
                self.split(store, before.as_deref(), after.as_deref());
            }
            ("PATCH", "deployments", "") => self.restarted(store, name),
            ("PATCH", "gradualrollouts", "status") => self.told(store, name),
            ("PATCH", "gradualrollouts", "") => self.tidied(store, name, &seen.body),
            _ => {}
        }
    }

    /// No step takes anything away from the arm that traffic may have to go back to.
    fn spares_control(&self, seen: &Seen) {
        const WORKLOADS: [&str; 7] = [
            "deployments",
            "replicasets",
            "statefulsets",
            "horizontalpodautoscalers",
            "pods",
            "endpointslices",
            "scale",
        ];
        let told = parts(&seen.path)
            .is_some_and(|(_, name, sub)| sub.is_empty() && self.switches.contains_key(name));
        let writes = seen.method != "GET" && !(told && seen.method == "PATCH");
        if writes && seen.path.split('/').any(|step| WORKLOADS.contains(&step)) {
            self.complain(
                "rule 12",
                format!("{} {}: nobody asked for that", seen.method, seen.path),
            );
        }
    }

    /// Pods are started that read their `ConfigMap` then: it says already what they are started for.
    fn restarted(&self, store: &Store, name: &str) {
        let Some(map) = self.switches.get(name) else {
            return;
        };
        self.memory.lock().unwrap().writes += 1;
        let said =
            store.get("configmaps", &self.namespace, map).unwrap_or_default()["data"]["istio_percentage"]
                .clone();
        let deployment = store
            .get("deployments.apps", &self.namespace, name)
            .unwrap_or_default();
        let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
        let started = annotations["rollout.sealos.io/restarted-for"].as_str();
        let said = said.as_str().map(|percent| format!("{percent}%"));
        if started.is_some() && started != said.as_deref() {
            let what = format!("{name} is started for {started:?} while {map} says {said:?}");
            self.complain("order", what);
        }
    }

    fn status(&self, store: &Store, rollout: &str) -> (Arc<Value>, GradualRolloutStatus) {
        let object = store.get(ROLLOUTS, &self.namespace, rollout).unwrap_or_default();
        let status = GradualRolloutStatus::deserialize(&object["status"]).unwrap_or_default();
        (object, status)
    }

    /// A write to a route: whose it is, what it may change, and whether the weight may rise now.
    fn routed(&self, store: &Store, name: &str, before: &Value, after: &Value) {
        let routes = &self.routes;
        let Some((component, (rollout, objects))) =
            routes.iter().find(|(_, (_, o))| o.iter().any(|o| o == name))
        else {
            return self.complain("§6", format!("{name} belongs to no component and was written"));
        };
        self.memory.lock().unwrap().writes += 1;
        let (old, new) = (canary(before), canary(after));
        if stripped(before) != stripped(after) {
            self.complain("§6", format!("{name}: bytes that are not ours were changed"));
        }
        let stamp = after["metadata"]["annotations"][format!("{STAMP}{component}")].as_str();
        let (object, _) = self.status(store, rollout);
        let leaving = !object["metadata"]["deletionTimestamp"].is_null();
        match stamp.map(|s| s.split(' ').collect::<Vec<_>>()) {
            Some(words) if words.get(1).is_some_and(|w| *w == text(new)) => {
                let reason = words.get(2).and_then(|word| word.parse::<Reason>().ok());
                if new > old {
                    self.raised(store, component, name, (old, new), words[0]);
                    if reason.is_some_and(Reason::is_rollback) {
                        self.complain("rule 14", format!("{name}: a rollback raised it: {words:?}"));
                    }
                }
            }
            None if leaving && new == old => {}
            stamp => self.complain("rule 8", format!("{name} at {} says {stamp:?}", text(new))),
        }
        if new < old {
            self.lowered(component, name, (old, new));
        }
        let weights: Vec<u64> = objects
            .iter()
            .filter_map(|o| store.get(ROUTES, &self.namespace, o))
            .map(|v| canary(&v))
            .collect();
        if !weights.is_sorted() && !self.facts.lock().unwrap().may_fall.contains("foreign") {
            self.complain(
                "order",
                format!("{component}: the edge sends more than what is behind it takes: {weights:?}"),
            );
        }
        let edge = weights.first().copied().unwrap_or_default();
        let mut memory = self.memory.lock().unwrap();
        memory.had.entry(component.clone()).or_default().insert(edge);
    }

    fn raised(&self, store: &Store, component: &str, name: &str, (old, new): (u64, u64), id: &str) {
        let now = self.clock.now();
        let facts = self.facts.lock().unwrap();
        let rollout = self.routes.get(component).map_or("", |(rollout, _)| rollout);
        let (object, status) = self.status(store, rollout);
        let c = status.component(component).cloned().unwrap_or_default();
        let what = format!("{name} {} to {}", text(old), text(new));
        let next = self.steps.iter().find(|s| **s > old);
        if next != Some(&new) && !facts.asked.contains(&new) && !facts.edited.contains(component) {
            self.complain("rule 10", format!("{what}: the next declared step is {next:?}"));
        }
        if c.state == State::RolledBack {
            self.complain("rule 13", format!("{what}, although it was put back for good"));
        }
        // What the story did counts beside what the daemon makes of it.
        if c.state == State::Drifted || facts.lowered.contains(component) {
            self.complain(
                "rule 9",
                format!("{what}, although somebody lowered it and nobody resumed"),
            );
        }
        if c.state == State::Orphaned || facts.gone.contains(component) {
            self.complain(
                "rule 10",
                format!("{what}, although it is not in the spec any more"),
            );
        }
        let declared = c
            .intent
            .as_ref()
            .is_some_and(|i| i.id == id && u64::from(i.weight.permille()) == new);
        if !declared {
            self.complain(
                "rule 7",
                format!("{what}: the status declares no such raise ({id})"),
            );
        }
        let held = object["metadata"]["finalizers"].as_array();
        if held.is_none_or(Vec::is_empty) {
            self.complain("order", format!("{what}, and the resource has no finalizer yet"));
        }
        if object["spec"]["paused"] == json!(true) || c.paused_by.is_some() {
            self.complain("rule 1", format!("{what}, although it is paused"));
        }
        let long = |since: Timestamp, secs: i64| now.duration_since(since).as_secs() > secs;
        if facts.dark.is_some_and(|since| long(since, facts.unseen)) {
            self.complain("rule 2", format!("{what}, in the dark"));
        }
        if facts.outage.is_some_and(|since| long(since, facts.unseen)) {
            self.complain("rule 5", format!("{what}, while both arms fail"));
        }
        if facts
            .failing
            .get(component)
            .is_some_and(|since| long(*since, facts.unseen))
        {
            self.complain("rule 1", format!("{what}, while the canary fails"));
        }
        let by_hand = facts.asked.contains(&new)
            || facts.promoted.contains(component)
            || facts.edited.contains(component);
        let mut memory = self.memory.lock().unwrap();
        let last = memory.raised.insert(name.to_owned(), now);
        drop(memory);
        if let Some(last) = last.filter(|_| old > 0 && !by_hand)
            && now.duration_since(last).unsigned_abs() < self.hold
        {
            let after = now.duration_since(last).as_secs();
            self.complain(
                "rule 1",
                format!("{what} after {after} s, before its hold was over"),
            );
        }
    }

    fn lowered(&self, component: &str, name: &str, (old, new): (u64, u64)) {
        let facts = self.facts.lock().unwrap();
        let allowed = facts.may_fall.contains(component) || facts.failing.contains_key(component);
        // What a life left half-written is taken back by the next; there is nothing to take back with one object.
        let halved = self.routes.get(component).is_some_and(|(_, o)| o.len() > 1);
        if !allowed && !halved {
            let (rule, why) = match (facts.outage, facts.dark) {
                (Some(_), _) => ("rule 5", "both arms fail"),
                (None, Some(_)) => ("rule 2", "nobody can see anything"),
                (None, None) => ("rule 4", "nothing is wrong"),
            };
            let (old, new) = (text(old), text(new));
            let what = format!("{name} fell from {old} to {new}, nobody asked, and {why}");
            self.complain(rule, what);
        }
    }

    /// A write to a canary Ingress: made at 0, and raised like everything else.
    fn split(&self, store: &Store, before: Option<&Value>, after: Option<&Value>) {
        self.memory.lock().unwrap().writes += 1;
        let weight = |object: Option<&Value>| -> u64 {
            let text = object.and_then(|o| o["metadata"]["annotations"][WEIGHT].as_str());
            text.and_then(|t| t.parse().ok()).unwrap_or_default()
        };
        let (old, new) = (weight(before), weight(after));
        let object = after.or(before).cloned().unwrap_or_default();
        let component = object["metadata"]["labels"]["rollout.sealos.io/component"].as_str();
        let (Some(component), Some(name)) = (component, object["metadata"]["name"].as_str()) else {
            return self.complain("§6", format!("an Ingress that is not ours was written: {object}"));
        };
        if new > old {
            let key = format!("{STAMP}{component}");
            let stamp = object["metadata"]["annotations"][key]
                .as_str()
                .unwrap_or_default();
            let id = stamp.split(' ').next().unwrap_or_default();
            self.raised(store, component, name, (old, new), id);
            self.known(store, component, &object);
        } else if new < old {
            self.lowered(component, name, (old, new));
        }
        if after.is_none() {
            self.recorded(store, component, &object);
        }
        let mut memory = self.memory.lock().unwrap();
        if new == 0 {
            memory.emptied.entry(name.to_owned()).or_insert(self.clock.now());
        } else {
            memory.emptied.remove(name);
        }
        memory.had.entry(component.to_owned()).or_default().insert(new);
    }

    fn place(&self, store: &Store, component: &str) -> ComponentStatus {
        let rollout = self.routes.get(component).map_or("", |(rollout, _)| rollout);
        let (_, status) = self.status(store, rollout);
        status.component(component).cloned().unwrap_or_default()
    }

    /// What is raised was there when that was declared: so whoever rolls back meanwhile finds it and leaves its mark.
    fn known(&self, store: &Store, component: &str, object: &Value) {
        let intent = self.place(store, component).intent;
        let uid = object["metadata"]["uid"].as_str();
        let fenced = intent.is_some_and(|i| i.objects.iter().any(|fence| Some(fence.uid.as_str()) == uid));
        if !fenced {
            let name = &object["metadata"]["name"];
            self.complain("order", format!("{name} was made after its raise was declared"));
        }
    }

    /// What is deleted carries no mark any more: the status says why it goes, unless it could not be written for a second.
    fn recorded(&self, store: &Store, component: &str, object: &Value) {
        let (metadata, now) = (&object["metadata"], self.clock.now());
        let name = metadata["name"].as_str().unwrap_or_default();
        let emptied = self.memory.lock().unwrap().emptied.get(name).copied();
        if emptied.is_some_and(|at| now.duration_since(at).unsigned_abs() >= Duration::from_secs(1)) {
            return;
        }
        let stamp = metadata["annotations"][format!("{STAMP}{component}")].as_str();
        let id = stamp.and_then(|stamp| stamp.split(' ').next());
        let order = self.place(store, component).lowering;
        if order.as_ref().map(|order| order.id.as_str()) != id {
            self.complain(
                "order",
                format!("{name} is deleted before the status says why ({id:?})"),
            );
        }
    }

    /// A status was written: nothing stands in it that was not so before.
    fn told(&self, store: &Store, rollout: &str) {
        let (_, status) = self.status(store, rollout);
        for c in &status.components {
            let Some((_, objects)) = self.routes.get(&c.name) else {
                continue;
            };
            let routes: Vec<_> = objects
                .iter()
                .filter_map(|o| store.get(ROUTES, &self.namespace, o))
                .map(|v| canary(&v))
                .collect();
            // A router that does not answer keeps the status unwritten for two seconds, and no longer.
            let patient = c.lowering.as_ref().is_none_or(|order| {
                self.clock.now().duration_since(order.at).unsigned_abs() < Duration::from_secs(2)
            });
            let keeps = self
                .facts
                .lock()
                .unwrap()
                .keeps
                .get(&c.name)
                .copied()
                .unwrap_or_default();
            if c.state == State::RolledBack && routes.iter().any(|w| *w > keeps) && patient {
                self.complain(
                    "rule 6",
                    format!(
                        "{} is called rolled back before its traffic is: {routes:?}",
                        c.name
                    ),
                );
            }
            let written = u64::from(c.weight.written.permille());
            let memory = self.memory.lock().unwrap();
            let had = memory.had.get(&c.name).is_some_and(|had| had.contains(&written));
            drop(memory);
            let edited = self.facts.lock().unwrap().edited.contains(&c.name);
            if written > 0 && !had && !edited {
                self.complain(
                    "rule 7",
                    format!(
                        "{} is said to be at {}, where it never was",
                        c.name,
                        text(written)
                    ),
                );
            }
        }
    }

    /// Annotations or the finalizer were taken away: only what is answered, and only when traffic is where it should be.
    fn tidied(&self, store: &Store, rollout: &str, patch: &[u8]) {
        let patch: Value = serde_json::from_slice(patch).unwrap_or_default();
        let (_, status) = self.status(store, rollout);
        for operation in patch
            .as_array()
            .into_iter()
            .flatten()
            .filter(|o| o["op"] == "remove")
        {
            let path = operation["path"].as_str().unwrap_or_default();
            if let Some((_, rest)) = path.split_once("command.")
                && let Some((_, id)) = rest.split_once('.')
                && !status.commands.iter().any(|c| c.id == id)
            {
                self.complain(
                    "§4",
                    format!("command {id} was taken away before it was answered"),
                );
            }
        }
    }
}

/// Plural, name and subresource of a path with a name.
fn parts(path: &str) -> Option<(&str, &str, &str)> {
    let steps: Vec<&str> = path.trim_matches('/').split('/').collect();
    let at = steps.iter().position(|s| *s == "namespaces")?;
    match steps.get(at + 2..)? {
        [plural, name] => Some((plural, name, "")),
        [plural, name, sub] => Some((plural, name, sub)),
        _ => None,
    }
}

fn text(permille: u64) -> String {
    if permille.is_multiple_of(10) {
        format!("{}%", permille / 10)
    } else {
        format!("{}.{}%", permille / 10, permille % 10)
    }
}

/// The canary's weight in a route, in permille.
pub(crate) fn canary(route: &Value) -> u64 {
    let routes = route["spec"]["http"].as_array();
    let main = routes.into_iter().flatten().find(|r| r["name"] == "main");
    let weight = main.and_then(|r| r["route"][1]["weight"].as_u64());
    weight.unwrap_or_default() * 10
}

/// A route without what we own and what the server counts.
fn stripped(route: &Value) -> Value {
    let mut route = route.clone();
    for destination in 0..2 {
        for rule in 0..4 {
            if let Some(d) = route.pointer_mut(&format!("/spec/http/{rule}/route/{destination}")) {
                d["weight"] = Value::Null;
            }
        }
    }
    let metadata = &mut route["metadata"];
    for own in ["resourceVersion", "generation", "managedFields"] {
        metadata[own] = Value::Null;
    }
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        annotations.retain(|key, _| !key.starts_with("rollout.sealos.io/"));
        if annotations.is_empty() {
            metadata["annotations"] = Value::Null;
        }
    }
    route
}
