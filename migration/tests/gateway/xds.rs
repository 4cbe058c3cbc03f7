//! A gateway's configuration as Istio makes it of `VirtualServices` on a plain server for every host.

use std::net::SocketAddr;
use std::path::Path;

use gradual_rollout_migration::model::envoy::PathNormalization;
use serde_json::{Value, json};

/// A bootstrap with all of it, listening on `socket`, in front of one back end.
pub(crate) fn bootstrap(
    services: &[Value],
    socket: &Path,
    backend: SocketAddr,
    how: PathNormalization,
) -> Value {
    let hosts: Vec<Value> = services.iter().flat_map(virtual_hosts).collect();
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "normalize_path": how != PathNormalization::None,
        "merge_slashes": matches!(how, PathNormalization::MergeSlashes | PathNormalization::DecodeAndMergeSlashes),
        "path_with_escaped_slashes_action": match how {
            PathNormalization::DecodeAndMergeSlashes => "UNESCAPE_AND_FORWARD",
            PathNormalization::None | PathNormalization::Normalize | PathNormalization::MergeSlashes => "KEEP_UNCHANGED",
        },
        "use_remote_address": true,
        "delayed_close_timeout": "0s",
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
        "route_config": { "ignore_port_in_host_matching": true, "virtual_hosts": hosts },
    });
    json!({ "static_resources": {
        "listeners": [{
            "address": { "pipe": { "path": socket } },
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }] }],
        }],
        "clusters": [{
            "name": "echo",
            "type": "STATIC",
            "load_assignment": { "cluster_name": "echo", "endpoints": [{ "lb_endpoints": [{
                "endpoint": { "address": { "socket_address": {
                    "address": backend.ip().to_string(), "port_value": backend.port(),
                } } },
            }] }] },
        }],
    } })
}

/// One for each host, since no two objects here share one.
fn virtual_hosts(service: &Value) -> Vec<Value> {
    let spec = &service["spec"];
    let routes = routes(spec["http"].as_array().unwrap(), None, &|_| "echo".to_owned());
    let hosts = spec["hosts"].as_array().unwrap().iter();
    hosts
        .map(|host| json!({ "name": host, "domains": [host], "routes": routes }))
        .collect()
}

/// What a destination's cluster is called.
pub(crate) type Clusters<'a> = &'a dyn Fn(&Value) -> String;

/// The routes of an object on a port of the gateway, up to the first that takes everything.
pub(crate) fn routes(http: &[Value], port: Option<u64>, clusters: Clusters<'_>) -> Vec<Value> {
    let mut routes = Vec::new();
    'all: for route in http {
        let matches = route["match"].as_array().cloned().unwrap_or_default();
        if matches.is_empty() {
            routes.push(self::route(route, &json!({}), clusters));
            break;
        }
        for mut wanted in matches {
            // Istio leaves a route out where its port is another.
            let own = wanted["port"].take();
            wanted.as_object_mut().unwrap().remove("port");
            if port.is_some() && !own.is_null() && own.as_u64() != port {
                continue;
            }
            routes.push(self::route(route, &wanted, clusters));
            let text = wanted.to_string();
            if text == "{}" || text == r#"{"uri":{"prefix":"/"}}"# || text == r#"{"uri":{"regex":".*"}}"# {
                break 'all;
            }
        }
    }
    routes
}

fn route(route: &Value, wanted: &Value, clusters: Clusters<'_>) -> Value {
    let mut built = json!({ "match": matcher(wanted) });
    for (way, field) in [("request", "request_headers"), ("response", "response_headers")] {
        let operations = &route["headers"][way];
        let set = operations["set"].as_object().into_iter().flatten();
        let set: Vec<Value> = set.map(|(name, value)| added(name, value)).collect();
        if !set.is_empty() {
            built[format!("{field}_to_add")] = json!(set);
        }
        if operations["remove"].is_array() {
            built[format!("{field}_to_remove")] = operations["remove"].clone();
        }
    }
    if let Some(redirect) = route.get("redirect") {
        built["redirect"] = self::redirect(redirect);
        return built;
    }
    if let Some(direct) = route.get("directResponse") {
        built["direct_response"] = json!({ "status": direct["status"] });
        return built;
    }
    // Istio sets none where the object says none; Envoy's own would be 15 s.
    let mut action = json!({ "timeout": "0s" });
    if let Some(policy) = retries(route.get("retries")) {
        action["retry_policy"] = policy;
    }
    if let Some(cors) = route.get("corsPolicy") {
        built["typed_per_filter_config"] = json!({ "envoy.filters.http.cors": self::cors(cors) });
    }
    if let Some(rewrite) = route.get("rewrite") {
        if let Some(uri) = rewrite.get("uri") {
            action["prefix_rewrite"] = uri.clone();
        }
        if let Some(regex) = rewrite.get("uriRegexRewrite") {
            action["regex_rewrite"] =
                json!({ "pattern": { "regex": regex["match"] }, "substitution": regex["rewrite"] });
        }
        if let Some(authority) = rewrite.get("authority") {
            action["host_rewrite_literal"] = authority.clone();
        }
    }
    let destinations = route["route"].as_array().unwrap();
    if let [only] = destinations.as_slice() {
        action["cluster"] = json!(clusters(&only["destination"]));
        let mut headers = built["request_headers_to_add"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        headers.push(named(only));
        built["request_headers_to_add"] = json!(headers);
    } else {
        let weighted = destinations
            .iter()
            .filter(|one| one["weight"].as_u64().unwrap() > 0);
        let weighted: Vec<Value> = weighted
            .map(|one| {
                let cluster = clusters(&one["destination"]);
                json!({ "name": cluster, "weight": one["weight"], "request_headers_to_add": [named(one)] })
            })
            .collect();
        action["weighted_clusters"] = json!({ "clusters": weighted });
    }
    built["route"] = action;
    built
}

/// What is repeated: Istio's own custom where the object says nothing, and nothing where it says so.
fn retries(said: Option<&Value>) -> Option<Value> {
    let usual = json!({
        "attempts": 2,
        "retryOn": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    });
    let said = said.unwrap_or(&usual);
    let attempts = said["attempts"].as_u64().filter(|attempts| *attempts > 0)?;
    let words = said["retryOn"].as_str().or(usual["retryOn"].as_str()).unwrap();
    let (codes, words): (Vec<&str>, Vec<&str>) =
        words.split(',').partition(|word| word.parse::<u16>().is_ok());
    let codes: Vec<u16> = codes.iter().map(|code| code.parse().unwrap()).collect();
    Some(json!({
        "num_retries": attempts,
        "retry_on": words.join(","),
        "retriable_status_codes": codes,
        "host_selection_retry_max_attempts": 5,
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            },
        }],
    }))
}

/// Tells the back end whose place it takes.
fn named(destination: &Value) -> Value {
    let host = destination["destination"]["host"].as_str().unwrap();
    let (service, namespace) = host.split_once('.').map_or((host, "ns"), |(service, rest)| {
        (service, rest.split('.').next().unwrap())
    });
    let name = format!(
        "{namespace}/{service}:{}",
        destination["destination"]["port"]["number"]
    );
    json!({ "header": { "key": "x-backend", "value": name } })
}

fn added(name: &str, value: &Value) -> Value {
    json!({ "header": { "key": name, "value": value }, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" })
}

fn cors(cors: &Value) -> Value {
    let words = |name: &str| {
        let all = cors[name].as_array().cloned().unwrap_or_default();
        all.iter()
            .map(|word| word.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(",")
    };
    let origins = cors["allowOrigins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|origin| match text(origin) {
            Some(("regex", regex)) => json!({ "safe_regex": { "regex": regex } }),
            Some((kind, text)) => json!({ kind: text }),
            None => panic!("{origin}"),
        });
    let mut built = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": origins.collect::<Vec<_>>(),
        "allow_methods": words("allowMethods"),
        "allow_headers": words("allowHeaders"),
        "expose_headers": words("exposeHeaders"),
        "allow_credentials": cors["allowCredentials"],
        "forward_not_matching_preflights": true,
    });
    if let Some(age) = cors["maxAge"].as_str() {
        built["max_age"] = json!(age.trim_end_matches('s'));
    }
    built
}

fn redirect(redirect: &Value) -> Value {
    let mut built = json!({});
    if let Some(authority) = redirect.get("authority") {
        built["host_redirect"] = authority.clone();
    }
    if let Some(prefix) = redirect.get("prefixRewrite") {
        built["prefix_rewrite"] = prefix.clone();
    } else if let Some(uri) = redirect.get("uri") {
        built["path_redirect"] = uri.clone();
    }
    if let Some(scheme) = redirect.get("scheme") {
        built["scheme_redirect"] = scheme.clone();
    }
    let scheme = redirect.get("scheme").and_then(Value::as_str).unwrap_or("http");
    match redirect.get("port").and_then(Value::as_u64) {
        None => {}
        Some(80) if scheme == "http" => {}
        Some(443) if scheme == "https" => {}
        Some(port) => built["port_redirect"] = json!(port),
    }
    let code = match redirect.get("redirectCode").and_then(Value::as_u64) {
        None | Some(301) => "MOVED_PERMANENTLY",
        Some(302) => "FOUND",
        Some(303) => "SEE_OTHER",
        Some(307) => "TEMPORARY_REDIRECT",
        Some(308) => "PERMANENT_REDIRECT",
        Some(code) => panic!("{code}"),
    };
    built["response_code"] = json!(code);
    built
}

fn matcher(wanted: &Value) -> Value {
    let mut built = json!({ "case_sensitive": wanted["ignoreUriCase"] != json!(true) });
    match text(wanted.get("uri").unwrap_or(&Value::Null)) {
        Some(("exact", exact)) => built["path"] = json!(exact),
        Some(("regex", regex)) => built["safe_regex"] = json!({ "regex": regex }),
        Some((_, prefix)) => built["prefix"] = json!(prefix),
        None => built["prefix"] = json!("/"),
    }
    let mut headers = Vec::new();
    for (name, value) in wanted["headers"].as_object().into_iter().flatten() {
        headers.push(header(name, value));
    }
    for (name, value) in wanted["withoutHeaders"].as_object().into_iter().flatten() {
        let mut header = header(name, value);
        header["invert_match"] = json!(true);
        if header.get("present_match").is_none() {
            header["treat_missing_header_as_empty"] = json!(true);
        }
        headers.push(header);
    }
    for (field, name) in [
        ("method", ":method"),
        ("authority", ":authority"),
        ("scheme", ":scheme"),
    ] {
        if let Some(value) = wanted.get(field) {
            headers.push(header(name, value));
        }
    }
    built["headers"] = json!(headers);
    let mut query = Vec::new();
    for (name, value) in wanted["queryParams"].as_object().into_iter().flatten() {
        query.push(header(name, value));
    }
    built["query_parameters"] = json!(query);
    built
}

fn header(name: &str, value: &Value) -> Value {
    match text(value) {
        None | Some(("regex", "*")) => json!({ "name": name, "present_match": true }),
        Some(("regex", regex)) => {
            json!({ "name": name, "string_match": { "safe_regex": { "regex": regex } } })
        }
        Some((kind, text)) => json!({ "name": name, "string_match": { kind: text } }),
    }
}

fn text(value: &Value) -> Option<(&str, &str)> {
    let (kind, text) = value.as_object()?.iter().next()?;
    Some((kind, text.as_str().unwrap()))
}
