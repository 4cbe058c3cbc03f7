//! Whether back ends behind the split listener learn that the client came by https. nginx tells its own; of Istio's
//! gateway, which believes nobody, they hear what its listener speaks.

use super::eligibility::{Reader, finding, place};
use super::finding::{Code, Finding};
use super::locations::{Location, annotation};
use super::routes::{routes, virtual_service};
use super::select::Split;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Reader<'_> {
    /// One finding for each route that leaves the scheme to the gateway, however many locations it serves: it is one
    /// thing to mend.
    pub(super) fn schemes(&self, splits: &[Split]) -> Vec<Finding> {
        // A listener that speaks TLS says https by itself.
        if self.spec.gateway.tls.unwrap_or_default() {
            return Vec::new();
        }
        let mut told: BTreeMap<(String, usize), (String, &Value, usize)> = BTreeMap::new();
        for split in splits {
            for location in split.places.iter().filter(|l| self.serves_tls(&l.host)) {
                for (by, route) in self.unsaid(location) {
                    let at = routes(by)
                        .position(|r| std::ptr::eq(r, route))
                        .unwrap_or_default();
                    let first = || {
                        let words = format!("{} of {}", place(location), split.upstream);
                        (words, route, 0)
                    };
                    let (_, _, places) = told.entry((virtual_service(by), at)).or_insert_with(first);
                    *places += 1;
                }
            }
        }
        let each = told.into_iter().map(|((object, at), (first, route, places))| {
            let name = route.get("name").and_then(Value::as_str);
            let route = name.map_or_else(|| "the route".to_owned(), |name| format!("route {name}"));
            let more = match places - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let message = format!(
                "{route} leaves it to the gateway to say how the client came, which is http on the split listener; nginx serves {first}{more} by https, and a back end that redirects to https would do so for ever"
            );
            let remedy = "set it in the route: headers: {request: {set: {x-forwarded-proto: https}}}";
            let field = Some(format!("spec.http[{at}].headers.request.set"));
            finding(Code::ForwardedProto, object, field, message, remedy)
        });
        each.collect()
    }

    /// What serves a location under each name that Istio hears, each route once.
    fn unsaid(&self, location: &Location) -> Vec<(&Value, &Value)> {
        let sent = annotation(self.spec, &location.ingress, "upstream-vhost");
        let names = match sent {
            Some(host) => vec![host],
            None => self.names(&location.host),
        };
        let mut found: Vec<(&Value, &Value)> = Vec::new();
        for host in names {
            let elsewhere = |name: &str| name != host && self.by_host.contains_key(name);
            for (by, route) in self
                .bound
                .unsaid(host, &location.path, location.is_prefix(), elsewhere)
            {
                if !found.iter().any(|(_, known)| std::ptr::eq(*known, route)) {
                    found.push((by, route));
                }
            }
        }
        found
    }

    /// Whether nginx serves a host by https: any Ingress of the host may say so, for the server is the host's.
    fn serves_tls(&self, host: &str) -> bool {
        let all = self.by_host.get(host).into_iter().flatten();
        all.flat_map(|ingress| blocks(ingress)).any(|block| {
            let listed = block.get("hosts").and_then(Value::as_array);
            // Without hosts it is the certificate that tells, which is not read: for those of the Ingress.
            listed.is_none_or(|hosts| {
                hosts.is_empty()
                    || hosts
                        .iter()
                        .filter_map(Value::as_str)
                        .any(|name| covers(name, host))
            })
        })
    }
}

fn blocks(ingress: &Arc<Value>) -> impl Iterator<Item = &Value> {
    let listed = ingress.pointer("/spec/tls").and_then(Value::as_array);
    listed.into_iter().flatten()
}

/// Whether a name of a certificate is the host's; a `*` stands for one label.
fn covers(name: &str, host: &str) -> bool {
    let (name, host) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
    let star = |suffix: &str| host.split_once('.').is_some_and(|(_, rest)| rest == suffix);
    name == host || name.strip_prefix("*.").is_some_and(star)
}
