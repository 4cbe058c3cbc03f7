//! What an earlier run wrote for Ingresses of the batch, and this one would not any more: told, or with `--prune` taken
//! away.
//!
//! It is of the batch where every Ingress that it was made of is, and is converted. So what serves an Ingress that was
//! cleaned up, refused or left out is never among it, nor what others wrote, nor what the batch shares with others.

use super::args::ApplyArgs;
use super::gateway::{self, Host};
use super::item::Item;
use super::keep;
use super::live::{self, Live};
use super::needs;
use super::plan::{Plan, Sources};
use super::read::{self, destinations, guarded, of_kind};
use super::secret;
use crate::answering;
use crate::canaries;
use crate::cluster::{self, Kind, annotation, meta};
use crate::finding::{Finding, Severity};
use crate::marks;
use gradual_rollout_migration::convert::Conversion;
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Something that the batch does not need any more.
pub struct Stale<'a> {
    kind: Kind,
    object: &'a Value,
    why: String,
}

impl Stale<'_> {
    /// Its namespace and name.
    pub fn key(&self) -> Host {
        gateway::key(self.object)
    }
}

/// Whether something was written by `apply`, of such Ingresses alone.
fn of_batch(object: &Value, has: &dyn Fn(&Key) -> bool) -> bool {
    let from = read::from(object);
    annotation(object, marks::WRITTEN).is_some() && !from.is_empty() && from.iter().all(has)
}

/// Routes for hosts that their Ingresses do not have any more, or whose Ingresses are gone by another hand while one of the
/// batch has the host now.
pub fn routes<'a>(
    sources: &Sources<'a>,
    conversion: &Conversion,
    accepted: &BTreeSet<Key>,
    spoken: &BTreeSet<Key>,
) -> Vec<Stale<'a>> {
    let converted: BTreeSet<Host> = of_kind(conversion, "VirtualService").map(gateway::key).collect();
    let there = &sources.seen.ingresses;
    let own = spoken.iter().filter_map(|key| there.get(key));
    let own: BTreeSet<String> = own.flat_map(answering::names).collect();
    let all = sources.live.ours(&cluster::VIRTUAL_SERVICE).filter_map(|route| {
        let orphans = keep::orphans(route, there);
        let canaries = canaries::of(route);
        let hosts = live::hosts(route);
        let known = |key: &Key| accepted.contains(key) || orphans.contains(key) || canaries.contains(key);
        let stale = !converted.contains(&gateway::key(route))
            && of_batch(route, &known)
            && annotation(route, marks::CLEANED_AT).is_none()
            && (orphans.is_empty() || !hosts.is_disjoint(&own));
        let whose = if orphans.is_empty() {
            "which its Ingress does not have any more"
        } else {
            "and its Ingress is gone; another has the host now"
        };
        let hosts: Vec<String> = hosts.into_iter().collect();
        stale.then(|| Stale {
            kind: cluster::VIRTUAL_SERVICE,
            object: route,
            why: format!("it was made for {}, {whose}", hosts.join(", ")),
        })
    });
    all.collect()
}

/// Hosts that are served at a Gateway when what is pruned is gone: those of the routes that are bound to it.
pub fn served(live: &Live, plan: &Plan, gateway: &str) -> BTreeSet<Host> {
    let gone: BTreeSet<Host> = plan
        .pruned
        .iter()
        .filter(|(kind, _)| *kind == cluster::VIRTUAL_SERVICE)
        .map(|(_, route)| gateway::key(route))
        .collect();
    let routes = live.ours(&cluster::VIRTUAL_SERVICE);
    let left = routes.filter(|route| {
        let bound = live::texts(route, "/spec/gateways").any(|name| name == gateway);
        bound && !gone.contains(&gateway::key(route))
    });
    left.flat_map(live::named).collect()
}

/// Policies, rules and copies that nothing of the batch needs any more; `plan` has all that it needs.
pub fn rest<'a>(
    sources: &Sources<'a>,
    plan: &Plan,
    routes: &[Item],
    gateways: &[Item],
    accepted: &BTreeSet<Key>,
) -> Vec<Stale<'a>> {
    let live = sources.live;
    let planned = |kind: Kind, object: &Value| {
        let is = |item: &&Item| {
            item.kind == kind && (item.namespace.as_str(), item.name.as_str()) == names(object)
        };
        plan.items.iter().any(|item| is(&item))
    };
    let stale = |kind: Kind, object: &'a Value, why: &str| Stale {
        kind,
        object,
        why: why.to_owned(),
    };
    let mut all = Vec::new();
    // Routes that this run does not write may still want a rule.
    let own: BTreeSet<Host> = routes
        .iter()
        .filter(|route| {
            let held = |host: &String| plan.held.contains(&(route.namespace.clone(), host.clone()));
            !route.hosts.iter().any(held)
        })
        .map(|route| (route.namespace.clone(), route.name.clone()))
        .chain(plan.pruned.iter().map(|(_, object)| gateway::key(object)))
        .collect();
    let others = live.ours(&cluster::VIRTUAL_SERVICE);
    let others: Vec<&Value> = others
        .filter(|route| !own.contains(&gateway::key(route)))
        .collect();
    let led: BTreeSet<String> = others.iter().flat_map(|route| destinations(route)).collect();
    let mut having: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for route in &others {
        for host in live::hosts(route) {
            having.entry(host).or_default().push(route);
        }
    }
    // With everything goes what denies for Ingresses that are not there any more; with one of its Ingresses what was made
    // of others too, that are gone: a canary has ended, and nothing says that what is left was its.
    let there = &sources.seen.ingresses;
    let left_by = |object: &Value, all: bool| {
        let any = all || read::from(object).iter().any(|key| accepted.contains(key));
        of_batch(object, &|key: &Key| {
            accepted.contains(key) || any && !there.contains_key(key)
        })
    };
    let guards = live.ours(&cluster::AUTHORIZATION_POLICY).filter(|guard| {
        let hosts = guarded(guard);
        let mut routes = hosts.iter().filter_map(|host| having.get(host)).flatten();
        left_by(guard, sources.args.which.all)
            && !planned(cluster::AUTHORIZATION_POLICY, guard)
            && !routes.any(|route| needs::may_need(route, guard))
    });
    all.extend(guards.map(|guard| {
        let why = "no Ingress has this address list for these hosts any more, and it still denies";
        stale(cluster::AUTHORIZATION_POLICY, guard, why)
    }));
    let rules = live.ours(&cluster::DESTINATION_RULE).filter(|rule| {
        let service = rule.pointer("/spec/host").and_then(Value::as_str);
        left_by(rule, false)
            && !planned(cluster::DESTINATION_RULE, rule)
            && service.is_none_or(|service| !led.contains(service))
    });
    all.extend(rules.map(|rule| {
        let why = "no route to its Service needs its settings any more";
        stale(cluster::DESTINATION_RULE, rule, why)
    }));
    let rewritten: BTreeSet<Host> = gateways
        .iter()
        .map(|item| (item.namespace.clone(), item.name.clone()))
        .collect();
    let others = live.all(&cluster::GATEWAY);
    let mut shown: BTreeSet<String> = others
        .filter(|gateway| !rewritten.contains(&gateway::key(gateway)))
        .flat_map(gateway::credentials)
        .collect();
    shown.extend(gateways.iter().flat_map(|item| gateway::credentials(&item.body)));
    let namespaces: BTreeSet<&String> = accepted.iter().map(|(namespace, _)| namespace).collect();
    let copies = live.ours(&cluster::SECRET).filter(|copy| {
        annotation(copy, marks::WRITTEN).is_some()
            && secret::source(copy).is_some_and(|source| namespaces.contains(&source.0))
            && !shown.contains(meta(copy, "name"))
    });
    all.extend(copies.map(|copy| stale(cluster::SECRET, copy, "no Gateway shows this copy any more")));
    all
}

fn names(object: &Value) -> (&str, &str) {
    (meta(object, "namespace"), meta(object, "name"))
}

/// Plans that it goes, or says that it stays. A route stays where a Gateway would go on having its host: a host that is
/// open without a route is worse than one too many.
pub fn settle(
    args: &ApplyArgs,
    live: &Live,
    rewritten: &BTreeSet<Host>,
    stale: Vec<Stale<'_>>,
    plan: &mut Plan,
) {
    if args.secrets_only {
        return;
    }
    for one in stale {
        let Stale { kind, object, why } = one;
        let edited = kind != cluster::SECRET && marks::untouched(object) == Some(false) && !args.overwrite;
        let elsewhere = kind == cluster::VIRTUAL_SERVICE && open_elsewhere(object, live, rewritten);
        let (stays, remedy) = if edited {
            (
                "; somebody edited it since it was written",
                "look at it, then say --prune --overwrite to delete it",
            )
        } else if elsewhere {
            (
                "; a Gateway that is not written here has its host",
                "close the host there: migrate rollback --ingress, then apply again",
            )
        } else {
            (
                "",
                "say --prune to delete it, after a look at the plan (--prune --dry-run)",
            )
        };
        if args.pruning.prune && stays.is_empty() {
            plan.pruned.push((kind, object.clone()));
            continue;
        }
        plan.findings.push(Finding {
            code: "APPLY-STALE",
            // What nginx serves to all is denied at the gateway.
            severity: if kind == cluster::AUTHORIZATION_POLICY {
                Severity::Blocker
            } else {
                Severity::Warning
            },
            object: kind.named(meta(object, "namespace"), meta(object, "name")),
            message: format!("left as it is: {why}{stays}"),
            remedy: remedy.to_owned(),
        });
    }
}

fn open_elsewhere(route: &Value, live: &Live, rewritten: &BTreeSet<Host>) -> bool {
    let namespace = meta(route, "namespace").to_owned();
    let hosts: BTreeSet<Host> = live::hosts(route)
        .into_iter()
        .map(|host| (namespace.clone(), host))
        .collect();
    live.ours(&cluster::GATEWAY)
        .filter(|gateway| !rewritten.contains(&gateway::key(gateway)))
        .any(|gateway| !gateway::open(gateway).is_disjoint(&hosts))
}
