//! `migrate convert` and `migrate explain` as people and scripts call them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const SHOP: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: ns-a}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: ns-a}
spec:
  ingressClassName: nginx
  rules:
  - host: shop.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
";

/// The same behind a password.
fn guarded() -> String {
    SHOP.replace(
        "name: shop,",
        "name: admin, annotations: {nginx.ingress.kubernetes.io/auth-type: basic},",
    )
    .replace("shop.example.com", "admin.example.com")
}

fn run(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"))
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program may end without reading it all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn objects_go_to_the_standard_output_and_the_report_beside_it() {
    let (code, out, told) = run(&["migrate", "convert", "-f", "-"], SHOP);
    assert_eq!(code, 0, "{told}");
    assert!(
        out.starts_with("apiVersion: networking.istio.io/v1\nkind: Gateway\n"),
        "{out}"
    );
    assert!(
        out.contains("web.ns-a.svc.cluster.local") && !out.contains("effect:"),
        "{out}"
    );
    assert!(told.contains("1 Ingresses, 1 paths: 1 converted"), "{told}");
    let (again, same, _) = run(&["migrate", "convert", "-f", "-"], SHOP);
    assert_eq!((again, same), (code, out), "the same bytes");
}

#[test]
fn a_folder_in_any_order_and_json_and_a_report_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("b.yaml"), SHOP).unwrap();
    std::fs::write(folder.path().join("a.yml"), guarded()).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "kind: [").unwrap();
    // Elsewhere: it ends in .json too.
    let beside = tempfile::tempdir().unwrap();
    let report = beside.path().join("report.json");
    let (folder, report) = (folder.path().to_str().unwrap(), report.to_str().unwrap());
    let arguments = [
        "migrate", "convert", "-f", folder, "-o", "json", "--report", report,
    ];
    let (code, out, told) = run(&arguments, "");
    assert_eq!(code, 4, "{told}");
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["kind"], "List");
    assert!(
        !out.contains("admin.example.com"),
        "refused things are never in the output: {out}"
    );
    assert!(told.starts_with("error: 1 of 2 paths were refused"), "{told}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(Path::new(report)).unwrap()).unwrap();
    let codes: Vec<&str> = report["ingresses"][0]["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["AUTH-BASIC"]);
    let (code, out, told) = run(
        &["migrate", "convert", "-f", folder, "--accept", "auth-basic"],
        "",
    );
    assert_eq!(code, 0, "{told}");
    assert!(
        out.contains("admin.example.com") && told.contains("accepted"),
        "{told}"
    );
}

#[test]
fn when_all_is_refused_nothing_is_written() {
    let (code, out, told) = run(&["migrate", "convert", "-f", "-"], &guarded());
    assert_eq!((code, out.as_str()), (3, ""), "{told}");
    assert!(told.contains("AUTH-BASIC") && told.contains("remedy:"), "{told}");
    let (code, _, told) = run(
        &["migrate", "convert", "-f", "-"],
        &format!("kind: Service\nspec: [\n---\n{SHOP}"),
    );
    assert_eq!(code, 4, "a broken document beside a good one: {told}");
    assert!(told.contains("standard input: document 1, line "), "{told}");
    for (given, says) in [
        (
            format!("kind: [\n---\n{SHOP}"),
            "standard input: document 1, line 1",
        ),
        (
            SHOP.replace("kind: Ingress", "kind: ingress"),
            "kind \"ingress\" is none",
        ),
        (
            SHOP.replace("{name: shop,", "{anotations: {}, name: shop,"),
            "metadata.anotations",
        ),
    ] {
        let (code, out, told) = run(&["migrate", "convert", "-f", "-"], &given);
        assert_eq!((code, out.as_str()), (3, ""), "{told}");
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn wrong_usage_says_what_to_write() {
    for (arguments, input, says) in [
        (
            vec!["migrate", "convert", "-f", "-"],
            "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n",
            "no Ingress",
        ),
        (
            vec!["migrate", "convert", "-f", "-", "-o", "table"],
            SHOP,
            "-o yaml or -o json",
        ),
        (
            vec!["migrate", "convert", "-f", "-", "--accept", "AUTH-BASICS"],
            SHOP,
            "did you mean AUTH-BASIC?",
        ),
        (
            vec!["migrate", "convert", "-f", "-", "--accept", "PATH-PCRE"],
            SHOP,
            "cannot be accepted",
        ),
        (
            vec!["migrate", "convert", "-f", "-", "--gateway", "x"],
            SHOP,
            "no NAMESPACE/NAME",
        ),
        (
            vec!["migrate", "convert", "-f", "-", "--gateway", "Bad_NS/G.x"],
            SHOP,
            "--gateway",
        ),
        (
            vec!["migrate", "convert", "-f", "-", "--cluster-domain", "x y"],
            SHOP,
            "--cluster-domain",
        ),
        (
            vec!["migrate", "convert", "-f", "-", "--gateway-selector", "a=b c"],
            SHOP,
            "--gateway-selector",
        ),
        (
            vec!["migrate", "convert", "-f", "-", "--controller-config", "ns/typo"],
            SHOP,
            "ns/typo: this ConfigMap is not among what was read",
        ),
        (
            vec!["migrate", "explain", "NOTHING-LIKE-IT"],
            "",
            "`migrate explain list`",
        ),
    ] {
        let (code, out, told) = run(&arguments, input);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}: {told}");
        assert!(told.contains(says), "{arguments:?}: {told}");
    }
}

#[test]
fn without_a_file_a_cluster_is_read_and_without_either_it_says_so() {
    let (code, out, told) = run(&["migrate", "convert"], "");
    assert_eq!((code, out.as_str()), (69, ""), "{told}");
    assert!(told.contains("found no cluster"), "{told}");
}

#[test]
fn codes_are_explained() {
    let (code, out, _) = run(&["migrate", "explain", "auth-basic"], "");
    assert_eq!(code, 0);
    assert!(
        out.starts_with("AUTH-BASIC: refused (blocker, a security control)"),
        "{out}"
    );
    assert!(out.contains("--accept AUTH-BASIC"), "{out}");
    let (_, out, _) = run(&["migrate", "explain", "list", "-o", "json"], "");
    let all: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
    assert!(
        all.len() > 80 && all.iter().all(|one| one["remedy"].is_string()),
        "{out}"
    );
}

#[test]
fn a_report_replaces_nothing_that_is_read_and_comes_before_the_objects() {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop.yaml");
    std::fs::write(&shop, SHOP).unwrap();
    let (folder, shop) = (folder.path().to_str().unwrap(), shop.to_str().unwrap());
    for named in [shop, folder] {
        let (code, out, told) = run(&["migrate", "convert", "-f", named, "--report", shop], "");
        assert_eq!((code, out.as_str()), (64, ""), "{told}");
        assert!(told.contains("would replace"), "{told}");
    }
    assert_eq!(std::fs::read_to_string(shop).unwrap(), SHOP);
    let nowhere = format!("{folder}/no/such/report.json");
    let (code, out, told) = run(&["migrate", "convert", "-f", shop, "--report", &nowhere], "");
    assert!(
        code != 0 && out.is_empty(),
        "objects without their report: {told}"
    );
    let (code, out, _) = run(&["migrate", "convert", "-f", shop, "--report", "/dev/null"], "");
    assert!(code == 0 && out.contains("VirtualService"));
}

#[test]
fn a_controllers_flag_is_taken_as_the_controller_has_it() {
    let arguments = [
        "migrate",
        "convert",
        "-f",
        "-",
        "--controller-flag",
        "--enable-ssl-passthrough",
    ];
    let (code, _, told) = run(&arguments, SHOP);
    assert_eq!(code, 0, "{told}");
}

#[test]
fn what_refuses_without_a_path_is_counted_too() {
    let without = SHOP.replace("ingress-nginx", "x").replace(
        "{name: shop,",
        "{name: shop, annotations: {nginx.ingress.kubernetes.io/canary: 'true'},",
    );
    let two =
        "kind: ConfigMap\napiVersion: v1\nmetadata: {name: ingress-nginx-controller, namespace: NS}\n---\n";
    let input = format!("{}{}{without}", two.replace("NS", "a"), two.replace("NS", "b"));
    let (code, _, told) = run(&["migrate", "convert", "-f", "-"], &input);
    assert_eq!(code, 3, "{told}");
    assert!(
        told.contains("1 findings about Ingresses or the controller"),
        "{told}"
    );
}

#[test]
fn what_cannot_be_done_with_the_command_line_is_told_before_anything_is_converted() {
    let (code, out, told) = run(&["migrate", "convert", "-f", "-", "-n", "ns-b"], SHOP);
    assert_eq!((code, out.as_str()), (64, ""), "{told}");
    assert!(
        told.contains("--namespace ns-b") && told.contains("--file"),
        "{told}"
    );
    let nowhere = [
        "migrate",
        "convert",
        "-f",
        "-",
        "--report",
        "/nonexistent/report.json",
    ];
    let (code, out, told) = run(&nowhere, SHOP);
    assert_eq!((code, out.as_str()), (64, ""), "{told}");
    assert!(
        told.contains("/nonexistent/report.json cannot be written"),
        "{told}"
    );
}

#[test]
fn a_command_of_the_documents_tells_what_it_is_now_and_does_just_that() {
    for (older, now) in [
        (
            "cutover --step disable-ingress --ingress-class inner",
            "migrate block --mode deny --class inner",
        ),
        (
            "cutover --step cleanup --dir none --identity none.txt -n ns-a",
            "migrate cleanup --dir none --identity none.txt -n ns-a",
        ),
        ("migrate test-suite cors", "migrate probe --suite cors"),
        (
            "minio --domain s3.a.com --certificate ns-a/s3",
            "migrate loadbalancer migrate object-storage --domain s3.a.com --certificate ns-a/s3 -n objectstorage-system",
        ),
        (
            "tenant ada --domain a.com",
            "migrate tenant create ada --domain a.com",
        ),
    ] {
        let split = |line: &str| -> Vec<String> { line.split(' ').map(ToOwned::to_owned).collect() };
        let ask = |line: &str| {
            let words = split(line);
            run(&words.iter().map(String::as_str).collect::<Vec<_>>(), "")
        };
        let (code, out, told) = ask(older);
        let (first, rest) = told.split_once('\n').unwrap();
        assert_eq!(first, format!("this is now: gradual-rollout {now}"));
        let (wanted, same, alone) = ask(now);
        assert_ne!(wanted, 0, "there is no cluster here");
        assert_eq!((code, out, rest), (wanted, same, alone.as_str()), "{older}");
        assert!(!rest.contains("unexpected argument"), "{older}: {rest}");
    }
}
