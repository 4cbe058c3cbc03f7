//! Stock kubectl against the sandbox's API server, over loopback. Skipped where there is no kubectl.

use crate::apiserver::widgets;
use gradual_rollout::clock::Clock;
use gradual_rollout::sandbox::apiserver::{Store, serve, write_kubeconfig};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A server on a thread of its own, and a directory with a kubeconfig for it.
struct Cluster {
    store: Store,
    dir: TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a kubectl run left behind.
#[derive(Debug)]
struct Ran {
    ok: bool,
    out: String,
    err: String,
}

fn kubectl_is_here() -> bool {
    let here = Command::new("kubectl")
        .args(["version", "--client"])
        .output()
        .is_ok_and(|o| o.status.success());
    if !here {
        println!("skipped: kubectl is not on the PATH");
    }
    here
}

fn cluster() -> Option<Cluster> {
    if !kubectl_is_here() {
        return None;
    }
    let store = Store::new(Clock::System);
    store.register_crd(&widgets()).unwrap();
    let dir = TempDir::new().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (told, address) = std::sync::mpsc::channel();
    let served = store.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            serve(listener, served, async { drop(stopped.await) })
                .await
                .unwrap();
        });
    });
    write_kubeconfig(&dir.path().join("config"), address.recv().unwrap()).unwrap();
    Some(Cluster {
        store,
        dir,
        stop: Some(stop),
        thread: Some(thread),
    })
}

impl Cluster {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .env("KUBECONFIG", self.dir.path().join("config"))
            .env("KUBECACHEDIR", self.dir.path().join("cache"))
            .env("HOME", self.dir.path())
            .args(args);
        command
    }

    fn run(&self, args: &[&str], input: &Value) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.to_string().as_bytes()).unwrap();
        drop(stdin);
        let done = child.wait_with_output().unwrap();
        Ran {
            ok: done.status.success(),
            out: String::from_utf8(done.stdout).unwrap(),
            err: String::from_utf8(done.stderr).unwrap(),
        }
    }

    fn ok(&self, args: &[&str], input: &Value) -> String {
        let ran = self.run(args, input);
        assert!(ran.ok, "kubectl {args:?}: {ran:?}");
        ran.out
    }
}

fn widget(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec})
}

#[test]
fn apply_get_and_delete() {
    let Some(c) = cluster() else { return };
    assert_eq!(
        c.ok(
            &["apply", "-f", "-"],
            &widget(json!({"size": 1, "colour": "red"}))
        ),
        "widget.example.com/w created\n"
    );
    assert_eq!(
        c.ok(
            &["apply", "-f", "-"],
            &widget(json!({"size": 1, "colour": "red"}))
        ),
        "widget.example.com/w unchanged\n"
    );
    assert_eq!(
        c.ok(&["apply", "-f", "-"], &widget(json!({"size": 2}))),
        "widget.example.com/w configured\n"
    );
    assert_eq!(
        c.store.get("widgets.example.com", "default", "w").unwrap()["spec"],
        json!({"size": 2})
    );
    let table = c.ok(&["get", "wd"], &json!(""));
    let rows: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "SIZE", "READY", "AGE"]);
    assert_eq!(rows[1][..2], ["w", "2"]);
    assert!(
        c.ok(&["get", "all", "-A"], &json!(""))
            .contains("widget.example.com/w")
    );
    assert!(
        c.ok(&["get", "widget", "w", "-o", "yaml"], &json!(""))
            .contains("size: 2")
    );
    assert_eq!(
        c.ok(&["get", "wd", "w", "-o", "jsonpath={.spec.size}"], &json!("")),
        "2"
    );
    assert!(c.ok(&["delete", "widget", "w"], &json!("")).contains("deleted"));
    assert!(
        c.run(&["get", "widget", "w"], &json!(""))
            .err
            .contains("(NotFound): widgets.example.com \"w\" not found")
    );
}

#[test]
fn a_typo_is_refused_before_it_is_stored() {
    let Some(c) = cluster() else { return };
    let ran = c.run(&["apply", "-f", "-"], &widget(json!({"size": 1, "sise": 2})));
    assert!(
        !ran.ok
            && ran
                .err
                .contains("strict decoding error: unknown field \"spec.sise\""),
        "{ran:?}"
    );
    let ran = c.run(
        &["apply", "--validate=warn", "-f", "-"],
        &widget(json!({"size": 1, "sise": 2})),
    );
    assert!(
        ran.ok && ran.err.contains("Warning: unknown field \"spec.sise\""),
        "{ran:?}"
    );
    c.ok(&["delete", "wd", "w"], &json!(""));
    let ran = c.run(&["create", "-f", "-"], &widget(json!({"size": 13})));
    assert!(ran.err.contains("thirteen is unlucky"), "{ran:?}");
}

#[test]
fn server_side_apply_and_its_conflicts() {
    let Some(c) = cluster() else { return };
    let apply = ["apply", "--server-side", "--field-manager=gitops", "-f", "-"];
    assert!(
        c.ok(&apply, &widget(json!({"size": 1})))
            .contains("serverside-applied")
    );
    c.ok(
        &["patch", "wd", "w", "--type=merge", "-p", r#"{"spec":{"size":2}}"#],
        &json!(""),
    );
    let ran = c.run(&apply, &widget(json!({"size": 1})));
    assert!(
        !ran.ok
            && ran
                .err
                .contains("conflict with \"kubectl-patch\" using example.com/v1: .spec.size"),
        "{ran:?}"
    );
    let force = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=gitops",
        "-f",
        "-",
    ];
    c.ok(&force, &widget(json!({"size": 1})));
    let plain = ["apply", "-f", "-"];
    c.ok(&plain, &widget(json!({"size": 3})));
    let upgrade = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    c.ok(&upgrade, &widget(json!({"size": 4})));
}

#[test]
fn patches_labels_and_annotations() {
    let Some(c) = cluster() else { return };
    c.ok(&["create", "-f", "-"], &widget(json!({"size": 1})));
    c.ok(
        &[
            "patch",
            "wd",
            "w",
            "--type=json",
            "-p",
            r#"[{"op":"test","path":"/spec/size","value":1},{"op":"replace","path":"/spec/size","value":5}]"#,
        ],
        &json!(""),
    );
    let ran = c.run(
        &[
            "patch",
            "wd",
            "w",
            "--type=json",
            "-p",
            r#"[{"op":"test","path":"/spec/size","value":1}]"#,
        ],
        &json!(""),
    );
    assert!(
        ran.err
            .contains("the server rejected our request due to an error in our request"),
        "{ran:?}"
    );
    c.ok(
        &[
            "patch",
            "wd",
            "w",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status":{"share":"5%"}}"#,
        ],
        &json!(""),
    );
    c.ok(&["annotate", "wd", "w", "example.com/a=1"], &json!(""));
    c.ok(&["label", "wd", "w", "team=a"], &json!(""));
    let w = c.store.get("widgets.example.com", "default", "w").unwrap();
    assert_eq!(
        (&w["spec"]["size"], &w["status"]["share"]),
        (&json!(5), &json!("5%"))
    );
    assert_eq!(w["metadata"]["labels"]["team"], "a");
    assert_eq!(w["metadata"]["generation"], 2);
    let managers: Vec<&str> = w["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["manager"].as_str().unwrap())
        .collect();
    assert!(
        managers.contains(&"kubectl-annotate") && managers.contains(&"kubectl-label"),
        "{managers:?}"
    );
}

#[test]
fn a_watch_prints_rows_as_they_change_and_wait_sees_the_condition() {
    let Some(c) = cluster() else { return };
    c.ok(&["create", "-f", "-"], &widget(json!({"size": 1})));
    let mut child = c
        .command(&["get", "wd", "-w", "--no-headers"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut row = || -> Vec<String> {
        lines
            .next()
            .unwrap()
            .unwrap()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(row()[..2], ["w", "1"]);
    let mut wait = c
        .command(&["wait", "wd/w", "--for=condition=Ready", "--timeout=30s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    c.ok(
        &["patch", "wd", "w", "--type=merge", "-p", r#"{"spec":{"size":2}}"#],
        &json!(""),
    );
    assert_eq!(row()[..2], ["w", "2"]);
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    c.store
        .put_status("widgets.example.com", "default", "w", ready)
        .unwrap();
    assert!(wait.wait().unwrap().success());
    assert_eq!(row()[..3], ["w", "2", "True"]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn explain_and_describe_read_the_schema_and_the_events() {
    let Some(c) = cluster() else { return };
    let said = c.ok(&["explain", "widget.spec.size"], &json!(""));
    assert!(said.contains("How big.") && said.contains("integer"), "{said}");
    assert!(
        c.ok(&["explain", "deployment.spec.replicas"], &json!(""))
            .contains("Number of desired pods")
    );
    c.ok(&["create", "-f", "-"], &widget(json!({"size": 1})));
    let uid = c.store.get("widgets.example.com", "default", "w").unwrap()["metadata"]["uid"].clone();
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "Widget", "name": "w", "namespace": "default", "uid": uid},
        "type": "Normal", "reason": "Raised", "message": "to 5%", "lastTimestamp": "2026-01-05T02:00:00Z"});
    c.store.put(event).unwrap();
    let said = c.ok(&["describe", "wd", "w"], &json!(""));
    assert!(
        said.contains("Size:  1") && said.contains("Raised") && said.contains("to 5%"),
        "{said}"
    );
    assert!(c.ok(&["get", "events"], &json!("")).contains("widget/w"));
}

#[test]
fn built_in_objects_are_applied_scaled_and_rolled_out() {
    let Some(c) = cluster() else { return };
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"app": "d"}}, "template": {"metadata": {"labels": {"app": "d"}},
            "spec": {"containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]}]}}}});
    c.ok(&["apply", "-f", "-"], &deployment);
    c.ok(&["set", "env", "deploy/d", "SHARE=5"], &json!(""));
    c.ok(&["scale", "deploy/d", "--replicas=3"], &json!(""));
    let d = c.store.get("deployments.apps", "default", "d").unwrap();
    assert_eq!(d["spec"]["replicas"], 3);
    assert_eq!(
        d["spec"]["template"]["spec"]["containers"][0]["env"],
        json!([{"name": "SHARE", "value": "5"}])
    );
    c.ok(&["apply", "-f", "-"], &deployment);
    let d = c.store.get("deployments.apps", "default", "d").unwrap();
    assert_eq!(
        d["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"], "5",
        "apply keeps what it does not own"
    );
    assert!(
        c.ok(&["get", "deploy,cm,svc,lease,crd,ns"], &json!(""))
            .contains("deployment.apps/d")
    );
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}});
    c.ok(&["apply", "--server-side", "-f", "-"], &map);
    assert!(
        c.ok(&["get", "cm", "c"], &json!(""))
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("c      1")
    );
}

#[test]
fn namespaces_config_maps_and_secrets_are_created_without_a_file() {
    let Some(c) = cluster() else { return };
    c.ok(&["create", "namespace", "team"], &json!(""));
    c.ok(
        &["create", "configmap", "c", "-n", "team", "--from-literal=a=1"],
        &json!(""),
    );
    c.ok(
        &[
            "create",
            "secret",
            "generic",
            "s",
            "-n",
            "team",
            "--from-literal=a=1",
        ],
        &json!(""),
    );
    assert_eq!(c.store.get("configmaps", "team", "c").unwrap()["data"]["a"], "1");
    let s = c.store.get("secrets", "team", "s").unwrap();
    assert_eq!((&s["data"]["a"], &s["type"]), (&json!("MQ=="), &json!("Opaque")));
    let ran = c.run(&["create", "deployment", "d", "--image=x"], &json!(""));
    assert!(
        !ran.ok && ran.err.contains("use a file with `kubectl apply -f`"),
        "{ran:?}"
    );
    c.ok(&["delete", "namespace", "team"], &json!(""));
    assert!(c.store.get("configmaps", "team", "c").is_none());
}

#[test]
fn diff_dry_run_and_replace() {
    let Some(c) = cluster() else { return };
    c.ok(&["create", "-f", "-"], &widget(json!({"size": 1})));
    let ran = c.run(&["diff", "-f", "-"], &widget(json!({"size": 2})));
    assert!(ran.out.contains("+  size: 2"), "{ran:?}");
    let ran = c.run(
        &["diff", "--server-side", "--force-conflicts", "-f", "-"],
        &widget(json!({"size": 3})),
    );
    assert!(ran.out.contains("+  size: 3"), "{ran:?}");
    c.ok(
        &["apply", "--dry-run=server", "-f", "-"],
        &widget(json!({"size": 2})),
    );
    assert_eq!(
        c.store.get("widgets.example.com", "default", "w").unwrap()["spec"]["size"],
        1
    );
    c.ok(&["replace", "-f", "-"], &widget(json!({"size": 7})));
    assert_eq!(
        c.store.get("widgets.example.com", "default", "w").unwrap()["spec"]["size"],
        7
    );
}

#[test]
fn a_definition_posted_by_a_person_is_served_at_once() {
    let Some(c) = cluster() else { return };
    let mut crd = widgets();
    crd["metadata"]["name"] = json!("gadgets.example.com");
    crd["spec"]["names"] =
        json!({"kind": "Gadget", "plural": "gadgets", "singular": "gadget", "shortNames": ["gd"]});
    c.ok(&["apply", "-f", "-"], &crd);
    c.ok(
        &[
            "wait",
            "--for=condition=Established",
            "crd/gadgets.example.com",
            "--timeout=10s",
        ],
        &json!(""),
    );
    let gadget = json!({"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "g"}, "spec": {"size": 1}});
    c.ok(&["apply", "-f", "-"], &gadget);
    assert!(c.ok(&["get", "gd"], &json!("")).contains("g "));
    assert!(c.ok(&["api-resources"], &json!("")).contains("gadgets"));
    assert!(c.ok(&["version"], &json!("")).contains("v1.36"));
    assert_eq!(c.ok(&["auth", "can-i", "create", "gadgets"], &json!("")), "yes\n");
}
