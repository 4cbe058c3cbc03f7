//! One defect at a time in a healthy cluster, and the code it has.

use super::healthy::*;
use super::{found, healthy};
use crate::kinds::put;
use serde_json::{Value, json};

/// Puts `objects` into a healthy cluster and demands exactly these findings, each with its object.
async fn with(objects: Vec<Value>, wanted: &[(&str, &str)]) {
    let (store, clock) = healthy();
    for object in objects.clone() {
        put(&store, object);
    }
    let (codes, said) = found(&store, &clock).await;
    let codes: Vec<(&str, &str)> = codes
        .iter()
        .map(|(code, object)| (code.as_str(), object.as_str()))
        .collect();
    assert_eq!(codes, wanted, "with {objects:#?}: {}", said.out);
}

const CONTROLLER: &str = "Deployment ingress-nginx/ingress-nginx-controller";
const CONFIG: &str = "--configmap=ingress-nginx/settings";
const METRICS: &str = "--enable-metrics=true";

#[tokio::test]
async fn a_wildcard_by_http01_is_a_blocker_and_one_by_dns01_none() {
    let wildcard = certificate("ns-ada", "shop", &["*.a.com", "a.com"], "acme");
    let http = json!([{"http01": {"ingress": {"ingressClassName": "istio"}}}]);
    with(
        vec![issuer("acme", http.clone()), wildcard.clone()],
        &[("WILDCARD-HTTP01", "Certificate ns-ada/shop")],
    )
    .await;
    with(vec![wildcard], &[]).await;
    with(vec![issuer("acme", http)], &[]).await;
}

#[tokio::test]
async fn certificates_that_end_or_have_other_names_are_told() {
    let at = "Secret ns-ada/shop-tls";
    with(
        vec![secret("ns-ada", "shop-tls", &["shop.a.com"], 2025)],
        &[("CERTIFICATE-EXPIRED", at)],
    )
    .await;
    with(
        vec![secret("ns-ada", "shop-tls", &["other.a.com"], 2027)],
        &[("CERTIFICATE-NAMES", at)],
    )
    .await;
    let mut broken = secret("ns-ada", "shop-tls", &["shop.a.com"], 2027);
    broken["data"]["tls.crt"] = "bm9uc2Vuc2U=".into();
    with(vec![broken], &[("SECRET-BROKEN", at)]).await;
    let (store, clock) = healthy();
    store.delete("secrets", "ns-ada", "shop-tls").unwrap();
    let (codes, _) = found(&store, &clock).await;
    assert!(
        codes.contains(&("SECRET-MISSING".to_owned(), at.to_owned())),
        "{codes:?}"
    );
    // Nothing is due in January that ends in March, unless a quarter is looked ahead.
    let words = ["--json", "preflight", "--expires-within", "800"];
    let said = crate::support::migrate(&healthy().0, &clock, &words).await;
    assert!(said.out.contains("CERTIFICATE-EXPIRES"), "{}", said.out);
}

#[tokio::test]
async fn issuers_that_are_gone_or_go_with_nginx_are_told() {
    with(
        vec![certificate("ns-ada", "shop", &["shop.a.com"], "other")],
        &[("ISSUER-MISSING", "Certificate ns-ada/shop")],
    )
    .await;
    let by_nginx = json!([{"http01": {"ingress": {"class": "nginx"}}}]);
    with(
        vec![issuer("acme", by_nginx)],
        &[("ISSUER-SOLVES-BY-NGINX", "ClusterIssuer acme")],
    )
    .await;
    let mut pending = certificate("ns-ada", "shop", &["shop.a.com"], "acme");
    pending["status"] = json!({"conditions": [{"type": "Ready", "status": "False", "message": "pending"}]});
    with(
        vec![pending],
        &[("CERTIFICATE-NOT-READY", "Certificate ns-ada/shop")],
    )
    .await;
}

#[tokio::test]
async fn flags_of_the_controller_that_matter_are_told() {
    let all = |flag: &'static str| vec![controller(&[CONFIG, METRICS, flag])];
    with(vec![controller(&[CONFIG])], &[("NGINX-METRICS-OFF", CONTROLLER)]).await;
    with(
        all("--watch-namespace=ns-ada"),
        &[("NGINX-ONE-NAMESPACE", CONTROLLER)],
    )
    .await;
    with(
        all("--disable-svc-external-name"),
        &[("NGINX-EXTERNAL-NAME-OFF", CONTROLLER)],
    )
    .await;
    with(all("--sync-rate-limit=0.05"), &[("NGINX-SYNC-SLOW", CONTROLLER)]).await;
    with(all("--enable-ssl-passthrough"), &[("NGINX-SETTING", CONTROLLER)]).await;
    with(
        all("--default-ssl-certificate=ingress-nginx/none"),
        &[("NGINX-CERTIFICATE-MISSING", CONTROLLER)],
    )
    .await;
    let (store, clock) = healthy();
    put(&store, controller(&[METRICS, "--configmap=ingress-nginx/other"]));
    let (codes, _) = found(&store, &clock).await;
    assert!(
        codes.contains(&("NGINX-CONFIG-MISSING".to_owned(), CONTROLLER.to_owned())),
        "{codes:?}"
    );
}

#[tokio::test]
async fn settings_of_the_controller_that_matter_are_told() {
    let at = "ConfigMap ingress-nginx/settings";
    for (key, value, code) in [
        ("use-proxy-protocol", "true", "NGINX-PROXY-PROTOCOL"),
        ("use-forwarded-headers", "true", "NGINX-FORWARDED"),
        ("hsts-max-age", "60", "NGINX-SETTING"),
        ("block-user-agents", "curl", "NGINX-GUARD"),
    ] {
        let (store, clock) = healthy();
        put(&store, settings(json!({ key: value })));
        let (codes, said) = found(&store, &clock).await;
        assert!(
            codes.contains(&(code.to_owned(), at.to_owned())),
            "{key}: {}",
            said.out
        );
    }
    let streams = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": "ingress-nginx", "name": "tcp"}, "data": {"5432": "ns-ada/pg:5432"}});
    let flagged = controller(&[CONFIG, METRICS, "--tcp-services-configmap=ingress-nginx/tcp"]);
    with(
        vec![streams, flagged],
        &[("NGINX-STREAMS", "ConfigMap ingress-nginx/tcp")],
    )
    .await;
}

#[tokio::test]
async fn a_controller_that_is_down_and_a_second_one_are_told() {
    let mut down = controller(&[CONFIG, METRICS]);
    down["status"]["readyReplicas"] = 0.into();
    with(vec![down], &[("NGINX-DOWN", CONTROLLER)]).await;
    let mut second = controller(&[CONFIG, METRICS]);
    second["metadata"]["name"] = "second".into();
    with(vec![second], &[("NGINX-SEVERAL", "cluster")]).await;
}

#[tokio::test]
async fn what_cannot_be_split_shares_upstreams_or_has_no_back_end_is_told() {
    let shop = |annotations: Value| vec![ingress("ns-ada", "shop", "shop.a.com", annotations, "shop")];
    with(
        shop(json!({"affinity": "cookie"})),
        &[
            ("INGRESS-APPROXIMATED", "AFFINITY-RESET"),
            ("SPLIT-STICKY", "Ingresses"),
        ],
    )
    .await;
    let (store, clock) = healthy();
    put(&store, shop(json!({"upstream-vhost": "x.internal"})).remove(0));
    let (codes, _) = found(&store, &clock).await;
    assert!(
        codes.iter().any(|(code, _)| code == "SPLIT-INELIGIBLE"),
        "{codes:?}"
    );
    with(
        vec![
            ingress("ns-ada", "second", "second.a.com", json!({}), "shop"),
            secret("ns-ada", "second-tls", &["second.a.com"], 2027),
        ],
        &[("UPSTREAM-SHARED", "Service ns-ada/shop:80")],
    )
    .await;
    let mut idle = slice("ns-ada", "shop");
    idle["endpoints"][0]["conditions"]["ready"] = false.into();
    with(vec![idle], &[("BACKEND-DOWN", "Service ns-ada/shop")]).await;
    let (store, clock) = healthy();
    put(&store, ingress("ns-ada", "shop", "shop.a.com", json!({}), "gone"));
    let (codes, _) = found(&store, &clock).await;
    assert!(
        codes.contains(&("BACKEND-MISSING".to_owned(), "Service ns-ada/gone".to_owned())),
        "{codes:?}"
    );
    assert!(
        codes.iter().any(|(code, _)| code == "INGRESS-REFUSED"),
        "{codes:?}"
    );
}

#[tokio::test]
async fn canaries_owners_and_hosts_in_two_namespaces_are_told() {
    let (store, clock) = healthy();
    put(
        &store,
        ingress(
            "ns-ada",
            "canary",
            "shop.a.com",
            json!({"canary": "true", "canary-weight": "10"}),
            "shop",
        ),
    );
    put(&store, secret("ns-ada", "canary-tls", &["shop.a.com"], 2027));
    put(&store, ingress("ns-bob", "shop", "shop.a.com", json!({}), "shop"));
    let mut owned = ingress(
        "ns-ada",
        "shop",
        "shop.a.com",
        json!({"server-snippet": "x"}),
        "shop",
    );
    owned["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "Helm"});
    owned["metadata"]["annotations"]["external-dns.alpha.kubernetes.io/target"] = "x".into();
    put(&store, owned);
    let (codes, said) = found(&store, &clock).await;
    for code in [
        "CANARY-PRESENT",
        "HOST-OWNERS",
        "INGRESS-MANAGED",
        "EXTERNAL-DNS",
        "SNIPPET-INERT",
    ] {
        assert!(
            codes.iter().any(|(found, _)| found == code),
            "{code}: {}",
            said.out
        );
    }
}

#[tokio::test]
async fn a_control_plane_that_is_ill_is_told() {
    let labels = || json!({"app": "istiod"});
    let old = workload(
        "istio-system",
        "istiod",
        labels(),
        json!({"containers": [{"name": "d", "image": "istio/pilot:1.20.1"}]}),
    );
    with(vec![old], &[("ISTIO-OLD", "Deployment istio-system/istiod")]).await;
    let mut down = workload("istio-system", "istiod", labels(), json!({}));
    down["status"]["readyReplicas"] = 0.into();
    with(vec![down], &[("ISTIOD-DOWN", "Deployment istio-system/istiod")]).await;
    let mut idle = slice("istio-system", "istiod");
    idle["endpoints"][0]["conditions"]["ready"] = false.into();
    let webhook = "ValidatingWebhookConfiguration istio-validator-istio-system";
    with(vec![idle], &[("ISTIO-WEBHOOK-DOWN", webhook)]).await;
    let at = "ConfigMap istio-system/istio";
    with(
        vec![mesh("ingressControllerMode: DEFAULT")],
        &[("ISTIO-SERVES-INGRESSES", at), ("ISTIO-SLASHES", at)],
    )
    .await;
    with(
        vec![mesh("ingressClass: nginx")],
        &[("ISTIO-SERVES-INGRESSES", at), ("ISTIO-SLASHES", at)],
    )
    .await;
    let trusted = "pathNormalization: {normalization: MERGE_SLASHES}\ndefaultConfig: {gatewayTopology: {numTrustedProxies: 1}}\nextensionProviders: [{name: authz}]\n";
    with(
        vec![mesh(trusted)],
        &[("ISTIO-SETTING", at), ("ISTIO-SETTING", at)],
    )
    .await;
    with(vec![mesh("a: [")], &[("ISTIO-CONFIG-UNREAD", at)]).await;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "stable-channel-default-policy.istio.io"},
        "spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": ["networking.istio.io"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["*"]},
            ]},
            "validations": [{"expression": "object.kind != 'EnvoyFilter'"}],
        },
    });
    with(
        vec![policy],
        &[(
            "ISTIO-FILTERS-FORBIDDEN",
            "ValidatingAdmissionPolicy stable-channel-default-policy.istio.io",
        )],
    )
    .await;
}

#[tokio::test]
async fn a_gateway_that_is_not_ready_for_the_hosts_is_told() {
    let pods = "Deployment istio-system/istio-ingressgateway";
    let service = "Service istio-system/istio-ingressgateway";
    with(vec![gateway_pods(0)], &[("GATEWAY-DOWN", pods)]).await;
    with(vec![gateway_pods(1)], &[("GATEWAY-SINGLE", pods)]).await;
    with(
        vec![gateway_service(json!([{"port": 80}]))],
        &[("GATEWAY-PORT-MISSING", service)],
    )
    .await;
    let mut waiting = gateway_service(json!([{"name": "a", "port": 80}, {"name": "b", "port": 443}]));
    waiting["status"] = json!({"loadBalancer": {}});
    with(vec![waiting], &[("GATEWAY-ADDRESS-MISSING", service)]).await;
    let mut both = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ingress-nginx", "name": "edge"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "ingress-nginx"}, "ports": [{"port": 80}]}});
    both["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
    let mut one = gateway_service(json!([{"name": "a", "port": 80}, {"name": "b", "port": 443}]));
    one["spec"]["ipFamilies"] = json!(["IPv4"]);
    with(vec![both, one], &[("GATEWAY-FAMILY", service)]).await;
    let mut listed = ingress("ns-ada", "shop", "shop.a.com", json!({}), "shop");
    listed["metadata"]["annotations"]["nginx.ingress.kubernetes.io/whitelist-source-range"] =
        "10.0.0.0/8".into();
    let mut local = gateway_service(json!([{"name": "a", "port": 80}, {"name": "b", "port": 443}]));
    local["spec"]["externalTrafficPolicy"] = "Local".into();
    // How `convert` judges addresses is said in any case.
    let judged = ("INGRESS-APPROXIMATED", "CLIENT-ADDRESS");
    with(
        vec![listed.clone()],
        &[("GATEWAY-CLIENT-ADDRESS", service), judged],
    )
    .await;
    with(vec![listed, local], &[judged]).await;
    let other = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"namespace": "istio-system", "name": "other"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [{
            "hosts": ["ns-ada/shop.a.com"], "port": {"number": 443, "name": "h", "protocol": "HTTPS"},
            "tls": {"mode": "SIMPLE", "credentialName": "own"},
        }]},
    });
    with(
        vec![other, secret("istio-system", "own", &["shop.a.com"], 2027)],
        &[("GATEWAY-HOST-TAKEN", "Gateway istio-system/other")],
    )
    .await;
    let routed = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": "ns-ada", "name": "mine"}, "spec": {"hosts": ["shop.a.com"]}});
    with(vec![routed], &[("HOST-ROUTED", "VirtualService ns-ada/mine")]).await;
    let on_node = |mut workload: Value| {
        workload["spec"]["template"]["spec"]["containers"][0]["ports"] =
            json!([{"containerPort": 443, "hostPort": 443, "protocol": "TCP"}]);
        workload
    };
    with(
        vec![on_node(gateway_pods(2)), on_node(controller(&[CONFIG, METRICS]))],
        &[("PORT-CONFLICT", pods)],
    )
    .await;
}

#[tokio::test]
async fn external_dns_that_reads_ingresses_is_told() {
    let containers = json!([{"name": "dns", "image": "x", "args": ["--source=service", "--source=ingress"]}]);
    with(
        vec![workload(
            "dns",
            "external-dns",
            json!({"app": "dns"}),
            json!({"containers": containers}),
        )],
        &[("EXTERNAL-DNS", "Deployment dns/external-dns")],
    )
    .await;
}

#[tokio::test]
async fn the_platform_and_its_tenants_are_looked_at() {
    let plain = workload(
        "sealos-system",
        "terminal-controller",
        json!({"app": "terminal-controller"}),
        json!({}),
    );
    with(
        vec![plain.clone()],
        &[(
            "CONTROLLER-NOT-DUAL",
            "Deployment sealos-system/terminal-controller",
        )],
    )
    .await;
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": "sealos-system", "name": "terminal-controller-config"},
        "data": {"networking_mode": "ingress"}});
    with(vec![plain, config], &[]).await;
    with(
        vec![service("ns-ada", "minio", "LoadBalancer")],
        &[("TENANT-LOAD-BALANCER", "Service ns-ada/minio")],
    )
    .await;
    with(
        vec![quota("ns-ada", json!({"pods": "5"}))],
        &[("QUOTA-OPEN", "tenants")],
    )
    .await;
    let full = json!({"services.loadbalancers": "0", "count/virtualservices.networking.istio.io": "0"});
    with(
        vec![quota("ns-ada", full)],
        &[("QUOTA-SPENT", "ResourceQuota ns-ada/tenant")],
    )
    .await;
    let mut small = node();
    small["status"]["allocatable"]["cpu"] = "7".into();
    with(vec![small], &[("CAPACITY-LOW", "cluster")]).await;
    let (store, clock) = healthy();
    store
        .delete("deployments.apps", "sealos-system", "resources-controller")
        .unwrap();
    let (codes, _) = found(&store, &clock).await;
    assert_eq!(codes.len(), 1);
    assert_eq!(codes[0].0, "CONTROLLER-MISSING");
}
