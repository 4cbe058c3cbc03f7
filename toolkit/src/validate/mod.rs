//! `migrate validate`: whether what was migrated is well.

use crate::cluster::Cluster;
use crate::finding::{self, Finding, Severity};
use crate::place::Place;
use crate::standing::{self, Standing, StandingArgs, State, health};
use crate::trouble::{End, Trouble};
use clap::Args;
use serde_json::json;

/// Arguments of `migrate validate`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Looks, without a request: routes of marked Ingresses that are missing, edited or closed; Ingresses that were changed
since; gateways without a ready pod; certificates that are missing or older than their source; Services that are not
there; hosts that two VirtualServices have. What requests meet is for `migrate probe`.

Examples:
  gradual-rollout migrate validate
  gradual-rollout migrate validate -n ns-a -o json

Exit codes:
  0 all is well, warnings aside · 3 the cluster refused to tell · 4 something is not well, the report names it
  69 the cluster cannot be reached")]
pub struct ValidateArgs {
    /// What is looked at
    #[command(flatten)]
    pub standing: StandingArgs,
}

/// Looks, and tells.
pub async fn run(args: &ValidateArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let cluster = Cluster::look(&place.client, &standing::kinds()).await?;
    let standing = Standing::read(&cluster, &args.standing, place.namespace.as_deref()).await?;
    let mut findings: Vec<Finding> = standing.all.iter().flat_map(of).collect();
    findings.extend(standing.loose.iter().map(|(code, object, message)| Finding {
        code,
        severity: if *code == "STATE-LEFTOVER-GUARD" {
            Severity::Blocker
        } else {
            Severity::Warning
        },
        object: object.clone(),
        message: message.clone(),
        remedy: "an apply was ended half-way: go on with it, or take away what it left: migrate rollback -n, or --all".to_owned(),
    }));
    findings.extend(health::check(&cluster, &standing).await?);
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let (blockers, warnings) = (count(Severity::Blocker), count(Severity::Warning));
    let total = standing.total();
    if place.json {
        let said = json!({
            "well": blockers == 0, "total": total, "servedByBoth": standing.both(), "findings": findings,
        });
        writeln!(place.out, "{said:#}")?;
    } else {
        finding::write(place.err, &findings)?;
        writeln!(
            place.out,
            "{} Ingresses migrated, {} cleaned up, {} left: {blockers} blockers, {warnings} warnings",
            total.migrated + total.changed + total.failed,
            total.cleaned,
            total.left
        )?;
    }
    Ok(if blockers == 0 { End::Done } else { End::Partly })
}

/// What is wrong with an Ingress, and loses nobody a guard or an answer.
const WARNINGS: [&str; 5] = [
    "STATE-SOURCE-CHANGED",
    "STATE-EDITED",
    "STATE-ORPHANED",
    "STATE-UNMARKED",
    "STATE-OTHER-CLASS",
];

/// What is wrong with an Ingress, as findings.
fn of(one: &standing::One) -> Vec<Finding> {
    let name = format!("{}/{}", one.key.0, one.key.1);
    let remedy = |code: &str| {
        match code {
        "STATE-UNPROTECTED" => format!(
            "write it anew: migrate apply --ingress {name}; where that is refused, give it back to nginx: migrate rollback --ingress {name}"
        ),
        "STATE-EDITED" | "STATE-GUARD-EDITED" | "STATE-RULE-EDITED" => {
            "put the change into the Ingress, then migrate apply --overwrite".to_owned()
        }
        "STATE-OTHER-CLASS" => format!(
            "take away what was made of it: migrate rollback --ingress {name}; or give it its class again"
        ),
        "STATE-GUARD-ELSEWHERE" => {
            "give the Gateway its pods again (spec.selector), or move the hosts to another: migrate apply --gateway"
                .to_owned()
        }
        "STATE-SHUT" => format!(
            "where it can be converted now: migrate apply --ingress {name}; else give it back to nginx, which can do it, with all that share its host: migrate rollback --ingress {name}; or say what may be lost: migrate apply --ingress {name} --accept CODE"
        ),
        "STATE-ORPHANED" => format!(
            "if nobody wants it any more: migrate rollback --ingress {name} --gone {name}; else have it back: migrate restore"
        ),
        _ if matches!(one.state, State::Cleaned | State::Orphaned) => {
            format!("its Ingress is gone; have it back with migrate rollback --ingress {name}")
        }
        _ => format!("write it anew: migrate apply --ingress {name}"),
    }
    };
    one.wrong
        .iter()
        .map(|(code, object, message)| Finding {
            code,
            severity: if WARNINGS.contains(code) {
                Severity::Warning
            } else {
                Severity::Blocker
            },
            object: object.clone(),
            message: message.clone(),
            remedy: remedy(code),
        })
        .collect()
}
