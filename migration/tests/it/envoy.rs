//! What a request meets at the gateway: a small reading of Gateway and VirtualServices, enough for these tests.

use crate::given::Done;
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, OnceLock};

/// An expression; compiling the same ones again and again is most of the time of a property.
pub(crate) fn compiled(pattern: &str) -> Regex {
    static KNOWN: OnceLock<Mutex<HashMap<String, Regex>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap();
    let compile = || Regex::new(pattern).unwrap();
    known.entry(pattern.to_owned()).or_insert_with(compile).clone()
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    host: String,
    path: String,
    port: u64,
    headers: BTreeMap<String, String>,
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn https(mut self) -> Self {
        self.port = 443;
        self
    }
}

/// A request in clear.
pub(crate) fn get(host: &str, path: &str) -> Request {
    Request {
        host: host.to_owned(),
        path: path.to_owned(),
        port: 80,
        headers: BTreeMap::new(),
    }
}

impl Done {
    /// `service path`, `status location`, `status`, or `none` where no server has the host.
    pub(crate) fn answer(&self, request: &Request) -> String {
        let Some(route) = self.route(request) else {
            return if self.service(request).is_some() {
                "404".to_owned()
            } else {
                "none".to_owned()
            };
        };
        let (path, query) = match request.path.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (request.path.as_str(), String::new()),
        };
        if let Some(status) = route.pointer("/directResponse/status") {
            return status.to_string();
        }
        if let Some(redirect) = route.get("redirect") {
            let scheme = if request.port == 443 { "https" } else { "http" };
            let scheme = redirect["scheme"].as_str().unwrap_or(scheme);
            let host = redirect["authority"].as_str().unwrap_or(&request.host);
            let port = redirect["port"]
                .as_u64()
                .map_or(String::new(), |port| format!(":{port}"));
            let path = redirect["uri"].as_str().unwrap_or(path);
            let query = if path.contains('?') { "" } else { &query };
            return format!(
                "{} {scheme}://{host}{port}{path}{query}",
                redirect["redirectCode"]
            );
        }
        let mut upstream = path.to_owned();
        if let Some(rewrite) = route.pointer("/rewrite/uriRegexRewrite") {
            let found = compiled(rewrite["match"].as_str().unwrap());
            if let Some(captures) = found.captures(path) {
                upstream.clear();
                let mut chars = rewrite["rewrite"].as_str().unwrap().chars();
                while let Some(c) = chars.next() {
                    match (c, c == '\\') {
                        (_, true) => {
                            let next = chars.next().unwrap();
                            let group = next
                                .to_digit(10)
                                .map(|digit| captures.get(digit as usize).map_or("", |m| m.as_str()));
                            upstream.push_str(group.unwrap_or("\\"));
                        }
                        (c, false) => upstream.push(c),
                    }
                }
            }
        }
        let service = destinations(&route).first().unwrap().0.clone();
        format!("{service} {upstream}{query}")
    }

    /// The route that a request takes.
    pub(crate) fn route(&self, request: &Request) -> Option<Value> {
        let service = self.service(request)?;
        let path = request.path.split('?').next().unwrap();
        let all = service["spec"]["http"].as_array()?;
        all.iter()
            .find(|route| {
                route["match"]
                    .as_array()
                    .is_none_or(|all| all.iter().any(|matched| takes(matched, request, path)))
            })
            .cloned()
    }

    /// The VirtualService of a request's host, where a server of its port has the host.
    fn service(&self, request: &Request) -> Option<Value> {
        let gateways = self.objects("Gateway");
        let mut best: Option<(usize, Value)> = None;
        for service in self.objects("VirtualService") {
            let namespace = service["metadata"]["namespace"].as_str().unwrap();
            let bound = |gateway: &&&Value| {
                let meta = &gateway["metadata"];
                let name = format!(
                    "{}/{}",
                    meta["namespace"].as_str().unwrap(),
                    meta["name"].as_str().unwrap()
                );
                service["spec"]["gateways"]
                    .as_array()
                    .unwrap()
                    .contains(&name.into())
            };
            for host in service["spec"]["hosts"].as_array().unwrap() {
                let host = host.as_str().unwrap();
                let rank = match host.strip_prefix('*') {
                    Some(suffix) if request.host.ends_with(suffix) => suffix.len(),
                    None if host == request.host => 1000,
                    _ => continue,
                };
                let served = gateways
                    .iter()
                    .filter(bound)
                    .flat_map(|gateway| gateway["spec"]["servers"].as_array().unwrap())
                    .filter(|server| server["port"]["number"] == request.port)
                    .flat_map(|server| server["hosts"].as_array().unwrap())
                    .any(|entry| {
                        let (from, name) = entry.as_str().unwrap().split_once('/').unwrap();
                        let wider = name
                            .strip_prefix('*')
                            .is_some_and(|suffix| host.ends_with(suffix));
                        from == namespace && (name == host || wider)
                    });
                if served && best.as_ref().is_none_or(|(known, _)| *known < rank) {
                    best = Some((rank, service.clone()));
                }
            }
        }
        best.map(|(_, service)| service)
    }
}

/// Services with their weights, as `name` of `name.namespace.svc…`.
pub(crate) fn destinations(route: &Value) -> Vec<(String, u64)> {
    let all = route["route"].as_array().unwrap();
    all.iter()
        .map(|entry| {
            let host = entry["destination"]["host"].as_str().unwrap();
            (
                host.split('.').next().unwrap().to_owned(),
                entry["weight"].as_u64().unwrap_or(100),
            )
        })
        .collect()
}

fn takes(matched: &Value, request: &Request, path: &str) -> bool {
    let authority = matched.get("authority").is_none_or(|m| says(m, &request.host));
    let uri = matched.get("uri").is_none_or(|m| says(m, path));
    let port = matched.get("port").is_none_or(|port| *port == request.port);
    let headers = matched["headers"].as_object().is_none_or(|all| {
        all.iter()
            .all(|(name, m)| request.headers.get(name).is_some_and(|value| says(m, value)))
    });
    authority && uri && port && headers
}

fn says(matched: &Value, text: &str) -> bool {
    if let Some(exact) = matched["exact"].as_str() {
        return exact == text;
    }
    if let Some(prefix) = matched["prefix"].as_str() {
        return text.starts_with(prefix);
    }
    let pattern = matched["regex"].as_str().unwrap();
    compiled(&format!("^(?:{pattern})$")).is_match(text)
}
