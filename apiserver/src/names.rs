//! Which names, labels and annotations an object may carry.

use super::failure::Cause;
use super::json::meta;
use super::resource::Resource;
use serde_json::{Value, json};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// All annotations of one object together, in bytes.
const ANNOTATIONS: usize = 262_144;

/// What is wrong with the metadata.
pub(super) fn check(resource: &Resource, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = meta(object, "name");
    let plain_label =
        resource.group.is_empty() && matches!(resource.plural.as_str(), "namespaces" | "services");
    if name.is_empty() {
        causes.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else if plain_label {
        if !is_label(name) {
            causes.push(Cause::invalid("metadata.name", &json!(name), LABEL));
        }
    } else if name.len() > 253 || !name.split('.').all(is_subdomain_part) {
        causes.push(Cause::invalid("metadata.name", &json!(name), SUBDOMAIN));
    }
    let base = meta(object, "generateName");
    let masked = mask(base);
    let fits = if plain_label {
        is_label(&masked)
    } else {
        masked.len() <= 253 && masked.split('.').all(is_subdomain_part)
    };
    if !base.is_empty() && !fits {
        let why = if plain_label { LABEL } else { SUBDOMAIN };
        causes.push(Cause::invalid("metadata.generateName", &json!(base), why));
    }
    let entries = |field: &str| {
        object
            .pointer(&format!("/metadata/{field}"))
            .and_then(Value::as_object)
    };
    for (key, value) in entries("labels").into_iter().flatten() {
        if let Some(why) = bad_key(key) {
            causes.push(Cause::invalid("metadata.labels", &json!(key), why));
        }
        let value = value.as_str().unwrap_or_default();
        if value.len() > 63 {
            causes.push(Cause::invalid(
                "metadata.labels",
                &json!(value),
                "must be no more than 63 bytes",
            ));
        } else if !value.is_empty() && !is_token(value) {
            causes.push(Cause::invalid("metadata.labels", &json!(value), LABEL_VALUE));
        }
    }
    let mut size = 0;
    for (key, value) in entries("annotations").into_iter().flatten() {
        if let Some(why) = bad_key(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), why));
        }
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > ANNOTATIONS {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            field: "metadata.annotations".to_owned(),
            message: format!("Too long: may not be more than {ANNOTATIONS} bytes"),
        });
    }
    causes
}

pub(super) fn bad_key(key: &str) -> Option<&'static str> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    if name.contains('/') {
        return Some(
            "a valid label key must consist of an optional DNS subdomain prefix and a name, separated by one '/'",
        );
    }
    if prefix.is_some_and(|p| p.is_empty() || p.len() > 253 || !p.split('.').all(is_subdomain_part)) {
        return Some("prefix part must be a lowercase RFC 1123 subdomain");
    }
    if name.is_empty() {
        return Some("name part must be non-empty");
    }
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes");
    }
    (!is_token(name)).then_some(QUALIFIED)
}

/// The beginning of a generated name as it is judged: a dash at its end is as good as a letter.
fn mask(base: &str) -> String {
    let mut kept = base.chars();
    match (kept.next_back(), kept.next_back()) {
        (Some('-'), Some(_)) => format!("{}a", kept.as_str()),
        _ => base.to_owned(),
    }
}

fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_subdomain_part(name)
}

fn is_subdomain_part(part: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(fits) && part.ends_with(fits) && part.chars().all(|c| fits(c) || c == '-')
}

fn is_token(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(fits) && text.ends_with(fits) && text.chars().all(|c| fits(c) || "-_.".contains(c))
}
