//! The arms' requests with another idea of an error: the same counters, sorted anew.

use crate::metrics::Source;
use crate::metrics::ask::{Ask, Side};
use crate::metrics::counters::{Cursor, advance};
use crate::metrics::errors::ErrorRule;
use crate::metrics::preset::{Facts, Labels};
use crate::metrics::remedy::name_what_is_missing;
use crate::metrics::snapshot::{ArmSnapshot, Snapshot};
use crate::metrics::split::labels_of;
use crate::rollout::sample::{Blindness, Dark, Reading};
use crate::rollout::spec::{ArmSource, Errors};
use jiff::Timestamp;

/// The rule that a check writes.
pub fn rule(errors: &Errors) -> Result<ErrorRule, String> {
    ErrorRule::new(
        errors.codes.as_deref(),
        errors.grpc.as_deref(),
        errors.flags.as_deref(),
    )
    .map_err(|error| format!("errors.{error}"))
}

/// What happened since the cursor, errors being what `rule` says. Where the arms look at the same time with the same
/// ask, it is one question: see [`Source::look`].
pub async fn observe_errors(
    source: &Source,
    ask: &Ask,
    rule: &ErrorRule,
    cursor: &mut Cursor,
    now: Timestamp,
) -> Reading {
    match source.look(ask, now).await {
        Ok(snapshot) => count_errors(ask, rule, cursor, snapshot),
        Err(blindness) => name_what_is_missing(ask, Reading::Blind(blindness)),
    }
}

/// The same of a snapshot that was read already. Durations are the arms' own matter.
pub fn count_errors(ask: &Ask, rule: &ErrorRule, cursor: &mut Cursor, mut snapshot: Snapshot) -> Reading {
    let arms = [Some(&mut snapshot.canary), snapshot.control.as_mut()];
    for pod in arms.into_iter().flatten().flat_map(|arm| arm.pods.values_mut()) {
        pod.latency.clear();
    }
    match sort(ask, rule, snapshot) {
        Ok(snapshot) => name_what_is_missing(ask, advance(cursor, snapshot)),
        Err(blindness) => Reading::Blind(blindness),
    }
}

fn sort(ask: &Ask, rule: &ErrorRule, mut snapshot: Snapshot) -> Result<Snapshot, Blindness> {
    for (side, source) in ask.sides() {
        match (side, &mut snapshot.control) {
            (Side::Canary, _) => sort_arm(source, rule, &mut snapshot.canary)?,
            (Side::Control, Some(control)) => sort_arm(source, rule, control)?,
            (Side::Control, None) => {}
        }
    }
    Ok(snapshot)
}

fn sort_arm(source: &ArmSource, rule: &ErrorRule, arm: &mut ArmSnapshot) -> Result<(), Blindness> {
    let facts = &Facts::of(source);
    for pod in arm.pods.values_mut() {
        for (key, counter) in &mut pod.requests {
            let labels: Labels<'_> = labels_of(key);
            counter.error = rule.judge(facts, &labels).ok_or_else(|| Blindness {
                kind: Dark::Partial,
                message: format!(
                    "{} has a series whose labels do not tell whether it is an error ({rule}): keep its code, or name whole classes",
                    facts.requests
                ),
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Simulation;
    use crate::metrics::snapshot::{Counter, PodSnapshot};
    use crate::rollout::spec::{Arms, Preset, Traffic};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// 10 requests a second with each of these codes.
    #[derive(Debug)]
    struct Codes(Vec<&'static str>);

    impl Simulation for Codes {
        fn scrape(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
            let mut snapshot = Snapshot::empty(ask, at);
            let count = f64::from(i32::try_from(at.as_second()).unwrap()) * 10.0;
            let counter = |code: &&str| {
                let error = code.starts_with('5');
                (format!("status\u{1}{code}\u{2}"), Counter { count, error })
            };
            let pod = PodSnapshot {
                sampled_at: snapshot.at,
                requests: self.0.iter().map(counter).collect(),
                latency: BTreeMap::new(),
            };
            snapshot.canary.pods.insert("nginx".to_owned(), pod);
            Ok(snapshot)
        }
    }

    fn ask() -> Ask {
        Ask {
            rollout: "ns/shop".to_owned(),
            component: "shop".to_owned(),
            arms: Arms {
                canary: ArmSource {
                    preset: Preset::IngressNginx,
                    labels: [("host".to_owned(), "shop".to_owned())].into(),
                    latency_labels: BTreeMap::new(),
                    metrics: None,
                },
                control: None,
            },
            traffic: Traffic::Requests,
            wants_latency: false,
            wants_history: false,
        }
    }

    async fn counted(codes: &[&'static str], errors: &[&str]) -> Reading {
        let source = Source::Simulated(Arc::new(Codes(codes.to_vec())));
        let errors = Errors {
            codes: Some(errors.iter().map(|code| (*code).to_owned()).collect()),
            ..Errors::default()
        };
        let rule = rule(&errors).unwrap();
        let mut cursor = Cursor::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        observe_errors(&source, &ask(), &rule, &mut cursor, at(100)).await;
        observe_errors(&source, &ask(), &rule, &mut cursor, at(110)).await
    }

    #[tokio::test]
    async fn the_checks_own_rule_sorts_the_same_requests_anew() {
        let codes = ["200", "404", "499", "503"];
        for (rule, errors) in [
            (&["5xx"][..], 100),
            (&["5xx", "499"], 200),
            (&["4xx"], 200),
            (&["0"], 0),
        ] {
            let Reading::Fresh(tick) = counted(&codes, rule).await else {
                panic!("a tick");
            };
            let counts = tick.canary.counts().unwrap();
            assert_eq!((counts.requests, counts.errors), (400, errors), "{rule:?}");
        }
    }

    #[tokio::test]
    async fn series_that_are_missing_are_named_by_what_was_asked_for() {
        let nothing = Source::Simulated(Arc::new(Nothing));
        let rule = rule(&Errors {
            codes: Some(vec!["499".to_owned()]),
            ..Errors::default()
        })
        .unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let reading = observe_errors(&nothing, &ask(), &rule, &mut Cursor::default(), at(100)).await;
        assert!(
            matches!(&reading, Reading::Blind(b) if b.kind == Dark::Empty
                && b.message.contains("nginx_ingress_controller_requests{host=\"shop\"}")),
            "{reading:?}"
        );
    }

    /// A source that answers, and has no series.
    #[derive(Debug)]
    struct Nothing;

    impl Simulation for Nothing {
        fn scrape(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
            Ok(Snapshot::empty(ask, at))
        }
    }

    #[tokio::test]
    async fn a_class_that_the_rule_divides_is_never_taken_for_success() {
        let reading = counted(&["2xx", "4xx"], &["499"]).await;
        assert!(
            matches!(&reading, Reading::Blind(b) if b.kind == Dark::Partial && b.message.contains("name whole classes")),
            "{reading:?}"
        );
    }
}
