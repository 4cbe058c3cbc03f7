//! Text that must not be shown.

use std::fmt;
use std::path::{Path, PathBuf};

/// A secret, or the file that holds it. Neither its debug form nor any message shows what it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// As it stands.
    Plain(String),
    /// In a file that is read anew for each use: secrets are rotated.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("[redacted]"),
            Self::File(path) => write!(f, "[in {}]", path.display()),
        }
    }
}

impl Secret {
    /// The text. An error names the setting and the file, never the content.
    pub(super) async fn reveal(&self, setting: &str) -> Result<String, String> {
        let path = match self {
            Self::Plain(text) => return Ok(text.clone()),
            Self::File(path) => path,
        };
        let text = tokio::fs::read_to_string(path)
            .await
            .map_err(|error| format!("{setting} {} cannot be read: {error}", shown(path)))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("{setting} {} is empty", shown(path)));
        }
        Ok(text.to_owned())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_in_its_debug_form() {
        let secret = Secret::Plain("https://chat/robot?access_token=hunter2".into());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert!(!format!("{:?}", Some(&secret)).contains("hunter2"));
    }

    #[tokio::test]
    async fn a_file_that_is_missing_or_empty_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        let secret = Secret::File(path.clone());
        let error = secret.reveal("notify.url_file").await.unwrap_err();
        assert!(
            error.contains("notify.url_file") && error.contains("cannot be read"),
            "{error}"
        );
        std::fs::write(&path, " \n").unwrap();
        assert!(
            secret
                .reveal("notify.url_file")
                .await
                .unwrap_err()
                .contains("is empty")
        );
        std::fs::write(&path, "https://chat/x\n").unwrap();
        assert_eq!(secret.reveal("notify.url_file").await.unwrap(), "https://chat/x");
    }
}
