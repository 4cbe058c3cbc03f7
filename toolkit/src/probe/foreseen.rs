//! Which differences the models of both sides foresee: what was seen has to be what they say, of nginx and of the gateway.

use super::code;
use super::diff::Difference;
use gradual_rollout_migration::model::Answer;
use gradual_rollout_migration::model::compare::{self, Kind};

/// Whether a difference of the models is the one that was found.
pub(super) fn exactly(said: &compare::Difference, found: &Difference) -> bool {
    match (&said.nginx, &said.envoy) {
        // What nginx's model does not know says nothing; but a gateway that has nothing there lets nobody in.
        (_, Answer::Refused) => found.status.is_none(),
        _ if said.kind == Kind::Unknown => false,
        (Answer::Backend(_), Answer::Backend(_)) if said.kind != Kind::Backend => respelled(found),
        (nginx, envoy) => is(nginx, found.ours) && is(envoy, found.status) && leads(envoy, found),
    }
}

/// What one back end may say of two spellings, or two paths: that it does not know one of them, that it lies elsewhere, and
/// headers of its own. A status that neither spelling explains, and what the proxies write themselves, is not foreseen.
fn respelled(found: &Difference) -> bool {
    let unknown = |status: Option<u16>| matches!(status, Some(400 | 404));
    let well = |status: Option<u16>| status.is_some_and(|status| status < 500);
    if found.code == code::STATUS {
        return well(found.ours) && well(found.status) && (unknown(found.ours) || unknown(found.status));
    }
    found.code == code::LOCATION || found.code == code::HEADER && !found.by_proxy
}

/// Whether an answer is what its model says. Which status a back end gives is the back end's affair, but that there is none is
/// nobody's wish.
const fn is(said: &Answer, status: Option<u16>) -> bool {
    match (said, status) {
        (Answer::Backend(_), Some(status)) => !matches!(status, 502..=504),
        (Answer::Refused, None) => true,
        (Answer::Status(code) | Answer::Redirect { code, .. }, Some(status)) => *code == status,
        (Answer::Backend(_) | Answer::Status(_) | Answer::Redirect { .. }, None)
        | (Answer::Refused, Some(_))
        | (Answer::Unsupported(_), _) => false,
    }
}

/// Whether the gateway's redirect leads to where its model says; the authority is the one that was asked, in some spelling.
fn leads(said: &Answer, found: &Difference) -> bool {
    let Answer::Redirect { location, .. } = said else {
        return true;
    };
    let text = String::from_utf8_lossy(&location.0).into_owned();
    let behind = text.split_once("://").map_or(text.as_str(), |(_, rest)| {
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        rest.get(at..).unwrap_or_default()
    });
    found.code == code::BACKEND || found.istio.ends_with(behind)
}
