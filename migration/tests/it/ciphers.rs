//! Lists of ciphers: what of them a Gateway's servers have, and what is told.

use crate::given::{Ingress, config, convert_all, convert_with};
use gradual_rollout_migration::convert::{Conversion, GatewayApi, Options, Target};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const TWO: &str = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384";

fn two() -> Value {
    json!(["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"])
}

/// An Ingress of one host, with a certificate.
fn host(name: &str, secret: &str, ciphers: Option<&str>) -> Ingress {
    let host = format!("{name}.com");
    let ingress = Ingress::new(&format!("a/{name}")).tls(&[&host], secret);
    let ingress = ingress.path(&host, "Prefix", "/", "s");
    match ciphers {
        Some(list) => ingress.note("ssl-ciphers", list),
        None => ingress,
    }
}

/// The ciphers of each server with TLS, by its Secret.
fn ciphers(conversion: &Conversion) -> BTreeMap<String, Value> {
    let gateways = conversion.objects.iter().filter(|one| one["kind"] == "Gateway");
    let servers = gateways.flat_map(|one| one["spec"]["servers"].as_array().unwrap());
    let secured = servers.filter(|server| server["tls"]["credentialName"].is_string());
    secured
        .map(|server| {
            let name = server["tls"]["credentialName"].as_str().unwrap();
            (
                name.rsplit_once('-').unwrap().0.to_owned(),
                server["tls"]["cipherSuites"].clone(),
            )
        })
        .collect()
}

/// Codes and details about ciphers, of an Ingress or the controller.
fn told(conversion: &Conversion) -> Vec<(String, String)> {
    let report = serde_json::to_value(&conversion.report).unwrap();
    let all = report["ingresses"].as_array().unwrap().iter();
    let entries = all.flat_map(|one| one["entries"].as_array().unwrap());
    entries
        .chain(report["controller"].as_array().unwrap())
        .filter(|entry| entry["code"].as_str().unwrap().starts_with("TLS-CIPHERS"))
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            (text("code"), text("detail"))
        })
        .collect()
}

fn of(ingresses: &[Ingress]) -> Conversion {
    convert_all(ingresses).conversion
}

#[test]
fn a_list_of_names_is_that_of_the_hosts_server_and_nothing_is_told() {
    let conversion = of(&[host("x", "t", Some(TWO)), host("y", "u", None)]);
    let found = ciphers(&conversion);
    assert_eq!((&found["a-t"], &found["a-u"]), (&two(), &Value::Null));
    assert_eq!(told(&conversion), []);
}

#[test]
fn names_that_envoy_does_not_know_are_left_out_and_told_and_a_list_of_none_is_told_as_a_whole() {
    let list = format!("{TWO}:DHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256:!aNULL");
    let conversion = of(&[host("x", "t", Some(&list))]);
    assert_eq!(ciphers(&conversion)["a-t"], two());
    let detail = "x.com: without DHE-RSA-AES128-GCM-SHA256, TLS_AES_128_GCM_SHA256";
    assert_eq!(
        told(&conversion),
        [("TLS-CIPHERS-PART".to_owned(), detail.to_owned())]
    );
    for list in ["HIGH:!aNULL", "AES128-SHA:!kRSA"] {
        let conversion = of(&[host("x", "t", Some(list))]);
        assert_eq!(ciphers(&conversion)["a-t"], Value::Null, "{list}");
        let told = told(&conversion);
        assert_eq!((told.len(), told[0].0.as_str()), (1, "TLS-CIPHERS"), "{list}");
    }
}

#[test]
fn hosts_of_one_certificate_have_one_list_or_none() {
    let conversion = of(&[host("x", "t", Some(TWO)), host("y", "t", Some(TWO))]);
    assert_eq!(ciphers(&conversion)["a-t"], two());
    for other in [None, Some("AES128-SHA")] {
        let conversion = of(&[host("x", "t", Some(TWO)), host("y", "t", other)]);
        assert_eq!(ciphers(&conversion)["a-t"], Value::Null);
        let told = told(&conversion);
        assert_eq!(told.len(), 1 + usize::from(other.is_some()), "{told:?}");
        assert!(
            told[0].0 == "TLS-CIPHERS" && told[0].1.contains("another host of its certificate"),
            "{told:?}"
        );
    }
}

#[test]
fn the_oldest_ingress_with_a_list_decides_for_its_host() {
    let older = Ingress::new("a/older").day(1).path("x.com", "Prefix", "/o", "s");
    let with = |list| host("x", "t", Some(list)).day(2);
    let mut younger = with("AES128-SHA").day(3);
    younger.0["metadata"]["name"] = "younger".into();
    younger.0["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/y".into();
    let conversion = of(&[older, with(TWO), younger]);
    assert_eq!(ciphers(&conversion)["a-t"], two());
    let detail = "x.com: an older Ingress of the host decides";
    assert_eq!(told(&conversion), [("TLS-CIPHERS".to_owned(), detail.to_owned())]);
}

#[test]
fn the_controllers_list_is_that_of_every_host_that_says_none() {
    let list = format!("{TWO}:DHE-RSA-AES128-GCM-SHA256");
    let with = |ingresses: &[Ingress], target: Target| {
        let options = Options {
            target,
            ..Options::default()
        };
        let map = config(json!({"ssl-ciphers": list}));
        convert_with(ingresses, &[map], &options).conversion
    };
    let own = host("z", "v", Some("AES128-SHA"));
    let conversion = with(&[host("x", "t", None), host("y", "u", None), own], Target::Istio);
    let found = ciphers(&conversion);
    assert_eq!((&found["a-t"], &found["a-u"]), (&two(), &two()));
    assert_eq!(found["a-v"], json!(["AES128-SHA"]));
    let detail = "without DHE-RSA-AES128-GCM-SHA256";
    assert_eq!(
        told(&conversion),
        [("TLS-CIPHERS-PART".to_owned(), detail.to_owned())]
    );
    // Where another host of its certificate says something else it is told of the host that loses it.
    let own = host("y", "t", Some("AES128-SHA"));
    let conversion = with(&[host("x", "t", None), own], Target::Istio);
    assert_eq!(ciphers(&conversion)["a-t"], Value::Null);
    let all = told(&conversion);
    let lost = |name: &str| {
        all.iter()
            .any(|(code, detail)| code == "TLS-CIPHERS" && detail.starts_with(name))
    };
    assert!(
        lost("x.com: another host") && lost("y.com: another host"),
        "{all:?}"
    );
    // The Gateway API has no such field.
    let conversion = with(
        &[host("x", "t", Some(TWO))],
        Target::GatewayApi(GatewayApi::default()),
    );
    let all = told(&conversion);
    assert!(
        all.len() == 2 && all.iter().all(|(code, _)| code == "TLS-CIPHERS"),
        "{all:?}"
    );
}
