//! Least privilege: what the daemon asks of the API server and what `deploy/rbac.yaml` grants are the same list.
//!
//! A daemon with a component of each router is led through a whole life, over connections that note every request; the
//! rights that these need are held against the rules, in both directions.

use crate::cli_cluster::Cluster;
use crate::inbound::install_policy;
use crate::nginx::listener::{definition, split};
use crate::support::world::{NS, World, component, virtual_service};
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse as _;
use gradual_rollout::api::{self, ApiState, Inbound, InboundSettings};
use gradual_rollout::cluster::by_hand::ByHand;
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::engine::DoctorSettings;
use gradual_rollout::rollout::command::Verb;
use gradual_rollout::sandbox::apiserver::{accept_routes, write_kubeconfig};
use gradual_rollout::telemetry::Metrics;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

/// A verb on a resource, as RBAC has it: `patch gradualrollouts/status.rollout.sealos.io`.
type Rights = BTreeSet<String>;

const GATEWAY: &[(&str, &str)] = &[
    ("HTTPRoute", "httproutes"),
    ("GRPCRoute", "grpcroutes"),
    ("TLSRoute", "tlsroutes"),
    ("TCPRoute", "tcproutes"),
];

fn right(verb: &str, resource: &str, group: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{verb} {resource}{dot}{group}")
}

/// The right that a request needs; `None` for what everybody may read.
fn needed(request: &Request) -> Option<String> {
    let steps: Vec<&str> = request
        .uri()
        .path()
        .split('/')
        .filter(|s| !s.is_empty())
        .collect();
    let (group, rest) = match steps.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] | rest => rest,
    };
    let (plural, name, sub) = match rest {
        [plural] => (*plural, None, None),
        [plural, name] => (*plural, Some(*name), None),
        [plural, name, sub] => (*plural, Some(*name), Some(*sub)),
        _ => return None,
    };
    // What one may oneself is everybody's to ask (system:basic-user).
    if plural.starts_with("self") {
        return None;
    }
    let watches = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let verb = match (request.method().as_str(), name) {
        ("GET", None) if watches => "watch",
        ("GET", None) => "list",
        ("GET", Some(_)) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        (other, _) => panic!("{other} {}", request.uri()),
    };
    let resource = sub.map_or_else(|| plural.to_owned(), |sub| format!("{plural}/{sub}"));
    Some(right(verb, &resource, group))
}

/// Where a request goes: namespace and name.
fn place(request: &Request) -> (Option<String>, Option<String>) {
    let mut steps = request
        .uri()
        .path()
        .split('/')
        .skip_while(|step| *step != "namespaces");
    let (namespace, _plural, name) = (steps.nth(1), steps.next(), steps.next());
    (namespace.map(str::to_owned), name.map(str::to_owned))
}

/// Whether a Role lets a request through.
fn grants(role: &Value, request: &Request) -> bool {
    let Some(needed) = needed(request) else {
        return true;
    };
    let (namespace, name) = place(request);
    let has = |list: &Value, what: &str| {
        list.as_array()
            .is_some_and(|all| all.iter().any(|one| one == what))
    };
    let covers = |rule: &Value| {
        let (verb, resource) = needed.split_once(' ').unwrap();
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let named = rule
            .get("resourceNames")
            .is_none_or(|names| name.as_deref().is_some_and(|name| has(names, name)));
        named
            && has(&rule["verbs"], verb)
            && has(&rule["resources"], resource)
            && has(&rule["apiGroups"], group)
    };
    role["metadata"]["namespace"].as_str() == namespace.as_deref()
        && role["rules"].as_array().unwrap().iter().any(covers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_freezers_role_the_program_freezes_and_lifts_and_nothing_else() {
    let cluster = Cluster::start().await;
    let roles = include_str!("../../deploy/roles.yaml").split("\n---\n");
    let mut roles = roles.map(|text| serde_saphyr::from_str::<Value>(text).unwrap());
    let role = roles
        .find(|role| role["metadata"]["name"] == "gradual-rollout-freezer")
        .unwrap();
    let switch = serde_saphyr::from_str(include_str!("../../deploy/freeze.yaml")).unwrap();
    cluster.store.put(switch).unwrap();
    let held = from_fn(move |request: Request, next: Next| {
        let granted = grants(&role, &request);
        async move {
            if granted {
                return next.run(request).await;
            }
            let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Forbidden",
                "code": 403, "message": format!("{} is forbidden", request.uri())});
            (http::StatusCode::FORBIDDEN, axum::Json(status)).into_response()
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    write_kubeconfig(&cluster.kubeconfig(), listener.local_addr().unwrap()).unwrap();
    let guarded = cluster.store.router().layer(held);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, guarded).await.unwrap() });
    let reason = || {
        let map = cluster
            .store
            .get("configmaps", NS, "gradual-rollout-freeze")
            .unwrap();
        map["data"]["reason"].as_str().map(str::to_owned)
    };
    let (code, _, err) = cluster.run(&["freeze", "--reason", "quarter end"]).await;
    assert_eq!((code, reason().as_deref()), (0, Some("quarter end")), "{err}");
    let (code, _, err) = cluster.run(&["unfreeze"]).await;
    assert_eq!((code, reason()), (0, None), "{err}");
    let before = cluster.store.version();
    for words in [
        &["rollback", "shop"] as &[&str],
        &["set", "5", "shop", "--force"],
        &["pause", "shop", "--timeout", "1s"],
        &["rollback", "shop", "--rollout", "shop"],
    ] {
        let words = [words, &["--no-confirm"]].concat();
        let (code, out, err) = cluster.run(&words).await;
        assert_ne!(code, 0, "{words:?}: {out} {err}");
    }
    let (code, ..) = cluster
        .run(&["emergency-rollback", "--reason", "x", "--force"])
        .await;
    assert_ne!(code, 0);
    assert_eq!(cluster.store.version(), before, "nothing was written");
}

fn recorded(world: &World, asked: &Arc<Mutex<Rights>>) -> Clients {
    let asked = asked.clone();
    let record = from_fn(move |request: Request, next: Next| {
        asked.lock().unwrap().extend(needed(&request));
        next.run(request)
    });
    Clients::from_service(world.store.router().layer(record))
}

/// What the rules of the daemon's roles grant.
fn granted() -> Rights {
    let text = include_str!("../../deploy/rbac.yaml");
    let objects = text
        .split("\n---\n")
        .map(|text| serde_saphyr::from_str::<Value>(text).unwrap());
    let roles = objects.filter(|object| ["ClusterRole", "Role"].contains(&object["kind"].as_str().unwrap()));
    let strings = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let mut all = Rights::new();
    for role in roles {
        for rule in role["rules"].as_array().unwrap() {
            for group in strings(&rule["apiGroups"]) {
                for resource in strings(&rule["resources"]) {
                    all.extend(
                        strings(&rule["verbs"])
                            .iter()
                            .map(|verb| right(verb, &resource, &group)),
                    );
                }
            }
        }
    }
    all
}

fn put(world: &World, object: Value) {
    world.store.put(object).unwrap();
}

/// A component of each router; without arms, so that people set their weights.
fn routed(world: &World) -> Vec<Value> {
    let metadata = |name: &str| json!({"name": name, "namespace": NS, "labels": {"app": name}});
    put(world, virtual_service("shop"));
    let mut shop = component("shop");
    shop.as_object_mut().unwrap().remove("arms");
    let mut all = vec![shop];
    let backend = |version: &str| json!({"name": format!("api-{version}"), "port": 80});
    for (kind, plural) in GATEWAY {
        let version = if ["TLSRoute", "TCPRoute"].contains(kind) {
            "v1alpha2"
        } else {
            "v1"
        };
        put(
            world,
            json!({
                "apiVersion": format!("gateway.networking.k8s.io/{version}"), "kind": kind, "metadata": metadata(plural),
                "spec": {"parentRefs": [{"name": "public"}], "rules": [{"name": "main", "backendRefs": [
                    {"name": "api-v1", "port": 80, "weight": 100}, {"name": "api-v2", "port": 80, "weight": 0}]}]},
            }),
        );
        all.push(json!({"name": plural, "routers": [{"gatewayApi": {
            "kind": kind, "name": plural, "rules": ["main"], "canary": backend("v2"), "control": backend("v1")}}]}));
    }
    put(
        world,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("switch"),
            "data": {"networking_mode": "ingress", "istio_percentage": "0"}}),
    );
    let container = json!({"name": "controller", "image": "shop:1",
        "env": [{"name": "NETWORKING_MODE", "value": "ingress"}, {"name": "ISTIO_PERCENTAGE", "value": "0"}]});
    put(
        world,
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata("switch"),
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "switch"}}, "template": {
                "metadata": {"labels": {"app": "switch"}}, "spec": {"containers": [container]}}}}),
    );
    all.push(json!({"name": "switch", "routers": [{"controllerSwitch": {"deployment": "switch", "configMap": "switch"}}]}));
    world.store.namespace("istio-system");
    put(
        world,
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
            "spec": {"selector": {"istio": "ingressgateway"}, "ports": [{"name": "split", "port": 8081, "targetPort": 8081}]}}),
    );
    world.store.register_crd(&definition()).unwrap();
    put(world, split(&json!({})));
    put(
        world,
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata("terminal"),
            "spec": {"ingressClassName": "nginx", "rules": [{"host": "one.example.com", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "one", "port": {"number": 80}}}}]}}]}}),
    );
    put(
        world,
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata("one"),
            "spec": {"hosts": ["one.example.com"], "gateways": ["istio-system/split"],
                "http": [{"route": [{"destination": {"host": "terminal"}}]}]}}),
    );
    all.push(json!({"name": "terminal", "routers": [{"ingressNginx": {
        "ingresses": {"matchLabels": {"app": "terminal"}},
        "gateway": {"namespace": "istio-system", "service": "istio-ingressgateway", "port": 8081, "name": "istio-system/split"}}}]}));
    all
}

#[tokio::test(start_paused = true)]
async fn the_daemon_may_do_what_it_does_and_nothing_else() {
    let asked = Arc::new(Mutex::new(Rights::new()));
    let mut world = World::new();
    world.doctor = Some(DoctorSettings {
        shards: 1,
        namespace: NS.into(),
        lease: "gradual-rollout".into(),
        has_prometheus: false,
    });
    let mut gateways = JoinSet::new();
    gateways.spawn(accept_routes(world.store.clone()));
    install_policy(&world);
    let components = routed(&world);
    let names: Vec<String> = components
        .iter()
        .map(|c| c["name"].as_str().unwrap().to_owned())
        .collect();
    put(
        &world,
        json!({"apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
            "metadata": {"name": "demo", "namespace": NS},
            "spec": {"components": components, "steps": [{"weight": "5%", "hold": "1h"}, {"weight": "25%", "hold": "1h"}]}}),
    );
    let clients = recorded(&world, &asked);
    world.start_over("daemon-1", clients.clone());
    world
        .until("every component is known", |w| {
            w.status().components.len() == names.len()
        })
        .await;
    world.pass(60).await;
    world.say("set", json!({"components": ["*"], "weight": "5%", "who": "ada"}));
    world
        .until("all at 5%", |w| {
            names
                .iter()
                .all(|name| w.component(name).weight.written.permille() == 50)
        })
        .await;
    world.say("rollback", json!({"components": ["*"], "who": "ada"}));
    world
        .until("all at 0%", |w| {
            let back = |name: &String| {
                w.component(name).weight.written.is_zero() && w.component(name).lowering.is_none()
            };
            names.iter().all(back)
        })
        .await;
    // The same news again is the same Event, with a count.
    for _ in 0..3 {
        world.say(
            "set",
            json!({"components": ["shop"], "weight": "0%", "who": "ada"}),
        );
        world.pass(90).await;
    }
    // By REST, which has to ask who it is.
    world.store.add_token("a-token", "ada", &[]);
    let settings = InboundSettings {
        commands: true,
        ..InboundSettings::default()
    };
    let door = api::router(ApiState {
        inbound: Some(Inbound::new(
            settings,
            ByHand::new(clients.fast.clone()),
            world.clock.clone(),
        )),
        view: world.view.clone(),
        ready: tokio::sync::watch::channel(true).1,
        metrics: Metrics::new(),
    });
    let request = http::Request::post(format!("/api/v1/rollouts/{NS}/demo/commands"))
        .header("authorization", "Bearer a-token")
        .body(Body::from(
            json!({"verb": "pause", "components": ["shop"]}).to_string(),
        ))
        .unwrap();
    assert_eq!(door.oneshot(request).await.unwrap().status().as_u16(), 202);
    // And out again.
    let mut object = world.object();
    object["metadata"]["annotations"]["seen"] = json!("yes");
    world.store.put(object).unwrap();
    world.pass(60).await;
    world.stop().await;

    let mut granted = granted();
    // What the policy asks of whoever writes a command: the API server asks for it, not the daemon.
    let commands = Verb::ALL.map(Verb::word).into_iter().chain(["vouch"]);
    for verb in commands {
        let verb = right(verb, "gradualrollouts", "rollout.sealos.io");
        assert!(
            granted.remove(&verb),
            "{verb} is not granted, so a hook or REST could not give it"
        );
    }
    let asked = asked.lock().unwrap().clone();
    let lacking: Vec<_> = asked.difference(&granted).collect();
    let unused: Vec<_> = granted.difference(&asked).collect();
    assert!(lacking.is_empty(), "used and not granted: {lacking:#?}");
    assert!(unused.is_empty(), "granted and not used: {unused:#?}");
}
