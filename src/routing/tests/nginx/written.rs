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

/// What a component of this name finds in a cluster, as one of the resource apps/NAME.
fn seen_by(cluster: &Cluster, rollout: &str, name: &str) -> (usize, Vec<&'static str>, Vec<Made>) {
    let mut component = shop("");
    component.name = name.into();
    let found = found(
        &component,
        &Home::new("apps", rollout),
        &cluster.stock(&component),
    );
    let blocking = found.findings.iter().filter(|f| f.blocks());
    (
        found.targets.len(),
        blocking.map(|f| f.code.text()).collect(),
        found.sought.iter().map(|sought| sought.made).collect(),
    )
}

const ROLLOUT: &str = "rollout.sealos.io/rollout";

#[test]
fn a_canary_is_its_own_resources_though_another_has_a_component_of_that_name() {
    let mut cluster = Cluster::new();
    cluster.split(&shop(""), percent(5));
    let ours = (1, vec![], vec![Made::Canary]);
    let anothers = || (0, vec!["SplitByAnother"], vec![Made::Nothing]);
    assert_eq!(seen_by(&cluster, "demo", "shop"), ours);
    assert_eq!(seen_by(&cluster, "other", "shop"), anothers());
    assert_eq!(seen_by(&cluster, "demo", "cart"), anothers());
    let name = cluster.canaries()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    // One that says nothing of the resource is known by its component alone, and no other name's.
    cluster.first("Ingress", &name)["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(ROLLOUT);
    let traces = (1, vec![], vec![Made::Traces]);
    // Its alias still says it.
    assert_eq!(seen_by(&cluster, "demo", "shop"), traces);
    assert_eq!(seen_by(&cluster, "other", "shop"), anothers());
    let is_alias = |o: &Value| o["kind"] == "Service" && o["metadata"]["name"] == *name;
    let alias = cluster.objects.iter().find(|o| is_alias(o)).unwrap().clone();
    cluster.objects.retain(|o| !is_alias(o));
    for rollout in ["demo", "other"] {
        assert_eq!(seen_by(&cluster, rollout, "shop"), traces);
        assert_eq!(seen_by(&cluster, rollout, "cart"), anothers());
    }
    // The next write signs it.
    let component = shop("");
    let found = found(
        &component,
        &Home::new("apps", "other"),
        &cluster.stock(&component),
    );
    let object = cluster.first("Ingress", &name);
    let patch = found.targets[0].write(object, &stamp("01C", percent(10)), WriteMode::Normal);
    serve(&patch.unwrap(), object).unwrap();
    assert_eq!(object["metadata"]["annotations"][ROLLOUT], "apps/other");
    assert_eq!(seen_by(&cluster, "demo", "shop"), anothers());
    cluster.objects.push(alias);
    // The alias that is left alone tells who was there, and that nobody of another name was.
    cluster
        .objects
        .retain(|o| o["kind"] != "Ingress" || o["metadata"]["name"] != *name);
    assert_eq!(seen_by(&cluster, "demo", "shop"), (1, vec![], vec![Made::Traces]));
    for (rollout, name) in [("other", "shop"), ("demo", "cart")] {
        assert_eq!(seen_by(&cluster, rollout, name), (1, vec![], vec![Made::Nothing]));
    }
}

#[test]
fn what_was_let_go_of_is_taken_up_by_whoever_splits_the_upstream_and_swept_by_nobody() {
    let mut cluster = Cluster::new();
    let component = shop("");
    cluster.split(&component, percent(20));
    let found_now = cluster.found(&component);
    let name = found_now.targets[0].object().name.clone();
    let object = cluster.first("Ingress", &name);
    let Write::Patch(patch) = found_now.targets[0].release(object) else {
        panic!("it carries traffic");
    };
    serve(&patch, object).unwrap();
    assert_eq!(object["metadata"]["annotations"].get(ROLLOUT), None);
    for (rollout, component) in [("demo", "shop"), ("other", "front")] {
        assert_eq!(
            seen_by(&cluster, rollout, component),
            (1, vec![], vec![Made::Kept])
        );
    }
    let mut front = shop("");
    front.name = "front".into();
    let stock = cluster.stock(&front);
    let taker = found(&front, &Home::new("apps", "other"), &stock);
    let object = cluster.first("Ingress", &name);
    assert_eq!(taker.targets[0].read(object).unwrap().weight, percent(20));
    let down = stamp("01G", Weight::ZERO);
    let lower = taker.targets[0].lower(Some(object), &down, Weight::ZERO, WriteMode::Normal);
    assert!(matches!(lower, Ok(Write::Delete { .. })), "{lower:?}");
    let up = taker.targets[0].write(object, &stamp("01D", percent(25)), WriteMode::Normal);
    serve(&up.unwrap(), object).unwrap();
    assert_eq!(object["metadata"]["annotations"][ROLLOUT], "apps/other");
    assert_eq!(
        object["metadata"]["labels"]["rollout.sealos.io/component"],
        "front"
    );
    assert_eq!(seen_by(&cluster, "demo", "shop").1, ["SplitByAnother"]);
    // Whoever does not split its upstream leaves alone what nobody owns.
    let mut cluster = Cluster::new();
    cluster.split(&component, percent(20));
    let kept = cluster.first("Ingress", &name);
    kept["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(ROLLOUT);
    kept["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove("rollout.sealos.io/w.shop");
    cluster.first("Ingress", "one")["metadata"]["labels"]["app"] = json!("elsewhere");
    assert_eq!(seen_by(&cluster, "demo", "shop").0, 0);
}

#[test]
fn a_canary_that_lost_all_of_its_marks_is_still_put_back_and_is_its_makers_as_long_as_the_alias_tells() {
    let mut cluster = Cluster::new();
    let component = shop("");
    cluster.split(&component, percent(20));
    let name = cluster.found(&component).targets[0].object().name.clone();
    let object = cluster.first("Ingress", &name);
    object["metadata"]["labels"] = json!({"team": "web"});
    let marks = object["metadata"]["annotations"].as_object_mut().unwrap();
    marks.retain(|key, _| !key.starts_with("rollout.sealos.io/"));
    assert_eq!(seen_by(&cluster, "demo", "shop"), (1, vec![], vec![Made::Canary]));
    let nobodys = (1, vec![], vec![Made::Kept]);
    assert_eq!(seen_by(&cluster, "other", "front"), nobodys);
    let alias = |o: &Value| o["kind"] == "Service" && o["metadata"]["name"] == *name;
    for object in cluster.objects.iter_mut().filter(|o| alias(o)) {
        object["metadata"]["labels"] = Value::Null;
    }
    assert_eq!(seen_by(&cluster, "demo", "shop"), nobodys);
    // A lowering knows of no alias.
    cluster.objects.retain(|o| !alias(o));
    let found_now = cluster.found(&component);
    let object = cluster.first("Ingress", &name);
    assert_eq!(found_now.targets[0].read(object).unwrap().weight, percent(20));
    let down = stamp("01G", Weight::ZERO);
    let lower = found_now.targets[0].lower(Some(object), &down, Weight::ZERO, WriteMode::Normal);
    assert!(matches!(lower, Ok(Write::Delete { .. })), "{lower:?}");
    // What leads elsewhere is none of ours, whatever it is called.
    object["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = "theirs".into();
    assert!(found_now.targets[0].read(object).is_err());
}

#[test]
fn what_another_resource_claims_is_left_out_unless_our_canary_stands_there() {
    let mut cluster = Cluster::new();
    let component = shop("");
    let object = cluster.found(&component).targets[0].object().clone();
    let with = |cluster: &Cluster| {
        let mut stock = cluster.stock(&component);
        stock.set_taken([(object.clone(), "it is routed by apps/other".to_owned())].into());
        let found = found(&component, &Home::new("apps", "demo"), &stock);
        (
            found.targets.len(),
            found.obstacle().unwrap_or_default(),
            found.sought.len(),
        )
    };
    let (targets, obstacle, sought) = with(&cluster);
    assert!(
        obstacle.contains("SplitByAnother") && obstacle.contains("routed by apps/other"),
        "{obstacle}"
    );
    assert_eq!(
        (targets, sought),
        (0, 1),
        "it stays claimed, or it would come and go"
    );
    cluster.split(&component, percent(5));
    assert_eq!(with(&cluster), (1, String::new(), 1));
}

#[test]
fn a_canary_of_anothers_is_not_called_put_back_where_nobody_claims_it() {
    let mut cluster = Cluster::new();
    let component = shop("");
    let object = cluster.found(&component).targets[0].object().clone();
    cluster.split(&component, percent(5));
    let told = |rollout: &str, taken: bool| {
        let mut stock = cluster.stock(&component);
        if taken {
            stock.set_taken([(object.clone(), "it is routed by apps/demo".to_owned())].into());
        }
        found(&component, &Home::new("apps", rollout), &stock).nothing_of_ours()
    };
    assert_eq!(told("demo", false), None, "its own");
    let message = told("other", false).unwrap();
    assert!(
        message.contains("was not put back") && message.contains("apps/demo"),
        "{message}"
    );
    assert_eq!(told("other", true), None, "it is watched over by who claims it");
}

#[test]
fn a_canary_whose_annotations_cannot_be_read_is_named_and_deleted_all_the_same() {
    let mut cluster = Cluster::new();
    let shop = shop("");
    cluster.split(&shop, percent(5));
    let canary = cluster.canaries()[0].clone();
    let found = cluster.found(&shop);
    let target = &found.targets[0];
    for (name, value) in [
        ("canary-weight", json!("abc")),
        ("canary-weight", json!("-1")),
        ("canary-weight", json!("5.5")),
        ("canary-weight-total", json!("many")),
        ("canary", json!("false")),
        ("canary", Value::Null),
    ] {
        let key = format!("nginx.ingress.kubernetes.io/{name}");
        let mut bad = canary.clone();
        let annotations = bad["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.remove(&key);
        if !value.is_null() {
            annotations.insert(key.clone(), value.clone());
        }
        let error = target.read(&bad).unwrap_err();
        let RoutingError::BadValue { path, .. } = &error else {
            panic!("{name} {value}: {error}")
        };
        assert_eq!(*path, format!("metadata.annotations[{key}]"), "{value}");
        let stamp = stamp("01D", Weight::ZERO);
        let write = target.lower(Some(&bad), &stamp, Weight::ZERO, WriteMode::Normal);
        assert!(
            matches!(write, Ok(Write::Delete { .. })),
            "{name} {value}: {write:?}"
        );
    }
}

#[test]
fn our_own_ingress_that_is_a_canary_no_more_lets_nothing_rise() {
    let mut cluster = Cluster::new();
    let shop = shop("");
    cluster.split(&shop, percent(5));
    let name = cluster.canaries()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    cluster.annotate(&name, "canary", "false");
    // It is younger than the primary, so it serves no location.
    cluster.first("Ingress", &name)["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z".into();
    let blockers = cluster.blockers(&shop);
    assert!(blockers.contains(&"AliasIsPrimary"), "{blockers:?}");
}
