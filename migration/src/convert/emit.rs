//! From decided servers to objects.

use super::Options;
use super::access;
use super::backend::Upstream;
use super::book::Book;
use super::closing;
use super::gateway::{self, Hosts, Layers};
use super::names;
use super::policy::Policies;
use super::routes::{Scene, Split};
use super::select::result;
use super::servers::{Location, Member, Place, Server, with_slash};
use super::settings::Settings;
use super::shape;
use super::share::Hanging;
use super::taken::Taken;
use super::tls::{self, Security};
use crate::input::{Inventory, PathType};
use crate::istio::{HttpMatch, HttpRoute, Kind as _, Meta, Redirect, VirtualService};
use crate::report::{Code, Entry, Outcome, SecretCopy};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The annotation that names the Ingresses of an object.
const FROM: &str = "rollout.sealos.io/converted-from";

/// What comes out.
#[derive(Default)]
pub(super) struct Written {
    pub objects: Vec<Value>,
    pub secrets: BTreeSet<SecretCopy>,
    /// Mistakes of this crate.
    pub failures: Vec<String>,
    /// How many hosts the Gateway has.
    pub hosts: usize,
}

/// What became of a location.
pub(super) type End<'s, 'a> = (&'s Location<'a>, Outcome, Vec<Code>);

/// Writes everything.
pub(super) struct Emitter<'a, 'b> {
    pub members: &'b [Member<'a>],
    pub servers: &'b BTreeMap<String, Server<'a>>,
    pub canaries: &'b BTreeMap<Upstream, Hanging>,
    pub policies: &'b Policies,
    pub settings: &'b Settings,
    pub inventory: &'b Inventory,
    pub options: &'b Options,
}

impl<'a> Emitter<'a, '_> {
    pub(super) fn run(&self, book: &mut Book<'_>) -> Written {
        let mut written = Written::default();
        let mut hosts = Hosts::default();
        let mut used: BTreeSet<(String, u16)> = BTreeSet::new();
        let (mut services, mut guards) = (Vec::new(), Vec::new());
        let mut names: BTreeSet<String> = self.servers.keys().cloned().collect();
        let decided = tls::all(self.servers, self.members, self.settings, self.inventory, book);
        for server in self.servers.values() {
            let mut security = decided.get(&server.host).cloned().unwrap_or_default();
            let (spec, ends) = self.virtual_service(server, &security, book);
            if security.passthrough && spec.tls.is_empty() {
                security = tls::closed(&server.host, &decided, self.settings);
            }
            let served = !spec.http.is_empty() || !spec.tls.is_empty();
            let key = super::virtual_service_key(server, self.members, self.options);
            for (location, outcome, codes) in ends {
                self.tell(server, location, outcome, codes, &key, book);
            }
            if !served {
                continue;
            }
            let destinations = spec.http.iter().flat_map(|route| &route.route);
            let destinations = destinations.map(|to| &to.destination);
            used.extend(destinations.map(|to| (to.host.clone(), to.port.number)));
            self.shared(server, book);
            let namespace = super::namespace(server, self.members, self.options);
            let www = self.www(server, &mut names, book);
            for (host, spec) in std::iter::once((server.host.clone(), spec)).chain(www) {
                self.place(&host, &namespace, &security, &mut hosts, &mut written.secrets);
                let name = names::label(&host, &[&host]);
                services.push((namespace.clone(), name, host, spec, self.provenance(server)));
            }
            guards.extend(access::policy(server, self.members, self.options));
        }
        written.hosts = hosts.clear.len().max(hosts.passthrough.len());
        let layers = Layers::new(hosts);
        let mut values = layers.objects(self.options);
        services.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        book.settle(&services.iter().map(|s| format!("{}/{}", s.0, s.1)).collect());
        values.extend(
            services
                .into_iter()
                .map(|(namespace, name, host, mut spec, from)| {
                    spec.gateways = layers.gateways(&namespace, &host, self.options);
                    let annotations = BTreeMap::from([(FROM.to_owned(), from)]);
                    super::value(&spec.object(Meta {
                        name,
                        namespace,
                        annotations,
                        ..super::meta()
                    }))
                }),
        );
        values.extend(
            self.policies
                .objects(self.options, |host, port| used.contains(&(host.to_owned(), port))),
        );
        values.extend(guards);
        for value in values {
            match value {
                Ok(value) => written.objects.push(value),
                Err(failure) => written.failures.push(failure),
            }
        }
        written
    }

    fn provenance(&self, server: &Server<'_>) -> String {
        let members = server.members.iter().filter_map(|index| self.members.get(*index));
        let mut names: Vec<String> = members
            .filter(|m| !m.ghost)
            .map(|m| format!("{}/{}", m.ingress.meta.namespace, m.ingress.meta.name))
            .collect();
        names.sort();
        names.join(",")
    }

    /// The spec, and what became of each location.
    fn virtual_service<'s>(
        &self,
        server: &'s Server<'a>,
        security: &Security,
        book: &mut Book<'_>,
    ) -> (VirtualService, Vec<End<'s, 'a>>) {
        let mut spec = VirtualService {
            hosts: vec![server.host.clone()],
            ..VirtualService::default()
        };
        if security.passthrough {
            return self.passthrough(server, spec, book);
        }
        let scene = Scene {
            server,
            members: self.members,
            security,
            settings: self.settings,
            options: self.options,
        };
        let mut ends = Vec::new();
        let mut open = false;
        let mut taken = Taken::default();
        if let Some(root) = scene.app_root() {
            open |= root.redirect.is_some();
            spec.http.extend(taken.reachable(vec![root]));
        }
        let mut behind: Option<Vec<Code>> = None;
        let mut own = scene.own_answers().into_iter().peekable();
        for location in &server.locations {
            let before = |own: &(&str, HttpRoute)| {
                location.path_type == PathType::Prefix && with_slash(&location.path).len() < own.0.len()
            };
            while let Some((_, route)) = own.next_if(before) {
                spec.http.extend(taken.reachable(vec![route]));
            }
            let Some(member) = self.members.get(location.member) else {
                continue;
            };
            let root = location.place == Place::Root;
            if let Some(codes) = &behind {
                // A route before it takes everything, to close what cannot be told apart.
                let codes = if location.refused.is_empty() {
                    codes
                } else {
                    &location.refused
                };
                ends.push((location, Outcome::Refused, codes.clone()));
                continue;
            }
            let end = match (
                shape::shape(server, location, member),
                location.refused.is_empty(),
            ) {
                (Ok(shape), true) => {
                    let split = self.split(location);
                    let routes = taken.reachable(scene.routes(location, &shape, split.as_ref()));
                    if root && server.regex {
                        // It answers 404 to all that comes to it, also where others would have it.
                        taken.add(scene.matches(&shape.uris, None, &BTreeMap::new()));
                    }
                    let shadowed = routes.is_empty() && !root;
                    open |= !routes.is_empty();
                    self.trust(&routes, member, book);
                    spec.http.extend(routes);
                    if access::apart(server, self.members, location) {
                        let uris = closing::matches(server, location, member);
                        if !closing::is_all(&uris) {
                            spec.http
                                .extend(taken.reachable(vec![scene.misspelled(location, &uris)]));
                        }
                    }
                    if shadowed {
                        let entry =
                            Entry::new(Code::PathShadowed, location.place.field(), location.path.clone());
                        book.note(member.ingress, entry.with(server.host.clone()));
                        (location, Outcome::Dropped, vec![Code::PathShadowed])
                    } else {
                        (location, Outcome::Converted, Vec::new())
                    }
                }
                (Ok(_), false) | (Err(_), _) => {
                    // What cannot be rewritten can still be recognised.
                    let uris = closing::matches(server, location, member);
                    if !root {
                        spec.http
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
            ends.push(end);
        }
        if !open {
            // A host of which nothing is served is not written at all, unless a wildcard would have its requests.
            spec.http.clear();
        }
        let refused = ends.iter().any(|(_, outcome, _)| *outcome == Outcome::Refused);
        self.complete(&scene, &mut spec, if refused { 503 } else { 404 });
        (spec, ends)
    }

    /// Closes what a wildcard would have otherwise: all of the host, or its requests on a port for which it has no
    /// route; and in a wildcard, hosts that cannot be closed by themselves.
    fn complete(&self, scene: &Scene<'a, '_>, spec: &mut VirtualService, status: u16) {
        if !names::is_written(&scene.server.host) {
            spec.http.clear();
        } else if self.covered(scene.server) {
            spec.http.extend(Scene::rest(&spec.http, status));
        }
        if !spec.http.is_empty() {
            spec.http.splice(..0, self.unwritten(scene));
        }
    }

    /// Whether a wildcard of the output, or its catch-all, would have a server's requests.
    pub(super) fn covered(&self, server: &Server<'_>) -> bool {
        gateway::wildcards(&server.host).any(|wider| self.servers.contains_key(&wider))
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
        let upstream = &location.resolved.as_ref()?.upstream;
        let canary = self.canaries.get(upstream)?;
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

    fn tell(
        &self,
        server: &Server<'_>,
        location: &Location<'_>,
        outcome: Outcome,
        codes: Vec<Code>,
        key: &str,
        book: &mut Book<'_>,
    ) {
        let member = self
            .members
            .get(location.member)
            .filter(|_| location.place != Place::Root && server.alias_of.is_none());
        let Some(member) = member else { return };
        let mut told = result(location.place, &server.host, &location.path, outcome, codes);
        told.virtual_service = (outcome == Outcome::Converted).then(|| key.to_owned());
        book.path(member.ingress, location.place.order(), told);
    }

    fn shared(&self, server: &Server<'_>, book: &mut Book<'_>) {
        let owner = super::namespace(server, self.members, self.options);
        for member in server.members.iter().filter_map(|index| self.members.get(*index)) {
            if member.ingress.meta.namespace != owner {
                let entry = Entry::new(Code::HostShared, "spec.rules", server.host.clone());
                book.note(
                    member.ingress,
                    entry.with(format!("its VirtualService is in {owner}")),
                );
            }
        }
    }

    /// The other name of a server, with or without `www`, that redirects to it.
    fn www(
        &self,
        server: &Server<'_>,
        names: &mut BTreeSet<String>,
        book: &mut Book<'_>,
    ) -> Option<(String, VirtualService)> {
        let members = server.members.iter().filter_map(|index| self.members.get(*index));
        let member = members
            .filter(|m| m.refused.is_empty())
            .find(|m| m.features.www_redirect)?;
        if tls::passes(server, self.members) {
            let field = format!(
                "metadata.annotations[{}/from-to-www-redirect]",
                self.settings.prefix
            );
            book.note(member.ingress, Entry::new(Code::WwwPassthrough, field, "true"));
            return None;
        }
        if server.host.starts_with('*') || server.alias_of.is_some() {
            return None;
        }
        let other = server
            .host
            .strip_prefix("www.")
            .map_or_else(|| format!("www.{}", server.host), ToOwned::to_owned);
        let field = format!(
            "metadata.annotations[{}/from-to-www-redirect]",
            self.settings.prefix
        );
        let free = other.contains('.') && names.insert(other.clone());
        let code = if free { Code::WwwRedirect } else { Code::WwwTaken };
        book.note(
            member.ingress,
            Entry::new(code, field, "true").with(other.clone()),
        );
        let redirect = Redirect {
            authority: Some(server.host.clone()),
            redirect_code: self.settings.redirect_code,
            ..Redirect::default()
        };
        free.then(|| {
            let spec = VirtualService {
                hosts: vec![other.clone()],
                gateways: Vec::new(),
                http: vec![HttpRoute {
                    redirect: Some(redirect),
                    ..HttpRoute::default()
                }],
                tls: Vec::new(),
            };
            (other, spec)
        })
    }

    fn place(
        &self,
        host: &str,
        namespace: &str,
        security: &Security,
        hosts: &mut Hosts,
        secrets: &mut BTreeSet<SecretCopy>,
    ) {
        let host = (namespace.to_owned(), host.to_owned());
        if security.passthrough {
            hosts.passthrough.insert(host);
            return;
        }
        if let Some(secret) = &security.secret {
            let (credential, copy) = tls::credential(secret, self.options);
            hosts.credentials.insert(host.clone(), credential);
            secrets.extend(copy);
        }
        hosts.clear.insert(host);
    }
}
