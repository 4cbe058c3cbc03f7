//! As much of Prometheus as our own queries need: selectors, `sum by`, `max by`, `timestamp`, `label_replace`, `or`.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use regex::Regex;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex};
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub(super) type Labels = BTreeMap<String, String>;

/// A stored series with its newest sample.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) name: &'static str,
    pub(super) labels: Labels,
    pub(super) value: f64,
    pub(super) scraped: f64,
}

/// One part of a joined query.
static PART: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"(?s)^label_replace\((sum|max)(?: by \(([^)]*)\))? \((timestamp\()?(\w+)\{(.*)\}\)?\), "#,
        r#""rollout_part", "([^"]*)", "rollout_part", ""\)$"#
    ))
    .unwrap()
});
/// One matcher of a selector.
static MATCHER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(?s)(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)""#).unwrap());

/// The JSON that Prometheus would answer.
pub(super) fn evaluate(store: &[Stored], promql: &str) -> String {
    let mut result = Vec::new();
    for text in promql.split("\nor ") {
        let found = PART
            .captures(text)
            .unwrap_or_else(|| panic!("not understood: {text}"));
        let by: Vec<&str> = found
            .get(2)
            .map_or(Vec::new(), |by| by.as_str().split(", ").collect());
        let mut selector = Selector::parse(&found[5]);
        let mut groups: BTreeMap<Labels, f64> = BTreeMap::new();
        for stored in store
            .iter()
            .filter(|stored| stored.name == &found[4])
            .filter(|stored| selector.holds(&stored.labels))
        {
            let mut labels = stored.labels.clone();
            labels.retain(|label, value| by.contains(&label.as_str()) && !value.is_empty());
            let value = if found.get(3).is_some() {
                stored.scraped
            } else {
                stored.value
            };
            let entry = groups.entry(labels);
            if &found[1] == "sum" {
                *entry.or_insert(0.0) += value;
            } else {
                let newest = entry.or_insert(value);
                *newest = newest.max(value);
            }
        }
        for (mut labels, value) in groups {
            labels.insert("rollout_part".to_owned(), found[6].to_owned());
            let labels = serde_json::to_string(&labels).unwrap();
            result.push(format!(r#"{{"metric":{labels},"value":[1,"{value}"]}}"#));
        }
    }
    let result = result.join(",");
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
}

struct Selector {
    matchers: Vec<(String, String, Regex)>,
    /// Patterns are slow, and most values come again.
    known: BTreeMap<(usize, String), bool>,
}

impl Selector {
    fn parse(text: &str) -> Self {
        let matchers = MATCHER.captures_iter(text).map(|found| {
            let value = found[3]
                .replace("\\n", "\n")
                .replace("\\\"", "\"")
                .replace("\\\\", "\\");
            let pattern = match &found[2] {
                "=~" | "!~" => value,
                _ => regex::escape(&value),
            };
            let pattern = Regex::new(&format!("^(?s:{pattern})$")).unwrap();
            (found[1].to_owned(), found[2].to_owned(), pattern)
        });
        Self {
            matchers: matchers.collect(),
            known: BTreeMap::new(),
        }
    }

    fn holds(&mut self, labels: &Labels) -> bool {
        self.matchers
            .iter()
            .enumerate()
            .all(|(place, (label, operator, pattern))| {
                let value = labels.get(label).cloned().unwrap_or_default();
                let matches = *self
                    .known
                    .entry((place, value.clone()))
                    .or_insert_with(|| pattern.is_match(&value));
                matches != operator.starts_with('!')
            })
    }
}

/// What a server does with queries.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) store: Vec<Stored>,
    /// Refuses queries that say this.
    pub(super) refuses: Option<&'static str>,
    /// Cannot carry out queries that say this.
    pub(super) fails: Option<&'static str>,
    /// Answers nothing any more after so many queries.
    pub(super) silent_after: Option<usize>,
    /// Refuses queries longer than this.
    pub(super) longest: Option<usize>,
    /// Keeps queries that say this waiting until told.
    pub(super) keeps: Option<&'static str>,
    pub(super) asked: Vec<String>,
    pub(super) answered_bytes: usize,
}

/// A server on a free loopback port, until it is dropped.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) rules: Arc<Mutex<Rules>>,
    pub(super) arrived: Arc<Notify>,
    pub(super) go_on: Arc<Notify>,
    _serving: JoinSet<()>,
}

type Page = (Arc<Mutex<Rules>>, Arc<Notify>, Arc<Notify>);

impl Server {
    pub(super) async fn start(rules: Rules) -> Self {
        let rules = Arc::new(Mutex::new(rules));
        let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let router = Router::new()
            .route("/api/v1/query", post(respond))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state((rules.clone(), arrived.clone(), go_on.clone()));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            rules,
            arrived,
            go_on,
            _serving: serving,
        }
    }

    /// The queries since the last time.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.rules.lock().unwrap().asked)
    }
}

async fn respond(State((rules, arrived, go_on)): State<Page>, form: String) -> (StatusCode, String) {
    let query = form
        .split('&')
        .find_map(|pair| pair.strip_prefix("query="))
        .map(decoded)
        .unwrap();
    let kept = {
        let mut rules = rules.lock().unwrap();
        rules.asked.push(query.clone());
        rules.keeps.is_some_and(|word| query.contains(word))
            || rules.silent_after.is_some_and(|most| rules.asked.len() > most)
    };
    if kept {
        arrived.notify_one();
        go_on.notified().await;
    }
    let mut rules = rules.lock().unwrap();
    let spoiled = rules.refuses.is_some_and(|word| query.contains(word));
    if spoiled || rules.longest.is_some_and(|longest| query.len() > longest) {
        let body = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        return (StatusCode::BAD_REQUEST, body.to_owned());
    }
    if rules.fails.is_some_and(|word| query.contains(word)) {
        let body =
            r#"{"status":"error","errorType":"execution","error":"expanding series: a store is down"}"#;
        return (StatusCode::UNPROCESSABLE_ENTITY, body.to_owned());
    }
    let body = evaluate(&rules.store, &query);
    rules.answered_bytes += body.len();
    (StatusCode::OK, body)
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

/// Sidecars of one service's version: some requests, some errors, three buckets.
pub(super) fn sidecars(service: &str, version: &str, pods: usize, requests: f64) -> Vec<Stored> {
    let mut all = Vec::new();
    for pod in 0..pods {
        let labels = |more: &[(&str, &str)]| {
            let mut name = String::new();
            write!(name, "{service}-{version}-{pod}").unwrap();
            let base = [
                ("reporter", "destination"),
                ("destination_service_name", service),
                ("destination_version", version),
                ("pod", &name),
            ];
            base.iter()
                .chain(more)
                .map(|&(label, value)| (label.to_owned(), value.to_owned()))
                .collect::<Labels>()
        };
        let stored = |name, labels, value| Stored {
            name,
            labels,
            value,
            scraped: 1_795_248_000.0 + f64::from(u8::try_from(pod).unwrap()),
        };
        for (code, share) in [("200", 0.75), ("503", 0.25)] {
            let labels = labels(&[("response_code", code), ("response_flags", "-")]);
            all.push(stored("istio_requests_total", labels, requests * share));
        }
        for (le, share) in [("10", 0.5), ("100", 0.75), ("+Inf", 1.0)] {
            let labels = labels(&[("response_code", "200"), ("le", le)]);
            let name = "istio_request_duration_milliseconds_bucket";
            all.push(stored(name, labels, requests * share));
        }
    }
    all
}
