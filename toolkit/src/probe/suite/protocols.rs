//! HTTP/2, WebSocket and gRPC.

use crate::probe::Probe;
use crate::probe::ask::{Outcome, Question};
use crate::probe::code;
use crate::probe::hit::Hit;
use crate::probe::routes::both;
use crate::probe::target::Target;
use bytes::Bytes;
use futures::StreamExt;
use gradual_rollout_migration::model::Scheme;
use http::Method;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, TE, UPGRADE};

const SUITE: &str = "protocols";

/// Asks for each host what it can speak.
pub(super) async fn run(probe: &Probe, targets: &[Target]) -> (usize, Vec<Hit>) {
    let all: Vec<(usize, Vec<Hit>)> = futures::stream::iter(targets)
        .map(|target| one(probe, target))
        .buffered(probe.at_once)
        .collect()
        .await;
    let count = all.iter().map(|(count, _)| count).sum();
    (count, all.into_iter().flat_map(|(_, hits)| hits).collect())
}

async fn one(probe: &Probe, target: &Target) -> (usize, Vec<Hit>) {
    let mut hits = Vec::new();
    let mut count = 1;
    hits.extend(websocket(probe, target).await);
    if target.scheme() == Scheme::Https {
        count += 1;
        hits.extend(http2(probe, target).await);
        let protocol = target
            .says("backend-protocol")
            .unwrap_or_default()
            .to_ascii_uppercase();
        if ["GRPC", "GRPCS"].contains(&protocol.as_str()) {
            count += 1;
            hits.extend(grpc(probe, target).await);
        }
    }
    (count, hits)
}

async fn http2(probe: &Probe, target: &Target) -> Option<Hit> {
    let (mut nginx, mut istio) = probe.pair(true);
    let question = Question::get(Scheme::Https, &target.host, &target.path);
    let (ours, theirs) = both(probe, &mut nginx, &mut istio, &question).await;
    let code = match (&ours, &theirs) {
        (Outcome::Answered(_), Outcome::Refused(_) | Outcome::Late) => code::HTTP_2,
        (Outcome::Answered(ours), Outcome::Answered(theirs)) if ours.status != theirs.status => code::STATUS,
        _ => return None,
    };
    let asked = format!("HTTP/2 {}", question.line());
    Some(Hit::new(
        SUITE,
        code,
        &target.host,
        asked,
        ours.words(&question),
        theirs.words(&question),
    ))
}

async fn websocket(probe: &Probe, target: &Target) -> Option<Hit> {
    let (mut nginx, mut istio) = probe.pair(false);
    let question = Question::get(target.scheme(), &target.host, &target.path)
        .with(CONNECTION, "Upgrade")
        .with(UPGRADE, "websocket")
        .with(HeaderName::from_static("sec-websocket-version"), "13")
        // Sixteen octets, as the protocol wants; nobody learns anything from them.
        .with(
            HeaderName::from_static("sec-websocket-key"),
            "Z3JhZHVhbC1yb2xsb3V0IQ==",
        );
    let (ours, theirs) = both(probe, &mut nginx, &mut istio, &question).await;
    let status = |outcome: &Outcome| match outcome {
        Outcome::Answered(answer) => Some(answer.status),
        Outcome::Refused(_) | Outcome::Late | Outcome::Unaskable | Outcome::Unasked => None,
    };
    let (here, there) = (status(&ours), status(&theirs));
    (here != there && [here, there].contains(&Some(101))).then(|| {
        let asked = format!("WebSocket {}", question.line());
        Hit::new(
            SUITE,
            code::WEBSOCKET,
            &target.host,
            asked,
            ours.words(&question),
            theirs.words(&question),
        )
    })
}

/// A call to a method that no server has: whoever speaks gRPC says so in gRPC.
async fn grpc(probe: &Probe, target: &Target) -> Option<Hit> {
    let (mut nginx, mut istio) = probe.pair(true);
    let path = format!(
        "{}/gradual.rollout.Probe/Check",
        target.path.trim_end_matches('/')
    );
    let mut question = Question::get(Scheme::Https, &target.host, &path)
        .with(CONTENT_TYPE, "application/grpc")
        .with(TE, "trailers");
    question.method = Method::POST;
    // An empty message: not compressed, no length.
    question.body = Bytes::from_static(&[0; 5]);
    let (ours, theirs) = both(probe, &mut nginx, &mut istio, &question).await;
    let said = |outcome: &Outcome| match outcome {
        Outcome::Answered(answer) => match answer.header("grpc-status") {
            Some(status) => format!("gRPC {status}"),
            None => format!("HTTP {}, no gRPC", answer.status),
        },
        Outcome::Refused(_) | Outcome::Late | Outcome::Unaskable | Outcome::Unasked => {
            outcome.words(&question)
        }
    };
    let (here, there) = (said(&ours), said(&theirs));
    (here != there).then(|| Hit::new(SUITE, code::GRPC, &target.host, question.line(), here, there))
}
