//! Requests whose spelling hides whose they are, on hosts whose paths are protected differently.
//!
//! nginx decodes octets, merges slashes and resolves dot segments, and compares then. Envoy leaves an encoded slash, and the
//! dots beside it, as they came. So `/pub/..%2Fadmin` is `/admin` to nginx and something below `/pub/` to Envoy, and to the
//! back end whatever it likes. Where one of the two paths is protected otherwise than the other such a request is nobody's.

use super::access::{self, Protection};
use super::book::Book;
use super::emit::{Emitter, End};
use super::routes::Scene;
use crate::input::PathType;
use crate::istio::{DirectResponse, HttpRoute, StringMatch};
use crate::report::{Code, Entry, Outcome};
use std::collections::BTreeMap;

/// A dot segment beside a slash that may be an octet. Nobody sends such a thing who means well.
const DOTS: &str = r".*(?:/|%2[Ff])\.{1,2}(?:(?:/|%2[Ff]).*)?";

/// Slashes that an expression takes for something else than nginx's does, which sees one slash in their place.
const SLASHES: &str = ".*(?://|%2[Ff]).*";

/// What cannot be judged on a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unjudged {
    Dots,
    Slashes,
}

impl<'a> Emitter<'a, '_> {
    /// The route that answers 503 to what cannot be judged; it has to come first. Whoever protects is told.
    pub(super) fn unjudged(
        &self,
        scene: &Scene<'a, '_>,
        ends: &[End<'_, 'a>],
        book: &mut Book<'_>,
    ) -> Option<HttpRoute> {
        let all: Vec<Option<Protection<'_>>> = ends
            .iter()
            .map(|(location, outcome, _)| {
                let closed = *outcome == Outcome::Refused;
                access::protection(scene.server, self.members, location, closed)
            })
            .collect();
        let what = what(scene.server.regex, ends, &all)?;
        for ((location, _, _), protection) in ends.iter().zip(&all) {
            let member = self.members.get(location.member);
            if let Some(member) = member.filter(|_| holds(*protection)) {
                let entry = Entry::new(Code::PathSpelling, "spec.rules", scene.server.host.clone());
                book.note(member.ingress, entry);
            }
        }
        let mut uris = vec![StringMatch::Regex(DOTS.to_owned())];
        if what == Unjudged::Slashes {
            uris.push(StringMatch::Regex(SLASHES.to_owned()));
        }
        Some(HttpRoute {
            name: Some("spellings that cannot be judged".to_owned()),
            matches: scene.matches(&uris, None, &BTreeMap::new()),
            direct_response: Some(DirectResponse { status: 503 }),
            ..HttpRoute::default()
        })
    }
}

fn holds(protection: Option<Protection<'_>>) -> bool {
    protection.is_some_and(Protection::holds)
}

/// What cannot be judged beside locations that are protected in these ways, in the order in which they are tried.
fn what(regex: bool, ends: &[End<'_, '_>], all: &[Option<Protection<'_>>]) -> Option<Unjudged> {
    if !all.iter().any(|protection| holds(*protection)) {
        return None;
    }
    let mut worst = None;
    for (at, ((location, outcome, _), own)) in ends.iter().zip(all).enumerate() {
        let below = regex || location.path_type == PathType::Prefix;
        if own.is_none() || *outcome == Outcome::Refused || !below {
            continue;
        }
        let otherwise = |other: &Option<Protection<'_>>| holds(*other) && other != own;
        let later = all.iter().skip(at + 1).any(otherwise);
        if later && regex {
            return Some(Unjudged::Slashes);
        }
        if later || all.iter().any(otherwise) {
            worst = Some(Unjudged::Dots);
        }
    }
    worst
}
