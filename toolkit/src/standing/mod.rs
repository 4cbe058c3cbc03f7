//! Where a migration stands: of each Ingress, whether it is served by the gateway, and as it says.
//!
//! - [`health`]: Gateways, certificates and back ends; [`loose`]: policies and rules; [`beside`]: who has a host that
//!   another's route has; [`balancers`]: what took the place of load balancers.

pub mod balancers;
pub mod beside;
pub mod health;
pub mod loose;

use crate::answering::{self, typed};
use crate::apply::closed::{self, CLOSED};
use crate::apply::gateway;
use crate::apply::inputs::{self, Now};
use crate::apply::keep;
use crate::apply::live::{Live, MADE, hosts, texts};
use crate::apply::needs;
use crate::apply::read::from;
use crate::canaries::{self, Canaries};
use crate::classes::Classes;
use crate::cluster::{self, Cluster, Kind, annotation, meta};
use crate::convert::args::key;
use crate::foreign::Foreign;
use crate::marks;
use crate::see::items;
use crate::trouble::Trouble;
use clap::Args;
use gradual_rollout_migration::input::Key;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is looked at.
#[derive(Clone, Debug, Args)]
pub struct StandingArgs {
    /// Only Ingresses of this class [default: those of the controllers that run]
    #[arg(long, value_name = "NAME")]
    pub ingress_class: Option<String>,
    /// The Gateway that was written; its namespace has the copies of certificates
    #[arg(
        long,
        value_name = "NAMESPACE/NAME",
        default_value = "istio-system/sealos-gateway"
    )]
    pub gateway: String,
}

/// What is wrong: a code, the object, and what is the case.
pub type Wrong = (&'static str, String, String);

/// Where one Ingress stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It is not migrated.
    Left,
    /// Nginx and the gateway serve it alike.
    Migrated,
    /// It was changed since it was migrated.
    Changed,
    /// It has the mark or a route, and something that it needs, the mark among it, is missing, edited or closed; or another's
    /// route has its host without its guard.
    Failed,
    /// The gateway alone serves it: cleanup deleted the Ingress.
    Cleaned,
    /// The gateway alone serves it, and somebody else deleted the Ingress: perhaps nobody wants it any more.
    Orphaned,
}

/// One Ingress.
#[derive(Clone, Debug)]
pub struct One {
    /// Which.
    pub key: Key,
    /// Where it stands.
    pub state: State,
    /// Its hosts.
    pub hosts: BTreeSet<String>,
    /// What is wrong.
    pub wrong: Vec<Wrong>,
    /// All Ingresses of its routes, which go back together.
    pub together: BTreeSet<Key>,
    /// How they do.
    pub back: String,
}

/// How many stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// See [`State::Left`].
    pub left: usize,
    /// See [`State::Migrated`].
    pub migrated: usize,
    /// See [`State::Changed`].
    pub changed: usize,
    /// See [`State::Failed`].
    pub failed: usize,
    /// See [`State::Cleaned`].
    pub cleaned: usize,
    /// See [`State::Orphaned`].
    pub orphaned: usize,
}

impl Counts {
    fn add(&mut self, state: State) {
        match state {
            State::Left => self.left += 1,
            State::Migrated => self.migrated += 1,
            State::Changed => self.changed += 1,
            State::Failed => self.failed += 1,
            State::Cleaned => self.cleaned += 1,
            State::Orphaned => self.orphaned += 1,
        }
    }
}

/// Where a migration stands.
#[derive(Debug)]
pub struct Standing {
    /// Every Ingress of the class, and those that are gone.
    pub all: Vec<One>,
    /// The Ingresses that are there, in the namespace that was named.
    pub ingresses: BTreeMap<Key, Value>,
    /// Those of other namespaces, as far as they may be seen.
    pub beside: BTreeMap<Key, Value>,
    /// What was made of them.
    pub live: Live,
    /// Policies and rules that no route needs: an apply was ended half-way.
    pub loose: Vec<Wrong>,
}

/// Kinds that are looked at.
pub fn kinds() -> Vec<Kind> {
    let more = [
        cluster::DEPLOYMENT,
        cluster::DAEMON_SET,
        cluster::INGRESS_CLASS,
        cluster::INGRESS,
        cluster::SECRET,
        cluster::POD,
        cluster::SERVICE,
        cluster::CONFIG_MAP,
        cluster::NAMESPACE,
    ];
    [&MADE[..], &more].concat()
}

impl Standing {
    /// Looks at a namespace or at everything.
    pub async fn read(
        cluster: &Cluster,
        args: &StandingArgs,
        namespace: Option<&str>,
    ) -> Result<Self, Trouble> {
        let classes = Classes::read(cluster, args.ingress_class.as_deref()).await?;
        Self::of(cluster, args, &classes, namespace).await
    }

    /// The same for classes that are known.
    pub async fn of(
        cluster: &Cluster,
        args: &StandingArgs,
        classes: &Classes,
        namespace: Option<&str>,
    ) -> Result<Self, Trouble> {
        let (gateway_namespace, _) = key("--gateway", &args.gateway)?;
        // Whose a host is may be said in another namespace.
        let mut whole = true;
        let listed = match cluster.list(&cluster::INGRESS, None, None).await {
            Err(kube::Error::Api(status)) if status.code == 403 && namespace.is_some() => {
                whole = false;
                cluster.all(&cluster::INGRESS, namespace).await?
            }
            listed => listed
                .map_err(|error| Trouble::kube(format!("list {}", cluster::INGRESS.resource()), &error))?,
        };
        let keyed = listed.into_iter().map(|object| (gateway::key(&object), object));
        let asked = |(key, _): &(Key, Value)| namespace.is_none_or(|name| key.0 == name);
        let (ingresses, beside): (BTreeMap<Key, Value>, BTreeMap<Key, Value>) = keyed.partition(asked);
        let live = Live::read(cluster, &gateway_namespace).await?;
        let mut standing = Self {
            all: Vec::new(),
            ingresses,
            beside,
            live,
            loose: Vec::new(),
        };
        let routes = standing.live.ours(&cluster::VIRTUAL_SERVICE);
        let now = Now::read(cluster, routes, namespace).await?;
        // What is not there may only not be seen.
        let unseen = namespace.filter(|_| !whole);
        standing.judge(args, classes, (namespace, unseen), &now);
        if let Some(name) = namespace.filter(|_| standing.all.is_empty() && standing.ingresses.is_empty()) {
            cluster.known(name).await?;
        }
        standing.loose = loose::find(&standing.live, namespace);
        let balancers = balancers::find(&standing.live, &now, namespace);
        standing.loose.extend(balancers);
        Ok(standing)
    }

    fn judge(
        &mut self,
        args: &StandingArgs,
        classes: &Classes,
        (namespace, alone): (Option<&str>, Option<&str>),
        now: &Now,
    ) {
        let open: BTreeSet<gateway::Host> = self
            .live
            .ours(&cluster::GATEWAY)
            .flat_map(gateway::opened)
            .collect();
        let there = || self.beside.iter().chain(&self.ingresses);
        let served: Vec<(&Key, &Value)> = there()
            .filter(|(_, ingress)| classes.serve(ingress) && !classes.pass_over(ingress))
            .collect();
        let at = |key: &Key| self.ingresses.get(key).or_else(|| self.beside.get(key));
        let splits = Canaries::new(served.iter().copied());
        let made = self.live.ours(&cluster::VIRTUAL_SERVICE);
        let at_gateways: Vec<&Value> = self.live.all(&cluster::VIRTUAL_SERVICE).collect();
        let prefix = |before: &str| classes.has_prefix(before);
        let cluster = Around {
            open: &open,
            live: &self.live,
            guards: loose::Guards::new(&self.live),
            foreign: Foreign::new(&self.live),
            unmade: beside::find(&served, &at_gateways, &prefix),
            split: splits.otherwise(made, &at, &|key: &Key| alone.is_none_or(|name| key.0 == name)),
            now,
            standing: self,
        };
        let mut routes: BTreeMap<Key, Vec<&Value>> = BTreeMap::new();
        for route in self.live.ours(&cluster::VIRTUAL_SERVICE) {
            for key in from(route) {
                routes.entry(key).or_default().push(route);
            }
        }
        let mut all = Vec::new();
        for (key, ingress) in &self.ingresses {
            // What has the mark was migrated, whatever became of its class or its controller since.
            let known =
                args.ingress_class.is_none() && (marks::migrated(ingress) || routes.contains_key(key));
            if classes.pass_over(ingress) || !known && !classes.serve(ingress) {
                continue;
            }
            all.push(one(
                key,
                ingress,
                routes.get(key).map_or(&[], Vec::as_slice),
                classes,
                &cluster,
            ));
        }
        for (key, its) in &routes {
            let asked = namespace.is_none_or(|name| key.0 == name);
            if asked && !self.ingresses.contains_key(key) {
                all.push(cluster.gone(key, its));
            }
        }
        all.sort_by(|a, b| a.key.cmp(&b.key));
        self.all = all;
    }

    /// Whether an Ingress is there.
    pub fn has(&self, key: &Key) -> bool {
        self.ingresses.contains_key(key) || self.beside.contains_key(key)
    }

    /// How many stand where, by namespace.
    pub fn counts(&self) -> BTreeMap<&str, Counts> {
        let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
        for one in &self.all {
            counts.entry(one.key.0.as_str()).or_default().add(one.state);
        }
        counts
    }

    /// All together.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for one in &self.all {
            total.add(one.state);
        }
        total
    }

    /// How many stand where, as `status` and `validate` both tell it: what only has a mark, or only a route, is no more migrated
    /// for the one than for the other.
    pub fn told(&self) -> String {
        let total = self.total();
        format!(
            "{} Ingresses left, {} migrated ({} hosts served by both), {} changed, {} failed, {} cleaned up, {} orphaned",
            total.left,
            total.migrated,
            self.both(),
            total.changed,
            total.failed,
            total.cleaned,
            total.orphaned
        )
    }

    /// Hosts that nginx and the gateway serve both.
    pub fn both(&self) -> usize {
        // A canary serves no host: it splits what another serves.
        let splits = |one: &&One| self.ingresses.get(&one.key).is_some_and(answering::canary);
        let live = self.all.iter().filter(|one| one.state == State::Migrated);
        let live = live.filter(|one| !splits(one));
        live.flat_map(|one| &one.hosts).collect::<BTreeSet<_>>().len()
    }
}

/// What is around routes.
struct Around<'a> {
    open: &'a BTreeSet<gateway::Host>,
    live: &'a Live,
    guards: loose::Guards<'a>,
    foreign: Foreign<'a>,
    unmade: beside::Unmade<'a>,
    /// What nginx splits of routes otherwise than they do.
    split: BTreeMap<gateway::Host, Vec<String>>,
    now: &'a Now,
    standing: &'a Standing,
}

fn one(key: &Key, ingress: &Value, routes: &[&Value], classes: &Classes, around: &Around<'_>) -> One {
    let served = classes.serve(ingress);
    let mut one = One {
        key: key.clone(),
        state: State::Left,
        hosts: ingress
            .pointer("/spec/rules")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|rule| {
                rule.get("host")
                    .and_then(Value::as_str)
                    .unwrap_or("*")
                    .to_ascii_lowercase()
            })
            .collect(),
        wrong: around.unmade.ingresses.get(key).cloned().unwrap_or_default(),
        together: BTreeSet::from([key.clone()]),
        back: String::new(),
    };
    around.go_back(&mut one, routes);
    let open = one.wrong.iter().any(|(code, _, _)| *code == "STATE-UNPROTECTED");
    let beside: Vec<Wrong> = if open {
        Vec::new()
    } else {
        std::mem::take(&mut one.wrong)
    };
    let marked = marks::migrated(ingress);
    if !marked && routes.is_empty() {
        one.state = if open { State::Failed } else { State::Left };
        one.wrong.extend(beside);
        return one;
    }
    let object = cluster::INGRESS.named(&key.0, &key.1);
    if !marked {
        one.wrong.push(around.unmarked(object.clone(), routes));
    }
    if routes.is_empty() {
        let said = "it is marked as migrated, and no VirtualService was made of it".to_owned();
        one.wrong.push(("STATE-NO-ROUTE", object.clone(), said));
    }
    for route in routes {
        one.wrong.extend(around.wrong(route, key));
        one.wrong.extend(controller(route, key, ingress, classes));
    }
    let failed = !one.wrong.is_empty();
    let old = |route: &&&Value| inputs::as_noted(route, key, ingress) == Some(false);
    let (left, stale): (Vec<&&Value>, Vec<&&Value>) = routes
        .iter()
        .filter(old)
        .partition(|route| !answering::canary(ingress) && beside::left(route, ingress));
    let since = marked && marks::as_converted(ingress) != Some(true);
    let split = around.split(ingress, routes);
    let changed = !stale.is_empty() || !left.is_empty() || since;
    one.wrong.extend(beside);
    for route in &left {
        let hosts: Vec<String> = hosts(route).into_iter().collect();
        let said = format!(
            "it was made for {}, which Ingress {}/{} does not have any more: the gateway still serves it",
            hosts.join(", "),
            key.0,
            key.1
        );
        let object = answering::route(route);
        one.wrong.push(("STATE-HOST-LEFT", object, said));
    }
    // What was written anew is told no more, where only hosts are left of before.
    let anew = stale.is_empty() && !left.is_empty() && !since;
    one.state = if failed {
        State::Failed
    } else if changed || !split.is_empty() {
        State::Changed
    } else {
        State::Migrated
    };
    if !split.is_empty() {
        let said = format!(
            "nginx splits its requests otherwise than the gateway since it was migrated: {}",
            split.join("; ")
        );
        one.wrong.push(("STATE-SOURCE-CHANGED", object.clone(), said));
    }
    if changed && !anew && !(failed && one.wrong.iter().any(|(code, _, _)| *code == "STATE-SHUT")) {
        let mut changed = changed_since(object, ingress, routes, served);
        let edited = one.wrong.iter().any(|(code, _, _)| *code == "STATE-GUARD-EDITED");
        if edited && changed.0 == "STATE-GUARD-STALE" {
            changed.2.push_str(loose::EDITED);
        }
        one.wrong.push(changed);
    }
    one
}

/// That a route was made with the settings of another controller than the one that serves an Ingress now.
fn controller(route: &Value, key: &Key, ingress: &Value, classes: &Classes) -> Option<Wrong> {
    let (with, _) = annotation(route, marks::SETTINGS)?.split_once('@')?;
    let now = classes
        .settings(ingress)
        .filter(|now| *now != with && classes.serve(ingress))?;
    let said = format!(
        "it was made with the settings of ConfigMap {with}, and Ingress {}/{} is served by the controller with {now}: what that demands of all may be missing",
        key.0, key.1
    );
    Some(("STATE-CONTROLLER-CHANGED", answering::route(route), said))
}

/// What it means that an Ingress was changed since its routes were made.
fn changed_since(object: String, ingress: &Value, routes: &[&Value], served: bool) -> Wrong {
    // What a canary says beside its share nginx does not read.
    let splits = answering::canary(ingress);
    let protections = if splits {
        Vec::new()
    } else {
        marks::protections(ingress)
    };
    let denied = !splits
        && routes.iter().any(|route| {
            let mut needs = needs::of(route);
            needs.any(|needed| needed.starts_with(cluster::AUTHORIZATION_POLICY.kind))
        });
    if !served {
        let said = "it is none of nginx's classes any more, and the gateway serves it as it was".to_owned();
        ("STATE-OTHER-CLASS", object, said)
    } else if protections.is_empty() && denied {
        let said = "it was changed since it was migrated, and says nothing that keeps anybody out; the gateway serves it as it was, and denies by a policy of then";
        ("STATE-GUARD-STALE", object, said.to_owned())
    } else if protections.is_empty() {
        let said = "it was changed since it was migrated; the gateway serves it as it was".to_owned();
        ("STATE-SOURCE-CHANGED", object, said)
    } else {
        let said = format!(
            "it was changed since it was migrated, and demands protection ({}): the gateway serves it as it was, perhaps without that",
            protections.join(", ")
        );
        ("STATE-UNPROTECTED", object, said)
    }
}

impl Around<'_> {
    /// Whether a Gateway has a host of a route.
    fn is_served(&self, route: &Value) -> bool {
        let namespace = meta(route, "namespace");
        hosts(route)
            .iter()
            .any(|host| gateway::is_open(namespace, host, self.open))
    }

    /// That routes were made of an Ingress that has not the mark, and how that came to be.
    fn unmarked(&self, object: String, routes: &[&Value]) -> Wrong {
        let going = routes.iter().any(|route| marks::going_back(route));
        let served = routes.iter().any(|route| self.is_served(route));
        let (code, said) = match (going, served) {
            (true, true) => (
                "STATE-GOING-BACK",
                "a rollback of it is not at its end, and the gateway serves it still: it was ended half-way, or it said why it went no further",
            ),
            (true, false) => (
                "STATE-GOING-BACK",
                "a rollback of it is not at its end, and the gateway serves it no more: what was made of it is still there",
            ),
            (false, true) => (
                "STATE-UNMARKED",
                "the gateway serves it, and it has not the mark: apply was ended half-way, or somebody took it off",
            ),
            (false, false) => (
                "STATE-UNMARKED",
                "a route was made of it that no Gateway has open yet, and it has not the mark: apply was ended half-way",
            ),
        };
        (code, object, said.to_owned())
    }

    /// What nginx splits of an Ingress otherwise than its routes do; of a canary itself it is said what was changed.
    fn split(&self, ingress: &Value, routes: &[&Value]) -> Vec<String> {
        if answering::canary(ingress) {
            return Vec::new();
        }
        let said = routes
            .iter()
            .filter_map(|route| self.split.get(&gateway::key(route)));
        let all: BTreeSet<&String> = said.flatten().collect();
        all.into_iter().cloned().collect()
    }

    /// How an Ingress goes back, and with which others.
    fn go_back(&self, one: &mut One, routes: &[&Value]) {
        let having = self.unmade.having.get(&one.key).into_iter().flatten();
        let routes: Vec<&Value> = routes.iter().chain(having).copied().collect();
        one.together
            .extend(routes.iter().flat_map(|route| canaries::serving(route)));
        one.back = format!("migrate rollback --ingress {}", typed(&one.together));
        let lost = |key: &&Key| {
            let cleaned = |route: &&Value| from(route).contains(*key) && keep::cleaned(route, key);
            !self.standing.has(key) && !routes.iter().any(cleaned)
        };
        let lost: Vec<&Key> = one.together.iter().filter(lost).collect();
        if !lost.is_empty() {
            one.back = format!("{} --gone {}", one.back, typed(lost));
        }
    }

    /// One that is gone, and has routes.
    fn gone(&self, key: &Key, routes: &[&Value]) -> One {
        let cleaned = routes.iter().all(|route| keep::cleaned(route, key));
        let mut gone = One {
            key: key.clone(),
            state: if cleaned { State::Cleaned } else { State::Orphaned },
            hosts: routes.iter().flat_map(|route| hosts(route)).collect(),
            wrong: Vec::new(),
            together: BTreeSet::new(),
            back: String::new(),
        };
        self.go_back(&mut gone, routes);
        for route in routes {
            gone.wrong.extend(self.wrong(route, key));
        }
        let splits = routes.iter().all(|route| canaries::of(route).contains(key));
        if !cleaned && splits {
            let said = "it was a canary, and is gone: nginx splits nothing any more, and the gateway sends its share to its back end still";
            let object = cluster::INGRESS.named(&key.0, &key.1);
            gone.wrong.push(("STATE-CANARY-GONE", object, said.to_owned()));
        } else if !cleaned {
            let said = "it is gone, and migrate cleanup did not delete it: the gateway still has its hosts";
            let object = cluster::INGRESS.named(&key.0, &key.1);
            gone.wrong.push(("STATE-ORPHANED", object, said.to_owned()));
        }
        gone
    }

    /// What is wrong with a route, for one of its Ingresses.
    fn wrong(&self, route: &Value, key: &Key) -> Vec<Wrong> {
        let namespace = meta(route, "namespace");
        let object = cluster::VIRTUAL_SERVICE.named(namespace, meta(route, "name"));
        let mut found = Vec::new();
        if marks::untouched(route) == Some(false) {
            let said = "somebody edited it since it was written".to_owned();
            found.push(("STATE-EDITED", object.clone(), said));
        }
        if shut(route, key) {
            let said = format!(
                "it answers the paths of Ingress {}/{} itself: that could not be converted any more when it was written",
                key.0, key.1
            );
            found.push(("STATE-SHUT", object.clone(), said));
        }
        found.extend(loose::needs(route, self.live));
        let there = |key: &Key| {
            let standing = self.standing;
            standing.ingresses.get(key).or_else(|| standing.beside.get(key))
        };
        found.extend(self.guards.stale(route, &there));
        found.extend(loose::taken(route, self.live, &self.foreign));
        let unmade = self.unmade.routes.get(&gateway::key(route));
        found.extend(unmade.into_iter().flatten().cloned());
        found.extend(self.now.changed(route, &there));
        for host in hosts(route) {
            if !gateway::is_open(namespace, &host, self.open) && !marks::going_back(route) {
                found.push((
                    "STATE-CLOSED",
                    object.clone(),
                    format!("no Gateway has its host {host}"),
                ));
            }
        }
        if texts(route, "/spec/gateways").next().is_none() {
            found.push(("STATE-NO-GATEWAY", object, "it is bound to no Gateway".to_owned()));
        }
        found
    }
}

/// Whether paths of an Ingress are closed in a route. One of before that does not say whose they are, and serves several,
/// tells of none.
fn shut(route: &Value, key: &Key) -> bool {
    let closed = |http: &Value| {
        let name = http.get("name").and_then(Value::as_str).unwrap_or_default();
        http.get("directResponse").is_some() && (name == CLOSED || name.starts_with("refused "))
    };
    closed::closes(route, key) || from(route).len() == 1 && items(route, "/spec/http").any(closed)
}
