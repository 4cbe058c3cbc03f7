//! What is read of the controllers and the cluster before a migration, each input by the value that matters.

use super::found;
use super::healthy::*;
use crate::kinds::put;
use crate::support::migrate;
use gradual_rollout_apiserver::Store;
use serde_json::{Value, json};

const CONTROLLER: &str = "Deployment ingress-nginx/ingress-nginx-controller";
const SETTINGS: &str = "ConfigMap ingress-nginx/settings";
const CONFIG: &str = "--configmap=ingress-nginx/settings";
const METRICS: &str = "--enable-metrics=true";

/// What is said with some objects in a healthy cluster: `CODE object: message` of each finding.
async fn told(objects: Vec<Value>) -> Vec<String> {
    let (store, clock) = healthy();
    for object in objects {
        put(&store, object);
    }
    let said = migrate(&store, &clock, &["--json", "preflight"]).await;
    let whole: Value = serde_json::from_str(&said.out).unwrap();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    whole["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| {
            format!(
                "{} {}: {}",
                text(f, "code"),
                text(f, "object"),
                text(f, "message")
            )
        })
        .collect()
}

#[tokio::test]
async fn every_setting_that_a_gateway_lacks_is_told_and_each_that_guards_hosts_as_a_guard() {
    // As ingress-nginx documents them; not as the code under test lists them.
    let guards = [
        ("global-auth-url", "http://auth.a.com"),
        ("whitelist-source-range", "10.0.0.0/8"),
        ("denylist-source-range", "10.0.0.0/8"),
        ("block-cidrs", "10.0.0.0/8"),
        ("block-user-agents", "curl"),
        ("block-referers", "x"),
        ("enable-modsecurity", "true"),
        ("enable-owasp-modsecurity-crs", "true"),
        ("plugins", "crowdsec"),
        ("limit-rate", "100"),
    ];
    let plain = [
        ("ssl-redirect", "false"),
        ("force-ssl-redirect", "true"),
        ("http-redirect-code", "301"),
        ("hsts", "false"),
        ("hsts-max-age", "60"),
        ("hsts-include-subdomains", "false"),
        ("hsts-preload", "true"),
        ("compute-full-forwarded-for", "true"),
        ("proxy-real-ip-cidr", "10.0.0.0/8"),
        ("annotations-risk-level", "Critical"),
        ("custom-http-errors", "404"),
        ("proxy-body-size", "20m"),
        ("proxy-connect-timeout", "10"),
        ("proxy-read-timeout", "120"),
        ("proxy-send-timeout", "120"),
        ("proxy-next-upstream", "error"),
        ("no-tls-redirect-locations", "/x"),
        ("no-auth-locations", "/x"),
        ("strict-validate-path-type", "false"),
        ("add-headers", "ns-a/headers"),
        ("proxy-set-headers", "ns-a/headers"),
        ("load-balance", "ewma"),
        ("service-upstream", "true"),
        ("main-snippet", "load_module m.so;"),
        ("lua-shared-dicts", "crowdsec_cache: 50m"),
        ("hide-headers", "Server"),
        ("ssl-reject-handshake", "true"),
        ("proxy-cookie-path", "/ /x"),
    ];
    let others = [
        ("use-forwarded-headers", "true", "NGINX-FORWARDED"),
        ("use-proxy-protocol", "true", "NGINX-PROXY-PROTOCOL"),
    ];
    let all = guards
        .map(|(key, value)| (key, value, "NGINX-GUARD"))
        .into_iter()
        .chain(plain.map(|(key, value)| (key, value, "NGINX-SETTING")))
        .chain(others);
    for (key, value, code) in all {
        let said = told(vec![settings(json!({ key: value }))]).await;
        let wanted = format!("{code} {SETTINGS}: {key} = {value}");
        assert!(said.contains(&wanted), "{wanted}: {said:#?}");
    }
}

#[tokio::test]
async fn a_flag_that_turns_off_what_is_on_by_itself_is_told_and_one_that_only_repeats_a_default_is_not() {
    for (flag, is_told) in [
        ("--enable-annotation-validation=false", true),
        ("--deep-inspect=false", true),
        ("--enable-annotation-validation", true),
        ("--annotations-prefix=nginx.a.com", true),
        ("--enable-ssl-passthrough=false", false),
        ("--disable-catch-all=false", false),
        ("--disable-catch-all", true),
    ] {
        let said = told(vec![controller(&[CONFIG, METRICS, flag])]).await;
        let name = flag.split('=').next().unwrap();
        let there = said
            .iter()
            .any(|line| line.starts_with(&format!("NGINX-SETTING {CONTROLLER}: {name}")));
        assert_eq!(there, is_told, "{flag}: {said:#?}");
    }
}

#[tokio::test]
async fn snippets_that_are_allowed_and_over_the_level_of_risk_do_nothing_either() {
    let shop = || {
        ingress(
            "ns-ada",
            "shop",
            "shop.a.com",
            json!({"configuration-snippet": "more_set_headers x;"}),
            "shop",
        )
    };
    let at = |image: &str| {
        let mut controller = controller(&[CONFIG, METRICS]);
        controller["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
        controller
    };
    let (new, old) = (
        "registry.k8s.io/ingress-nginx/controller:v1.14.1@sha256:0",
        "registry.k8s.io/ingress-nginx/controller:v1.11.5",
    );
    for (settled, image, is_inert) in [
        (json!({}), new, true),
        (json!({"allow-snippet-annotations": "true"}), new, true),
        (json!({"allow-snippet-annotations": "true"}), old, false),
        (
            json!({"allow-snippet-annotations": "true", "annotations-risk-level": "Critical"}),
            new,
            false,
        ),
        (
            json!({"allow-snippet-annotations": "true", "annotations-risk-level": "Medium"}),
            old,
            true,
        ),
    ] {
        let said = told(vec![shop(), settings(settled.clone()), at(image)]).await;
        let inert = said.iter().find(|line| line.starts_with("SNIPPET-INERT"));
        assert_eq!(inert.is_some(), is_inert, "{settled} {image}: {said:#?}");
        if let (Some(line), Some(_)) = (inert, settled.get("allow-snippet-annotations")) {
            assert!(line.contains("annotations-risk-level is"), "{line}");
        }
    }
}

#[tokio::test]
async fn the_default_certificate_is_looked_at_as_others_are() {
    let flagged = || controller(&[CONFIG, METRICS, "--default-ssl-certificate=ingress-nginx/usual"]);
    let mut bare = ingress("ns-ada", "shop", "shop.a.com", json!({}), "shop");
    bare["spec"]["tls"] = json!([{"hosts": ["shop.a.com"]}]);
    let usual = |names: &[&str], year| secret("ingress-nginx", "usual", names, year);
    let at = "Secret ingress-nginx/usual";
    let codes = |said: &[String]| -> Vec<String> {
        let its = said.iter().filter(|line| line.contains(at));
        its.map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    let good = told(vec![flagged(), bare.clone(), usual(&["*.a.com"], 2027)]).await;
    assert_eq!(codes(&good), Vec::<String>::new());
    let other = told(vec![flagged(), bare.clone(), usual(&["*.b.com"], 2027)]).await;
    assert_eq!(codes(&other), ["CERTIFICATE-NAMES"]);
    let ended = told(vec![flagged(), usual(&["*.a.com"], 2025)]).await;
    assert_eq!(codes(&ended), ["CERTIFICATE-EXPIRED"]);
    let mut broken = usual(&["*.a.com"], 2027);
    broken["data"]["tls.crt"] = "bm9uc2Vuc2U=".into();
    assert_eq!(codes(&told(vec![flagged(), broken]).await), ["SECRET-BROKEN"]);
    let gone = told(vec![flagged(), bare]).await;
    assert_eq!(codes(&gone).len(), 1, "once, of the controller: {gone:#?}");
}

/// A quota, of which so much is used.
fn counted(namespace: &str, name: &str, limit: &str, used: &str) -> Value {
    let mut quota = quota(namespace, json!({"services.loadbalancers": "0", name: limit}));
    quota["status"] = json!({"hard": {name: limit}, "used": {name: used}});
    quota
}

/// Whether a quota is told of as spent.
async fn spent(store: &Store, clock: &gradual_rollout_apiserver::clock::Clock) -> bool {
    let (codes, said) = found(store, clock).await;
    println!("{}", said.out);
    codes.iter().any(|(code, _)| code == "QUOTA-SPENT")
}

#[tokio::test]
async fn quotas_are_held_against_every_kind_that_is_written_where_it_is_written() {
    let grpc = || {
        ingress(
            "ns-ada",
            "shop",
            "shop.a.com",
            json!({"backend-protocol": "GRPC", "whitelist-source-range": "10.0.0.0/8"}),
            "shop",
        )
    };
    for (namespace, name) in [
        ("ns-ada", "count/virtualservices.networking.istio.io"),
        ("ns-ada", "count/destinationrules.networking.istio.io"),
        ("istio-system", "count/gateways.networking.istio.io"),
        ("istio-system", "count/authorizationpolicies.security.istio.io"),
        ("istio-system", "count/secrets"),
        ("istio-system", "secrets"),
    ] {
        for (limit, used, is_spent) in [("3", "3", true), ("4", "3", false)] {
            let (store, clock) = healthy();
            put(&store, grpc());
            put(&store, counted(namespace, name, limit, used));
            assert_eq!(
                spent(&store, &clock).await,
                is_spent,
                "{namespace} {name}: {used} of {limit}"
            );
        }
    }
}

#[tokio::test]
async fn what_was_written_already_is_used_and_not_needed_again() {
    let (store, clock) = healthy();
    let applied = migrate(&store, &clock, &["-n", "ns-ada", "apply"]).await;
    println!("{}{}", applied.err, applied.out);
    applied.end.unwrap();
    put(
        &store,
        counted("ns-ada", "count/virtualservices.networking.istio.io", "1", "1"),
    );
    put(&store, counted("istio-system", "count/secrets", "1", "1"));
    assert!(!spent(&store, &clock).await);
}
