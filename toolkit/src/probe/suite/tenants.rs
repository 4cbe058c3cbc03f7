//! Whether tenants are kept apart at the gateway.

use crate::preflight::certificate::Certificate;
use crate::probe::Probe;
use crate::probe::alive::marked;
use crate::probe::ask::{Client, Outcome, Question, secure};
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

/// Whether the certificate of a connection that is made for one host stands for another: browsers use it for both.
async fn stands(probe: &Probe, name: &str, host: &str) -> bool {
    let Ok(secured) = secure(&probe.istio, &probe.tls, name, probe.limit).await else {
        return false;
    };
    let read = secured
        .certificate
        .and_then(|der| Certificate::decoded(&der).ok());
    read.is_some_and(|certificate| certificate.covers(host))
}

/// The targets over whose connections one is asked for: the next of another tenant, and the next of its domain, each with
/// another certificate.
fn others<'t>(secured: &[&'t Target], index: usize, target: &Target) -> Vec<&'t Target> {
    let differs = |other: &&&Target| other.host != target.host && other.secret != target.secret;
    let next = || {
        secured
            .iter()
            .cycle()
            .skip(index)
            .take(secured.len())
            .filter(differs)
    };
    let domain = |host: &str| host.split_once('.').map(|(_, domain)| domain.to_owned());
    let apart = next().find(|other| other.namespace != target.namespace);
    let near = next().find(|other| domain(&other.host) == domain(&target.host));
    let near = near.filter(|near| apart.is_none_or(|apart| apart.host != near.host));
    apart.into_iter().chain(near).copied().collect()
}

/// Asks for a host over a connection that was made for another.
async fn over(probe: &Probe, target: &Target, other: &Target) -> Option<Hit> {
    let mut question = Question::get(Scheme::Https, &target.host, &target.path);
    let ask = async |question: &Question| {
        probe.pace.turn().await;
        let mut client = Client::new(&probe.istio, &probe.tls, false, probe.limit);
        client.ask(question).await
    };
    let own = ask(&question).await;
    question.name.clone_from(&other.host);
    let theirs = ask(&question).await;
    let (is, was) = (served(&theirs, &probe.backend), served(&own, &probe.backend));
    // Told that it is misdirected, a browser asks again over a connection of its own.
    let misdirected = matches!(&theirs, Outcome::Answered(answer) if answer.status == 421);
    let code = if stands(probe, &other.host, &target.host).await {
        (was && !is && !misdirected).then_some(code::REUSED)
    } else {
        (is && other.namespace != target.namespace).then_some(code::CROSS_TENANT)
    };
    let asked = format!("{} over TLS to {}", question.line(), other.host);
    let said = theirs.words(&question);
    code.map(|code| Hit::new(SUITE, code, &target.host, asked, "not asked", said))
}

/// Asks for hosts over connections made for others, and for a host that nobody has.
pub(super) async fn run(probe: &Probe, targets: &[Target]) -> (usize, Vec<Hit>) {
    let (mut count, mut hits) = (0, Vec::new());
    let secured: Vec<&Target> = targets.iter().filter(|target| target.secret.is_some()).collect();
    for (index, target) in secured.iter().enumerate() {
        for other in others(&secured, index, target) {
            count += 1;
            hits.extend(over(probe, target, other).await);
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
            Outcome::Refused(_) | Outcome::Late | Outcome::Unaskable | Outcome::Unasked => None,
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
