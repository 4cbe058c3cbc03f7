//! What lets us in: a token or a password, from files that are read for each question.

use super::answer::Unusable;
use super::settings::PrometheusSettings;
use crate::rollout::sample::Dark;
use reqwest::header::HeaderValue;
use std::path::{Path, PathBuf};

/// Where the secret is, if there is one. The secret itself is never kept.
pub(crate) enum Secret {
    None,
    Bearer(PathBuf),
    Basic { username: String, password: PathBuf },
}

impl Secret {
    /// Which one the settings name; [`PrometheusSettings::check`] saw to it that it is one at most.
    pub(crate) fn of(settings: &PrometheusSettings) -> Self {
        match (
            &settings.bearer_token_file,
            &settings.username,
            &settings.password_file,
        ) {
            (Some(file), _, _) => Self::Bearer(file.clone()),
            (None, Some(username), Some(password)) => Self::Basic {
                username: username.clone(),
                password: password.clone(),
            },
            _ => Self::None,
        }
    }

    /// The value of the `Authorization` header. Read anew each time: tokens are rotated.
    pub(crate) async fn authorization(&self) -> Result<Option<HeaderValue>, Unusable> {
        let (file, setting) = match self {
            Self::None => return Ok(None),
            Self::Bearer(file) => (file, "bearer_token_file"),
            Self::Basic { password, .. } => (password, "password_file"),
        };
        let secret = read_secret(file, setting).await?;
        let text = match self {
            Self::Basic { username, .. } => {
                format!("Basic {}", base64(format!("{username}:{secret}").as_bytes()))
            }
            Self::Bearer(_) | Self::None => format!("Bearer {secret}"),
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| Unusable {
            kind: Dark::Refused,
            why: format!(
                "{setting} {} has characters that no header can hold",
                file.display()
            ),
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

async fn read_secret(file: &Path, setting: &str) -> Result<String, Unusable> {
    let text = tokio::fs::read_to_string(file).await.map_err(|error| Unusable {
        kind: Dark::Refused,
        why: format!("{setting} {} cannot be read: {error}", file.display()),
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Unusable {
            kind: Dark::Refused,
            why: format!("{setting} {} is empty", file.display()),
        });
    }
    Ok(text.to_owned())
}

/// For basic authentication.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| chunk.get(i).copied().map_or(0, u32::from);
        let group = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4 {
            let index = (group >> (18 - 6 * place)) & 63;
            let digit = DIGITS.get(index as usize).copied().unwrap_or(b'=');
            text.push(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_authentication_is_encoded_as_everybody_does() {
        for (plain, encoded) in [
            ("", ""),
            ("a", "YQ=="),
            ("a:", "YTo="),
            ("a:b", "YTpi"),
            ("me:hunter2", "bWU6aHVudGVyMg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
