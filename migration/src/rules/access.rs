//! `AuthorizationPolicy`.

use super::{At, list, present, text, texts};
use crate::convert::is_range;
use serde_json::Value;

pub(super) fn check(at: &mut At, spec: &Value) {
    let action = text(spec, "action");
    at.demand(
        ["", "ALLOW", "DENY", "AUDIT", "CUSTOM"].contains(&action),
        "spec.action",
        "Istio does not know this action",
    );
    at.demand(
        present(spec, &["selector", "targetRef", "targetRefs"]) <= 1,
        "spec",
        "selector and targetRefs exclude each other",
    );
    // Without rules DENY denies nothing; whoever writes that means something else.
    at.demand(
        action != "DENY" || !list(spec, "rules").is_empty(),
        "spec.rules",
        "DENY without rules denies nothing",
    );
    for (index, rule) in list(spec, "rules").iter().enumerate() {
        let field = format!("spec.rules[{index}]");
        for from in list(rule, "from") {
            let source = from.get("source").unwrap_or(&Value::Null);
            let says = source.as_object().is_some_and(|source| !source.is_empty());
            at.demand(says, &field, "a source says something");
            for key in ["ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"] {
                for range in texts(source, key) {
                    at.demand(is_range(range), &field, "this is no address range");
                }
            }
        }
        for to in list(rule, "to") {
            let operation = to.get("operation").unwrap_or(&Value::Null);
            let says = operation
                .as_object()
                .is_some_and(|operation| !operation.is_empty());
            at.demand(says, &field, "an operation says something");
            for key in ["hosts", "notHosts", "paths", "notPaths"] {
                for value in texts(operation, key) {
                    let inner = value.strip_prefix('*').unwrap_or(value);
                    let inner = inner.strip_suffix('*').unwrap_or(inner);
                    let both = value.starts_with('*') && value.ends_with('*') && value.len() > 1;
                    let fits = !value.is_empty() && !both && !inner.contains('*');
                    at.demand(fits, &field, "a star stands at the beginning or the end");
                }
            }
        }
    }
}
