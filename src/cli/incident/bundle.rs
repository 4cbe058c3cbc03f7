//! The files of a bundle, and the archive that they become.

use super::redact;
use crate::cli::exit::Failure;
use crate::rollout::complaint::unescaped;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt::Write as _;

/// No file of a bundle is longer; what is cut says so.
pub(super) const LONGEST: usize = 32 << 20;

/// What was found, and what was not.
pub(super) struct Bundle {
    name: String,
    files: Vec<(String, String, Vec<u8>)>,
    missing: Vec<String>,
}

impl Bundle {
    /// An empty one; everything in it stands in a folder of this name.
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            files: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Puts a text in, with a word on what it is: without secrets, and without what terminals take for more than text.
    pub(super) fn text(&mut self, path: &str, what: &str, text: impl AsRef<str>) {
        let lines: Vec<_> = text.as_ref().split('\n').map(unescaped).collect();
        self.put(path, what, redact::page(&lines.join("\n")));
    }

    fn put(&mut self, path: &str, what: &str, text: String) {
        let mut bytes = text.into_bytes();
        if bytes.len() > LONGEST {
            bytes.truncate(LONGEST);
            bytes.extend_from_slice(b"\n[cut]\n");
        }
        self.files.push((safe(path), what.to_owned(), bytes));
    }

    /// The same of a value, as YAML.
    pub(super) fn yaml(&mut self, path: &str, what: &str, value: &impl Serialize) {
        match serde_saphyr::to_string(value) {
            Ok(text) => self.put(path, what, text),
            Err(error) => self.lack(&format!("{path}: {error}")),
        }
    }

    /// The same of a value, as JSON.
    pub(super) fn json(&mut self, path: &str, what: &str, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.put(path, what, text),
            Err(error) => self.lack(&format!("{path}: {error}")),
        }
    }

    /// Something that could not be had, and why.
    pub(super) fn lack(&mut self, what: &str) {
        let line = what.replace('\n', " ");
        self.missing.push(redact::without_secrets(&unescaped(&line)));
    }

    /// How much there is.
    pub(super) fn told(&self) -> String {
        let missing = match self.missing.len() {
            0 => "nothing is missing".to_owned(),
            n => format!("{n} things could not be had: see MISSING.txt in it"),
        };
        format!("{} files; {missing}", self.files.len())
    }

    /// The archive.
    pub(super) fn tar(mut self, now: Timestamp) -> Result<Vec<u8>, Failure> {
        let mut index = format!(
            "What was known at {now}, collected by `gradual-rollout incident` {}.\n\nSecrets are replaced by [redacted]: \
             in routed objects everything that this program does not set itself.\n\n",
            env!("CARGO_PKG_VERSION")
        );
        for (path, what, _) in &self.files {
            // Writing to a string never fails.
            let _ = writeln!(index, "{path}: {what}");
        }
        let missing = if self.missing.is_empty() {
            "Nothing is missing.\n".to_owned()
        } else {
            index.push_str("MISSING.txt: what could not be had, and why\n");
            self.missing.join("\n") + "\n"
        };
        self.files
            .push(("README.txt".into(), String::new(), index.into_bytes()));
        self.files
            .push(("MISSING.txt".into(), String::new(), missing.into_bytes()));
        let failed =
            |error: std::io::Error| Failure::internal(format!("unable to write the archive: {error}"));
        let mut archive = tar::Builder::new(Vec::new());
        for (path, _, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(u64::try_from(now.as_second()).unwrap_or_default());
            header.set_entry_type(tar::EntryType::Regular);
            let path = format!("{}/{path}", self.name);
            archive
                .append_data(&mut header, path, bytes.as_slice())
                .map_err(failed)?;
        }
        archive.into_inner().map_err(failed)
    }
}

/// A path out of names that others chose: nothing in it leads out of the folder.
fn safe(path: &str) -> String {
    let part = |part: &str| -> String {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let plain: String = part.chars().map(|c| if legal(c) { c } else { '_' }).collect();
        if plain.trim_matches('.').is_empty() {
            "_".to_owned()
        } else {
            plain
        }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn an_archive_has_its_index_and_says_what_is_missing_and_leads_nowhere_else() {
        let mut bundle = Bundle::new("incident-x".into());
        bundle.text("a/../b:c", "something", "hello");
        bundle.lack("logs: not allowed\nthere");
        bundle.text(
            "events.txt",
            "Events",
            "one \x1b[31mred\u{202e}\ntwo: see https://a:b@h/x?c=d\n",
        );
        let bytes = bundle.tar("2026-03-02T09:00:00Z".parse().unwrap()).unwrap();
        let mut files = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            files.insert(path, text);
        }
        assert_eq!(files["incident-x/a/_/b_c"], "hello");
        assert_eq!(files["incident-x/MISSING.txt"], "logs: not allowed there\n");
        assert_eq!(
            files["incident-x/events.txt"],
            "one  [31mred \ntwo: see https://h/x?[redacted]\n"
        );
        assert!(files["incident-x/README.txt"].contains("a/_/b_c: something"));
    }
}
