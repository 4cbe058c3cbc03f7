//! `loadbalancer undo`: the Service first, and the path through the gateway only when nobody needs it.

use super::args::UndoArgs;
use super::plan::{self, SERVICE};
use super::{find, same, service};
use crate::batch;
use crate::cleanup::names::{Addresses, Leads, leads_to_gateway};
use crate::finding::{self, Finding, Severity};
use crate::place::Place;
use crate::put;
use crate::secret;
use crate::see::{self, Kind, Listed, entries, items, kinds, text};
use crate::trouble::{End, Trouble};
use kube::api::ListParams;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const NO_ADDRESS: &str = "UNDO-NO-ADDRESS";
const LEADS: &str = "UNDO-NAME-LEADS-TO-GATEWAY";
const UNKNOWN: &str = "UNDO-NAME-UNKNOWN";
const ACCEPTABLE: [&str; 3] = [NO_ADDRESS, LEADS, UNKNOWN];

/// How long the provider is left alone before it is looked again.
const EVERY: Duration = Duration::from_secs(2);

/// Gives back, waits, looks, and takes away.
pub(super) async fn run(args: &UndoArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let accepted = accepted(args)?;
    let namespace = super::namespace(place)?;
    let service = see::get(&place.client, kinds::SERVICE, Some(&namespace), &args.service).await?;
    let name = service::record_name(&args.service);
    let record = see::get(&place.client, kinds::CONFIG_MAP, Some(&namespace), &name).await?;
    let record = record.filter(put::is_ours).ok_or_else(|| {
        Trouble::Refused(format!(
            "nothing was done about Service {namespace}/{}: there is no ConfigMap {namespace}/{name}",
            args.service
        ))
    })?;
    let was = match &service {
        Some(service) => same(&record, service)?,
        // It was deleted: what is left is the path to nobody.
        None => service::remembered(&record)?,
    };
    let mut objects = written(args, &namespace, place).await?;
    objects.push((kinds::CONFIG_MAP, record));
    let mut back = Vec::new();
    let released = service.as_ref();
    if let Some(service) = released.filter(|service| text(service, "/spec/type") == Some("NodePort")) {
        let change = service::give_back(service, &was);
        service::patch(&place.client, service, &change, args.dry_run).await?;
        back.push(format!("{} (LoadBalancer)", see::object(service)));
    }
    // A trial that gave nothing back has nothing to wait for.
    let waits = service.is_some() && (!args.dry_run || back.is_empty());
    let mut findings = if waits {
        addressed(args, place).await?
    } else {
        Vec::new()
    };
    findings.extend(names(args, &objects, place).await?);
    findings.retain(|finding| !accepted.iter().any(|code| code == finding.code));
    finding::write(place.err, &findings)?;
    let mut done = if findings.is_empty() {
        batch::delete(&place.client, &objects, args.dry_run).await
    } else {
        kept(&findings, &objects)
    };
    tell(args, place, &back, &done, &was, &findings)?;
    back.append(&mut done.done);
    done.done = back;
    done.end(place, "deleted")
}

/// Codes as typed.
fn accepted(args: &UndoArgs) -> Result<Vec<String>, Trouble> {
    let codes: Vec<String> = args.accept.iter().map(|code| code.to_ascii_uppercase()).collect();
    match codes.iter().find(|code| !ACCEPTABLE.contains(&code.as_str())) {
        Some(wrong) => Err(Trouble::Usage(format!(
            "--accept {wrong:?}: what may be accepted is {}",
            ACCEPTABLE.join(", ")
        ))),
        None => Ok(codes),
    }
}

/// What `migrate` wrote, but for the record.
async fn written(args: &UndoArgs, namespace: &str, place: &Place<'_>) -> Result<Vec<(Kind, Value)>, Trouble> {
    let labelled = ListParams::default().labels(&format!(
        "{SERVICE}={},{}={}",
        args.service,
        put::MANAGED_BY.0,
        put::MANAGED_BY.1
    ));
    let mut objects = Vec::new();
    for (kind, within) in [
        (kinds::GATEWAY, namespace),
        (kinds::VIRTUAL_SERVICE, namespace),
        (kinds::AUTHORIZATION, args.gateway_namespace.as_str()),
    ] {
        let found = match see::list(&place.client, kind, Some(within), &labelled).await? {
            Listed::Here(found) => found,
            Listed::NotServed => continue,
            Listed::Forbidden(said) => {
                return Err(Trouble::Refused(format!(
                    "unable to list {}: {said}",
                    kind.resource()
                )));
            }
        };
        // In the gateway's namespace are those of Services of the same name elsewhere.
        let mine = |object: &Value| see::label(object, plan::NAMESPACE) == Some(namespace);
        objects.extend(found.into_iter().filter(mine).map(|object| (kind, object)));
    }
    let copy = plan::shared(namespace, &args.service);
    let copy = secret::find(&place.client, &args.gateway_namespace, &copy).await?;
    let own = plan::labels(namespace, &args.service);
    let mine =
        |copy: &Value| entries(&own, "").all(|(label, value)| see::label(copy, label) == value.as_str());
    objects.extend(copy.filter(mine).map(|copy| (kinds::SECRET, copy)));
    Ok(objects)
}

/// Waits until the Service has an address of its own.
async fn addressed(args: &UndoArgs, place: &Place<'_>) -> Result<Vec<Finding>, Trouble> {
    let until = Instant::now() + Duration::from_secs(args.timeout);
    loop {
        let service = find(place, &args.service).await?;
        if !service::addresses(&service).is_empty() {
            return Ok(Vec::new());
        }
        if args.dry_run || Instant::now() >= until {
            return Ok(vec![Finding {
                code: NO_ADDRESS,
                severity: Severity::Blocker,
                object: see::object(&service),
                message: "it has no address yet, so without the gateway nobody reaches it".to_owned(),
                remedy: "see what the provider says of it (kubectl describe), and run this again".to_owned(),
            }]);
        }
        sleep(EVERY).await;
    }
}

/// Who may still come by the gateway.
async fn names(
    args: &UndoArgs,
    objects: &[(Kind, Value)],
    place: &Place<'_>,
) -> Result<Vec<Finding>, Trouble> {
    let mut findings = Vec::new();
    for (_, gateway) in objects.iter().filter(|(kind, _)| *kind == kinds::GATEWAY) {
        let mut say = |code: &'static str, message: String| {
            findings.push(Finding {
                code,
                severity: Severity::Blocker,
                object: see::object(gateway),
                message,
                remedy: "move it to the Service's own address and run this again, or accept it with --accept"
                    .to_owned(),
            });
        };
        let mut hosts: BTreeSet<String> = BTreeSet::new();
        for server in items(gateway, "/spec/servers") {
            if text(server, "/port/protocol") == Some("TCP") {
                let port = server
                    .pointer("/port/number")
                    .and_then(Value::as_u64)
                    .unwrap_or_default();
                say(
                    UNKNOWN,
                    format!("port {port} has no host, so nobody knows who still comes by the gateway"),
                );
                continue;
            }
            let names = items(server, "/hosts").filter_map(Value::as_str);
            hosts.extend(names.map(|host| host.split_once('/').map_or(host, |(_, host)| host).to_owned()));
        }
        let pods: Vec<(String, String)> = entries(gateway, "/spec/selector")
            .filter_map(|(label, value)| Some((label.clone(), value.as_str()?.to_owned())))
            .collect();
        let said = Addresses::default();
        let all = leads_to_gateway(&place.client, &hosts, &args.gateway_namespace, &pods, said);
        for (host, leads) in all.await? {
            match leads {
                Leads::Away => {}
                Leads::Nginx(ip) => say(LEADS, format!("{host} leads to {ip}, which is the gateway")),
                Leads::Unknown(why) => say(UNKNOWN, format!("nobody knows where {host} leads: {why}")),
            }
        }
    }
    Ok(findings)
}

/// Nothing of the path is taken away.
fn kept(findings: &[Finding], objects: &[(Kind, Value)]) -> batch::Done {
    let why: Vec<String> = findings
        .iter()
        .map(|finding| format!("{} ({})", finding.message, finding.code))
        .collect();
    let why = format!("the path through the gateway stays: {}", why.join("; "));
    let late = findings.iter().any(|finding| finding.code == NO_ADDRESS);
    batch::Done {
        same: Vec::new(),
        made: Vec::new(),
        done: Vec::new(),
        trouble: Some(if late {
            Trouble::TimedOut(why)
        } else {
            Trouble::Refused(why)
        }),
        left: objects.iter().map(|(_, object)| see::object(object)).collect(),
    }
}

fn tell(
    args: &UndoArgs,
    place: &mut Place<'_>,
    back: &[String],
    done: &batch::Done,
    was: &Value,
    findings: &[Finding],
) -> Result<(), Trouble> {
    let word = if args.dry_run { "would be " } else { "" };
    let mut lines: Vec<String> = back
        .iter()
        .map(|object| format!("{word}given back: {object}"))
        .collect();
    lines.extend(done.done.iter().map(|object| format!("{word}deleted: {object}")));
    let before: Vec<&str> = items(was, "/addresses").filter_map(Value::as_str).collect();
    if !back.is_empty() && !before.is_empty() {
        lines.push(format!(
            "its address was {}; see whether the provider gives it again",
            before.join(", ")
        ));
    }
    let namespace = place.namespace.as_deref().unwrap_or_default();
    let whole = json!({
        "service": format!("{namespace}/{}", args.service), "givenBack": !back.is_empty(), "deleted": done.done,
        "left": done.left, "addressesBefore": before, "dryRun": args.dry_run, "findings": findings,
    });
    batch::say(place, &whole, &lines)
}
