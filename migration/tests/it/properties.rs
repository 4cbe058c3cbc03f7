//! Whatever is given: the order of the input has no influence, the objects keep Istio's rules, no path is forgotten.

use crate::given::{Done, Ingress, convert_with, secret, service};
use gradual_rollout_migration::convert::{GatewayApi, Options, Target, convert, plan};
use gradual_rollout_migration::input::{self, Source};
use gradual_rollout_migration::istio::{to_json, to_yaml};
use gradual_rollout_migration::report::{Outcome, PathResult};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOTES: &[(&str, &str)] = &[
    ("rewrite-target", "/$1"),
    ("rewrite-target", "/"),
    ("use-regex", "true"),
    ("ssl-redirect", "false"),
    ("force-ssl-redirect", "true"),
    ("backend-protocol", "GRPC"),
    ("backend-protocol", "HTTPS"),
    ("backend-protocol", "WS"),
    ("enable-cors", "true"),
    ("whitelist-source-range", "10.0.0.0/8"),
    ("denylist-source-range", "::1"),
    ("canary", "true"),
    ("canary-weight", "20"),
    ("canary-by-header", "x"),
    ("affinity", "cookie"),
    ("permanent-redirect", "https://x.org"),
    ("app-root", "/app"),
    ("auth-url", "http://a"),
    ("proxy-body-size", "1m"),
    ("server-alias", "b.com"),
    ("from-to-www-redirect", "true"),
    ("configuration-snippet", "more_set_headers \"A: b\";"),
    ("odd", "x"),
    ("upstream-vhost", "h"),
    ("proxy-next-upstream", "off"),
    ("ssl-passthrough", "true"),
];

const PATHS: &[&str] = &[
    "/",
    "",
    "/foo",
    "/foo/",
    "/foo/bar",
    "/bar(/|$)(.*)",
    "/(.*)",
    "/a|/b",
    "/x(?=y)",
    "/%20",
    "/*",
    "/foo*",
];

const HOSTS: &[&str] = &["a.com", "b.com", "*.a.com", "x.a.com", "www.a.com", ""];

fn ingress() -> impl Strategy<Value = Ingress> {
    let path = (0..HOSTS.len(), 0..PATHS.len(), any::<bool>(), 0..3_u8);
    let notes = prop::collection::vec(0..NOTES.len(), 0..4);
    let key = ("[ab]", "[a-f]");
    (
        key,
        prop::collection::vec(path, 0..4),
        notes,
        1..4_u8,
        prop::option::of(0..2_u8),
        any::<bool>(),
    )
        .prop_map(|((namespace, name), paths, notes, day, tls, default)| {
            let mut ingress = Ingress::new(&format!("{namespace}/{name}")).day(day);
            for (host, path, exact, service) in paths {
                let kind = if exact { "Exact" } else { "Prefix" };
                ingress = ingress.path(HOSTS[host], kind, PATHS[path], &format!("s{service}"));
            }
            for note in notes {
                ingress = ingress.note(NOTES[note].0, NOTES[note].1);
            }
            if let Some(tls) = tls {
                ingress = ingress.tls(&["a.com", "*.a.com"], &format!("t{tls}"));
            }
            if default { ingress.default("s9") } else { ingress }
        })
}

fn converted(ingresses: &[Ingress]) -> (Done, String) {
    let on = Options {
        controller_flags: vec!["enable-ssl-passthrough".to_owned()],
        ..Options::default()
    };
    // Checks rules and that each path has one result.
    let done = convert_with(ingresses, &[secret("a/t0")], &on);
    let report = serde_json::to_string(&done.conversion.report).unwrap();
    let text = format!(
        "{}{}{report}",
        to_yaml(&done.conversion.objects).unwrap(),
        to_json(&done.conversion.objects).unwrap()
    );
    (done, text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_order_of_the_input_has_no_influence_and_istio_takes_what_comes_out(
        ingresses in prop::collection::vec(ingress(), 0..6),
        seed in any::<prop::sample::Index>(),
    ) {
        let mut ingresses = ingresses;
        ingresses.sort_by_key(|i| i.0["metadata"].to_string());
        ingresses.dedup_by_key(|i| (i.0["metadata"]["namespace"].clone(), i.0["metadata"]["name"].clone()));
        let (done, first) = converted(&ingresses);
        let mut turned = ingresses.clone();
        if !turned.is_empty() {
            let by = seed.index(turned.len());
            turned.rotate_left(by);
            turned.reverse();
        }
        let (_, second) = converted(&turned);
        prop_assert!(first == second, "{first}\n{second}");
        for path in done.conversion.report.ingresses.iter().flat_map(|ingress| &ingress.paths) {
            let named = path.virtual_service.as_ref();
            let exists = |key: &String| done.objects("VirtualService").iter().any(|object| {
                let text = |field: &str| object["metadata"][field].as_str().unwrap().to_owned();
                *key == format!("{}/{}", text("namespace"), text("name"))
            });
            prop_assert!(named.is_none_or(exists), "{path:?}");
            prop_assert!(named.is_some() || !path.codes.is_empty(), "{path:?} has neither object nor reason");
        }
        for ingress in &done.conversion.report.ingresses {
            for path in ingress.paths.iter().filter(|path| path.outcome == Outcome::Refused) {
                let text = if path.path.is_empty() { "/" } else { &path.path };
                let name = format!("{}/{} {text}", ingress.namespace, ingress.name);
                // The same path as the other type is another location, and so is the root that the default back end has.
                let same = |other: &&PathResult| {
                    other.host == path.host && other.path == path.path || text == "/" && other.field == "spec.defaultBackend"
                };
                let alone = ingress.paths.iter().filter(same).count() == 1;
                let served = done.objects("VirtualService").iter().any(|object| {
                    let spec = &object["spec"];
                    let routes = spec["http"].as_array().into_iter().flatten();
                    spec["hosts"][0] == path.host && routes.clone().any(|route| route["name"] == name && route.get("route").is_some())
                });
                prop_assert!(!(alone && served), "{path:?} is refused and served");
            }
        }
    }
}

#[test]
fn yaml_is_read_back_as_the_same_objects() {
    let ingress =
        Ingress::new("a/x")
            .note("rewrite-target", "/$2")
            .path("a.com", "Prefix", "/bar(/|$)(.*)", "s");
    let (done, _) = converted(&[ingress]);
    let yaml = to_yaml(&done.conversion.objects).unwrap();
    let read: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
    assert_eq!(read, done.conversion.objects);
}

#[test]
fn objects_one_by_one_are_the_same_as_all_at_once() {
    let targets = [Target::Istio, Target::GatewayApi(GatewayApi::default())];
    for target in targets {
        let options = Options {
            target,
            ..Options::default()
        };
        let ingress = Ingress::new("a/x")
            .tls(&["a.com"], "t")
            .path("a.com", "Prefix", "/", "s")
            .path("b.com", "Prefix", "/", "s");
        let text =
            json!({"kind": "List", "apiVersion": "v1", "items": [ingress.0, service("a/s"), secret("a/t")]});
        let inventory = input::read(&[Source {
            name: "given".to_owned(),
            text: text.to_string(),
        }]);
        let plan = plan(&inventory, &options).unwrap();
        let all = convert(&inventory, &options).unwrap();
        let documents: Vec<String> = plan.objects.yaml().map(Result::unwrap).collect();
        assert_eq!(documents.concat(), to_yaml(&all.objects).unwrap());
        assert_eq!((plan.report, plan.broken), (all.report, Vec::new()));
        assert!(!plan.objects.is_empty());
    }
}
