//! The same question to both.

use std::path::Path;

use gradual_rollout_migration::model::nginx::{Nginx, Options};
use gradual_rollout_migration::model::{Answer, Request};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::edge::echo::Echo;
use crate::edge::process;
use crate::support::{Ingress, http};
use crate::{conf, sets};

fn agree(
    program: &Path,
    echo: &Echo,
    ingresses: &[Ingress],
    requests: &[Request],
) -> Result<(), TestCaseError> {
    let values: Vec<_> = ingresses.iter().cloned().map(Ingress::value).collect();
    let model = Nginx::new(&values, Options::default());
    // Locations that nginx would not load: nothing to compare.
    let Ok(servers) = model.servers() else {
        return Err(TestCaseError::reject("duplicate location"));
    };
    let http = conf::http(servers, echo.address);
    let nginx = conf::start(program, &http)
        .map_err(|said| TestCaseError::fail(format!("nginx does not load:\n{http}\n{said}")))?;
    for request in requests {
        let told = model.answer(request);
        if matches!(told, Answer::Unsupported(_)) {
            continue;
        }
        let seen = nginx.ask(request).told();
        prop_assert_eq!(told.to_string(), seen, "{}\n{}", request, http);
    }
    Ok(())
}

#[test]
fn any_ingresses_are_served_alike() {
    let Some(program) = process::find("nginx", "-v") else {
        return;
    };
    let echo = Echo::start();
    // As many as PROPTEST_CASES says, else few: each starts an nginx.
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(64);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(ingresses in sets::ingresses(), requests in sets::requests())| {
        agree(&program, &echo, &ingresses, &requests)?;
    });
}

#[test]
fn the_seed_vectors_are_served_alike() {
    let Some(program) = process::find("nginx", "-v") else {
        return;
    };
    let echo = Echo::start();
    let sets = [
        vec![
            Ingress::named("a")
                .any("h", "/foo", "svc")
                .with("rewrite-target", "/"),
        ],
        vec![
            Ingress::named("a")
                .any("h", "/bar(/|$)(.*)", "svc")
                .with("rewrite-target", "/$2"),
        ],
        vec![
            Ingress::named("a")
                .prefix("h", "/foo", "svc")
                .prefix("h", "/sl/", "slash"),
        ],
        vec![
            Ingress::named("a")
                .prefix("h", "/", "svc")
                .with("permanent-redirect", "https://www.google.com"),
        ],
        vec![
            Ingress::named("a")
                .any("h", "/one|/two", "svc")
                .with("use-regex", "true"),
        ],
    ];
    let targets = [
        "/foo",
        "/foo/",
        "/foo/bar?x=1",
        "/FOObar",
        "//foo/x",
        "//foo//x",
        "/foobar",
        "/FOO",
        "/bar",
        "/bar/x/y?q=1",
        "/BAR/x",
        "/barx",
        "/bar/a%20b",
        "/sl?x=1",
        "/sl",
        "/a/b?x=1",
        "/x/two",
        "/onexyz",
        "/x/one",
    ];
    let requests = targets.map(|target| http("h", target));
    for ingresses in sets {
        agree(&program, &echo, &ingresses, &requests).unwrap();
    }
}

/// What the model calls a configuration that nginx does not load: prefixes that differ by a slash only.
#[test]
fn a_location_written_twice_is_not_loaded() {
    let Some(program) = process::find("nginx", "-v") else {
        return;
    };
    let http =
        "server { listen unix:SOCKET; location \"/a/\" { return 200; } location \"/a/\" { return 200; } }";
    let refused = conf::start(&program, http).err().unwrap_or_default();
    assert!(refused.contains("duplicate location \"/a/\""), "{refused}");
    let ingress = Ingress::named("a")
        .prefix("h", "/a", "one")
        .prefix("h", "/a/", "two")
        .value();
    assert!(Nginx::new(&[ingress], Options::default()).servers().is_err());
}

/// nginx reads locations in the order of their names with the slash before every other character. Were it ASCII's
/// order, a neighbour with a `-` could hide the redirect.
#[test]
fn a_neighbour_does_not_hide_the_redirect_to_a_slash() {
    let Some(program) = process::find("nginx", "-v") else {
        return;
    };
    let echo = Echo::start();
    let ingresses = [Ingress::named("a")
        .prefix("h", "/b", "b")
        .prefix("h", "/a/", "a")
        .prefix("h", "/a-b", "neighbour")];
    agree(
        &program,
        &echo,
        &ingresses,
        &["/a", "/a?q", "/a-b", "/a-b/x", "/a/x", "/ab"].map(|path| http("h", path)),
    )
    .unwrap();
}
