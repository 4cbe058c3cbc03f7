//! How far another rollout is, for one that goes after it.

use super::gate_spec::{RolloutGate, RolloutIs};
use super::observation::GateAnswer;
use super::reason::State;
use super::status::{ComponentStatus, GradualRolloutStatus};

impl GradualRolloutStatus {
    /// Whether the rollout has begun, and is not over: a component of it is between its first raise and its end.
    pub fn runs(&self) -> bool {
        self.components.iter().any(|c| {
            let begun = !c.weight.written.is_zero() || !c.weight.asked.is_zero() || c.intent.is_some();
            begun && !c.state.is_terminal() && !c.detached && c.state != State::Orphaned
        })
    }
}

impl RolloutGate {
    /// What another rollout's status says to it. What is not known lets nothing through.
    pub fn answer(&self, status: &GradualRolloutStatus) -> GateAnswer {
        let meant: Vec<&ComponentStatus> = status
            .components
            .iter()
            .filter(|c| self.component.as_ref().is_none_or(|name| c.name == *name))
            .filter(|c| c.state != State::Orphaned)
            .collect();
        let shut = |says: String| GateAnswer { open: false, says };
        if meant.is_empty() {
            return shut(match &self.component {
                Some(name) => format!("it has no component {name}, or no daemon has looked at it yet"),
                None => "no daemon has looked at it yet".to_owned(),
            });
        }
        let enough = |c: &&&ComponentStatus| match (self.is, self.weight) {
            _ if c.state == State::Completed => true,
            (RolloutIs::AtLeast, Some(weight)) => c.lowering.is_none() && c.weight.written >= weight,
            (RolloutIs::Completed | RolloutIs::AtLeast, _) => false,
        };
        match meant.iter().find(|c| !enough(c)) {
            Some(c) => shut(format!(
                "{} is at {} ({}, {})",
                c.name, c.weight.written, c.state, c.reason
            )),
            None => GateAnswer {
                open: true,
                says: "it is so far".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::weight::Weight;

    #[test]
    fn another_rollout_lets_through_when_every_component_is_so_far_and_never_when_nothing_is_known() {
        let gate = |is: &str, component: &str| -> RolloutGate {
            let mut text = serde_json::json!({"name": "base", "is": is});
            if is == "AtLeast" {
                text["weight"] = "25%".into();
            }
            if !component.is_empty() {
                text["component"] = component.into();
            }
            serde_json::from_value(text).unwrap()
        };
        let at = |name: &str, percent: u16, state: State| {
            let mut c = ComponentStatus {
                name: name.into(),
                state,
                ..ComponentStatus::default()
            };
            c.weight.written = Weight::from_percent(percent).unwrap();
            c
        };
        let status = GradualRolloutStatus {
            components: vec![at("a", 100, State::Completed), at("b", 25, State::Walking)],
            ..GradualRolloutStatus::default()
        };
        let open = |is: &str, component: &str| gate(is, component).answer(&status).open;
        assert!(open("AtLeast", "") && open("Completed", "a"));
        assert!(!open("Completed", "") && !open("Completed", "b") && !open("AtLeast", "c"));
        let nothing = GradualRolloutStatus::default();
        assert!(!gate("AtLeast", "").answer(&nothing).open);
        let mut falling = status.clone();
        falling.components[1].state = State::RolledBack;
        falling.components[1].weight.written = Weight::ZERO;
        let answer = gate("AtLeast", "").answer(&falling);
        assert!(
            !answer.open && answer.says.contains("b is at 0%"),
            "{}",
            answer.says
        );
    }
}
