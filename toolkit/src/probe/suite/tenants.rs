//! Whether tenants are kept apart at the gateway.

use crate::probe::Probe;
use crate::probe::ask::{Client, Outcome, Question};
use crate::probe::code;
use crate::probe::hit::Hit;
use crate::probe::routes::both;
use crate::probe::target::Target;
use gradual_rollout_migration::model::Scheme;

const SUITE: &str = "multi-tenant";
/// A name that nobody can have.
const STRANGER: &str = "nobody.invalid";

fn served(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Answered(answer) if answer.status < 400)
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
        if served(&theirs) {
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
        if served(&theirs) && !served(&ours) {
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
