//! From decided servers to objects.

use super::access;
use super::backend::Upstream;
use super::book::Book;
use super::gateway::{Hosts, Layers};
use super::gateway_api;
use super::names;
use super::objects::{Kept, Made, Objects};
use super::options::{Options, Target};
use super::policy::Policies;
use super::select::result;
use super::servers::{Location, Member, Place, Server};
use super::settings::Settings;
use super::share::Hanging;
use super::tls::{self, Security};
use crate::input::Inventory;
use crate::istio::{Kind as _, Meta, VirtualService};
use crate::report::{Code, Entry, Outcome, SecretCopy};
use std::collections::{BTreeMap, BTreeSet};

/// The annotation that names the Ingresses of an object.
const FROM: &str = "rollout.sealos.io/converted-from";

/// What comes out.
pub(super) struct Written {
    pub objects: Objects,
    pub secrets: BTreeSet<SecretCopy>,
    /// How many hosts the Gateway has.
    pub hosts: usize,
    /// What is to be told of all of it.
    pub controller: Vec<Code>,
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

/// A host as it will be served.
#[derive(Clone, Debug)]
pub(super) struct Served {
    /// That of its object.
    pub namespace: String,
    pub host: String,
    pub spec: VirtualService,
    /// The Ingresses that it comes from.
    pub from: String,
    pub security: Security,
}

impl Served {
    /// The name of its object.
    pub(super) fn name(&self) -> String {
        names::label(&self.host, &[&self.host])
    }

    pub(super) fn meta(&self) -> Meta {
        Meta {
            name: self.name(),
            namespace: self.namespace.clone(),
            annotations: BTreeMap::from([(FROM.to_owned(), self.from.clone())]),
            ..super::meta()
        }
    }
}

impl Emitter<'_, '_> {
    pub(super) fn run(&self, book: &mut Book<'_>) -> Written {
        let served = self.served(book);
        let ciphers = self.ciphers(&served, book);
        match &self.options.target {
            Target::Istio => self.istio(served, ciphers),
            Target::GatewayApi(wishes) => gateway_api::write(served, wishes, self.options),
        }
    }

    /// Every host that has an object, by namespace and name of that.
    fn served(&self, book: &mut Book<'_>) -> Vec<Served> {
        let mut all = Vec::new();
        let mut names: BTreeSet<String> = self.servers.keys().cloned().collect();
        let decided = tls::all(
            self.servers,
            self.members,
            self.settings,
            self.inventory,
            self.options,
            book,
        );
        for server in self.servers.values() {
            let mut security = decided.get(&server.host).cloned().unwrap_or_default();
            let (spec, ends) = self.virtual_service(server, &security, book);
            if security.passthrough && spec.tls.is_empty() {
                security = tls::closed(&server.host, &decided, self.settings);
            }
            let key = super::virtual_service_key(server, self.members, self.options);
            for (location, outcome, codes) in ends {
                self.tell(server, location, outcome, codes, &key, book);
            }
            let written = !spec.http.is_empty() || !spec.tls.is_empty();
            if written {
                self.shared(server, book);
            }
            let answers = !spec.tls.is_empty() || spec.http.iter().any(|r| r.direct_response.is_none());
            let www = self.www(server, answers, &mut names, book);
            let own = written.then(|| (server.host.clone(), spec));
            all.extend(own.into_iter().chain(www).map(|(host, spec)| Served {
                namespace: super::namespace(server, self.members, self.options),
                from: self.provenance(server, host == server.host),
                host,
                spec,
                security: security.clone(),
            }));
        }
        all.sort_by_cached_key(|host| (host.namespace.clone(), host.name()));
        let keys = all
            .iter()
            .map(|host| format!("{}/{}", host.namespace, host.name()));
        book.settle(&keys.collect());
        all
    }

    fn istio(&self, served: Vec<Served>, ciphers: BTreeMap<String, Vec<String>>) -> Written {
        let mut secrets = BTreeSet::new();
        let mut hosts = Hosts {
            ciphers,
            ..Hosts::default()
        };
        let mut used: BTreeSet<(String, u16)> = BTreeSet::new();
        for host in &served {
            let destinations = host.spec.http.iter().flat_map(|route| &route.route);
            let destinations = destinations.map(|to| &to.destination);
            used.extend(destinations.map(|to| (to.host.clone(), to.port.number)));
            self.place(host, &mut hosts, &mut secrets);
        }
        let most = hosts.clear.len().max(hosts.passthrough.len());
        let layers = Layers::new(hosts);
        // A host without an object needs no policy.
        let there: BTreeSet<String> = served.iter().map(|host| host.host.clone()).collect();
        let guarded = self
            .servers
            .values()
            .filter(|server| there.contains(&server.host));
        let guards = guarded.filter_map(|server| access::policy(server, self.members, self.options));
        let rules = self
            .policies
            .objects(self.options, |host, port| used.contains(&(host.to_owned(), port)));
        let mut all: Vec<Made> = layers
            .objects(self.options)
            .into_iter()
            .map(Made::Gateway)
            .collect();
        all.extend(served.into_iter().map(|mut host| {
            host.spec.gateways = layers.gateways(&host.namespace, &host.host, self.options);
            let meta = host.meta();
            Made::VirtualService(Box::new(host.spec.object(meta)))
        }));
        all.extend(rules.into_iter().map(Made::DestinationRule));
        all.extend(guards.map(Made::AuthorizationPolicy));
        Written {
            objects: Objects(Kept::Istio(all)),
            secrets,
            hosts: most,
            controller: Vec::new(),
        }
    }

    /// The Ingresses of a server, and where it serves, the canaries that split it, whatever host they are of: what they say
    /// is in its routes.
    fn provenance(&self, server: &Server<'_>, serves: bool) -> String {
        let canaries = server.locations.iter().filter(|_| serves);
        let canaries = canaries.filter_map(|location| self.hanging(location));
        let all = server
            .members
            .iter()
            .copied()
            .chain(canaries.map(|canary| canary.member));
        let members = all.filter_map(|index| self.members.get(index));
        let names: BTreeSet<String> = members
            .filter(|m| !m.ghost)
            .map(|m| format!("{}/{}", m.ingress.meta.namespace, m.ingress.meta.name))
            .collect();
        names.into_iter().collect::<Vec<_>>().join(",")
    }

    /// The canary that splits what a location serves, by however small a share.
    pub(super) fn hanging(&self, location: &Location<'_>) -> Option<&Hanging> {
        let redirects = self.members.get(location.member)?.features.redirect.is_some() && !location.bare;
        let upstream = &location.resolved.as_ref()?.upstream;
        let serves = location.refused.is_empty() && !redirects;
        self.canaries.get(upstream).filter(|_| serves)
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

    fn place(&self, served: &Served, hosts: &mut Hosts, secrets: &mut BTreeSet<SecretCopy>) {
        let host = (served.namespace.clone(), served.host.clone());
        if served.security.passthrough {
            if !served.spec.http.is_empty() {
                hosts.clear.insert(host.clone());
            }
            hosts.passthrough.insert(host);
            return;
        }
        if let Some(secret) = &served.security.secret {
            let (credential, copy) = tls::credential(secret, self.options);
            hosts.credentials.insert(host.clone(), credential);
            secrets.extend(copy);
        }
        hosts.clear.insert(host);
    }
}
