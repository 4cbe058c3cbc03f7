//! Ingresses come back the oldest first: of two that have one path nginx serves the older, and of two that show a certificate
//! for one host the older's. The API server tells ages by the second, so where one has to be older than another the clock
//! of the API server is waited for between them.

use super::plan::{Doing, Step};
use super::write::{self, Written};
use crate::cluster::{self, Cluster};
use crate::finding::{Finding, Severity};
use crate::pace::{Pace, paced};
use crate::shadow::{Server, certificates, locations};
use crate::trouble::Trouble;
use futures::StreamExt as _;
use kube::Client;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often it is asked what time it is, and how long it is waited for the next second.
const EVERY: Duration = Duration::from_millis(200);
const TIMES: usize = 50;

/// What nginx decides by age, and by whom it was had so far: of a path everybody, of a certificate those with another.
#[derive(Default)]
struct Taken {
    paths: BTreeMap<crate::shadow::Location, usize>,
    shown: BTreeMap<(Option<String>, String), BTreeMap<String, usize>>,
}

impl Taken {
    /// The first round in which one may come back, which has then what is its.
    fn round(&mut self, step: &Step) -> usize {
        let creates = step.kind == cluster::INGRESS && matches!(step.doing, Doing::Create);
        if !creates {
            return 0;
        }
        let (paths, shown) = (locations(&step.kept), certificates(&step.kept));
        let mut round = 0;
        for path in &paths {
            round = round.max(self.paths.get(path).map_or(0, |last| last + 1));
        }
        for (host, secret) in &shown {
            let others = self.shown.get(host).into_iter().flatten();
            let last = others
                .filter(|(other, _)| *other != secret)
                .map(|(_, last)| last + 1);
            round = round.max(last.max().unwrap_or_default());
        }
        for path in paths {
            let last = self.paths.entry(path).or_default();
            *last = round.max(*last);
        }
        for (host, secret) in shown {
            let last = self.shown.entry(host).or_default().entry(secret).or_default();
            *last = round.max(*last);
        }
        round
    }
}

/// Steps in rounds: what comes later has to be younger than what it has something in common with. Of two of an age the one
/// that is later by name is served.
pub fn rounds(steps: &[Step]) -> Vec<Vec<&Step>> {
    let mut sorted: Vec<&Step> = steps.iter().collect();
    sorted.sort_by_key(|&step| {
        let key = Reverse((&step.namespace, &step.name));
        (step.since.is_none(), &step.since, key)
    });
    let mut taken = Taken::default();
    let mut all: Vec<Vec<&Step>> = Vec::new();
    for step in sorted {
        let round = taken.round(step);
        if all.len() <= round {
            all.resize_with(round + 1, Vec::new);
        }
        if let Some(round) = all.get_mut(round) {
            round.push(step);
        }
    }
    all
}

/// Writes steps of one kind round by round. Of a host of which one was not written no younger one is: what came back before
/// an older one would be served instead of it.
pub async fn write_all(
    cluster: &Cluster,
    client: &Client,
    steps: &[Step],
    pace: &Pace,
    dry_run: bool,
    tell: &mut dyn FnMut(&Step, Written) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let (mut last, mut missing) = (String::new(), BTreeSet::new());
    for round in rounds(steps) {
        let (behind, round): (Vec<_>, Vec<_>) = round
            .into_iter()
            .partition(|step| !missing.is_disjoint(&servers(step)));
        for step in behind {
            missing.extend(servers(step));
            tell(step, halted(step))?;
        }
        if let (false, false, Some(first)) = (dry_run, last.is_empty(), round.first()) {
            later(cluster, client, first, &last).await;
        }
        let work = round
            .iter()
            .map(|step| async move { (*step, write::write(cluster, client, step, dry_run).await) });
        let mut stream = std::pin::pin!(paced(work, pace));
        while let Some((step, written)) = stream.next().await {
            if !written.done && !dry_run {
                missing.extend(servers(step));
            }
            if let Some(since) = written.since.as_ref().filter(|since| **since > last) {
                last.clone_from(since);
            }
            tell(step, written)?;
        }
    }
    Ok(())
}

/// What nginx serves by an Ingress, by class and host.
fn servers(step: &Step) -> BTreeSet<Server> {
    let paths = locations(&step.kept)
        .into_iter()
        .map(|(class, host, ..)| (class, host));
    paths.chain(certificates(&step.kept).into_keys()).collect()
}

/// Waits until what is created is younger than what was: a trial tells what time the API server has.
async fn later(cluster: &Cluster, client: &Client, step: &Step, last: &str) {
    for _ in 0..TIMES {
        let tried = write::write(cluster, client, step, true).await;
        match tried.since {
            Some(now) if now.as_str() > last => return,
            Some(_) => tokio::time::sleep(EVERY).await,
            // Who takes no trial does not tell the time; its clock goes on all the same.
            None => return tokio::time::sleep(Duration::from_secs(2)).await,
        }
    }
}

fn halted(step: &Step) -> Written {
    let why =
        "not written: an older one of its host did not come back, and nginx would serve this one instead";
    Written {
        done: false,
        since: None,
        why: Some(why.to_owned()),
        findings: vec![Finding {
            code: "RESTORE-HALTED",
            severity: Severity::Blocker,
            object: step.object(),
            message: why.to_owned(),
            remedy: "mend what is said of the other, and ask again".to_owned(),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn step(name: &str, since: Option<&str>, path: &str, secret: Option<&str>) -> Step {
        let mut spec =
            json!({"rules": [{"host": "a.com", "http": {"paths": [{"path": path, "pathType": "Prefix"}]}}]});
        if let Some(secret) = secret {
            spec["tls"] = json!([{"hosts": ["a.com"], "secretName": secret}]);
        }
        Step {
            kind: cluster::INGRESS,
            namespace: "n".to_owned(),
            name: name.to_owned(),
            kept: json!({"metadata": {"name": name, "namespace": "n"}, "spec": spec}),
            since: since.map(ToOwned::to_owned),
            doing: Doing::Create,
        }
    }

    fn names(steps: &[Step]) -> Vec<Vec<String>> {
        let round = |round: Vec<&Step>| round.iter().map(|step| step.name.clone()).collect();
        rounds(steps).into_iter().map(round).collect()
    }

    #[test]
    fn of_one_path_the_older_comes_first_and_of_an_age_the_later_by_name() {
        let (old, new) = (Some("2026-01-01T00:00:00Z"), Some("2026-01-02T00:00:00Z"));
        let steps = [
            step("a", new, "/", None),
            step("b", old, "/", None),
            step("c", old, "/", None),
            step("d", new, "/other", None),
            step("e", None, "/", None),
        ];
        assert_eq!(names(&steps), [vec!["c", "d"], vec!["b"], vec!["a"], vec!["e"]]);
    }

    #[test]
    fn of_one_host_with_two_certificates_the_older_comes_first_and_with_one_nobody_waits() {
        let (old, new) = (Some("2026-01-01T00:00:00Z"), Some("2026-01-02T00:00:00Z"));
        let steps = [step("a", new, "/a", Some("s")), step("b", old, "/b", Some("t"))];
        assert_eq!(names(&steps), [["b"], ["a"]]);
        let steps = [
            step("a", new, "/a", Some("s")),
            step("b", old, "/b", Some("s")),
            step("c", old, "/c", None),
        ];
        assert_eq!(names(&steps), [["c", "b", "a"]]);
        let mut canary = step("a", old, "/b", Some("s"));
        canary.kept["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/canary": "true"});
        assert_eq!(names(&[canary, step("b", old, "/b", Some("s"))]).len(), 1);
    }
}
