//! A backup on disk: a folder for each namespace, in it a file for each kind and a page that says what is in them.
//!
//! A page is written when all files that it names are on disk, so what has a page is whole. Files are lists that
//! `kubectl apply -f` takes.
//!
//! Where it is encrypted, each file and each namespace's page is, by its own: only the backup's page is in clear, which
//! names namespaces, and for whom it is encrypted. Digests are of what is inside. As whoever goes on with a backup may
//! not be able to read it, a namespace has a [`Seal`] too, with digests of what is outside.

use super::seal::{Identities, Recipients};
use crate::digest;
use crate::tenant::is_label;
use crate::trouble::Trouble;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The name of both the backup's page and each namespace's.
const PAGE: &str = "manifest.json";
/// The name of a namespace's seal.
const SEAL: &str = "seal.json";
/// What names of encrypted files end with.
const SEALED: &str = ".age";

/// The page of a backup.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Of this layout; others are not read.
    pub format: u32,
    /// The uid of the cluster's `kube-system`; none where it may not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When it was finished; none as long as something is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The namespace that was asked for; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// For whom it is encrypted; it is not where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// The digest of each namespace's page, by namespace.
    pub namespaces: BTreeMap<String, String>,
}

impl Manifest {
    /// Whether it takes an identity to read it.
    pub fn encrypted(&self) -> bool {
        !self.recipients.is_empty()
    }
}

/// What tells that an encrypted namespace is whole to whoever cannot read it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Seal {
    /// The digest of the page inside.
    page: String,
    /// How many objects there are.
    objects: usize,
    /// The digest of each file as it is on disk, by name.
    files: BTreeMap<String, String>,
}

/// The page of a namespace.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The namespace.
    pub namespace: String,
    /// When it was read.
    pub taken_at: Timestamp,
    /// The digest of each file, by name.
    pub files: BTreeMap<String, String>,
    /// Every object, with the digest of what is kept of it.
    pub objects: Vec<Kept>,
}

/// An object of a backup.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The digest of what is kept.
    pub sha256: String,
}

/// The folder of a backup.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    recipients: Recipients,
    identities: Identities,
}

/// So many bytes of one file are read: a namespace's objects of one kind are never as many.
const LONGEST: u64 = 256 << 20;
/// The layout of a backup in clear.
pub const FORMAT: u32 = 1;
/// That of one that is encrypted: programs that know only the other must not go on with it in clear.
pub const ENCRYPTED: u32 = 2;

impl Folder {
    /// The folder at a path, whether it is there or not.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            recipients: Recipients::default(),
            identities: Identities::default(),
        }
    }

    /// The same, in which everything is encrypted for some.
    #[must_use]
    pub fn sealed_for(self, recipients: Recipients) -> Self {
        Self { recipients, ..self }
    }

    /// The same, opened by some.
    #[must_use]
    pub fn opened_by(self, identities: Identities) -> Self {
        Self { identities, ..self }
    }

    /// Where the page of the backup is.
    pub fn page_path(&self) -> PathBuf {
        self.path.join(PAGE)
    }

    /// Says what is wrong where a backup and what was given to open it do not belong together.
    pub fn fits(&self, manifest: &Manifest) -> Result<(), Trouble> {
        let dir = self.path.display();
        match (manifest.encrypted(), self.identities.is_empty()) {
            (true, true) => Err(Trouble::Usage(format!(
                "{dir} is encrypted for {}: name the file with the identity that opens it with --identity; nothing was written",
                manifest.recipients.join(", ")
            ))),
            // Somebody put another one in the place of the one that is meant.
            (false, false) => Err(Trouble::Usage(format!(
                "{dir} is not encrypted, though --identity was given: look whether it is the backup that is meant, and leave --identity out if so; nothing was written"
            ))),
            (true, false) | (false, true) => Ok(()),
        }
    }

    /// The page of the backup; none where none was begun.
    pub fn manifest(&self) -> Result<Option<Manifest>, Trouble> {
        let path = self.page_path();
        let text = match plain(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&path, &error)),
        };
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| damaged(&path, &error))?;
        let wanted = if manifest.encrypted() { ENCRYPTED } else { FORMAT };
        if manifest.format != wanted {
            return Err(Trouble::Usage(format!(
                "{} has the layout {}, this program reads {FORMAT}, and {ENCRYPTED} where it is encrypted: use the program that wrote it",
                path.display(),
                manifest.format
            )));
        }
        Ok(Some(manifest))
    }

    /// Makes sure that the folder holds nothing but a backup.
    pub fn make(&self) -> Result<(), Trouble> {
        private(&self.path)?;
        let mut entries = fs::read_dir(&self.path).map_err(|error| unreadable(&self.path, &error))?;
        if entries.next().is_some() && self.manifest()?.is_none() {
            return Err(Trouble::Usage(format!(
                "{} is not empty and holds no backup: name another folder",
                self.path.display()
            )));
        }
        Ok(())
    }

    /// Writes the page of the backup.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), Trouble> {
        write(&self.page_path(), &pretty(manifest)?).map(drop)
    }

    /// Writes what is kept of a namespace, the page last, and returns the page's digest.
    pub fn write(
        &self,
        namespace: &str,
        taken_at: Timestamp,
        kinds: &[(String, Vec<Value>)],
    ) -> Result<String, Trouble> {
        let folder = self.path.join(namespace);
        private(&folder)?;
        let mut page = Page {
            namespace: namespace.to_owned(),
            taken_at,
            files: BTreeMap::new(),
            objects: Vec::new(),
        };
        let mut outside = BTreeMap::new();
        for (resource, items) in kinds.iter().filter(|(_, items)| !items.is_empty()) {
            let name = format!("{resource}.json");
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            let sha256 = self.put(namespace, &name, &pretty(&list)?, &mut outside)?;
            page.files.insert(name, sha256);
            page.objects.extend(items.iter().map(|item| Kept {
                kind: text(item, "/kind"),
                name: text(item, "/metadata/name"),
                sha256: digest::of(item),
            }));
        }
        let digest = self.put(namespace, PAGE, &pretty(&page)?, &mut outside)?;
        if !self.recipients.is_empty() {
            let seal = Seal {
                page: digest.clone(),
                objects: page.objects.len(),
                files: outside,
            };
            write(&folder.join(SEAL), &pretty(&seal)?)?;
        }
        Ok(digest)
    }

    /// Writes a file of a namespace, and returns the digest of what is in it.
    fn put(
        &self,
        namespace: &str,
        name: &str,
        clear: &[u8],
        outside: &mut BTreeMap<String, String>,
    ) -> Result<String, Trouble> {
        let path = self.path.join(namespace).join(name);
        if self.recipients.is_empty() {
            return write(&path, clear);
        }
        let name = format!("{name}{SEALED}");
        let path = self.path.join(namespace).join(&name);
        let sealed = self.recipients.sealed(&path, clear)?;
        outside.insert(name, write(&path, &sealed)?);
        Ok(digest::of_bytes(clear))
    }

    /// How many objects a namespace has, and the digest of its page, where it is there and all its files are as they were
    /// written.
    pub fn whole(&self, namespace: &str) -> Option<(usize, String)> {
        if !self.recipients.is_empty() {
            return self.sealed(namespace);
        }
        let (page, digest) = self.page(namespace, false).ok()?;
        let intact = page
            .files
            .keys()
            .all(|name| self.file(&page, name, false).is_ok());
        intact.then_some((page.objects.len(), digest))
    }

    /// The same of one that is encrypted.
    fn sealed(&self, namespace: &str) -> Option<(usize, String)> {
        let folder = self.path.join(namespace);
        let seal: Seal = serde_json::from_slice(&plain(&folder.join(SEAL)).ok()?).ok()?;
        let intact = seal.files.iter().all(|(name, sha256)| {
            let is_same = |bytes: Vec<u8>| digest::of_bytes(&bytes) == *sha256;
            beside(name) && plain(&folder.join(name)).is_ok_and(is_same)
        });
        intact.then_some((seal.objects, seal.page))
    }

    /// Reads a namespace, and nothing of it unless every byte is as it was written.
    pub fn read(&self, manifest: &Manifest, namespace: &str) -> Result<Vec<Value>, Trouble> {
        let page = self.known(manifest, namespace)?;
        let mut objects = Vec::new();
        for name in page.files.keys() {
            let list = self.file(&page, name, manifest.encrypted())?;
            let items = list.get("items").and_then(Value::as_array);
            objects.extend(items.into_iter().flatten().cloned());
        }
        Ok(objects)
    }

    /// When a namespace was read.
    pub fn taken_at(&self, manifest: &Manifest, namespace: &str) -> Result<Timestamp, Trouble> {
        Ok(self.known(manifest, namespace)?.taken_at)
    }

    /// The page of a namespace, which the backup's page knows.
    fn known(&self, manifest: &Manifest, namespace: &str) -> Result<Page, Trouble> {
        let (page, digest) = self.page(namespace, manifest.encrypted())?;
        if manifest.namespaces.get(namespace) != Some(&digest) || page.namespace != namespace {
            return Err(self.altered(&format!("{namespace}/{PAGE}")));
        }
        Ok(page)
    }

    fn page(&self, namespace: &str, encrypted: bool) -> Result<(Page, String), Trouble> {
        let (path, bytes) = self.bytes(namespace, PAGE, encrypted)?;
        let page: Page = serde_json::from_slice(&bytes).map_err(|error| damaged(&path, &error))?;
        Ok((page, digest::of_bytes(&bytes)))
    }

    fn file(&self, page: &Page, name: &str, encrypted: bool) -> Result<Value, Trouble> {
        let inside = format!("{}/{name}", page.namespace);
        if !beside(name) {
            return Err(self.altered(&inside));
        }
        let (path, bytes) = self.bytes(&page.namespace, name, encrypted)?;
        if page.files.get(name) != Some(&digest::of_bytes(&bytes)) {
            return Err(self.altered(&inside));
        }
        serde_json::from_slice(&bytes).map_err(|error| damaged(&path, &error))
    }

    /// What is in a file, and where that is.
    fn bytes(&self, namespace: &str, name: &str, encrypted: bool) -> Result<(PathBuf, Vec<u8>), Trouble> {
        let name = if encrypted {
            format!("{name}{SEALED}")
        } else {
            name.to_owned()
        };
        // What names others was not written by this program, and is not even looked for.
        if !is_label(namespace) {
            return Err(self.altered(PAGE));
        }
        let path = self.path.join(namespace).join(name);
        let bytes = plain(&path).map_err(|error| unreadable(&path, &error))?;
        let clear = if encrypted {
            self.identities.opened(&path, &bytes)?
        } else {
            bytes
        };
        Ok((path, clear))
    }

    fn altered(&self, inside: &str) -> Trouble {
        Trouble::Refused(format!(
            "{} is not as it was written: the backup was altered or damaged. Take the copy of it that you keep elsewhere; nothing was restored",
            self.path.join(inside).display()
        ))
    }
}

/// Whether a name is that of a file in the same folder; a page that names others was not written by this program.
fn beside(name: &str) -> bool {
    !name.contains(['/', '\\'])
}

/// What is in a plain file. From a device or a pipe one would read for ever.
fn plain(path: &Path) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    if found.len() > LONGEST {
        return Err(io::Error::other(format!("it has more than {LONGEST} bytes")));
    }
    fs::read(path)
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Trouble {
    Trouble::Usage(format!("unable to read {}: {error}", path.display()))
}

/// It is there, and no page or list of ours.
fn damaged(path: &Path, error: &serde_json::Error) -> Trouble {
    Trouble::Refused(format!(
        "unable to read {}: {error}. The backup was altered or damaged: take the copy of it that you keep elsewhere",
        path.display()
    ))
}

fn pretty(value: &impl Serialize) -> Result<Vec<u8>, Trouble> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| Trouble::Internal(format!("unable to write JSON: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Makes a folder that nobody else may look into: `ConfigMaps` hold passwords more often than they should.
fn private(path: &Path) -> Result<(), Trouble> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|error| Trouble::Usage(format!("unable to make the folder {}: {error}", path.display())))
}

/// Writes a file whole or not at all, and returns its digest.
fn write(path: &Path, bytes: &[u8]) -> Result<String, Trouble> {
    let unfinished = path.with_extension("unfinished");
    let put = || -> io::Result<()> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    put().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    Ok(digest::of_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> (tempfile::TempDir, Folder, Manifest) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::at(&dir.path().join("b"));
        folder.make().unwrap();
        let now: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        let item = json!({"kind": "Ingress", "metadata": {"name": "a"}});
        let page = folder
            .write(
                "ns-a",
                now,
                &[("ingresses.networking.k8s.io".to_owned(), vec![item])],
            )
            .unwrap();
        let manifest = Manifest {
            format: FORMAT,
            cluster: None,
            started_at: now,
            finished_at: None,
            namespace: None,
            recipients: Vec::new(),
            namespaces: BTreeMap::from([("ns-a".to_owned(), page)]),
        };
        folder.write_manifest(&manifest).unwrap();
        (dir, folder, manifest)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (_dir, folder, manifest) = taken();
        assert_eq!(folder.manifest().unwrap(), Some(manifest.clone()));
        assert_eq!(folder.read(&manifest, "ns-a").unwrap().len(), 1);
        assert_eq!(folder.whole("ns-a").unwrap().0, 1);
    }

    #[test]
    fn a_byte_that_differs_is_refused_and_makes_the_namespace_count_as_not_taken() {
        for file in ["ns-a/ingresses.networking.k8s.io.json", "ns-a/manifest.json"] {
            let (dir, folder, manifest) = taken();
            let path = dir.path().join("b").join(file);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("\"a\"", "\"b\"")).unwrap();
            let error = folder.read(&manifest, "ns-a").unwrap_err();
            assert!(error.to_string().contains("not as it was written"), "{error}");
        }
        let (dir, folder, _) = taken();
        fs::write(dir.path().join("b/ns-a/ingresses.networking.k8s.io.json"), "{}").unwrap();
        assert!(folder.whole("ns-a").is_none());
    }

    #[test]
    fn nothing_is_looked_for_outside_and_nothing_is_read_that_is_no_plain_file() {
        let (dir, folder, mut manifest) = taken();
        let path = dir.path().join("b/ns-a/ingresses.networking.k8s.io.json");
        for outside in ["../b/ns-a", "/etc", "..", ""] {
            manifest.namespaces.insert(outside.to_owned(), "x".to_owned());
            let error = folder.read(&manifest, outside).unwrap_err().to_string();
            assert!(error.contains("not as it was written"), "{outside}: {error}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let error = folder.read(&manifest, "ns-a").unwrap_err().to_string();
        assert!(error.contains("no plain file"), "{error}");
        #[cfg(unix)]
        {
            fs::remove_dir(&path).unwrap();
            std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
            let error = folder.read(&manifest, "ns-a").unwrap_err().to_string();
            assert!(error.contains("no plain file"), "{error}");
            assert!(folder.whole("ns-a").is_none());
        }
        let long = File::options()
            .write(true)
            .open(dir.path().join("b/ns-a/manifest.json"))
            .unwrap();
        long.set_len(LONGEST + 1).unwrap();
        let error = folder.read(&manifest, "ns-a").unwrap_err().to_string();
        assert!(error.contains("more than"), "{error}");
    }

    #[test]
    fn a_folder_with_other_things_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine"), "x").unwrap();
        let error = Folder::at(dir.path()).make().unwrap_err();
        assert!(error.to_string().contains("holds no backup"), "{error}");
    }

    #[test]
    fn what_is_damaged_is_refused_and_a_disk_that_takes_nothing_is_no_slip_of_a_person() {
        let (dir, folder, manifest) = taken();
        let page = dir.path().join("b/manifest.json");
        fs::write(&page, "{\"format\": 1, \"clus").unwrap();
        let error = folder.manifest().unwrap_err();
        assert!(
            matches!(error, Trouble::Refused(_)) && error.to_string().contains("damaged"),
            "{error:?}"
        );
        fs::remove_file(&page).unwrap();
        fs::create_dir_all(page.join("in the way")).unwrap();
        let error = folder.write_manifest(&manifest).unwrap_err();
        assert!(
            matches!(error, Trouble::Output(_)) && error.to_string().contains("manifest.json"),
            "{error:?}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, _, _) = taken();
        let mode = |path: &str| {
            let path = dir.path().join("b").join(path);
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!(
            (mode(""), mode("manifest.json"), mode("ns-a")),
            (0o700, 0o600, 0o700)
        );
    }
}
