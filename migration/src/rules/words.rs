//! Texts with rules of their own: durations, regular expressions, headers, hosts, references.

use super::At;
use crate::convert::{LONGEST_REGEX, is_header_name, is_label};
use serde_json::Value;

/// Go's durations are nanoseconds in 64 bits.
const LONGEST_MS: f64 = 9.2e12;

/// A duration in milliseconds: `1h2m3.5s` as Go writes it; none where it is none, or finer than a millisecond.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let (unit, length) = match rest {
            r if r.starts_with("ms") => (1.0, 2),
            r if r.starts_with('h') => (3_600_000.0, 1),
            r if r.starts_with('m') => (60_000.0, 1),
            r if r.starts_with('s') => (1000.0, 1),
            _ => return None,
        };
        sum += number * unit;
        rest = rest.get(length..)?;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded, and no minus is read"
    )]
    (sum.fract() == 0.0 && sum < LONGEST_MS).then_some(sum as u64)
}

/// A duration of a millisecond or more.
pub(super) fn duration(at: &mut At, field: &str, value: Option<&Value>) {
    let Some(value) = value else { return };
    let fits = value.as_str().and_then(milliseconds).is_some_and(|ms| ms >= 1);
    at.demand(
        fits,
        field,
        "a duration of at least 1ms, in whole milliseconds, is demanded; leave it out for none",
    );
}

/// A regular expression that Istio takes.
pub(super) fn regex(at: &mut At, field: &str, text: &str) {
    at.demand(!text.is_empty(), field, "a regular expression must not be empty");
    at.demand(
        text.len() <= LONGEST_REGEX,
        field,
        "a regular expression has at most 1024 characters",
    );
    at.demand(
        regex_syntax::parse(text).is_ok(),
        field,
        "this is no RE2 expression",
    );
}

/// A string match: exactly one kind, and what it says.
pub(super) fn string_match(at: &mut At, field: &str, value: &Value, empty_prefix: bool) {
    let kinds = super::present(value, &["exact", "prefix", "regex"]);
    at.demand(kinds <= 1, field, "at most one of exact, prefix and regex");
    if let Some(pattern) = value.get("regex").and_then(Value::as_str) {
        // As a header's value a lone star stands for presence.
        if pattern != "*" || !empty_prefix {
            regex(at, field, pattern);
        }
    }
    let prefix = value.get("prefix").and_then(Value::as_str);
    at.demand(
        prefix != Some("") || empty_prefix,
        field,
        "a prefix must not be empty",
    );
}

/// `*` is no host here; a wildcard stands alone in the first label.
pub(super) fn host(at: &mut At, field: &str, text: &str, star: bool) {
    if text == "*" {
        at.demand(star, field, "`*` is not allowed here");
        return;
    }
    let rest = text.strip_prefix("*.").unwrap_or(text);
    let fits = text.len() <= 255 && rest.split('.').all(is_label);
    at.demand(
        fits,
        field,
        "this is no host: DNS labels, the first of which may be `*`",
    );
}

/// Whether one host stands for the other too.
pub(super) fn overlap(a: &str, b: &str) -> bool {
    let wide = |wild: &str, host: &str| {
        wild == "*"
            || wild
                .strip_prefix('*')
                .is_some_and(|suffix| host.ends_with(suffix))
    };
    a == b || wide(a, b) || wide(b, a)
}

/// `namespace/name`, or `mesh`.
pub(super) fn gateway(at: &mut At, field: &str, text: &str) {
    let fits = match text.split_once('/') {
        Some((namespace, name)) => is_label(namespace) && is_label(name),
        None => is_label(text),
    };
    at.demand(fits, field, "a gateway is `namespace/name`, both DNS labels");
}

/// A port.
pub(super) fn port(at: &mut At, field: &str, value: Option<&Value>) {
    let number = value.and_then(Value::as_u64);
    at.demand(
        number.is_some_and(|n| (1..=65535).contains(&n)),
        field,
        "a port is a number from 1 to 65535",
    );
}

/// Header operations.
pub(super) fn headers(at: &mut At, field: &str, value: &Value, request: bool) {
    for action in ["set", "add"] {
        for (name, text) in value.get(action).and_then(Value::as_object).into_iter().flatten() {
            let place = format!("{field}.{action}.{name}");
            let host = ["host", ":authority"].contains(&name.to_ascii_lowercase().as_str());
            at.demand(!host || request, &place, "Host can be set for requests only");
            at.demand(host || is_header_name(name), &place, "this is no header name");
            header_value(at, &place, text.as_str().unwrap_or_default());
        }
    }
    for name in super::texts(value, "remove") {
        let fits = is_header_name(name) && !name.eq_ignore_ascii_case("host");
        at.demand(fits, &format!("{field}.remove"), "this header cannot be removed");
    }
}

/// `%` begins a variable, and stands for itself when doubled.
fn header_value(at: &mut At, field: &str, text: &str) {
    at.demand(
        !text.chars().any(char::is_control),
        field,
        "a header's value has no control characters",
    );
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        if let Some(after) = after.strip_prefix('%') {
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('%') else {
            at.wrong(field, "a single `%` must be written twice");
            return;
        };
        let fits = name.chars().next().is_some_and(|c| c.is_ascii_uppercase());
        at.demand(
            fits,
            field,
            "this is no variable; write `%` twice for the character",
        );
        rest = after;
    }
}
