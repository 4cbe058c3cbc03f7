//! Every code that a verb which meets a cluster can find, explained: by the page that people read, so that there is one
//! explanation of each.

use serde::Serialize;

/// The page with a table for each verb.
const PAGE: &str = include_str!("../../docs/migration-toolkit.md");

/// What a code means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The code.
    pub code: String,
    /// How bad it is, in words; what may be accepted says so.
    pub severity: String,
    /// What it means.
    pub meaning: String,
    /// What to do.
    pub remedy: String,
}

/// Whether a word is spelled as codes are.
pub fn is_code(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let upper = |part: &&str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    parts.len() > 1 && parts.iter().all(upper)
}

/// All of them, in the order of the page.
pub fn all() -> Vec<Explanation> {
    let mut all = Vec::new();
    let mut may_be_accepted = false;
    for line in PAGE.lines() {
        let Some(row) = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")) else {
            continue;
        };
        // A cell may be empty: then its two spaces are one.
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if cells.first() == Some(&"code") {
            may_be_accepted = cells.get(1) == Some(&"may be accepted");
            continue;
        }
        let (codes, severity, meaning, remedy) = match cells.as_slice() {
            [codes, severity, meaning, remedy] => (*codes, *severity, *meaning, *remedy),
            [codes, meaning, remedy] => (*codes, "blocker", *meaning, *remedy),
            _ => continue,
        };
        let severity = match (may_be_accepted, severity) {
            (true, "yes") => "blocker, which --accept lets pass".to_owned(),
            (true, "") => "blocker".to_owned(),
            _ => severity.to_owned(),
        };
        for code in codes
            .split(", ")
            .map(|code| code.trim_matches('`'))
            .filter(|code| is_code(code))
        {
            all.push(Explanation {
                code: code.to_owned(),
                severity: severity.clone(),
                meaning: meaning.to_owned(),
                remedy: remedy.to_owned(),
            });
        }
    }
    all
}

/// The explanation of a code as typed.
pub fn find(code: &str) -> Option<Explanation> {
    all()
        .into_iter()
        .find(|known| known.code.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradual_rollout_migration::report::CODES;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// What stands in quotes in the sources of this crate and is spelled as a code.
    fn quoted(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                quoted(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(
                    text.split('"')
                        .filter(|word| is_code(word))
                        .map(ToOwned::to_owned),
                );
            }
        }
    }

    #[test]
    fn every_code_of_the_sources_is_explained_and_none_twice() {
        let mut codes = BTreeSet::new();
        quoted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut codes);
        let converters: BTreeSet<&str> = CODES.iter().map(|known| known.code.text()).collect();
        // Words of tests and of this file.
        let others = ["NO-SUCH-CODE"];
        let lost: Vec<&String> = codes
            .iter()
            .filter(|code| !others.contains(&code.as_str()) && !converters.contains(code.as_str()))
            .filter(|code| find(code).is_none())
            .collect();
        assert_eq!(lost, [""; 0], "codes that the page does not have");
        assert!(codes.len() > 150, "{}", codes.len());
        let all = all();
        let mut names = BTreeSet::new();
        for known in &all {
            assert!(names.insert(&known.code), "{} is twice in the page", known.code);
            assert!(
                !known.meaning.is_empty() && !known.severity.is_empty(),
                "{known:?}"
            );
            assert!(codes.contains(&known.code), "nothing finds {}", known.code);
        }
    }

    #[test]
    fn a_code_is_found_in_whatever_case_with_what_it_means() {
        let shut = find("state-shut").unwrap();
        assert_eq!(
            (shut.code.as_str(), shut.severity.as_str()),
            ("STATE-SHUT", "blocker")
        );
        assert!(
            find("STATE-RULE-MISSING").is_some()
                && find("CLEANUP-OWNED").unwrap().severity.contains("--accept")
        );
        assert_eq!(find("NO-SUCH-CODE"), None);
    }
}
