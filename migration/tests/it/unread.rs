//! What cannot be read may be what says how the controller serves, and what a mistyped field meant may be a guard: both close.

use crate::envoy::get;
use crate::given::{Done, Ingress, accepting, convert_objects, convert_text, service};
use gradual_rollout_migration::convert::{GatewayApi, Options, Target};
use serde_json::{Value, json};

fn guarded() -> Ingress {
    Ingress::new("a/x").path("a.com", "Prefix", "/", "s")
}

/// An open Ingress beside a document as it is written.
fn beside(document: &str, options: &Options) -> Done {
    let ingress = guarded().0;
    convert_text(
        &format!("{ingress}\n---\n{}\n---\n{document}\n", service("a/s")),
        options,
    )
}

fn open(done: &Done) -> bool {
    done.answer(&get("a.com", "/")) == "s /"
}

fn doubt(done: &Done) -> String {
    let mut entries = done.conversion.report.controller.iter();
    let doubt = entries.find(|entry| entry.code.text() == "CONTROLLER-AMBIGUOUS");
    doubt.map_or_else(String::new, |entry| {
        format!("{} {} {}", entry.field, entry.value, entry.detail)
    })
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ingress-nginx-controller\n  namespace: ingress-nginx\ndata:\n";

#[test]
fn what_is_broken_and_may_say_how_the_controller_serves_closes_everything_and_names_its_line() {
    for (broken, line, seems) in [
        (
            format!("{MAP}  global-auth-url: \"http://auth\n  server-tokens: \"false\"\n"),
            "",
            "ConfigMap ingress-nginx-controller",
        ),
        (
            format!("{MAP}\tglobal-auth-url: http://auth\n"),
            "document 3, line 11",
            "ConfigMap ingress-nginx-controller",
        ),
        (
            "kind: ConfigMap\nmetadata: {name: other\n".to_owned(),
            "",
            "ConfigMap other",
        ),
        ("kind: configmap\ndata: [\n".to_owned(), "", "configmap"),
        ("kind: Deployment\nspec: [\n".to_owned(), "", "Deployment"),
        ("kind: DaemonSet\nspec: [\n".to_owned(), "", "DaemonSet"),
        ("kind: IngressClass\nspec: [\n".to_owned(), "", "IngressClass"),
        ("kind: List\nitems: [\n".to_owned(), "", "List"),
        ("kind: [\n".to_owned(), "", "not known which kind"),
        ("data: [\n".to_owned(), "", "not known which kind"),
        (
            "kind: Service\nspec: {}\nkind: ConfigMap\n".to_owned(),
            "",
            "not known which kind",
        ),
        ("{\"kind\": \"Service\",\n".to_owned(), "", "not known which kind"),
    ] {
        for target in [Target::Istio, Target::GatewayApi(GatewayApi::default())] {
            let options = Options {
                target,
                ..Options::default()
            };
            let done = beside(&broken, &options);
            assert!(done.told("x", "CONTROLLER-AMBIGUOUS"), "{broken}");
            assert!(done.conversion.objects.is_empty(), "{broken}");
            let doubt = doubt(&done);
            assert!(doubt.contains(line) && doubt.contains(seems), "{doubt}");
            assert!(doubt.contains("given.yaml: document 3, line "), "{doubt}");
            assert!(doubt.contains("Correct it at that line"), "{doubt}");
        }
        assert!(
            open(&beside(&broken, &accepting(&["CONTROLLER-AMBIGUOUS"]))),
            "{broken}"
        );
    }
}

#[test]
fn a_broken_document_that_is_plainly_something_else_closes_nothing() {
    for kind in ["Service", "Ingress", "Secret", "Pod"] {
        let done = beside(&format!("kind: {kind}\nspec: [\n"), &Options::default());
        assert!(open(&done) && done.conversion.report.refused(), "{kind}");
    }
}

#[test]
fn an_object_that_is_none_closes_everything_where_it_may_be_the_controllers() {
    let map = |name: &str, more: Value| {
        let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": "in", "name": name}, "data": {"global-auth-url": "http://auth"}});
        for (key, value) in more.as_object().unwrap() {
            map[key] = value.clone();
        }
        map
    };
    let usual = "ingress-nginx-controller";
    let class = |spec: Value| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": "nginx"}, "spec": spec})
    };
    let workload = json!({"apiVersion": "apps/v1", "kind": "deployment", "metadata": {"name": "c"},
        "spec": {"template": {"spec": {"containers": [{"args": ["/nginx-ingress-controller"]}]}}}});
    let given = |object: &Value, options: &Options| {
        convert_objects(&[guarded().0, service("a/s"), object.clone()], options)
    };
    for object in [
        map(usual, json!({"data": 7})),
        map(usual, json!({"apiVersion": "v2"})),
        map(usual, json!({"kind": "Configmap"})),
        map(usual, json!({"dat": {}})),
        map(usual, json!({"metadata": 7})),
        class(json!({"controller": 7})),
        workload,
        json!({"data": {}}),
        json!([{"kind": "ConfigMap"}]),
    ] {
        let done = given(&object, &Options::default());
        assert!(done.told("x", "CONTROLLER-AMBIGUOUS") && !open(&done), "{object}");
    }
    // Another ConfigMap is told, and nothing else.
    let other = map("shop", json!({"data": 7}));
    let done = given(&other, &Options::default());
    assert!(open(&done) && done.conversion.report.refused());
    let named = Options {
        controller_config: Some(("in".to_owned(), "shop".to_owned())),
        ..Options::default()
    };
    assert!(!open(&given(&other, &named)));
}

#[test]
fn a_field_that_no_ingress_has_closes_it() {
    let list = json!({"nginx.ingress.kubernetes.io/whitelist-source-range": "10.0.0.0/8"});
    for (at, name, told) in [
        ("/metadata", "anotations", "metadata.anotations"),
        ("", "annotations", "annotations"),
        ("/spec", "annotations", "spec.annotations"),
        ("/spec/rules/0", "hosts", "spec.rules[0].hosts"),
        (
            "/spec/rules/0/http/paths/0",
            "pathtype",
            "spec.rules[0].http.paths[0].pathtype",
        ),
        (
            "/spec/rules/0/http/paths/0/backend/service/port",
            "protocol",
            "spec.rules[0].http.paths[0].backend.service.port.protocol",
        ),
    ] {
        let mut ingress = guarded();
        ingress.0.pointer_mut(at).unwrap()[name] = list.clone();
        let given = |options: &Options| convert_objects(&[ingress.0.clone(), service("a/s")], options);
        let done = given(&Options::default());
        let entries = &done.ingress("x").entries;
        let entry = entries.iter().find(|entry| entry.code.text() == "UNKNOWN-FIELD");
        assert_eq!(entry.map(|entry| entry.field.as_str()), Some(told));
        assert!(!open(&done) && done.conversion.report.refused(), "{told}");
        assert!(open(&given(&accepting(&["UNKNOWN-FIELD"]))), "{told}");
    }
    let mut whole = guarded().0;
    for field in [
        "uid",
        "resourceVersion",
        "generation",
        "managedFields",
        "finalizers",
    ] {
        whole["metadata"][field] = json!([]);
    }
    whole["status"] = json!({"loadBalancer": {}});
    assert!(open(&convert_objects(
        &[whole, service("a/s")],
        &Options::default()
    )));
}

#[test]
fn an_ingress_whose_kind_is_written_otherwise_is_told_and_nothing_else_has_its_requests() {
    let mut other = Ingress::new("a/y").path("a.com", "Prefix", "/admin", "s").0;
    other["kind"] = "ingress".into();
    let done = convert_objects(&[guarded().0, service("a/s"), other], &Options::default());
    let input = &done.conversion.report.input;
    assert!(input.iter().any(|input| {
        input.entry.code.text() == "BROKEN-OBJECT" && input.entry.detail.contains("\"ingress\"")
    }));
    assert!(done.conversion.report.refused());
    assert!(open(&done));
    assert_eq!(done.answer(&get("a.com", "/admin/x")), "503");
}
