//! OpenAPI v3, as far as kubectl reads it: schemas for `explain`, and whether the server checks fields itself.

use super::resource::{Registry, Resource};
use super::schema::METADATA;
use serde_json::{Map, Value, json};

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

/// `/openapi/v3`: where the document of each group and version is.
pub(super) fn index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    for (group, versions) in registry.groups() {
        for version in versions {
            let path = path_of(&group, &version);
            let url = format!("/openapi/v3/{path}?hash={:08X}", registry.generation);
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// `/openapi/v3/PATH`: one group and version.
pub(super) fn document(registry: &Registry, path: &str) -> Option<Value> {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for r in registry.rows().filter(|r| path_of(&r.group, &r.version) == path) {
        let name = schema_name(r);
        schemas.insert(name.clone(), schema(r));
        let scope = if r.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let base = format!("/{path}{scope}/{}", r.plural);
        paths.insert(format!("{base}/{{name}}"), operations(r, &name, true));
        paths.insert(base, operations(r, &name, false));
    }
    (!schemas.is_empty()).then(|| {
        json!({
            "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.36.0"},
            "paths": paths, "components": {"schemas": schemas},
        })
    })
}

fn gvk(r: &Resource) -> Value {
    json!({"group": r.group, "version": r.version, "kind": r.kind})
}

fn schema_name(r: &Resource) -> String {
    let group: Vec<&str> = r.group.split('.').rev().filter(|p| !p.is_empty()).collect();
    let group = if group.is_empty() {
        "io.k8s.api.core".to_owned()
    } else {
        group.join(".")
    };
    format!("{group}.{}.{}", r.version, r.kind)
}

fn schema(r: &Resource) -> Value {
    let mut out = r.raw_schema().clone();
    let properties = super::json::child(&mut out, "properties");
    for (field, what) in [
        (
            "apiVersion",
            "APIVersion defines the versioned schema of this representation of an object.",
        ),
        (
            "kind",
            "Kind is a string value representing the REST resource this object represents.",
        ),
    ] {
        properties.insert(field.to_owned(), json!({"type": "string", "description": what}));
    }
    let mut meta = METADATA.clone();
    super::json::set(&mut meta, "description", Some(json!("Standard object metadata.")));
    properties.insert("metadata".to_owned(), meta);
    super::json::set(&mut out, "x-kubernetes-group-version-kind", Some(json!([gvk(r)])));
    out
}

fn operations(r: &Resource, schema: &str, named: bool) -> Value {
    let parameter =
        |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let parameters = json!([
        parameter("dryRun"),
        parameter("fieldManager"),
        parameter("fieldValidation")
    ]);
    let content = json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}});
    let operation = |action: &str| {
        json!({
            "parameters": parameters, "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk(r),
            "responses": {"200": {"description": "OK", "content": content}},
        })
    };
    if named {
        json!({"get": operation("get"), "put": operation("put"), "patch": operation("patch"), "delete": operation("delete")})
    } else {
        json!({"get": operation("list"), "post": operation("post")})
    }
}
