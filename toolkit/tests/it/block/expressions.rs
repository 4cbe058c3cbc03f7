//! The policy as the API server has it, evaluated: which writes it would refuse.

use super::{policy, with_controller};
use crate::kinds::put;
use crate::support::migrate;
use cel::{Context, Program, Value as Cel};
use serde_json::{Value, json};
use std::collections::HashMap;

fn evaluate(expression: &Value, context: &Context) -> Cel {
    let expression = expression.as_str().unwrap();
    let program = Program::compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    program
        .execute(context)
        .unwrap_or_else(|error| panic!("{expression}: {error}"))
}

/// Whether the policy refuses the change from `before` (null: it is created) to `after`.
pub(crate) fn refuses(policy: &Value, before: &Value, after: &Value, user: &str) -> bool {
    let mut context = Context::default();
    context.add_variable_from_value("object", cel::to_value(after).unwrap());
    context.add_variable_from_value("oldObject", cel::to_value(before).unwrap());
    context.add_variable_from_value(
        "request",
        cel::to_value(json!({"userInfo": {"username": user}})).unwrap(),
    );
    let spec = &policy["spec"];
    for condition in spec["matchConditions"].as_array().into_iter().flatten() {
        if evaluate(&condition["expression"], &context) == Cel::Bool(false) {
            return false;
        }
    }
    let mut variables: HashMap<String, Cel> = HashMap::new();
    for variable in spec["variables"].as_array().unwrap() {
        let value = evaluate(&variable["expression"], &context);
        variables.insert(variable["name"].as_str().unwrap().to_owned(), value);
        context.add_variable_from_value("variables", variables.clone());
    }
    let verdict = evaluate(&spec["validations"][0]["expression"], &context);
    assert!(matches!(verdict, Cel::Bool(_)), "{verdict:?}");
    verdict == Cel::Bool(false)
}

/// An Ingress of a class, with these hosts.
pub(super) fn ingress(class: Option<&str>, hosts: &[&str]) -> Value {
    let rules: Vec<Value> = hosts.iter().map(|host| json!({"host": host, "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "x", "port": {"number": 80}}}},
    ]}})).collect();
    let mut ingress = json!({"metadata": {"name": "shop", "namespace": "ns-ada"}, "spec": {"rules": rules}});
    if let Some(class) = class {
        ingress["spec"]["ingressClassName"] = class.into();
    }
    ingress
}

pub(super) fn annotated(mut ingress: Value, key: &str, value: &str) -> Value {
    ingress["metadata"]["annotations"][key] = value.into();
    ingress
}

pub(super) fn labelled(mut ingress: Value, key: &str, value: &str) -> Value {
    ingress["metadata"]["labels"][key] = value.into();
    ingress
}

pub(super) async fn written(flags: &[&str], words: &[&str]) -> Value {
    let (store, clock) = with_controller(flags);
    migrate(&store, &clock, &[&["block"], words].concat())
        .await
        .end
        .unwrap();
    (*policy(&store)).clone()
}

/// The prefix of a second controller's annotations.
pub(super) const INNER: &str = "inner.example.com";

/// The policy where a second controller, of the class `inner`, has annotations of its own.
pub(super) async fn written_for_two(words: &[&str]) -> Value {
    let (store, clock) = with_controller(&[]);
    let labels = json!({"app": "inner"});
    put(
        &store,
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"namespace": "inner", "name": "nginx"},
            "spec": {"selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "controller", "image": "x", "args": [
                    "/nginx-ingress-controller", "--ingress-class=inner", "--controller-class=k8s.io/inner",
                    format!("--annotations-prefix={INNER}"),
                ]}]},
            }},
        }),
    );
    let said = migrate(&store, &clock, &[&["block"], words].concat()).await;
    println!("{}", said.out);
    said.end.unwrap();
    (*policy(&store)).clone()
}

#[tokio::test]
async fn what_exempts_an_ingress_counts_by_the_prefix_of_whoever_serves_it() {
    let policy = written_for_two(&[]).await;
    let refused = |before: &Value, after: &Value| refuses(&policy, before, after, "ada");
    let new = |ingress: &Value| refused(&Value::Null, ingress);
    let inner = ingress(Some("inner"), &["a.com"]);
    let outer = ingress(Some("nginx"), &["a.com"]);
    assert!(new(&inner) && new(&outer) && !new(&ingress(Some("other"), &["a.com"])));
    let canary = |ingress: &Value, prefix: &str| {
        let ours = labelled(ingress.clone(), "app.kubernetes.io/managed-by", "gradual-rollout");
        annotated(ours, &format!("{prefix}/canary"), "true")
    };
    let nginx = "nginx.ingress.kubernetes.io";
    assert!(!new(&canary(&inner, INNER)) && !new(&canary(&outer, nginx)));
    // To the controller that serves it that is no canary, but a host of its own.
    assert!(new(&canary(&outer, INNER)) && new(&canary(&inner, nginx)));
    for (before, prefix) in [(&inner, INNER), (&outer, nginx)] {
        let more = annotated(before.clone(), &format!("{prefix}/server-alias"), "b.com");
        assert!(refused(before, &more) && !refused(&more, &more), "{prefix}");
        let mut solver = labelled(before.clone(), "acme.cert-manager.io/http01-solver", "true");
        solver["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/.well-known/acme-challenge/x".into();
        assert!(!new(&solver), "{prefix}");
        assert!(
            new(&annotated(solver, &format!("{prefix}/use-regex"), "true")),
            "{prefix}"
        );
    }
}

const LEGACY: &str = "kubernetes.io/ingress.class";

#[tokio::test]
async fn a_new_ingress_is_refused_by_class_name_legacy_annotation_and_default_class() {
    let policy = written(&[], &[]).await;
    let refused = |ingress: &Value| refuses(&policy, &Value::Null, ingress, "ada");
    assert!(refused(&ingress(Some("nginx"), &["a.com"])));
    // The API server gives a class-less Ingress its default class before a policy sees it.
    assert!(refused(&ingress(Some("public"), &["a.com"])));
    assert!(refused(&annotated(ingress(None, &["a.com"]), LEGACY, "nginx")));
    // The field counts before the annotation, as in ingress-nginx, and an empty one is none.
    assert!(!refused(&annotated(
        ingress(Some("other"), &["a.com"]),
        LEGACY,
        "nginx"
    )));
    assert!(refused(&annotated(
        ingress(Some("nginx"), &["a.com"]),
        LEGACY,
        ""
    )));
    assert!(refused(&annotated(
        ingress(Some("nginx"), &["a.com"]),
        LEGACY,
        "other"
    )));
    assert!(!refused(&ingress(Some("other"), &["a.com"])));
    assert!(
        !refused(&ingress(None, &["a.com"])),
        "this controller takes none without class"
    );
    // Without rules, and with a default back end only.
    let mut catch_all = ingress(Some("nginx"), &[]);
    catch_all["spec"] = json!({"ingressClassName": "nginx", "defaultBackend": {"service": {"name": "x"}}});
    assert!(refused(&catch_all));
}

#[tokio::test]
async fn an_ingress_without_class_is_refused_where_a_controller_takes_those() {
    for (flags, words) in [
        (&["--watch-ingress-without-class=true"][..], &[][..]),
        (&[], &["--without-class"]),
    ] {
        let policy = written(flags, words).await;
        assert!(refuses(&policy, &Value::Null, &ingress(None, &["a.com"]), "ada"));
        assert!(!refuses(
            &policy,
            &Value::Null,
            &ingress(Some("other"), &["a.com"]),
            "ada"
        ));
    }
}

#[tokio::test]
async fn a_change_is_refused_where_it_adds_a_host_an_alias_or_the_class() {
    let policy = written(&[], &[]).await;
    let old = ingress(Some("nginx"), &["a.com", "b.com"]);
    let refused = |before: &Value, after: &Value| refuses(&policy, before, after, "ada");
    assert!(!refused(&old, &old));
    assert!(!refused(&old, &ingress(Some("nginx"), &["b.com"])), "a host less");
    assert!(!refused(
        &old,
        &annotated(old.clone(), "nginx.ingress.kubernetes.io/ssl-redirect", "false")
    ));
    assert!(
        !refused(
            &old,
            &labelled(old.clone(), "sealos.io/migrated-to-istio", "true")
        ),
        "our own mark"
    );
    assert!(
        refused(&old, &ingress(Some("nginx"), &["a.com", "b.com", "c.com"])),
        "a host more"
    );
    assert!(
        refused(&old, &ingress(Some("nginx"), &["a.com", ""])),
        "every other host"
    );
    let alias = "nginx.ingress.kubernetes.io/server-alias";
    let aliased = annotated(old.clone(), alias, "c.com");
    assert!(refused(&old, &aliased), "an alias");
    assert!(!refused(&aliased, &aliased));
    assert!(
        refused(&aliased, &annotated(old.clone(), alias, "c.com,d.com")),
        "another alias"
    );
    let www = "nginx.ingress.kubernetes.io/from-to-www-redirect";
    let both = annotated(old.clone(), www, "true");
    assert!(refused(&old, &both), "its name with www.");
    assert!(!refused(&both, &both) && !refused(&both, &old));
    assert!(!refused(&old, &annotated(old.clone(), www, "false")));
    let other = ingress(Some("other"), &["a.com"]);
    assert!(
        refused(&other, &ingress(Some("nginx"), &["a.com"])),
        "it becomes nginx's"
    );
    assert!(!refused(&old, &other), "it ceases to be nginx's");
}

#[tokio::test]
async fn solvers_of_challenges_and_our_own_canaries_pass() {
    let policy = written(&[], &[]).await;
    let refused = |ingress: &Value| refuses(&policy, &Value::Null, ingress, "ada");
    let mut solver = labelled(
        ingress(Some("nginx"), &["a.com"]),
        "acme.cert-manager.io/http01-solver",
        "true",
    );
    assert!(refused(&solver), "the label alone opens nothing");
    solver["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/.well-known/acme-challenge/token".into();
    assert!(!refused(&solver), "as it should be");
    let canary = annotated(
        ingress(Some("nginx"), &["a.com"]),
        "nginx.ingress.kubernetes.io/canary",
        "true",
    );
    assert!(refused(&canary), "somebody else's canary");
    assert!(!refused(&labelled(
        canary,
        "app.kubernetes.io/managed-by",
        "gradual-rollout"
    )));
    let primary = ingress(Some("nginx"), &["a.com"]);
    assert!(
        refused(&labelled(
            primary,
            "app.kubernetes.io/managed-by",
            "gradual-rollout"
        )),
        "no canary"
    );
}

#[tokio::test]
async fn who_is_exempt_passes_and_names_are_texts_not_expressions() {
    let user = "system:serviceaccount:o'hara:x\\";
    let policy = written(&[], &["--exempt-user", user]).await;
    let new = ingress(Some("nginx"), &["a.com"]);
    assert!(!refuses(&policy, &Value::Null, &new, user));
    assert!(refuses(&policy, &Value::Null, &new, "ada"));
}

/// A solver as cert-manager writes it.
fn solver() -> Value {
    let mut solver = labelled(
        ingress(Some("nginx"), &["a.com"]),
        "acme.cert-manager.io/http01-solver",
        "true",
    );
    solver["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/.well-known/acme-challenge/tok-en_1".into();
    annotated(
        solver,
        "nginx.ingress.kubernetes.io/whitelist-source-range",
        "0.0.0.0/0,::/0",
    )
}

#[tokio::test]
async fn a_solver_that_serves_more_than_its_challenge_is_refused() {
    let policy = written(&[], &[]).await;
    let refused = |ingress: &Value| refuses(&policy, &Value::Null, ingress, "ada");
    assert!(!refused(&solver()));
    let mut catch_all = solver();
    catch_all["spec"]["defaultBackend"] = json!({"service": {"name": "x", "port": {"number": 80}}});
    assert!(refused(&catch_all), "a default back end");
    let mut pattern = annotated(solver(), "nginx.ingress.kubernetes.io/use-regex", "true");
    assert!(refused(&pattern), "an expression");
    pattern["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/.well-known/acme-challenge/|/.*".into();
    assert!(refused(&pattern), "an expression that takes everything");
    pattern["metadata"]["annotations"] = json!({});
    assert!(
        refused(&pattern),
        "an expression, should another Ingress switch them on"
    );
    for (name, value) in [
        ("server-alias", "b.com"),
        ("rewrite-target", "/"),
        ("server-snippet", "x"),
    ] {
        let more = annotated(solver(), &format!("nginx.ingress.kubernetes.io/{name}"), value);
        assert!(refused(&more), "{name}");
    }
}

#[tokio::test]
async fn what_was_exempt_is_not_taken_for_served_once_it_is_so_no_more() {
    let policy = written(&[], &[]).await;
    let refused = |before: &Value, after: &Value| refuses(&policy, before, after, "ada");
    let mut path = solver();
    path["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/".into();
    assert!(
        refused(&solver(), &path),
        "a solver whose path becomes everything"
    );
    let mut label = solver();
    label["metadata"]["labels"] = json!({});
    assert!(refused(&solver(), &label), "a solver that is none any more");
    assert!(!refused(&solver(), &solver()));
    let canary = "nginx.ingress.kubernetes.io/canary";
    let ours = labelled(
        annotated(ingress(Some("nginx"), &["a.com"]), canary, "true"),
        "app.kubernetes.io/managed-by",
        "gradual-rollout",
    );
    assert!(!refused(&ours, &ours));
    let mut bare = ours.clone();
    bare["metadata"]["annotations"] = json!({});
    assert!(refused(&ours, &bare), "a canary that becomes the host itself");
    assert!(refused(&ours, &annotated(ours.clone(), canary, "false")));
    // Who was served, by all means, may change what is no host.
    let served = ingress(Some("nginx"), &["a.com"]);
    assert!(!refused(
        &served,
        &labelled(served.clone(), "app.kubernetes.io/managed-by", "gradual-rollout")
    ));
}
