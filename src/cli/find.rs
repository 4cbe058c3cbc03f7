//! Which rollout has the component?

use super::exit::Failure;
use super::meaning::{Ask, Whom};
use super::suggest::closest;
use crate::rollout::spec::GradualRollout;
use std::collections::BTreeSet;

/// A rollout that a command is given to, and for which of its components.
#[derive(Clone, Debug)]
pub(super) struct Addressee {
    /// The rollout as it was read.
    pub rollout: GradualRollout,
    /// The names.
    pub components: Vec<String>,
    /// Whether that is every one it has.
    pub all: bool,
}

impl Addressee {
    /// The rollout's name.
    #[cfg(test)]
    fn name(&self) -> &str {
        self.rollout.metadata.name.as_deref().unwrap_or_default()
    }
}

/// The names of a rollout's components: the spec's, and those that were removed from it and still have traffic.
pub(super) fn components(rollout: &GradualRollout) -> Vec<String> {
    let mut names: Vec<String> = rollout.spec.components.iter().map(|c| c.name.clone()).collect();
    for status in rollout.status.iter().flat_map(|s| &s.components) {
        if !names.contains(&status.name) {
            names.push(status.name.clone());
        }
    }
    names
}

/// Finds who is meant among the rollouts of a namespace.
pub(super) fn addressees(
    rollouts: Vec<GradualRollout>,
    ask: &Ask,
    namespace: &str,
) -> Result<Vec<Addressee>, Failure> {
    let meant: Vec<GradualRollout> = match &ask.rollout {
        None => rollouts,
        Some(name) => {
            let known: Vec<String> = rollouts.iter().filter_map(|r| r.metadata.name.clone()).collect();
            let meant: Vec<_> = rollouts
                .into_iter()
                .filter(|r| r.metadata.name.as_ref() == Some(name))
                .collect();
            if meant.is_empty() {
                let there = if known.is_empty() {
                    "there is none".to_owned()
                } else {
                    known.join(", ")
                };
                return Err(Failure::refused(format!(
                    "no rollout {name:?} in {namespace}: {there}"
                )));
            }
            meant
        }
    };
    let lowers = ask.verb.only_lowers();
    let Whom::Named(names) = &ask.whom else {
        if meant.is_empty() && lowers {
            return Err(Failure::refused(format!(
                "there is no GradualRollout in the namespace {namespace}: name another with -n"
            )));
        }
        if meant.is_empty() {
            return Err(Failure::refused(format!(
                "there is no GradualRollout in the namespace {namespace}; name another with -n, or apply one such as\n\n{}",
                example("terminal", namespace)
            )));
        }
        if ask.verb == crate::rollout::command::Verb::Approve && meant.len() > 1 {
            let there: Vec<&str> = meant.iter().filter_map(|r| r.metadata.name.as_deref()).collect();
            return Err(Failure::refused(format!(
                "which rollout's gate? Say --rollout NAME: {}",
                there.join(", ")
            )));
        }
        return Ok(meant
            .into_iter()
            .map(|rollout| Addressee {
                components: components(&rollout),
                rollout,
                all: true,
            })
            .collect());
    };
    let mut chosen: BTreeSet<usize> = BTreeSet::new();
    for name in names {
        let having: Vec<(usize, &GradualRollout)> = meant
            .iter()
            .enumerate()
            .filter(|(_, r)| components(r).contains(name))
            .collect();
        match having.as_slice() {
            [(index, _)] => {
                chosen.insert(*index);
            }
            [] => return Err(unknown(name, &meant, namespace, !lowers)),
            several => {
                let there: Vec<&str> = several
                    .iter()
                    .filter_map(|(_, r)| r.metadata.name.as_deref())
                    .collect();
                return Err(Failure::refused(format!(
                    "{name:?} is a component of several rollouts: say --rollout NAME: {}",
                    there.join(", ")
                )));
            }
        }
    }
    Ok(meant
        .into_iter()
        .enumerate()
        .filter(|(index, _)| chosen.contains(index))
        .map(|(_, rollout)| {
            let own = components(&rollout);
            let components: Vec<String> = names.iter().filter(|n| own.contains(n)).cloned().collect();
            Addressee {
                all: components.len() == own.len(),
                components,
                rollout,
            }
        })
        .collect())
}

/// The one rollout of a namespace that has the component.
pub(super) fn one(
    rollouts: Vec<GradualRollout>,
    rollout: Option<&str>,
    component: &str,
    namespace: &str,
) -> Result<GradualRollout, Failure> {
    let known = rollouts.iter().filter_map(|r| r.metadata.name.clone());
    let known: Vec<String> = known.collect();
    let named = |r: &GradualRollout| rollout.is_none_or(|name| r.metadata.name.as_deref() == Some(name));
    let meant: Vec<GradualRollout> = rollouts.into_iter().filter(named).collect();
    if let (true, Some(name)) = (meant.is_empty(), rollout) {
        let there = if known.is_empty() {
            "there is none".to_owned()
        } else {
            known.join(", ")
        };
        return Err(Failure::refused(format!(
            "no rollout {name:?} in {namespace}: {there}"
        )));
    }
    let mut having = meant
        .iter()
        .filter(|r| components(r).iter().any(|c| c == component));
    match (having.next(), having.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => Err(unknown(component, &meant, namespace, true)),
        (Some(_), Some(_)) => Err(Failure::refused(format!(
            "{component:?} is a component of several rollouts: say --rollout NAME: {}",
            known.join(", ")
        ))),
    }
}

/// `offers`: something to begin with, which is of no use to whoever wants traffic back.
fn unknown(name: &str, rollouts: &[GradualRollout], namespace: &str, offers: bool) -> Failure {
    let known: BTreeSet<String> = rollouts.iter().flat_map(components).collect();
    let hint = closest(name, known.iter().map(String::as_str))
        .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
    if known.is_empty() || hint.is_empty() {
        let there = if known.is_empty() {
            String::new()
        } else {
            format!(
                " (there are {})",
                known.into_iter().collect::<Vec<_>>().join(", ")
            )
        };
        if !offers {
            return Failure::refused(format!(
                "no rollout in {namespace} has a component {name:?}{there}: correct it, or name another namespace with -n"
            ));
        }
        return Failure::refused(format!(
            "no rollout in {namespace} has a component {name:?}{there}. To make one, adapt and apply:\n\n{}",
            example(name, namespace)
        ));
    }
    Failure::refused(format!(
        "no rollout in {namespace} has a component {name:?}{hint}"
    ))
}

/// A rollout to begin with, that `validate` accepts as it stands.
pub(super) fn example(component: &str, namespace: &str) -> String {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = !component.is_empty() && component.len() <= 40 && component.chars().all(legal);
    let component = if fits { component } else { "shop" };
    format!(
        "\
apiVersion: rollout.sealos.io/v1alpha1
kind: GradualRollout
metadata: {{name: {component}, namespace: {namespace}}}
spec:
  components:
  - name: {component}
    routers:
    - istio:
        virtualServices: [{{name: {component}}}]
        canary: {{host: {component}, subset: canary}}
        control: {{host: {component}, subset: control}}
    arms:
      canary: {{preset: istio, labels: {{destination_service_name: {component}, destination_version: canary}}}}
      control: {{preset: istio, labels: {{destination_service_name: {component}, destination_version: control}}}}
  steps:
  - {{weight: 5%, hold: 1d}}
  - {{weight: 25%, hold: 1d}}
  - {{weight: 50%, hold: 1d}}
  - {{weight: 75%, hold: 1d}}
  - {{weight: 100%, hold: 1d}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Raw;
    use crate::cli::exit::Exit;
    use crate::cli::manifest::{self, Manifest};
    use clap::Parser as _;

    fn rollout(name: &str, component: &str) -> GradualRollout {
        let mut read = manifest::read("example", &example(component, "sealos-system"));
        let Some(Manifest::Rollout(mut rollout, _)) = read.pop() else {
            panic!("{read:?}")
        };
        rollout.metadata.name = Some(name.to_owned());
        *rollout
    }

    fn found(rollouts: Vec<GradualRollout>, line: &str) -> Result<Vec<(String, Vec<String>)>, Failure> {
        let raw = Raw::try_parse_from(line.split(' ')).unwrap();
        let ask = match raw.verb {
            Some(verb) => Ask::verb(verb),
            None => Ask::classic(raw.classic),
        };
        let ask = ask.unwrap().unwrap();
        let found = addressees(rollouts, &ask, "sealos-system")?;
        Ok(found
            .into_iter()
            .map(|a| (a.name().to_owned(), a.components))
            .collect())
    }

    #[test]
    fn the_example_that_is_offered_is_valid_as_it_stands() {
        for name in ["terminal", "Not A Name"] {
            assert!(matches!(
                manifest::read("example", &example(name, "sealos-system")).as_slice(),
                [Manifest::Rollout(..)]
            ));
        }
    }

    #[test]
    fn a_component_is_found_wherever_it_is() {
        let all = || vec![rollout("one", "terminal"), rollout("two", "adminer")];
        let one = found(all(), "x -p 5 -c adminer").unwrap();
        assert_eq!(one, [("two".to_owned(), vec!["adminer".to_owned()])]);
        assert_eq!(found(all(), "x rollback --all-components").unwrap().len(), 2);
        assert_eq!(
            found(all(), "x rollback --all-components --rollout two")
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn a_component_that_nobody_or_more_than_one_has_is_refused_with_the_way_out() {
        let refused = found(vec![rollout("one", "terminal")], "x -p 5 -c shop").unwrap_err();
        assert_eq!(refused.exit, Exit::Refused);
        assert!(refused.message.contains("kind: GradualRollout"), "{refused}");
        let near = found(vec![rollout("one", "terminal")], "x -p 5 -c termnal").unwrap_err();
        assert!(near.message.contains("did you mean \"terminal\""), "{near}");
        for line in [
            "x rollback shop",
            "x pause shop",
            "x emergency-rollback --reason y -c shop",
        ] {
            let refused = found(vec![rollout("one", "terminal")], line).unwrap_err();
            assert!(refused.message.contains("there are terminal"), "{refused}");
            assert!(
                !refused.message.contains("kind:"),
                "no lesson in an emergency: {refused}"
            );
        }
        let nothing = found(vec![], "x emergency-rollback --reason y").unwrap_err();
        assert!(!nothing.message.contains("kind:"), "{nothing}");
        let both = vec![rollout("one", "terminal"), rollout("two", "terminal")];
        let refused = found(both.clone(), "x -p 5 -c terminal").unwrap_err();
        assert!(refused.message.contains("--rollout NAME: one, two"), "{refused}");
        assert_eq!(
            found(both.clone(), "x -p 5 -c terminal --rollout two")
                .unwrap()
                .len(),
            1
        );
        assert!(
            found(both, "x approve")
                .unwrap_err()
                .message
                .contains("which rollout")
        );
        assert!(found(vec![], "x rollback --all-components").is_err());
    }
}
