//! What a batch comes down to: objects in the order of writing, marks, and what is left out.

use super::args::ApplyArgs;
use super::closed;
use super::gateway::{self, Beneath, Host};
use super::inputs::Inputs;
use super::item::{self, Change, Item};
use super::keep;
use super::left::{self, accepted, drifted};
use super::live::{self, Live};
use super::needed;
use super::needs::{self, annotate};
use super::opening::{self, Opening};
use super::owned;
use super::probed;
use super::prune;
use super::read::{self, of_kind};
use super::remembered;
use super::secret;
use super::select::{Batch, object, shown};
use super::settings;
use super::split;
use crate::cluster::{self, Cluster, Kind, annotation, meta};
use crate::convert::{self, Seen, closure};
use crate::digest;
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::trouble::Trouble;
use gradual_rollout_migration::convert::{Conversion, Options};
use gradual_rollout_migration::input::Key;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The mark of an Ingress.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The Ingress.
    pub key: Key,
    /// Its uid: nothing is written where it is gone.
    pub uid: String,
    /// The digest of what was converted.
    pub source: String,
    /// What was accepted to be lost, codes by comma.
    pub accepted: String,
    /// It has the mark, with this digest.
    pub there: bool,
    /// It says what was accepted.
    pub noted: bool,
    /// Since when it has its mark.
    pub since: Option<Timestamp>,
    /// The hosts that have to be open.
    pub hosts: BTreeSet<String>,
    /// When it was probed: a mark that is given anew is later than that, however fast it comes.
    pub probed: Option<Timestamp>,
}

impl Mark {
    /// Whether the Ingress is as it should be.
    pub const fn stands(&self) -> bool {
        self.there && self.noted
    }
}

/// What a batch comes down to.
#[derive(Debug, Default)]
pub struct Plan {
    /// Changes when anything that would be written changes.
    pub hash: String,
    /// Certificates, rules, policies, routes and the Gateway, in the order of writing.
    pub items: Vec<Item>,
    /// What is written of what was accepted.
    pub accepted: BTreeMap<String, String>,
    /// What Ingresses get.
    pub marks: Vec<Mark>,
    /// What nothing needs any more, and goes, in the order of deletion.
    pub pruned: Vec<(Kind, Value)>,
    /// Hosts that cannot be opened.
    pub bad: BTreeSet<String>,
    /// Of those the ones that somebody else serves at a gateway: nothing is written that would meet their requests.
    pub taken: BTreeSet<String>,
    /// Hosts of routes that would lead on what nginx guards.
    pub withheld: BTreeSet<String>,
    /// Hosts that the Gateway has already.
    pub open: BTreeSet<Host>,
    /// By Gateway, the hosts of routes that are bound to it.
    pub beneath: BTreeMap<Host, Beneath>,
    /// Hosts of which everything stays as it is: Ingresses of theirs are gone.
    pub held: BTreeSet<Host>,
    /// What is left out, and what should be known.
    pub findings: Vec<Finding>,
    /// The GradualRollout that the batch is handed to.
    pub rollout: Option<Value>,
}

impl Plan {
    /// Hosts that a Gateway lists itself where a wildcard over them is left out.
    pub fn beneath(&self, item: &Item) -> Beneath {
        let key = (item.namespace.clone(), item.name.clone());
        self.beneath.get(&key).cloned().unwrap_or_default()
    }

    /// Adds the rollout: nothing moves traffic that nobody looked at.
    pub fn hand_over(&mut self, body: Value) {
        self.hash = digest::short(&json!([self.hash, body]));
        self.rollout = Some(body);
    }
}

/// The routes that go by a run.
fn going(plan: &Plan) -> BTreeSet<Host> {
    let routes = plan.pruned.iter();
    let routes = routes.filter(|(kind, _)| *kind == cluster::VIRTUAL_SERVICE);
    routes.map(|(_, route)| gateway::key(route)).collect()
}

/// A certificate whose hosts were converted apart, and want different ciphers.
fn disagreed(namespace: &str, name: &str, credential: &str) -> Finding {
    Finding {
        code: "APPLY-CIPHERS",
        severity: Severity::Warning,
        object: cluster::GATEWAY.named(namespace, name),
        message: format!(
            "hosts with the certificate {credential} share a server and have different lists of ciphers: it takes the gateway's own"
        ),
        remedy: "give them one list (ssl-ciphers), and apply them together".to_owned(),
    }
}

/// What a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// What nginx guards, as it is.
    pub opening: &'a Opening<'a>,
    /// As typed.
    pub args: &'a ApplyArgs,
    /// What the converter is told.
    pub options: &'a Options,
    /// The cluster's kinds.
    pub cluster: &'a Cluster,
    /// What was read.
    pub seen: &'a Seen,
    /// What is there.
    pub live: &'a Live,
    /// What earlier runs were told to accept.
    pub record: Option<&'a Value>,
    /// The listeners that shares arrive at.
    pub bindings: &'a split::Bindings,
}

impl Sources<'_> {
    /// Plans a batch.
    pub fn plan(&self, batch: Batch) -> Result<Plan, Trouble> {
        let inventory = closure::reduced(&self.seen.inventory, &batch.all);
        let conversion = convert::convert(&inventory, self.options)?;
        if !self.args.secrets_only {
            left::doubtful(&conversion)?;
        }
        let mut plan = Plan {
            findings: batch.findings,
            ..Plan::default()
        };
        let accepted = accepted(&batch.ingresses, &conversion, self.live, &mut plan.findings);
        if !self.args.secrets_only {
            plan.findings.extend(settings::lost(&conversion));
        }
        let spoken = owned::spoken(&batch.ingresses, &conversion);
        if !self.args.secrets_only {
            let prefix = convert::prefix(&self.seen.inventory, self.options);
            left::prefixed(&prefix, &spoken, self.seen, self.live)?;
        }
        let old = self.old(&conversion, &accepted, &spoken, &mut plan);
        let closing = if self.args.secrets_only {
            closed::Closing::default()
        } else {
            let asked = closed::Asked {
                spoken: &spoken,
                accepted: &accepted,
                conversion: &conversion,
            };
            let going = going(&plan);
            closed::find(self, &asked, &going, &mut plan.findings)
        };
        let wanted = [&accepted, &closing.keys];
        let mut routes = self.routes(&conversion, &wanted, &spoken, &old, &mut plan);
        routes.extend(self.shut(&closing));
        let gateways = self.gateways(&conversion, &routes, &mut plan);
        self.secrets(&conversion, &routes, &gateways, &mut plan);
        needed::plan(self, &conversion, &routes, &spoken, &mut plan);
        let stale = prune::rest(self, &plan, &routes, &gateways, &accepted);
        prune::settle(self.args, self.live, &BTreeSet::new(), stale, &mut plan);
        needs::note(&plan, &mut routes, self.live);
        plan.items.extend(routes);
        plan.items.extend(gateways);
        self.marks(&accepted, &conversion, &mut plan);
        plan.accepted = remembered::entries(&plan.marks, self.record);
        probed::renew(&mut plan, self.live);
        drifted(self.args, &mut plan);
        if !self.args.secrets_only {
            opening::hold_back(self, &mut plan);
        }
        let written: Vec<Value> = plan
            .items
            .iter()
            .map(|item| json!([item.object(), item.body.pointer("/metadata/annotations")]))
            .chain(
                plan.marks
                    .iter()
                    .map(|mark| json!([mark.key, mark.source, mark.accepted])),
            )
            .chain(plan.pruned.iter().map(|(kind, object)| {
                let (namespace, name) = gateway::key(object);
                json!(["prune", kind.named(&namespace, &name), meta(object, "uid")])
            }))
            .collect();
        plan.hash = digest::short(&Value::Array(written));
        Ok(plan)
    }

    /// An object that is wanted, held against the one that is there.
    pub fn item(&self, kind: Kind, body: &Value, hosts: BTreeSet<String>) -> Item {
        let (namespace, name) = gateway::key(body);
        let live = self.live.get(&kind, &namespace, &name);
        // It does not go any more: the note is another writing's, so it is emptied and not left out.
        let mut body = body.clone();
        let stays = live.is_some_and(marks::going_back);
        if stays {
            annotate(&mut body, marks::GOING_BACK, "");
        }
        let change = match item::change(&body, live) {
            // What it was made of, and with, is part of what is wanted.
            Change::Same if stays || live.is_some_and(|live| !item::noted(&body, live)) => Change::Update,
            change @ (Change::Create
            | Change::Update
            | Change::Same
            | Change::Edited
            | Change::Both
            | Change::Foreign) => change,
        };
        Item {
            kind,
            body: item::stamped(body, self.cluster.version(&kind)),
            namespace,
            name,
            change,
            hosts,
        }
    }

    /// The `VirtualServices` of accepted Ingresses whose hosts nobody else has.
    fn routes(
        &self,
        conversion: &Conversion,
        [accepted, refused]: &[&BTreeSet<Key>; 2],
        spoken: &BTreeSet<Key>,
        old: &BTreeSet<Host>,
        plan: &mut Plan,
    ) -> Vec<Item> {
        let going = going(plan);
        let mut routes = Vec::new();
        let having = self.live.at_gateways();
        let inputs = Inputs::new(self);
        let shut = closed::refused(conversion);
        let all = conversion.report.ingresses.iter();
        let converted = all.map(|result| (result.namespace.clone(), result.name.clone()));
        let converted = converted.filter(|key| !shut.contains(key)).collect();
        for body in of_kind(conversion, "VirtualService") {
            let from = read::from(body);
            if from.is_disjoint(accepted) && from.is_disjoint(refused) {
                continue;
            }
            let hosts = live::hosts(body);
            let mut body = body.clone();
            inputs.note(&mut body, &converted);
            self.bindings.bind(&mut body, self.seen);
            let live = self.live.get(
                &cluster::VIRTUAL_SERVICE,
                &gateway::key(&body).0,
                &gateway::key(&body).1,
            );
            closed::note(&mut body, live, &shut);
            let Some(item) = self.kept(self.item(cluster::VIRTUAL_SERVICE, &body, hosts.clone()), plan)
            else {
                continue;
            };
            let strangers = live
                .filter(|live| marks::ours(live) && item.change != Change::Same)
                .map(|live| owned::others(live, spoken, &self.seen.ingresses))
                .unwrap_or_default();
            for host in &hosts {
                // What goes by this run is in nobody's way.
                let others: Vec<&Host> = having
                    .get(host)
                    .into_iter()
                    .flatten()
                    .filter(|key| **key != (item.namespace.clone(), item.name.clone()))
                    .filter(|key| !going.contains(*key))
                    .collect();
                if !others.is_empty() {
                    let is_old = others.iter().all(|key| old.contains(*key));
                    let names = others
                        .iter()
                        .map(|(namespace, name)| format!("{namespace}/{name}"));
                    let names: Vec<String> = names.collect();
                    plan.findings
                        .push(owned::taken(host, &shown(&names), &[], is_old));
                } else if !strangers.is_empty() {
                    let own = format!("{}/{}", item.namespace, item.name);
                    plan.findings.push(owned::taken(host, &own, &strangers, false));
                } else {
                    continue;
                }
                // A route has all of its hosts or none.
                plan.bad.extend(hosts.iter().cloned());
                plan.taken.extend(hosts.iter().cloned());
            }
            routes.push(item);
        }
        routes
    }

    /// Routes that nobody asks for any more: told, or going. All of them.
    fn old(
        &self,
        conversion: &Conversion,
        accepted: &BTreeSet<Key>,
        spoken: &BTreeSet<Key>,
        plan: &mut Plan,
    ) -> BTreeSet<Host> {
        let rewritten = of_kind(conversion, "Gateway").map(gateway::key).collect();
        let stale = prune::routes(self, conversion, accepted, spoken);
        let old = stale.iter().map(prune::Stale::key).collect();
        prune::settle(self.args, self.live, &rewritten, stale, plan);
        old
    }

    /// Routes of refused Ingresses of which a conversion leaves nothing, closed: whatever else their hosts need, they are.
    fn shut(&self, closing: &closed::Closing) -> Vec<Item> {
        let shut = closing.routes.iter().filter_map(|((namespace, name), sake)| {
            let route = self.live.get(&cluster::VIRTUAL_SERVICE, namespace, name)?;
            let body = closed::shut(route, sake);
            Some(self.item(cluster::VIRTUAL_SERVICE, &body, BTreeSet::new()))
        });
        shut.collect()
    }

    /// A route that may be written; one that serves Ingresses that are gone stays as it is.
    fn kept(&self, item: Item, plan: &mut Plan) -> Option<Item> {
        let there = &self.seen.ingresses;
        let route = self.live.get(&item.kind, &item.namespace, &item.name);
        let Some(route) = route.filter(|route| marks::ours(route)) else {
            return Some(item);
        };
        let gone = keep::gone(route, there);
        if gone.is_empty() {
            return Some(item);
        }
        let settled = keep::settled(&item.body, route, there);
        plan.findings.push(keep::finding(&item, route, &gone, settled));
        let hosts = item.hosts.iter();
        plan.held
            .extend(hosts.map(|host| (item.namespace.clone(), host.clone())));
        if settled {
            return Some(keep::as_it_is(item, route));
        }
        plan.bad.extend(item.hosts.iter().cloned());
        None
    }

    /// The Gateways, with what is open already and what is wanted, and nothing else.
    fn gateways(&self, conversion: &Conversion, routes: &[Item], plan: &mut Plan) -> Vec<Item> {
        let converted: BTreeSet<Host> = of_kind(conversion, "VirtualService")
            .flat_map(live::named)
            .collect();
        let wanted: BTreeSet<Host> = routes
            .iter()
            .flat_map(|item| live::named(&item.body))
            .filter(|(_, host)| !plan.taken.contains(host))
            .collect();
        let mut secured: BTreeMap<Host, BTreeSet<Host>> = BTreeMap::new();
        let others = self.live.ours(&cluster::GATEWAY);
        for body in others.chain(of_kind(conversion, "Gateway")) {
            let hosts = secured.entry(gateway::key(body)).or_default();
            hosts.extend(gateway::secured_hosts(body));
        }
        let mut gateways = Vec::new();
        for body in of_kind(conversion, "Gateway") {
            let (namespace, name) = gateway::key(body);
            let live = self.live.get(&cluster::GATEWAY, &namespace, &name);
            let served = prune::served(self.live, plan, &format!("{namespace}/{name}"));
            let forgotten = served.difference(&converted).chain(&plan.held);
            let forgotten: BTreeSet<Host> = forgotten.cloned().collect();
            plan.open.extend(live.map(gateway::open).unwrap_or_default());
            let held = &plan.held;
            let unwanted =
                |host: &Host| held.contains(host) || (!wanted.contains(host) && !served.contains(host));
            let others = secured
                .iter()
                .filter(|(key, _)| **key != (namespace.clone(), name.clone()));
            let elsewhere: BTreeSet<Host> = others.flat_map(|(_, hosts)| hosts).cloned().collect();
            let mut beneath = Beneath {
                hosts: wanted.union(&served).cloned().collect(),
                elsewhere,
            };
            plan.beneath
                .insert((namespace.clone(), name.clone()), beneath.clone());
            beneath.hosts.retain(|host| !held.contains(host));
            let Some(mut body) = gateway::without(body, &unwanted, &beneath) else {
                continue;
            };
            if let Some(live) = live.filter(|live| marks::ours(live)) {
                let chosen = gateway::choosing(&body);
                let kept = Beneath {
                    hosts: forgotten,
                    ..beneath
                };
                body = gateway::keeping(body, live, &kept);
                let left = gateway::choosing(&body);
                let lost = chosen.difference(&left);
                plan.findings
                    .extend(lost.map(|credential| disagreed(&namespace, &name, credential)));
            }
            let hosts = gateway::open(&body).into_iter().map(|(_, host)| host).collect();
            gateways.push(self.item(cluster::GATEWAY, &body, hosts));
        }
        gateways
    }

    /// The copies of certificates that the Gateways show.
    fn secrets(&self, conversion: &Conversion, routes: &[Item], gateways: &[Item], plan: &mut Plan) {
        let own: BTreeSet<&String> = routes.iter().flat_map(|item| &item.hosts).collect();
        let mut showing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (credential, hosts) in gateways.iter().flat_map(|item| gateway::showing(&item.body)) {
            showing.entry(credential).or_default().extend(hosts);
        }
        for copy in &conversion.report.secrets {
            let Some(hosts) = showing.get(&copy.to_name).cloned() else {
                continue;
            };
            let source = (copy.from_namespace.clone(), copy.from_name.clone());
            let Some(source) = self.seen.certificates.get(&source) else {
                // The Gateway is everybody's: what another batch lacks is no reason to leave this one out.
                let ours = hosts.iter().any(|host| own.contains(host));
                plan.findings.push(secret::gone(copy, &hosts, ours));
                let open = |host: &String| plan.open.iter().any(|(_, open)| open == host);
                let left_out: Vec<String> = hosts.into_iter().filter(|host| ours || !open(host)).collect();
                plan.bad.extend(left_out);
                continue;
            };
            let live = self.live.get(&cluster::SECRET, &copy.to_namespace, &copy.to_name);
            plan.items.push(secret::item(copy, source, live, hosts));
        }
        if !self.args.secrets_only {
            let copies = conversion.report.secrets.iter();
            let copies: BTreeMap<&str, Key> = copies
                .map(|copy| {
                    (
                        copy.to_name.as_str(),
                        (copy.from_namespace.clone(), copy.from_name.clone()),
                    )
                })
                .collect();
            let of = |credential: &str| {
                let home = || (self.options.gateway_namespace.clone(), credential.to_owned());
                let key = copies.get(credential).cloned().unwrap_or_else(home);
                self.seen.certificates.get(&key)
            };
            plan.findings.extend(secret::covering(&showing, &of));
        }
        self.renewals(plan);
    }

    /// Copies that no Ingress of the batch needs, and that are renewed all the same: their Ingresses may be gone.
    fn renewals(&self, plan: &mut Plan) {
        let planned: BTreeSet<String> = plan.items.iter().map(|item| item.name.clone()).collect();
        for live in self.live.ours(&cluster::SECRET) {
            let (namespace, name) = gateway::key(live);
            let source = secret::source(live).and_then(|key| self.seen.certificates.get(&key));
            let Some(source) =
                source.filter(|source| !planned.contains(&name) && secret::renewed(source, live))
            else {
                continue;
            };
            plan.items.push(Item {
                kind: cluster::SECRET,
                body: secret::anew(live, source),
                namespace,
                name,
                change: Change::Update,
                hosts: BTreeSet::new(),
            });
        }
    }

    fn marks(&self, accepted: &BTreeSet<Key>, conversion: &Conversion, plan: &mut Plan) {
        let lost = remembered::lost(conversion);
        let prefix = convert::prefix(&self.seen.inventory, self.options);
        let mut hosts: BTreeMap<Key, BTreeSet<String>> = BTreeMap::new();
        for item in plan
            .items
            .iter()
            .filter(|item| item.kind == cluster::VIRTUAL_SERVICE)
        {
            for key in read::from(&item.body) {
                hosts.entry(key).or_default().extend(item.hosts.iter().cloned());
            }
        }
        for key in accepted {
            let Some(ingress) = self.seen.ingresses.get(key) else {
                continue;
            };
            let source = marks::source(ingress, &prefix);
            let before = annotation(ingress, marks::SOURCE).filter(|_| marks::migrated(ingress));
            if before.is_some_and(|before| before != source) {
                plan.findings.push(Finding {
                    code: "APPLY-SOURCE-CHANGED",
                    severity: Severity::Info,
                    object: object(key),
                    message: "it was changed since it was migrated: it is converted anew".to_owned(),
                    remedy: String::new(),
                });
            }
            let lost = lost.get(key).cloned().unwrap_or_default();
            plan.marks.push(Mark {
                noted: annotation(ingress, marks::ACCEPTED).unwrap_or_default() == lost,
                accepted: lost,
                since: annotation(ingress, marks::MIGRATED_AT).and_then(|time| time.parse().ok()),
                there: before == Some(source.as_str()),
                uid: meta(ingress, "uid").to_owned(),
                probed: annotation(ingress, marks::PROBED_AT).and_then(|time| time.parse().ok()),
                source,
                hosts: hosts.remove(key).unwrap_or_default(),
                key: key.clone(),
            });
        }
    }
}
