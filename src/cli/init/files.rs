//! Files that appear all at once or not at all.

use crate::cli::exit::Failure;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Writes texts to a folder, which is made where it is not there. Without `force` nothing that is there is written
/// over, not even what appeared in between.
pub(super) fn write(folder: &Path, texts: &[(String, String)], force: bool) -> Result<Vec<PathBuf>, Failure> {
    let failed = |doing: &str, path: &Path, error: &std::io::Error| {
        Failure::refused(format!(
            "unable to {doing} {}: {error}; nothing was written",
            path.display()
        ))
    };
    let paths: Vec<PathBuf> = texts.iter().map(|(name, _)| folder.join(name)).collect();
    let there: Vec<String> = paths
        .iter()
        .filter(|path| {
            path.symlink_metadata()
                .is_ok_and(|known| !force || known.is_dir())
        })
        .map(|path| path.display().to_string())
        .collect();
    if !there.is_empty() {
        return Err(Failure::refused(format!(
            "there already: {}; nothing was written. Write over files with --force, or name another folder with -o",
            there.join(", ")
        )));
    }
    std::fs::create_dir_all(folder).map_err(|error| failed("make the folder", folder, &error))?;
    let mut fresh = Fresh(Vec::new());
    for (path, (name, text)) in paths.iter().zip(texts) {
        let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
        let mut whole = || {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&temporary)?;
            // Only what was made here is taken away again.
            fresh.0.push(temporary.clone());
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        whole().map_err(|error| failed("write", path, &error))?;
    }
    let mut done = Fresh(Vec::new());
    for (temporary, path) in fresh.0.iter().zip(&paths) {
        if force {
            std::fs::rename(temporary, path).map_err(|error| {
                let before = done
                    .0
                    .iter()
                    .map(|p| p.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", ");
                let before = if before.is_empty() {
                    "nothing".to_owned()
                } else {
                    before
                };
                Failure::refused(format!(
                    "unable to write {}: {error}; written before it: {before}",
                    path.display()
                ))
            })?;
        } else {
            // Unlike a rename, a link never replaces what appeared in between.
            std::fs::hard_link(temporary, path).map_err(|error| failed("write", path, &error))?;
            done.0.push(path.clone());
        }
    }
    done.0.clear();
    Ok(paths)
}

/// Files that are taken away when this is dropped.
struct Fresh(Vec<PathBuf>);

impl Drop for Fresh {
    fn drop(&mut self) {
        for path in &self.0 {
            // What was renamed is not there any more; and there is nobody left to tell of what stays.
            drop(std::fs::remove_file(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(names: &[&str], text: &str) -> Vec<(String, String)> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), text.to_owned()))
            .collect()
    }

    fn there(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn all_files_appear_or_none_and_nothing_is_written_over_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("new/plans");
        write(&deep, &texts(&["a.yaml", "b.yaml"], "old"), false).unwrap();
        assert_eq!(there(&deep), ["a.yaml", "b.yaml"]);
        let refused = write(&deep, &texts(&["0.yaml", "b.yaml"], "new"), false).unwrap_err();
        assert!(
            refused.message.contains("b.yaml") && refused.message.contains("--force"),
            "{refused}"
        );
        assert_eq!(there(&deep), ["a.yaml", "b.yaml"]);
        write(&deep, &texts(&["0.yaml", "b.yaml"], "new"), true).unwrap();
        assert_eq!(there(&deep), ["0.yaml", "a.yaml", "b.yaml"]);
        assert_eq!(std::fs::read_to_string(deep.join("b.yaml")).unwrap(), "new");
    }

    #[test]
    fn a_folder_in_a_files_place_is_refused_even_with_force() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b.yaml")).unwrap();
        let refused = write(folder.path(), &texts(&["a.yaml", "b.yaml"], "x"), true).unwrap_err();
        assert!(refused.message.contains("nothing was written"), "{refused}");
        assert_eq!(there(folder.path()), ["b.yaml"]);
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert!(write(&file, &texts(&["a.yaml"], "x"), false).is_err());
    }
}
