//! The webhook for clusters before 1.30: what is written, and what it answers over TLS.

use super::expressions::{INNER, annotated, ingress, labelled, refuses, written, written_for_two};
use super::{BINDINGS, NAME, POLICIES, with_controller};
use crate::kinds::put;
use crate::support::migrate;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::block;
use gradual_rollout_toolkit::block::{Blocked, Group, serve};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// A cluster that knows no admission policies, with the daemon's Service.
pub(crate) fn old() -> (Store, Clock) {
    let (store, clock) = with_controller(&[]);
    for resource in [POLICIES, BINDINGS] {
        store.inject(Fault::new(Action::Fail(Failure::no_such_resource())).resource(resource));
    }
    put(
        &store,
        json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "sealos-system", "name": "gradual-rollout"}, "spec": {"ports": [{"port": 443}]}}),
    );
    (store, clock)
}

const WEBHOOKS: &str = "validatingwebhookconfigurations.admissionregistration.k8s.io";
pub(crate) const BLOCK: [&str; 3] = ["block", "--webhook-service", "sealos-system/gradual-rollout"];

#[tokio::test]
async fn without_policies_the_daemon_must_be_named_or_it_is_said_what_else_there_is() {
    let (store, clock) = old();
    let said = migrate(&store, &clock, &["block"]).await;
    assert!(
        matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("--webhook-service") && why.contains("RBAC"))
    );
    let said = migrate(
        &store,
        &clock,
        &["block", "--webhook-service", "sealos-system/none"],
    )
    .await;
    assert!(matches!(said.end, Err(Trouble::Refused(why)) if why.contains("there is no Service")));
    let said = migrate(&with_controller(&[]).0, &clock, &BLOCK).await;
    assert!(
        matches!(said.end, Err(Trouble::Usage(_))),
        "where there are policies they are used"
    );
}

#[tokio::test]
async fn the_webhook_is_written_last_and_taken_away_first() {
    let (store, clock) = old();
    let said = migrate(&store, &clock, &BLOCK).await;
    println!("{}{}", said.out, said.err);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(!said.out.contains("PRIVATE"), "{}", said.out);
    let webhook = store.get(WEBHOOKS, "", NAME).unwrap();
    let hook = &webhook["webhooks"][0];
    assert_eq!(hook["failurePolicy"], "Ignore");
    assert_eq!(hook["rules"][0]["operations"], json!(["CREATE", "UPDATE"]));
    let version = store.version();
    migrate(&store, &clock, &[&BLOCK[..], &["--mode", "audit"]].concat())
        .await
        .end
        .unwrap();
    assert_eq!(
        store.version(),
        version,
        "a second run changes nothing, the certificate least of all"
    );
    migrate(&store, &clock, &BLOCK).await.end.unwrap();
    let rules = store
        .get("configmaps", "sealos-system", "gradual-rollout-block")
        .unwrap();
    assert!(
        rules["data"]["rules"]
            .as_str()
            .unwrap()
            .contains(r#""stage":"warn""#)
    );
    let said = migrate(&store, &clock, &["unblock"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.out
            .starts_with(&format!("deleted: ValidatingWebhookConfiguration {NAME}\n")),
        "{}",
        said.out
    );
    assert!(store.list(WEBHOOKS).is_empty() && store.list("secrets").is_empty());
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_used_and_stays_or_is_refused() {
    let (store, clock) = old();
    let own = |names: &[&str]| {
        crate::preflight::healthy::secret("sealos-system", "gradual-rollout-webhook-tls", names, 2027)
    };
    put(&store, own(&["other.svc"]));
    let said = migrate(&store, &clock, &BLOCK).await;
    assert!(
        matches!(said.end, Err(Trouble::Refused(why)) if why.contains("has not the name gradual-rollout.sealos-system.svc"))
    );
    let good = own(&["gradual-rollout.sealos-system.svc"]);
    put(&store, good.clone());
    migrate(&store, &clock, &BLOCK).await.end.unwrap();
    let webhook = store.get(WEBHOOKS, "", NAME).unwrap();
    assert_eq!(
        webhook["webhooks"][0]["clientConfig"]["caBundle"],
        good["data"]["tls.crt"]
    );
    migrate(&store, &clock, &["unblock"]).await.end.unwrap();
    assert_eq!(store.list("secrets").len(), 1);
}

/// Posts a review as the API server does, and is answered.
async fn ask(store: &Store, at: SocketAddr, review: &Value) -> Value {
    asked(store, at, review).await.unwrap()
}

/// Posts a review as the API server does: it trusts the bundle of the configuration and nothing else.
async fn asked(store: &Store, at: SocketAddr, review: &Value) -> std::io::Result<Value> {
    let webhook = store.get(WEBHOOKS, "", NAME).unwrap();
    let client = &webhook["webhooks"][0]["clientConfig"];
    let bundle = STANDARD.decode(client["caBundle"].as_str().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&bundle).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("gradual-rollout.sealos-system.svc").unwrap();
    let stream = TcpStream::connect(at).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let request = http::Request::post(client["service"]["path"].as_str().unwrap())
        .header("host", "gradual-rollout.sealos-system.svc")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(review.to_string())))
        .unwrap();
    let asking = async {
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap().to_bytes()
    };
    let (body, _) = tokio::join!(asking, connection);
    Ok(serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn the_webhook_answers_over_tls_by_the_rules_that_were_written() {
    let (store, _) = old();
    let words = [&BLOCK[..], &["--mode", "deny", "--skip-stages"]].concat();
    // The certificate must be good now, and the cluster of the test lives in another year.
    let clock_now = Clock::simulated(jiff::Timestamp::from_second(real_seconds()).unwrap());
    migrate(&store, &clock_now, &words).await.end.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (client, told) = (store.client("default"), Mutex::new(Vec::new()));
    let now = || clock_now.now();
    let hear = |trouble: &Trouble| {
        println!("{trouble}");
        told.lock().unwrap().push(trouble.to_string());
    };
    let review = |object: Value| {
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
            "uid": "u-1", "operation": "CREATE", "object": object, "oldObject": null, "userInfo": {"username": "ada"},
        }})
    };
    let asking = async {
        let refused = ask(&store, at, &review(ingress(Some("nginx"), &["a.com"]))).await;
        let taken = ask(&store, at, &review(ingress(Some("other"), &["a.com"]))).await;
        (refused, taken)
    };
    let (refused, taken) = tokio::select! {
        answers = asking => answers,
        () = serve(listener, &client, "sealos-system", std::future::pending(), &now, &hear) => unreachable!(),
    };
    assert_eq!(refused["response"]["uid"], "u-1");
    assert_eq!(refused["response"]["allowed"], false);
    assert!(
        refused["response"]["status"]["message"]
            .as_str()
            .unwrap()
            .contains("no new hosts")
    );
    assert_eq!(taken["response"]["allowed"], true);
    assert!(told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_certificate_that_is_made_anew_before_it_ends_is_served_with_and_trusted_without_a_restart() {
    let (store, _) = old();
    let at_day = |day: i64| {
        let then = real_seconds() + day * 24 * 3600;
        Clock::simulated(jiff::Timestamp::from_second(then).unwrap())
    };
    let words = [&BLOCK[..], &["--mode", "deny", "--skip-stages"]].concat();
    // It was made most of a year ago, and ends within a month.
    migrate(&store, &at_day(-340), &words).await.end.unwrap();
    let bundle = || store.get(WEBHOOKS, "", NAME).unwrap()["webhooks"][0]["clientConfig"]["caBundle"].clone();
    let first = bundle();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (client, clock) = (store.client("default"), at_day(0));
    let (now, hear) = (|| clock.now(), |_: &Trouble| {});
    let review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
        "uid": "u-1", "operation": "CREATE", "object": ingress(Some("nginx"), &["a.com"]), "oldObject": null,
        "userInfo": {"username": "ada"}}});
    let living = async {
        let before = ask(&store, at, &review).await;
        assert_eq!(before["response"]["allowed"], false, "it is good still");
        migrate(&store, &clock, &words).await.end.unwrap();
        assert_ne!(bundle(), first);
        // The daemon looks every ten seconds; nobody has to wait for that.
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(11)).await;
        tokio::time::resume();
        let mut answered = asked(&store, at, &review).await;
        for _ in 0..1000 {
            if answered.is_ok() {
                break;
            }
            tokio::task::yield_now().await;
            answered = asked(&store, at, &review).await;
        }
        answered.unwrap()
    };
    let after = tokio::select! {
        after = living => after,
        () = serve(listener, &client, "sealos-system", std::future::pending(), &now, &hear) => unreachable!(),
    };
    assert_eq!(
        after["response"]["allowed"], false,
        "the API server trusts the new one alone"
    );
}

/// The time of this machine, which TLS goes by.
#[expect(
    clippy::disallowed_methods,
    reason = "a handshake is checked against the machine's clock"
)]
fn real_seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// What a controller serves whose flag names the first class.
fn group(classes: &[&str], without_class: bool, prefix: &str) -> Group {
    Group {
        classes: classes.iter().map(ToString::to_string).collect(),
        legacy: classes.iter().take(1).map(ToString::to_string).collect(),
        without_class,
        prefix: prefix.to_owned(),
    }
}

#[test]
fn rules_that_were_written_before_there_were_groups_are_read() {
    let old = json!({"stage": "deny", "since": "", "blocked": {"classes": ["nginx"], "legacy": ["nginx"],
        "withoutClass": true, "prefix": "p", "namespaces": ["kube-system"], "users": ["ada"]}});
    let rules: block::Rules = serde_json::from_value(old).unwrap();
    assert_eq!(rules.blocked.groups, [group(&["nginx"], true, "p")]);
    assert_eq!(
        (&rules.blocked.namespaces[..], &rules.blocked.users[..]),
        (&["kube-system".to_owned()][..], &["ada".to_owned()][..])
    );
    let now: block::Rules = serde_json::from_value(serde_json::to_value(&rules).unwrap()).unwrap();
    assert_eq!(now, rules);
}

#[test]
fn stages_answer_as_their_bindings_act() {
    let blocked = Blocked {
        groups: vec![group(&["nginx"], false, "nginx.ingress.kubernetes.io")],
        ..Blocked::default()
    };
    let review = json!({"request": {"uid": "u", "object": ingress(Some("nginx"), &["a.com"])}});
    for (stage, allowed, warned) in [
        (block::Stage::Audit, true, false),
        (block::Stage::Warn, true, true),
        (block::Stage::Deny, false, false),
    ] {
        let rules = block::Rules {
            stage,
            since: String::new(),
            blocked: blocked.clone(),
        };
        let response = block::answer(Some(&rules), &review)["response"].clone();
        assert_eq!(response["allowed"], allowed, "{stage:?}");
        assert_eq!(response.get("warnings").is_some(), warned, "{stage:?}");
    }
    // Nothing is refused by what is not there, or not understood.
    assert_eq!(block::answer(None, &review)["response"]["allowed"], true);
    assert_eq!(block::answer(None, &json!([]))["response"]["allowed"], true);
}

fn any_ingress() -> impl Strategy<Value = Value> {
    let class = prop_oneof![
        Just(None),
        Just(Some("nginx")),
        Just(Some("public")),
        Just(Some("inner")),
        Just(Some("other"))
    ];
    let prefix = prop_oneof![2 => Just("nginx.ingress.kubernetes.io"), 1 => Just(INNER)];
    let legacy = prop_oneof![3 => Just(None), 1 => Just(Some("")), 2 => Just(Some("nginx")),
        1 => Just(Some("inner")), 1 => Just(Some("other"))];
    let hosts = proptest::sample::subsequence(vec!["a.com", "b.com", ""], 0..=3);
    let alias = prop_oneof![3 => Just(None), 1 => Just(Some("c.com")), 1 => Just(Some("d.com"))];
    let path = prop_oneof![
        2 => Just(None),
        2 => Just(Some("/.well-known/acme-challenge/x")),
        1 => Just(Some("/.well-known/acme-challenge/|/.*")),
    ];
    let more = prop_oneof![
        4 => Just(None),
        1 => Just(Some("use-regex")),
        1 => Just(Some("whitelist-source-range")),
    ];
    (
        (class, prefix),
        legacy,
        hosts,
        alias,
        0..2u8,
        path,
        0..2u8,
        0..2u8,
        0..2u8,
        more,
    )
        .prop_map(
            |((class, prefix), legacy, hosts, alias, solver, path, managed, canary, catch_all, more)| {
                let mut made = ingress(class, &hosts);
                if let Some(legacy) = legacy {
                    made = annotated(made, "kubernetes.io/ingress.class", legacy);
                }
                if let Some(alias) = alias {
                    made = annotated(made, &format!("{prefix}/server-alias"), alias);
                }
                if solver == 1 {
                    made = labelled(made, "acme.cert-manager.io/http01-solver", "true");
                }
                if let (Some(path), false) = (path, hosts.is_empty()) {
                    for rule in made["spec"]["rules"].as_array_mut().unwrap() {
                        rule["http"]["paths"][0]["path"] = path.into();
                    }
                }
                if let Some(more) = more {
                    made = annotated(made, &format!("{prefix}/{more}"), "true");
                }
                if managed == 1 {
                    made = labelled(made, "app.kubernetes.io/managed-by", "gradual-rollout");
                }
                if canary == 1 {
                    made = annotated(made, &format!("{prefix}/canary"), "true");
                }
                if catch_all == 1 {
                    made["spec"]["defaultBackend"] = json!({"service": {"name": "x"}});
                }
                made
            },
        )
}

#[test]
fn the_webhook_judges_as_the_policy_does() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let nginx = |without| group(&["nginx", "public"], without, "nginx.ingress.kubernetes.io");
    let inner = |without| group(&["inner"], without, INNER);
    let policies: Vec<(Vec<Group>, Value)> = [false, true]
        .into_iter()
        .flat_map(|without| {
            let words: &[&str] = if without { &["--without-class"] } else { &[] };
            [
                (vec![nginx(without)], runtime.block_on(written(&[], words))),
                (
                    vec![inner(without), nginx(without)],
                    runtime.block_on(written_for_two(words)),
                ),
            ]
        })
        .collect();
    proptest!(ProptestConfig::with_cases(500), |(before in proptest::option::of(any_ingress()), after in any_ingress(), which in 0..4usize)| {
        let (groups, policy) = &policies[which];
        let blocked = Blocked {
            groups: groups.clone(),
            ..Blocked::default()
        };
        let old = before.clone().unwrap_or(Value::Null);
        prop_assert_eq!(
            block::refuses(&blocked, before.as_ref(), &after, "ada"),
            refuses(policy, &old, &after, "ada"),
            "{} to {}", old, after
        );
    });
}
