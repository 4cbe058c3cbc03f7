//! Writing one object of a backup.

use super::diff;
use super::plan::{Doing, Step};
use crate::cluster::{self, Cluster, MANAGER};
use crate::finding::{Finding, Severity};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::Value;

/// What became of an object.
#[derive(Debug)]
pub struct Written {
    /// It is as it was, as far as [`Written::findings`] do not say otherwise.
    pub done: bool,
    /// Since when it is there, where it was created.
    pub since: Option<String>,
    /// Why it is not as it was.
    pub why: Option<String>,
    /// What should be known.
    pub findings: Vec<Finding>,
}

/// Writes an object; nothing is stored on a dry run.
pub async fn write(cluster: &Cluster, client: &Client, step: &Step, dry_run: bool) -> Written {
    let mut findings = Vec::new();
    let params = PostParams {
        dry_run,
        field_manager: Some(MANAGER.to_owned()),
    };
    let Some(api) = cluster.api(&step.kind, Some(&step.namespace)) else {
        let why = "the cluster does not serve its kind";
        findings.push(failed(step, why));
        return Written {
            done: false,
            since: None,
            why: Some(why.to_owned()),
            findings,
        };
    };
    let result = match &step.doing {
        Doing::Create => {
            let mut body = step.kept.clone();
            as_served(&mut body, cluster, step);
            findings.extend(owners(client, step, &mut body).await);
            create(&api, &params, body, step, &mut findings).await
        }
        Doing::Change { live, .. } => {
            let body = diff::merged(&step.kind, &step.kept, live);
            replace(&api, &params, body, step).await.map(|()| None)
        }
    };
    match result {
        Ok(since) => Written {
            done: true,
            since,
            why: None,
            findings,
        },
        Err(why) => {
            findings.push(failed(step, &why));
            Written {
                done: false,
                since: None,
                why: Some(why),
                findings,
            }
        }
    }
}

fn failed(step: &Step, why: &str) -> Finding {
    Finding {
        code: "RESTORE-FAILED",
        severity: Severity::Blocker,
        object: step.object(),
        message: format!("it was not written: {why}"),
        remedy: "mend that and ask again; what was written stays and is not written twice".to_owned(),
    }
}

/// The version in which the cluster serves a kind may have changed since.
fn as_served(body: &mut Value, cluster: &Cluster, step: &Step) {
    if let (Some(version), Some(body)) = (cluster.version(&step.kind), body.as_object_mut()) {
        body.insert("apiVersion".to_owned(), version.into());
    }
}

async fn create(
    api: &Api<DynamicObject>,
    params: &PostParams,
    body: Value,
    step: &Step,
    findings: &mut Vec<Finding>,
) -> Result<Option<String>, String> {
    let send = async |body: &Value| {
        let object = cluster::object(body.clone()).map_err(|trouble| (0, trouble.to_string()))?;
        match api.create(params, &object).await {
            Ok(made) => Ok(made.metadata.creation_timestamp.map(|time| time.0.to_string())),
            Err(kube::Error::Api(status)) => Err((status.code, status.message.clone())),
            Err(error) => Err((0, error.to_string())),
        }
    };
    match send(&body).await {
        Ok(since) => Ok(since),
        // Addresses are handed out: somebody else may have this one by now. A Service without its old address is
        // found by its name all the same.
        Err((422, why)) if step.kind == cluster::SERVICE && why.contains("spec.clusterIPs") => {
            let mut body = body;
            if let Some(spec) = body.get_mut("spec").and_then(Value::as_object_mut) {
                spec.remove("clusterIP");
                spec.remove("clusterIPs");
            }
            let since = send(&body).await.map_err(|(_, why)| why)?;
            findings.push(Finding {
                code: "RESTORE-ADDRESS-TAKEN",
                severity: Severity::Warning,
                object: step.object(),
                message: format!("it has a new cluster address, its old one is not to be had: {why}"),
                remedy: "look for clients that know it by address".to_owned(),
            });
            Ok(since)
        }
        Err((_, why)) => Err(why),
    }
}

async fn replace(
    api: &Api<DynamicObject>,
    params: &PostParams,
    body: Value,
    step: &Step,
) -> Result<(), String> {
    let object = cluster::object(body).map_err(|trouble| trouble.to_string())?;
    match api.replace(&step.name, params, &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            Err("somebody changed it while it was compared".to_owned())
        }
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => Err(error.to_string()),
    }
}

/// Gives an object the owners that are there, under the uids that they have now: with an owner that is not there it
/// would be collected as garbage.
async fn owners(client: &Client, step: &Step, body: &mut Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(meta) = body.get_mut("metadata").and_then(Value::as_object_mut) else {
        return findings;
    };
    let Some(Value::Array(named)) = meta.remove("ownerReferences") else {
        return findings;
    };
    let mut kept = Vec::new();
    for mut owner in named {
        match uid(client, &step.namespace, &owner).await {
            Ok(Some(uid)) => {
                if let Some(owner) = owner.as_object_mut() {
                    owner.insert("uid".to_owned(), uid.into());
                }
                kept.push(owner);
            }
            Ok(None) => {
                let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
                findings.push(Finding {
                    code: "RESTORE-OWNER-GONE",
                    severity: Severity::Warning,
                    object: step.object(),
                    message: format!(
                        "it is written without its owner {} {}, which is not there",
                        text("kind"),
                        text("name")
                    ),
                    remedy:
                        "when the owner is there again, delete the object for its controller to write it anew"
                            .to_owned(),
                });
            }
            Err(why) => findings.push(Finding {
                code: "RESTORE-OWNER-UNKNOWN",
                severity: Severity::Warning,
                object: step.object(),
                message: format!("it is written without an owner that could not be looked up: {why}"),
                remedy: "have the right to read the owner granted, delete the object and restore it again"
                    .to_owned(),
            }),
        }
    }
    if !kept.is_empty() {
        meta.insert("ownerReferences".to_owned(), Value::Array(kept));
    }
    findings
}

/// The uid that an owner has now.
async fn uid(client: &Client, namespace: &str, owner: &Value) -> Result<Option<String>, String> {
    let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind, name) = (text("apiVersion"), text("kind"), text("name"));
    let listed = match api_version.split_once('/') {
        Some(_) => client.list_api_group_resources(api_version).await,
        None => client.list_core_api_resources(api_version).await,
    };
    let list = match listed {
        Ok(list) => list,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let served = list
        .resources
        .into_iter()
        .find(|r| r.kind == kind && !r.name.contains('/'));
    let Some(served) = served else { return Ok(None) };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: served.name,
    };
    let api: Api<DynamicObject> = if served.namespaced {
        Api::namespaced_with(client.clone(), namespace, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    };
    let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
    Ok(found.and_then(|owner| owner.metadata.uid))
}
