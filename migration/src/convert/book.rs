//! Everything that is told, by Ingress, while the conversion goes on.

use super::options::Options;
use crate::input::{Ingress, Key};
use crate::report::{Code, Entry, IngressResult, Outcome, PathResult, Severity};
use std::collections::{BTreeMap, BTreeSet};

/// A path's result, and its place in the order of the Ingress.
type Placed = (PathResult, (usize, usize));

/// The notes.
pub(super) struct Book<'a> {
    accept: &'a BTreeSet<Code>,
    accepted: &'a BTreeMap<Key, BTreeSet<Code>>,
    entries: BTreeMap<Key, Vec<Entry>>,
    paths: BTreeMap<Key, BTreeMap<String, Placed>>,
}

impl<'a> Book<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        Self {
            accept: &options.accept,
            accepted: &options.accepted,
            entries: BTreeMap::new(),
            paths: BTreeMap::new(),
        }
    }

    /// Whether a code refuses nothing of an Ingress, because the operator said so, of all or of this one, and there is
    /// something to write without it.
    pub(super) fn accepts(&self, ingress: Option<&Key>, code: Code) -> bool {
        let of_it = ingress.and_then(|key| self.accepted.get(key));
        code.explanation().acceptable
            && (self.accept.contains(&code) || of_it.is_some_and(|codes| codes.contains(&code)))
    }

    /// Takes a finding, and says whether it refuses.
    pub(super) fn note(&mut self, ingress: &Ingress, entry: Entry) -> bool {
        let entry = self.judged(Some(&ingress.meta.key()), entry);
        let refuses = entry.refuses();
        let entries = self.entries.entry(ingress.meta.key()).or_default();
        if !entries.contains(&entry) {
            entries.push(entry);
        }
        refuses
    }

    /// A finding in the light of the accept list.
    pub(super) fn judged(&self, ingress: Option<&Key>, mut entry: Entry) -> Entry {
        if entry.outcome == Outcome::Refused && self.accepts(ingress, entry.code) {
            entry.accepted = true;
            entry.outcome = Outcome::Dropped;
        }
        entry
    }

    /// Takes what became of a path. The first word counts: a path has one result.
    pub(super) fn path(&mut self, ingress: &Ingress, at: (usize, usize), result: PathResult) {
        let paths = self.paths.entry(ingress.meta.key()).or_default();
        paths.entry(result.field.clone()).or_insert((result, at));
    }

    /// Corrects paths whose `VirtualService` is not written after all: those of canaries on paths that get no request.
    pub(super) fn settle(&mut self, written: &BTreeSet<String>) {
        for (ingress, paths) in &mut self.paths {
            for (path, _) in paths.values_mut() {
                if path
                    .virtual_service
                    .take_if(|key| !written.contains(key))
                    .is_some()
                {
                    path.outcome = Outcome::Dropped;
                    path.codes.push(Code::CanaryUnmatched);
                    let entry = Entry::new(Code::CanaryUnmatched, path.field.clone(), path.path.clone());
                    let entry = entry.with("the path that it splits gets no request");
                    self.entries.entry(ingress.clone()).or_default().push(entry);
                }
            }
        }
    }

    /// Whether a path has a result.
    pub(super) fn has_path(&self, ingress: &Ingress, field: &str) -> bool {
        self.paths
            .get(&ingress.meta.key())
            .is_some_and(|paths| paths.contains_key(field))
    }

    /// The results of every Ingress.
    pub(super) fn finish<'i>(mut self, ingresses: impl Iterator<Item = &'i Ingress>) -> Vec<IngressResult> {
        ingresses
            .map(|ingress| {
                let key = ingress.meta.key();
                let mut entries = self.entries.remove(&key).unwrap_or_default();
                entries.sort();
                let mut paths: Vec<_> = self
                    .paths
                    .remove(&key)
                    .unwrap_or_default()
                    .into_values()
                    .collect();
                paths.sort_by_key(|(_, at)| *at);
                let mut paths: Vec<PathResult> = paths.into_iter().map(|(path, _)| path).collect();
                for path in &mut paths {
                    soften(path, &entries);
                }
                let outcome = overall(&paths, &entries);
                IngressResult {
                    namespace: key.0,
                    name: key.1,
                    origin: ingress.origin.clone(),
                    outcome,
                    entries,
                    paths,
                }
            })
            .collect()
    }
}

/// What became of an Ingress: the worst of its paths, and dropped only where nothing of it is served.
fn overall(paths: &[PathResult], entries: &[Entry]) -> Outcome {
    let any = |outcome: Outcome| paths.iter().any(|path| path.outcome == outcome);
    if any(Outcome::Refused) || entries.iter().any(Entry::refuses) {
        return Outcome::Refused;
    }
    if paths.iter().all(|path| path.outcome == Outcome::Dropped) {
        return Outcome::Dropped;
    }
    if any(Outcome::Dropped) || any(Outcome::Approximated) {
        return Outcome::Approximated;
    }
    Outcome::Converted
}

/// A path that is served is only converted where nothing about its Ingress is noticeably different.
fn soften(path: &mut PathResult, entries: &[Entry]) {
    if path.outcome != Outcome::Converted {
        return;
    }
    let different = |entry: &&Entry| {
        // A field of a rule speaks of that path alone.
        let mine = !entry.field.starts_with("spec.rules[") || entry.field == path.field;
        let lost =
            entry.outcome == Outcome::Dropped && (entry.severity >= Severity::Medium || entry.accepted);
        mine && (entry.outcome == Outcome::Approximated || lost)
    };
    let codes: BTreeSet<Code> = entries.iter().filter(different).map(|entry| entry.code).collect();
    if !codes.is_empty() {
        path.outcome = Outcome::Approximated;
        path.codes = codes.into_iter().collect();
    }
}
