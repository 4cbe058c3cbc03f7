//! Every test that the pages on the migration name is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Words in backticks that look like tests and are none.
const OTHERS: [&str; 3] = [
    "istio_percentage",
    "networking_mode",
    "nginx_ingress_controller_requests",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The tests in a folder's files.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(of(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// A test is the first function behind a mark.
fn of(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            marked = true;
        }
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some(name) = function.filter(|_| marked) {
            found.extend(name.split('(').next().map(str::to_owned));
            marked = false;
        }
    }
    found
}

/// What stands in backticks outside of blocks and may be the name of a test.
fn named(page: &str) -> BTreeSet<String> {
    let prose = page.split("```").step_by(2).collect::<String>();
    let words = prose.split('`').skip(1).step_by(2);
    let is = |word: &&str| {
        let snake = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        word.contains('_') && word.chars().all(snake)
    };
    words.filter(is).map(str::to_owned).collect()
}

#[test]
fn every_test_that_the_pages_name_is_there() {
    let mut all = BTreeSet::new();
    for folder in ["toolkit/src", "toolkit/tests", "migration/src", "migration/tests"] {
        tests(&root().join(folder), &mut all);
    }
    let mut names = BTreeSet::new();
    for page in ["migration.md", "migration-toolkit.md", "migration-acceptance.md"] {
        let text = std::fs::read_to_string(root().join("docs").join(page)).unwrap();
        names.extend(named(&text));
    }
    assert!(names.len() > 80, "{names:?}");
    for other in OTHERS {
        assert!(names.remove(other), "no page has {other} any more");
    }
    let lost: Vec<&String> = names.difference(&all).collect();
    assert_eq!(lost, [""; 0], "tests that the pages name");
}

#[test]
fn a_test_is_found_behind_its_mark_and_a_name_outside_of_blocks() {
    let text =
        "#[test]\nfn one_a() {\n}\nfn helper() {}\n#[tokio::test(start_paused = true)]\nasync fn two_b() {\n";
    assert_eq!(of(text), ["one_a", "two_b"].map(str::to_owned).into());
    assert_eq!(
        named("`a_b` `c`\n```\n`d_e`\n```\n`f_g h`, `i_j`"),
        ["a_b", "i_j"].map(str::to_owned).into()
    );
}
