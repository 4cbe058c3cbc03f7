//! Limits moved by a factor: what they tolerate is multiplied, whatever they are written in.

use super::moves::Kind;
use crate::rollout::check::{Bound, Limits};
use crate::rollout::duration::Span;
use serde_json::Value;

/// Limits that tolerate `factor` times as much: a `max` or `maxIncrease` is multiplied, and of a `min` in percent what
/// is missing to 100%. Rounded to three digits, away from 1; `None` when nothing could be moved.
pub fn scaled(limits: &Limits, factor: f64) -> Option<Limits> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(limits) else {
        return None;
    };
    let mut moved = false;
    for (name, value) in &mut fields {
        let Some(text) = value.as_str() else { continue };
        let fresh = if name == "min" {
            raised(text, factor)
        } else {
            times(text, factor)
        };
        if let Some(fresh) = fresh.filter(|fresh| fresh != text) {
            *value = Value::String(fresh);
            moved = true;
        }
    }
    let limits = serde_json::from_value(Value::Object(fields)).ok();
    limits.filter(|_| moved)
}

/// Lets limits of the other kind give way to moved ones: what is good enough to promote must not be bad enough to roll
/// back.
pub fn give_way(other: &mut Limits, moved: &Limits, kind: Kind) {
    // Whether the first is the looser one of two bounds from above.
    let over = |one: Bound, two: Bound| match (one, two) {
        (Bound::Percent(one), Bound::Percent(two)) => one > two,
        (Bound::Time(one), Bound::Time(two)) => one > two,
        (Bound::Percent(_), Bound::Time(_)) | (Bound::Time(_), Bound::Percent(_)) => false,
    };
    let promotes = kind == Kind::Promote;
    if let (Some(is), Some(new)) = (other.max, moved.max)
        && (if promotes { over(new, is) } else { over(is, new) })
    {
        other.max = Some(new);
    }
    if let (Some(is), Some(new)) = (other.min, moved.min)
        && (if promotes { new < is } else { is < new })
    {
        other.min = Some(new);
    }
    if let (Some(is), Some(new)) = (other.max_increase, moved.max_increase)
        && (if promotes { new > is } else { is > new })
    {
        other.max_increase = Some(new);
    }
}

/// A bound from above, times a factor.
fn times(text: &str, factor: f64) -> Option<String> {
    if let Some(percent) = text.strip_suffix('%') {
        let most = 9_999.0;
        return Some(format!(
            "{}%",
            digits(least(percent.parse().ok()?, factor) * factor, factor, 3).min(most)
        ));
    }
    if let Ok(span) = text.parse::<Span>() {
        #[expect(clippy::cast_precision_loss, reason = "a limit is no more than hours")]
        let millis = digits(span.0.as_millis() as f64 * factor, factor, 0).max(1.0);
        return Some(format!("{millis}ms"));
    }
    let number: f64 = text.parse().ok()?;
    Some(digits(number * factor, factor, 6).to_string())
}

/// A bound from below: of a percentage what is missing to 100%, else the number itself the other way round.
fn raised(text: &str, factor: f64) -> Option<String> {
    let Some(percent) = text.strip_suffix('%') else {
        return times(text, 1.0 / factor);
    };
    let missing = digits(
        least(100.0 - percent.parse::<f64>().ok()?, factor) * factor,
        factor,
        3,
    );
    // The subtraction leaves digits that nobody wrote.
    let bound = ((100.0 - missing).max(0.0) * 1e3).round() / 1e3;
    Some(format!("{bound}%"))
}

/// What a share is multiplied from. Nothing times anything is nothing: where it is to grow it begins at 0.01%.
fn least(percent: f64, factor: f64) -> f64 {
    if percent == 0.0 && factor > 1.0 {
        0.01
    } else {
        percent
    }
}

/// Three significant digits, and no more than so many behind the point; rounded away from where it came from, so that
/// what is printed is what was tried.
fn digits(value: f64, factor: f64, most: i32) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 0.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "an exponent of ten")]
    let behind = (2 - value.log10().floor() as i32).min(most);
    let scale = 10_f64.powi(behind);
    // A hair's breadth of slack: 0.3 × 10 is not quite 3.
    let rounded = if factor >= 1.0 {
        (value * scale - 1e-6).ceil()
    } else {
        (value * scale + 1e-6).floor()
    };
    (rounded / scale * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn moved(limits: Value, factor: f64) -> Option<Value> {
        let limits: Limits = serde_json::from_value(limits).unwrap();
        scaled(&limits, factor).map(|limits| serde_json::to_value(limits).unwrap())
    }

    #[test]
    fn what_is_tolerated_is_multiplied_whatever_the_limit_is_written_in() {
        for (limits, factor, wanted) in [
            (json!({"max": "1%"}), 3.0, json!({"max": "3%"})),
            (json!({"max": "1%"}), 1.2345, json!({"max": "1.24%"})),
            (json!({"max": "150ms"}), 2.0, json!({"max": "300ms"})),
            (json!({"max": "1m30s"}), 0.5, json!({"max": "45s"})),
            (json!({"min": "99%"}), 2.5, json!({"min": "97.5%"})),
            (json!({"min": "99.9%"}), 0.1, json!({"min": "99.99%"})),
            (json!({"min": "95%"}), 64.0, json!({"min": "0%"})),
            (json!({"maxIncrease": "50%"}), 1.5, json!({"maxIncrease": "75%"})),
        ] {
            assert_eq!(moved(limits, factor), Some(wanted));
        }
    }

    #[test]
    fn a_limit_that_cannot_move_any_further_says_so() {
        assert_eq!(moved(json!({"max": "1%"}), 1.0), None);
        assert_eq!(moved(json!({"max": "0.001%"}), 0.999), Some(json!({"max": "0%"})));
        assert_eq!(moved(json!({"max": "0%"}), 2.0), Some(json!({"max": "0.02%"})));
        assert_eq!(moved(json!({"max": "0%"}), 0.5), None);
        assert_eq!(moved(json!({"min": "0%"}), 2.0), None);
    }
}
