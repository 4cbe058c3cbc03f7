//! Components as people and scripts see them.

use super::find;
use crate::rollout::arrival::Measured;
use crate::rollout::duration::Span;
use crate::rollout::explain::{RouterView, routers};
use crate::rollout::reason::{Reason, State, Verdict};
use crate::rollout::router_spec::{AtFull, Router};
use crate::rollout::spec::GradualRollout;
use crate::rollout::stands::Stands;
use crate::rollout::status::{ComponentStatus, LeftOver, PreviewStatus};
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use serde::Serialize;

/// One component, as JSON shows it. Weights are numbers in percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    /// The rollout.
    pub rollout: String,
    /// The component.
    pub component: String,
    /// `ingress`, `dual` or `istio`, from the weight and from what a controller is told at it; `unknown` before the
    /// daemon has looked.
    pub mode: &'static str,
    /// What it is at 100%.
    #[serde(skip)]
    pub at_full: AtFull,
    /// What the daemon last wrote and read back.
    pub weight: Option<f64>,
    /// What it wants.
    pub asked: Option<f64>,
    /// What the routed objects say.
    pub observed: Option<f64>,
    /// Where it is on its way to, while a lowering is not read back from every routed object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub going_to: Option<f64>,
    /// What part of the requests arrives at the canary.
    pub measured: Option<Measured>,
    /// What the gateways that carry its routes find fault with.
    pub gateways: Option<String>,
    /// What reaches the canary although the weight was lowered.
    pub left: Option<LeftOver>,
    /// The phase.
    pub phase: Option<String>,
    /// The step in it, from 1, and how many it has.
    pub step: Option<(i32, usize)>,
    /// The kind of place it is in.
    pub state: Option<Stands>,
    /// Why it is there.
    pub reason: Option<Reason>,
    /// The same as a sentence.
    pub message: String,
    /// Since when the weight stands.
    pub since: Option<Timestamp>,
    /// How much of the hold is done.
    pub held: Option<Span>,
    /// When it is looked at next.
    pub next: Option<Timestamp>,
    /// Each router, from the edge.
    pub routers: Vec<RouterView>,
    /// What reaches the canary beside its weight: what the routed objects carry, and what stands in its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewStatus>,
    /// What the checks say.
    pub checks: Vec<CheckView>,
}

impl View {
    /// What has to happen before anything else does, where time alone changes nothing.
    pub(super) fn waits_for(&self) -> Option<&'static str> {
        match (self.state?.state(), self.reason?) {
            (State::RolledBack, _) if self.going_to.is_some() => Some("not back yet"),
            (State::RolledBack, _) => Some("on retry"),
            (State::Completed, _) => Some("-"),
            (
                _,
                Reason::Paused
                | Reason::Manual
                | Reason::Drifted
                | Reason::DriftAdopted
                | Reason::GitOpsFight,
            ) => Some("on resume"),
            (_, Reason::Complaints) => Some("complaints, or on resume"),
            (_, Reason::AwaitingApproval | Reason::WaitingForChecklist) => Some("on approve"),
            (_, Reason::WaitingForTurn) => Some("on its turn"),
            (_, Reason::DependencyFailed | Reason::StoppedByFailure) => Some("on retry"),
            (_, Reason::Orphaned) => Some("on detach"),
            (_, Reason::InvalidSpec) => Some("on a spec"),
            _ => None,
        }
    }

    /// The same with the greatest weight that the routed objects say.
    pub(super) fn with_routes(self, weight: Weight) -> Self {
        let percent = Some(weight.percent());
        Self {
            mode: mode(weight, self.at_full),
            weight: percent,
            observed: percent,
            ..self
        }
    }

    /// The same with what the routed objects say (the greatest weight), and without what only a daemon can know.
    pub(super) fn without_daemon(self, weight: Option<Weight>, unread: &[String]) -> Self {
        let message = if unread.is_empty() {
            "read from the routed objects; no daemon has looked at it since".to_owned()
        } else {
            format!("not every routed object could be read: {}", unread.join("; "))
        };
        let percent = weight.map(Weight::percent);
        Self {
            mode: weight.map_or("unknown", |weight| mode(weight, self.at_full)),
            weight: percent,
            observed: percent,
            going_to: None,
            asked: None,
            measured: None,
            gateways: None,
            left: None,
            step: None,
            state: None,
            reason: None,
            message,
            since: None,
            held: None,
            next: None,
            routers: Vec::new(),
            preview: None,
            checks: Vec::new(),
            ..self
        }
    }
}

/// A check.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckView {
    /// Its name.
    pub name: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// The canary's value.
    pub value: Option<String>,
    /// Control's.
    pub control: Option<String>,
    /// Requests that it rests on.
    pub samples: i64,
}

/// The old scripts' name for a weight.
pub(super) fn mode(weight: Weight, at_full: AtFull) -> &'static str {
    match (weight, at_full) {
        (Weight::ZERO, _) => "ingress",
        (Weight::FULL, AtFull::Istio) => "istio",
        _ => "dual",
    }
}

/// What a component's controllers are told at 100%: both kinds of networking stay, unless the spec says otherwise.
/// Where there is no controller to tell, all requests are Istio's.
fn at_full(rollout: &GradualRollout, name: &str) -> AtFull {
    let spec = rollout.spec.components.iter().find(|c| c.name == name);
    let told = spec
        .into_iter()
        .flat_map(|c| &c.routers)
        .find_map(|router| match router {
            Router::ControllerSwitch(switch) => Some(switch.at_full.unwrap_or_default()),
            Router::Istio(_)
            | Router::GatewayApi(_)
            | Router::IngressNginx(_)
            | Router::Hook(_)
            | Router::Manual(_) => None,
        });
    told.unwrap_or(AtFull::Istio)
}

/// Every component of a rollout.
pub(super) fn views(rollout: &GradualRollout) -> Vec<View> {
    find::components(rollout)
        .iter()
        .map(|name| view(rollout, name))
        .collect()
}

/// One component of a rollout.
pub(super) fn view(rollout: &GradualRollout, name: &str) -> View {
    let found = rollout.status.as_ref().and_then(|s| s.component(name));
    let weight = found.map(|c| c.weight);
    let at_full = at_full(rollout, name);
    View {
        rollout: rollout.metadata.name.clone().unwrap_or_default(),
        component: name.to_owned(),
        mode: weight.map_or("unknown", |w| mode(w.written, at_full)),
        at_full,
        weight: weight.map(|w| w.written.percent()),
        asked: weight.map(|w| w.asked.percent()),
        observed: weight.and_then(|w| w.observed).map(Weight::percent),
        going_to: found
            .and_then(|c| c.lowering.as_ref())
            .map(|order| order.weight.percent()),
        measured: found.and_then(|c| c.measured),
        gateways: found.and_then(|c| c.gateways.clone()),
        left: found.and_then(|c| c.left.clone()),
        phase: found.and_then(|c| c.phase.clone()),
        step: found.and_then(|c| step(rollout, c)),
        state: found.map(ComponentStatus::stands),
        reason: found.map(|c| c.reason),
        message: match (rollout.status.as_ref().and_then(|s| s.refused()), found) {
            (Some(refused), _) => refused.sentence(),
            (None, Some(component)) => component.message.clone(),
            (None, None) => "no daemon has looked at it yet".to_owned(),
        },
        since: found.and_then(|c| c.since),
        held: found.and_then(|c| c.held),
        next: found.and_then(|c| c.next_check_at),
        routers: found.map(|c| routers(&c.routers)).unwrap_or_default(),
        preview: found
            .and_then(|c| c.preview.clone())
            .filter(|p| p.written.is_some() || p.message.is_some()),
        checks: found.map(checks).unwrap_or_default(),
    }
}

fn step(rollout: &GradualRollout, component: &ComponentStatus) -> Option<(i32, usize)> {
    let step = component.step.filter(|s| *s > 0)?;
    let name = component.phase.as_deref();
    let phase = rollout
        .spec
        .phases
        .iter()
        .flatten()
        .find(|p| Some(p.name.as_str()) == name);
    let steps = phase.map(|p| &p.steps).or(rollout.spec.steps.as_ref())?;
    Some((step, steps.len()))
}

fn checks(component: &ComponentStatus) -> Vec<CheckView> {
    let view = |c: &crate::rollout::status::CheckStatus| CheckView {
        name: c.name.clone(),
        verdict: c.verdict,
        value: c.value.clone(),
        control: c.control.clone(),
        samples: c.samples,
    };
    component.checks.iter().map(view).collect()
}

/// Whether somebody should look at a component: it stands where the plan alone does not move it on.
pub(super) fn blocked(view: &View) -> bool {
    let state = view
        .state
        .is_some_and(|s| !matches!(s.state(), State::Walking | State::Completed));
    state
        || view.reason.is_some_and(|reason| {
            !matches!(
                reason,
                Reason::Starting
                    | Reason::Step
                    | Reason::Joined
                    | Reason::HoldingStep
                    | Reason::Settling
                    | Reason::Raising
                    | Reason::Lowering
                    | Reason::WaitingForPhase
                    | Reason::WaitingForPool
                    | Reason::OutsideWindow
                    | Reason::RouterSettling
                    | Reason::RouteAccepted
                    | Reason::PromotedInsufficient
                    | Reason::Completed
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mode_at(router: &serde_json::Value, percent: &str) -> &'static str {
        let rollout: GradualRollout = serde_json::from_value(json!({
            "apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout", "metadata": {"name": "networking"},
            "spec": {"components": [{"name": "terminal", "routers": [router]}], "steps": [{"weight": "5%", "hold": "1h"}]},
        }))
        .unwrap();
        mode(percent.parse().unwrap(), at_full(&rollout, "terminal"))
    }

    #[test]
    fn a_component_is_called_istio_only_where_nothing_is_left_of_ingress() {
        let switch = |at_full: Option<&str>| {
            let mut switch = json!({"deployment": "terminal-controller"});
            if let Some(at_full) = at_full {
                switch["atFull"] = json!(at_full);
            }
            json!({"controllerSwitch": switch})
        };
        let route = json!({"istio": {
            "virtualServices": [{"name": "terminal"}],
            "canary": {"host": "terminal", "subset": "v2"}, "control": {"host": "terminal", "subset": "v1"},
        }});
        for (router, percent, says) in [
            (switch(None), "0%", "ingress"),
            (switch(None), "0.1%", "dual"),
            (switch(None), "99.9%", "dual"),
            (switch(None), "100%", "dual"),
            (switch(Some("istio")), "99.9%", "dual"),
            (switch(Some("istio")), "100%", "istio"),
            (route.clone(), "50%", "dual"),
            (route, "100%", "istio"),
        ] {
            assert_eq!(mode_at(&router, percent), says, "{router} at {percent}");
        }
    }
}
