//! What a source is asked about one component.

use super::matcher::{Matcher, check_label};
use super::preset::Facts;
use super::snapshot::Snapshot;
use crate::rollout::plan::PlannedComponent;
use crate::rollout::spec::{ArmSource, Arms, Preset, Traffic};
use jiff::Timestamp;
use std::fmt;

/// What is asked of a source about one component.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The resource, as `namespace/name`. For messages.
    pub rollout: String,
    /// The component's name. For messages.
    pub component: String,
    /// Which series belong to which arm.
    pub arms: Arms,
    /// What kind of traffic it is: long-lived traffic has no latency to judge.
    pub traffic: Traffic,
    /// Whether any check looks at latency. Without one, no bucket is fetched.
    pub wants_latency: bool,
    /// Whether the same hour a day and a week ago is asked for too. Expensive: only where nearly all traffic is on
    /// the canary and control says nothing any more.
    pub wants_history: bool,
}

/// Which of the two paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The new path.
    Canary,
    /// The old path.
    Control,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Canary => "canary",
            Self::Control => "control",
        })
    }
}

/// A label matcher that cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct AskError {
    /// Which field, from the arms on: `arms.canary.labels.host`.
    pub path: String,
    /// What is wrong with it and what to write instead.
    pub message: String,
}

impl Ask {
    /// What is asked about a component of this rollout (`namespace/name`); `None` when it names no arms.
    pub fn of(rollout: &str, planned: &PlannedComponent, wants_history: bool) -> Option<Self> {
        Some(Self {
            rollout: rollout.to_owned(),
            component: planned.name().to_owned(),
            arms: planned.component.arms.clone()?,
            traffic: planned.traffic(),
            wants_latency: planned.traffic() != Traffic::LongLived,
            wants_history,
        })
    }

    /// The arms that are named, canary first.
    pub fn sides(&self) -> impl Iterator<Item = (Side, &ArmSource)> {
        let control = self.arms.control.as_ref().map(|source| (Side::Control, source));
        std::iter::once((Side::Canary, &self.arms.canary)).chain(control)
    }

    /// Whether buckets are fetched.
    pub fn latency(&self) -> bool {
        self.wants_latency && self.traffic == Traffic::Requests
    }

    /// Changes when other series are asked for, and stays the same from build to build: it is persisted.
    pub fn fingerprint(&self) -> String {
        // FNV-1a: the standard library's hasher may change between releases.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut feed = |text: &str| {
            for byte in text.bytes().chain([0xff]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for (side, source) in self.sides() {
            feed(&side.to_string());
            feed(Facts::of(source).requests);
            feed(&format!("{:?}", source.preset));
            if let Some(metrics) = &source.metrics {
                feed(&format!("{metrics:?}"));
            }
            for (label, value) in &source.labels {
                feed(label);
                feed(value);
            }
            for (label, value) in &source.latency_labels {
                feed(&format!("of durations: {label}"));
                feed(value);
            }
        }
        format!("{hash:016x}")
    }

    /// Refuses what no source can be asked.
    pub fn check(&self) -> Result<(), AskError> {
        match problems(&self.arms).into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }

    /// An answer in which no series was found: what a source fills in.
    pub fn unanswered(&self, at: Timestamp) -> Snapshot {
        Snapshot::empty(self, at)
    }
}

/// Everything that is wrong with the names and the label matchers of both arms, each with its path.
pub fn problems(arms: &Arms) -> Vec<AskError> {
    let control = arms.control.as_ref().map(|source| (Side::Control, source));
    let mut problems = Vec::new();
    for (side, source) in std::iter::once((Side::Canary, &arms.canary)).chain(control) {
        let mut problem = |field: String, message: String| {
            let path = format!("arms.{side}.{field}");
            problems.push(AskError { path, message });
        };
        for (field, message) in unnamed(source) {
            problem(field, message);
        }
        for (field, labels) in [
            ("labels", &source.labels),
            ("latencyLabels", &source.latency_labels),
        ] {
            for (label, value) in labels {
                if field == "labels" && *label == Facts::of(source).code {
                    problem(
                        format!("{field}.{label}"),
                        "says how a request ended, so an arm selected by it never shows what failed: leave it out, and say \
                         with errors: of a check which codes are errors"
                            .to_owned(),
                    );
                    continue;
                }
                let matcher = Matcher::parse(label, value);
                if let Err(message) = matcher.and_then(|matcher| matcher.check()) {
                    problem(format!("{field}.{label}"), message);
                }
            }
        }
    }
    problems
}

/// What is wrong with the names that an arm gives its exporter's metrics: fields and messages.
fn unnamed(source: &ArmSource) -> Vec<(String, String)> {
    let whole = |message: &str| vec![("metrics".to_owned(), message.to_owned())];
    let named = match (&source.metrics, source.preset) {
        (None, Preset::GatewayApi) => {
            return whole(
                "preset gatewayapi knows no names: give requests and code, and buckets with their unit",
            );
        }
        (None, _) => return Vec::new(),
        (Some(named), Preset::GatewayApi) => named,
        (Some(_), _) => {
            return whole("this preset has its own names: leave metrics out, or use preset gatewayapi");
        }
    };
    let mut found = Vec::new();
    let mut problem = |field: &str, message: String| found.push((format!("metrics.{field}"), message));
    let metrics = [
        ("requests", Some(&named.requests)),
        ("buckets", named.buckets.as_ref()),
    ];
    for (field, name) in metrics
        .into_iter()
        .filter_map(|(field, name)| Some((field, name?)))
    {
        if !is_metric(name) {
            problem(
                field,
                format!("{name:?} is not a metric's name: letters, digits, underscores and colons"),
            );
        }
    }
    let labels = [
        ("code", Some(&named.code)),
        ("grpcStatus", named.grpc_status.as_ref()),
        ("flags", named.flags.as_ref()),
    ];
    for (field, label) in labels
        .into_iter()
        .filter_map(|(field, label)| Some((field, label?)))
    {
        if let Err(message) = check_label(label) {
            problem(field, message);
        }
    }
    match (&named.buckets, named.unit) {
        (Some(_), None) => problem(
            "unit",
            "say ms or s: durations without a unit mean nothing".to_owned(),
        ),
        (None, Some(_)) => problem(
            "buckets",
            "name what has this unit, or leave the unit out".to_owned(),
        ),
        (Some(_), Some(_)) | (None, None) => {}
    }
    if let Some(buckets) = &named.buckets
        && ["_sum", "_count"].iter().any(|end| buckets.ends_with(end))
    {
        problem(
            "buckets",
            format!("{buckets:?} is another part of a histogram: name its buckets, which end in _bucket"),
        );
    }
    found
}

fn is_metric(name: &str) -> bool {
    let mut chars = name.chars();
    let letter = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':');
    chars.next().is_some_and(letter) && chars.all(|c| letter(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::spec::{ArmMetrics, Unit};

    fn arms(preset: Preset, metrics: Option<ArmMetrics>) -> Arms {
        let labels = [("backend".to_owned(), "v2".to_owned())].into();
        Arms {
            canary: ArmSource {
                preset,
                labels,
                latency_labels: std::collections::BTreeMap::new(),
                metrics,
            },
            control: None,
        }
    }

    fn named() -> ArmMetrics {
        ArmMetrics {
            requests: "gateway_requests_total".to_owned(),
            code: "code".to_owned(),
            buckets: Some("gateway_seconds_bucket".to_owned()),
            unit: Some(Unit::Seconds),
            grpc_status: None,
            flags: None,
        }
    }

    fn only(arms: &Arms) -> String {
        let problems: Vec<String> = problems(arms).iter().map(ToString::to_string).collect();
        problems.join("; ")
    }

    #[test]
    fn names_go_with_the_preset_that_has_none_of_its_own() {
        assert_eq!(only(&arms(Preset::GatewayApi, Some(named()))), "");
        let said = only(&arms(Preset::GatewayApi, None));
        assert!(
            said.starts_with("arms.canary.metrics: preset gatewayapi knows no names"),
            "{said}"
        );
        let said = only(&arms(Preset::Traefik, Some(named())));
        assert!(
            said.starts_with("arms.canary.metrics: this preset has its own names"),
            "{said}"
        );
    }

    #[test]
    fn an_arm_is_not_selected_by_how_its_requests_ended() {
        for (preset, label) in [
            (Preset::Istio, "response_code"),
            (Preset::IngressNginx, "status"),
            (Preset::Envoy, "envoy_response_code"),
            (Preset::Traefik, "code"),
        ] {
            let mut arms = arms(preset, None);
            arms.canary.labels.insert(label.to_owned(), "200".to_owned());
            let said = only(&arms);
            let says = format!("arms.canary.labels.{label}: says how a request ended");
            assert!(said.starts_with(&says) && said.contains("errors:"), "{said}");
            let at = arms.canary.labels.remove(label).unwrap();
            arms.canary.latency_labels.insert(label.to_owned(), at);
            assert_eq!(
                only(&arms),
                "",
                "durations of what went well are judged where one likes"
            );
        }
    }

    #[test]
    fn what_is_no_name_and_what_has_no_unit_is_refused_with_its_field() {
        for (change, says) in [
            (
                ArmMetrics {
                    requests: "1{".to_owned(),
                    ..named()
                },
                "arms.canary.metrics.requests: \"1{\" is not a metric's name",
            ),
            (
                ArmMetrics {
                    code: "co-de".to_owned(),
                    ..named()
                },
                "arms.canary.metrics.code: \"co-de\" is not a label name",
            ),
            (
                ArmMetrics {
                    unit: None,
                    ..named()
                },
                "arms.canary.metrics.unit: say ms or s",
            ),
            (
                ArmMetrics {
                    buckets: None,
                    ..named()
                },
                "arms.canary.metrics.buckets: name what has this unit",
            ),
            (
                ArmMetrics {
                    buckets: Some("gateway_seconds_sum".to_owned()),
                    ..named()
                },
                "arms.canary.metrics.buckets: \"gateway_seconds_sum\" is another part",
            ),
        ] {
            let said = only(&arms(Preset::GatewayApi, Some(change)));
            assert!(said.starts_with(says) && !said.contains("; "), "{said}");
        }
    }
}
