//! Which codes of the report excuse which difference.

use std::collections::BTreeSet;

use gradual_rollout_migration::model::compare::{Difference, Kind};
use gradual_rollout_migration::model::{Answer, Scheme};
use gradual_rollout_migration::report::Code;

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
];

/// No certificate, so no listener.
const WITHOUT_CERTIFICATE: &[Code] = &[Code::DefaultCertificate, Code::NoCertificate];

/// Whether what was said of the host's Ingresses and of the controller tells of this difference.
///
/// `listens`: whether a server of the gateway speaks TLS under that name.
pub(crate) fn excused(difference: &Difference, said: &BTreeSet<Code>, listens: bool) -> bool {
    let any = |codes: &[Code]| codes.iter().any(|code| said.contains(code));
    let request = &difference.request;
    let (nginx, envoy) = (&difference.nginx, &difference.envoy);
    // An nginx that would not load the configuration answers nothing that could be compared.
    if matches!(nginx, Answer::Unsupported(_)) {
        return true;
    }
    if !request.has_plain_path() && any(NORMALISATION) {
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
    if matches!((nginx, envoy), (Answer::Status(404), Answer::Refused)) {
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
