//! The same, of the Gateway API: what a request meets at `HTTPRoutes`, as a small reading of the specification has it, is
//! what it meets in nginx, or the report says so; and what is guarded reaches nobody.

use gradual_rollout_migration::convert::{GatewayApi, Options, Target};
use gradual_rollout_migration::model::compare::corpus;
use gradual_rollout_migration::model::nginx::{self, Nginx};
use gradual_rollout_migration::model::{Answer, Request, Scheme};
use gradual_rollout_migration::report::Code;
use gradual_rollout_migration::rules;
use proptest::prelude::*;

use crate::agreement::{Given, World, cases, given, world_for};
use crate::gateway_reader;

fn options(regular_expressions: bool) -> Options {
    Options {
        target: Target::GatewayApi(GatewayApi {
            regular_expressions,
            ..GatewayApi::default()
        }),
        ..Options::default()
    }
}

fn converted(
    given: Given,
    guarded: &[bool],
    guard: (&str, &str),
    expressions: bool,
) -> (World, Vec<Request>) {
    let (ingresses, requests, apart) = given;
    let world = world_for(ingresses, apart, guarded, guard, &options(expressions));
    let mut asked = corpus(&world.ingresses);
    asked.extend(requests.iter().cloned());
    asked.extend(requests.into_iter().map(|mut request| {
        request.scheme = Scheme::Https;
        request.port = 443;
        request
    }));
    // Who asks for a port or in capitals is redirected to what it asked for, by each in its own way.
    asked.retain(|request| request.host == request.host_name());
    (world, asked)
}

/// What nginx says, in the words of the reader; `None` where the two cannot be compared.
fn told(answer: &Answer, request: &Request) -> Option<String> {
    match answer {
        Answer::Backend(to) => Some(format!("{} {}", to.service, to.target)),
        Answer::Redirect { .. } => {
            // An address without a host is on the same one.
            let host = format!(" {}://{}/", request.scheme.as_str(), request.host);
            let told = answer.to_string().replacen(" to ", " ", 1);
            Some(told.replacen(" /", &host, 1))
        }
        Answer::Status(404) => Some("none".to_owned()),
        Answer::Status(_) | Answer::Refused | Answer::Unsupported(_) => None,
    }
}

/// Codes under which a host, or a path of it, is not served.
const CLOSED: &[Code] = &[
    Code::GatewayRegex,
    Code::GatewayRewrite,
    Code::GatewayPath,
    Code::GatewayHostClosed,
    Code::PathEncoding,
    Code::PathPcre,
    Code::RewritePcre,
    Code::RewriteTarget,
    Code::RegexLong,
    Code::PathInvalid,
    Code::BehindRefused,
    Code::RedirectNowhere,
];

fn excused(world: &World, request: &Request, nginx: &str, gateway: &str) -> bool {
    let said = world.said(&request.host_name());
    let any = |codes: &[Code]| codes.iter().any(|code| said.contains(code));
    let closed = ["none", "error"].contains(&gateway);
    let query = request.query.is_some() && any(&[Code::RedirectQuery]);
    let slash = request.target().0.last() == Some(&b'/') && any(&[Code::SlashStrip]);
    // A redirect without a path is one to the root.
    let root = format!("{nginx}/");
    // nginx answers with the code and the address as text, here it is a redirect.
    let code = any(&[Code::RedirectCode]);
    // Which of two expressions comes first is the implementation's; the reader takes the longer one.
    let order =
        any(&[Code::GatewayRegexOrder]) && gateway_reader::ambiguous(&world.conversion.objects, request);
    closed && (nginx == "none" || any(CLOSED))
        || gateway == root
        || query
        || slash
        || code
        || order
        || any(&[Code::GatewayWildcard, Code::StatusPaths]) && deep(request)
        || request.scheme == Scheme::Https && closed && any(&[Code::DefaultCertificate, Code::NoCertificate])
}

/// Under the wildcards of the test, further down than one label.
fn deep(request: &Request) -> bool {
    request.host_name().split('.').count() > 3
}

fn differs(world: &World, asked: &[Request]) -> Option<String> {
    let nginx = Nginx::new(&world.ingresses, nginx::Options::default());
    asked
        .iter()
        .filter(|request| request.has_plain_path())
        .find_map(|request| {
            let wanted = told(&nginx.answer(request), request)?;
            let seen = gateway_reader::answer(&world.conversion.objects, request);
            // Whether an empty query is sent on is nobody's matter.
            let same = wanted.trim_end_matches('?') == seen.trim_end_matches('?');
            if same || excused(world, request, &wanted, &seen) {
                return None;
            }
            Some(format!(
                "{request}: nginx {wanted}, gateway {seen}\nsaid: {:?}\n{}\n{}",
                world.said(&request.host_name()),
                serde_json::to_string(&world.ingresses).unwrap(),
                serde_json::to_string(&world.conversion.objects).unwrap()
            ))
        })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_same_request_meets_the_same_at_http_routes_or_the_report_says_so(
        given in given(),
        expressions in any::<bool>(),
    ) {
        let (world, asked) = converted(given, &[], ("auth-type", "basic"), expressions);
        prop_assert_eq!(rules::check(&world.conversion.objects), []);
        if let Some(difference) = differs(&world, &asked) {
            return Err(TestCaseError::fail(difference));
        }
    }

    #[test]
    fn what_is_guarded_reaches_nobody_through_http_routes(
        given in given(),
        guarded in proptest::collection::vec(any::<bool>(), 8),
        expressions in any::<bool>(),
        guard in prop_oneof![Just(("auth-type", "basic")), Just(("whitelist-source-range", "10.0.0.0/8"))],
    ) {
        let (world, asked) = converted(given, &guarded, guard, expressions);
        let nginx = Nginx::new(&world.ingresses, nginx::Options::default());
        for request in asked.iter().filter(|request| !deep(request)) {
            let held = matches!(nginx.answer(request), Answer::Backend(to) if to.service == "guard");
            let seen = gateway_reader::answer(&world.conversion.objects, request);
            let reached = !["none", "error"].contains(&seen.as_str()) && !seen.starts_with('3');
            let leaks = held && reached || seen.starts_with("guard ");
            prop_assert!(
                !leaks,
                "{request}: {seen}\n{}\n{}",
                serde_json::to_string(&world.ingresses).unwrap(),
                serde_json::to_string(&world.conversion.objects).unwrap()
            );
        }
    }
}
