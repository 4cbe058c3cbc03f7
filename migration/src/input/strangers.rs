//! Fields that no Ingress has. The API server drops them, or refuses the object; what somebody meant to say with a mistyped
//! `annotations` may be what protects it.

use serde_json::Value;

/// The fields of one part of an Ingress.
struct Part {
    /// All that it has.
    known: &'static [&'static str],
    /// Those that are parts of their own; of a list each element is one.
    within: &'static [(&'static str, &'static Part)],
}

const ROOT: Part = Part {
    known: &["apiVersion", "kind", "metadata", "spec", "status"],
    within: &[("metadata", &METADATA), ("spec", &SPEC)],
};

const METADATA: Part = Part {
    known: &[
        "annotations",
        "clusterName",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    ],
    within: &[],
};

const SPEC: Part = Part {
    known: &["defaultBackend", "ingressClassName", "rules", "tls"],
    within: &[("defaultBackend", &BACKEND), ("rules", &RULE), ("tls", &TLS)],
};

const TLS: Part = Part {
    known: &["hosts", "secretName"],
    within: &[],
};

const RULE: Part = Part {
    known: &["host", "http"],
    within: &[("http", &HTTP)],
};

const HTTP: Part = Part {
    known: &["paths"],
    within: &[("paths", &PATH)],
};

const PATH: Part = Part {
    known: &["backend", "path", "pathType"],
    within: &[("backend", &BACKEND)],
};

const BACKEND: Part = Part {
    known: &["resource", "service"],
    within: &[("service", &SERVICE)],
};

const SERVICE: Part = Part {
    known: &["name", "port"],
    within: &[("port", &PORT)],
};

const PORT: Part = Part {
    known: &["name", "number"],
    within: &[],
};

/// The fields of an Ingress (networking.k8s.io/v1) that are none, in the order of their names.
pub(super) fn strangers(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(value, &ROOT, "", &mut found);
    found.sort();
    found
}

fn look(value: &Value, part: &Part, at: &str, found: &mut Vec<String>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        let here = if at.is_empty() {
            name.clone()
        } else {
            format!("{at}.{name}")
        };
        if !part.known.contains(&name.as_str()) {
            found.push(here);
            continue;
        }
        let Some((_, within)) = part.within.iter().find(|(known, _)| known == name) else {
            continue;
        };
        if let Value::Array(all) = inner {
            for (index, one) in all.iter().enumerate() {
                look(one, within, &format!("{here}[{index}]"), found);
            }
        } else {
            look(inner, within, &here, found);
        }
    }
}
