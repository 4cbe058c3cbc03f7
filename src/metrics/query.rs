//! From an ask to PromQL.
//!
//! Everything about a component is one query: its parts are joined by `or`, each marked with a label of its own, so
//! that counters, sample times and buckets of both arms come from the same instant and the same view of the store.
//! Asking for many components at once is a matter of more parts; `split` takes them apart by that label.

use super::ask::{Ask, AskError, Side, problems};
use super::matcher::{Matcher, quoted};
use super::preset::Facts;
use crate::rollout::spec::{ArmSource, Arms};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// The label that says which part of a joined query a series answers.
pub(crate) const PART: &str = "rollout_part";

/// The label of the scraping job: a pod that two of them scrape would count everything twice.
pub(crate) const JOB: &str = "job";

/// What a part of the query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Raw counters of requests.
    Requests,
    /// When the newest sample of each pod was scraped, in seconds since 1970.
    Sampled,
    /// Raw cumulative latency buckets.
    Latency,
    /// Requests per second in the same hour yesterday.
    UsualDay,
    /// Requests per second in the same hour a week ago.
    UsualWeek,
}

impl Part {
    pub(crate) const ALL: [Self; 5] = [
        Self::Requests,
        Self::Sampled,
        Self::Latency,
        Self::UsualDay,
        Self::UsualWeek,
    ];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "requests",
            Self::Sampled => "sampled",
            Self::Latency => "latency",
            Self::UsualDay => "usual-day",
            Self::UsualWeek => "usual-week",
        })
    }
}

/// One part of a query about one arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The value of [`PART`] on its answers.
    pub(crate) mark: String,
    pub(crate) side: Side,
    pub(crate) part: Part,
    pub(crate) promql: String,
}

/// What is asked about a component, for people: what for, and the PromQL.
pub fn queries(ask: &Ask) -> Result<Vec<(String, String)>, AskError> {
    Ok(pieces(0, ask)?
        .into_iter()
        .map(|piece| (format!("{} {}", piece.side, piece.part), piece.promql))
        .collect())
}

/// Requests per second of both arms together over the last `window`; no answer where neither has a series.
pub fn request_rate(arms: &Arms, window: Duration) -> Result<String, AskError> {
    if let Some(problem) = problems(arms).into_iter().next() {
        return Err(problem);
    }
    let rates: Vec<String> = std::iter::once(&arms.canary)
        .chain(&arms.control)
        .map(|source| {
            let facts = Facts::of(source);
            let matchers = matchers(source, &facts);
            format!("rate({}{{{matchers}}}[{}s])", facts.requests, window.as_secs())
        })
        .collect();
    // A series that both arms select is one series.
    Ok(format!("sum({})", rates.join(" or ")))
}

/// The mark of a part of the ask at this place in the list.
pub(crate) fn mark(index: usize, side: Side, part: Part) -> String {
    format!("{index}/{side}/{part}")
}

/// One query for all these asks.
pub(crate) fn render(asks: &[&Ask]) -> Result<String, AskError> {
    let mut joined = Vec::new();
    for (index, ask) in asks.iter().enumerate() {
        for piece in pieces(index, ask)? {
            let mark = quoted(&piece.mark);
            joined.push(format!(
                r#"label_replace({}, "{PART}", {mark}, "{PART}", "")"#,
                piece.promql
            ));
        }
    }
    Ok(joined.join("\nor "))
}

fn pieces(index: usize, ask: &Ask) -> Result<Vec<Piece>, AskError> {
    ask.check()?;
    let mut pieces = Vec::new();
    for (side, source) in ask.sides() {
        for part in Part::ALL {
            let asked = match part {
                Part::Requests | Part::Sampled => true,
                Part::Latency => ask.latency() && !Facts::of(source).buckets.is_empty(),
                Part::UsualDay | Part::UsualWeek => ask.wants_history,
            };
            if asked {
                pieces.push(Piece {
                    mark: mark(index, side, part),
                    side,
                    part,
                    promql: promql(source, part),
                });
            }
        }
    }
    Ok(pieces)
}

fn promql(source: &ArmSource, part: Part) -> String {
    let facts = &Facts::of(source);
    let matchers = matchers(source, facts);
    let requests = format!("{}{{{matchers}}}", facts.requests);
    let exporter = facts.exporter.join(", ");
    match part {
        Part::Requests => {
            let labels = series_labels(source, facts).into_iter().chain(facts.outcome());
            format!("sum by ({exporter}{}) ({requests})", appended(labels, facts))
        }
        Part::Sampled => format!("max by ({exporter}, {JOB}) (timestamp({requests}))"),
        Part::Latency => {
            // A connection that was switched to another protocol lasts as long as people like.
            let switched = facts.timed_by_code.then_some((facts.code, "!~1.."));
            let lasting = switched.into_iter().chain(facts.lasting.iter().copied());
            let own = source.latency_labels.iter();
            let own = own.map(|(label, value)| (label.as_str(), value.as_str()));
            let lasting = lasting
                .chain(own)
                .filter_map(|(label, value)| Matcher::parse(label, value).ok());
            let all: Vec<String> = (!matchers.is_empty())
                .then(|| matchers.clone())
                .into_iter()
                .chain(lasting.map(|matcher| matcher.to_string()))
                .collect();
            let series = format!("{}{{{}}}", facts.buckets, all.join(", "));
            let bound = (!facts.is_native()).then_some("le");
            let labels = series_labels(source, facts).into_iter().chain(bound);
            format!("sum by ({exporter}{}) ({series})", appended(labels, facts))
        }
        Part::UsualDay => format!("sum(rate({requests}[1h] offset 1d))"),
        Part::UsualWeek => format!("sum(rate({requests}[1h] offset 1w))"),
    }
}

/// The same part with each answer kept apart by the labels that the selector uses: behind a selector that is wider
/// than the arms it serves, they tell whose an answer is.
pub(crate) fn apart(source: &ArmSource, part: Part) -> String {
    let facts = Facts::of(source);
    let requests = format!("{}{{{}}}", facts.requests, matchers(source, &facts));
    let used = || source.labels.keys().map(String::as_str);
    let rate = |ago: &str| {
        let by = used().collect::<Vec<_>>().join(", ");
        format!("sum by ({by}) (rate({requests}[1h] offset {ago}))")
    };
    match part {
        Part::Requests | Part::Latency => promql(source, part),
        Part::Sampled => {
            let exporter = facts.exporter.join(", ");
            let others = used().filter(|label| *label != JOB);
            format!(
                "max by ({exporter}, {JOB}{}) (timestamp({requests}))",
                appended(others, &facts)
            )
        }
        Part::UsualDay => rate("1d"),
        Part::UsualWeek => rate("1w"),
    }
}

/// The parts that are asked about one arm of this ask.
pub(crate) fn parts(ask: &Ask, side: Side) -> Result<Vec<Part>, AskError> {
    let pieces = pieces(0, ask)?.into_iter();
    Ok(pieces
        .filter(|piece| piece.side == side)
        .map(|piece| piece.part)
        .collect())
}

fn matchers(source: &ArmSource, facts: &Facts<'_>) -> String {
    let fixed = facts
        .fixed
        .iter()
        .filter(|(label, _)| !source.labels.contains_key(*label));
    let fixed = fixed.map(|&(label, value)| (label, value));
    let own = source
        .labels
        .iter()
        .map(|(label, value)| (label.as_str(), value.as_str()));
    fixed
        .chain(own)
        .filter_map(|(label, value)| Matcher::parse(label, value).ok())
        .map(|matcher| matcher.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The labels, beside outcome and bound, by which an arm's series are kept apart: those that its selector uses, and
/// those whose series come and go while their exporter lives.
pub(crate) fn series_labels<'a>(source: &'a ArmSource, facts: &Facts<'_>) -> BTreeSet<&'a str> {
    source
        .labels
        .keys()
        .map(String::as_str)
        .chain(facts.apart.iter().copied())
        .collect()
}

/// `, a, b`, without what is listed already.
fn appended<'a>(labels: impl Iterator<Item = &'a str>, facts: &Facts<'_>) -> String {
    let mut seen = BTreeSet::new();
    let mut text = String::new();
    for label in labels.filter(|label| !facts.exporter.contains(label)) {
        if seen.insert(label) {
            text.push_str(", ");
            text.push_str(label);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::spec::{ArmMetrics, Arms, Preset, Traffic, Unit};

    fn ask(preset: Preset, labels: &[(&str, &str)]) -> Ask {
        let labels = labels
            .iter()
            .map(|&(label, value)| (label.to_owned(), value.to_owned()));
        Ask {
            rollout: "ns/shop".to_owned(),
            component: "shop".to_owned(),
            arms: Arms {
                canary: ArmSource {
                    preset,
                    labels: labels.collect(),
                    latency_labels: std::collections::BTreeMap::new(),
                    metrics: None,
                },
                control: None,
            },
            traffic: Traffic::Requests,
            wants_latency: true,
            wants_history: false,
        }
    }

    fn shown(ask: &Ask) -> String {
        let queries = queries(ask).unwrap();
        queries
            .iter()
            .map(|(purpose, promql)| format!("{purpose}\n{promql}\n"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Every preset with the labels that the documentation selects an arm by.
    fn documented() -> Vec<(Preset, Ask)> {
        let istio = &[
            ("destination_service_name", "shop"),
            ("destination_version", "v2"),
        ][..];
        let all: [(Preset, &[(&str, &str)]); 8] = [
            (Preset::Istio, istio),
            (Preset::IstioGateway, istio),
            (
                Preset::IngressNginx,
                &[("canary", "~..+"), ("ingress", "~terminal-.*")],
            ),
            (Preset::Envoy, &[("envoy_cluster_name", "shop-v2")]),
            (
                Preset::EnvoyGateway,
                &[("envoy_cluster_name", "httproute/apps/shop/rule/0/backend/1")],
            ),
            (
                Preset::Linkerd,
                &[("namespace", "apps"), ("deployment", "shop-v2")],
            ),
            (Preset::Traefik, &[("service", "~apps-shop-v2-.*")]),
            (Preset::GatewayApi, &[("backend", "shop-v2")]),
        ];
        all.into_iter()
            .map(|(preset, labels)| {
                let mut ask = ask(preset, labels);
                ask.arms.canary.metrics = (preset == Preset::GatewayApi).then(|| ArmMetrics {
                    requests: "gateway_requests_total".to_owned(),
                    code: "code".to_owned(),
                    buckets: Some("gateway_request_duration_seconds_bucket".to_owned()),
                    unit: Some(Unit::Seconds),
                    grpc_status: None,
                    flags: None,
                });
                (preset, ask)
            })
            .collect()
    }

    #[test]
    fn the_documentation_shows_each_presets_queries_as_they_are_asked() {
        let page = include_str!("../../docs/metrics.md");
        let mut lacks = Vec::new();
        for (preset, ask) in documented() {
            for (purpose, promql) in queries(&ask).unwrap() {
                if !page.contains(&promql) {
                    lacks.push(format!("{purpose} of {preset:?}:\n{promql}"));
                }
            }
        }
        assert!(lacks.is_empty(), "docs/metrics.md lacks\n{}", lacks.join("\n"));
    }

    #[test]
    fn a_native_histogram_is_asked_for_by_its_own_name_and_without_bounds() {
        let (_, mut ask) = documented().pop().unwrap();
        let named = ask.arms.canary.metrics.as_mut().unwrap();
        named.buckets = Some("gateway_request_duration_seconds".to_owned());
        let text = shown(&ask);
        let wanted = r#"sum by (pod, instance, backend) (gateway_request_duration_seconds{backend="shop-v2", code!~"1.."})"#;
        assert!(text.contains(wanted), "{text}");
        named_without_durations(&mut ask);
        assert!(
            !shown(&ask).contains("latency"),
            "nothing is asked for that has no name"
        );
    }

    fn named_without_durations(ask: &mut Ask) {
        let named = ask.arms.canary.metrics.as_mut().unwrap();
        (named.buckets, named.unit) = (None, None);
    }

    #[test]
    fn the_asks_own_matcher_replaces_the_presets() {
        let text = shown(&ask(Preset::Istio, &[("reporter", "waypoint")]));
        assert!(
            text.contains(r#"istio_requests_total{reporter="waypoint"}"#),
            "{text}"
        );
        assert!(!text.contains("destination\""), "{text}");
    }

    #[test]
    fn what_is_left_out_of_durations_is_asked_for_as_a_request() {
        let mut ask = ask(Preset::Istio, &[("app", "x")]);
        let plain = ask.fingerprint();
        ask.arms
            .canary
            .latency_labels
            .insert("request_protocol".into(), "!grpc".into());
        let text = shown(&ask);
        let wanted =
            r#"_bucket{reporter="destination", app="x", response_code!~"1..", request_protocol!="grpc"}"#;
        assert!(text.contains(wanted), "{text}");
        assert!(
            text.contains(r#"istio_requests_total{reporter="destination", app="x"}"#),
            "{text}"
        );
        assert_ne!(ask.fingerprint(), plain, "other durations are other counters");
        ask.arms.canary.latency_labels.insert("a b".into(), "~(".into());
        let problem = problems(&ask.arms).remove(0);
        assert_eq!(problem.path, "arms.canary.latencyLabels.a b");
    }

    #[test]
    fn long_lived_traffic_and_history_change_what_is_fetched() {
        let mut ask = ask(Preset::Istio, &[("app", "x")]);
        ask.traffic = Traffic::LongLived;
        assert!(!shown(&ask).contains("_bucket"));
        ask.wants_history = true;
        assert!(shown(&ask).contains("offset 1w"));
    }

    #[test]
    fn one_query_serves_several_asks_each_part_with_its_mark() {
        let ask = ask(Preset::IngressNginx, &[("canary", "")]);
        let query = render(&[&ask, &ask]).unwrap();
        assert_eq!(query.matches("label_replace(").count(), 6);
        for mark in ["0/canary/requests", "0/canary/latency", "1/canary/sampled"] {
            assert!(
                query.contains(&format!(r#", "rollout_part", "{mark}", "rollout_part", "")"#)),
                "{query}"
            );
        }
    }
}
