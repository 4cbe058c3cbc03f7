//! What speaks against splitting an upstream: each a finding with object, annotation and remedy.

use super::canary::external_name;
use super::finding::{Code, Finding};
use super::locations::{Location, annotation, is_canary, names, rules};
use super::routes::{Way, way};
use super::select::{Split, is_ours, name_of};
use crate::rollout::router_spec::IngressNginx;
use crate::routing::ObjectKind;
use crate::routing::seen::text;
use crate::routing::stock::Stock;
use serde_json::Value;
use std::sync::Arc;

fn finding(code: Code, object: String, field: Option<String>, message: String, remedy: &str) -> Finding {
    Finding {
        code,
        severity: code.severity(),
        object,
        field,
        message,
        remedy: remedy.to_owned(),
    }
}

fn ingress(json: &Value) -> String {
    let (namespace, name) = names(json);
    format!("ingress {namespace}/{name}")
}

fn router(component: &str) -> String {
    format!("component {component}")
}

pub(super) fn missing(namespaces: &[String], name: &str) -> Finding {
    let object = format!("ingress {}/{name}", namespaces.join("|"));
    let message = "is named and does not exist".to_owned();
    finding(
        Code::IngressMissing,
        object,
        None,
        message,
        "create it, or correct ingresses.names",
    )
}

pub(super) fn other_class(json: &Value, first: Option<&str>) -> Finding {
    let field = Some("spec.ingressClassName".to_owned());
    let message = format!(
        "its class is not {}, which the first chosen one has",
        first.unwrap_or("the default")
    );
    finding(
        Code::ClassDiffers,
        ingress(json),
        field,
        message,
        "choose the Ingresses of one class",
    )
}

pub(super) fn nothing(namespaces: &[String]) -> Finding {
    let object = format!("ingresses in {}", namespaces.join(", "));
    let message = "none that the selection finds leads to a Service".to_owned();
    finding(
        Code::NothingSelected,
        object,
        None,
        message,
        "correct `ingresses` of the router",
    )
}

pub(super) fn too_many(component: &str, found: usize, most: usize) -> Finding {
    let message = format!("{found} upstreams are more than {most}");
    finding(
        Code::TooMany,
        router(component),
        None,
        message,
        "split it into several components",
    )
}

pub(super) fn shadowed(loser: &Location, winner: &Location) -> Finding {
    let message = format!(
        "{} is served by the older {} (upstream {})",
        place(loser),
        ingress(&winner.ingress),
        winner.upstream
    );
    let remedy = "remove the rule that never serves; it is not split";
    finding(
        Code::Shadowed,
        ingress(&loser.ingress),
        Some("spec.rules".to_owned()),
        message,
        remedy,
    )
}

pub(super) fn no_such_code(component: &str, code: &str) -> Finding {
    let all: Vec<&str> = Code::ALL
        .iter()
        .filter(|c| c.may_be_accepted())
        .map(|c| c.text())
        .collect();
    let remedy = format!("one of {}", all.join(", "));
    let field = Some("ingressNginx.accept".to_owned());
    finding(
        Code::AcceptUnknown,
        router(component),
        field,
        format!("{code:?} cannot be accepted"),
        &remedy,
    )
}

fn place(location: &Location) -> String {
    let host = if location.host.is_empty() {
        "*"
    } else {
        &location.host
    };
    format!("{host}{} ({})", location.path, location.path_type)
}

/// Everything that findings are read from.
pub(super) struct Reader<'a> {
    pub(super) spec: &'a IngressNginx,
    pub(super) component: &'a str,
    pub(super) stock: &'a Stock,
    /// Ingresses of the chosen class.
    pub(super) served: &'a [Arc<Value>],
    /// Every Ingress that is seen.
    pub(super) all: &'a [Arc<Value>],
    /// VirtualServices of the split listener.
    pub(super) bound: Vec<&'a Arc<Value>>,
}

impl Reader<'_> {
    pub(super) fn findings(&self, splits: &[Split]) -> Vec<Finding> {
        let mut found = self.gateway();
        for split in splits {
            found.extend(self.alias(split));
            for location in &split.places {
                found.extend(self.location(split, location));
            }
        }
        found
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
        let known = self
            .all
            .iter()
            .find(|i| names(i) == (namespace.as_str(), name.as_str()));
        if let Some(other) = known.filter(|i| !is_ours(self.component, i)) {
            let message = format!(
                "has the name of the canary of {}, and was not made by this component",
                split.upstream
            );
            let remedy = "let one component alone split this upstream, or delete the Ingress";
            found.push(finding(Code::NameTaken, ingress(other), None, message, remedy));
        }
        for other in self.all.iter().filter(|i| !is_canary(self.spec, i)) {
            if rules(other)
                .iter()
                .any(|l| l.upstream.namespace == *namespace && l.upstream.service == name)
            {
                let message =
                    format!("leads to the alias {name} itself: then nginx merges no canary that uses it");
                let remedy = "take that backend out of it";
                found.push(finding(
                    Code::AliasIsPrimary,
                    ingress(other),
                    Some("spec.rules".into()),
                    message,
                    remedy,
                ));
            }
        }
        found
    }

    fn location(&self, split: &Split, location: &Location) -> Vec<Finding> {
        let mut found: Vec<Finding> = self.route(split, location).into_iter().collect();
        found.extend(self.annotations(location));
        let canaries = self
            .served
            .iter()
            .filter(|i| is_canary(self.spec, i) && !is_ours(self.component, i));
        for other in canaries {
            let same = |l: &Location| {
                l.host == location.host && l.path == location.path && l.is_prefix() == location.is_prefix()
            };
            if rules(other).iter().any(same) {
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

    fn route(&self, split: &Split, location: &Location) -> Option<Finding> {
        let vhost = annotation(self.spec, &location.ingress, "upstream-vhost");
        let host = vhost.unwrap_or(&location.host);
        let object = ingress(&location.ingress);
        match way(
            &self.bound,
            &self.spec.gateway,
            host,
            &location.path,
            location.is_prefix(),
        ) {
            Way::Routed => None,
            Way::Redirected(by) => {
                let message = format!(
                    "{by} redirects {} on the split listener, and nginx hands that to the client for ever",
                    place(location)
                );
                let remedy = "redirect on the public ports only (match.port), or bind that VirtualService to another Gateway";
                Some(finding(Code::RedirectLoop, object, None, message, remedy))
            }
            Way::Missing if vhost.is_some() => {
                let message = format!("Istio is asked for {host:?}, for which it has no route");
                let remedy = "add that host to the Gateway and a VirtualService, or remove the annotation";
                Some(finding(
                    Code::UpstreamVhost,
                    object,
                    Some(self.key("upstream-vhost")),
                    message,
                    remedy,
                ))
            }
            Way::Missing => {
                let message = format!(
                    "{} shares the upstream {} and has no route on the split listener that takes all of it",
                    place(location),
                    split.upstream
                );
                let remedy =
                    "apply its VirtualService first: nginx splits every host and path of an upstream";
                Some(finding(
                    Code::RouteMissing,
                    object,
                    Some("spec.rules".to_owned()),
                    message,
                    remedy,
                ))
            }
        }
    }

    fn key(&self, name: &str) -> String {
        format!(
            "{}/{name}",
            self.spec.annotations_prefix.as_deref().unwrap_or(super::PREFIX)
        )
    }

    fn annotations(&self, location: &Location) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut say = |json: &Value, code, name: &str, message: String, remedy: &str| {
            found.push(finding(
                code,
                ingress(json),
                Some(self.key(name)),
                message,
                remedy,
            ));
        };
        let own = &location.ingress;
        let of = |name: &str| annotation(self.spec, own, name);
        let protocol = of("backend-protocol").unwrap_or("HTTP").to_ascii_uppercase();
        let tls = self.spec.gateway.tls.unwrap_or_default();
        let speaks_tls = matches!(protocol.as_str(), "HTTPS" | "GRPCS");
        if matches!(protocol.as_str(), "AUTO_HTTP" | "FCGI") {
            let message = format!("{protocol} is not spoken by the split listener");
            say(
                own,
                Code::BackendProtocol,
                "backend-protocol",
                message,
                "leave this Ingress out",
            );
        } else if speaks_tls && !tls {
            let message = format!("nginx speaks {protocol} to the gateway too, and sends no name");
            let remedy = "give the split listener TLS for hosts `*` and set gateway.tls: true";
            say(own, Code::TlsBackend, "backend-protocol", message, remedy);
        } else if !speaks_tls && tls {
            let message = "nginx speaks plain text to the gateway, and gateway.tls is true".to_owned();
            say(
                own,
                Code::PlainBackend,
                "backend-protocol",
                message,
                "use a component of its own with a plain split listener",
            );
        }
        if of("affinity").is_some_and(|a| !a.is_empty()) {
            let message = "clients with a cookie are moved by no weight, and by no return to 0".to_owned();
            say(
                own,
                Code::Affinity,
                "affinity",
                message,
                "remove it for the time of the rollout, or accept that the share is not honoured",
            );
        }
        if of("ssl-passthrough") == Some("true") {
            let message = "nginx passes the connection on unread, so there is no request to split".to_owned();
            say(
                own,
                Code::SslPassthrough,
                "ssl-passthrough",
                message,
                "leave this Ingress out and move it by LB or DNS",
            );
        }
        for name in [
            "configuration-snippet",
            "server-snippet",
            "auth-snippet",
            "stream-snippet",
        ] {
            let Some(snippet) = of(name) else { continue };
            let answers = snippet
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .any(|w| w == "return" || w == "rewrite");
            if answers {
                let message = "answers or rewrites by itself before the split".to_owned();
                say(
                    own,
                    Code::SnippetReturns,
                    name,
                    message,
                    "express it in Istio, or leave this Ingress out",
                );
            } else {
                let message = "is applied to both halves; Istio's own edge will not have it".to_owned();
                say(own, Code::Snippet, name, message, "convert it before nginx goes");
            }
        }
        // What one Ingress says of these is true of every path of the host.
        for other in self
            .served
            .iter()
            .filter(|i| Arc::ptr_eq(i, own) || has_host(i, &location.host))
        {
            let of = |name: &str| annotation(self.spec, other, name).filter(|v| !v.is_empty());
            let mut host_wide = |code, name: &str, message: &str, remedy: &str| {
                found.push(finding(
                    code,
                    ingress(other),
                    Some(self.key(name)),
                    message.to_owned(),
                    remedy,
                ));
            };
            if of("rewrite-target").is_some() {
                let message = "Istio gets the path that nginx has rewritten already";
                let remedy = "split by a VirtualService of its own for the rewritten path and accept this, or leave the Ingress out";
                host_wide(Code::RewriteTarget, "rewrite-target", message, remedy);
            }
            if of("use-regex") == Some("true") {
                let message = "every path of its hosts is a pattern, also those of other Ingresses";
                host_wide(
                    Code::UseRegex,
                    "use-regex",
                    message,
                    "write plain paths, or leave the hosts out",
                );
            }
            if of("app-root").is_some() {
                let message = "nginx redirects the root of the host before the split";
                host_wide(
                    Code::AppRoot,
                    "app-root",
                    message,
                    "redirect in Istio, or accept that the root is not tested",
                );
            }
        }
        found
    }
}

fn has_host(ingress: &Arc<Value>, host: &str) -> bool {
    let rules = ingress.pointer("/spec/rules").and_then(Value::as_array);
    rules
        .into_iter()
        .flatten()
        .any(|r| text(r, "/host").unwrap_or_default() == host)
}
