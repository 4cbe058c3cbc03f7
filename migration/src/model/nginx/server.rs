//! Servers and locations, as the controller makes them of Ingresses before nginx sees any.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ingress::{Ingress, Path};
use super::settings::Settings;
use super::upstreams::Upstreams;

/// One location before it is written.
#[derive(Debug, Clone)]
pub(super) struct DraftLocation {
    pub(super) path: String,
    pub(super) exact: bool,
    /// The root of a server that no path has claimed yet.
    pub(super) unclaimed: bool,
    /// `None` is the controller's default backend.
    pub(super) upstream: Option<String>,
    pub(super) settings: Arc<Settings>,
}

impl DraftLocation {
    /// Whether the location makes its whole server one of regular expressions.
    pub(super) fn wants_regex(&self) -> bool {
        self.settings.use_regex || self.rewrites()
    }

    /// A target that equals the path rewrites nothing.
    pub(super) fn rewrites(&self) -> bool {
        !self.settings.rewrite_target.is_empty() && self.settings.rewrite_target != self.path
    }
}

/// One server before it is written.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    pub(super) locations: Vec<DraftLocation>,
    pub(super) aliases: Vec<String>,
    /// Whether it has a certificate of its own or by default.
    pub(super) certificate: bool,
    pub(super) tls_hosts: BTreeSet<String>,
    pub(super) from_to_www: bool,
    /// The annotation that takes it beyond the model.
    pub(super) beyond: Option<String>,
}

/// All servers by host; `_` is the catch-all.
pub(super) fn drafts(ingresses: &[Ingress], upstreams: &mut Upstreams) -> BTreeMap<String, Draft> {
    let mut servers = roots(ingresses);
    dress(ingresses, &mut servers);
    for ingress in ingresses {
        fill(ingress, upstreams, &mut servers);
    }
    upstreams.merge_canaries(ingresses, &servers);
    for server in servers.values_mut() {
        // By path, the later first, then stably by length: the longest first.
        server.locations.sort_by(|a, b| b.path.cmp(&a.path));
        server
            .locations
            .sort_by_key(|location| std::cmp::Reverse(location.path.len()));
        server.locations = expand(std::mem::take(&mut server.locations));
    }
    servers
}

/// Every host gets a root location of the Ingress that names it first: with that Ingress's default backend and all of
/// its annotations, so that a redirect or a rewrite of its paths holds for everything else on the host too.
fn roots(ingresses: &[Ingress]) -> BTreeMap<String, Draft> {
    let root = |upstream: Option<String>, settings: Arc<Settings>| Draft {
        locations: vec![DraftLocation {
            path: "/".to_owned(),
            exact: false,
            unclaimed: true,
            upstream,
            settings,
        }],
        ..Draft::default()
    };
    let mut catch_all = root(None, Arc::new(Settings::default()));
    let mut servers = BTreeMap::new();
    for ingress in ingresses.iter().filter(|ingress| !ingress.settings.canary) {
        let upstream = ingress.default.as_ref().map(super::ingress::Service::upstream);
        if ingress.rules.is_empty()
            && upstream.is_some()
            && let Some(location) = catch_all.locations.first_mut()
            && location.unclaimed
        {
            location.unclaimed = false;
            location.upstream.clone_from(&upstream);
            location.settings = Arc::new(without_redirects(&ingress.settings));
        }
        for rule in ingress.rules.iter().filter(|rule| rule.host != "_") {
            servers
                .entry(rule.host.clone())
                .or_insert_with(|| root(upstream.clone(), Arc::clone(&ingress.settings)));
        }
    }
    servers.insert("_".to_owned(), catch_all);
    servers
}

/// The catch-all server takes no redirects and no rewrites from the Ingress without rules that gave its back end.
fn without_redirects(settings: &Settings) -> Settings {
    Settings {
        upstream_vhost: settings.upstream_vhost.clone(),
        use_port_in_redirects: settings.use_port_in_redirects,
        cors: settings.cors,
        beyond: settings.beyond.clone(),
        ..Settings::default()
    }
}

/// Aliases of the first Ingress that has some, certificates, and what is beyond the model.
fn dress(ingresses: &[Ingress], servers: &mut BTreeMap<String, Draft>) {
    for ingress in ingresses.iter().filter(|ingress| !ingress.settings.canary) {
        for rule in &ingress.rules {
            let Some(server) = servers.get_mut(&rule.host) else {
                continue;
            };
            if server.aliases.is_empty() {
                server.aliases.clone_from(&ingress.settings.aliases);
            }
            server.certificate |= ingress.tls;
            server.tls_hosts.extend(ingress.tls_hosts.iter().cloned());
            if server.beyond.is_none() {
                server.beyond.clone_from(&ingress.settings.server_beyond);
            }
        }
    }
    // An alias that is a host of its own is not one.
    let hosts: BTreeSet<String> = servers.keys().cloned().collect();
    for server in servers.values_mut() {
        server.aliases.retain(|alias| !hosts.contains(alias));
    }
}

/// Adds an Ingress's paths; an older Ingress's stay.
fn fill(ingress: &Ingress, upstreams: &Upstreams, servers: &mut BTreeMap<String, Draft>) {
    for rule in &ingress.rules {
        // Only a canary's host can be without a server; what it adds then lands in the catch-all.
        let host = if servers.contains_key(&rule.host) {
            rule.host.as_str()
        } else {
            "_"
        };
        let Some(server) = servers.get_mut(host) else {
            continue;
        };
        for path in rule.paths.iter().flatten() {
            if let Some(service) = &path.service
                && upstreams.serves(&service.upstream())
            {
                claim(server, path, service.upstream(), &ingress.settings);
            }
        }
    }
}

/// Looks at the first location of the same path only: of another type it is no obstacle, even if a further one of the
/// same type follows.
fn claim(server: &mut Draft, path: &Path, upstream: String, settings: &Arc<Settings>) {
    let added = DraftLocation {
        path: path.text.clone(),
        exact: path.exact,
        unclaimed: false,
        upstream: Some(upstream),
        settings: Arc::clone(settings),
    };
    match server
        .locations
        .iter_mut()
        .find(|location| location.path == path.text)
    {
        Some(location) if location.exact == path.exact && !location.unclaimed => return,
        Some(location) if location.exact == path.exact => *location = added,
        Some(_) | None => server.locations.push(added),
    }
    server.from_to_www |= settings.from_to_www;
}

/// Gives every plain prefix its slash, and an exact location for the path without it unless there is one.
fn expand(locations: Vec<DraftLocation>) -> Vec<DraftLocation> {
    let exact: BTreeSet<String> = locations
        .iter()
        .filter(|location| location.exact)
        .map(|location| location.path.clone())
        .collect();
    let mut expanded = Vec::with_capacity(locations.len() * 2);
    for mut location in locations {
        if location.path == "/" || location.exact || location.wants_regex() {
            expanded.push(location);
            continue;
        }
        let own = (!exact.contains(&location.path)).then(|| DraftLocation {
            exact: true,
            ..location.clone()
        });
        if !location.path.ends_with('/') {
            location.path.push('/');
        }
        expanded.push(location);
        expanded.extend(own);
    }
    expanded
}
