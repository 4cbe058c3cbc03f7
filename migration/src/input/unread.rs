//! What could not be read, and may be what says how the controller serves. Nobody knows what it protects.

use super::kinds::Metadata;
use super::{Key, Origin};
use serde::Deserialize;
use serde_json::Value;

/// Something that could not be read, and may hold the controller's settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unread {
    /// Where, with the line at which it stops making sense.
    pub origin: Origin,
    /// Its kind, where that is certain; empty otherwise.
    pub kind: String,
    /// Namespace and name, where they are certain.
    pub key: Option<Key>,
    /// What it seems to be, for people.
    pub seems: String,
    /// Why it cannot be read.
    pub detail: String,
}

/// What a broken document seems to be.
#[derive(Debug)]
pub(super) struct Seems {
    /// Its kind, where it is plain.
    pub kind: String,
    /// What it seems to be called; a guess, for people alone.
    pub name: String,
}

/// Kinds that are read, as they are written.
const KINDS: &[&str] = &[
    "Ingress",
    "IngressClass",
    "Service",
    "Secret",
    "ConfigMap",
    "Deployment",
    "DaemonSet",
    "List",
    "IngressList",
    "IngressClassList",
    "ServiceList",
    "SecretList",
    "ConfigMapList",
    "DeploymentList",
    "DaemonSetList",
];

/// Whether something of a kind may say how the controller serves; an empty one is not known, and a list may have anything.
pub(super) fn decides(kind: &str) -> bool {
    let one = kind.to_ascii_lowercase();
    let one = one.strip_suffix("list").unwrap_or(&one);
    ["", "configmap", "ingressclass", "deployment", "daemonset"].contains(&one)
}

/// The kind that was meant, where a kind is only written with other letters.
pub(super) fn meant(kind: &str) -> Option<&'static str> {
    let mut known = KINDS.iter().filter(|known| known.eq_ignore_ascii_case(kind));
    known.next().copied().filter(|known| *known != kind)
}

/// What a text that is no document seems to be. Its kind is plain only where one line at its margin says one: two say that
/// two documents have run into each other.
pub(super) fn seems(text: &str) -> Seems {
    let mut said = text.lines().filter_map(|line| {
        let rest = line.trim_start_matches(['"', '\'']).strip_prefix("kind")?;
        let after = rest.chars().next();
        after.is_none_or(|next| !next.is_alphanumeric()).then_some(rest)
    });
    let plain = match (said.next(), said.next()) {
        (Some(rest), None) => word(rest),
        _ => None,
    };
    let named = text.split("name:").nth(1).and_then(|rest| rest.lines().next());
    let name: String = named
        .unwrap_or_default()
        .trim()
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "-.".contains(*c))
        .collect();
    Seems {
        kind: plain.unwrap_or_default(),
        name,
    }
}

/// What a line says behind a key: one word, and nothing that would need reading.
fn word(rest: &str) -> Option<String> {
    let rest = rest
        .trim_start_matches(['"', '\''])
        .trim_start()
        .strip_prefix(':')?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let said = rest.split(" #").next()?.trim();
    let bare = said.trim_matches('"').trim_matches('\'');
    let plain = !bare.is_empty() && bare.chars().all(|c| c.is_ascii_alphanumeric());
    plain.then(|| bare.to_owned())
}

/// Namespace and name of an object of which something else cannot be read.
pub(super) fn key(value: &Value) -> Option<Key> {
    let meta = Metadata::deserialize(value.get("metadata")?).ok()?;
    (!meta.name.is_empty()).then(|| meta.key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_documents_kind_is_plain_only_where_one_line_at_the_margin_says_one() {
        for (text, kind) in [
            ("kind: Service\n\tx", "Service"),
            ("'kind': \"Service\" # mine\n", "Service"),
            ("spec:\n  kind: Service\n", ""),
            ("kind: Service\nkind: ConfigMap\n", ""),
            ("kind: Service\nkind ConfigMap\n", ""),
            ("kind: [Service\n", ""),
            ("kind: Ser vice\n", ""),
            ("kind:\n  Service\n", ""),
            ("kinds: Service\n", ""),
            ("{\"kind\": \"Service\",\n", ""),
        ] {
            assert_eq!(seems(text).kind, kind, "{text}");
        }
        assert_eq!(seems("metadata: {name: shop, namespace: a").name, "shop");
    }
}
