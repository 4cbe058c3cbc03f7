//! The resource's definition: installed as `kubectl apply --server-side` does, refusing what it must, shown in columns.

use super::cluster::{Connection, JSON, until};
use super::objects::{GATEWAYS, GROUP, rollout};
use super::scene::{istio_version, on_cluster};
use serde_json::{Value, json};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const ROLLOUTS: &str = "gradualrollouts.rollout.sealos.io";
const ROUTES: &str = "virtualservices.networking.istio.io";
const HTTP_ROUTES: &str = "httproutes.gateway.networking.k8s.io";

/// Somebody's namespaces and definitions can be told by this label, should a run be killed before it tidied up.
pub(super) const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "gradual-rollout-test");

/// Whoever uses the definitions, and what has to be taken away when nobody does any more.
#[derive(Debug, Default)]
struct Users {
    count: usize,
    installed: Vec<&'static str>,
}

// Held while something is installed or removed, so that no test sees half of it.
static USERS: tokio::sync::Mutex<Users> = tokio::sync::Mutex::const_new(Users {
    count: 0,
    installed: Vec::new(),
});

fn shipped() -> Value {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/crd.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// As much of Istio's definition as routing needs, for clusters without Istio.
fn routes() -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let version = |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": schema}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": ROUTES},
        "spec": {
            "group": "networking.istio.io", "scope": "Namespaced",
            "names": {"kind": "VirtualService", "listKind": "VirtualServiceList", "plural": "virtualservices",
                      "singular": "virtualservice", "shortNames": ["vs"]},
            "versions": [version("v1", true), version("v1beta1", false)],
        },
    })
}

/// As much of the Gateway API's definition as routing needs, for clusters without it.
fn http_routes() -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "properties": {"spec": open, "status": open}});
    // The API server demands a word of the reviewers for this group.
    let annotations = json!({"api-approved.kubernetes.io": "unapproved, a test's stand-in"});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": HTTP_ROUTES, "annotations": annotations},
        "spec": {
            "group": "gateway.networking.k8s.io", "scope": "Namespaced",
            "names": {"kind": "HTTPRoute", "listKind": "HTTPRouteList", "plural": "httproutes", "singular": "httproute"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}}}],
        },
    })
}

/// Sees to it that the definitions are there until [`release`].
pub(super) async fn hold(cluster: &Connection) {
    let mut users = USERS.lock().await;
    if users.count == 0 {
        // Kept here at once, so that what is installed is removed even if the next one fails.
        if install(cluster, ROLLOUTS, GROUP, shipped()).await {
            users.installed.push(ROLLOUTS);
        }
        if istio_version(cluster).await.is_none()
            && install(cluster, ROUTES, "networking.istio.io/v1", routes()).await
        {
            users.installed.push(ROUTES);
        }
        if install(cluster, HTTP_ROUTES, GATEWAYS, http_routes()).await {
            users.installed.push(HTTP_ROUTES);
        }
    }
    users.count += 1;
}

/// The last one out takes the definitions away that were not there before.
pub(super) async fn release(cluster: &Connection) {
    let mut users = USERS.lock().await;
    users.count = users.count.saturating_sub(1);
    if users.count > 0 {
        return;
    }
    for name in std::mem::take(&mut users.installed) {
        let path = format!("{CRDS}/{name}");
        cluster.delete(&path).await;
        until(
            "the definition is removed",
            async || (cluster.get(&path).await.code == 404).then_some(()),
            async || format!("{:#?}", cluster.get(&path).await),
        )
        .await;
    }
}

/// Installs a definition and waits until its objects are served. False when the cluster has one already: that is
/// used as it is, and left.
async fn install(cluster: &Connection, name: &str, group_version: &str, mut definition: Value) -> bool {
    let path = format!("{CRDS}/{name}");
    // One that is being deleted is on its way out; one that stays is not ours to change.
    let there = until(
        "a definition is there to stay, or gone",
        async || {
            let known = cluster.get(&path).await;
            match known.code {
                404 => Some(false),
                _ => known
                    .body
                    .pointer("/metadata/deletionTimestamp")
                    .is_none()
                    .then_some(true),
            }
        },
        async || format!("{:#?}", cluster.get(&path).await),
    )
    .await;
    if !there {
        definition["metadata"]["labels"][LABEL.0] = json!(LABEL.1);
        cluster.apply(&path, &definition).await.ok(name);
    }
    until(
        "a definition is established and its objects are served",
        async || {
            let body = cluster.get(&path).await.body;
            let conditions = body.pointer("/status/conditions").and_then(Value::as_array);
            let established = conditions
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Established" && c["status"] == "True");
            let plural = name.split('.').next().unwrap_or_default();
            (established && cluster.serves(group_version, plural).await).then_some(())
        },
        async || format!("{:#?}", cluster.get(&path).await),
    )
    .await;
    !there
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_definition_is_taken_without_a_word_of_complaint() {
    on_cluster(async |scene| {
        let path = format!(
            "{CRDS}/{ROLLOUTS}?fieldManager=gradual-rollout-test&force=true&dryRun=All&fieldValidation=Strict"
        );
        let answer = scene
            .admin
            .send("PATCH", &path, super::cluster::APPLY, &shipped())
            .await;
        assert!(answer.warnings.is_empty(), "{answer:#?}");
        let stored = answer.ok("applying deploy/crd.yaml once more");
        let conditions = stored["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert!(
            !conditions
                .iter()
                .any(|c| c["type"] == "NonStructuralSchema" && c["status"] == "True"),
            "{conditions:#?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_that_breaks_a_rule_is_refused_with_the_field_and_the_reason() {
    on_cluster(async |scene| {
        let good = rollout(&scene.ns, "demo", &["shop"], &["5%", "50%"]);
        let broken = |pointer: &str, value: Value| {
            let mut object = good.clone();
            *object.pointer_mut(pointer).unwrap() = value;
            object
        };
        for (object, field, reason) in [
            (
                broken("/spec/steps/1/weight", json!("4%")),
                "spec.steps",
                "FieldValueInvalid",
            ),
            (
                broken("/spec/steps/1/weight", json!("a lot")),
                "spec.steps[1].weight",
                "FieldValueInvalid",
            ),
            (
                broken("/spec/steps/0/hold", json!("a while")),
                "spec.steps[0].hold",
                "FieldValueInvalid",
            ),
            (
                broken("/spec/components/0/name", json!("Shop_1")),
                "spec.components[0].name",
                "FieldValueInvalid",
            ),
            (
                broken("/spec/components/0/arms/canary/preset", json!("magic")),
                "spec.components[0].arms.canary.preset",
                "FieldValueNotSupported",
            ),
            (
                broken("/spec/components/0/routers/0", json!({})),
                "spec.components[0].routers[0]",
                "FieldValueInvalid",
            ),
            (broken("/spec/steps", Value::Null), "spec", "FieldValueInvalid"),
        ] {
            let answer = scene.admin.post(&scene.rollouts(""), &object).await;
            assert_eq!(answer.code, 422, "{field}: {answer:#?}");
            assert!(
                answer.causes().contains(&(field.to_owned(), reason.to_owned())),
                "{field} {reason}: {answer:#?}"
            );
        }
        let listed = scene.admin.get(&scene.rollouts("")).await.ok("listing");
        assert_eq!(listed["items"], json!([]), "what is refused is not stored");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_field_is_refused_when_strict_and_dropped_with_a_warning_otherwise() {
    on_cluster(async |scene| {
        let mut object = rollout(&scene.ns, "demo", &["shop"], &["5%"]);
        object["spec"]["onDelet"] = json!("restore");
        let strict = format!("{}?fieldValidation=Strict", scene.rollouts(""));
        let answer = scene.admin.post(&strict, &object).await;
        assert_eq!(answer.code, 400, "{answer:#?}");
        assert!(answer.body.to_string().contains("spec.onDelet"), "{answer:#?}");
        let warn = format!("{}?fieldValidation=Warn", scene.rollouts(""));
        let answer = scene.admin.post(&warn, &object).await;
        assert!(
            answer.warnings.iter().any(|w| w.contains("spec.onDelet")),
            "{answer:#?}"
        );
        let stored = answer.ok("created with a warning");
        assert_eq!(stored.pointer("/spec/onDelet"), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_get_shows_where_a_rollout_stands() {
    on_cluster(async |scene| {
        scene.create(&rollout(&scene.ns, "demo", &["shop"], &["5%"])).await;
        let status = json!({"status": {"phase": "widen", "progress": "1/1 at 5%", "conditions": [{"type": "Ready",
            "status": "True", "reason": "Progressing", "message": "m", "lastTransitionTime": "2026-03-02T09:00:00Z"}]}});
        let patched = scene.admin.merge(&scene.rollouts("demo/status"), &status).await;
        patched.ok("writing a status");
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let table = scene
            .admin
            .send_for("GET", &scene.rollouts(""), JSON, accept, &Value::Null)
            .await
            .ok("a table");
        let columns: Vec<(&str, i64)> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| (c["name"].as_str().unwrap(), c["priority"].as_i64().unwrap()))
            .collect();
        let names = ["Name", "Phase", "Progress", "Ready", "Reason", "Message", "Age"];
        assert_eq!(columns.iter().map(|c| c.0).collect::<Vec<_>>(), names);
        assert_eq!(columns[5].1, 1, "the sentence is for `-o wide` only");
        let cells = table["rows"][0]["cells"].as_array().unwrap();
        let first = json!(["demo", "widen", "1/1 at 5%", "True", "Progressing", "m"]);
        assert_eq!(json!(cells[..6]), first);
    })
    .await;
}
