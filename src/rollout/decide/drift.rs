//! What somebody else made of the weights: told, put back where it is a raise, yielded to where it is not.

use super::{Desk, forget, is_fight, remember};
use crate::rollout::observation::Routed;
use crate::rollout::reason::{Reason, State};
use crate::rollout::sabotage;
use crate::rollout::several;
use crate::rollout::status::Drift;
use crate::rollout::weight::Weight;

/// How the sentence begins that names who fights over what was put back.
const FOUGHT: &str = "GitOpsFight: ";

impl Desk<'_> {
    /// Somebody else changed the weight.
    pub(super) fn drift(&mut self, i: usize, objects: &[Routed], lowest: Weight, highest: Weight) {
        let now = self.now;
        let (paused, ready) = match self.status.components.get(i) {
            Some(c) => (self.is_paused_by_a_person(c), self.sight(i).control_ready),
            None => return,
        };
        let glass = self.glass(i);
        let judge = &self.plan.judge;
        let orphan = !self.in_spec(i);
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let written = c.weight.written;
        if c.state == State::Completed {
            // The plan is over; the route is its owner's again.
            return;
        }
        if c.detached {
            // It is its owner's; where it stands is only told.
            c.weight.written = highest;
            c.weight.asked = highest;
            return;
        }
        let said = said(objects);
        // What was told once and still is as it was is no news: it is yielded to already.
        let known = c.yielded.as_ref() == Some(&said) && highest <= written;
        if orphan {
            if known {
                return;
            }
            c.yielded = Some(said);
            // Nobody asked for its traffic to stay where it was; what is there now is judged afresh.
            c.weight.written = highest;
            c.weight.asked = highest;
            c.since = Some(now);
            c.state = State::Orphaned;
            forget(c, now, judge);
            let message =
                format!("somebody moved it from {written} to {highest}; it is no longer in the spec");
            remember(c, now, written, highest, Reason::DriftAdopted, &message);
            self.note(i, Reason::DriftAdopted, message, true);
            return;
        }
        if known {
            return;
        }
        let up = highest > written;
        if !up && objects.iter().all(|o| o.joins) {
            return self.replaced(i, objects, said);
        }
        let found = if up { highest } else { lowest };
        let changed = objects
            .iter()
            .find(|o| if up { o.highest == found } else { o.lowest == found });
        let manager = changed.map_or_else(|| "unknown".to_owned(), blamed);
        let object = changed.map(|o| o.object.clone()).unwrap_or_default();
        // Whoever lowers one object after the other makes one change of it: nothing of ours came in between.
        let again = c.drifts.last().is_some_and(|last| last.manager == manager);
        if !up && again && c.state == State::Drifted {
            c.drifts.pop();
        }
        let fight = is_fight(
            c,
            Drift {
                at: now,
                manager: manager.clone(),
                found,
                expected: written,
            },
        );
        // What was put back stays back: a pause is about the plan.
        let paused = paused && c.state != State::RolledBack;
        let yielded = c.state == State::Manual || paused || glass.is_some() || ready == Some(false);
        let put_back = up && !yielded && (!fight || c.state == State::RolledBack);
        if put_back && !sabotage::broken(9) {
            self.order(i, written, Reason::DriftReverted, false, None);
            let message = format!("{manager} raised {object} from {written} to {found}; putting it back");
            self.note(i, Reason::DriftReverted, message, true);
            return self.tell_fight(i, fight, (&manager, &object));
        }
        // Yield: what is there now is where it stands, judged afresh, and it rises no further by itself.
        c.yielded = Some(said);
        c.weight.written = highest;
        c.weight.asked = highest;
        c.since = Some(now);
        forget(c, now, judge);
        let (state, reason) = match (up, fight) {
            (_, true) => (State::Drifted, Reason::GitOpsFight),
            (true, false) => (State::Manual, Reason::DriftAdopted),
            (false, false) => (State::Drifted, Reason::Drifted),
        };
        if c.state != State::RolledBack {
            c.state = state;
        }
        c.reason = reason;
        c.message = if fight {
            format!(
                "{manager} changed {object} three times within an hour. Let it ignore the weights ({}), then `resume`",
                ignore_rule(&object)
            )
        } else {
            let verb = if up { "raised" } else { "lowered" };
            format!("{manager} {verb} {object} from {written} to {found}; it stays until `resume`")
        };
        let message = c.message.clone();
        remember(c, now, written, highest, reason, &message);
        self.note(i, reason, message, true);
    }

    /// What was put back is put back however often somebody raises it; that somebody does is told, once an attempt.
    fn tell_fight(&mut self, i: usize, fight: bool, (manager, object): (&str, &str)) {
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        if !fight || c.message.contains(FOUGHT) {
            return;
        }
        let message = format!(
            "{FOUGHT}{manager} raised {object} three times within an hour, and it is put back each time. Let it ignore the \
             weights ({})",
            ignore_rule(object)
        );
        c.message = format!("{}; {message}", c.message).chars().take(1024).collect();
        self.note(i, Reason::GitOpsFight, message, true);
    }

    /// Who fights over what was put back; `None` where nobody does.
    pub(super) fn fought_over(&self) -> Option<String> {
        let back = self
            .status
            .components
            .iter()
            .filter(|c| c.state == State::RolledBack);
        let fought: Vec<String> = back
            .filter(|c| c.message.contains(FOUGHT))
            .filter_map(|c| Some(format!("{} by {}", c.name, c.drifts.last()?.manager)))
            .collect();
        let told = || several::told(&fought, 512, several::IN_STATUS);
        (!fought.is_empty()).then(|| format!("; {FOUGHT}raised again and again: {}", told()))
    }

    /// What was split is split no more, for its primary is another now: that is nobody's hand on a weight.
    fn replaced(&mut self, i: usize, objects: &[Routed], said: String) {
        let now = self.now;
        let judge = &self.plan.judge;
        let Some(c) = self.status.components.get_mut(i) else {
            return;
        };
        let written = c.weight.written;
        let highest = objects.iter().map(|o| o.highest).max().unwrap_or_default();
        let message = format!(
            "nothing of what is split for it has canary traffic any more, for it leads to other back ends now, or canary \
             and alias were deleted ({}); nobody lowered a weight; it stays at {highest} until `resume`",
            spread(objects)
        );
        c.yielded = Some(said);
        c.weight.written = highest;
        c.weight.asked = highest;
        c.since = Some(now);
        forget(c, now, judge);
        if c.state != State::RolledBack {
            c.state = State::Drifted;
        }
        c.reason = Reason::Drifted;
        c.message.clone_from(&message);
        remember(c, now, written, highest, Reason::Drifted, &message);
        self.note(i, Reason::Drifted, message, true);
    }

    /// Who holds the glass broken now.
    fn glass(&self, i: usize) -> Option<String> {
        let glass = self.sight(i).break_glass.as_ref()?;
        (glass.1 > self.now).then(|| glass.0.clone())
    }
}

/// What routed objects say, in sixteen letters: to know whether it was told already. 64 bits of FNV-1a.
pub(super) fn said(objects: &[Routed]) -> String {
    let each = objects.iter().flat_map(|o| {
        let weights = [o.lowest.permille(), o.highest.permille()];
        o.object
            .bytes()
            .chain([0])
            .chain(weights.into_iter().flat_map(u16::to_le_bytes))
    });
    let hash = each.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// Each object with its weight, as far as there is room.
pub(super) fn spread(objects: &[Routed]) -> String {
    const SHOWN: usize = 4;
    let mut each: Vec<String> = objects
        .iter()
        .take(SHOWN)
        .map(|o| {
            if o.lowest == o.highest {
                format!("{} {}", o.object, o.highest)
            } else {
                format!("{} {} to {}", o.object, o.lowest, o.highest)
            }
        })
        .collect();
    if let more @ 1.. = objects.len().saturating_sub(SHOWN) {
        each.push(format!("and {more} more"));
    }
    each.join(", ")
}

/// Who changed an object, as far as it tells. Who wrote the weight is asked first: another may have had a hand in the
/// rest of the object.
pub(super) fn blamed(object: &Routed) -> String {
    let known = object.writer.as_ref().or(object.manager.as_ref());
    known.map_or_else(|| "unknown".to_owned(), Clone::clone)
}

/// What to paste into the tool that keeps reverting our writes, for each kind of routed object.
pub(super) fn ignore_rule(object: &str) -> String {
    let kind = object.split_whitespace().next().unwrap_or(object);
    let argo = match kind {
        "ingress" => {
            return "it must not apply, prune or relabel Ingresses with the label \
                    app.kubernetes.io/managed-by: gradual-rollout"
                .to_owned();
        }
        "virtualservice" => {
            "{group: networking.istio.io, kind: VirtualService, jqPathExpressions: \
             ['.spec.http[]?.route[]?.weight', '.spec.tls[]?.route[]?.weight', '.spec.tcp[]?.route[]?.weight']}"
        }
        "httproute" | "grpcroute" | "tlsroute" | "tcproute" => {
            "{group: gateway.networking.k8s.io, kind: '*', jqPathExpressions: ['.spec.rules[]?.backendRefs[]?.weight']}"
        }
        "configmap" => {
            "{kind: ConfigMap, jsonPointers: [/data/networking_mode, /data/istio_percentage, \
             /data/enable_istio_monitoring]}"
        }
        "deployment" => {
            "{group: apps, kind: Deployment, jqPathExpressions: ['.spec.template.spec.containers[]?.env', \
             '.spec.template.metadata.annotations.\"rollout.sealos.io/restarted-for\"']}"
        }
        // Whatever else is routed: what our field manager owns.
        _ => "{group: '*', kind: '*', managedFieldsManagers: [gradual-rollout]}",
    };
    format!(
        "Argo CD: ignoreDifferences: [{argo}] with syncOptions: [RespectIgnoreDifferences=true]; \
         Flux: annotate it kustomize.toolkit.fluxcd.io/ssa: IfNotPresent"
    )
}

#[cfg(test)]
mod tests {
    use super::ignore_rule;

    #[test]
    fn a_fight_is_ended_by_a_rule_for_the_kind_that_is_fought_over() {
        for (object, field) in [
            ("virtualservice apps/shop", ".spec.http[]?.route[]?.weight"),
            ("configmap apps/shop", "/data/istio_percentage"),
            ("deployment apps/shop", ".spec.template.spec.containers[]?.env"),
            ("httproute apps/shop", ".spec.rules[]?.backendRefs[]?.weight"),
            ("grpcroute apps/shop", ".spec.rules[]?.backendRefs[]?.weight"),
            ("tlsroute apps/shop", ".spec.rules[]?.backendRefs[]?.weight"),
            ("tcproute apps/shop", ".spec.rules[]?.backendRefs[]?.weight"),
            ("another apps/shop", "managedFieldsManagers: [gradual-rollout]"),
        ] {
            let rule = ignore_rule(object);
            assert!(rule.contains(field), "{rule}");
            assert!(rule.contains("RespectIgnoreDifferences=true"), "{rule}");
            assert!(rule.contains("ssa: IfNotPresent"), "{rule}");
        }
        // A canary Ingress is ours as a whole: there is nothing in it to leave alone.
        let rule = ignore_rule("ingress apps/gr-shop-80-0");
        assert!(
            rule.contains("must not apply, prune or relabel") && rule.contains("gradual-rollout"),
            "{rule}"
        );
    }
}
