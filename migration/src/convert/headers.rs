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
