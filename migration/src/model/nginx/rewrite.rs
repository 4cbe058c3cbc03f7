//! `rewrite "(?i)PATH" TARGET break`: the whole path becomes the target, the query stays.

use regex::bytes::Regex;

use super::uri;
use crate::model::answer::Octets;
use crate::model::pattern;
use crate::model::request::join;

/// One part of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `$1` to `$9`: nginx reads one digit, `$10` is `$1` and a zero.
    Capture(usize),
}

/// The rewrite of one location.
#[derive(Debug, Clone)]
pub(super) struct Rewrite {
    pattern: Regex,
    parts: Vec<Part>,
}

impl Rewrite {
    /// The rewrite of a location's path to a target, or what of it is beyond the model.
    pub(super) fn new(path: &str, target: &str) -> Result<Self, String> {
        let pattern = pattern::compile(path, true)?;
        Ok(Self {
            pattern,
            parts: parts(target)?,
        })
    }

    /// What goes to the back end. A path that the unanchored pattern does not find goes as the client sent it.
    /// `None` is nginx's 500 for a rewritten path of no length.
    pub(super) fn apply(&self, path: &[u8], raw: Octets, query: Option<&[u8]>) -> Option<Octets> {
        let Some(found) = self.pattern.captures(path) else {
            return Some(raw);
        };
        let mut rewritten = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => rewritten.extend_from_slice(text.as_bytes()),
                // A group that took no part, or does not exist, is empty.
                Part::Capture(number) => {
                    rewritten
                        .extend_from_slice(found.get(*number).map_or(&b""[..], |group| group.as_bytes()));
                }
            }
        }
        // nginx writes no `?` before an empty query once it builds the target itself.
        let query = query.filter(|query| !query.is_empty());
        (!rewritten.is_empty()).then(|| join(&uri::escape(&rewritten), query))
    }
}

/// A target in parts. Annotation validation lets through `/`, `$`, `:` and unreserved characters only; a target that
/// is an address redirects, and nginx's variables stand for what the model does not have.
fn parts(target: &str) -> Result<Vec<Part>, String> {
    let refused = || format!("rewrite-target {target:?}");
    let plain = |ch: char| ch.is_ascii_alphanumeric() || matches!(ch, '-' | '.' | '_' | '~' | '/' | ':');
    if target.contains("://") {
        return Err(refused());
    }
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut chars = target.chars();
    while let Some(ch) = chars.next() {
        if ch == '$' {
            let number = chars
                .next()
                .and_then(|digit| digit.to_digit(10))
                .filter(|digit| *digit > 0);
            let number = number
                .and_then(|digit| usize::try_from(digit).ok())
                .ok_or_else(refused)?;
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Capture(number));
        } else if plain(ch) {
            text.push(ch);
        } else {
            return Err(refused());
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(path: &str, target: &str, request: &str) -> Option<String> {
        let (raw, query) = request
            .split_once('?')
            .map_or((request, None), |(path, query)| (path, Some(query)));
        Rewrite::new(path, target)
            .unwrap()
            .apply(
                &uri::normalise(raw.as_bytes()).unwrap(),
                Octets::from(request),
                query.map(str::as_bytes),
            )
            .map(|octets| octets.escaped())
    }

    #[test]
    fn the_whole_path_becomes_the_target_and_the_query_stays() {
        assert_eq!(rewritten("/foo", "/", "/foo/bar?x=1").as_deref(), Some("/?x=1"));
        assert_eq!(
            rewritten("/bar(/|$)(.*)", "/$2", "/BAR/x/y?q").as_deref(),
            Some("/x/y?q")
        );
        assert_eq!(
            rewritten("/bar(/|$)(.*)", "/$2", "/bar/a%20b").as_deref(),
            Some("/a%20b")
        );
        assert_eq!(rewritten("/a(.*)", "/$10", "/ax").as_deref(), Some("/x0"));
        assert_eq!(rewritten("/a(.*)", "$2", "/ax"), None);
    }

    #[test]
    fn a_target_beyond_the_model_is_named() {
        for target in ["/$host", "/${1}", "https://elsewhere/$1", "/a b", "/$"] {
            assert!(Rewrite::new("/", target).is_err(), "{target}");
        }
    }
}
