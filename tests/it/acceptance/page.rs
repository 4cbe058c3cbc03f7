//! `docs/acceptance.md` names tests; each of them exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The names of all functions that are tests.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &mut files);
    }
    let mut found = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                marked = true;
            } else if let Some(rest) = line
                .strip_prefix("async fn ")
                .or_else(|| line.strip_prefix("fn "))
            {
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                if std::mem::take(&mut marked) {
                    found.insert(name.to_owned());
                }
            }
        }
    }
    found
}

/// What the page names in backquotes that can only be a test: small letters, digits and at least two underscores.
fn named(page: &str) -> BTreeSet<String> {
    let is_test = |word: &&str| {
        word.matches('_').count() >= 2
            && word
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    page.split('`')
        .skip(1)
        .step_by(2)
        .filter(is_test)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_test_that_the_acceptance_page_names_exists() {
    let page = include_str!("../../../docs/acceptance.md");
    let (named, tests) = (named(page), tests());
    let missing: Vec<_> = named.difference(&tests).collect();
    assert!(
        missing.is_empty(),
        "docs/acceptance.md names no test: {missing:#?}"
    );
    assert!(named.len() > 100, "only {} names were read", named.len());
}

#[test]
fn every_line_of_the_acceptance_page_names_a_test_or_says_why_not() {
    let page = include_str!("../../../docs/acceptance.md");
    let rows = page
        .lines()
        .filter(|l| l.starts_with("| ") && !l.starts_with("| # "));
    let bare: Vec<_> = rows
        .filter(|row| named(row).is_empty() && !row.contains("does not apply: "))
        .collect();
    assert!(bare.is_empty(), "{bare:#?}");
}

#[test]
fn each_fact_of_nginx_and_each_trap_of_the_leg_has_its_test() {
    let tests = tests();
    let page = include_str!("../../../docs/acceptance.md");
    let prefixes = (1..=15)
        .map(|n| format!("fact_{n:02}_"))
        .chain((1..=5).map(|n| format!("leg_{n}_")));
    for prefix in prefixes {
        let of: Vec<_> = tests.iter().filter(|name| name.starts_with(&prefix)).collect();
        assert_eq!(of.len(), 1, "{prefix}: {of:?}");
        assert!(page.contains(of[0].as_str()), "{} is not on the page", of[0]);
    }
}

#[test]
fn a_name_that_is_no_test_is_seen() {
    assert_eq!(named("`a_b_c` and `canary-weight`, `x_y`, `A_b_c`").len(), 1);
    assert!(!tests().contains("no_such_test_anywhere_here"));
}
