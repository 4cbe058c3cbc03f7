//! Reading a component's probe.

use super::read::Reader;
use crate::rollout::duration::Span;
use crate::rollout::spec::Probe;
use std::time::Duration;

/// Headers that carry secrets.
const SECRET: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];
/// Headers that are made from the URL and the body.
const OURS: [&str; 4] = ["host", "content-length", "transfer-encoding", "te"];

impl Probe {
    /// Time between two.
    pub fn every(&self) -> Duration {
        self.interval.map_or(Duration::from_secs(10), |s| s.0)
    }

    /// How long an answer may take.
    pub fn patience(&self) -> Duration {
        self.timeout.map_or(Duration::from_secs(3), |s| s.0)
    }

    /// Whether an answer's status is a success.
    pub fn accepts(&self, status: u16) -> bool {
        match &self.expect {
            Some(list) => list.contains(&i64::from(status)),
            None => status == 101 || (200..300).contains(&status),
        }
    }
}

impl Reader {
    pub(super) fn probe(&mut self, at: &str, probe: &Probe) {
        for (field, url) in [("url", Some(&probe.url)), ("control", probe.control.as_ref())] {
            if let Some(message) = url.and_then(|url| wrong(url)) {
                self.problem(format!("{at}.{field}"), message);
            }
        }
        if probe.control.as_ref() == Some(&probe.url) {
            let message = "is the canary's own: give control's, or leave it out";
            self.problem(format!("{at}.control"), message);
        }
        let between = |span: Duration, low: u64, high: u64| {
            (Duration::from_millis(low)..=Duration::from_millis(high)).contains(&span)
        };
        if !between(probe.every(), 1000, 600_000) {
            self.problem(format!("{at}.interval"), "must be between 1s and 10m");
        }
        if !between(probe.patience(), 100, 30_000) || probe.patience() > probe.every() {
            let message = format!(
                "must be between 100ms and 30s, and no longer than the interval of {}",
                Span(probe.every())
            );
            self.problem(format!("{at}.timeout"), message);
        }
        for (i, status) in probe.expect.iter().flatten().enumerate() {
            if !(100..=599).contains(status) {
                self.problem(
                    format!("{at}.expect[{i}]"),
                    format!("{status} is no HTTP status: write one like 200"),
                );
            }
        }
        for (name, value) in probe.headers.iter().flatten() {
            let lower = name.to_ascii_lowercase();
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            let message = if name.is_empty() || !name.chars().all(token) {
                "is no header's name"
            } else if SECRET.contains(&lower.as_str()) {
                "may hold a secret, and everybody who may read the resource would read it: probe something that needs none"
            } else if OURS.contains(&lower.as_str()) {
                "is made from the URL: leave it out"
            } else if value.chars().any(char::is_control) {
                "has a value with a control character"
            } else {
                continue;
            };
            self.problem(format!("{at}.headers.{name}"), message);
        }
    }
}

/// Why a URL cannot be asked for.
fn wrong(url: &str) -> Option<&'static str> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let Some(rest) = rest else {
        return Some("must begin with http:// or https://");
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Some("names no host");
    }
    if host.contains('@') {
        return Some("must not hold a user or a password");
    }
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some("holds a space or a control character");
    }
    None
}
