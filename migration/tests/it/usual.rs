//! What many clusters say and what has an exact counterpart: redirects that keep the path, snippets for WebSockets and addresses,
//! headers of the controller, client certificates that nobody is asked for.

use crate::given::{Done, Ingress, config, convert_all, convert_with};
use gradual_rollout_migration::convert::{GatewayApi, Options, Target};
use serde_json::{Value, json};

fn one() -> Ingress {
    Ingress::new("a/x").path("a.com", "Prefix", "/", "s")
}

fn routes(done: &Done) -> Vec<Value> {
    let services = done.objects("VirtualService");
    let all = services
        .iter()
        .flat_map(|service| service["spec"]["http"].as_array().unwrap());
    all.cloned().collect()
}

fn map(key: &str, data: Value) -> Value {
    let (namespace, name) = key.split_once('/').unwrap();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}, "data": data})
}

#[test]
fn a_redirect_that_keeps_what_was_asked_for_has_no_path_of_its_own() {
    let done = convert_all(&[one().note("permanent-redirect", "https://new.ex.com$request_uri")]);
    let wanted = json!({"scheme": "https", "authority": "new.ex.com", "redirectCode": 301});
    assert_eq!(routes(&done)[0]["redirect"], wanted);
    assert!(!done.told("x", "REDIRECT-QUERY"), "nginx keeps the query too");
    for other in [
        "https://new.ex.com/$request_uri",
        "https://new.ex.com/a$request_uri",
        "https://new.ex.com$uri",
        "https://new.ex.com$request_uri?x=1",
        "https://$host$request_uri",
        "$request_uri",
    ] {
        let done = convert_all(&[one().note("temporal-redirect", other)]);
        assert!(
            done.told("x", "REDIRECT-VARIABLE") && routes(&done).is_empty(),
            "{other}"
        );
    }
}

#[test]
fn a_snippet_that_says_what_the_gateway_does_anyway_or_knows_by_another_name_refuses_nothing() {
    let said = |snippet: &str| convert_all(&[one().note("configuration-snippet", snippet)]);
    let socket = "proxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection \"upgrade\";\n\
        proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";
    let done = said(socket);
    assert!(done.told("x", "SNIPPET-HARMLESS") && !done.told("x", "SNIPPET"));
    assert_eq!(routes(&done)[0].get("headers"), None);
    let done = said("proxy_set_header X-Real-IP $remote_addr; proxy_hide_header X-Powered-By;");
    let headers = &routes(&done)[0]["headers"];
    let address = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%";
    assert_eq!(headers["request"]["set"], json!({"x-real-ip": address}));
    assert_eq!(headers["response"]["remove"], json!(["x-powered-by"]));
    for other in [
        "proxy_set_header Host example.com;",
        "proxy_set_header Host $http_x_host;",
        "proxy_set_header X-Real-IP $http_x_real_ip;",
        "proxy_set_header X-User $remote_user;",
        "proxy_set_header Upgrade $http_upgrade; deny all;",
        "proxy_hide_header X-*y(z);",
    ] {
        assert!(said(other).told("x", "SNIPPET"), "{other}");
    }
    let vhost = one()
        .note("upstream-vhost", "in.example.com")
        .note("configuration-snippet", "proxy_set_header Host $host;");
    assert!(
        convert_all(&[vhost]).told("x", "SNIPPET"),
        "which of two hosts the back end gets is not known"
    );
}

#[test]
fn an_address_that_the_gateway_api_cannot_name_is_taken_away_rather_than_believed() {
    let options = Options {
        target: Target::GatewayApi(GatewayApi::default()),
        ..Options::default()
    };
    let snippet = "proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $remote_addr;";
    let done = convert_with(&[one().note("configuration-snippet", snippet)], &[], &options);
    assert!(done.says("x-real-ip") && !done.says("DOWNSTREAM") && !done.says("x-forwarded-for"));
    let filter = &done.objects("HTTPRoute")[0]["spec"]["rules"][0]["filters"][0]["requestHeaderModifier"];
    assert_eq!(*filter, json!({"remove": ["x-real-ip"]}));
}

#[test]
fn headers_that_the_controller_sets_or_blanks_for_all_are_set_and_blanked_and_no_client_sends_them() {
    let settings = config(json!({"proxy-set-headers": "in/headers", "allow-snippet-annotations": "true"}));
    let headers = map(
        "in/headers",
        json!({"X-Auth-User": "", "X-Env": "prod 100%", "X-Id": "$req_id",
        "Connection": "close", "Host": "x"}),
    );
    let done = convert_with(&[one()], &[settings.clone(), headers], &Options::default());
    let request = routes(&done)[0]["headers"]["request"].clone();
    assert_eq!(request["set"], json!({"x-env": "prod 100%%"}));
    assert_eq!(request["remove"], json!(["x-auth-user", "x-id"]));
    let told = |done: &Done| -> Vec<String> {
        let all = done.conversion.report.controller.iter();
        all.filter(|entry| entry.code.text() == "CONTROLLER-SETTING")
            .map(|entry| entry.detail.clone())
            .collect()
    };
    let lost = told(&done);
    assert_eq!(lost.len(), 3, "{lost:?}");
    assert!(
        lost.iter()
            .all(|detail| !detail.contains("X-Auth-User") && !detail.contains("X-Env"))
    );
    // A snippet of the Ingress says it for itself.
    let own = one().note("configuration-snippet", "proxy_set_header X-Env test;");
    let headers = map("in/headers", json!({"X-Env": "prod"}));
    let done = convert_with(&[own], &[settings.clone(), headers], &Options::default());
    assert_eq!(
        routes(&done)[0]["headers"]["request"]["set"],
        json!({"x-env": "test"})
    );
    let done = convert_with(&[one()], &[settings], &Options::default());
    assert_eq!(told(&done), ["that ConfigMap was not read"]);
}

#[test]
fn that_addresses_are_judged_as_the_gateway_sees_them_is_told_whoever_says_the_list() {
    for key in ["whitelist-source-range", "denylist-source-range"] {
        let settings = config(json!({key: "10.0.0.0/8"}));
        let done = convert_with(&[one()], std::slice::from_ref(&settings), &Options::default());
        assert_eq!(done.objects("AuthorizationPolicy").len(), 1, "{key}");
        assert!(done.told("x", "CLIENT-ADDRESS"), "{key}");
        let entries = &done.ingress("x").entries;
        let entry = entries
            .iter()
            .find(|entry| entry.code.text() == "CLIENT-ADDRESS")
            .unwrap();
        assert_eq!(
            (entry.field.as_str(), entry.value.as_str()),
            (&*format!("ConfigMap data.{key}"), "10.0.0.0/8")
        );
        let own = one().note(key, "172.16.0.0/12");
        let done = convert_with(&[own], &[settings], &Options::default());
        let entries = done.ingress("x").entries.iter();
        let told = entries.filter(|entry| entry.code.text() == "CLIENT-ADDRESS");
        assert_eq!(told.count(), 1, "once, of the list that counts");
    }
}

#[test]
fn a_client_certificate_that_nobody_is_asked_for_is_no_control_and_its_headers_are_not_believed() {
    let authority = |keys: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "a", "name": "ca"}, "data": keys});
    let off = || {
        one()
            .note("auth-tls-secret", "a/ca")
            .note("auth-tls-verify-client", "off")
    };
    let there = authority(json!({"ca.crt": "eA=="}));
    let neighbour = Ingress::new("a/y").path("a.com", "Prefix", "/y", "t");
    let done = convert_with(
        &[off(), neighbour],
        std::slice::from_ref(&there),
        &Options::default(),
    );
    assert!(!done.told("x", "AUTH-TLS") && done.told("x", "NO-COUNTERPART"));
    let all = routes(&done);
    assert_eq!(all.len(), 2);
    for route in all {
        let request = &route["headers"]["request"];
        assert_eq!(
            request["set"],
            json!({"ssl-client-verify": "NONE"}),
            "the authority is the whole server's"
        );
        assert_eq!(request["remove"].as_array().unwrap().len(), 3);
    }
    // Without the Secret nginx answers nobody, and a name that has to match none matches.
    for (ingress, more) in [
        (off(), vec![]),
        (off(), vec![authority(json!({"tls.crt": "eA=="}))]),
        (off().note("auth-tls-match-cn", "CN=x"), vec![there.clone()]),
        (
            one()
                .note("auth-tls-secret", "a/ca")
                .note("auth-tls-verify-client", "optional"),
            vec![there.clone()],
        ),
        (one().note("auth-tls-secret", "a/ca"), vec![there]),
    ] {
        let done = convert_with(&[ingress], &more, &Options::default());
        assert!(done.told("x", "AUTH-TLS") && routes(&done).is_empty());
    }
}
