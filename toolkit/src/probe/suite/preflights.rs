//! What guards do to OPTIONS: nginx answers the preflights of `enable-cors` itself, before it asks anybody, and guards the
//! rest. Part of the suite `routes`, as a guard that only GETs meet is lost to a whole method.

use super::cors::{FOREIGN, Told, allowed, kept_out};
use super::guards::{by_address_alone, guarded, judged, keeps_out};
use crate::probe::Probe;
use crate::probe::ask::{Outcome, Question};
use crate::probe::code::{self, Code};
use crate::probe::hit::Hit;
use crate::probe::routes::{SUITE, both};
use crate::probe::target::Target;
use futures::StreamExt;
use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};

/// Asks for each guarded path of each host with CORS: how many questions, and what was found.
pub(in crate::probe) async fn run(probe: &Probe, targets: &[Target]) -> (usize, Vec<Hit>) {
    let asked: Vec<(&Target, &String)> = targets
        .iter()
        .filter(|target| target.is_on("enable-cors"))
        .flat_map(|target| target.paths.iter().map(move |path| (target, path)))
        .filter(|(target, path)| guarded(target, path))
        .collect();
    let found: Vec<(usize, Vec<Hit>)> = futures::stream::iter(asked)
        .map(|(target, path)| one(probe, target, path))
        .buffered(probe.at_once)
        .collect()
        .await;
    let count = found.iter().map(|(count, _)| count).sum();
    (count, found.into_iter().flat_map(|(_, hits)| hits).collect())
}

/// A preflight from an origin that is allowed, one from a foreign one, and an OPTIONS of no browser.
async fn one(probe: &Probe, target: &Target, path: &str) -> (usize, Vec<Hit>) {
    let allowed = allowed(target.says("cors-allow-origin").unwrap_or("*"));
    let (mut nginx, mut istio) = probe.pair(false);
    let (mut count, mut hits) = (0, Vec::new());
    for origin in [Some(allowed.as_str()), Some(FOREIGN), None] {
        count += 1;
        let mut question = Question::get(target.scheme(), &target.host, path);
        question.method = Method::OPTIONS;
        if let Some(origin) = origin {
            question = question
                .with(ORIGIN, origin)
                .with(ACCESS_CONTROL_REQUEST_METHOD, "GET");
        }
        let (ours, theirs) = both(probe, &mut nginx, &mut istio, &question).await;
        // An application may answer an OPTIONS otherwise each time: what is no guard's answer is none of this.
        let guards = keeps_out(target, &ours);
        let lost = judged(&question, &ours, &theirs, &probe.backend);
        let lost = lost.filter(|code| guards && *code != code::GUARD_UNASKED);
        let code =
            lost.or_else(|| origin.and_then(|origin| differs(target, &question, origin, &ours, &theirs)));
        if let Some(code) = code {
            let from = origin.map_or_else(
                || " from no origin".to_owned(),
                |origin| format!(" from {origin}"),
            );
            let line = format!("{}{from}", question.line());
            let (here, there) = (ours.words(&question), theirs.words(&question));
            hits.push(Hit::new(SUITE, code, &target.host, line, here, there));
        }
    }
    (count, hits)
}

/// What is to be said of a preflight of which browsers do not make the same.
fn differs(
    target: &Target,
    question: &Question,
    origin: &str,
    nginx: &Outcome,
    istio: &Outcome,
) -> Option<Code> {
    let (Outcome::Answered(_), Outcome::Answered(_)) = (nginx, istio) else {
        return None;
    };
    let (here, there) = (
        Told::of(question, origin, nginx),
        Told::of(question, origin, istio),
    );
    if here.used == there.used {
        return None;
    }
    // Whom a list of addresses keeps out gets nothing from nginx but the preflight: the request itself is refused there too.
    // Any other guard would be asked about every browser, as a preflight has no credentials.
    let unseen = kept_out(istio) && by_address_alone(target);
    Some(if unseen { code::PREFLIGHT } else { code::CORS })
}
