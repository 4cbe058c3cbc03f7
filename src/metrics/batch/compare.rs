//! Label matchers as Prometheus would apply them, applied here.

use crate::metrics::matcher::{Matcher, Operator};
use regex::Regex;

/// One label and what its value must be, ready to be compared.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) label: String,
    pub(crate) operator: Operator,
    /// The value or pattern, as in PromQL.
    pub(crate) value: String,
    /// What every match begins with: most values are told by it alone, without running the pattern.
    beginning: String,
    pattern: Option<Regex>,
}

impl Comparison {
    /// From a label and `v`, `~RE`, `!v` or `!~RE`.
    pub(crate) fn new(label: &str, text: &str) -> Result<Self, String> {
        let matcher = Matcher::parse(label, text)?;
        let (operator, value) = (matcher.operator(), matcher.value());
        let pattern = matcher.pattern()?;
        let beginning = match operator {
            Operator::Match | Operator::NotMatch => literal_beginning(value),
            Operator::Equal | Operator::Differ => String::new(),
        };
        Ok(Self {
            label: label.to_owned(),
            operator,
            value: value.to_owned(),
            beginning,
            pattern,
        })
    }

    /// Whether this value of the label will do; a label that a series does not have is empty.
    pub(crate) fn holds(&self, value: &str) -> bool {
        let matches = || {
            value.starts_with(&self.beginning)
                && self
                    .pattern
                    .as_ref()
                    .is_some_and(|pattern| pattern.is_match(value))
        };
        match self.operator {
            Operator::Equal => value == self.value,
            Operator::Differ => value != self.value,
            Operator::Match => matches(),
            Operator::NotMatch => !matches(),
        }
    }

    /// As people write it.
    pub(crate) fn as_written(&self) -> String {
        let sign = match self.operator {
            Operator::Equal => "",
            Operator::Match => "~",
            Operator::Differ => "!",
            Operator::NotMatch => "!~",
        };
        format!("{sign}{}", self.value)
    }

    /// As one alternative among others in a pattern.
    pub(crate) fn alternative(&self) -> String {
        match self.operator {
            Operator::Equal | Operator::Differ => escaped(&self.value),
            Operator::Match | Operator::NotMatch => format!("(?:{})", self.value),
        }
    }
}

/// A value as a pattern that matches it alone, escaped as Go's `regexp.QuoteMeta` does.
fn escaped(value: &str) -> String {
    let mut pattern = String::with_capacity(value.len() + 4);
    for c in value.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// The plain characters that a pattern begins with, when every match must begin with them.
fn literal_beginning(pattern: &str) -> String {
    if pattern.contains(['|', '(']) {
        return String::new();
    }
    let mut beginning: String = pattern
        .chars()
        .take_while(|&c| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | ':' | ' ' | ',' | '='))
        .collect();
    // What follows may make the last one optional.
    if pattern[beginning.len()..].starts_with(['?', '*', '{', '+']) {
        beginning.pop();
    }
    beginning
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, value: &str) -> bool {
        Comparison::new("host", text).unwrap().holds(value)
    }

    #[test]
    fn values_are_compared_as_prometheus_compares_them() {
        for (text, value, expected) in [
            ("shop", "shop", true),
            ("shop", "shop-2", false),
            ("", "", true),
            ("!", "", false),
            ("!shop", "", true),
            ("~shop", "shop-2", false),
            ("~shop.*", "shop-2", true),
            ("~shop.*", "a-shop", false),
            ("~a|b", "b", true),
            ("~a|b", "ab", false),
            ("~-?", "", true),
            ("~-?", "-", true),
            ("~..+", "x", false),
            ("~..+", "xy", true),
            ("!~..+", "-", true),
            ("~ab?", "a", true),
            ("~ab*c", "ac", true),
            ("~ab{0,1}", "a", true),
            ("~(?i)SHOP", "shop", true),
            (r"~\d+", "42", true),
            (r"~\d+", "٤٢", false),
            (r"~\w+", "é", false),
            (r"~[\d-]+", "4-2", true),
            ("~[[]x", "[x", true),
            ("~[a&&b]", "&", true),
            ("~[]a]+", "]a", true),
            ("~[^]a]", "b", true),
            ("~[[:digit:]]+", "42", true),
            ("~[+--]", ",", true),
            (r"~a\.b", "a.b", true),
            (r"~a\.b", "axb", false),
            ("~a.b", "a\nb", true),
        ] {
            assert_eq!(holds(text, value), expected, "{text:?} on {value:?}");
        }
    }

    #[test]
    fn an_alternative_matches_its_value_and_nothing_else() {
        for value in ["a.b", "a|b", "a(b)", r"a\b", "[x]", "a-b", "", "é#&~"] {
            let comparison = Comparison::new("host", value).unwrap();
            let pattern = Regex::new(&format!("^(?:{}|never)$", comparison.alternative())).unwrap();
            assert!(pattern.is_match(value), "{value}");
            assert!(!pattern.is_match("axb"), "{value}");
        }
    }

    #[test]
    fn the_beginning_of_a_pattern_is_plain_only_as_far_as_every_match_has_it() {
        for (pattern, beginning) in [
            ("terminal-.*", "terminal-"),
            ("ab?", "a"),
            ("ab+", "a"),
            ("a|b", ""),
            ("(?i)a", ""),
            (r"a\.b", "a"),
            ("é*", ""),
            ("", ""),
        ] {
            assert_eq!(literal_beginning(pattern), beginning, "{pattern}");
        }
    }
}
