//! The listener that nginx's share arrives at. It is a Gateway of its own, so routes have to be bound to it as well: what a
//! share meets there without a route is answered with 404.

use super::args::HandingOverArgs;
use super::gateway;
use super::handed::selects;
use super::live::{Live, hosts, texts};
use super::plan::Plan;
use super::read::{from, guarded};
use super::select::shown;
use crate::answering::typed;
use crate::canaries;
use crate::cluster::{self, Cluster, meta};
use crate::convert::Seen;
use crate::convert::args::key;
use crate::finding::{Finding, Severity};
use crate::foreign::ROOT;
use crate::marks;
use crate::see::{items, text};
use crate::trouble::Trouble;
use gradual_rollout_migration::convert::Options;
use gradual_rollout_migration::input::Key;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const LISTENER: &str = "APPLY-SPLIT-LISTENER";

/// The Service and port of `--split`.
pub fn typed_as(split: &str) -> Result<(Key, u16), Trouble> {
    let wrong = || Trouble::Usage(format!("--split {split:?} is no NAMESPACE/SERVICE:PORT"));
    let (service, port) = split.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    Ok((key("--split", service)?, port))
}

/// What a port of a Service leads to.
fn leads(service: &Value, port: u64) -> Option<Value> {
    let mut ports = items(service, "/spec/ports");
    let found = ports.find(|found| found.get("port").and_then(Value::as_u64) == Some(port))?;
    let target = found.get("targetPort").filter(|target| !target.is_null());
    Some(target.cloned().unwrap_or_else(|| port.into()))
}

/// The servers of a Gateway that listen where a port of a Service leads: Istio takes a number for a port of the Service, and
/// where there is none of it for the pods' own.
fn servers<'g>(gateway: &'g Value, service: &Value, port: u16) -> Vec<&'g Value> {
    let to = leads(service, port.into());
    let on = |server: &&Value| {
        let number = server.pointer("/port/number").and_then(Value::as_u64);
        number.is_some_and(|number| {
            let own = leads(service, number).unwrap_or_else(|| number.into());
            number == u64::from(port) || to.as_ref() == Some(&own)
        })
    };
    items(gateway, "/spec/servers").filter(on).collect()
}

/// Whether a Gateway is for the pods of a Service.
fn of_pods(gateway: &Value, service: &Value) -> bool {
    let wanted = gateway.pointer("/spec/selector").and_then(Value::as_object);
    let pods = service.pointer("/spec/selector");
    wanted.is_some_and(|wanted| {
        let has = |(label, value): (&String, &Value)| pods.and_then(|pods| pods.get(label)) == Some(value);
        !wanted.is_empty() && wanted.iter().all(has)
    })
}

/// Finds the Gateway of `--split`, as `namespace/name`; none where nothing is handed over, and what is missing where there is
/// none.
pub async fn find(
    args: &HandingOverArgs,
    options: &Options,
    cluster: &Cluster,
    live: &Live,
) -> Result<Option<Result<String, Finding>>, Trouble> {
    let Some(split) = &args.split else {
        return Ok(None);
    };
    let ((namespace, name), port) = typed_as(split)?;
    let named = args.split_gateway.as_ref();
    let named = named.map(|typed| key("--split-gateway", typed)).transpose()?;
    let all = cluster.all(&cluster::SERVICE, Some(&namespace)).await?;
    let service = all.iter().find(|service| meta(service, "name") == name);
    let say = |message: String, remedy: String| {
        Some(Err(Finding {
            code: LISTENER,
            severity: Severity::Blocker,
            object: cluster::SERVICE.named(&namespace, &name),
            message,
            remedy,
        }))
    };
    let Some(service) = service.filter(|service| leads(service, port.into()).is_some()) else {
        let what = if service.is_some() {
            format!("it has no port {port}")
        } else {
            "it is not there".to_owned()
        };
        return Ok(say(
            format!("{what}: what nginx sends there would arrive nowhere, so nothing is handed over"),
            "give the gateway's Service a port for the split listener, or name another with --split"
                .to_owned(),
        ));
    };
    let listening = |gateway: &&Value| {
        of_pods(gateway, service)
            && !servers(gateway, service, port).is_empty()
            && named.as_ref().is_none_or(|named| gateway::key(gateway) == *named)
    };
    let found: Vec<&Value> = live.all(&cluster::GATEWAY).filter(listening).collect();
    let own = (options.gateway_namespace.clone(), options.gateway_name.clone());
    let written = |gateway: &&&Value| marks::ours(gateway) && gateway::key(gateway) == own;
    if let Some(own) = found.iter().find(written) {
        let (namespace, name) = gateway::key(own);
        return Ok(say(
            format!(
                "its port {port} is a server of Gateway {namespace}/{name}, which apply writes, and where hosts are opened one by one: nothing is handed over"
            ),
            format!(
                "take that server out of it, and make a Gateway for it: {}",
                wanted(options, service, port)
            ),
        ));
    }
    Ok(match found.as_slice() {
        [gateway] => {
            let redirects = servers(gateway, service, port)
                .into_iter()
                .any(|server| server.pointer("/tls/httpsRedirect").and_then(Value::as_bool) == Some(true));
            let (namespace, name) = gateway::key(gateway);
            if redirects {
                say(
                    format!(
                        "Gateway {namespace}/{name} redirects whom it hears on port {port}: nginx's share would go round in circles, so nothing is handed over"
                    ),
                    "take httpsRedirect off the server of the split listener".to_owned(),
                )
            } else {
                Some(Ok(format!("{namespace}/{name}")))
            }
        }
        [] => say(
            format!(
                "no Gateway listens on its port {port}{}, so what nginx sends there would be answered with 404: nothing is handed over",
                named.map_or_else(String::new, |(namespace, name)| format!(
                    " by the name of {namespace}/{name}"
                ))
            ),
            format!(
                "make one, then ask again: {} (docs/routers/ingress-nginx.md)",
                wanted(options, service, port)
            ),
        ),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|gateway| {
                    let (namespace, name) = gateway::key(gateway);
                    format!("{namespace}/{name}")
                })
                .collect();
            say(
                format!("several Gateways listen on its port {port}: {}", shown(&names)),
                "say which one takes nginx's share: --split-gateway NAMESPACE/NAME".to_owned(),
            )
        }
    })
}

/// The Gateway that is missing, for `kubectl apply -f -`.
fn wanted(options: &Options, service: &Value, port: u16) -> String {
    let selector = json!(options.gateway_selector);
    let fits = of_pods(&json!({"spec": {"selector": selector}}), service);
    let selector = if fits {
        selector
    } else {
        service.pointer("/spec/selector").cloned().unwrap_or_default()
    };
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "split", "namespace": meta(service, "namespace")},
        "spec": {"selector": selector, "servers": [
            {"port": {"name": format!("http-{port}"), "number": port, "protocol": "HTTP"}, "hosts": ["*"]},
        ]},
    })
    .to_string()
}

/// Which Ingresses nginx sends a share of to which Gateway.
#[derive(Debug, Default)]
pub struct Bindings {
    all: Vec<(Value, String)>,
}

impl Bindings {
    /// Those of the rollouts that batches were handed to, and of the one that this run writes.
    pub fn new(rollouts: &[Value], body: Option<&Value>) -> Self {
        let own = body.map(gateway::key);
        let handed = rollouts.iter().filter(|rollout| {
            marks::ours(rollout)
                && cluster::annotation(rollout, marks::HANDED_OVER).is_some()
                && Some(gateway::key(rollout)) != own
        });
        let mut all = Vec::new();
        for rollout in handed.chain(body) {
            for component in items(rollout, "/spec/components") {
                let named = items(component, "/routers")
                    .find_map(|router| text(router, "/ingressNginx/gateway/name").map(ToOwned::to_owned));
                if let Some(named) = named {
                    let alone =
                        json!({"metadata": rollout.get("metadata"), "spec": {"components": [component]}});
                    all.push((alone, named));
                }
            }
        }
        Self { all }
    }

    /// Binds a route to the listeners that shares of its Ingresses arrive at.
    pub fn bind(&self, route: &mut Value, seen: &Seen) {
        if items(route, "/spec/http").next().is_none() {
            return;
        }
        let keys = from(route);
        let needed = self.all.iter().filter(|(component, _)| {
            keys.iter().any(|key| {
                let ingress = seen.ingresses.get(key);
                ingress.is_some_and(|ingress| selects(component, key, ingress))
            })
        });
        let needed: BTreeSet<&String> = needed.map(|(_, named)| named).collect();
        if let Some(bound) = route.pointer_mut("/spec/gateways").and_then(Value::as_array_mut) {
            for named in needed {
                if !bound.iter().any(|there| there.as_str() == Some(named)) {
                    bound.push(named.clone().into());
                }
            }
        }
    }
}

/// Whether all that is new about a route is that it is bound to one more Gateway: at those where it was probed it is what it
/// was.
pub fn only_bound(wanted: &Value, live: &Value) -> bool {
    let rest = |route: &Value| {
        let mut spec = marks::spec(route);
        if let Some(spec) = spec.as_object_mut() {
            spec.remove("gateways");
        }
        spec
    };
    let bound: BTreeSet<&str> = texts(wanted, "/spec/gateways").collect();
    let needs = |route: &Value| cluster::annotation(route, marks::NEEDS).map(ToOwned::to_owned);
    rest(wanted) == rest(live)
        && texts(live, "/spec/gateways").all(|there| bound.contains(there))
        && super::item::noted(wanted, live)
        && needs(wanted) == needs(live)
        && marks::untouched(live) == Some(true)
}

/// What there is to say of Ingresses whose share will arrive at a listener.
pub fn judge(
    args: &HandingOverArgs,
    named: &str,
    body: &Value,
    (plan, live, seen): (&Plan, &Live, &Seen),
) -> Vec<Finding> {
    let marked = |key: &Key, ingress: &Value| {
        marks::migrated(ingress) || plan.marks.iter().any(|mark| mark.key == *key)
    };
    let handed: BTreeMap<&Key, &Value> = seen
        .ingresses
        .iter()
        .filter(|(key, ingress)| marked(key, ingress) && selects(body, key, ingress))
        .collect();
    let planned = |kind: &cluster::Kind| -> BTreeMap<gateway::Host, Value> {
        let there = live
            .ours(kind)
            .map(|object| (gateway::key(object), object.clone()));
        let items = plan.items.iter().filter(|item| item.kind == *kind);
        let wanted = items.map(|item| ((item.namespace.clone(), item.name.clone()), item.body.clone()));
        there.chain(wanted).collect()
    };
    let routes = planned(&cluster::VIRTUAL_SERVICE);
    let mine = |route: &&Value| {
        let serving = canaries::serving(route);
        serving.iter().any(|key| handed.contains_key(key)) && items(route, "/spec/http").next().is_some()
    };
    let routes: Vec<&Value> = routes.values().filter(mine).collect();
    let mut findings: Vec<Finding> = unbound(named, &routes, live).into_iter().collect();
    findings.extend(addresses(
        args,
        &routes,
        &planned(&cluster::AUTHORIZATION_POLICY),
        seen,
    ));
    findings.extend(scheme(&handed, &routes));
    findings
}

/// Routes that the listener would not have.
fn unbound(named: &str, routes: &[&Value], live: &Live) -> Option<Finding> {
    let (namespace, name) = named.split_once('/')?;
    let open = live
        .get(&cluster::GATEWAY, namespace, name)
        .map(gateway::opened)
        .unwrap_or_default();
    let lacking = routes.iter().filter(|route| {
        let bound = texts(route, "/spec/gateways").any(|bound| bound == named);
        let of = meta(route, "namespace");
        !bound || !hosts(route).iter().all(|host| gateway::is_open(of, host, &open))
    });
    let (mut names, mut keys) = (Vec::new(), BTreeSet::new());
    for route in lacking {
        let (namespace, name) = gateway::key(route);
        names.push(cluster::VIRTUAL_SERVICE.named(&namespace, &name));
        keys.extend(canaries::serving(route));
    }
    (!names.is_empty()).then(|| Finding {
        code: "APPLY-SPLIT-UNBOUND",
        severity: Severity::Blocker,
        object: cluster::GATEWAY.named(namespace, name),
        message: format!(
            "what nginx sends there would be answered with 404, as it has no route of {}: {}",
            shown(&keys.iter().map(|key| typed([key])).collect::<Vec<_>>()),
            shown(&names)
        ),
        remedy: "name all Ingresses of the namespaces that are handed over (-n, --batch), so that their routes are bound to it; and have its server take all hosts (*)".to_owned(),
    })
}

/// Address lists judge whoever connects: at the split listener that is nginx.
fn addresses(
    args: &HandingOverArgs,
    routes: &[&Value],
    policies: &BTreeMap<gateway::Host, Value>,
    seen: &Seen,
) -> Option<Finding> {
    let named: BTreeSet<String> = routes.iter().flat_map(|route| hosts(route)).collect();
    let lists = policies
        .values()
        .filter(|policy| policy.to_string().contains("pBlocks\"") && !guarded(policy).is_disjoint(&named));
    let lists: Vec<String> = lists
        .map(|policy| {
            let (namespace, name) = gateway::key(policy);
            cluster::AUTHORIZATION_POLICY.named(&namespace, &name)
        })
        .collect();
    if lists.is_empty() || trusts(seen) {
        return None;
    }
    let accepted = args.split_trusts_nginx;
    Some(Finding {
        code: "APPLY-SPLIT-ADDRESSES",
        severity: if accepted {
            Severity::Warning
        } else {
            Severity::Blocker
        },
        object: "batch".to_owned(),
        message: format!(
            "address lists judge who connects to the gateway, which at the split listener is nginx: unless its pods believe what nginx says of the client, all of the share is refused with 403, or let in: {}",
            shown(&lists)
        ),
        remedy: if accepted {
            "accepted: see from outside, with an address on the list and one off it, that the split listener judges the client's".to_owned()
        } else {
            "hand over Ingresses without a list; or have the pods of the split listener believe nginx (gatewayTopology.numTrustedProxies: 1; pods of their own, as at the edge clients would be believed too), see from outside that they do, and say --split-trusts-nginx".to_owned()
        },
    })
}

/// Whether the mesh's gateways believe a proxy before them, as far as its configuration says so. It is read where Istio is
/// installed by default alone: a ConfigMap of that name elsewhere may be a tenant's.
fn trusts(seen: &Seen) -> bool {
    let maps = seen.inventory.config_maps.iter();
    let mut meshes = maps
        .filter(|((namespace, name), _)| namespace == ROOT && name == "istio")
        .filter_map(|(_, map)| map.data.get("mesh"));
    meshes.any(|mesh| {
        let mesh: Option<Value> = serde_saphyr::from_str(mesh).ok();
        let count = mesh.as_ref().and_then(|mesh| {
            mesh.pointer("/defaultConfig/gatewayTopology/numTrustedProxies")?
                .as_u64()
        });
        count.is_some_and(|count| count > 0)
    })
}

/// Back ends are told `http` at the split listener, of hosts that nginx serves by https.
fn scheme(handed: &BTreeMap<&Key, &Value>, routes: &[&Value]) -> Option<Finding> {
    let secure: BTreeSet<&Key> = handed
        .iter()
        .filter(|(_, ingress)| items(ingress, "/spec/tls").next().is_some())
        .map(|(key, _)| *key)
        .collect();
    let says = |rule: &Value| {
        let set = rule.pointer("/headers/request/set").and_then(Value::as_object);
        set.into_iter()
            .flatten()
            .any(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-proto"))
    };
    let silent = routes.iter().filter(|route| {
        let all = items(route, "/spec/http");
        let mut all = all.filter(|rule| rule.get("route").is_some());
        all.any(|rule| !says(rule))
    });
    let told: BTreeSet<String> = silent
        .flat_map(|route| canaries::serving(route))
        .filter(|key| secure.contains(key))
        .map(|key| typed([&key]))
        .collect();
    (!told.is_empty()).then(|| Finding {
        code: "APPLY-SPLIT-SCHEME",
        severity: Severity::Warning,
        object: "batch".to_owned(),
        message: format!(
            "nginx serves them by https, and at the split listener their back ends are told http (X-Forwarded-Proto): one that redirects by that header does so for ever: {}",
            shown(&told.into_iter().collect::<Vec<_>>())
        ),
        remedy: "try the share of one with a back end that looks at the header first; have the pods of the split listener believe nginx (gatewayTopology.numTrustedProxies), or a filter of theirs set it (docs/routers/ingress-nginx.md, ForwardedProto)".to_owned(),
    })
}
