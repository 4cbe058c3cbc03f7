//! Properties over hosts that lie within each other: exact names, a wildcard over them, further names, and Ingresses without
//! host. Whatever is written, deleted, applied and given back in whatever order: what nginx guards is opened at the gateway by
//! no write of any run, and where it is open since somebody changed an Ingress, `validate` tells it.

use crate::apply::{GW, ING, VS};
use crate::dice::Dice;
use crate::objects::service;
use crate::ownership::{AP, two_classes};
use crate::support::{Said, migrate, migrate_by};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_migration::model::envoy::{Envoy, Options};
use gradual_rollout_migration::model::{Answer, Request, Scheme};
use gradual_rollout_toolkit::trouble::Trouble;
use http::Method;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const P: &str = "nginx.ingress.kubernetes.io";
const NAMES: [&str; 4] = ["one", "two", "three", "four"];
const NAMESPACES: [&str; 2] = ["ns-a", "ns-b"];
const PATHS: [&str; 3] = ["/", "/adm", "/pub"];
const ASKED: [&str; 4] = ["/", "/adm", "/adm/x", "/pub"];
const HOSTS: [Option<&str>; 4] = [Some("a.x.com"), Some("b.x.com"), Some("*.x.com"), None];
const NAMED: [&str; 5] = ["a.x.com", "b.x.com", "z.x.com", "al.x.com", "q.org"];

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn key(object: &Value) -> String {
    format!(
        "{}/{}",
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name")
    )
}

fn note<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"]
        .get(format!("{P}/{name}"))?
        .as_str()
}

/// What nginx keeps others out by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Guard {
    List(String),
    Asks,
}

fn guard(ingress: &Value) -> Option<Guard> {
    if note(ingress, "auth-url").is_some() {
        return Some(Guard::Asks);
    }
    note(ingress, "whitelist-source-range").map(|list| Guard::List(list.to_owned()))
}

type Locations = BTreeMap<(bool, String), (Arc<Value>, String)>;

/// The servers of nginx: by name, locations with the Ingress that each is of, the oldest first.
fn servers(store: &Store) -> BTreeMap<String, Locations> {
    let mut all = store.list(ING);
    all.sort_by_key(|ingress| std::cmp::Reverse(key(ingress)));
    all.sort_by_key(|ingress| text(ingress, "/metadata/creationTimestamp").to_owned());
    let mut servers: BTreeMap<String, Locations> = BTreeMap::new();
    for ingress in &all {
        let mut hosts = BTreeSet::new();
        for rule in ingress["spec"]["rules"].as_array().into_iter().flatten() {
            let host = rule["host"].as_str().unwrap_or("_");
            hosts.insert(host);
            let server = servers.entry(host.to_owned()).or_default();
            for path in rule["http"]["paths"].as_array().unwrap() {
                let place = (text(path, "/pathType") == "Exact", text(path, "/path").to_owned());
                let service = text(path, "/backend/service/name").to_owned();
                server.entry(place).or_insert_with(|| (ingress.clone(), service));
            }
        }
        if let Some(rest) = ingress["spec"].get("defaultBackend") {
            if hosts.is_empty() {
                hosts.insert("_");
            }
            for host in hosts {
                let service = text(rest, "/service/name").to_owned();
                let server = servers.entry(host.to_owned()).or_default();
                server
                    .entry((false, "/".to_owned()))
                    .or_insert_with(|| (ingress.clone(), service));
            }
        }
    }
    let mut further: BTreeMap<String, Locations> = BTreeMap::new();
    for (host, server) in &servers {
        let own = |ingress: &&Arc<Value>| {
            let rules = ingress["spec"]["rules"].as_array().into_iter().flatten();
            rules.into_iter().any(|rule| rule["host"].as_str() == Some(host))
        };
        let aliases = all
            .iter()
            .filter(own)
            .find_map(|ingress| note(ingress, "server-alias"));
        for alias in aliases.into_iter().filter(|alias| !servers.contains_key(*alias)) {
            further.entry(alias.to_owned()).or_insert_with(|| server.clone());
        }
    }
    servers.extend(further);
    servers
}

/// The Ingress by which nginx answers.
fn nginx<'a>(
    servers: &'a BTreeMap<String, Locations>,
    host: &str,
    path: &str,
) -> Option<&'a (Arc<Value>, String)> {
    let wild = host.split_once('.').map(|(_, rest)| format!("*.{rest}"));
    let server = servers
        .get(host)
        .or_else(|| servers.get(&wild?))
        .or_else(|| servers.get("_"))?;
    if let Some(exact) = server.get(&(true, path.to_owned())) {
        return Some(exact);
    }
    let under = |at: &str| at == "/" || path == at || path.starts_with(&format!("{at}/"));
    let within = server.iter().filter(|((exact, at), _)| !exact && under(at));
    within.max_by_key(|((_, at), _)| at.len()).map(|(_, found)| found)
}

/// Whether a policy's word is for a text.
fn is_for(word: &str, text: &str) -> bool {
    match (word.strip_prefix('*'), word.strip_suffix('*')) {
        (Some(tail), _) => text.ends_with(tail),
        (None, Some(head)) => text.starts_with(head),
        (None, None) => text == word,
    }
}

/// The lists that somebody has to be on to get in at the gateway.
fn lists(store: &Store, host: &str, path: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for policy in store.list(AP) {
        for rule in policy["spec"]["rules"].as_array().into_iter().flatten() {
            for to in rule["to"].as_array().unwrap() {
                let words = |field: &str| -> Option<Vec<&str>> {
                    let all = to["operation"].get(field)?.as_array().unwrap().iter();
                    Some(all.map(|word| word.as_str().unwrap()).collect())
                };
                let any = |field: &str, text: &str| {
                    words(field).map(|all| all.iter().any(|word| is_for(word, text)))
                };
                if any("hosts", host) != Some(false)
                    && any("paths", path) != Some(false)
                    && any("notHosts", host) != Some(true)
                    && any("notPaths", path) != Some(true)
                {
                    let blocks = rule["from"][0]["source"]["notRemoteIpBlocks"].as_array();
                    let blocks: Vec<&str> = blocks.into_iter().flatten().filter_map(Value::as_str).collect();
                    found.insert(blocks.join(","));
                }
            }
        }
    }
    found
}

fn envoy(store: &Store) -> Envoy {
    let all = [VS, GW].iter().flat_map(|kind| store.list(kind));
    let objects: Vec<Value> = all.map(|object| Value::clone(&object)).collect();
    Envoy::new(&objects, Options::default())
}

/// What is asked for, and by which Ingress nginx answers it.
type Met = (String, String, String);

/// What nginx guards and the gateway leads on without that; and what is migrated, unguarded, and denied or led elsewhere.
fn differences(store: &Store) -> (BTreeSet<Met>, BTreeSet<Met>) {
    let (servers, envoy) = (servers(store), envoy(store));
    let (mut open, mut shut) = (BTreeSet::new(), BTreeSet::new());
    for host in NAMED {
        for path in ASKED {
            let Some((ingress, service)) = nginx(&servers, host, path) else {
                continue;
            };
            let answer = envoy.answer(&Request::get(Scheme::Http, host, path), 0);
            let leads = match &answer {
                Answer::Backend(_) | Answer::Redirect { .. } => true,
                Answer::Status(_) | Answer::Refused => false,
                Answer::Unsupported(what) => panic!("{what}"),
            };
            let lists = lists(store, host, path);
            let met = (host.to_owned(), path.to_owned(), key(ingress));
            let guard = guard(ingress);
            let kept = match &guard {
                None => true,
                Some(Guard::List(list)) => lists.contains(list),
                Some(Guard::Asks) => false,
            };
            if leads && !kept {
                open.insert(met);
                continue;
            }
            let migrated = text(ingress, "/metadata/labels/sealos.io~1migrated-to-istio") == "true";
            let other = match &guard {
                Some(Guard::List(list)) => lists.iter().any(|other| other != list),
                Some(Guard::Asks) | None => !lists.is_empty(),
            };
            let there = match &answer {
                Answer::Backend(to) => {
                    (to.namespace.as_str(), &to.service) == (text(ingress, "/metadata/namespace"), service)
                }
                Answer::Redirect { .. } => true,
                Answer::Status(_) | Answer::Refused | Answer::Unsupported(_) => false,
            };
            if migrated && guard != Some(Guard::Asks) && (!there || other) {
                shut.insert(met);
            }
        }
    }
    (open, shut)
}

/// A client that looks at the cluster after each of its writes.
fn watched(store: &Store, opened: &Arc<Mutex<BTreeMap<Met, String>>>) -> kube::Client {
    let (inner, store, opened) = (store.client("default"), store.clone(), opened.clone());
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (inner, store, opened) = (inner.clone(), store.clone(), opened.clone());
        async move {
            let writes = request.method() != Method::GET && !request.uri().to_string().contains("dryRun");
            let what = format!("{} {}", request.method(), request.uri().path());
            let answer = inner.send(request).await;
            if writes {
                let mut all = opened.lock().unwrap();
                for met in differences(&store).0 {
                    all.entry(met).or_insert_with(|| what.clone());
                }
            }
            answer
        }
    });
    kube::Client::new(service, "default")
}

fn made(dice: &mut Dice, aliases: bool) -> Value {
    let (namespace, name) = (*dice.of(&NAMESPACES), *dice.of(&NAMES));
    let mut notes = json!({});
    match dice.below(10) {
        0..3 => {
            notes[format!("{P}/whitelist-source-range")] = json!(dice.of(&["10.0.0.0/8", "172.16.0.0/12"]));
        }
        3 | 4 => notes[format!("{P}/auth-url")] = json!("http://sso.example.com/check"),
        _ => {}
    }
    if aliases && dice.below(3) == 0 {
        notes[format!("{P}/server-alias")] = json!("al.x.com");
    }
    let mut paths = Vec::new();
    for path in PATHS {
        if paths.is_empty() && path == "/pub" || dice.below(2) == 0 {
            let exact = path != "/" && dice.below(3) == 0;
            paths.push(
                json!({"path": path, "pathType": if exact { "Exact" } else { "Prefix" },
                "backend": {"service": {"name": dice.of(&["web", "api"]), "port": {"number": 80}}}}),
            );
        }
    }
    let hosts = if aliases { &HOSTS[..2] } else { &HOSTS[..] };
    let mut rule = json!({"http": {"paths": paths}});
    let host = *dice.of(hosts);
    if let Some(host) = host {
        rule["host"] = json!(host);
    }
    let mut spec = json!({"ingressClassName": "nginx", "rules": [rule]});
    if host.is_none() && dice.below(3) == 0 {
        spec = json!({"ingressClassName": "nginx",
            "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}});
    }
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": spec,
        "metadata": {"name": name, "namespace": namespace, "labels": {}, "annotations": notes}})
}

/// Somebody writes an Ingress, or deletes one.
fn edit(store: &Store, dice: &mut Dice, aliases: bool) -> String {
    let there = store.list(ING);
    match dice.below(4) {
        0 if !there.is_empty() => {
            let gone = dice.of(&there);
            let (namespace, name) = (text(gone, "/metadata/namespace"), text(gone, "/metadata/name"));
            store.delete(ING, namespace, name).unwrap();
            format!("{} is deleted", key(gone))
        }
        1 if !there.is_empty() => {
            // Our own words stay.
            let old = dice.of(&there);
            let (mut next, new) = (Value::clone(old), made(dice, aliases));
            let mut notes = new["metadata"]["annotations"].as_object().unwrap().clone();
            let ours = next["metadata"]["annotations"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            notes.extend(ours.into_iter().filter(|(name, _)| !name.starts_with(P)));
            next["metadata"]["annotations"] = json!(notes);
            if dice.below(2) == 0 {
                next["spec"] = new["spec"].clone();
            }
            let shown = shown(&next);
            store.put(next).unwrap();
            format!("{} becomes {shown}", key(old))
        }
        _ => {
            let new = made(dice, aliases);
            let (namespace, name) = (text(&new, "/metadata/namespace"), text(&new, "/metadata/name"));
            if store.get(ING, namespace, name).is_some() {
                return String::new();
            }
            store.put(new.clone()).unwrap();
            format!("{} comes: {}", key(&new), shown(&new))
        }
    }
}

fn shown(ingress: &Value) -> String {
    format!("{} {}", ingress["metadata"]["annotations"], ingress["spec"])
}

fn words(store: &Store, dice: &mut Dice) -> Vec<String> {
    let all: Vec<String> = store.list(ING).iter().map(|ingress| key(ingress)).collect();
    let one = if all.is_empty() {
        "ns-a/one".to_owned()
    } else {
        dice.of(&all).clone()
    };
    let namespace = dice.of(&NAMESPACES);
    let typed = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut words = match dice.below(20) {
        0..8 => typed(&["apply", "--all"]),
        8..11 => typed(&["apply", "-n", namespace]),
        11..14 => typed(&["apply", "--ingress", &one]),
        14..16 => typed(&["rollback", "--ingress", &one]),
        16..19 => typed(&["rollback", "-n", namespace]),
        _ => typed(&["rollback", "--all"]),
    };
    if words[0] == "apply" {
        words.extend(["--ingress-class".to_owned(), "nginx".to_owned()]);
        for flag in ["--widen", "--prune"] {
            if dice.below(3) == 0 {
                words.push(flag.to_owned());
            }
        }
    } else {
        let more = [
            "--gone",
            "orphans",
            "--settle",
            "0",
            "--accept",
            "ROLLBACK-NAME-LEADS-TO-GATEWAY",
        ];
        words.extend(typed(&more));
    }
    words
}

/// The route that answers a name: the narrowest that has it.
fn answering(store: &Store, name: &str) -> Option<String> {
    let wild = name
        .match_indices('.')
        .filter_map(|(at, _)| name.get(at..))
        .map(|rest| format!("*{rest}"));
    let mut names = [name.to_owned()].into_iter().chain(wild).chain(["*".to_owned()]);
    let routes = store.list(VS);
    let at = |route: &&Arc<Value>| route["spec"].get("gateways").is_some();
    let has = |route: &Value, name: &str| {
        route["spec"]["hosts"]
            .as_array()
            .unwrap()
            .iter()
            .any(|host| host == name)
    };
    names.find_map(|name| {
        routes
            .iter()
            .filter(at)
            .find(|route| has(route, &name))
            .map(|route| key(route))
    })
}

/// What somebody reads who looks: of open doors what blocks, of shut ones whatever is told.
async fn told(store: &Store, clock: &Clock, story: &str) -> (String, String) {
    let said: Said = migrate(store, clock, &["--json", "validate"]).await;
    let told: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}\n{story}"));
    let findings = told["findings"].as_array().unwrap();
    let lines = |blockers: bool| -> String {
        let all = findings
            .iter()
            .filter(|one| !blockers || one["severity"] == "blocker");
        let told = all.map(|one| format!("{} {} {}", one["code"], one["object"], one["message"]));
        told.collect::<Vec<_>>().join("\n")
    };
    (lines(true), lines(false))
}

async fn story(seed: u64, aliases: bool) -> (usize, usize) {
    let mut dice = Dice(seed);
    let (store, clock) = two_classes(&NAMESPACES);
    for namespace in NAMESPACES {
        store.delete(ING, namespace, "shop").unwrap();
        for name in ["web", "api"] {
            store.put(service(namespace, name)).unwrap();
        }
    }
    let mut story = format!("seed {seed}, aliases {aliases}");
    let (mut done, mut differing) = (0, 0);
    for round in 0..6 {
        for _ in 0..=dice.below(if round == 0 { 5 } else { 3 }) {
            story = format!("{story}\n{}", edit(&store, &mut dice, aliases));
            if dice.below(2) == 0 {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        }
        let words = words(&store, &mut dice);
        story = format!("{story}\n$ {}", words.join(" "));
        let before = differences(&store).0;
        let opened = Arc::default();
        let typed: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = migrate_by(watched(&store, &opened), &clock, &typed).await;
        story = format!("{story}\n{}{}{:?}", said.err, said.out, said.end);
        match &said.end {
            Ok(_) => done += 1,
            Err(Trouble::Usage(_) | Trouble::Refused(_)) => {}
            Err(other) => panic!("{other:?}\n{story}"),
        }
        let opened = opened.lock().unwrap().clone();
        let by_the_run: BTreeMap<_, _> = opened.iter().filter(|(met, _)| !before.contains(met)).collect();
        assert!(
            by_the_run.is_empty(),
            "opened by the run: {by_the_run:?}\n{story}"
        );
        let (open, shut) = differences(&store);
        differing += open.len() + shut.len();
        let (blockers, all) = told(&store, &clock, &story).await;
        for (host, path, key) in &open {
            let known =
                blockers.contains(&format!("Ingress {key}")) || blockers.contains(&format!("{host} "));
            assert!(
                known,
                "nobody tells that {host}{path} of {key} is open\n{blockers}\n{story}"
            );
        }
        for (host, path, key) in &shut {
            let known = all.contains(&format!("Ingress {key}")) || all.contains(&format!("{host} "));
            let known = known || said.err.contains(&format!("Ingress {key}"));
            let by = answering(&store, host);
            let known = known || by.is_some_and(|route| all.contains(&format!("VirtualService {route}")));
            assert!(
                known,
                "nobody tells that {host}{path} of {key} is shut\n{all}\n{story}"
            );
        }
    }
    (done, differing)
}

#[tokio::test(start_paused = true)]
async fn hosts_within_others_are_opened_by_no_write_and_what_is_open_or_shut_is_told() {
    let stories: u64 = std::env::var("WIDER_STORIES").map_or(60, |count| count.parse().unwrap());
    let first: u64 = std::env::var("WIDER_FIRST").map_or(0, |seed| seed.parse().unwrap());
    let (mut done, mut differing) = (0, 0);
    for seed in first..first + stories {
        let (runs, met) = story(seed, seed % 4 == 3).await;
        done += runs;
        differing += met;
    }
    println!("{done} runs, {differing} requests that the sides answer differently, each of them told");
}

fn ingress((namespace, name): (&str, &str), host: &str, guard: Option<(&str, &str)>) -> Value {
    let mut notes = json!({});
    if let Some((name, value)) = guard {
        notes[format!("{P}/{name}")] = json!(value);
    }
    let path = json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}});
    let mut rule = json!({"http": {"paths": [path]}});
    if !host.is_empty() {
        rule["host"] = json!(host);
    }
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace, "labels": {}, "annotations": notes},
        "spec": {"ingressClassName": "nginx", "rules": [rule]}})
}

fn cluster(ingresses: &[Value]) -> (Store, Clock) {
    let (store, clock) = two_classes(&NAMESPACES);
    for namespace in NAMESPACES {
        store.delete(ING, namespace, "shop").unwrap();
        store.put(service(namespace, "web")).unwrap();
    }
    for one in ingresses {
        store.put(one.clone()).unwrap();
    }
    (store, clock)
}

const SSO: Option<(&str, &str)> = Some(("auth-url", "http://sso.example.com/check"));
const APPLY: [&str; 4] = ["apply", "--all", "--ingress-class", "nginx"];

#[tokio::test]
async fn what_a_wider_host_would_open_is_closed_with_it_also_on_the_first_run() {
    for wide in ["*.x.com", ""] {
        let (store, clock) = cluster(&[
            ingress(("ns-a", "wide"), wide, None),
            ingress(("ns-b", "sso"), "a.x.com", SSO),
        ]);
        let said = migrate(&store, &clock, &APPLY).await;
        let told = said
            .err
            .contains("APPLY-CLOSED  Ingress ns-b/sso: nginx guards it");
        assert!(told, "{said:?}");
        let answer = |host| envoy(&store).answer(&Request::get(Scheme::Http, host, "/"), 0);
        assert_eq!(answer("a.x.com"), Answer::Status(503), "{wide}");
        assert!(matches!(answer("b.x.com"), Answer::Backend(_)), "{wide}");
    }
}

#[tokio::test]
async fn a_wider_route_is_held_back_where_what_it_would_open_cannot_be_closed() {
    let all = [
        ingress(("ns-a", "wide"), "*.x.com", None),
        ingress(("ns-b", "sso"), "a.x.com", SSO),
    ];
    let (store, clock) = cluster(&all);
    migrate(&store, &clock, &APPLY).await;
    let closed = answering(&store, "a.x.com").unwrap();
    let (store, clock) = cluster(&all);
    // Somebody else has the name of the route that would close it.
    let (namespace, name) = closed.split_once('/').unwrap();
    let strange = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web"}}]}]}});
    store.put(strange).unwrap();
    let said = migrate(&store, &clock, &APPLY).await;
    assert!(
        said.err.contains("APPLY-WOULD-OPEN  Ingress ns-b/sso"),
        "{said:?}"
    );
    assert_eq!(answering(&store, "b.x.com"), None, "{said:?}");
    assert!(differences(&store).0.is_empty());
}

#[tokio::test]
async fn a_route_that_keeps_a_wider_one_from_what_nginx_guards_stays_until_that_goes_with_it() {
    let list = Some(("whitelist-source-range", "10.0.0.0/8"));
    let (store, clock) = cluster(&[
        ingress(("ns-a", "wide"), "*.x.com", None),
        ingress(("ns-b", "office"), "a.x.com", list),
    ]);
    migrate(&store, &clock, &APPLY).await;
    assert!(differences(&store).0.is_empty());
    let more = ["--settle", "0", "--accept", "ROLLBACK-NAME-LEADS-TO-GATEWAY"];
    let alone = [&["rollback", "--ingress", "ns-b/office"][..], &more].concat();
    let said = migrate(&store, &clock, &alone).await;
    assert!(
        said.err.contains("ROLLBACK-GUARDING  VirtualService ns-b/"),
        "{said:?}"
    );
    assert!(said.err.contains("--ingress ns-a/wide,ns-b/office"), "{said:?}");
    assert!(differences(&store).0.is_empty(), "{said:?}");
    let both = ["rollback", "--ingress", "ns-a/wide", "--ingress", "ns-b/office"];
    let said = migrate(&store, &clock, &[&both[..], &more].concat()).await;
    assert_eq!(answering(&store, "a.x.com"), None, "{said:?}");
}
