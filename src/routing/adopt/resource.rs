//! Components to resources: so many each, never over two namespaces, each with a name of its own.

use super::taken::label;
use super::{Draft, LeftOut, Taken, text};
use crate::rollout::spec::ArmSource;
use std::collections::{BTreeMap, BTreeSet};

/// The longest name that a resource's own is made of; a number follows.
const LONGEST: usize = 50;
/// The pool of a resource's quiet components.
const POOL: &str = "quiet";

/// Which components have too few requests to be judged alone.
#[derive(Clone, Debug, Default)]
pub struct Quiet {
    /// Fewer requests per second than this are few.
    pub below: f64,
    /// Requests per second, by namespace and component; `None` where no series was found.
    pub rates: BTreeMap<(String, String), Option<f64>>,
}

/// A resource that can be written.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its namespace, and that of all its objects.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its components.
    pub drafts: Vec<Draft>,
    /// What is said at its end: objects that became no component.
    pub left_out: Vec<LeftOut>,
}

impl Resource {
    /// The resource as text, with comments. The same bytes for the same objects.
    pub fn yaml(&self) -> String {
        text::yaml(self)
    }
}

/// Resources, by namespace and name.
pub type Arranged = Vec<Resource>;

/// Puts components into resources of at most `most`, named `BASE-1`, `BASE-2`, … past what is there already; the base
/// is the namespace where none is given. What was left out stands at the end of the last resource of its namespace,
/// or of the last one of all where its namespace has none.
pub fn arrange(
    drafts: Vec<Draft>,
    left_out: &[LeftOut],
    most: usize,
    base: Option<&str>,
    quiet: Option<&Quiet>,
    taken: &Taken,
) -> Arranged {
    let mut by_namespace: BTreeMap<String, Vec<Draft>> = BTreeMap::new();
    for draft in drafts {
        by_namespace
            .entry(draft.namespace.clone())
            .or_default()
            .push(draft);
    }
    let mut resources = Vec::new();
    for (namespace, drafts) in by_namespace {
        let base = label(base.unwrap_or(&namespace), LONGEST);
        let mut names = (1..).map(|n: u32| format!("{base}-{n}"));
        let mut drafts = drafts.into_iter().peekable();
        while drafts.peek().is_some() {
            let mut some: Vec<Draft> = drafts.by_ref().take(most.max(1)).collect();
            if let Some(quiet) = quiet {
                pool(&mut some, quiet);
            }
            let name = names.by_ref().find(|name| !taken.has_resource(&namespace, name));
            resources.push(Resource {
                namespace: namespace.clone(),
                name: name.unwrap_or_else(|| base.clone()),
                drafts: some,
                left_out: Vec::new(),
            });
        }
    }
    for one in left_out {
        let own = resources
            .iter()
            .rposition(|r| r.namespace == one.object.namespace);
        let at = own.or_else(|| resources.len().checked_sub(1));
        if let Some(resource) = at.and_then(|at| resources.get_mut(at)) {
            resource.left_out.push(one.clone());
        }
    }
    resources
}

/// Quiet components of a resource share their samples, as far as they are alike.
fn pool(drafts: &mut [Draft], quiet: &Quiet) {
    let mut first: Option<(ArmSource, String)> = None;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for draft in drafts {
        let key = (draft.namespace.clone(), draft.component.name.clone());
        let note = match quiet.rates.get(&key) {
            None => continue,
            Some(None) => {
                "Not pooled: Prometheus has no series of it in the last 5 minutes, so how much traffic it has is not known. `gradual-rollout checks test` says which label is to blame."
                    .to_owned()
            }
            Some(Some(rate)) if *rate >= quiet.below => continue,
            Some(Some(rate)) => {
                let Some(arms) = &draft.component.arms else { continue };
                // Members are told apart by their series, or they would be counted twice.
                let canary = format!("{:?}", arms.canary);
                match &first {
                    Some((alike, name)) if alike.preset != arms.canary.preset => format!(
                        "Quiet ({}), and not pooled: {name} is measured in another way.",
                        per_second(*rate)
                    ),
                    Some(_) if seen.contains(&canary) => format!(
                        "Quiet ({}), and not pooled: another component is counted by the same series.",
                        per_second(*rate)
                    ),
                    Some(_) | None => {
                        first.get_or_insert_with(|| (arms.canary.clone(), draft.component.name.clone()));
                        seen.insert(canary);
                        draft.component.pool = Some(POOL.to_owned());
                        format!(
                            "Quiet: {} now, fewer than {}. Its pool's samples count for its promotion.",
                            per_second(*rate),
                            per_second(quiet.below)
                        )
                    }
                }
            }
        };
        draft.notes.push(note);
    }
}

/// Requests per second, for people.
fn per_second(rate: f64) -> String {
    let text = format!("{rate:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "0" && rate > 0.0 {
        return "less than 0.001 rps".to_owned();
    }
    format!("{text} rps")
}
