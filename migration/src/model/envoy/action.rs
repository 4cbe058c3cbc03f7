//! What a route does with a request that met it.

use regex::bytes::Regex;

use super::config::{self, HttpRoute, Weighted};
use super::matching::{PathMatch, Seen};
use crate::model::answer::{Answer, Arrival, Octets, Port};
use crate::model::pattern;
use crate::model::request::{Scheme, join};

#[derive(Debug, Clone)]
pub(super) enum Action {
    Redirect(Redirect),
    Direct(u16),
    Forward(Forward),
}

#[derive(Debug, Clone)]
pub(super) struct Redirect {
    written: config::Redirect,
    /// As text behind the host, or empty.
    port: String,
    code: u16,
}

#[derive(Debug, Clone)]
pub(super) struct Forward {
    rewrite: Rewrite,
    destinations: Vec<(u64, Destination)>,
}

#[derive(Debug, Clone)]
struct Destination {
    namespace: String,
    service: String,
    port: Port,
    authority: Option<String>,
}

#[derive(Debug, Clone)]
enum Rewrite {
    Nothing,
    /// In the place of a matched prefix; of the whole path where the match was exact or a regular expression.
    Matched(Vec<u8>),
    /// RE2's global replacement.
    Regex(Regex, Vec<Part>),
}

#[derive(Debug, Clone)]
enum Part {
    Text(Vec<u8>),
    Group(usize),
}

impl Action {
    /// `port` is the listener's, `namespace` the object's own.
    pub(super) fn new(route: &HttpRoute, scheme: Scheme, port: u16, namespace: &str) -> Result<Self, String> {
        if route.delegate.is_some() {
            return Err("delegate".to_owned());
        }
        if let Some(redirect) = &route.redirect {
            return Redirect::new(redirect, scheme, port).map(Self::Redirect);
        }
        if let Some(direct) = &route.direct_response {
            return Ok(Self::Direct(direct.status));
        }
        if route.fault.is_some() {
            return Err("fault".to_owned());
        }
        Forward::new(route, namespace).map(Self::Forward)
    }

    /// Every answer the route may give, with its weight.
    pub(super) fn answers(&self, matched: &PathMatch, seen: &Seen<'_>) -> Vec<(u64, Answer)> {
        match self {
            Self::Redirect(redirect) => vec![(1, redirect.answer(matched, seen))],
            Self::Direct(status) => vec![(1, Answer::Status(*status))],
            Self::Forward(forward) => forward.answers(matched, seen),
        }
    }
}

impl Redirect {
    fn new(written: &config::Redirect, scheme: Scheme, port: u16) -> Result<Self, String> {
        let code = match written.code {
            0 => 301,
            code @ (301 | 302 | 303 | 307 | 308) => code,
            // Istio drops the action and Envoy the configuration.
            code => return Err(format!("redirectCode {code}")),
        };
        let from_request = written.derive_port.as_deref() == Some("FROM_REQUEST_PORT");
        let port = if from_request { Some(port) } else { written.port };
        let to = if written.scheme.is_empty() {
            scheme.as_str()
        } else {
            &written.scheme
        };
        // The usual ports are not written.
        let port = port.filter(|port| !matches!((*port, to), (80, "http") | (443, "https")));
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self {
            written: written.clone(),
            port,
            code,
        })
    }

    /// Envoy keeps what is not replaced: scheme, host, path, and the query unless the new path has one.
    fn answer(&self, matched: &PathMatch, seen: &Seen<'_>) -> Answer {
        let request = seen.request;
        let to = &self.written;
        let scheme = if to.scheme.is_empty() {
            request.scheme.as_str()
        } else {
            &to.scheme
        };
        let host = if to.authority.is_empty() {
            self.host(&request.host, scheme, request.scheme)
        } else {
            &to.authority
        };
        let query = request.query.as_ref().map(|query| query.0.as_slice());
        let target = if !to.prefix_rewrite.is_empty() {
            join(
                &rewritten(to.prefix_rewrite.as_bytes(), matched, seen.path),
                query,
            )
        } else if to.uri.is_empty() {
            join(seen.path, query)
        } else if to.uri.contains('?') {
            Octets::from(to.uri.as_str())
        } else {
            join(to.uri.as_bytes(), query)
        };
        let mut location = format!("{scheme}://{host}{}", self.port).into_bytes();
        location.extend(target.0);
        Answer::Redirect {
            code: self.code,
            location: Octets(location),
        }
    }

    /// The request's host loses its port where a new one is set, and its usual one where the scheme changes.
    fn host<'a>(&self, host: &'a str, scheme: &str, from: Scheme) -> &'a str {
        let Some((name, port)) = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')) else {
            return host;
        };
        let usual = scheme != from.as_str() && port == from.default_port().to_string();
        if usual || !self.port.is_empty() {
            name
        } else {
            host
        }
    }
}

impl Forward {
    fn new(route: &HttpRoute, namespace: &str) -> Result<Self, String> {
        let rewrite = route.rewrite.as_ref();
        let authority = rewrite
            .map(|rewrite| rewrite.authority.as_str())
            .filter(|authority| !authority.is_empty())
            .or_else(|| route.headers.authority());
        let several = route.route.len() > 1;
        let destinations: Vec<(u64, Destination)> = route
            .route
            .iter()
            // A single destination's weight says nothing; among several, none is never chosen.
            .filter(|weighted| !several || weighted.weight > 0)
            .map(|weighted| {
                (
                    if several { weighted.weight } else { 1 },
                    Destination::new(weighted, authority, namespace),
                )
            })
            .collect();
        if destinations.is_empty() {
            return Err("route without a destination".to_owned());
        }
        Ok(Self {
            rewrite: rewrite.map_or(Ok(Rewrite::Nothing), Rewrite::new)?,
            destinations,
        })
    }

    fn answers(&self, matched: &PathMatch, seen: &Seen<'_>) -> Vec<(u64, Answer)> {
        let path = self.rewrite.apply(matched, seen.path);
        let target = join(&path, seen.request.query.as_ref().map(|query| query.0.as_slice()));
        let arrival = |to: &Destination| {
            Answer::Backend(Arrival {
                namespace: to.namespace.clone(),
                service: to.service.clone(),
                port: to.port.clone(),
                target: target.clone(),
                host: to.authority.clone().unwrap_or_else(|| seen.request.host.clone()),
            })
        };
        self.destinations
            .iter()
            .map(|(weight, to)| (*weight, arrival(to)))
            .collect()
    }
}

impl Destination {
    /// A name without a dot is a Service of the object's own namespace, `s.n.svc.…` one of `n`; anything else is a
    /// host outside.
    fn new(weighted: &Weighted, authority: Option<&str>, namespace: &str) -> Self {
        let host = weighted.destination.host.as_str();
        let mut labels = host.split('.');
        let (service, namespace) = match (labels.next(), labels.next(), labels.next()) {
            (Some(service), Some(of), Some("svc")) => (service, of),
            (Some(service), None, _) => (service, namespace),
            _ => (host, ""),
        };
        Self {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            port: weighted
                .destination
                .port
                .as_ref()
                .map_or(Port::Only, |port| Port::Number(port.number)),
            authority: authority
                .or_else(|| weighted.headers.authority())
                .map(str::to_owned),
        }
    }
}

impl Rewrite {
    fn new(written: &config::Rewrite) -> Result<Self, String> {
        if let Some(regex) = &written.regex {
            let pattern = pattern::compile(&regex.r#match, false)?;
            let parts = parts(&regex.rewrite, pattern.captures_len())?;
            return Ok(Self::Regex(pattern, parts));
        }
        if written.uri.is_empty() {
            return Ok(Self::Nothing);
        }
        Ok(Self::Matched(written.uri.as_bytes().to_vec()))
    }

    fn apply(&self, matched: &PathMatch, path: &[u8]) -> Vec<u8> {
        match self {
            Self::Nothing => path.to_vec(),
            Self::Matched(uri) => rewritten(uri, matched, path),
            Self::Regex(pattern, parts) => {
                let replace = |found: &regex::bytes::Captures<'_>| {
                    let mut whole = Vec::new();
                    for part in parts {
                        match part {
                            Part::Text(text) => whole.extend_from_slice(text),
                            Part::Group(number) => {
                                whole.extend_from_slice(
                                    found.get(*number).map_or(&b""[..], |group| group.as_bytes()),
                                );
                            }
                        }
                    }
                    whole
                };
                pattern.replace_all(path, replace).into_owned()
            }
        }
    }
}

fn rewritten(uri: &[u8], matched: &PathMatch, path: &[u8]) -> Vec<u8> {
    let rest = match matched {
        PathMatch::Prefix(prefix) => path.get(prefix.len()..).unwrap_or_default(),
        PathMatch::Exact(_) | PathMatch::Regex(_) => &[],
    };
    [uri, rest].concat()
}

/// RE2's substitution: `\1` to `\9` and `\0`, `\\` for a backslash. Envoy refuses the rest and unknown groups.
fn parts(substitution: &str, groups: usize) -> Result<Vec<Part>, String> {
    let refused = || format!("uriRegexRewrite {substitution:?}");
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut chars = substitution.chars();
    while let Some(ch) = chars.next() {
        if ch != '\\' {
            text.push(ch);
            continue;
        }
        match chars.next().ok_or_else(refused)? {
            '\\' => text.push('\\'),
            digit => {
                let number = digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok());
                let number = number.filter(|number| *number < groups).ok_or_else(refused)?;
                parts.push(Part::Text(std::mem::take(&mut text).into_bytes()));
                parts.push(Part::Group(number));
            }
        }
    }
    parts.push(Part::Text(text.into_bytes()));
    Ok(parts)
}
