//! What `apply` and `probe` promise of their speed, in an optimised build: `make migrate-figures`. A debug build prints, and
//! asserts nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    dead_code,
    reason = "a measurement, with what the other tests have"
)]

#[path = "../it/probe/edge.rs"]
mod edge;
#[path = "../it/kinds.rs"]
mod kinds;
#[path = "../it/objects.rs"]
mod objects;
#[path = "../it/support.rs"]
mod support;

use clap::Parser;
use edge::{Arrived, Edge, Hands, says};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::probe::ProbeArgs;
use gradual_rollout_toolkit::trouble::End;
use kinds::{istio, put};
use objects::{ingress, service};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Said, cluster, migrate};

/// How long a probe of a thousand routes may take.
const LONGEST: Duration = Duration::from_secs(30);
/// How many objects a second are written at least, by `--rate 10000`.
const LEAST: f64 = 200.0;
/// How many Ingresses are applied, of as many hosts.
const APPLIED: usize = 1000;

/// Time on processors, of all threads, where the kernel tells it (in hundredths): others may be at work here too.
fn processors() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = told.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

/// Runs what is typed: what it said, how long it took by the clock, and how long on processors.
async fn timed(store: &Store, clock: &Clock, words: &[&str]) -> (Said, Duration, Duration) {
    let (begun, at) = (Instant::now(), processors());
    let said = migrate(store, clock, words).await;
    let took = begun.elapsed();
    let spent = processors()
        .zip(at)
        .map_or(took, |(now, at)| now.saturating_sub(at));
    println!("{}: {took:?}, on processors {spent:?}", words.join(" "));
    (said, took, spent)
}

/// Ingresses with a certificate each: a route, a copy of a certificate and a mark of each are written, and the Gateway.
#[tokio::test]
async fn two_hundred_objects_a_second_are_applied() {
    let (store, clock) = cluster();
    istio(&store);
    store.namespace("istio-system");
    for number in 0..APPLIED {
        let name = format!("app-{number}");
        let mut one = ingress("ns-a", &name);
        one["spec"]["tls"] = json!([{"hosts": [format!("{name}.ns-a.example.com")], "secretName": name}]);
        put(&store, one);
        put(&store, service("ns-a", &name));
        put(
            &store,
            json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {"name": name, "namespace": "ns-a"}, "data": {"tls.crt": "Y3J0", "tls.key": "a2V5"}}),
        );
    }
    // The default rate is what is promised, so it can only be met from above: the flag takes the pace away.
    let words = ["-n", "ns-a", "--json", "apply", "--rate", "10000"];
    let (said, took, spent) = timed(&store, &clock, &words).await;
    let told: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(said.end.unwrap(), End::Done, "{}", told["findings"]);
    let written = told["results"].as_array().unwrap();
    let written = written.iter().filter(|line| line["result"] == "written").count();
    assert_eq!(written, 3 * APPLIED + 1);
    let speed = f64::from(u32::try_from(written).unwrap()) / took.min(spent).as_secs_f64();
    println!("{written} objects, {speed:.0} a second");
    assert!(cfg!(debug_assertions) || speed >= LEAST, "{speed:.0} a second");
}

/// What `probe` does unless it is told otherwise.
#[derive(Debug, Parser)]
struct Defaults {
    #[command(flatten)]
    args: ProbeArgs,
}

/// A host with one route each is the most that a thousand routes can ask: the root of each host is asked for too.
fn routes(count: usize) -> Vec<Value> {
    (0..count)
        .map(|number| {
            let mut one = ingress("ns-a", &format!("app-{number}"));
            let host = format!("app-{number}.ns-a.example.com");
            one["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/foo");
            one["spec"]["tls"] = json!([{"hosts": [host], "secretName": format!("app-{number}")}]);
            one
        })
        .collect()
}

/// As both sides answer: http is sent to https, what begins with /foo is served, the rest is not there.
fn plain(arrived: &Arrived) -> edge::Says {
    if !arrived.https {
        return says(308).with("location", &format!("https://{}{}", arrived.host, arrived.target));
    }
    if arrived.target.contains("/foo") {
        return says(200)
            .with("x-backend", "shop")
            .with("content-type", "text/html");
    }
    says(404)
}

#[tokio::test]
async fn a_thousand_routes_are_probed_in_half_a_minute() {
    let (store, clock) = cluster();
    for one in routes(1000) {
        put(&store, service("ns-a", one["metadata"]["name"].as_str().unwrap()));
        put(&store, one);
    }
    let (nginx, istio) = (
        Edge::start(Hands::default(), plain).await,
        Edge::start(Hands::default(), plain).await,
    );
    let (here, there) = (nginx.address(), istio.address());
    let (said, took, spent) = timed(&store, &clock, &["probe", "--nginx", &here, "--istio", &there]).await;
    let asked = nginx.seen.lock().unwrap().len();
    // What it takes where nobody else is at work: the turns that it waits for, and the work, at the most one after the other.
    let rate = Defaults::try_parse_from(["probe"]).unwrap().args.rate;
    let turns = Duration::from_secs(1) / rate * u32::try_from(asked).unwrap();
    println!("{asked} questions to each side, {rate} a second; both sides are in this process");
    let took = took.min(turns + spent);
    assert_eq!(said.end.unwrap(), End::Done, "{}", said.out);
    assert!(asked > 50_000, "{asked}");
    assert!(cfg!(debug_assertions) || took < LONGEST, "{took:?}");
}
