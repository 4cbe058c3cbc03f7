//! Encryption of a backup, in the format of `age` (<https://age-encryption.org/v1>): who can read it, and reading it.
//!
//! Writing needs the public halves of keys alone, so that whoever takes backups, by `CronJob` say, need not be able to
//! read them. That is why a resumed backup can be held against digests of what is on disk, and not of what is in it.

use crate::trouble::Trouble;
use age::x25519::{Identity, Recipient};
use clap::Args;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Who can read a backup.
#[derive(Clone, Debug, Default, Args)]
pub struct RecipientArgs {
    /// Encrypt for this age recipient (age1…, as age-keygen tells it); may be repeated
    #[arg(long, value_name = "RECIPIENT")]
    pub recipient: Vec<String>,
    /// Encrypt for the recipients in this file, one a line; - is standard input; may be repeated
    #[arg(long, value_name = "FILE")]
    pub recipients_file: Vec<PathBuf>,
}

/// Who reads a backup.
#[derive(Clone, Debug, Default, Args)]
pub struct IdentityArgs {
    /// A file with an age identity that opens the backup, where it is encrypted; - is standard input; may be repeated
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
}

/// Where a key is read: `-` is what comes in by standard input.
fn source(path: &Path) -> &Path {
    if path == Path::new("-") {
        return Path::new("/dev/stdin");
    }
    path
}

/// A text without the mark that some editors put before it.
fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Keys for which a backup is encrypted; with none it is not.
#[derive(Clone, Default)]
pub struct Recipients(Vec<Recipient>);

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipients").field(&self.names()).finish()
    }
}

impl Recipients {
    /// As typed, each once.
    pub fn of(args: &RecipientArgs) -> Result<Self, Trouble> {
        let mut typed: Vec<(String, String)> = Vec::new();
        typed.extend(
            args.recipient
                .iter()
                .map(|text| ("--recipient".to_owned(), text.clone())),
        );
        for path in &args.recipients_file {
            let text = fs::read_to_string(source(path)).map_err(|error| {
                Trouble::Usage(format!(
                    "--recipients-file: unable to read {}: {error}",
                    path.display()
                ))
            })?;
            let before = typed.len();
            for (number, line) in unmarked(&text).lines().enumerate() {
                let line = line.trim();
                if !line.is_empty() && !line.starts_with('#') {
                    let place = format!("--recipients-file: {} line {}", path.display(), number + 1);
                    typed.push((place, line.to_owned()));
                }
            }
            // Else a backup that was to be encrypted would not be.
            if typed.len() == before {
                return Err(Trouble::Usage(format!(
                    "--recipients-file: {} names no recipient: write one age1… a line",
                    path.display()
                )));
            }
        }
        Self::parsed(&typed)
    }

    /// As a backup's page has them.
    pub fn written(names: &[String], page: &Path) -> Result<Self, Trouble> {
        let place = page.display().to_string();
        let typed: Vec<_> = names.iter().map(|name| (place.clone(), name.clone())).collect();
        Self::parsed(&typed)
    }

    fn parsed(typed: &[(String, String)]) -> Result<Self, Trouble> {
        let mut names = BTreeSet::new();
        let mut all = Vec::new();
        for (place, text) in typed {
            // What was typed may be the wrong half of a key: it is not told on.
            if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
                return Err(Trouble::Usage(format!(
                    "{place} is an identity, which opens backups and should be seen by nobody: give its public half \
                     (age-keygen -y FILE)"
                )));
            }
            let recipient: Recipient = text.parse().map_err(|why: &str| {
                Trouble::Usage(format!(
                    "{place}: {text:?} is no recipient of age ({why}): age1…, as age-keygen tells it; keys of SSH \
                     and of plug-ins are not taken"
                ))
            })?;
            if names.insert(recipient.to_string()) {
                all.push(recipient);
            }
        }
        all.sort_by_key(ToString::to_string);
        Ok(Self(all))
    }

    /// Whether there is none: then nothing is encrypted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As they are written down, in order.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Encrypts.
    pub(super) fn sealed(&self, path: &Path, clear: &[u8]) -> Result<Vec<u8>, Trouble> {
        let failed = |error: &dyn fmt::Display| {
            Trouble::Internal(format!("unable to encrypt {}: {error}", path.display()))
        };
        let recipients = self.0.iter().map(|one| one as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients).map_err(|error| failed(&error))?;
        let mut sealed = Vec::new();
        let mut writer = encryptor
            .wrap_output(&mut sealed)
            .map_err(|error| failed(&error))?;
        writer.write_all(clear).map_err(|error| failed(&error))?;
        writer.finish().map_err(|error| failed(&error))?;
        Ok(sealed)
    }
}

/// Keys that open backups.
#[derive(Clone, Default)]
pub struct Identities(Vec<Identity>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} identities", self.0.len())
    }
}

impl Identities {
    /// Those in some files. Nothing that is in them is ever told.
    pub fn of(args: &IdentityArgs) -> Result<Self, Trouble> {
        let mut all = Vec::new();
        for path in &args.identity {
            let wrong = |why: &dyn fmt::Display| {
                Trouble::Usage(format!("--identity: unable to use {}: {why}", path.display()))
            };
            let bytes = fs::read(source(path)).map_err(|error| wrong(&error))?;
            if bytes.starts_with(b"age-encryption.org/") || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED") {
                return Err(wrong(
                    &"it is encrypted itself: decrypt it into a file that only you can read (age -d), and name that",
                ));
            }
            let text = std::str::from_utf8(&bytes).map_err(|_| wrong(&"it is no text"))?;
            let before = all.len();
            for (number, line) in unmarked(text).lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let identity: Identity = line.parse().map_err(|_| {
                    wrong(&format!(
                        "line {} is no identity of age (AGE-SECRET-KEY-1…, as age-keygen writes it); keys of SSH and \
                         of plug-ins are not taken",
                        number + 1
                    ))
                })?;
                all.push(identity);
            }
            if all.len() == before {
                return Err(wrong(&"it has no identity: name the file that age-keygen wrote"));
            }
        }
        Ok(Self(all))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Decrypts.
    pub(super) fn opened(&self, path: &Path, sealed: &[u8]) -> Result<Vec<u8>, Trouble> {
        let failed = |why: &str| Trouble::Refused(format!("unable to decrypt {}: {why}", path.display()));
        let damaged = "it is no file of age, or it was damaged or altered. Take the copy of the backup that you keep \
                       elsewhere";
        let decryptor = age::Decryptor::new_buffered(sealed).map_err(|_| failed(damaged))?;
        let identities = self.0.iter().map(|one| one as &dyn age::Identity);
        let mut reader = decryptor.decrypt(identities).map_err(|error| {
            if matches!(error, age::DecryptError::NoMatchingKeys) {
                failed("none of the identities of --identity opens it")
            } else {
                failed(damaged)
            }
        })?;
        let mut clear = Vec::new();
        reader.read_to_end(&mut clear).map_err(|_| failed(damaged))?;
        Ok(clear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret as _;

    fn recipients(typed: &[&str]) -> Result<Recipients, Trouble> {
        Recipients::of(&RecipientArgs {
            recipient: typed.iter().map(ToString::to_string).collect(),
            recipients_file: Vec::new(),
        })
    }

    fn identities(text: &[u8]) -> Result<Identities, Trouble> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, text).unwrap();
        Identities::of(&IdentityArgs { identity: vec![path] })
    }

    #[test]
    fn each_of_several_recipients_opens_what_was_encrypted_for_all() {
        let (one, two, other) = (Identity::generate(), Identity::generate(), Identity::generate());
        let names = [one.to_public().to_string(), two.to_public().to_string()];
        let all = recipients(&[&names[0], &names[1], &names[0]]).unwrap();
        assert_eq!(all.names().len(), 2);
        let path = Path::new("x");
        let sealed = all.sealed(path, b"a password").unwrap();
        for key in [one, two] {
            assert_eq!(
                Identities(vec![key]).opened(path, &sealed).unwrap(),
                b"a password"
            );
        }
        let refused = Identities(vec![other])
            .opened(path, &sealed)
            .unwrap_err()
            .to_string();
        assert!(refused.contains("none of the identities"), "{refused}");
        let mut altered = sealed.clone();
        *altered.last_mut().unwrap() ^= 1;
        let all = Identities(vec![Identity::generate()]);
        for damaged in [&altered[..], b"", b"x", &sealed[..20]] {
            assert!(all.opened(path, damaged).is_err());
        }
    }

    #[test]
    fn what_is_no_key_is_told_by_its_place_and_a_secret_is_never_repeated() {
        let secret = Identity::generate().to_string().expose_secret().to_owned();
        let told = recipients(&[&secret]).unwrap_err().to_string();
        assert!(
            told.contains("public half") && !told.contains(&secret[20..]),
            "{told}"
        );
        let told = recipients(&["ssh-ed25519 AAAA"]).unwrap_err().to_string();
        assert!(told.contains("--recipient") && told.contains("age1"), "{told}");
        for (text, hint) in [
            (&b"# nothing\n"[..], "no identity"),
            (b"age-encryption.org/v1\n", "encrypted itself"),
            (b"\xff\xfe", "no text"),
            (format!("# x\n{secret}z\n").as_bytes(), "line 2"),
        ] {
            let told = identities(text).unwrap_err().to_string();
            assert!(told.contains(hint) && !told.contains(&secret[20..]), "{told}");
        }
        assert!(!identities(secret.as_bytes()).unwrap().is_empty());
    }

    #[test]
    fn keys_are_read_behind_a_byte_order_mark_and_from_standard_input() {
        let identity = Identity::generate();
        let secret = format!("\u{feff}{}\n", identity.to_string().expose_secret());
        assert!(!identities(secret.as_bytes()).unwrap().is_empty());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("\u{feff}{}\n", identity.to_public())).unwrap();
        let args = RecipientArgs {
            recipients_file: vec![file.path().to_owned()],
            ..RecipientArgs::default()
        };
        assert_eq!(
            Recipients::of(&args).unwrap().names(),
            [identity.to_public().to_string()]
        );
        assert_eq!(source(Path::new("-")), Path::new("/dev/stdin"));
        assert_eq!(source(Path::new("./-")), Path::new("./-"));
    }
}
