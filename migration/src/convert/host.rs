//! The routes of one host, and what is closed of it.

use super::access;
use super::book::Book;
use super::closing;
use super::emit::{Emitter, End};
use super::gateway;
use super::gateway_api::unsaid;
use super::names;
use super::options::Target;
use super::routes::{Scene, Split};
use super::servers::{Location, Member, Place, Server, with_slash};
use super::shape::{self, Shape};
use super::taken::Taken;
use super::tls::Security;
use crate::input::PathType;
use crate::istio::{HttpMatch, HttpRoute, StringMatch, VirtualService};
use crate::report::{Code, Entry, Outcome};
use std::collections::BTreeMap;

/// The routes of locations, and what became of each.
#[derive(Default)]
pub(super) struct Laid<'s, 'a> {
    pub http: Vec<HttpRoute>,
    pub ends: Vec<End<'s, 'a>>,
    /// Whether anything is served.
    pub open: bool,
}

impl<'a> Emitter<'a, '_> {
    /// The spec, and what became of each location.
    pub(super) fn virtual_service<'s>(
        &self,
        server: &'s Server<'a>,
        security: &Security,
        book: &mut Book<'_>,
    ) -> (VirtualService, Vec<End<'s, 'a>>) {
        let mut spec = VirtualService {
            hosts: vec![server.host.clone()],
            ..VirtualService::default()
        };
        let scene = Scene {
            server,
            members: self.members,
            security,
            settings: self.settings,
            options: self.options,
        };
        if security.passthrough {
            return self.passthrough(server, &scene, spec, book);
        }
        let Laid { http, ends, open } = self.locations(server, &scene, book);
        spec.http = http;
        self.finish(&scene, &ends, open, &mut spec, book);
        (spec, ends)
    }

    /// What comes before and behind the routes of locations.
    pub(super) fn finish(
        &self,
        scene: &Scene<'a, '_>,
        ends: &[End<'_, 'a>],
        open: bool,
        spec: &mut VirtualService,
        book: &mut Book<'_>,
    ) {
        if !open {
            // A host of which nothing is served is not written at all, unless a wildcard would have its requests.
            spec.http.clear();
        } else if self.options.target == Target::Istio {
            // The Gateway API has no expression that comes before prefixes; there what is protected closes its host.
            spec.http.splice(..0, self.unjudged(scene, ends, book));
        }
        let refused = ends.iter().any(|(_, outcome, _)| *outcome == Outcome::Refused);
        self.complete(scene, spec, if refused { 503 } else { 404 });
    }

    /// The routes of a server's locations, in the order in which they are tried.
    pub(super) fn locations<'s>(
        &self,
        server: &'s Server<'a>,
        scene: &Scene<'a, '_>,
        book: &mut Book<'_>,
    ) -> Laid<'s, 'a> {
        let mut laid = Laid::default();
        let mut taken = Taken::default();
        if let Some(root) = scene.app_root() {
            laid.open |= root.redirect.is_some();
            laid.http.extend(taken.reachable(vec![root]));
        }
        let mut behind: Option<Vec<Code>> = None;
        let mut own = scene.own_answers().into_iter().peekable();
        for location in &server.locations {
            let before = |own: &(&str, HttpRoute)| {
                location.path_type == PathType::Prefix && with_slash(&location.path).len() < own.0.len()
            };
            while let Some((_, route)) = own.next_if(before) {
                laid.http.extend(taken.reachable(vec![route]));
            }
            let Some(member) = self.members.get(location.member) else {
                continue;
            };
            if let Some(codes) = &behind {
                // A route before it takes everything, to close what cannot be told apart.
                let codes = if location.refused.is_empty() {
                    codes
                } else {
                    &location.refused
                };
                laid.ends.push((location, Outcome::Refused, codes.clone()));
                continue;
            }
            let end = match (
                shape::shape(server, location, member),
                location.refused.is_empty(),
            ) {
                (Ok(shape), true) => self.open(scene, location, &shape, (&mut laid, &mut taken), book),
                (Ok(_), false) | (Err(_), _) => {
                    // What cannot be rewritten can still be recognised.
                    let uris = self.closing(server, location, member);
                    let root = location.place == Place::Root;
                    if !root {
                        laid.http
                            .extend(taken.reachable(vec![scene.closed(location, &uris)]));
                        behind = closing::is_all(&uris).then(|| location.refused.clone());
                    }
                    if let Ok(uris) = shape::uris(server, location, member)
                        && (!root || server.regex)
                    {
                        taken.add(scene.matches(&uris, None, &BTreeMap::new()));
                    }
                    (location, Outcome::Refused, location.refused.clone())
                }
            };
            laid.ends.push(end);
        }
        laid
    }

    /// The routes of a location that is served.
    fn open<'s>(
        &self,
        scene: &Scene<'a, '_>,
        location: &'s Location<'a>,
        shape: &Shape,
        (laid, taken): (&mut Laid<'s, 'a>, &mut Taken),
        book: &mut Book<'_>,
    ) -> End<'s, 'a> {
        let server = scene.server;
        let root = location.place == Place::Root;
        let Some(member) = self.members.get(location.member) else {
            return (location, Outcome::Dropped, Vec::new());
        };
        let split = self.split(location);
        let mut routes = scene.routes(location, shape, split.as_ref());
        let shut = self.in_clear(scene, location, &mut routes);
        let routes = taken.reachable(routes);
        if root && server.regex {
            // It answers 404 to all that comes to it, also where others would have it.
            taken.add(scene.matches(&shape.uris, None, &BTreeMap::new()));
        }
        let shadowed = routes.is_empty() && !root;
        laid.open |= !routes.is_empty();
        self.trust(&routes, member, book);
        laid.http.extend(routes);
        if self.options.target == Target::Istio && access::apart(server, self.members, location) {
            let uris = self.closing(server, location, member);
            if !closing::is_all(&uris) {
                let closed = scene.misspelled(location, &uris);
                laid.http.extend(taken.reachable(vec![closed]));
            }
        }
        if shadowed {
            let entry = Entry::new(Code::PathShadowed, location.place.field(), location.path.clone());
            book.note(member.ingress, entry.with(server.host.clone()));
            return (location, Outcome::Dropped, vec![Code::PathShadowed]);
        }
        if let Some(what) = shut {
            let code = Code::PassthroughClear;
            let entry = Entry::new(code, location.place.field(), location.path.clone());
            book.note(member.ingress, entry.with(what));
            return (location, Outcome::Refused, vec![code]);
        }
        (location, Outcome::Converted, Vec::new())
    }

    /// The matches that close a location.
    fn closing(&self, server: &Server<'a>, location: &Location<'a>, member: &Member<'a>) -> Vec<StringMatch> {
        match self.options.target {
            Target::Istio => closing::matches(server, location, member),
            Target::GatewayApi(_) => unsaid::closing(server, location, member),
        }
    }

    /// Closes what a wildcard would have otherwise: all of the host, or its requests on a port for which it has no
    /// route; and in a wildcard, hosts that cannot be closed by themselves.
    fn complete(&self, scene: &Scene<'a, '_>, spec: &mut VirtualService, status: u16) {
        if !names::is_written(&scene.server.host) {
            spec.http.clear();
        } else if self.covered(&scene.server.host) {
            // With the Gateway API it is open whether what a host leaves is a wildcard's.
            let rest = match self.options.target {
                Target::Istio => Scene::rest(&spec.http, status),
                Target::GatewayApi(_) => Scene::rest(&[], status),
            };
            spec.http.extend(rest);
        }
        if !spec.http.is_empty() {
            spec.http.splice(..0, self.unwritten(scene));
        }
    }

    /// Whether a wildcard of the output, or its catch-all, would have a host's requests.
    pub(super) fn covered(&self, host: &str) -> bool {
        gateway::wildcards(host).any(|wider| self.servers.contains_key(&wider))
    }

    /// Hosts that no `VirtualService` can have, and whose requests must not fall to a wildcard's or to the catch-all's.
    fn unwritten(&self, scene: &Scene<'a, '_>) -> Option<HttpRoute> {
        let wide = scene.server.host.as_str();
        if !wide.starts_with('*') {
            return None;
        }
        let under =
            |host: &&String| !names::is_written(host) && gateway::wildcards(host).any(|wider| wider == wide);
        Scene::closed_hosts(self.servers.keys().filter(under))
    }

    fn split<'s>(&'s self, location: &Location<'_>) -> Option<Split<'s>> {
        let canary = self.hanging(location)?;
        Some(Split {
            rules: &canary.rules,
            destination: &canary.resolved.destination,
        })
    }

    /// Redirects that only a header decides need a gateway that believes the load balancer.
    fn trust(&self, routes: &[HttpRoute], member: &Member<'_>, book: &mut Book<'_>) {
        let by_header = |m: &HttpMatch| m.headers.contains_key("x-forwarded-proto");
        if routes
            .iter()
            .any(|route| route.redirect.is_some() && route.matches.iter().any(by_header))
        {
            let field = format!(
                "metadata.annotations[{}/force-ssl-redirect]",
                self.settings.prefix
            );
            book.note(member.ingress, Entry::new(Code::ForceSslTrust, field, "true"));
        }
    }
}
