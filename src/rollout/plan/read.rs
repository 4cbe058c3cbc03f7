//! Reading a spec into a plan, and every problem on the way.

use super::defaults::{default_checks, probe_check};
use super::set::{CheckSet, PlannedCheck};
use super::{
    FIRST_WEIGHT_MAX, JUMP_MAX_PERMILLE, Plan, PlannedComponent, PlannedPhase, PlannedStep, Problem,
};
use crate::rollout::check::JudgeRules;
use crate::rollout::complaint::{COMPLAINTS_KEPT, ComplaintRules};
use crate::rollout::duration::Span;
use crate::rollout::router_spec::Router;
use crate::rollout::spec::{ArmSource, BaselineKind, Component, GradualRolloutSpec, Phase, Step};
use crate::rollout::weight::{Percent, Weight};
use crate::rollout::window::Calendar;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Whose past would it be?
pub(super) const NO_PAST: &str = "history is control's own, and no control arm is named: name it under arms, or write a fixed value in the check";

/// Reads a spec, and collects every problem on the way.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn problem(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem {
            path: path.into(),
            message: message.into(),
        });
    }

    pub(super) fn plan(&mut self, spec: &GradualRolloutSpec) -> Plan {
        self.names(spec);
        let mut checks = default_checks();
        if spec.components.iter().any(|c| c.probe.is_some()) {
            checks.push(probe_check());
        }
        let checks = self.checks(
            "spec.checks",
            spec,
            checks,
            spec.checks.as_deref().unwrap_or_default(),
        );
        let phases = self.phases(spec, &checks);
        let components = self.components(spec, &phases);
        self.pools(&phases, &components);
        self.dependencies(&components);
        self.count_marks(&phases.iter().map(|(phase, _)| phase).collect::<Vec<_>>());
        let judge = self.judge(spec);
        let calendar = Calendar::read(spec.schedule.as_ref()).unwrap_or_else(|problems| {
            for (path, message) in problems {
                self.problem(format!("spec.schedule.{path}"), message);
            }
            Calendar::default()
        });
        let rollback = spec.rollback.clone().unwrap_or_default();
        Plan {
            components,
            orphans: Vec::new(),
            released: Vec::new(),
            phases: phases.into_iter().map(|(phase, _)| phase).collect(),
            checks,
            judge,
            calendar,
            rollback_to: rollback.to.unwrap_or(Weight::ZERO),
            scope: rollback.scope.unwrap_or_default(),
            on_failure: rollback.on_failure.unwrap_or_default(),
            retry: self.retry(rollback.retry.as_ref()),
            group: spec.group.clone(),
            on_delete: spec.on_delete.unwrap_or_default(),
            paused: spec.paused.unwrap_or(false),
            complaints: self.complaints(spec),
        }
    }

    /// What the API server also enforces, for files and for servers that do not.
    fn names(&mut self, spec: &GradualRolloutSpec) {
        if spec.components.is_empty() || spec.components.len() > 64 {
            self.problem(
                "spec.components",
                "name between 1 and 64 components; a larger fleet is more resources",
            );
        }
        let mut seen = BTreeSet::new();
        for (i, component) in spec.components.iter().enumerate() {
            if !seen.insert(component.name.as_str()) {
                let message = format!("{:?} is there twice: names are unique", component.name);
                self.problem(format!("spec.components[{i}].name"), message);
            }
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if component.name.is_empty() || component.name.len() > 63 || !component.name.chars().all(legal) {
                let message = format!("{:?} is no name: 1 to 63 of a-z, 0-9 and -", component.name);
                self.problem(format!("spec.components[{i}].name"), message);
            }
            if component.routers.is_empty() || component.routers.len() > 4 {
                self.problem(
                    format!("spec.components[{i}].routers"),
                    "name 1 to 4 routers, edge first",
                );
            }
            for (r, router) in component.routers.iter().enumerate() {
                let mistake = match router {
                    Router::ControllerSwitch(switch) => switch.mistake(),
                    Router::IngressNginx(nginx) => nginx.gateway.mistake(),
                    Router::Istio(_) | Router::GatewayApi(_) | Router::Hook(_) | Router::Manual(_) => None,
                };
                if let Some((field, message)) = mistake {
                    self.problem(format!("spec.components[{i}].routers[{r}].{field}"), message);
                }
            }
            let control = component.arms.as_ref().and_then(|a| a.control.as_ref());
            if component.baseline == Some(BaselineKind::History) && control.is_none() {
                self.problem(format!("spec.components[{i}].baseline"), NO_PAST);
            }
            if let Some(probe) = &component.probe {
                self.probe(&format!("spec.components[{i}].probe"), probe);
            }
            if let Some(arms) = &component.arms {
                self.arms(i, &arms.canary, arms.control.as_ref());
            }
        }
        if spec.steps.is_some() == spec.phases.is_some() {
            self.problem("spec", "give either steps or phases");
        }
    }

    fn arms(&mut self, i: usize, canary: &ArmSource, control: Option<&ArmSource>) {
        for (arm, source) in [("canary", Some(canary)), ("control", control)] {
            let Some(source) = source else { continue };
            if source.labels.is_empty() {
                let message = "without a label the arm is every request there is; name what tells it apart";
                self.problem(format!("spec.components[{i}].arms.{arm}.labels"), message);
            }
        }
        let Some(control) = control else { return };
        if canary.preset == control.preset {
            if canary.labels == control.labels {
                let message =
                    "both arms select the same series: name the labels that tell control from canary";
                self.problem(format!("spec.components[{i}].arms.control.labels"), message);
            } else if within(&control.labels, &canary.labels) || within(&canary.labels, &control.labels) {
                let message = "one arm's series are among the other's, because all of its labels are named there too: name \
                               in each the label that tells them apart";
                self.problem(format!("spec.components[{i}].arms.control.labels"), message);
            }
        }
        if canary.vantage() != control.vantage() {
            let message = "both arms must be seen from one vantage point, or they cannot be compared: \
                           use one preset for both, or leave control out to be judged by absolute limits";
            self.problem(format!("spec.components[{i}].arms.control.preset"), message);
        } else if canary.latency_labels != control.latency_labels {
            let message = "differs from the canary's, so the durations of other requests would be compared: give both arms \
                           the same latencyLabels";
            self.problem(
                format!("spec.components[{i}].arms.control.latencyLabels"),
                message,
            );
        }
    }

    fn phases(
        &mut self,
        spec: &GradualRolloutSpec,
        checks: &[PlannedCheck],
    ) -> Vec<(PlannedPhase, Vec<Step>)> {
        let all: Vec<usize> = (0..spec.components.len()).collect();
        if let Some(steps) = &spec.steps {
            self.steps("spec.steps", steps);
            let written = Phase {
                name: "steps".into(),
                components: None,
                requires: None,
                steps: steps.clone(),
                checks: None,
            };
            let phase = PlannedPhase {
                name: "steps".into(),
                components: all,
                gates: self.gates("spec.", "steps", &written),
                checks: checks.to_vec(),
            };
            return vec![(phase, steps.clone())];
        }
        let mut names = BTreeSet::new();
        let mut phases = Vec::new();
        for (i, phase) in spec.phases.iter().flatten().enumerate() {
            let at = format!("spec.phases[{i}]");
            if !names.insert(phase.name.as_str()) {
                self.problem(
                    format!("{at}.name"),
                    format!("{:?} is there twice: names are unique", phase.name),
                );
            }
            self.steps(&format!("{at}.steps"), &phase.steps);
            let components = self.members(&at, phase, spec, &all);
            let own = self.checks(
                &format!("{at}.checks"),
                spec,
                checks.to_vec(),
                phase.checks.as_deref().unwrap_or_default(),
            );
            let gates = self.gates(&format!("{at}."), &phase.name, phase);
            phases.push((
                PlannedPhase {
                    name: phase.name.clone(),
                    components,
                    gates,
                    checks: own,
                },
                phase.steps.clone(),
            ));
        }
        phases
    }

    fn members(&mut self, at: &str, phase: &Phase, spec: &GradualRolloutSpec, all: &[usize]) -> Vec<usize> {
        let Some(names) = &phase.components else {
            return all.to_vec();
        };
        let mut members = Vec::new();
        for (j, name) in names.iter().enumerate() {
            match spec.components.iter().position(|c| &c.name == name) {
                Some(index) if !members.contains(&index) => members.push(index),
                Some(_) => self.problem(
                    format!("{at}.components[{j}]"),
                    format!("{name:?} is there twice"),
                ),
                None => {
                    let known: Vec<&str> = spec.components.iter().map(|c| c.name.as_str()).collect();
                    let message = format!("no component is named {name:?}; there are {}", known.join(", "));
                    self.problem(format!("{at}.components[{j}]"), message);
                }
            }
        }
        members
    }

    fn steps(&mut self, at: &str, steps: &[Step]) {
        if steps.is_empty() || steps.len() > 32 {
            self.problem(at, "name between 1 and 32 steps");
        }
        for (i, pair) in steps.windows(2).enumerate() {
            if let [before, after] = pair
                && after.weight <= before.weight
            {
                let message = format!(
                    "{} does not follow {}: weights must ascend",
                    after.weight, before.weight
                );
                self.problem(format!("{at}[{}].weight", i + 1), message);
            }
        }
        for (i, step) in steps.iter().enumerate() {
            if step.weight.is_zero() {
                self.problem(
                    format!("{at}[{i}].weight"),
                    "a step of 0% moves nothing; leave it out",
                );
            }
            if step.hold.0 > Duration::from_secs(366 * 24 * 3600) {
                self.problem(format!("{at}[{i}].hold"), "more than a year is surely a slip");
            }
        }
    }

    fn components(
        &mut self,
        spec: &GradualRolloutSpec,
        phases: &[(PlannedPhase, Vec<Step>)],
    ) -> Vec<PlannedComponent> {
        let allow_jump = spec.allow_jump.unwrap_or(false);
        let mut planned = Vec::new();
        for (index, component) in spec.components.iter().enumerate() {
            let mut steps: Vec<PlannedStep> = Vec::new();
            for (p, (phase, declared)) in phases.iter().enumerate() {
                if !phase.components.contains(&index) {
                    continue;
                }
                for (i, step) in declared.iter().enumerate() {
                    let before = steps.last().map_or(Weight::ZERO, |s| s.weight);
                    let path = if spec.steps.is_some() {
                        format!("spec.steps[{i}].weight")
                    } else {
                        format!("spec.phases[{p}].steps[{i}].weight")
                    };
                    if step.weight < before {
                        let message = format!(
                            "{} for {} is below the {before} of the step before it: weights never fall along a component's steps",
                            step.weight, component.name
                        );
                        self.problem(&path, message);
                    }
                    if !allow_jump {
                        self.jump(&path, component, before, step.weight, steps.is_empty());
                    }
                    steps.push(PlannedStep {
                        phase: p,
                        index: i,
                        weight: step.weight,
                        hold: step.hold.0,
                    });
                }
            }
            if steps.is_empty() {
                let message = format!("{:?} is in no phase: it would never move", component.name);
                self.problem(format!("spec.components[{index}].name"), message);
            }
            let fingerprint = fingerprint(component, &steps);
            let checks = phases
                .iter()
                .map(|(phase, _)| CheckSet::of(&phase.checks, component))
                .collect();
            planned.push(PlannedComponent {
                component: component.clone(),
                arms: arms_digests(component),
                checks,
                steps,
                fingerprint,
            });
        }
        planned
    }

    fn jump(&mut self, path: &str, component: &Component, before: Weight, weight: Weight, first: bool) {
        let name = &component.name;
        if first && weight > FIRST_WEIGHT_MAX {
            let message = format!(
                "the first weight of {name} is {weight}; begin with {FIRST_WEIGHT_MAX} or less, or set spec.allowJump: true"
            );
            self.problem(path, message);
        } else if weight > before && weight.distance(before) > JUMP_MAX_PERMILLE {
            let message = format!(
                "{name} jumps from {before} to {weight}, more than 30 points; add steps between, or set spec.allowJump: true"
            );
            self.problem(path, message);
        }
    }

    fn complaints(&mut self, spec: &GradualRolloutSpec) -> ComplaintRules {
        let given = spec.complaints.clone().unwrap_or_default();
        let default = ComplaintRules::default();
        let most = given.max.map_or(default.max, |n| usize::try_from(n).unwrap_or(0));
        let within = given.within.map_or(default.within, |span| span.0);
        if !(1..=COMPLAINTS_KEPT).contains(&most) {
            self.problem(
                "spec.complaints.max",
                format!("must be between 1 and {COMPLAINTS_KEPT}; to count none, write action: none"),
            );
        }
        if within < Duration::from_secs(60) || within > Duration::from_secs(7 * 24 * 3600) {
            self.problem("spec.complaints.within", "must be between 1m and 7d");
        }
        ComplaintRules {
            max: most.max(1),
            within,
            action: given.action.unwrap_or_default(),
        }
    }

    fn judge(&mut self, spec: &GradualRolloutSpec) -> JudgeRules {
        let judge = spec.judge.clone().unwrap_or_default();
        let insufficient = judge.insufficient.unwrap_or_default();
        let or = |span: Option<Span>, default: u64| span.map_or(Duration::from_secs(default), |s| s.0);
        let rules = JudgeRules {
            interval: or(judge.interval, 10),
            settle: or(judge.settle, 60),
            false_rollback: judge.false_rollback.unwrap_or(Percent::from_millis(1000)).ratio(),
            on_blind: judge.on_blind.unwrap_or_default(),
            blind_after: or(judge.blind_after, 600),
            insufficient_after: or(insufficient.after, 3 * 24 * 3600),
            insufficient_then: insufficient.then.unwrap_or_default(),
        };
        if rules.interval < Duration::from_secs(1) || rules.interval > Duration::from_secs(3600) {
            self.problem("spec.judge.interval", "must be between 1s and 1h");
        }
        if !(rules.false_rollback > 0.0 && rules.false_rollback <= 0.5) {
            self.problem("spec.judge.falseRollback", "must be above 0% and at most 50%");
        }
        rules
    }
}

/// 64 bits of FNV-1a over what a component's attempt depends on: enough to see a change, stable over versions.
fn fingerprint(component: &Component, steps: &[PlannedStep]) -> String {
    let weights: Vec<u16> = steps.iter().map(|s| s.weight.permille()).collect();
    let routers: Vec<Router> = component.routers.iter().map(Router::without_preview).collect();
    let basis: BTreeMap<&str, serde_json::Value> = BTreeMap::from([
        ("arms", serde_json::to_value(&component.arms).unwrap_or_default()),
        ("routers", serde_json::to_value(routers).unwrap_or_default()),
        ("weights", serde_json::to_value(weights).unwrap_or_default()),
    ]);
    digest(&serde_json::to_string(&basis).unwrap_or_default())
}

/// The same over a component's routers alone: by others it routes something else.
pub fn routers_digest(component: &Component) -> String {
    let routers: Vec<Router> = component.routers.iter().map(Router::without_preview).collect();
    digest(&serde_json::to_string(&routers).unwrap_or_default())
}

/// What the samples of a component's canary and of its control are selected by.
pub(super) fn arms_digests(component: &Component) -> [u32; 2] {
    let arms = component.arms.as_ref();
    [
        short_digest(&arms.map(|arms| &arms.canary)),
        short_digest(&arms.and_then(|arms| arms.control.as_ref())),
    ]
}

/// Enough to see a change by, in the few bytes that a status has for it.
pub(super) fn short_digest(of: &impl serde::Serialize) -> u32 {
    let [a, b, c, d, ..] = hash(&serde_json::to_string(of).unwrap_or_default()).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Sixteen characters that change with the text, and stay the same from build to build.
pub(in crate::rollout) fn digest(text: &str) -> String {
    format!("{:016x}", hash(text))
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Whether whatever has all of `these` labels has all of `those`.
fn within(these: &BTreeMap<String, String>, those: &BTreeMap<String, String>) -> bool {
    those.iter().all(|(label, value)| these.get(label) == Some(value))
}
