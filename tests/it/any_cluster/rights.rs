//! Rights: those that `deploy/` grants are enough for the daemon, and its admission policy asks for one per command.
//! Every daemon of these scenes has exactly the shipped rights, here and on any cluster that enforces RBAC. A cluster
//! that does not has none to test; then the tests say so and pass.

use super::cluster::is_sandbox;
use super::objects::{rollout, rollout_of, switched, virtual_service};
use super::scene::{Scene, finish, on_cluster};
use super::switching::{bring_controller, play_controller};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::{Value, json};
use std::path::PathBuf;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";

fn manifests(file: &str) -> Vec<Value> {
    let path = format!("{}/deploy/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

/// Says which test had nothing to do, and why: `cargo test -- --show-output` shows it.
#[track_caller]
fn skip_without_rbac(why: &str) {
    assert!(
        !is_sandbox(),
        "the cluster that stands in enforces RBAC, but {why}"
    );
    skip(why);
}

fn skip(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped {name}: {why}");
}

/// A service account of this name in the test's namespace, and a kubeconfig with its token. `None` where the
/// cluster asks nobody for rights.
async fn account(scene: &Scene, name: &str) -> Option<PathBuf> {
    if !scene
        .admin
        .serves("rbac.authorization.k8s.io/v1", "clusterroles")
        .await
    {
        skip_without_rbac("the cluster has no RBAC");
        return None;
    }
    scene
        .create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}))
        .await;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let path = scene.core("serviceaccounts", &format!("{name}/token"));
    let issued = scene.admin.post(&path, &request).await.ok("a token");
    let kubeconfig = scene.kubeconfig_with(issued["status"]["token"].as_str().unwrap());
    let nobody = super::cluster::Connection::open(&kubeconfig).await;
    let answer = nobody.get(&scene.rollouts("")).await;
    match answer.code {
        403 => Some(kubeconfig),
        200 => {
            skip_without_rbac("the cluster allows everything to everybody");
            None
        }
        _ => panic!("an account without rights got {answer:#?}"),
    }
}

/// Binds what `deploy/rbac.yaml` grants, rule by rule, to the test's account; `without` leaves one resource out.
async fn grant_shipped(scene: &mut Scene, without: Option<&str>) {
    let own = scene.ns.clone();
    for mut object in manifests("rbac.yaml") {
        let kind = object["kind"].as_str().unwrap().to_owned();
        if kind == "ServiceAccount" {
            continue;
        }
        if let (Some(without), Some(rules)) = (without, object["rules"].as_array_mut()) {
            rules.retain(|rule| rule["resources"][0] != without);
        }
        // Names of their own, so that a real installation is not touched.
        object["metadata"] = json!({"name": own});
        if kind.ends_with("Binding") {
            object["roleRef"]["name"] = json!(own);
            object["subjects"][0]["namespace"] = json!(own);
        }
        let plural = format!("{}s", kind.to_lowercase());
        let path = if kind.starts_with("Cluster") {
            let path = format!("{RBAC}/{plural}");
            scene.extras.push(format!("{path}/{own}"));
            path
        } else {
            format!("{RBAC}/namespaces/{own}/{plural}")
        };
        scene.admin.post(&path, &object).await.ok(kind);
    }
}

/// Waits until an account may do what it was granted: authorizers learn of it a moment later.
async fn until_granted(scene: &Scene, kubeconfig: &std::path::Path, path: &str) {
    let account = super::cluster::Connection::open(kubeconfig).await;
    scene
        .until("the rights are in force", async |_| {
            account.get(path).await.code == 200
        })
        .await;
}

/// The kubeconfig of whoever may do what `deploy/` grants a daemon and nothing else; where nobody is asked for rights, the
/// test's own.
pub(super) async fn shipped(scene: &mut Scene) -> PathBuf {
    let Some(kubeconfig) = account(scene, "gradual-rollout").await else {
        return super::cluster::kubeconfig().to_owned();
    };
    grant_shipped(scene, None).await;
    let everywhere = "/apis/rollout.sealos.io/v1alpha1/gradualrollouts";
    until_granted(scene, &kubeconfig, everywhere).await;
    kubeconfig
}

/// The kubeconfig of whoever has the shipped role for operators in the test's namespace; where nobody is asked for rights,
/// the test's own.
pub(super) async fn operator(scene: &Scene) -> PathBuf {
    let Some(kubeconfig) = account(scene, "operator").await else {
        return super::cluster::kubeconfig().to_owned();
    };
    let roles = manifests("roles.yaml");
    let role = roles
        .iter()
        .find(|r| r["metadata"]["name"] == "gradual-rollout-operator");
    // As a Role: a RoleBinding of the ClusterRole grants the same.
    bind(scene, "operator", &role.unwrap()["rules"]).await;
    until_granted(scene, &kubeconfig, &scene.rollouts("")).await;
    kubeconfig
}

/// Gives a service account these rules in the test's namespace.
async fn bind(scene: &Scene, account: &str, rules: &Value) {
    let own = scene.ns.clone();
    let role = json!({"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": account},
        "rules": rules});
    let bound = json!({"kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": own}]});
    for (plural, object) in [("roles", role), ("rolebindings", bound)] {
        let path = format!("{RBAC}/namespaces/{own}/{plural}");
        scene.admin.post(&path, &object).await.ok(plural);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_rights_are_enough_for_everything_the_daemon_does() {
    on_cluster(async |scene| {
        scene.create(&virtual_service(&scene.ns, "shop")).await;
        bring_controller(scene, "terminal").await;
        let (admin, path) = (scene.admin.clone(), scene.deployments("terminal"));
        scene.beside(play_controller(admin, path));
        let mut object = rollout(&scene.ns, "demo", &["shop"], &["5%", "30%"]);
        let components = object["spec"]["components"].as_array_mut().unwrap();
        components.push(switched(&scene.ns, "terminal"));
        object["spec"]["onDelete"] = json!("restore");
        scene.create(&object).await;
        let daemon = scene.start("limited").await;
        scene
            .until("both completed", async |s| {
                let status = s.status().await;
                status.components.len() == 2 && status.components.iter().all(|c| c.state == State::Completed)
            })
            .await;
        scene
            .until("the doctor misses nothing", async |s| {
                let status = s.status().await;
                let found = status.condition("Findings");
                found.is_some_and(|found| {
                    assert_eq!(found.reason, "NothingFound", "{}", found.message);
                    true
                })
            })
            .await;
        let wish = json!({"components": ["*"], "who": "ada"});
        let id = scene.say("rollback", &wish).await;
        scene
            .until("rolled back, answered, removed", async |s| {
                let object = s.object().await;
                s.weight("shop").await == 0
                    && object["status"]["commands"].to_string().contains(&id)
                    && !object["metadata"]["annotations"].to_string().contains(&id)
            })
            .await;
        let events = format!("/apis/events.k8s.io/v1/namespaces/{}/events", scene.ns);
        scene
            .until("Events are written", async |s| {
                let listed = s.admin.get(&events).await.body;
                let all = listed["items"].as_array().cloned().unwrap_or_default();
                all.iter().any(|e| e["reportingInstance"] == "limited")
            })
            .await;
        scene.admin.delete(&scene.rollouts("demo")).await.ok("deleting");
        scene
            .until("the finalizer lets it go", async |s| {
                s.admin.get(&s.rollouts("demo")).await.code == 404
            })
            .await;
        daemon.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_read_routes_their_components_hold_by_name_and_the_others_go_on() {
    on_cluster(async |scene| {
        let Some(kubeconfig) = account(scene, "gradual-rollout").await else {
            return;
        };
        grant_shipped(scene, Some("virtualservices")).await;
        until_granted(scene, &kubeconfig, &scene.rollouts("")).await;
        scene.create(&virtual_service(&scene.ns, "shop")).await;
        bring_controller(scene, "terminal").await;
        let (admin, path) = (scene.admin.clone(), scene.deployments("terminal"));
        scene.beside(play_controller(admin, path));
        let mut object = rollout_of(&scene.ns, "demo", &[switched(&scene.ns, "terminal")], &["5%"]);
        let shop = rollout(&scene.ns, "demo", &["shop"], &["5%"])["spec"]["components"][0].clone();
        object["spec"]["components"].as_array_mut().unwrap().push(shop);
        scene.create(&object).await;
        scene.start_as("limited", &kubeconfig).await;
        scene
            .until("terminal completed", async |s| {
                s.component("terminal").await.state == State::Completed
            })
            .await;
        let shop = scene.component("shop").await;
        assert_eq!(shop.reason, Reason::RouterUnreadable, "{}", shop.message);
        let name = format!("virtualservice {}/shop", scene.ns);
        assert!(shop.message.contains(&name), "{}", shop.message);
        assert!(shop.message.contains("no permission"), "{}", shop.message);
        assert_eq!(scene.weight("shop").await, 0);
        scene
            .until("the doctor names the right", async |s| {
                let status = s.status().await;
                let found = status.condition("Findings");
                found.is_some_and(|found| {
                    let wanted = "may not get, list, patch, watch virtualservices.networking.istio.io";
                    found.reason == "D201" && found.message.contains(wanted)
                })
            })
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_without_the_right_to_its_verb_is_refused_and_one_with_it_is_done() {
    on_cluster(async |scene| {
        if !scene
            .admin
            .serves("admissionregistration.k8s.io/v1", "validatingadmissionpolicies")
            .await
        {
            return skip("the cluster has no ValidatingAdmissionPolicy");
        }
        if is_sandbox() {
            return skip("the sandbox keeps admission policies and evaluates none");
        }
        let Some(kubeconfig) = account(scene, "person").await else {
            return;
        };
        apply_policy(scene).await;
        let own = scene.ns.clone();
        let rules = json!([
            {"apiGroups": ["rollout.sealos.io"], "resources": ["gradualrollouts"],
             "verbs": ["get", "list", "watch", "patch", "pause"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]},
        ]);
        bind(scene, "person", &rules).await;
        until_granted(scene, &kubeconfig, &scene.rollouts("")).await;
        scene.bring(&["shop"], &["5%", "30%"]).await;
        scene.start("daemon-1").await;
        scene.until_weight("shop", 5).await;
        let person = super::cluster::Connection::open(&kubeconfig).await;
        let path = format!("{}?dryRun=All", scene.rollouts("demo"));
        let key = "rollout.sealos.io/command.promote.01ARZ3NDEKTSV4RRFFQ69G5FAV";
        let wish = json!({"metadata": {"annotations": {key: "{}"}}});
        scene
            .until("the policy is in force", async |_| {
                let answer = person.merge(&path, &wish).await;
                assert!([200, 403].contains(&answer.code), "{answer:#?}");
                answer.code == 403 && answer.body["message"].to_string().contains("promote")
            })
            .await;
        // Somebody who may only `patch`, whatever they write; and a name that nobody proved.
        let give = |verb: &str, value: &str| {
            let key = format!("rollout.sealos.io/command.{verb}.01ARZ3NDEKTSV4RRFFQ69G5FAV");
            json!({"metadata": {"annotations": {key: value}}})
        };
        let proven = r#"{"components":["*"],"who":"ada","vouched":true}"#;
        for (verb, value, says) in [
            ("approve", "{}", "approve"),
            ("complaint", "{}", "complaint"),
            ("pause", proven, "only the daemon may write"),
        ] {
            let answer = person.merge(&path, &give(verb, value)).await;
            assert_eq!(answer.code, 403, "{verb}: {answer:#?}");
            assert!(answer.body["message"].to_string().contains(says), "{answer:#?}");
        }
        let mut with_approve = rules.clone();
        with_approve[0]["verbs"]
            .as_array_mut()
            .unwrap()
            .push(json!("approve"));
        let role = format!("{RBAC}/namespaces/{own}/roles/person");
        scene
            .admin
            .merge(&role, &json!({"rules": with_approve}))
            .await
            .ok("granting");
        scene
            .until("who may approve does", async |_| {
                person.merge(&path, &give("approve", "{}")).await.code == 200
            })
            .await;
        let said = async |arguments: &[&str]| {
            let mut program = scene.program(arguments).await;
            program.env("KUBECONFIG", &kubeconfig);
            finish(program).await
        };
        let (code, out, err) = said(&["promote", "shop", "--no-confirm"]).await;
        assert_eq!(code, 3, "{out}{err}");
        assert!(
            format!("{out}{err}").contains("gradual-rollout-operator"),
            "{out}{err}"
        );
        let (code, out, err) = said(&["pause", "shop", "--no-confirm"]).await;
        assert_eq!(code, 0, "{out}{err}");
        assert!(scene.component("shop").await.paused_by.is_some());
    })
    .await;
}

/// The shipped policy under a name of its own, for the test's namespace alone.
async fn apply_policy(scene: &mut Scene) {
    let own = scene.ns.clone();
    for mut object in manifests("admission-policy.yaml") {
        object["metadata"]["name"] = json!(own);
        let plural = if object["kind"] == "ValidatingAdmissionPolicy" {
            "validatingadmissionpolicies"
        } else {
            object["spec"]["policyName"] = json!(own);
            let here = json!({"matchLabels": {"kubernetes.io/metadata.name": own}});
            object["spec"]["matchResources"] = json!({"namespaceSelector": here});
            "validatingadmissionpolicybindings"
        };
        let path = format!("{ADMISSION}/{plural}");
        scene.extras.push(format!("{path}/{own}"));
        scene.admin.post(&path, &object).await.ok(plural);
    }
}
