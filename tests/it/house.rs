//! The architecture as law: which room may import which, who says `kube::`, who reads the clock, how long a file
//! may be. Each law is a function from sources to complaints, so that each is also seen to complain.

mod scan;

use scan::{Path, Source};
use std::collections::BTreeSet;
use std::path::Path as File;

/// Every room, from the ground up, and the rooms it may import. A door leads only to a room listed above its own,
/// so there can be no circle.
const DOORS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("shown", &[]),
    ("telemetry", &["shown"]),
    ("rollout", &[]),
    ("settings", &["rollout"]),
    ("routing", &["rollout"]),
    ("metrics", &["rollout", "routing", "clock"]),
    ("probe", &["rollout", "routing", "clock"]),
    ("notify", &["rollout", "probe", "clock"]),
    ("backtest", &["rollout", "metrics"]),
    ("cluster", &["rollout", "routing", "clock"]),
    (
        "doctor",
        &["rollout", "routing", "metrics", "backtest", "cluster", "clock"],
    ),
    (
        "engine",
        &[
            "doctor",
            "rollout",
            "routing",
            "metrics",
            "probe",
            "notify",
            "cluster",
            "clock",
            "telemetry",
        ],
    ),
    ("api", &["engine", "cluster", "rollout", "clock", "telemetry"]),
    (
        "daemon",
        &[
            "api",
            "engine",
            "cluster",
            "metrics",
            "probe",
            "notify",
            "routing",
            "rollout",
            "clock",
            "telemetry",
            "settings",
        ],
    ),
    (
        "sandbox",
        &[
            "daemon", "metrics", "rollout", "clock", "settings", "routing", "cluster",
        ],
    ),
    (
        "cli",
        &[
            "daemon", "sandbox", "settings", "api", "rollout", "routing", "cluster", "metrics", "backtest",
            "probe", "notify", "clock", "doctor", "shown",
        ],
    ),
    // What `make fuzz` and a test throw bytes at; nothing of it is in the product.
    (
        "fuzzing",
        &["api", "cli", "metrics", "routing", "rollout", "settings"],
    ),
    ("main", &["cli"]),
];

/// Rooms without effects: no async, no I/O, no time.
const PURE: &[&str] = &["rollout", "routing"];

/// What test code outside the pure rooms may import besides.
const TEST_DOORS: &[&str] = &["sandbox", "clock"];

/// Rooms that may say `kube::`.
const KUBE_ROOMS: &[&str] = &["cluster", "sandbox"];

/// What the custom resource's definition in the core may take from `kube`: derives and schema, no client.
const KUBE_SCHEMA: &[&str] = &["CustomResource", "KubeSchema", "core"];

/// Crates and modules with effects, banned from the pure rooms.
const EFFECTS: &[&[&str]] = &[
    &["tokio"],
    &["tokio_util"],
    &["futures"],
    &["reqwest"],
    &["axum"],
    &["hyper"],
    &["tower"],
    &["http"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "env"],
    &["std", "process"],
    &["std", "thread"],
];

/// Lines from which a file is listed, and beyond which it is refused.
const LONG: usize = 400;
const TOO_LONG: usize = 600;

/// The room that a file belongs to; `None` for the map itself.
fn room(file: &str) -> Option<&str> {
    let name = file
        .trim_start_matches("src/")
        .split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs");
    (name != "lib").then_some(name)
}

/// Whether the whole file is test code, declared by `#[cfg(test)] mod name;` in its parent module.
fn only_for_tests(house: &[Source], file: &str) -> bool {
    let mut module = file
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .trim_end_matches("/mod")
        .to_owned();
    while let Some((parent, name)) = module.clone().rsplit_once('/') {
        let declared = house.iter().any(|source| {
            [format!("src/{parent}.rs"), format!("src/{parent}/mod.rs")].contains(&source.file)
                && source.modules.contains(&(name.to_owned(), true))
        });
        if declared {
            return true;
        }
        parent.clone_into(&mut module);
    }
    false
}

/// A complaint about a place.
fn at(source: &Source, line: usize, complaint: impl std::fmt::Display) -> String {
    format!("{}:{line}: {complaint}", source.file)
}

/// Complaints of `law`, asked for every path of every file with its room and whether it is test code.
fn each_path(house: &[Source], law: impl Fn(&Source, &str, &Path, bool) -> Option<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in house {
        let Some(room) = room(&source.file) else { continue };
        let whole = only_for_tests(house, &source.file);
        for path in &source.paths {
            if let Some(complaint) = law(source, room, path, whole || path.test) {
                complaints.push(at(source, path.line, complaint));
            }
        }
    }
    complaints
}

/// Every top-level module is in the table, and every file belongs to one.
fn unlisted_rooms(house: &[Source]) -> Vec<String> {
    let listed: BTreeSet<&str> = DOORS.iter().map(|(room, _)| *room).collect();
    let map = house
        .iter()
        .find(|source| source.file == "src/lib.rs")
        .expect("the map of the house, src/lib.rs");
    let declared: BTreeSet<&str> = map.modules.iter().map(|(name, _)| name.as_str()).collect();
    let unlisted = declared
        .difference(&listed)
        .map(|name| format!("src/lib.rs: the room `{name}` is not in the table of doors"));
    let undeclared = house
        .iter()
        .filter(|source| room(&source.file).is_some_and(|name| name != "main" && !declared.contains(name)))
        .map(|source| format!("{}: belongs to no module of src/lib.rs", source.file));
    unlisted.chain(undeclared).collect()
}

/// Imports through doors that are not in the table.
fn forbidden_doors(house: &[Source]) -> Vec<String> {
    each_path(house, |_, room, path, test| {
        let target = path.in_crate()?;
        let Some(target) = target.first() else {
            return Some(
                "names the crate's root itself, so that no door can be checked: name the room".to_owned(),
            );
        };
        let open = DOORS
            .iter()
            .find(|(name, _)| *name == room)
            .map_or(&[] as &[&str], |(_, open)| open);
        let for_tests = test && !PURE.contains(&room) && TEST_DOORS.contains(&target.as_str());
        let allowed = target == room || open.contains(&target.as_str()) || for_tests;
        (!allowed).then(|| {
            format!(
                "`{room}` has no door to `{target}` ({})",
                path.segments.join("::")
            )
        })
    })
}

/// `kube::` outside the rooms that talk to the cluster, but for the resource's definition.
fn kube_outside_its_rooms(house: &[Source]) -> Vec<String> {
    each_path(house, |source, room, path, test| {
        let first = path.segments.first()?;
        let kube = first == "kube" || first.starts_with("kube_");
        if !kube || test || KUBE_ROOMS.contains(&room) {
            return None;
        }
        let definition = source.file.starts_with("src/rollout/") && source.file.ends_with("spec.rs");
        let schema = path
            .segments
            .get(1)
            .is_some_and(|second| KUBE_SCHEMA.contains(&second.as_str()));
        (!(definition && schema))
            .then(|| format!("only `cluster` says `kube::` ({})", path.segments.join("::")))
    })
}

/// Readings of a clock outside `clock`: `Timestamp::now` and its kin everywhere, `Instant::now` unless it is
/// tokio's (a wait, which virtual time moves) or the sandbox's (which paces virtual time by the real one).
fn readings_of_the_clock(house: &[Source]) -> Vec<String> {
    each_path(house, |source, room, path, _| {
        let [.., owner, last] = path.segments.as_slice() else {
            return None;
        };
        if source.file == "src/clock.rs" || !["now", "now_utc", "now_local"].contains(&last.as_str()) {
            return None;
        }
        let names = |prefix: &[&str]| source.paths.iter().any(|p| p.starts_with(prefix));
        let tokios = names(&["tokio", "time", "Instant"]) && !names(&["std", "time", "Instant"]);
        let wait = owner == "Instant" && !PURE.contains(&room) && (tokios || room == "sandbox");
        (!wait).then(|| format!("reads the clock: ask clock::Clock ({})", path.segments.join("::")))
    })
}

/// Effects in the pure rooms. Their tests may read files and the environment.
fn effects_in_pure_rooms(house: &[Source]) -> Vec<String> {
    let mut complaints = each_path(house, |source, room, path, test| {
        // It reads which rule is broken, in builds that nobody uses.
        if source.file == "src/rollout/sabotage.rs" {
            return None;
        }
        let effect = EFFECTS.iter().find(|effect| path.starts_with(effect))?;
        let fixture = test && effect.first() == Some(&"std");
        (PURE.contains(&room) && !fixture)
            .then(|| format!("`{room}` is pure, `{}` is not", effect.join("::")))
    });
    for source in house
        .iter()
        .filter(|source| room(&source.file).is_some_and(|room| PURE.contains(&room)))
    {
        for (word, line, _) in source
            .words
            .iter()
            .filter(|(word, ..)| word == "async" || word == "await")
        {
            complaints.push(at(source, *line, format_args!("a pure room says `{word}`")));
        }
    }
    complaints
}

/// Models of other people's programs that name what is held against them: both would be wrong in the same way.
fn shared_with_models(models: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in models {
        for path in &source.paths {
            let ours = path.segments.first().is_some_and(|s| s == "gradual_rollout");
            // The bridge lives in a program of tests, whose own modules are its neighbours.
            let proxy = source.file.starts_with("tests/envoy/") && path.starts_with(&["crate", "proxy"]);
            let inside = path.in_crate().is_some() && !source.file.starts_with("tests/envoy/");
            let outside = path.segments.first().is_some_and(|s| s == "crate") && !proxy;
            if ours || inside || outside {
                let named = path.segments.join("::");
                complaints.push(at(
                    source,
                    path.line,
                    format!("a model shares code with what it judges ({named})"),
                ));
            }
        }
    }
    complaints
}

/// Files beyond `ceiling` lines.
fn longer_than(ceiling: usize, house: &[Source]) -> Vec<String> {
    let long = house.iter().filter(|source| source.lines > ceiling);
    long.map(|source| format!("{}: {} lines", source.file, source.lines))
        .collect()
}

/// Every source file of the project.
fn our_house() -> Vec<Source> {
    fn walk(folder: &File, root: &File, found: &mut Vec<Source>) {
        let mut entries: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for entry in entries {
            if entry.is_dir() {
                walk(&entry, root, found);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let file = entry
                    .strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .replace('\\', "/");
                found.push(Source::read(&file, &std::fs::read_to_string(&entry).unwrap()));
            }
        }
    }
    let root = File::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join("src"), root, &mut found);
    assert!(found.len() > 2, "the sources were not found");
    found
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_room_is_in_the_table_of_doors() {
    none(&unlisted_rooms(&our_house()));
}

#[test]
fn rooms_import_only_through_their_doors() {
    none(&forbidden_doors(&our_house()));
}

#[test]
fn only_the_cluster_room_says_kube() {
    none(&kube_outside_its_rooms(&our_house()));
}

#[test]
fn only_the_clock_reads_the_time() {
    none(&readings_of_the_clock(&our_house()));
}

#[test]
fn the_pure_rooms_have_no_effects() {
    none(&effects_in_pure_rooms(&our_house()));
}

#[test]
fn models_share_no_code_with_what_they_judge() {
    let root = File::new(env!("CARGO_MANIFEST_DIR"));
    let bridge = ["mod", "http_route", "virtual_service"].map(|name| format!("tests/envoy/bridge/{name}.rs"));
    let files = bridge
        .into_iter()
        .chain(["src/routing/tests/nginx/model.rs".to_owned()]);
    let models = files.map(|file| Source::read(&file, &std::fs::read_to_string(root.join(&file)).unwrap()));
    none(&shared_with_models(&models.collect::<Vec<_>>()));
}

#[test]
fn no_file_is_too_long_to_read() {
    let house = our_house();
    for file in longer_than(LONG, &house) {
        eprintln!("longer than {LONG} lines, look for a room of its own: {file}");
    }
    none(&longer_than(TOO_LONG, &house));
}

/// The laws themselves, on made-up houses.
mod laws {
    use super::*;

    /// A house of one file beside the map.
    fn house(file: &str, text: &str) -> Vec<Source> {
        vec![Source::read(file, text)]
    }

    #[test]
    fn doors_lead_only_to_rooms_listed_above_so_there_is_no_circle() {
        let mut above = BTreeSet::new();
        for (room, doors) in DOORS {
            assert!(
                doors.iter().all(|door| above.contains(door)),
                "{room} has a door to a room not listed above it"
            );
            assert!(above.insert(room), "{room} is listed twice");
        }
    }

    #[test]
    fn a_room_outside_the_table_and_a_file_outside_the_rooms_are_found() {
        let map = Source::read("src/lib.rs", "pub mod rollout; pub mod attic;");
        let cellar = Source::read("src/cellar/mod.rs", "");
        let complaints = unlisted_rooms(&[map, cellar]);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(
            complaints[0].contains("`attic`") && complaints[1].contains("cellar"),
            "{complaints:?}"
        );
    }

    #[test]
    fn a_forbidden_door_is_found_however_it_is_written() {
        for (file, text) in [
            ("src/rollout/decide.rs", "use crate::clock::Clock;"),
            ("src/rollout/decide.rs", "use crate::{rollout::Weight, engine};"),
            ("src/rollout/decide.rs", "fn f(c: &crate::clock::Clock) {}"),
            ("src/rollout/decide.rs", "use super::super::engine;"),
            ("src/rollout/decide.rs", "use super::{super::{engine::Engine}};"),
            ("src/rollout/mod.rs", "use super::clock;"),
            ("src/rollout/mod.rs", "use crate as root;"),
            ("src/rollout/mod.rs", "use crate::*;"),
            ("src/rollout/mod.rs", "use gradual_rollout::clock;"),
            (
                "src/rollout/mod.rs",
                "#[cfg(test)] mod tests { use crate::sandbox::Story; }",
            ),
            ("src/engine/mod.rs", "use crate::sandbox::Story;"),
            ("src/api/mod.rs", "use crate::metrics;"),
            ("src/main.rs", "use gradual_rollout::daemon;"),
        ] {
            assert_eq!(forbidden_doors(&house(file, text)).len(), 1, "{file}: {text}");
        }
    }

    #[test]
    fn a_model_that_borrows_is_found_and_its_own_neighbours_are_not() {
        for (file, text, found) in [
            ("tests/envoy/bridge/mod.rs", "use gradual_rollout::routing;", 1),
            ("tests/envoy/bridge/mod.rs", "use crate::world::World;", 1),
            (
                "tests/envoy/bridge/mod.rs",
                "use crate::proxy::ROUTES; use super::given;",
                0,
            ),
            ("src/routing/tests/nginx/model.rs", "use super::super::istio;", 1),
            (
                "src/routing/tests/nginx/model.rs",
                "use crate::routing::Weight;",
                1,
            ),
            ("src/routing/tests/nginx/model.rs", "use serde_json::Value;", 0),
        ] {
            let complaints = shared_with_models(&house(file, text));
            assert_eq!(complaints.len(), found, "{file}: {text}: {complaints:?}");
        }
    }

    #[test]
    fn an_open_door_is_left_alone() {
        for (file, text) in [
            (
                "src/rollout/decide.rs",
                "use crate::rollout::Weight; use super::spec::Spec; use std::fmt;",
            ),
            (
                "src/rollout/decide.rs",
                "//! See [`crate::engine`].\nconst A: &str = \"crate::engine\";",
            ),
            (
                "src/engine/mod.rs",
                "use crate::{clock::Clock, rollout::decide}; pub(crate) fn f() {}",
            ),
            (
                "src/engine/mod.rs",
                "#[cfg(test)] mod tests { use crate::sandbox::Story; }",
            ),
            ("src/main.rs", "fn main() { gradual_rollout::cli::run() }"),
        ] {
            none(&forbidden_doors(&house(file, text)));
        }
    }

    #[test]
    fn a_file_declared_for_tests_alone_counts_as_test_code() {
        let parent = Source::read("src/engine/mod.rs", "#[cfg(test)]\nmod tests;\nmod worker;");
        let tests = Source::read(
            "src/engine/tests/restart.rs",
            "use crate::sandbox::Story; use kube::Api;",
        );
        let worker = Source::read(
            "src/engine/worker.rs",
            "use crate::sandbox::Story; use kube::Api;",
        );
        let house = [parent, tests, worker];
        for complaints in [forbidden_doors(&house), kube_outside_its_rooms(&house)] {
            assert_eq!(complaints.len(), 1, "{complaints:?}");
            assert!(
                complaints[0].starts_with("src/engine/worker.rs"),
                "{complaints:?}"
            );
        }
    }

    #[test]
    fn kube_is_found_outside_its_rooms_and_the_schema_derive_is_not() {
        let said = |file, text| kube_outside_its_rooms(&house(file, text)).len();
        assert_eq!(said("src/engine/mod.rs", "use kube::Client;"), 1);
        assert_eq!(said("src/cli/status.rs", "fn f(c: kube::Client) {}"), 1);
        assert_eq!(said("src/rollout/decide.rs", "use kube::CustomResource;"), 1);
        assert_eq!(said("src/rollout/spec.rs", "use kube::{CustomResource, Api};"), 1);
        assert_eq!(
            said(
                "src/rollout/spec.rs",
                "use kube::{CustomResource, KubeSchema, core::Rule};"
            ),
            0
        );
        assert_eq!(said("src/rollout/router_spec.rs", "use kube::KubeSchema;"), 0);
        assert_eq!(said("src/cluster/lease.rs", "use kube::Api;"), 0);
        assert_eq!(said("src/sandbox/server.rs", "use kube::core::Status;"), 0);
    }

    #[test]
    fn reading_the_clock_is_found_and_asking_it_or_waiting_is_not() {
        let read = |file, text| readings_of_the_clock(&house(file, text)).len();
        assert_eq!(read("src/engine/mod.rs", "fn f() { jiff::Timestamp::now(); }"), 1);
        assert_eq!(
            read(
                "src/engine/mod.rs",
                "use std::time::Instant; fn f() { Instant::now(); }"
            ),
            1
        );
        assert_eq!(
            read("src/sandbox/mod.rs", "fn f() { let now = SystemTime::now; }"),
            1
        );
        assert_eq!(
            read(
                "src/rollout/mod.rs",
                "use tokio::time::Instant; fn f() { Instant::now(); }"
            ),
            1
        );
        assert_eq!(
            read(
                "src/engine/mod.rs",
                "use tokio::time::Instant; fn f() { Instant::now(); }"
            ),
            0
        );
        assert_eq!(
            read("src/engine/mod.rs", "fn f(clock: &Clock) { clock.now(); }"),
            0
        );
        assert_eq!(
            read(
                "src/sandbox/pace.rs",
                "use std::time::Instant; fn f() { Instant::now(); }"
            ),
            0
        );
        assert_eq!(read("src/clock.rs", "fn f() { Timestamp::now(); }"), 0);
    }

    #[test]
    fn effects_are_found_in_the_pure_rooms_only() {
        let found = |file, text| effects_in_pure_rooms(&house(file, text)).len();
        assert_eq!(found("src/rollout/mod.rs", "use tokio::sync::watch;"), 1);
        assert_eq!(found("src/routing/mod.rs", "use std::{fmt, fs};"), 1);
        assert_eq!(found("src/routing/mod.rs", "async fn f() { g().await }"), 2);
        assert_eq!(
            found(
                "src/routing/mod.rs",
                "#[cfg(test)] mod tests { use std::fs; use tokio::test; }"
            ),
            1
        );
        assert_eq!(found("src/rollout/mod.rs", "/// async, await\nuse std::fmt;"), 0);
        assert_eq!(
            found(
                "src/engine/mod.rs",
                "async fn f() { tokio::task::yield_now().await }"
            ),
            0
        );
    }

    #[test]
    fn a_long_file_is_found() {
        let text = "//\n".repeat(LONG + 1);
        assert_eq!(
            longer_than(LONG, &house("src/a.rs", &text)),
            ["src/a.rs: 401 lines"]
        );
        none(&longer_than(LONG + 1, &house("src/a.rs", &text)));
    }
}
