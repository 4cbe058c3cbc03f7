//! Lengths of time as people write them: `10s`, `5m`, `3d`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time, written with its unit (`ms`, `s`, `m`, `h`, `d`, `w`). A bare number is refused: 3 what?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

/// Why a text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a duration: write digits with a unit each, like \"90s\", \"5m\" or \"1h30m\" (ms, s, m, h, d, w)"
)]
pub struct NotADuration(String);

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Span {
    /// So many seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

/// From here on nobody wants to know of milliseconds.
const LONG: u64 = 10_000;

/// For people: from 10 s on without what is below a second. What is stored keeps its milliseconds.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let left = if millis >= LONG {
            millis / 1000 * 1000
        } else {
            millis
        };
        f.pad(&written(left))
    }
}

/// So many milliseconds, each unit once.
fn written(mut left: u64) -> String {
    if left == 0 {
        return "0s".to_owned();
    }
    let mut parts = Vec::new();
    for (unit, size) in UNITS {
        if left >= size {
            parts.push(format!("{}{unit}", left / size));
            left %= size;
        }
    }
    parts.concat()
}

impl FromStr for Span {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NotADuration(text.to_owned());
        // humantime reads more than the API server's pattern lets through (spaces, "years"); hold it to ours.
        let plain = text.len() <= 32 && text.chars().all(|c| c.is_ascii_digit() || "mshdw".contains(c));
        if !plain {
            return Err(error());
        }
        humantime::parse_duration(text).map(Self).map_err(|_| error())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&written(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Reading)
    }
}

/// Reads a length of time, and says what one is where something else stands (YAML makes a number of `for: 5`).
struct Reading;

impl de::Visitor<'_> for Reading {
    type Value = Span;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a length of time with its unit, like \"30s\" or \"5m\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 32, "pattern": "^([0-9]+(ms|s|m|h|d|w))+$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1h30m", 5_400_000),
            ("3d", 259_200_000),
            ("250ms", 250),
            ("0s", 0),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0.as_millis(), millis);
            assert_eq!(span.to_string(), text);
        }
        assert_eq!("1w".parse::<Span>().unwrap().to_string(), "7d");
    }

    #[test]
    fn people_are_told_no_milliseconds_beside_seconds_and_programs_are() {
        let span = Span(Duration::from_millis(18_001));
        assert_eq!(span.to_string(), "18s");
        assert_eq!(serde_json::to_string(&span).unwrap(), r#""18s1ms""#);
        assert_eq!(Span(Duration::from_millis(1_500)).to_string(), "1s500ms");
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for bad in ["3", "", "5 m", "-1s", "1y", "1.5h", "m", "1h 30m", "10sec"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Span>("3").is_err());
    }
}
