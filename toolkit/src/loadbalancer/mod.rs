//! `loadbalancer migrate` and `undo`: a Service's load balancer is replaced by the gateway, port by port.

mod args;
pub(crate) mod clients;
mod leaving;
mod plan;
mod service;
mod undo;

pub use args::{LoadBalancerVerb, MigrateArgs, UndoArgs};
pub(crate) use plan::{NAMESPACE, SERVICE};

use crate::batch;
use crate::cleanup::names::fronts;
use crate::finding::{self, Finding};
use crate::place::Place;
use crate::preflight::certificate::Certificate;
use crate::put;
use crate::secret;
use crate::see::{self, entries, items, kinds, text};
use crate::tenant::rivals as tenants;
use crate::trouble::{End, Trouble};
use kube::api::ListParams;
use plan::{Plan, Protocol, Wishes};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Does what was typed.
pub async fn run(verb: &LoadBalancerVerb, place: &mut Place<'_>) -> Result<End, Trouble> {
    match verb {
        LoadBalancerVerb::Migrate(args) => migrate(args, place).await,
        LoadBalancerVerb::Undo(args) => undo::run(args, place).await,
    }
}

/// `KEY=VALUE` by port.
fn by_port<T: std::str::FromStr>(flag: &str, given: &[String]) -> Result<BTreeMap<u16, T>, Trouble> {
    let mut all = BTreeMap::new();
    for pair in given {
        let parsed = pair
            .split_once('=')
            .and_then(|(port, value)| Some((port.parse().ok()?, value.parse().ok()?)));
        let (port, value) = parsed
            .ok_or_else(|| Trouble::Usage(format!("{flag} {pair:?} is not as it should be: see --help")))?;
        all.insert(port, value);
    }
    Ok(all)
}

fn namespace(place: &Place<'_>) -> Result<String, Trouble> {
    let given = place.namespace.clone();
    given.ok_or_else(|| Trouble::Usage("name the Service's namespace with -n".to_owned()))
}

async fn find(place: &Place<'_>, name: &str) -> Result<Value, Trouble> {
    let namespace = namespace(place)?;
    see::get(&place.client, kinds::SERVICE, Some(&namespace), name)
        .await?
        .ok_or_else(|| Trouble::Refused(format!("there is no Service {namespace}/{name}")))
}

/// What was typed, and what belongs to it.
struct Wished {
    wishes: Wishes,
    /// The certificate, where one is named.
    certificate: Option<Certificate>,
    /// Its copy, where it has to be copied.
    copy: Option<Value>,
}

/// What was typed, and the copy of the certificate.
async fn wishes(args: &MigrateArgs, place: &Place<'_>) -> Result<Wished, Trouble> {
    let mut selector = Vec::new();
    for pair in &args.gateway_selector {
        let (label, value) = pair
            .split_once('=')
            .ok_or_else(|| Trouble::Usage(format!("--gateway-selector {pair:?} is not LABEL=VALUE")))?;
        selector.push((label.to_owned(), value.to_owned()));
    }
    let mut wishes = Wishes {
        domain: args.domain.clone(),
        hosts: by_port("--host", &args.host)?,
        http: args.http.clone(),
        tcp: args.tcp.clone(),
        gateway_namespace: args.gateway_namespace.clone(),
        gateway_selector: selector,
        secret: None,
    };
    let Some(certificate) = &args.certificate else {
        return Ok(Wished {
            wishes,
            certificate: None,
            copy: None,
        });
    };
    let (namespace, name) = certificate
        .split_once('/')
        .ok_or_else(|| Trouble::Usage(format!("--certificate {certificate:?} is not NAMESPACE/NAME")))?;
    let source = see::get(&place.client, kinds::SECRET, Some(namespace), name).await?;
    let source = source.ok_or_else(|| Trouble::Refused(format!("there is no Secret {certificate}")))?;
    let read = Certificate::usable(&source, (place.now)())
        .map_err(|why| Trouble::Refused(format!("Secret {certificate} cannot be used: {why}")))?;
    if namespace == args.gateway_namespace {
        wishes.secret = Some(name.to_owned());
        return Ok(Wished {
            wishes,
            certificate: Some(read),
            copy: None,
        });
    }
    let own = place.namespace.clone().unwrap_or_default();
    let copied = plan::shared(&own, &args.service);
    let labels = plan::labels(&own, &args.service);
    let copy = secret::copy(&source, &args.gateway_namespace, &copied, &labels);
    wishes.secret = Some(copied);
    Ok(Wished {
        wishes,
        certificate: Some(read),
        copy: Some(copy),
    })
}

/// The Services in front of the gateway's pods.
async fn gateways(wishes: &Wishes, place: &Place<'_>) -> Result<Vec<Value>, Trouble> {
    let within = Some(wishes.gateway_namespace.as_str());
    let listed = see::list(&place.client, kinds::SERVICE, within, &ListParams::default()).await?;
    let selects = |service: &&Value| fronts(service, &wishes.gateway_selector);
    Ok(listed.objects().iter().filter(selects).cloned().collect())
}

/// Who has a host or a port of the plan at the gateway already.
async fn rivals(plan: &Plan, wishes: &Wishes, service: &Value, place: &Place<'_>) -> Result<(), Trouble> {
    let listed = see::list(&place.client, kinds::GATEWAY, None, &ListParams::default()).await?;
    let ours = |gateway: &Value| {
        see::label(gateway, SERVICE) == Some(see::name(service))
            && see::namespace(gateway) == see::namespace(service)
    };
    for gateway in listed.objects().iter().filter(|gateway| !ours(gateway)) {
        let same_pods = entries(gateway, "/spec/selector").all(|(label, value)| {
            wishes
                .gateway_selector
                .iter()
                .any(|(known, wanted)| known == label && value.as_str() == Some(wanted))
        });
        for server in items(gateway, "/spec/servers").filter(|_| same_pods) {
            let port = server.pointer("/port/number").and_then(Value::as_u64);
            let tcp = plan
                .ports
                .iter()
                .find(|(mine, _)| mine.protocol == Protocol::Tcp && port == Some(u64::from(mine.number)));
            let host = items(server, "/hosts")
                .filter_map(Value::as_str)
                .map(|host| host.split_once('/').map_or(host, |(_, host)| host))
                .find(|host| plan.ports.iter().any(|(_, mine)| mine.as_deref() == Some(host)));
            let what = match (tcp, host) {
                (Some((port, _)), _) => format!("port {}", port.number),
                (None, Some(host)) => format!("the host {host}"),
                (None, None) => continue,
            };
            return Err(Trouble::Refused(format!(
                "{} has {what} already, and Istio would skip one of them; give the port another host or number",
                see::object(gateway)
            )));
        }
    }
    Ok(())
}

/// Hosts that are served for a port and would be served no more: their guard would be gone before they are.
async fn lost(plan: &Plan, service: &Value, place: &Place<'_>) -> Result<(), Trouble> {
    for (kind, object) in &plan.objects {
        if *kind != kinds::VIRTUAL_SERVICE {
            continue;
        }
        let within = Some(see::namespace(object));
        let there = see::get(&place.client, *kind, within, see::name(object)).await?;
        let Some(there) = there.filter(put::is_ours) else {
            continue;
        };
        let next: Vec<&str> = items(object, "/spec/hosts").filter_map(Value::as_str).collect();
        let hosts = items(&there, "/spec/hosts").filter_map(Value::as_str);
        let gone: Vec<&str> = hosts
            .filter(|host| *host != "*" && !next.contains(host))
            .collect();
        if !gone.is_empty() {
            return Err(Trouble::Refused(format!(
                "{} serves {} by now, which would be served no more; name it again (--domain, --host), or take the path away first: migrate loadbalancer undo {} -n {}",
                see::object(&there),
                gone.join(", "),
                see::name(service),
                see::namespace(service)
            )));
        }
    }
    Ok(())
}

async fn migrate(args: &MigrateArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let accepted = leaving::accepted(args)?;
    let service = find(place, &args.service).await?;
    let record_name = service::record_name(&args.service);
    let record = see::get(
        &place.client,
        kinds::CONFIG_MAP,
        Some(see::namespace(&service)),
        &record_name,
    )
    .await?;
    if let Some(record) = &record {
        same(record, &service)?;
    }
    if text(&service, "/spec/type") != Some("LoadBalancer") {
        return Err(Trouble::Refused(format!(
            "{} is no load balancer but {}{}",
            see::object(&service),
            text(&service, "/spec/type").unwrap_or("ClusterIP"),
            if record.is_some() {
                ": it gave its address up already"
            } else {
                ""
            }
        )));
    }
    let Wished {
        wishes,
        certificate,
        copy,
    } = wishes(args, place).await?;
    let found = gateways(&wishes, place).await?;
    let found: Vec<&Value> = found.iter().collect();
    let mut plan = plan::plan(&service, &wishes, &found)?;
    rivals(&plan, &wishes, &service, place).await?;
    let hosts: Vec<String> = plan.ports.iter().filter_map(|(_, host)| host.clone()).collect();
    let namespace = see::namespace(&service);
    let tenant = namespace.strip_prefix("ns-").unwrap_or(namespace);
    let advice = "take it away there, or give the port another (--domain, --host)";
    tenants::none(&hosts, namespace, tenant, advice, &place.client).await?;
    lost(&plan, &service, place).await?;
    if let Some(finding) = clients::finding(&service, &plan.objects, &found) {
        if !accepted.iter().any(|code| code == finding.code) {
            return stays(place, &service, &[finding]);
        }
        plan.warnings
            .push(format!("accepted: {}: {}", finding.object, finding.message));
    }
    if let Some(certificate) = &certificate {
        let ended = plan
            .ports
            .iter()
            .filter(|(port, _)| port.protocol == Protocol::Http);
        let hosts = ended.filter_map(|(_, host)| host.as_deref());
        plan.warnings.extend(certificate.short(hosts, (place.now)()));
    }
    let mut objects = Vec::new();
    // What the Service is while it is a load balancer is what it comes back as: whom it lets in may change before it gives
    // its address up.
    let first = record.is_none();
    objects.push((kinds::CONFIG_MAP, service::record(&service)));
    objects.extend(copy.map(|copy| (kinds::SECRET, copy)));
    objects.extend(plan.objects.clone());
    let why = batch::foreign(&place.client, &objects).await?;
    let why = match why {
        Some(why) => Some(why),
        None => batch::anothers(&place.client, &objects, &[SERVICE, NAMESPACE]).await?,
    };
    if let Some(why) = why {
        return Err(Trouble::Refused(format!(
            "unable to migrate {}: {why}",
            see::object(&service)
        )));
    }
    let release = release(args, &service, first)?;
    if release.is_some() {
        let findings = leaving::findings(&service, &plan, &accepted).await;
        if !findings.is_empty() {
            return stays(place, &service, &findings);
        }
    }
    let done = batch::apply(&place.client, &objects, args.dry_run).await;
    let mut changed = false;
    let mut done = done;
    if let Some(change) = release.as_ref().filter(|_| done.trouble.is_none()) {
        match service::patch(&place.client, &service, change, args.dry_run).await {
            Ok(()) => {
                done.done.push(format!("{} (NodePort)", see::object(&service)));
                changed = true;
            }
            Err(trouble) => {
                done.left.push(format!("{} (NodePort)", see::object(&service)));
                done.trouble = Some(trouble);
            }
        }
    }
    report(args, place, &service, &plan, &done, changed)?;
    done.end(place, "written")
}

/// What a record says of the Service; not of another one that had its name.
fn same(record: &Value, service: &Value) -> Result<Value, Trouble> {
    let was = service::remembered(record)?;
    if text(&was, "/uid") != text(service, "/metadata/uid") {
        return Err(Trouble::Refused(format!(
            "{} is about an earlier Service of the name: read it, and delete it if nothing is to be undone",
            see::object(record)
        )));
    }
    Ok(was)
}

/// The last step, where it is wanted and may be taken.
fn release(args: &MigrateArgs, service: &Value, first: bool) -> Result<Option<Value>, Trouble> {
    if !args.release_address {
        return Ok(None);
    }
    if first {
        return Err(Trouble::Refused(format!(
            "{} keeps its address: there was no path through the gateway before; run without --release-address, \
             move the clients, and come back",
            see::object(service)
        )));
    }
    service::release(service, &by_port("--nodeport", &args.nodeport)?).map(Some)
}

/// Tells why a Service keeps its address: nothing was written.
fn stays(place: &mut Place<'_>, service: &Value, findings: &[Finding]) -> Result<End, Trouble> {
    if place.json {
        let whole = json!({
            "service": see::place(Some(see::namespace(service)), see::name(service)),
            "written": [], "released": false, "findings": findings,
        });
        batch::say(place, &whole, &[])?;
    } else {
        finding::write(place.err, findings)?;
        writeln!(place.out, "{} keeps its address", see::object(service))?;
    }
    Ok(End::Refused)
}

fn report(
    args: &MigrateArgs,
    place: &mut Place<'_>,
    service: &Value,
    plan: &Plan,
    done: &batch::Done,
    released: bool,
) -> Result<(), Trouble> {
    let word = if args.dry_run {
        "would be written"
    } else {
        "written"
    };
    let mut lines: Vec<String> = done
        .done
        .iter()
        .map(|object| format!("{word}: {object}"))
        .collect();
    let way = |(port, host): &(plan::Port, Option<String>)| match host {
        Some(host) => format!("port {}: {host}", port.number),
        None => format!("port {}: port {} of the gateway", port.number, port.number),
    };
    lines.extend(plan.ports.iter().map(way));
    lines.extend(plan.warnings.iter().map(|warning| format!("warning: {warning}")));
    let addresses = service::addresses(service);
    if done.trouble.is_none() && !released && !args.dry_run {
        lines.push(format!(
            "the load balancer still serves at {}; move the clients, then run again with --release-address",
            if addresses.is_empty() {
                "no address".to_owned()
            } else {
                addresses.join(", ")
            }
        ));
    }
    let ports: Vec<Value> = plan
        .ports
        .iter()
        .map(|(port, host)| json!({"port": port.number, "name": port.name, "host": host, "guessed": port.guessed}))
        .collect();
    let whole = json!({
        "service": see::place(Some(see::namespace(service)), see::name(service)), "ports": ports,
        "written": done.done, "left": done.left, "warnings": plan.warnings, "released": released,
        "addresses": addresses, "dryRun": args.dry_run,
    });
    batch::say(place, &whole, &lines)
}
