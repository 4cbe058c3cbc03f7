//! A host belongs to one namespace: who else has it, before it is written and once more after.

use super::objects::{TENANT, Tenant, gateway_name};
use crate::batch::Done;
use crate::preflight::certificate::covers;
use crate::put;
use crate::see::{self, Kind, items, kinds, text};
use crate::trouble::Trouble;
use kube::Client;
use kube::api::ListParams;
use serde_json::Value;

/// Somebody who has a host.
struct Rival {
    /// Who, and which.
    said: String,
    /// Since when it is there.
    since: String,
}

/// Ingresses, VirtualServices and Gateways of other namespaces that have one of some hosts, or a wildcard of another
/// tenant over one.
async fn having(
    hosts: &[String],
    namespace: &str,
    tenant: &str,
    client: &Client,
) -> Result<Vec<Rival>, Trouble> {
    let mut found = Vec::new();
    let plain = |host: &str| {
        host.split_once('/')
            .map_or(host, |(_, host)| host)
            .to_ascii_lowercase()
    };
    let ours = |host: &str| hosts.iter().any(|own| own == host || covers(own, host));
    // A wildcard of the platform is everybody's, one of a tenant is that tenant's.
    let theirs = |object: &Value, host: &str| {
        let another = see::label(object, TENANT).is_some_and(|name| name != tenant);
        let mut own = hosts.iter();
        another && own.any(|own| host.strip_prefix('*').is_some_and(|under| own.ends_with(under)))
    };
    for (kind, pointer) in [
        (kinds::INGRESS, ""),
        (kinds::VIRTUAL_SERVICE, "/spec/hosts"),
        (kinds::GATEWAY, "/spec/servers"),
    ] {
        let listed = see::list(client, kind, None, &ListParams::default()).await?;
        for object in listed.objects() {
            if see::namespace(object) == namespace {
                continue;
            }
            let all: Vec<&str> = match kind.kind {
                "Ingress" => items(object, "/spec/rules")
                    .filter_map(|rule| text(rule, "/host"))
                    .collect(),
                "Gateway" => items(object, pointer)
                    .flat_map(|server| items(server, "/hosts"))
                    .filter_map(Value::as_str)
                    .collect(),
                _ => items(object, pointer).filter_map(Value::as_str).collect(),
            };
            let mut all = all.into_iter().map(plain);
            if let Some(host) = all.find(|host| ours(host) || theirs(object, host)) {
                found.push(Rival {
                    said: format!("{} has {host}", see::object(object)),
                    since: text(object, "/metadata/creationTimestamp")
                        .unwrap_or_default()
                        .to_owned(),
                });
            }
        }
    }
    Ok(found)
}

/// Who else has a tenant's hosts, and which.
pub(super) async fn of(tenant: &Tenant, client: &Client) -> Result<Vec<String>, Trouble> {
    let all = having(&tenant.hosts, &tenant.namespace, &tenant.name, client).await?;
    Ok(all.into_iter().map(|rival| rival.said).collect())
}

fn shown(rivals: &[Rival]) -> String {
    let all: Vec<&str> = rivals.iter().map(|rival| rival.said.as_str()).collect();
    all.join("; ")
}

/// Refused, with an advice, where another namespace has one of some hosts.
pub(crate) async fn none(
    hosts: &[String],
    namespace: &str,
    tenant: &str,
    advice: &str,
    client: &Client,
) -> Result<(), Trouble> {
    let rivals = having(hosts, namespace, tenant, client).await?;
    if rivals.is_empty() {
        return Ok(());
    }
    Err(Trouble::Refused(format!(
        "a host belongs to one namespace: {}; {advice}",
        shown(&rivals)
    )))
}

/// Looks once more when everything is written: whoever wrote at the same time was not there before. Of two the younger takes
/// back what it made; of two of one second each does that sees the other, so that never both stay. What is said where it
/// stays.
pub(super) async fn again(
    tenant: &Tenant,
    objects: &[(Kind, Value)],
    done: &Done,
    client: &Client,
) -> Result<Option<String>, Trouble> {
    let rivals = having(&tenant.hosts, &tenant.namespace, &tenant.name, client).await?;
    if rivals.is_empty() {
        return Ok(None);
    }
    let (name, within) = (gateway_name(&tenant.name), Some(tenant.namespace.as_str()));
    let own = see::get(client, kinds::GATEWAY, within, &name).await?;
    let since = own
        .as_ref()
        .and_then(|own| text(own, "/metadata/creationTimestamp"))
        .unwrap_or_default();
    let named = own.as_ref().map(see::object).unwrap_or_default();
    let (made, same) = (done.made.contains(&named), done.same.contains(&named));
    if (made || same) && rivals.iter().all(|rival| since < rival.since.as_str()) {
        return Ok(Some(format!(
            "warning: meanwhile {}; it is younger, and has to go",
            shown(&rivals)
        )));
    }
    if !made {
        return Err(Trouble::Refused(format!(
            "a host belongs to one namespace, and meanwhile {}; everything is written, and serves it too: take the host away there, or make the tenant again without it",
            shown(&rivals)
        )));
    }
    // What lets clients in goes first. The namespace stays: somebody may have begun to use it.
    let mine = objects
        .iter()
        .rev()
        .filter(|(kind, object)| *kind != kinds::NAMESPACE && done.made.contains(&see::object(object)));
    for (kind, object) in mine {
        let within = Some(see::namespace(object)).filter(|namespace| !namespace.is_empty());
        if let Some(there) = see::get(client, *kind, within, see::name(object)).await? {
            put::delete(client, *kind, &there).await?;
        }
    }
    Err(Trouble::Refused(format!(
        "a host belongs to one namespace, and meanwhile {}; what was made is taken away again. Give the tenant another, or ask again when nobody else does",
        shown(&rivals)
    )))
}
