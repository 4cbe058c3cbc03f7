//! What `make fuzz` is built of. It is a package of its own, with a lock file that no other build reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Name and versions of each package of a lock file.
fn locked(file: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in text.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let line = package
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name} = \"")));
            line.and_then(|line| line.strip_suffix('"'))
                .unwrap_or_default()
                .to_owned()
        };
        all.entry(field("name")).or_default().insert(field("version"));
    }
    all
}

#[test]
fn what_is_fuzzed_is_built_of_what_the_program_is_built_of() {
    let (ours, fuzzed) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
    for name in [
        "gradual-rollout",
        "gradual-rollout-apiserver",
        "gradual-rollout-migration",
        "gradual-rollout-toolkit",
    ] {
        assert!(
            fuzzed.contains_key(name),
            "fuzz/Cargo.lock lacks {name}: cargo metadata --manifest-path fuzz/Cargo.toml"
        );
    }
    for (name, versions) in &fuzzed {
        let known = ours.get(name);
        assert!(
            known.is_none_or(|known| versions.is_subset(known)),
            "{name} is {versions:?} in fuzz/Cargo.lock and {known:?} in Cargo.lock: copy Cargo.lock there, and run cargo \
             metadata --manifest-path fuzz/Cargo.toml"
        );
    }
}
