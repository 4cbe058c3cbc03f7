//! What is broken gets its code, and the rest proceeds.

use crate::envoy::get;
use crate::given::{Ingress, config, convert_all, convert_objects, convert_text, convert_with, service};
use gradual_rollout_migration::convert::Options;
use gradual_rollout_migration::report::{CODES, Outcome};
use serde_json::json;

#[test]
fn a_broken_document_and_the_rest() {
    let good = json!([
        service("a/s"),
        Ingress::new("a/x").path("a.com", "Prefix", "/", "s").0
    ]);
    let text = format!(
        "kind: Service\nspec: [\n---\n{}\n---\n{}\n---\nkind: Ingress\napiVersion: networking.k8s.io/v1\nmetadata: {{name: y}}\nspec: {{rules: 7}}\n",
        good[0], good[1]
    );
    let done = convert_text(&text, &Options::default());
    assert_eq!(done.answer(&get("a.com", "/")), "s /");
    let told: Vec<&str> = done
        .conversion
        .report
        .input
        .iter()
        .map(|input| input.entry.code.text())
        .collect();
    assert_eq!(told, ["BROKEN-DOCUMENT", "BROKEN-OBJECT"]);
    assert!(done.conversion.report.refused());
    let report = done.conversion.report.to_string();
    assert!(
        report.contains("given.yaml: document 1, line ") && report.contains("spec.rules"),
        "{report}"
    );
}

#[test]
fn ingresses_without_anything_to_serve() {
    let mut ruleless = Ingress::new("a/rules");
    ruleless.0["spec"]["rules"] = json!([{"host": "a.com"}]);
    let done = convert_all(&[Ingress::new("a/empty"), ruleless]);
    assert!(done.told("empty", "EMPTY-INGRESS"));
    assert!(done.told("rules", "RULE-WITHOUT-PATHS"));
}

#[test]
fn back_ends_that_are_none() {
    let resource = json!({"resource": {"apiGroup": "x", "kind": "Bucket", "name": "b"}});
    let external = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "a", "name": "e"},
        "spec": {"type": "ExternalName", "externalName": "x.org"}});
    let mut default = Ingress::new("a/d").path("b.com", "Prefix", "/", "s");
    default.0["spec"]["defaultBackend"] = resource.clone();
    let ingress = Ingress::new("a/x")
        .path_to("a.com", "Prefix", "/r", resource)
        .path_to("a.com", "Prefix", "/n", json!({}))
        .path("a.com", "Prefix", "/e", "e")
        .path("a.com", "Prefix", "/s", "s");
    let done = convert_with(&[ingress, default], &[external], &Options::default());
    for code in ["RESOURCE-BACKEND", "BACKEND-MISSING", "EXTERNAL-NAME"] {
        assert!(done.told("x", code), "{code}");
    }
    assert!(done.told("d", "RESOURCE-BACKEND"));
    assert_eq!(done.answer(&get("a.com", "/s")), "s /s");
    assert_eq!(done.answer(&get("b.com", "/")), "s /");
}

#[test]
fn a_missing_service_can_be_accepted_where_its_port_is_a_number() {
    let ingress = Ingress::new("a/x").path("a.com", "Prefix", "/", "s");
    let alone = [ingress.0];
    assert!(
        convert_objects(&alone, &Options::default())
            .conversion
            .objects
            .is_empty()
    );
    let done = convert_objects(&alone, &crate::given::accepting(&["SERVICE-MISSING"]));
    assert_eq!(done.answer(&get("a.com", "/")), "s /");
}

#[test]
fn a_port_that_a_missing_service_alone_could_tell_closes_its_path_whatever_is_accepted() {
    let backend = json!({"service": {"name": "gone", "port": {"name": "web"}}});
    let guarded = Ingress::new("a/x").path_to("a.com", "Prefix", "/admin", backend);
    let open = Ingress::new("a/y").path("a.com", "Prefix", "/", "s");
    for codes in [&[][..], &["SERVICE-MISSING"]] {
        let options = crate::given::accepting(codes);
        let done = convert_objects(&[guarded.0.clone(), open.0.clone(), service("a/s")], &options);
        assert!(!done.told("x", "PATH-SHADOWED"), "{codes:?}");
        let result = done
            .conversion
            .report
            .ingresses
            .iter()
            .find(|result| result.name == "x");
        assert_eq!(result.unwrap().outcome, Outcome::Refused, "{codes:?}");
        assert_eq!(done.answer(&get("a.com", "/admin/x")), "503", "{codes:?}");
        assert_eq!(done.answer(&get("a.com", "/x")), "s /x", "{codes:?}");
    }
}

#[test]
fn what_is_accepted_of_one_ingress_is_not_accepted_of_another() {
    let of = |name: &str, host: &str| {
        let key = format!("a/{name}");
        let ingress = Ingress::new(&key).note("proxy-body-size", "1m");
        ingress.path(host, "Prefix", "/", "s").0
    };
    let both = [of("x", "a.com"), of("y", "b.com")];
    let codes = crate::given::accepting(&["SERVICE-MISSING", "BODY-LIMIT"]).accept;
    let options = Options {
        accepted: [(("a".to_owned(), "x".to_owned()), codes)].into(),
        ..Options::default()
    };
    let done = convert_objects(&both, &options);
    assert_eq!(done.answer(&get("a.com", "/")), "s /");
    for (name, accepted) in [("x", true), ("y", false)] {
        let all = &done.conversion.report.ingresses;
        let result = all.iter().find(|result| result.name == name).unwrap();
        assert_eq!(result.outcome == Outcome::Refused, !accepted, "{name}");
        let told = result.entries.iter().filter(|entry| entry.accepted).count();
        assert_eq!(told, if accepted { 2 } else { 0 }, "{result:?}");
    }
}

#[test]
fn secrets_that_are_missing_or_empty() {
    let ingress = |secret: &str| {
        Ingress::new("a/x")
            .tls(&["a.com"], secret)
            .path("a.com", "Prefix", "/", "s")
    };
    let empty = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "a", "name": "t"}, "type": "kubernetes.io/tls"});
    let done = convert_with(&[ingress("t")], &[empty], &Options::default());
    assert!(done.told("x", "TLS-SECRET-INVALID") && done.told("x", "TLS-DEFAULT-CERTIFICATE"));
    assert_eq!(
        done.answer(&get("a.com", "/")),
        "none",
        "never in clear what was redirected, and not to where nobody is"
    );
    let done = convert_objects(&[ingress("t").0, service("a/s")], &Options::default());
    assert!(done.told("x", "TLS-SECRET-MISSING"));
}

#[test]
fn names_and_hosts_that_are_too_long_or_none() {
    let long = format!("a/{}", "n".repeat(200));
    let host = format!("{}.{}.com", "a".repeat(60), "b".repeat(60));
    let done = convert_all(&[Ingress::new(&long).path(&host, "Prefix", "/", "s")]);
    let service = done.objects("VirtualService")[0];
    assert!(service["metadata"]["name"].as_str().unwrap().len() <= 63);
    let done = convert_all(&[Ingress::new("a/x")
        .path("a.*.com", "Prefix", "/", "s")
        .path("b.com", "Prefix", "/", "s")]);
    assert!(done.told("x", "HOST-INVALID"));
    assert_eq!(done.answer(&get("b.com", "/")), "s /");
}

#[test]
fn paths_that_are_sent_encoded_or_no_paths() {
    let done = convert_all(&[Ingress::new("a/x")
        .path("a.com", "Prefix", "/a b", "s")
        .path("a.com", "Prefix", "b", "s")
        .path("a.com", "Prefix", "/ok", "s")]);
    assert!(done.told("x", "PATH-ENCODING") && done.told("x", "PATH-INVALID"));
    assert_eq!(done.answer(&get("a.com", "/ok")), "s /ok");
}

#[test]
fn annotations_are_never_lost_in_silence() {
    let done = convert_all(&[Ingress::new("a/x")
        .note("no-such-thing", "1")
        .note("use-regex", "maybe")
        .note("cert-manager.io/cluster-issuer", "le")
        .note("external-dns.alpha.kubernetes.io/hostname", "a.com")
        .note("meta.helm.sh/release-name", "r")
        .note("example.org/x", "y")
        .path("a.com", "Prefix", "/", "s")]);
    for code in [
        "UNKNOWN-ANNOTATION",
        "INVALID-VALUE",
        "CERT-MANAGER",
        "EXTERNAL-DNS",
        "MANAGED-ELSEWHERE",
        "FOREIGN-ANNOTATION",
    ] {
        assert!(done.told("x", code), "{code}");
    }
}

#[test]
fn what_does_nothing_without_another_annotation_is_told() {
    for (notes, wanted) in [
        (vec![("permanent-redirect-code", "301")], "InertAnnotation"),
        (
            vec![("canary", "false"), ("canary-weight", "3")],
            "InertAnnotation",
        ),
        (
            vec![("enable-cors", "false"), ("cors-max-age", "3")],
            "InertAnnotation",
        ),
        (vec![("upstream-hash-by-subset", "true")], "InertAnnotation"),
        (
            vec![("affinity", "cookie"), ("load-balance", "ewma")],
            "InertAnnotation",
        ),
        (
            vec![
                ("allowlist-source-range", "::1"),
                ("whitelist-source-range", "::1"),
            ],
            "InertAnnotation",
        ),
        (
            vec![("enable-cors", "true"), ("cors-odd", "3")],
            "UnknownAnnotation",
        ),
    ] {
        let mut ingress = Ingress::new("a/x").path("a.com", "Prefix", "/", "s");
        for (name, value) in &notes {
            ingress = ingress.note(name, value);
        }
        let done = convert_all(&[ingress]);
        let told = done
            .ingress("x")
            .entries
            .iter()
            .any(|entry| format!("{:?}", entry.code) == wanted);
        assert!(told, "{notes:?}: {:?}", done.ingress("x").entries);
    }
}

#[test]
fn owners_and_classes() {
    let mut owned = Ingress::new("a/owned").path("a.com", "Prefix", "/", "s");
    owned.0["metadata"]["ownerReferences"] = json!([{"kind": "App", "name": "x"}]);
    let mut other = Ingress::new("a/other").path("b.com", "Prefix", "/", "s");
    other.0["spec"]["ingressClassName"] = "haproxy".into();
    let mut none = Ingress::new("a/none").path("c.com", "Prefix", "/", "s");
    none.0["spec"].as_object_mut().unwrap().remove("ingressClassName");
    let mut legacy = Ingress::new("a/legacy")
        .note("kubernetes.io/ingress.class", "haproxy")
        .path("d.com", "Prefix", "/", "s");
    legacy.0["spec"]
        .as_object_mut()
        .unwrap()
        .remove("ingressClassName");
    // The controller looks at the annotation only where there is no field.
    let both = Ingress::new("a/both")
        .note("kubernetes.io/ingress.class", "haproxy")
        .path("e.com", "Prefix", "/", "s");
    let done = convert_all(&[owned, other, none, legacy, both]);
    assert!(done.told("owned", "MANAGED-ELSEWHERE"));
    assert!(done.told("other", "OTHER-CLASS") && done.told("legacy", "OTHER-CLASS"));
    assert_eq!(done.answer(&get("b.com", "/")), "none");
    assert!(!done.told("both", "OTHER-CLASS"));
    assert_ne!(done.answer(&get("e.com", "/")), "none");
    assert!(done.told("none", "NO-CLASS"));
    assert_eq!(done.ingress("other").paths[0].outcome, Outcome::Dropped);
}

#[test]
fn the_controllers_flags_and_config_map_are_not_guessed_in_silence() {
    let watching = Options {
        controller_flags: vec!["--watch-namespace=b".to_owned()],
        ..Options::default()
    };
    let ingress = Ingress::new("a/x").path("a.com", "Prefix", "/", "s");
    let done = convert_with(&[ingress], &[], &watching);
    assert!(done.told("x", "NOT-WATCHED") && done.conversion.objects.is_empty());
    let mut second = config(json!({}));
    second["metadata"]["namespace"] = "other".into();
    let done = convert_with(&[], &[config(json!({})), second], &Options::default());
    let told = |code: &str| {
        done.conversion
            .report
            .controller
            .iter()
            .any(|entry| entry.code.text() == code)
    };
    assert!(told("CONTROLLER-AMBIGUOUS"));
}

#[test]
fn custom_headers_come_from_their_config_map() {
    let headers = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "a", "name": "h"}, "data": {"X-A": "1"}});
    let ingress = Ingress::new("a/x")
        .note("custom-headers", "a/h")
        .path("a.com", "Prefix", "/", "s");
    let allowed = config(json!({"global-allowed-response-headers": "X-A"}));
    let done = convert_with(
        std::slice::from_ref(&ingress),
        &[headers.clone(), allowed],
        &Options::default(),
    );
    assert_eq!(
        done.route(&get("a.com", "/")).unwrap()["headers"]["response"]["set"],
        json!({"x-a": "1"})
    );
    let done = convert_with(&[ingress], &[headers], &Options::default());
    assert!(done.told("x", "CUSTOM-HEADERS") && done.conversion.objects.is_empty());
}

#[test]
fn every_setting_of_the_controller_is_converted_or_told() {
    let done = convert_with(
        &[],
        &[config(
            json!({"custom-http-errors": "404", "ssl-redirect": "true", "odd": "1"}),
        )],
        &Options::default(),
    );
    let fields: Vec<&str> = done
        .conversion
        .report
        .controller
        .iter()
        .map(|entry| entry.field.as_str())
        .collect();
    assert!(
        fields.contains(&"data.custom-http-errors")
            && fields.contains(&"data.odd")
            && !fields.contains(&"data.ssl-redirect")
    );
    assert!(CODES.len() > 80);
}

#[test]
fn many_objects_that_are_not_read_are_one_line_of_the_report() {
    let pod = |name: &str, kind: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"namespace": "a", "name": name}});
    let said = |pods: usize| {
        let mut all: Vec<serde_json::Value> = (0..pods).map(|n| pod(&format!("p{n}"), "Pod")).collect();
        all.push(pod("b", "Namespace"));
        convert_objects(&all, &Options::default())
            .conversion
            .report
            .to_string()
    };
    let many = said(40);
    assert_eq!(many.matches("OTHER-KIND").count(), 1, "{many}");
    let line = "OTHER-KIND (41): objects of kinds that are not read: 1 of v1 Namespace, 40 of v1 Pod";
    assert!(many.contains(line), "{many}");
    let few = said(1);
    assert_eq!(few.matches("OTHER-KIND").count(), 2, "{few}");
}
