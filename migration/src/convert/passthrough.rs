//! Hosts whose TLS is passed through to their back end. What comes in clear is not: nginx serves or redirects it like that of
//! any other host.

use super::access;
use super::book::Book;
use super::emit::{Emitter, End};
use super::host::Laid;
use super::routes::Scene;
use super::servers::{Location, Member, Place, Server};
use crate::input::PathType;
use crate::istio::{
    DirectResponse, HttpMatch, HttpRoute, SniMatch, TlsRoute, VirtualService, WeightedDestination,
};
use crate::report::{Code, Entry, Outcome};

impl<'a> Emitter<'a, '_> {
    /// The spec of such a host, and what became of each location.
    pub(super) fn passthrough<'s>(
        &self,
        server: &'s Server<'a>,
        scene: &Scene<'a, '_>,
        mut spec: VirtualService,
        book: &mut Book<'_>,
    ) -> (VirtualService, Vec<End<'s, 'a>>) {
        let root = server.locations.iter().find(|l| is_root(l));
        let root = root.filter(|location| location.refused.is_empty());
        let Some(resolved) = root.and_then(|location| location.resolved.as_ref()) else {
            let ends = self.rootless(server, book);
            // Nobody else may have its connections.
            if self.covered(&server.host) {
                spec.http.extend(Scene::rest(&[], 503));
            }
            return (spec, ends);
        };
        spec.tls.push(TlsRoute {
            matches: vec![SniMatch {
                sni_hosts: spec.hosts.clone(),
                port: self.options.https_port,
            }],
            route: vec![WeightedDestination {
                destination: resolved.destination.clone(),
                weight: None,
            }],
        });
        let Laid { http, mut ends, open } = self.locations(server, scene, book);
        for (location, outcome, codes) in &mut ends {
            if is_root(location) {
                (*outcome, *codes) = (Outcome::Converted, Vec::new());
            } else if *outcome == Outcome::Converted
                && let Some(member) = self.members.get(location.member)
            {
                let code = Code::PassthroughPath;
                let entry = Entry::new(code, location.place.field(), location.path.clone());
                book.note(member.ingress, entry);
            }
        }
        spec.http = http;
        self.finish(scene, &ends, open, &mut spec, book);
        (spec, ends)
    }

    /// nginx needs a back end of `/` to pass connections on to; without it nothing of the host is served.
    fn rootless<'s>(&self, server: &'s Server<'a>, book: &mut Book<'_>) -> Vec<End<'s, 'a>> {
        let mut ends = Vec::new();
        for location in &server.locations {
            let member = self.members.get(location.member);
            let codes = match member.filter(|_| location.refused.is_empty()) {
                Some(member) if location.place != Place::Root => {
                    let code = Code::PassthroughRoot;
                    let entry = Entry::new(code, location.place.field(), location.path.clone());
                    book.note(member.ingress, entry.with(server.host.clone()));
                    vec![code]
                }
                _ => location.refused.clone(),
            };
            ends.push((location, Outcome::Refused, codes));
        }
        ends
    }

    /// Makes routes those of what comes in clear beside TLS that is passed through: they go no further than a redirect of
    /// everything, and what cannot be said there is closed, an address list, and TLS to the back end, which would be spoken
    /// once more inside that of the client. Says what that is.
    pub(super) fn in_clear(
        &self,
        scene: &Scene<'a, '_>,
        location: &Location<'a>,
        routes: &mut Vec<HttpRoute>,
    ) -> Option<&'static str> {
        if !scene.security.passthrough {
            return None;
        }
        let clear = Some(self.options.http_port);
        let whole = |m: &HttpMatch| m.port == clear && m.headers.is_empty();
        let redirects = |route: &HttpRoute| route.redirect.is_some() && route.matches.iter().any(whole);
        if routes.iter().any(redirects) {
            routes.retain(|route| route.route.is_empty());
            return None;
        }
        let encrypts = |member: &Member<'_>| member.features.protocol.is_encrypted();
        let why = if access::guarded(self.members, location) {
            "an address list"
        } else if self.members.get(location.member).is_some_and(encrypts) {
            "TLS to the back end"
        } else {
            return None;
        };
        let serving = routes.iter_mut().filter(|route| !route.route.is_empty());
        let closed = serving.map(|route| {
            *route = HttpRoute {
                name: Some(format!("refused {}", location.place.field())),
                matches: std::mem::take(&mut route.matches),
                direct_response: Some(DirectResponse { status: 503 }),
                ..HttpRoute::default()
            };
        });
        (closed.count() > 0).then_some(why)
    }
}

fn is_root(location: &Location<'_>) -> bool {
    location.path == "/" && location.path_type == PathType::Prefix
}
