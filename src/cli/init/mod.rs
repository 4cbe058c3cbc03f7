//! `init`: resources with comments, from what is in the cluster. Nothing is applied.

pub(super) mod args;
mod files;
mod quiet;
mod selector;
mod sound;

use super::exit::{Exit, Failure};
use super::suggest::closest;
use super::{connect, recorded, table};
use crate::cluster::by_hand::{ByHand, Error};
use crate::routing::adopt::{Adopted, Asked, From, LeftOut, Taken, adopt};
use crate::routing::{ObjectKind, Stock, needs};
use crate::settings::Settings;
use args::InitArgs;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// What is looked for, and where.
struct Search<'a> {
    from: From,
    names: &'a [String],
    namespace: Option<&'a str>,
    selector: Option<&'a str>,
}

/// Writes resources to a folder, or to the standard output. `namespace` is the one that `-n` says.
pub(super) async fn run(
    settings: &Settings,
    args: &InitArgs,
    namespace: Option<&str>,
    folder: Option<&Path>,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    if args.all_namespaces && namespace.is_some() {
        return Err(Failure::usage(
            "-A is every namespace: leave out -n, or leave out -A",
        ));
    }
    let search = search(settings, args)?;
    // What cannot be asked is said before anything is.
    let source = match &args.pool_below {
        Some(rate) => Some((recorded::source(settings)?, rate.0)),
        None => None,
    };
    let cluster = connect::connect().await?;
    let objects = objects(&cluster, &search).await?;
    let (mut taken, stock) = surroundings(&cluster, &search, &objects).await?;
    // Names and owners of what is there already; what is made here is added beside it.
    let there = taken.clone();
    let asked = Asked {
        from: &search.from,
        objects: &objects,
        stock: &stock,
        canaries: &args.canary,
    };
    let mut adopted = adopt(&asked, &mut taken);
    if args.from_ingress && args.gateway.is_none() {
        let gateway = args::GatewayService::default();
        let note = format!("GUESSED: the gateway, {gateway}; --gateway says another.");
        adopted
            .drafts
            .iter_mut()
            .for_each(|draft| draft.notes.push(note.clone()));
    }
    let quiet = match source {
        Some((source, below)) => Some(quiet::ask(&source, &adopted.drafts, below).await?),
        None => None,
    };
    let shape = sound::Shape {
        most: args.per_resource.into(),
        base: args.name.as_deref(),
        quiet: quiet.as_ref(),
    };
    let resources = sound::resources(&mut adopted, &shape, &there)?;
    if resources.is_empty() {
        tell(&adopted.left_out)?;
        return Err(nothing(&search, &adopted));
    }
    match folder {
        None => {
            for (at, (_, text)) in resources.iter().enumerate() {
                let between = if at == 0 { "" } else { "---\n" };
                write!(out, "{between}{text}")?;
            }
            out.flush()?;
        }
        Some(folder) => {
            let texts: Vec<(String, String)> = resources
                .iter()
                .map(|(resource, text)| {
                    (
                        format!("{}.{}.yaml", resource.namespace, resource.name),
                        text.clone(),
                    )
                })
                .collect();
            for path in files::write(folder, &texts, args.force)? {
                writeln!(out, "{}", path.display())?;
            }
        }
    }
    tell(&adopted.left_out)?;
    let components: usize = resources.iter().map(|(resource, _)| resource.drafts.len()).sum();
    writeln!(
        anstream::stderr(),
        "{} with {} written, {} left out",
        counted(resources.len(), "resource"),
        counted(components, "component"),
        counted(adopted.left_out.len(), "object")
    )?;
    Ok(Exit::Done)
}

fn counted(n: usize, what: &str) -> String {
    let end = if n == 1 { "" } else { "s" };
    format!("{n} {what}{end}")
}

fn search<'a>(settings: &'a Settings, args: &'a InitArgs) -> Result<Search<'a>, Failure> {
    if args.gateway.is_some() && !args.from_ingress {
        return Err(Failure::usage("--gateway goes with --from-ingress: leave it out"));
    }
    let (from, names) = if args.from_ingress {
        let gateway = args.gateway.clone().unwrap_or_default();
        (From::Ingresses(gateway.into()), &[] as &[String])
    } else if let Some(names) = &args.from_httproute {
        (From::HttpRoutes, names.as_slice())
    } else {
        (
            From::VirtualServices,
            args.from_virtualservice.as_deref().unwrap_or_default(),
        )
    };
    Ok(Search {
        from,
        names,
        namespace: (!args.all_namespaces).then_some(settings.namespace.as_str()),
        selector: args.selector.as_deref(),
    })
}

/// The objects that are meant, all there.
async fn objects(cluster: &ByHand, search: &Search<'_>) -> Result<Vec<Arc<Value>>, Failure> {
    let kind = search.from.kind();
    let found = cluster.search(kind, search.namespace, search.selector).await;
    let Some(found) = found.map_err(connect::failure)? else {
        let remedy = kind.missing().unwrap_or("install its definition");
        return Err(Failure::refused(format!(
            "the cluster knows no {}: {remedy}",
            kind.kind()
        )));
    };
    if search.names.is_empty() {
        return Ok(found);
    }
    let name = |json: &Value| {
        let name = json.pointer("/metadata/name").and_then(Value::as_str);
        name.unwrap_or_default().to_owned()
    };
    let known: BTreeSet<String> = found.iter().map(|json| name(json)).collect();
    if let Some(wanted) = search.names.iter().find(|wanted| !known.contains(*wanted)) {
        let hint = closest(wanted, known.iter().map(String::as_str))
            .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        return Err(Failure::refused(format!(
            "there is no {} {wanted:?} {}{hint}; nothing was written",
            kind.kind(),
            place(search)
        )));
    }
    Ok(found
        .into_iter()
        .filter(|json| search.names.contains(&name(json)))
        .collect())
}

/// Where it is looked, in words.
fn place(search: &Search<'_>) -> String {
    let namespace = search.namespace.map_or_else(
        || "in any namespace".to_owned(),
        |n| format!("in the namespace {n}"),
    );
    match search.selector {
        Some(selector) => format!("{namespace} with the labels {selector}"),
        None => namespace,
    }
}

/// What belongs to resources of the cluster, and what selections look through.
async fn surroundings(
    cluster: &ByHand,
    search: &Search<'_>,
    objects: &[Arc<Value>],
) -> Result<(Taken, Stock), Failure> {
    let namespaces: BTreeSet<&str> = objects
        .iter()
        .filter_map(|json| json.pointer("/metadata/namespace").and_then(Value::as_str))
        .collect();
    let rollouts = match cluster.existing_rollouts(None).await {
        Ok(all) => all,
        Err(Error::Forbidden { .. }) => {
            writeln!(
                anstream::stderr(),
                "{}note:{0:#} GradualRollouts of other namespaces may not be listed: what they own is not known here",
                table::LOOK
            )?;
            let mut own = Vec::new();
            for namespace in &namespaces {
                let listed = cluster.existing_rollouts(Some(namespace)).await;
                own.extend(listed.map_err(connect::failure)?);
            }
            own
        }
        Err(error) => return Err(connect::failure(error)),
    };
    let mut wanted: BTreeSet<(ObjectKind, String)> = BTreeSet::new();
    if let From::Ingresses(gateway) = &search.from {
        let of = |namespace: &str, kinds: &[ObjectKind]| -> Vec<(ObjectKind, String)> {
            kinds.iter().map(|kind| (*kind, namespace.to_owned())).collect()
        };
        let beside = [ObjectKind::Service, ObjectKind::VirtualService];
        for namespace in namespaces {
            wanted.extend(of(namespace, &[ObjectKind::Ingress]));
            wanted.extend(of(namespace, &beside));
        }
        wanted.extend(of(&gateway.namespace, &beside));
        for rollout in &rollouts {
            let home = rollout.metadata.namespace.as_deref().unwrap_or_default();
            wanted.extend(
                rollout
                    .spec
                    .components
                    .iter()
                    .flat_map(|component| needs(component, home)),
            );
        }
    }
    let mut stock = Stock::default();
    for (kind, namespace) in wanted.into_iter().filter(|(kind, _)| !kind.may_be_unseen()) {
        let listed = cluster.list(kind, &namespace).await.map_err(connect::failure)?;
        stock.put(kind, &namespace, listed);
    }
    let mut taken = Taken::default();
    for rollout in &rollouts {
        taken.add(rollout, &stock);
    }
    Ok((taken, stock))
}

/// Says what was left out, and why.
fn tell(left_out: &[LeftOut]) -> Result<(), Failure> {
    let mut err = anstream::stderr();
    for one in left_out {
        let text = format!("{}: {}", one.object, one.reason);
        writeln!(err, "{}left out:{0:#} {}", table::LOOK, table::plain(&text))?;
    }
    Ok(())
}

fn nothing(search: &Search<'_>, adopted: &Adopted) -> Failure {
    let what = match &search.from {
        From::VirtualServices => "VirtualService with a route of two weighted destinations",
        From::HttpRoutes => "HTTPRoute with a rule of two back ends",
        From::Ingresses(_) => "Ingress that leads to a Service",
    };
    let there = match adopted.left_out.len() {
        0 => "there is none at all".to_owned(),
        n => format!("{} looked at, none could be taken", counted(n, "object")),
    };
    Failure::refused(format!(
        "no {what} that nobody owns {}: {there}; nothing was written",
        place(search)
    ))
}

#[cfg(test)]
mod tests;
