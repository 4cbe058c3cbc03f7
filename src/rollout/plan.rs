//! The resource with every default filled in and every rule checked: what the rest of the core works by.

use super::check::{Bound, CheckRule, JudgeRules, Limits, Metric};
use super::duration::Span;
use super::spec::{
    Check, Component, GradualRolloutSpec, Limit, OnDelete, OnFailure, Phase, Preset, Scope, Step, Traffic,
};
use super::weight::{Percent, Weight};
use super::window::Calendar;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// A first weight above this needs `allowJump`.
pub const FIRST_WEIGHT_MAX: Weight = match Weight::from_percent(10) {
    Some(weight) => weight,
    None => Weight::ZERO,
};
/// A jump of more points than this (in permille) needs `allowJump`.
pub const JUMP_MAX_PERMILLE: u16 = 300;

/// Something in the spec that cannot be used: where, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, like `spec.phases[1].steps[0].weight`.
    pub path: String,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// A plan that can be walked.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The components, in the order of the spec.
    pub components: Vec<PlannedComponent>,
    /// The phases, in the order they run. A spec with `steps` has one, named `steps`.
    pub phases: Vec<PlannedPhase>,
    /// The spec's checks over the defaults, for a weight that no phase declares.
    pub checks: Vec<CheckRule>,
    /// How judging works.
    pub judge: JudgeRules,
    /// When weights may rise.
    pub calendar: Calendar,
    /// Where a rollback goes.
    pub rollback_to: Weight,
    /// Who goes back.
    pub scope: Scope,
    /// What the others do.
    pub on_failure: OnFailure,
    /// What a deletion does.
    pub on_delete: OnDelete,
    /// The spec says pause.
    pub paused: bool,
}

/// A component and the steps it walks, over all its phases.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedComponent {
    /// As written.
    pub component: Component,
    /// Its steps in order.
    pub steps: Vec<PlannedStep>,
    /// Changes when its routers, its arms or its own step weights change, and only then.
    pub fingerprint: String,
}

impl PlannedComponent {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.component.name
    }

    /// Its kind of traffic.
    pub fn traffic(&self) -> Traffic {
        self.component.traffic.unwrap_or_default()
    }

    /// The next declared weight above one, in phases from `phase` on.
    pub fn next_above(&self, weight: Weight) -> Option<&PlannedStep> {
        self.steps.iter().find(|s| s.weight > weight)
    }

    /// The last step that declares exactly this weight.
    pub fn step_at(&self, weight: Weight) -> Option<&PlannedStep> {
        self.steps.iter().rev().find(|s| s.weight == weight)
    }
}

/// One step of one component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannedStep {
    /// The phase, as an index.
    pub phase: usize,
    /// Its place in the phase, from 0.
    pub index: usize,
    /// The weight.
    pub weight: Weight,
    /// How long it is held.
    pub hold: Duration,
}

/// One phase.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedPhase {
    /// Its name.
    pub name: String,
    /// The components that walk it, by index.
    pub components: Vec<usize>,
    /// Whether a person must approve before its first weight.
    pub approval: bool,
    /// Its checks: the spec's, with its own overrides.
    pub checks: Vec<CheckRule>,
}

impl Plan {
    /// Reads a spec. Every problem is reported, not the first alone.
    pub fn parse(spec: &GradualRolloutSpec) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::default();
        let plan = reader.plan(spec);
        if reader.problems.is_empty() {
            Ok(plan)
        } else {
            Err(reader.problems)
        }
    }

    /// A component by name.
    pub fn component(&self, name: &str) -> Option<&PlannedComponent> {
        self.components.iter().find(|c| c.name() == name)
    }

    /// The checks that apply to a weight of a component: those of the phase that declares it, or of the phase of
    /// the last declared step below it.
    pub fn checks_at(&self, component: &PlannedComponent, weight: Weight) -> &[CheckRule] {
        let step = component
            .step_at(weight)
            .or_else(|| component.steps.iter().rev().find(|s| s.weight < weight));
        let phase = step
            .or(component.steps.first())
            .and_then(|s| self.phases.get(s.phase));
        phase.map_or(&self.checks, |p| &p.checks)
    }
}

#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn problem(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem {
            path: path.into(),
            message: message.into(),
        });
    }

    fn plan(&mut self, spec: &GradualRolloutSpec) -> Plan {
        self.names(spec);
        let checks = self.checks(
            "spec.checks",
            default_checks(),
            spec.checks.as_deref().unwrap_or_default(),
        );
        let phases = self.phases(spec, &checks);
        let components = self.components(spec, &phases);
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
            phases: phases.into_iter().map(|(phase, _)| phase).collect(),
            checks,
            judge,
            calendar,
            rollback_to: rollback.to.unwrap_or(Weight::ZERO),
            scope: rollback.scope.unwrap_or_default(),
            on_failure: rollback.on_failure.unwrap_or_default(),
            on_delete: spec.on_delete.unwrap_or_default(),
            paused: spec.paused.unwrap_or(false),
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
            if let Some(arms) = &component.arms {
                self.arms(i, &arms.canary, arms.control.as_ref());
            }
        }
        if spec.steps.is_some() == spec.phases.is_some() {
            self.problem("spec", "give either steps or phases");
        }
    }

    fn arms(&mut self, i: usize, canary: &super::spec::ArmSource, control: Option<&super::spec::ArmSource>) {
        for (arm, source) in [("canary", Some(canary)), ("control", control)] {
            let Some(source) = source else { continue };
            if source.labels.is_empty() {
                let message = "without a label the arm is every request there is; name what tells it apart";
                self.problem(format!("spec.components[{i}].arms.{arm}.labels"), message);
            }
        }
        let Some(control) = control else { return };
        if canary.labels == control.labels && canary.preset == control.preset {
            let message = "both arms select the same series: name the labels that tell control from canary";
            self.problem(format!("spec.components[{i}].arms.control.labels"), message);
        }
        let vantage = |preset: Preset| matches!(preset, Preset::IngressNginx);
        if canary.preset != control.preset && vantage(canary.preset) != vantage(control.preset) {
            let message = "both arms must be seen from one vantage point, or they cannot be compared: \
                           use one preset for both, or leave control out to be judged by absolute limits";
            self.problem(format!("spec.components[{i}].arms.control.preset"), message);
        }
    }

    fn checks(&mut self, path: &str, base: Vec<CheckRule>, overrides: &[Check]) -> Vec<CheckRule> {
        let mut rules = base;
        for (i, check) in overrides.iter().enumerate() {
            let at = format!("{path}[{i}]");
            let known = rules.iter().position(|r| r.name == check.name);
            let base = known.and_then(|k| rules.get(k)).cloned();
            let Some(rule) = self.check(&at, check, base) else {
                continue;
            };
            match known.and_then(|k| rules.get_mut(k)) {
                Some(slot) => *slot = rule,
                None => rules.push(rule),
            }
        }
        rules
    }

    fn check(&mut self, at: &str, check: &Check, base: Option<CheckRule>) -> Option<CheckRule> {
        let metric = match (check.metric, &base) {
            (Some(metric), _) => metric,
            (None, Some(base)) => base.metric,
            (None, None) => {
                let message = format!(
                    "{:?} overrides no check of that name, so it must say its metric: errorRate, latency, availability or throughput",
                    check.name
                );
                self.problem(format!("{at}.metric"), message);
                return None;
            }
        };
        let base = base
            .filter(|b| b.metric == metric)
            .unwrap_or_else(|| default_check(&check.name, metric));
        let quantile = check.quantile.unwrap_or(base.quantile);
        if !(quantile > 0.0 && quantile < 1.0) {
            self.problem(
                format!("{at}.quantile"),
                format!("{quantile} is no quantile: write one like 0.95"),
            );
        }
        let promote = self.limit(&format!("{at}.promote"), metric, check.promote, base.promote);
        let rollback = self.limit(&format!("{at}.rollback"), metric, check.rollback, base.rollback);
        self.ordered(at, promote.as_ref(), rollback.as_ref());
        let for_ = check.for_.map_or(base.for_, |s| s.0);
        let window = check
            .window
            .map_or(if check.for_.is_some() { for_ } else { base.window }, |s| s.0);
        for (field, length) in [("for", for_), ("window", window)] {
            if length.is_zero() || length > Duration::from_secs(24 * 3600) {
                self.problem(format!("{at}.{field}"), "must be between 1ms and 24h");
            }
        }
        let min_requests = check
            .min_requests
            .map_or(base.min_requests, |n| u64::try_from(n).unwrap_or(0));
        Some(CheckRule {
            name: check.name.clone(),
            metric,
            quantile,
            promote,
            rollback,
            for_,
            window,
            min_requests,
        })
    }

    fn limit(
        &mut self,
        at: &str,
        metric: Metric,
        asked: Option<Limit>,
        base: Option<Limits>,
    ) -> Option<Limits> {
        let limits = match asked {
            None => return base,
            Some(Limit::Off(_)) => return None,
            Some(Limit::At(limits)) => limits,
        };
        if limits == Limits::default() {
            self.problem(
                at,
                "names no limit; write max, min or maxIncrease, or `none` to switch it off",
            );
        }
        let wrong = match (metric, &limits) {
            (Metric::ErrorRate, Limits { min: Some(_), .. }) => Some(("min", "an error rate has a max")),
            (
                Metric::ErrorRate,
                Limits {
                    max: Some(Bound::Time(_)),
                    ..
                },
            ) => Some(("max", "an error rate's limit is a percentage, like \"1%\"")),
            (Metric::Latency, Limits { min: Some(_), .. }) => Some(("min", "latency has a max")),
            (
                Metric::Latency,
                Limits {
                    max: Some(Bound::Percent(_)),
                    ..
                },
            ) => Some((
                "max",
                "a latency limit is a time, like \"150ms\"; for a percentage use maxIncrease",
            )),
            (Metric::Availability | Metric::Throughput, Limits { max: Some(_), .. }) => {
                Some(("max", "this metric has a min"))
            }
            (
                Metric::Availability | Metric::Throughput,
                Limits {
                    max_increase: Some(_),
                    ..
                },
            ) => Some(("maxIncrease", "this metric has a min")),
            _ => None,
        };
        if let Some((field, message)) = wrong {
            self.problem(format!("{at}.{field}"), message);
        }
        if limits.min.is_some_and(|m| m > Percent::from_millis(100_000)) {
            self.problem(format!("{at}.min"), "more than 100% can never be reached");
        }
        Some(limits)
    }

    /// A rollback limit inside the promote limit would roll back what may be promoted.
    fn ordered(&mut self, at: &str, promote: Option<&Limits>, rollback: Option<&Limits>) {
        let (Some(promote), Some(rollback)) = (promote, rollback) else {
            return;
        };
        let over = |p: Option<Bound>, r: Option<Bound>| match (p, r) {
            (Some(Bound::Percent(p)), Some(Bound::Percent(r))) => p > r,
            (Some(Bound::Time(p)), Some(Bound::Time(r))) => p > r,
            _ => false,
        };
        let clash = over(promote.max, rollback.max)
            || matches!((promote.min, rollback.min), (Some(p), Some(r)) if p < r)
            || matches!((promote.max_increase, rollback.max_increase), (Some(p), Some(r)) if p > r);
        if clash {
            self.problem(at, "the promote limit must be the stricter one; now a value could be good enough to promote and bad enough to roll back");
        }
    }

    fn phases(&mut self, spec: &GradualRolloutSpec, checks: &[CheckRule]) -> Vec<(PlannedPhase, Vec<Step>)> {
        let all: Vec<usize> = (0..spec.components.len()).collect();
        if let Some(steps) = &spec.steps {
            self.steps("spec.steps", steps);
            let phase = PlannedPhase {
                name: "steps".into(),
                components: all,
                approval: false,
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
                checks.to_vec(),
                phase.checks.as_deref().unwrap_or_default(),
            );
            let approval = phase.requires.as_ref().is_some_and(|gates| !gates.is_empty());
            phases.push((
                PlannedPhase {
                    name: phase.name.clone(),
                    components,
                    approval,
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
                            "{} for {} is below the {before} of an earlier phase: weights never fall along a component's phases",
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
            planned.push(PlannedComponent {
                component: component.clone(),
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
                "the first weight of {name} is {weight}; begin with {FIRST_WEIGHT_MAX} or less, or set allowJump: true"
            );
            self.problem(path, message);
        } else if weight > before && weight.distance(before) > JUMP_MAX_PERMILLE {
            let message = format!(
                "{name} jumps from {before} to {weight}, more than 30 points; add steps between, or set allowJump: true"
            );
            self.problem(path, message);
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

/// The default of a metric, under a name.
fn default_check(name: &str, metric: Metric) -> CheckRule {
    let percent = |millis| Some(Bound::Percent(Percent::from_millis(millis)));
    let (promote, rollback) = match metric {
        Metric::ErrorRate => (
            Limits {
                max: percent(100),
                ..Limits::default()
            },
            Some(Limits {
                max: percent(1000),
                ..Limits::default()
            }),
        ),
        Metric::Latency => (
            Limits {
                max_increase: Some(Percent::from_millis(15_000)),
                ..Limits::default()
            },
            Some(Limits {
                max_increase: Some(Percent::from_millis(50_000)),
                ..Limits::default()
            }),
        ),
        Metric::Availability => (
            Limits {
                min: Some(Percent::from_millis(99_900)),
                ..Limits::default()
            },
            Some(Limits {
                min: Some(Percent::from_millis(99_000)),
                ..Limits::default()
            }),
        ),
        Metric::Throughput => (
            Limits {
                min: Some(Percent::from_millis(95_000)),
                ..Limits::default()
            },
            None,
        ),
    };
    CheckRule {
        name: name.to_owned(),
        metric,
        quantile: 0.95,
        promote: Some(promote),
        rollback,
        for_: Duration::from_secs(300),
        window: Duration::from_secs(300),
        min_requests: 0,
    }
}

/// The checks that apply when nothing is written.
pub fn default_checks() -> Vec<CheckRule> {
    [
        ("errors", Metric::ErrorRate),
        ("p95", Metric::Latency),
        ("available", Metric::Availability),
        ("throughput", Metric::Throughput),
    ]
    .map(|(name, metric)| default_check(name, metric))
    .into()
}

/// 64 bits of FNV-1a over what a component's attempt depends on: enough to see a change, stable over versions.
fn fingerprint(component: &Component, steps: &[PlannedStep]) -> String {
    let weights: Vec<u16> = steps.iter().map(|s| s.weight.permille()).collect();
    let basis: BTreeMap<&str, serde_json::Value> = BTreeMap::from([
        ("arms", serde_json::to_value(&component.arms).unwrap_or_default()),
        (
            "routers",
            serde_json::to_value(&component.routers).unwrap_or_default(),
        ),
        ("weights", serde_json::to_value(weights).unwrap_or_default()),
    ]);
    let text = serde_json::to_string(&basis).unwrap_or_default();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}
