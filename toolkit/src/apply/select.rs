//! Which Ingresses a batch is: those that were named, without what cannot be told apart from others.

use super::args::BatchArgs;
use crate::convert::Seen;
use crate::convert::args::key;
use crate::convert::closure::Closure;
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::trouble::Trouble;
use gradual_rollout_migration::input::Key;
use std::collections::BTreeSet;

/// A batch.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Its Ingresses.
    pub ingresses: BTreeSet<Key>,
    /// Those and the ones that have their routes already: what the Gateway is made for.
    pub all: BTreeSet<Key>,
    /// What is left out, and what comes along.
    pub findings: Vec<Finding>,
}

/// Finds what was named.
pub fn batch(args: &BatchArgs, namespace: Option<&str>, seen: &Seen) -> Result<Batch, Trouble> {
    let named = named(args, namespace, seen)?;
    let closure = Closure::new(&seen.inventory);
    let mut batch = Batch::default();
    for key in seen.inventory.ingresses.keys().filter(|key| named.contains(key)) {
        if closure.takes_the_rest(key) && !args.all {
            batch.findings.push(Finding {
                code: "APPLY-CATCH-ALL",
                severity: Severity::Warning,
                object: object(key),
                message: "left out: it takes the requests that no other host takes, so at the gateway it would have those of every host that is not there yet".to_owned(),
                remedy: "write it with the last batch: --all".to_owned(),
            });
            continue;
        }
        let family = closure.of(key);
        let others: Vec<String> = family
            .iter()
            .filter(|other| !named.contains(*other))
            .map(|other| format!("{}/{}", other.0, other.1))
            .collect();
        if !others.is_empty() && !args.widen {
            batch.findings.push(Finding {
                code: "APPLY-HOST-SHARED",
                severity: Severity::Blocker,
                object: object(key),
                message: format!(
                    "left out: it shares a host, a wildcard over it, or a back end that a canary splits, with {}",
                    shown(&others)
                ),
                remedy: "name them too, or say --widen to take them along".to_owned(),
            });
            continue;
        }
        for other in family {
            if !named.contains(other) && batch.ingresses.insert(other.clone()) {
                batch.findings.push(Finding {
                    code: "APPLY-WIDENED",
                    severity: Severity::Info,
                    object: object(other),
                    message: format!(
                        "it comes along: it shares a host, or a back end that a canary splits, with {}/{}",
                        key.0, key.1
                    ),
                    remedy: String::new(),
                });
            }
        }
        batch.ingresses.insert(key.clone());
    }
    batch.all.clone_from(&batch.ingresses);
    let migrated = seen
        .ingresses
        .iter()
        .filter(|(_, ingress)| marks::migrated(ingress));
    batch.all.extend(migrated.map(|(key, _)| key.clone()));
    Ok(batch)
}

/// `Ingress namespace/name`.
pub fn object(key: &Key) -> String {
    format!("Ingress {}/{}", key.0, key.1)
}

/// The first few of many names.
pub fn shown(names: &[String]) -> String {
    const FEW: usize = 5;
    let first: Vec<&str> = names.iter().take(FEW).map(String::as_str).collect();
    match names.len().saturating_sub(FEW) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn named(args: &BatchArgs, namespace: Option<&str>, seen: &Seen) -> Result<BTreeSet<Key>, Trouble> {
    let all = || seen.inventory.ingresses.keys();
    if args.all {
        if namespace.is_some() {
            return Err(Trouble::Usage("--all and -n exclude each other".to_owned()));
        }
        return Ok(all().cloned().collect());
    }
    if args.batch.iter().any(|name| name.trim().is_empty()) {
        return Err(Trouble::Usage(
            "--batch has an empty name, as behind a comma at its end: leave it out".to_owned(),
        ));
    }
    let namespaces: BTreeSet<&str> = args.batch.iter().map(String::as_str).chain(namespace).collect();
    if namespaces.is_empty() && args.ingress.is_empty() {
        return Err(Trouble::Usage(
            "nothing was named: write -n NAMESPACE, --batch NAMESPACE,…, --ingress NAMESPACE/NAME or --all"
                .to_owned(),
        ));
    }
    let mut found: BTreeSet<Key> = BTreeSet::new();
    for name in namespaces {
        let before = found.len();
        found.extend(all().filter(|key| key.0 == name).cloned());
        if found.len() == before {
            return Err(Trouble::Usage(format!(
                "namespace {name:?} has no Ingress: see kubectl get ingress -n {name}"
            )));
        }
    }
    for typed in &args.ingress {
        let key = key("--ingress", typed)?;
        if seen.passing.contains(&key) {
            return Err(Trouble::Usage(format!(
                "Ingress {typed} serves no application, so there is nothing to convert: it solves an ACME challenge, \
                 or is a canary of this program; leave it out"
            )));
        }
        if !seen.inventory.ingresses.contains_key(&key) {
            return Err(Trouble::Usage(format!(
                "there is no Ingress {typed}: see kubectl get ingress -n {}",
                key.0
            )));
        }
        found.insert(key);
    }
    Ok(found)
}
