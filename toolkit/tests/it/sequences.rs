//! Properties over what people and runs do one after the other, in two classes: no apply changes what rests on Ingresses
//! that it does not speak for; what nginx guards is never open at the gateway, and what it serves to all never denied there,
//! without that being told; and what cleanup would delete is served, and neither.

use crate::apply::{ING, VS, open};
use crate::both_sides::judged;
use crate::dice::Dice;
use crate::objects::{ingress, service};
use crate::ownership::{AP, DR, settings, two_classes};
use crate::support::migrate;
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::Trouble;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const P: &str = "nginx.ingress.kubernetes.io";
const KEYS: [(&str, &str); 4] = [
    ("ns-a", "one"),
    ("ns-a", "two"),
    ("ns-b", "three"),
    ("ns-b", "four"),
];
const HOSTS: [&str; 2] = ["h.example.com", "k.example.com"];
const LISTS: [&str; 2] = ["10.0.0.0/8", "172.16.0.0/12"];
const CLASSES: [(&str, &str); 2] = [("nginx", "outer"), ("inner", "inner")];

type Objects = BTreeMap<String, Value>;

fn objects(store: &Store, kind: &str) -> Objects {
    let all = store.list(kind).into_iter();
    all.map(|object| {
        let meta = &object["metadata"];
        (
            format!("{}/{}", meta["namespace"], meta["name"]),
            Value::clone(&object),
        )
    })
    .collect()
}

/// What was made, by kind.
struct Made {
    routes: Objects,
    guards: Objects,
    rules: Objects,
}

fn made(store: &Store) -> Made {
    Made {
        routes: objects(store, VS),
        guards: objects(store, AP),
        rules: objects(store, DR),
    }
}

pub(crate) fn owners(object: &Value) -> BTreeSet<String> {
    let from = object["metadata"]["annotations"]["rollout.sealos.io/converted-from"].as_str();
    from.unwrap_or_default().split(',').map(str::to_owned).collect()
}

fn texts(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The policies of a route's hosts, as they are.
fn guards(route: &Value, made: &Made) -> Vec<Value> {
    let hosts = texts(&route["spec"]["hosts"]);
    let is = |guard: &&Value| {
        hosts
            .iter()
            .any(|host| guard["spec"].to_string().contains(&format!("{host:?}")))
    };
    made.guards
        .values()
        .filter(is)
        .map(|guard| guard["spec"].clone())
        .collect()
}

/// Those of them that it says it needs.
fn needed(route: &Value, made: &Made) -> Vec<Value> {
    let says = route["metadata"]["annotations"]["rollout.sealos.io/needs"].as_str();
    let says = says.unwrap_or_default();
    let is = |guard: &&Value| {
        let meta = &guard["metadata"];
        let (namespace, name) = (
            meta["namespace"].as_str().unwrap(),
            meta["name"].as_str().unwrap(),
        );
        says.contains(&format!("AuthorizationPolicy {namespace}/{name}@"))
    };
    let all = made.guards.values().filter(is);
    all.map(|guard| guard["spec"].clone()).collect()
}

/// How the ports that a route leads to are spoken to.
fn spoken(route: &Value, made: &Made) -> Vec<Value> {
    let mut all = Vec::new();
    for rule in made.rules.values() {
        for setting in rule["spec"]["trafficPolicy"]["portLevelSettings"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let (host, port) = (&rule["spec"]["host"], &setting["port"]["number"]);
            let leads = |route: &Value| {
                route["destination"]["host"] == *host && route["destination"]["port"]["number"] == *port
            };
            let http = route["spec"]["http"].as_array().into_iter().flatten();
            if http
                .flat_map(|rule| rule["route"].as_array().into_iter().flatten())
                .any(leads)
            {
                all.push(setting.clone());
            }
        }
    }
    all
}

/// Somebody changes something.
fn edit(store: &Store, dice: &mut Dice) -> String {
    let (namespace, name) = *dice.of(&KEYS);
    let there = store.get(ING, namespace, name);
    let mut object = there
        .as_ref()
        .map_or_else(|| fresh(namespace, name), |there| Value::clone(there));
    let note = |object: &mut Value, name: &str, value: Option<&str>| {
        let notes = object["metadata"]["annotations"].as_object_mut().unwrap();
        match value {
            Some(value) => notes.insert(format!("{P}/{name}"), json!(value)),
            None => notes.remove(&format!("{P}/{name}")),
        };
    };
    let said = match dice.below(11) {
        0 | 1 => {
            let list = *dice.of(&[None, Some(LISTS[0]), Some(LISTS[1])]);
            note(&mut object, "whitelist-source-range", list);
            format!("list {list:?}")
        }
        2 => {
            let auth = *dice.of(&[None, Some("basic")]);
            note(&mut object, "auth-type", auth);
            note(&mut object, "auth-secret", auth.map(|_| "users"));
            format!("auth {auth:?}")
        }
        3 => {
            let host = *dice.of(&HOSTS);
            object["spec"]["rules"][0]["host"] = json!(host);
            format!("host {host}")
        }
        4 => {
            let class = dice.of(&CLASSES).0;
            object["spec"]["ingressClassName"] = json!(class);
            format!("class {class}")
        }
        5 => {
            let protocol = *dice.of(&[None, Some("HTTPS"), Some("GRPC")]);
            note(&mut object, "backend-protocol", protocol);
            format!("protocol {protocol:?}")
        }
        6 => {
            // As cleanup does it.
            if there.is_some() {
                for route in store.list(VS) {
                    if owners(&route).contains(&format!("{namespace}/{name}")) {
                        let mut route = Value::clone(&route);
                        let notes = &mut route["metadata"]["annotations"];
                        notes["rollout.sealos.io/cleaned-at"] = json!("2026-01-05T02:00:00Z");
                        let named = notes["rollout.sealos.io/cleaned-up"].as_str();
                        let named = named.map_or_else(String::new, |named| format!("{named},"));
                        notes["rollout.sealos.io/cleaned-up"] = json!(format!("{named}{namespace}/{name}"));
                        store.put(route).unwrap();
                    }
                }
                store.delete(ING, namespace, name).unwrap();
            }
            return format!("{namespace}/{name} is cleaned up");
        }
        8 => {
            // The one path of a host that several may have.
            let path = if dice.below(2) == 0 {
                "/".to_owned()
            } else {
                format!("/{name}")
            };
            object["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!(path);
            format!("path {path}")
        }
        7 => {
            // By its owner's hand.
            if there.is_some() {
                store.delete(ING, namespace, name).unwrap();
            }
            return format!("{namespace}/{name} is deleted");
        }
        _ => {
            let list = *dice.of(&[None, Some(LISTS[0])]);
            let map = dice.of(&CLASSES).1;
            let mut data = json!({"hsts": "false"});
            if let Some(list) = list {
                data["whitelist-source-range"] = json!(list);
            }
            settings(store, map, data);
            return format!("ConfigMap {map}: {list:?}");
        }
    };
    store.put(object).unwrap();
    format!("{namespace}/{name}: {said}")
}

fn fresh(namespace: &str, name: &str) -> Value {
    let mut object = ingress(namespace, name);
    object["spec"]["rules"][0]["host"] = json!(HOSTS[0]);
    let path = &mut object["spec"]["rules"][0]["http"]["paths"][0];
    path["path"] = json!(format!("/{name}"));
    // Two of a namespace share a Service.
    path["backend"]["service"]["name"] = json!("shop");
    object
}

/// The list that nginx holds an Ingress's requests against, if any, and whether it asks for a password; that of its
/// controller counts where something was made of it.
pub(crate) fn demands(store: &Store, object: &Value, made: bool) -> (Option<String>, bool) {
    let notes = &object["metadata"]["annotations"];
    let class = object["spec"]["ingressClassName"].as_str().unwrap();
    let map = CLASSES.iter().find(|(name, _)| *name == class).unwrap().1;
    let all = store.get("configmaps", "ingress-nginx", map).unwrap();
    let own = notes[format!("{P}/whitelist-source-range")].as_str();
    let list = own.or_else(|| all["data"]["whitelist-source-range"].as_str().filter(|_| made));
    (
        list.map(str::to_owned),
        notes.get(format!("{P}/auth-type")).is_some(),
    )
}

/// Rules of a route that lead somewhere for an Ingress.
fn leading<'a>(route: &'a Value, owner: &'a str) -> impl Iterator<Item = &'a Value> {
    let rules = route["spec"]["http"].as_array().into_iter().flatten();
    let its = move |rule: &&Value| rule["name"].as_str().unwrap_or_default().split(' ').next() == Some(owner);
    rules.filter(|rule| rule.get("route").is_some()).filter(its)
}

/// What an apply may speak for.
fn batch(words: &[String], store: &Store) -> BTreeSet<String> {
    let has = |word: &str| words.iter().any(|other| other == word);
    let after = |flag: &str| {
        words
            .iter()
            .position(|word| word == flag)
            .map(|at| words[at + 1].clone())
    };
    let class = after("--ingress-class").unwrap();
    let all = store.list(ING);
    let named = all.iter().filter(|object| {
        let key = format!(
            "{}/{}",
            object["metadata"]["namespace"].as_str().unwrap(),
            object["metadata"]["name"].as_str().unwrap()
        );
        has("--all")
            || after("-n").as_deref() == object["metadata"]["namespace"].as_str()
            || after("--ingress") == Some(key)
    });
    // Each has one host.
    let host = |object: &Value| object["spec"]["rules"][0]["host"].clone();
    let named: Vec<_> = named.collect();
    let taken = all.iter().filter(|object| {
        let along = has("--widen") && named.iter().any(|other| host(other) == host(object));
        along || named.iter().any(|other| std::sync::Arc::ptr_eq(other, object))
    });
    taken
        .filter(|object| object["spec"]["ingressClassName"] == class.as_str())
        .map(|object| {
            let meta = &object["metadata"];
            format!(
                "{}/{}",
                meta["namespace"].as_str().unwrap(),
                meta["name"].as_str().unwrap()
            )
        })
        .collect()
}

fn words(dice: &mut Dice) -> Vec<String> {
    let (namespace, name) = *dice.of(&KEYS);
    let mut words: Vec<String> = match dice.below(4) {
        0 => {
            let mut words = vec![
                "rollback".to_owned(),
                "--accept".into(),
                "ROLLBACK-NAME-LEADS-TO-GATEWAY".into(),
            ];
            words.extend(["--gone".to_owned(), "orphans".into()]);
            match dice.below(3) {
                0 => words.push("--all".into()),
                1 => words.extend(["-n".to_owned(), namespace.into()]),
                _ => words.extend(["--ingress".to_owned(), format!("{namespace}/{name}")]),
            }
            return words;
        }
        1 => vec!["apply".into(), "--all".into()],
        2 => vec!["apply".into(), "-n".into(), namespace.into()],
        _ => vec!["apply".into(), "--ingress".into(), format!("{namespace}/{name}")],
    };
    words.extend(["--ingress-class".to_owned(), dice.of(&CLASSES).0.to_owned()]);
    for flag in ["--widen", "--prune"] {
        if dice.below(3) == 0 {
            words.push(flag.to_owned());
        }
    }
    words
}

/// What an apply of a batch may not have done.
fn held(store: &Store, before: &Made, batch: &BTreeSet<String>, said: &str, story: &str) {
    let after = made(store);
    for (key, route) in &before.routes {
        // What its owner deleted rests nowhere.
        let rests = |owner: &String| {
            let there = owner
                .split_once('/')
                .and_then(|(namespace, name)| store.get(ING, namespace, name));
            let cleaned = route["metadata"]["annotations"]["rollout.sealos.io/cleaned-up"].as_str();
            let mut cleaned = cleaned.unwrap_or_default().split(',');
            there.is_some() || cleaned.any(|cleaned| cleaned == owner)
        };
        let others: Vec<String> = owners(route)
            .into_iter()
            .filter(|owner| !batch.contains(owner) && rests(owner))
            .collect();
        if others.is_empty() {
            continue;
        }
        let now = after
            .routes
            .get(key)
            .unwrap_or_else(|| panic!("{key} of {others:?} is gone\n{story}"));
        assert_eq!(
            now["spec"], route["spec"],
            "{key} of {others:?} was changed\n{story}"
        );
        assert_eq!(
            needed(now, &after),
            needed(route, before),
            "guards of {key}\n{story}"
        );
        // What nobody needs may go; nothing comes.
        let (all, known) = (guards(now, &after), guards(route, before));
        let new: Vec<&Value> = all.iter().filter(|guard| !known.contains(guard)).collect();
        assert!(new.is_empty(), "{new:?} denies at {key}\n{story}");
        assert_eq!(
            spoken(now, &after),
            spoken(route, before),
            "rules of {key}\n{story}"
        );
    }
    let opened = open(store);
    for (key, route) in &after.routes {
        let namespace = route["metadata"]["namespace"].as_str().unwrap();
        let hosts = texts(&route["spec"]["hosts"]);
        if !hosts
            .iter()
            .any(|host| opened.contains(&format!("{namespace}/{host}")))
        {
            continue;
        }
        for owner in owners(route).intersection(batch) {
            let (namespace, name) = owner.split_once('/').unwrap();
            let object = store.get(ING, namespace, name).unwrap();
            if !hosts.contains(&object["spec"]["rules"][0]["host"].as_str().unwrap().to_owned()) {
                continue;
            }
            // What could not be written is told, of it or of its host.
            let told = said.lines().filter(|line| line.starts_with("blocker"));
            let mut told = told.filter(|line| !line.contains("APPLY-REFUSED"));
            if told.any(|line| {
                line.contains(&format!("Ingress {owner}: ")) && !line.contains("APPLY-CLOSED")
                    || hosts.iter().any(|host| line.contains(&format!("host {host}: ")))
                    || line.contains(&format!("VirtualService {}: ", key.replace('"', "")))
            }) {
                continue;
            }
            let (list, password) = demands(store, &object, true);
            for rule in leading(route, owner) {
                assert!(
                    !password,
                    "{owner} is open without its password in {key}: {rule}\n{story}"
                );
                if let Some(list) = &list {
                    let guards = guards(route, &after);
                    let guarded = guards
                        .iter()
                        .any(|guard| guard.to_string().contains(list.as_str()));
                    assert!(
                        guarded,
                        "{owner} is open without {list} in {key}: {guards:?}\n{story}"
                    );
                }
            }
        }
    }
}

/// All that is ours, of this run and of those before, obeys Istio's rules together.
fn obeys(store: &Store, story: &str) {
    let kinds = [crate::apply::GW, VS, DR, AP].into_iter();
    let all: Vec<Value> = kinds
        .flat_map(|kind| store.list(kind))
        .filter(|object| {
            object["metadata"]["labels"]["app.kubernetes.io/managed-by"].as_str() == Some("gradual-rollout")
        })
        .map(|object| Value::clone(&object))
        .collect();
    assert_eq!(gradual_rollout_migration::rules::check(&all), [], "{story}");
}

/// What cleanup would delete is served, as it is.
async fn cleaned(store: &Store, clock: &Clock, differing: &BTreeMap<String, String>, story: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    migrate(store, clock, &["backup", "--dir", &path])
        .await
        .end
        .unwrap();
    let accept = "CLEANUP-NAME-UNKNOWN,CLEANUP-COUNTING,CLEANUP-COUNT-UNKNOWN,CLEANUP-NOT-PROBED";
    let words = [
        "cleanup",
        "--all",
        "--dir",
        &path,
        "--soak",
        "0",
        "--dry-run",
        "--accept",
        accept,
    ];
    let said = migrate(store, clock, &words).await;
    let opened = open(store);
    let routes = objects(store, VS);
    let story = format!("{story}\n{}{}", said.err, said.out);
    for line in said.out.lines() {
        let Some(key) = line.strip_prefix("would be deleted: Ingress ") else {
            continue;
        };
        let (namespace, name) = key.split_once('/').unwrap();
        let object = store.get(ING, namespace, name).unwrap();
        let host = object["spec"]["rules"][0]["host"].as_str().unwrap();
        let serving = routes.values().filter(|route| owners(route).contains(key));
        let serving: Vec<&Value> = serving
            .filter(|route| texts(&route["spec"]["hosts"]).iter().any(|known| known == host))
            .filter(|route| {
                let namespace = route["metadata"]["namespace"].as_str().unwrap();
                opened.contains(&format!("{namespace}/{host}"))
            })
            .flat_map(|route| leading(route, key))
            .collect();
        assert!(!serving.is_empty(), "{key} is not served\n{story}");
        assert!(!differing.contains_key(key), "{differing:?}\n{story}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_edited_and_applied_in_whatever_order_nothing_of_others_changes_and_what_is_guarded_is_never_open()
 {
    let (mut done, mut met) = (0, 0);
    for seed in 20..60 {
        let mut dice = Dice(seed);
        let (store, clock) = two_classes(&["ns-a", "ns-b"]);
        for namespace in ["ns-a", "ns-b"] {
            store.delete(ING, namespace, "shop").unwrap();
            store.put(service(namespace, "shop")).unwrap();
        }
        for (namespace, name) in KEYS {
            let mut object = fresh(namespace, name);
            object["spec"]["ingressClassName"] = json!(dice.of(&CLASSES).0);
            object["spec"]["rules"][0]["host"] = json!(dice.of(&HOSTS));
            store.put(object).unwrap();
        }
        let mut story = format!("seed {seed}");
        for _ in 0..10 {
            for _ in 0..=dice.below(3) {
                story = format!("{story}\n{}", edit(&store, &mut dice));
            }
            let words = words(&mut dice);
            story = format!("{story}\n{}", words.join(" "));
            let applies = words.iter().any(|word| word == "apply");
            let before = made(&store);
            let batch = if applies {
                batch(&words, &store)
            } else {
                BTreeSet::new()
            };
            let typed: Vec<&str> = words.iter().map(String::as_str).collect();
            let said = migrate(&store, &clock, &typed).await;
            story = format!("{story}\n{}{}", said.err, said.out);
            match &said.end {
                Ok(_) => done += 1,
                Err(Trouble::Usage(_) | Trouble::Refused(_)) => continue,
                Err(other) => panic!("{other:?}\n{story}"),
            }
            if applies {
                held(&store, &before, &batch, &said.err, &story);
            }
            obeys(&store, &story);
            met += judged(&store, &clock, &story).await.len();
        }
        let differing = judged(&store, &clock, &story).await;
        cleaned(&store, &clock, &differing, &story).await;
    }
    println!("{done} runs, {met} differences between the sides, all of them told");
    assert!(done > 150 && met > 50, "{done} {met}");
}
