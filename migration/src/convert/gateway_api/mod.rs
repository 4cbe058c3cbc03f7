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
use super::objects::{Kept, Objects};
use super::options::{GatewayApi, Options};
use super::tls;
use crate::report::Code;
use listeners::{Layout, Listeners};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const GROUP: &str = "gateway.networking.k8s.io";

/// Hosts, and all that is needed to write them.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    served: Vec<Served>,
    layout: Layout,
    gateways: Vec<Value>,
    grants: Vec<Value>,
    wishes: GatewayApi,
    options: Options,
}

impl Routes {
    /// Gateways, `HTTPRoutes`, `ReferenceGrants`.
    pub(super) fn iter(&self) -> impl Iterator<Item = Value> + '_ {
        let routes = self
            .served
            .iter()
            .flat_map(|host| routes::objects(host, &self.layout, &self.wishes, &self.options));
        let (gateways, grants) = (self.gateways.iter().cloned(), self.grants.iter().cloned());
        gateways.chain(routes).chain(grants)
    }

    pub(super) fn grants(&self) -> &[Value] {
        &self.grants
    }
}

/// Lays everything out.
pub(super) fn write(served: Vec<Served>, wishes: &GatewayApi, options: &Options) -> Written {
    let mut secrets = BTreeSet::new();
    let mut controller = Vec::new();
    let mut listeners = Listeners::default();
    for host in &served {
        let mut credential = None;
        if let Some(secret) = &host.security.secret {
            let (name, copy) = tls::credential(secret, options);
            secrets.extend(copy);
            credential = Some(name);
        }
        listeners.add(&host.namespace, &host.host, credential);
    }
    let layout = listeners.laid_out();
    if layout.gateways() > 1 {
        controller.push(Code::GatewayListeners);
    }
    if served.iter().any(|host| host.host == "*") {
        controller.push(Code::GatewayStatus);
    }
    let mut grants = Grants::default();
    for host in &served {
        let routes = host.spec.http.iter().flat_map(|route| &route.route);
        let services = routes.filter_map(|to| rules::service(&to.destination.host, options));
        for (service, namespace) in services {
            grants.add(&host.namespace, namespace, service);
        }
    }
    Written {
        hosts: served.len(),
        secrets,
        controller,
        objects: Objects(Kept::GatewayApi(Box::new(Routes {
            gateways: layout.objects(wishes, options),
            grants: grants.objects().collect(),
            served,
            layout,
            wishes: wishes.clone(),
            options: options.clone(),
        }))),
    }
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
