//! Data for other programs.

use super::args::Output;
use super::exit::Failure;
use super::table;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes a value as JSON, or as YAML when that is asked.
pub(super) fn data(out: &mut dyn Write, form: Output, value: &impl Serialize) -> Result<(), Failure> {
    let text = if form == Output::Yaml {
        serde_saphyr::to_string(value).map_err(|e| Failure::internal(format!("unable to write YAML: {e}")))?
    } else {
        let mut json = serde_json::to_string_pretty(value)
            .map_err(|e| Failure::internal(format!("unable to write JSON: {e}")))?;
        json.push('\n');
        table::plain_json(&json)
    };
    out.write_all(text.as_bytes())?;
    Ok(())
}

/// Writes a file so that a reader sees the old one or the new one whole, never a half.
pub(super) fn file(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let mut json = serde_json::to_string_pretty(value)
        .map_err(|e| Failure::internal(format!("unable to write JSON: {e}")))?;
    json.push('\n');
    // Somebody will have a terminal show it.
    bytes(path, table::plain_json(&json).as_bytes())
}

/// Whether a file could be written there, before anything is done of which it is to tell. Nothing stays of the try.
pub(super) fn writable(path: &Path) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        let place = path.display();
        Failure::usage(format!(
            "{place} cannot be written, so nothing was done: {error}: name another file"
        ))
    };
    if path.is_dir() {
        return Err(refused(&"it is a folder"));
    }
    let (path, fresh) = target(path);
    match fresh {
        None => drop(
            std::fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .map_err(|e| refused(&e))?,
        ),
        Some(fresh) => {
            drop(std::fs::File::create(&fresh).map_err(|e| refused(&e))?);
            std::fs::remove_file(&fresh).map_err(|e| refused(&e))?;
        }
    }
    Ok(())
}

/// Writes the report of what is done, whatever that was: a file that is not written makes nothing undone.
pub(super) fn report(path: &Path, value: &impl Serialize) {
    if let Err(failure) = file(path, value) {
        // Without a terminal there is nobody else to tell.
        let _ = writeln!(
            anstream::stderr(),
            "{}",
            table::plain(&format!("what was done is done, but {failure}"))
        );
    }
}

/// Where it is written, and the file beside it that takes its place; `None` where it is written through.
fn target(path: &Path) -> (PathBuf, Option<PathBuf>) {
    // A device or a pipe is written to, and a link leads to what is replaced: neither is itself replaced by a file.
    let device = path.starts_with("/dev") || std::fs::metadata(path).is_ok_and(|meta| !meta.is_file());
    if device {
        return (path.to_owned(), None);
    }
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let fresh = path.with_file_name(name);
    (path, Some(fresh))
}

/// The same of bytes.
pub(super) fn bytes(path: &Path, whole: &[u8]) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::internal(format!("unable to write {}: {error}", path.display()));
    let (path, fresh) = target(path);
    let Some(fresh) = fresh else {
        // Behind /dev/stdout there may be a file, of which the beginning is not ours.
        let mut through = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(failed)?;
        return through.write_all(whole).map_err(failed);
    };
    let write = || {
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(whole)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)
    };
    write().map_err(|error| {
        // The half-written file is ours alone; that it may stay is not worth hiding the first error.
        let _ = std::fs::remove_file(&fresh);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The standard output leaves off what terminals obey: nothing of it stands in data as it is.
    #[test]
    fn what_programs_read_loses_nothing_on_its_way_out() {
        // The last two of the plane are no characters, and YAML reads none of them.
        let all: String = (1..0xd800)
            .chain(0xe000..0xfffe)
            .filter_map(char::from_u32)
            .collect();
        let value = serde_json::json!({"kept": [all, "\u{1b}[31mred\u{1b}[0m", "\u{1b}]0;x\u{7}y", "a\u{0}b", "\u{9b}2J"]});
        for form in [Output::Json, Output::Yaml] {
            let mut text = Vec::new();
            data(&mut text, form, &value).unwrap();
            let mut out = anstream::StripStream::new(Vec::new());
            out.write_all(&text).unwrap();
            assert!(out.into_inner() == text, "{form:?}");
            let text = String::from_utf8(text).unwrap();
            let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
            assert!(read == value, "{form:?}");
        }
    }

    #[test]
    fn a_report_does_not_drive_the_terminal_that_shows_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let value = serde_json::json!({"reason": "X\u{9b}31m\u{202e}"});
        file(&path, &value).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.is_ascii() && text.contains("\\u009b31m"), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, value);
    }

    #[cfg(unix)]
    #[test]
    fn a_report_goes_through_links_and_into_devices() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        file(&link, &1).unwrap();
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "1\n");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        let null = folder.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &null).unwrap();
        file(&null, &1).unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_report_replaces_the_old_one_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        file(&path, &serde_json::json!({"a": 1})).unwrap();
        file(&path, &serde_json::json!({"b": 2})).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\n  \"b\": 2\n}\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let nowhere = folder.path().join("no/such/report.json");
        writable(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        for bad in [nowhere.as_path(), folder.path()] {
            let refused = writable(bad).unwrap_err();
            assert_eq!(refused.exit, crate::cli::exit::Exit::Usage);
            assert!(refused.message.contains(&bad.display().to_string()), "{refused}");
        }
        assert!(file(&nowhere, &1).unwrap_err().message.contains("no/such"));
    }
}
