//! The few protobuf bodies that kubectl sends without a file: `create namespace|configmap|secret`, `auth can-i`.
//!
//! A field that is not in these tables is refused, never dropped.

use super::failure::Failure;
use serde_json::{Map, Value, json};

/// How a field is written.
enum Kind {
    Text,
    Bool,
    Texts,
    TextMap,
    BytesMap,
    Message(&'static [Field]),
    Messages(&'static [Field]),
}

struct Field(u64, &'static str, Kind);

const OWNER: &[Field] = &[
    Field(1, "kind", Kind::Text),
    Field(3, "name", Kind::Text),
    Field(4, "uid", Kind::Text),
    Field(5, "apiVersion", Kind::Text),
    Field(6, "controller", Kind::Bool),
    Field(7, "blockOwnerDeletion", Kind::Bool),
];
const META: Field = Field(
    1,
    "metadata",
    Kind::Message(&[
        Field(1, "name", Kind::Text),
        Field(2, "generateName", Kind::Text),
        Field(3, "namespace", Kind::Text),
        Field(5, "uid", Kind::Text),
        Field(6, "resourceVersion", Kind::Text),
        Field(11, "labels", Kind::TextMap),
        Field(12, "annotations", Kind::TextMap),
        Field(13, "ownerReferences", Kind::Messages(OWNER)),
        Field(14, "finalizers", Kind::Texts),
    ]),
);
const CONFIG_MAP: &[Field] = &[
    META,
    Field(2, "data", Kind::TextMap),
    Field(3, "binaryData", Kind::BytesMap),
    Field(4, "immutable", Kind::Bool),
];
const SECRET: &[Field] = &[
    META,
    Field(2, "data", Kind::BytesMap),
    Field(3, "type", Kind::Text),
    Field(4, "stringData", Kind::TextMap),
    Field(5, "immutable", Kind::Bool),
];
const NAMESPACE: &[Field] = &[
    META,
    Field(2, "spec", Kind::Message(&[Field(1, "finalizers", Kind::Texts)])),
];
const MAY_I: &[Field] = &[
    META,
    Field(
        2,
        "spec",
        Kind::Message(&[
            Field(
                1,
                "resourceAttributes",
                Kind::Message(&[
                    Field(1, "namespace", Kind::Text),
                    Field(2, "verb", Kind::Text),
                    Field(3, "group", Kind::Text),
                    Field(4, "version", Kind::Text),
                    Field(5, "resource", Kind::Text),
                    Field(6, "subresource", Kind::Text),
                    Field(7, "name", Kind::Text),
                ]),
            ),
            Field(
                2,
                "nonResourceAttributes",
                Kind::Message(&[Field(1, "path", Kind::Text), Field(2, "verb", Kind::Text)]),
            ),
        ]),
    ),
];
const RULES: &[Field] = &[
    META,
    Field(2, "spec", Kind::Message(&[Field(1, "namespace", Kind::Text)])),
];
const WHO: &[Field] = &[META];
/// `runtime.Unknown`: the type, and the object's own bytes.
const ENVELOPE: &[Field] = &[Field(1, "apiVersion", Kind::Text), Field(2, "kind", Kind::Text)];

/// The object in a protobuf body.
pub(super) fn decode(body: &[u8]) -> Result<Value, Failure> {
    let refused = |what: &str| {
        Failure::unsupported_media_type(&format!(
            "application/json, application/yaml; protobuf is decoded for a few kinds only, not for {what}: use a \
             file with `kubectl apply -f`"
        ))
    };
    let parts = body
        .strip_prefix(b"k8s\0")
        .and_then(split)
        .ok_or_else(|| refused("this body"))?;
    let bytes = |number: u64| {
        parts
            .iter()
            .find(|p| p.number == number)
            .map_or(&[][..], |p| p.bytes)
    };
    let kind = message(ENVELOPE, bytes(1)).ok_or_else(|| refused("this body"))?;
    let name = kind.get("kind").and_then(Value::as_str).unwrap_or_default();
    let fields = match name {
        "ConfigMap" => CONFIG_MAP,
        "Secret" => SECRET,
        "Namespace" => NAMESPACE,
        "SelfSubjectAccessReview" => MAY_I,
        "SelfSubjectRulesReview" => RULES,
        "SelfSubjectReview" => WHO,
        other => return Err(refused(other)),
    };
    let mut object = message(fields, bytes(2)).ok_or_else(|| refused(&format!("every field of {name}")))?;
    for field in ["apiVersion", "kind"] {
        super::json::set(&mut object, field, kind.get(field).cloned());
    }
    Ok(object)
}

struct Part<'a> {
    number: u64,
    bytes: &'a [u8],
    varint: u64,
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut out = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        out |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(out);
        }
    }
    None
}

fn split(mut bytes: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let mut part = Part {
            number: tag >> 3,
            bytes: &[],
            varint: 0,
        };
        match tag & 7 {
            0 => part.varint = varint(&mut bytes)?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                (part.bytes, bytes) = bytes.split_at_checked(length)?;
            }
            _ => return None,
        }
        out.push(part);
    }
    Some(out)
}

fn text(bytes: &[u8]) -> Option<Value> {
    std::str::from_utf8(bytes).ok().map(|t| json!(t))
}

/// `None` when the bytes are broken or hold something that is not in the table.
fn message(fields: &[Field], bytes: &[u8]) -> Option<Value> {
    let mut out = Map::new();
    for part in split(bytes)? {
        let Some(Field(_, name, kind)) = fields.iter().find(|f| f.0 == part.number) else {
            // Go writes empty structs, such as a status or a creation time that nobody set.
            let empty =
                part.varint == 0 && split(part.bytes).is_some_and(|p| p.iter().all(|p| p.bytes.is_empty()));
            if empty {
                continue;
            }
            return None;
        };
        match kind {
            Kind::Text if part.bytes.is_empty() => {}
            Kind::Text => {
                out.insert((*name).to_owned(), text(part.bytes)?);
            }
            Kind::Bool => {
                out.insert((*name).to_owned(), json!(part.varint == 1));
            }
            Kind::Message(fields) => {
                out.insert((*name).to_owned(), message(fields, part.bytes)?);
            }
            Kind::Texts | Kind::Messages(_) => {
                let item = if let Kind::Messages(fields) = kind {
                    message(fields, part.bytes)
                } else {
                    text(part.bytes)
                };
                let list = out.entry((*name).to_owned()).or_insert_with(|| json!([]));
                list.as_array_mut()?.push(item?);
            }
            Kind::TextMap | Kind::BytesMap => {
                let pair = split(part.bytes)?;
                let of = |number: u64| {
                    pair.iter()
                        .find(|p| p.number == number)
                        .map_or(&[][..], |p| p.bytes)
                };
                let value = if matches!(kind, Kind::BytesMap) {
                    json!(base64(of(2)))
                } else {
                    text(of(2))?
                };
                let key = text(of(1))?.as_str()?.to_owned();
                super::json::object(out.entry((*name).to_owned()).or_insert(Value::Null)).insert(key, value);
            }
        }
    }
    Some(Value::Object(out))
}

/// Standard base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |six: u32| LETTERS.get(six as usize & 63).map_or('=', |b| char::from(*b));
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (i, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            out.push(if i <= chunk.len() {
                letter(bits >> shift)
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads() {
        for (plain, wanted) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), wanted);
        }
    }

    #[test]
    fn a_namespace_is_read_and_an_unknown_field_is_refused() {
        // k8s\0, Unknown{typeMeta{v1, Namespace}, raw{metadata{name: x}}}
        let mut body = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x05\x0a\x03\x0a\x01x".to_vec();
        assert_eq!(
            decode(&body).unwrap(),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
        );
        // The same with a field 9 inside the metadata.
        body.truncate(body.len() - 7);
        body.extend(b"\x12\x08\x0a\x06\x0a\x01x\x4a\x01y");
        assert_eq!(decode(&body).unwrap_err().code, 415);
    }
}
