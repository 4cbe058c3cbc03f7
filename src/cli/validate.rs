//! `validate FILE…`: is this a plan that can be applied?

mod circle;

use super::args::Output;
use super::exit::{Exit, Failure};
use super::manifest::{self, Manifest, Problem};
use super::{output, table, yaml};
use crate::rollout::plan::Plan;
use crate::routing::{ClaimKey, ObjectRef, Target, targets};
use circle::{Waits, waiting_in_a_circle, waits};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

/// Larger files are surely a mistake: the API server takes 1.5 MB.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a file, or the standard input for `-`.
pub(super) fn read_text(path: &Path) -> Result<(String, String), Failure> {
    let name = path.display().to_string();
    let (name, read) = if name == "-" {
        ("standard input".to_owned(), read_all(std::io::stdin()))
    } else {
        (name, std::fs::File::open(path).and_then(read_all))
    };
    match read {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(Failure::usage(format!("unable to read {name}: {error}"))),
    }
}

fn read_all(source: impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    source.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other(format!(
            "it has more than {MAX_BYTES} bytes"
        )));
    }
    Ok(text)
}

/// What was found in a file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    file: String,
    rollouts: Vec<Valid>,
    /// Kinds of objects that are not ours to check.
    #[serde(rename = "leftAlone")]
    others: Vec<String>,
    problems: Vec<Told>,
    /// What its rollouts write.
    #[serde(skip)]
    claims: Vec<Claimed>,
    /// Those of its rollouts that wait for others.
    #[serde(skip)]
    waits: Vec<Waits>,
}

/// A part of an object that one component of a rollout writes.
#[derive(Debug)]
struct Claimed {
    /// The rollout's namespace and name.
    rollout: (String, String),
    component: String,
    key: ClaimKey,
}

/// A rollout that can be applied.
#[derive(Debug, Serialize)]
struct Valid {
    #[serde(skip)]
    namespace: String,
    name: String,
    components: usize,
    phases: usize,
    /// The most that one component has.
    steps: usize,
}

/// A problem, with its place as far as known.
#[derive(Debug, Serialize)]
struct Told {
    line: Option<u64>,
    column: Option<u64>,
    path: String,
    message: String,
    #[serde(skip)]
    sentence: String,
}

impl From<Problem> for Told {
    fn from(problem: Problem) -> Self {
        Self {
            line: problem.place.map(|p| p.line),
            column: problem.place.map(|p| p.column),
            sentence: problem.to_string(),
            path: problem.path,
            message: problem.message,
        }
    }
}

/// All that is told about a text, as it goes to a terminal.
#[cfg(any(test, fuzzing))]
pub(super) fn told(name: &str, text: &str) -> String {
    let mut out = Vec::new();
    // Into memory it cannot fail.
    let _ = tell(&check(name.to_owned(), text, &objects(text)), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Checks every rollout of every file and tells all problems.
pub(super) fn run(files: &[PathBuf], form: Output, out: &mut dyn Write) -> Result<Exit, Failure> {
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|path| read_text(path))
        .collect::<Result<_, _>>()?;
    let objects: Vec<Value> = texts.iter().flat_map(|(_, text)| objects(text)).collect();
    let mut checked: Vec<Checked> = texts
        .into_iter()
        .map(|(name, text)| check(name, &text, &objects))
        .collect();
    claimed_twice(&mut checked);
    waiting_in_a_circle(&mut checked);
    let valid = checked.iter().all(|file| file.problems.is_empty());
    if matches!(form, Output::Json | Output::Yaml) {
        let told = serde_json::json!({"valid": valid, "files": checked});
        output::data(out, form, &told)?;
    } else {
        for file in &checked {
            tell(file, out)?;
        }
    }
    if valid {
        return Ok(Exit::Done);
    }
    Err(Failure::usage("not valid: correct what is named above"))
}

/// Whatever a file holds, lists taken apart.
fn objects(text: &str) -> Vec<Value> {
    let documents = yaml::read(text).unwrap_or_default();
    documents.into_iter().map(|document| document.value).collect()
}

/// Weights that the routed objects cannot say, as far as the files hold those objects.
fn too_fine(file: &str, plan: &Plan, namespace: &str, objects: &[Value]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for planned in &plan.components {
        let weights: Vec<_> = planned.steps.iter().map(|step| step.weight).collect();
        for target in targets(&planned.component, namespace) {
            let object = target.object();
            let says = |json: &Value, pointer: &str, wanted: &str| {
                json.pointer(pointer).and_then(Value::as_str) == Some(wanted)
            };
            let known = objects.iter().find(|json| {
                says(json, "/kind", object.kind.kind())
                    && says(json, "/metadata/name", &object.name)
                    && (json.pointer("/metadata/namespace").is_none()
                        || says(json, "/metadata/namespace", &object.namespace))
            });
            let errors = known
                .into_iter()
                .flat_map(|json| target.validate_object(json, &weights));
            for error in errors.filter(|error| error.category() == "TooFine") {
                problems.push(Problem {
                    file: file.to_owned(),
                    place: None,
                    path: format!("spec.components[{}].routers", planned.name()),
                    message: error.to_string(),
                });
            }
        }
    }
    problems
}

/// Of two rollouts that write one object the younger writes nothing, which nobody sees before both are applied. The same
/// rollout in two files is one rollout.
fn claimed_twice(checked: &mut [Checked]) {
    let mut by_object: BTreeMap<ObjectRef, Vec<(usize, &Claimed)>> = BTreeMap::new();
    for (file, claim) in checked
        .iter()
        .enumerate()
        .flat_map(|(at, file)| file.claims.iter().map(move |claim| (at, claim)))
    {
        let known = by_object.entry(claim.key.object.clone()).or_default();
        known.push((file, claim));
    }
    let mut found = Vec::new();
    for (object, claims) in &by_object {
        for (at, (file, claim)) in claims.iter().enumerate() {
            let first = claims
                .iter()
                .take(at)
                .find(|(_, other)| other.rollout != claim.rollout && other.key.overlaps(&claim.key));
            let Some((before, other)) = first else { continue };
            let where_else = checked.get(*before).map_or("", |file| file.file.as_str());
            let message = format!(
                "{object} is written by {} in {where_else}, too: of two rollouts the older has it, and the younger writes nothing; leave it to one of them",
                other.rollout.1
            );
            found.push((*file, claim.rollout.clone(), claim.component.clone(), message));
        }
    }
    for (at, (namespace, name), component, message) in found {
        let Some(file) = checked.get_mut(at) else { continue };
        file.rollouts
            .retain(|valid| (&valid.namespace, &valid.name) != (&namespace, &name));
        let path = format!("spec.components[{component}].routers");
        if file
            .problems
            .iter()
            .any(|p| p.path == path && p.message == message)
        {
            continue;
        }
        file.problems.push(Told::from(Problem {
            file: file.file.clone(),
            place: None,
            path,
            message,
        }));
    }
}

fn check(name: String, text: &str, objects: &[Value]) -> Checked {
    let mut checked = Checked {
        file: name.clone(),
        rollouts: Vec::new(),
        others: Vec::new(),
        problems: Vec::new(),
        claims: Vec::new(),
        waits: Vec::new(),
    };
    for manifest in manifest::read(&name, text) {
        match manifest {
            Manifest::Rollout(rollout, plan) => {
                let namespace = rollout.metadata.namespace.as_deref().unwrap_or_default();
                let wrong = too_fine(&name, &plan, namespace, objects);
                if !wrong.is_empty() {
                    checked.problems.extend(wrong.into_iter().map(Told::from));
                    continue;
                }
                let namespace = namespace.to_owned();
                let own = rollout.metadata.name.clone().unwrap_or_default();
                checked.waits.extend(waits(&rollout, &plan, text));
                for planned in &plan.components {
                    let keys = targets(&planned.component, &namespace);
                    let keys = keys.iter().flat_map(Target::claims);
                    checked.claims.extend(keys.map(|key| Claimed {
                        rollout: (namespace.clone(), own.clone()),
                        component: planned.name().to_owned(),
                        key,
                    }));
                }
                checked.rollouts.push(Valid {
                    namespace,
                    name: own,
                    components: plan.components.len(),
                    phases: plan.phases.len(),
                    steps: plan.components.iter().map(|c| c.steps.len()).max().unwrap_or(0),
                });
            }
            Manifest::Other(kind) => checked.others.push(kind),
            Manifest::Broken(problems) => checked.problems.extend(problems.into_iter().map(Told::from)),
        }
    }
    if checked.rollouts.is_empty() && checked.problems.is_empty() {
        checked.problems.push(Told::from(Problem {
            file: name,
            place: None,
            path: String::new(),
            message: "holds no GradualRollout".to_owned(),
        }));
    }
    checked
}

fn counted(n: usize, what: &str) -> String {
    let end = if n == 1 { "" } else { "s" };
    format!("{n} {what}{end}")
}

fn tell(file: &Checked, out: &mut dyn Write) -> Result<(), Failure> {
    let name = &file.file;
    let valid = file.rollouts.iter().map(|r| {
        format!(
            "{name}: {} is valid: {}, {}, up to {}",
            r.name,
            counted(r.components, "component"),
            counted(r.phases, "phase"),
            counted(r.steps, "step")
        )
    });
    let others = file
        .others
        .iter()
        .map(|kind| format!("{name}: {kind} left alone: only GradualRollouts are checked"));
    let problems = file.problems.iter().map(|p| p.sentence.clone());
    for line in valid.chain(others).chain(problems) {
        writeln!(out, "{}", table::plain(&line))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_read_no_further_than_files_are_long() {
        let error = read_all(std::io::repeat(b' ')).unwrap_err().to_string();
        assert!(error.contains("more than 4194304 bytes"), "{error}");
        assert_eq!(read_all(&b"kind: x"[..]).unwrap(), "kind: x");
    }

    #[test]
    fn what_a_file_says_does_not_drive_the_terminal() {
        let told = told(
            "a.yaml",
            "kind: \"Secr\\u001b[2Jet\"\n---\nkind: GradualRollout\n\"\\u009b2J\": 1\n",
        );
        assert!(told.contains("\\u{1b}"), "{told}");
        assert!(
            told.lines().all(|line| !line.chars().any(char::is_control)),
            "{told:?}"
        );
    }

    const PLAN: &str = "
apiVersion: rollout.sealos.io/v1alpha1
kind: GradualRollout
metadata: {name: third, namespace: apps}
spec:
  allowJump: true
  components:
  - {name: shop, routers: [{istio: {virtualServices: [{name: shop}], canary: {host: shop, subset: v2}, control: {host: shop, subset: v1}}}]}
  steps: [{weight: 0.1%, hold: 1m}, {weight: 5%, hold: 1m}]
";

    fn with(third: &str, namespace: &str) -> Checked {
        let route = format!(
            "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: {namespace}}}
spec:
  http:
  - {{route: [{{destination: {{host: shop, subset: v1}}, weight: 60}}, {{destination: {{host: shop, subset: v2}}, weight: 20}}{third}]}}
"
        );
        check("plan.yaml".to_owned(), PLAN, &objects(&route))
    }

    #[test]
    fn a_weight_that_the_pair_cannot_say_is_named_with_the_finest_where_the_route_is_among_the_files() {
        let third = ", {destination: {host: t}, weight: 20}";
        let told = with(third, "apps");
        let problems: Vec<&str> = told.problems.iter().map(|p| p.sentence.as_str()).collect();
        assert_eq!(problems.len(), 1, "{problems:?}");
        for part in [
            "spec.components[shop].routers",
            "virtualservice apps/shop",
            "0.1%",
            "2.5%",
        ] {
            assert!(problems[0].contains(part), "{part}: {problems:?}");
        }
        assert!(told.rollouts.is_empty());
        assert!(with("", "apps").problems.is_empty(), "alone its sum can grow");
        assert!(with(third, "elsewhere").problems.is_empty(), "another object");
    }
}
