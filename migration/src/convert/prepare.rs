//! Everything about locations that is decided before routes are written: back ends, canaries, what is refused.

use super::Options;
use super::access;
use super::backend::{self, Resolved, Upstream};
use super::book::Book;
use super::canary::Rules;
use super::names;
use super::policy::Policies;
use super::select::result;
use super::servers::{Duplicate, Location, Member, Place, Server, host_of};
use super::shape;
use crate::input::{Inventory, PathType};
use crate::report::{Code, Entry, Outcome};
use std::collections::{BTreeMap, BTreeSet};

/// A canary, by the upstream that it hangs on.
pub(super) struct Hanging {
    /// The Ingress.
    pub member: usize,
    pub rules: Rules,
    pub resolved: Resolved,
}

/// Locations that an older one has taken.
pub(super) fn duplicates(members: &[Member<'_>], all: &[Duplicate], book: &mut Book<'_>) {
    for (member, place, host) in all {
        let Some(ingress) = members.get(*member).map(|member| member.ingress) else {
            continue;
        };
        let path = path_of(ingress, *place);
        let entry = Entry::new(Code::PathDuplicate, place.field(), path.clone());
        book.note(ingress, entry.with(host.clone()));
        let codes = vec![Code::PathDuplicate];
        book.path(
            ingress,
            place.order(),
            result(*place, host, &path, Outcome::Dropped, codes),
        );
    }
}

fn path_of(ingress: &crate::input::Ingress, place: Place) -> String {
    let Place::Rule(r, p) = place else {
        return String::new();
    };
    let rule = ingress.rules.get(r).and_then(|rule| rule.paths.as_ref());
    rule.and_then(|paths| paths.get(p))
        .map(|path| path.path.clone())
        .unwrap_or_default()
}

/// Decides what is refused, oldest Ingress first: where two disagree about a Service the older one is right.
pub(super) fn locations<'a>(
    servers: &mut BTreeMap<String, Server<'a>>,
    members: &[Member<'a>],
    inventory: &Inventory,
    options: &Options,
    policies: &mut Policies,
    book: &mut Book<'_>,
) {
    for server in servers.values_mut() {
        let wrong_host = server.host != "*" && !names::is_host(&server.host);
        let shapes: Vec<_> = server
            .locations
            .iter()
            .map(|l| {
                members
                    .get(l.member)
                    .map(|member| shape::shape(server, l, member))
            })
            .collect();
        let unsaid = !access::sayable(server, members);
        let for_host = for_host(server, members);
        let (host, regex, further) = (server.host.clone(), server.regex, server.alias_of.is_some());
        let unclear: Vec<bool> = server
            .locations
            .iter()
            .map(|l| {
                members
                    .get(l.member)
                    .is_some_and(|m| shape::uris(server, l, m).is_err())
            })
            .collect();
        let first_unclear = unclear.iter().position(|unclear| *unclear).filter(|_| regex);
        for (at, (location, shape)) in server.locations.iter_mut().zip(shapes).enumerate() {
            let Some(member) = members.get(location.member) else {
                continue;
            };
            let (place, path) = (location.place, location.path.clone());
            location.refused.clone_from(&member.refused);
            if place == Place::Root {
                continue;
            }
            let mut note = |code: Code, detail: String| {
                let entry = Entry::new(code, place.field(), path.clone()).with(detail);
                if book.note(member.ingress, entry) {
                    location.refused.push(code);
                }
            };
            if first_unclear.is_some_and(|first| first < at) {
                note(Code::BehindRefused, host.clone());
            }
            if wrong_host {
                note(Code::HostInvalid, host.clone());
            } else if host != "*" && !host.contains('.') {
                note(Code::HostWithoutDot, host.clone());
            }
            if let Some(Err(unfit)) = shape {
                note(unfit.code, unfit.detail);
            }
            if regex && !member.features.use_regex && member.features.rewrite_target.is_none() {
                note(Code::RegexHost, host.clone());
            }
            if !regex && (path.contains('(') || path.contains(".*")) {
                note(Code::PathLiteral, String::new());
            }
            if host.starts_with("*.") && !further {
                note(Code::WildcardDepth, host.clone());
            }
            let own = location.member;
            for (index, code) in for_host.iter().filter(|(index, _)| *index != own) {
                let name = members
                    .get(*index)
                    .map_or("", |other| other.ingress.meta.name.as_str());
                note_at(
                    book,
                    member,
                    location,
                    *code,
                    format!("{name} has it for the whole host"),
                );
            }
            if unsaid && access::guarded(members, location) {
                note_at(book, member, location, Code::AllowlistPaths, host.clone());
            }
        }
    }
    let mut order: Vec<(usize, Place, String, usize)> = Vec::new();
    for server in servers.values() {
        for (index, location) in server.locations.iter().enumerate() {
            order.push((location.member, location.place, server.host.clone(), index));
        }
    }
    order.sort();
    for (index, _, host, at) in order {
        let location = servers
            .get_mut(&host)
            .and_then(|server| server.locations.get_mut(at));
        if let (Some(location), Some(member)) = (location, members.get(index)) {
            serve(location, member, inventory, options, policies, book);
        }
    }
}

/// Controls of a host as a whole that are lost, and whose they are.
fn for_host(server: &Server<'_>, members: &[Member<'_>]) -> Vec<(usize, Code)> {
    let mut all = Vec::new();
    for index in &server.members {
        if let Some(member) = members.get(*index) {
            all.extend(member.for_host.iter().map(|code| (*index, *code)));
        }
    }
    all
}

fn note_at(
    book: &mut Book<'_>,
    member: &Member<'_>,
    location: &mut Location<'_>,
    code: Code,
    detail: String,
) {
    let entry = Entry::new(code, location.place.field(), location.path.clone()).with(detail);
    if book.note(member.ingress, entry) {
        location.refused.push(code);
    }
}

/// Finds a location's back end and joins what others say about it.
fn serve(
    location: &mut Location<'_>,
    member: &Member<'_>,
    inventory: &Inventory,
    options: &Options,
    policies: &mut Policies,
    book: &mut Book<'_>,
) {
    // A redirect of everything never reaches its back end, which often does not exist.
    if member.features.redirect.is_some() && !location.bare {
        return;
    }
    let Some(given) = location.backend else { return };
    match backend::resolve(given, &member.ingress.meta.namespace, inventory, options, book) {
        Err((code, detail)) => note_at(book, member, location, code, detail),
        Ok(resolved) => {
            if let Some(remark) = resolved.remark {
                note_at(book, member, location, remark, resolved.destination.host.clone());
            }
            if location.refused.is_empty()
                && let Some(conflict) = policies.join(&resolved, &member.features)
            {
                note_at(
                    book,
                    member,
                    location,
                    conflict,
                    resolved.destination.host.clone(),
                );
            }
            location.resolved = Some(resolved);
        }
    }
}

/// Hangs canaries on upstreams, oldest first, and gives their paths results.
pub(super) fn canaries(
    servers: &BTreeMap<String, Server<'_>>,
    members: &[Member<'_>],
    inventory: &Inventory,
    options: &Options,
    policies: &mut Policies,
    book: &mut Book<'_>,
) -> BTreeMap<Upstream, Hanging> {
    let mut hanging: BTreeMap<Upstream, Hanging> = BTreeMap::new();
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
                let Some(primary) = primary(servers, &host, &path.path, path.path_type) else {
                    end(Outcome::Dropped, Code::CanaryUnmatched, String::new(), book);
                    continue;
                };
                let owner = members.get(primary.member);
                let (Some(base), Some(owner), true) = (&primary.resolved, owner, primary.refused.is_empty())
                else {
                    let code = primary.refused.first().copied().unwrap_or(Code::CanaryUnmatched);
                    end(
                        Outcome::Refused,
                        code,
                        "the path that it splits is refused".to_owned(),
                        book,
                    );
                    continue;
                };
                let namespace = &member.ingress.meta.namespace;
                match backend::resolve(&path.backend, namespace, inventory, options, book) {
                    Err((code, detail)) => end(Outcome::Refused, code, detail, book),
                    Ok(own) if own.upstream == base.upstream => {
                        end(
                            Outcome::Dropped,
                            Code::CanaryUnmatched,
                            "both have the same back end".to_owned(),
                            book,
                        );
                    }
                    Ok(own) => {
                        let taken = hanging.get(&base.upstream);
                        if taken.is_some_and(|other| other.member != index || other.resolved != own) {
                            end(Outcome::Dropped, Code::CanarySecond, String::new(), book);
                            continue;
                        }
                        if let Some(conflict) = policies.join(&own, &owner.features)
                            && conflict.explanation().outcome == Outcome::Refused
                        {
                            end(Outcome::Refused, conflict, String::new(), book);
                            continue;
                        }
                        let mut told = result(place, &host, &path.path, Outcome::Converted, Vec::new());
                        told.virtual_service = servers
                            .get(&host)
                            .map(|server| super::virtual_service_key(server, members));
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
