//! What comes from outside, as bytes, against what reads it: one entry point each for `make fuzz` and for the test
//! below. Built for nothing else.
//!
//! Each takes any bytes whatever, and panics when what it says of them is not so: besides that nothing panics, that what
//! is printed moves no cursor, that what is understood prints and reads back, and that nothing rises by it.

/// A file with resources, as `validate` and `plan` read it, and what is decided by it.
pub fn resource(bytes: &[u8]) {
    crate::cli::fuzzing::resource(bytes);
}

/// A file of settings.
pub fn settings(bytes: &[u8]) {
    crate::settings::fuzzing::settings(bytes);
}

/// Answers of Prometheus, as they are counted and judged.
pub fn promql(bytes: &[u8]) {
    crate::metrics::fuzzing::promql(bytes);
}

/// Objects of the API server, as every router reads and writes them.
pub fn objects(bytes: &[u8]) {
    crate::routing::fuzzing::objects(bytes);
}

/// Annotations with commands, and what is decided by them.
pub fn commands(bytes: &[u8]) {
    crate::rollout::fuzzing::commands(bytes);
}

/// What is sent to the hooks: an Alertmanager's payload, or a complaint.
pub fn alerts(bytes: &[u8]) {
    crate::api::fuzzing::alerts(bytes);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// A seed, and itself cut short and with bytes changed: enough to see that the entry points work, no search.
    fn variants(seed: &[u8]) -> Vec<Vec<u8>> {
        let mut all = vec![seed.to_vec()];
        for part in 1..8 {
            all.push(seed[..seed.len() * part / 8].to_vec());
        }
        for (nth, at) in (0..seed.len()).step_by(seed.len() / 24 + 1).enumerate() {
            let mut changed = seed.to_vec();
            changed[at] = b"9\x1b-\"0[{~"[nth % 8];
            all.push(changed);
        }
        all
    }

    fn survives(target: &str, entry: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/seeds")
            .join(target);
        let (mut seeds, mut broken) = (0, Vec::new());
        for file in std::fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            let seed = std::fs::read(&path).unwrap();
            assert!(seed.len() <= 8 << 10, "{}: a seed is small", path.display());
            let breaks = |variant: &Vec<u8>| std::panic::catch_unwind(|| entry(variant)).is_err();
            if let Some(variant) = variants(&seed).into_iter().find(breaks) {
                let text = String::from_utf8_lossy(&variant).into_owned();
                broken.push(format!("{}, or a neighbour of it:\n{text}", path.display()));
            }
            seeds += 1;
        }
        assert!(broken.is_empty(), "{}", broken.join("\n\n"));
        assert!((6..=24).contains(&seeds), "{seeds} seeds");
        entry(b"");
    }

    #[test]
    fn files_with_resources_and_their_neighbours_are_survived() {
        survives("resource", super::resource);
    }

    #[test]
    fn settings_and_their_neighbours_are_survived() {
        survives("settings", super::settings);
    }

    #[test]
    fn answers_of_prometheus_and_their_neighbours_are_survived() {
        survives("promql", super::promql);
    }

    #[test]
    fn objects_and_their_neighbours_are_survived() {
        survives("objects", super::objects);
    }

    #[test]
    fn commands_and_their_neighbours_are_survived() {
        survives("commands", super::commands);
    }

    #[test]
    fn alerts_and_complaints_and_their_neighbours_are_survived() {
        survives("alerts", super::alerts);
    }
}
