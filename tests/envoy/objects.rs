//! The objects that the stories bring: routes with all traffic on control, and rollouts.

use crate::bridge::{Kind, cluster};
use crate::world::{NS, Plan};
use serde_json::{Value, json};

/// What Envoy calls the arm of an app.
pub(crate) fn arm_cluster(kind: Kind, app: &str, arm: &str) -> String {
    match kind {
        Kind::VirtualService => cluster(app, arm, 80),
        Kind::HttpRoute => cluster(&format!("{app}-{arm}"), "", 80),
    }
}

/// The route of an app.
pub(crate) fn route(kind: Kind, plan: &Plan) -> Value {
    match kind {
        Kind::VirtualService => virtual_service(plan),
        Kind::HttpRoute => http_route(plan),
    }
}

/// Control's weight is left out: it is 1.
fn http_route(plan: &Plan) -> Value {
    let app = plan.name;
    let mut main = json!({"name": "main", "backendRefs": [
        {"name": format!("{app}-v1"), "port": 80}, {"name": format!("{app}-v2"), "port": 80, "weight": 0},
    ]});
    if let Some(timeout) = plan.timeout {
        main["timeouts"] = json!({"request": timeout});
    }
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": app, "namespace": NS, "labels": {"kept": "yes"}},
        "spec": {
            "parentRefs": [{"name": "public"}], "hostnames": [host(app)], "rules": [main],
        },
    })
}

fn router(kind: Kind, app: &str) -> Value {
    match kind {
        Kind::VirtualService => {
            let to = |subset: &str| json!({"host": app, "subset": subset});
            json!({"istio": {"virtualServices": [{"name": app, "routes": ["main"]}],
                "canary": to("v2"), "control": to("v1")}})
        }
        Kind::HttpRoute => {
            let to = |arm: &str| json!({"name": format!("{app}-{arm}"), "port": 80});
            json!({"gatewayApi": {"kind": "HTTPRoute", "name": app, "canary": to("v2"), "control": to("v1")}})
        }
    }
}

/// The host that clients of an app ask for.
pub(crate) fn host(name: &str) -> String {
    format!("{name}.example.com")
}

fn virtual_service(plan: &Plan) -> Value {
    let to = |subset: &str, weight: u8| json!({"destination": {"host": plan.name, "subset": subset}, "weight": weight});
    let mut main = json!({"name": "main", "route": [to("v1", 100), to("v2", 0)]});
    if let Some(timeout) = plan.timeout {
        main["timeout"] = json!(timeout);
    }
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": plan.name, "namespace": NS, "labels": {"kept": "yes"}},
        "spec": {"hosts": [host(plan.name)], "http": [main]},
    })
}

/// A rollout of these apps.
pub(crate) fn rollout(
    kind: Kind,
    name: &str,
    apps: &[&str],
    steps: &[(&str, &str)],
    judge: &Value,
    checks: &Value,
) -> Value {
    let components = apps.iter().map(|app| {
        let source =
            |arm| json!({"preset": "envoy", "labels": {"envoy_cluster_name": arm_cluster(kind, app, arm)}});
        json!({
            "name": app, "routers": [router(kind, app)],
            "arms": {"canary": source("v2"), "control": source("v1")},
        })
    });
    let steps = steps
        .iter()
        .map(|(weight, hold)| json!({"weight": weight, "hold": hold}));
    json!({
        "apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
        "metadata": {"name": name, "namespace": NS},
        "spec": {
            "components": components.collect::<Vec<_>>(),
            "allowJump": true, "steps": steps.collect::<Vec<_>>(), "judge": judge, "checks": checks,
        },
    })
}

/// Limits that a few hundred requests can show, on a machine that is slow on its own when it is busy.
pub(crate) fn coarse() -> Value {
    json!([
        {"name": "errors", "promote": {"max": "5%"}, "rollback": {"max": "20%"}},
        {"name": "available", "promote": {"min": "95%"}, "rollback": {"min": "80%"}},
        {"name": "p95", "promote": {"max": "5s"}, "rollback": "none"},
    ])
}
