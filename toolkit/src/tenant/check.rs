//! Whether a tenant is as it was made, and whether others can reach it.

use super::objects::Tenant;
use super::{CheckArgs, Completed, completed, request, rivals};
use crate::finding::{self, Finding, Severity};
use crate::place::Place;
use crate::see::{self, Kind, kinds};
use crate::trouble::{End, Trouble};
use serde_json::{Value, json};

fn finding(code: &'static str, severity: Severity, object: String, message: String, remedy: &str) -> Finding {
    Finding {
        code,
        severity,
        object,
        message,
        remedy: remedy.to_owned(),
    }
}

/// Looks, and asks the network where that is wanted.
pub(super) async fn run(args: &CheckArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let Completed {
        tenant,
        copy,
        shut_out,
        ..
    } = completed(&args.shape, place).await?;
    let mut found: Vec<Finding> = shut_out.into_iter().collect();
    if let Some(wanted) = &copy {
        certificate(wanted, place, &mut found).await?;
    } else if tenant.secret.is_none() {
        found.push(finding(
            "TENANT-IN-CLEAR",
            Severity::Warning,
            format!("Secret {}/{}", tenant.gateway_namespace, tenant.secret_name()),
            "it is not there, so the hosts are served in clear".to_owned(),
            "run `tenant create` with --certificate",
        ));
    }
    if see::get(&place.client, kinds::NAMESPACE, None, &tenant.namespace)
        .await?
        .is_none()
    {
        found.push(missing(format!("Namespace {}", tenant.namespace)));
    }
    for (kind, wanted) in tenant.objects() {
        compare(kind, &wanted, place, &mut found).await?;
    }
    for rival in rivals::of(&tenant, &place.client).await? {
        found.push(finding(
            "TENANT-HOST-SHARED",
            Severity::Blocker,
            format!("tenant {}", tenant.name),
            rival,
            "a host belongs to one namespace: take it away there",
        ));
    }
    if args.request {
        asked(args, &tenant, place, &mut found).await?;
    }
    let as_made = found.iter().all(|finding| finding.severity < Severity::Blocker);
    // Objects that are as they were made isolate nobody where the network does not heed them.
    let isolated = as_made && args.request;
    if place.json {
        let whole = json!({"tenant": tenant.name, "asMade": as_made, "isolated": isolated, "asked": args.request, "findings": found});
        crate::batch::say(place, &whole, &[])?;
    } else {
        finding::write(place.out, &found)?;
        let verdict = if as_made {
            "as it was made"
        } else {
            "not as it should be"
        };
        let asked = if args.request {
            ""
        } else {
            "; the network was not asked, so nobody knows whether it is isolated: ask with --request"
        };
        writeln!(place.out, "tenant {}: {verdict}{asked}", tenant.name)?;
    }
    Ok(match (as_made, args.request) {
        (true, true) => End::Done,
        (true, false) => End::Partly,
        (false, _) => End::Refused,
    })
}

fn missing(object: String) -> Finding {
    finding(
        "TENANT-MISSING",
        Severity::Blocker,
        object,
        "it is not there".to_owned(),
        "run `tenant create` again",
    )
}

async fn compare(
    kind: Kind,
    wanted: &Value,
    place: &Place<'_>,
    found: &mut Vec<Finding>,
) -> Result<(), Trouble> {
    let there = see::get(
        &place.client,
        kind,
        Some(see::namespace(wanted)),
        see::name(wanted),
    )
    .await?;
    let Some(there) = there else {
        found.push(missing(see::object(wanted)));
        return Ok(());
    };
    let mut differences = Vec::new();
    if let (Some(wanted), Some(there)) = (wanted.get("spec"), there.get("spec")) {
        differ("spec", wanted, there, &mut differences);
    }
    if !differences.is_empty() {
        found.push(finding(
            "TENANT-CHANGED",
            Severity::Blocker,
            see::object(wanted),
            format!("it is not as it was made: {}", differences.join(", ")),
            "run `tenant create` again, or with the flags that it was made with",
        ));
    }
    Ok(())
}

/// Fields that are wanted and are something else. What the API server adds by itself is no difference; an entry more
/// in a list is.
fn differ(path: &str, wanted: &Value, there: &Value, found: &mut Vec<String>) {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => {
            for (key, value) in wanted {
                match there.get(key) {
                    Some(there) => differ(&format!("{path}.{key}"), value, there, found),
                    // The API server drops what is empty.
                    None if value.as_object().is_some_and(serde_json::Map::is_empty) => {}
                    None => found.push(format!("{path}.{key} is gone")),
                }
            }
        }
        (Value::Array(wanted), Value::Array(there)) if wanted.len() == there.len() => {
            for (index, (wanted, there)) in wanted.iter().zip(there).enumerate() {
                differ(&format!("{path}[{index}]"), wanted, there, found);
            }
        }
        _ if wanted == there => {}
        _ => found.push(format!("{path} is {there}")),
    }
}

async fn certificate(wanted: &Value, place: &Place<'_>, found: &mut Vec<Finding>) -> Result<(), Trouble> {
    let there = see::get(
        &place.client,
        kinds::SECRET,
        Some(see::namespace(wanted)),
        see::name(wanted),
    )
    .await?;
    match there {
        None => found.push(missing(see::object(wanted))),
        Some(there) if !crate::secret::same(&there, wanted) => {
            found.push(finding(
                "TENANT-CERTIFICATE-OLD",
                Severity::Warning,
                see::object(wanted),
                "its source was renewed since it was copied".to_owned(),
                "run `tenant create` again",
            ));
        }
        Some(_) => {}
    }
    Ok(())
}

async fn asked(
    args: &CheckArgs,
    tenant: &Tenant,
    place: &mut Place<'_>,
    found: &mut Vec<Finding>,
) -> Result<(), Trouble> {
    let outcome = request::ask(args, tenant, place).await?;
    let object = format!("Service {}/{}", tenant.namespace, outcome.target);
    let (own, other) = (outcome.from_own, outcome.from_other);
    if other {
        found.push(finding(
            "TENANT-OPEN",
            Severity::Blocker,
            object,
            format!("a pod in namespace {} reached it", args.from),
            "see that the cluster's network plug-in enforces NetworkPolicies",
        ));
    } else if !own {
        found.push(finding(
            "TENANT-UNTOLD",
            Severity::Blocker,
            object,
            "not even a pod of the tenant reached it, so nothing is known of others".to_owned(),
            "name a Service and port that answer, with --service",
        ));
    } else if !outcome.other_reaches {
        found.push(finding(
            "TENANT-UNTOLD",
            Severity::Blocker,
            object,
            format!(
                "a pod in namespace {} did not reach it, nor {}, which it must: it may be kept from everything, so nothing is known",
                args.from, args.control
            ),
            "ask from a namespace whose pods get out, with --from, or name a Service that they reach, with --control",
        ));
    }
    Ok(())
}
