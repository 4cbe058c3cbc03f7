//! What an Istio ingress gateway answers to a request, given its Gateways and `VirtualServices`.
//!
//! Also two steps. Istio (1.32) turns the objects into listeners, virtual hosts and routes: [`routes`]. Envoy
//! normalises the path ([`path`]), picks the virtual host ([`names`]), walks its routes ([`matching`]) and acts
//! ([`action`]).
//!
//! Assumed: every Gateway selects the one proxy; its servers' ports are the ports clients connect to; every
//! destination exists and has endpoints. Not modelled, and said so where it matters: delegation, faults, pass-through
//! and TCP, preflights under a CORS policy, matches of a source, regular expressions outside the common syntax. Not
//! modelled and silent: authorization policies, filters, retries, timeouts, mirrors.

mod action;
mod config;
mod matching;
mod names;
mod path;
mod routes;

use std::collections::BTreeMap;

use serde_json::Value;

use self::matching::Seen;
pub use self::path::PathNormalization;
use self::routes::{Listener, VirtualHost};
use super::answer::{Answer, Octets};
use super::objects;
use super::request::{Request, Scheme, join};

/// What the mesh configuration says, at its defaults.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `meshConfig.pathNormalization`.
    pub path_normalization: PathNormalization,
}

/// An Istio gateway with a set of objects.
#[derive(Debug)]
pub struct Envoy {
    options: Options,
    listeners: Vec<Listener>,
    ports: BTreeMap<(u16, Scheme), BTreeMap<String, usize>>,
    unread: Vec<String>,
}

impl Envoy {
    /// Builds the configuration. Values of other kinds are passed over; what cannot be read is listed in
    /// [`Envoy::unread`].
    pub fn new(objects: &[Value], options: Options) -> Self {
        let (gateways, mut unread) = objects::of_kind(objects, "Gateway");
        let (services, more) = objects::of_kind(objects, "VirtualService");
        unread.extend(more);
        let listeners = routes::listeners(gateways, services);
        Self {
            options,
            ports: ports(&listeners),
            listeners,
            unread,
        }
    }

    /// What could not be read.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// What becomes of a request whose random number is `draw`; of destinations with weights each gets its share of
    /// the numbers below their sum, in their order.
    pub fn answer(&self, request: &Request, draw: u64) -> Answer {
        let outcomes = self.outcomes(request);
        let total: u64 = outcomes.iter().map(|(weight, _)| weight).sum();
        let mut left = draw.checked_rem(total).unwrap_or_default();
        for (weight, answer) in outcomes {
            match left.checked_sub(weight) {
                Some(less) => left = less,
                None => return answer,
            }
        }
        Answer::Refused
    }

    /// Every answer that is possible, with its weight; never none.
    pub fn outcomes(&self, request: &Request) -> Vec<(u64, Answer)> {
        let only = |answer: Answer| vec![(1, answer)];
        // A name in TLS has no final dot; one in the Host header stays.
        let Some(listener) = self.listener(request, &request.host_name()) else {
            return only(Answer::Refused);
        };
        if let Some(what) = &listener.beyond {
            return only(Answer::Unsupported(what.clone()));
        }
        let clean = |path: &Octets| path::normalise(&path.0, self.options.path_normalization);
        let target = request.target();
        let Some(path) = Some(&request.path)
            .filter(|_| path::acceptable(&target.0))
            .and_then(clean)
        else {
            return only(Answer::Status(400));
        };
        let Some(virtual_host) = names::find(&listener.hosts, &request.host_without_port()) else {
            return only(Answer::Status(404));
        };
        let seen = Seen { request, path: &path };
        if virtual_host.require_tls && request.scheme == Scheme::Http {
            let mut location = format!("https://{}", request.host).into_bytes();
            location.extend(join(&path, request.query.as_ref().map(|query| query.0.as_slice())).0);
            return only(Answer::Redirect {
                code: 301,
                location: Octets(location),
            });
        }
        on(virtual_host, &seen)
    }

    /// In clear there is one listener a port; with TLS it is the server whose name fits best.
    fn listener(&self, request: &Request, host: &str) -> Option<&Listener> {
        let names = self.ports.get(&(request.port, request.scheme))?;
        self.listeners.get(*names::find(names, host)?)
    }
}

/// Listeners by number behind the names that lead to them; in clear any name does.
fn ports(listeners: &[Listener]) -> BTreeMap<(u16, Scheme), BTreeMap<String, usize>> {
    let mut ports: BTreeMap<_, BTreeMap<String, usize>> = BTreeMap::new();
    for (number, listener) in listeners.iter().enumerate() {
        let names = ports.entry((listener.port, listener.scheme)).or_default();
        match listener.scheme {
            Scheme::Http => {
                names.insert("*".to_owned(), number);
            }
            Scheme::Https => names.extend(listener.sni.iter().map(|name| (name.clone(), number))),
        }
    }
    ports
}

/// Whether two targets are one path in two spellings: what the default normalisation makes of the first is the second.
pub(crate) fn same_path(one: &Octets, other: &Octets) -> bool {
    let halves = |target: &Octets| {
        let mut halves = target.0.splitn(2, |byte| *byte == b'?').map(<[u8]>::to_vec);
        (halves.next().unwrap_or_default(), halves.next())
    };
    let ((path, query), (wanted, same_query)) = (halves(one), halves(other));
    query == same_query
        && path::normalise(&path, PathNormalization::Normalize).is_some_and(|path| path == wanted)
}

/// The same request spelt as routes see it; `None` where it is refused before.
pub fn as_routed(request: &Request, how: PathNormalization) -> Option<Request> {
    let path = path::normalise(&request.path.0, how)?;
    Some(Request {
        path: Octets(path),
        ..request.clone()
    })
}

fn on(host: &VirtualHost, seen: &Seen<'_>) -> Vec<(u64, Answer)> {
    let only = |answer: Answer| vec![(1, answer)];
    for route in &host.routes {
        match &route.matcher {
            Err(reason) => return only(Answer::Unsupported(reason.clone())),
            Ok(matcher) if matcher.fits(seen) => {
                if route.cors && seen.request.method == "OPTIONS" {
                    return only(Answer::Unsupported("corsPolicy".to_owned()));
                }
                return match &route.action {
                    Ok(action) => action.answers(&matcher.path, seen),
                    Err(reason) => only(Answer::Unsupported(reason.clone())),
                };
            }
            Ok(_) => {}
        }
    }
    only(Answer::Status(404))
}
