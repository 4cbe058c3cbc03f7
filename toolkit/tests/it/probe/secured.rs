//! Hosts with TLS, by whatever their certificate comes, and connections that are used for several of them.

use super::edge::{Arrived, Edge, Hands, says};
use super::suites::is;
use super::{ingress, plain, probe, with};
use gradual_rollout_toolkit::trouble::End;
use serde_json::json;

#[tokio::test]
async fn a_host_whose_certificate_is_a_wildcards_or_that_is_an_alias_is_asked_for_over_tls() {
    for (tls, alias) in [
        (json!([{"hosts": ["*.a.com"], "secretName": "wild"}]), ""),
        (json!([{"secretName": "wild"}]), ""),
        (
            json!([{"hosts": ["shop.a.com", "other.a.com"], "secretName": "own"}]),
            "other.a.com",
        ),
    ] {
        let mut object = ingress("ns-ada", "shop.a.com", &["/foo"], &[("server-alias", alias)]);
        object["spec"]["tls"] = tls.clone();
        let (store, clock) = with(vec![object]);
        // The side of nginx speaks TLS for the wildcard, the gateway for no name that it is asked for.
        let names = vec!["*.a.com".to_owned()];
        let hands = |names: Vec<String>| Hands {
            names,
            ..Hands::default()
        };
        let nginx = Edge::start(hands(names), plain).await;
        let istio = Edge::start(hands(vec!["shop.a.com".to_owned()]), plain).await;
        let said = probe(&store, &clock, &nginx, &istio, &["--suite", "ssl-certificates"]).await;
        let count = if alias.is_empty() { 1 } else { 2 };
        assert!(
            said.out.contains(&format!("ssl-certificates {count}")),
            "{tls} {}",
            said.out
        );
        if !alias.is_empty() {
            is(said, End::Refused, "PROBE-CERTIFICATE-NAMES  other.a.com");
        }
        // Nobody listens with TLS, on either side.
        let here = format!("127.0.0.1:{}:1", nginx.http);
        let there = format!("127.0.0.1:{}:2", istio.http);
        let words = ["probe", "--nginx", &here, "--istio", &there, "--suite", "edge"];
        let said = crate::support::migrate(&store, &clock, &words).await;
        println!("{}{}", said.out, said.err);
        is(said, End::Refused, "PROBE-REFUSED  shop.a.com");
    }
}

#[tokio::test]
async fn a_host_that_the_certificate_of_a_connection_stands_for_too_has_to_be_served_over_it() {
    // One Secret's name in two namespaces, and two Secrets in one.
    for (namespace, secrets) in [("ns-bob", ["wild", "wild"]), ("ns-ada", ["wild", "own"])] {
        let two = || {
            let of = |namespace: &str, host: &str, secret: &str| {
                let mut object = ingress(namespace, host, &["/"], &[]);
                object["spec"]["tls"] = json!([{"hosts": [host], "secretName": secret}]);
                object
            };
            with(vec![
                of("ns-ada", "a.w.com", secrets[0]),
                of(namespace, "b.w.com", secrets[1]),
            ])
        };
        let apart = |arrived: &Arrived| {
            let own = arrived.https && arrived.name == arrived.host;
            says(if own && arrived.host != "nobody.invalid" {
                200
            } else {
                404
            })
        };
        let misdirected = move |arrived: &Arrived| match apart(arrived).status {
            404 if arrived.https && arrived.host != "nobody.invalid" => says(421),
            _ => apart(arrived),
        };
        let any = |arrived: &Arrived| match arrived.host.as_str() {
            "nobody.invalid" => says(404),
            _ => says(200),
        };
        let hands = || Hands {
            names: vec!["*.w.com".to_owned()],
            ..Hands::default()
        };
        let run = async |istio: Edge| {
            let (store, clock) = two();
            let nginx = Edge::start(hands(), |_| says(404)).await;
            probe(&store, &clock, &nginx, &istio, &["--suite", "multi-tenant"]).await
        };
        let line =
            "PROBE-REUSED  a.w.com: GET https://a.w.com/ over TLS to b.w.com: nginx: not asked; istio: 404";
        is(run(Edge::start(hands(), apart).await).await, End::Refused, line);
        is(
            run(Edge::start(hands(), misdirected).await).await,
            End::Done,
            "alike",
        );
        is(run(Edge::start(hands(), any).await).await, End::Done, "alike");
    }
}
