//! Nothing is handed out that `validate` would refuse: what it says of a component sends that one to those left out.

use crate::cli::exit::Failure;
use crate::cli::manifest::{self, Manifest, Problem};
use crate::routing::adopt::{Adopted, LeftOut, Quiet, Resource, Taken, arrange};
use std::collections::BTreeMap;

/// How components are put into resources.
pub(super) struct Shape<'a> {
    pub(super) most: usize,
    pub(super) base: Option<&'a str>,
    pub(super) quiet: Option<&'a Quiet>,
}

/// Arranges components, and takes out what the product's own validation refuses until nothing is.
pub(super) fn resources(
    adopted: &mut Adopted,
    shape: &Shape<'_>,
    taken: &Taken,
) -> Result<Vec<(Resource, String)>, Failure> {
    loop {
        let drafts = adopted.drafts.clone();
        let arranged = arrange(
            drafts,
            &adopted.left_out,
            shape.most,
            shape.base,
            shape.quiet,
            taken,
        );
        let mut refused: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut texts = Vec::new();
        for resource in arranged {
            let text = resource.yaml();
            for problem in problems(&text) {
                let draft = component(&problem.path).and_then(|at| resource.drafts.get(at));
                let Some(draft) = draft else {
                    return Err(Failure::internal(format!(
                        "the resource {}/{} would not be valid: {problem}; nothing was written",
                        resource.namespace, resource.name
                    )));
                };
                let key = (draft.namespace.clone(), draft.component.name.clone());
                refused.entry(key).or_insert(problem.message);
            }
            texts.push((resource, text));
        }
        if refused.is_empty() {
            return Ok(texts);
        }
        let drafts = std::mem::take(&mut adopted.drafts);
        for draft in drafts {
            match refused.get(&(draft.namespace.clone(), draft.component.name.clone())) {
                None => adopted.drafts.push(draft),
                Some(reason) => adopted
                    .left_out
                    .extend(draft.objects.into_iter().map(|object| LeftOut {
                        object,
                        reason: reason.clone(),
                    })),
            }
        }
        adopted.left_out.sort();
    }
}

fn problems(text: &str) -> Vec<Problem> {
    let broken = manifest::read("init", text)
        .into_iter()
        .filter_map(|manifest| match manifest {
            Manifest::Broken(problems) => Some(problems),
            Manifest::Rollout(..) | Manifest::Other(_) => None,
        });
    broken.flatten().collect()
}

/// The component's place in a path like `spec.components[3].routers`.
fn component(path: &str) -> Option<usize> {
    let rest = path.strip_prefix("spec.components[")?;
    rest.split(']').next()?.parse().ok()
}
