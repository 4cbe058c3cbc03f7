//! The installed definition of the resource, held against the one that this binary was built with.

use super::Finding;
use super::code::{D101, D102, D103, D104};
use serde_json::Value;
use std::collections::BTreeSet;

/// Fields that are named in a finding.
const NAMED: usize = 4;

/// What speaks against the installed definition; `None`: there is none.
pub(crate) fn findings(installed: Option<&Value>, ours: &Value) -> Vec<Finding> {
    let object = "definition gradualrollouts.rollout.sealos.io";
    let Some(installed) = installed else {
        return vec![Finding::new(
            D101,
            object,
            "the cluster does not know GradualRollouts",
        )];
    };
    let Some(wanted) = versions(ours).first() else {
        return Vec::new();
    };
    let name = wanted.get("name").and_then(Value::as_str).unwrap_or_default();
    let served = |version: &&Value| {
        version.get("name") == wanted.get("name")
            && version.get("served").and_then(Value::as_bool) == Some(true)
    };
    let Some(there) = versions(installed).iter().find(served) else {
        return vec![Finding::new(D102, object, &format!("{name} is not served"))];
    };
    let (ours, theirs) = (fields(wanted), fields(there));
    let told = |code, words: &str, missing: Vec<&String>| {
        (!missing.is_empty()).then(|| {
            let shown: Vec<&str> = missing.iter().take(NAMED).map(|s| s.as_str()).collect();
            let more = missing.len().saturating_sub(NAMED);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            Finding::new(code, object, &format!("{words} {}{more}", shown.join(", ")))
        })
    };
    let older = told(D103, "it does not have", ours.difference(&theirs).collect());
    let newer = told(
        D104,
        "this binary does not know",
        theirs.difference(&ours).collect(),
    );
    older.into_iter().chain(newer).collect()
}

fn versions(definition: &Value) -> &[Value] {
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
    versions.map_or(&[], Vec::as_slice)
}

/// Every field of a version's schema, and every word that a field may be.
fn fields(version: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for part in ["spec", "status"] {
        let pointer = format!("/schema/openAPIV3Schema/properties/{part}");
        if let Some(schema) = version.pointer(&pointer) {
            walk(schema, part, &mut all);
        }
    }
    all
}

fn walk(schema: &Value, path: &str, all: &mut BTreeSet<String>) {
    let members = schema.get("properties").and_then(Value::as_object);
    for (name, member) in members.into_iter().flatten() {
        let path = format!("{path}.{name}");
        walk(member, &path, all);
        all.insert(path);
    }
    if let Some(items) = schema.get("items") {
        walk(items, &format!("{path}[]"), all);
    }
    if let Some(values) = schema.get("additionalProperties") {
        walk(values, &format!("{path}.*"), all);
    }
    let words = schema.get("enum").and_then(Value::as_array);
    all.extend(
        words
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|word| format!("{path}={word}")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::crd;
    use serde_json::json;

    fn codes(installed: Option<&Value>) -> Vec<&'static str> {
        let all = findings(installed, &crd::definition());
        all.iter().map(|finding| finding.code.name).collect()
    }

    #[test]
    fn a_definition_is_missing_unserved_older_newer_or_right() {
        assert_eq!(codes(None), ["D101"]);
        let right = crd::definition();
        assert!(codes(Some(&right)).is_empty());
        let mut unserved = right.clone();
        unserved["spec"]["versions"][0]["served"] = json!(false);
        assert_eq!(codes(Some(&unserved)), ["D102"]);
        let mut older = right.clone();
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        let fields = older.pointer_mut(spec).unwrap().as_object_mut().unwrap();
        fields.remove("judge").unwrap();
        assert_eq!(codes(Some(&older)), ["D103"]);
        let told = &findings(Some(&older), &right)[0].message;
        assert!(told.contains("spec.judge"), "{told}");
        let mut newer = right.clone();
        newer.pointer_mut(spec).unwrap()["tomorrow"] = json!({"type": "string"});
        assert_eq!(codes(Some(&newer)), ["D104"]);
    }
}
