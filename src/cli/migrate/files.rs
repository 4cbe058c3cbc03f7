//! Files, folders and the standard input to texts.

use crate::cli::exit::Failure;
use gradual_rollout_migration::input::Source;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Five thousand Ingresses have about 10 MB; what is far beyond is a mistake.
const MAX_BYTES: u64 = 256 << 20;

/// Reads everything that was named. A folder stands for its own YAML and JSON files, not for those of folders in it.
pub(super) fn read(named: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for path in named {
        if path.as_os_str() == "-" {
            sources.push(text("standard input".to_owned(), std::io::stdin())?);
        } else if path.is_dir() {
            for file in folder(path)? {
                sources.push(open(&file)?);
            }
        } else {
            sources.push(open(path)?);
        }
    }
    Ok(sources)
}

/// Makes sure that a report replaces nothing that is read.
pub(super) fn differs(report: &Path, named: &[PathBuf]) -> Result<(), Failure> {
    let Ok(report) = report.canonicalize() else {
        // What does not exist yet is no file that could be read.
        return Ok(());
    };
    for path in named.iter().filter(|path| path.as_os_str() != "-") {
        let files = if path.is_dir() {
            folder(path).unwrap_or_default()
        } else {
            vec![path.clone()]
        };
        if files
            .iter()
            .any(|file| file.canonicalize().is_ok_and(|file| file == report))
        {
            return Err(Failure::usage(format!(
                "--report {} would replace a file that is read: name another",
                report.display()
            )));
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<Source, Failure> {
    let name = path.display().to_string();
    match std::fs::File::open(path) {
        Ok(file) => text(name, file),
        Err(error) => Err(unreadable(&name, &error)),
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    Failure::usage(format!("unable to read {name}: {error}"))
}

fn folder(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let name = path.display().to_string();
    let entries = std::fs::read_dir(path).map_err(|error| unreadable(&name, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| unreadable(&name, &error))?.path();
        let ends = file.extension().and_then(|end| end.to_str());
        if file.is_file() && ends.is_some_and(|end| ["yaml", "yml", "json"].contains(&end)) {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Failure::usage(format!(
            "{name} has no *.yaml, *.yml or *.json; folders in it are not looked into, name them with -f too"
        )));
    }
    files.sort();
    Ok(files)
}

fn text(name: String, source: impl std::io::Read) -> Result<Source, Failure> {
    let mut text = String::new();
    source
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(&name, &error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::usage(format!(
            "{name} has more than {MAX_BYTES} bytes: split it"
        )));
    }
    Ok(Source { name, text })
}
