//! Who gets in on either side, by the objects of a cluster: by nginx's rules and by the model of the gateway. Where the sides
//! differ, `validate` has to say so.

use crate::apply::{GW, ING, VS};
use crate::ownership::AP;
use crate::sequences::{demands, owners};
use crate::support::migrate;
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_migration::model::envoy::{Envoy, Options};
use gradual_rollout_migration::model::{Answer, Request, Scheme};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the gateway does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Leads,
    Closes,
    Nothing,
}

/// Lists that keep others out of a path of a host at the gateway.
fn lists(store: &Store, host: &str, path: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for policy in store.list(AP) {
        for rule in policy["spec"]["rules"].as_array().into_iter().flatten() {
            let operation = &rule["to"][0]["operation"];
            let has = |list: &str, wanted: &str| {
                let all = operation[list].as_array().into_iter().flatten();
                all.filter_map(Value::as_str).any(|one| {
                    one == wanted || one.strip_suffix('*').is_some_and(|head| wanted.starts_with(head))
                })
            };
            let meant = operation.get("paths").is_none() || has("paths", path);
            if has("hosts", host) && meant && !has("notPaths", path) {
                found.insert(rule["from"][0]["source"]["notRemoteIpBlocks"].to_string());
            }
        }
    }
    found
}

fn path(object: &Value) -> String {
    let path = &object["spec"]["rules"][0]["http"]["paths"][0]["path"];
    path.as_str().unwrap().to_owned()
}

/// Whether nginx serves one in the place of another: of its class, host and path, and older, or of its age and later by name.
fn before(one: &Value, other: &Value) -> bool {
    let place = |object: &Value| {
        let spec = &object["spec"];
        (
            spec["ingressClassName"].clone(),
            spec["rules"][0]["host"].clone(),
            path(object),
        )
    };
    let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap().to_owned();
    let key = |object: &Value| (text(object, "namespace"), text(object, "name"));
    let since = |object: &Value| text(object, "creationTimestamp");
    key(one) != key(other)
        && place(one) == place(other)
        && (since(one), key(other)) < (since(other), key(one))
}

/// What differs between the sides, by Ingress; and that `validate` tells it.
pub(crate) async fn judged(store: &Store, clock: &Clock, story: &str) -> BTreeMap<String, String> {
    let objects: Vec<Value> = [VS, GW]
        .iter()
        .flat_map(|kind| store.list(kind))
        .map(|object| Value::clone(&object))
        .collect();
    let envoy = Envoy::new(&objects, Options::default());
    let said = migrate(store, clock, &["--json", "validate"]).await;
    let told: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}\n{story}"));
    let blockers: BTreeSet<&str> = told["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] == "blocker")
        .map(|finding| finding["object"].as_str().unwrap())
        .collect();
    let mut differing = BTreeMap::new();
    for object in store.list(ING) {
        let meta = &object["metadata"];
        let (namespace, name) = (
            meta["namespace"].as_str().unwrap(),
            meta["name"].as_str().unwrap(),
        );
        let key = format!("{namespace}/{name}");
        let host = object["spec"]["rules"][0]["host"].as_str().unwrap();
        let path = path(&object);
        if store.list(ING).iter().any(|other| before(other, &object)) {
            // nginx serves another's there.
            continue;
        }
        let does = match envoy.answer(&Request::get(Scheme::Http, host, &path), 0) {
            Answer::Backend(_) | Answer::Redirect { .. } => Does::Leads,
            Answer::Status(403 | 503) => Does::Closes,
            Answer::Status(_) | Answer::Refused => Does::Nothing,
            Answer::Unsupported(what) => panic!("{what}\n{story}"),
        };
        let routes = store.list(VS);
        let having: Vec<_> = routes
            .iter()
            .filter(|route| route["spec"]["hosts"].to_string().contains(&format!("{host:?}")))
            .collect();
        let made = having.iter().any(|route| owners(route).contains(&key));
        let (list, password) = demands(store, &object, made);
        let lists = lists(store, host, &path);
        let wanted = list.as_ref().map(|list| format!("[{list:?}]"));
        let open = does == Does::Leads && (password || wanted.is_some_and(|list| !lists.contains(&list)));
        let other = lists
            .iter()
            .any(|there| Some(there) != list.as_ref().map(|list| format!("[{list:?}]")).as_ref());
        let denied = made && !password && (does == Does::Closes || does == Does::Leads && other);
        if !open && !denied {
            continue;
        }
        let what = format!("{key} {host}{path}: open {open}, denied {denied}, {does:?}, {lists:?}, {list:?}");
        let mut names = having.iter().map(|route| {
            let meta = &route["metadata"];
            format!(
                "VirtualService {}/{}",
                meta["namespace"].as_str().unwrap(),
                meta["name"].as_str().unwrap()
            )
        });
        let known = blockers.contains(format!("Ingress {key}").as_str())
            || names.any(|name| blockers.contains(name.as_str()))
            || blockers.contains(format!("host {host}").as_str())
            || blockers
                .iter()
                .any(|object| object.starts_with("AuthorizationPolicy"));
        assert!(
            known,
            "nobody tells of {what}\n{blockers:?}\n{story}\n{}",
            said.out
        );
        differing.insert(key, what);
    }
    differing
}
