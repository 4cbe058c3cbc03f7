//! What nginx asks a password for reaches no back end, in no spelling and by no other way; and what it keeps for some
//! addresses reaches no back end of others, where the address list would not be looked at. Where the two read a path
//! differently before they compare it (dot segments beside `//`, octets beyond ASCII), nothing is reached that is not
//! open by itself.

use gradual_rollout_migration::model::compare::corpus;
use gradual_rollout_migration::model::envoy::Envoy;
use gradual_rollout_migration::model::nginx::Nginx;
use gradual_rollout_migration::model::{Answer, Octets, Request, Scheme, envoy, nginx};
use proptest::prelude::*;
use std::collections::BTreeSet;

use crate::agreement::{World, cases, given, guarded_world};

/// What one would ask nginx for to have what Envoy makes of this request, where the two read it differently. Whoever
/// asks for the one and gets the other may have it if it may ask for the other.
fn as_routes_see(request: &Request) -> Option<Request> {
    let target = String::from_utf8_lossy(&request.target().0).to_lowercase();
    let mut escapes = target.split('%').skip(1);
    let high = |rest: &str| rest.starts_with(|c: char| matches!(c, '8' | '9' | 'a'..='f'));
    // nginx takes `/a//..` as `/` and Envoy as `/a/`.
    let dots = target.replace("%2e", ".").contains("..");
    if !dots && !escapes.any(high) {
        return None;
    }
    let routed = envoy::as_routed(request, envoy::PathNormalization::default())?;
    // An octet beyond ASCII is a letter to nginx and three characters to an expression of Envoy's.
    let mut literal = Vec::new();
    for (at, byte) in routed.path.0.iter().enumerate() {
        literal.push(*byte);
        let next = routed.path.0.get(at + 1).map(u8::to_ascii_lowercase);
        if *byte == b'%' && matches!(next, Some(b'8' | b'9' | b'a'..=b'f')) {
            literal.extend(b"25");
        }
    }
    Some(Request {
        path: Octets(literal),
        ..routed
    })
}

/// From every path of a host to every other, by dot segments whose slashes are octets, and with slashes that are doubled.
fn detours(world: &World) -> Vec<Request> {
    let mut paths: BTreeSet<(String, String)> = BTreeSet::new();
    for ingress in &world.ingresses {
        for rule in ingress["spec"]["rules"].as_array().into_iter().flatten() {
            let host = rule["host"].as_str().unwrap_or("nobody").replace('*', "y");
            for path in rule["http"]["paths"].as_array().into_iter().flatten() {
                let path = path["path"].as_str().unwrap_or("/").trim_end_matches('/');
                let plain = path
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "/-._%".contains(c));
                if plain {
                    paths.insert((host.clone(), path.to_owned()));
                }
            }
        }
    }
    let mut all = Vec::new();
    for (host, from) in &paths {
        let others = paths.iter().filter(|(other, _)| other == host);
        for to in others.map(|(_, to)| to.as_str()).chain(["/a/b"]) {
            let up = "/%2e.".repeat(from.split('/').count().saturating_sub(1).max(1));
            let encoded = |path: &str| path.replace('/', "%2F");
            for target in [
                format!("{from}{}{}", encoded(&up), encoded(to)),
                format!("{from}/{}{to}", encoded(up.trim_start_matches('/'))),
                format!("{from}/x%2f..{}{to}/", encoded(&up)),
                format!("{from}/{to}"),
                from.replace('/', "//"),
                encoded(from.get(1..).unwrap_or_default()),
            ] {
                let target = format!("/{}", target.trim_start_matches('/'));
                all.push(Request::get(Scheme::Http, host, &target));
            }
        }
    }
    all
}

/// A request that nginx would have held back, and that reaches a back end that it must not.
fn leak(world: &World, requests: &[Request], itself: bool) -> Option<String> {
    let nginx = Nginx::new(&world.ingresses, nginx::Options::default());
    let envoy = Envoy::new(&world.conversion.objects, envoy::Options::default());
    let mut asked = corpus(&world.ingresses);
    asked.extend_from_slice(requests);
    asked.extend(detours(world));
    asked.iter().find_map(|request| {
        let held = |request: &Request| {
            matches!(nginx.answer(request), Answer::Backend(upstream) if upstream.service == "guard")
        };
        let guarded = held(request) && as_routes_see(request).is_none_or(|routed| held(&routed));
        let reached = envoy
            .outcomes(request)
            .into_iter()
            .find(|(_, answer)| matches!(answer, Answer::Backend(upstream) if !itself || upstream.service != "guard"));
        let (_, answer) = reached.filter(|_| guarded)?;
        let told = |values: &[serde_json::Value]| serde_json::to_string(values).unwrap();
        Some(format!(
            "{request}: {answer}\n{}\n{}",
            told(&world.ingresses),
            told(&world.conversion.objects)
        ))
    })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_is_guarded_reaches_no_back_end(
        (ingresses, requests, apart) in given(),
        guarded in proptest::collection::vec(any::<bool>(), 8),
    ) {
        let world = guarded_world(ingresses, apart, &guarded, ("auth-type", "basic"));
        if let Some(leak) = leak(&world, &requests, false) {
            return Err(TestCaseError::fail(leak));
        }
    }

    #[test]
    fn what_has_an_address_list_reaches_no_other_back_end(
        (ingresses, requests, apart) in given(),
        guarded in proptest::collection::vec(any::<bool>(), 8),
    ) {
        let world = guarded_world(ingresses, apart, &guarded, ("whitelist-source-range", "10.0.0.0/8"));
        if let Some(leak) = leak(&world, &requests, true) {
            return Err(TestCaseError::fail(leak));
        }
    }
}
