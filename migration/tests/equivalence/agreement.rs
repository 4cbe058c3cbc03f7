//! Random Ingresses, converted, and asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use gradual_rollout_migration::convert::{Conversion, Options, convert};
use gradual_rollout_migration::input::{self, Source};
use gradual_rollout_migration::model::Request;
use gradual_rollout_migration::model::compare::{Difference, corpus, differences};
use gradual_rollout_migration::report::Outcome;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::sets;
use crate::support::Ingress;

/// The Ingresses with a class, and the Services they name.
fn world(ingresses: Vec<Ingress>) -> (Vec<Value>, String) {
    let mut values: Vec<Value> = ingresses.into_iter().map(Ingress::value).collect();
    let mut services = BTreeMap::new();
    for value in &mut values {
        // A name without a dot is a Service's to Istio; such hosts are refused, and have a test of their own.
        let dotted = value.to_string().replace("\"host\":\"h\"", "\"host\":\"h.com\"");
        *value = serde_json::from_str(&dotted).unwrap();
        value["spec"]["ingressClassName"] = json!("nginx");
        let rules = value["spec"]["rules"].as_array().cloned().unwrap_or_default();
        let paths = rules
            .iter()
            .filter_map(|rule| rule["http"]["paths"].as_array())
            .flatten();
        let named = paths.map(|path| path["backend"]["service"]["name"].clone());
        let default = value["spec"]["defaultBackend"]["service"]["name"].clone();
        for name in named.chain([default]).filter(Value::is_string) {
            let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns", "name": name},
                "spec": {"ports": [{"name": "http", "port": 80}]}});
            services.insert(name.to_string(), service);
        }
    }
    let items: Vec<Value> = values.iter().cloned().chain(services.into_values()).collect();
    (
        values,
        json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string(),
    )
}

fn converted(text: String) -> Conversion {
    let source = Source {
        name: "test".to_owned(),
        text,
    };
    convert(&input::read(&[source]), &Options::default()).unwrap()
}

/// The codes of what is not served just as before, of Ingresses that have to do with this host.
fn said(conversion: &Conversion, values: &[Value], host: &str) -> Vec<String> {
    let report = &conversion.report;
    let about = |name: &str| {
        let ingress = values
            .iter()
            .find(|value| value["metadata"]["name"] == name)
            .unwrap();
        let rules = ingress["spec"]["rules"].as_array().unwrap();
        let hosts = rules.iter().map(|rule| rule["host"].as_str().unwrap_or_default());
        let alias = ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/server-alias"].as_str();
        let names = hosts.chain(alias.into_iter().flat_map(|alias| alias.split(',')));
        let mut names = names.filter(|name| match name.strip_prefix('*') {
            Some(rest) => host.ends_with(rest),
            None => *name == host || name.is_empty(),
        });
        names.next().is_some() || rules.is_empty()
    };
    let mine = report.ingresses.iter().filter(|ingress| about(&ingress.name));
    let entries = mine.flat_map(|ingress| &ingress.entries);
    let told = entries.filter(|entry| entry.outcome != Outcome::Converted);
    let mut codes: Vec<String> = told.map(|entry| format!("{:?}", entry.code)).collect();
    codes.sort();
    codes.dedup();
    codes
}

fn found(ingresses: Vec<Ingress>, requests: &[Request]) -> (Vec<Value>, Conversion, Vec<Difference>) {
    let (values, text) = world(ingresses);
    let conversion = converted(text);
    let mut asked = corpus(&values);
    asked.extend(requests.iter().cloned().map(|mut request| {
        if ["h", "H:81", "h."].contains(&request.host.as_str()) {
            request.host = "h.com".to_owned();
        }
        request
    }));
    let differences = differences(&values, &conversion.objects, &asked);
    (values, conversion, differences)
}

#[test]
fn tally() {
    let mut runner = TestRunner::deterministic();
    let strategy = (sets::ingresses(), sets::requests());
    let mut seen: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for _ in 0..400 {
        let (ingresses, requests) = strategy.new_tree(&mut runner).unwrap().current();
        let (values, conversion, differences) = found(ingresses, &requests);
        for difference in differences {
            if !difference.request.has_plain_path()
                || difference.request.scheme == gradual_rollout_migration::model::Scheme::Https
            {
                continue;
            }
            let key = format!(
                "{:?} {}",
                difference.kind,
                said(&conversion, &values, &difference.request.host_name()).join(",")
            );
            let entry = seen.entry(key).or_default();
            entry.0 += 1;
            if entry.1.is_empty() {
                let _ = write!(
                    entry.1,
                    "{difference}\n{}\n{}",
                    serde_json::to_string(&values).unwrap(),
                    serde_json::to_string(&conversion.objects).unwrap()
                );
            }
        }
    }
    for (key, (count, example)) in seen {
        println!("{count} {key}\n    {example}");
    }
}
