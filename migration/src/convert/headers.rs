//! Headers that are set or taken away.

use super::annotations::Annotations;
use super::settings::{Settings, key};
use crate::input::{ConfigMap, Key};
use crate::istio::HeaderOperations;
use crate::report::Code;
use std::collections::BTreeMap;

/// Whether a text is a token as RFC 9110 has it.
pub(crate) fn is_name(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(token)
}

/// A value in a `VirtualService`, where `%` begins a variable; none where it has control characters.
fn value(text: &str) -> Option<String> {
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.replace('%', "%%"))
}

/// Sets a header; what cannot be said refuses the route.
pub(super) fn set(
    notes: &Annotations<'_>,
    annotation: &str,
    operations: &mut HeaderOperations,
    name: &str,
    text: &str,
) {
    match value(text).filter(|_| is_name(name) && !name.eq_ignore_ascii_case("host")) {
        Some(value) => {
            operations.set.insert(name.to_ascii_lowercase(), value);
        }
        None => notes.note_with(Code::HeaderInvalid, annotation, format!("{name:?}: {text:?}")),
    }
}

/// Sets a header to what the gateway knows of a request.
pub(super) fn set_variable(operations: &mut HeaderOperations, name: &str, variable: &str) {
    operations
        .set
        .insert(name.to_ascii_lowercase(), format!("%{variable}%"));
}

/// Whether a value is what the gateway knows of a request, and no text.
pub(super) fn is_variable(value: &str) -> bool {
    value.replace("%%", "").contains('%')
}

/// What nginx tells back ends of a certificate that it asks nobody for: whoever sends these headers himself is not believed.
pub(super) fn no_certificate(operations: &mut HeaderOperations) {
    operations
        .set
        .insert("ssl-client-verify".to_owned(), "NONE".to_owned());
    for name in ["ssl-client-cert", "ssl-client-issuer-dn", "ssl-client-subject-dn"] {
        if !operations.remove.iter().any(|removed| removed == name) {
            operations.remove.push(name.to_owned());
        }
    }
    operations.remove.sort();
}

/// Request headers that the controller sets for all, from its ConfigMap, and what of them is not as it was. One whose value
/// only nginx knows is taken away: else whoever sends it himself would be believed.
pub(super) fn of_all(map: &ConfigMap, operations: &mut HeaderOperations) -> Vec<(String, &'static str)> {
    // The gateway decides about these itself.
    const ITS_OWN: [&str; 6] = [
        "connection",
        "content-length",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-proto",
    ];
    let mut lost = Vec::new();
    for (name, text) in &map.data {
        let lower = name.to_ascii_lowercase();
        let text = text.trim();
        if !is_name(name) || lower == "host" {
            lost.push((name.clone(), "is no header that can be set"));
        } else if ITS_OWN.contains(&lower.as_str()) {
            lost.push((name.clone(), "the gateway decides about it itself"));
        } else if let Some(value) = value(text).filter(|_| !text.contains('$')) {
            operations.set.insert(lower, value);
        } else {
            if !text.is_empty() {
                lost.push((name.clone(), "has a value of nginx's own, so it is taken away"));
            }
            operations.remove.push(lower);
        }
    }
    operations.remove.sort();
    operations.remove.dedup();
    lost
}

/// Takes a header away.
pub(super) fn remove(
    notes: &Annotations<'_>,
    annotation: &str,
    operations: &mut HeaderOperations,
    name: &str,
) {
    if !is_name(name) || name.eq_ignore_ascii_case("host") {
        notes.note_with(Code::HeaderInvalid, annotation, format!("{name:?}"));
        return;
    }
    let name = name.to_ascii_lowercase();
    if !operations.remove.contains(&name) {
        operations.remove.push(name);
        operations.remove.sort();
    }
}

/// Response headers from a ConfigMap, as far as the controller allows them.
pub(super) fn custom(
    notes: &Annotations<'_>,
    settings: &Settings,
    config_maps: &BTreeMap<Key, ConfigMap>,
    operations: &mut HeaderOperations,
) {
    const NAME: &str = "custom-headers";
    let Some(text) = notes.text(NAME) else { return };
    let Some(map) = key(text).and_then(|key| config_maps.get(&key)) else {
        notes.note(Code::CustomHeaders, NAME);
        return;
    };
    for (name, text) in &map.data {
        if settings
            .allowed_headers
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(name))
        {
            set(notes, NAME, operations, name, text.trim());
        } else {
            notes.note_with(Code::CustomHeaders, NAME, format!("{name:?} is not allowed"));
        }
    }
}
