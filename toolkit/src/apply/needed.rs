//! What routes need: rules for the Services that they lead to, policies for their hosts. Neither is written over the head
//! of a route that this run does not write.

use super::gateway::{self, Host};
use super::inputs::Inputs;
use super::item::Item;
use super::keep;
use super::needs;
use super::owned::{self, Leading};
use super::plan::{Plan, Sources};
use super::read::{destinations, from, guarded, of_kind, ports};
use super::select::shown;
use crate::cluster;
use crate::finding::{Finding, Severity};
use crate::foreign::{self, Foreign};
use crate::marks;
use gradual_rollout_migration::convert::Conversion;
use gradual_rollout_migration::input::Key;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a run may change.
struct Own<'a> {
    /// The Ingresses that it speaks for.
    spoken: &'a BTreeSet<Key>,
    /// Routes that it neither writes nor deletes.
    leading: Leading<'a>,
    /// The rules that are there, by Service.
    rules: BTreeMap<&'a str, &'a Value>,
}

/// A rule as it is written, and of which Ingresses beside those of the run.
type Ruled = (Value, BTreeSet<String>);

/// Plans them. Hosts that would need another than others may have are bad.
pub fn plan(
    sources: &Sources<'_>,
    conversion: &Conversion,
    routes: &[Item],
    spoken: &BTreeSet<Key>,
    plan: &mut Plan,
) {
    let held = |item: &&Item| {
        item.hosts
            .iter()
            .any(|host| plan.held.contains(&(item.namespace.clone(), host.clone())))
    };
    let taken = |item: &&Item| !item.hosts.is_disjoint(&plan.taken);
    let own: Vec<&Item> = routes.iter().filter(|item| !taken(item)).collect();
    let written: BTreeSet<Host> = own
        .iter()
        .filter(|item| !held(item))
        .map(|item| (item.namespace.clone(), item.name.clone()))
        .chain(plan.pruned.iter().map(|(_, route)| gateway::key(route)))
        .collect();
    let rules = sources.live.ours(&cluster::DESTINATION_RULE);
    let mine = Own {
        spoken,
        leading: Leading::new(sources.live, &written),
        rules: rules
            .filter_map(|rule| Some((rule.pointer("/spec/host")?.as_str()?, rule)))
            .collect(),
    };
    let foreign = Foreign::new(sources.live);
    let made_of = needs::sources(routes);
    let mut leading: BTreeMap<String, Vec<&Item>> = BTreeMap::new();
    for item in &own {
        for service in destinations(&item.body) {
            leading.entry(service).or_default().push(item);
        }
    }
    let wanted: BTreeMap<&str, &Value> = of_kind(conversion, "DestinationRule")
        .filter_map(|rule| Some((rule.pointer("/spec/host")?.as_str()?, rule)))
        .collect();
    let mut rules = Vec::new();
    for (service, items) in leading {
        let hosts: BTreeSet<String> = items.iter().flat_map(|item| item.hosts.clone()).collect();
        // What is kept is not led anywhere by this run.
        let own: BTreeSet<Option<u64>> = items
            .iter()
            .filter(|item| !held(item))
            .flat_map(|item| ports(&item.body))
            .filter(|(host, _)| *host == service)
            .map(|(_, port)| Some(port))
            .collect();
        match rule(
            sources,
            &service,
            wanted.get(service.as_str()).copied(),
            &own,
            &mine,
        ) {
            Ok(None) => {}
            Ok(Some((body, owners))) => {
                let others = foreign.rules(&service, &sources.options.gateway_namespace);
                if !others.is_empty() {
                    plan.findings.push(rule_taken(&service, &hosts, &others));
                    plan.bad.extend(shut(&hosts, plan));
                }
                let body = needs::made_of(&body, &hosts, &made_of, owners);
                rules.push(sources.item(cluster::DESTINATION_RULE, &body, hosts));
            }
            Err(others) => {
                plan.findings.push(owned::shared(&service, &hosts, &others));
                plan.bad.extend(hosts);
            }
        }
    }
    plan.items.extend(rules);
    policies(sources, conversion, &own, &made_of, plan);
    denied(sources, &own, &foreign, plan);
}

/// Those of some hosts that are not open: what is served is written as it should be all the same.
fn shut(hosts: &BTreeSet<String>, plan: &Plan) -> Vec<String> {
    let open = |host: &&String| plan.open.iter().any(|(_, open)| open == *host);
    hosts.iter().filter(|host| !open(host)).cloned().collect()
}

fn rule_taken(service: &str, hosts: &BTreeSet<String>, others: &[&Value]) -> Finding {
    let hosts: Vec<String> = hosts.iter().cloned().collect();
    Finding {
        code: "APPLY-RULE-TAKEN",
        severity: Severity::Blocker,
        object: foreign::named(&cluster::DESTINATION_RULE, others),
        message: format!(
            "somebody else wrote it for {service}, which {} needs a rule for: Istio may go by it alone, without protocol, balancing and timeout of ours",
            shown(&hosts)
        ),
        remedy: "take what it says into the Ingress, and delete it or have it exported to its own namespace alone (exportTo: [\".\"]); or give the Ingress a Service of its own".to_owned(),
    }
}

/// Tells policies of others because of which nobody gets to a host at the gateway.
fn denied(sources: &Sources<'_>, own: &[&Item], foreign: &Foreign<'_>, plan: &mut Plan) {
    let pods = sources.options.gateway_selector.iter();
    let pods = pods
        .map(|(label, value)| (label.clone(), Value::from(value.clone())))
        .collect();
    let mut by_policy: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for host in own.iter().flat_map(|item| &item.hosts) {
        let denying = foreign.denying(host, &sources.options.gateway_namespace, &pods);
        if !denying.is_empty() {
            let named = foreign::named(&cluster::AUTHORIZATION_POLICY, &denying);
            by_policy.entry(named).or_default().insert(host.clone());
        }
    }
    for (object, hosts) in by_policy {
        let names: Vec<String> = hosts.iter().cloned().collect();
        plan.findings.push(Finding {
            code: "APPLY-DENIED",
            severity: Severity::Blocker,
            object,
            message: format!(
                "somebody else wrote it, and it lets nobody in at the gateway for {}",
                shown(&names)
            ),
            remedy: "have it let the hosts in, or select other pods than the gateway's; then ask again"
                .to_owned(),
        });
        plan.bad.extend(shut(&hosts, plan));
    }
}

/// The rule for a Service as it is written, and of which Ingresses else; or the routes in whose way it would be.
fn rule<'a>(
    sources: &Sources<'a>,
    service: &str,
    wanted: Option<&Value>,
    own: &BTreeSet<Option<u64>>,
    mine: &Own<'a>,
) -> Result<Option<Ruled>, Vec<&'a Value>> {
    let live = sources.live;
    let there = match wanted {
        Some(wanted) => {
            let (namespace, name) = gateway::key(wanted);
            live.get(&cluster::DESTINATION_RULE, &namespace, &name)
        }
        None => mine.rules.get(service).copied(),
    };
    let mut resting = mine.leading.to(service);
    let led = |routes: &[(&Value, BTreeSet<Option<u64>>)]| -> BTreeSet<Option<u64>> {
        routes.iter().flat_map(|(_, ports)| ports.clone()).collect()
    };
    let next = wanted.map(|wanted| keep::settings(wanted.clone(), there, &led(&resting)));
    // What its own Ingresses do not need any more is in nobody's way.
    resting.retain(|(route, _)| {
        let from = from(route);
        !marks::ours(route) || from.is_empty() || !from.is_subset(mine.spoken)
    });
    let theirs = led(&resting);
    let after = next.as_ref().or(there);
    let both: BTreeSet<Option<u64>> = if theirs.contains(&None) {
        own.clone()
    } else {
        own.intersection(&theirs).copied().collect()
    };
    let in_the_way = owned::settings(there, &theirs) != owned::settings(after, &theirs)
        || owned::settings(wanted, &both) != owned::settings(after, &both);
    if !resting.is_empty() && in_the_way {
        return Err(resting.into_iter().map(|(route, _)| route).collect());
    }
    let owners = resting.iter().filter(|(route, _)| marks::ours(route));
    let owners = owners
        .flat_map(|(route, _)| from(route))
        .map(|(namespace, name)| format!("{namespace}/{name}"));
    let owners = owners.collect();
    Ok(next.map(|next| (next, owners)))
}

/// Policies for the hosts of routes that this run may write.
fn policies(
    sources: &Sources<'_>,
    conversion: &Conversion,
    own: &[&Item],
    made_of: &needs::Objects,
    plan: &mut Plan,
) {
    let held: BTreeSet<&String> = plan.held.iter().map(|(_, host)| host).collect();
    let routed = own.iter().flat_map(|item| &item.hosts);
    let routed: BTreeSet<&String> = routed.filter(|host| !held.contains(host)).collect();
    let mut policies = Vec::new();
    let inputs = Inputs::new(sources);
    for body in of_kind(conversion, "AuthorizationPolicy") {
        let all = guarded(body);
        let hosts: BTreeSet<String> = all.iter().filter(|host| routed.contains(host)).cloned().collect();
        if hosts.is_empty() {
            continue;
        }
        if !all.is_disjoint(&plan.taken) {
            // It would deny what somebody else serves, so what needs it stays away.
            plan.bad.extend(hosts);
            continue;
        }
        let mut body = needs::made_of(body, &hosts, made_of, BTreeSet::new());
        inputs.of(&mut body);
        policies.push(sources.item(cluster::AUTHORIZATION_POLICY, &body, hosts));
    }
    plan.items.extend(policies);
}
