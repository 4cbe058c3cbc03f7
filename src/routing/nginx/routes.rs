//! Whether Istio's split listener knows what to do with a host and a path: what the canary would get as 404 has no
//! route there.

use super::listener::Listener;
use super::locations::names;
use super::rules::{Act, Asked, Rule, Takes, conditions, listens};
use crate::rollout::router_spec::SplitGateway;
use crate::routing::ObjectKind;
use crate::routing::seen::text;
use crate::routing::stock::Stock;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
mod tests;

/// What the listener does with every request of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is sent on.
    Routed,
    /// There is no route that takes all of it; why, as half a sentence, where a VirtualService has the host.
    Missing(Option<String>),
    /// Some requests are answered by the listener itself: which VirtualService does what.
    Answered(String),
    /// It is redirected, or some requests are, which nginx passes on to the client, who comes back: by which
    /// VirtualService.
    Redirected(String),
}

impl Way {
    /// How bad it is; a location is as bad as its worst part.
    fn rank(&self) -> u8 {
        match self {
            Self::Routed => 0,
            Self::Missing(_) => 1,
            Self::Answered(_) => 2,
            Self::Redirected(_) => 3,
        }
    }
}

/// The VirtualServices that the split listener serves, by the hosts that they name.
pub(super) struct Bound<'s> {
    gateway: &'s SplitGateway,
    stock: &'s Stock,
    /// Namespaces that were looked through.
    namespaces: BTreeSet<&'s str>,
    /// The listener's virtual hosts. Of several VirtualServices with one host the oldest comes first.
    by_host: BTreeMap<&'s str, Vec<&'s Value>>,
    /// Bound, but not taken by the listener; why, as half a sentence.
    hidden: BTreeMap<&'s str, String>,
    /// What Gateways say of it.
    pub(super) listener: Listener<'s>,
}

impl<'s> Bound<'s> {
    pub(super) fn new(stock: &'s Stock, namespaces: &'s [String], gateway: &'s SplitGateway) -> Self {
        let mut bound = Self {
            gateway,
            stock,
            namespaces: namespaces.iter().map(String::as_str).collect(),
            by_host: BTreeMap::new(),
            hidden: BTreeMap::new(),
            listener: Listener::of(gateway, stock),
        };
        let all = namespaces
            .iter()
            .flat_map(|namespace| stock.list(ObjectKind::VirtualService, namespace));
        for json in all {
            let home = text(json, "/metadata/namespace").unwrap_or_default();
            let gateways = json.pointer("/spec/gateways");
            if !gateways.is_some_and(|gateways| listens(gateways, home, gateway)) {
                continue;
            }
            let exported = is_exported(json, &gateway.namespace);
            let mut domains = BTreeSet::new();
            for host in hosts(json) {
                let taken = bound.listener.takes(host, home);
                let why = if !exported {
                    format!("is not exported to {} (exportTo)", gateway.namespace)
                } else if taken.is_empty() {
                    let name = gateway.name.as_deref().unwrap_or_default();
                    format!(
                        "no server of gateway {name} on port {} has it (hosts)",
                        gateway.port
                    )
                } else {
                    domains.extend(taken);
                    continue;
                };
                let told = format!("{} has it and {why}", virtual_service(json));
                bound.hidden.insert(host, told);
            }
            for domain in domains {
                bound.by_host.entry(domain).or_default().push(json);
            }
        }
        for together in bound.by_host.values_mut() {
            let born = |json: &Value| {
                text(json, "/metadata/creationTimestamp")
                    .unwrap_or_default()
                    .to_owned()
            };
            together.sort_by_key(|json| {
                let (namespace, name) = names(json);
                (born(json), name.to_owned(), namespace.to_owned())
            });
        }
        bound
    }

    /// What the listener does with a location. `host` is what nginx sends on: the client's own, or `upstream-vhost`;
    /// empty for every name that no Ingress has. `is_elsewhere` says which names nginx serves by another rule.
    pub(super) fn way(
        &self,
        host: &str,
        path: &str,
        prefix: bool,
        is_elsewhere: impl Fn(&str) -> bool,
    ) -> Way {
        let Some(domain) = self.domain(host) else {
            return Way::Missing(self.hidden_for(host));
        };
        let mut worst = self.way_in(domain, host, path, prefix);
        for inner in self
            .inside(host)
            .filter(|inner| *inner != domain && !is_elsewhere(inner))
        {
            let way = self.way_in(inner, inner, path, prefix);
            if way.rank() > worst.rank() {
                worst = way;
            }
        }
        worst
    }

    /// The routes that may get requests of a location and leave it to the gateway to say by which scheme the client
    /// came: the VirtualService that each stands in, and the route.
    pub(super) fn unsaid(
        &self,
        host: &str,
        path: &str,
        prefix: bool,
        is_elsewhere: impl Fn(&str) -> bool,
    ) -> Vec<(&'s Value, &'s Value)> {
        let domain = self.domain(host);
        let inside = self.inside(host).filter(|inner| !is_elsewhere(inner));
        let domains: BTreeSet<&str> = domain.into_iter().chain(inside).collect();
        let mut found = Vec::new();
        for domain in domains {
            let rules = self.rules(domain).0;
            for (path, below) in halves(path, prefix) {
                let asked = Asked {
                    gateway: self.gateway,
                    host,
                    path: &path,
                    below,
                };
                for rule in &rules {
                    let takes = rule.takes(&asked);
                    if takes != Takes::Nothing && rule.act() == Act::Sends && !rule.says_https() {
                        found.push((rule.by, rule.route));
                    }
                    // What stands after one that takes everything gets none.
                    if takes == Takes::All {
                        break;
                    }
                }
            }
        }
        found
    }

    /// The virtual host that Envoy takes: the name in full, else the longest pattern. No other is asked, whatever the
    /// one that is taken lacks.
    fn domain(&self, host: &str) -> Option<&'s str> {
        let known = |name: &str| self.by_host.get_key_value(name).map(|(host, _)| *host);
        if let Some(exact) = known(host).filter(|_| !host.is_empty()) {
            return Some(exact);
        }
        // Of a pattern the fixed part alone is known. A `*` stands for at least one letter.
        let (fixed, from) = match host.strip_prefix('*') {
            Some(fixed) => (fixed, 0),
            None => (host, 1),
        };
        fixed
            .char_indices()
            .map(|(at, _)| at)
            .filter(|at| *at >= from)
            .find_map(|at| known(&format!("*{}", fixed.get(at..).unwrap_or_default())))
            .or_else(|| known("*"))
    }

    /// The listener's hosts that take a part of what a pattern, or no host, stands for.
    fn inside(&self, host: &str) -> impl Iterator<Item = &'s str> {
        let suffix = match host {
            "" => Some(""),
            pattern => pattern.strip_prefix('*'),
        };
        let listed = suffix.map(|suffix| {
            let suffix = suffix.to_owned();
            self.by_host.keys().copied().filter(move |name| {
                // A pattern of nginx stands for one label.
                let label = |rest: &str| {
                    suffix.is_empty() || (!rest.is_empty() && rest != "*" && !rest.contains('.'))
                };
                name.strip_suffix(suffix.as_str()).is_some_and(label) && *name != "*"
            })
        });
        listed.into_iter().flatten()
    }

    fn hidden_for(&self, host: &str) -> Option<String> {
        self.hidden.get(host).cloned()
    }

    /// What one virtual host does with a path.
    fn way_in(&self, domain: &str, host: &str, path: &str, prefix: bool) -> Way {
        let (rules, lost) = self.rules(domain);
        let mut worst = Way::Routed;
        for (path, below) in halves(path, prefix) {
            let asked = Asked {
                gateway: self.gateway,
                host,
                path: &path,
                below,
            };
            let way = first(&rules, &asked).unwrap_or_else(|| {
                let having = self.by_host.get(domain).into_iter().flatten();
                let having: Vec<String> = having.map(|json| virtual_service(json)).collect();
                let lost = lost.first().map(|l| format!("; {l}")).unwrap_or_default();
                let asked_alone = "is what Envoy takes for the host, and no more general one is asked";
                Way::Missing(Some(format!("{} {asked_alone}{lost}", having.join(", "))))
            });
            if way.rank() > worst.rank() {
                worst = way;
            }
        }
        worst
    }

    /// A virtual host's rules in the listener's order, and what delegates to nobody.
    fn rules(&self, domain: &str) -> (Vec<Rule<'s>>, Vec<String>) {
        let (mut rules, mut lost) = (Vec::new(), Vec::new());
        for &json in self.by_host.get(domain).into_iter().flatten() {
            let (own, mut nowhere) = self.rules_of(json);
            // What stands after one that takes everything is never asked.
            let last = own.iter().position(|rule| rule.is_catch_all(self.gateway));
            rules.extend(own.into_iter().take(last.map_or(usize::MAX, |at| at + 1)));
            lost.append(&mut nowhere);
        }
        // One that takes everything stands behind those of all VirtualServices with the host.
        rules.sort_by_key(|rule| rule.is_catch_all(self.gateway));
        (rules, lost)
    }

    /// The rules of one VirtualService as they stand.
    fn rules_of(&self, json: &'s Value) -> (Vec<Rule<'s>>, Vec<String>) {
        let (mut rules, mut lost) = (Vec::new(), Vec::new());
        let home = text(json, "/metadata/namespace").unwrap_or_default();
        for route in routes(json) {
            let Some(delegate) = route.get("delegate").filter(|d| d.is_object()) else {
                rules.extend(conditions(route).into_iter().map(|condition| Rule {
                    route,
                    condition,
                    root: None,
                    through: None,
                    home,
                    by: json,
                }));
                continue;
            };
            let to = match self.delegate(delegate, home) {
                Ok(to) => to,
                Err(why) => {
                    lost.push(format!("{} delegates to {why}", virtual_service(json)));
                    continue;
                }
            };
            for own in routes(to) {
                for root in conditions(route) {
                    rules.extend(conditions(own).into_iter().map(|condition| Rule {
                        route: own,
                        condition,
                        root,
                        through: Some(route),
                        home,
                        by: to,
                    }));
                }
            }
        }
        (rules, lost)
    }

    /// The VirtualService without hosts that a root delegates to. One that is not there takes nothing: Istio leaves
    /// the rule out.
    fn delegate(&self, delegate: &Value, home: &str) -> Result<&'s Value, String> {
        let namespace = text(delegate, "/namespace").unwrap_or(home);
        let name = text(delegate, "/name").unwrap_or_default();
        let told = format!("virtualservice {namespace}/{name}");
        if !self.namespaces.contains(namespace) {
            return Err(format!(
                "{told}, whose namespace is not looked through: add it to ingresses.namespaces"
            ));
        }
        let found = self.stock.find(ObjectKind::VirtualService, namespace, name);
        let Some(json) = found else {
            return Err(format!("{told}, which does not exist"));
        };
        if hosts(json).next().is_some() {
            return Err(format!("{told}, which has hosts and is therefore no delegate"));
        }
        if !is_exported(json, home) {
            return Err(format!("{told}, which is not exported to {home} (exportTo)"));
        }
        Ok(json)
    }
}

/// A prefix `/a` is the path itself and everything below it; two matches may share that.
fn halves(path: &str, prefix: bool) -> Vec<(String, bool)> {
    if prefix && path != "/" && !path.ends_with('/') {
        vec![(path.to_owned(), false), (format!("{path}/"), true)]
    } else {
        vec![(path.to_owned(), prefix)]
    }
}

/// What the rules do with what is asked; `None` when none takes all of it. What a rule takes only some of must be sent
/// on as well: nobody can tell whether nginx's requests are among them.
fn first(rules: &[Rule<'_>], asked: &Asked<'_>) -> Option<Way> {
    for rule in rules {
        let takes = rule.takes(asked);
        let by = || virtual_service(rule.by);
        match (takes, rule.act()) {
            (Takes::Nothing, _) | (Takes::Some, Act::Sends) => {}
            (Takes::All, Act::Sends) => return Some(Way::Routed),
            (Takes::Some | Takes::All, Act::Redirects) => return Some(Way::Redirected(by())),
            (Takes::All, Act::Answers(how)) => return Some(Way::Missing(Some(format!("{} {how}", by())))),
            (Takes::Some, Act::Answers(how)) => return Some(Way::Answered(format!("{} {how}", by()))),
        }
    }
    None
}

pub(super) fn virtual_service(json: &Value) -> String {
    let (namespace, name) = names(json);
    format!("virtualservice {namespace}/{name}")
}

fn hosts(virtual_service: &Value) -> impl Iterator<Item = &str> {
    let listed = virtual_service.pointer("/spec/hosts").and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(Value::as_str)
}

pub(super) fn routes(virtual_service: &Value) -> impl Iterator<Item = &Value> {
    let listed = virtual_service.pointer("/spec/http").and_then(Value::as_array);
    listed.into_iter().flatten()
}

/// Whether proxies of a namespace get to see it. Where nothing is said the mesh's own default counts, which is
/// everybody unless somebody changed it.
fn is_exported(virtual_service: &Value, to: &str) -> bool {
    let home = text(virtual_service, "/metadata/namespace").unwrap_or_default();
    let listed = virtual_service
        .pointer("/spec/exportTo")
        .and_then(Value::as_array);
    let Some(listed) = listed.filter(|all| !all.is_empty()) else {
        return true;
    };
    let mut names = listed.iter().filter_map(Value::as_str);
    names.any(|name| name == "*" || name == to || (name == "." && home == to))
}
