//! `tenant create`, `check` and `delete`: a namespace whose hosts nobody else can serve and whose pods only the gateway
//! reaches.

mod args;
mod check;
mod losing;
mod network;
mod objects;
mod request;
pub(crate) mod rivals;

pub use args::{CheckArgs, CreateArgs, DeleteArgs, Shape, TenantVerb};

use crate::batch;
use crate::finding::{self, Finding};
use crate::place::Place;
use crate::preflight::certificate::Certificate;
use crate::preflight::controller;
use crate::preflight::picture::Picture;
use crate::put;
use crate::secret;
use crate::see::{self, items, kinds, text};
use crate::trouble::{End, Trouble};
use gradual_rollout_migration::rules;
use objects::{TENANT, Tenant, gateway_name};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Does what was typed.
pub async fn run(verb: &TenantVerb, place: &mut Place<'_>) -> Result<End, Trouble> {
    let name = match verb {
        TenantVerb::Create(args) => Some(&args.shape.name),
        TenantVerb::Check(args) => Some(&args.shape.name),
        TenantVerb::Delete(args) => Some(&args.name),
        TenantVerb::Other(_) => None,
    };
    // A namespace that is named and ignored would be taken for the one that is written to.
    if let (Some(name), Some(given)) = (name, &place.namespace)
        && *given != format!("ns-{name}")
    {
        return Err(Trouble::Usage(format!(
            "-n {given}: the namespace of the tenant {name} is ns-{name}, whatever -n says; leave -n out"
        )));
    }
    match verb {
        TenantVerb::Create(args) => create(args, place).await,
        TenantVerb::Check(args) => check::run(args, place).await,
        TenantVerb::Delete(args) => delete(args, place).await,
        TenantVerb::Other(words) => Err(Trouble::Usage(format!(
            "migrate tenant has no verb {:?}: create, check or delete",
            words.first().map_or("", String::as_str)
        ))),
    }
}

/// A DNS label, as names of namespaces are.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_host(text: &str) -> bool {
    let plain = text.strip_prefix("*.").unwrap_or(text);
    plain.contains('.') && text.len() <= 253 && plain.split('.').all(is_label)
}

/// What was typed, as far as it can be known without the cluster.
fn tenant(shape: &Shape) -> Result<Tenant, Trouble> {
    let namespace = format!("ns-{}", shape.name);
    // The longest of its names is its Gateway's, and Istio takes none over 63.
    if ![&shape.name, &namespace, &gateway_name(&shape.name)]
        .into_iter()
        .all(|name| is_label(name))
    {
        let why = "it must be lower case letters, digits and dashes, at most 55";
        return Err(Trouble::Usage(format!("tenant {:?}: {why}", shape.name)));
    }
    let mut hosts = shape.host.clone();
    if let Some(domain) = &shape.domain {
        hosts.push(format!("{}.{domain}", shape.name));
        hosts.push(format!("*.{}.{domain}", shape.name));
    }
    // One that was named twice is one.
    let mut known = BTreeSet::new();
    hosts.retain(|host| known.insert(host.clone()));
    if hosts.is_empty() {
        return Err(Trouble::Usage(
            "a tenant needs hosts: give --domain, or --host".to_owned(),
        ));
    }
    if let Some(wrong) = hosts.iter().find(|host| !is_host(host)) {
        return Err(Trouble::Usage(format!(
            "{wrong:?} is no host, or one that would be everybody's"
        )));
    }
    let mut selector = Vec::new();
    for pair in &shape.gateway_selector {
        let (label, value) = pair
            .split_once('=')
            .ok_or_else(|| Trouble::Usage(format!("--gateway-selector {pair:?} is not LABEL=VALUE")))?;
        selector.push((label.to_owned(), value.to_owned()));
    }
    if let Some(wrong) = shape.allow_cidr.iter().find(|cidr| !network::is_block(cidr)) {
        return Err(Trouble::Usage(format!(
            "--allow-cidr {wrong:?} is no block of addresses, such as 10.0.0.0/24"
        )));
    }
    Ok(Tenant {
        name: shape.name.clone(),
        namespace,
        hosts,
        gateway_namespace: shape.gateway_namespace.clone(),
        gateway_selector: selector,
        secret: None,
        callers: shape.allow_namespace.clone(),
        addresses: shape.allow_cidr.clone(),
        mesh: shape.mesh,
    })
}

/// A tenant, and what the cluster says of it.
struct Completed {
    tenant: Tenant,
    /// The certificate that is named.
    source: Option<Value>,
    /// The certificate, as it is copied; none where it is where the gateway reads it, or there is none.
    copy: Option<Value>,
    /// That nginx or the gateway would be shut out.
    shut_out: Option<Finding>,
}

/// Adds what only the cluster knows: the namespaces of ingress-nginx, which serves the tenant until the end, and the
/// certificate.
async fn completed(shape: &Shape, place: &Place<'_>) -> Result<Completed, Trouble> {
    let mut tenant = tenant(shape)?;
    let wanted = [kinds::DEPLOYMENT, kinds::DAEMON_SET, kinds::NODE];
    let picture = Picture::only(&place.client, (place.now)(), &wanted).await?;
    let shut_out = network::shut_out(&tenant, &picture);
    for controller in controller::controllers(&picture) {
        let namespace = see::namespace(controller.object).to_owned();
        if !tenant.callers.contains(&namespace) {
            tenant.callers.push(namespace);
        }
    }
    tenant.callers.sort();
    let (source, copy) = certificate(shape, &mut tenant, place).await?;
    Ok(Completed {
        tenant,
        source,
        copy,
        shut_out,
    })
}

/// The certificate that is named for a tenant, and as it is copied.
async fn certificate(
    shape: &Shape,
    tenant: &mut Tenant,
    place: &Place<'_>,
) -> Result<(Option<Value>, Option<Value>), Trouble> {
    let gateways = tenant.gateway_namespace.clone();
    if let Some(certificate) = &shape.certificate {
        let (namespace, name) = certificate
            .split_once('/')
            .ok_or_else(|| Trouble::Usage(format!("--certificate {certificate:?} is not NAMESPACE/NAME")))?;
        let source = see::get(&place.client, kinds::SECRET, Some(namespace), name).await?;
        let source = source.ok_or_else(|| Trouble::Refused(format!("there is no Secret {certificate}")))?;
        if namespace == gateways {
            tenant.secret = Some(name.to_owned());
            return Ok((Some(source), None));
        }
        tenant.secret = Some(tenant.secret_name());
        let copy = secret::copy(&source, &gateways, &tenant.secret_name(), &tenant.labels());
        return Ok((Some(source), Some(copy)));
    }
    let usual = tenant.secret_name();
    if see::get(&place.client, kinds::SECRET, Some(&gateways), &usual)
        .await?
        .is_some()
    {
        tenant.secret = Some(usual);
    }
    Ok((None, None))
}

/// Ingresses of the tenant's own whose hosts `apply` would open with TLS at its Gateway, while the tenant's has them too.
async fn twice(tenant: &Tenant, place: &Place<'_>) -> Result<Option<String>, Trouble> {
    if tenant.secret.is_none() {
        return Ok(None);
    }
    let within = Some(tenant.namespace.as_str());
    let listed = see::list(
        &place.client,
        kinds::INGRESS,
        within,
        &kube::api::ListParams::default(),
    )
    .await?;
    for ingress in listed.objects() {
        let mut hosts = items(ingress, "/spec/tls")
            .flat_map(|tls| items(tls, "/hosts"))
            .filter_map(Value::as_str);
        if let Some(host) = hosts.find(|host| tenant.hosts.iter().any(|own| own == host)) {
            return Ok(Some(format!(
                "{} has {host} with TLS, which `apply` opens at its own Gateway: of two TLS servers with one host Istio \
                 skips one, whole. Leave the host out (--host instead of --domain), or take the TLS out of the Ingress",
                see::object(ingress)
            )));
        }
    }
    Ok(None)
}

/// Tells why a tenant stays as it is: nothing was done.
fn stays(place: &mut Place<'_>, tenant: &str, done: &str, findings: &[Finding]) -> Result<End, Trouble> {
    if place.json {
        let whole = json!({"tenant": tenant, (done): [], "findings": findings});
        batch::say(place, &whole, &[])?;
    } else {
        finding::write(place.err, findings)?;
        writeln!(place.out, "tenant {tenant} stays as it is")?;
    }
    Ok(End::Refused)
}

/// That a policy of sidecars stays as it was, where the tenant is made without them.
async fn left_behind(tenant: &Tenant, place: &Place<'_>) -> Result<Option<String>, Trouble> {
    let (kind, wanted) = tenant.for_sidecars();
    if tenant.mesh {
        return Ok(None);
    }
    let within = Some(see::namespace(&wanted));
    let there = match see::list(&place.client, kind, within, &kube::api::ListParams::default()).await? {
        see::Listed::Here(found) => found,
        see::Listed::NotServed => Vec::new(),
        see::Listed::Forbidden(why) => {
            return Ok(Some(format!(
                "warning: whether an AuthorizationPolicy of an earlier run with --mesh stays is not known: {why}"
            )));
        }
    };
    let there = there
        .iter()
        .find(|object| see::name(object) == see::name(&wanted));
    let there = there.filter(|object| put::is_ours(object) && object.get("spec") != wanted.get("spec"));
    Ok(there.map(|there| {
        format!(
            "warning: {} was made with --mesh and stays as it is, so what the NetworkPolicy lets in may be refused by sidecars; say --mesh too",
            see::object(there)
        )
    }))
}

/// What should be known of the tenant's certificate.
fn warnings(
    args: &CreateArgs,
    tenant: &Tenant,
    source: Option<&Value>,
    now: jiff::Timestamp,
) -> Result<Vec<String>, Trouble> {
    let mut says = Vec::new();
    if let Some(source) = source {
        let named = args.shape.certificate.as_deref().unwrap_or_default();
        let read = Certificate::usable(source, now)
            .map_err(|why| Trouble::Refused(format!("Secret {named} cannot be used: {why}")))?;
        let hosts = tenant.hosts.iter().map(String::as_str);
        let short = read.short(hosts, now).into_iter();
        says.extend(short.map(|short| format!("warning: {short}")));
    }
    if tenant.secret.is_none() {
        says.push(format!(
            "warning: there is no Secret {}/{}, so the hosts are served in clear; name one with --certificate",
            tenant.gateway_namespace,
            tenant.secret_name()
        ));
    }
    Ok(says)
}

async fn create(args: &CreateArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let accepted = losing::accepted(&args.accept, &[losing::HOST, losing::CALLER])?;
    let Completed {
        tenant,
        source,
        copy,
        shut_out,
    } = completed(&args.shape, place).await?;
    if let Some(finding) = shut_out {
        return Err(Trouble::Refused(format!(
            "{}: {}: {}; {}",
            finding.code, finding.object, finding.message, finding.remedy
        )));
    }
    let advice = "take it away there, or give the tenant another";
    rivals::none(
        &tenant.hosts,
        &tenant.namespace,
        &tenant.name,
        advice,
        &place.client,
    )
    .await?;
    if let Some(why) = twice(&tenant, place).await? {
        return Err(Trouble::Refused(why));
    }
    let mut says = warnings(args, &tenant, source.as_ref(), (place.now)())?;
    let there = see::get(&place.client, kinds::NAMESPACE, None, &tenant.namespace).await?;
    let mut objects = Vec::new();
    if there.is_none() {
        objects.push((kinds::NAMESPACE, tenant.namespace_object()));
    }
    objects.extend(copy.map(|copy| (kinds::SECRET, copy)));
    objects.extend(tenant.objects());
    let all: Vec<Value> = objects.iter().map(|(_, object)| object.clone()).collect();
    if let Some(broken) = rules::check(&all).first() {
        return Err(Trouble::Refused(format!(
            "unable to make tenant {}: Istio would refuse what was to be written: {broken}",
            tenant.name
        )));
    }
    let why = batch::foreign(&place.client, &objects).await?;
    let why = match why {
        Some(why) => Some(why),
        None => batch::anothers(&place.client, &objects, &[TENANT]).await?,
    };
    if let Some(why) = why {
        return Err(Trouble::Refused(format!(
            "unable to make tenant {}: {why}",
            tenant.name
        )));
    }
    let losses = losing::by_create(&tenant, &accepted, place).await?;
    if !losses.refused.is_empty() {
        return stays(place, &tenant.name, "written", &losses.refused);
    }
    says.extend(losses.accepted);
    says.extend(left_behind(&tenant, place).await?);
    // In a namespace that is not there yet the API server takes nothing, not even for a trial.
    let tried = if args.dry_run && there.is_none() {
        1
    } else {
        objects.len()
    };
    let done = batch::apply(
        &place.client,
        objects.get(..tried).unwrap_or_default(),
        args.dry_run,
    )
    .await;
    if !args.dry_run && done.trouble.is_none() {
        says.extend(rivals::again(&tenant, &objects, &done, &place.client).await?);
    }
    report(
        place,
        args.dry_run,
        &tenant,
        &done,
        objects.get(tried..).unwrap_or_default(),
        &says,
    )?;
    done.end(place, "written")
}

fn report(
    place: &mut Place<'_>,
    dry_run: bool,
    tenant: &Tenant,
    done: &batch::Done,
    untried: &[(see::Kind, Value)],
    says: &[String],
) -> Result<(), Trouble> {
    let word = if dry_run { "would be written" } else { "written" };
    let mut lines: Vec<String> = done
        .done
        .iter()
        .map(|object| {
            let word = if done.same.contains(object) {
                "as it should be"
            } else {
                word
            };
            format!("{word}: {object}")
        })
        .collect();
    let written: Vec<&String> = done
        .done
        .iter()
        .filter(|object| !done.same.contains(object))
        .collect();
    lines.extend(
        untried
            .iter()
            .map(|(_, object)| format!("{word}, untried: {}", see::object(object))),
    );
    lines.extend(says.iter().cloned());
    let whole = json!({
        "tenant": tenant.name, "namespace": tenant.namespace, "hosts": tenant.hosts, "dryRun": dry_run,
        "written": written, "same": done.same, "left": done.left, "warnings": says,
    });
    batch::say(place, &whole, &lines)
}

async fn delete(args: &DeleteArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let namespace = format!("ns-{}", args.name);
    let labelled = kube::api::ListParams::default().labels(&format!(
        "{TENANT}={},{}={}",
        args.name,
        put::MANAGED_BY.0,
        put::MANAGED_BY.1
    ));
    if !is_label(&namespace) {
        return Err(Trouble::Usage(format!("{:?} is no tenant's name", args.name)));
    }
    let accepted = losing::accepted(&args.accept, &[losing::IN_USE])?;
    let mut objects = Vec::new();
    // What lets clients in goes first, what keeps others out last.
    for (kind, within) in [
        (kinds::GATEWAY, namespace.as_str()),
        (kinds::AUTHORIZATION, namespace.as_str()),
        (kinds::QUOTA, namespace.as_str()),
        (kinds::NETWORK_POLICY, namespace.as_str()),
    ] {
        match see::list(&place.client, kind, Some(within), &labelled).await? {
            see::Listed::Here(found) => objects.extend(found.into_iter().map(|object| (kind, object))),
            see::Listed::NotServed => {}
            see::Listed::Forbidden(said) => {
                return Err(Trouble::Refused(format!(
                    "unable to list {}: {said}",
                    kind.resource()
                )));
            }
        }
    }
    let name = format!("{}-tls-cert", args.name);
    let copy = secret::find(&place.client, &args.gateway_namespace, &name).await?;
    // Another verb's copy may have the name; one whose labels were lost is known by the Gateway that shows it.
    let shown = objects.iter().any(|(kind, object)| {
        *kind == kinds::GATEWAY
            && items(object, "/spec/servers")
                .any(|server| text(server, "/tls/credentialName") == Some(name.as_str()))
    });
    let copy = copy.filter(|copy| see::label(copy, TENANT).map_or(shown, |tenant| tenant == args.name));
    if let Some(copy) = copy {
        // After the Gateway that shows it, which is the first.
        let at = objects
            .iter()
            .take_while(|(kind, _)| *kind == kinds::GATEWAY)
            .count();
        objects.insert(at, (kinds::SECRET, copy));
    }
    if args.namespace_too {
        let found = see::get(&place.client, kinds::NAMESPACE, None, &namespace).await?;
        if let Some(found) = found {
            if see::label(&found, TENANT) != Some(args.name.as_str()) {
                return Err(Trouble::Refused(format!(
                    "namespace {namespace} was not made by `tenant create`, so it is not deleted; leave --namespace-too out"
                )));
            }
            objects.push((kinds::NAMESPACE, found));
        }
    }
    if objects.is_empty() {
        return Err(Trouble::Refused(format!(
            "nothing was made for a tenant {}: there is no object with the label {TENANT}={} in namespace {namespace}",
            args.name, args.name
        )));
    }
    let losses = losing::by_delete(&args.name, &namespace, args.namespace_too, &accepted, place).await?;
    if !losses.refused.is_empty() {
        return stays(place, &args.name, "deleted", &losses.refused);
    }
    let done = batch::delete(&place.client, &objects, args.dry_run).await;
    let word = if args.dry_run {
        "would be deleted"
    } else {
        "deleted"
    };
    let mut lines: Vec<String> = done
        .done
        .iter()
        .map(|object| format!("{word}: {object}"))
        .collect();
    lines.extend(losses.accepted.iter().cloned());
    let whole = json!({
        "tenant": args.name, "dryRun": args.dry_run, "deleted": done.done, "left": done.left,
        "warnings": losses.accepted,
    });
    batch::say(place, &whole, &lines)?;
    done.end(place, "deleted")
}
