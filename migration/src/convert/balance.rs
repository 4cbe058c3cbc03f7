//! How requests are spread over a Service's endpoints.

use super::annotations::Annotations;
use super::headers;
use crate::istio::{ConsistentHash, Cookie, CookieAttribute, LoadBalancer};
use crate::report::Code;

/// What an Ingress asks for. Affinity by cookie beats a hash beats an algorithm, as in nginx.
pub(super) fn read(notes: &Annotations<'_>) -> Option<LoadBalancer> {
    let affinity = notes.text("affinity");
    let hash = notes.text("upstream-hash-by");
    let simple = notes.text("load-balance");
    for detail in ["upstream-hash-by-subset", "upstream-hash-by-subset-size"] {
        if hash.is_some() && notes.text(detail).is_some_and(|text| text != "false") {
            notes.note(Code::HashExpression, detail);
        }
    }
    if affinity == Some("cookie") {
        for (name, beaten) in [("upstream-hash-by", hash), ("load-balance", simple)] {
            if beaten.is_some() {
                notes.note(Code::InertAnnotation, name);
            }
        }
        return Some(LoadBalancer::ConsistentHash(ConsistentHash::HttpCookie(cookie(
            notes,
        ))));
    }
    if affinity.is_some() {
        notes.note(Code::InvalidValue, "affinity");
    }
    if let Some(expression) = hash {
        let by = by(expression);
        if by.is_none() {
            notes.note(Code::HashExpression, "upstream-hash-by");
        }
        return by.map(LoadBalancer::ConsistentHash);
    }
    match simple? {
        "round_robin" => Some(LoadBalancer::Simple("ROUND_ROBIN")),
        "ewma" => Some(LoadBalancer::Simple("LEAST_REQUEST")),
        _ => {
            notes.note(Code::BalanceUnknown, "load-balance");
            None
        }
    }
}

fn by(expression: &str) -> Option<ConsistentHash> {
    let name = expression.strip_prefix('$')?;
    let name = name
        .strip_prefix('{')
        .and_then(|name| name.strip_suffix('}'))
        .unwrap_or(name);
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !word(name) {
        return None;
    }
    if ["remote_addr", "binary_remote_addr"].contains(&name) {
        return Some(ConsistentHash::UseSourceIp(true));
    }
    // A prefix alone names nothing.
    let after = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty());
    if let Some(header) = after("http_") {
        // nginx's variables have underscores where headers have dashes.
        return Some(ConsistentHash::HttpHeaderName(header.replace('_', "-")));
    }
    if let Some(argument) = after("arg_") {
        return Some(ConsistentHash::HttpQueryParameterName(argument.to_owned()));
    }
    let cookie = after("cookie_")?;
    Some(ConsistentHash::HttpCookie(Cookie {
        name: cookie.to_owned(),
        path: None,
        ttl: None,
        attributes: Vec::new(),
    }))
}

fn cookie(notes: &Annotations<'_>) -> Cookie {
    notes.note(Code::AffinityReset, "affinity");
    if notes.text("affinity-mode").is_some_and(|mode| mode != "balanced") {
        notes.note(Code::AffinityDetail, "affinity-mode");
    }
    // nginx reads it of the canary, and keeps a session on its arm by either value: with `legacy` as long as the canary asks for
    // affinity itself, and always on the primary's. That the gateway does not is told of the canary (AFFINITY-CANARY).
    let _ = notes.text("affinity-canary-behavior").map(|_| {
        notes.note(Code::AffinityDetail, "affinity-canary-behavior");
    });
    for detail in [
        "session-cookie-change-on-failure",
        "session-cookie-conditional-samesite-none",
    ] {
        if notes.flag(detail) == Some(true) {
            notes.note(Code::AffinityDetail, detail);
        }
    }
    let name = notes.text("session-cookie-name").filter(|name| {
        let fits = headers::is_name(name);
        if !fits {
            notes.note(Code::InvalidValue, "session-cookie-name");
        }
        fits
    });
    let expires = notes.seconds("session-cookie-expires");
    let age = notes.seconds("session-cookie-max-age").or(expires).unwrap_or(0);
    let mut attributes = Vec::new();
    let mut attribute = |name: &str, value: Option<&str>| {
        attributes.push(CookieAttribute {
            name: name.to_owned(),
            value: value.map(ToOwned::to_owned),
        });
    };
    // It would end the attribute, or the header.
    let plain = |name: &str| {
        let text = notes.text(name)?;
        let fits = !text
            .chars()
            .any(|c| c == ';' || c.is_whitespace() || c.is_control());
        if !fits {
            notes.note(Code::InvalidValue, name);
        }
        fits.then_some(text)
    };
    if let Some(domain) = plain("session-cookie-domain") {
        attribute("Domain", Some(domain));
    }
    if let Some(same) = notes.text("session-cookie-samesite") {
        if ["Strict", "Lax", "None"].contains(&same) {
            attribute("SameSite", Some(same));
        } else {
            notes.note(Code::InvalidValue, "session-cookie-samesite");
        }
    }
    if notes.flag("session-cookie-secure") == Some(true) {
        attribute("Secure", None);
    }
    Cookie {
        name: name.unwrap_or("INGRESSCOOKIE").to_owned(),
        path: Some(plain("session-cookie-path").unwrap_or("/").to_owned()),
        ttl: Some(format!("{age}s")),
        attributes,
    }
}
