//! What is lost of the controller's own settings, and hosts without a certificate, told where something is written.

use crate::apply::{VS, marked, open, tenants};
use crate::support::migrate;
use gradual_rollout_apiserver::Store;
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};

fn configured(store: &Store, data: &Value) {
    store.namespace("ingress-nginx");
    store
        .put(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": "ingress-nginx", "name": "ingress-nginx-controller"}, "data": data}))
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn plugins_of_the_controller_keep_a_batch_closed_and_what_else_is_lost_is_told() {
    let (store, clock) = tenants(&["ns-a"]);
    configured(
        &store,
        &json!({"plugins": "crowdsec", "hide-headers": "Server", "main-snippet": "x on;"}),
    );
    let said = migrate(&store, &clock, &["apply", "--all"]).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Refused);
    for line in [
        "blocker  APPLY-CONTROLLER  controller: data.plugins = crowdsec: ",
        "warning  APPLY-CONTROLLER  controller: data.hide-headers = Server: ",
        "warning  APPLY-CONTROLLER  controller: data.main-snippet = x on;: ",
        "info     APPLY-CONTROLLER  controller: what nginx does for every host",
        "APPLY-REFUSED  Ingress ns-a/shop: left out, as it cannot be converted whole: CONTROLLER-SECURITY",
    ] {
        assert!(said.err.contains(line), "{line}: {}", said.err);
    }
    assert!(store.list(VS).is_empty() && !marked(&store, "ns-a", "shop"));
    let accepting = ["apply", "--all", "--accept", "CONTROLLER-SECURITY"];
    let said = migrate(&store, &clock, &accepting).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    let line = "warning  APPLY-CONTROLLER  controller: data.plugins = crowdsec: ";
    assert!(said.err.contains(line), "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_certificate_nobody_names_is_not_opened_nor_marked() {
    let (store, clock) = tenants(&["ns-a"]);
    let mut shop = Value::clone(&store.get(crate::apply::ING, "ns-a", "shop").unwrap());
    shop["spec"]["tls"] = json!([{"hosts": ["shop.ns-a.example.com"]}]);
    store.put(shop).unwrap();
    let said = migrate(&store, &clock, &["apply", "--all"]).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(
        said.err
            .contains("cannot be converted whole: TLS-REDIRECT-NOWHERE"),
        "{}",
        said.err
    );
    assert!(open(&store).is_empty() && store.list(VS).is_empty() && !marked(&store, "ns-a", "shop"));
    store
        .put(json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"namespace": "ns-a", "name": "wild"}, "data": {"tls.crt": "eA==", "tls.key": "eA=="}}))
        .unwrap();
    let given = ["apply", "--all", "--default-certificate", "ns-a/wild"];
    let said = migrate(&store, &clock, &given).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(marked(&store, "ns-a", "shop"));
    let gateway = store.list(crate::apply::GW).remove(0);
    assert!(gateway.to_string().contains("credentialName"), "{gateway}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_name_of_a_batch_is_said_to_be_one() {
    let (store, clock) = tenants(&["ns-a"]);
    let said = migrate(&store, &clock, &["apply", "--batch", "ns-a,"]).await;
    let why = said.end.unwrap_err().to_string();
    assert!(why.contains("--batch has an empty name"), "{why}");
    assert!(store.list(VS).is_empty());
}
