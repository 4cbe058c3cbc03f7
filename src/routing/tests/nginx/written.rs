//! What is written for nginx and what is read of it: annotations, prefixes, other people's objects, and the model.

use super::model::Client;
use super::*;
use crate::routing::{Code, Severity};

#[test]
fn the_model_chooses_by_session_then_header_then_cookie_then_weight() {
    let mut cluster = Cluster::new();
    let mut theirs = ingress("theirs", "one.example.com", "/", "next");
    let said = |name: &str, value: &str| (format!("nginx.ingress.kubernetes.io/{name}"), json!(value));
    theirs["metadata"]["annotations"] = [
        said("canary", "True"),
        said("canary-weight", "0"),
        said("canary-by-header", "x-new"),
        said("canary-by-cookie", "new"),
    ]
    .into_iter()
    .collect::<serde_json::Map<_, _>>()
    .into();
    cluster.annotate("one", "affinity", "cookie");
    cluster.add(theirs);
    let goes = |session: Option<&str>, header: Option<&str>, cookie: Option<&str>| {
        let of = |name: &str, value: Option<&str>| {
            value
                .map(|v| (name.to_owned(), v.to_owned()))
                .into_iter()
                .collect()
        };
        let client = Client {
            cookie: session.map(str::to_owned),
            headers: of("x-new", header),
            cookies: of("new", cookie),
        };
        let to = cluster.nginx().choose("one.example.com", "/", &client, 1);
        to.unwrap() == "apps-next-80"
    };
    assert!(!goes(None, None, None), "weight 0");
    assert!(goes(None, None, Some("always")));
    assert!(!goes(None, Some("never"), Some("always")));
    assert!(goes(None, Some("always"), Some("never")));
    assert!(goes(None, Some("other"), Some("always")));
    assert!(!goes(Some("apps-one-80"), Some("always"), Some("always")));
    assert!(goes(Some("apps-next-80"), Some("never"), Some("never")));
}

#[test]
fn nothing_that_is_written_lets_a_header_or_a_cookie_choose() {
    let mut cluster = Cluster::new();
    let shop = shop("");
    cluster.split(&shop, percent(50));
    let alias = cluster.canaries()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let nginx = cluster.nginx();
    let all: Vec<String> = ["canary", "always", "shop", "x-canary", alias.as_str()]
        .map(str::to_owned)
        .into();
    for value in ["always", "never"] {
        let told: std::collections::BTreeMap<_, _> =
            all.iter().map(|name| (name.clone(), value.to_owned())).collect();
        let client = Client {
            cookie: Some(format!("apps-{alias}-8081")),
            headers: told.clone(),
            cookies: told,
        };
        for draw in [1, 500, 501, 1000] {
            assert_eq!(
                nginx.choose("one.example.com", "/", &client, draw),
                nginx.choose("one.example.com", "/", &Client::default(), draw),
                "{value} {draw}"
            );
        }
    }
}

#[test]
fn under_another_prefix_of_annotations_everything_is_read_and_written_by_it() {
    let shop = shop("    annotationsPrefix: corp.example.com\n");
    let mut cluster = Cluster::new();
    let one = cluster.first("Ingress", "one");
    one["spec"].as_object_mut().unwrap().remove("ingressClassName");
    one["metadata"]["annotations"] = json!({
        "kubernetes.io/ingress.class": "corp",
        "nginx.ingress.kubernetes.io/affinity": "cookie",
    });
    assert!(
        cluster.blockers(&shop).is_empty(),
        "of another controller's prefix"
    );
    cluster.split(&shop, permille(125));
    let made = cluster.canaries()[0];
    let annotations = made["metadata"]["annotations"].as_object().unwrap();
    let said: Vec<(&str, &str)> = annotations
        .iter()
        .filter(|(key, _)| !key.starts_with("rollout.sealos.io/"))
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            ("corp.example.com/canary", "true"),
            ("corp.example.com/canary-weight", "125"),
            ("corp.example.com/canary-weight-total", "1000"),
            ("kubernetes.io/ingress.class", "corp"),
        ],
        "and the class where the primary has it"
    );
    let found = cluster.found(&shop);
    assert_eq!(found.targets[0].read(made).unwrap().weight, permille(125));
    let one = cluster.first("Ingress", "one");
    one["metadata"]["annotations"]["corp.example.com/affinity"] = "cookie".into();
    assert_eq!(cluster.blockers(&shop), ["Affinity"]);
}

#[test]
fn annotations_are_true_as_nginx_reads_them() {
    for yes in ["1", "t", "T", "TRUE", "true", "True"] {
        let mut cluster = Cluster::new();
        cluster.annotate("one", "ssl-passthrough", yes);
        assert_eq!(cluster.blockers(&shop("")), ["SslPassthrough"], "{yes}");
        let mut cluster = Cluster::new();
        cluster.annotate("one", "use-regex", yes);
        assert_eq!(cluster.blockers(&shop("")), ["UseRegex"], "{yes}");
        let mut cluster = Cluster::new();
        let mut theirs = ingress("theirs", "one.example.com", "/", "next");
        theirs["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/canary": yes});
        cluster.add(theirs);
        assert_eq!(cluster.blockers(&shop("")), ["ForeignCanary"], "{yes}");
    }
    for no in ["yes", "on", "tRUE", "0", "f", ""] {
        let mut cluster = Cluster::new();
        cluster.annotate("one", "ssl-passthrough", no);
        assert!(cluster.blockers(&shop("")).is_empty(), "{no}");
    }
}

#[test]
fn a_blocker_names_object_annotation_and_remedy() {
    let mut cluster = Cluster::new();
    cluster.annotate("one", "ssl-passthrough", "true");
    let shop = shop("");
    let found = cluster.found(&shop);
    let finding = found
        .findings
        .iter()
        .find(|f| f.code == Code::SslPassthrough)
        .unwrap();
    assert_eq!(finding.severity, Severity::Blocker);
    assert_eq!(finding.object, "ingress apps/one");
    assert_eq!(
        finding.field.as_deref(),
        Some("nginx.ingress.kubernetes.io/ssl-passthrough")
    );
    assert!(finding.remedy.contains("LB or DNS"));
    assert!(
        found
            .obstacle()
            .unwrap()
            .starts_with("SslPassthrough: ingress apps/one")
    );
}

#[test]
fn an_accept_that_names_nothing_is_an_error_and_not_a_silent_permission() {
    let cluster = Cluster::new();
    assert_eq!(
        cluster.blockers(&shop("    accept: [Afinity]\n")),
        ["AcceptUnknown"]
    );
    assert_eq!(
        cluster.blockers(&shop("    accept: [RouteMissing]\n")),
        ["AcceptUnknown"]
    );
}

#[test]
fn a_write_that_was_computed_before_a_rollback_cannot_land_after_it() {
    let mut cluster = Cluster::new();
    let shop = shop("");
    cluster.split(&shop, percent(5));
    let found = cluster.found(&shop);
    let read = cluster.canaries()[0].clone();
    let late = found.targets[0]
        .write(&read, &stamp("01E", percent(10)), WriteMode::Normal)
        .unwrap();
    // Deleted and made anew at 0 by somebody who knows nothing of the raise: another uid, another version.
    let mut anew = found.targets[0].births(&stamp("01F", Weight::ZERO)).remove(0);
    anew["metadata"]["uid"] = "another".into();
    anew["metadata"]["resourceVersion"] = "9".into();
    assert!(serve(&late, &mut anew).is_err());
    assert_eq!(anew["metadata"]["annotations"][WEIGHT], "0");
}

#[test]
fn an_ingress_that_is_not_ours_is_neither_read_nor_written_nor_deleted() {
    let mut cluster = Cluster::new();
    let shop = shop("");
    let name = cluster.found(&shop).targets[0].object().name.clone();
    cluster.add(ingress(&name, "x.example.com", "/", "x"));
    let theirs = cluster.first("Ingress", &name).clone();
    let found = cluster.found(&shop);
    let target = found.targets.iter().find(|t| t.object().name == name).unwrap();
    assert!(target.read(&theirs).is_err());
    let lower = target.lower(
        Some(&theirs),
        &stamp("01G", Weight::ZERO),
        Weight::ZERO,
        WriteMode::Normal,
    );
    let refused = lower.unwrap_err();
    assert_eq!(refused.category(), "NotOurs");
    assert!(
        refused.to_string().contains("not lowered"),
        "never told as done: {refused}"
    );
    assert!(found.findings.iter().any(|f| f.code == Code::NameTaken));
}

#[test]
fn a_canary_of_ours_whose_labels_somebody_replaced_is_found_by_its_mark_and_deleted() {
    for stray in [false, true] {
        let mut cluster = Cluster::new();
        let mut shop = shop("");
        cluster.split(&shop, percent(50));
        let name = cluster.canaries()[0]["metadata"]["name"]
            .as_str()
            .unwrap()
            .to_owned();
        let labels = json!({"app.kubernetes.io/managed-by": "Helm", "rollout.sealos.io/component": "x"});
        cluster.first("Ingress", &name)["metadata"]["labels"] = labels;
        // Somebody's copy of it carries our mark too, and leads to our alias.
        let mut copy = cluster.first("Ingress", &name).clone();
        copy["metadata"]["name"] = json!("copy");
        cluster.add(copy);
        if stray {
            shop = component(
                "- ingressNginx:\n    ingresses: {names: [other]}\n    gateway: {namespace: istio-system, service: gw, port: 8081, name: istio-system/split}\n",
            );
        }
        let object = cluster.first("Ingress", &name).clone();
        let found = cluster.found(&shop);
        let names: Vec<&str> = found.targets.iter().map(|t| t.object().name.as_str()).collect();
        assert_eq!(names, [name.as_str()], "stray: {stray}");
        let target = &found.targets[0];
        assert_eq!(target.is_stray(), stray);
        assert_eq!(target.read(&object).unwrap().weight, percent(50));
        let down = stamp("01G", Weight::ZERO);
        let lower = target.lower(Some(&object), &down, Weight::ZERO, WriteMode::Normal);
        assert!(matches!(lower, Ok(Write::Delete { .. })), "{lower:?}");
    }
}

#[test]
fn two_components_that_want_one_upstream_meet_at_one_object() {
    let cluster = Cluster::new();
    let (a, mut b) = (shop(""), shop(""));
    b.name = "other".into();
    let claims = |c: &Component| cluster.found(c).targets[0].claims();
    assert!(claims(&a)[0].overlaps(&claims(&b)[0]));
}
