//! The corpus: every path of every host from all sides, asked of both data planes at the same time.

use super::alive::Reached;
use super::ask::{Client, Outcome, Question};
use super::code;
use super::diff::{self, Difference};
use super::hit::Hit;
use super::{Probe, progress};
use crate::place::Place;
use futures::StreamExt;
use gradual_rollout_migration::model::Request;
use gradual_rollout_migration::model::nginx::Nginx;

/// How many questions share a pair of connections: a host with thousands of paths is asked by several.
const CHUNK: usize = 64;

/// The suite's name.
pub(super) const SUITE: &str = "routes";

/// Questions of one host and scheme.
struct Job<'a> {
    requests: &'a [Request],
}

/// What a pair of connections brought: differences, and what back ends answered.
#[derive(Default)]
struct Found {
    asked: usize,
    differences: Vec<(Request, Question, Difference)>,
    reached: Vec<Reached>,
    /// Answers of the gateway's side, and those among them that are Envoy's to see.
    answers: usize,
    envoys: usize,
}

/// What no model says.
const UNFORESEEN: [code::Code; 5] = [
    code::UNSTABLE,
    code::FLAKY,
    code::LATE,
    code::CUT_OFF,
    code::CUT_OFF_BOTH,
];

/// Asks everything; `model` is that of nginx. `foreseen` says of a request whether the models of both sides differ on it in what was found
/// to differ, and the gateway answered with the status that its model says.
pub(super) async fn run(
    probe: &Probe,
    requests: &[Request],
    model: &Nginx,
    foreseen: &dyn Fn(&Request, &Difference) -> bool,
    place: &mut Place<'_>,
) -> Result<(Vec<Hit>, Vec<Reached>), std::io::Error> {
    let mut sorted: Vec<Request> = requests.to_vec();
    sorted.sort_by(|a, b| (&a.host, a.scheme).cmp(&(&b.host, b.scheme)));
    let jobs: Vec<Job<'_>> = sorted
        .chunk_by(|a, b| (&a.host, a.scheme) == (&b.host, b.scheme))
        .flat_map(|same| same.chunks(CHUNK))
        .map(|requests| Job { requests })
        .collect();
    let (mut hits, mut reached) = (Vec::new(), Vec::new());
    let (mut done, mut answers, mut envoys) = (0, 0, 0);
    let mut running = futures::stream::iter(jobs)
        .map(|job| one(probe, model, job))
        .buffer_unordered(probe.at_once);
    while let Some(found) = running.next().await {
        done += found.asked;
        answers += found.answers;
        envoys += found.envoys;
        reached.extend(found.reached);
        for (request, question, difference) in found.differences {
            let told = difference.lost_guard || UNFORESEEN.contains(&difference.code);
            let code = if !told && foreseen(&request, &difference) {
                code::FORESEEN
            } else {
                difference.code
            };
            hits.push(Hit::new(
                SUITE,
                code,
                &question.host,
                question.line(),
                difference.nginx,
                difference.istio,
            ));
        }
        progress(place, SUITE, done, sorted.len())?;
    }
    if answers > 0 && envoys == 0 {
        let said = format!("{answers} answers without a header of Envoy's");
        hits.push(Hit::new(
            SUITE,
            code::NO_ENVOY,
            "gateway",
            "all of them",
            "not asked",
            said,
        ));
    }
    // Many are asked at once; what is said of them comes in one order.
    reached.sort_by(|a, b| a.order().cmp(&b.order()));
    Ok((hits, reached))
}

async fn one(probe: &Probe, model: &Nginx, job: Job<'_>) -> Found {
    let (mut nginx, mut istio) = probe.pair(false);
    let mut found = Found {
        asked: job.requests.len(),
        ..Found::default()
    };
    for request in job.requests {
        let Some(question) = question(request) else {
            continue;
        };
        let (ours, theirs, differences) = answered(probe, &mut nginx, &mut istio, &question).await;
        if let Outcome::Answered(answer) = &theirs {
            found.answers += 1;
            found.envoys += usize::from(answer.is_envoys());
        }
        if matches!(theirs, Outcome::Unasked) {
            continue;
        }
        let said = model.answer(request);
        found.reached.extend(Reached::of(
            &said,
            &question,
            &ours,
            &theirs,
            &probe.backend,
            &probe.guarded,
        ));
        found.differences.extend(
            differences
                .into_iter()
                .map(|difference| (request.clone(), question.clone(), difference)),
        );
    }
    found
}

/// A request of the corpus as it is asked; none where its bytes are no text.
fn question(request: &Request) -> Option<Question> {
    let target = String::from_utf8(request.target().0).ok()?;
    Some(Question::get(request.scheme, &request.host, &target))
}

/// Asks both at the same time; where they differ, once more, as back ends may be about to change.
pub(super) async fn compared(
    probe: &Probe,
    nginx: &mut Client<'_>,
    istio: &mut Client<'_>,
    question: &Question,
) -> Vec<Difference> {
    answered(probe, nginx, istio, question).await.2
}

/// The same, and the first answers.
async fn answered(
    probe: &Probe,
    nginx: &mut Client<'_>,
    istio: &mut Client<'_>,
    question: &Question,
) -> (Outcome, Outcome, Vec<Difference>) {
    let (ours, theirs) = both(probe, nginx, istio, question).await;
    let first = probe.between(question, &ours, &theirs);
    // What has no end on either side has none the second time, and takes all of its time again.
    if first.iter().all(|one| one.code == code::CUT_OFF_BOTH) {
        return (ours, theirs, first);
    }
    if probe.given_up().is_up() {
        return (ours, theirs, first);
    }
    let (again, anew) = both(probe, nginx, istio, question).await;
    if matches!(anew, Outcome::Unasked) {
        return (ours, theirs, first);
    }
    let second = probe.between(question, &again, &anew);
    let codes = |all: &[Difference]| -> Vec<(&str, String, String)> {
        let one = |d: &Difference| (d.code.name, d.nginx.clone(), d.istio.clone());
        all.iter().map(one).collect()
    };
    if codes(&first) == codes(&second) {
        return (ours, theirs, first);
    }
    let twice = |a: &Outcome, b: &Outcome| format!("{}, then {}", a.words(question), b.words(question));
    // Where nginx is steady, the back ends are too: it is the gateway that fails some of the requests.
    let failing = |all: &[Difference]| all.iter().any(|one| FAILS.contains(&one.code));
    let steady = matches!(&ours, Outcome::Answered(_)) && ours.words(question) == again.words(question);
    let unstable = Difference {
        code: if steady && (failing(&first) || failing(&second)) {
            code::FLAKY
        } else {
            code::UNSTABLE
        },
        nginx: twice(&ours, &again),
        istio: twice(&theirs, &anew),
        status: None,
        ours: None,
        by_proxy: false,
        lost_guard: false,
    };
    (ours, theirs, vec![unstable])
}

/// What is a failure where it comes now and then.
const FAILS: [code::Code; 5] = [
    code::STATUS,
    code::LOCATION,
    code::REFUSED,
    code::LATE,
    code::CUT_OFF,
];

/// One turn, both sides.
pub(super) async fn both(
    probe: &Probe,
    nginx: &mut Client<'_>,
    istio: &mut Client<'_>,
    question: &Question,
) -> (Outcome, Outcome) {
    // Nobody waits for a turn to ask nothing.
    if !probe.given_up().is_up() {
        probe.pace.turn().await;
    }
    futures::join!(nginx.ask(question), istio.ask(question))
}

impl Probe {
    pub(super) fn between(&self, question: &Question, nginx: &Outcome, istio: &Outcome) -> Vec<Difference> {
        diff::between(question, nginx, istio, &self.backend, &self.headers)
    }
}
