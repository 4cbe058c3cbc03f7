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
        let what = self.what(scene, ends)?;
        for (location, _, _) in ends.iter().filter(|end| self.holds(scene, end)) {
            if let Some(member) = self.members.get(location.member) {
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

    fn protection(
        &self,
        scene: &Scene<'a, '_>,
        (location, outcome, _): &End<'_, 'a>,
    ) -> Option<Protection<'_>> {
        access::protection(scene.server, self.members, location, *outcome == Outcome::Refused)
    }

    fn holds(&self, scene: &Scene<'a, '_>, end: &End<'_, 'a>) -> bool {
        self.protection(scene, end).is_some_and(Protection::holds)
    }

    fn what(&self, scene: &Scene<'a, '_>, ends: &[End<'_, 'a>]) -> Option<Unjudged> {
        let regex = scene.server.regex;
        let mut worst = None;
        for (at, one) in ends.iter().enumerate() {
            let (location, outcome, _) = one;
            let serves = *outcome != Outcome::Refused && (regex || location.path_type == PathType::Prefix);
            let Some(own) = self.protection(scene, one).filter(|_| serves) else {
                continue;
            };
            let protects_otherwise = |other: &End<'_, 'a>| {
                let theirs = self.protection(scene, other);
                theirs.is_some_and(|theirs| theirs.holds() && theirs != own)
            };
            let later = ends.iter().skip(at + 1).any(protects_otherwise);
            if later && regex {
                return Some(Unjudged::Slashes);
            }
            if later || ends.iter().any(protects_otherwise) {
                worst = Some(Unjudged::Dots);
            }
        }
        worst
    }
}
