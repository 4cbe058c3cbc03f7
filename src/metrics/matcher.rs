//! Label matchers, from `~RE` as people write it to `label=~"RE"` as PromQL wants it.

use super::dialect::in_our_dialect;
use regex::Regex;
use std::fmt;

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operator {
    Equal,
    Match,
    Differ,
    NotMatch,
}

impl Operator {
    /// Whether it picks values rather than leaving some out.
    pub(crate) const fn picks(self) -> bool {
        matches!(self, Self::Equal | Self::Match)
    }
}

/// One label and what its value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matcher<'a> {
    label: &'a str,
    operator: Operator,
    value: &'a str,
}

impl<'a> Matcher<'a> {
    /// `value` must be equal, `~RE` must match, `!value` must differ, `!~RE` must not match.
    pub(crate) fn parse(label: &'a str, text: &'a str) -> Result<Self, String> {
        check_label(label)?;
        let (operator, value) = if let Some(rest) = text.strip_prefix("!~") {
            (Operator::NotMatch, rest)
        } else if let Some(rest) = text.strip_prefix('~') {
            (Operator::Match, rest)
        } else if let Some(rest) = text.strip_prefix('!') {
            (Operator::Differ, rest)
        } else {
            (Operator::Equal, text)
        };
        if let Some(control) = value.chars().find(|c| c.is_control()) {
            return Err(format!(
                "{text:?} contains the control character {control:?}: remove it"
            ));
        }
        Ok(Self {
            label,
            operator,
            value,
        })
    }

    pub(crate) const fn operator(&self) -> Operator {
        self.operator
    }

    pub(crate) const fn value(&self) -> &'a str {
        self.value
    }

    /// Refuses a pattern that is none.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.pattern().map(|_| ())
    }

    /// The pattern, compiled; `None` when the value is compared as it is.
    pub(crate) fn pattern(&self) -> Result<Option<Regex>, String> {
        if !matches!(self.operator, Operator::Match | Operator::NotMatch) {
            return Ok(None);
        }
        let value = self.value;
        // Anchored as in Prometheus; a dot matches a newline too, as it does there since version 3.
        let compiled = Regex::new(&format!("^(?s:{})$", in_our_dialect(value)));
        compiled.map(Some).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().next_back().unwrap_or_default().trim().to_owned();
            format!("{value:?} is not a regular expression ({reason}): correct it, or leave out the \"~\"")
        })
    }
}

/// As PromQL: `host=~"a|b"`.
impl fmt::Display for Matcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.operator {
            Operator::Equal => "=",
            Operator::Match => "=~",
            Operator::Differ => "!=",
            Operator::NotMatch => "!~",
        };
        write!(f, "{}{operator}{}", self.label, quoted(self.value))
    }
}

/// A PromQL string. Its escapes are Go's: backslash, quote and newline must be written as escapes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Refuses what is no label, and those that a preset sets.
pub(crate) fn check_label(label: &str) -> Result<(), String> {
    let mut chars = label.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!(
            "{label:?} is not a label name: letters, digits and underscores, not beginning with a digit"
        ));
    }
    if label == "__name__" || label == "le" || label == super::query::PART {
        return Err(format!("{label:?} is set by the preset: leave it out"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_spellings_are_four_operators() {
        for (text, promql) in [
            ("shop", r#"host="shop""#),
            ("~shop-.*", r#"host=~"shop-.*""#),
            ("!shop", r#"host!="shop""#),
            ("!~shop|web", r#"host!~"shop|web""#),
            ("", r#"host="""#),
            ("!", r#"host!="""#),
            ("~-?", r#"host=~"-?""#),
        ] {
            assert_eq!(Matcher::parse("host", text).unwrap().to_string(), promql);
        }
    }

    #[test]
    fn a_value_cannot_break_out_of_its_quotes() {
        let matcher = Matcher::parse("host", r#"a"} or up{x="\"#).unwrap();
        assert_eq!(matcher.to_string(), r#"host="a\"} or up{x=\"\\""#);
        let regex = Matcher::parse("host", r"~a\.b").unwrap();
        assert_eq!(regex.to_string(), r#"host=~"a\\.b""#);
    }

    #[test]
    fn what_no_source_can_be_asked_is_refused_with_the_reason() {
        for (label, text, says) in [
            ("host", "~(", "not a regular expression"),
            ("host", "a\nb", "control character"),
            ("ho-st", "a", "not a label name"),
            ("", "a", "not a label name"),
            ("1host", "a", "not a label name"),
            ("le", "1", "set by the preset"),
            ("__name__", "up", "set by the preset"),
        ] {
            let error = Matcher::parse(label, text)
                .and_then(|matcher| matcher.check())
                .unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
