//! Rollouts in files: read, checked, and every problem named by file, line and field, with the remedy.

use super::sound;
use super::suggest::closest;
use super::yaml::{self, Document, Place};
use crate::cluster::crd;
use crate::rollout::plan::Plan;
use crate::rollout::spec::{GradualRollout, WrittenLimits};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;

/// Something in a file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// The line and column, as far as known.
    pub place: Option<Place>,
    /// The field, like `spec.phases[0].steps[1].weight`; empty for the document itself.
    pub path: String,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(place) = self.place {
            write!(f, ":{place}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A document of a file.
#[derive(Debug)]
pub(super) enum Manifest {
    /// A rollout that can be applied.
    Rollout(Box<GradualRollout>, Box<Plan>),
    /// An object of another kind: not ours to judge.
    Other(String),
    /// A rollout with problems.
    Broken(Vec<Problem>),
}

/// Reads every document of a text.
pub(super) fn read(file: &str, text: &str) -> Vec<Manifest> {
    match yaml::read(text) {
        Err(error) => vec![Manifest::Broken(vec![Problem {
            file: file.to_owned(),
            place: error.place,
            path: String::new(),
            message: format!("not YAML: {}", error.message),
        }])],
        Ok(documents) => documents.iter().map(|d| manifest(file, d)).collect(),
    }
}

fn manifest(file: &str, document: &Document) -> Manifest {
    let text = |field: &str| {
        document
            .value
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (kind, version) = (text("kind"), text("apiVersion"));
    let problem = |path: &str, message: String| Problem {
        file: file.to_owned(),
        place: document.place(path),
        path: path.to_owned(),
        message,
    };
    if kind.is_empty() {
        let message = "no object of Kubernetes: it needs apiVersion, kind, metadata and spec; ours is kind: GradualRollout";
        return Manifest::Broken(vec![problem("", message.into())]);
    }
    if kind != "GradualRollout" {
        return match closest(kind, ["GradualRollout"]) {
            Some(ours) => Manifest::Broken(vec![problem(
                "kind",
                format!("{kind:?} is no kind; did you mean {ours:?}?"),
            )]),
            None => Manifest::Other(kind.to_owned()),
        };
    }
    let mut problems = Vec::new();
    if version != "rollout.sealos.io/v1alpha1" {
        let message = format!("{version:?} is not served; write rollout.sealos.io/v1alpha1");
        problems.push(problem("apiVersion", message));
    }
    if document
        .value
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        problems.push(problem("metadata.name", "the rollout needs a name".into()));
    }
    let rollout = match serde_path_to_error::deserialize::<_, GradualRollout>(&document.value) {
        Ok(rollout) => rollout,
        Err(error) => {
            let path = error.path().to_string();
            let path = if path == "." { String::new() } else { path };
            let message = explain(&error.into_inner().to_string(), lookup(&document.value, &path));
            problems.push(problem(&path, message));
            return Manifest::Broken(problems);
        }
    };
    let mut found = match Plan::parse(&rollout.spec) {
        Ok(plan) if problems.is_empty() => {
            let mut broken = rules(&problem, document);
            let more = sound::problems(&rollout, &plan);
            broken.extend(more.into_iter().map(|p| problem(&p.path, p.message)));
            if broken.is_empty() {
                return Manifest::Rollout(Box::new(rollout), Box::new(plan));
            }
            broken
        }
        Ok(_) => Vec::new(),
        Err(found) => found.into_iter().map(|p| problem(&p.path, p.message)).collect(),
    };
    problems.append(&mut found);
    Manifest::Broken(problems)
}

/// What only the resource's own rules know; the plan says the rest in better words.
fn rules(problem: &impl Fn(&str, String) -> Problem, document: &Document) -> Vec<Problem> {
    crd::broken_rules(&document.value)
        .into_iter()
        .map(|rule| problem(&rule.path, rule.message))
        .collect()
}

/// The value at a path like `spec.phases[0].checks`.
fn lookup<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let mut at = value;
    for part in path.split(['.', '[']).filter(|p| !p.is_empty()) {
        at = match part.strip_suffix(']') {
            Some(index) => at.get(index.parse::<usize>().ok()?)?,
            None => at.get(part)?,
        };
    }
    Some(at)
}

/// Says serde's messages in words that help.
fn explain(message: &str, value: Option<&Value>) -> String {
    if message.contains("untagged enum Limit") {
        let inner = value.and_then(|v| WrittenLimits::deserialize(v).err());
        let inner = inner.map_or_else(String::new, |e| format!(": {}", explain(&e.to_string(), None)));
        return format!(
            "neither `none` nor limits like {{max: 1%}}, {{min: 99%}} or {{maxIncrease: 50%}}{inner}"
        );
    }
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let unknown = ["unknown field", "unknown variant"]
        .into_iter()
        .find(|w| message.starts_with(w));
    if let (Some(what), Some((wrong, known))) = (unknown, quoted.split_first()) {
        let what = if what == "unknown field" { "field" } else { "word" };
        let hint = closest(wrong, known.iter().copied())
            .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        let all = known.join(", ");
        return format!("there is no {what} {wrong:?} here{hint} (known: {all})");
    }
    if let Some(field) = message
        .strip_prefix("missing field `")
        .and_then(|m| m.strip_suffix('`'))
    {
        return format!("{field:?} is missing");
    }
    // YAML makes numbers of codes, labels and versions.
    if message.starts_with("invalid type: ")
        && message.ends_with("expected a string")
        && let Some(written) = quoted.first()
    {
        return format!("{message}: write it in quotes, \"{written}\"");
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
apiVersion: rollout.sealos.io/v1alpha1
kind: GradualRollout
metadata: {name: shop}
spec:
  paused: null
  components:
  - name: shop
    routers:
    - istio:
        virtualServices: [{name: shop}]
        canary: {host: shop, subset: v2}
        control: {host: shop, subset: v1}
  steps:
  - {weight: 5%, hold: 1h}
  - {weight: 25%, hold: 1h}
";

    fn problems(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        for manifest in read("plan.yaml", text) {
            if let Manifest::Broken(problems) = manifest {
                all.extend(problems.iter().map(ToString::to_string));
            }
        }
        all
    }

    #[test]
    fn a_good_file_is_read() {
        let read = read("plan.yaml", GOOD);
        assert!(
            matches!(read.as_slice(), [Manifest::Rollout(_, plan)] if plan.components.len() == 1),
            "{read:?}"
        );
    }

    #[test]
    fn a_gate_that_waits_for_the_rollout_behind_it_is_no_plan_and_one_that_waits_for_an_earlier_weight_is() {
        let with = |gate: &str| {
            GOOD.replace(
                "{weight: 25%,",
                &format!("{{weight: 25%, requires: [{{rollout: {gate}}}],"),
            )
        };
        for never in [
            "{name: shop, is: Completed}",
            "{name: shop, namespace: default, is: Completed}",
            "{name: shop, is: AtLeast, weight: 25%}",
            "{name: shop, component: shop, is: Completed}",
            "{name: shop, component: shop, is: AtLeast, weight: 25%}",
        ] {
            let told = problems(&with(never));
            let says = told.first().map(String::as_str).unwrap_or_default();
            assert!(
                says.contains("spec.steps[1].requires: ")
                    && says.contains("it waits for itself, and would for ever"),
                "{never}: {told:?}"
            );
        }
        for opens in [
            "{name: shop, is: AtLeast, weight: 5%}",
            "{name: shop, namespace: other, is: Completed}",
            "{name: base, is: Completed}",
            "{name: shop, component: base, is: Completed}",
        ] {
            assert_eq!(problems(&with(opens)), Vec::<String>::new(), "{opens}");
        }
    }

    #[test]
    fn every_mistake_names_file_line_field_and_remedy() {
        for (from, to, says) in [
            (
                "{weight: 25%,",
                "{wieght: 25%,",
                "plan.yaml:15:6: spec.steps[1].wieght: there is no field \"wieght\" here; did you mean \"weight\"?",
            ),
            (
                "{weight: 25%,",
                "{weight: 125%,",
                "plan.yaml:15:6: spec.steps[1].weight: ",
            ),
            (
                "hold: 1h}\n  - {weight: 25%",
                "hold: 3}\n  - {weight: 25%",
                "plan.yaml:14:18: spec.steps[0].hold: ",
            ),
            (
                "metadata: {name: shop}",
                "metadata: {name: shop, labels: {team: 7}}",
                "expected a string: write it in quotes, \"7\"",
            ),
            ("{weight: 25%,", "{weight: 3%,", "weights must ascend"),
            ("- istio:", "- isto:", "did you mean \"istio\"?"),
            (
                "kind: GradualRollout",
                "kind: GradualRolout",
                "did you mean \"GradualRollout\"?",
            ),
            (
                "v1alpha1",
                "v2",
                "plan.yaml:1:1: apiVersion: \"rollout.sealos.io/v2\" is not served",
            ),
            (
                "metadata: {name: shop}",
                "metadata: {}",
                "metadata.name: the rollout needs a name",
            ),
            (
                "  steps:",
                "  onDelete: forget\n  steps:",
                "there is no word \"forget\" here",
            ),
            (
                "  steps:",
                "  checks: [{name: errors, rollback: {mx: 1%}}]\n  steps:",
                "did you mean \"max\"?",
            ),
            (
                "  steps:",
                "  checks: [{name: errors, rollback: off}]\n  steps:",
                "neither `none` nor limits",
            ),
            (
                "metadata: {name: shop}",
                "metadata: {name: Shop_A}",
                "metadata.name: \"Shop_A\" is no name",
            ),
            (
                "virtualServices: [{name: shop}]",
                "virtualServices: [{name: Shop_A}]",
                "spec.components[0].routers[0].istio.virtualServices[0].name: \"Shop_A\"",
            ),
            (
                "virtualServices: [{name: shop}]",
                "virtualServices: [{name: shop, namespace: -a}]",
                "virtualServices[0].namespace: \"-a\" is no namespace",
            ),
            ("subset: v2", "subset: v1", "spec.components[0].routers: "),
            (
                "  steps:",
                "    arms: {canary: {preset: istio, labels: {\"a-b\": x}}}\n  steps:",
                "spec.components[0].arms.canary.labels.a-b: ",
            ),
            (
                "virtualServices: [{name: shop}]",
                "virtualServices: []",
                "spec.components[0].routers[0]",
            ),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from}");
            let problems = problems(&text);
            assert!(problems.iter().any(|p| p.contains(says)), "{to}: {problems:#?}");
        }
    }

    #[test]
    fn other_objects_are_left_alone() {
        let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\n---\n{GOOD}");
        let read = read("plan.yaml", &text);
        assert!(
            matches!(read.as_slice(), [Manifest::Other(kind), Manifest::Rollout(..)] if kind == "ConfigMap")
        );
    }
}
