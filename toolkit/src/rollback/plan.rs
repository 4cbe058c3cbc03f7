//! What has to be undone.

use super::args::RollbackArgs;
use super::guarding::{self, Stays};
use super::traffic::Scope;
use crate::answering::typed;
use crate::apply::closed;
use crate::apply::gateway::{self, Beneath, Host};
use crate::apply::keep;
use crate::apply::live::{self, Live, hosts};
use crate::apply::read::{destinations, from, guarded};
use crate::apply::secret;
use crate::apply::select::shown;
use crate::canaries;
use crate::cluster::{self, Kind, annotation, meta};
use crate::convert::args::key;
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is asked to be undone.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Everything.
    All,
    /// What was made of the Ingresses of a namespace.
    Namespace(String),
    /// What was made of some Ingresses.
    Ingresses(BTreeSet<Key>),
}

impl Wanted {
    /// As typed.
    pub fn of(args: &RollbackArgs, namespace: Option<&str>) -> Result<Self, Trouble> {
        match (namespace, args.all, args.ingress.is_empty()) {
            (None, true, _) => Ok(Self::All),
            (Some(name), false, true) => Ok(Self::Namespace(name.to_owned())),
            (None, false, false) => {
                let keys: Result<_, _> = args.ingress.iter().map(|typed| key("--ingress", typed)).collect();
                Ok(Self::Ingresses(keys?))
            }
            _ => Err(Trouble::Usage(
                "name one of them: -n NAMESPACE, --ingress NAMESPACE/NAME or --all".to_owned(),
            )),
        }
    }

    /// Whether an Ingress is meant.
    pub fn has(&self, key: &Key) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(name) => key.0 == *name,
            Self::Ingresses(keys) => keys.contains(key),
        }
    }
}

/// What has to be undone, in the order in which it is.
#[derive(Debug, Default)]
pub struct Undo {
    /// Ingresses that were cleaned up.
    pub missing: BTreeSet<Key>,
    /// Ingresses that somebody else deleted, and that need not come back unless the backup has them.
    pub orphans: BTreeSet<Key>,
    /// Ingresses that have a mark.
    pub marked: BTreeSet<Key>,
    /// The namespaces of all of them.
    pub namespaces: BTreeSet<String>,
    /// Hosts that are closed.
    pub hosts: BTreeSet<Host>,
    /// Gateways that have some of them.
    pub gateways: Vec<Value>,
    /// Hosts that nothing serves any more then, by the Gateway that has them open, themselves or by a wildcard.
    pub behind: Vec<(Value, BTreeSet<String>)>,
    /// The routes that stay.
    pub kept: Vec<Value>,
    /// The hosts of every Gateway of this program that have a certificate there.
    pub secured: BTreeMap<Host, BTreeSet<Host>>,
    /// The routes that go, edited ones that are left among them.
    pub removed: Vec<Value>,
    /// What is deleted then, in this order.
    pub deleted: Vec<(Kind, Value)>,
    /// What is left alone.
    pub findings: Vec<Finding>,
}

impl Undo {
    /// Hosts that a Gateway lists again where a wildcard over them goes.
    pub fn staying(&self, gateway: &Value) -> Beneath {
        let key = gateway::key(gateway);
        let others = self.secured.iter().filter(|(other, _)| **other != key);
        let bound = self.kept.iter().filter(|route| gateway::binds(gateway, route));
        Beneath {
            hosts: bound.flat_map(live::named).collect(),
            elsewhere: others.flat_map(|(_, hosts)| hosts.clone()).collect(),
        }
    }

    /// Ingresses whose marks are taken off: those that have one, and those that come back with one.
    pub fn unmarked(&self) -> BTreeSet<Key> {
        self.marked.union(&self.missing).cloned().collect()
    }
}

/// Finds what has to be undone; some routes stay all the same, as they keep a wider one from what nginx guards.
pub fn make(
    args: &RollbackArgs,
    wanted: &Wanted,
    ingresses: &BTreeMap<Key, Value>,
    live: &Live,
    staying: &BTreeMap<Host, Stays>,
) -> Undo {
    let mut undo = Undo::default();
    let marked = ingresses
        .iter()
        .filter(|(key, ingress)| wanted.has(key) && marks::migrated(ingress));
    undo.marked = marked.map(|(key, _)| key.clone()).collect();
    let (mut removed, mut kept) = (Vec::new(), Vec::new());
    for route in live.ours(&cluster::VIRTUAL_SERVICE) {
        // What only splits it goes with it, and keeps nothing where it is.
        let canaries = canaries::of(route);
        let from: BTreeSet<Key> = from(route).difference(&canaries).cloned().collect();
        let meant: BTreeSet<&Key> = from.iter().filter(|key| wanted.has(key)).collect();
        // What is gone by another hand, and is answered by the gateway itself, nobody has.
        let nobodys = |key: &Key| {
            !ingresses.contains_key(key) && !keep::cleaned(route, key) && closed::closes(route, key)
        };
        let others: Vec<String> = from
            .iter()
            .filter(|key| !wanted.has(key) && !nobodys(key))
            .map(|key| typed([key]))
            .collect();
        let stays = staying.get(&gateway::key(route));
        if meant.is_empty() {
            kept.push(route);
        } else if let (Some(stays), true) = (stays, others.is_empty()) {
            for key in meant {
                undo.marked.remove(key);
            }
            undo.findings
                .push(guarding::finding(route, &from, stays, ingresses));
            kept.push(route);
        } else if others.is_empty() {
            let orphans = args.gone.iter().any(|gone| gone == "orphans");
            // Of canaries only what cleanup deleted is missed: one that somebody else ended nginx does without.
            let ended = canaries.iter().filter(|key| !ingresses.contains_key(*key));
            undo.missing
                .extend(ended.filter(|key| keep::cleaned(route, key)).cloned());
            for key in from.iter().filter(|key| !ingresses.contains_key(*key)) {
                if nobodys(key) {
                    // Neither side serves it: nothing is lost without it.
                } else if keep::cleaned(route, key) || !orphans {
                    undo.missing.insert(key.clone());
                } else {
                    undo.orphans.insert(key.clone());
                }
            }
            removed.push(route);
        } else {
            for key in meant {
                undo.marked.remove(key);
            }
            undo.findings.push(Finding {
                code: "ROLLBACK-SHARED",
                severity: Severity::Blocker,
                object: named(&cluster::VIRTUAL_SERVICE, route),
                message: format!("left: it also serves {}", shown(&others)),
                remedy: format!(
                    "name those too, or their namespaces: {}",
                    keep::back(&from, &[route], ingresses)
                ),
            });
            kept.push(route);
        }
    }
    split(wanted, ingresses, (&removed, &kept), &mut undo);
    let keys = undo.marked.iter().chain(&undo.missing);
    undo.namespaces = keys.map(|(namespace, _)| namespace.clone()).collect();
    undo.namespaces
        .extend(removed.iter().map(|route| meta(route, "namespace").to_owned()));
    undo.hosts
        .extend(removed.iter().flat_map(|route| live::named(route)));
    undo.kept = kept.iter().copied().cloned().collect();
    // Others have Gateways too, tenants among them: only what apply wrote is closed.
    let all: Vec<&Value> = live
        .ours(&cluster::GATEWAY)
        .filter(|gateway| annotation(gateway, marks::WRITTEN).is_some())
        .collect();
    if matches!(wanted, Wanted::All) {
        // Whatever is open without a route goes too, where nobody else's hand is in it.
        let others: BTreeSet<String> = kept.iter().flat_map(|route| hosts(route)).collect();
        let own = all
            .iter()
            .filter(|gateway| marks::untouched(gateway) == Some(true));
        let open = own.flat_map(|gateway| gateway::open(gateway));
        undo.hosts.extend(open.filter(|host| !others.contains(&host.1)));
    }
    let secured = |gateway: &&Value| (gateway::key(gateway), gateway::secured_hosts(gateway));
    undo.secured = all.iter().map(secured).collect();
    let touched = |gateway: &&&Value| {
        gateway::open(gateway)
            .iter()
            .any(|host| undo.hosts.contains(host))
    };
    undo.gateways = all
        .iter()
        .filter(touched)
        .map(|gateway| Value::clone(gateway))
        .collect();
    undo.deleted = deleted(wanted, live, &removed, &all, &undo);
    undo.removed = removed.into_iter().cloned().collect();
    edited(args, &mut undo);
    undo.behind = behind(live, &undo);
    undo
}

/// Hosts that are closed, and those of routes that go: a Gateway that somebody opened for all hosts serves them as long as
/// there is a route, and is not closed for one of them.
fn behind(live: &Live, undo: &Undo) -> Vec<(Value, BTreeSet<String>)> {
    let routes = undo.deleted.iter();
    let routes: Vec<&Value> = routes
        .filter(|(kind, _)| *kind == cluster::VIRTUAL_SERVICE)
        .map(|(_, route)| route)
        .collect();
    let mut all = Vec::new();
    for gateway in live.all(&cluster::GATEWAY) {
        let key = gateway::key(gateway);
        let closes = undo.gateways.iter().any(|other| gateway::key(other) == key);
        let open = gateway::opened(gateway);
        let closed = gateway::open(gateway).into_iter();
        let closed = closed.filter(|host| closes && undo.hosts.contains(host));
        let mut behind: BTreeSet<String> = closed.map(|(_, host)| host).collect();
        for route in routes.iter().filter(|route| gateway::binds(gateway, route)) {
            let namespace = meta(route, "namespace");
            let served = hosts(route).into_iter();
            behind.extend(served.filter(|host| gateway::is_open(namespace, host, &open)));
        }
        if !behind.is_empty() {
            all.push((gateway.clone(), behind));
        }
    }
    all
}

/// Canaries are marked as long as a route is left that they split, and no longer.
fn split(
    wanted: &Wanted,
    ingresses: &BTreeMap<Key, Value>,
    (removed, kept): (&[&Value], &[&Value]),
    undo: &mut Undo,
) {
    let of = |routes: &[&Value]| -> BTreeSet<Key> {
        routes.iter().flat_map(|route| canaries::of(route)).collect()
    };
    let (free, still) = (of(removed), of(kept));
    let marked = |key: &&Key| ingresses.get(*key).is_some_and(marks::migrated);
    undo.marked
        .extend(free.difference(&still).filter(marked).cloned());
    for key in &still {
        let named = matches!(wanted, Wanted::Ingresses(keys) if keys.contains(key));
        undo.marked.remove(key);
        if named && !free.contains(key) {
            let routes: Vec<&Value> = kept
                .iter()
                .copied()
                .filter(|route| canaries::of(route).contains(key))
                .collect();
            let together = routes.iter().flat_map(|route| canaries::serving(route)).collect();
            undo.findings.push(Finding {
                code: "ROLLBACK-SHARED",
                severity: Severity::Blocker,
                object: cluster::INGRESS.named(&key.0, &key.1),
                message: format!(
                    "left: it is a canary, and splits {}, which is not given back",
                    typed(&together)
                ),
                remedy: format!("name those: {}", keep::back(&together, &routes, ingresses)),
            });
        }
    }
}

/// Routes first, then what protected them, what they needed, and the certificates that no Gateway shows any more.
fn deleted(
    wanted: &Wanted,
    live: &Live,
    removed: &[&Value],
    gateways: &[&Value],
    undo: &Undo,
) -> Vec<(Kind, Value)> {
    let (kept, closed) = (&undo.kept, &undo.hosts);
    let everything = matches!(wanted, Wanted::All);
    let mut deleted: Vec<(Kind, Value)> = removed
        .iter()
        .map(|route| (cluster::VIRTUAL_SERVICE, Value::clone(route)))
        .collect();
    let hosts: BTreeSet<&String> = closed.iter().map(|(_, host)| host).collect();
    let guards = live.ours(&cluster::AUTHORIZATION_POLICY);
    // An apply that was killed leaves policies and rules without a route.
    let meant = |object: &Value| {
        let from = from(object);
        everything || (!from.is_empty() && from.iter().all(|key| wanted.has(key)))
    };
    let others: BTreeSet<String> = kept.iter().flat_map(live::hosts).collect();
    let unused = guards.filter(|guard| {
        let its = guarded(guard);
        annotation(guard, marks::WRITTEN).is_some()
            && (its.iter().all(|host| hosts.contains(host)) || (meant(guard) && its.is_disjoint(&others)))
    });
    deleted.extend(unused.map(|guard| (cluster::AUTHORIZATION_POLICY, guard.clone())));
    let before: BTreeSet<String> = removed.iter().flat_map(|route| destinations(route)).collect();
    let still: BTreeSet<String> = kept.iter().flat_map(destinations).collect();
    let rules = live.ours(&cluster::DESTINATION_RULE);
    let unused = rules.filter(|rule| {
        let service = rule
            .pointer("/spec/host")
            .and_then(Value::as_str)
            .unwrap_or_default();
        annotation(rule, marks::WRITTEN).is_some()
            && (meant(rule) || before.contains(service))
            && !still.contains(service)
    });
    deleted.extend(unused.map(|rule| (cluster::DESTINATION_RULE, rule.clone())));
    let closing = |gateway: &Value| {
        gateways
            .iter()
            .any(|other| gateway::key(other) == gateway::key(gateway))
    };
    let shown: BTreeSet<String> = live
        .all(&cluster::GATEWAY)
        .filter_map(|gateway| {
            let closes = closing(gateway);
            gateway::without(
                gateway,
                &|host| closes && closed.contains(host),
                &undo.staying(gateway),
            )
        })
        .flat_map(|gateway| gateway::credentials(&gateway))
        .collect();
    let was: BTreeSet<String> = gateways
        .iter()
        .flat_map(|gateway| gateway::credentials(gateway))
        .collect();
    let copies = live
        .ours(&cluster::SECRET)
        .filter(|copy| annotation(copy, marks::COPY_OF).is_some());
    let unused = copies.filter(|copy| {
        let name = meta(copy, "name");
        let of = |namespace: &String| {
            annotation(copy, marks::WRITTEN).is_some()
                && secret::source(copy).is_some_and(|source| source.0 == *namespace)
        };
        let left = matches!(wanted, Wanted::Namespace(namespace) if of(namespace));
        !shown.contains(name) && (everything || left || was.contains(name))
    });
    deleted.extend(unused.map(|copy| (cluster::SECRET, copy.clone())));
    deleted
}

/// Whose share comes back, and who stays migrated.
pub fn scope(wanted: &Wanted, undo: &Undo, ingresses: &BTreeMap<Key, Value>) -> Scope {
    let going = undo.unmarked();
    let stays = |(key, ingress): &(&Key, &Value)| marks::migrated(ingress) && !going.contains(*key);
    let staying = ingresses.iter().filter(stays);
    let made = undo.removed.iter().flat_map(from);
    let leaving = made
        .chain(going.iter().cloned())
        .filter_map(|key| ingresses.get(&key).map(|ingress| (key, ingress.clone())));
    let only = matches!(wanted, Wanted::Ingresses(_)).then(|| {
        let named = undo.removed.iter().flat_map(hosts).collect();
        (leaving.collect(), named)
    });
    Scope {
        namespaces: undo.namespaces.clone(),
        only,
        staying: staying
            .map(|(key, ingress)| (key.clone(), ingress.clone()))
            .collect(),
    }
}

/// What somebody edited is left: it does nothing once its host is closed.
fn edited(args: &RollbackArgs, undo: &mut Undo) {
    if args.overwrite {
        return;
    }
    let is_edited =
        |(kind, object): &(Kind, Value)| *kind != cluster::SECRET && marks::untouched(object) == Some(false);
    let (left, deleted): (Vec<_>, Vec<_>) =
        std::mem::take(&mut undo.deleted).into_iter().partition(is_edited);
    undo.deleted = deleted;
    let gateways = undo.gateways.iter();
    let edited = gateways.filter(|gateway| marks::untouched(gateway) == Some(false));
    let edited: Vec<Finding> = edited
        .map(|gateway| Finding {
            code: "ROLLBACK-EDITED",
            severity: Severity::Warning,
            object: named(&cluster::GATEWAY, gateway),
            message: "somebody edited it since it was written: hosts are closed, what is not ours stays"
                .to_owned(),
            remedy: "what stays is theirs; take it into a Gateway of their own".to_owned(),
        })
        .collect();
    undo.findings.extend(edited);
    undo.findings.extend(left.iter().map(|(kind, object)| Finding {
        code: "ROLLBACK-EDITED",
        severity: Severity::Warning,
        object: named(kind, object),
        message:
            "left: somebody edited it since it was written; its hosts are closed all the same".to_owned(),
        remedy: "say --overwrite to delete it".to_owned(),
    }));
}

/// `Kind namespace/name`.
pub fn named(kind: &Kind, object: &Value) -> String {
    kind.named(meta(object, "namespace"), meta(object, "name"))
}
