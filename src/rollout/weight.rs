//! The canary's share of a pair, in permille, and percentages that limits are written in.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The canary's share of the traffic of a pair: canary ÷ (canary + control), between 0% and 100% in steps of
/// 0.1%. A value outside cannot be made, and no arithmetic here leaves the range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

/// Why a text or number is no weight or percentage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not {wanted}")]
pub struct NotAPercentage {
    given: String,
    wanted: &'static str,
}

impl Weight {
    /// Everything on control.
    pub const ZERO: Self = Self(0);
    /// Everything on the canary.
    pub const FULL: Self = Self(1000);

    /// A weight of so many thousandths; `None` above 1000.
    pub const fn from_permille(permille: u16) -> Option<Self> {
        if permille <= 1000 {
            Some(Self(permille))
        } else {
            None
        }
    }

    /// A weight of so many whole percent; `None` above 100.
    pub const fn from_percent(percent: u16) -> Option<Self> {
        if percent <= 100 {
            Some(Self(percent * 10))
        } else {
            None
        }
    }

    /// The weight nearest to a ratio of the pair; `None` outside 0–1 or when it is not a number.
    pub fn from_ratio(ratio: f64) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be within 0–1000"
        )]
        (0.0..=1.0)
            .contains(&ratio)
            .then(|| Self((ratio * 1000.0).round() as u16))
    }

    /// Thousandths, 0–1000.
    pub const fn permille(self) -> u16 {
        self.0
    }

    /// The ratio 0–1, as metrics give it.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// The number in percent, as JSON output and the API give it.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// Whole percent, where the router knows no finer; `None` for 12.5%.
    pub const fn whole_percent(self) -> Option<u16> {
        if self.0.is_multiple_of(10) {
            Some(self.0 / 10)
        } else {
            None
        }
    }

    /// Whether no traffic goes to the canary.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Points between two weights, as permille.
    pub const fn distance(self, other: Self) -> u16 {
        self.0.abs_diff(other.0)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (whole, 0) => f.pad(&format!("{whole}%")),
            (whole, tenth) => f.pad(&format!("{whole}.{tenth}%")),
        }
    }
}

const WEIGHT_FORM: &str =
    "a weight: write a percentage between 0% and 100% in steps of 0.1, like 5 or \"12.5%\"";

impl FromStr for Weight {
    type Err = NotAPercentage;

    /// Reads `5%`, `12.5%`; the sign may be missing, as on a command line.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NotAPercentage {
            given: text.to_owned(),
            wanted: WEIGHT_FORM,
        };
        let thousandths = decimal(text.trim().trim_end_matches('%'), 1).ok_or_else(error)?;
        u16::try_from(thousandths)
            .ok()
            .and_then(Self::from_permille)
            .ok_or_else(error)
    }
}

/// Reads an unsigned decimal with at most `digits` digits after the point, scaled by 10^digits.
fn decimal(text: &str, digits: usize) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |s: &str| s.chars().all(|c| c.is_ascii_digit());
    let trailing_point = text.ends_with('.');
    if whole.is_empty() || !plain(whole) || !plain(fraction) || fraction.len() > digits || trailing_point {
        return None;
    }
    format!("{whole}{fraction:0<digits$}").parse().ok()
}

impl Serialize for Weight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct WeightVisitor;

impl Visitor<'_> for WeightVisitor {
    type Value = Weight;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WEIGHT_FORM)
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Weight, E> {
        u16::try_from(v)
            .ok()
            .and_then(Weight::from_percent)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(v), &self))
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Weight, E> {
        u64::try_from(v)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(v), &self))
            .and_then(|v| self.visit_u64(v))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Weight, E> {
        if v.ends_with('%') {
            v.parse().map_err(E::custom)
        } else {
            Err(E::invalid_value(de::Unexpected::Str(v), &self))
        }
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WeightVisitor)
    }
}

impl JsonSchema for Weight {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Weight".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // No anyOf: inside one, a structural schema loses `type` and both arms become vacuous.
        json_schema!({
            "x-kubernetes-int-or-string": true, "minimum": 0, "maximum": 100, "maxLength": 6,
            "pattern": r"^(100(\.0)?|[0-9]{1,2}(\.[0-9])?)%$"
        })
    }
}

/// A percentage that a limit is written in, between 0% and 9999%, in steps of 0.001%: `0.1%`, `99.95%`, `150%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

impl Percent {
    /// So many thousandths of a percent: 1% is 1000.
    pub const fn from_millis(thousandths: u32) -> Self {
        Self(thousandths)
    }

    /// A ratio between 0 and 1, to a thousandth of a percent.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 100,000"
    )]
    pub fn of_ratio(ratio: f64) -> Self {
        Self((ratio.clamp(0.0, 1.0) * 100_000.0).round() as u32)
    }

    /// The ratio: 1% is 0.01.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 100_000.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 1000.0)
    }
}

impl FromStr for Percent {
    type Err = NotAPercentage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_suffix('%')
            .and_then(|number| decimal(number, 3))
            .filter(|thousandths| *thousandths <= 9_999_999)
            .map(Self)
            .ok_or_else(|| NotAPercentage {
                given: text.to_owned(),
                wanted: "a percentage: write a number up to 9999 with at most three decimals and the sign, like \"0.1%\"",
            })
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 10, "pattern": r"^[0-9]{1,4}(\.[0-9]{1,3})?%$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_read_as_people_write_them_and_print_as_one_form() {
        for (written, permille) in [
            ("5", 50),
            ("\"5%\"", 50),
            ("\"12.5%\"", 125),
            ("0", 0),
            ("100", 1000),
            ("\"100.0%\"", 1000),
        ] {
            let weight: Weight = serde_json::from_str(written).unwrap();
            assert_eq!(weight.permille(), permille, "{written}");
            let again: Weight = serde_json::from_str(&serde_json::to_string(&weight).unwrap()).unwrap();
            assert_eq!(again, weight);
        }
        assert_eq!(Weight(125).to_string(), "12.5%");
        assert_eq!(
            "40".parse(),
            Ok(Weight(400)),
            "a command line may leave the sign out"
        );
    }

    #[test]
    fn nothing_outside_the_range_is_a_weight() {
        for bad in [
            "101",
            "-1",
            "5.5",
            "\"5\"",
            "\"150%\"",
            "\"\"",
            "\"12.55%\"",
            "\"5.%\"",
            "\"NaN%\"",
            "null",
            "true",
        ] {
            assert!(serde_json::from_str::<Weight>(bad).is_err(), "{bad}");
        }
        for bad in ["", "%", "-5", "1e2", "100.1", "٥%", "+5"] {
            assert!(bad.parse::<Weight>().is_err(), "{bad}");
        }
        assert_eq!(Weight::from_ratio(f64::NAN), None);
        assert_eq!(Weight::from_ratio(1.01), None);
    }

    #[test]
    fn percentages_keep_their_three_decimals() {
        for text in ["0.1%", "99.95%", "150%", "0.001%", "0%"] {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), text);
        }
        for bad in ["1", "-1%", "0.0001%", "10000%", "%"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
    }
}
