//! The same questions to both sides, and where they part.

use std::fmt;

use serde_json::Value;

use super::answer::{Answer, Octets, Port};
use super::envoy::{self, Envoy};
use super::nginx::{self, Nginx};
use super::request::Request;

pub use super::corpus::corpus;

/// In what two answers differ, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One is a back end, a redirect, a status or a refusal, and the other is something else.
    Outcome,
    /// Another Service or port.
    Backend,
    /// The same back end gets another path or query.
    Target,
    /// The same back end gets another Host.
    Host,
    /// Another status, of the proxy itself or of a redirect.
    Status,
    /// The client is sent elsewhere.
    Location,
    /// The same back end gets the same path in another spelling: decoded or resolved by Envoy, as sent by nginx.
    Spelling,
    /// One of the models cannot say.
    Unknown,
}

/// One request that is not answered alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What was asked.
    pub request: Request,
    /// In what the answers differ.
    pub kind: Kind,
    /// What ingress-nginx answers.
    pub nginx: Answer,
    /// What the Istio gateway answers; of several possible answers one that differs.
    pub envoy: Answer,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {:?}: nginx: {}; envoy: {}",
            self.request, self.kind, self.nginx, self.envoy
        )
    }
}

/// Asks `requests` of ingress-nginx with `ingresses` and of an Istio gateway with `objects`, both at their defaults.
pub fn differences(ingresses: &[Value], objects: &[Value], requests: &[Request]) -> Vec<Difference> {
    let nginx = Nginx::new(ingresses, nginx::Options::default());
    let envoy = Envoy::new(objects, envoy::Options::default());
    between(&nginx, &envoy, requests)
}

/// Asks `requests` of two sides that are ready.
pub fn between(nginx: &Nginx, envoy: &Envoy, requests: &[Request]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for request in requests {
        let ours = nginx.answer(request);
        // A client that is sent to a path stays with scheme and host.
        let seen = absolute(&ours, request);
        // A split is alike only if each of its sides is.
        let theirs = envoy.outcomes(request).into_iter().map(|(_, answer)| answer);
        let worst = theirs.filter_map(|theirs| kind(&seen, &theirs).map(|kind| (kind, theirs)));
        if let Some((kind, theirs)) = worst.min_by_key(|(kind, _)| *kind) {
            differences.push(Difference {
                request: request.clone(),
                kind,
                nginx: ours,
                envoy: theirs,
            });
        }
    }
    differences
}

fn absolute(answer: &Answer, request: &Request) -> Answer {
    match answer {
        Answer::Redirect { code, location } if location.0.first() == Some(&b'/') => {
            let mut whole = format!("{}://{}", request.scheme.as_str(), request.host).into_bytes();
            whole.extend_from_slice(&location.0);
            Answer::Redirect {
                code: *code,
                location: Octets(whole),
            }
        }
        Answer::Redirect { .. }
        | Answer::Backend(_)
        | Answer::Status(_)
        | Answer::Refused
        | Answer::Unsupported(_) => answer.clone(),
    }
}

/// In what two answers differ, if a client or a back end can tell.
pub fn kind(nginx: &Answer, envoy: &Answer) -> Option<Kind> {
    match (nginx, envoy) {
        (Answer::Unsupported(_), _) | (_, Answer::Unsupported(_)) => Some(Kind::Unknown),
        (Answer::Backend(ours), Answer::Backend(theirs)) => {
            let same_service = ours.namespace == theirs.namespace && ours.service == theirs.service;
            if !same_service || !Port::may_be(&ours.port, &theirs.port) {
                Some(Kind::Backend)
            } else if !same_target(&ours.target, &theirs.target) {
                Some(Kind::Target)
            } else if ours.host != theirs.host {
                Some(Kind::Host)
            } else {
                (ours.target != theirs.target).then_some(Kind::Spelling)
            }
        }
        (
            Answer::Redirect {
                code: ours,
                location: to,
            },
            Answer::Redirect {
                code: theirs,
                location: there,
            },
        ) => {
            if ours == theirs {
                (followed(to) != followed(there)).then_some(Kind::Location)
            } else {
                Some(Kind::Status)
            }
        }
        (Answer::Status(ours), Answer::Status(theirs)) => (ours != theirs).then_some(Kind::Status),
        (Answer::Refused, Answer::Refused) => None,
        (Answer::Backend(_) | Answer::Redirect { .. } | Answer::Status(_) | Answer::Refused, _) => {
            Some(Kind::Outcome)
        }
    }
}

/// Whether a back end is asked for the same. nginx writes no `?` before an empty query where it builds the target
/// itself, Envoy keeps it: that is spelling, as no query has anything to say in either.
fn same_target(ours: &Octets, theirs: &Octets) -> bool {
    let theirs = match theirs.0.split_last() {
        Some((b'?', rest)) if !ours.0.contains(&b'?') => &Octets(rest.to_vec()),
        Some(_) | None => theirs,
    };
    ours == theirs || envoy::same_path(ours, theirs)
}

/// An address as a client follows it: a usual port is none, no path is the root, and an empty query is none.
fn followed(location: &Octets) -> Vec<u8> {
    let text = location.0.as_slice();
    let text = text.strip_suffix(b"?").unwrap_or(text);
    let Some(start) = text.windows(3).position(|three| three == b"://") else {
        return text.to_vec();
    };
    let (scheme, rest) = text.split_at(start + 3);
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let usual: &[u8] = if scheme == b"https://" { b":443" } else { b":80" };
    let authority = authority.strip_suffix(usual).unwrap_or(authority);
    let root: &[u8] = if path.first() == Some(&b'/') { b"" } else { b"/" };
    [scheme, authority, root, path].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_query_is_spelling_and_no_other_is() {
        let same = |ours: &str, theirs: &str| same_target(&Octets::from(ours), &Octets::from(theirs));
        assert!(same("/x", "/x?"));
        assert!(!same("/x", "/x?q"));
        assert!(!same("/x?q", "/x?"));
    }

    #[test]
    fn addresses_that_a_client_follows_alike_are_alike() {
        for (one, other) in [
            ("https://h", "https://h/"),
            ("http://h:80/x", "http://h/x"),
            ("https://h:443?q", "https://h/?q"),
        ] {
            assert_eq!(followed(&Octets::from(one)), followed(&Octets::from(other)));
        }
        assert_eq!(
            followed(&Octets::from("http://h/x?")),
            followed(&Octets::from("http://h/x"))
        );
        let request = Request::get(crate::model::Scheme::Http, "h", "/x");
        let relative = Answer::Redirect {
            code: 301,
            location: Octets::from("/x/"),
        };
        let whole = Answer::Redirect {
            code: 301,
            location: Octets::from("http://h/x/"),
        };
        assert_eq!(absolute(&relative, &request), whole);
        assert_ne!(
            followed(&Octets::from("http://h:443/")),
            followed(&Octets::from("http://h/"))
        );
    }
}
