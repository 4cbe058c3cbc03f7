//! A Gateway that all batches share, and a certificate of which one of them is without.

use crate::apply::{marked, tenants};
use crate::objects::ingress;
use crate::support::migrate;
use gradual_rollout_toolkit::trouble::End;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn a_certificate_that_another_tenant_lacks_stops_that_one_alone() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    for crd in include_str!("../../../deploy/crd.yaml").split("\n---") {
        store.register_crd(&serde_saphyr::from_str(crd).unwrap()).unwrap();
    }
    store.namespace("sealos-system");
    crate::handing_over::listener(&store);
    for namespace in ["ns-a", "ns-b"] {
        let mut shop = ingress(namespace, "shop");
        let host = format!("shop.{namespace}.example.com");
        shop["spec"]["tls"] = json!([{"hosts": [host], "secretName": "shop-tls"}]);
        store.put(shop).unwrap();
        store
            .put(
                json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {"name": "shop-tls", "namespace": namespace},
                "stringData": {"tls.crt": "crt", "tls.key": "key"}}),
            )
            .unwrap();
    }
    assert_eq!(
        migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap(),
        End::Done
    );
    store.delete("secrets", "ns-b", "shop-tls").unwrap();
    let gateway = store.list("gateways.networking.istio.io")[0]["spec"].clone();
    let words = [
        "-n",
        "ns-a",
        "apply",
        "--unprobed",
        "--rollout",
        "sealos-system/a",
        "--split",
        "istio-system/istio-ingressgateway:8081",
    ];
    let said = migrate(&store, &clock, &words).await;
    println!("{}{}{:?}", said.err, said.out, said.end);
    assert!(
        said.err
            .contains("warning  APPLY-CERTIFICATE-GONE  Secret ns-b/shop-tls"),
        "{}",
        said.err
    );
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.err
            .contains("info     APPLY-HANDED-OVER  GradualRollout sealos-system/a: the daemon is asked to move the traffic of ns-a")
    );
    assert!(
        store
            .get("gradualrollouts.rollout.sealos.io", "sealos-system", "a")
            .is_some()
    );
    assert!(marked(&store, "ns-b", "shop"));
    assert_eq!(store.list("gateways.networking.istio.io")[0]["spec"], gateway);
    let said = migrate(&store, &clock, &["-n", "ns-b", "apply"]).await;
    println!("{}{}{:?}", said.err, said.out, said.end);
    assert!(
        said.err
            .contains("blocker  APPLY-CERTIFICATE-GONE  Secret ns-b/shop-tls"),
        "{}",
        said.err
    );
    assert_ne!(said.end.unwrap(), End::Done);
}
