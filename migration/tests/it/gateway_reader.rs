//! What a request meets at a gateway with `HTTPRoutes`: a small reading of the Gateway API, after its specification and
//! apart from the converter.

use gradual_rollout_migration::model::{Request, Scheme};
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, OnceLock};

/// One match of one rule, and how precise it is.
struct Candidate<'a> {
    rule: &'a Value,
    precision: (u8, usize, usize),
}

/// `namespace/service path`, `status location`, or `error` where a rule leads nowhere; `none` where no listener or no
/// rule has the request. Of weighted back ends that with the most.
pub(crate) fn answer(objects: &[Value], request: &Request) -> String {
    let host = request.host_name();
    let Some((gateway, listener)) = listener(objects, request.scheme, &host) else {
        return "none".to_owned();
    };
    let routes = objects.iter().filter(|object| object["kind"] == "HTTPRoute");
    let attached = routes.filter(|route| {
        let parents = route["spec"]["parentRefs"].as_array().unwrap();
        let named = parents.iter().any(|parent| {
            parent["name"] == gateway["metadata"]["name"] && parent["sectionName"] == listener["name"]
        });
        let allowed = &listener["allowedRoutes"]["namespaces"]["selector"]["matchExpressions"][0]["values"];
        let namespace = &route["metadata"]["namespace"];
        named && allowed.as_array().unwrap().contains(namespace)
    });
    // The most precise host first, whatever its rules are.
    let with_host = attached.filter_map(|route| {
        let Some(names) = route["spec"]["hostnames"].as_array() else {
            return Some(((0, 0), route));
        };
        let fits = names
            .iter()
            .filter_map(|name| precision(name.as_str().unwrap(), &host));
        fits.max().map(|precise| (precise, route))
    });
    let with_host: Vec<((usize, usize), &Value)> = with_host.collect();
    let Some(best) = with_host.iter().map(|(precise, _)| *precise).max() else {
        return "none".to_owned();
    };
    let mut routes: Vec<&Value> = with_host
        .iter()
        .filter(|(precise, _)| *precise == best)
        .map(|(_, route)| *route)
        .collect();
    routes.sort_by_key(|route| {
        let text = |name: &str| route["metadata"][name].as_str().unwrap().to_owned();
        (text("namespace"), text("name"))
    });
    let mut chosen: Option<Candidate<'_>> = None;
    for rule in routes
        .iter()
        .flat_map(|route| route["spec"]["rules"].as_array().unwrap())
    {
        for matched in rule["matches"].as_array().unwrap() {
            let Some(precision) = takes(matched, request) else {
                continue;
            };
            if chosen.as_ref().is_none_or(|known| known.precision < precision) {
                chosen = Some(Candidate { rule, precision });
            }
        }
    }
    chosen.map_or_else(|| "none".to_owned(), |chosen| outcome(chosen.rule, request))
}

/// Whether several expressions take a request, between which only the implementation decides.
#[allow(dead_code, reason = "a property excuses them")]
pub(crate) fn ambiguous(objects: &[Value], request: &Request) -> bool {
    let path = String::from_utf8_lossy(&request.path.0).into_owned();
    let host = request.host_name();
    let routes = objects.iter().filter(|object| object["kind"] == "HTTPRoute");
    let mine = routes.filter(|route| {
        let names = route["spec"]["hostnames"].as_array();
        names.is_none_or(|names| {
            names
                .iter()
                .any(|name| precision(name.as_str().unwrap(), &host).is_some())
        })
    });
    let rules = mine.flat_map(|route| route["spec"]["rules"].as_array().unwrap());
    let paths = rules
        .flat_map(|rule| rule["matches"].as_array().unwrap())
        .map(|matched| &matched["path"]);
    let expressions = paths.filter(|wanted| wanted["type"] == "RegularExpression");
    let values: BTreeSet<&str> = expressions
        .map(|wanted| wanted["value"].as_str().unwrap())
        // What closes the rest is the shortest.
        .filter(|value| *value != ".*" && whole(value, &path))
        .collect();
    values.len() > 1
}

/// By the name in the handshake; in clear there is one.
fn listener<'a>(objects: &'a [Value], scheme: Scheme, host: &str) -> Option<(&'a Value, &'a Value)> {
    let protocol = if scheme == Scheme::Https { "HTTPS" } else { "HTTP" };
    let gateways = objects.iter().filter(|object| object["kind"] == "Gateway");
    let all = gateways.flat_map(|gateway| {
        let listeners = gateway["spec"]["listeners"].as_array().unwrap().iter();
        listeners.map(move |listener| (gateway, listener))
    });
    let mine = all.filter(|(_, listener)| listener["protocol"] == protocol);
    let fitting = mine.filter_map(|(gateway, listener)| {
        let precise = match listener["hostname"].as_str() {
            Some(name) => precision(name, host)?,
            None => (0, 0),
        };
        Some((precise, gateway, listener))
    });
    let best = fitting.max_by_key(|(precise, _, _)| *precise)?;
    Some((best.1, best.2))
}

/// Characters of a name without wildcard, then of any; a wildcard stands for one label or more.
fn precision(name: &str, host: &str) -> Option<(usize, usize)> {
    match name.strip_prefix('*') {
        Some(rest) => (host.ends_with(rest) && host.len() > rest.len()).then_some((0, name.len())),
        None => (name == host).then_some((name.len(), name.len())),
    }
}

/// Exact paths, then longer prefixes, then longer expressions; then more headers.
fn takes(matched: &Value, request: &Request) -> Option<(u8, usize, usize)> {
    let path = String::from_utf8_lossy(&request.path.0).into_owned();
    let wanted = matched["path"]["value"].as_str().unwrap();
    let kind = match matched["path"]["type"].as_str().unwrap() {
        "Exact" => (path == wanted).then_some(3),
        "PathPrefix" => {
            let bare = wanted.trim_end_matches('/');
            let rest = path.strip_prefix(bare);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                .then_some(2)
        }
        _ => whole(wanted, &path).then_some(1),
    }?;
    let empty = Vec::new();
    let headers = matched["headers"].as_array().unwrap_or(&empty);
    let all = headers.iter().all(|header| {
        let name = header["name"].as_str().unwrap();
        // A gateway says it itself where nobody did.
        let itself = (name == "x-forwarded-proto").then(|| request.scheme.as_str().to_owned());
        let value = request.header(name).or(itself);
        let wanted = header["value"].as_str().unwrap();
        value.is_some_and(|value| match header["type"].as_str().unwrap() {
            "Exact" => value == wanted,
            _ => whole(wanted, &value),
        })
    });
    all.then_some((kind, wanted.len(), headers.len()))
}

/// Compiling the same expressions again and again is most of the time of a property.
fn whole(pattern: &str, text: &str) -> bool {
    static KNOWN: OnceLock<Mutex<HashMap<String, Regex>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap();
    let compile = || Regex::new(&format!("^(?:{pattern})$")).unwrap();
    known
        .entry(pattern.to_owned())
        .or_insert_with(compile)
        .is_match(text)
}

fn outcome(rule: &Value, request: &Request) -> String {
    let path = String::from_utf8_lossy(&request.path.0).into_owned();
    let query = request.query.as_ref();
    let query = query.map_or_else(String::new, |query| {
        format!("?{}", String::from_utf8_lossy(&query.0))
    });
    let filter = |kind: &str| {
        let filters = rule["filters"].as_array()?;
        filters.iter().find(|filter| filter["type"] == kind)
    };
    let replaced = |change: &Value| {
        let path = change["path"]["replaceFullPath"].as_str().unwrap_or(&path);
        format!("{path}{query}")
    };
    if let Some(redirect) = filter("RequestRedirect").map(|filter| &filter["requestRedirect"]) {
        let scheme = redirect["scheme"].as_str().unwrap_or(request.scheme.as_str());
        let host = redirect["hostname"].as_str().unwrap_or(&request.host);
        let port = redirect["port"]
            .as_u64()
            .map_or_else(String::new, |port| format!(":{port}"));
        return format!(
            "{} {scheme}://{host}{port}{}",
            redirect["statusCode"],
            replaced(redirect)
        );
    }
    let to = rule["backendRefs"].as_array().into_iter().flatten();
    let Some(to) = to.max_by_key(|to| to["weight"].as_u64().unwrap_or(1)) else {
        return "error".to_owned();
    };
    let none = Value::Null;
    let rewrite = filter("URLRewrite").map_or(&none, |filter| &filter["urlRewrite"]);
    format!("{} {}", to["name"].as_str().unwrap(), replaced(rewrite))
}
