//! Answers that are larger than the memory for them.

use super::*;
use crate::metrics::wire::{AT_ONCE, LARGEST_ANSWER, SMALL_ANSWER};
use serde_json::Value;

/// What a byte of an answer takes in memory, at most, from its first to the end of reading it: the text, the tree of its
/// series, and what is kept of them. Measured by `answer_figures`.
const MEMORY_PER_BYTE: usize = 16;
/// What a daemon with 1,000 components takes besides; docs/development.md has how that was measured.
const BESIDES: usize = 240 << 20;

/// An answer of about so many bytes, of series as Istio has them.
fn of_bytes(bytes: usize) -> String {
    let one = |n: usize| {
        format!(
            r#"{{"metric":{{"rollout_part":"0/requests","destination_version":"v2","pod":"shop-{n}","response_code":"200"}},"value":[1.0,"{n}"]}}"#
        )
    };
    let mut result = String::new();
    for n in 0.. {
        result.push_str(&one(n));
        if result.len() >= bytes {
            break;
        }
        result.push(',');
    }
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
}

fn patient(urls: &[&str]) -> PrometheusSettings {
    PrometheusSettings {
        timeout: Duration::from_secs(60),
        total_timeout: None,
        ..PrometheusSettings::at(urls.iter().copied())
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_given_up_and_is_no_data() {
    let server = Server::json(" ".repeat(LARGEST_ANSWER + 1)).await;
    let blindness = read(&patient(&[&server.url])).await.unwrap_err();
    assert_eq!(blindness.kind, Dark::Refused);
    let says = "an answer of more than 12 MiB (it has 13 MiB), and no more is read: select fewer series by the labels of the \
                arms, or let a query of your own add them up";
    assert!(blindness.message.contains(says), "{}", blindness.message);
}

/// An answer whose length nobody says beforehand; small for any question but `large`.
async fn endless(serving: &mut JoinSet<()>, bytes: usize) -> String {
    let answer = async move |request: Request| {
        let form = request.into_body().collect().await.unwrap().to_bytes();
        let large = String::from_utf8(form.to_vec()).unwrap().contains("large");
        let body = if large { of_bytes(bytes) } else { vector(&[]) };
        let chunks = futures::stream::iter(
            body.into_bytes()
                .chunks(64 << 10)
                .map(|chunk| Ok::<_, std::convert::Infallible>(chunk.to_vec()))
                .collect::<Vec<_>>(),
        );
        axum::body::Body::from_stream(chunks)
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
async fn an_answer_without_end_is_given_up_and_is_no_data() {
    let mut serving = JoinSet::new();
    let url = endless(&mut serving, LARGEST_ANSWER + 1).await;
    let source = PrometheusSource::new(&patient(&[&url])).unwrap();
    let blindness = source.vector("large", now()).await.unwrap_err();
    assert_eq!(blindness.kind, Dark::Refused);
    let says = "an answer of more than 12 MiB, and no more is read";
    assert!(blindness.message.contains(says), "{}", blindness.message);
    assert_eq!(source.wire.large.available_permits(), 1, "the room is free again");
}

#[tokio::test]
async fn one_large_answer_is_in_memory_at_a_time_and_small_ones_do_not_wait_for_it() {
    let mut serving = JoinSet::new();
    let url = endless(&mut serving, 2 * SMALL_ANSWER).await;
    let source = PrometheusSource::new(&patient(&[&url])).unwrap();
    let room = source.wire.large.clone();
    let mut held = Some(room.clone().acquire_owned().await.unwrap());
    let mut large = std::pin::pin!(source.vector("large", now()));
    let mut n = 0;
    while held.is_some() {
        n += 2;
        let small = source.vector("small", now() + Duration::from_secs(n));
        tokio::select! {
            biased;
            _ = &mut large => panic!("it is read beside another large one"),
            answer = small => assert!(answer.unwrap().is_empty()),
        }
        // Given up, it goes to who waits for it, or is free to be had again.
        drop(held.take());
        held = room.clone().try_acquire_owned().ok();
    }
    assert!(!large.await.unwrap().is_empty());
    assert_eq!(source.wire.large.available_permits(), 1);
}

#[test]
fn the_largest_answers_fit_into_the_memory_that_the_deployment_gives() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/deployment.yaml");
    let deployment: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let limit = deployment.pointer("/spec/template/spec/containers/0/resources/limits/memory");
    let limit = limit
        .and_then(Value::as_str)
        .and_then(|text| text.strip_suffix("Mi"));
    let limit = limit.unwrap().parse::<usize>().unwrap() << 20;
    let at_once = LARGEST_ANSWER + (AT_ONCE - 1) * SMALL_ANSWER;
    let wanted = BESIDES + at_once * MEMORY_PER_BYTE;
    assert!(
        wanted <= limit,
        "{} MiB are wanted of {}: raise the limit, or read less at once",
        wanted >> 20,
        limit >> 20
    );
}

/// How much memory was in use at the most since [`forget_peak`].
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures for docs/metrics.md: what reading a large answer takes"]
async fn answer_figures() {
    let bytes = LARGEST_ANSWER - (1 << 16);
    let server = Server::json(of_bytes(bytes - 200)).await;
    for components in [true, false] {
        let source = PrometheusSource::new(&patient(&[&server.url])).unwrap();
        forget_peak();
        let before = peak();
        if components {
            source.read(&ask(), now()).await.unwrap_err();
        } else {
            source.vector("large", now()).await.unwrap();
        }
        // The server's own copies of what it sends are in it.
        let tenths = 10 * (peak() - before) / bytes;
        println!(
            "components: {components}: {}.{} bytes for each of an answer",
            tenths / 10,
            tenths % 10
        );
    }
}
