//! Everything about locations that is decided before routes are written: back ends, and what is refused.

use super::Options;
use super::access;
use super::backend;
use super::book::Book;
use super::names;
use super::policy::Policies;
use super::select::result;
use super::servers::{Duplicate, Location, Member, Place, Server};
use super::shape;
use super::spoilt::Spoilt;
use super::tls;
use crate::input::Inventory;
use crate::report::{Code, Entry, Outcome};
use std::collections::BTreeMap;

/// Locations that an older one has taken.
pub(super) fn duplicates(members: &[Member<'_>], all: &[Duplicate], book: &mut Book<'_>) {
    for (member, place, host, certain) in all {
        let Some(ingress) = members.get(*member).map(|member| member.ingress) else {
            continue;
        };
        let path = path_of(ingress, *place);
        let code = if *certain {
            Code::PathDuplicate
        } else {
            Code::PathAge
        };
        let entry = Entry::new(code, place.field(), path.clone());
        let refused = book.note(ingress, entry.with(host.clone()));
        let outcome = if refused {
            Outcome::Refused
        } else {
            Outcome::Dropped
        };
        let told = result(*place, host, &path, outcome, vec![code]);
        book.path(ingress, place.order(), told);
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
    spoilt: &Spoilt,
    book: &mut Book<'_>,
) {
    for server in servers.values_mut() {
        let through = tls::passes(server, members);
        younger(server, members, through, book);
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
            if location.contested {
                note(Code::PathAge, host.clone());
            }
            if let Some(broken) = spoilt.hosts.get(&host) {
                note(Code::RuleBroken, broken.clone());
            }
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
            of_host(&for_host, members, member, location, book);
            if access::guarded(members, location) {
                if through {
                    let detail = "TLS is passed through, so the address list does nothing".to_owned();
                    note_at(book, member, location, Code::InertAnnotation, detail);
                } else if unsaid {
                    note_at(book, member, location, Code::AllowlistPaths, host.clone());
                }
            }
        }
    }
    lists_beside_passthrough(servers, members, book);
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
            let service = location.resolved.as_ref().map(|resolved| &resolved.service);
            if let Some(broken) = service.and_then(|service| spoilt.services.get(service)) {
                note_at(book, member, location, Code::RuleBroken, broken.clone());
            }
        }
    }
}

/// Tells younger Ingresses that ask for passthrough where the oldest, which decides, does not.
fn younger(server: &Server<'_>, members: &[Member<'_>], through: bool, book: &mut Book<'_>) {
    let asking = server
        .members
        .iter()
        .skip(1)
        .filter_map(|index| members.get(*index));
    for member in asking.filter(|member| member.features.passthrough && !through) {
        let entry = Entry::new(Code::PassthroughYounger, "spec.rules", server.host.clone());
        book.note(member.ingress, entry);
    }
}

/// A policy that denies by host denies every connection that shows none.
fn lists_beside_passthrough(
    servers: &mut BTreeMap<String, Server<'_>>,
    members: &[Member<'_>],
    book: &mut Book<'_>,
) {
    let listed = servers.values().any(|server| {
        let in_force = |l: &Location<'_>| access::guarded(members, l) && l.refused.is_empty();
        !tls::passes(server, members) && server.locations.iter().any(in_force)
    });
    for server in servers
        .values_mut()
        .filter(|server| listed && tls::passes(server, members))
    {
        for location in server.locations.iter_mut().filter(|l| l.place != Place::Root) {
            if let Some(member) = members.get(location.member) {
                note_at(
                    book,
                    member,
                    location,
                    Code::PassthroughAllowlist,
                    server.host.clone(),
                );
            }
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

/// Refuses a location for the controls that others have for its whole host.
fn of_host(
    for_host: &[(usize, Code)],
    members: &[Member<'_>],
    member: &Member<'_>,
    location: &mut Location<'_>,
    book: &mut Book<'_>,
) {
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
