//! CORS.

use super::annotations::Annotations;
use super::headers;
use crate::istio::{CorsPolicy, StringMatch};
use crate::report::Code;

/// What Istio takes (its validation of `corsPolicy.allowMethods`).
pub(crate) const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*",
];

const USUAL_METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"];

const USUAL_HEADERS: &[&str] = &[
    "DNT",
    "Keep-Alive",
    "User-Agent",
    "X-Requested-With",
    "If-Modified-Since",
    "Cache-Control",
    "Content-Type",
    "Range",
    "Authorization",
];

/// nginx's default, in seconds.
const USUAL_AGE: u64 = 1_728_000;

/// What an Ingress asks for; none where CORS is not switched on.
pub(super) fn read(notes: &Annotations<'_>) -> Option<CorsPolicy> {
    if notes.flag("enable-cors") != Some(true) {
        return None;
    }
    notes.note(Code::CorsPreflight, "enable-cors");
    let origins = notes.list("cors-allow-origin").unwrap_or_else(|| vec!["*"]);
    let credentials = notes.flag("cors-allow-credentials").unwrap_or(true);
    let age = notes.seconds("cors-max-age").unwrap_or(USUAL_AGE);
    let any = origins == ["*"];
    if any && credentials {
        notes.note(Code::CorsStar, "enable-cors");
    }
    Some(CorsPolicy {
        allow_origins: allowed_origins(notes, &origins, any),
        allow_methods: words(notes, "cors-allow-methods", USUAL_METHODS, |word| {
            METHODS.contains(&word)
        }),
        allow_headers: words(notes, "cors-allow-headers", USUAL_HEADERS, |word| {
            word == "*" || headers::is_name(word)
        }),
        expose_headers: words(notes, "cors-expose-headers", &[], |word| {
            word == "*" || headers::is_name(word)
        }),
        max_age: (age > 0).then(|| format!("{age}s")),
        allow_credentials: credentials && !any,
    })
}

fn words(notes: &Annotations<'_>, name: &str, usual: &[&str], fits: impl Fn(&str) -> bool) -> Vec<String> {
    let given = notes.list(name).unwrap_or_else(|| usual.to_vec());
    let mut all = Vec::new();
    for word in given {
        if fits(word) {
            all.push(word.to_owned());
        } else {
            notes.note_with(Code::CorsValue, name, format!("{word:?}"));
        }
    }
    all
}

fn allowed_origins(notes: &Annotations<'_>, origins: &[&str], any: bool) -> Vec<StringMatch> {
    if any {
        return vec![StringMatch::Regex(".*".to_owned())];
    }
    let mut all = Vec::new();
    for origin in origins {
        match one_origin(origin) {
            Some(origin) => all.push(origin),
            None => notes.note_with(Code::CorsValue, "cors-allow-origin", format!("{origin:?}")),
        }
    }
    all
}

/// Browsers send origins in lower case; a wildcard stands for one label.
fn one_origin(origin: &str) -> Option<StringMatch> {
    let origin = origin.to_ascii_lowercase();
    let (_, rest) = origin.split_once("://")?;
    let host = rest.split(':').next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    let Some(domain) = host.strip_prefix("*.") else {
        return (!host.is_empty() && rest.chars().all(plain)).then_some(StringMatch::Exact(origin));
    };
    if domain.contains('*') {
        return None;
    }
    let escaped = regex::escape(&origin).replacen("\\*", "[A-Za-z0-9-]+", 1);
    Some(StringMatch::Regex(format!("(?i){escaped}")))
}
