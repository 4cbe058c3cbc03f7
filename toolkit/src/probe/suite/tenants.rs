//! Whether tenants are kept apart at the gateway.

use crate::probe::Probe;
use crate::probe::alive::marked;
use crate::probe::ask::{Client, Outcome, Question};
use crate::probe::code;
use crate::probe::hit::Hit;
use crate::probe::routes::both;
use crate::probe::target::Target;
use gradual_rollout_migration::model::Scheme;

const SUITE: &str = "multi-tenant";
/// A name that nobody can have.
const STRANGER: &str = "nobody.invalid";

/// Whether a host was served. An application that is reached may answer anything: only what a gateway says by itself,
/// that it has no such host or lets nobody in, without the mark of a back end, shows that none was.
fn served(outcome: &Outcome, backend: &[String]) -> bool {
    let Outcome::Answered(answer) = outcome else {
        return false;
    };
    ![403, 404, 421].contains(&answer.status) || marked(answer, backend)
}

/// Asks for hosts over connections made for others, and for a host that nobody has.
pub(super) async fn run(probe: &Probe, targets: &[Target]) -> (usize, Vec<Hit>) {
    let (mut count, mut hits) = (0, Vec::new());
    let secured: Vec<&Target> = targets.iter().filter(|target| target.secret.is_some()).collect();
    for (index, target) in secured.iter().enumerate() {
        // The next tenant with a certificate of its own.
        let apart = |other: &&&Target| {
            other.namespace != target.namespace && other.host != target.host && other.secret != target.secret
        };
        let Some(other) = secured.iter().cycle().skip(index).take(secured.len()).find(apart) else {
            continue;
        };
        count += 1;
        let mut question = Question::get(Scheme::Https, &target.host, &target.path);
        question.name.clone_from(&other.host);
        probe.pace.turn().await;
        let theirs = Client::new(&probe.istio, &probe.tls, false, probe.limit)
            .ask(&question)
            .await;
        if served(&theirs, &probe.backend) {
            let asked = format!("{} over TLS to {}", question.line(), other.host);
            let said = theirs.words(&question);
            hits.push(Hit::new(
                SUITE,
                code::CROSS_TENANT,
                &target.host,
                asked,
                "not asked",
                said,
            ));
        }
    }
    for scheme in [Scheme::Http, Scheme::Https] {
        count += 1;
        let (mut nginx, mut istio) = probe.pair(false);
        let question = Question::get(scheme, STRANGER, "/");
        let (ours, theirs) = both(probe, &mut nginx, &mut istio, &question).await;
        // One back end for whatever nobody has may be behind both: then both say the same.
        let status = |outcome: &Outcome| match outcome {
            Outcome::Answered(answer) => Some(answer.status),
            Outcome::Refused(_) | Outcome::Late | Outcome::Unaskable => None,
        };
        let known = status(&ours).is_some_and(|status| status < 400) || status(&ours) == status(&theirs);
        if served(&theirs, &probe.backend) && !known {
            let (here, there) = (ours.words(&question), theirs.words(&question));
            hits.push(Hit::new(
                SUITE,
                code::STRANGER,
                STRANGER,
                question.line(),
                here,
                there,
            ));
        }
    }
    (count, hits)
}
