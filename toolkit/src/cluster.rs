//! Objects of kinds that a cluster may or may not serve, read page by page.

use crate::trouble::Trouble;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Preconditions};
use serde_json::Value;
use std::collections::BTreeMap;

/// How many objects are asked for at once.
const PAGE: u32 = 500;

/// Who writes, as server-side apply knows it.
pub const MANAGER: &str = "gradual-rollout";

/// A kind, in the versions that this program can read, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The group; empty for core.
    pub group: &'static str,
    /// Versions.
    pub versions: &'static [&'static str],
    /// As manifests call it.
    pub kind: &'static str,
    /// As paths call it.
    pub plural: &'static str,
}

const ISTIO: &[&str] = &["v1", "v1beta1", "v1alpha3"];

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $group:literal $versions:expr, $kind:literal $plural:literal;)*) => {$(
        $(#[$doc])*
        pub const $name: Kind = Kind { group: $group, versions: $versions, kind: $kind, plural: $plural };
    )*};
}

kinds! {
    /// Namespaces.
    NAMESPACE = "" &["v1"], "Namespace" "namespaces";
    /// Services.
    SERVICE = "" &["v1"], "Service" "services";
    /// `ConfigMaps`.
    CONFIG_MAP = "" &["v1"], "ConfigMap" "configmaps";
    /// Secrets.
    SECRET = "" &["v1"], "Secret" "secrets";
    /// Pods.
    POD = "" &["v1"], "Pod" "pods";
    /// Quotas.
    RESOURCE_QUOTA = "" &["v1"], "ResourceQuota" "resourcequotas";
    /// Deployments.
    DEPLOYMENT = "apps" &["v1"], "Deployment" "deployments";
    /// `DaemonSets`.
    DAEMON_SET = "apps" &["v1"], "DaemonSet" "daemonsets";
    /// Ingresses.
    INGRESS = "networking.k8s.io" &["v1"], "Ingress" "ingresses";
    /// Their classes.
    INGRESS_CLASS = "networking.k8s.io" &["v1"], "IngressClass" "ingressclasses";
    /// Istio's Gateways.
    GATEWAY = "networking.istio.io" ISTIO, "Gateway" "gateways";
    /// `VirtualServices`.
    VIRTUAL_SERVICE = "networking.istio.io" ISTIO, "VirtualService" "virtualservices";
    /// `DestinationRules`.
    DESTINATION_RULE = "networking.istio.io" ISTIO, "DestinationRule" "destinationrules";
    /// `AuthorizationPolicies`.
    AUTHORIZATION_POLICY = "security.istio.io" &["v1", "v1beta1"], "AuthorizationPolicy" "authorizationpolicies";
    /// cert-manager's Certificates.
    CERTIFICATE = "cert-manager.io" &["v1"], "Certificate" "certificates";
    /// Rollouts of this program.
    GRADUAL_ROLLOUT = "rollout.sealos.io" &["v1alpha1"], "GradualRollout" "gradualrollouts";
}

impl Kind {
    /// `plural.group`, as RBAC and kubectl name it.
    pub fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `Kind namespace/name`, or without a namespace where there is none.
    pub fn named(&self, namespace: &str, name: &str) -> String {
        if namespace.is_empty() {
            format!("{} {name}", self.kind)
        } else {
            format!("{} {namespace}/{name}", self.kind)
        }
    }

    fn at(&self, version: &str) -> ApiResource {
        let api_version = if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        };
        ApiResource {
            group: self.group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}

/// A cluster, and what it serves of the kinds that matter.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    asked: Vec<Kind>,
    served: BTreeMap<Kind, ApiResource>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({:?})", self.served.keys())
    }
}

impl Cluster {
    /// Asks which of some kinds are served.
    pub async fn look(client: &Client, kinds: &[Kind]) -> Result<Self, Trouble> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut served = BTreeMap::new();
        for kind in kinds {
            for version in kind.versions {
                let resource = kind.at(version);
                if !groups.contains_key(&resource.api_version) {
                    let plurals = plurals(client, &resource.api_version).await?;
                    groups.insert(resource.api_version.clone(), plurals);
                }
                let serves = groups
                    .get(&resource.api_version)
                    .is_some_and(|plurals| plurals.iter().any(|plural| plural == kind.plural));
                if serves {
                    served.insert(*kind, resource);
                    break;
                }
            }
        }
        Ok(Self {
            client: client.clone(),
            asked: kinds.to_vec(),
            served,
        })
    }

    /// Whether the cluster serves a kind.
    pub fn serves(&self, kind: &Kind) -> bool {
        self.served.contains_key(kind)
    }

    /// Group and version in which a kind is served.
    pub fn version(&self, kind: &Kind) -> Option<&str> {
        self.served
            .get(kind)
            .map(|resource| resource.api_version.as_str())
    }

    /// The way to a kind; none where it is not served.
    pub fn api(&self, kind: &Kind, namespace: Option<&str>) -> Option<Api<DynamicObject>> {
        // What was not asked about would look like what is not served.
        debug_assert!(self.asked.contains(kind), "{kind:?} was not looked for");
        let resource = self.served.get(kind)?;
        Some(match namespace {
            Some(namespace) if !namespace.is_empty() => {
                Api::namespaced_with(self.client.clone(), namespace, resource)
            }
            Some(_) | None => Api::all_with(self.client.clone(), resource),
        })
    }

    /// The way to a kind that a verb cannot do without.
    pub fn must(&self, kind: &Kind, namespace: Option<&str>) -> Result<Api<DynamicObject>, Trouble> {
        self.api(kind, namespace).ok_or_else(|| {
            Trouble::Refused(format!(
                "the cluster does not serve {}: install what defines it, then try again",
                kind.resource()
            ))
        })
    }

    /// All objects of a kind, in a namespace or everywhere; nothing where it is not served.
    pub async fn list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Vec<Value>, kube::Error> {
        let (Some(api), Some(resource)) = (self.api(kind, namespace), self.served.get(kind)) else {
            return Ok(Vec::new());
        };
        let mut again = true;
        'fresh: loop {
            let mut params = ListParams::default().limit(PAGE);
            if let Some(labels) = labels {
                params = params.labels(labels);
            }
            let mut found = Vec::new();
            loop {
                let page = match api.list(&params).await {
                    Ok(page) => page,
                    // A list that took too long has to begin anew; one that does so twice never ends.
                    Err(kube::Error::Api(status)) if status.code == 410 && again => {
                        again = false;
                        continue 'fresh;
                    }
                    Err(error) => return Err(error),
                };
                for item in page.items {
                    found.push(value(item, resource)?);
                }
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params = params.continue_token(&token),
                    None => return Ok(found),
                }
            }
        }
    }

    /// The same, where nothing can be done without it.
    pub async fn all(&self, kind: &Kind, namespace: Option<&str>) -> Result<Vec<Value>, Trouble> {
        let at = namespace.map_or_else(String::new, |namespace| format!(" in {namespace}"));
        self.list(kind, namespace, None)
            .await
            .map_err(|error| Trouble::kube(format!("list {}{at}", kind.resource()), &error))
    }

    /// One object; none where there is none, or where its kind is not served.
    pub async fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<Value>, kube::Error> {
        let (Some(api), Some(resource)) = (self.api(kind, Some(namespace)), self.served.get(kind)) else {
            return Ok(None);
        };
        let found = api.get_opt(name).await?;
        found.map(|object| value(object, resource)).transpose()
    }

    /// Whether a namespace that was typed is there; one that may not be looked at is taken to be.
    pub async fn known(&self, namespace: &str) -> Result<(), Trouble> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &NAMESPACE.at("v1"));
        match api.get_opt(namespace).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(Trouble::Usage(format!(
                "there is no namespace {namespace:?}: see kubectl get namespaces"
            ))),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
            Err(error) => Err(Trouble::kube(format!("read the namespace {namespace}"), &error)),
        }
    }

    /// Which cluster this is: the uid of `kube-system`, which lives as long as the cluster.
    pub async fn identity(&self) -> Result<Option<String>, Trouble> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &NAMESPACE.at("v1"));
        match api.get_opt("kube-system").await {
            Ok(found) => Ok(found.and_then(|namespace| namespace.metadata.uid)),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
            Err(error) => Err(Trouble::kube("read the namespace kube-system", &error)),
        }
    }
}

/// What is served under a group and version; nothing where neither is known.
async fn plurals(client: &Client, api_version: &str) -> Result<Vec<String>, Trouble> {
    let listed = if api_version.contains('/') {
        client.list_api_group_resources(api_version).await
    } else {
        client.list_core_api_resources(api_version).await
    };
    match listed {
        Ok(list) => Ok(list.resources.into_iter().map(|resource| resource.name).collect()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(Trouble::kube(
            format!("ask what the cluster serves as {api_version}"),
            &error,
        )),
    }
}

/// An object as JSON; items of lists do not say their kind.
fn value(object: DynamicObject, resource: &ApiResource) -> Result<Value, kube::Error> {
    let mut value = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".to_owned(), resource.api_version.clone().into());
        map.insert("kind".to_owned(), resource.kind.clone().into());
    }
    Ok(value)
}

/// An object to be written.
pub fn object(value: Value) -> Result<DynamicObject, Trouble> {
    serde_json::from_value(value)
        .map_err(|error| Trouble::Internal(format!("unable to make an object of JSON: {error}")))
}

/// A field of `metadata`.
pub fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .pointer("/metadata")
        .and_then(|meta| meta.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A label.
pub fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(name)?.as_str()
}

/// An annotation.
pub fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

/// Deletes exactly the object that was looked at, and nothing that took its place or was changed meanwhile.
pub fn exactly(object: &Value, dry_run: bool) -> DeleteParams {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let params = DeleteParams::background().preconditions(Preconditions {
        uid: some(meta(object, "uid")),
        resource_version: some(meta(object, "resourceVersion")),
    });
    if dry_run { params.dry_run() } else { params }
}
