//! `migrate status`: how far it is, by namespace.

use crate::cluster::Cluster;
use crate::finding::plain;
use crate::place::Place;
use crate::standing::{self, Counts, One, Standing, StandingArgs, State};
use crate::trouble::{End, Trouble};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Arguments of `migrate status`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
LEFT has no mark yet, MIGRATED is served by nginx and the gateway alike, CHANGED was edited since, FAILED has the mark
and misses something, CLEANED is served by the gateway alone, ORPHANED too, but somebody else deleted its Ingress. Namespaces where nothing is left to do are only counted.

Examples:
  gradual-rollout migrate status
  gradual-rollout migrate status -n ns-a -o json

Exit codes:
  0 it was told · 3 the cluster refused to tell · 69 it cannot be reached")]
pub struct StatusArgs {
    /// What is looked at
    #[command(flatten)]
    pub standing: StandingArgs,
    /// Show namespaces where nothing is left to do as well
    #[arg(long)]
    pub all: bool,
}

/// Tells where it stands.
pub async fn run(args: &StatusArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let cluster = Cluster::look(&place.client, &standing::kinds()).await?;
    let standing = Standing::read(&cluster, &args.standing, place.namespace.as_deref()).await?;
    let (counts, total) = (standing.counts(), standing.total());
    if place.json {
        let ingresses: Vec<Value> = standing
            .all
            .iter()
            .map(|one| {
                let wrong: Vec<Value> = one
                    .wrong
                    .iter()
                    .map(|(code, object, said)| json!({"code": code, "object": object, "message": said}))
                    .collect();
                json!({
                    "namespace": one.key.0, "name": one.key.1, "state": one.state, "hosts": one.hosts,
                    "wrong": wrong,
                })
            })
            .collect();
        let loose: Vec<Value> = standing
            .loose
            .iter()
            .map(|(code, object, said)| json!({"code": code, "object": object, "message": said}))
            .collect();
        let said = json!({
            "leftOver": loose, "total": total, "servedByBoth": standing.both(), "namespaces": counts, "ingresses": ingresses,
        });
        writeln!(place.out, "{said:#}")?;
        return Ok(End::Done);
    }
    let done = |counts: &Counts| counts.left + counts.changed + counts.failed + counts.orphaned == 0;
    let shown: Vec<(&&str, &Counts)> = counts.iter().filter(|(_, c)| args.all || !done(c)).collect();
    if !shown.is_empty() {
        let wide = shown
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or_default()
            .max(9);
        writeln!(
            place.out,
            "{:wide$}  LEFT  MIGRATED  CHANGED  FAILED  CLEANED  ORPHANED",
            "NAMESPACE"
        )?;
        for (name, c) in &shown {
            let name = plain(name);
            writeln!(
                place.out,
                "{name:wide$}  {:>4}  {:>8}  {:>7}  {:>6}  {:>7}  {:>8}",
                c.left, c.migrated, c.changed, c.failed, c.cleaned, c.orphaned
            )?;
        }
    }
    let open = |one: &One| one.wrong.iter().any(|(code, _, _)| *code == "STATE-UNPROTECTED");
    let mut told = BTreeSet::new();
    for one in standing
        .all
        .iter()
        .filter(|one| matches!(one.state, State::Failed | State::Orphaned) || open(one))
    {
        for (code, object, said) in one.wrong.iter().filter(|wrong| told.insert(*wrong)) {
            writeln!(place.out, "{code}  {}: {}", plain(object), plain(said))?;
        }
    }
    for (code, object, said) in &standing.loose {
        writeln!(place.out, "{code}  {}: {}", plain(object), plain(said))?;
    }
    writeln!(
        place.out,
        "{}; {} namespaces done",
        standing.told(),
        counts.values().filter(|c| done(c)).count()
    )?;
    Ok(End::Done)
}
