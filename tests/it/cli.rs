//! The program as people and scripts call it: codes, words, pipes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_gradual-rollout");

/// The program in an empty home, with nothing inherited that could change what it does.
fn program(name: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    told(&program(Path::new(PROGRAM), arguments).output().unwrap())
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// A kubeconfig that points to a closed port.
fn closed_cluster(folder: &Path) -> PathBuf {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    kubeconfig(folder, port)
}

fn kubeconfig(folder: &Path, port: u16) -> PathBuf {
    let path = folder.join("kubeconfig");
    let mut text = String::new();
    write!(
        text,
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: \"http://127.0.0.1:{port}\"}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    )
    .unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_check_that_cannot_be_asked_is_told_by_validate_and_shown_by_plan() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/checks.yaml");
    let good = std::fs::read_to_string(file).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checks.yaml");
    let path = path.to_str().unwrap();
    for (right, wrong, says) in [
        (
            "\"~istiod-.*\"",
            "\"~(\"",
            "spec.checks[7]: series.pod: \"(\" is not a regular expression",
        ),
        (
            "max: 1Gi",
            "max: 1s",
            "spec.checks[7].promote.max: \"1s\" is not an amount of memory",
        ),
        (
            "{{component}}-v2",
            "{{componet}}-v2",
            "spec.checks[8].deployment: there is no variable \"componet\"",
        ),
    ] {
        std::fs::write(path, good.replace(right, wrong)).unwrap();
        let (code, out, _) = run(&["validate", path]);
        assert_eq!(code, 64, "{out}");
        assert!(out.contains(says), "{out}");
    }
    let (code, out, _) = run(&["plan", "config/checks.yaml", "-o", "json"]);
    assert_eq!(code, 0, "{out}");
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let cache = told["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["name"] == "cache");
    let cache = cache.unwrap();
    let (_, out, _) = run(&["plan", "config/quiet.yaml"]);
    assert!(
        out.contains("pool quiet: notes, wiki share their samples and step together"),
        "{out}"
    );
    assert_eq!(
        (&cache["promote"], &cache["action"]),
        (&"max 50".into(), &"dryRun".into())
    );
}

#[test]
fn wrong_usage_exits_64_and_says_what_to_write() {
    for (arguments, says) in [
        (
            vec!["--percentage", "101", "--component", "a"],
            "between 0% and 100%",
        ),
        (
            vec!["--percentage", "-1", "--component", "a"],
            "between 0% and 100%",
        ),
        (
            vec!["--percentage", "5", "--component", "a", "--all-components"],
            "cannot be used with",
        ),
        (vec!["--percentage", "5"], "--all-components"),
        (vec!["--component", "a"], "--percentage"),
        (vec!["--frobnicate"], "unexpected argument"),
        (vec!["frobnicate"], "unrecognized subcommand"),
        (vec!["pause"], "--all-components"),
        (vec!["-p", "5", "status"], "after the command"),
        (vec!["emergency-rollback"], "--reason"),
        (
            vec!["emergency-rollback", "--mode", "sideways", "--reason", "x"],
            "ingress",
        ),
        (
            vec!["status", "--config", "/nonexistent.toml"],
            "/nonexistent.toml",
        ),
        (
            vec!["--config", "/nonexistent.toml", "migrate", "probe"],
            "/nonexistent.toml",
        ),
        (
            vec!["--config", "/nonexistent.toml", "test-suite", "cors"],
            "/nonexistent.toml",
        ),
        (vec!["status", "-n", "Not_A_Namespace"], "no namespace"),
        (vec!["validate", "/nonexistent.yaml"], "/nonexistent.yaml"),
        (vec!["sandbox", "--story", "nonesuch"], "the stories are"),
        (vec!["sandbox", "--speed", "nan"], "is no speed"),
        (vec!["sandbox", "--prometheus", "--speed", "2"], "leave one out"),
        (
            vec!["sandbox", "--prometheus", "--story", "low-traffic"],
            "these can",
        ),
    ] {
        let (code, out, err) = run(&arguments);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
}

#[test]
fn help_and_version_are_answers() {
    for arguments in [
        vec!["--help"],
        vec!["-h"],
        vec!["--version"],
        vec!["rollback", "--help"],
    ] {
        let (code, out, err) = run(&arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        assert!(!out.is_empty());
    }
    let (_, out, _) = run(&["--help"]);
    assert!(
        out.contains("Examples:") && out.contains("69 cluster unreachable"),
        "{out}"
    );
}

#[test]
fn a_cluster_that_cannot_be_reached_exits_69() {
    let folder = tempfile::tempdir().unwrap();
    let path = closed_cluster(folder.path());
    for arguments in [
        vec!["status"],
        vec![],
        vec!["-p", "5", "-c", "a", "--no-confirm"],
        vec![
            "emergency-rollback",
            "--reason",
            "x",
            "--force",
            "--timeout",
            "0s",
        ],
    ] {
        let output = program(Path::new(PROGRAM), &arguments)
            .env("KUBECONFIG", &path)
            .output()
            .unwrap();
        let (code, _, err) = told(&output);
        assert_eq!(code, 69, "{arguments:?}: {err}");
        assert!(err.contains("unable to reach the cluster"), "{err}");
    }
    let (code, _, err) = run(&["status"]);
    assert_eq!(code, 69, "no kubeconfig at all: {err}");
    assert!(err.contains("unable to reach the cluster"), "{err}");
    assert_eq!(err.matches("point KUBECONFIG").count(), 1, "{err}");
    assert!(
        !err.contains("check KUBECONFIG"),
        "the advice is given once: {err}"
    );
}

#[test]
fn called_emergency_rollback_it_is_that_command() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("emergency-rollback");
    std::os::unix::fs::symlink(PROGRAM, &link).unwrap();
    let (code, out, _) = told(&program(&link, &["--help"]).output().unwrap());
    assert_eq!(code, 0);
    assert!(
        out.contains("Usage: emergency-rollback") && out.contains("--mode"),
        "{out}"
    );
    let (code, _, err) = told(&program(&link, &["--mode", "full"]).output().unwrap());
    assert_eq!(code, 64);
    assert!(err.contains("--reason TEXT"), "{err}");
    let (code, _, err) = told(
        &program(
            &link,
            &["--mode", "ingress", "--percentage", "50", "--reason", "x"],
        )
        .output()
        .unwrap(),
    );
    assert_eq!(code, 64);
    assert!(err.contains("--mode dual"), "{err}");
}

#[test]
fn a_file_may_be_named_as_kubectl_names_it() {
    for verb in ["validate", "plan"] {
        let start: &[&str] = if verb == "plan" {
            &["--start", "2026-03-02T08:00:00Z"]
        } else {
            &[]
        };
        let by_place = run(&[&[verb, "config/shop.yaml"], start].concat());
        let by_flag = run(&[&[verb, "-f", "config/shop.yaml"], start].concat());
        assert_eq!(by_place.0, 0, "{by_place:?}");
        assert_eq!(by_place, by_flag);
        let (code, _, err) = run(&[verb]);
        assert_eq!(code, 64, "{err}");
    }
}

#[test]
fn the_examples_are_valid_and_a_mistake_is_named_by_file_line_and_field() {
    let (code, out, err) = run(&[
        "validate",
        "config/sealos.yaml",
        "config/shop.yaml",
        "config/quiet.yaml",
        "config/gates.yaml",
    ]);
    assert_eq!(code, 0, "{out}{err}");
    // An example of its own: it moves the same shop.
    assert_eq!(run(&["validate", "config/checks.yaml"]).0, 0);
    assert!(
        out.contains("config/sealos.yaml: sealos is valid: 7 components"),
        "{out}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.yaml");
    let good =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/shop.yaml")).unwrap();
    std::fs::write(&path, good.replace("subset: v2", "subst: v2")).unwrap();
    let (code, out, err) = run(&["validate", path.to_str().unwrap()]);
    assert_eq!(code, 64, "{out}");
    assert!(
        out.contains("bad.yaml:13:") && out.contains("did you mean \"subset\""),
        "{out}"
    );
    assert!(err.contains("correct what is named above"), "{err}");
    let (code, out, _) = run(&["validate", path.to_str().unwrap(), "-o", "json"]);
    assert_eq!(code, 64, "{out}");
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["valid"], false);
    let problem = &told["files"][0]["problems"][0];
    assert_eq!(problem["line"], 13, "{told}");
    assert!(
        problem["message"].as_str().unwrap().contains("did you mean"),
        "{told}"
    );
    let (code, out, _) = run(&["validate", "config/shop.yaml", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["valid"]), (0, &serde_json::json!(true)), "{told}");
}

#[test]
fn a_plan_is_told_with_its_dates_and_its_catch() {
    let (code, out, err) = run(&["plan", "config/sealos.yaml", "--start", "2026-03-02T02:00:00Z"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("pilot") && out.contains("2026-03-02T02:00:00Z"),
        "{out}"
    );
    assert!(out.contains("alone it moves no request"), "{out}");
    let (code, out, _) = run(&["plan", "config/sealos.yaml", "-o", "json"]);
    assert_eq!(code, 0);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["steps"][0]["weight"], 5.0);
}

#[test]
fn standard_input_is_a_file_too() {
    let mut command = program(Path::new(PROGRAM), &["validate", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"kind: ConfigMap\napiVersion: v1\n")
        .unwrap();
    let (code, out, _) = told(&child.wait_with_output().unwrap());
    assert_eq!(code, 64, "nothing of ours in it");
    assert!(out.contains("standard input: holds no GradualRollout"), "{out}");
}

#[test]
fn output_that_is_no_terminal_has_no_colours_and_neither_has_one_with_no_color() {
    for extra in [None, Some(("NO_COLOR", "1"))] {
        let mut command = program(Path::new(PROGRAM), &["plan", "config/sealos.yaml"]);
        command.envs(extra);
        let (_, out, _) = told(&command.output().unwrap());
        assert!(!out.contains('\u{1b}'), "{out:?}");
    }
    let mut command = program(Path::new(PROGRAM), &["plan", "config/sealos.yaml"]);
    let (_, forced, _) = told(&command.env("CLICOLOR_FORCE", "1").output().unwrap());
    assert!(forced.contains('\u{1b}'), "colours are there to be switched off");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut command = program(Path::new(PROGRAM), &["generate", "crd"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let (code, _, err) = told(&child.wait_with_output().unwrap());
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn the_operators_role_is_enough_to_put_traffic_back_without_a_daemon() {
    let roles =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/roles.yaml")).unwrap();
    let operator: serde_json::Value = roles
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .find(|role: &serde_json::Value| role["metadata"]["name"] == "gradual-rollout-operator")
        .unwrap();
    for (group, resource, verbs) in [
        ("networking.istio.io", "virtualservices", vec!["get", "patch"]),
        (
            "gateway.networking.k8s.io",
            "httproutes grpcroutes tlsroutes tcproutes",
            vec!["get", "patch"],
        ),
        ("", "configmaps", vec!["get", "patch"]),
        ("apps", "deployments", vec!["get", "patch"]),
        ("coordination.k8s.io", "leases", vec!["get"]),
    ] {
        let resources: Vec<&str> = resource.split(' ').collect();
        let rule = serde_json::json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
        let granted = operator["rules"].as_array().unwrap().iter().any(|r| {
            ["apiGroups", "resources", "verbs"]
                .iter()
                .all(|field| r[field] == rule[field])
        });
        assert!(granted, "{rule}");
    }
}

#[test]
fn two_rollouts_that_claim_one_object_are_told_by_validate_whichever_files_they_stand_in() {
    let shop =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/shop.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let other = shop.replacen("name: shop", "name: second", 1);
    assert_ne!(other, shop);
    let (first, second) = (write("first.yaml", &shop), write("second.yaml", &other));
    let (code, out, err) = run(&["validate", &first, &second]);
    assert_eq!(code, 64, "{out}{err}");
    for part in [
        "second.yaml",
        "spec.components[shop].routers",
        "virtualservice",
        "first.yaml",
        "the older",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, out, _) = run(&["validate", &first, &second, "-o", "json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["valid"]), (64, &false.into()), "{told}");
    // In one file likewise; alone each is fine, and so are two that have nothing in common.
    let both = write("both.yaml", &format!("{shop}\n---\n{other}"));
    assert_eq!(run(&["validate", &both]).0, 64);
    assert_eq!(run(&["validate", &second]).0, 0);
    let apart = write(
        "apart.yaml",
        &other.replace("namespace: sealos-system", "namespace: elsewhere"),
    );
    assert_ne!(
        std::fs::read_to_string(&apart).unwrap(),
        other,
        "the example has a namespace"
    );
    assert_eq!(run(&["validate", &first, &apart]).0, 0);
    // The same resource twice is one resource, however often it is written down.
    assert_eq!(run(&["validate", &first, &first]).0, 0);
}

#[test]
fn a_list_as_kubectl_gives_it_is_read_item_by_item() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/shop.yaml");
    let shop: serde_json::Value = serde_saphyr::from_str(&std::fs::read_to_string(config).unwrap()).unwrap();
    let mut other = shop.clone();
    other["metadata"]["name"] = "other".into();
    other["spec"]["components"][0]["routers"] = serde_json::json!([{"istoi": {}}]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.yaml");
    let write = |items: serde_json::Value| {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items, "metadata": {"resourceVersion": ""}});
        std::fs::write(&path, serde_json::to_string_pretty(&list).unwrap()).unwrap();
    };
    write(serde_json::json!([shop]));
    let (code, out, err) = run(&["validate", path.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("shop is valid"), "{out}");
    let (code, out, err) = run(&["plan", path.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("EARLIEST"), "{out}");
    write(serde_json::json!([shop, other]));
    let (code, out, _) = run(&["validate", path.to_str().unwrap()]);
    assert_eq!(code, 64, "{out}");
    assert!(out.contains("did you mean \"istio\""), "{out}");
}
