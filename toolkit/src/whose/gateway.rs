//! Which rules of which routes answer at the gateway, read as Istio and Envoy do: the narrowest host, then the first rule that
//! takes the path.

use super::REST;
use crate::answering;
use crate::apply::closed;
use crate::apply::live;
use crate::see::{items, text};
use gradual_rollout_migration::input::Key;
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A rule that leads on.
#[derive(Clone, Debug)]
pub struct Lead<'a> {
    /// Its route.
    pub route: &'a Value,
    /// The Ingress that it was made of; none where it does not say.
    pub owner: Option<Key>,
}

/// What a rule compares a text with.
#[derive(Debug)]
enum Text {
    Any,
    Exact(String),
    Prefix(String),
    Regex(Option<Regex>),
}

impl Text {
    fn of(said: Option<&Value>) -> Self {
        let word = |kind: &str| said.and_then(|said| text(said, kind)).map(ToOwned::to_owned);
        match (word("/exact"), word("/prefix"), word("/regex")) {
            (Some(exact), _, _) => Self::Exact(exact),
            (None, Some(prefix), _) => Self::Prefix(prefix),
            (None, None, Some(regex)) => Self::Regex(Regex::new(&format!("^(?:{regex})$")).ok()),
            (None, None, None) => Self::Any,
        }
    }

    /// Whether it takes a text; what cannot be read may.
    fn takes(&self, text: &str) -> bool {
        match self {
            Self::Any | Self::Regex(None) => true,
            Self::Exact(exact) => text == exact,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Regex(Some(regex)) => regex.is_match(text),
        }
    }

    /// Whether it is certain which texts it takes.
    fn is_known(&self) -> bool {
        !matches!(self, Self::Regex(None))
    }
}

#[derive(Debug)]
struct Match {
    path: Text,
    authority: Text,
    /// There are more conditions: whether a request meets them the path does not say.
    perhaps: bool,
}

#[derive(Debug)]
struct Rule<'a> {
    name: &'a str,
    matches: Vec<Match>,
    leads: bool,
    /// It answers what could not be converted.
    refuses: bool,
}

#[derive(Debug)]
struct Route<'a> {
    object: &'a Value,
    rules: Vec<Rule<'a>>,
    /// Its connections are passed through: what is asked for within nobody sees.
    passes: bool,
}

/// Routes at gateways.
#[derive(Debug, Default)]
pub struct Gateway<'a> {
    routes: Vec<Route<'a>>,
    by_name: BTreeMap<String, Vec<usize>>,
}

fn matches(rule: &Value) -> Vec<Match> {
    const KNOWN: [&str; 3] = ["uri", "authority", "name"];
    let one = |found: &Value| {
        let mut fields = found.as_object().into_iter().flat_map(serde_json::Map::keys);
        Match {
            path: Text::of(found.get("uri")),
            authority: Text::of(found.get("authority")),
            perhaps: fields.any(|field| !KNOWN.contains(&field.as_str())),
        }
    };
    items(rule, "/match").map(one).collect()
}

/// Whether a rule of a name answers what could not be converted.
fn refusing(name: &str) -> bool {
    name == closed::CLOSED || name.starts_with("refused ")
}

impl Rule<'_> {
    /// Whether it certainly takes every request for a name and a path.
    fn takes(&self, name: &str, path: &str) -> bool {
        let certain = |one: &Match| !one.perhaps && one.path.is_known() && one.authority.is_known();
        let taken = |one: &Match| one.path.takes(path) && one.authority.takes(name);
        self.matches.is_empty() || self.matches.iter().any(|one| taken(one) && certain(one))
    }
}

impl<'a> Route<'a> {
    fn new(route: &'a Value) -> Self {
        let rules = items(route, "/spec/http").map(|rule| Rule {
            name: text(rule, "/name").unwrap_or_default(),
            matches: matches(rule),
            leads: rule.get("route").is_some(),
            refuses: rule.get("directResponse").is_some()
                && refusing(text(rule, "/name").unwrap_or_default()),
        });
        Self {
            object: route,
            rules: rules.collect(),
            passes: route.pointer("/spec/tls").is_some(),
        }
    }

    fn lead(&self, rule: Option<&Rule<'_>>) -> Lead<'a> {
        let owner = rule.and_then(|rule| {
            let (key, _) = rule.name.split_once(' ')?;
            let (namespace, name) = key.split_once('/')?;
            Some((namespace.to_owned(), name.to_owned()))
        });
        Lead {
            route: self.object,
            owner,
        }
    }

    /// The rules that may lead a request on: those up to the first that certainly takes it.
    fn leads(&self, name: &str, path: &str) -> Vec<Lead<'a>> {
        let mut found = Vec::new();
        if self.passes {
            found.push(self.lead(None));
        }
        for rule in &self.rules {
            let mut taking = rule.matches.iter();
            let may = taking.any(|one| one.path.takes(path) && one.authority.takes(name));
            if rule.leads && (may || rule.matches.is_empty()) {
                found.push(self.lead(Some(rule)));
            }
            if rule.takes(name, path) {
                break;
            }
        }
        found
    }
}

impl<'a> Gateway<'a> {
    /// With these routes.
    pub fn new(routes: impl Iterator<Item = &'a Value>) -> Self {
        let mut all = Self::default();
        for route in routes.filter(|route| live::at_gateway(route)) {
            let at = all.routes.len();
            for host in live::hosts(route) {
                all.by_name.entry(host).or_default().push(at);
            }
            all.routes.push(Route::new(route));
        }
        all
    }

    /// The names that they have.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The routes that answer a name: its own, those of the narrowest wildcard over it, or what takes the rest.
    fn of(&self, name: &str) -> impl Iterator<Item = &Route<'a>> {
        let wider = name.match_indices('.').filter_map(|(at, _)| name.get(at..));
        let wider = wider.map(|suffix| format!("*{suffix}"));
        let mut all = std::iter::once(name.to_owned())
            .chain(wider)
            .chain([REST.to_owned()]);
        let found = all.find_map(|name| self.by_name.get(&name));
        found.into_iter().flatten().filter_map(|at| self.routes.get(*at))
    }

    /// The rules that may lead a request on.
    pub fn leads(&self, name: &str, path: &str) -> Vec<Lead<'a>> {
        self.of(name).flat_map(|route| route.leads(name, path)).collect()
    }

    /// Whether it has a route for a name, be it a wildcard's.
    pub fn has(&self, name: &str) -> bool {
        self.of(name).next().is_some()
    }

    /// The route that answers a path itself, as it could not be converted.
    pub fn refuses(&self, name: &str, path: &str) -> Option<&'a Value> {
        let mut routes = self.of(name);
        let refuses = |route: &&Route<'a>| {
            let first = route.rules.iter().find(|rule| rule.takes(name, path));
            first.is_some_and(|rule| rule.refuses)
        };
        routes.find(refuses).map(|route| route.object)
    }

    /// The routes that may lead on what an expression of an Ingress takes, and have no rule of its and do not close it.
    pub fn without(&self, name: &str, key: &Key, path: &str) -> Vec<Lead<'a>> {
        let its = format!("{}/{} {path}", key.0, key.1);
        let plain = path
            .find(|c: char| "\\^$.[]|()?*+{}".contains(c))
            .unwrap_or(path.len());
        let head = path.get(..plain).unwrap_or_default();
        let routes = self.of(name).filter(|route| {
            route.rules.iter().all(|rule| rule.name != its)
                && !closed::closes(route.object, key)
                && answering::leads(route.object, head)
        });
        // It is some other's, whoever it was made of.
        routes
            .map(|route| {
                let mut leading = route.rules.iter().filter(|rule| rule.leads);
                route.lead(leading.next())
            })
            .collect()
    }

    /// The paths that rules of a name tell apart.
    pub fn paths(&self, name: &str) -> BTreeSet<String> {
        let rules = self.of(name).flat_map(|route| &route.rules);
        let all = rules
            .flat_map(|rule| &rule.matches)
            .filter_map(|one| match &one.path {
                Text::Exact(path) | Text::Prefix(path) => Some(path.clone()),
                Text::Any | Text::Regex(_) => None,
            });
        all.collect()
    }
}
