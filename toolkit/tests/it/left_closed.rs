//! What `migrate apply` leaves closed, and what a dry run at the API server finds out.

use crate::apply::{ING, VS, marked, open, tenants};
use crate::objects::deployment;
use crate::support::migrate;
use gradual_rollout_apiserver::{Action, Failure, Fault};
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};

#[tokio::test(start_paused = true)]
async fn a_host_whose_certificate_cannot_be_copied_is_not_opened_and_the_rest_is() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    let mut shop = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    shop["spec"]["tls"] = json!([{"hosts": ["shop.ns-a.example.com"]}]);
    store.put(shop).unwrap();
    let mut other = Value::clone(&store.get(ING, "ns-b", "shop").unwrap());
    other["spec"]["tls"] = json!([{"hosts": ["shop.ns-b.example.com"], "secretName": "shop-tls"}]);
    store.put(other).unwrap();
    let certificate = |namespace: &str, name: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"namespace": namespace, "name": name},
            "stringData": {"tls.crt": format!("crt of {namespace}"), "tls.key": "key"}})
    };
    store.put(certificate("ns-b", "shop-tls")).unwrap();
    // What nginx shows where an Ingress names no Secret, and what is not there.
    store.namespace("ingress-nginx");
    let mut controller = deployment("ingress-nginx", "nginx");
    controller["spec"]["template"]["spec"]["containers"][0]["args"] = json!([
        "/nginx-ingress-controller",
        "--default-ssl-certificate=ingress-nginx/usual"
    ]);
    store.put(controller).unwrap();
    let said = migrate(&store, &clock, &["apply", "--all"]).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("APPLY-CERTIFICATE-GONE") && said.err.contains("Secret ingress-nginx/usual"),
        "{}",
        said.err
    );
    assert_eq!(open(&store), ["ns-b/shop.ns-b.example.com"]);
    assert!(!marked(&store, "ns-a", "shop") && marked(&store, "ns-b", "shop"));
    store.put(certificate("ingress-nginx", "usual")).unwrap();
    let said = migrate(&store, &clock, &["apply", "--all"]).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(
        open(&store),
        ["ns-a/shop.ns-a.example.com", "ns-b/shop.ns-b.example.com"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_at_the_api_server_finds_what_it_would_refuse_and_one_that_asks_nobody_does_not() {
    let (store, clock) = tenants(&["ns-a"]);
    store.inject(
        Fault::new(Action::Fail(Failure::new(
            422,
            "Invalid",
            "admission webhook \"validation.istio.io\" denied the request: no",
        )))
        .verb("patch")
        .resource(VS),
    );
    let version = store.version();
    let asks_nobody = migrate(&store, &clock, &["-n", "ns-a", "apply", "--dry-run"]).await;
    assert_eq!(asks_nobody.end.unwrap(), End::Done);
    let asks = migrate(&store, &clock, &["-n", "ns-a", "apply", "--dry-run=server"]).await;
    println!("{}{}", asks.err, asks.out);
    assert_ne!(asks.end.unwrap(), End::Done);
    assert!(asks.err.contains("validation.istio.io"), "{}", asks.err);
    assert_eq!(store.version(), version);
}
