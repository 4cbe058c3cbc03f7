use super::*;
use crate::clock::Clock;
use axum::body::Body;
use http::Request;
use tower::ServiceExt as _;

const HERE: &str = "/api/v1/namespaces/here/configmaps";
const RULES: &str = "/apis/rbac.authorization.k8s.io/v1";

/// A cluster that asks for rights, with a service account `bot` of the namespace `here`.
struct Cluster {
    store: Store,
    bot: String,
}

impl Cluster {
    async fn new() -> Self {
        let store = Store::new(Clock::simulated("2026-01-05T02:00:00Z".parse().unwrap()));
        store.enforce_rbac("admins");
        let mut cluster = Self {
            store,
            bot: String::new(),
        };
        for namespace in ["here", "there"] {
            cluster.store.namespace(namespace);
        }
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot"}});
        let accounts = "/api/v1/namespaces/here/serviceaccounts";
        assert_eq!(cluster.admin("POST", accounts, account).await.0, 201);
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let (code, issued) = cluster
            .admin("POST", &format!("{accounts}/bot/token"), request)
            .await;
        assert_eq!(code, 201, "{issued}");
        issued["status"]["token"]
            .as_str()
            .unwrap()
            .clone_into(&mut cluster.bot);
        cluster
    }

    async fn send(&self, token: Option<&str>, method: &str, path: &str, body: Value) -> (u16, Value) {
        let media = match method {
            "PATCH" => "application/merge-patch+json",
            "APPLY" => "application/apply-patch+yaml",
            _ => "application/json",
        };
        let method = if method == "APPLY" { "PATCH" } else { method };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media)
            .header("accept", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = request.body(Body::from(text)).unwrap();
        let response = self.store.router().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        if path.contains("watch=true") && code == 200 {
            return (code, Value::Null);
        }
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn admin(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.send(Some("admins"), method, path, body).await
    }

    async fn bot(&self, method: &str, path: &str, body: Value) -> u16 {
        self.send(Some(&self.bot), method, path, body).await.0
    }

    async fn get(&self, path: &str) -> u16 {
        self.bot("GET", path, Value::Null).await
    }

    /// Binds rules to the bot: in `here`, or everywhere.
    async fn grant(&self, everywhere: bool, rules: Value) {
        let (kind, path) = if everywhere {
            ("ClusterRole", RULES.to_owned())
        } else {
            ("Role", format!("{RULES}/namespaces/here"))
        };
        let api = "rbac.authorization.k8s.io/v1";
        let role = json!({"apiVersion": api, "kind": kind, "metadata": {"name": "bots"}, "rules": rules});
        let binding = json!({"apiVersion": api, "kind": format!("{kind}Binding"), "metadata": {"name": "bots"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "bots"},
            "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": "here"}]});
        let plural = kind.to_lowercase();
        for (path, object) in [
            (format!("{path}/{plural}s"), role),
            (format!("{path}/{plural}bindings"), binding),
        ] {
            let (code, answer) = self.admin("POST", &path, object).await;
            assert_eq!(code, 201, "{answer}");
        }
    }
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

#[tokio::test]
async fn whoever_is_not_known_gets_nothing_and_who_is_known_without_a_role_is_refused_by_name() {
    let cluster = Cluster::new().await;
    for token in [None, Some("made-up")] {
        assert_eq!(cluster.send(token, "GET", HERE, Value::Null).await.0, 401);
        assert_eq!(cluster.send(token, "GET", "/version", Value::Null).await.0, 401);
    }
    let (code, refusal) = cluster
        .send(Some(&cluster.bot), "GET", &format!("{HERE}/a"), Value::Null)
        .await;
    assert_eq!(code, 403);
    assert_eq!(
        refusal["message"],
        "configmaps \"a\" is forbidden: User \"system:serviceaccount:here:bot\" cannot get resource \"configmaps\" in \
         API group \"\" in the namespace \"here\""
    );
    assert_eq!(
        cluster.get("/apis").await,
        200,
        "what is served, everybody may know"
    );
    assert_eq!(
        cluster.get("/apis/none.example.com/v1/things").await,
        403,
        "and no more than that"
    );
}

#[tokio::test]
async fn a_role_counts_in_its_namespace_and_a_cluster_role_everywhere() {
    let cluster = Cluster::new().await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    cluster.grant(false, rules.clone()).await;
    assert_eq!(cluster.get(HERE).await, 200);
    assert_eq!(cluster.get("/api/v1/namespaces/there/configmaps").await, 403);
    assert_eq!(cluster.get("/api/v1/configmaps").await, 403);
    assert_eq!(
        cluster.get(&format!("{HERE}?watch=true")).await,
        403,
        "a watch is a verb of its own"
    );
    cluster.grant(true, rules).await;
    assert_eq!(cluster.get("/api/v1/namespaces/there/configmaps").await, 200);
    assert_eq!(cluster.get("/api/v1/configmaps").await, 200);
}

#[tokio::test]
async fn resource_names_reach_reads_and_watches_of_that_name_and_no_create() {
    let cluster = Cluster::new().await;
    let verbs = json!(["get", "list", "watch", "update", "patch", "create"]);
    let rules =
        json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": verbs}]);
    cluster.grant(false, rules).await;
    for name in ["mine", "theirs"] {
        assert_eq!(cluster.admin("POST", HERE, map(name)).await.0, 201);
    }
    assert_eq!(cluster.get(&format!("{HERE}/mine")).await, 200);
    assert_eq!(cluster.get(&format!("{HERE}/theirs")).await, 403);
    for query in ["", "watch=true&"] {
        let named = |name: &str| format!("{HERE}?{query}fieldSelector=metadata.name%3D{name}");
        assert_eq!(cluster.get(&named("mine")).await, 200);
        assert_eq!(cluster.get(&named("theirs")).await, 403);
        assert_eq!(cluster.get(&format!("{HERE}?{query}")).await, 403);
    }
    assert_eq!(
        cluster.bot("POST", HERE, map("mine")).await,
        403,
        "a create has no name yet"
    );
    assert_eq!(
        cluster
            .bot("PATCH", &format!("{HERE}/mine"), json!({"data": {"a": "b"}}))
            .await,
        200
    );
}

#[tokio::test]
async fn a_status_is_a_resource_of_its_own() {
    let cluster = Cluster::new().await;
    let deployments = "/apis/apps/v1/namespaces/here/deployments";
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"app": "d"}}, "template": {"metadata": {"labels": {"app": "d"}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}});
    assert_eq!(cluster.admin("POST", deployments, object).await.0, 201);
    cluster
        .grant(
            false,
            json!([{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]}]),
        )
        .await;
    let nothing = json!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(
        cluster
            .bot("PATCH", &format!("{deployments}/d"), nothing.clone())
            .await,
        200
    );
    assert_eq!(
        cluster
            .bot("PATCH", &format!("{deployments}/d/status"), nothing.clone())
            .await,
        403
    );
    let rules = json!([{"apiGroups": ["*"], "resources": ["*/status"], "verbs": ["*"]}]);
    cluster.grant(true, rules).await;
    assert_eq!(
        cluster
            .bot("PATCH", &format!("{deployments}/d/status"), nothing)
            .await,
        200
    );
}

#[tokio::test]
async fn an_apply_of_what_is_absent_needs_the_right_to_create() {
    let cluster = Cluster::new().await;
    cluster
        .grant(
            false,
            json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}]),
        )
        .await;
    let path = format!("{HERE}/new?fieldManager=bot");
    assert_eq!(cluster.bot("APPLY", &path, map("new")).await, 403);
    assert_eq!(cluster.admin("POST", HERE, map("new")).await.0, 201);
    assert_eq!(cluster.bot("APPLY", &path, map("new")).await, 200);
}

#[tokio::test]
async fn reviews_answer_what_the_roles_grant_verbs_that_no_request_has_among_them() {
    let cluster = Cluster::new().await;
    let group = "rollout.sealos.io";
    cluster
        .grant(
            false,
            json!([{"apiGroups": [group], "resources": ["gradualrollouts"], "verbs": ["approve"]}]),
        )
        .await;
    let spec = |verb: &str, namespace: &str| {
        json!({"resourceAttributes": {"group": group, "resource": "gradualrollouts", "verb": verb,
            "namespace": namespace, "name": "demo"}})
    };
    let reviews = "/apis/authorization.k8s.io/v1";
    for (verb, namespace, allowed) in [
        ("approve", "here", true),
        ("approve", "there", false),
        ("promote", "here", false),
    ] {
        let own = json!({"spec": spec(verb, namespace)});
        let path = format!("{reviews}/selfsubjectaccessreviews");
        let answer = cluster.send(Some(&cluster.bot), "POST", &path, own.clone()).await;
        assert_eq!(
            answer.1["status"]["allowed"], allowed,
            "{verb} {namespace}: {answer:?}"
        );
        let mut about = own;
        about["spec"]["user"] = json!("system:serviceaccount:here:bot");
        let path = format!("{reviews}/subjectaccessreviews");
        assert_eq!(
            cluster.bot("POST", &path, about.clone()).await,
            403,
            "about others it takes a right"
        );
        let answer = cluster.admin("POST", &path, about).await;
        assert_eq!(
            answer.1["status"]["allowed"], allowed,
            "{verb} {namespace}: {answer:?}"
        );
    }
    let review = json!({"spec": {"token": cluster.bot}});
    let answer = cluster
        .admin("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
        .await;
    assert_eq!(
        answer.1["status"]["user"]["username"],
        "system:serviceaccount:here:bot"
    );
}
