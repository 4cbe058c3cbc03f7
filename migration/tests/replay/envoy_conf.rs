//! An Envoy's configuration as Istio would make it of Gateways, `VirtualServices`, `DestinationRules` and
//! `AuthorizationPolicies`, after its source: listeners, virtual hosts, clusters, access.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::backends::{Backends, Speaks};
use crate::nginx_conf::Files;
use crate::xds;

/// What is known beside the objects.
pub(crate) struct Known<'a> {
    pub(crate) objects: &'a [Value],
    /// What was given: Services tell protocols.
    pub(crate) given: &'a [Value],
    /// Names in the gateway's namespace to files.
    pub(crate) credentials: &'a BTreeMap<String, Files>,
    pub(crate) backends: &'a Backends,
    /// By Service.
    pub(crate) speaks: &'a BTreeMap<String, Speaks>,
    /// `numTrustedProxies` of the gateway.
    pub(crate) trusted: u8,
}

impl Known<'_> {
    fn of(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }
}

/// Bootstrap with everything, for a folder of its own.
pub(crate) fn bootstrap(folder: &Path, known: &Known<'_>) -> Value {
    let clear = listener(
        folder,
        "edge.sock",
        vec![chain(known, &servers(known, "HTTP"), 80, None)],
    );
    let over_tls = servers(known, "HTTPS").into_iter().map(|server| {
        let credential = server.1["tls"]["credentialName"].as_str().unwrap();
        chain(known, &[server], 443, known.credentials.get(credential))
    });
    let mut listeners = vec![clear];
    let over_tls: Vec<Value> = over_tls.collect();
    if !over_tls.is_empty() {
        listeners.push(listener(folder, "tls.sock", over_tls));
    }
    json!({ "static_resources": { "listeners": listeners, "clusters": clusters(known) } })
}

fn listener(folder: &Path, socket: &str, chains: Vec<Value>) -> Value {
    let filter = |name: &str, kind: &str| {
        json!({
            "name": format!("envoy.filters.listener.{name}"),
            "typed_config": {
                "@type": format!("type.googleapis.com/envoy.extensions.filters.listener.{name}.v3.{kind}"),
            },
        })
    };
    json!({
        "name": socket,
        "address": { "pipe": { "path": folder.join(socket) } },
        "listener_filters": [filter("proxy_protocol", "ProxyProtocol"), filter("tls_inspector", "TlsInspector")],
        "filter_chains": chains,
    })
}

/// A Gateway's `namespace/name` and one of its servers.
type Server<'a> = (String, &'a Value);

fn servers<'a>(known: &'a Known<'_>, protocol: &'static str) -> Vec<Server<'a>> {
    let all = known.of("Gateway").flat_map(|gateway| {
        let meta = &gateway["metadata"];
        let name = format!(
            "{}/{}",
            meta["namespace"].as_str().unwrap(),
            meta["name"].as_str().unwrap()
        );
        let servers = gateway["spec"]["servers"].as_array().unwrap();
        servers.iter().map(move |server| (name.clone(), server))
    });
    all.filter(|(_, server)| server["port"]["protocol"] == protocol)
        .collect()
}

/// In clear one for all servers; over TLS one for each, by the name that the client asks for.
fn chain(known: &Known<'_>, servers: &[Server<'_>], port: u64, files: Option<&Files>) -> Value {
    let filter = |name: &str, message: &str, mut config: Value| {
        config["@type"] = json!(format!(
            "type.googleapis.com/envoy.extensions.filters.http.{name}.v3.{message}"
        ));
        json!({ "name": format!("envoy.filters.http.{name}"), "typed_config": config })
    };
    let mut filters: Vec<Value> = known
        .of("AuthorizationPolicy")
        .map(|policy| filter("rbac", "RBAC", json!({ "rules": rules(&policy["spec"]) })))
        .collect();
    filters.push(filter("cors", "Cors", json!({})));
    filters.push(filter("router", "Router", json!({})));
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "normalize_path": true,
        "use_remote_address": true,
        "xff_num_trusted_hops": known.trusted,
        "delayed_close_timeout": "0s",
        "stream_idle_timeout": "0s",
        "upgrade_configs": [{ "upgrade_type": "websocket" }],
        "http_filters": filters,
        "route_config": {
            "ignore_port_in_host_matching": true,
            "virtual_hosts": virtual_hosts(known, servers, port),
        },
    });
    let mut chain = json!({
        "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }],
    });
    if let Some(files) = files {
        let names: Vec<&str> = servers
            .iter()
            .flat_map(|(_, server)| hosts(server))
            .map(|host| host.1)
            .collect();
        if !names.contains(&"*") {
            chain["filter_chain_match"] = json!({ "server_names": names });
        }
        chain["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "alpn_protocols": ["h2", "http/1.1"],
                    "tls_certificates": [{
                        "certificate_chain": { "filename": files.chain },
                        "private_key": { "filename": files.key },
                    }],
                },
            },
        });
    }
    chain
}

/// A server's hosts with the namespaces whose `VirtualServices` may have them.
fn hosts(server: &Value) -> impl Iterator<Item = (&str, &str)> {
    let all = server["hosts"].as_array().unwrap().iter();
    all.map(|host| host.as_str().unwrap().split_once('/').unwrap())
}

/// The narrower of two hosts that have names in common.
fn both<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    let within = |host: &str, wide: &str| {
        wide.strip_prefix('*')
            .map_or(host == wide, |rest| host.trim_start_matches('*').ends_with(rest))
    };
    if within(one, other) {
        Some(one)
    } else {
        within(other, one).then_some(other)
    }
}

/// Every host of the servers with the routes of each `VirtualService` that has it, one list behind the other.
fn virtual_hosts(known: &Known<'_>, servers: &[Server<'_>], port: u64) -> Vec<Value> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for service in known.of("VirtualService") {
        let bound = service["spec"]["gateways"].as_array().unwrap();
        let mine = servers
            .iter()
            .filter(|(gateway, _)| bound.contains(&json!(gateway)));
        let listed = mine.flat_map(|(_, server)| hosts(server));
        let open = listed
            .filter(|(namespace, _)| *namespace == "*" || service["metadata"]["namespace"] == *namespace);
        let own = service["spec"]["hosts"].as_array().unwrap();
        let names: BTreeSet<&str> = open
            .flat_map(|(_, host)| {
                own.iter()
                    .filter_map(move |own| both(host, own.as_str().unwrap()))
            })
            .collect();
        let empty = Vec::new();
        let http = service["spec"]["http"].as_array().unwrap_or(&empty);
        let mut routes = xds::routes(http, Some(port), &|to| cluster_name(to));
        for route in &mut routes {
            hash(known, route);
        }
        for name in names {
            found.entry(name.to_owned()).or_default().extend(routes.clone());
        }
    }
    // A host without a route is not written.
    found
        .into_iter()
        .filter(|(_, routes)| !routes.is_empty())
        .map(|(host, routes)| json!({ "name": host, "domains": [host], "routes": routes }))
        .collect()
}

fn cluster_name(destination: &Value) -> String {
    format!(
        "outbound|{}||{}",
        destination["port"]["number"],
        destination["host"].as_str().unwrap()
    )
}

/// What a `DestinationRule` says of a port.
fn policy<'a>(known: &'a Known<'_>, host: &str, port: u64) -> Option<&'a Value> {
    let rule = known
        .of("DestinationRule")
        .find(|rule| rule["spec"]["host"] == host)?;
    let mut settings = rule["spec"]["trafficPolicy"]["portLevelSettings"]
        .as_array()?
        .iter();
    settings.find(|setting| setting["port"]["number"] == port)
}

/// A cookie that keeps a client at one pod.
fn hash(known: &Known<'_>, route: &mut Value) {
    let Some(cluster) = route["route"]["cluster"].as_str() else {
        return;
    };
    let mut parts = cluster.split('|');
    let port = parts.nth(1).and_then(|port| port.parse().ok()).unwrap();
    let host = parts.nth(1).unwrap().to_owned();
    let cookie =
        policy(known, &host, port).map(|policy| &policy["loadBalancer"]["consistentHash"]["httpCookie"]);
    let Some(cookie) = cookie.filter(|cookie| cookie.is_object()) else {
        return;
    };
    let mut cookie = cookie.clone();
    if cookie["attributes"].is_null() {
        cookie.as_object_mut().unwrap().remove("attributes");
    }
    route["route"]["hash_policy"] = json!([{ "cookie": cookie }]);
}

/// Every port of every destination.
fn clusters(known: &Known<'_>) -> Vec<Value> {
    let mut found: BTreeMap<String, &Value> = BTreeMap::new();
    for service in known.of("VirtualService") {
        for route in service["spec"]["http"].as_array().into_iter().flatten() {
            for to in route["route"].as_array().into_iter().flatten() {
                found.insert(cluster_name(&to["destination"]), &to["destination"]);
            }
        }
    }
    found
        .into_iter()
        .map(|(name, to)| cluster(known, &name, to))
        .collect()
}

fn cluster(known: &Known<'_>, name: &str, destination: &Value) -> Value {
    let host = destination["host"].as_str().unwrap();
    let port = destination["port"]["number"].as_u64().unwrap();
    let service = host.split('.').next().unwrap();
    let endpoint = |address: std::net::SocketAddr| {
        json!({ "endpoint": { "address": { "socket_address": {
            "address": address.ip().to_string(), "port_value": address.port(),
        } } } })
    };
    let speaks = known.speaks.get(service).copied().unwrap_or_default();
    let endpoints: Vec<Value> = known.backends.of(speaks).into_iter().map(endpoint).collect();
    let none = json!({});
    let policy = policy(known, host, port).unwrap_or(&none);
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] },
    });
    if policy["loadBalancer"]["consistentHash"].is_object() {
        cluster["lb_policy"] = json!("RING_HASH");
    }
    if policy["connectionPool"]["http"]["h2UpgradePolicy"] == "UPGRADE" || named_http2(known, host, port) {
        cluster["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http2_protocol_options": {} },
            },
        });
    }
    if policy["tls"]["mode"] == "SIMPLE" {
        let mut context = json!({});
        if policy["tls"]["insecureSkipVerify"] != json!(true) {
            // Istio verifies with the system's authorities otherwise.
            context["validation_context"] =
                json!({ "trusted_ca": { "filename": "/etc/ssl/certs/ca-certificates.crt" } });
        }
        cluster["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": context,
                "sni": policy["tls"]["sni"].as_str().unwrap_or_default(),
            },
        });
    }
    cluster
}

/// A Service's port whose name or protocol says HTTP/2.
fn named_http2(known: &Known<'_>, host: &str, port: u64) -> bool {
    let mut parts = host.split('.');
    let (name, namespace) = (parts.next().unwrap(), parts.next().unwrap());
    let service = known.given.iter().find(|object| {
        object["kind"] == "Service"
            && object["metadata"]["name"] == name
            && object["metadata"]["namespace"] == namespace
    });
    let ports = service.and_then(|service| service["spec"]["ports"].as_array());
    let port = ports.into_iter().flatten().find(|known| known["port"] == port);
    port.is_some_and(|port| {
        let word = port["appProtocol"]
            .as_str()
            .or_else(|| port["name"].as_str())
            .unwrap_or_default();
        ["grpc", "http2", "kubernetes.io/h2c"]
            .iter()
            .any(|known| word.starts_with(known))
    })
}

/// A policy as Envoy's own: one entry for each rule.
fn rules(spec: &Value) -> Value {
    let mut policies = serde_json::Map::new();
    for (number, rule) in spec["rules"].as_array().unwrap().iter().enumerate() {
        let sources = rule["from"]
            .as_array()
            .unwrap()
            .iter()
            .map(|from| principal(&from["source"]));
        let operations = rule["to"]
            .as_array()
            .unwrap()
            .iter()
            .map(|to| permission(&to["operation"]));
        policies.insert(
            format!("{number}"),
            json!({ "principals": sources.collect::<Vec<_>>(), "permissions": operations.collect::<Vec<_>>() }),
        );
    }
    json!({ "action": spec["action"], "policies": policies })
}

fn principal(source: &Value) -> Value {
    let ranges = |field: &str| -> Option<Value> {
        let all = source[field].as_array()?.iter().map(|range| {
            let range = range.as_str().unwrap();
            let (address, length) = range.split_once('/').unwrap_or((range, "32"));
            json!({ "remote_ip": { "address_prefix": address, "prefix_len": length.parse::<u8>().unwrap() } })
        });
        Some(json!({ "or_ids": { "ids": all.collect::<Vec<_>>() } }))
    };
    let within = ranges("remoteIpBlocks");
    let without = ranges("notRemoteIpBlocks").map(|ids| json!({ "not_id": ids }));
    let all: Vec<Value> = within.into_iter().chain(without).collect();
    json!({ "and_ids": { "ids": all } })
}

fn permission(operation: &Value) -> Value {
    // A star at an end is a beginning or an end, one alone is anything.
    let text = |text: &str| {
        if text == "*" {
            json!({ "safe_regex": { "regex": ".+" } })
        } else if let Some(rest) = text.strip_suffix('*') {
            json!({ "prefix": rest })
        } else if let Some(rest) = text.strip_prefix('*') {
            json!({ "suffix": rest })
        } else {
            json!({ "exact": text })
        }
    };
    let host = |name: &str| {
        let mut matched = text(name);
        if matched.get("safe_regex").is_none() {
            matched["ignore_case"] = json!(true);
        }
        json!({ "header": { "name": ":authority", "string_match": matched } })
    };
    let path = |name: &str| json!({ "url_path": { "path": text(name) } });
    let any = |field: &str, one: &dyn Fn(&str) -> Value| -> Option<Value> {
        let all = operation[field].as_array()?.iter();
        let all: Vec<Value> = all.map(|word| one(word.as_str().unwrap())).collect();
        Some(json!({ "or_rules": { "rules": all } }))
    };
    let without = any("notPaths", &path).map(|rules| json!({ "not_rule": rules }));
    let all: Vec<Value> = any("hosts", &host)
        .into_iter()
        .chain(any("paths", &path))
        .chain(without)
        .collect();
    json!({ "and_rules": { "rules": all } })
}
