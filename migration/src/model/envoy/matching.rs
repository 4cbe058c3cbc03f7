//! Whether a request meets one `match` of a route.

use std::collections::BTreeMap;

use regex::bytes::Regex;

use super::config::{Match, StringMatch};
use crate::model::pattern;
use crate::model::request::Request;

/// A request as Envoy matches it.
pub(super) struct Seen<'a> {
    pub(super) request: &'a Request,
    /// Normalised, without query.
    pub(super) path: &'a [u8],
}

#[derive(Debug, Clone)]
enum Text {
    Present,
    Exact(Vec<u8>),
    Prefix(Vec<u8>),
    /// RE2, full match.
    Regex(Regex),
}

impl Text {
    /// A regex `*` in headers and query parameters is no regex: it means "present".
    fn new(written: Option<&StringMatch>) -> Result<Self, String> {
        match written {
            Some(StringMatch {
                exact: Some(exact), ..
            }) => Ok(Self::Exact(exact.as_bytes().to_vec())),
            Some(StringMatch {
                prefix: Some(prefix), ..
            }) => Ok(Self::Prefix(prefix.as_bytes().to_vec())),
            Some(StringMatch {
                regex: Some(regex), ..
            }) if regex == "*" => Ok(Self::Present),
            Some(StringMatch {
                regex: Some(regex), ..
            }) => full(regex).map(Self::Regex),
            Some(StringMatch {
                exact: None,
                prefix: None,
                regex: None,
            })
            | None => Ok(Self::Present),
        }
    }

    fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(exact) => value == exact,
            Self::Prefix(prefix) => value.starts_with(prefix),
            Self::Regex(regex) => regex.is_match(value),
        }
    }

    /// The opposite. A missing value counts as an empty one, unless presence itself is asked for.
    fn misses(&self, value: Option<&[u8]>) -> bool {
        match self {
            Self::Present => value.is_none(),
            Self::Exact(_) | Self::Prefix(_) | Self::Regex(_) => !self.fits(value.unwrap_or_default()),
        }
    }
}

/// Envoy's regular expressions match as a whole.
fn full(regex: &str) -> Result<Regex, String> {
    // Once by itself, so that a stray parenthesis cannot close the group.
    pattern::compile(regex, false)?;
    pattern::compile(&format!("^(?:{regex})$"), false)
}

/// How the path is compared.
#[derive(Debug, Clone)]
pub(super) enum PathMatch {
    /// The whole path.
    Exact(Vec<u8>),
    /// Its beginning, whatever comes next.
    Prefix(Vec<u8>),
    /// All of it.
    Regex(Box<Regex>),
}

/// One `match`, or the lack of one.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    pub(super) path: PathMatch,
    ignore_case: bool,
    any_regex: bool,
    headers: Vec<(String, Text)>,
    without: Vec<(String, Text)>,
    method: Option<Text>,
    authority: Option<Text>,
    scheme: Option<Text>,
    query: Vec<(String, Text)>,
}

impl Matcher {
    /// The route for everything.
    pub(super) fn everything() -> Self {
        Self {
            path: PathMatch::Prefix(b"/".to_vec()),
            ignore_case: false,
            any_regex: false,
            headers: Vec::new(),
            without: Vec::new(),
            method: None,
            authority: None,
            scheme: None,
            query: Vec::new(),
        }
    }

    pub(super) fn new(written: &Match) -> Result<Self, String> {
        let path = match &written.uri {
            Some(StringMatch {
                exact: Some(exact), ..
            }) => PathMatch::Exact(exact.as_bytes().to_vec()),
            Some(StringMatch {
                prefix: Some(prefix), ..
            }) => PathMatch::Prefix(prefix.as_bytes().to_vec()),
            Some(StringMatch {
                regex: Some(regex), ..
            }) => PathMatch::Regex(Box::new(full(regex)?)),
            Some(StringMatch {
                exact: None,
                prefix: None,
                regex: None,
            })
            | None => PathMatch::Prefix(b"/".to_vec()),
        };
        let named = |all: &BTreeMap<String, Option<StringMatch>>| -> Result<Vec<(String, Text)>, String> {
            all.iter()
                .map(|(name, text)| Ok((name.to_ascii_lowercase(), Text::new(text.as_ref())?)))
                .collect()
        };
        let one = |text: &Option<StringMatch>| text.as_ref().map(|text| Text::new(Some(text))).transpose();
        let query = written.query_params.iter();
        Ok(Self {
            path,
            ignore_case: written.ignore_uri_case,
            any_regex: written
                .uri
                .as_ref()
                .is_some_and(|uri| uri.regex.as_deref() == Some(".*")),
            headers: named(&written.headers)?,
            without: named(&written.without_headers)?,
            method: one(&written.method)?,
            authority: one(&written.authority)?,
            scheme: one(&written.scheme)?,
            query: query
                .map(|(name, text)| Ok((name.clone(), Text::new(text.as_ref())?)))
                .collect::<Result<_, String>>()?,
        })
    }

    /// Nothing after such a route is ever sent to Envoy, and among several objects of one host it goes last.
    pub(super) fn is_catch_all(&self) -> bool {
        let any_path = self.any_regex || matches!(&self.path, PathMatch::Prefix(prefix) if prefix == b"/");
        any_path
            && self.headers.is_empty()
            && self.without.is_empty()
            && self.query.is_empty()
            && self.method.is_none()
            && self.authority.is_none()
            && self.scheme.is_none()
    }

    pub(super) fn fits(&self, seen: &Seen<'_>) -> bool {
        let request = seen.request;
        let fits =
            |text: &Option<Text>, value: &str| text.as_ref().is_none_or(|text| text.fits(value.as_bytes()));
        self.path_fits(seen.path)
            && fits(&self.method, &request.method)
            && fits(&self.authority, &request.host)
            && fits(&self.scheme, request.scheme.as_str())
            && self
                .headers
                .iter()
                .all(|(name, text)| header(request, name).is_some_and(|value| text.fits(value.as_bytes())))
            && self
                .without
                .iter()
                .all(|(name, text)| text.misses(header(request, name).as_deref().map(str::as_bytes)))
            && self
                .query
                .iter()
                .all(|(name, text)| parameter(request, name.as_bytes()).is_some_and(|value| text.fits(value)))
    }

    fn path_fits(&self, path: &[u8]) -> bool {
        let same = |a: &[u8], b: &[u8]| {
            if self.ignore_case {
                a.eq_ignore_ascii_case(b)
            } else {
                a == b
            }
        };
        match &self.path {
            PathMatch::Exact(exact) => same(path, exact),
            PathMatch::Prefix(prefix) => path.get(..prefix.len()).is_some_and(|head| same(head, prefix)),
            PathMatch::Regex(regex) => regex.is_match(path),
        }
    }
}

/// A header by name; what HTTP/1.1 has in its request line has a name with a colon here.
fn header(request: &Request, name: &str) -> Option<String> {
    match name {
        ":authority" | "host" => Some(request.host.clone()),
        ":method" => Some(request.method.clone()),
        ":path" => Some(String::from_utf8_lossy(&request.target().0).into_owned()),
        // The gateway writes the latter itself and trusts nobody's.
        ":scheme" | "x-forwarded-proto" => Some(request.scheme.as_str().to_owned()),
        name => request.header(name),
    }
}

/// The first parameter of that name. Nothing is decoded.
fn parameter<'a>(request: &'a Request, name: &[u8]) -> Option<&'a [u8]> {
    let query = request.query.as_ref()?;
    query.0.split(|byte| *byte == b'&').find_map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        (halves.next()? == name).then(|| halves.next().unwrap_or_default())
    })
}
