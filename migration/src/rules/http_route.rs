//! HTTP routes.

use super::{At, list, present, text, texts, words};
use crate::convert::{CORS_METHODS, is_authority, is_header_name};
use serde_json::Value;

/// Conditions of retries that Istio knows; HTTP codes too.
const RETRY_ON: &[&str] = &[
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

/// Codes that Envoy can redirect with; for others Istio drops the route.
const REDIRECTS: &[u64] = &[301, 302, 303, 307, 308];

pub(super) fn check(at: &mut At, field: &str, route: &Value) {
    let what = ["route", "redirect", "directResponse", "delegate"];
    let ends =
        present(route, &what) - usize::from(route.get("route").is_some() && list(route, "route").is_empty());
    at.demand(
        ends == 1,
        field,
        "exactly one of route, redirect, directResponse and delegate is demanded",
    );
    for end in ["redirect", "directResponse"] {
        if route.get(end).is_some() {
            at.demand(
                present(route, &["fault", "rewrite"]) == 0,
                field,
                "a fixed answer has neither fault nor rewrite",
            );
        }
    }
    at.demand(
        present(route, &["mirror", "mirrors"]) <= 1,
        field,
        "mirror and mirrors exclude each other",
    );
    matches(at, field, list(route, "match"));
    if !list(route, "route").is_empty() {
        destinations(at, field, list(route, "route"));
    }
    words::duration(at, &format!("{field}.timeout"), route.get("timeout"));
    if let Some(redirect) = route.get("redirect") {
        self::redirect(at, &format!("{field}.redirect"), redirect, list(route, "match"));
    }
    if let Some(answer) = route.get("directResponse") {
        let status = answer.get("status").and_then(Value::as_u64);
        at.demand(
            status.is_some_and(|s| (200..600).contains(&s)),
            field,
            "a status is a number from 200 to 599",
        );
    }
    if let Some(rewrite) = route.get("rewrite") {
        self::rewrite(at, &format!("{field}.rewrite"), rewrite);
    }
    if let Some(cors) = route.get("corsPolicy") {
        self::cors(at, &format!("{field}.corsPolicy"), cors);
    }
    if let Some(retries) = route.get("retries") {
        self::retries(at, &format!("{field}.retries"), retries);
    }
    if let Some(headers) = route.get("headers") {
        for (way, request) in [("request", true), ("response", false)] {
            let field = format!("{field}.headers.{way}");
            words::headers(at, &field, headers.get(way).unwrap_or(&Value::Null), request);
        }
        let sets = |name: &str| headers.pointer(&format!("/request/set/{name}")).is_some();
        let host = usize::from(sets("host")) + usize::from(sets("Host")) + usize::from(sets(":authority"));
        let authority = usize::from(route.pointer("/rewrite/authority").is_some());
        at.demand(
            host + authority <= 1,
            field,
            "the host can be set once, by header or by rewrite",
        );
    }
}

fn matches(at: &mut At, field: &str, all: &[Value]) {
    for (index, matched) in all.iter().enumerate() {
        let field = format!("{field}.match[{index}]");
        for part in ["uri", "authority", "method", "scheme"] {
            if let Some(value) = matched.get(part) {
                words::string_match(
                    at,
                    &format!("{field}.{part}"),
                    value,
                    part == "uri" && text(value, "regex").is_empty(),
                );
            }
        }
        for part in ["headers", "withoutHeaders"] {
            for (name, value) in matched.get(part).and_then(Value::as_object).into_iter().flatten() {
                let field = format!("{field}.{part}.{name}");
                let pseudo = name.strip_prefix(':').unwrap_or(name);
                at.demand(is_header_name(pseudo), &field, "this is no header name");
                let presence = part == "withoutHeaders" && text(value, "regex") == "*";
                words::string_match(at, &field, value, presence);
            }
        }
        if matched.get("port").is_some() {
            words::port(at, &field, matched.get("port"));
        }
    }
}

pub(super) fn destinations(at: &mut At, field: &str, all: &[Value]) {
    at.demand(!all.is_empty(), field, "a route has a destination");
    let mut sum = 0;
    for (index, entry) in all.iter().enumerate() {
        let field = format!("{field}.route[{index}]");
        let destination = entry.get("destination").unwrap_or(&Value::Null);
        words::host(
            at,
            &format!("{field}.destination.host"),
            text(destination, "host"),
            false,
        );
        if let Some(port) = destination.get("port") {
            words::port(at, &format!("{field}.destination.port"), port.get("number"));
        }
        let weight = entry.get("weight").and_then(Value::as_i64).unwrap_or(0);
        at.demand(weight >= 0, &field, "a weight is not below 0");
        sum += weight;
    }
    at.demand(
        all.len() <= 1 || sum > 0,
        field,
        "the weights of several destinations have a sum above 0",
    );
}

fn redirect(at: &mut At, field: &str, value: &Value, matches: &[Value]) {
    at.demand(
        present(value, &["uri", "prefixRewrite"]) <= 1,
        field,
        "uri and prefixRewrite exclude each other",
    );
    at.demand(
        present(value, &["port", "derivePort"]) <= 1,
        field,
        "port and derivePort exclude each other",
    );
    let any = present(
        value,
        &[
            "uri",
            "prefixRewrite",
            "authority",
            "port",
            "derivePort",
            "scheme",
        ],
    );
    at.demand(any > 0, field, "a redirect changes something");
    if value.get("prefixRewrite").is_some() {
        let prefixes = matches.iter().all(|m| m.pointer("/uri/prefix").is_some());
        at.demand(
            prefixes && !matches.is_empty(),
            field,
            "prefixRewrite needs matches by prefix",
        );
    }
    if let Some(code) = value.get("redirectCode") {
        let fits = code.as_u64().is_some_and(|code| REDIRECTS.contains(&code));
        at.demand(fits, field, "redirectCode is 301, 302, 303, 307 or 308");
    }
    at.demand(
        plain(text(value, "uri")),
        &format!("{field}.uri"),
        "an address has neither blanks nor control characters",
    );
    if value.get("port").is_some() {
        words::port(at, &format!("{field}.port"), value.get("port"));
    }
    if let Some(scheme) = value.get("scheme") {
        at.demand(
            scheme == "http" || scheme == "https",
            field,
            "scheme is http or https",
        );
    }
}

/// What a header can carry as an address.
fn plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn rewrite(at: &mut At, field: &str, value: &Value) {
    if let Some(authority) = value.get("authority") {
        let fits = authority.as_str().is_some_and(is_authority);
        at.demand(
            fits,
            &format!("{field}.authority"),
            "an authority is a host with or without a port",
        );
    }
    let paths = present(value, &["uri", "uriRegexRewrite"]);
    at.demand(paths <= 1, field, "uri and uriRegexRewrite exclude each other");
    at.demand(
        paths + present(value, &["authority"]) > 0,
        field,
        "a rewrite changes something",
    );
    if let Some(regex) = value.get("uriRegexRewrite") {
        words::regex(
            at,
            &format!("{field}.uriRegexRewrite.match"),
            text(regex, "match"),
        );
        let empty = text(regex, "rewrite").is_empty();
        at.demand(
            !empty,
            &format!("{field}.uriRegexRewrite.rewrite"),
            "the target must not be empty",
        );
    }
}

fn cors(at: &mut At, field: &str, value: &Value) {
    for origin in list(value, "allowOrigins") {
        let one = present(origin, &["exact", "prefix", "regex"]) == 1;
        at.demand(
            one,
            &format!("{field}.allowOrigins"),
            "an origin is one of exact, prefix and regex",
        );
        words::string_match(at, &format!("{field}.allowOrigins"), origin, false);
        let empty = text(origin, "exact").is_empty() && origin.get("exact").is_some();
        at.demand(
            !empty,
            &format!("{field}.allowOrigins"),
            "an origin must not be empty",
        );
    }
    for method in texts(value, "allowMethods") {
        at.demand(
            CORS_METHODS.contains(&method),
            &format!("{field}.allowMethods"),
            "Istio does not know this method",
        );
    }
    for part in ["allowHeaders", "exposeHeaders"] {
        for name in texts(value, part) {
            at.demand(
                name == "*" || is_header_name(name),
                &format!("{field}.{part}"),
                "this is no header name",
            );
        }
    }
    if let Some(age) = value.get("maxAge") {
        words::duration(at, &format!("{field}.maxAge"), Some(age));
        let whole = age
            .as_str()
            .and_then(words::milliseconds)
            .is_some_and(|ms| ms % 1000 == 0);
        at.demand(whole, &format!("{field}.maxAge"), "maxAge is in whole seconds");
    }
}

fn retries(at: &mut At, field: &str, value: &Value) {
    let attempts = value.get("attempts").and_then(Value::as_i64).unwrap_or(0);
    at.demand(attempts >= 0, field, "attempts is not below 0");
    let details = present(value, &["perTryTimeout", "retryOn"]);
    at.demand(
        attempts > 0 || details == 0,
        field,
        "without attempts there is neither perTryTimeout nor retryOn",
    );
    words::duration(at, &format!("{field}.perTryTimeout"), value.get("perTryTimeout"));
    words::duration(at, &format!("{field}.backoff"), value.get("backoff"));
    for word in text(value, "retryOn")
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        let code = word.parse::<u16>().is_ok_and(|code| (100..600).contains(&code));
        at.demand(
            code || RETRY_ON.contains(&word),
            field,
            "Istio does not know this condition",
        );
    }
}
