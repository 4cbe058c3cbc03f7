//! What one rule of the listener does with the requests of a location: takes all of them, some, or none.

use crate::rollout::router_spec::SplitGateway;
use crate::routing::seen::text;
use regex::Regex;
use serde_json::Value;

/// How much of a location's requests a rule takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Takes {
    /// None of them, whatever they carry.
    Nothing,
    /// Perhaps some: it depends on more than host and path, or on a part of the path.
    Some,
    /// Every one.
    All,
}

/// Requests of one host and path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) gateway: &'a SplitGateway,
    /// As nginx sends it on; empty or with a `*` where it stands for several.
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    /// Whether everything that begins with the path belongs to it.
    pub(super) below: bool,
}

/// What a rule does with a request that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Sends it on.
    Sends,
    /// Redirects it.
    Redirects,
    /// Answers it by itself, as half a sentence.
    Answers(&'static str),
}

/// A rule as the listener has it: one match of a route, behind one of the root that delegates to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule<'a> {
    pub(super) route: &'a Value,
    /// The match; `None` takes everything.
    pub(super) condition: Option<&'a Value>,
    /// The root's match; likewise.
    pub(super) root: Option<&'a Value>,
    /// The root's route, when it stands in a delegate; whose own gateways do not count.
    pub(super) through: Option<&'a Value>,
    /// The VirtualService whose gateways are meant.
    pub(super) home: &'a str,
    /// The VirtualService that the route stands in.
    pub(super) by: &'a Value,
}

/// A route's matches; a route without any has one that takes everything.
pub(super) fn conditions(route: &Value) -> Vec<Option<&Value>> {
    let listed = route.get("match").and_then(Value::as_array);
    match listed.filter(|all| !all.is_empty()) {
        Some(all) => all.iter().map(Some).collect(),
        None => vec![None],
    }
}

impl Rule<'_> {
    pub(super) fn takes(&self, asked: &Asked<'_>) -> Takes {
        let listens = |gateways: &Value| listens(gateways, self.home, asked.gateway);
        let root = self.root.map(|m| matched(m, asked, listens));
        let own = self
            .condition
            .map(|m| matched(m, asked, |gateways| self.is_delegated() || listens(gateways)));
        root.unwrap_or(Takes::All).min(own.unwrap_or(Takes::All))
    }

    fn is_delegated(&self) -> bool {
        self.through.is_some()
    }

    /// Whether back ends are told that the client came by https, as nginx told them. The gateway believes nobody and
    /// says what the listener itself speaks, so the route has to set it; a value that is added comes second.
    pub(super) fn says_https(&self) -> bool {
        let own = self.route.get("headers").filter(|headers| headers.is_object());
        // A delegate without headers of its own has its root's.
        let headers = own.or_else(|| self.through.and_then(|root| root.get("headers")));
        let to = self.route.get("route").and_then(Value::as_array);
        headers.is_some_and(sets_https)
            || to.is_some_and(|all| {
                let sets = |one: &Value| one.get("headers").is_some_and(sets_https);
                !all.is_empty() && all.iter().all(sets)
            })
    }

    pub(super) fn act(&self) -> Act {
        let listed = self.route.get("route").and_then(Value::as_array);
        if self.route.get("redirect").is_some_and(Value::is_object) {
            Act::Redirects
        } else if self.route.get("directResponse").is_some_and(Value::is_object) {
            Act::Answers("answers by itself (directResponse)")
        } else if self.aborts() {
            Act::Answers("aborts requests (fault)")
        } else if listed.is_some_and(|to| !to.is_empty()) {
            Act::Sends
        } else {
            Act::Answers("has no destination")
        }
    }

    /// A share of 0 is none; a share that is not said, or that cannot be read, is some.
    fn aborts(&self) -> bool {
        let Some(abort) = self.route.pointer("/fault/abort").filter(|a| a.is_object()) else {
            return false;
        };
        let share = abort
            .pointer("/percentage/value")
            .or_else(|| abort.get("percent"));
        share.and_then(Value::as_f64).is_none_or(|share| share > 0.0)
    }

    /// Whether it takes everything that reaches its host by this gateway. Istio makes no rules of a VirtualService
    /// after such a one, and moves it behind those of other VirtualServices.
    pub(super) fn is_catch_all(&self, gateway: &SplitGateway) -> bool {
        let everything = |m: &Value, delegated: bool| {
            let Some(conditions) = m.as_object() else {
                return false;
            };
            conditions.iter().all(|(name, value)| match name.as_str() {
                "name" | "ignoreUriCase" | "statPrefix" => true,
                "port" => value.as_i64() == Some(i64::from(gateway.port)),
                "gateways" => delegated || listens(value, self.home, gateway),
                "uri" => {
                    text(value, "/prefix") == Some("/") || matches!(text(value, "/regex"), Some("*" | ".*"))
                }
                _ => false,
            })
        };
        self.condition.is_none_or(|m| everything(m, self.is_delegated()))
            && self.root.is_none_or(|m| everything(m, false))
    }
}

fn sets_https(headers: &Value) -> bool {
    let set = headers.pointer("/request/set").and_then(Value::as_object);
    set.into_iter().flatten().any(|(name, value)| {
        let said = value.as_str().unwrap_or_default();
        name.eq_ignore_ascii_case("x-forwarded-proto") && said.eq_ignore_ascii_case("https")
    })
}

/// Whether one of the gateways that are named is the split listener's.
pub(super) fn listens(gateways: &Value, home: &str, gateway: &SplitGateway) -> bool {
    let listed = gateways
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let mut names = listed.map(|name| match &gateway.name {
        None => name != "mesh",
        Some(ours) => name == ours || (!name.contains('/') && *ours == format!("{home}/{name}")),
    });
    names.any(|is_ours| is_ours)
}

/// What one match takes: as much as its narrowest condition.
fn matched(m: &Value, asked: &Asked<'_>, is_ours: impl Fn(&Value) -> bool) -> Takes {
    let Some(conditions) = m.as_object() else {
        return Takes::Some;
    };
    let any_case = conditions.get("ignoreUriCase").and_then(Value::as_bool) == Some(true);
    let told = conditions.iter().map(|(name, value)| match name.as_str() {
        "name" | "ignoreUriCase" | "statPrefix" => Takes::All,
        "port" if value.as_i64() == Some(i64::from(asked.gateway.port)) => Takes::All,
        "gateways" if is_ours(value) => Takes::All,
        "port" | "gateways" => Takes::Nothing,
        "uri" => by_uri(value, asked, any_case),
        "authority" => by_authority(value, asked.host),
        // Scheme, method, headers, parameters and whatever comes: only some requests, and nobody knows which.
        // nginx's own word about the scheme is not believed by Istio, so not even that is certain.
        _ => Takes::Some,
    });
    told.min().unwrap_or(Takes::All)
}

/// Another name in full is another host; anything else may be this one.
fn by_authority(authority: &Value, host: &str) -> Takes {
    match text(authority, "/exact") {
        Some(exact) if !host.is_empty() && !host.contains('*') && !exact.eq_ignore_ascii_case(host) => {
            Takes::Nothing
        }
        _ => Takes::Some,
    }
}

fn by_uri(uri: &Value, asked: &Asked<'_>, any_case: bool) -> Takes {
    let fold = |text: &str| {
        if any_case {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        }
    };
    let path = fold(asked.path);
    if let Some(start) = text(uri, "/prefix").map(fold) {
        return if path.starts_with(&start) {
            Takes::All
        } else if asked.below && start.starts_with(&path) {
            Takes::Some
        } else {
            Takes::Nothing
        };
    }
    if let Some(exact) = text(uri, "/exact").map(fold) {
        return if exact == path && !asked.below {
            Takes::All
        } else if asked.below && exact.starts_with(&path) {
            Takes::Some
        } else {
            Takes::Nothing
        };
    }
    text(uri, "/regex").map_or(Takes::Some, |regex| by_regex(regex, asked))
}

/// Whether a pattern takes all that is below a path cannot be told by trying; only the plain form is believed.
fn by_regex(regex: &str, asked: &Asked<'_>) -> Takes {
    let Ok(whole) = Regex::new(&format!("^(?:{regex})$")) else {
        return Takes::Some;
    };
    if !asked.below {
        return if whole.is_match(asked.path) {
            Takes::All
        } else {
            Takes::Nothing
        };
    }
    let plain = |start: &str| regex::escape(start).replace("\\-", "-") == start;
    if regex
        .strip_suffix(".*")
        .is_some_and(|start| plain(start) && asked.path.starts_with(start))
    {
        return Takes::All;
    }
    let start = literal(regex);
    if start.starts_with(asked.path) || asked.path.starts_with(start) {
        Takes::Some
    } else {
        Takes::Nothing
    }
}

/// What everything begins with that a pattern matches, as far as it is plain to see.
fn literal(regex: &str) -> &str {
    const META: [char; 13] = ['.', '+', '*', '?', '(', ')', '[', ']', '{', '}', '^', '$', '\\'];
    if regex.contains('|') {
        return "";
    }
    let end = regex.find(META).unwrap_or(regex.len());
    let start = regex.get(..end).unwrap_or_default();
    // The last letter may be there or not.
    match regex.get(end..).and_then(|rest| rest.chars().next()) {
        Some('*' | '?' | '{') => start
            .char_indices()
            .next_back()
            .map_or("", |(last, _)| start.get(..last).unwrap_or_default()),
        _ => start,
    }
}
