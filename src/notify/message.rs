//! What is told.

use crate::rollout::reason::Reason;
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How loudly something is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good news, and what waits for somebody.
    #[default]
    Info,
    /// Somebody should look: nothing advances.
    Warning,
    /// Traffic went back.
    Critical,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Topic {
    /// The traffic of a component was put back.
    Rollback,
    /// A component holds and somebody should look: nothing is seen, both arms are ill, somebody fights over its weight.
    Hold,
    /// A phase waits for a person's approval.
    Approval,
    /// A component finished its plan.
    Completed,
    /// A person put everything back.
    Emergency,
}

impl Topic {
    /// How loudly.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Rollback | Self::Emergency => Severity::Critical,
            Self::Hold => Severity::Warning,
            Self::Approval | Self::Completed => Severity::Info,
        }
    }

    /// The word that begins a line.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Rollback => "ROLLED BACK",
            Self::Hold => "HOLDS",
            Self::Approval => "WAITS FOR APPROVAL",
            Self::Completed => "COMPLETED",
            Self::Emergency => "EMERGENCY ROLLBACK",
        }
    }
}

/// What a check measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    /// The check.
    pub check: String,
    /// The canary's value with its unit, like `0.12%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Control's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// What it was held to, as a sentence.
    pub limit: String,
}

/// A message. Its JSON is the body of the generic webhook; docs/notify.md describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The same for the same transition, whoever sends it and however often.
    pub key: String,
    /// What it is about.
    pub topic: Topic,
    /// How loudly.
    pub severity: Severity,
    /// The rollout's namespace.
    pub namespace: String,
    /// The rollout; empty when it is about several.
    pub rollout: String,
    /// The component; `None`: the rollout as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The weight before, in percent.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "percent")]
    pub from: Option<Weight>,
    /// The weight after, in percent.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "percent")]
    pub to: Option<Weight>,
    /// Why, as a code.
    pub reason: Reason,
    /// Why, as a sentence.
    pub text: String,
    /// The checks that it rests on, where it rests on any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Figure>,
    /// Who asked for it, where a person did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Where to look; filled in for each receiver that has a `link`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's signature"
)]
fn percent<S: serde::Serializer>(weight: &Option<Weight>, to: S) -> Result<S::Ok, S::Error> {
    match weight {
        Some(weight) => to.serialize_f64(weight.percent()),
        None => to.serialize_none(),
    }
}

impl Message {
    /// What it is about, in one line: `terminal of sealos-system/sealos-istio: 25% → 0%`.
    pub(super) fn line(&self) -> String {
        let rollout = if self.rollout.is_empty() {
            self.namespace.clone()
        } else {
            format!("{}/{}", self.namespace, self.rollout)
        };
        let whose = match &self.component {
            Some(component) => format!("{component} of {rollout}"),
            None => rollout,
        };
        let weights = match (self.from, self.to) {
            (Some(from), Some(to)) => format!(", {from} → {to}"),
            (None, Some(at)) | (Some(at), None) => format!(", at {at}"),
            (None, None) => String::new(),
        };
        let figures: Vec<String> = self.figures.iter().map(figure).collect();
        let figures = if figures.is_empty() {
            String::new()
        } else {
            format!(" [{}]", figures.join("; "))
        };
        let who = self
            .who
            .as_ref()
            .map(|who| format!(" (by {who})"))
            .unwrap_or_default();
        let line = format!(
            "{}: {whose}{weights}: {} ({}){figures}{who}",
            self.topic.word(),
            self.text,
            self.reason
        );
        // Foreign text must not begin a line of its own in somebody's chat.
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(LONGEST_LINE)
            .collect();
        line
    }
}

/// Chat services cut or refuse much longer ones.
const LONGEST_LINE: usize = 1500;

fn figure(figure: &Figure) -> String {
    let value = figure.value.as_deref().unwrap_or("?");
    let control = figure
        .control
        .as_ref()
        .map(|control| format!(", control {control}"))
        .unwrap_or_default();
    format!("{} {value}{control}: {}", figure.check, figure.limit)
}

#[cfg(test)]
pub(super) fn example(key: &str) -> Message {
    Message {
        key: key.to_owned(),
        topic: Topic::Rollback,
        severity: Severity::Critical,
        namespace: "sealos-system".into(),
        rollout: "sealos-istio".into(),
        component: Some("terminal".into()),
        from: Weight::from_percent(25),
        to: Some(Weight::ZERO),
        reason: Reason::Breach,
        text: "errors 4.1% <!channel> & more\nthan 1%".into(),
        figures: vec![Figure {
            check: "errors".into(),
            value: Some("4.1%".into()),
            control: Some("0.02%".into()),
            limit: "roll back above 1%".into(),
        }],
        who: None,
        at: "2026-03-02T09:00:00Z".parse().unwrap_or_default(),
        link: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_how_far_why_and_by_which_figures_and_is_one_line() {
        let line = example("k").line();
        assert!(!line.contains('\n'), "{line}");
        for part in [
            "ROLLED BACK: terminal of sealos-system/sealos-istio, 25% → 0%",
            "(Breach)",
            "errors 4.1%, control 0.02%: roll back above 1%",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn weights_are_numbers_in_percent() {
        let json = serde_json::to_value(example("k")).unwrap();
        assert_eq!((&json["from"], &json["to"]), (&25.0.into(), &0.0.into()));
        assert_eq!(
            (&json["topic"], &json["severity"], &json["reason"]),
            (&"rollback".into(), &"critical".into(), &"Breach".into())
        );
    }
}
