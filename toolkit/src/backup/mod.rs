//! `migrate backup`: what a migration may change, kept in a folder before it does.
//!
//! - [`folder`]: what is on disk, and whether it is whole; [`seal`]: its encryption;
//! - [`open`]: a backup from which something may come back;
//! - [`sanitise`]: what of an object is kept.

pub mod args;
pub mod folder;
pub mod open;
pub mod sanitise;
pub mod seal;

use crate::cluster::{self, Cluster, Kind, meta};
use crate::finding::{self, Finding, Severity};
use crate::place::Place;
use crate::progress::Progress;
use crate::trouble::{End, Trouble};
use args::BackupArgs;
use folder::{ENCRYPTED, FORMAT, Folder, Manifest};
use futures::StreamExt as _;
use seal::Recipients;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;

/// What is kept, in the order in which it is put back: what others refer to first, quotas last, as they are not
/// believed before they were counted.
pub const KINDS: [Kind; 10] = [
    cluster::CONFIG_MAP,
    cluster::SERVICE,
    cluster::DEPLOYMENT,
    cluster::DESTINATION_RULE,
    cluster::AUTHORIZATION_POLICY,
    cluster::VIRTUAL_SERVICE,
    cluster::GATEWAY,
    cluster::INGRESS,
    cluster::CERTIFICATE,
    cluster::RESOURCE_QUOTA,
];

/// Namespaces that a migration does not touch.
const OTHERS: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Namespaces that are read at once.
const AT_ONCE: usize = 8;

/// What became of a namespace.
enum Taken {
    /// It is on disk; so many objects, and the digest of its page.
    Kept(usize, String),
    /// It was there before.
    Before(usize, String),
    /// A kind could not be read; nothing of the namespace is on disk.
    Missing(Finding),
}

/// Takes a backup, or goes on with one.
pub async fn run(args: &BackupArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let cluster = Cluster::look(&place.client, &[&KINDS[..], &[cluster::NAMESPACE]].concat()).await?;
    let folder = Folder::at(&args.dir);
    let recipients = Recipients::of(&args.recipients)?;
    let mut manifest = begin(&folder, &recipients, &cluster, place).await?;
    let recipients = Recipients::written(&manifest.recipients, &folder.page_path())?;
    let folder = folder.sealed_for(recipients);
    folder.make()?;
    let names = namespaces(&cluster, place.namespace.as_deref()).await?;
    folder.write_manifest(&manifest)?;

    let mut findings = absent(&cluster);
    let (mut objects, mut resumed) = (0, 0);
    let mut progress = Progress::new(&mut *place.err, place.terminal, "namespaces", names.len());
    let now = place.now;
    let mut stopped: Option<Trouble> = None;
    // What is under way is finished, nothing more is begun.
    let going = Cell::new(true);
    let mut stream = futures::stream::iter(&names)
        .take_while(|_| std::future::ready(going.get()))
        .map(|(name, object)| {
            let (folder, cluster) = (&folder, &cluster);
            async move { (name, take(folder, cluster, name, object.as_ref(), now).await) }
        })
        .buffer_unordered(AT_ONCE);
    while let Some((name, taken)) = stream.next().await {
        match taken {
            Err(trouble) => {
                going.set(false);
                stopped.get_or_insert(trouble);
                continue;
            }
            Ok(Taken::Kept(count, page)) => {
                objects += count;
                manifest.namespaces.insert(name.clone(), page);
            }
            Ok(Taken::Before(count, page)) => {
                objects += count;
                resumed += 1;
                manifest.namespaces.insert(name.clone(), page);
            }
            Ok(Taken::Missing(finding)) => findings.push(finding),
        }
        progress.step()?;
    }
    drop(stream);
    progress.stop()?;
    if let Some(trouble) = stopped {
        folder.write_manifest(&manifest)?;
        return Err(trouble.and("what was read before is kept: ask again with the same folder to go on"));
    }
    let whole = findings.iter().all(|f| f.severity != Severity::Blocker);
    manifest.finished_at = whole.then(|| (place.now)());
    folder.write_manifest(&manifest)?;
    tell(args, &manifest, objects, resumed, &findings, place)?;
    Ok(if whole { End::Done } else { End::Partly })
}

/// The page of a backup that is begun, or gone on with.
async fn begin(
    folder: &Folder,
    recipients: &Recipients,
    cluster: &Cluster,
    place: &Place<'_>,
) -> Result<Manifest, Trouble> {
    let identity = cluster.identity().await?;
    let Some(manifest) = folder.manifest()? else {
        return Ok(Manifest {
            format: if recipients.is_empty() { FORMAT } else { ENCRYPTED },
            cluster: identity,
            started_at: (place.now)(),
            finished_at: None,
            namespace: place.namespace.clone(),
            recipients: recipients.names(),
            namespaces: BTreeMap::new(),
        });
    };
    if let Some(finished) = manifest.finished_at {
        return Err(Trouble::Refused(format!(
            "the folder holds a backup that was finished at {finished}, which is never changed: name another"
        )));
    }
    if manifest.cluster != identity {
        return Err(Trouble::Refused(
            "the folder holds an unfinished backup of another cluster: name another folder, or look which cluster is the current one (kubectl config current-context)".to_owned(),
        ));
    }
    if manifest.namespace != place.namespace {
        let of = manifest.namespace.as_deref().unwrap_or("all namespaces");
        return Err(Trouble::Usage(format!(
            "the folder holds an unfinished backup of {of}: ask for the same, or name another folder"
        )));
    }
    same_readers(&manifest, recipients)?;
    Ok(manifest)
}

/// A backup that is gone on with has one set of readers, those it was begun with: of a mix some could read a part.
fn same_readers(manifest: &Manifest, recipients: &Recipients) -> Result<(), Trouble> {
    if recipients.is_empty() || recipients.names() == manifest.recipients {
        return Ok(());
    }
    Err(Trouble::Refused(if manifest.encrypted() {
        format!(
            "the folder holds an unfinished backup that is encrypted for {}, and would be mixed with one for {}: leave --recipient and --recipients-file out to go on with it, or name another folder",
            manifest.recipients.join(", "),
            recipients.names().join(", ")
        )
    } else {
        "the folder holds an unfinished backup that is not encrypted, and would be mixed with one that is: name another folder, and delete this one".to_owned()
    }))
}

/// The namespaces to keep, each with its object where that may be read.
async fn namespaces(cluster: &Cluster, named: Option<&str>) -> Result<Vec<(String, Option<Value>)>, Trouble> {
    let Some(name) = named else {
        let all = cluster.all(&cluster::NAMESPACE, None).await?;
        let wanted = all
            .into_iter()
            .filter(|n| !OTHERS.contains(&meta(n, "name")) && sanitise::kept(&cluster::NAMESPACE, n));
        return Ok(wanted.map(|n| (meta(&n, "name").to_owned(), Some(n))).collect());
    };
    match cluster.get(&cluster::NAMESPACE, "", name).await {
        Ok(Some(object)) => Ok(vec![(name.to_owned(), Some(object))]),
        Ok(None) => Err(Trouble::Usage(format!(
            "there is no namespace {name:?}: see kubectl get namespaces"
        ))),
        // Somebody may work in a namespace without being allowed to look at it.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(vec![(name.to_owned(), None)]),
        Err(error) => Err(Trouble::kube(format!("read the namespace {name}"), &error)),
    }
}

async fn take(
    folder: &Folder,
    cluster: &Cluster,
    namespace: &str,
    object: Option<&Value>,
    now: &(dyn Fn() -> jiff::Timestamp + Sync),
) -> Result<Taken, Trouble> {
    if let Some((objects, digest)) = folder.whole(namespace) {
        return Ok(Taken::Before(objects, digest));
    }
    let taken_at = now();
    let mut kinds = Vec::new();
    kinds.extend(object.map(|object| (cluster::NAMESPACE.resource(), vec![sanitise::sanitised(object)])));
    for kind in &KINDS {
        let found = match cluster.list(kind, Some(namespace), None).await {
            Ok(found) => found,
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
                return Ok(Taken::Missing(Finding {
                    code: "BACKUP-FORBIDDEN",
                    severity: Severity::Blocker,
                    object: format!("namespace {namespace}"),
                    message: format!("{} may not be listed: {}", kind.resource(), status.message),
                    remedy: "have the right granted and ask again with the same folder; nothing of this namespace is kept yet".to_owned(),
                }));
            }
            Err(error) => {
                let doing = format!("list {} in {namespace}", kind.resource());
                return Err(Trouble::kube(doing, &error));
            }
        };
        let wanted = found.iter().filter(|object| sanitise::kept(kind, object));
        let keep = if *kind == cluster::INGRESS {
            sanitise::aged
        } else {
            sanitise::sanitised
        };
        kinds.push((kind.resource(), wanted.map(keep).collect()));
    }
    let count = kinds
        .iter()
        .map(|(_, items): &(String, Vec<Value>)| items.len())
        .sum();
    Ok(Taken::Kept(count, folder.write(namespace, taken_at, &kinds)?))
}

/// Kinds that the cluster does not serve, and of which there is nothing to keep.
fn absent(cluster: &Cluster) -> Vec<Finding> {
    let absent: Vec<String> = KINDS
        .iter()
        .filter(|kind| !cluster.serves(kind))
        .map(Kind::resource)
        .collect();
    if absent.is_empty() {
        return Vec::new();
    }
    vec![Finding {
        code: "BACKUP-KIND-ABSENT",
        severity: Severity::Info,
        object: "cluster".to_owned(),
        message: format!("it serves no {}: nothing of them is kept", absent.join(", ")),
        remedy: String::new(),
    }]
}

fn tell(
    args: &BackupArgs,
    manifest: &Manifest,
    objects: usize,
    resumed: usize,
    findings: &[Finding],
    place: &mut Place<'_>,
) -> Result<(), Trouble> {
    let dir = args.dir.display().to_string();
    if place.json {
        let said = json!({
            "dir": dir, "cluster": manifest.cluster, "startedAt": manifest.started_at,
            "finishedAt": manifest.finished_at, "namespaces": manifest.namespaces.len(),
            "objects": objects, "resumed": resumed, "recipients": manifest.recipients, "findings": findings,
        });
        writeln!(place.out, "{said:#}")?;
        return Ok(());
    }
    finding::write(place.err, findings)?;
    let before = if resumed > 0 {
        format!(" ({resumed} of them from before)")
    } else {
        String::new()
    };
    writeln!(
        place.out,
        "{objects} objects of {} namespaces{before} are kept in {dir}",
        manifest.namespaces.len()
    )?;
    if manifest.encrypted() {
        writeln!(place.out, "encrypted for {}", manifest.recipients.join(", "))?;
    }
    if manifest.finished_at.is_none() {
        writeln!(
            place.out,
            "The backup is unfinished: ask again with the same folder."
        )?;
    }
    Ok(())
}
