//! The Ingresses: whose hosts they are, what shares an upstream, what cannot be split, what is behind them.

use super::code::{self, Code};
use super::controller::Controller;
use super::picture::{Key, Picture};
use crate::answering::on;
use crate::finding::Finding;
use crate::see::{self, annotation, items, label, text};
use gradual_rollout_migration::input;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One path of an Ingress that leads to a Service.
struct Route {
    host: String,
    path: String,
    /// Namespace, Service and port: what nginx knows an upstream by.
    upstream: (String, String, String),
    canary: bool,
}

/// How many names a message has before it only counts.
const NAMED: usize = 5;

/// Looks at the Ingresses that are migrated.
pub(super) fn check(
    picture: &Picture,
    controllers: &[Controller<'_>],
    ingresses: &[&Value],
    found: &mut Vec<Finding>,
) {
    let prefix = controllers
        .first()
        .map_or("nginx.ingress.kubernetes.io", Controller::prefix);
    let routes: Vec<Route> = ingresses
        .iter()
        .flat_map(|ingress| routes(ingress, prefix))
        .collect();
    owners(ingresses, found);
    upstreams(&routes, found);
    backends(picture, &routes, found);
    for workload in picture.workloads().filter(|workload| names_ingresses(workload)) {
        found.push(code::EXTERNAL_DNS.at(see::object(workload), "it runs with --source=ingress"));
    }
    let mut groups: BTreeMap<(&'static str, String), (Code, Vec<String>)> = BTreeMap::new();
    let snippets = Snippets::of(picture, controllers);
    for ingress in ingresses {
        for (code, reason) in peculiar(ingress, prefix, &snippets) {
            let group = groups
                .entry((code.name, reason))
                .or_insert_with(|| (code, Vec::new()));
            let place = see::place(Some(see::namespace(ingress)), see::name(ingress));
            group.1.push(place);
        }
    }
    for ((_, reason), (code, places)) in groups {
        found.push(code.at("Ingresses", format!("{reason}: {}", named(&places))));
    }
}

/// Whether a workload is an external-dns that writes names of Ingresses.
fn names_ingresses(workload: &Value) -> bool {
    items(workload, "/spec/template/spec/containers")
        .flat_map(|container| items(container, "/command").chain(items(container, "/args")))
        .any(|word| word == "--source=ingress")
}

/// The first few of many.
pub(super) fn named(all: &[String]) -> String {
    let head: Vec<&str> = all.iter().take(NAMED).map(String::as_str).collect();
    match all.len().saturating_sub(NAMED) {
        0 => head.join(", "),
        more => format!("{} and {more} more", head.join(", ")),
    }
}

fn routes(ingress: &Value, prefix: &str) -> Vec<Route> {
    let namespace = see::namespace(ingress);
    let canary = annotation(ingress, &format!("{prefix}/canary")).is_some_and(on);
    let mut routes = Vec::new();
    for rule in items(ingress, "/spec/rules") {
        for path in items(rule, "/http/paths") {
            let Some(service) = text(path, "/backend/service/name") else {
                continue;
            };
            let port = path.pointer("/backend/service/port");
            let port = port
                .and_then(|port| port.get("number").map(ToString::to_string))
                .or_else(|| port.and_then(|port| text(port, "/name").map(ToOwned::to_owned)));
            routes.push(Route {
                host: text(rule, "/host")
                    .filter(|host| !host.is_empty())
                    .unwrap_or("*")
                    .to_owned(),
                path: text(path, "/path").unwrap_or("/").to_owned(),
                upstream: (namespace.to_owned(), service.to_owned(), port.unwrap_or_default()),
                canary,
            });
        }
    }
    routes
}

fn owners(ingresses: &[&Value], found: &mut Vec<Finding>) {
    let mut hosts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for ingress in ingresses {
        for host in items(ingress, "/spec/rules").filter_map(|rule| text(rule, "/host")) {
            hosts.entry(host).or_default().insert(see::namespace(ingress));
        }
    }
    for (host, namespaces) in hosts.into_iter().filter(|(_, owners)| owners.len() > 1) {
        let namespaces: Vec<String> = namespaces.into_iter().map(ToOwned::to_owned).collect();
        found.push(code::HOST_OWNERS.at(
            format!("host {host}"),
            format!("it has Ingresses in {}", named(&namespaces)),
        ));
    }
}

fn upstreams(routes: &[Route], found: &mut Vec<Finding>) {
    let mut shared: BTreeMap<&(String, String, String), BTreeSet<String>> = BTreeMap::new();
    for route in routes.iter().filter(|route| !route.canary) {
        let at = format!("{}{}", route.host, route.path);
        shared.entry(&route.upstream).or_default().insert(at);
    }
    for ((namespace, service, port), places) in shared.into_iter().filter(|(_, places)| places.len() > 1) {
        let places: Vec<String> = places.into_iter().collect();
        found.push(code::UPSTREAM_SHARED.at(
            format!("Service {namespace}/{service}:{port}"),
            format!("{} paths lead to it: {}", places.len(), named(&places)),
        ));
    }
}

fn backends(picture: &Picture, routes: &[Route], found: &mut Vec<Finding>) {
    if !picture.sees("Service") {
        return;
    }
    let services: BTreeMap<Key, &Value> = picture
        .of("Service")
        .iter()
        .map(|service| (super::picture::key(service), service))
        .collect();
    let ready = ready_services(picture);
    let asked: BTreeSet<Key> = routes
        .iter()
        .map(|route| (route.upstream.0.clone(), route.upstream.1.clone()))
        .collect();
    for key in asked {
        let object = format!("Service {}/{}", key.0, key.1);
        match services.get(&key) {
            None => found.push(code::BACKEND_MISSING.at(object, "an Ingress names it, and it is not there")),
            Some(service)
                if text(service, "/spec/type") != Some("ExternalName")
                    && picture.sees("EndpointSlice")
                    && !ready.contains(&key) =>
            {
                found.push(code::BACKEND_DOWN.at(object, "none of its endpoints is ready"));
            }
            Some(_) => {}
        }
    }
}

/// Services with a ready endpoint.
pub(super) fn ready_services(picture: &Picture) -> BTreeSet<Key> {
    let ready = |slice: &&Value| {
        // An unknown state is to be taken for ready, says the API.
        items(slice, "/endpoints")
            .any(|endpoint| endpoint.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false))
    };
    picture
        .of("EndpointSlice")
        .iter()
        .filter(ready)
        .filter_map(|slice| {
            let service = label(slice, "kubernetes.io/service-name")?;
            Some((see::namespace(slice).to_owned(), service.to_owned()))
        })
        .collect()
}

/// What becomes of snippets, at the controller that takes most of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Snippets {
    /// None is read.
    Ignored,
    /// They are allowed, and riskier than the level that is: an Ingress with one is refused.
    TooRisky(String),
    /// They work.
    Read,
}

impl Snippets {
    fn of(picture: &Picture, controllers: &[Controller<'_>]) -> Self {
        let one = |controller: &Controller<'_>| {
            let config = controller.settings(picture, "configmap");
            let says = |key: &str| config.and_then(|config| text(config, &format!("/data/{key}")));
            if controller.snippets(picture) == input::Snippets::Inert {
                return Self::Ignored;
            }
            let level = says("annotations-risk-level").unwrap_or(usual_risk(controller));
            if level.eq_ignore_ascii_case("Critical") {
                Self::Read
            } else {
                Self::TooRisky(level.to_owned())
            }
        };
        // Of a controller that is not seen nothing is known.
        controllers.iter().map(one).max().unwrap_or(Self::Read)
    }

    /// Why a snippet has no effect; none where it has.
    fn inert(&self) -> Option<String> {
        match self {
            Self::Ignored => Some(String::new()),
            Self::TooRisky(level) => Some(format!(
                " (allow-snippet-annotations is on, and annotations-risk-level is {level}, which they are over: nginx refuses the Ingress)"
            )),
            Self::Read => None,
        }
    }
}

/// The level of risk that a controller takes where nothing says it: High since 1.12, and before that, or where its image
/// does not tell, every one.
fn usual_risk(controller: &Controller<'_>) -> &'static str {
    let version = |image: &str| -> Option<(u32, u32)> {
        let (_, tag) = image.split('@').next()?.rsplit_once(':')?;
        let mut parts = tag.trim_start_matches('v').split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let new = items(controller.object, "/spec/template/spec/containers")
        .filter_map(|container| text(container, "/image"))
        .filter(|image| image.contains("ingress-nginx"))
        .filter_map(version)
        .any(|version| version >= (1, 12));
    if new { "High" } else { "Critical" }
}

/// What is special about an Ingress, by the annotation that makes it so.
fn peculiar(ingress: &Value, prefix: &str, snippets: &Snippets) -> Vec<(Code, String)> {
    let mut all = Vec::new();
    let given =
        |name: &str| annotation(ingress, &format!("{prefix}/{name}")).filter(|value| !value.is_empty());
    if given("canary").is_some_and(on) {
        all.push((code::CANARY_PRESENT, "canary".to_owned()));
    }
    for name in ["rewrite-target", "app-root", "upstream-vhost"] {
        if given(name).is_some() {
            all.push((code::SPLIT_INELIGIBLE, name.to_owned()));
        }
    }
    for name in ["use-regex", "ssl-passthrough"] {
        if given(name).is_some_and(on) {
            all.push((code::SPLIT_INELIGIBLE, name.to_owned()));
        }
    }
    if let Some(protocol) = given("backend-protocol")
        .filter(|protocol| ["HTTPS", "GRPCS"].contains(&protocol.to_ascii_uppercase().as_str()))
    {
        all.push((code::SPLIT_INELIGIBLE, format!("backend-protocol {protocol}")));
    }
    if given("affinity") == Some("cookie") {
        all.push((code::SPLIT_STICKY, "affinity cookie".to_owned()));
    }
    for name in [
        "configuration-snippet",
        "server-snippet",
        "stream-snippet",
        "auth-snippet",
        "modsecurity-snippet",
    ] {
        if given(name).is_some()
            && let Some(why) = snippets.inert()
        {
            all.push((code::SNIPPET_INERT, format!("{name}{why}")));
        }
    }
    let tools = [
        "argocd.argoproj.io/instance",
        "helm.toolkit.fluxcd.io/name",
        "kustomize.toolkit.fluxcd.io/name",
    ];
    if label(ingress, "app.kubernetes.io/managed-by") == Some("Helm") {
        all.push((code::INGRESS_MANAGED, "Helm".to_owned()));
    }
    if let Some(tool) = tools.into_iter().find(|tool| label(ingress, tool).is_some()) {
        all.push((code::INGRESS_MANAGED, tool.to_owned()));
    }
    if let Some(kind) = items(ingress, "/metadata/ownerReferences").find_map(|owner| text(owner, "/kind")) {
        all.push((code::INGRESS_MANAGED, format!("owned by a {kind}")));
    }
    let external = "external-dns.alpha.kubernetes.io/";
    let annotated = see::entries(ingress, "/metadata/annotations").any(|(key, _)| key.starts_with(external));
    if annotated {
        all.push((code::EXTERNAL_DNS, "annotated for external-dns".to_owned()));
    }
    all
}
