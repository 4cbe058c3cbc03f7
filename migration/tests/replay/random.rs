//! Random Ingresses: what the models say of either side, of the Ingresses and of what became of them, is what the
//! programs answer. So what the models find alike is alike.

use gradual_rollout_migration::model::envoy::{self, Envoy};
use gradual_rollout_migration::model::nginx::{self, Nginx};
use gradual_rollout_migration::model::{Answer, Request};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

use crate::given::Ingress;
use crate::world::{SOMEBODY, Seen, World};
use crate::{sets, support};

/// With a class, and with hosts that Istio takes.
fn dressed(ingress: support::Ingress) -> Ingress {
    let text = ingress
        .value()
        .to_string()
        .replace("\"host\":\"h\"", "\"host\":\"h.com\"");
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["spec"]["ingressClassName"] = json!("nginx");
    Ingress(value)
}

/// In the words of an answer of the models.
fn words(seen: &Seen) -> String {
    match (&seen.location, seen.backend.as_slice()) {
        (Some(location), _) => format!("{} to {}", seen.status, location.as_bytes().escape_ascii()),
        (None, [name, asked, host, ..]) => {
            let (_, target) = asked.split_once(' ').unwrap();
            let target = target.as_bytes().escape_ascii();
            format!("{name} gets {target} for host {host}")
        }
        (None, _) => seen.status.to_string(),
    }
}

fn answered(ingresses: Vec<support::Ingress>, requests: &[Request]) -> Result<(), TestCaseError> {
    let ingresses: Vec<Ingress> = ingresses.into_iter().map(dressed).collect();
    let values: Vec<Value> = ingresses.iter().map(|ingress| ingress.0.clone()).collect();
    let nginx = Nginx::new(&values, nginx::Options::default());
    if nginx.servers().is_err() {
        return Err(TestCaseError::reject("nginx would not load it"));
    }
    let Some(both) = World::of(ingresses).start() else {
        return Ok(());
    };
    let envoy = Envoy::new(&both.done.conversion.objects, envoy::Options::default());
    // Without a server in clear nobody listens; here somebody does, and has no host.
    let clear = both.done.says("\"protocol\":\"HTTP\"");
    for request in requests {
        let mut request = request.clone();
        if ["h", "H:81", "h."].contains(&request.host.as_str()) {
            request.host = request.host.to_lowercase().replace('h', "h.com");
        }
        let [real_nginx, real_envoy] = both
            .each(SOMEBODY, &request)
            .map(|seen| words(&seen.expect("an answer")));
        let told = nginx.answer(&request);
        // A rewrite to nothing is an error before Lua redirects to https, and behind the words that stand for it here.
        if !matches!(told, Answer::Unsupported(_) | Answer::Status(500)) {
            prop_assert_eq!(
                told.to_string(),
                real_nginx,
                "nginx: {:?} {}",
                request,
                json!(values)
            );
        }
        let outcomes = envoy.outcomes(&request).into_iter().map(|(_, answer)| answer);
        let outcomes: Vec<Answer> = outcomes.collect();
        if !clear
            || outcomes
                .iter()
                .any(|answer| matches!(answer, Answer::Unsupported(_)))
        {
            continue;
        }
        let told: Vec<String> = outcomes.iter().map(ToString::to_string).collect();
        prop_assert!(
            told.contains(&real_envoy),
            "Envoy: {request:?} {told:?} {real_envoy} {}",
            json!(both.done.conversion.objects)
        );
    }
    Ok(())
}

fn config() -> ProptestConfig {
    // As many as PROPTEST_CASES says, else few: each starts both programs.
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(12),
        failure_persistence: None,
        max_shrink_iters: 60,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_the_models_say_of_a_conversion_is_what_the_programs_answer(
        ingresses in prop_oneof![sets::ingresses(), sets::ingresses_with_tls()],
        requests in sets::requests(),
    ) {
        answered(ingresses, &requests)?;
    }
}
