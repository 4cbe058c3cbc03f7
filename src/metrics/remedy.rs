//! What to say when an arm's labels match nothing: only the ask knows what was asked for.

use super::ask::Ask;
use super::matcher::Matcher;
use super::preset::Facts;
use crate::rollout::sample::{Blindness, Dark, Reading};
use crate::rollout::spec::ArmSource;

/// A status holds sentences, not pages.
const LONGEST: usize = 120;

/// The same reading; when no series of either arm was ever found, or what was found cannot be counted, with a sentence
/// that names what was asked for.
pub(crate) fn name_what_is_missing(ask: &Ask, reading: Reading) -> Reading {
    match reading {
        Reading::Blind(Blindness {
            kind: Dark::Empty, ..
        }) => Reading::Blind(Blindness {
            kind: Dark::Empty,
            message: nothing_matches(ask),
        }),
        Reading::Blind(Blindness {
            kind: kind @ (Dark::NotANumber | Dark::Vanished),
            message,
        }) => Reading::Blind(Blindness {
            kind,
            message: format!("{message}. Asked for: {}", asked_for(ask)),
        }),
        other @ (Reading::Fresh(_) | Reading::Waiting | Reading::Blind(_)) => other,
    }
}

fn nothing_matches(ask: &Ask) -> String {
    format!(
        "the source has no series for {}: compare the labels in spec.components[].arms with what the exporter serves, \
         and see that Prometheus scrapes it",
        asked_for(ask)
    )
}

/// Both arms, as they are asked for.
pub(crate) fn asked_for(ask: &Ask) -> String {
    let asked: Vec<String> = ask
        .sides()
        .map(|(side, source)| format!("{side} {}", selector(source)))
        .collect();
    asked.join(" or ")
}

/// `istio_requests_total{destination_version="v2"}`: what an arm is counted by.
pub(crate) fn series(source: &ArmSource) -> String {
    let matchers: Vec<String> = source
        .labels
        .iter()
        .filter_map(|(label, value)| Matcher::parse(label, value).ok())
        .map(|matcher| matcher.to_string())
        .collect();
    format!("{}{{{}}}", Facts::of(source).requests, matchers.join(", "))
}

/// The same, cut to what a sentence can hold.
fn selector(source: &ArmSource) -> String {
    let text = series(source);
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::spec::{Arms, Preset, Traffic};

    #[test]
    fn both_arms_are_named_by_what_was_asked_for_and_cut_to_a_sentence() {
        let source = |service: &str| ArmSource {
            preset: Preset::Traefik,
            labels: [("service".to_owned(), service.to_owned())].into(),
            latency_labels: std::collections::BTreeMap::new(),
            metrics: None,
        };
        let ask = Ask {
            rollout: "ns/shop".to_owned(),
            component: "shop".to_owned(),
            arms: Arms {
                canary: source("~shop-v2-.*"),
                control: Some(source(&"long".repeat(60))),
            },
            traffic: Traffic::Requests,
            wants_latency: false,
            wants_history: false,
        };
        let dark = |kind| {
            Reading::Blind(Blindness {
                kind,
                message: "dark".to_owned(),
            })
        };
        let Reading::Blind(Blindness { message, .. }) = name_what_is_missing(&ask, dark(Dark::Empty)) else {
            panic!("dark");
        };
        let wanted = r#"no series for canary traefik_service_requests_total{service=~"shop-v2-.*"} or control traefik"#;
        assert!(message.contains(wanted), "{message}");
        assert!(message.contains('…') && message.len() < 500, "{message}");
        assert_eq!(name_what_is_missing(&ask, dark(Dark::Down)), dark(Dark::Down));
        for kind in [Dark::NotANumber, Dark::Vanished] {
            let Reading::Blind(told) = name_what_is_missing(&ask, dark(kind)) else {
                panic!("dark");
            };
            assert_eq!(told.kind, kind);
            let begins =
                r#"dark. Asked for: canary traefik_service_requests_total{service=~"shop-v2-.*"} or control"#;
            assert!(told.message.starts_with(begins), "{}", told.message);
        }
    }
}
