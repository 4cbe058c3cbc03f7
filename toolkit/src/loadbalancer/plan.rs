//! Which objects take the place of a load balancer: thought out before anything is written.

use crate::apply::needs;
use crate::digest;
use crate::marks;
use crate::put;
use crate::see::{self, Kind, items, kinds, text};
use crate::trouble::Trouble;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The label with the Service's name, on everything that is written for it.
pub(crate) const SERVICE: &str = "rollout.sealos.io/loadbalancer";

/// The label with the Service's namespace: in the gateway's namespace are objects of everybody's Services.
pub(crate) const NAMESPACE: &str = "rollout.sealos.io/loadbalancer-namespace";

/// The labels of everything that is written for a Service, besides those of all our objects.
pub(super) fn labels(namespace: &str, service: &str) -> Value {
    json!({(SERVICE): service, (NAMESPACE): namespace})
}

/// The name of a Service's objects in the gateway's namespace. Joined names would not do: `a-b` of `c` and `a` of `b-c`
/// would be one. At most 63 characters.
pub(super) fn shared(namespace: &str, service: &str) -> String {
    const READABLE: usize = 43;
    let readable: String = service.chars().take(READABLE).collect();
    let unique = digest::short(&json!([namespace, service]));
    format!("lb-{}-{unique}", readable.trim_end_matches(['-', '.']))
}

/// How a port is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP, also with upgrades; routed by host.
    Http,
    /// TLS that the pods end themselves; routed by the name the client asks for.
    Tls,
    /// Anything else over TCP; routed by port.
    Tcp,
}

/// One port of the Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub number: u16,
    pub name: Option<String>,
    pub protocol: Protocol,
    /// Nothing says what is spoken; it is taken for HTTP.
    pub guessed: bool,
}

impl Port {
    /// In names of objects and hosts.
    fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.number.to_string())
    }
}

/// What the operator says.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    /// The domain of the first port that has hosts.
    pub domain: Option<String>,
    /// Hosts by port.
    pub hosts: BTreeMap<u16, String>,
    /// Ports that are HTTP, whatever they are called.
    pub http: Vec<u16>,
    /// Ports that are not.
    pub tcp: Vec<u16>,
    /// The namespace of the gateway's pods.
    pub gateway_namespace: String,
    /// Their labels.
    pub gateway_selector: Vec<(String, String)>,
    /// The Secret in the gateway's namespace; none: HTTP only.
    pub secret: Option<String>,
}

/// What will be written.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Each port with its host, if it has one.
    pub ports: Vec<(Port, Option<String>)>,
    /// The objects, what keeps others out first.
    pub objects: Vec<(Kind, Value)>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// The first word of a port's name, or its `appProtocol`, as Istio reads them.
fn spoken(port: &Value, number: u16) -> Option<Protocol> {
    let app = text(port, "/appProtocol").map(|app| app.strip_prefix("kubernetes.io/").unwrap_or(app));
    let name = text(port, "/name").map(|name| name.split('-').next().unwrap_or(name));
    // Ports on which a server speaks first, so that Istio does not listen for HTTP there.
    let silent = [25, 53, 3306, 27017].contains(&number);
    for word in app.into_iter().chain(name) {
        match word.to_ascii_lowercase().as_str() {
            "http" | "http2" | "h2c" | "grpc" | "ws" => return Some(Protocol::Http),
            "https" | "tls" | "wss" => return Some(Protocol::Tls),
            "tcp" | "mysql" | "mongo" | "redis" => return Some(Protocol::Tcp),
            _ => {}
        }
    }
    silent.then_some(Protocol::Tcp)
}

fn ports(service: &Value, wishes: &Wishes) -> Result<Vec<Port>, Trouble> {
    let mut all = Vec::new();
    for port in items(service, "/spec/ports") {
        let number = port
            .get("port")
            .and_then(Value::as_u64)
            .and_then(|number| u16::try_from(number).ok())
            .unwrap_or_default();
        if text(port, "/protocol").is_some_and(|protocol| protocol != "TCP") {
            return Err(Trouble::Refused(format!(
                "port {number} of {} is not TCP, and an Istio gateway passes nothing else on; keep the load \
                 balancer, or split the Service",
                see::object(service)
            )));
        }
        let said = if wishes.http.contains(&number) {
            Some(Protocol::Http)
        } else if wishes.tcp.contains(&number) {
            Some(Protocol::Tcp)
        } else {
            spoken(port, number)
        };
        all.push(Port {
            number,
            name: text(port, "/name").map(ToOwned::to_owned),
            protocol: said.unwrap_or(Protocol::Http),
            guessed: said.is_none(),
        });
    }
    Ok(all)
}

/// Every port with its host: the first that needs one has the domain, the others a name in it. What is in clear and what
/// is TLS of the pods' own may have one host, as browsers expect, unless the gateway ends TLS for the former itself.
fn hosts(ports: Vec<Port>, wishes: &Wishes) -> Result<Vec<(Port, Option<String>)>, Trouble> {
    let apart = |one: Protocol, other: Protocol| wishes.secret.is_none() && one != other;
    let mut all: Vec<(Port, Option<String>)> = Vec::new();
    for port in ports {
        if port.protocol == Protocol::Tcp {
            all.push((port, None));
            continue;
        }
        let host = match (wishes.hosts.get(&port.number), &wishes.domain) {
            (Some(host), _) => host.clone(),
            (None, Some(domain))
                if !all.iter().any(|(other, host)| {
                    let usual = host.is_some() && !wishes.hosts.contains_key(&other.number);
                    usual && !apart(other.protocol, port.protocol)
                }) =>
            {
                domain.clone()
            }
            (None, Some(domain)) => format!("{}.{domain}", port.label()),
            (None, None) => {
                return Err(Trouble::Usage(format!(
                    "port {} is routed by host: give --domain, or --host {}=HOST, or --tcp {} if it is not HTTP",
                    port.number, port.number, port.number
                )));
            }
        };
        let same = all
            .iter()
            .find(|(other, known)| known.as_ref() == Some(&host) && !apart(other.protocol, port.protocol));
        if let Some((other, _)) = same {
            let why = if other.protocol == port.protocol {
                ""
            } else {
                "; with --certificate the gateway ends TLS for one of them, and the other would pass it on"
            };
            return Err(Trouble::Usage(format!(
                "ports {} and {} have the host {host}: give each its own with --host{why}",
                other.number, port.number
            )));
        }
        all.push((port, Some(host)));
    }
    Ok(all)
}

/// Thinks it out. `gateways` are the Services in front of the gateway's pods.
pub(super) fn plan(service: &Value, wishes: &Wishes, gateways: &[&Value]) -> Result<Plan, Trouble> {
    let ports = hosts(ports(service, wishes)?, wishes)?;
    if ports.is_empty() {
        return Err(Trouble::Refused(format!("{} has no ports", see::object(service))));
    }
    let mut warnings = Vec::new();
    for (port, _) in &ports {
        if port.guessed {
            warnings.push(format!(
                "port {} is taken for HTTP, as nothing says what it speaks; if it is not, say --tcp {}",
                port.number, port.number
            ));
        }
        let wanted = match port.protocol {
            Protocol::Http if wishes.secret.is_some() => vec![80, 443],
            Protocol::Http => vec![80],
            Protocol::Tls => vec![443],
            Protocol::Tcp => vec![port.number],
        };
        for wanted in wanted {
            if exposed(gateways, wanted).is_none() {
                return Err(Trouble::Refused(format!(
                    "no Service in front of the gateway's pods has port {wanted}, so port {} of {} could not be \
                     reached; add it there first",
                    port.number,
                    see::object(service)
                )));
            }
        }
    }
    let clear = ports
        .iter()
        .filter(|(port, _)| wishes.secret.is_none() && port.protocol == Protocol::Http);
    let clear: Vec<String> = clear
        .filter_map(|(port, host)| Some(format!("{} (port {})", host.as_ref()?, port.number)))
        .collect();
    if !clear.is_empty() {
        warnings.push(format!(
            "no certificate was named (--certificate), so this is served in clear: {}",
            clear.join(", ")
        ));
    }
    let writer = Writer {
        service,
        wishes,
        ports: &ports,
    };
    let mut objects = Vec::new();
    let guard = writer.ranges(gateways)?;
    let mut services = writer.services();
    // Whoever takes the guard away, or puts another in its place, is noticed.
    if let Some((kind, guard)) = &guard {
        let written = digest::short(&marks::spec(guard));
        let needed = format!(
            "{} {}/{}@{written}",
            kind.kind,
            see::namespace(guard),
            see::name(guard)
        );
        for (_, route) in &mut services {
            needs::annotate(route, marks::NEEDS, &needed);
        }
    }
    objects.extend(guard);
    objects.extend(services);
    objects.push((kinds::GATEWAY, writer.gateway()));
    let written: Vec<Value> = objects.iter().map(|(_, object)| object.clone()).collect();
    if let Some(broken) = gradual_rollout_migration::rules::check(&written)
        .into_iter()
        .next()
    {
        return Err(Trouble::Refused(format!(
            "Istio would refuse what was to be written: {broken}"
        )));
    }
    Ok(Plan {
        ports,
        objects,
        warnings,
    })
}

/// A port of the Services in front of the gateway's pods.
fn exposed<'a>(gateways: &[&'a Value], port: u16) -> Option<&'a Value> {
    gateways
        .iter()
        .flat_map(|service| items(service, "/spec/ports"))
        .find(|one| one.get("port").and_then(Value::as_u64) == Some(u64::from(port)))
}

/// The port of the gateway's pods behind a port of its Service; none where it has none, or only by name.
fn target(gateways: &[&Value], port: u16) -> Option<u16> {
    match exposed(gateways, port)?.get("targetPort") {
        None => Some(port),
        Some(target) => target.as_u64().and_then(|target| u16::try_from(target).ok()),
    }
}

struct Writer<'a> {
    service: &'a Value,
    wishes: &'a Wishes,
    ports: &'a [(Port, Option<String>)],
}

impl Writer<'_> {
    fn name(&self) -> String {
        format!("lb-{}", see::name(self.service))
    }

    fn metadata(&self, namespace: &str, name: &str) -> Value {
        let mut all = put::labels();
        let more = labels(see::namespace(self.service), see::name(self.service));
        if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
        json!({"namespace": namespace, "name": name, "labels": all})
    }

    fn selector(&self) -> Value {
        let pairs = self.wishes.gateway_selector.iter();
        Value::Object(
            pairs
                .map(|(label, value)| (label.clone(), value.clone().into()))
                .collect(),
        )
    }

    fn destination(&self, port: &Port) -> Value {
        let host = format!(
            "{}.{}.svc.cluster.local",
            see::name(self.service),
            see::namespace(self.service)
        );
        json!([{"destination": {"host": host, "port": {"number": port.number}}}])
    }

    /// A VirtualService for each port. Nothing of a request is changed and nothing limits it: S3 signs host and path,
    /// uploads are long, consoles upgrade.
    fn services(&self) -> Vec<(Kind, Value)> {
        let namespace = see::namespace(self.service);
        let gateway = format!("{namespace}/{}", self.name());
        let one = |(port, host): &(Port, Option<String>)| {
            let route = self.destination(port);
            let spec = match (port.protocol, host) {
                (Protocol::Http, Some(host)) => {
                    json!({"hosts": [host], "gateways": [gateway], "http": [{"name": "all", "route": route}]})
                }
                (Protocol::Tls, Some(host)) => json!({
                    "hosts": [host], "gateways": [gateway],
                    "tls": [{"match": [{"port": 443, "sniHosts": [host]}], "route": route}],
                }),
                (Protocol::Http | Protocol::Tls | Protocol::Tcp, _) => json!({
                    "hosts": ["*"], "gateways": [gateway],
                    "tcp": [{"match": [{"port": port.number}], "route": route}],
                }),
            };
            let name = format!("{}-{}", self.name(), port.number);
            (
                kinds::VIRTUAL_SERVICE,
                json!({
                    "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                    "metadata": self.metadata(namespace, &name), "spec": spec,
                }),
            )
        };
        self.ports.iter().map(one).collect()
    }

    fn gateway(&self) -> Value {
        let namespace = see::namespace(self.service);
        let of = |protocol: Protocol| -> Vec<String> {
            let mine = self.ports.iter().filter(|(port, _)| port.protocol == protocol);
            mine.filter_map(|(_, host)| Some(format!("{namespace}/{}", host.as_ref()?)))
                .collect()
        };
        let mut servers = Vec::new();
        let (http, tls) = (of(Protocol::Http), of(Protocol::Tls));
        if !http.is_empty() {
            servers.push(json!({"hosts": http, "port": {"number": 80, "name": "http", "protocol": "HTTP"}}));
            if let Some(secret) = &self.wishes.secret {
                servers.push(json!({
                    "hosts": http, "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
                    "tls": {"mode": "SIMPLE", "credentialName": secret},
                }));
            }
        }
        if !tls.is_empty() {
            servers.push(json!({
                "hosts": tls, "port": {"number": 443, "name": "tls", "protocol": "TLS"}, "tls": {"mode": "PASSTHROUGH"},
            }));
        }
        for (port, _) in self
            .ports
            .iter()
            .filter(|(port, _)| port.protocol == Protocol::Tcp)
        {
            servers.push(json!({
                "hosts": [format!("{namespace}/*")],
                "port": {"number": port.number, "name": format!("tcp-{}", port.number), "protocol": "TCP"},
            }));
        }
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": self.metadata(namespace, &self.name()),
            "spec": {"selector": self.selector(), "servers": servers},
        })
    }

    /// Whom the load balancer let in, the gateway lets in. By host where there is HTTP, by port where there is none.
    fn ranges(&self, gateways: &[&Value]) -> Result<Option<(Kind, Value)>, Trouble> {
        let ranges: Vec<&str> = items(self.service, "/spec/loadBalancerSourceRanges")
            .filter_map(Value::as_str)
            .map(str::trim)
            .collect();
        if ranges.is_empty() {
            return Ok(None);
        }
        let mut rules = Vec::new();
        let http: Vec<String> = self
            .ports
            .iter()
            .filter(|(port, _)| port.protocol == Protocol::Http)
            .filter_map(|(_, host)| host.clone())
            .flat_map(|host| [host.clone(), format!("{host}:*")])
            .collect();
        if !http.is_empty() {
            rules.push(json!({
                "from": [{"source": {"notRemoteIpBlocks": ranges}}], "to": [{"operation": {"hosts": http}}],
            }));
        }
        if let Some((port, _)) = self.ports.iter().find(|(port, _)| port.protocol == Protocol::Tls) {
            return Err(Trouble::Refused(format!(
                "port {} passes TLS on and the load balancer lets in only {}: the gateway cannot tell such hosts \
                 apart by client, so others would be let in; keep the load balancer, or end TLS at the gateway \
                 (--http {} --certificate …)",
                port.number,
                ranges.join(", "),
                port.number
            )));
        }
        for (port, _) in self
            .ports
            .iter()
            .filter(|(port, _)| port.protocol == Protocol::Tcp)
        {
            let Some(inner) = target(gateways, port.number) else {
                return Err(Trouble::Refused(format!(
                    "the load balancer lets in only {}, and the pods' port behind port {} of the gateway is a name, \
                     so no rule can be written for it; make it a number",
                    ranges.join(", "),
                    port.number
                )));
            };
            rules.push(json!({
                "from": [{"source": {"notIpBlocks": ranges}}],
                "to": [{"operation": {"ports": [inner.to_string()]}}],
            }));
        }
        let namespace = &self.wishes.gateway_namespace;
        let name = shared(see::namespace(self.service), see::name(self.service));
        Ok(Some((
            kinds::AUTHORIZATION,
            json!({
                "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
                "metadata": self.metadata(namespace, &name),
                "spec": {"selector": {"matchLabels": self.selector()}, "action": "DENY", "rules": rules},
            }),
        )))
    }
}
