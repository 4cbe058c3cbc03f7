//! Every code has an input that makes it, and is told for it.

mod gateway_api;
mod guarding;
mod keeping;
mod reading;
mod serving;

use crate::given::{Done, Ingress, convert_all, convert_with};
use gradual_rollout_migration::convert::Options;
use gradual_rollout_migration::report::CODES;
use serde_json::Value;
use std::collections::BTreeSet;

/// What is told, and for what.
type Case = (&'static str, Done);

/// Told of whatever is converted where nothing is known of the controller.
const ALWAYS: &[&str] = &[
    "BODY-LIMIT-DEFAULT",
    "CATCH-ALL-STATUS",
    "CONTROLLER-DEFAULTS",
    "FORWARDED-HEADERS",
    "MERGE-SLASHES",
    "RETRY-DEFAULT",
    "SSL-REDIRECT-SLASH",
    "TLS-WITHOUT-CERTIFICATE",
    "UNDERSCORE-HEADERS",
];

/// An Ingress that nothing is special about.
fn plain() -> Ingress {
    Ingress::new("a/x").path("a.com", "Prefix", "/", "s")
}

/// The same with annotations.
fn noted(notes: &[(&str, &str)]) -> Ingress {
    notes
        .iter()
        .fold(plain(), |ingress, (name, value)| ingress.note(name, value))
}

/// What becomes of it.
fn by(notes: &[(&str, &str)]) -> Done {
    convert_all(&[noted(notes)])
}

fn flags(words: &[&str]) -> Options {
    Options {
        controller_flags: words.iter().map(|word| (*word).to_owned()).collect(),
        ..Options::default()
    }
}

fn with(ingresses: &[Ingress], more: &[Value]) -> Done {
    convert_with(ingresses, more, &Options::default())
}

/// A canary of the plain one.
fn canary(notes: &[(&str, &str)]) -> Ingress {
    let canary = Ingress::new("a/canary").note("canary", "true");
    let canary = notes
        .iter()
        .fold(canary, |ingress, (name, value)| ingress.note(name, value));
    canary.path("a.com", "Prefix", "/", "c")
}

fn told(done: &Done) -> BTreeSet<&'static str> {
    let report = &done.conversion.report;
    let of_ingresses = report.ingresses.iter().flat_map(|ingress| &ingress.entries);
    let of_input = report.input.iter().map(|input| &input.entry);
    of_ingresses
        .chain(of_input)
        .chain(&report.controller)
        .map(|entry| entry.code.text())
        .collect()
}

#[test]
fn every_code_has_an_input_that_makes_it_and_is_told_for_it() {
    let cases: Vec<Case> = [
        reading::cases(),
        serving::cases(),
        keeping::cases(),
        gateway_api::cases(),
        guarding::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (mut silent, mut held) = (Vec::new(), BTreeSet::new());
    for (code, done) in &cases {
        held.insert(*code);
        let told = told(done);
        if !told.contains(code) {
            silent.push(format!("{code}: only {told:?}"));
        }
    }
    assert_eq!(silent, [""; 0], "not told");
    let known: BTreeSet<&str> = CODES.iter().map(|known| known.code.text()).collect();
    let without: Vec<_> = known.difference(&held).collect();
    assert_eq!(without, [&""; 0], "codes that no input here makes");
    let unknown: Vec<_> = held.difference(&known).collect();
    assert_eq!(unknown, [&""; 0], "codes that are none");
    // What is told of everything is no proof of anything.
    assert_eq!(told(&convert_all(&[plain()])), ALWAYS.iter().copied().collect());
}
