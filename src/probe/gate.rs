//! Addresses that are asked whether a weight may be written.

use super::hooks::{HookFailure, Hooks};
use crate::rollout::gate_spec::HttpGate;
use crate::rollout::observation::GateAnswer;
use crate::rollout::weight::Weight;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateQuestion {
    /// The rollout's namespace.
    pub namespace: String,
    /// The rollout.
    pub rollout: String,
    /// The component.
    pub component: String,
    /// The phase that the weight is of.
    pub phase: String,
    /// The weight that is to be written.
    pub weight: Weight,
}

impl Hooks {
    /// What an address says: yes (2xx, and the text that is expected), or anything else with its first line. An error
    /// is no answer, or one that could not be asked for.
    pub async fn ask_gate(
        &self,
        gate: &HttpGate,
        question: &GateQuestion,
    ) -> Result<GateAnswer, HookFailure> {
        let weight = question.weight.percent().to_string();
        let query = [
            ("namespace", question.namespace.as_str()),
            ("rollout", &question.rollout),
            ("phase", &question.phase),
            ("weight", &weight),
            ("component", &question.component),
        ];
        let (status, body) = self.ask(&gate.url, &query, gate.patience()).await?;
        let text = String::from_utf8_lossy(&body);
        let line = first_line(&text);
        let shut = |says: String| Ok(GateAnswer { open: false, says });
        let said = if line.is_empty() {
            String::new()
        } else {
            format!(": {line}")
        };
        // A server that is not well has not answered the question.
        if status >= 500 {
            return Err(HookFailure::Failed(format!("status {status}{said}")));
        }
        if !(200..300).contains(&status) {
            return shut(format!("status {status}{said}"));
        }
        match &gate.expect {
            Some(expected) if !text.contains(expected.as_str()) => {
                shut(format!("status {status} without {expected:?}{said}"))
            }
            _ => Ok(GateAnswer {
                open: true,
                says: format!("status {status}{said}"),
            }),
        }
    }
}

/// The first line of a foreign text, cut short and without control characters.
fn first_line(text: &str) -> String {
    let line = text.trim_start().lines().next().unwrap_or_default();
    line.chars()
        .filter(|c| !c.is_control())
        .take(160)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn of_an_answer_the_first_line_is_told_and_nothing_that_moves_a_cursor() {
        assert_eq!(
            first_line("\n\n change 12 is\u{1b}[2J not approved \r\nmore"),
            "change 12 is[2J not approved"
        );
        assert_eq!(first_line(""), "");
        assert_eq!(first_line(&"x".repeat(500)).len(), 160);
    }
}
