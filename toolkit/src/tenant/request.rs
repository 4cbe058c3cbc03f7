//! A request to a tenant's Service from two pods: one that must reach it, and one that must not, and that must reach
//! another. Both ask by address: a name that nobody could look up would look like a door that is shut.

use super::CheckArgs;
use super::objects::Tenant;
use crate::place::Place;
use crate::put;
use crate::see::{self, items, kinds, text};
use crate::trouble::Trouble;
use kube::api::{DynamicObject, ListParams, PostParams};
use serde_json::{Value, json};
use std::time::Duration;

/// What the pods found.
pub(super) struct Outcome {
    /// The Service and port.
    pub target: String,
    /// The tenant's own pod reached it.
    pub from_own: bool,
    /// The other pod reached it.
    pub from_other: bool,
    /// The other pod reached what it must: it is not kept from everything.
    pub other_reaches: bool,
}

/// A Service that is asked.
struct Target {
    /// As it is told.
    name: String,
    address: String,
    port: u16,
}

/// What a pod reached.
#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    tenant: bool,
    control: bool,
}

/// The container that asks for the tenant's Service.
const CHECK: &str = "check";
/// The container that asks for what must be reached.
const CONTROL: &str = "control";

/// How long a connection may take, in seconds.
const CONNECT: u32 = 5;
/// How often the pods are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Asks from both namespaces. The pods are deleted whatever comes of it; one that could not be is told.
pub(super) async fn ask(
    args: &CheckArgs,
    tenant: &Tenant,
    place: &mut Place<'_>,
) -> Result<Outcome, Trouble> {
    if args.from == tenant.namespace {
        return Err(Trouble::Usage(
            "--from must be another namespace than the tenant's".to_owned(),
        ));
    }
    let target = target(args, tenant, place).await?;
    let control = control(args, place).await?;
    let asks = [
        (tenant.namespace.as_str(), vec![(CHECK, &target)]),
        (args.from.as_str(), vec![(CHECK, &target), (CONTROL, &control)]),
    ];
    let pods = asks.map(|(namespace, asks)| pod(tenant, namespace, &asks, &args.image));
    let mut made: Vec<Value> = Vec::new();
    let mut outcome = Ok([Reached::default(); 2]);
    for pod in &pods {
        match make(place, pod).await {
            Ok(pod) => made.push(pod),
            Err(trouble) => {
                outcome = Err(trouble);
                break;
            }
        }
    }
    if outcome.is_ok() {
        let waiting = wait(place, &made);
        outcome = match tokio::time::timeout(Duration::from_secs(args.timeout), waiting).await {
            Ok(ended) => ended,
            Err(_) => Err(Trouble::TimedOut(format!(
                "the pods did not end within {} s; see their events in {} and {}",
                args.timeout, tenant.namespace, args.from
            ))),
        };
    }
    for pod in &made {
        // As it is now: its status moved since it was made.
        let as_named = json!({"kind": "Pod", "metadata": {
            "namespace": see::namespace(pod), "name": see::name(pod), "uid": text(pod, "/metadata/uid"),
        }});
        if let Err(trouble) = put::delete(&place.client, kinds::POD, &as_named).await {
            writeln!(place.err, "left behind: {}: {trouble}", see::object(pod))?;
        }
    }
    let [own, other] = outcome?;
    Ok(Outcome {
        target: target.name,
        from_own: own.tenant,
        from_other: other.tenant,
        other_reaches: other.control,
    })
}

/// `NAME:PORT`.
fn named(flag: &str, typed: &str) -> Result<(String, u16), Trouble> {
    typed
        .rsplit_once(':')
        .and_then(|(name, port)| Some((name.to_owned(), port.parse().ok()?)))
        .ok_or_else(|| Trouble::Usage(format!("{flag} {typed:?} is not as it should be: see --help")))
}

/// What the other pod must reach.
async fn control(args: &CheckArgs, place: &Place<'_>) -> Result<Target, Trouble> {
    let (place_of, port) = named("--control", &args.control)?;
    let Some((namespace, name)) = place_of.split_once('/') else {
        return Err(Trouble::Usage(format!(
            "--control {:?} is not NAMESPACE/NAME:PORT",
            args.control
        )));
    };
    let missing = "; name a Service that pods of --from reach, with --control";
    addressed(place, (namespace, name), port, missing).await
}

/// A Service with the address that it is asked by.
async fn addressed(
    place: &Place<'_>,
    (namespace, name): (&str, &str),
    port: u16,
    otherwise: &str,
) -> Result<Target, Trouble> {
    let service = see::get(&place.client, kinds::SERVICE, Some(namespace), name).await?;
    let service = service
        .ok_or_else(|| Trouble::Refused(format!("there is no Service {namespace}/{name}{otherwise}")))?;
    let named = format!("{name}:{port}");
    match text(&service, "/spec/clusterIP").filter(|ip| !ip.is_empty()) {
        Some(ip) if ip != "None" => Ok(Target {
            name: named,
            address: ip.to_owned(),
            port,
        }),
        _ => {
            let found = endpoint(place, &service, port).await?;
            let (address, port) = found.ok_or_else(|| {
                Trouble::Refused(format!(
                    "Service {namespace}/{name} has no address, and no endpoint of it is ready behind port {port}{otherwise}"
                ))
            })?;
            Ok(Target {
                name: named,
                address,
                port,
            })
        }
    }
}

/// An endpoint that is ready behind a port of a Service, which has no address itself.
async fn endpoint(place: &Place<'_>, service: &Value, port: u16) -> Result<Option<(String, u16)>, Trouble> {
    let wanted = items(service, "/spec/ports")
        .find(|one| one.get("port").and_then(Value::as_u64) == Some(u64::from(port)))
        .map(|one| text(one, "/name").unwrap_or_default().to_owned());
    let Some(wanted) = wanted else { return Ok(None) };
    let labelled =
        ListParams::default().labels(&format!("kubernetes.io/service-name={}", see::name(service)));
    let within = Some(see::namespace(service));
    let slices = see::list(&place.client, kinds::SLICE, within, &labelled).await?;
    Ok(slices.objects().iter().find_map(|slice| {
        let port = items(slice, "/ports")
            .find(|one| text(one, "/name").unwrap_or_default() == wanted)?
            .get("port")?
            .as_u64()?;
        let ready = items(slice, "/endpoints").find(|endpoint| is_ready(endpoint))?;
        let address = text(ready, "/addresses/0")?.to_owned();
        Some((address, u16::try_from(port).ok()?))
    }))
}

/// Whether an endpoint is ready; a state that nobody knows is to be taken for that, says the API.
fn is_ready(endpoint: &Value) -> bool {
    endpoint.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false)
}

/// The Service and port that were named, or the first with a ready endpoint.
async fn target(args: &CheckArgs, tenant: &Tenant, place: &Place<'_>) -> Result<Target, Trouble> {
    let namespace = tenant.namespace.as_str();
    if let Some(typed) = &args.service {
        let (name, port) = named("--service", typed)?;
        return addressed(place, (namespace, &name), port, "").await;
    }
    let within = Some(namespace);
    let slices = see::list(&place.client, kinds::SLICE, within, &ListParams::default()).await?;
    let services = see::list(&place.client, kinds::SERVICE, within, &ListParams::default()).await?;
    for slice in slices.objects() {
        let ready = items(slice, "/endpoints").any(is_ready);
        let Some(name) = see::label(slice, "kubernetes.io/service-name").filter(|_| ready) else {
            continue;
        };
        let service = services
            .objects()
            .iter()
            .find(|service| see::name(service) == name);
        let tcp = service
            .into_iter()
            .flat_map(|service| items(service, "/spec/ports"))
            .find(|port| text(port, "/protocol").is_none_or(|protocol| protocol == "TCP"));
        if let Some(port) = tcp.and_then(|port| port.get("port")?.as_u64()?.try_into().ok()) {
            return addressed(place, (namespace, name), port, "").await;
        }
    }
    Err(Trouble::Refused(format!(
        "no Service in {namespace} has a ready endpoint, so there is nothing to ask for; start one, or name it with --service",
    )))
}

/// Connects once to each and ends; takes no right, no token, next to no room.
fn pod(tenant: &Tenant, namespace: &str, asks: &[(&str, &Target)], image: &str) -> Value {
    let container = |(name, target): &(&str, &Target)| {
        json!({
            "name": name, "image": image,
            "command": ["nc", "-z", "-w", CONNECT.to_string(), target.address, target.port.to_string()],
            "resources": {
                "requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"},
            },
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "generateName": "gradual-rollout-check-", "labels": tenant.labels()},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false, "activeDeadlineSeconds": 120,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": asks.iter().map(container).collect::<Vec<_>>(),
        },
    })
}

async fn make(place: &Place<'_>, pod: &Value) -> Result<Value, Trouble> {
    let namespace = see::namespace(pod);
    let doing = format!("make a pod in {namespace}");
    let object: DynamicObject = serde_json::from_value(pod.clone())
        .map_err(|error| Trouble::Internal(format!("unable to {doing}: {error}")))?;
    let writing = PostParams {
        field_manager: Some(put::MANAGER.to_owned()),
        ..PostParams::default()
    };
    let made = kinds::POD
        .within(&place.client, namespace)
        .create(&writing, &object)
        .await;
    let made = made.map_err(|error| Trouble::kube(doing, &error))?;
    let mut value = serde_json::to_value(&made).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("kind".to_owned(), "Pod".into());
    }
    Ok(value)
}

/// Waits until both have ended.
async fn wait(place: &Place<'_>, pods: &[Value]) -> Result<[Reached; 2], Trouble> {
    let mut reached = [Reached::default(); 2];
    for (pod, reached) in pods.iter().zip(&mut reached) {
        loop {
            let there = see::get(
                &place.client,
                kinds::POD,
                Some(see::namespace(pod)),
                see::name(pod),
            )
            .await?;
            let there = there.ok_or_else(|| {
                Trouble::Refused(format!("{} was deleted by somebody else", see::object(pod)))
            })?;
            if let Some("Succeeded" | "Failed") = text(&there, "/status/phase") {
                reached.tenant = got_through(&there, CHECK)?;
                let controlled =
                    items(pod, "/spec/containers").any(|one| text(one, "/name") == Some(CONTROL));
                reached.control = controlled && got_through(&there, CONTROL)?;
                break;
            }
            tokio::time::sleep(EVERY).await;
        }
    }
    Ok(reached)
}

/// Whether a container of a pod that ended got its connection. One that was refused it, or got none in time, has failed.
fn got_through(pod: &Value, container: &str) -> Result<bool, Trouble> {
    let code = items(pod, "/status/containerStatuses")
        .find(|status| text(status, "/name") == Some(container))
        .and_then(|status| status.pointer("/state/terminated/exitCode")?.as_i64());
    match code {
        Some(0) => Ok(true),
        // What nc says of a connection that does not come about; anything else is no answer.
        Some(1) => Ok(false),
        code => {
            let code = code.map_or_else(|| "without a code".to_owned(), |code| format!("with {code}"));
            Err(Trouble::Refused(format!(
                "{} ended {code}, so nothing is known; is there nc in its image (--image)?",
                see::object(pod)
            )))
        }
    }
}
