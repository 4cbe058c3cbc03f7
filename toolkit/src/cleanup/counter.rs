//! What nginx itself counted: requests of each Ingress, from the metrics of every controller pod.

use super::{exposition, names};
use crate::answering;
use crate::apply::run::said;
use crate::cluster::{self, Cluster, annotation, meta};
use crate::convert::is_controller;
use crate::digest;
use crate::marks;
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use jiff::Timestamp;
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What was counted, and since when it is so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Requests.
    pub requests: u64,
    /// Since when there was none.
    pub since: Timestamp,
    /// The pods that counted: a pod that starts begins at 0.
    pub pods: String,
}

/// What all pods counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// By Ingress.
    pub requests: BTreeMap<Key, u64>,
    /// The pods, as a digest.
    pub pods: String,
    /// Requests are counted whatever host they name. By default nginx counts only those of hosts that an Ingress spells
    /// out (`metrics-per-host` and no `metrics-per-undefined-host`).
    pub every_host: bool,
}

impl Counted {
    /// Why requests of an Ingress may have come without being counted: then an absent series says nothing.
    pub fn blind(&self, ingress: &Value) -> Option<String> {
        if names::says(ingress, "ssl-passthrough").is_some_and(answering::on) {
            return Some(
                "its connections are passed on as TLS, which nginx counts for no Ingress".to_owned(),
            );
        }
        if names::says(ingress, "from-to-www-redirect").is_some_and(answering::on) {
            return Some("its redirects from or to www are counted for no Ingress".to_owned());
        }
        let unspelled = |host: &String| host.contains('*') || host.starts_with('~');
        let host = names::of(ingress).into_iter().find(unspelled)?;
        (!self.every_host).then(|| {
            format!(
                "its host {host} stands for names that no Ingress spells out, and nginx counts those only with \
                 --metrics-per-undefined-host=true or --metrics-per-host=false"
            )
        })
    }
}

/// Whether a switch of a workload is on.
fn on(words: &[&str], name: &str, otherwise: bool) -> bool {
    let flags = words.iter().rev().filter_map(|word| {
        let flag = word.trim().trim_start_matches('-');
        let (said, value) = flag.split_once('=').unwrap_or((flag, "true"));
        (said == name).then_some(value)
    });
    flags
        .map(|value| !answering::OFF.contains(&value))
        .next()
        .unwrap_or(otherwise)
}

/// What a workload's containers are started with.
fn words(workload: &Value) -> Vec<&str> {
    let containers = workload
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    let lists = |container| {
        ["command", "args"]
            .into_iter()
            .filter_map(move |field| Value::get(container, field)?.as_array())
    };
    let all = containers.into_iter().flatten().flat_map(lists).flatten();
    all.filter_map(Value::as_str).collect()
}

/// The metric; its value begins at 0 with each start of a pod.
const METRIC: &str = "nginx_ingress_controller_requests";

/// Asks every controller pod, through the API server. An error is for people: then nothing is known.
pub async fn ask(cluster: &Cluster, client: &Client, port: u16) -> Result<Result<Counted, String>, Trouble> {
    let mut pods: BTreeMap<String, Value> = BTreeMap::new();
    let mut every_host = true;
    for kind in [cluster::DEPLOYMENT, cluster::DAEMON_SET] {
        for workload in cluster
            .all(&kind, None)
            .await?
            .iter()
            .filter(|w| is_controller(w))
        {
            let selector: Vec<String> = workload
                .pointer("/spec/selector/matchLabels")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
                .collect();
            let namespace = meta(workload, "namespace");
            let words = words(workload);
            // The flag's value may be a word of its own.
            let left_out = |pair: &[&str]| {
                pair.iter().any(|word| word.contains("exclude-socket-metrics"))
                    && pair.iter().any(|word| word.contains(METRIC))
            };
            if words.windows(2).any(left_out) || words.iter().any(|word| left_out(&[word])) {
                return Ok(Err(format!(
                    "{namespace}/{} runs with --exclude-socket-metrics={METRIC}",
                    meta(workload, "name")
                )));
            }
            every_host &=
                on(&words, "metrics-per-undefined-host", false) || !on(&words, "metrics-per-host", true);
            let found = cluster
                .list(&cluster::POD, Some(namespace), Some(&selector.join(",")))
                .await;
            let found = found.map_err(|error| Trouble::kube("list the pods of ingress-nginx", &error))?;
            pods.extend(found.into_iter().map(|pod| (meta(&pod, "uid").to_owned(), pod)));
        }
    }
    if pods.is_empty() {
        return Ok(Err("no pod of ingress-nginx was found".to_owned()));
    }
    let mut counted = Counted {
        every_host,
        ..Counted::default()
    };
    let mut starts = Vec::new();
    for (uid, pod) in &pods {
        let (namespace, name) = (meta(pod, "namespace"), meta(pod, "name"));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/metrics");
        let text = match fetch(client, &path).await {
            Ok(text) => text,
            Err(why) => {
                return Ok(Err(format!(
                    "pod {namespace}/{name} does not tell its metrics: {why}"
                )));
            }
        };
        if !text.contains(METRIC) && !text.contains("nginx_ingress_controller_") {
            return Ok(Err(format!(
                "pod {namespace}/{name} tells no metrics of ingress-nginx"
            )));
        }
        if let Err(why) = sum(&text, &mut counted.requests) {
            return Ok(Err(format!(
                "what pod {namespace}/{name} tells of its metrics cannot be relied on: {why}"
            )));
        }
        let restarts: Vec<u64> = pod
            .pointer("/status/containerStatuses")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|status| status.get("restartCount")?.as_u64())
            .collect();
        starts.push(json!([uid, restarts]));
    }
    counted.pods = digest::short(&Value::Array(starts));
    Ok(Ok(counted))
}

async fn fetch(client: &Client, path: &str) -> Result<String, String> {
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    client.request_text(request).await.map_err(|error| {
        let why = said(&error);
        if matches!(&error, kube::Error::Api(status) if status.code == 403) {
            return format!("{why}: have get on pods/proxy granted");
        }
        why
    })
}

/// Adds up the requests of each Ingress. Where one cannot be told nothing is known of any.
fn sum(text: &str, into: &mut BTreeMap<Key, u64>) -> Result<(), String> {
    for sample in exposition::samples(text, METRIC)? {
        let (Some(namespace), Some(name)) = (sample.label("namespace"), sample.label("ingress")) else {
            return Err(format!("a line of {METRIC} does not say of which Ingress it is"));
        };
        let sum = into.entry((namespace.to_owned(), name.to_owned())).or_default();
        *sum = sum.saturating_add(sample.value);
    }
    Ok(())
}

/// What was known before, and what is known now.
pub fn next(ingress: &Value, key: &Key, counted: &Counted, now: Timestamp) -> Count {
    let before: Option<Count> =
        annotation(ingress, marks::REQUESTS).and_then(|text| serde_json::from_str(text).ok());
    let requests = counted.requests.get(key).copied().unwrap_or_default();
    match before {
        Some(before) if before.requests == requests && before.pods == counted.pods => before,
        Some(_) | None => Count {
            requests,
            since: Timestamp::from_second(now.as_second()).unwrap_or(now),
            pods: counted.pods.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP nginx_ingress_controller_requests The total number of client requests
# TYPE nginx_ingress_controller_requests counter
nginx_ingress_controller_requests{canary="",controller_namespace="ingress-nginx",host="a.com",ingress="shop",namespace="ns-a",status="200"} 7
nginx_ingress_controller_requests{canary="",controller_namespace="x",host="a.com",ingress="shop",namespace="ns-a",status="502"} 1.2e+01
nginx_ingress_controller_requests{ingress="other",namespace="ns-a"} 3
nginx_ingress_controller_requests_total{ingress="shop",namespace="ns-a"} 999
"#;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn requests_of_an_ingress_are_added_up_and_a_neighbouring_label_is_not_taken() {
        let mut all = BTreeMap::new();
        sum(TEXT, &mut all).unwrap();
        assert_eq!(all[&("ns-a".to_owned(), "shop".to_owned())], 19);
        assert_eq!(all.len(), 2);
        let nobodys = format!("{METRIC}{{host=\"a.com\"}} 3\n");
        assert!(sum(&nobodys, &mut all).unwrap_err().contains("of which Ingress"));
    }

    #[test]
    fn a_switch_is_on_as_it_was_said_last_and_a_flag_of_a_longer_name_is_another() {
        assert!(on(&["--metrics-per-host"], "metrics-per-host", false));
        assert!(!on(
            &["--metrics-per-host", "--metrics-per-host=false"],
            "metrics-per-host",
            true
        ));
        assert!(on(&["--metrics-per-hosts=false"], "metrics-per-host", true));
        assert!(!on(&[], "metrics-per-undefined-host", false));
    }

    #[test]
    fn what_nginx_counts_for_nobody_is_never_taken_for_counted() {
        let every = Counted {
            every_host: true,
            ..Counted::default()
        };
        let says = |name: &str, value: &str| {
            json!({"metadata": {"annotations": {(format!("nginx.ingress.kubernetes.io/{name}")): value}},
                "spec": {"rules": [{"host": "a.com"}]}})
        };
        for value in answering::ON {
            assert!(every.blind(&says("ssl-passthrough", value)).is_some(), "{value}");
            assert!(
                every.blind(&says("from-to-www-redirect", value)).is_some(),
                "{value}"
            );
            assert_eq!(every.blind(&says("ssl-redirect", value)), None);
        }
        assert_eq!(every.blind(&says("ssl-passthrough", "false")), None);
        assert_eq!(every.blind(&json!({"spec": {"rules": [{}]}})), None);
        assert!(
            Counted::default()
                .blind(&json!({"spec": {"rules": [{}]}}))
                .is_some()
        );
    }

    #[test]
    fn the_time_without_a_request_begins_anew_with_each_request_and_each_start_of_a_pod() {
        let key = ("ns-a".to_owned(), "shop".to_owned());
        let counted = |requests: u64, pods: &str| Counted {
            requests: BTreeMap::from([(key.clone(), requests)]),
            pods: pods.to_owned(),
            every_host: false,
        };
        let first = next(&json!({}), &key, &counted(7, "p"), at("2026-01-05T02:00:00Z"));
        let ingress =
            json!({"metadata": {"annotations": {marks::REQUESTS: serde_json::to_string(&first).unwrap()}}});
        let later = at("2026-01-06T02:00:00Z");
        assert_eq!(next(&ingress, &key, &counted(7, "p"), later), first);
        assert_eq!(next(&ingress, &key, &counted(8, "p"), later).since, later);
        assert_eq!(next(&ingress, &key, &counted(7, "q"), later).since, later);
        let broken = json!({"metadata": {"annotations": {marks::REQUESTS: "x"}}});
        assert_eq!(next(&broken, &key, &counted(7, "p"), later).since, later);
    }
}
