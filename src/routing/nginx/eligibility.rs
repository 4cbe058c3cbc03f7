//! What speaks against splitting an upstream: each a finding with object, annotation and remedy.

use super::canary::external_name;
use super::finding::{Code, Finding};
use super::locations::{Key, Location, aliases, annotation, defaults, is_canary, names, rules};
use super::maker::{Maker, Whose, leads_to_its_alias};
use super::routes::{Bound, Way};
use super::select::{Split, name_of};
use crate::rollout::router_spec::IngressNginx;
use crate::routing::ObjectKind;
use crate::routing::seen::text;
use crate::routing::stock::Stock;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) fn finding(
    code: Code,
    object: String,
    field: Option<String>,
    message: String,
    remedy: &str,
) -> Finding {
    Finding {
        code,
        severity: code.severity(),
        object,
        field,
        message,
        remedy: remedy.to_owned(),
    }
}

pub(super) fn ingress(json: &Value) -> String {
    let (namespace, name) = names(json);
    format!("ingress {namespace}/{name}")
}

pub(super) fn router(component: &str) -> String {
    format!("component {component}")
}

pub(super) fn place(location: &Location) -> String {
    let host = if location.host.is_empty() {
        "*"
    } else {
        &location.host
    };
    format!("{host}{} ({})", location.path, location.path_type)
}

/// An Ingress that leads to a Service, and the field by which it does.
type Leads<'a> = (&'a Arc<Value>, &'static str);

/// Everything that findings are read from, found by what it is asked for: there are thousands of tenants.
pub(super) struct Reader<'a> {
    pub(super) spec: &'a IngressNginx,
    maker: &'a Maker,
    stock: &'a Stock,
    /// VirtualServices of the split listener.
    pub(super) bound: Bound<'a>,
    /// Ingresses of the chosen class, by host.
    pub(super) by_host: BTreeMap<String, Vec<&'a Arc<Value>>>,
    /// Further names of hosts, with the Ingress that says so. A name that is a host itself is none.
    aliases: BTreeMap<String, Vec<(&'a str, &'a Arc<Value>)>>,
    /// Every Ingress that is seen, by namespace and name.
    by_name: BTreeMap<(&'a str, &'a str), &'a Arc<Value>>,
    /// Normal Ingresses by the namespace and name of a Service that they lead to.
    by_service: BTreeMap<(String, String), Vec<Leads<'a>>>,
    /// Canaries of others, by location.
    foreign: BTreeMap<Key, Vec<&'a Arc<Value>>>,
}

impl<'a> Reader<'a> {
    /// `served` are the Ingresses of the chosen class, `all` whatever is seen.
    pub(super) fn new(
        spec: &'a IngressNginx,
        maker: &'a Maker,
        stock: &'a Stock,
        served: &'a [Arc<Value>],
        all: &'a [Arc<Value>],
        bound: Bound<'a>,
    ) -> Self {
        let mut reader = Self {
            spec,
            maker,
            stock,
            bound,
            by_host: BTreeMap::new(),
            aliases: BTreeMap::new(),
            by_name: all.iter().map(|i| (names(i), i)).collect(),
            by_service: BTreeMap::new(),
            foreign: BTreeMap::new(),
        };
        for json in served {
            for host in hosts(json) {
                reader.by_host.entry(host).or_default().push(json);
            }
            let nobodys =
                || matches!(maker.whose(json), Whose::LetGo | Whose::Unsaid) && leads_to_its_alias(json);
            if is_canary(spec, json) && !maker.made(json) && !nobodys() {
                for location in rules(json) {
                    reader.foreign.entry(location.key()).or_default().push(json);
                }
            }
        }
        for json in served.iter().filter(|i| !is_canary(spec, i)) {
            let known = |name: &&str| !reader.by_host.contains_key(*name);
            let further: Vec<&str> = aliases(spec, json).filter(known).collect();
            for host in hosts(json).into_iter().filter(|_| !further.is_empty()) {
                let of = reader.aliases.entry(host).or_default();
                of.extend(further.iter().map(|name| (*name, json)));
            }
        }
        for json in all.iter().filter(|i| !is_canary(spec, i)) {
            let defaults = defaults(json).into_iter().map(|l| (l, "spec.defaultBackend"));
            let rules = rules(json).into_iter().map(|l| (l, "spec.rules"));
            for (Location { upstream, .. }, field) in rules.chain(defaults) {
                let service = (upstream.namespace, upstream.service);
                reader.by_service.entry(service).or_default().push((json, field));
            }
        }
        reader
    }

    pub(super) fn findings(&self, splits: &[Split]) -> Vec<Finding> {
        let mut found = self.gateway();
        for split in splits {
            found.extend(self.alias(split));
            for location in &split.places {
                found.extend(self.location(split, location));
            }
        }
        found.extend(self.schemes(splits));
        found.extend(self.listening(splits));
        found
    }

    /// The name of a host, and its further ones. A name that is a pattern stands for any, which is empty.
    pub(super) fn names<'n>(&'n self, host: &'n str) -> Vec<&'n str> {
        let further = self.aliases.get(host).into_iter().flatten();
        let further = further.map(|(name, _)| if name.starts_with('~') { "" } else { *name });
        std::iter::once(host).chain(further).collect()
    }

    fn gateway(&self) -> Vec<Finding> {
        let gateway = &self.spec.gateway;
        let object = format!("service {}/{}", gateway.namespace, gateway.service);
        let port = i64::from(gateway.port);
        let mut found = Vec::new();
        let mut say = |code, field: Option<&str>, message: String, remedy: &str| {
            found.push(finding(
                code,
                object.clone(),
                field.map(str::to_owned),
                message,
                remedy,
            ));
        };
        match self
            .stock
            .find(ObjectKind::Service, &gateway.namespace, &gateway.service)
        {
            None => say(
                Code::GatewayMissing,
                None,
                "the gateway's Service does not exist".into(),
                "correct `gateway` of the router",
            ),
            Some(service) => {
                let ports = service.pointer("/spec/ports").and_then(Value::as_array);
                let has = |p: &Value| p.get("port").and_then(Value::as_i64) == Some(port);
                if !ports.into_iter().flatten().any(has) {
                    let remedy = "add the split listener's port to it, or correct gateway.port";
                    say(
                        Code::GatewayPortMissing,
                        Some("spec.ports"),
                        format!("has no port {port}"),
                        remedy,
                    );
                }
            }
        }
        if matches!(port, 80 | 443) {
            let message = format!(
                "port {port} is a public listener: it may redirect, or choose by a name that nginx does not send"
            );
            let remedy =
                "add a Gateway server of its own (HTTP 8081, hosts `*`, no redirect) and name its port";
            say(Code::PublicListener, Some("gateway.port"), message, remedy);
        }
        if gateway.name.is_none() {
            let message = "any VirtualService that is bound to any gateway counts as a route".to_owned();
            say(
                Code::GatewayUnnamed,
                Some("gateway.name"),
                message,
                "name the Gateway of the split listener",
            );
        }
        let message = "nginx goes on terminating TLS, redirecting, answering CORS and enforcing access and limits for both halves".to_owned();
        let remedy = "prove the gateway's own edge by a later step (LB or DNS) before nginx goes";
        say(Code::EdgeNotTested, None, message, remedy);
        found
    }

    /// The names that the upstream's canary and alias need.
    fn alias(&self, split: &Split) -> Vec<Finding> {
        let (namespace, name) = (&split.upstream.namespace, name_of(&split.upstream));
        let mut found = Vec::new();
        if let Some(service) = self.stock.find(ObjectKind::Service, namespace, &name) {
            let port = i64::from(self.spec.gateway.port);
            let fits = text(service, "/spec/type") == Some("ExternalName")
                && text(service, "/spec/externalName") == Some(&external_name(&self.spec.gateway))
                && service.pointer("/spec/ports/0/port").and_then(Value::as_i64) == Some(port)
                && service
                    .pointer("/spec/ports/0/targetPort")
                    .and_then(Value::as_i64)
                    == Some(port);
            if !fits {
                let message = format!(
                    "does not lead to {} port {port}",
                    external_name(&self.spec.gateway)
                );
                let remedy = "delete it while the component is at 0%; it is made anew";
                let object = format!("service {namespace}/{name}");
                found.push(finding(
                    Code::AliasDiffers,
                    object,
                    Some("spec".into()),
                    message,
                    remedy,
                ));
            }
        }
        let known = self.by_name.get(&(namespace.as_str(), name.as_str()));
        if let Some(other) = known.filter(|i| self.maker.whose(i) == Whose::Strangers) {
            let message = format!(
                "has the name of the canary of {}, and was not made by this component",
                split.upstream
            );
            let remedy = "let one component alone split this upstream, or delete the Ingress";
            found.push(finding(Code::NameTaken, ingress(other), None, message, remedy));
        }
        for (other, field) in self
            .by_service
            .get(&(namespace.clone(), name.clone()))
            .into_iter()
            .flatten()
        {
            let message =
                format!("leads to the alias {name} itself: then nginx merges no canary that uses it");
            let remedy = "take that backend out of it";
            let field = Some((*field).to_owned());
            found.push(finding(
                Code::AliasIsPrimary,
                ingress(other),
                field,
                message,
                remedy,
            ));
        }
        found
    }

    fn location(&self, split: &Split, location: &Location) -> Vec<Finding> {
        let mut found = self.routed(split, location);
        found.extend(self.annotated(location));
        for other in self.foreign.get(&location.key()).into_iter().flatten() {
            let message = format!(
                "is a canary of {} already, and nginx uses only one",
                place(location)
            );
            let remedy = "delete it, or express its split in the VirtualService";
            let field = Some(self.key("canary"));
            found.push(finding(
                Code::ForeignCanary,
                ingress(other),
                field,
                message,
                remedy,
            ));
        }
        if location.implicit {
            let message = format!(
                "its defaultBackend leads to {}, and no canary's rule can name that",
                split.upstream
            );
            let remedy = "write the path as a rule";
            let field = Some("spec.defaultBackend".to_owned());
            found.push(finding(
                Code::DefaultBackend,
                ingress(&location.ingress),
                field,
                message,
                remedy,
            ));
        }
        found
    }

    /// Whether Istio has a route for the location under each name that nginx serves it by.
    fn routed(&self, split: &Split, location: &Location) -> Vec<Finding> {
        const VHOST: &str = "upstream-vhost";
        let own = &location.ingress;
        if let Some(host) = annotation(self.spec, own, VHOST) {
            // Whatever the client asked for, Istio hears this.
            let asked = format!("{} of {}, by the name {host:?},", place(location), split.upstream);
            let missing = (Code::UpstreamVhost, Some(self.key(VHOST)));
            return self
                .route(host, location, &asked, own, missing)
                .into_iter()
                .collect();
        }
        let asked = format!("{} of {}", place(location), split.upstream);
        let missing = (Code::RouteMissing, Some("spec.rules".to_owned()));
        let mut found: Vec<Finding> = self
            .route(&location.host, location, &asked, own, missing)
            .into_iter()
            .collect();
        for (name, ingress) in self.aliases.get(&location.host).into_iter().flatten() {
            // A name that is a pattern stands for any.
            let host = if name.starts_with('~') { "" } else { name };
            let asked = format!(
                "{} of {}, which answers to {name} as well,",
                place(location),
                split.upstream
            );
            let missing = (Code::RouteMissing, Some(self.key("server-alias")));
            found.extend(self.route(host, location, &asked, ingress, missing));
        }
        found
    }

    /// What the listener lacks for a location under a name. `asked` says of what, `missing` how that is called.
    fn route(
        &self,
        host: &str,
        location: &Location,
        asked: &str,
        object: &Value,
        (code, field): (Code, Option<String>),
    ) -> Option<Finding> {
        let elsewhere = |name: &str| name != host && self.by_host.contains_key(name);
        let object = ingress(object);
        match self
            .bound
            .way(host, &location.path, location.is_prefix(), elsewhere)
        {
            Way::Routed => None,
            Way::Redirected(by) => {
                let message = format!(
                    "{by} redirects {asked} on the split listener, or some requests of it, and nginx hands that to the client for ever"
                );
                let remedy = "redirect on the public ports only (match.port), or bind that VirtualService to another Gateway";
                Some(finding(Code::RedirectLoop, object, field, message, remedy))
            }
            Way::Answered(how) => {
                let message = format!("{how}, for some requests of {asked} that nginx's own back end serves");
                let remedy = "take that rule off the split listener (match.port, or another Gateway)";
                Some(finding(Code::Answered, object, field, message, remedy))
            }
            Way::Missing(why) => {
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                let message = format!("{asked} has no route on the split listener that takes all of it{why}");
                let remedy = if code == Code::UpstreamVhost {
                    "add that host to the Gateway and a VirtualService, or remove the annotation"
                } else {
                    "apply its VirtualService first: nginx splits every host and path of an upstream"
                };
                Some(finding(code, object, field, message, remedy))
            }
        }
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!(
            "{}/{name}",
            self.spec.annotations_prefix.as_deref().unwrap_or(super::PREFIX)
        )
    }
}

fn hosts(ingress: &Arc<Value>) -> BTreeSet<String> {
    let rules = ingress.pointer("/spec/rules").and_then(Value::as_array);
    let hosts: BTreeSet<String> = rules
        .into_iter()
        .flatten()
        .map(|r| text(r, "/host").unwrap_or_default().to_owned())
        .collect();
    // Without rules it serves every host that no other names.
    if hosts.is_empty() {
        BTreeSet::from([String::new()])
    } else {
        hosts
    }
}
