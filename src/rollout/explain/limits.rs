//! Limits as people read them.

use crate::rollout::check::Limits;
use crate::rollout::plan::{CheckSource, PlannedCheck};
use serde_json::Value;

/// A check's promote and rollback limits, each in one line.
pub fn of(check: &PlannedCheck) -> (String, String) {
    match check.source {
        CheckSource::Gauge(_) => check.limits_shown(),
        CheckSource::Arms | CheckSource::Errors(_) | CheckSource::Pair(_) => (
            shown(check.rule.promote.as_ref()),
            shown(check.rule.rollback.as_ref()),
        ),
    }
}

/// Limits in one line: `≤ 1%, ≤ control + 50%`; a kind that this has no sign for is shown by its name.
pub fn shown(limits: Option<&Limits>) -> String {
    let Some(limits) = limits else {
        return "none".to_owned();
    };
    let Ok(Value::Object(fields)) = serde_json::to_value(limits) else {
        return "unknown".to_owned();
    };
    let shown: Vec<String> = fields
        .iter()
        .map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match name.as_str() {
                "max" => format!("≤ {value}"),
                "min" => format!("≥ {value}"),
                "maxIncrease" => format!("≤ control + {value}"),
                other => format!("{other} {value}"),
            }
        })
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_sign_and_a_switched_off_one_says_so() {
        let limits: Limits =
            serde_json::from_value(serde_json::json!({"max": "150ms", "maxIncrease": "50%"})).unwrap();
        assert_eq!(shown(Some(&limits)), "≤ 150ms, ≤ control + 50%");
        let limits: Limits = serde_json::from_value(serde_json::json!({"min": "99%"})).unwrap();
        assert_eq!(shown(Some(&limits)), "≥ 99%");
        assert_eq!(shown(None), "none");
    }
}
