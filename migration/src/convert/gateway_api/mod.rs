//! Objects of the Gateway API: what was decided for Istio, said in rules whose order is their precision.
//!
//! An `HTTPRoute` has no order of its own: exact paths come first, then the longest prefix by elements, then those with
//! more headers. In plain servers that is nginx's order too. Hosts of regular expressions need an implementation that
//! takes the longer one first, and are written only where that is allowed. What cannot be said is refused before
//! anything is written ([`unsaid`]); a rule that has to answer an error has no back end, and clients get 404 or 500.
//!
//! Source: gateway-api v1.5, `HTTPRoute` and its CEL rules.

mod listeners;
mod routes;
mod rules;
pub(super) mod unsaid;

use super::emit::{Served, Written};
use super::names;
use super::options::{GatewayApi, Options};
use super::tls;
use crate::report::Code;
use listeners::Listeners;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const GROUP: &str = "gateway.networking.k8s.io";

/// Writes everything: Gateways, `HTTPRoutes`, `ReferenceGrants`.
pub(super) fn write(served: &[Served], wishes: &GatewayApi, options: &Options) -> Written {
    let mut written = Written {
        hosts: served.len(),
        ..Written::default()
    };
    let mut listeners = Listeners::default();
    for host in served {
        let mut credential = None;
        if let Some(secret) = &host.security.secret {
            let (name, copy) = tls::credential(secret, options);
            written.secrets.extend(copy);
            credential = Some(name);
        }
        listeners.add(&host.namespace, &host.host, credential);
    }
    let layout = listeners.laid_out();
    if layout.gateways() > 1 {
        written.controller.push(Code::GatewayListeners);
    }
    if served.iter().any(|host| host.host == "*") {
        written.controller.push(Code::GatewayStatus);
    }
    written.objects.extend(layout.objects(wishes, options));
    let mut grants = Grants::default();
    for host in served {
        written
            .objects
            .extend(routes::objects(host, &layout, wishes, options, &mut grants));
    }
    written.objects.extend(grants.objects());
    written
}

/// Services of one namespace that routes of another lead to.
#[derive(Default)]
struct Grants(BTreeMap<(String, String), BTreeSet<String>>);

impl Grants {
    /// A route in `from` leads to a Service.
    fn add(&mut self, from: &str, namespace: &str, service: &str) {
        if from != namespace {
            let key = (namespace.to_owned(), from.to_owned());
            self.0.entry(key).or_default().insert(service.to_owned());
        }
    }

    fn objects(self) -> impl Iterator<Item = Value> {
        self.0.into_iter().map(|((namespace, from), services)| {
            let to: Vec<Value> = services
                .into_iter()
                .map(|name| json!({"group": "", "kind": "Service", "name": name}))
                .collect();
            let name = names::label(&format!("routes-of-{from}"), &[&from]);
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1beta1",
                "kind": "ReferenceGrant",
                "metadata": {"name": name, "namespace": namespace, "labels": super::meta().labels},
                "spec": {"from": [{"group": GROUP, "kind": "HTTPRoute", "namespace": from}], "to": to},
            })
        })
    }
}
