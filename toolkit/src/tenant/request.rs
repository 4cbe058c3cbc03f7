//! A request to a tenant's Service from two pods: one that must reach it, and one that must not.

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
}

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
    let (service, port) = target(args, tenant, place).await?;
    let pods = [tenant.namespace.as_str(), args.from.as_str()].map(|namespace| {
        pod(
            tenant,
            namespace,
            &format!("{service}.{}.svc", tenant.namespace),
            port,
            &args.image,
        )
    });
    let mut made: Vec<Value> = Vec::new();
    let mut outcome = Ok([false; 2]);
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
    let [from_own, from_other] = outcome?;
    Ok(Outcome {
        target: format!("{service}:{port}"),
        from_own,
        from_other,
    })
}

/// The Service and port that were named, or the first with a ready endpoint.
async fn target(args: &CheckArgs, tenant: &Tenant, place: &Place<'_>) -> Result<(String, u16), Trouble> {
    if let Some(named) = &args.service {
        let parsed = named
            .split_once(':')
            .and_then(|(name, port)| Some((name, port.parse().ok()?)));
        let (name, port) =
            parsed.ok_or_else(|| Trouble::Usage(format!("--service {named:?} is not NAME:PORT")))?;
        return Ok((name.to_owned(), port));
    }
    let within = Some(tenant.namespace.as_str());
    let slices = see::list(&place.client, kinds::SLICE, within, &ListParams::default()).await?;
    let services = see::list(&place.client, kinds::SERVICE, within, &ListParams::default()).await?;
    for slice in slices.objects() {
        let ready = items(slice, "/endpoints")
            .any(|endpoint| endpoint.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false));
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
            return Ok((name.to_owned(), port));
        }
    }
    Err(Trouble::Refused(format!(
        "no Service in {} has a ready endpoint, so there is nothing to ask for; start one, or name it with --service",
        tenant.namespace
    )))
}

/// Connects once and ends; takes no right, no token, next to no room.
fn pod(tenant: &Tenant, namespace: &str, host: &str, port: u16, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "generateName": "gradual-rollout-check-", "labels": tenant.labels()},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false, "activeDeadlineSeconds": 120,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "check", "image": image,
                "command": ["nc", "-z", "-w", CONNECT.to_string(), host, port.to_string()],
                "resources": {
                    "requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"},
                },
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
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

/// Waits until both have ended. A pod that was refused a connection, or got none in time, has failed.
async fn wait(place: &Place<'_>, pods: &[Value]) -> Result<[bool; 2], Trouble> {
    let mut reached = [false; 2];
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
            let code = there
                .pointer("/status/containerStatuses/0/state/terminated/exitCode")
                .and_then(Value::as_i64);
            match (text(&there, "/status/phase"), code) {
                (Some("Succeeded"), _) => {
                    *reached = true;
                    break;
                }
                // 1 is what nc says of a connection that does not come about; anything else is no answer.
                (Some("Failed"), Some(1)) => break,
                (Some("Failed"), code) => {
                    let code =
                        code.map_or_else(|| "without a code".to_owned(), |code| format!("with {code}"));
                    return Err(Trouble::Refused(format!(
                        "{} ended {code}, so nothing is known; is there nc in its image (--image)?",
                        see::object(pod)
                    )));
                }
                _ => tokio::time::sleep(EVERY).await,
            }
        }
    }
    Ok(reached)
}
