//! nginx's servers: which locations a host has, and in which order they are tried.

use super::backend::Resolved;
use super::features::Features;
use crate::input::{Backend, Ingress, PathType};
use crate::report::Code;
use std::collections::BTreeMap;

/// An Ingress that the controller serves.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub ingress: &'a Ingress,
    pub features: Features,
    /// Codes that keep all of its routes out of the output.
    pub refused: Vec<Code>,
    /// Those among them that protect its hosts as a whole.
    pub for_host: Vec<Code>,
    /// Whether only its hosts and paths are known: they are closed, and it is told of elsewhere.
    pub ghost: bool,
    /// Whether its age, or whether it is served at all, is not known.
    pub unsure: bool,
}

impl Member<'_> {
    /// Whether one protects otherwise than the other.
    fn differs(&self, other: &Self) -> bool {
        let guards = |member: &Self| {
            let features = &member.features;
            (
                member.refused.clone(),
                features.allow.clone(),
                features.deny.clone(),
            )
        };
        guards(self) != guards(other)
    }

    pub(super) fn is_canary(&self) -> bool {
        self.features.canary.is_some()
    }
}

/// Where a location comes from in its Ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A rule's path.
    Rule(usize, usize),
    /// The default back end, at the root of a host.
    Default,
    /// The root that nginx gives every host; it answers 404.
    Root,
}

impl Place {
    /// The field, for the report.
    pub(super) fn field(self) -> String {
        match self {
            Self::Rule(rule, path) => format!("spec.rules[{rule}].http.paths[{path}]"),
            Self::Default => "spec.defaultBackend".to_owned(),
            Self::Root => String::new(),
        }
    }

    /// Its place in the order of the Ingress.
    pub(super) fn order(self) -> (usize, usize) {
        match self {
            Self::Rule(rule, path) => (rule, path),
            Self::Default | Self::Root => (usize::MAX, 0),
        }
    }
}

/// A location.
#[derive(Clone, Debug)]
pub(super) struct Location<'a> {
    /// The Ingress, as an index into the members.
    pub member: usize,
    pub place: Place,
    pub path: String,
    pub path_type: PathType,
    pub backend: Option<&'a Backend>,
    pub resolved: Option<Resolved>,
    pub refused: Vec<Code>,
    /// Whether it is the catch-all of an Ingress without rules, which no path replaces.
    pub catch_all: bool,
    /// Whether it is the catch-all server's own root: the controller gives it no redirect and no rewrite of an
    /// Ingress, whoever serves it.
    pub bare: bool,
    /// Why another Ingress may be the one that nginx serves here, which protects it otherwise.
    pub contested: Option<Code>,
}

impl Location<'_> {
    /// Whether it is only there until a rule has its path.
    fn stands_in(&self) -> bool {
        !self.catch_all && !matches!(self.place, Place::Rule(..))
    }
}

/// A server.
#[derive(Clone, Debug)]
pub(super) struct Server<'a> {
    /// The host; `*` for requests to no other server.
    pub host: String,
    pub locations: Vec<Location<'a>>,
    /// Ingresses with a rule for the host, oldest first.
    pub members: Vec<usize>,
    /// Whether paths are regular expressions.
    pub regex: bool,
    /// The Ingress whose app-root counts: that of the first location in nginx's order.
    pub app_root: Option<usize>,
    /// The server of which this one is a further name.
    pub alias_of: Option<String>,
}

/// A location that loses against an older one.
pub(super) struct Duplicate {
    pub member: usize,
    pub place: Place,
    pub host: String,
    /// Why it is not known which of the two nginx serves, where one protects otherwise than the other.
    pub contested: Option<Code>,
    /// Whether nginx takes no configuration with both.
    pub clashes: bool,
}

/// Builds all servers. Members are sorted, oldest first; canaries have no locations of their own.
pub(super) fn build<'a>(members: &[Member<'a>]) -> (BTreeMap<String, Server<'a>>, Vec<Duplicate>) {
    let mut servers: BTreeMap<String, Server<'a>> = BTreeMap::new();
    let mut duplicates = Vec::new();
    catch_all(members, &mut servers);
    let normal = || {
        members
            .iter()
            .enumerate()
            .filter(|(_, member)| !member.is_canary())
    };
    for (index, member) in normal() {
        for rule in &member.ingress.rules {
            let host = host_of(rule.host.as_deref());
            let server = servers.entry(host.clone()).or_insert_with(|| empty(host));
            if !server.members.contains(&index) {
                server.members.push(index);
            }
            if server.locations.is_empty() {
                // The catch-all server is there before any Ingress, and takes no default back end from a rule.
                let root = if server.host == "*" {
                    nobody(index)
                } else {
                    root(index, member.ingress)
                };
                server.locations.push(root);
            }
        }
    }
    for (index, member) in normal() {
        for (r, rule) in member.ingress.rules.iter().enumerate() {
            let Some(server) = servers.get_mut(&host_of(rule.host.as_deref())) else {
                continue;
            };
            for (p, path) in rule.paths.iter().flatten().enumerate() {
                let place = Place::Rule(r, p);
                let fresh = Location {
                    member: index,
                    place,
                    path: if path.path.is_empty() {
                        "/".to_owned()
                    } else {
                        path.path.clone()
                    },
                    path_type: path.path_type,
                    backend: Some(&path.backend),
                    resolved: None,
                    refused: Vec::new(),
                    catch_all: false,
                    bare: false,
                    contested: None,
                };
                // The controller looks at the first location of the path only: one of another type is no obstacle.
                let same = server.locations.iter_mut().find(|known| known.path == fresh.path);
                match same {
                    Some(known) if known.path_type != fresh.path_type => server.locations.push(fresh),
                    Some(known) if known.stands_in() => *known = fresh,
                    Some(known) => {
                        let contested = contested(members, index, known.member);
                        known.contested = known.contested.or(contested);
                        duplicates.push(Duplicate {
                            member: index,
                            place,
                            host: server.host.clone(),
                            contested,
                            clashes: false,
                        });
                    }
                    None => server.locations.push(fresh),
                }
            }
        }
    }
    for server in servers.values_mut() {
        server.regex = server.locations.iter().any(|location| {
            let features = members.get(location.member).map(|member| &member.features);
            let wants = |features: &Features| {
                features.use_regex || rewrites(features, &location.path) || rewrites_below(features, location)
            };
            !location.bare && features.is_some_and(wants)
        });
        server.app_root = app_root(server, members);
        if !server.regex {
            merge_slashes(server, members, &mut duplicates);
        }
        sort(server);
        if server.regex {
            below(server, members);
            contest(server, members);
        }
    }
    (servers, duplicates)
}

/// A prefix that is its own target rewrites nothing, but the location with a slash that the controller makes of it,
/// once the order is settled, has another path, and rewrites.
fn rewrites_below(features: &Features, location: &Location<'_>) -> bool {
    location.path_type == PathType::Prefix
        && !location.path.ends_with('/')
        && !features.use_regex
        && features.rewrite_target.as_ref() == Some(&location.path)
}

/// Adds those locations, before their own.
fn below(server: &mut Server<'_>, members: &[Member<'_>]) {
    let mut all = Vec::new();
    let exact = server.locations.iter().filter(|l| l.path_type == PathType::Exact);
    let exact: Vec<String> = exact.map(|location| location.path.clone()).collect();
    for location in std::mem::take(&mut server.locations) {
        let member = members.get(location.member).filter(|_| !location.bare);
        if member.is_some_and(|member| rewrites_below(&member.features, &location)) {
            all.push(Location {
                path: with_slash(&location.path),
                ..location.clone()
            });
            // The path itself is the exact location's.
            if exact.contains(&location.path) {
                continue;
            }
        }
        all.push(location);
    }
    server.locations = all;
}

/// nginx runs the first app-root that it comes to, by length of the path, then by text, both descending.
fn app_root(server: &Server<'_>, members: &[Member<'_>]) -> Option<usize> {
    let asks = |location: &&Location<'_>| {
        let member = members.get(location.member);
        !location.bare && member.is_some_and(|member| member.features.app_root.is_some())
    };
    let mut asking: Vec<&Location<'_>> = server.locations.iter().filter(asks).collect();
    asking.sort_by(|a, b| b.path.len().cmp(&a.path.len()).then_with(|| b.path.cmp(&a.path)));
    asking.first().map(|location| location.member)
}

/// A target that is the path itself changes nothing.
pub(super) fn rewrites(features: &Features, path: &str) -> bool {
    features
        .rewrite_target
        .as_ref()
        .is_some_and(|target| target != path)
}

/// The name of a rule's server.
pub(super) fn host_of(host: Option<&str>) -> String {
    host.map_or_else(|| "*".to_owned(), str::to_ascii_lowercase)
}

fn empty<'a>(host: String) -> Server<'a> {
    Server {
        host,
        locations: Vec::new(),
        members: Vec::new(),
        regex: false,
        app_root: None,
        alias_of: None,
    }
}

/// The oldest Ingress without rules and with a default back end serves what no host does.
fn catch_all<'a>(members: &[Member<'a>], servers: &mut BTreeMap<String, Server<'a>>) {
    let mut candidates = members.iter().enumerate();
    let found = candidates.find(|(_, member)| {
        let service = matches!(member.ingress.default_backend, Some(Backend::Service { .. }));
        !member.is_canary() && member.ingress.rules.is_empty() && service
    });
    if let Some((index, member)) = found {
        let mut server = empty("*".to_owned());
        server.members.push(index);
        server.locations.push(Location {
            catch_all: true,
            bare: true,
            ..root(index, member.ingress)
        });
        servers.insert("*".to_owned(), server);
    }
}

fn root(member: usize, ingress: &Ingress) -> Location<'_> {
    let backend = ingress.default_backend.as_ref();
    let backend = backend.filter(|backend| matches!(backend, Backend::Service { .. }));
    Location {
        member,
        place: if backend.is_some() {
            Place::Default
        } else {
            Place::Root
        },
        path: "/".to_owned(),
        path_type: PathType::Prefix,
        backend,
        resolved: None,
        refused: Vec::new(),
        catch_all: false,
        bare: false,
        contested: None,
    }
}

/// The root of the catch-all server while nobody serves it.
fn nobody<'a>(member: usize) -> Location<'a> {
    Location {
        member,
        place: Place::Root,
        path: "/".to_owned(),
        path_type: PathType::Prefix,
        backend: None,
        resolved: None,
        refused: Vec::new(),
        catch_all: false,
        bare: true,
        contested: None,
    }
}

/// As regular expressions an exact path and a prefix of the same text are one, and the older has its requests.
fn contest(server: &mut Server<'_>, members: &[Member<'_>]) {
    let rivals = |one: &Location<'_>, other: &Location<'_>| {
        one.path == other.path && !one.stands_in() && !other.stands_in()
    };
    let all = &server.locations;
    let found: Vec<Option<Code>> = all
        .iter()
        .map(|one| {
            let mut others = all.iter().filter(|other| rivals(one, other));
            others.find_map(|other| contested(members, one.member, other.member))
        })
        .collect();
    for (location, found) in server.locations.iter_mut().zip(found) {
        location.contested = location.contested.or(found);
    }
}

/// Whether it is not known which of two nginx serves, and one protects otherwise than the other.
fn contested(members: &[Member<'_>], one: usize, other: usize) -> Option<Code> {
    let (one, other) = (members.get(one)?, members.get(other)?);
    ((one.unsure || other.unsure) && one.differs(other)).then_some(Code::PathAge)
}

/// `/foo` and `/foo/` as prefixes are one location to nginx, which refuses a configuration with both, as it does one
/// with the same path twice: it goes on with the one before, so which of the two it serves only it knows.
fn merge_slashes(server: &mut Server<'_>, members: &[Member<'_>], duplicates: &mut Vec<Duplicate>) {
    let mut seen: BTreeMap<(bool, String), usize> = BTreeMap::new();
    let mut kept: Vec<Location<'_>> = Vec::new();
    for location in std::mem::take(&mut server.locations) {
        let key = match location.path_type {
            PathType::Exact => (true, location.path.clone()),
            PathType::Prefix => (false, with_slash(&location.path)),
        };
        match seen.get(&key).and_then(|at| kept.get_mut(*at)) {
            None => {
                seen.insert(key, kept.len());
                kept.push(location);
            }
            Some(first) => {
                let loser = if location.member < first.member {
                    std::mem::replace(first, location)
                } else {
                    location
                };
                let pair = (members.get(loser.member), members.get(first.member));
                let differ = matches!(pair, (Some(one), Some(other)) if one.differs(other));
                let contested = differ.then_some(Code::PathPair);
                first.contested = first.contested.or(contested);
                duplicates.push(Duplicate {
                    member: loser.member,
                    place: loser.place,
                    host: server.host.clone(),
                    contested,
                    clashes: true,
                });
            }
        }
    }
    server.locations = kept;
}

/// A prefix as nginx compares it: by elements.
pub(super) fn with_slash(path: &str) -> String {
    if path.ends_with('/') {
        path.to_owned()
    } else {
        format!("{path}/")
    }
}

/// Plain servers: exact ones first, then the longest prefix. Servers of regular expressions: nginx's own order, by
/// length, then by text, both descending.
fn sort(server: &mut Server<'_>) {
    if server.regex {
        server
            .locations
            .sort_by(|a, b| b.path.len().cmp(&a.path.len()).then_with(|| b.path.cmp(&a.path)));
        return;
    }
    server.locations.sort_by(|a, b| {
        let key = |l: &Location<'_>| match l.path_type {
            PathType::Exact => (0, l.path.clone()),
            PathType::Prefix => (1, with_slash(&l.path)),
        };
        let ((kind_a, path_a), (kind_b, path_b)) = (key(a), key(b));
        kind_a
            .cmp(&kind_b)
            .then_with(|| path_b.len().cmp(&path_a.len()))
            .then_with(|| path_b.cmp(&path_a))
    });
}

impl Server<'_> {
    /// Whether there is a location of this path.
    pub(super) fn has_any(&self, path: &str) -> bool {
        self.has(PathType::Exact, path) || self.has(PathType::Prefix, path)
    }

    /// Whether there is a location of this type and path.
    pub(super) fn has(&self, path_type: PathType, path: &str) -> bool {
        self.locations
            .iter()
            .any(|location| location.path_type == path_type && location.path == path)
    }
}
