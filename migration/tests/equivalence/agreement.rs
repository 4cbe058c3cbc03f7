//! Random Ingresses, converted, and asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use gradual_rollout_migration::convert::{Conversion, Options, convert};
use gradual_rollout_migration::input::{self, Source};
use gradual_rollout_migration::model::compare::{Difference, corpus, differences};
use gradual_rollout_migration::model::{Octets, Request, Scheme};
use gradual_rollout_migration::report::Code;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::{Value, json};

use crate::excuses;
use crate::sets;
use crate::support::Ingress;

/// One Ingress set: the objects, and what came of them.
pub(crate) struct World {
    pub(crate) ingresses: Vec<Value>,
    pub(crate) conversion: Conversion,
}

/// The Ingresses with a class, in one namespace or in two, with the Services and Secrets that they name.
fn world(ingresses: Vec<Ingress>, apart: bool) -> World {
    guarded_world(ingresses, apart, &[], ("auth-type", "basic"))
}

/// The same, where some are protected: their back ends are called `guard`, and nginx is not told of the protection.
pub(crate) fn guarded_world(
    ingresses: Vec<Ingress>,
    apart: bool,
    guarded: &[bool],
    guard: (&str, &str),
) -> World {
    world_for(ingresses, apart, guarded, guard, &Options::default())
}

/// The same, converted as it is asked for.
pub(crate) fn world_for(
    ingresses: Vec<Ingress>,
    apart: bool,
    guarded: &[bool],
    (name, text): (&str, &str),
    options: &Options,
) -> World {
    let mut values: Vec<Value> = ingresses.into_iter().map(Ingress::value).collect();
    let mut others = BTreeMap::new();
    for (number, value) in values.iter_mut().enumerate() {
        // A name without a dot is a Service's to Istio; such hosts are refused, and have a test of their own.
        let dotted = value.to_string().replace("\"host\":\"h\"", "\"host\":\"h.com\"");
        *value = serde_json::from_str(&dotted).unwrap();
        value["spec"]["ingressClassName"] = json!("nginx");
        if apart && number % 2 == 1 {
            value["metadata"]["namespace"] = json!("other");
        }
        if guarded.get(number) == Some(&true) {
            name_guard(value);
        }
        let namespace = value["metadata"]["namespace"].clone();
        let rules = value["spec"]["rules"].as_array().cloned().unwrap_or_default();
        let paths = rules
            .iter()
            .filter_map(|rule| rule["http"]["paths"].as_array())
            .flatten();
        let named = paths.map(|path| path["backend"]["service"]["name"].clone());
        let default = value["spec"]["defaultBackend"]["service"]["name"].clone();
        for name in named.chain([default]).filter(Value::is_string) {
            let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name},
                "spec": {"ports": [{"name": "http", "port": 80}]}});
            others.insert(format!("Service {namespace}/{name}"), service);
        }
        for tls in value["spec"]["tls"].as_array_mut().into_iter().flatten() {
            // A certificate for each Ingress, some of them for the hosts of its rules.
            tls["secretName"] = json!(format!("cert{number}"));
            if number > 0 {
                tls["hosts"] = rules
                    .iter()
                    .map(|rule| rule["host"].clone())
                    .filter(Value::is_string)
                    .collect();
            }
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {"namespace": namespace, "name": tls["secretName"]},
                "data": {"tls.crt": "eA==", "tls.key": "eA=="}});
            others.insert(format!("Secret {number}"), secret);
        }
    }
    let mut items = values.clone();
    for (value, _) in items.iter_mut().zip(guarded).filter(|(_, guarded)| **guarded) {
        value["metadata"]["annotations"][format!("nginx.ingress.kubernetes.io/{name}")] = json!(text);
    }
    items.extend(others.into_values());
    let source = Source {
        name: "test".to_owned(),
        text: json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string(),
    };
    let conversion = convert(&input::read(&[source]), options).unwrap();
    World {
        ingresses: values,
        conversion,
    }
}

fn name_guard(value: &mut Value) {
    if let Some(service) = value.pointer_mut("/spec/defaultBackend/service/name") {
        *service = json!("guard");
    }
    for rule in value["spec"]["rules"].as_array_mut().into_iter().flatten() {
        for path in rule["http"]["paths"].as_array_mut().into_iter().flatten() {
            path["backend"]["service"]["name"] = json!("guard");
        }
    }
}

impl World {
    /// Asks both sides for all that is worth asking, and for these requests in clear and over TLS.
    fn differences(&self, requests: &[Request]) -> Vec<Difference> {
        let mut asked = corpus(&self.ingresses);
        for request in requests {
            let mut request = request.clone();
            if ["h", "H:81", "h."].contains(&request.host.as_str()) {
                "h.com".clone_into(&mut request.host);
            }
            let target = String::from_utf8(request.target().0).unwrap();
            asked.push(Request::get(Scheme::Https, &request.host, &target));
            asked.push(Request::get(
                Scheme::Http,
                &request.host,
                "/.well-known/acme-challenge/token",
            ));
            asked.push(request);
        }
        differences(&self.ingresses, &self.conversion.objects, &asked)
    }

    /// The codes about Ingresses that have to do with this host, and those about the controller.
    pub(crate) fn said(&self, host: &str) -> BTreeSet<Code> {
        let report = &self.conversion.report;
        let rules = |ingress: &Value| -> Vec<String> {
            let rules = ingress["spec"]["rules"].as_array().unwrap();
            rules
                .iter()
                .map(|rule| rule["host"].as_str().unwrap_or_default().to_owned())
                .collect()
        };
        let aliases = |ingress: &Value| -> Vec<String> {
            let text =
                ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/server-alias"].as_str();
            text.unwrap_or_default().split(',').map(str::to_owned).collect()
        };
        let is = |name: &String, host: &str| match name.strip_prefix('*') {
            Some(rest) => host.ends_with(rest),
            None => name == host,
        };
        // An alias has the paths of whoever shares a host with the Ingress that asks for it.
        let further = self
            .ingresses
            .iter()
            .filter(|ingress| aliases(ingress).iter().any(|name| is(name, host)));
        let names: BTreeSet<String> = further.flat_map(rules).chain([host.to_owned()]).collect();
        let about = |name: &str| {
            let mut all = self.ingresses.iter();
            let ingress = all.find(|value| value["metadata"]["name"] == name).unwrap();
            let hosts = rules(ingress);
            hosts.is_empty()
                || hosts
                    .iter()
                    .any(|own| own.is_empty() || names.iter().any(|name| is(own, name)))
        };
        let mine = report.ingresses.iter().filter(|ingress| about(&ingress.name));
        let entries = mine
            .flat_map(|ingress| &ingress.entries)
            .chain(&report.controller);
        entries.map(|entry| entry.code).collect()
    }

    /// Whether a server of the gateway speaks TLS under this name.
    fn listens(&self, host: &str) -> bool {
        let gateways = self
            .conversion
            .objects
            .iter()
            .filter(|object| object["kind"] == "Gateway");
        let servers = gateways.flat_map(|gateway| gateway["spec"]["servers"].as_array().unwrap());
        let mut names = servers
            .filter(|server| server["port"]["protocol"] == "HTTPS")
            .flat_map(|server| server["hosts"].as_array().unwrap())
            .map(|name| name.as_str().unwrap().split_once('/').unwrap().1);
        names.any(|name| match name.strip_prefix('*') {
            Some(rest) => host.ends_with(rest),
            None => name == host,
        })
    }

    /// What no excuse covers.
    fn unsaid(&self, requests: &[Request]) -> Vec<Difference> {
        let locations = excuses::locations(&self.ingresses);
        let mut all = self.differences(requests);
        all.retain(|difference| {
            let host = difference.request.host_name();
            !excuses::excused(difference, &self.said(&host), self.listens(&host), &locations)
        });
        all
    }

    fn told(&self, difference: &Difference) -> String {
        format!(
            "{difference}\nsaid: {:?}\n{}\n{}",
            self.said(&difference.request.host_name()),
            serde_json::to_string(&self.ingresses).unwrap(),
            serde_json::to_string(&self.conversion.objects).unwrap(),
        )
    }
}

pub(crate) type Given = (Vec<Ingress>, Vec<Request>, bool);

pub(crate) fn given() -> impl Strategy<Value = Given> {
    let ingresses = prop_oneof![sets::ingresses(), sets::ingresses_with_tls()];
    (ingresses, sets::requests(), any::<bool>())
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The same 300 cases, or as many as `PROPTEST_CASES` says.
pub(crate) fn cases() -> ProptestConfig {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if number("PROPTEST_CASES").is_some() {
        config
    } else {
        ProptestConfig {
            cases: 300,
            rng_seed: RngSeed::Fixed(1),
            ..config
        }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_same_request_meets_the_same_back_end_and_path_or_the_report_says_so(
        (ingresses, requests, apart) in given()
    ) {
        let world = world(ingresses, apart);
        if let Some(difference) = world.unsaid(&requests).first() {
            return Err(TestCaseError::fail(world.told(difference)));
        }
    }
}

#[test]
fn a_wrong_back_end_behind_a_spelling_is_no_effect_of_the_spelling() {
    let ingress = Ingress::named("one")
        .prefix("a.com", "/foo", "s")
        .prefix("a.com", "/", "root");
    let mut world = world(vec![ingress], false);
    let asked = |target: &str| Request::get(Scheme::Http, "a.com", target);
    // As Envoy reads it the path is below the root's, and nothing else is to be said.
    let differs = world.differences(&[asked("//foo/x")]);
    assert!(
        differs
            .iter()
            .any(|one| one.request.target() == Octets::from("//foo/x"))
    );
    assert_eq!(world.unsaid(&[asked("//foo/x")]), []);
    // Each spelling that somebody else has the requests of is seen, whatever is said of slashes.
    for (uri, target) in [
        (json!({"prefix": "//foo"}), "//foo/x"),
        (json!({"exact": "/foo/a%2Fb"}), "/foo/a%2Fb"),
    ] {
        let mut object = world.conversion.objects.clone();
        let service = object
            .iter_mut()
            .find(|one| one["kind"] == "VirtualService")
            .unwrap();
        let host = "guard.ns.svc.cluster.local";
        let wrong = json!({"match": [{"uri": uri}], "route": [{"destination": {"host": host, "port": {"number": 80}}}]});
        service["spec"]["http"].as_array_mut().unwrap().insert(0, wrong);
        let objects = std::mem::replace(&mut world.conversion.objects, object);
        let unsaid = world.unsaid(&[asked(target)]);
        assert!(
            unsaid
                .iter()
                .any(|one| one.request.target() == Octets::from(target)),
            "{target}: {unsaid:?}"
        );
        world.conversion.objects = objects;
    }
}

/// What differs and is not excused, by kind and by what was said; or all that differs.
#[test]
#[ignore = "it proves nothing; it is read by whoever changes either side"]
fn tally() {
    let (cases, excused) = (
        number("TALLY_CASES").unwrap_or(400),
        number("TALLY_EXCUSED").is_some(),
    );
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for _ in 0..cases {
        let (ingresses, requests, apart) = given().new_tree(&mut runner).unwrap().current();
        let world = world(ingresses, apart);
        let all = if excused {
            world.differences(&requests)
        } else {
            world.unsaid(&requests)
        };
        for difference in all {
            let outcomes = format!(
                "{:?} {} {}",
                difference.kind,
                excuses::shape(&difference.nginx),
                excuses::shape(&difference.envoy)
            );
            let plain = difference.request.has_plain_path();
            let entry = seen
                .entry(format!(
                    "{outcomes} {:?} plain={plain}",
                    difference.request.scheme
                ))
                .or_default();
            entry.0 += 1;
            if entry.1.is_empty() {
                let _ = write!(entry.1, "{}", world.told(&difference));
            }
        }
    }
    for (key, (count, example)) in seen {
        println!("{count} {key}\n{example}\n");
    }
}
