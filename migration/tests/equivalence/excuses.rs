//! Which codes of the report excuse which difference.

use std::collections::BTreeSet;

use gradual_rollout_migration::model::compare::{Difference, Kind, kind};
use gradual_rollout_migration::model::envoy::{PathNormalization, as_routed};
use gradual_rollout_migration::model::nginx::{self, Nginx};
use gradual_rollout_migration::model::{Answer, Scheme};
use gradual_rollout_migration::report::Code;
use serde_json::Value;

/// Paths that Envoy normalises and nginx does not, or the other way round: only the controller's entry tells of them.
const NORMALISATION: &[Code] = &[Code::MergeSlashes];

/// nginx serves something that is not converted; the gateway itself answers.
const REFUSED: &[Code] = &[
    Code::PathEncoding,
    Code::PathPcre,
    Code::RewritePcre,
    Code::RewriteTarget,
    Code::RegexLong,
    Code::PathInvalid,
    Code::RedirectNowhere,
];

/// No certificate, so no listener.
const WITHOUT_CERTIFICATE: &[Code] = &[Code::DefaultCertificate, Code::NoCertificate];

/// nginx's locations, asked for paths as Envoy reads them.
pub(crate) fn locations(ingresses: &[Value]) -> Nginx {
    let options = nginx::Options {
        as_it_stands: true,
        ..nginx::Options::default()
    };
    Nginx::new(ingresses, options)
}

/// What is left of a difference beside the spelling of its path: nginx's answer is then what its locations have for what Envoy
/// reads. None where nothing is left, but for spelling in what is asked of the same back end or said to the client.
fn beside_spelling(difference: &Difference, locations: &Nginx) -> Option<Difference> {
    // No path at all: neither side has a route for it.
    if difference.request.path.0.first() != Some(&b'/') {
        let by_itself = matches!(difference.envoy, Answer::Status(_) | Answer::Refused);
        return (!by_itself).then(|| difference.clone());
    }
    let Some(read) = as_routed(&difference.request, PathNormalization::Normalize) else {
        return (difference.envoy != Answer::Status(400)).then(|| difference.clone());
    };
    let nginx = locations.answer(&read);
    let kind = match kind(&nginx, &difference.envoy) {
        None | Some(Kind::Target | Kind::Host | Kind::Location | Kind::Spelling) => return None,
        Some(kind @ (Kind::Outcome | Kind::Backend | Kind::Status | Kind::Unknown)) => kind,
    };
    Some(Difference {
        kind,
        nginx,
        ..difference.clone()
    })
}

/// Whether what was said of the host's Ingresses and of the controller tells of this difference.
///
/// `listens`: whether a server of the gateway speaks TLS under that name.
pub(crate) fn excused(
    difference: &Difference,
    said: &BTreeSet<Code>,
    listens: bool,
    locations: &Nginx,
) -> bool {
    let any = |codes: &[Code]| codes.iter().any(|code| said.contains(code));
    if !difference.request.has_plain_path() && any(NORMALISATION) {
        return beside_spelling(difference, locations).is_none_or(|rest| of_meaning(&rest, said, listens));
    }
    of_meaning(difference, said, listens)
}

/// The same for what is not of spelling.
fn of_meaning(difference: &Difference, said: &BTreeSet<Code>, listens: bool) -> bool {
    let any = |codes: &[Code]| codes.iter().any(|code| said.contains(code));
    let request = &difference.request;
    let (nginx, envoy) = (&difference.nginx, &difference.envoy);
    // An nginx that would not load the configuration answers nothing that could be compared.
    if matches!(nginx, Answer::Unsupported(_)) {
        return true;
    }
    if request.scheme == Scheme::Https && !listens && *envoy == Answer::Refused && any(WITHOUT_CERTIFICATE) {
        return true;
    }
    // A wildcard's servers speak TLS, and HTTP, under deeper names too.
    let deep = request.host_name().split('.').count() > 3;
    if deep && *envoy == Answer::Status(404) && any(&[Code::WildcardDepth]) {
        return true;
    }
    // Where nothing at all is converted there is no listener; neither side has anything to say.
    if matches!((nginx, envoy), (Answer::Status(400 | 404), Answer::Refused)) {
        return true;
    }
    // A rewrite to nothing at a root that serves nothing: an error on either side.
    if matches!(
        (nginx, envoy),
        (Answer::Status(500), Answer::Status(404) | Answer::Refused)
    ) {
        return true;
    }
    match difference.kind {
        Kind::Outcome | Kind::Status => {
            let closed = matches!(envoy, Answer::Status(404 | 503) | Answer::Refused);
            if closed && *nginx == Answer::Status(200) {
                return any(&[Code::StatusPaths]);
            }
            // nginx answers with the code and the address as text, Istio redirects.
            let code = matches!(
                (nginx, envoy),
                (Answer::Status(300..=399), Answer::Redirect { .. })
            );
            closed && any(REFUSED) || code && any(&[Code::RedirectCode])
        }
        Kind::Location => {
            let target = request.target().0;
            let query = request.query.is_some() && any(&[Code::RedirectQuery]);
            let slash = target.last() == Some(&b'/') && any(&[Code::SlashStrip]);
            query || slash
        }
        Kind::Spelling => any(NORMALISATION),
        Kind::Backend | Kind::Target | Kind::Host | Kind::Unknown => false,
    }
}

/// An answer in a word.
pub(crate) fn shape(answer: &Answer) -> String {
    match answer {
        Answer::Backend(_) => "backend".to_owned(),
        Answer::Redirect { code, .. } | Answer::Status(code) => code.to_string(),
        Answer::Refused => "refused".to_owned(),
        Answer::Unsupported(_) => "unsupported".to_owned(),
    }
}
