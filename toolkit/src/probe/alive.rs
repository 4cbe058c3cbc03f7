//! Whether anything of an Ingress was seen to work: two sides that are dead answer alike too.

use super::ask::{Answer, Body, Outcome, Question};
use super::code;
use super::guarded::Guarded;
use super::hit::Hit;
use super::mark::has;
use super::routes::SUITE;
use super::target::{NOBODY, hosts};
use super::usual::PREFIX;
use crate::answering::ON;
use crate::see::{self, items, text};
use gradual_rollout_migration::model;
use serde_json::Value;
use std::collections::BTreeMap;

/// A question that nginx passes on to a back end, as its model says.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    host: String,
    path: String,
    line: String,
    /// A back end answered it on both sides.
    alive: bool,
    /// One of the answers names it.
    named: bool,
    /// nginx's answer is a guard's: nobody was asked behind it.
    kept_out: bool,
    nginx: String,
    istio: String,
}

impl Reached {
    /// By host and path, those in clear first.
    pub(super) fn order(&self) -> (&str, &str, &str) {
        (&self.host, &self.path, &self.line)
    }

    /// What became of a question; none where nginx answers it by itself. A model that does not cover it may be about a
    /// back end as well.
    pub(super) fn of(
        model: &model::Answer,
        question: &Question,
        nginx: &Outcome,
        istio: &Outcome,
        backend: &[String],
        guarded: &Guarded,
    ) -> Option<Self> {
        let unsure = match model {
            model::Answer::Backend(_) => false,
            model::Answer::Unsupported(_) => true,
            model::Answer::Status(_) | model::Answer::Redirect { .. } | model::Answer::Refused => {
                return None;
            }
        };
        let path = question.target.split('?').next().unwrap_or_default();
        // Where a back end says who it is, the guard let it be asked.
        let kept_out = !names_itself(nginx, backend) && guarded.keeps_out(&question.host, path, nginx);
        // A redirect that no back end shows on, as that to https, is what nginx answers by itself.
        if unsure && !kept_out && redirects(nginx) && ![nginx, istio].iter().any(|one| shows(one, backend)) {
            return None;
        }
        Some(Self {
            host: question.host.clone(),
            path: path.to_owned(),
            line: question.line(),
            alive: !kept_out && alive(nginx, istio, backend),
            kept_out,
            named: [nginx, istio]
                .into_iter()
                .any(|outcome| names_itself(outcome, backend)),
            nginx: nginx.words(question),
            istio: istio.words(question),
        })
    }
}

/// Whether a back end answered on both sides. A failure is the data plane's, or that of a back end that is not well; that
/// there is nothing, or that somebody may not, may be said by either, so a back end's own mark has to be on it.
fn alive(nginx: &Outcome, istio: &Outcome, backend: &[String]) -> bool {
    let (Outcome::Answered(ours), Outcome::Answered(theirs)) = (nginx, istio) else {
        return false;
    };
    // A stream that goes on is alive, what breaks off is not well.
    let works = |answer: &Answer| answer.status < 500 && answer.body != Body::Cut;
    let nothing = [ours, theirs]
        .iter()
        .any(|answer| matches!(answer.status, 401 | 403 | 404));
    works(ours) && works(theirs) && (!nothing || marked(ours, backend) || marked(theirs, backend))
}

fn redirects(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Answered(answer) if (300..400).contains(&answer.status))
}

/// Whether an answer has the mark of a back end.
fn shows(outcome: &Outcome, backend: &[String]) -> bool {
    matches!(outcome, Outcome::Answered(answer) if marked(answer, backend))
}

/// Whether a back end says in its answer who it is.
fn names_itself(outcome: &Outcome, backend: &[String]) -> bool {
    match outcome {
        Outcome::Answered(answer) => backend.iter().any(|name| answer.header(name).is_some()),
        Outcome::Refused(_) | Outcome::Late | Outcome::Unaskable | Outcome::Unasked => false,
    }
}

/// A warning for every host whose back ends answer and do not say who they are; one for all of them where none does.
pub(super) fn untold(reached: &[Reached], backend: &[String]) -> Vec<Hit> {
    let mut hosts: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for one in reached.iter().filter(|one| one.alive) {
        let (answers, named) = hosts.entry(&one.host).or_default();
        *answers += 1;
        *named |= one.named;
    }
    let silent: Vec<(&str, usize)> = hosts
        .iter()
        .filter(|(_, (_, named))| !named)
        .map(|(host, (answers, _))| (*host, *answers))
        .collect();
    let none = format!("no {}", backend.join(", no "));
    let hit = |host: &str, asked: String| Hit::new(SUITE, code::BACKEND_UNTOLD, host, asked, &none, &none);
    if silent.len() > 1 && silent.len() == hosts.len() {
        let answers: usize = silent.iter().map(|(_, answers)| answers).sum();
        let asked = format!("{answers} answers of back ends of {} hosts", silent.len());
        return vec![hit("all hosts", asked)];
    }
    silent
        .into_iter()
        .map(|(host, answers)| hit(host, format!("{answers} answers of back ends")))
        .collect()
}

/// Whether an answer has the mark of a back end.
pub(super) fn marked(answer: &Answer, backend: &[String]) -> bool {
    backend
        .iter()
        .map(String::as_str)
        .chain(["x-envoy-upstream-service-time"])
        .any(|name| answer.header(name).is_some())
}

/// A path without the slash at its end.
fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// Whether a path is asked for as it stands; others are expressions.
fn plain(path: &str) -> bool {
    path.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte))
}

/// The names that an Ingress serves. The other of `www` is not among them: it redirects at most, and may be another
/// Ingress's, which tells nothing of this one.
fn own_names(ingress: &Value) -> Vec<String> {
    let aliases = see::annotation(ingress, &format!("{PREFIX}/server-alias")).unwrap_or_default();
    let own: Vec<&str> = items(ingress, "/spec/rules")
        .filter_map(|rule| text(rule, "/host"))
        .chain(aliases.split(',').map(str::trim))
        .chain([NOBODY])
        .collect();
    let mut names = hosts(ingress);
    names.retain(|name| own.contains(&name.as_str()));
    names
}

/// A blocker for every Ingress of whose own paths none was answered by a back end.
pub(super) fn dead(ingresses: &[Value], reached: &[Reached]) -> Vec<Hit> {
    let canary = format!("{PREFIX}/canary");
    let mut by_host: BTreeMap<&str, Vec<&Reached>> = BTreeMap::new();
    for one in reached {
        by_host.entry(one.host.as_str()).or_default().push(one);
    }
    let mut hits = Vec::new();
    for ingress in ingresses {
        if see::annotation(ingress, &canary).is_some_and(|value| ON.contains(&value.trim())) {
            continue;
        }
        let names = own_names(ingress);
        let mut paths: Vec<&str> = items(ingress, "/spec/rules")
            .flat_map(|rule| items(rule, "/http/paths"))
            .map(|path| text(path, "/path").unwrap_or("/"))
            .collect();
        if paths.is_empty() {
            paths.push("/");
        }
        let exact = |path: &str| paths.iter().any(|own| !plain(own) || bare(own) == bare(path));
        let (wild, spelled): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| name.starts_with("*."));
        let under = by_host
            .iter()
            .filter(|(host, _)| !wild.is_empty() && has(&wild, host));
        let spelled = spelled.iter().filter_map(|name| by_host.get(name.as_str()));
        let own: Vec<&Reached> = under
            .map(|(_, all)| all)
            .chain(spelled)
            .flatten()
            .copied()
            .filter(|one| exact(&one.path))
            .collect();
        if let (Some(first), false) = (own.first(), own.iter().any(|one| one.alive)) {
            let name = see::place(Some(see::namespace(ingress)), see::name(ingress));
            // Every answer was a guard's: that is why, and nothing is known of what is behind it.
            let explained = own.iter().all(|one| one.kept_out);
            let why = if explained {
                "; its guard answers by itself"
            } else {
                ""
            };
            let asked = format!("{} (Ingress {name}{why})", first.line);
            let hit = Hit::new(
                SUITE,
                code::NO_BACKEND,
                &first.host,
                asked,
                &first.nginx,
                &first.istio,
            );
            hits.push(Hit {
                ingress: Some(name),
                explained,
                ..hit
            });
        }
    }
    hits
}
