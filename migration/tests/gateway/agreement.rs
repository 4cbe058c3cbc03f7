//! The same question to both.

use std::path::Path;
use std::process::Command;

use gradual_rollout_migration::model::Request;
use gradual_rollout_migration::model::envoy::{Envoy, Options, PathNormalization};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use serde_json::Value;

use crate::edge::echo::Echo;
use crate::edge::process::{self, Proxy};
use crate::{objects, xds};

fn start(program: &Path, services: &[Value], echo: &Echo, how: PathNormalization) -> Result<Proxy, String> {
    let folder = process::folder("envoy");
    let file = folder.join("envoy.json");
    let bootstrap = xds::bootstrap(services, &process::socket(&folder), echo.address, how);
    std::fs::write(&file, bootstrap.to_string()).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(&file).args([
        "--concurrency",
        "1",
        "--log-level",
        "error",
        "--disable-hot-restart",
    ]);
    Proxy::start(folder, &mut command)
}

fn agree(
    program: &Path,
    echo: &Echo,
    cases: &[(Vec<Value>, Vec<Request>)],
    how: PathNormalization,
) -> Result<(), TestCaseError> {
    let services: Vec<Value> = cases
        .iter()
        .enumerate()
        .map(|(number, (http, _))| objects::service(number, http))
        .collect();
    let mut all = services.clone();
    all.push(objects::gateway());
    let model = Envoy::new(
        &all,
        Options {
            path_normalization: how,
        },
    );
    prop_assert!(model.unread().is_empty(), "{:?}", model.unread());
    let envoy = start(program, &services, echo, how).map_err(TestCaseError::fail)?;
    for (number, (http, requests)) in cases.iter().enumerate() {
        for request in requests {
            let request = objects::to_host(request.clone(), number);
            let told: Vec<String> = model
                .outcomes(&request)
                .into_iter()
                .map(|(_, answer)| answer.to_string())
                .collect();
            let seen = envoy.ask(&request).told();
            let routes = serde_json::to_string_pretty(http).unwrap();
            prop_assert!(
                told.contains(&seen),
                "{request:?}\nmodel: {told:?}\nenvoy: {seen}\n{routes}"
            );
        }
    }
    Ok(())
}

const DEGREES: &[PathNormalization] = &[
    PathNormalization::None,
    PathNormalization::Normalize,
    PathNormalization::MergeSlashes,
    PathNormalization::DecodeAndMergeSlashes,
];

#[test]
fn any_routes_are_served_alike() {
    let Some(program) = process::find("envoy", "--version") else {
        return;
    };
    let echo = Echo::start();
    // As many as PROPTEST_CASES says, else few: each starts an Envoy, with forty hosts.
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(4);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 40,
        ..ProptestConfig::default()
    };
    proptest!(config, |(cases in vec(objects::case(), 40), how in select(DEGREES))| {
        agree(&program, &echo, &cases, how)?;
    });
}
