//! A `VirtualService` as Istio's routes for Envoy: what its webhook refuses is refused, what it ignores is ignored.
//!
//! Only what the tests route by is translated; anything else is refused by name rather than left out.

use super::{Refusal, given};
use serde_json::{Value, json};

/// What a proxy of Istio's may try again for.
const RETRIES: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];
/// What Istio retries when nothing is said.
const RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled";

/// Istio's name for the cluster of a destination.
pub(crate) fn cluster(host: &str, subset: &str, port: u64) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

/// The virtual host that comes of an object.
pub(super) fn translate(object: &Value) -> Result<Value, Refusal> {
    let spec = &object["spec"];
    let hosts = hosts(spec)?;
    if ["tcp", "tls"].iter().any(|kind| !list(spec, kind).is_empty()) {
        return refuse("spec: only http routes reach this proxy");
    }
    let http = list(spec, "http");
    if http.is_empty() {
        return refuse("spec: at least one of http, tcp and tls");
    }
    let mut routes = Vec::new();
    for (n, rule) in http.iter().enumerate() {
        let field = format!("spec.http[{n}]");
        let action = action(rule, &field)?;
        let matches = list(rule, "match");
        for (m, wanted) in matches.iter().enumerate() {
            let mut route = action.clone();
            route["match"] = matching(wanted, &format!("{field}.match[{m}]"))?;
            routes.push(route);
        }
        if matches.is_empty() {
            let mut route = action;
            route["match"] = json!({"prefix": "/"});
            routes.push(route);
            // The first route that takes everything is the last that Istio hands on. Those behind it are still read:
            // what is wrong with them is refused.
            for (n, rule) in http.iter().enumerate().skip(n + 1) {
                let field = format!("spec.http[{n}]");
                self::action(rule, &field)?;
                for (m, wanted) in list(rule, "match").iter().enumerate() {
                    matching(wanted, &format!("{field}.match[{m}]"))?;
                }
            }
            break;
        }
    }
    let metadata = &object["metadata"];
    let name = format!("{}/{}", text(metadata, "namespace"), text(metadata, "name"));
    Ok(json!({"name": name, "domains": hosts, "routes": routes}))
}

fn hosts(spec: &Value) -> Result<Vec<&str>, Refusal> {
    let hosts: Vec<&str> = list(spec, "hosts").iter().filter_map(Value::as_str).collect();
    if hosts.is_empty() {
        return refuse("spec.hosts: a delegate has no hosts of its own, and delegates are not served here");
    }
    let gateways = list(spec, "gateways");
    for (n, gateway) in gateways.iter().enumerate() {
        let name = gateway.as_str().unwrap_or_default();
        // A name, a name with its namespace, or the word for the mesh: labels each.
        let parts: Vec<&str> = name.split('/').collect();
        if parts.len() > 2 || !parts.iter().all(|part| is_label(part)) {
            return refuse(&format!("spec.gateways[{n}]: {name:?} names no Gateway"));
        }
    }
    let in_mesh = gateways.is_empty() || gateways.iter().any(|gateway| gateway == "mesh");
    for (n, host) in hosts.iter().enumerate() {
        if *host == "*" && in_mesh {
            return refuse(&format!(
                "spec.hosts[{n}]: \"*\" is not allowed for the whole mesh"
            ));
        }
        if host.get(1..).is_some_and(|rest| rest.contains('*')) {
            return refuse(&format!("spec.hosts[{n}]: a wildcard stands first or nowhere"));
        }
        if hosts
            .iter()
            .enumerate()
            .any(|(m, other)| m != n && covers(other, host))
        {
            return refuse(&format!("spec.hosts[{n}]: {host} is matched by another host"));
        }
    }
    Ok(hosts)
}

/// A label of RFC 1123.
fn is_label(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len())
        && text.chars().all(legal)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => host.ends_with(end),
        None => pattern == host,
    }
}

/// What is done with a request, without the match.
fn action(rule: &Value, field: &str) -> Result<Value, Refusal> {
    let kinds = ["route", "redirect", "directResponse", "delegate"];
    let said: Vec<&str> = kinds
        .into_iter()
        .filter(|kind| !rule[kind].is_null() && rule[kind] != json!([]))
        .collect();
    let [kind] = said[..] else {
        return refuse(&format!("{field}: exactly one of {}", kinds.join(", ")));
    };
    if !rule["mirror"].is_null() && !rule["mirrors"].is_null() {
        return refuse(&format!("{field}: mirror and mirrors exclude each other"));
    }
    for unknown in ["fault", "rewrite", "mirrors", "corsPolicy", "headers"] {
        if !rule[unknown].is_null() {
            return refuse(&format!("{field}.{unknown}: is not served here"));
        }
    }
    match kind {
        "route" => forward(rule, field),
        "directResponse" => {
            let status = rule["directResponse"]["status"].as_u64();
            let Some(status) = status.filter(|status| (200..600).contains(status)) else {
                return refuse(&format!("{field}.directResponse.status: from 200 to 599"));
            };
            Ok(json!({"direct_response": {"status": status}}))
        }
        _ => refuse(&format!("{field}.{kind}: is not served here")),
    }
}

/// Whom requests are copied to, and which share of them: all where none is said.
fn mirror(rule: &Value, field: &str) -> Result<Option<Value>, Refusal> {
    let Some(to) = given(rule, "mirror") else {
        return match given(rule, "mirrorPercentage") {
            None => Ok(None),
            Some(_) => refuse(&format!("{field}.mirrorPercentage: and no mirror")),
        };
    };
    let share = match given(rule, "mirrorPercentage") {
        None => 100.0,
        Some(said) => match said["value"]
            .as_f64()
            .filter(|share| (0.0..=100.0).contains(share))
        {
            Some(share) => share,
            None => return refuse(&format!("{field}.mirrorPercentage.value: from 0 to 100")),
        },
    };
    // Of a hundred, a hundredth of a hundredth is the finest that is said.
    let parts = (share * 10_000.0).round();
    Ok(Some(json!([{
        "cluster": destination(to, &format!("{field}.mirror"))?,
        "runtime_fraction": {"default_value": {"numerator": parts, "denominator": "MILLION"}},
    }])))
}

fn forward(rule: &Value, field: &str) -> Result<Value, Refusal> {
    let destinations = list(rule, "route");
    let mut weighted = Vec::new();
    for (n, entry) in destinations.iter().enumerate() {
        let field = format!("{field}.route[{n}]");
        let weight = match given(entry, "weight") {
            None => 0,
            Some(said) => said
                .as_i64()
                .ok_or_else(|| Refusal(format!("{field}.weight: no number")))?,
        };
        let Ok(weight) = u32::try_from(weight) else {
            return refuse(&format!("{field}.weight: must be 0 or more"));
        };
        weighted.push((destination(&entry["destination"], &field)?, weight));
    }
    // The weight of a single destination means nothing, 0 included.
    if weighted.len() > 1 {
        weighted.retain(|(_, weight)| *weight > 0);
    }
    let mut route = match &weighted[..] {
        [] => return refuse(&format!("{field}.route: the weights add up to 0")),
        [(only, _)] => json!({"cluster": only}),
        several => {
            let clusters = several
                .iter()
                .map(|(name, weight)| json!({"name": name, "weight": weight}));
            json!({"weighted_clusters": {"clusters": clusters.collect::<Vec<_>>()}})
        }
    };
    // Without a word Istio sets no limit.
    route["timeout"] = match given(rule, "timeout") {
        None => json!("0s"),
        Some(said) => json!(duration(said, &format!("{field}.timeout"))?),
    };
    let retries = &rule["retries"];
    match retries["attempts"].as_u64() {
        Some(0) if !retries["perTryTimeout"].is_null() || !retries["retryOn"].is_null() => {
            return refuse(&format!(
                "{field}.retries: no attempts, and yet perTryTimeout or retryOn"
            ));
        }
        Some(0) => {}
        attempts => {
            let on = retries["retryOn"].as_str().unwrap_or(RETRY_ON);
            // Istio takes a status code, too, and refuses what Envoy does not know.
            let known = |token: &str| {
                let token = token.trim();
                RETRIES.contains(&token) || token.parse::<u16>().is_ok_and(|code| (100..600).contains(&code))
            };
            if let Some(other) = on.split(',').find(|token| !known(token)) {
                return refuse(&format!(
                    "{field}.retries.retryOn: {other:?} is no condition of Envoy's"
                ));
            }
            route["retry_policy"] = json!({"retry_on": on, "num_retries": attempts.unwrap_or(2)});
            if let Some(said) = given(retries, "perTryTimeout") {
                let time = duration(said, &format!("{field}.retries.perTryTimeout"))?;
                route["retry_policy"]["per_try_timeout"] = json!(time);
            }
        }
    }
    if let Some(copies) = mirror(rule, field)? {
        route["request_mirror_policies"] = copies;
    }
    Ok(json!({"route": route}))
}

fn destination(said: &Value, field: &str) -> Result<String, Refusal> {
    let host = text(said, "host");
    if host.is_empty() || host.contains('*') {
        return refuse(&format!("{field}.destination.host: {host:?} is no host"));
    }
    let port = match given(said, "port") {
        None => 80,
        Some(port) => match port["number"]
            .as_u64()
            .filter(|number| (1..=65535).contains(number))
        {
            Some(number) => number,
            None => return refuse(&format!("{field}.destination.port.number: from 1 to 65535")),
        },
    };
    let subset = text(said, "subset");
    if !subset.is_empty() && !is_label(subset) {
        return refuse(&format!("{field}.destination.subset: {subset:?} is no label"));
    }
    Ok(cluster(host, subset, port))
}

/// Whole milliseconds, at least one.
fn duration(said: &Value, field: &str) -> Result<String, Refusal> {
    let read = said
        .as_str()
        .and_then(|text| text.parse::<jiff::SignedDuration>().ok());
    match read {
        Some(time) if time.as_millis() >= 1 && time.subsec_nanos() % 1_000_000 == 0 => {
            Ok(format!("{}.{:03}s", time.as_secs(), time.subsec_millis()))
        }
        _ => refuse(&format!(
            "{field}: {said} must be whole milliseconds, and at least one"
        )),
    }
}

fn matching(wanted: &Value, field: &str) -> Result<Value, Refusal> {
    let known = ["name", "uri", "headers"];
    let fields = wanted.as_object().into_iter().flatten();
    if let Some((other, _)) = fields.into_iter().find(|(key, _)| !known.contains(&key.as_str())) {
        return refuse(&format!("{field}.{other}: is not served here"));
    }
    let mut matching = match given(wanted, "uri") {
        None => json!({"prefix": "/"}),
        Some(uri) => match string(uri, &format!("{field}.uri"))? {
            ("exact", value) => json!({"path": value}),
            ("prefix", value) => json!({"prefix": value}),
            (_, value) => json!({"safe_regex": {"regex": value}}),
        },
    };
    let mut headers = Vec::new();
    for (name, value) in wanted["headers"].as_object().into_iter().flatten() {
        let field = format!("{field}.headers.{name}");
        let legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.trim_start_matches(':').chars().all(legal) {
            return refuse(&format!("{field}: is no header's name"));
        }
        headers.push(if value == &json!({}) {
            json!({"name": name, "present_match": true})
        } else {
            let how = match string(value, &field)? {
                ("regex", value) => json!({"safe_regex": {"regex": value}}),
                (kind, value) => json!({kind: value}),
            };
            json!({"name": name, "string_match": how})
        });
    }
    if !headers.is_empty() {
        matching["headers"] = Value::Array(headers);
    }
    Ok(matching)
}

/// The kind of a string match and its text.
fn string<'a>(said: &'a Value, field: &str) -> Result<(&'static str, &'a str), Refusal> {
    let kinds = ["exact", "prefix", "regex"];
    let mut found = kinds
        .into_iter()
        .filter_map(|kind| Some((kind, said[kind].as_str()?)));
    match (found.next(), found.next()) {
        (Some(("prefix", "")), None) => refuse(&format!("{field}.prefix: must not be empty")),
        (Some(("regex", value)), None) if value.is_empty() || value.len() > 1024 => {
            refuse(&format!("{field}.regex: from 1 to 1024 characters"))
        }
        // RE2 has neither look-around nor back references; nor has this library.
        (Some(("regex", value)), None) if regex::Regex::new(value).is_err() => {
            refuse(&format!("{field}.regex: {value:?} is no expression of RE2's"))
        }
        (Some(one), None) => Ok(one),
        _ => refuse(&format!("{field}: exactly one of {}", kinds.join(", "))),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn refuse<T>(why: &str) -> Result<T, Refusal> {
    Err(Refusal(why.to_owned()))
}
