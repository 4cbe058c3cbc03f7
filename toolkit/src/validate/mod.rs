//! `migrate validate`: whether what was migrated is well.

use crate::answering::typed;
use crate::block;
use crate::cluster::Cluster;
use crate::finding::{self, Finding, Severity};
use crate::place::Place;
use crate::standing::{self, Standing, StandingArgs, State, health, loose};
use crate::trouble::{End, Trouble};
use clap::Args;
use gradual_rollout_migration::input::Key;
use serde_json::json;
use std::collections::BTreeSet;

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
    let findings = findings(&cluster, &standing, place).await?;
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
            "{}: {blockers} blockers, {warnings} warnings",
            standing.told()
        )?;
    }
    Ok(if blockers == 0 { End::Done } else { End::Partly })
}

/// All that is not well: of routes and their Ingresses, of what no route needs, and of what routes need. Whoever goes on
/// only where all is well asks this too.
pub async fn findings(
    cluster: &Cluster,
    standing: &Standing,
    place: &Place<'_>,
) -> Result<Vec<Finding>, Trouble> {
    let there = |key: &Key| standing.has(key);
    let mut findings: Vec<Finding> = Vec::new();
    // What is wrong with a route is wrong with all of its Ingresses, and told once.
    let mut told = BTreeSet::new();
    for finding in standing.all.iter().flat_map(|one| of(one, &there)) {
        if told.insert((finding.code, finding.object.clone(), finding.message.clone())) {
            findings.push(finding);
        }
    }
    findings.extend(standing.loose.iter().map(|(code, object, message)| Finding {
        code,
        severity: if LEFT.contains(code) && *code != "STATE-LEFTOVER-GUARD" {
            Severity::Warning
        } else {
            Severity::Blocker
        },
        object: object.clone(),
        message: message.clone(),
        remedy: if LEFT.contains(code) {
            "an apply or a rollback was ended half-way: go on with it, or take away what it left: migrate rollback -n, or --all"
        } else {
            "write the path anew, while the Service is a load balancer: migrate loadbalancer migrate SERVICE -n NAMESPACE, with the flags that it was written with"
        }
        .to_owned(),
    }));
    findings.extend(health::check(cluster, standing, (place.now)()).await?);
    findings.extend(block::lasting(&place.client, (place.now)()).await?);
    Ok(findings)
}

/// What an apply or a rollback that was ended half-way left.
const LEFT: [&str; 3] = [
    "STATE-LEFTOVER-GUARD",
    "STATE-LEFTOVER-RULE",
    "STATE-LEFTOVER-COPY",
];

/// What is wrong with an Ingress, and loses nobody a guard or an answer.
const WARNINGS: [&str; 10] = [
    "STATE-GOING-BACK",
    "STATE-GUARD-AHEAD",
    "STATE-BESIDE",
    "STATE-CANARY-GONE",
    "STATE-HOST-LEFT",
    "STATE-SOURCE-CHANGED",
    "STATE-EDITED",
    "STATE-ORPHANED",
    "STATE-UNMARKED",
    "STATE-OTHER-CLASS",
];

/// What is wrong with an Ingress, as findings.
fn of(one: &standing::One, there: &dyn Fn(&Key) -> bool) -> Vec<Finding> {
    let name = format!("{}/{}", one.key.0, one.key.1);
    let remedy = |code: &str, object: &str, message: &str| {
        // What --all overwrites is everybody's.
        let (edited, overwrite) = if message.ends_with(loose::EDITED) {
            (true, " --overwrite")
        } else {
            (false, "")
        };
        match code {
        "STATE-UNPROTECTED" => format!(
            "write it anew, with all that share its host: migrate apply --ingress {name} --widen; where the gateway stays open after that, give it back to nginx: {}", one.back
        ),
        "STATE-GOING-BACK" => format!(
            "go on with it: {}; or have it served by the gateway again: migrate apply --ingress {name} --widen", one.back
        ),
        "STATE-BESIDE" => format!(
            "write it, with all that share its host: migrate apply --ingress {name} --widen"
        ),
        "STATE-HOST-LEFT" => format!(
            "have it taken away: migrate apply --ingress {name} --widen --prune"
        ),
        "STATE-GUARD-STALE" if edited && matches!(one.state, State::Cleaned | State::Orphaned) => format!(
            "look at it, then delete it: kubectl delete authorizationpolicies.security.istio.io -n {}",
            object.split_once(' ').map_or(object, |(_, name)| name).replace('/', " ")
        ),
        "STATE-GUARD-STALE" if matches!(one.state, State::Cleaned | State::Orphaned) => {
            "have it taken away: migrate apply --all --prune, after a look at --dry-run".to_owned()
        }
        "STATE-GUARD-STALE" => format!(
            "have it taken away: migrate apply --ingress {name} --widen --prune{overwrite}, after a look at --dry-run; where it is refused, and its paths are closed: {}", one.back
        ),
        "STATE-EDITED" | "STATE-GUARD-EDITED" | "STATE-RULE-EDITED" => {
            "put the change into the Ingress, then migrate apply --overwrite".to_owned()
        }
        "STATE-OTHER-CLASS" => format!(
            "take away what was made of it: {}; or give it its class again", one.back
        ),
        "STATE-GUARD-AHEAD" => format!(
            "write its route, and see what it lacks: migrate apply --ingress {name} --widen"
        ),
        "STATE-NO-ROUTE" => format!(
            "write it anew: migrate apply --ingress {name}; where nginx does not serve it either, take its mark off: migrate rollback --ingress {name}"
        ),
        "STATE-GUARD-ELSEWHERE" => {
            "give the Gateway its pods again (spec.selector), or move the hosts to another: migrate apply --gateway"
                .to_owned()
        }
        "STATE-SHUT" => format!(
            "where it can be converted now: migrate apply --ingress {name}; else give it back to nginx, which can do it, with all that share its host: {}; or say what may be lost: migrate apply --ingress {name} --accept CODE", one.back
        ),
        "STATE-RULE-TAKEN" => {
            "take what it says into ours (annotations of the Ingress), and delete it or have it exported to its own namespace alone (exportTo: [\".\"]); or give the Ingress a Service of its own".to_owned()
        }
        "STATE-DENIED" => {
            "have it let the host in, or select other pods than the gateway's".to_owned()
        }
        "STATE-CANARY-GONE" => {
            let others: Vec<&Key> = one.together.iter().filter(|key| there(key)).collect();
            format!("have what it split written without it: migrate apply --ingress {} --prune", typed(others))
        }
        "STATE-SOURCE-CHANGED" => format!("write it anew, with all that share its host or are split with it: migrate apply --ingress {name} --widen"),
        "STATE-ORPHANED" => {
            let others: Vec<&Key> = one.together.iter().filter(|key| there(key)).collect();
            if others.is_empty() {
                format!("if nobody wants it any more: {}; else have it back: migrate restore", one.back)
            } else {
                format!("if nobody wants it any more, have its host written without it: migrate apply --ingress {}; else have it back: migrate restore", typed(others))
            }
        }
        _ if matches!(one.state, State::Cleaned | State::Orphaned) => {
            format!("its Ingress is gone; have it back: {}", one.back)
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
            remedy: remedy(code, object, message),
        })
        .collect()
}
