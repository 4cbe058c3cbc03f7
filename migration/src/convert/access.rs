//! Address lists as `AuthorizationPolicies` that deny at the gateway.
//!
//! A list holds for some paths of a host. What a policy can say is: these exact paths and prefixes, but not those. For
//! regular expressions, for wildcard hosts (whose port cannot be left open) and for the catch-all it can only be said
//! where nothing has to be told apart, or not at all; then the route is refused.

use super::Options;
use super::names;
use super::servers::{Location, Member, Place, Server, with_slash};
use super::shape;
use super::tls;
use crate::input::PathType;
use crate::istio::{
    AccessRule, AuthorizationPolicy, From, Kind as _, Meta, Object, Operation, Selector, Source, To,
};
use std::collections::BTreeMap;

/// Who may, and who may not.
pub(super) type Lists<'a> = (&'a [String], &'a [String]);

fn lists<'a>(members: &'a [Member<'_>], location: &Location<'_>) -> Lists<'a> {
    members
        .get(location.member)
        .map(|member| (member.features.allow.as_slice(), member.features.deny.as_slice()))
        .unwrap_or_default()
}

/// What keeps requests of a location from somebody.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection<'a> {
    /// Everybody: it is refused.
    Closed,
    /// Its lists, which may be empty.
    Lists(Lists<'a>),
}

impl Protection<'_> {
    /// Whether anybody is kept out.
    pub(super) fn holds(self) -> bool {
        self != Self::Lists((&[], &[]))
    }
}

/// What keeps requests of a location from somebody; `None` of the root that serves nobody, and of what has no requests.
pub(super) fn protection<'a>(
    server: &Server<'_>,
    members: &'a [Member<'_>],
    location: &Location<'_>,
    closed: bool,
) -> Option<Protection<'a>> {
    let asked = location.place != Place::Root && shape::asked(server, &location.path).is_ok();
    asked.then(|| {
        if closed {
            Protection::Closed
        } else {
            Protection::Lists(lists(members, location))
        }
    })
}

/// Whether a location has lists at all.
pub(super) fn guarded(members: &[Member<'_>], location: &Location<'_>) -> bool {
    let (allow, deny) = lists(members, location);
    location.place != Place::Root && !(allow.is_empty() && deny.is_empty())
}

/// Whether every location that is served has the same lists: then paths need not be told apart.
fn uniform(server: &Server<'_>, members: &[Member<'_>]) -> bool {
    let mut all = asked(server)
        .filter(|l| l.place != Place::Root)
        .map(|l| lists(members, l));
    all.next().is_none_or(|first| all.all(|other| other == first))
}

/// The locations that may have requests: an exemption for another would open what nginx takes the same text for.
fn asked<'s, 'a>(server: &'s Server<'a>) -> impl Iterator<Item = &'s Location<'a>> {
    let all = server.locations.iter();
    all.filter(|location| shape::asked(server, &location.path).is_ok())
}

/// Whether a location has lists that others of its server do not have: then its requests must not fall to them.
pub(super) fn apart(server: &Server<'_>, members: &[Member<'_>], location: &Location<'_>) -> bool {
    guarded(members, location) && !uniform(server, members)
}

/// Whether the lists of a server's locations can be said.
pub(super) fn sayable(server: &Server<'_>, members: &[Member<'_>]) -> bool {
    let host = server.host != "*" && !server.host.starts_with("*.");
    // A star in a path would be a wildcard to the policy.
    let plain = !server.locations.iter().any(|l| l.path.contains(['*', '{', '}']));
    host && (uniform(server, members) || (!server.regex && plain))
}

/// The policy of a server; none where no location has lists.
pub(super) fn policy(
    server: &Server<'_>,
    members: &[Member<'_>],
    options: &Options,
) -> Option<Object<AuthorizationPolicy>> {
    // A connection that is passed through shows no host, so nothing could be said of one.
    if !sayable(server, members) || tls::passes(server, members) {
        return None;
    }
    let mut groups: BTreeMap<Lists<'_>, Vec<&Location<'_>>> = BTreeMap::new();
    for location in asked(server).filter(|l| guarded(members, l)) {
        groups.entry(lists(members, location)).or_default().push(location);
    }
    let whole = uniform(server, members);
    let hosts = [server.host.clone(), format!("{}:*", server.host)];
    let mut rules = Vec::new();
    for (lists, locations) in &groups {
        if whole {
            rules.extend(denying(*lists, &hosts, &[], &[]));
            continue;
        }
        for location in locations {
            let paths = covered(server, location);
            let others = asked(server).filter(|other| {
                let theirs = if other.place == Place::Root {
                    None
                } else {
                    Some(super::access::lists(members, other))
                };
                !std::ptr::eq(*other, *location) && theirs != Some(*lists) && inside(other, location)
            });
            let mut except: Vec<String> = others.flat_map(|other| covered(server, other)).collect();
            except.sort();
            except.dedup();
            except.retain(|path| !paths.contains(path));
            rules.extend(denying(*lists, &hosts, &paths, &except));
        }
    }
    if rules.is_empty() {
        return None;
    }
    let policy = AuthorizationPolicy {
        selector: Selector {
            match_labels: options.gateway_selector.clone(),
        },
        action: "DENY",
        rules,
    };
    let meta = Meta {
        name: names::label(&server.host, &["addresses", &server.host]),
        namespace: options.gateway_namespace.clone(),
        ..super::meta()
    };
    Some(policy.object(meta))
}

/// The paths of a location, in the words of a policy; none stands for all.
fn covered(server: &Server<'_>, location: &Location<'_>) -> Vec<String> {
    match (location.path_type, location.path.as_str()) {
        (PathType::Exact, path) => vec![path.to_owned()],
        (PathType::Prefix, "/") => Vec::new(),
        (PathType::Prefix, path) => {
            let slash = with_slash(path);
            let bare = slash.trim_end_matches('/').to_owned();
            let below = format!("{slash}*");
            // An exact location has its own requests.
            if server.has(PathType::Exact, &bare) {
                vec![below]
            } else {
                vec![bare, below]
            }
        }
    }
}

/// Whether a location takes requests that the outer one would have otherwise.
fn inside(inner: &Location<'_>, outer: &Location<'_>) -> bool {
    match outer.path_type {
        // Only the very same path, as a prefix; the exact one has its requests.
        PathType::Exact => false,
        PathType::Prefix => with_slash(&inner.path).starts_with(&with_slash(&outer.path)),
    }
}

fn denying(
    (allow, deny): Lists<'_>,
    hosts: &[String],
    paths: &[String],
    not_paths: &[String],
) -> Vec<AccessRule> {
    let rule = |source: Source| AccessRule {
        from: vec![From { source }],
        to: vec![To {
            operation: Operation {
                hosts: hosts.to_vec(),
                paths: paths.to_vec(),
                not_paths: not_paths.to_vec(),
            },
        }],
    };
    let mut rules = Vec::new();
    if !allow.is_empty() {
        rules.push(rule(Source {
            not_remote_ip_blocks: allow.to_vec(),
            ..Source::default()
        }));
    }
    if !deny.is_empty() {
        rules.push(rule(Source {
            remote_ip_blocks: deny.to_vec(),
            ..Source::default()
        }));
    }
    rules
}
