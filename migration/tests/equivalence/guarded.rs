//! What nginx asks a password for reaches no back end, in no spelling and by no other way; and what it keeps for some
//! addresses reaches no back end of others, where the address list would not be looked at.

use gradual_rollout_migration::model::compare::corpus;
use gradual_rollout_migration::model::envoy::Envoy;
use gradual_rollout_migration::model::nginx::Nginx;
use gradual_rollout_migration::model::{Answer, Request, envoy, nginx};
use proptest::prelude::*;

use crate::agreement::{World, cases, given, guarded_world};

/// A request that nginx would have held back, and that reaches a back end that it must not.
fn leak(world: &World, requests: &[Request], itself: bool) -> Option<String> {
    let nginx = Nginx::new(&world.ingresses, nginx::Options::default());
    let envoy = Envoy::new(&world.conversion.objects, envoy::Options::default());
    let mut asked = corpus(&world.ingresses);
    asked.extend_from_slice(requests);
    // nginx takes `/a//..` as `/` and Envoy as `/a/`, which may be open; who asks for that gets no more than it has.
    let dots = |request: &Request| {
        let target = String::from_utf8_lossy(&request.target().0)
            .to_lowercase()
            .replace("%2e", ".");
        target.contains("..")
    };
    // An octet beyond ASCII is a letter to nginx and three characters to an expression of Envoy's, which so may meet the
    // route of somebody who is open. What is guarded is not met that way.
    let octets = |request: &Request| {
        let target = String::from_utf8_lossy(&request.target().0).to_lowercase();
        let mut escapes = target.split('%').skip(1);
        escapes.any(|rest| rest.starts_with(|c: char| matches!(c, '8' | '9' | 'a'..='f')))
    };
    asked.retain(|request| !dots(request) && !octets(request));
    asked.iter().find_map(|request| {
        let guarded =
            matches!(nginx.answer(request), Answer::Backend(upstream) if upstream.service == "guard");
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
