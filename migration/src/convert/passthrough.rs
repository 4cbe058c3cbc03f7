//! Hosts whose TLS is passed through to their back end.

use super::book::Book;
use super::emit::{Emitter, End};
use super::routes::Scene;
use super::servers::{Place, Server};
use crate::input::PathType;
use crate::istio::{SniMatch, TlsRoute, VirtualService, WeightedDestination};
use crate::report::{Code, Entry, Outcome};

impl<'a> Emitter<'a, '_> {
    /// The spec of such a host, and what became of each location.
    pub(super) fn passthrough<'s>(
        &self,
        server: &'s Server<'a>,
        mut spec: VirtualService,
        book: &mut Book<'_>,
    ) -> (VirtualService, Vec<End<'s, 'a>>) {
        let mut ends = Vec::new();
        for location in &server.locations {
            let root = location.path == "/" && location.path_type == PathType::Prefix;
            match (&location.resolved, location.refused.is_empty()) {
                (Some(resolved), true) if root => {
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
                    ends.push((location, Outcome::Converted, Vec::new()));
                }
                (_, false) => ends.push((location, Outcome::Refused, location.refused.clone())),
                _ => {
                    if let Some(member) = self
                        .members
                        .get(location.member)
                        .filter(|_| location.place != Place::Root)
                    {
                        let entry = Entry::new(
                            Code::PassthroughPath,
                            location.place.field(),
                            location.path.clone(),
                        );
                        book.note(member.ingress, entry);
                    }
                    ends.push((location, Outcome::Dropped, vec![Code::PassthroughPath]));
                }
            }
        }
        if spec.tls.is_empty() {
            self.rootless(server, &mut ends, book);
            // Nobody else may have its connections.
            if self.covered(&server.host) {
                spec.http.extend(Scene::rest(&[], 503));
            }
        }
        (spec, ends)
    }

    /// nginx needs a back end of `/` to pass connections on to; without it nothing of the host is served.
    fn rootless(&self, server: &Server<'a>, ends: &mut [End<'_, 'a>], book: &mut Book<'_>) {
        for (location, outcome, codes) in ends {
            let member = self
                .members
                .get(location.member)
                .filter(|_| location.place != Place::Root);
            if let Some(member) = member.filter(|_| *outcome == Outcome::Dropped) {
                let entry = Entry::new(
                    Code::PassthroughRoot,
                    location.place.field(),
                    location.path.clone(),
                );
                book.note(member.ingress, entry.with(server.host.clone()));
                *outcome = Outcome::Refused;
                *codes = vec![Code::PassthroughRoot];
            }
        }
    }
}
