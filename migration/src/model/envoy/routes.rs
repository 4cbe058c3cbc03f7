//! Which routes Istio gives its gateway: listeners, their virtual hosts, and the routes of each in order.

use std::collections::BTreeMap;

use super::action::Action;
use super::config::{Gateway, HttpRoute, Match, Server, VirtualService};
use super::matching::Matcher;
use super::names;
use crate::model::objects::Object;
use crate::model::request::Scheme;

/// One route, or why what it does is beyond the model.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) matcher: Result<Matcher, String>,
    pub(super) action: Result<Action, String>,
    /// A CORS policy answers preflights by itself.
    pub(super) cors: bool,
}

impl Route {
    fn is_catch_all(&self) -> bool {
        self.matcher.as_ref().is_ok_and(Matcher::is_catch_all)
    }
}

/// The routes of one domain.
#[derive(Debug, Default)]
pub(super) struct VirtualHost {
    pub(super) require_tls: bool,
    pub(super) routes: Vec<Route>,
}

/// What speaks on one port: all servers in clear together, or one TLS server.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) port: u16,
    pub(super) scheme: Scheme,
    /// Names a TLS client may ask for; a star for any.
    pub(super) sni: Vec<String>,
    /// Why it speaks no HTTP that the model knows.
    pub(super) beyond: Option<String>,
    /// By domain.
    pub(super) hosts: BTreeMap<String, VirtualHost>,
}

/// Builds all listeners. Servers of all Gateways share one proxy, and their ports are the ports clients use.
pub(super) fn listeners(
    mut gateways: Vec<Object<Gateway>>,
    mut services: Vec<Object<VirtualService>>,
) -> Vec<Listener> {
    // Both in Istio's order: oldest first, then by name, then by namespace.
    gateways.sort_by_key(age);
    services.sort_by_key(age);
    let mut listeners: Vec<Listener> = Vec::new();
    for gateway in &gateways {
        for server in &gateway.spec.servers {
            let Some(listener) = place(server, gateway.metadata.namespace(), &mut listeners) else {
                continue;
            };
            fill(listener, gateway, server, &services);
        }
    }
    for listener in &mut listeners {
        for host in listener.hosts.values_mut() {
            host.routes.sort_by_key(Route::is_catch_all);
        }
    }
    listeners
}

fn age<S>(object: &Object<S>) -> (String, String, String) {
    let meta = &object.metadata;
    (
        meta.created().to_owned(),
        meta.name.clone(),
        meta.namespace().to_owned(),
    )
}

/// The listener of a server; none if it is a second TLS server for a name on that port, which Istio skips whole. (It
/// compares names with their namespaces; two that differ by those alone are a listener that Envoy refuses.)
fn place<'a>(server: &Server, namespace: &str, listeners: &'a mut Vec<Listener>) -> Option<&'a mut Listener> {
    let port = server.port.number;
    let terminates = server.tls.as_ref().is_some_and(|tls| !tls.https_redirect);
    if !terminates {
        let known = listeners
            .iter()
            .position(|known| known.port == port && known.scheme == Scheme::Http);
        let at = known.unwrap_or_else(|| {
            listeners.push(Listener {
                port,
                scheme: Scheme::Http,
                sni: Vec::new(),
                beyond: not_http(server),
                hosts: BTreeMap::new(),
            });
            listeners.len() - 1
        });
        return listeners.get_mut(at);
    }
    let sni: Vec<String> = server
        .hosts
        .iter()
        .map(|host| split(host, namespace).1.to_ascii_lowercase())
        .collect();
    let taken = |known: &Listener| known.port == port && known.sni.iter().any(|name| sni.contains(name));
    if listeners.iter().any(taken) {
        return None;
    }
    listeners.push(Listener {
        port,
        scheme: Scheme::Https,
        sni,
        beyond: not_http(server),
        hosts: BTreeMap::new(),
    });
    listeners.last_mut()
}

fn not_http(server: &Server) -> Option<String> {
    let protocol = server.port.protocol.to_ascii_uppercase();
    if let Some(mode) = server.tls.as_ref().map(|tls| tls.mode.as_str())
        && mode.ends_with("PASSTHROUGH")
    {
        return Some(format!("tls mode {mode}"));
    }
    let http = matches!(
        protocol.as_str(),
        "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" | "HTTPS"
    );
    (!http).then(|| format!("protocol {protocol}"))
}

/// A server's host in two: the namespaces it takes objects from (`*` any), and the name.
fn split<'a>(host: &'a str, own: &'a str) -> (&'a str, &'a str) {
    match host.split_once('/') {
        Some((".", name)) => (own, name),
        Some((namespace, name)) => (namespace, name),
        None => ("*", host),
    }
}

fn fill(
    listener: &mut Listener,
    gateway: &Object<Gateway>,
    server: &Server,
    services: &[Object<VirtualService>],
) {
    let own = gateway.metadata.namespace();
    let gateway_name = gateway.metadata.key();
    let https_redirect = server.tls.as_ref().is_some_and(|tls| tls.https_redirect);
    for service in services.iter().filter(|service| bound(service, &gateway_name)) {
        let namespace = service.metadata.namespace();
        let routes = routes(service, &gateway_name, listener.scheme, listener.port);
        if routes.is_empty() {
            continue;
        }
        for domain in domains(server, own, namespace, &service.spec.hosts) {
            let host = listener.hosts.entry(domain).or_default();
            host.routes.extend(routes.iter().cloned());
            host.require_tls |= https_redirect;
        }
    }
    if https_redirect {
        for host in &server.hosts {
            let domain = split(host, own).1.to_ascii_lowercase();
            listener.hosts.entry(domain).or_default().require_tls = true;
        }
    }
}

fn bound(service: &Object<VirtualService>, gateway: &str) -> bool {
    let own = |name: &String| {
        format!(
            "{}/{}",
            service.metadata.namespace(),
            name.trim_start_matches("./")
        )
    };
    service
        .spec
        .gateways
        .iter()
        .any(|name| name == gateway || own(name) == gateway)
}

/// A host without a dot is the name of a Service to Istio, not a host of the outside: clients never ask for what it
/// becomes.
fn qualified(host: &str, namespace: &str) -> String {
    if host == "*" || host.contains(['.', ':']) {
        host.to_owned()
    } else {
        format!("{host}.{namespace}.svc.cluster.local")
    }
}

/// What the server's hosts and the object's hosts have in common, each once.
fn domains(server: &Server, own: &str, namespace: &str, hosts: &[String]) -> Vec<String> {
    let mut domains = Vec::new();
    for written in &server.hosts {
        let (from, name) = split(written, own);
        if from != "*" && from != namespace {
            continue;
        }
        for host in hosts {
            if let Some(common) = names::intersection(name, &qualified(host, namespace)) {
                let common = common.to_ascii_lowercase();
                if !domains.contains(&common) {
                    domains.push(common);
                }
            }
        }
    }
    domains
}

/// An object's routes for one gateway and port. A route for everything ends the list.
fn routes(service: &Object<VirtualService>, gateway: &str, scheme: Scheme, port: u16) -> Vec<Route> {
    let namespace = service.metadata.namespace();
    let mut routes = Vec::new();
    for written in &service.spec.http {
        if written.r#match.is_empty() {
            routes.push(route(written, Ok(Matcher::everything()), scheme, port, namespace));
            break;
        }
        for wanted in written
            .r#match
            .iter()
            .filter(|wanted| applies(wanted, gateway, port, namespace))
        {
            let matcher = if wanted.source_labels.is_empty() && wanted.source_namespace.is_empty() {
                Matcher::new(wanted)
            } else {
                Err("match of the source".to_owned())
            };
            let route = route(written, matcher, scheme, port, namespace);
            let last = route.is_catch_all();
            routes.push(route);
            if last {
                return routes;
            }
        }
    }
    routes
}

fn applies(wanted: &Match, gateway: &str, port: u16, namespace: &str) -> bool {
    let of_gateway = |name: &String| *name == gateway || format!("{namespace}/{name}") == gateway;
    wanted.port.is_none_or(|wanted| wanted == 0 || wanted == port)
        && (wanted.gateways.is_empty() || wanted.gateways.iter().any(of_gateway))
}

fn route(
    written: &HttpRoute,
    matcher: Result<Matcher, String>,
    scheme: Scheme,
    port: u16,
    namespace: &str,
) -> Route {
    let action = Action::new(written, scheme, port, namespace);
    Route {
        matcher,
        action,
        cors: written.cors_policy.is_some(),
    }
}
