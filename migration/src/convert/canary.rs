//! Canaries: which requests go to the other back end. Header beats cookie beats weight.

use super::annotations::Annotations;
use super::pattern::Pattern;
use crate::istio::StringMatch;
use crate::report::Code;
use std::collections::BTreeMap;

/// What a canary Ingress asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// The header, and what it says.
    pub header: Option<(String, HeaderRule)>,
    /// The cookie that says `always` or `never`.
    pub cookie: Option<String>,
    /// The canary's weight.
    pub weight: u32,
    /// The sum of both weights.
    pub total: u32,
}

/// When a header sends a request to the canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HeaderRule {
    /// `always`; and `never` keeps it away.
    Always,
    /// This value.
    Value(String),
    /// A whole-value regular expression.
    Pattern(String),
}

/// Reads a canary's annotations.
pub(super) fn read(notes: &Annotations<'_>) -> Rules {
    let weight = notes.number("canary-weight").unwrap_or(0);
    let total = notes.number("canary-weight-total");
    // The Lua code only looks at a total above 100.
    if total.is_some_and(|total| total < 100) {
        notes.note(Code::CanaryTotal, "canary-weight-total");
    }
    let total = total.unwrap_or(100).clamp(100, 1_000_000);
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let value = notes.text("canary-by-header-value");
    let pattern = notes.text("canary-by-header-pattern");
    if notes.text("canary-by-header").is_none() {
        for (name, given) in [
            ("canary-by-header-value", value),
            ("canary-by-header-pattern", pattern),
        ] {
            if given.is_some() {
                notes.note(Code::InertAnnotation, name);
            }
        }
    }
    let header = notes.text("canary-by-header").and_then(|name| {
        if !super::headers::is_name(name) {
            notes.note(Code::InvalidValue, "canary-by-header");
            return None;
        }
        let rule = match (value, pattern) {
            (Some(value), _) => HeaderRule::Value(value.to_owned()),
            (None, Some(pattern)) => {
                let Some(whole) = search(pattern) else {
                    notes.note(Code::InvalidValue, "canary-by-header-pattern");
                    return None;
                };
                HeaderRule::Pattern(whole)
            }
            (None, None) => HeaderRule::Always,
        };
        Some((name.to_ascii_lowercase(), rule))
    });
    let cookie = notes.text("canary-by-cookie").and_then(|name| {
        if super::headers::is_name(name) {
            return Some(name.to_owned());
        }
        notes.note(Code::InvalidValue, "canary-by-cookie");
        None
    });
    Rules {
        header,
        cookie,
        weight: narrow(weight.min(total)),
        total: narrow(total),
    }
}

/// A search as a whole-value match; none where RE2 cannot say it.
fn search(pattern: &str) -> Option<String> {
    // Header values are sent as they are, so only the syntax counts.
    let fits = match Pattern::new(pattern) {
        Ok(_) => true,
        Err(unfit) => unfit.code == Code::PathEncoding,
    };
    let whole = format!(".*(?:{pattern}).*");
    (fits && whole.len() <= super::pattern::LONGEST).then_some(whole)
}

/// Where a share of the requests goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arm {
    /// All to the canary.
    Canary,
    /// All to the other back end.
    Primary,
    /// By weight.
    Split,
}

impl Rules {
    /// Whether any request goes to the canary.
    pub(super) const fn sends(&self) -> bool {
        self.weight > 0 || self.header.is_some() || self.cookie.is_some()
    }

    /// The routes in their order, each with the headers that it demands.
    pub(super) fn arms(&self) -> Vec<(BTreeMap<String, StringMatch>, Arm)> {
        let mut arms = Vec::new();
        let mut push = |name: &str, value: StringMatch, arm: Arm| {
            arms.push((BTreeMap::from([(name.to_owned(), value)]), arm));
        };
        match &self.header {
            None => {}
            Some((name, HeaderRule::Always)) => {
                push(name, StringMatch::Exact("always".to_owned()), Arm::Canary);
                push(name, StringMatch::Exact("never".to_owned()), Arm::Primary);
            }
            Some((name, HeaderRule::Value(value))) => {
                push(name, StringMatch::Exact(value.clone()), Arm::Canary);
            }
            Some((name, HeaderRule::Pattern(pattern))) => {
                push(name, StringMatch::Regex(pattern.clone()), Arm::Canary);
            }
        }
        if let Some(name) = &self.cookie {
            let says =
                |word: &str| StringMatch::Regex(format!("(.*;\\s*)?{}={word}(;.*)?", regex::escape(name)));
            push("cookie", says("always"), Arm::Canary);
            push("cookie", says("never"), Arm::Primary);
        }
        arms.push((BTreeMap::new(), Arm::Split));
        arms
    }
}
