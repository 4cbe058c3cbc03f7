//! Which Service stands behind an upstream's key, and which upstreams are split by a canary.

use std::collections::{BTreeMap, BTreeSet};

use super::ingress::{Ingress, Service};
use super::server::Draft;

/// The upstreams of all Ingresses, by key.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    by_key: BTreeMap<String, Upstream>,
    split: BTreeSet<String>,
}

#[derive(Debug)]
struct Upstream {
    service: Service,
    /// A canary came first: no location may use it.
    canary: bool,
}

impl Upstreams {
    /// The first to name a key decides its Service and whether it is a canary's; a default backend always decides.
    pub(super) fn new(ingresses: &[Ingress]) -> Self {
        let mut upstreams = Self::default();
        for ingress in ingresses {
            let canary = ingress.settings.canary;
            if let Some(service) = &ingress.default {
                upstreams.by_key.insert(
                    service.upstream(),
                    Upstream {
                        service: service.clone(),
                        canary,
                    },
                );
            }
            for path in ingress
                .rules
                .iter()
                .filter_map(|rule| rule.paths.as_ref())
                .flatten()
            {
                if let Some(service) = &path.service {
                    upstreams
                        .by_key
                        .entry(service.upstream())
                        .or_insert_with(|| Upstream {
                            service: service.clone(),
                            canary,
                        });
                }
            }
        }
        upstreams
    }

    /// Whether a location may have it as its back end.
    pub(super) fn serves(&self, key: &str) -> bool {
        self.by_key.get(key).is_some_and(|upstream| !upstream.canary)
    }

    pub(super) fn service(&self, key: &str) -> Option<&Service> {
        self.by_key.get(key).map(|upstream| &upstream.service)
    }

    pub(super) fn is_split(&self, key: &str) -> bool {
        self.split.contains(key)
    }

    /// Finds the primaries of every canary: its rules' locations, and with a default backend all of the catch-all
    /// server's. From then on every location of such an upstream is split, whatever its host.
    pub(super) fn merge_canaries(&mut self, ingresses: &[Ingress], servers: &BTreeMap<String, Draft>) {
        if ingresses.iter().all(|ingress| ingress.settings.canary) {
            return;
        }
        for ingress in ingresses.iter().filter(|ingress| ingress.settings.canary) {
            if let Some(service) = &ingress.default {
                self.merge(service, servers.get("_"), None);
            }
            for rule in &ingress.rules {
                for path in rule.paths.iter().flatten() {
                    if let Some(service) = &path.service {
                        self.merge(service, servers.get(&rule.host), Some((&path.text, path.exact)));
                    }
                }
            }
        }
    }

    fn merge(&mut self, service: &Service, server: Option<&Draft>, only: Option<(&str, bool)>) {
        let alternative = service.upstream();
        for location in server.iter().flat_map(|server| &server.locations) {
            let Some(primary) = &location.upstream else {
                continue;
            };
            if *primary == alternative {
                break;
            }
            if self.serves(primary)
                && only.is_none_or(|same| same == (location.path.as_str(), location.exact))
            {
                self.split.insert(primary.clone());
            }
        }
    }
}
