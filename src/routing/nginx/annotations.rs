//! Annotations of nginx that a split cannot honour, or that make it another than it looks.

use super::eligibility::{Reader, finding, ingress};
use super::finding::{Code, Finding};
use super::locations::{Location, annotation, is_canary, is_set};
use super::snippet::{Snippet, read};
use serde_json::Value;

/// Annotations with nginx configuration in them, for the Ingress' own locations.
const SNIPPETS: [&str; 3] = ["configuration-snippet", "auth-snippet", "stream-snippet"];
/// The same for the server, which every Ingress of the host shares.
const OF_SERVER: &str = "server-snippet";

impl Reader<'_> {
    /// What annotations of the location's own Ingress, and of others with its host, say.
    pub(super) fn annotated(&self, location: &Location) -> Vec<Finding> {
        let own = &location.ingress;
        let mut found: Vec<Finding> = SNIPPETS
            .iter()
            .filter_map(|name| self.snippet(own, name))
            .collect();
        found.extend(self.protocol(own));
        let of = |name: &str| annotation(self.spec, own, name);
        if of("affinity").is_some_and(|a| !a.is_empty()) {
            let message = "clients with a cookie are moved by no weight, and by no return to 0";
            let remedy = "remove it for the time of the rollout, or accept that the share is not honoured";
            found.push(self.say(own, Code::Affinity, "affinity", message, remedy));
        }
        // What one Ingress says of these is true of every path of the host. Of a canary nginx reads none of it.
        let all = self.by_host.get(&location.host).into_iter().flatten();
        for other in all.filter(|other| !is_canary(self.spec, other)) {
            found.extend(self.host_wide(other));
        }
        found
    }

    fn say(&self, json: &Value, code: Code, name: &str, message: &str, remedy: &str) -> Finding {
        finding(
            code,
            ingress(json),
            Some(self.key(name)),
            message.to_owned(),
            remedy,
        )
    }

    /// nginx speaks to the gateway as it does to its own back ends.
    fn protocol(&self, own: &Value) -> Option<Finding> {
        const NAME: &str = "backend-protocol";
        let protocol = annotation(self.spec, own, NAME)
            .unwrap_or("HTTP")
            .to_ascii_uppercase();
        let tls = self.spec.gateway.tls.unwrap_or_default();
        // What nginx does not know it takes for HTTP.
        match (protocol.as_str(), tls) {
            ("AUTO_HTTP" | "FCGI", _) => {
                let message = format!("{protocol} is not spoken by the split listener");
                Some(self.say(
                    own,
                    Code::BackendProtocol,
                    NAME,
                    &message,
                    "leave this Ingress out",
                ))
            }
            ("HTTPS" | "GRPCS", false) => {
                let message = format!("nginx speaks {protocol} to the gateway too, and sends no name");
                let remedy = "give the split listener TLS for hosts `*` and set gateway.tls: true";
                Some(self.say(own, Code::TlsBackend, NAME, &message, remedy))
            }
            ("HTTPS" | "GRPCS", true) | (_, false) => None,
            (_, true) => {
                let message = "nginx speaks plain text to the gateway, and gateway.tls is true";
                let remedy = "use a component of its own with a plain split listener";
                Some(self.say(own, Code::PlainBackend, NAME, message, remedy))
            }
        }
    }

    fn snippet(&self, json: &Value, name: &str) -> Option<Finding> {
        let (code, message, remedy) = match read(annotation(self.spec, json, name)?) {
            Snippet::Answers => (
                Code::SnippetReturns,
                "answers or rewrites by itself before the split",
                "express it in Istio, or leave the Ingresses of its host out",
            ),
            Snippet::SetsHost => (
                Code::UpstreamVhost,
                "sends another Host on than the client's, which Istio chooses its route by",
                "say it by the annotation upstream-vhost and give Istio a route for it, or leave this Ingress out",
            ),
            Snippet::Other => (
                Code::Snippet,
                "is applied to both halves; Istio's own edge will not have it",
                "convert it before nginx goes",
            ),
        };
        Some(self.say(json, code, name, message, remedy))
    }

    fn host_wide(&self, other: &Value) -> Vec<Finding> {
        let of = |name: &str| annotation(self.spec, other, name).filter(|v| !v.is_empty());
        let mut found: Vec<Finding> = self.snippet(other, OF_SERVER).into_iter().collect();
        if is_set(self.spec, other, "ssl-passthrough") {
            let message = "nginx passes connections of its hosts on unread, so there is no request to split";
            let remedy = "leave the Ingresses of its hosts out and move them by LB or DNS";
            found.push(self.say(other, Code::SslPassthrough, "ssl-passthrough", message, remedy));
        }
        if of("rewrite-target").is_some() {
            let message = "Istio gets the path that nginx has rewritten already";
            let remedy = "split by a VirtualService of its own for the rewritten path and accept this, or leave the Ingress out";
            found.push(self.say(other, Code::RewriteTarget, "rewrite-target", message, remedy));
        }
        if is_set(self.spec, other, "use-regex") {
            let message = "every path of its hosts is a pattern, also those of other Ingresses";
            let remedy = "write plain paths, or leave the hosts out";
            found.push(self.say(other, Code::UseRegex, "use-regex", message, remedy));
        }
        if of("app-root").is_some() {
            let message = "nginx redirects the root of the host before the split";
            let remedy = "redirect in Istio, or accept that the root is not tested";
            found.push(self.say(other, Code::AppRoot, "app-root", message, remedy));
        }
        found
    }
}
