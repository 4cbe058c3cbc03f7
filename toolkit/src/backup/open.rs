//! A backup from which something may come back: there, of this cluster, and readable.

use super::folder::{Folder, Manifest};
use super::seal::{Identities, IdentityArgs};
use crate::cluster::Cluster;
use crate::trouble::Trouble;
use std::path::Path;

/// Opens the backup in a folder. `lacking` is what is said where there is none, `other` where it is another cluster's;
/// none: then it may be.
pub async fn open(
    dir: &Path,
    identity: &IdentityArgs,
    cluster: &Cluster,
    lacking: &str,
    other: Option<&str>,
) -> Result<(Folder, Manifest), Trouble> {
    let (folder, manifest) = read(dir, identity, lacking)?;
    let here = cluster.identity().await?;
    match other {
        Some(other) if manifest.cluster.is_some() && manifest.cluster != here => {
            Err(Trouble::Refused(format!(
                "{} is a backup of another cluster than the current one: {other}",
                dir.display()
            )))
        }
        _ => Ok((folder, manifest)),
    }
}

/// The same, whatever cluster it is of.
pub fn read(dir: &Path, identity: &IdentityArgs, lacking: &str) -> Result<(Folder, Manifest), Trouble> {
    let folder = Folder::at(dir).opened_by(Identities::of(identity)?);
    let Some(manifest) = folder.manifest()? else {
        return Err(Trouble::Usage(format!(
            "{} holds no backup: {lacking}",
            dir.display()
        )));
    };
    folder.fits(&manifest)?;
    Ok((folder, manifest))
}
