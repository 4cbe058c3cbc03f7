//! Whether clients that come in clear are sent to TLS alike.

use crate::probe::Probe;
use crate::probe::ask::Question;
use crate::probe::hit::Hit;
use crate::probe::routes::compared;
use crate::probe::target::Target;
use gradual_rollout_migration::model::Scheme;
use std::collections::BTreeSet;

const SUITE: &str = "redirects";

/// Asks for the root and the first path of each host with TLS.
pub(super) async fn run(probe: &Probe, targets: &[Target]) -> (usize, Vec<Hit>) {
    let asked: BTreeSet<(&str, &str)> = targets
        .iter()
        .filter(|target| target.secret.is_some())
        .flat_map(|target| [(target.host.as_str(), "/"), (&target.host, &target.path)])
        .collect();
    let mut hits = Vec::new();
    for (host, path) in &asked {
        let (mut nginx, mut istio) = probe.pair(false);
        let question = Question::get(Scheme::Http, host, path);
        for difference in compared(probe, &mut nginx, &mut istio, &question).await {
            let (here, there) = (difference.nginx, difference.istio);
            hits.push(Hit::new(
                SUITE,
                difference.code,
                host,
                question.line(),
                here,
                there,
            ));
        }
    }
    (asked.len(), hits)
}
