//! Somebody else who edits a route all the while, as people with kubectl and GitOps tools do, and who looks each time
//! whether what they wrote is still there byte by byte.

use crate::bridge::Kind;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

/// An editor of one route.
#[derive(Debug)]
pub(crate) struct Editor {
    kind: Kind,
    routes: Api<DynamicObject>,
    name: String,
    edits: u64,
    /// The route without what is the product's, as it was after the last edit.
    left: String,
}

impl Editor {
    pub(crate) async fn start(kind: Kind, routes: Api<DynamicObject>, name: &str) -> Self {
        let left = foreign(kind, &read(&routes, name).await, name);
        Self {
            kind,
            routes,
            name: name.to_owned(),
            edits: 0,
            left,
        }
    }

    /// Looks whether everything is as it was left, and changes something else each time.
    pub(crate) async fn edit(&mut self) {
        let n = self.edits;
        self.edit_as(n).await;
    }

    /// The same, but never how long a request may take.
    pub(crate) async fn edit_all_but_the_timeout(&mut self) {
        let n = self.edits % 7;
        self.edit_as(n).await;
    }

    async fn edit_as(&mut self, n: u64) {
        let now = read(&self.routes, &self.name).await;
        self.look(&now);
        self.edits += 1;
        let mut operations = vec![self.edit_of(n, &now)];
        if n.is_multiple_of(8) && now["metadata"]["annotations"].is_null() {
            operations.insert(
                0,
                json!({"op": "add", "path": "/metadata/annotations", "value": {"first": "one"}}),
            );
        }
        // What the server answers is the object with this edit and nothing after it.
        let after = self.patch(&Value::Array(operations), "editor").await;
        self.left = foreign(self.kind, &after, &self.name);
    }

    fn edit_of(&self, n: u64, now: &Value) -> Value {
        let (rules, arms) = places(self.kind);
        let main = main_route(self.kind, now);
        let add = |path: String, value: Value| json!({"op": "add", "path": path, "value": value});
        match n % 8 {
            0 => add("/metadata/labels/team".to_owned(), json!(format!("edge-{n}"))),
            1 => {
                let note = format!("a \"note\" of {n}:\n\tänderbar – 注意 \\ / {{}}");
                add("/metadata/annotations/example.com~1note".to_owned(), json!(note))
            }
            2 => add(format!("/spec/{rules}/0"), self.rule("first", n)),
            3 => {
                let future = json!({"deep": [1, 2.50, -0.001, 1e300, null, {"n": n, "": "empty"}]});
                let at = match self.kind {
                    Kind::VirtualService => format!("/spec/{rules}/{main}/xFuture"),
                    Kind::HttpRoute => "/spec/xFuture".to_owned(),
                };
                add(at, future)
            }
            4 => add(format!("/spec/{rules}/-"), self.rule("last", n)),
            5 => add(
                format!("/spec/{rules}/{main}/{arms}/1/xNote"),
                json!({"weight": n}),
            ),
            6 => json!({"op": "remove", "path": format!("/spec/{rules}/0")}),
            _ => match self.kind {
                Kind::VirtualService => add(format!("/spec/{rules}/{main}/timeout"), json!("900ms")),
                Kind::HttpRoute => add(
                    format!("/spec/{rules}/{main}/timeouts"),
                    json!({"request": "900ms"}),
                ),
            },
        }
    }

    /// A rule of somebody else, for clients with a header of its own.
    fn rule(&self, place: &str, n: u64) -> Value {
        let name = format!("{place}-{n}");
        match self.kind {
            Kind::VirtualService => json!({
                "name": name, "match": [{"headers": {"x-tester": {"exact": n.to_string()}}}], "timeout": "3s",
                "route": [{"destination": {"host": self.name, "subset": "v1"}, "weight": 7}],
            }),
            Kind::HttpRoute => json!({
                "name": name, "matches": [{"headers": [{"name": "x-tester", "value": n.to_string()}]}],
                "timeouts": {"request": "3s"},
                "backendRefs": [{"name": format!("{}-v1", self.name), "port": 80, "weight": 7}],
            }),
        }
    }

    /// Sets the canary's weight as another field manager; everything else stays.
    pub(crate) async fn weigh(&mut self, canary: u64, manager: &str) {
        let (rules, arms) = places(self.kind);
        let main = main_route(self.kind, &read(&self.routes, &self.name).await);
        // A weight that is left out is there, too, once somebody says one.
        let to = |arm: usize, weight: u64| json!({"op": "add", "path": format!("/spec/{rules}/{main}/{arms}/{arm}/weight"), "value": weight});
        self.patch(&json!([to(0, 100 - canary), to(1, canary)]), manager)
            .await;
    }

    /// The canary's weight as the route says it.
    pub(crate) async fn weight(&self) -> u64 {
        let (rules, arms) = places(self.kind);
        let route = read(&self.routes, &self.name).await;
        let main = &route["spec"][rules][main_route(self.kind, &route)];
        main[arms][1]["weight"].as_u64().unwrap_or(0)
    }

    /// Everything is as it was left after so many edits.
    pub(crate) async fn done(self) -> u64 {
        self.look(&read(&self.routes, &self.name).await);
        self.edits
    }

    fn look(&self, now: &Value) {
        let now = foreign(self.kind, now, &self.name);
        assert_eq!(now, self.left, "after {} edits of {}", self.edits, self.name);
    }

    async fn patch(&self, operations: &Value, manager: &str) -> Value {
        let operations = serde_json::from_value(operations.clone()).unwrap();
        let patch: Patch<()> = Patch::Json(operations);
        let parameters = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        let after = self.routes.patch(&self.name, &parameters, &patch).await.unwrap();
        serde_json::to_value(after).unwrap()
    }
}

/// Where a kind has its rules, and a rule its arms.
const fn places(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::VirtualService => ("http", "route"),
        Kind::HttpRoute => ("rules", "backendRefs"),
    }
}

async fn read(routes: &Api<DynamicObject>, name: &str) -> Value {
    serde_json::to_value(routes.get(name).await.unwrap()).unwrap()
}

/// Where the component's route is among the others.
fn main_route(kind: Kind, object: &Value) -> usize {
    let rules = object["spec"][places(kind).0].as_array().unwrap();
    rules.iter().position(|rule| rule["name"] == "main").unwrap()
}

/// The object without what belongs to the product and to the server: the pair's weights, the mark and the originals,
/// versions.
fn foreign(kind: Kind, object: &Value, name: &str) -> String {
    let mut object = object.clone();
    let (rules, arms) = places(kind);
    let main = main_route(kind, &object);
    for arm in object["spec"][rules][main][arms].as_array_mut().unwrap() {
        arm["weight"] = Value::Null;
    }
    // What the gateway's controller says of the route is its own.
    object.as_object_mut().unwrap().remove("status");
    let metadata = object["metadata"].as_object_mut().unwrap();
    for of_the_server in ["resourceVersion", "generation", "managedFields"] {
        metadata.remove(of_the_server);
    }
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        for ours in ["w", "o"] {
            annotations.remove(&format!("rollout.sealos.io/{ours}.{name}"));
        }
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    object.to_string()
}
