//! Rollouts of the files that wait for each other in a circle. One that waits for itself is refused where it is read.

use super::super::manifest::Problem;
use super::super::sound::{course, gate_path};
use super::super::yaml::{self, Place};
use super::{Checked, Told};
use crate::rollout::plan::Plan;
use crate::rollout::rings::{Course, Rings, Standing};
use crate::rollout::spec::GradualRollout;
use serde_json::Value;

/// A rollout that waits for others, and where its gates stand in its file.
#[derive(Debug)]
pub(super) struct Waits {
    course: Course,
    /// The rollout as its file says it: a namespace that is left out is empty here.
    rollout: (String, String),
    gates: Vec<(String, String, Option<Place>)>,
}

/// What a rollout waits for, with the places of a text that holds it.
pub(super) fn waits(rollout: &GradualRollout, plan: &Plan, text: &str) -> Option<Waits> {
    let course = course(rollout, plan)?;
    let (namespace, name) = (&rollout.metadata.namespace, &rollout.metadata.name);
    let documents = yaml::read(text).unwrap_or_default();
    let says = |value: &Value, pointer: &str, wanted: &Option<String>| {
        value.pointer(pointer).and_then(Value::as_str) == wanted.as_deref()
    };
    let document = documents.iter().find(|document| {
        says(&document.value, "/metadata/name", name)
            && says(&document.value, "/metadata/namespace", namespace)
            && says(&document.value, "/kind", &Some("GradualRollout".to_owned()))
    });
    let gates = course.gates().map(|(phase, gate)| {
        let path = gate_path(rollout, phase, gate);
        let place = document.and_then(|document| document.place(&path));
        (gate.key.clone(), path, place)
    });
    Some(Waits {
        gates: gates.collect(),
        rollout: (
            namespace.clone().unwrap_or_default(),
            name.clone().unwrap_or_default(),
        ),
        course,
    })
}

/// Names every gate that closes a circle through other rollouts: applied together, none of them would ever rise past it.
pub(super) fn waiting_in_a_circle(checked: &mut [Checked]) {
    let all = || checked.iter().flat_map(|file| &file.waits);
    let rings = Rings::of(all().map(|waits| (&waits.course, Standing::default())));
    let mut found = Vec::new();
    for (at, file) in checked.iter().enumerate() {
        for waits in &file.waits {
            for (gate, path, place) in &waits.gates {
                let Some((ring, true)) = rings.through(waits.course.key(), gate) else {
                    continue;
                };
                let problem = Problem {
                    file: file.file.clone(),
                    place: *place,
                    path: path.clone(),
                    message: ring.to_string(),
                };
                found.push((at, waits.rollout.clone(), problem));
            }
        }
    }
    for (at, (namespace, name), problem) in found {
        let Some(file) = checked.get_mut(at) else { continue };
        file.rollouts
            .retain(|valid| (&valid.namespace, &valid.name) != (&namespace, &name));
        file.problems.push(Told::from(problem));
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    fn rollout(name: &str, of: &str) -> String {
        format!(
            "
apiVersion: rollout.sealos.io/v1alpha1
kind: GradualRollout
metadata: {{name: {name}}}
spec:
  components:
  - {{name: shop, routers: [{{istio: {{virtualServices: [{{name: {name}}}], canary: {{host: shop, subset: v2}}, control: {{host: shop, subset: v1}}}}}}]}}
  steps:
  - {{weight: 5%, hold: 1h}}
  - {{weight: 25%, hold: 1h, requires: [{{rollout: {{name: {of}, is: Completed}}}}]}}
"
        )
    }

    fn told(files: &[String]) -> Vec<Checked> {
        let each = files.iter().enumerate();
        let mut checked: Vec<Checked> = each
            .map(|(i, text)| check(format!("{i}.yaml"), text, &[]))
            .collect();
        waiting_in_a_circle(&mut checked);
        checked
    }

    #[test]
    fn rollouts_of_two_files_or_of_one_that_wait_for_each_other_are_refused_each_at_its_gate() {
        let (first, second) = (rollout("first", "second"), rollout("second", "first"));
        for files in [
            vec![first.clone(), second.clone()],
            vec![format!("{first}---{second}")],
        ] {
            let told = told(&files);
            assert!(told.iter().all(|file| file.rollouts.is_empty()), "{told:?}");
            let sentences: Vec<&str> = told
                .iter()
                .flat_map(|file| &file.problems)
                .map(|problem| problem.sentence.as_str())
                .collect();
            assert_eq!(sentences.len(), 2, "{sentences:?}");
            for says in &sentences {
                let line = if says.starts_with("0.yaml:10:") || says.starts_with("1.yaml:10:") {
                    10
                } else {
                    20
                };
                assert!(says.contains(&format!(":{line}:")), "{says}");
                for part in [
                    "spec.steps[1].requires: these rollouts wait for each other",
                    "default/first before steps at 25% requires rollout second to be completed",
                    "default/second before steps at 25% requires rollout first to be completed",
                ] {
                    assert!(says.contains(part), "{part}: {says}");
                }
            }
        }
    }

    #[test]
    fn one_of_the_two_alone_or_one_that_goes_after_a_rollout_that_waits_for_nobody_is_valid() {
        let alone = told(&[rollout("first", "second")]);
        assert!(alone[0].problems.is_empty(), "{alone:?}");
        let chain = told(&[rollout("first", "second"), rollout("second", "third")]);
        assert!(chain.iter().all(|file| file.problems.is_empty()), "{chain:?}");
    }
}
