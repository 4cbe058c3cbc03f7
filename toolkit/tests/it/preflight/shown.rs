//! Certificates that Gateways show: Istio reads them where the gateway's pods are.

use super::healthy::*;
use super::{found, healthy};
use crate::kinds::put;
use crate::objects::custom;
use serde_json::json;

#[tokio::test]
async fn a_certificate_is_looked_for_where_the_pods_of_its_gateway_are() {
    for (namespace, missing) in [("istio-system", false), ("ns-ada", true)] {
        let (store, clock) = healthy();
        let spec = json!({"selector": {"istio": "ingressgateway"}, "servers": [{
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
            "hosts": ["ns-ada/own.a.com"], "tls": {"mode": "SIMPLE", "credentialName": "own-tls"}}]});
        put(
            &store,
            custom("networking.istio.io/v1", "Gateway", "ns-ada", "ada", spec),
        );
        put(&store, secret(namespace, "own-tls", &["own.a.com"], 2027));
        let (codes, said) = found(&store, &clock).await;
        let at = "Secret istio-system/own-tls".to_owned();
        let told = codes.contains(&("SECRET-MISSING".to_owned(), at));
        assert_eq!(told, missing, "{codes:?} {}", said.out);
        let at = "Secret ns-ada/own-tls".to_owned();
        assert!(!codes.contains(&("SECRET-MISSING".to_owned(), at)), "{codes:?}");
    }
}
