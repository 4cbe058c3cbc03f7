//! Canaries: which upstreams they hang on, and what becomes of their paths.

use super::Options;
use super::backend::{self, Resolved, Upstream};
use super::book::Book;
use super::canary::Rules;
use super::gateway_api::unsaid;
use super::policy::Policies;
use super::select::result;
use super::servers::{Location, Member, Place, Server, host_of};
use super::spoilt::Spoilt;
use super::tls;
use crate::input::{Backend, Inventory, PathType};
use crate::report::{Code, Entry, Outcome, PathResult};
use std::collections::{BTreeMap, BTreeSet};

/// A canary, by the upstream that it hangs on.
pub(super) struct Hanging {
    /// The Ingress.
    pub member: usize,
    pub rules: Rules,
    pub resolved: Resolved,
}

/// Hangs canaries on upstreams, oldest first, and gives their paths results.
pub(super) fn canaries(
    servers: &BTreeMap<String, Server<'_>>,
    members: &[Member<'_>],
    inventory: &Inventory,
    options: &Options,
    policies: &mut Policies,
    spoilt: &Spoilt,
    book: &mut Book<'_>,
) -> BTreeMap<Upstream, Hanging> {
    let mut hanging: BTreeMap<Upstream, Hanging> = BTreeMap::new();
    let primaries = primaries(servers, members);
    for (index, member) in members.iter().enumerate() {
        let Some(rules) = &member.features.canary else {
            continue;
        };
        for (r, rule) in member.ingress.rules.iter().enumerate() {
            let host = host_of(rule.host.as_deref());
            for (p, path) in rule.paths.iter().flatten().enumerate() {
                let place = Place::Rule(r, p);
                let end = |outcome: Outcome, code: Code, detail: String, book: &mut Book<'_>| {
                    book.note(
                        member.ingress,
                        Entry::new(code, place.field(), path.path.clone()).with(detail),
                    );
                    let told = result(place, &host, &path.path, outcome, vec![code]);
                    book.path(member.ingress, place.order(), told);
                };
                if let Some(code) = member.refused.first() {
                    end(Outcome::Refused, *code, String::new(), book);
                    continue;
                }
                let Some(primary) = primary(servers, &host, &path.path, path.path_type) else {
                    end(Outcome::Dropped, Code::CanaryUnmatched, String::new(), book);
                    continue;
                };
                let owner = members.get(primary.member);
                let redirects = owner.is_some_and(|owner| owner.features.redirect.is_some() && !primary.bare);
                if redirects && primary.refused.is_empty() {
                    let detail = "the path redirects, so there is nothing to split".to_owned();
                    end(Outcome::Dropped, Code::CanaryUnmatched, detail, book);
                    continue;
                }
                let (Some(base), Some(owner), true) = (&primary.resolved, owner, primary.refused.is_empty())
                else {
                    let code = primary.refused.first().copied().unwrap_or(Code::CanaryUnmatched);
                    let detail = "the path that it splits is refused".to_owned();
                    end(Outcome::Refused, code, detail, book);
                    continue;
                };
                let key = member.ingress.meta.key();
                match backend::resolve(&path.backend, &key, inventory, options, book) {
                    Err((code, detail)) => end(Outcome::Refused, code, detail, book),
                    Ok(own) if own.upstream == base.upstream => {
                        end(
                            Outcome::Dropped,
                            Code::CanaryUnmatched,
                            "both have the same back end".to_owned(),
                            book,
                        );
                    }
                    Ok(own) if primaries.contains(&own.upstream) => {
                        end(Outcome::Dropped, Code::CanaryPrimary, own.destination.host, book);
                    }
                    Ok(own) => {
                        if let Some(broken) = spoilt.services.get(&own.service) {
                            end(Outcome::Refused, Code::RuleBroken, broken.clone(), book);
                            continue;
                        }
                        let taken = hanging.get(&base.upstream);
                        if taken.is_some_and(|other| other.member != index || other.resolved != own) {
                            end(Outcome::Dropped, Code::CanarySecond, String::new(), book);
                            continue;
                        }
                        if let Some(conflict) = policies.join(
                            &own,
                            &owner.features,
                            servers
                                .get(&host)
                                .is_some_and(|server| tls::passes(server, members)),
                        ) && conflict.explanation().outcome == Outcome::Refused
                        {
                            end(Outcome::Refused, conflict, String::new(), book);
                            continue;
                        }
                        differences(member, owner, (place, &path.path), &own, options, book);
                        let mut told = split(member, owner, rules, (place, &host, &path.path), book);
                        told.virtual_service = servers
                            .get(&host)
                            .map(|server| super::virtual_service_key(server, members, options));
                        book.path(member.ingress, place.order(), told);
                        hanging.insert(
                            base.upstream.clone(),
                            Hanging {
                                member: index,
                                rules: rules.clone(),
                                resolved: own,
                            },
                        );
                    }
                }
            }
        }
    }
    spread(servers, members, &hanging, book);
    hanging
}

/// Tells in what a canary that hangs is another one than nginx's.
fn differences(
    member: &Member<'_>,
    owner: &Member<'_>,
    (place, path): (Place, &str),
    own: &Resolved,
    options: &Options,
    book: &mut Book<'_>,
) {
    let entry = |code: Code| Entry::new(code, place.field(), path);
    if own.spoken_to_otherwise(&owner.features) {
        let entry = entry(Code::BackendHttp2);
        book.note(member.ingress, entry.with(own.destination.host.clone()));
    }
    let rules = member.features.canary.as_ref();
    if rules.is_some_and(|rules| unsaid::of_canary(options, rules)) {
        book.note(member.ingress, entry(Code::GatewayCanary));
    }
}

/// What becomes of a path that is split. Of an owner whose sessions stay with their endpoint nginx keeps them on their arm.
fn split(
    member: &Member<'_>,
    owner: &Member<'_>,
    rules: &Rules,
    (place, host, path): (Place, &str, &str),
    book: &mut Book<'_>,
) -> PathResult {
    if !(owner.features.sticky && rules.sends()) {
        return result(place, host, path, Outcome::Converted, Vec::new());
    }
    let code = Code::AffinityCanary;
    let detail = format!("the sessions are those of {}", owner.ingress.meta.name);
    book.note(member.ingress, Entry::new(code, place.field(), path).with(detail));
    result(place, host, path, Outcome::Approximated, vec![code])
}

/// What any location has as its back end, refused ones among them: its protection is not the canary's.
fn primaries(servers: &BTreeMap<String, Server<'_>>, members: &[Member<'_>]) -> BTreeSet<Upstream> {
    let of = |location: &Location<'_>| {
        let namespace = members.get(location.member)?.ingress.meta.namespace.clone();
        match location.backend? {
            Backend::Service { name, port } => Some((namespace, name.clone(), port.clone())),
            Backend::Resource { .. } | Backend::None => None,
        }
    };
    servers
        .values()
        .flat_map(|server| &server.locations)
        .filter_map(of)
        .collect()
}

fn primary<'b, 'a>(
    servers: &'b BTreeMap<String, Server<'a>>,
    host: &str,
    path: &str,
    path_type: PathType,
) -> Option<&'b Location<'a>> {
    // nginx compares the text: an empty path is not the root's slash.
    let mut locations = servers.get(host)?.locations.iter();
    locations.find(|l| matches!(l.place, Place::Rule(..)) && l.path == path && l.path_type == path_type)
}

/// Tells canaries that split more than their own paths.
fn spread(
    servers: &BTreeMap<String, Server<'_>>,
    members: &[Member<'_>],
    hanging: &BTreeMap<Upstream, Hanging>,
    book: &mut Book<'_>,
) {
    let mut used: BTreeMap<&Upstream, BTreeSet<(String, String)>> = BTreeMap::new();
    for server in servers.values().filter(|server| server.alias_of.is_none()) {
        for location in &server.locations {
            if let Some(resolved) = &location.resolved {
                let at = (server.host.clone(), location.path.clone());
                used.entry(&resolved.upstream).or_default().insert(at);
            }
        }
    }
    for (upstream, canary) in hanging {
        let Some(ingress) = members.get(canary.member).map(|member| member.ingress) else {
            continue;
        };
        let own: BTreeSet<(String, String)> = super::select::places(ingress)
            .into_iter()
            .map(|(_, host, path)| (host, path))
            .collect();
        let others: Vec<String> = used
            .get(upstream)
            .into_iter()
            .flatten()
            .filter(|at| !own.contains(*at))
            .map(|(host, path)| format!("{host}{path}"))
            .collect();
        if !others.is_empty() {
            let entry = Entry::new(Code::CanarySpread, "spec.rules", upstream.1.clone());
            book.note(ingress, entry.with(others.join(", ")));
        }
    }
}
