//! Whether what nginx guards is guarded at the gateway, by whomever it was told to: asked without credentials.

use crate::answering::OFF;
use crate::probe::Probe;
use crate::probe::ask::{Answer, Outcome, Question};
use crate::probe::code::{self, Code};
use crate::probe::hit::Hit;
use crate::probe::routes::both;
use crate::probe::target::Target;
use futures::StreamExt;

const SUITE: &str = "guards";

/// How often the gateway is asked for a path, each time over a new connection: one of several pods that lacks the guard
/// answers some of them only.
const TURNS: usize = 6;

/// Annotations that keep somebody out of every path.
const GUARDS: &[&str] = &[
    "allowlist-source-range",
    "auth-tls-secret",
    "denylist-source-range",
    "whitelist-source-range",
];
/// Annotations that do so but where the controller asks nobody.
const ASKING: &[&str] = &["auth-type", "auth-url"];

/// Whether a path is guarded, by an annotation or by the controller's own settings.
pub(in crate::probe) fn guarded(target: &Target, path: &str) -> bool {
    let says = |names: &[&str]| names.iter().any(|name| target.says(name).is_some());
    if says(GUARDS) || target.kept.by_address {
        return true;
    }
    // As the controller reads it: whatever is no `false` leaves it on.
    let spared = target
        .says("enable-global-auth")
        .is_some_and(|value| OFF.contains(&value.trim()));
    let free = target
        .kept
        .free
        .iter()
        .any(|free| path.starts_with(free.as_str()));
    !free && (says(ASKING) || target.kept.by_asking && !spared)
}

/// Whether addresses are all that a guard goes by.
pub(in crate::probe) fn by_address_alone(target: &Target) -> bool {
    let says = |names: &[&str]| names.iter().any(|name| target.says(name).is_some());
    !says(ASKING) && target.says("auth-tls-secret").is_none() && !target.kept.by_asking
}

/// What is to be said of the answers. An application behind a lost guard may answer anything, a redirect to its own
/// login or an error: only the guard's own answers show that there is one. One that names a back end where nginx's does not
/// may be the application's. Envoy's own 404, where it has no route, passes nothing on: the sides differ, and nobody is let in.
pub(in crate::probe) fn judged(
    question: &Question,
    nginx: &Outcome,
    istio: &Outcome,
    backend: &[String],
) -> Option<Code> {
    let Outcome::Answered(ours) = nginx else {
        return None;
    };
    let theirs = match istio {
        Outcome::Answered(theirs) => theirs,
        Outcome::Refused(_) => return Some(code::REFUSED),
        Outcome::Late => return Some(code::LATE),
        Outcome::Unaskable | Outcome::Unasked => return None,
    };
    let alike = ours.status == theirs.status && ours.location(question) == theirs.location(question);
    let kept_out = ours.status >= 300;
    let named = |answer: &Answer| backend.iter().any(|name| answer.header(name).is_some());
    match theirs.status {
        401 | 403 => (kept_out && named(theirs) && !named(ours)).then_some(code::GUARD_UNASKED),
        _ if !kept_out || alike => None,
        _ if theirs.has_no_route() && !named(theirs) => Some(code::STATUS),
        _ => Some(code::OPEN),
    }
}

/// Whether an answer of nginx is that of a guard: to whoever is let through the guard may be missing at the gateway and
/// nobody would see it.
pub(in crate::probe) fn keeps_out(target: &Target, nginx: &Outcome) -> bool {
    let Outcome::Answered(ours) = nginx else {
        return true;
    };
    let says = |names: &[&str]| names.iter().any(|name| target.says(name).is_some());
    match ours.status {
        401 | 403 => true,
        400 => says(&["auth-tls-secret"]),
        300..400 => says(&["auth-signin", "auth-tls-error-page"]) || target.kept.signs_in,
        _ => false,
    }
}

/// Asks the gateway again where its first answer is well, or shows that it has no route: the first that is worse, and what is
/// to be said of it. Of pods that are not of one mind one may have the route without its guard.
async fn worst(
    probe: &Probe,
    question: &Question,
    nginx: &Outcome,
    first: Outcome,
) -> (Option<Code>, Outcome) {
    let judge = |theirs: &Outcome| judged(question, nginx, theirs, &probe.backend);
    let (mut found, mut worst) = (judge(&first), first);
    for _ in 1..TURNS {
        if found.is_some_and(|code| code != code::STATUS) {
            break;
        }
        let (_, mut istio) = probe.pair(false);
        probe.pace.turn().await;
        let theirs = istio.ask(question).await;
        let said = judge(&theirs);
        if said.is_some() {
            (found, worst) = (said, theirs);
        }
    }
    (found, worst)
}

/// Asks for each path of each host with a guard: paths are routes of their own, and each may have lost it. Of what is guarded
/// and has no host it is told that nobody asked.
pub(super) async fn run(probe: &Probe, targets: &[Target]) -> (usize, Vec<Hit>) {
    let found: Vec<(usize, Vec<Hit>)> = futures::stream::iter(targets)
        .map(|target| one(probe, target))
        .buffered(probe.at_once)
        .collect()
        .await;
    let count = found.iter().map(|(count, _)| count).sum();
    let mut hits: Vec<Hit> = found.into_iter().flat_map(|(_, hits)| hits).collect();
    for target in &probe.nameless {
        let paths = target.paths.iter().filter(|path| guarded(target, path));
        hits.extend(paths.map(|path| {
            let asked = format!(
                "{path} of hosts that no rule names (namespace {})",
                target.namespace
            );
            Hit::new(
                SUITE,
                code::GUARD_UNASKED,
                &target.host,
                asked,
                "not asked",
                "not asked",
            )
        }));
    }
    (count, hits)
}

async fn one(probe: &Probe, target: &Target) -> (usize, Vec<Hit>) {
    let (mut count, mut hits) = (0, Vec::new());
    for path in target.paths.iter().filter(|path| guarded(target, path)) {
        count += 1;
        let (mut nginx, mut istio) = probe.pair(false);
        let question = Question::get(target.scheme(), &target.host, path);
        let (ours, theirs) = both(probe, &mut nginx, &mut istio, &question).await;
        let unasked = (!keeps_out(target, &ours)).then_some(code::GUARD_UNASKED);
        let (found, theirs) = worst(probe, &question, &ours, theirs).await;
        for code in found.into_iter().chain(unasked) {
            hits.push(Hit::new(
                SUITE,
                code,
                &target.host,
                question.line(),
                ours.words(&question),
                theirs.words(&question),
            ));
        }
    }
    (count, hits)
}
