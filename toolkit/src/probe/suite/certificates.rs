//! Which certificates the gateway has for the hosts.

use crate::preflight::certificate::Certificate;
use crate::probe::Probe;
use crate::probe::ask::{Outcome, Question, secure};
use crate::probe::code;
use crate::probe::hit::Hit;
use crate::probe::target::Target;
use futures::StreamExt;
use gradual_rollout_migration::model::Scheme;
use std::collections::BTreeSet;

const SUITE: &str = "ssl-certificates";

/// Shakes hands for each host with TLS.
pub(super) async fn run(probe: &Probe, targets: &[Target]) -> (usize, Vec<Hit>) {
    let hosts: BTreeSet<&str> = targets
        .iter()
        .filter(|target| target.secret.is_some())
        .map(|target| target.host.as_str())
        .collect();
    let count = hosts.len();
    let hits: Vec<Vec<Hit>> = futures::stream::iter(hosts)
        .map(|host| one(probe, host))
        .buffered(probe.at_once)
        .collect()
        .await;
    (count, hits.concat())
}

async fn one(probe: &Probe, host: &str) -> Vec<Hit> {
    let asked = format!("TLS to {host}");
    if probe.given_up().is_up() {
        probe.given_up().note(host, asked);
        return Vec::new();
    }
    probe.pace.turn().await;
    let (ours, theirs) = futures::join!(
        secure(&probe.nginx, &probe.tls, host, probe.limit),
        secure(&probe.istio, &probe.tls, host, probe.limit)
    );
    let question = Question::get(Scheme::Https, host, "/");
    let failed = |outcome: &Outcome| outcome.words(&question);
    let theirs = match theirs {
        Ok(secured) => secured.certificate,
        Err(outcome) => {
            let here = ours.as_ref().map_or_else(failed, |_| "a certificate".to_owned());
            return vec![Hit::new(
                SUITE,
                code::REFUSED,
                host,
                asked,
                here,
                failed(&outcome),
            )];
        }
    };
    let ours = ours.ok().and_then(|secured| secured.certificate);
    let Some(theirs) = theirs else {
        return vec![Hit::new(
            SUITE,
            code::CERTIFICATE_NAMES,
            host,
            asked,
            "",
            "no certificate",
        )];
    };
    let read = match Certificate::decoded(&theirs) {
        Ok(read) => read,
        Err(why) => return vec![Hit::new(SUITE, code::CERTIFICATE_NAMES, host, asked, "", why)],
    };
    let here = ours.as_ref().and_then(|der| Certificate::decoded(der).ok());
    let names = |certificate: &Certificate| certificate.names.join(", ");
    let known = here.as_ref().map_or_else(|| "none".to_owned(), names);
    let mut hits = Vec::new();
    if !read.covers(host) {
        hits.push(Hit::new(
            SUITE,
            code::CERTIFICATE_NAMES,
            host,
            &asked,
            known.clone(),
            names(&read),
        ));
    } else if ours.as_ref().is_some_and(|ours| *ours != theirs) {
        hits.push(Hit::new(
            SUITE,
            code::CERTIFICATE_OTHER,
            host,
            &asked,
            known,
            names(&read),
        ));
    }
    if read.ends <= probe.now {
        let ended = here.map_or_else(|| "none".to_owned(), |here| here.ends.to_string());
        hits.push(Hit::new(
            SUITE,
            code::CERTIFICATE_ENDED,
            host,
            asked,
            ended,
            read.ends.to_string(),
        ));
    }
    hits
}
