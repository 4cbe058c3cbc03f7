//! Whose settings count: the controller's ConfigMap, its flags, its classes, and what happens where they are not certain.

use crate::envoy::get;
use crate::given::{Done, Ingress, accepting, code_of, config, convert_objects, convert_with, service};
use gradual_rollout_migration::convert::Options;
use serde_json::{Value, json};

fn deployment(namespace: &str, arguments: &[&str]) -> Value {
    let mut words = vec!["/nginx-ingress-controller"];
    words.extend(arguments);
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": namespace, "name": "c"},
        "spec": {"template": {"spec": {"containers": [{"args": words}]}}}})
}

fn map(key: &str, data: Value) -> Value {
    let (namespace, name) = key.split_once('/').unwrap();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}, "data": data})
}

fn one() -> Ingress {
    Ingress::new("a/x").path("a.com", "Prefix", "/", "s")
}

fn with(more: &[Value]) -> Done {
    convert_objects(&[&[one().0, service("a/s")], more].concat(), &Options::default())
}

fn open(done: &Done) -> bool {
    done.answer(&get("a.com", "/")) == "s /"
}

fn controller_says(done: &Done, code: &str, text: &str) -> bool {
    let code = code_of(code);
    let mut entries = done.conversion.report.controller.iter();
    entries.any(|entry| {
        entry.code == code && format!("{} {} {}", entry.field, entry.value, entry.detail).contains(text)
    })
}

#[test]
fn the_config_map_that_the_deployment_names_counts() {
    let guard = map("in/my", json!({"global-auth-url": "http://auth"}));
    for flag in ["--configmap=in/my", "--configmap=$(POD_NAMESPACE)/my"] {
        assert!(
            !open(&with(&[deployment("in", &[flag]), guard.clone()])),
            "{flag}"
        );
    }
    assert!(!open(&with(&[
        deployment("in", &["--configmap", "in/my"]),
        guard.clone()
    ])));
    // The usual name is not the one that is named.
    assert!(open(&with(&[
        deployment("in", &["--configmap=in/other"]),
        guard,
        map("in/other", json!({}))
    ])));
}

#[test]
fn of_two_controllers_each_ones_ingresses_are_nginxs_and_none_is_taken_for_somebody_elses() {
    let inner = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "internal"},
        "spec": {"controller": "example.com/internal"}});
    let two = [
        deployment("in", &[]),
        deployment(
            "inner",
            &[
                "--ingress-class=internal",
                "--controller-class=example.com/internal",
            ],
        ),
        inner,
    ];
    for class in ["nginx", "internal"] {
        let mut ingress = one().0;
        ingress["spec"]["ingressClassName"] = json!(class);
        let objects = [&[ingress, service("a/s")], &two[..]].concat();
        let done = convert_objects(&objects, &Options::default());
        assert!(
            !done.told("x", "OTHER-CLASS") && done.told("x", "CONTROLLER-AMBIGUOUS"),
            "{class}"
        );
        let named = Options {
            ingress_class: Some(class.to_owned()),
            ..Options::default()
        };
        assert!(open(&convert_objects(&objects, &named)), "{class}");
    }
}

#[test]
fn where_the_config_map_is_not_certain_everything_is_refused() {
    let twice = [
        config(json!({"ssl-redirect": "true"})),
        config(json!({"global-auth-url": "http://auth"})),
    ];
    let mut second = config(json!({}));
    second["metadata"]["namespace"] = "other".into();
    let two = [config(json!({})), second];
    let missing = [deployment("in", &["--configmap=in/my"])];
    for more in [&twice[..], &two[..], &missing[..]] {
        let done = with(more);
        assert!(!open(&done) && done.told("x", "CONTROLLER-AMBIGUOUS"), "{more:?}");
        assert!(done.conversion.report.refused());
    }
    let all = [&[one().0, service("a/s")], &two[..]].concat();
    assert!(open(&convert_objects(
        &all,
        &accepting(&["CONTROLLER-AMBIGUOUS"])
    )));
    let named = |name: &str| Options {
        controller_config: Some(("other".to_owned(), name.to_owned())),
        ..Options::default()
    };
    assert!(open(&convert_objects(&all, &named("ingress-nginx-controller"))));
    assert!(!open(&convert_objects(&all, &named("typo"))));
}

#[test]
fn a_prefix_with_a_slash_is_the_prefix() {
    let guard = Ingress::new("a/x")
        .note("my.org/auth-url", "http://auth")
        .path("a.com", "Prefix", "/", "s");
    for (prefix, flag) in [
        (Some("my.org/"), None),
        (None, Some("annotations-prefix=my.org/")),
    ] {
        let options = Options {
            annotations_prefix: prefix.map(ToOwned::to_owned),
            controller_flags: flag.map(ToOwned::to_owned).into_iter().collect(),
            ..Options::default()
        };
        let done = convert_with(std::slice::from_ref(&guard), &[], &options);
        assert!(done.told("x", "AUTH-URL"), "{options:?}");
    }
}

#[test]
fn annotations_of_the_usual_prefix_block_where_another_is_in_force() {
    let guard = one().note("auth-url", "http://auth");
    let options = Options {
        annotations_prefix: Some("my.org".to_owned()),
        ..Options::default()
    };
    let done = convert_with(&[guard], &[], &options);
    assert!(done.told("x", "ANNOTATION-PREFIX") && !open(&done));
}

#[test]
fn controllers_that_disagree_refuse_everything_unless_the_class_tells_them_apart() {
    let (one_of, other) = (
        deployment("one", &["--ingress-class=nginx"]),
        deployment("two", &["--ingress-class=inner", "--annotations-prefix=my.org"]),
    );
    let both = [one_of.clone(), other];
    let done = with(&both);
    assert!(!open(&done) && done.told("x", "CONTROLLER-AMBIGUOUS"));
    let all = [&[one().0, service("a/s")], &both[..]].concat();
    let options = Options {
        ingress_class: Some("nginx".to_owned()),
        ..Options::default()
    };
    assert!(open(&convert_objects(&all, &options)));
    assert!(open(&with(&[one_of.clone(), one_of])), "the same one twice");
    // What nothing here depends on may differ.
    let noise = [
        deployment("one", &["--election-id=a"]),
        deployment("two", &["--election-id=b"]),
    ];
    assert!(open(&with(&noise)));
}

#[test]
fn flags_whose_effect_is_lost_are_told() {
    let lost = [
        "--default-backend-service=a/b",
        "--tcp-services-configmap=a/b",
        "--disable-catch-all",
        "--watch-namespace=a",
    ];
    let done = with(&[deployment("in", &lost)]);
    for flag in [
        "default-backend-service",
        "tcp-services-configmap",
        "disable-catch-all",
        "watch-namespace",
    ] {
        assert!(controller_says(&done, "CONTROLLER-SETTING", flag), "{flag}");
    }
}

#[test]
fn namespaces_that_are_selected_by_labels_are_converted_only_by_whoever_says_which_they_are() {
    let selects = deployment("in", &["--watch-namespace-selector=tenant=yes"]);
    let done = with(std::slice::from_ref(&selects));
    assert!(!open(&done) && done.told("x", "NAMESPACE-SELECTOR"));
    let objects = [one().0, service("a/s"), selects];
    assert!(open(&convert_objects(
        &objects,
        &accepting(&["NAMESPACE-SELECTOR"])
    )));
}

#[test]
fn values_that_cannot_be_read_are_told() {
    let odd = json!({"ssl-redirect": "yes", "hsts-max-age": "long", "http-redirect-code": "399", "use-forwarded-headers": "maybe"});
    let done = with(&[config(odd.clone())]);
    for key in odd.as_object().unwrap().keys() {
        assert!(controller_says(&done, "INVALID-VALUE", key), "{key}");
    }
}

#[test]
fn a_switch_that_is_off_is_off_however_it_is_written() {
    assert!(open(&with(&[config(json!({"enable-modsecurity": "False"}))])));
    assert!(!open(&with(&[config(json!({"enable-modsecurity": "True"}))])));
    assert!(!open(&with(&[config(json!({"whitelist-source-range": ","}))])));
}

#[test]
fn a_class_in_two_words_and_classes_of_the_controller() {
    assert!(open(&with(&[deployment("in", &["--ingress-class", "nginx"])])));
    let class = |name: &str, controller: &str| json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": name}, "spec": {"controller": controller}});
    let mut public = one();
    public.0["spec"]["ingressClassName"] = "nginx-public".into();
    let objects = [
        public.0,
        service("a/s"),
        class("nginx-public", "k8s.io/ingress-nginx"),
    ];
    assert!(open(&convert_objects(&objects, &Options::default())));
    // By its name alone where the controller is told so.
    for (flag, wanted) in [
        ("--ingress-class-by-name", true),
        ("--ingress-class-by-name=false", false),
    ] {
        let done = with(&[class("nginx", "my.org/other"), deployment("in", &[flag])]);
        assert_eq!(open(&done), wanted, "{flag}");
    }
    let done = with(&[class("nginx", "nginx.org/ingress-controller")]);
    assert!(!open(&done) && done.told("x", "OTHER-CLASS"));
    let strict = Options {
        ingress_class: Some("nginx".to_owned()),
        ..Options::default()
    };
    assert!(!open(&convert_objects(&objects, &strict)));
}

#[test]
fn the_default_certificate_is_in_the_controllers_namespace() {
    let certified = one().tls(&["a.com"], "");
    let objects = [
        certified.0,
        service("a/s"),
        deployment("in", &["--default-ssl-certificate=$(POD_NAMESPACE)/wild"]),
    ];
    let done = convert_objects(&objects, &Options::default());
    assert!(done.says("in-wild"), "{:?}", done.conversion.objects);
    let unknown = Options {
        controller_flags: vec!["--default-ssl-certificate=$(POD_NAMESPACE)/wild".to_owned()],
        ..Options::default()
    };
    let done = convert_with(&[one()], &[], &unknown);
    assert!(controller_says(&done, "INVALID-VALUE", "default-ssl-certificate"));
}

#[test]
fn values_of_secrets_are_never_told() {
    for secret in [
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "a", "name": "t"}, "stringData": {"password": 48_151_623}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "a", "name": "t"}, "data": "TOPSECRET48151623"}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": "TOPSECRET48151623"}),
        json!({"apiVersion": "v1", "kind": "Secret", "type": 48_151_623, "metadata": {"namespace": "a", "name": "t"}}),
    ] {
        let done = with(std::slice::from_ref(&secret));
        let report = format!("{:?}\n{}", done.conversion.report, done.conversion.report);
        assert!(
            report.contains("BROKEN-OBJECT") && !report.contains("48151623"),
            "{secret}: {report}"
        );
    }
}

#[test]
fn owners_of_gitops_tools_are_told() {
    for label in [
        "kustomize.toolkit.fluxcd.io/name",
        "helm.toolkit.fluxcd.io/name",
        "argocd.argoproj.io/instance",
    ] {
        let mut owned = one();
        owned.0["metadata"]["labels"] = json!({label: "app"});
        let done = convert_with(&[owned], &[], &Options::default());
        assert!(done.told("x", "MANAGED-ELSEWHERE"), "{label}");
    }
}
