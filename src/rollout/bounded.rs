//! Texts of a status, cut to what its definition takes. The API server refuses a status with one that is too long as a
//! whole, and then nothing of it is persisted any more: so none is ever written, whoever it comes from.

use serde::ser::{SerializeSeq as _, Serializer};
use std::borrow::Cow;

/// So much of why something could not be read or written is told beside other things, in characters.
pub const FAILURE_KEPT: usize = 400;

/// As much of a text as so many characters hold; what is cut off is shown by its last one.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    // A character has a byte at least.
    if text.len() <= most || text.chars().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let kept = text.chars().take(most.saturating_sub(1));
    Cow::Owned(kept.chain(std::iter::once('…')).collect())
}

/// Serialises a text of `MOST` characters at most.
pub(super) fn text<const MOST: usize, S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&cut(text, MOST))
}

/// The same where there may be none.
#[expect(clippy::ref_option, reason = "serde's signature")]
pub(super) fn maybe<const MOST: usize, S: Serializer>(
    text: &Option<String>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => to.serialize_some(&cut(text, MOST)),
        None => to.serialize_none(),
    }
}

/// Serialises `ITEMS` texts at most, each of `MOST` characters at most.
pub(super) fn list<const ITEMS: usize, const MOST: usize, S: Serializer>(
    texts: &[String],
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut seq = to.serialize_seq(Some(texts.len().min(ITEMS)))?;
    for text in texts.iter().take(ITEMS) {
        seq.serialize_element(&cut(text, MOST))?;
    }
    seq.end()
}

/// The texts and lists of a status that are longer than its definition takes, by their paths.
#[cfg(any(test, fuzzing))]
pub(crate) fn too_long(status: &serde_json::Value) -> Vec<String> {
    let mut found = Vec::new();
    longer(definition(), status, "status", &mut found);
    found
}

/// The schema of a status.
#[cfg(any(test, fuzzing))]
fn definition() -> &'static serde_json::Value {
    use kube::CustomResourceExt as _;
    static STATUS: std::sync::OnceLock<serde_json::Value> = std::sync::OnceLock::new();
    STATUS.get_or_init(|| {
        let whole = serde_json::to_value(super::spec::GradualRollout::crd()).unwrap_or_default();
        let status = whole.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status");
        status.cloned().unwrap_or_default()
    })
}

#[cfg(any(test, fuzzing))]
fn longer(schema: &serde_json::Value, value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    use serde_json::Value;
    let most = |key: &str| schema.get(key).and_then(Value::as_u64).unwrap_or(u64::MAX);
    match value {
        Value::String(text) if text.chars().count() as u64 > most("maxLength") => found.push(path.to_owned()),
        Value::Array(items) => {
            if items.len() as u64 > most("maxItems") {
                found.push(path.to_owned());
            }
            for item in items {
                longer(&schema["items"], item, &format!("{path}[]"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let inner = schema.get("properties").and_then(|all| all.get(name));
                let inner = inner.unwrap_or(&Value::Null);
                longer(inner, field, &format!("{path}.{name}"), found);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::status::GradualRolloutStatus;
    use serde_json::{Map, Value, json};

    /// A short text of the form that a schema asks for.
    fn fitting(schema: &Value) -> &'static str {
        let form = schema["pattern"]
            .as_str()
            .map(|form| regex::Regex::new(form).unwrap());
        let fits = |text: &&str| form.as_ref().is_some_and(|form| form.is_match(text));
        let known = ["5%", "1h"].into_iter().find(fits);
        known.unwrap_or("2026-03-02T02:00:00Z")
    }

    /// A value that fits a schema but for its texts and lists of texts, which are far longer than it takes.
    fn far_too_long(schema: &Value) -> Value {
        let kind = schema["type"].as_str().unwrap_or_default();
        if let Some(word) = schema["enum"].as_array().and_then(|words| words.first()) {
            return word.clone();
        }
        if schema["x-kubernetes-int-or-string"] == json!(true) {
            return json!("5%");
        }
        match kind {
            "string"
                if schema.get("maxLength").is_some()
                    && schema.get("pattern").is_none()
                    && schema.get("format").is_none() =>
            {
                json!("ä".repeat(5000))
            }
            "string" => json!(fitting(schema)),
            "integer" => json!(1),
            "number" => json!(0.5),
            "boolean" => json!(true),
            "array" if schema["items"]["type"] == "string" => {
                json!(vec![far_too_long(&schema["items"]); 300])
            }
            "array" => json!([far_too_long(&schema["items"])]),
            _ => {
                let fields = schema["properties"].as_object().into_iter().flatten();
                // What the daemon keeps for itself has no bounds.
                let told =
                    fields.filter(|(_, field)| field.get("x-kubernetes-preserve-unknown-fields").is_none());
                let all: Map<_, _> = told
                    .map(|(name, field)| (name.clone(), far_too_long(field)))
                    .collect();
                all.into()
            }
        }
    }

    #[test]
    fn no_text_of_a_status_is_ever_written_longer_than_its_definition_takes() {
        let long = far_too_long(definition());
        assert!(too_long(&long).len() > 40, "{:?}", too_long(&long));
        let status: GradualRolloutStatus = serde_json::from_value(long.clone()).unwrap();
        let written = serde_json::to_value(&status).unwrap();
        assert_eq!(too_long(&written), Vec::<String>::new());
        let message = written["components"][0]["message"].as_str().unwrap();
        assert!(message.ends_with("ä…"), "that it was cut is seen");
        let fields = |value: &Value| -> Vec<String> {
            let component = value["components"][0].as_object().unwrap();
            component.keys().cloned().collect()
        };
        let written = fields(&written);
        assert!(
            fields(&long).iter().all(|field| written.contains(field)),
            "every field was tried: {written:?}"
        );
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        for text in ["", "ab", "äöü"] {
            assert!(matches!(cut(text, 3), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
