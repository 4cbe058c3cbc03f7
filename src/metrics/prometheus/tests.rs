//! The client against answers that no healthy Prometheus gives.

use super::*;
use crate::rollout::sample::Dark;
use crate::rollout::spec::{ArmSource, Arms, Preset, Traffic};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

mod large;

/// What a server was asked.
#[derive(Clone, Debug)]
struct Asked {
    line: String,
    headers: HeaderMap,
    form: String,
}

/// A server that always answers the same, on a free loopback port, until it is dropped.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _serving: JoinSet<()>,
}

/// Status, content type, body, and the time it says it is; hyper says the true one.
type Answer = (StatusCode, &'static str, String, Option<String>);

impl Server {
    async fn says(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        let answer = (
            StatusCode::from_u16(status).unwrap(),
            content_type,
            body.into(),
            None,
        );
        Self::start(Some(answer)).await
    }

    async fn json(body: impl Into<String>) -> Self {
        Self::says(200, "application/json", body).await
    }

    /// `None`: takes the question and never answers.
    async fn start(answer: Option<Answer>) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let router = Router::new()
            .fallback(respond)
            .with_state((asked.clone(), answer));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/select/0", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            asked,
            _serving: serving,
        }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

type Page = (Arc<Mutex<Vec<Asked>>>, Option<Answer>);

async fn respond(State((asked, answer)): State<Page>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    asked.lock().unwrap().push(Asked {
        line: format!("{} {}", parts.method, parts.uri),
        headers: parts.headers,
        form: String::from_utf8(body.to_vec()).unwrap(),
    });
    match answer {
        Some((status, content_type, body, date)) => {
            let location = (header::LOCATION, "/elsewhere");
            let date = date.map(|date| [(header::DATE, date)]);
            (
                status,
                [(header::CONTENT_TYPE, content_type), location],
                date,
                body,
            )
                .into_response()
        }
        None => std::future::pending().await,
    }
}

fn ask() -> Ask {
    let source = |version: &str| ArmSource {
        preset: Preset::Istio,
        labels: [("destination_version".to_owned(), version.to_owned())].into(),
        latency_labels: std::collections::BTreeMap::new(),
        metrics: None,
    };
    Ask {
        rollout: "ns/shop".to_owned(),
        component: "shop".to_owned(),
        arms: Arms {
            canary: source("v2"),
            control: Some(source("v1")),
        },
        traffic: Traffic::Requests,
        wants_latency: true,
        wants_history: true,
    }
}

fn now() -> Timestamp {
    "2026-11-21T08:00:00.1479Z".parse().unwrap()
}

fn settings(servers: &[&Server]) -> PrometheusSettings {
    PrometheusSettings {
        timeout: Duration::from_millis(500),
        total_timeout: Some(Duration::from_millis(800)),
        ..PrometheusSettings::at(servers.iter().map(|server| server.url.clone()))
    }
}

async fn read(settings: &PrometheusSettings) -> Result<Snapshot, Blindness> {
    PrometheusSource::new(settings).unwrap().read(&ask(), now()).await
}

fn vector(series: &[(&str, &str)]) -> String {
    let one =
        |(labels, value): &(&str, &str)| format!(r#"{{"metric":{{{labels}}},"value":[1.0,"{value}"]}}"#);
    let result = series.iter().map(one).collect::<Vec<_>>().join(",");
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
}

const SAMPLED: (&str, &str) = (
    r#""rollout_part":"0/sampled","destination_version":"v2","pod":"a""#,
    "1795248000.123",
);

#[tokio::test]
async fn the_question_is_one_post_at_a_fraction_of_a_second() {
    let server = Server::json(vector(&[])).await;
    let snapshot = read(&settings(&[&server])).await.unwrap();
    assert_eq!(snapshot.at.to_string(), "2026-11-21T08:00:00.147Z");
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "POST /select/0/api/v1/query");
    assert!(
        asked[0].form.contains("time=1795248000.147&timeout=500ms"),
        "{}",
        asked[0].form
    );
}

#[tokio::test]
async fn an_answer_is_taken_apart_into_pods_codes_and_buckets() {
    let labels = |part: &str, rest: &str| {
        format!(r#""rollout_part":"0/{part}","destination_version":"v2","pod":"a"{rest}"#)
    };
    let rows = [
        (SAMPLED.0.to_owned(), SAMPLED.1),
        (
            labels("requests", r#","response_code":"200","response_flags":"-""#),
            "10",
        ),
        (
            labels("requests", r#","response_code":"503","response_flags":"UH""#),
            "4",
        ),
        (labels("latency", r#","le":"+Inf""#), "14"),
        (labels("latency", r#","le":"10""#), "5"),
        (
            r#""rollout_part":"0/usual-day","destination_version":"v2""#.to_owned(),
            "1.5",
        ),
        (
            r#""rollout_part":"0/usual-day","destination_version":"v1""#.to_owned(),
            "8.5",
        ),
        (
            r#""rollout_part":"0/usual-week","destination_version":"v1""#.to_owned(),
            "20",
        ),
    ];
    let rows: Vec<(&str, &str)> = rows
        .iter()
        .map(|(labels, value)| (labels.as_str(), *value))
        .collect();
    let server = Server::json(vector(&rows)).await;
    let snapshot = read(&settings(&[&server])).await.unwrap();
    let pod = &snapshot.canary.pods["a"];
    assert_eq!(pod.sampled_at.to_string(), "2026-11-21T08:00:00.123Z");
    let errors: Vec<bool> = pod.requests.values().map(|counter| counter.error).collect();
    assert_eq!(errors, [false, true]);
    let bounds: Vec<f64> = pod
        .latency
        .values()
        .flatten()
        .map(|bucket| bucket.le_ms)
        .collect();
    assert_eq!(bounds, [10.0, f64::INFINITY]);
    assert_eq!(
        snapshot.usual_rate,
        Some(15.0),
        "yesterday's 10 and last week's 20"
    );
    assert!(snapshot.control.unwrap().pods.is_empty());
}

#[tokio::test]
async fn what_is_no_data_says_what_kind_of_darkness_it_is() {
    let bad_query = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    let late = r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#;
    let partial =
        r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["a store is away"]}"#;
    let uncoded = vector(&[
        SAMPLED,
        (
            r#""rollout_part":"0/requests","destination_version":"v2","pod":"a""#,
            "4",
        ),
    ]);
    for (status, content_type, body, kind) in [
        (400, "application/json", bad_query.to_owned(), Dark::Refused),
        (401, "text/html", "<html>who are you".to_owned(), Dark::Refused),
        (403, "text/plain", String::new(), Dark::Refused),
        (503, "application/json", late.to_owned(), Dark::Down),
        (502, "text/html", "<html>bad gateway".to_owned(), Dark::Down),
        (200, "text/html", "<html>welcome".to_owned(), Dark::Down),
        (302, "text/plain", "over there".to_owned(), Dark::Down),
        (200, "application/json", partial.to_owned(), Dark::Partial),
        // No content type of JSON, but JSON: fine for the reader, so only the labels count.
        (200, "text/plain", uncoded, Dark::Partial),
    ] {
        let server = Server::says(status, content_type, body).await;
        let blindness = read(&settings(&[&server])).await.unwrap_err();
        assert_eq!(
            blindness.kind, kind,
            "{status} {content_type}: {}",
            blindness.message
        );
        assert!(
            blindness.message.starts_with(&server.url),
            "{}",
            blindness.message
        );
        assert_eq!(server.asked().len(), 1, "a redirect is not followed");
    }
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_down() {
    let silent = Server::start(None).await;
    let blindness = read(&settings(&[&silent])).await.unwrap_err();
    assert_eq!(blindness.kind, Dark::Down);
    assert!(
        blindness.message.ends_with("no answer within 500ms"),
        "{}",
        blindness.message
    );
    let blindness = read(&settings(&[&silent, &silent])).await.unwrap_err();
    assert_eq!(blindness.message, "no endpoint answered within 800ms");
    let nobody = PrometheusSettings::at(["http://127.0.0.1:1"]);
    let blindness = read(&nobody).await.unwrap_err();
    assert_eq!(blindness.kind, Dark::Down);
    assert!(
        blindness.message.contains("cannot connect (Connection refused"),
        "{}",
        blindness.message
    );
    assert!(!blindness.message.contains("query"), "{}", blindness.message);
}

#[tokio::test]
async fn endpoints_are_tried_in_order_until_one_has_data() {
    let (broken, whole, spare) = (
        Server::says(500, "text/plain", "oops").await,
        Server::json(vector(&[SAMPLED])).await,
        Server::json(vector(&[])).await,
    );
    let snapshot = read(&settings(&[&broken, &whole, &spare])).await.unwrap();
    assert_eq!(snapshot.canary.pods.len(), 1);
    assert_eq!(
        (broken.asked().len(), whole.asked().len(), spare.asked().len()),
        (1, 1, 0)
    );
    let blindness = read(&settings(&[&broken, &broken])).await.unwrap_err();
    assert!(
        blindness
            .message
            .ends_with("the other endpoints gave no data either"),
        "{}",
        blindness.message
    );
}

#[tokio::test]
async fn what_one_endpoint_cannot_carry_out_another_is_asked_and_what_is_wrong_none() {
    let failed = r#"{"status":"error","errorType":"execution","error":"expanding series: store-0 is down"}"#;
    let wrong = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    let (failing, whole) = (
        Server::says(422, "application/json", failed).await,
        Server::json(vector(&[SAMPLED])).await,
    );
    let source = PrometheusSource::new(&settings(&[&failing, &whole])).unwrap();
    for second in 0..4 {
        let at = now() + Duration::from_secs(second);
        assert_eq!(source.read(&ask(), at).await.unwrap().canary.pods.len(), 1);
    }
    assert_eq!(whole.asked().len(), 4);
    // Once more on a machine so slow that its rest is over.
    let asked = failing.asked().len();
    assert!(
        (3..=4).contains(&asked),
        "{asked}: it rests like any other that fails"
    );
    let source = PrometheusSource::new(&settings(&[&failing, &failing])).unwrap();
    for second in 0..4 {
        let at = now() + Duration::from_secs(second);
        let told = source.read(&ask(), at).await.unwrap_err().message;
        assert!(
            told.contains("store-0 is down; the other endpoints gave no data either"),
            "{told}"
        );
    }
    assert!(source.endpoints().iter().all(|endpoint| !endpoint.resting));
    let (wrong, spare) = (
        Server::says(400, "application/json", wrong).await,
        Server::json(vector(&[SAMPLED])).await,
    );
    read(&settings(&[&wrong, &spare])).await.unwrap_err();
    assert_eq!(spare.asked().len(), 0);
    let broken = Server::says(500, "text/plain", "oops").await;
    let told = read(&settings(&[&broken, &failing])).await.unwrap_err();
    assert_eq!(told.kind, Dark::Refused, "{}", told.message);
}

#[tokio::test]
async fn a_token_that_is_rotated_is_read_anew_and_never_shown() {
    let server = Server::json(vector(&[])).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mut settings = settings(&[&server]);
    settings.bearer_token_file = Some(file.clone());
    settings
        .headers
        .insert("X-Scope-OrgID".to_owned(), "hunter1".to_owned());
    let source = PrometheusSource::new(&settings).unwrap();
    for token in ["hunter2", "hunter3"] {
        std::fs::write(&file, format!("{token}\n")).unwrap();
        source.read(&ask(), now()).await.unwrap();
        let asked = server.asked().pop().unwrap();
        assert_eq!(asked.headers[header::AUTHORIZATION], format!("Bearer {token}"));
        assert_eq!(asked.headers["x-scope-orgid"], "hunter1");
    }
    std::fs::write(&file, "hunter4\u{7f}").unwrap();
    let blindness = source.read(&ask(), now()).await.unwrap_err();
    assert_eq!(blindness.kind, Dark::Refused);
    std::fs::remove_file(&file).unwrap();
    let missing = source.read(&ask(), now()).await.unwrap_err();
    assert!(missing.message.contains("cannot be read"), "{}", missing.message);
    let shown = format!("{source:?} {settings:?} {blindness:?} {missing:?}");
    assert!(!shown.contains("hunter"), "{shown}");
}

#[tokio::test]
async fn a_user_is_let_in_by_the_password_in_a_file() {
    let server = Server::json(vector(&[])).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    let mut settings = settings(&[&server]);
    settings.username = Some("me".to_owned());
    settings.password_file = Some(file);
    read(&settings).await.unwrap();
    assert_eq!(
        server.asked()[0].headers[header::AUTHORIZATION],
        "Basic bWU6aHVudGVyMg=="
    );
}

#[tokio::test]
async fn a_wrong_matcher_is_refused_before_anybody_is_asked() {
    let server = Server::json(vector(&[])).await;
    let mut ask = ask();
    ask.arms.canary.labels.insert("host".to_owned(), "~(".to_owned());
    let source = PrometheusSource::new(&settings(&[&server])).unwrap();
    let blindness = source.read(&ask, now()).await.unwrap_err();
    assert_eq!(blindness.kind, Dark::Refused);
    assert!(
        blindness.message.starts_with("arms.canary.labels.host: "),
        "{}",
        blindness.message
    );
    assert!(server.asked().is_empty());
}

#[test]
fn a_certificate_file_without_certificates_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let mut settings = PrometheusSettings::at(["https://prometheus"]);
    settings.ca_file = Some(file.clone());
    let error = PrometheusSource::new(&settings).unwrap_err().to_string();
    assert!(
        error.starts_with("prometheus.ca_file: ") && error.contains("cannot be read"),
        "{error}"
    );
    std::fs::write(&file, "nothing").unwrap();
    let error = PrometheusSource::new(&settings).unwrap_err().to_string();
    assert!(error.contains("holds no PEM certificates"), "{error}");
}

#[tokio::test]
async fn an_address_that_keeps_failing_is_left_alone_while_another_answers() {
    let (broken, whole) = (
        Server::says(500, "text/plain", "oops").await,
        Server::json(vector(&[SAMPLED])).await,
    );
    let source = PrometheusSource::new(&settings(&[&broken, &whole])).unwrap();
    for second in 0..6 {
        let at = now() + Duration::from_secs(second);
        source.read(&ask(), at).await.unwrap();
    }
    assert_eq!(whole.asked().len(), 6);
    // Once more on a machine so slow that its rest is over.
    let asked = broken.asked().len();
    assert!((3..=4).contains(&asked), "{asked}");
    let resting: Vec<bool> = source
        .endpoints()
        .iter()
        .map(|endpoint| endpoint.resting)
        .collect();
    assert_eq!(resting, [true, false]);
}

/// A server that is well, and has questions that it answers with a text or not in time.
async fn moody(serving: &mut JoinSet<()>) -> String {
    let answer = |request: Request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let form = String::from_utf8(body.to_vec()).unwrap();
        let json = |body: String| ([(header::CONTENT_TYPE, "application/json")], body).into_response();
        if form.contains("slow") {
            return std::future::pending().await;
        }
        if form.contains("text") {
            let string = r#"{"status":"success","data":{"resultType":"string","result":[1,"x"]}}"#;
            return json(string.to_owned());
        }
        json(vector(&[SAMPLED]))
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/select/0", listener.local_addr().unwrap());
    serving.spawn(async move {
        axum::serve(listener, Router::new().fallback(answer))
            .await
            .unwrap();
    });
    url
}

#[tokio::test]
async fn what_one_resource_asks_in_vain_blinds_no_other() {
    let mut serving = JoinSet::new();
    let url = moody(&mut serving).await;
    let settings = PrometheusSettings {
        timeout: Duration::from_millis(500),
        ..PrometheusSettings::at([url.as_str()])
    };
    let source = PrometheusSource::new(&settings).unwrap();
    for second in 0..5 {
        let at = now() + Duration::from_secs(second);
        for question in ["text", "slow"] {
            source.vector(question, at).await.unwrap_err();
        }
    }
    source.read(&ask(), now() + Duration::from_secs(9)).await.unwrap();
    assert!(source.endpoints().iter().all(|endpoint| !endpoint.resting));
}

#[tokio::test]
async fn a_thousand_that_ask_the_very_same_on_one_beat_are_one_question() {
    let server = Server::json(vector(&[(r#""pod":"a""#, "7")])).await;
    let source = PrometheusSource::new(&settings(&[&server])).unwrap();
    let beat = |number: i64| now() + Duration::from_secs(10 * number.unsigned_abs());
    for (number, questions) in [(0, 2), (1, 4)] {
        let asking = (0..1_000_u64).map(|who| {
            let at = beat(number) + Duration::from_micros(who);
            let promql = if who.is_multiple_of(2) {
                "max(lag)"
            } else {
                "max(depth)"
            };
            source.vector(promql, at)
        });
        for answer in futures::future::join_all(asking).await {
            assert_eq!(answer.unwrap().iter().map(|s| s.value).collect::<Vec<_>>(), [7.0]);
        }
        assert_eq!(server.asked().len(), questions, "beat {number}");
    }
}

#[tokio::test]
async fn a_machine_in_our_future_is_not_believed_about_now_and_another_one_is_asked() {
    let body = vector(&[(r#""a":"b""#, "1")]);
    let recorded = now();
    let now = crate::clock::Clock::System.now();
    let date = |minutes: i64| {
        let at = Timestamp::from_second(now.as_second() + 60 * minutes).unwrap();
        at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    let dated = async |minutes| {
        let said = (
            StatusCode::OK,
            "application/json",
            body.clone(),
            Some(date(minutes)),
        );
        Server::start(Some(said)).await
    };
    let (ahead, right) = (dated(3).await, dated(0).await);
    let ask = async |servers: &[&Server], at| {
        let source = PrometheusSource::new(&settings(servers)).unwrap();
        source.vector("up", at).await.map(|found| found.len())
    };
    let blindness = ask(&[&ahead], now).await.unwrap_err();
    assert_eq!(blindness.kind, Dark::Partial);
    let wanted = "its clock (Date header) is more than 5 s ahead of this machine's";
    assert!(blindness.message.contains(wanted), "{}", blindness.message);
    assert!(blindness.message.starts_with(&ahead.url), "{}", blindness.message);
    assert_eq!(ask(&[&ahead, &right], now).await, Ok(1), "the pair's other one");
    assert_eq!(ask(&[&ahead], recorded).await, Ok(1), "a record");
}
