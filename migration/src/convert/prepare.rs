//! Everything about locations that is decided before routes are written: back ends, and what is refused.

use super::access;
use super::backend;
use super::book::Book;
use super::gateway_api::unsaid;
use super::names;
use super::options::{Options, Target};
use super::pattern::Unfit;
use super::policy::Policies;
use super::select::result;
use super::servers::{Duplicate, Location, Member, Place, Server};
use super::settings::Settings;
use super::shape::{self, Shape};
use super::spoilt::Spoilt;
use super::tls;
use crate::input::Inventory;
use crate::report::{Code, Entry, Outcome};
use std::collections::{BTreeMap, BTreeSet};

/// Locations that an older one has taken.
pub(super) fn duplicates(members: &[Member<'_>], all: &[Duplicate], book: &mut Book<'_>) {
    for Duplicate {
        member,
        place,
        host,
        contested,
        clashes,
    } in all
    {
        let Some(ingress) = members.get(*member).map(|member| member.ingress) else {
            continue;
        };
        let path = path_of(ingress, *place);
        let code = contested.unwrap_or(Code::PathDuplicate);
        let entry = Entry::new(code, place.field(), path.clone());
        let detail = if *clashes && contested.is_none() {
            format!("{host}; nginx takes no configuration with both, and both protect alike")
        } else {
            host.clone()
        };
        let refused = book.note(ingress, entry.with(detail));
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
        let through = tls::passes(server, members) || tls::passes_nothing(server, members);
        younger(server, members, through, book);
        read(server, members, options, spoilt, book);
    }
    if options.target == Target::Istio {
        lists_beside_passthrough(servers, members, book);
    } else {
        unsaid::close_hosts(servers, members, book);
    }
    let passing: BTreeSet<String> = servers
        .values()
        .filter(|server| tls::passes(server, members))
        .map(|server| server.host.clone())
        .collect();
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
            let through = passing.contains(&host);
            serve(location, member, through, inventory, options, policies, book);
            let service = location.resolved.as_ref().map(|resolved| &resolved.service);
            if let Some(broken) = service.and_then(|service| spoilt.services.get(service)) {
                note_at(book, member, location, Code::RuleBroken, broken.clone());
            }
        }
    }
}

/// Refuses what is redirected to https where no server of the gateway has the host over TLS. Where TLS ends in front, and says
/// so, that is what has it.
pub(super) fn nowhere(
    servers: &mut BTreeMap<String, Server<'_>>,
    members: &[Member<'_>],
    settings: &Settings,
    inventory: &Inventory,
    options: &Options,
    book: &mut Book<'_>,
) {
    if settings.forwarded_headers {
        return;
    }
    let lacking = tls::lacking(servers, members, settings, inventory, options);
    for (host, certain) in lacking {
        let Some(server) = servers.get_mut(&host) else {
            continue;
        };
        for location in server.locations.iter_mut().filter(|l| l.place != Place::Root) {
            let Some(member) = members.get(location.member) else {
                continue;
            };
            let features = &member.features;
            // Without a certificate of the host only who insists is redirected.
            let asked = certain && features.ssl_redirect || features.force_ssl_redirect;
            if asked && features.redirect.is_none() && !location.bare && !settings.exempt(&location.path) {
                note_at(book, member, location, Code::RedirectNowhere, host.clone());
            }
        }
    }
}

/// What is known of a location before anything is told.
struct Reading {
    shape: Option<Result<Shape, Unfit>>,
    /// Whether its requests cannot be compared.
    unclear: bool,
    /// Whether that holds for one that nginx tries before it.
    behind: bool,
    /// What the Gateway API cannot say of it, where that is written.
    unsaid: Vec<(Code, String)>,
}

impl Reading {
    fn of(server: &Server<'_>, members: &[Member<'_>], location: &Location<'_>, options: &Options) -> Self {
        let member = members.get(location.member);
        let shape = member.map(|member| shape::shape(server, location, member));
        let known = shape.as_ref().and_then(|shape| shape.as_ref().ok());
        let unsaid = match (options.target.gateway_api(), member) {
            (Some(wishes), Some(member)) => {
                unsaid::of_location(wishes, server, members, location, member, known)
            }
            _ => Vec::new(),
        };
        Self {
            unclear: member.is_some_and(|member| {
                let uris = shape::uris(server, location, member);
                uris.is_err_and(|unfit| unfit.code != Code::PathNever)
            }),
            behind: false,
            unsaid,
            shape,
        }
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
/// What decides about every location of a server.
struct Facts<'s> {
    host: &'s str,
    regex: bool,
    further: bool,
    through: bool,
    /// Whether that is asked for where nginx passes nothing through.
    wild: bool,
    /// Whether an address list of it could not be said by a policy.
    unsayable: bool,
    istio: bool,
    broken: Option<&'s String>,
}

impl Facts<'_> {
    /// What is to be told of a location itself, and not of its host.
    fn own(&self, location: &Location<'_>, member: &Member<'_>, reading: Reading) -> Vec<(Code, String)> {
        let host = || self.host.to_owned();
        let mut told = Vec::new();
        let mut tell = |holds: bool, code: Code, detail: String| {
            if holds {
                told.push((code, detail));
            }
        };
        if let Some(code) = location.contested {
            tell(true, code, host());
        }
        tell(
            self.broken.is_some(),
            Code::RuleBroken,
            self.broken.cloned().unwrap_or_default(),
        );
        tell(reading.behind, Code::BehindRefused, host());
        let named = self.host == "*" || names::is_host(self.host);
        tell(!named, Code::HostInvalid, host());
        let short = named && self.host != "*" && !self.host.contains('.');
        tell(short, Code::HostWithoutDot, host());
        if let Some(Err(unfit)) = reading.shape {
            tell(true, unfit.code, unfit.detail);
        }
        let features = &member.features;
        let plain = !features.use_regex && features.rewrite_target.is_none();
        tell(self.regex && plain, Code::RegexHost, host());
        let literal = location.path.contains('(') || location.path.contains(".*");
        tell(!self.regex && literal, Code::PathLiteral, String::new());
        let deep = self.host.starts_with("*.") && !self.further;
        tell(deep && self.istio, Code::WildcardDepth, host());
        tell(self.wild, Code::PassthroughWildcard, host());
        for (code, detail) in reading.unsaid {
            tell(true, code, detail);
        }
        told
    }

    /// What is to be told of its address list.
    fn lists(&self, guarded: bool) -> Option<(Code, String)> {
        if !self.istio || !guarded {
            return None;
        }
        if self.through {
            let detail = "TLS is passed through, so the address list does nothing there";
            return Some((Code::InertAnnotation, detail.to_owned()));
        }
        self.unsayable
            .then(|| (Code::AllowlistPaths, self.host.to_owned()))
    }
}

/// Decides about the locations of a server one by one, as far as back ends do not matter.
fn read(
    server: &mut Server<'_>,
    members: &[Member<'_>],
    options: &Options,
    spoilt: &Spoilt,
    book: &mut Book<'_>,
) {
    let host = server.host.clone();
    let facts = Facts {
        host: &host,
        regex: server.regex,
        further: server.alias_of.is_some(),
        through: tls::passes(server, members),
        wild: tls::passes_nothing(server, members),
        unsayable: !access::sayable(server, members),
        istio: options.target == Target::Istio,
        broken: spoilt.hosts.get(&host),
    };
    let readings = server
        .locations
        .iter()
        .map(|l| Reading::of(server, members, l, options));
    let mut readings: Vec<Reading> = readings.collect();
    let mut behind = false;
    for reading in &mut readings {
        reading.behind = behind;
        behind |= reading.unclear && server.regex;
    }
    let for_host = for_host(server, members);
    for (location, reading) in server.locations.iter_mut().zip(readings) {
        let Some(member) = members.get(location.member) else {
            continue;
        };
        location.refused.clone_from(&member.refused);
        if location.place == Place::Root {
            continue;
        }
        for (code, detail) in facts.own(location, member, reading) {
            note_at(book, member, location, code, detail);
        }
        of_host(&for_host, members, member, location, book);
        if let Some((code, detail)) = facts.lists(access::guarded(members, location)) {
            note_at(book, member, location, code, detail);
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
    through: bool,
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
    match backend::resolve(given, &member.ingress.meta.key(), inventory, options, book) {
        Err((code, detail)) => note_at(book, member, location, code, detail),
        Ok(resolved) => {
            if let Some(remark) = resolved.remark {
                note_at(book, member, location, remark, resolved.destination.host.clone());
            }
            if resolved.spoken_to_otherwise(&member.features) {
                note_at(
                    book,
                    member,
                    location,
                    Code::BackendHttp2,
                    resolved.destination.host.clone(),
                );
            }
            if options.target != Target::Istio && unsaid::untold_http2(&member.features, resolved.http2) {
                let detail = "the Service does not say HTTP/2".to_owned();
                note_at(book, member, location, Code::GatewayBackend, detail);
            }
            if location.refused.is_empty()
                && let Some(conflict) = policies.join(&resolved, &member.features, through)
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
