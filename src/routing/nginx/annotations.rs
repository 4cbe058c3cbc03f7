//! Annotations of nginx that a split cannot honour, or that make it another than it looks.

use super::eligibility::{Reader, finding, ingress};
use super::finding::{Code, Finding};
use super::locations::{Location, annotation};
use serde_json::Value;

impl Reader<'_> {
    /// What annotations of the location's own Ingress, and of others with its host, say.
    pub(super) fn annotated(&self, location: &Location) -> Vec<Finding> {
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
        for other in self.by_host.get(&location.host).into_iter().flatten() {
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
