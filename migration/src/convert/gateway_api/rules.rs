//! One rule of an `HTTPRoute`.

use super::super::options::Options;
use crate::istio::{CorsPolicy, HeaderOperations, HttpMatch, HttpRoute, Redirect, StringMatch};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How the paths of a host are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paths {
    /// Exactly, and by prefix.
    Plain,
    /// By regular expressions.
    Expressions,
}

impl Paths {
    pub(super) fn of(routes: &[HttpRoute]) -> Self {
        let expression = |m: &HttpMatch| matches!(m.uri, Some(StringMatch::Regex(_)));
        if routes.iter().flat_map(|route| &route.matches).any(expression) {
            Self::Expressions
        } else {
            Self::Plain
        }
    }
}

/// Of a route what it takes on a port; `None` where it has nothing there, or nothing that can be said.
pub(super) fn rule(
    route: &HttpRoute,
    port: Option<u16>,
    (paths, regular_expressions): (Paths, bool),
    namespace: &str,
    options: &Options,
) -> Option<Value> {
    let mut rule = Map::new();
    rule.insert(
        "matches".to_owned(),
        matches(route, port, paths, regular_expressions)?,
    );
    let mut filters = Vec::new();
    if let Some(headers) = &route.headers {
        filters.extend(modifier(
            "requestHeaderModifier",
            "RequestHeaderModifier",
            &headers.request,
        ));
        filters.extend(modifier(
            "responseHeaderModifier",
            "ResponseHeaderModifier",
            &headers.response,
        ));
    }
    if let Some(redirect) = &route.redirect {
        // What cannot be said is refused earlier; were it not, an error is better than another place.
        if let Some(redirect) = self::redirect(redirect) {
            filters.push(json!({"type": "RequestRedirect", "requestRedirect": redirect}));
            rule.insert("filters".to_owned(), json!(filters));
        }
        return Some(Value::Object(rule));
    }
    if route.direct_response.is_some() {
        return Some(Value::Object(rule));
    }
    filters.extend(route.cors_policy.as_ref().and_then(cors));
    if route.rewrite.is_some() {
        filters.push(rewrite(route)?);
    }
    if !filters.is_empty() {
        rule.insert("filters".to_owned(), json!(filters));
    }
    let mut to = Vec::new();
    for weighted in &route.route {
        let (service, home) = service(&weighted.destination.host, options)?;
        let mut reference = json!({
            "group": "", "kind": "Service", "name": service, "port": weighted.destination.port.number,
        });
        let fields = reference.as_object_mut()?;
        if home != namespace {
            fields.insert("namespace".to_owned(), json!(home));
        }
        if let Some(weight) = weighted.weight {
            fields.insert("weight".to_owned(), json!(weight));
        }
        to.push(reference);
    }
    rule.insert("backendRefs".to_owned(), json!(to));
    // nginx knows no time for a whole request; where an implementation has one, uploads and streams would be cut.
    rule.insert("timeouts".to_owned(), json!({"request": "0s"}));
    Some(Value::Object(rule))
}

/// Name and namespace.
pub(super) fn service<'a>(host: &'a str, options: &Options) -> Option<(&'a str, &'a str)> {
    let name = host.strip_suffix(&format!(".svc.{}", options.cluster_domain))?;
    name.split_once('.')
}

/// Prefixes are compared by elements here: one match for what are two to Istio.
fn matches(route: &HttpRoute, port: Option<u16>, paths: Paths, regular_expressions: bool) -> Option<Value> {
    // Any prefix comes before every expression, so that beside these the rest is one too, and the shortest.
    let any = || match paths {
        Paths::Plain => json!({"type": "PathPrefix", "value": "/"}),
        Paths::Expressions => json!({"type": "RegularExpression", "value": ".*"}),
    };
    if route.matches.is_empty() {
        return Some(json!([{"path": any()}]));
    }
    let mine = |matched: &&HttpMatch| matched.port.is_none() || port.is_none() || matched.port == port;
    let mine: Vec<&HttpMatch> = route.matches.iter().filter(mine).collect();
    let mut found: Vec<Value> = Vec::new();
    for matched in &mine {
        let path = match &matched.uri {
            // Told by its authority alone: more than that is closed.
            None => any(),
            Some(StringMatch::Exact(path)) => {
                let wider = |other: &&HttpMatch| {
                    other.uri == Some(StringMatch::Prefix(format!("{path}/")))
                        && other.headers == matched.headers
                };
                if mine.iter().any(wider) {
                    continue;
                }
                json!({"type": "Exact", "value": path})
            }
            Some(StringMatch::Prefix(path)) => {
                let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty());
                json!({"type": "PathPrefix", "value": bare.unwrap_or(path)})
            }
            Some(StringMatch::Regex(path)) if regular_expressions => {
                json!({"type": "RegularExpression", "value": path})
            }
            Some(StringMatch::Regex(_)) => continue,
        };
        let Some(headers) = headers(&matched.headers, regular_expressions) else {
            continue;
        };
        let mut built = json!({"path": path});
        if !headers.is_empty() {
            built
                .as_object_mut()?
                .insert("headers".to_owned(), json!(headers));
        }
        if !found.contains(&built) {
            found.push(built);
        }
    }
    (!found.is_empty()).then(|| json!(found))
}

fn headers(wanted: &BTreeMap<String, StringMatch>, regular_expressions: bool) -> Option<Vec<Value>> {
    let one = |(name, value): (&String, &StringMatch)| match value {
        StringMatch::Exact(value) => Some(json!({"type": "Exact", "name": name, "value": value})),
        StringMatch::Regex(value) if regular_expressions => {
            Some(json!({"type": "RegularExpression", "name": name, "value": value}))
        }
        StringMatch::Regex(_) | StringMatch::Prefix(_) => None,
    };
    wanted.iter().map(one).collect()
}

fn modifier(field: &str, kind: &str, operations: &HeaderOperations) -> Option<Value> {
    if operations.is_empty() {
        return None;
    }
    let mut change = Map::new();
    // What a gateway knows of a request cannot be said here. A header that only it may set is taken away, so that whoever
    // sends it is not believed; addresses are the implementation's to pass on.
    let (variables, set): (Vec<_>, Vec<_>) = operations
        .set
        .iter()
        .partition(|(_, value)| super::super::headers::is_variable(value));
    let mut remove = operations.remove.clone();
    let theirs = variables.into_iter().map(|(name, _)| name.clone());
    remove.extend(theirs.filter(|name| name != "x-forwarded-for"));
    if !set.is_empty() {
        // Istio takes `%` for the beginning of a variable, and `%%` for `%`.
        let set: Vec<Value> = set
            .into_iter()
            .map(|(name, value)| json!({"name": name, "value": value.replace("%%", "%")}))
            .collect();
        change.insert("set".to_owned(), json!(set));
    }
    if !remove.is_empty() {
        change.insert("remove".to_owned(), json!(remove));
    }
    if change.is_empty() {
        return None;
    }
    Some(json!({"type": kind, field: change}))
}

fn redirect(redirect: &Redirect) -> Option<Value> {
    if !super::unsaid::redirects(redirect) {
        return None;
    }
    let mut built = json!({"statusCode": redirect.redirect_code});
    let fields = built.as_object_mut()?;
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    put("scheme", redirect.scheme.as_ref().map(|scheme| json!(scheme)));
    put("hostname", redirect.authority.as_ref().map(|host| json!(host)));
    put("port", redirect.port.map(|port| json!(port)));
    let path = redirect.uri.as_ref();
    put(
        "path",
        path.map(|path| json!({"type": "ReplaceFullPath", "replaceFullPath": path})),
    );
    Some(built)
}

/// The filter; `None` where it cannot be said.
fn rewrite(route: &HttpRoute) -> Option<Value> {
    let rewrite = route.rewrite.as_ref()?;
    let mut built = Map::new();
    if let Some(host) = &rewrite.authority {
        built.insert("hostname".to_owned(), json!(host));
    }
    if let Some(regex) = &rewrite.uri_regex_rewrite {
        let path = super::unsaid::constant(&regex.rewrite)?;
        built.insert(
            "path".to_owned(),
            json!({"type": "ReplaceFullPath", "replaceFullPath": path}),
        );
    }
    Some(json!({"type": "URLRewrite", "urlRewrite": built}))
}

fn cors(cors: &CorsPolicy) -> Option<Value> {
    let origins: Vec<String> = cors
        .allow_origins
        .iter()
        .filter_map(super::unsaid::origin)
        .collect();
    if origins.is_empty() {
        return None;
    }
    let mut built = json!({"allowOrigins": origins, "allowCredentials": cors.allow_credentials});
    let fields = built.as_object_mut()?;
    for (name, words) in [
        ("allowMethods", &cors.allow_methods),
        ("allowHeaders", &cors.allow_headers),
        ("exposeHeaders", &cors.expose_headers),
    ] {
        let words = if words.iter().any(|word| word == "*") {
            vec!["*"]
        } else {
            let mut once: Vec<&str> = Vec::new();
            for word in words {
                if !once.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                    once.push(word);
                }
            }
            once
        };
        if !words.is_empty() {
            fields.insert(name.to_owned(), json!(words));
        }
    }
    let age = cors
        .max_age
        .as_ref()
        .and_then(|age| age.strip_suffix('s')?.parse::<u32>().ok());
    if let Some(age) = age {
        fields.insert("maxAge".to_owned(), json!(age));
    }
    Some(json!({"type": "CORS", "cors": built}))
}
