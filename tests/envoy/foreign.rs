//! Somebody else who edits a route all the while, as people with kubectl and GitOps tools do, and who looks each time
//! whether what they wrote is still there byte by byte.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

/// An editor of one route.
#[derive(Debug)]
pub(crate) struct Editor {
    routes: Api<DynamicObject>,
    name: String,
    edits: u64,
    /// The route without what is the product's, as it was after the last edit.
    left: String,
}

impl Editor {
    pub(crate) async fn start(routes: Api<DynamicObject>, name: &str) -> Self {
        let left = foreign(&read(&routes, name).await, name);
        Self {
            routes,
            name: name.to_owned(),
            edits: 0,
            left,
        }
    }

    /// Looks whether everything is as it was left, and changes something else each time.
    pub(crate) async fn edit(&mut self) {
        let now = read(&self.routes, &self.name).await;
        assert_eq!(
            foreign(&now, &self.name),
            self.left,
            "after {} edits of {}",
            self.edits,
            self.name
        );
        let n = self.edits;
        self.edits += 1;
        let main = main_route(&now);
        let rule = |kind: &str| {
            json!({
                "name": format!("{kind}-{n}"), "match": [{"headers": {"x-tester": {"exact": n.to_string()}}}],
                "timeout": "3s", "route": [{"destination": {"host": self.name, "subset": "v1"}, "weight": 7}],
            })
        };
        let operation = match n % 8 {
            0 => json!({"op": "add", "path": "/metadata/labels/team", "value": format!("edge-{n}")}),
            1 => {
                let note = format!("a \"note\" of {n}:\n\tänderbar – 注意 \\ / {{}}");
                json!({"op": "add", "path": "/metadata/annotations/example.com~1note", "value": note})
            }
            2 => json!({"op": "add", "path": "/spec/http/0", "value": rule("first")}),
            3 => {
                let future = json!({"deep": [1, 2.50, -0.001, 1e300, null, {"n": n, "": "empty"}]});
                json!({"op": "add", "path": format!("/spec/http/{main}/xFuture"), "value": future})
            }
            4 => json!({"op": "add", "path": "/spec/http/-", "value": rule("last")}),
            5 => {
                let path = format!("/spec/http/{main}/route/1/xNote");
                json!({"op": "add", "path": path, "value": {"weight": n}})
            }
            6 => json!({"op": "remove", "path": "/spec/http/0"}),
            _ => json!({"op": "add", "path": format!("/spec/http/{main}/timeout"), "value": "900ms"}),
        };
        let mut operations = vec![operation];
        if n.is_multiple_of(8) && now["metadata"]["annotations"].is_null() {
            operations.insert(
                0,
                json!({"op": "add", "path": "/metadata/annotations", "value": {"first": "one"}}),
            );
        }
        self.patch(&Value::Array(operations), "editor").await;
        let after = read(&self.routes, &self.name).await;
        self.left = foreign(&after, &self.name);
    }

    /// Sets the canary's weight as another field manager; everything else stays.
    pub(crate) async fn weigh(&mut self, canary: u64, manager: &str) {
        let main = main_route(&read(&self.routes, &self.name).await);
        let to = |arm: usize, weight: u64| json!({"op": "replace", "path": format!("/spec/http/{main}/route/{arm}/weight"), "value": weight});
        self.patch(&json!([to(0, 100 - canary), to(1, canary)]), manager)
            .await;
    }

    /// The canary's weight as the route says it.
    pub(crate) async fn weight(&self) -> u64 {
        let route = read(&self.routes, &self.name).await;
        route["spec"]["http"][main_route(&route)]["route"][1]["weight"]
            .as_u64()
            .unwrap_or(0)
    }

    /// Everything is as it was left after so many edits.
    pub(crate) async fn done(self) -> u64 {
        let now = foreign(&read(&self.routes, &self.name).await, &self.name);
        assert_eq!(now, self.left, "after {} edits of {}", self.edits, self.name);
        self.edits
    }

    async fn patch(&self, operations: &Value, manager: &str) {
        let operations = serde_json::from_value(operations.clone()).unwrap();
        let patch: Patch<()> = Patch::Json(operations);
        let parameters = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        self.routes.patch(&self.name, &parameters, &patch).await.unwrap();
    }
}

async fn read(routes: &Api<DynamicObject>, name: &str) -> Value {
    serde_json::to_value(routes.get(name).await.unwrap()).unwrap()
}

/// Where the component's route is among the others.
fn main_route(object: &Value) -> usize {
    let routes = object["spec"]["http"].as_array().unwrap();
    routes.iter().position(|route| route["name"] == "main").unwrap()
}

/// The object without what belongs to the product and to the server: the pair's weights, the mark, versions.
fn foreign(object: &Value, name: &str) -> String {
    let mut object = object.clone();
    let main = main_route(&object);
    for destination in object["spec"]["http"][main]["route"].as_array_mut().unwrap() {
        destination["weight"] = Value::Null;
    }
    let metadata = object["metadata"].as_object_mut().unwrap();
    for of_the_server in ["resourceVersion", "generation", "managedFields"] {
        metadata.remove(of_the_server);
    }
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.remove(&format!("rollout.sealos.io/w.{name}"));
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    object.to_string()
}
