//! An `HTTPRoute` as routes for Envoy, as the Gateway API has it: a weight that is not said is 1, backends without
//! weight get nothing, and a rule without any backend left answers 500.

use super::virtual_service::cluster;
use super::{Refusal, given};
use serde_json::{Value, json};

/// The highest weight that the API allows.
const HEAVIEST: i64 = 1_000_000;

/// The virtual host that comes of an object.
pub(super) fn translate(object: &Value) -> Result<Value, Refusal> {
    let spec = &object["spec"];
    let hosts = list(spec, "hostnames");
    if hosts.is_empty() {
        return refuse("spec.hostnames: are needed here, there is no Gateway to take them from");
    }
    let mut routes = Vec::new();
    for (n, rule) in list(spec, "rules").iter().enumerate() {
        let field = format!("spec.rules[{n}]");
        only(
            rule,
            &field,
            &["name", "matches", "filters", "backendRefs", "timeouts"],
        )?;
        if !list(rule, "filters").is_empty() {
            return refuse(&format!("{field}.filters: are not served here"));
        }
        let action = action(rule, &field)?;
        let everything = [json!({})];
        let matches = match list(rule, "matches") {
            [] => &everything,
            some => some,
        };
        for (m, wanted) in matches.iter().enumerate() {
            let mut route = action.clone();
            route["match"] = matching(wanted, &format!("{field}.matches[{m}]"))?;
            routes.push(route);
        }
    }
    let metadata = &object["metadata"];
    let part = |key: &str| metadata[key].as_str().unwrap_or_default();
    let name = format!("{}/{}", part("namespace"), part("name"));
    Ok(json!({"name": name, "domains": hosts, "routes": routes}))
}

fn action(rule: &Value, field: &str) -> Result<Value, Refusal> {
    let mut weighted = Vec::new();
    for (n, backend) in list(rule, "backendRefs").iter().enumerate() {
        let field = format!("{field}.backendRefs[{n}]");
        let weight = match given(backend, "weight") {
            None => Some(1),
            Some(said) => said.as_i64().filter(|weight| (0..=HEAVIEST).contains(weight)),
        };
        let (Some(weight), Some(name), Some(port)) =
            (weight, backend["name"].as_str(), backend["port"].as_u64())
        else {
            return refuse(&format!(
                "{field}: a name, a port and a weight from 0 to {HEAVIEST}"
            ));
        };
        if weight > 0 {
            weighted.push(json!({"name": cluster(name, "", port), "weight": weight}));
        }
    }
    if weighted.is_empty() {
        return Ok(json!({"direct_response": {"status": 500}}));
    }
    let timeout = match given(&rule["timeouts"], "request") {
        None => "0s".to_owned(),
        Some(said) => duration(said, &format!("{field}.timeouts.request"))?,
    };
    Ok(json!({"route": {"weighted_clusters": {"clusters": weighted}, "timeout": timeout}}))
}

/// A duration as the Gateway API writes it (GEP-2257), as Envoy reads it; none at all is no limit.
fn duration(said: &Value, field: &str) -> Result<String, Refusal> {
    let read = said
        .as_str()
        .and_then(|text| text.parse::<jiff::SignedDuration>().ok());
    match read {
        Some(time) if !time.is_negative() && time.subsec_nanos() % 1_000_000 == 0 => {
            Ok(format!("{}.{:03}s", time.as_secs(), time.subsec_millis()))
        }
        _ => refuse(&format!("{field}: {said} is no duration of whole milliseconds")),
    }
}

fn matching(wanted: &Value, field: &str) -> Result<Value, Refusal> {
    only(wanted, field, &["path", "headers"])?;
    let path = &wanted["path"];
    let value = path["value"].as_str().unwrap_or("/");
    let mut matching = match path["type"].as_str().unwrap_or("PathPrefix") {
        "PathPrefix" if value == "/" => json!({"prefix": "/"}),
        "PathPrefix" => json!({"path_separated_prefix": value.trim_end_matches('/')}),
        "Exact" => json!({"path": value}),
        other => return refuse(&format!("{field}.path.type: {other} is not served here")),
    };
    let mut headers = Vec::new();
    for (n, header) in list(wanted, "headers").iter().enumerate() {
        if header["type"].as_str().is_some_and(|kind| kind != "Exact") {
            return refuse(&format!("{field}.headers[{n}].type: is not served here"));
        }
        headers.push(json!({"name": header["name"], "string_match": {"exact": header["value"]}}));
    }
    if !headers.is_empty() {
        matching["headers"] = Value::Array(headers);
    }
    Ok(matching)
}

/// Refuses what is not served here by name, rather than leaving it out.
fn only(value: &Value, field: &str, known: &[&str]) -> Result<(), Refusal> {
    let mut members = value.as_object().into_iter().flatten();
    match members.find(|(name, value)| !value.is_null() && !known.contains(&name.as_str())) {
        Some((name, _)) => refuse(&format!("{field}.{name}: is not served here")),
        None => Ok(()),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn refuse<T>(why: &str) -> Result<T, Refusal> {
    Err(Refusal(why.to_owned()))
}
