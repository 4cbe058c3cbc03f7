//! The page that says which test holds which case: every test on it is there, and every case is on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Names of tests in a folder's files.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.extend(of(&text));
        }
    }
}

/// A test's name is in the first line with a function behind its mark; marks may stand between. One that is left out of
/// every run holds nothing.
fn of(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut marked, mut left_out) = (false, false);
    for line in text.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            marked = true;
        } else if line.starts_with("#[ignore") {
            left_out = true;
        } else if let Some(rest) = line
            .strip_prefix("async fn ")
            .or_else(|| line.strip_prefix("fn "))
        {
            let name = rest.split('(').next().filter(|_| marked && !left_out);
            found.extend(name.map(str::to_owned));
            (marked, left_out) = (false, false);
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// What stands in backticks and can be a test's name.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split('`').skip(1).step_by(2);
    let is = |word: &&str| {
        word.contains('_')
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    words.filter(is).map(str::to_owned).collect()
}

#[test]
fn every_acceptance_case_has_its_tests() {
    let page = std::fs::read_to_string(root().join("../docs/migration-acceptance.md")).unwrap();
    let mut all = BTreeSet::new();
    tests(&root().join("tests"), &mut all);
    tests(&root().join("src"), &mut all);
    let (before, rest) = page.split_once("\n## In a cluster\n").unwrap();
    let (cluster, after) = rest.split_once("\n## ").unwrap();
    let mut in_cluster = BTreeSet::new();
    tests(&root().join("../toolkit/tests"), &mut in_cluster);
    let lost: BTreeSet<_> = named(cluster).difference(&in_cluster).cloned().collect();
    assert_eq!(
        lost,
        BTreeSet::new(),
        "tests that the page names of what meets a cluster"
    );
    let lost: BTreeSet<_> = named(&[before, after].concat())
        .difference(&all)
        .cloned()
        .collect();
    assert_eq!(lost, BTreeSet::new(), "tests that the page names");

    let (mut here, mut replayed) = (BTreeSet::new(), BTreeSet::new());
    tests(&root().join("tests/it"), &mut here);
    tests(&root().join("tests/replay"), &mut replayed);
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [case, _, process, replay] = cells.as_slice() else {
            return None;
        };
        let case: u8 = case.trim_start_matches("| ").parse().ok()?;
        Some((case, (named(process), named(replay))))
    });
    let rows: BTreeMap<u8, _> = rows.collect();
    assert_eq!(
        rows.keys().copied().collect::<Vec<u8>>(),
        (1..=25).collect::<Vec<u8>>()
    );
    let with_number = |all: &BTreeSet<String>, case: u8| -> BTreeSet<String> {
        let prefix = format!("case_{case:02}_");
        all.iter()
            .filter(|name| name.starts_with(&prefix))
            .cloned()
            .collect()
    };
    for (case, (process, replay)) in rows {
        assert_eq!(process, with_number(&here, case), "case {case} in process");
        assert_eq!(replay, with_number(&replayed, case), "case {case} replayed");
        assert!(!process.is_empty() && !replay.is_empty(), "case {case}");
    }
}

#[test]
fn a_test_is_found_behind_its_mark_alone_and_not_where_it_is_left_out() {
    let text = "#[test]\n#[allow(x)]\nfn one() {\n}\nfn helper() {}\n    #[test]\n    fn two(\n#[tokio::test(start_paused = true)]\nasync fn three() {";
    assert_eq!(of(text), ["one", "three", "two"].map(str::to_owned).into());
    for left_out in [
        "#[test]\n#[ignore = \"x\"]\nfn one() {}\n#[test]\nfn two() {}",
        "#[ignore]\n#[test]\nfn one() {}\n#[test]\nfn two() {}",
    ] {
        assert_eq!(of(left_out), ["two".to_owned()].into(), "{left_out}");
    }
    assert_eq!(
        named("`a_b` and `c` and `d e_f` and `case_01_x`"),
        ["a_b", "case_01_x"].map(str::to_owned).into()
    );
}
