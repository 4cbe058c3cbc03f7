//! Objects to text: the same objects give the same bytes.

use serde_json::Value;
use serde_saphyr::SerializerOptions;
use std::fmt::Write as _;

/// Objects that could not be written; a mistake of this crate.
#[derive(Debug, thiserror::Error)]
#[error("unable to write the objects: {0}")]
pub struct NotWritten(String);

/// One document for each object.
pub fn to_yaml(objects: &[Value]) -> Result<String, NotWritten> {
    let mut text = String::new();
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            text.push_str("---\n");
        }
        let options = plain_options();
        let document = serde_saphyr::to_string_with_options(object, options);
        text.push_str(&document.map_err(|error| NotWritten(error.to_string()))?);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}

/// Regular expressions are long and have no place to break: every text stays on its line.
fn plain_options() -> SerializerOptions {
    let mut options = SerializerOptions::default();
    options.prefer_block_scalars = false;
    options
}

/// A `List` that kubectl takes.
pub fn to_json(objects: &[Value]) -> Result<String, NotWritten> {
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let mut text = serde_json::to_string_pretty(&list).map_err(|error| NotWritten(error.to_string()))?;
    let _ = writeln!(text);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_text_is_written_is_read_back(key in "[a-z]{1,6}", text in "(\\PC{0,120}|[yn0-9.:#\\-~^|>&*!%@`'\"{}\\[\\],? ]{0,20}|true|no|null|1e3|0x1f)") {
            let object = serde_json::json!({"spec": {key: [text, {"x": "a\nb"}]}});
            let yaml = to_yaml(&[object.clone(), object.clone()]).unwrap();
            let read: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
            prop_assert_eq!(read, vec![object.clone(), object]);
        }
    }
}
