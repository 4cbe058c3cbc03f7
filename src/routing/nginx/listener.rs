//! What Istio's Gateways do with requests of the split listener before any route: the port they listen on, whom they
//! redirect, which hosts they take, what they speak.

use super::eligibility::{Reader, finding, place};
use super::finding::{Code, Finding};
use super::locations::{Location, annotation, names};
use super::select::Split;
use crate::rollout::router_spec::SplitGateway;
use crate::routing::ObjectKind;
use crate::routing::seen::text;
use crate::routing::stock::Stock;
use serde_json::Value;

/// Namespace and name of the Gateway that the router names.
pub(super) fn named(gateway: &SplitGateway) -> Option<(&str, &str)> {
    gateway.name.as_deref()?.split_once('/')
}

/// The Gateway that the router names.
#[derive(Clone, Copy, Debug)]
enum Named<'s> {
    /// None is.
    Nobody,
    /// Its namespace could not be looked through, or is not said.
    Unseen,
    /// There is none.
    Absent,
    Seen(&'s Value),
}

/// A server of a Gateway on the split listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server<'s> {
    gateway: &'s Value,
    at: usize,
    json: &'s Value,
    /// Whether it is of the Gateway that the router names.
    is_named: bool,
}

impl<'s> Server<'s> {
    /// Its hosts, each behind the namespace whose VirtualServices it takes; `None`: every namespace's.
    fn hosts(&self) -> impl Iterator<Item = (Option<&'s str>, &'s str)> {
        let home = names(self.gateway).0;
        let listed = self.json.get("hosts").and_then(Value::as_array);
        let each = listed.into_iter().flatten().filter_map(Value::as_str);
        each.map(move |host| match host.split_once('/') {
            None | Some(("*", _)) => (None, host.rsplit('/').next().unwrap_or(host)),
            Some((".", host)) => (Some(home), host),
            Some((namespace, host)) => (Some(namespace), host),
        })
    }

    fn protocol(&self) -> String {
        let protocol = text(self.json, "/port/protocol").unwrap_or_default();
        protocol.to_ascii_uppercase()
    }

    fn redirects(&self) -> bool {
        self.protocol() != "HTTPS"
            && self.json.pointer("/tls/httpsRedirect").and_then(Value::as_bool) == Some(true)
    }

    fn field(&self, below: &str) -> String {
        format!("spec.servers[{}].{below}", self.at)
    }
}

/// What is known of the split listener.
#[derive(Debug)]
pub(super) struct Listener<'s> {
    named: Named<'s>,
    servers: Vec<Server<'s>>,
    /// A server of the named Gateway may be on the listener: the Service's port leads to one that only pods name.
    is_unclear: bool,
}

impl<'s> Listener<'s> {
    /// Out of the namespaces of the gateway's Service and of the Gateway that is named.
    pub(super) fn of(gateway: &SplitGateway, stock: &'s Stock) -> Self {
        let service = stock.find(ObjectKind::Service, &gateway.namespace, &gateway.service);
        let service = service.map(|json| &**json);
        let ours = named(gateway);
        let find = |(namespace, name): (&str, &str)| match stock.find(ObjectKind::Gateway, namespace, name) {
            Some(json) => Named::Seen(json),
            None if stock.knows(ObjectKind::Gateway, namespace) => Named::Absent,
            None => Named::Unseen,
        };
        let named = match (ours, &gateway.name) {
            (Some(ours), _) => find(ours),
            (None, Some(_)) => Named::Unseen,
            (None, None) => Named::Nobody,
        };
        let mut servers = Vec::new();
        let mut is_unclear = false;
        let seen = match named {
            Named::Seen(json) => Some(json),
            Named::Nobody | Named::Unseen | Named::Absent => None,
        };
        // Gateways of one listener are one list of virtual hosts, so another one's redirect counts, too.
        let beside = stock.list(ObjectKind::Gateway, &gateway.namespace).iter();
        let beside = beside.map(|json| &**json).filter(|json| {
            seen.is_none_or(|ours| names(ours) != names(json)) && selects(json, service) == Some(true)
        });
        for json in seen.into_iter().chain(beside) {
            let is_named = seen.is_some_and(|ours| std::ptr::eq(ours, json));
            if is_named && selects(json, service) == Some(false) {
                continue;
            }
            let listed = json.pointer("/spec/servers").and_then(Value::as_array);
            for (at, server) in listed.into_iter().flatten().enumerate() {
                let number = server.pointer("/port/number").and_then(Value::as_i64);
                match number.and_then(|number| is_on(service, number, i64::from(gateway.port))) {
                    Some(true) => servers.push(Server {
                        gateway: json,
                        at,
                        json: server,
                        is_named,
                    }),
                    Some(false) => {}
                    None => is_unclear |= is_named,
                }
            }
        }
        Self {
            named,
            servers,
            is_unclear,
        }
    }

    fn own(&self) -> impl Iterator<Item = &Server<'s>> {
        self.servers.iter().filter(|server| server.is_named)
    }

    /// Under which names the listener takes a host of a VirtualService: of both the narrower ones. A listener that was
    /// not seen takes every host.
    pub(super) fn takes(&self, host: &'s str, home: &str) -> Vec<&'s str> {
        if self.own().next().is_none() || self.is_unclear {
            return vec![host];
        }
        let hosts = self.own().flat_map(Server::hosts);
        let let_in = hosts.filter(|(namespace, _)| namespace.is_none_or(|namespace| namespace == home));
        let mut taken: Vec<&str> = let_in.filter_map(|(_, theirs)| narrower(host, theirs)).collect();
        taken.sort_unstable();
        taken.dedup();
        taken
    }
}

/// Whether a Gateway is for the pods of the gateway's Service; `None` when the labels do not tell. One without a
/// selector is for all.
fn selects(gateway: &Value, service: Option<&Value>) -> Option<bool> {
    let wanted = gateway.pointer("/spec/selector").and_then(Value::as_object);
    let Some(wanted) = wanted.filter(|all| !all.is_empty()) else {
        return Some(true);
    };
    let pods = service?.pointer("/spec/selector").and_then(Value::as_object)?;
    let has = |(key, value)| pods.get(key).map(|known| known == value);
    let told: Vec<Option<bool>> = wanted.iter().map(has).collect();
    if told.contains(&Some(false)) {
        Some(false)
    } else if told.contains(&None) {
        None
    } else {
        Some(true)
    }
}

/// Whether a server of that number listens where a port of the gateway's Service leads. Istio takes the number for a
/// port of the Service, and where there is none of it for the pods' own. `None`: the pods alone know.
fn is_on(service: Option<&Value>, number: i64, port: i64) -> Option<bool> {
    let listed = service.and_then(|service| service.pointer("/spec/ports")?.as_array());
    let leads = |port: i64| {
        let mut ports = listed.into_iter().flatten();
        let found = ports.find(|p| p.get("port").and_then(Value::as_i64) == Some(port))?;
        let target = found.get("targetPort").filter(|target| !target.is_null());
        Some(target.cloned().unwrap_or_else(|| port.into()))
    };
    let (to, own) = (leads(port), leads(number));
    if number == port {
        return Some(true);
    }
    match (to, own) {
        // No such port of the Service is told elsewhere.
        (None, _) => Some(false),
        (Some(to), Some(own)) => Some(to == own),
        (Some(to), None) if to.is_string() => None,
        (Some(to), None) => Some(to == number),
    }
}

/// Of two names or patterns the one that the other covers, if one does.
fn narrower<'a>(a: &'a str, b: &'a str) -> Option<&'a str> {
    let covers = |pattern: &str, name: &str| {
        let within = |suffix: &str| name.strip_prefix('*').unwrap_or(name).ends_with(suffix);
        pattern == name || pattern.strip_prefix('*').is_some_and(within)
    };
    if covers(a, b) {
        Some(b)
    } else {
        covers(b, a).then_some(a)
    }
}

fn istio_gateway(json: &Value) -> String {
    let (namespace, name) = names(json);
    format!("gateway {namespace}/{name}")
}

impl Reader<'_> {
    /// What the Gateways of the listener have against a split.
    pub(super) fn listening(&self, splits: &[Split]) -> Vec<Finding> {
        let listener = &self.bound.listener;
        let port = self.spec.gateway.port;
        let mut found: Vec<Finding> = self.there().into_iter().collect();
        for server in &listener.servers {
            found.extend(self.redirect(server, splits));
        }
        let tls = self.spec.gateway.tls.unwrap_or_default();
        for server in listener.own() {
            let object = istio_gateway(server.gateway);
            let mode = text(server.json, "/tls/mode").unwrap_or("SIMPLE");
            let message = match (server.protocol().as_str(), tls) {
                ("HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB", false) => continue,
                ("HTTPS", true) if matches!(mode, "SIMPLE" | "OPTIONAL_MUTUAL") => continue,
                ("HTTPS", true) => {
                    format!("speaks TLS in mode {mode} on port {port}, where nginx has to be let in")
                }
                ("HTTPS", false) => format!("speaks TLS on port {port}, and gateway.tls is not true"),
                (other, true) => format!("speaks {other} on port {port}, and gateway.tls is true"),
                (other, false) => format!("speaks {other} on port {port}, where nginx speaks HTTP"),
            };
            let remedy = "correct gateway.tls of the router, or give the split listener a server of its own";
            let field = Some(server.field("port.protocol"));
            found.push(finding(Code::ListenerProtocol, object, field, message, remedy));
        }
        let mut all = listener.own().flat_map(Server::hosts);
        if let Some(server) = listener
            .own()
            .next()
            .filter(|_| tls && !all.any(|(_, host)| host == "*"))
        {
            let message =
                format!("no server on port {port} has the host `*`, and nginx sends no name to choose by");
            let remedy = "give the split listener TLS for hosts `*`";
            let object = istio_gateway(server.gateway);
            let field = Some(server.field("hosts"));
            found.push(finding(Code::ListenerProtocol, object, field, message, remedy));
        }
        found
    }

    /// Whether the Gateway that is named listens there.
    fn there(&self) -> Option<Finding> {
        let listener = &self.bound.listener;
        let gateway = &self.spec.gateway;
        let object = format!("gateway {}", gateway.name.as_deref()?);
        let port = gateway.port;
        let unread = |message: String| {
            let remedy = "see to it that its server redirects nobody and has the hosts, and give whoever looks the right to list gateways";
            finding(Code::ListenerUnread, object.clone(), None, message, remedy)
        };
        match listener.named {
            Named::Nobody => None,
            Named::Unseen => Some(unread(
                "was not seen: whom its listener redirects, which hosts it takes and what it speaks is not checked"
                    .to_owned(),
            )),
            Named::Seen(_) if listener.is_unclear => Some(unread(format!(
                "has servers of which only the pods know whether port {port} of the Service leads to them"
            ))),
            Named::Seen(_) if listener.own().next().is_some() => None,
            Named::Absent | Named::Seen(_) => {
                let (message, field) = match listener.named {
                    Named::Absent => ("does not exist, so nothing listens for its routes".to_owned(), None),
                    Named::Nobody | Named::Unseen | Named::Seen(_) => (
                        format!(
                            "has no server where port {port} of service {}/{} leads",
                            gateway.namespace, gateway.service
                        ),
                        Some("spec.servers".to_owned()),
                    ),
                };
                let remedy = "add the split listener to it (HTTP, hosts `*`, no redirect), or correct gateway.name and gateway.port";
                Some(finding(Code::ListenerMissing, object, field, message, remedy))
            }
        }
    }

    /// A server that redirects every request of some of the locations.
    fn redirect(&self, server: &Server<'_>, splits: &[Split]) -> Option<Finding> {
        if !server.redirects() {
            return None;
        }
        let meets = |location: &&Location| {
            let sent = annotation(self.spec, &location.ingress, "upstream-vhost");
            let heard = sent.map_or_else(|| self.names(&location.host), |host| vec![host]);
            let taken = |host: &str| {
                let mut theirs = server.hosts();
                theirs.any(|(_, theirs)| host.is_empty() || narrower(host, theirs).is_some())
            };
            heard.into_iter().any(taken)
        };
        let places = || splits.iter().flat_map(|split| &split.places);
        let first = places().find(meets)?;
        let more = match places().filter(meets).count() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!(
            "redirects {}{more} to https on the split listener, and nginx hands that to the client for ever",
            place(first)
        );
        let remedy = "give the split listener a server and a port of its own that redirects nobody";
        let object = istio_gateway(server.gateway);
        let field = Some(server.field("tls.httpsRedirect"));
        Some(finding(Code::RedirectLoop, object, field, message, remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_server_is_on_the_listener_whose_pods_port_it_shares() {
        let service = json!({"spec": {"ports": [
            {"port": 80, "targetPort": 8080}, {"port": 8081, "targetPort": 9081}, {"port": 82, "targetPort": 8080},
            {"port": 83}, {"port": 84, "targetPort": "http"}]}});
        for (number, port, expected) in [
            (8081, 8081, Some(true)),
            (9081, 8081, Some(true)),
            (80, 8081, Some(false)),
            // The public listener under another number.
            (80, 82, Some(true)),
            (8080, 82, Some(true)),
            (83, 83, Some(true)),
            (84, 84, Some(true)),
            (8084, 84, None),
            (80, 84, Some(false)),
            (80, 99, Some(false)),
        ] {
            assert_eq!(is_on(Some(&service), number, port), expected, "{number} {port}");
        }
    }

    #[test]
    fn of_two_names_the_narrower_one_is_what_both_take() {
        for (a, b, both) in [
            ("*", "a.example.com", Some("a.example.com")),
            ("a.example.com", "*.example.com", Some("a.example.com")),
            ("*.example.com", "*.a.example.com", Some("*.a.example.com")),
            ("*.example.com", "example.com", None),
            ("a.example.com", "b.example.com", None),
        ] {
            assert_eq!(narrower(a, b), both, "{a} {b}");
            assert_eq!(narrower(b, a), both, "{b} {a}");
        }
    }

    #[test]
    fn a_gateway_is_for_the_pods_whose_labels_it_selects() {
        let gateway = |selector: Value| json!({"spec": {"selector": selector}});
        let service = json!({"spec": {"selector": {"istio": "ingressgateway", "app": "gw"}}});
        let told = |selector| selects(&gateway(selector), Some(&service));
        assert_eq!(told(json!({"istio": "ingressgateway"})), Some(true));
        assert_eq!(told(json!(null)), Some(true));
        assert_eq!(told(json!({"istio": "egressgateway"})), Some(false));
        assert_eq!(told(json!({"istio": "ingressgateway", "more": "x"})), None);
        assert_eq!(selects(&gateway(json!({"istio": "x"})), None), None);
    }
}
