//! `docs/acceptance.md` and `docs/reliability.md` name tests; each of them exists, once, and is run.

use std::collections::{BTreeMap, BTreeSet};
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

/// The tests of a source by their names, and whether each is run when nobody asks for it by name.
fn tests_in(text: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let (mut marked, mut ignored) = (false, false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if line.starts_with("#[ignore") || line.starts_with("#[cfg_attr") && line.contains("ignore") {
            ignored = true;
        } else if let Some(rest) = line
            .strip_prefix("async fn ")
            .or_else(|| line.strip_prefix("fn "))
        {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            let runs = !std::mem::take(&mut ignored);
            if std::mem::take(&mut marked) {
                found.push((name.to_owned(), runs));
            }
        }
    }
    found
}

/// The sweep's stories, a number and a name each: every one of them is a test.
fn stories_in(text: &str) -> Vec<(String, bool)> {
    let lines = text.lines().map(str::trim);
    let told = lines.skip_while(|line| *line != "stories! {").skip(1);
    told.take_while(|line| *line != "}")
        .filter_map(|line| line.split_once(' '))
        .filter(|(n, _)| n.parse::<u8>().is_ok())
        .map(|(_, name)| (name.to_owned(), true))
        .collect()
}

/// All tests by their names: of how many it is the name, and of how many that are run.
fn tests() -> BTreeMap<String, (usize, usize)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &mut files);
    }
    let mut found: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (name, runs) in tests_in(&text).into_iter().chain(stories_in(&text)) {
            let (all, run) = found.entry(name).or_default();
            *all += 1;
            *run += usize::from(runs);
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

/// Each page, and how many tests it names at least.
const PAGES: [(&str, &str, usize); 2] = [
    (
        "docs/acceptance.md",
        include_str!("../../../docs/acceptance.md"),
        100,
    ),
    (
        "docs/reliability.md",
        include_str!("../../../docs/reliability.md"),
        80,
    ),
];

#[test]
fn every_test_that_a_page_of_promises_names_exists() {
    let tests = tests();
    for (page, text, least) in PAGES {
        let named = named(text);
        let missing: Vec<_> = named
            .iter()
            .filter(|name| !tests.contains_key(name.as_str()))
            .collect();
        assert!(missing.is_empty(), "{page} names no test: {missing:#?}");
        assert!(
            named.len() > least,
            "{page}: only {} names were read",
            named.len()
        );
    }
}

#[test]
fn every_test_that_a_page_of_promises_names_is_the_only_one_of_its_name_and_is_run() {
    let tests = tests();
    for (page, text, _) in PAGES {
        let wrong: Vec<_> = named(text)
            .into_iter()
            .filter_map(|name| Some((tests.get(&name)?, name)))
            .filter(|(count, _)| **count != (1, 1))
            .collect();
        assert!(
            wrong.is_empty(),
            "{page}: of several tests of one name one may go without the page being red, and one that is ignored never \
             is; ((of that name, and run), name): {wrong:#?}"
        );
    }
}

#[test]
fn a_test_that_is_ignored_is_known_for_one() {
    let text = "#[test]\nfn a() {\n    fn inner() {}\n}\n#[test]\n#[ignore = \"slow\"]\nfn b() {}\n\
        #[ignore]\n#[tokio::test(start_paused = true)]\nasync fn c() {}\nfn d() {}\n#[test]\nfn e(x in y()) {}\n";
    let found: Vec<String> = tests_in(text)
        .into_iter()
        .map(|(name, runs)| format!("{name} {runs}"))
        .collect();
    assert_eq!(found, ["a true", "b false", "c false", "e true"]);
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

/// The cells of the page's lines: number, sources, what must hold, tests.
fn lines(page: &str) -> Vec<[&str; 4]> {
    let rows = page
        .lines()
        .filter(|l| l.starts_with("| ") && !l.starts_with("| # "));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        <[&str; 4]>::try_from(cells).unwrap_or_else(|_| panic!("four cells: {row}"))
    })
    .collect()
}

/// What the sources call their lines.
fn numbers() -> BTreeSet<String> {
    let counted = |list: char, last: u8| (1..=last).map(move |n| format!("{list}{n}"));
    let lettered = ('a'..='j').map(|c| format!("F{c}"));
    counted('F', 25)
        .chain(lettered)
        .chain(counted('A', 25))
        .chain(counted('N', 15))
        .chain(counted('L', 5))
        .collect()
}

#[test]
fn every_number_of_the_sources_has_its_line_or_stands_among_those_that_are_not_here() {
    let page = include_str!("../../../docs/acceptance.md");
    let words = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    let mut found = BTreeSet::new();
    for [number, from, ..] in lines(page) {
        for source in words(from).into_iter().filter(|s| s != "–") {
            assert!(
                numbers().contains(&source),
                "line {number}: no source has {source}"
            );
            found.insert(source);
        }
        assert!(!from.is_empty(), "line {number} says where it is from");
    }
    let left_out = page
        .split("is not here: ")
        .nth(1)
        .unwrap()
        .split('.')
        .next()
        .unwrap();
    for source in words(left_out) {
        assert!(numbers().contains(&source), "no source has {source}");
        assert!(found.insert(source.clone()), "{source} is here");
    }
    let missing: Vec<_> = numbers().difference(&found).cloned().collect();
    assert!(missing.is_empty(), "no line for {missing:?}");
}

#[test]
fn lines_are_numbered_one_after_the_other_and_facts_stand_in_their_own() {
    let page = include_str!("../../../docs/acceptance.md");
    for (at, [number, from, _, tests]) in lines(page).into_iter().enumerate() {
        assert_eq!(number, (at + 1).to_string(), "after {at}");
        for (list, prefix) in [("N", "fact_"), ("L", "leg_")] {
            let Some(n) = from.strip_prefix(list) else {
                continue;
            };
            let n: u8 = n.parse().unwrap();
            let name = if list == "N" {
                format!("{prefix}{n:02}_")
            } else {
                format!("{prefix}{n}_")
            };
            assert!(tests.contains(&name), "line {number}: {from} is held by {name}…");
        }
    }
}

#[test]
fn each_fact_of_nginx_and_each_trap_of_the_leg_has_its_test() {
    let tests = tests();
    let page = include_str!("../../../docs/acceptance.md");
    let prefixes = (1..=15)
        .map(|n| format!("fact_{n:02}_"))
        .chain((1..=5).map(|n| format!("leg_{n}_")));
    for prefix in prefixes {
        let of: Vec<_> = tests.keys().filter(|name| name.starts_with(&prefix)).collect();
        assert_eq!(of.len(), 1, "{prefix}: {of:?}");
        assert!(page.contains(of[0].as_str()), "{} is not on the page", of[0]);
    }
}

#[test]
fn a_name_that_is_no_test_is_seen() {
    assert_eq!(named("`a_b_c` and `canary-weight`, `x_y`, `A_b_c`").len(), 1);
    assert!(!tests().contains_key("no_such_test_anywhere_here"));
}
