//! The same question to both.

use std::collections::BTreeSet;
use std::path::PathBuf;

use gradual_rollout_migration::model::nginx::{Nginx, Options};
use gradual_rollout_migration::model::{Answer, Request};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;

use crate::edge::echo::Echo;
use crate::edge::process;
use crate::support::{Ingress, http};
use crate::{conf, sets};

/// An nginx to be started, and the back end behind it.
struct Edge {
    program: PathBuf,
    /// What loads Lua, where redirects to https are asked about.
    lua: Option<String>,
    echo: Echo,
}

impl Edge {
    fn without_lua() -> Option<Self> {
        process::find("nginx", "-v").map(|program| Self {
            program,
            lua: None,
            echo: Echo::start(),
        })
    }

    fn with_lua() -> Option<Self> {
        let mut edge = Self::without_lua()?;
        edge.lua = conf::lua(&edge.program);
        if edge.lua.is_none() {
            println!("skipped: this nginx has no Lua");
        }
        edge.lua.is_some().then_some(edge)
    }
}

/// The hosts of every Ingress with a tls section.
fn certified(ingresses: &[Value]) -> BTreeSet<String> {
    let with_tls = ingresses
        .iter()
        .filter(|ingress| ingress["spec"]["tls"].is_array());
    let rules = with_tls.flat_map(|ingress| ingress["spec"]["rules"].as_array().unwrap());
    rules
        .filter_map(|rule| rule["host"].as_str())
        .map(str::to_owned)
        .collect()
}

fn config() -> ProptestConfig {
    // As many as PROPTEST_CASES says, else few: each starts an nginx.
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(64);
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn agree(edge: &Edge, ingresses: &[Ingress], requests: &[Request]) -> Result<(), TestCaseError> {
    let values: Vec<_> = ingresses.iter().cloned().map(Ingress::value).collect();
    let model = Nginx::new(&values, Options::default());
    // Locations that nginx would not load: nothing to compare.
    let Ok(servers) = model.servers() else {
        return Err(TestCaseError::reject("duplicate location"));
    };
    let certified = certified(&values);
    let http = conf::http(servers, edge.echo.address, edge.lua.as_ref().map(|_| &certified));
    let nginx = conf::start(&edge.program, edge.lua.as_deref().unwrap_or_default(), &http)
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
    let Some(edge) = Edge::without_lua() else {
        return;
    };
    proptest!(config(), |(ingresses in sets::ingresses(), requests in sets::requests())| {
        agree(&edge, &ingresses, &requests)?;
    });
}

#[test]
fn any_ingresses_with_certificates_are_served_alike() {
    let Some(edge) = Edge::with_lua() else {
        return;
    };
    proptest!(config(), |(ingresses in sets::ingresses_with_tls(), requests in sets::requests())| {
        agree(&edge, &ingresses, &requests)?;
    });
}

#[test]
fn the_seed_vectors_are_served_alike() {
    let Some(edge) = Edge::without_lua() else {
        return;
    };
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
        agree(&edge, &ingresses, &requests).unwrap();
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
    let refused = conf::start(&program, "", http).err().unwrap_or_default();
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
    let Some(edge) = Edge::without_lua() else {
        return;
    };
    let ingresses = [Ingress::named("a")
        .prefix("h", "/b", "b")
        .prefix("h", "/a/", "a")
        .prefix("h", "/a-b", "neighbour")];
    agree(
        &edge,
        &ingresses,
        &["/a", "/a?q", "/a-b", "/a-b/x", "/a/x", "/ab"].map(|path| http("h", path)),
    )
    .unwrap();
}
