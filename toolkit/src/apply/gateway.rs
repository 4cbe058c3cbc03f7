//! The Gateway: one object for all batches, so it is made anew with each, and keeps what is open already.

pub mod beneath;

pub use beneath::Beneath;

use super::live::texts;
use crate::cluster::meta;
use crate::marks;
use crate::trouble::Trouble;
use gradual_rollout_migration::convert::Options;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A host as a Gateway has it: namespace and name.
pub type Host = (String, String);

fn servers(gateway: &Value) -> impl Iterator<Item = &Value> {
    gateway
        .pointer("/spec/servers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn hosts(server: &Value) -> impl Iterator<Item = Host> {
    let all = server.get("hosts").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|host| {
        let (namespace, name) = host.as_str()?.split_once('/')?;
        Some((namespace.to_owned(), name.to_owned()))
    })
}

/// Every host of a Gateway.
pub fn open(gateway: &Value) -> BTreeSet<Host> {
    servers(gateway).flat_map(hosts).collect()
}

/// The hosts of a Gateway that have a certificate there.
pub fn secured_hosts(gateway: &Value) -> BTreeSet<Host> {
    let secured = servers(gateway).filter(|server| server.get("tls").is_some());
    secured.flat_map(hosts).collect()
}

/// Every host that a Gateway serves, as Istio reads it: one without a namespace is that of any, as `*` is, and `.` is the
/// Gateway's own namespace.
pub fn opened(gateway: &Value) -> BTreeSet<Host> {
    let all = servers(gateway).filter_map(|server| server.get("hosts")?.as_array());
    all.flatten()
        .filter_map(Value::as_str)
        .map(|host| {
            let (of, name) = host.split_once('/').unwrap_or(("*", host));
            let of = if of == "." { meta(gateway, "namespace") } else { of };
            (of.to_owned(), name.to_ascii_lowercase())
        })
        .collect()
}

/// Whether a host of a namespace is among those that are [`opened`], itself or by a wildcard over it.
pub fn is_open(namespace: &str, host: &str, open: &BTreeSet<Host>) -> bool {
    let has = |host: String| {
        let of = |namespace: &str| open.contains(&(namespace.to_owned(), host.clone()));
        of(namespace) || of("*")
    };
    let mut over = host.match_indices('.').filter_map(|(at, _)| host.get(at..));
    has(host.to_owned()) || has("*".to_owned()) || over.any(|suffix| has(format!("*{suffix}")))
}

/// Whether a route is bound to a Gateway.
pub fn binds(gateway: &Value, route: &Value) -> bool {
    let (namespace, name) = key(gateway);
    texts(route, "/spec/gateways").any(|bound| match bound.split_once('/') {
        Some((of, bound)) => of == namespace && bound == name,
        None => bound == name && meta(route, "namespace") == namespace,
    })
}

/// The hosts that show each certificate, by the name of its Secret.
pub fn showing(gateway: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for server in servers(gateway) {
        if let Some(credential) = server.pointer("/tls/credentialName").and_then(Value::as_str) {
            let names = hosts(server).map(|(_, host)| host);
            all.entry(credential.to_owned()).or_default().extend(names);
        }
    }
    all
}

/// Every certificate that a Gateway shows.
pub fn credentials(gateway: &Value) -> BTreeSet<String> {
    showing(gateway).into_keys().collect()
}

/// A Gateway with some hosts left out; none where nothing is left of it. Hosts `beneath` a wildcard that goes, which have
/// routes of their own, are listed themselves then.
pub fn without(gateway: &Value, left_out: &dyn Fn(&Host) -> bool, beneath: &Beneath) -> Option<Value> {
    let mut next = gateway.clone();
    let servers = next.pointer_mut("/spec/servers")?.as_array_mut()?;
    let listed = beneath::Listed::of(servers);
    for (index, server) in servers.iter_mut().enumerate() {
        let own: Vec<Host> = beneath.of(server).cloned().collect();
        let Some(all) = server.get_mut("hosts").and_then(Value::as_array_mut) else {
            continue;
        };
        let mut going = BTreeSet::new();
        // A host without a namespace is none that this program wrote: it is nobody's to leave out.
        all.retain(|host| {
            let named = host.as_str().and_then(|host| host.split_once('/'));
            let named = named.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
            let out = named.filter(left_out);
            let stays = out.is_none();
            going.extend(out);
            stays
        });
        let uncovered = own
            .iter()
            .filter(|host| !left_out(host) && beneath::under(host, &going));
        let uncovered = listed.unlisted(index, uncovered);
        list(all, uncovered.iter());
    }
    beneath::settle(servers);
    let empty = |server: &Value| {
        server
            .get("hosts")
            .and_then(Value::as_array)
            .is_some_and(Vec::is_empty)
    };
    servers.retain(|server| !empty(server));
    (!servers.is_empty()).then_some(next)
}

/// Adds hosts to those of a server.
fn list<'a>(all: &mut Vec<Value>, more: impl Iterator<Item = &'a Host>) {
    let before = all.len();
    all.extend(more.map(|(namespace, name)| Value::from(format!("{namespace}/{name}"))));
    if all.len() > before {
        all.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
}

/// A Gateway with those hosts of the one that is there which nothing says any more, but which are still served: their
/// Ingresses were cleaned up.
pub fn keeping(mut wanted: Value, live: &Value, kept: &Beneath) -> Value {
    let known = open(&wanted);
    let before: Vec<Value> = servers(live).cloned().collect();
    let listed = beneath::Listed::of(&before);
    for (index, server) in before.iter().enumerate() {
        let mut missing: BTreeSet<Host> = hosts(server).filter(|host| kept.hosts.contains(host)).collect();
        let covered = kept.of(server).filter(|host| !beneath::under(host, &known));
        missing.extend(listed.unlisted(index, covered));
        missing.retain(|host| !known.contains(host));
        if missing.is_empty() {
            continue;
        }
        let Some(all) = wanted.pointer_mut("/spec/servers").and_then(Value::as_array_mut) else {
            return wanted;
        };
        let alike = |other: &Value| {
            let same = |field: &&str| other.pointer(field) == server.pointer(field);
            ["/port/number", "/port/protocol"].iter().all(same) && secured(other) == secured(server)
        };
        let mut found = all.iter_mut().find(|other| alike(other));
        if let Some(other) = &mut found {
            agree(other, server);
        }
        if let Some(hosts) = found
            .and_then(|other| other.get_mut("hosts"))
            .and_then(Value::as_array_mut)
        {
            list(hosts, missing.iter());
            continue;
        }
        let mut more = server.clone();
        let name = free(server, all);
        if let Some(more) = more.as_object_mut() {
            let mut hosts = Vec::new();
            list(&mut hosts, missing.iter());
            more.insert("hosts".to_owned(), hosts.into());
        }
        if let Some(port) = more.get_mut("port").and_then(Value::as_object_mut) {
            port.insert("name".to_owned(), name.into());
        }
        all.push(more);
    }
    if let Some(all) = wanted.pointer_mut("/spec/servers").and_then(Value::as_array_mut) {
        beneath::settle(all);
        all.retain(|server| server.pointer("/hosts/0").is_some());
    }
    wanted
}

/// How a server does TLS, whatever its ciphers.
fn secured(server: &Value) -> Option<Value> {
    let mut tls = server.get("tls")?.clone();
    tls.as_object_mut()?.remove(CIPHERS);
    Some(tls)
}

/// Browsers use one connection for all hosts of a certificate, so these have to share a server: where they want different
/// ciphers it has none of its own, as the converter says of hosts that it sees together.
fn agree(server: &mut Value, other: &Value) {
    let list = |server: &Value| server.pointer("/tls")?.get(CIPHERS).cloned();
    if list(server) != list(other)
        && let Some(tls) = server.get_mut("tls").and_then(Value::as_object_mut)
    {
        tls.remove(CIPHERS);
    }
}

const CIPHERS: &str = "cipherSuites";

/// The certificates whose server has ciphers of its own.
pub fn choosing(gateway: &Value) -> BTreeSet<String> {
    let chosen = servers(gateway).filter_map(|server| server.get("tls")?.get(CIPHERS).and(server.get("tls")));
    chosen
        .filter_map(|tls| Some(tls.get("credentialName")?.as_str()?.to_owned()))
        .collect()
}

/// A name for a server's port that no other of the Gateway has.
fn free(server: &Value, all: &[Value]) -> String {
    let name = server
        .pointer("/port/name")
        .and_then(Value::as_str)
        .unwrap_or("kept");
    let taken = |name: &str| {
        all.iter()
            .any(|other| other.pointer("/port/name") == Some(&json!(name)))
    };
    let mut number = 1;
    let mut free = name.to_owned();
    while taken(&free) {
        number += 1;
        free = format!("{name}-{number}");
    }
    free
}

/// The pods of a Gateway that is there are those of every host of it, with their guards: they are what is meant where none
/// are named, and others are refused.
pub fn pods(named: bool, live: Option<&Value>, options: &mut Options) -> Result<(), Trouble> {
    let Some(live) = live.filter(|live| marks::ours(live) && !open(live).is_empty()) else {
        return Ok(());
    };
    let labels = live.pointer("/spec/selector").and_then(Value::as_object);
    let pods: BTreeMap<String, String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(label, value)| Some((label.clone(), value.as_str()?.to_owned())))
        .collect();
    if named && pods != options.gateway_selector {
        let said: Vec<String> = pods
            .iter()
            .map(|(label, value)| format!("{label}={value}"))
            .collect();
        let (namespace, name) = key(live);
        return Err(Trouble::Refused(format!(
            "nothing was written: Gateway {namespace}/{name} is served by pods with {}, and has hosts of other batches, which would move to others without their guards; leave --gateway-selector out, or write another Gateway with --gateway",
            said.join(",")
        )));
    }
    options.gateway_selector = pods;
    Ok(())
}

/// The namespace and name of a Gateway.
pub fn key(gateway: &Value) -> Host {
    (
        meta(gateway, "namespace").to_owned(),
        meta(gateway, "name").to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, number: u16, credential: Option<&str>, hosts: &[&str]) -> Value {
        let mut server =
            json!({"port": {"name": name, "number": number, "protocol": "HTTP"}, "hosts": hosts});
        if let Some(credential) = credential {
            server["tls"] = json!({"mode": "SIMPLE", "credentialName": credential});
        }
        server
    }

    fn gateway(servers: &[Value]) -> Value {
        json!({"metadata": {"name": "g", "namespace": "i"}, "spec": {"servers": servers}})
    }

    fn host(text: &str) -> Host {
        let (namespace, name) = text.split_once('/').unwrap();
        (namespace.into(), name.into())
    }

    fn kept(all: &[&str]) -> Beneath {
        Beneath {
            hosts: all.iter().map(|text| host(text)).collect(),
            ..Beneath::default()
        }
    }

    fn listed(gateway: &Value) -> Vec<String> {
        let servers = gateway["spec"]["servers"].as_array().unwrap().iter();
        servers
            .map(|server| format!("{} {}", server["port"]["number"], server["hosts"]))
            .collect()
    }

    #[test]
    fn beside_a_wildcard_of_its_namespace_a_host_is_not_listed_and_where_that_goes_it_is_again() {
        let wild = gateway(&[
            server("http", 80, None, &["a/*.x"]),
            server("https-w", 443, Some("w"), &["a/*.x"]),
        ]);
        let narrow = gateway(&[
            server("http", 80, None, &["a/n.x", "b/n.x"]),
            server("https-o", 443, Some("o"), &["a/n.x"]),
        ]);
        let both = keeping(narrow.clone(), &wild, &kept(&["a/*.x", "a/n.x"]));
        let own = [r#"80 ["a/*.x","b/n.x"]"#, r#"443 ["a/n.x"]"#, r#"443 ["a/*.x"]"#];
        assert_eq!(listed(&both), own);
        let gone = |host: &Host| host.1 == "*.x";
        assert_eq!(
            listed(&without(&both, &gone, &kept(&["a/n.x"])).unwrap()),
            listed(&narrow)
        );
        // What shows the wildcard's certificate goes on with it, unless another Gateway shows its own.
        let alone = without(&wild, &gone, &kept(&["a/n.x"])).unwrap();
        assert_eq!(listed(&alone), [r#"80 ["a/n.x"]"#, r#"443 ["a/n.x"]"#]);
        let mut elsewhere = kept(&["a/n.x"]);
        elsewhere.elsewhere = elsewhere.hosts.clone();
        assert_eq!(
            listed(&without(&wild, &gone, &elsewhere).unwrap()),
            [r#"80 ["a/n.x"]"#]
        );
        // A host that no wildcard of its namespace has is not opened for the sake of one that goes.
        assert_eq!(without(&wild, &gone, &kept(&["b/n.x", "a/other"])), None);
    }

    #[test]
    fn hosts_that_a_wildcard_had_stay_open_where_no_batch_says_it_any_more() {
        let wild = gateway(&[server("http", 80, None, &["a/*.x"])]);
        let wanted = gateway(&[server("http", 80, None, &["c/y"])]);
        let next = keeping(wanted, &wild, &kept(&["a/n.x", "b/m.x"]));
        assert_eq!(listed(&next), [r#"80 ["a/n.x","c/y"]"#]);
    }

    #[test]
    fn hosts_that_are_left_out_take_empty_servers_with_them() {
        let all = gateway(&[
            server("http", 80, None, &["a/x", "b/y"]),
            server("https-1", 443, Some("s"), &["b/y"]),
        ]);
        let left = without(&all, &|host| host.0 == "b", &Beneath::default()).unwrap();
        assert_eq!(
            left["spec"]["servers"],
            json!([server("http", 80, None, &["a/x"])])
        );
        assert_eq!(without(&all, &|_| true, &Beneath::default()), None);
        assert_eq!(showing(&all)["s"], BTreeSet::from(["y".to_owned()]));
    }

    #[test]
    fn a_host_is_open_by_every_spelling_that_istio_reads() {
        for open in [
            "a/x.y.z", "a/*", "*/*", "*", "*/X.y.z", "x.y.z", "a/*.y.z", "*/*.z",
        ] {
            let open = opened(&gateway(&[server("http", 80, None, &[open])]));
            assert!(is_open("a", "x.y.z", &open), "{open:?}");
        }
        for closed in ["b/x.y.z", "b/*", "./*", "a/y.z", "a/*.x.y.z"] {
            let open = opened(&gateway(&[server("http", 80, None, &[closed])]));
            assert!(!is_open("a", "x.y.z", &open), "{open:?}");
        }
        assert!(is_open(
            "i",
            "x",
            &opened(&gateway(&[server("http", 80, None, &["./x"])]))
        ));
    }

    #[test]
    fn hosts_of_one_certificate_share_a_server_and_its_ciphers_are_those_on_which_they_agree() {
        let chosen = |hosts: &[&str], ciphers: &[&str]| {
            let mut server = server("https-1", 443, Some("s"), hosts);
            if !ciphers.is_empty() {
                server["tls"]["cipherSuites"] = json!(ciphers);
            }
            gateway(&[server])
        };
        let kept = kept(&["c/z"]);
        for (before, now, then) in [
            (&["A"][..], &["A"][..], &["A"][..]),
            (&["A"], &["B"], &[]),
            (&["A"], &[], &[]),
            (&[], &["B"], &[]),
        ] {
            let (live, wanted) = (chosen(&["c/z"], before), chosen(&["b/y"], now));
            let next = keeping(wanted, &live, &kept);
            assert_eq!(next, chosen(&["b/y", "c/z"], then), "{before:?} {now:?}");
            assert_eq!(choosing(&next).is_empty(), then.is_empty());
        }
    }

    #[test]
    fn what_is_served_stays_open_although_its_ingress_is_gone() {
        let live = gateway(&[
            server("http", 80, None, &["a/x", "c/z", "d/w"]),
            server("https-1", 443, Some("s"), &["c/z"]),
        ]);
        let wanted = gateway(&[
            server("http", 80, None, &["b/y"]),
            server("https-1", 443, Some("t"), &["b/y"]),
        ]);
        let kept = kept(&["c/z", "a/x"]);
        let next = keeping(wanted, &live, &kept);
        assert_eq!(
            next["spec"]["servers"],
            json!([
                server("http", 80, None, &["a/x", "b/y", "c/z"]),
                server("https-1", 443, Some("t"), &["b/y"]),
                server("https-1-2", 443, Some("s"), &["c/z"]),
            ])
        );
        assert_eq!(keeping(next.clone(), &live, &kept), next);
    }
}
