//! The manifests in `deploy/`: they render with a stock kubectl, fit together, and grant no more than they must.

mod admission;

use crate::support::tools;
use gradual_rollout::rollout::spec::GradualRollout;
use kube::Resource as _;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

/// Every object that `kubectl kustomize deploy/` renders.
fn rendered() -> Vec<Value> {
    static RENDERED: OnceLock<Vec<Value>> = OnceLock::new();
    RENDERED.get_or_init(render).clone()
}

fn render() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let home = tempfile::tempdir().unwrap();
    let output = tools::kubectl(None, home.path())
        .arg("kustomize")
        .arg(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

/// The text at `pointer`, empty when there is none.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at `pointer`, empty when there is none.
fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn strings(value: &Value, pointer: &str) -> BTreeSet<String> {
    list(value, pointer)
        .iter()
        .map(|v| v.as_str().unwrap().to_owned())
        .collect()
}

fn of_kind(kind: &str) -> Vec<Value> {
    let found: Vec<Value> = rendered()
        .into_iter()
        .filter(|object| text(object, "/kind") == kind)
        .collect();
    assert!(!found.is_empty(), "no {kind} is rendered");
    found
}

#[test]
fn every_object_is_named_and_only_namespaced_ones_have_the_namespace() {
    let cluster_wide = [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    for object in rendered() {
        let kind = text(&object, "/kind");
        assert!(!text(&object, "/metadata/name").is_empty(), "{object}");
        let expected = if cluster_wide.contains(&kind) {
            ""
        } else {
            "sealos-system"
        };
        assert_eq!(
            text(&object, "/metadata/namespace"),
            expected,
            "{kind} {}",
            object["metadata"]["name"]
        );
    }
}

#[test]
fn the_daemon_runs_as_an_account_that_every_binding_names() {
    let account = text(
        &of_kind("Deployment")[0],
        "/spec/template/spec/serviceAccountName",
    )
    .to_owned();
    let accounts = of_kind("ServiceAccount");
    assert!(
        accounts.iter().any(|a| text(a, "/metadata/name") == account),
        "{account}"
    );
    let roles: BTreeSet<String> = [of_kind("Role"), of_kind("ClusterRole")]
        .concat()
        .iter()
        .map(|role| format!("{} {}", text(role, "/kind"), text(role, "/metadata/name")))
        .collect();
    for binding in [of_kind("RoleBinding"), of_kind("ClusterRoleBinding")].concat() {
        let subject = &binding["subjects"][0];
        assert_eq!(text(subject, "/name"), account, "{binding}");
        assert_eq!(
            text(subject, "/namespace"),
            text(&accounts[0], "/metadata/namespace"),
            "{binding}"
        );
        let role = format!(
            "{} {}",
            text(&binding, "/roleRef/kind"),
            text(&binding, "/roleRef/name")
        );
        assert!(roles.contains(&role), "{role} is bound but not rendered");
    }
}

#[test]
fn no_role_has_a_wildcard_a_secret_or_the_power_to_grant() {
    let roles = [of_kind("Role"), of_kind("ClusterRole")].concat();
    for role in &roles {
        for rule in list(role, "/rules") {
            for field in ["/apiGroups", "/resources", "/verbs"] {
                assert!(!strings(rule, field).is_empty(), "{rule}");
                for word in strings(rule, field) {
                    assert!(!word.contains('*'), "{rule}");
                    assert!(
                        !["secrets", "escalate", "bind", "impersonate", "pods/exec"].contains(&&*word),
                        "{rule}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_daemon_makes_and_deletes_nothing_but_canaries_events_and_its_lease() {
    for role in [of_kind("Role"), of_kind("ClusterRole")].concat() {
        if !["gradual-rollout", "gradual-rollout-lease"].contains(&text(&role, "/metadata/name")) {
            continue;
        }
        for rule in list(&role, "/rules") {
            let (verbs, resources) = (strings(rule, "/verbs"), strings(rule, "/resources"));
            let canaries = resources.iter().all(|r| r == "ingresses");
            assert!(!verbs.contains("deletecollection"), "{rule}");
            assert!(!verbs.contains("delete") || canaries, "{rule}");
            if verbs.contains("create") {
                let made = [
                    "events",
                    "leases",
                    "ingresses",
                    "services",
                    // Questions, which leave nothing behind.
                    "tokenreviews",
                    "subjectaccessreviews",
                ];
                assert!(resources.iter().all(|r| made.contains(&r.as_str())), "{rule}");
            }
            if resources.contains("services") {
                assert!(
                    !verbs.contains("patch") && !verbs.contains("delete"),
                    "an alias is never changed: {rule}"
                );
            }
            if resources.contains("leases") && !verbs.contains("create") {
                assert_eq!(
                    rule["resourceNames"],
                    serde_json::json!(["gradual-rollout"]),
                    "the one Lease by name"
                );
            }
        }
    }
}

#[test]
fn policy_and_roles_speak_of_the_resource_that_the_code_defines() {
    let (group, plural) = (GradualRollout::group(&()), GradualRollout::plural(&()));
    let policy = of_kind("ValidatingAdmissionPolicy").remove(0);
    let watched = &policy["spec"]["matchConstraints"]["resourceRules"][0];
    assert_eq!(watched["apiGroups"], serde_json::json!([group]));
    assert_eq!(
        watched["apiVersions"],
        serde_json::json!([GradualRollout::version(&())])
    );
    assert_eq!(watched["resources"], serde_json::json!([plural]));
    for role in of_kind("ClusterRole") {
        let rules = list(&role, "/rules")
            .iter()
            .filter(|rule| strings(rule, "/apiGroups").contains(&*group));
        let resources: BTreeSet<String> = rules.flat_map(|rule| strings(rule, "/resources")).collect();
        let expected = BTreeSet::from([plural.to_string(), format!("{plural}/status")]);
        assert_eq!(resources, expected, "{}", role["metadata"]["name"]);
    }
}

#[test]
fn probes_and_service_point_at_ports_that_the_container_opens() {
    let deployment = &of_kind("Deployment")[0];
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let ports: BTreeSet<&str> = list(container, "/ports")
        .iter()
        .map(|port| text(port, "/name"))
        .collect();
    assert_eq!(text(container, "/livenessProbe/httpGet/path"), "/healthz");
    assert_eq!(text(container, "/readinessProbe/httpGet/path"), "/readyz");
    for probe in ["/livenessProbe/httpGet/port", "/readinessProbe/httpGet/port"] {
        assert!(ports.contains(text(container, probe)), "{probe}");
    }
    let service = &of_kind("Service")[0];
    assert!(ports.contains(text(service, "/spec/ports/0/targetPort")));
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for (key, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(
            labels.get(key),
            Some(value),
            "the Service selects the daemon's pods"
        );
    }
}

#[test]
fn the_container_has_no_privileges_and_cannot_write_its_own_files() {
    let deployment = &of_kind("Deployment")[0];
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        text(pod, "/securityContext/seccompProfile/type"),
        "RuntimeDefault"
    );
    for container in list(pod, "/containers") {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
        assert!(container["resources"]["limits"].get("memory").is_some());
    }
}

#[test]
fn the_configuration_file_that_the_daemon_is_told_to_read_is_mounted_there() {
    let deployment = &of_kind("Deployment")[0];
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let arguments: Vec<&str> = list(container, "/args")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let file = arguments
        .iter()
        .skip_while(|a| **a != "--config")
        .nth(1)
        .expect("run --config FILE");
    let (folder, name) = file.rsplit_once('/').unwrap();
    let mount = list(container, "/volumeMounts")
        .iter()
        .find(|m| text(m, "/mountPath") == folder);
    let volume = list(pod, "/volumes")
        .iter()
        .find(|v| Some(text(v, "/name")) == mount.map(|m| text(m, "/name")))
        .expect("a volume at the folder of the configuration file");
    let map = of_kind("ConfigMap")
        .into_iter()
        .find(|map| text(map, "/metadata/name") == text(volume, "/configMap/name"))
        .expect("the mounted ConfigMap is rendered");
    assert!(map["data"].get(name).is_some(), "{file} is in the ConfigMap");
}

#[test]
fn the_image_runs_as_the_user_that_the_deployment_demands_and_knows_both_names() {
    let dockerfile = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/Dockerfile");
    let dockerfile = std::fs::read_to_string(dockerfile).unwrap();
    let last_stage = dockerfile.rsplit("\nFROM ").next().unwrap();
    let security = &of_kind("Deployment")[0]["spec"]["template"]["spec"]["securityContext"];
    let user = format!("USER {}:{}", security["runAsUser"], security["runAsGroup"]);
    assert!(last_stage.lines().any(|line| line == user), "{user}");
    assert!(last_stage.contains("ln -s gradual-rollout /usr/local/bin/emergency-rollback"));
}
