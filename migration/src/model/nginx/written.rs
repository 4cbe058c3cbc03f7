//! Servers and locations as they stand in nginx.conf, ready to be asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::bytes::Regex;

use super::ingress::Service;
use super::names::{Found, Named, Names};
use super::rewrite::Rewrite;
use super::server::{Draft, DraftLocation};
use super::settings::Settings;
use super::upstreams::Upstreams;
use crate::model::pattern;

/// One `location`.
#[derive(Debug, Clone)]
pub struct Location {
    /// Its path; in a server of regular expressions behind `~* "^…"`.
    pub path: String,
    /// `=`; without meaning in a server of regular expressions.
    pub exact: bool,
    /// Where it sends requests; `None` is the controller's default backend.
    pub backend: Option<Service>,
    /// The annotations of its Ingress.
    pub settings: Arc<Settings>,
    /// Whether it has a `rewrite` of its path to its target.
    pub rewritten: bool,
    /// Whether a canary takes a share of it.
    pub split: bool,
    pub(super) rewrite: Option<Result<Rewrite, String>>,
    pattern: Option<Result<Regex, String>>,
}

/// One `server`.
#[derive(Debug, Clone)]
pub struct Server {
    /// The host; `*.` stands for one label, `_` for every other host.
    pub host: String,
    /// Further names.
    pub aliases: Vec<String>,
    /// Whether every location is a regular expression without regard to case.
    pub regex: bool,
    /// In the order in which they are written.
    pub locations: Vec<Location>,
    pub(super) beyond: Option<String>,
    names: Names,
}

/// Which location a path meets.
pub(super) enum Met<'a> {
    Location(&'a Location),
    AddSlash(&'a Location),
    /// The catch-all's own `/healthz` and `/nginx_status`.
    Status(u16),
    Unknown(String),
}

// Numbers of the locations that only the catch-all server has.
const HEALTH: usize = usize::MAX;
const STATUS: usize = usize::MAX - 1;

impl Server {
    fn new(host: String, draft: Draft, upstreams: &Upstreams) -> Result<Self, String> {
        let regex = draft.locations.iter().any(DraftLocation::wants_regex);
        let locations: Vec<Location> = draft
            .locations
            .into_iter()
            .map(|draft| location(draft, regex, upstreams))
            .collect();
        let own = locations.iter().enumerate().filter(|_| !regex);
        let own = own.map(|(number, location)| Named {
            name: &location.path,
            exact: location.exact,
            number,
        });
        let catch_all = [("/healthz", HEALTH), ("/nginx_status", STATUS)];
        let catch_all = catch_all.into_iter().filter(|_| host == "_");
        let catch_all = catch_all.map(|(name, number)| Named {
            name,
            exact: false,
            number,
        });
        let names = Names::new(own.chain(catch_all)).map_err(|error| format!("{error} on host {host}"))?;
        Ok(Self {
            host,
            aliases: draft.aliases,
            regex,
            locations,
            beyond: draft.beyond,
            names,
        })
    }

    /// An exact location, a redirect to the slash, the first regular expression, the longest prefix: in this order.
    pub(super) fn meet(&self, path: &[u8]) -> Option<Met<'_>> {
        let prefix = match self.names.find(path) {
            Found::Exact(number) => return self.numbered(number),
            Found::AddSlash(number) => return self.locations.get(number).map(Met::AddSlash),
            Found::Prefix(number) => Some(number),
            Found::Nothing => None,
        };
        for location in self.locations.iter().filter(|_| self.regex) {
            match &location.pattern {
                Some(Ok(pattern)) if pattern.is_match(path) => return Some(Met::Location(location)),
                Some(Err(reason)) => return Some(Met::Unknown(reason.clone())),
                Some(Ok(_)) | None => {}
            }
        }
        prefix.and_then(|number| self.numbered(number))
    }

    fn numbered(&self, number: usize) -> Option<Met<'_>> {
        match number {
            HEALTH => Some(Met::Status(200)),
            // Open to localhost only.
            STATUS => Some(Met::Status(403)),
            number => self.locations.get(number).map(Met::Location),
        }
    }
}

fn location(draft: DraftLocation, regex: bool, upstreams: &Upstreams) -> Location {
    let rewritten = draft.rewrites();
    Location {
        backend: draft
            .upstream
            .as_deref()
            .and_then(|key| upstreams.service(key))
            .cloned(),
        split: draft
            .upstream
            .as_deref()
            .is_some_and(|key| upstreams.is_split(key)),
        pattern: regex.then(|| pattern::compile(&format!("^{}", draft.path), true)),
        rewrite: rewritten.then(|| Rewrite::new(&draft.path, &draft.settings.rewrite_target)),
        rewritten,
        path: draft.path,
        exact: draft.exact,
        settings: draft.settings,
    }
}

/// All servers in the order of their hosts, as they are written.
pub(super) fn servers(drafts: BTreeMap<String, Draft>, upstreams: &Upstreams) -> Result<Vec<Server>, String> {
    drafts
        .into_iter()
        .map(|(host, draft)| Server::new(host, draft, upstreams))
        .collect()
}
