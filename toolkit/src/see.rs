//! Reading a cluster: kinds that may not be served, lists in pages, objects as JSON.
//!
//! What cannot be looked at is no failure of a verb that only looks: [`Listed`] says why, and the verb says it on.

use crate::trouble::Trouble;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;

/// A kind by which objects are asked for, whatever the cluster knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The group; empty for the core.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// As it stands in a path.
    pub plural: &'static str,
}

impl Kind {
    /// A kind of a group.
    pub const fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self {
            group,
            version,
            kind,
            plural,
        }
    }

    /// `group/version`, or the version alone for the core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `plural.group`, or the plural alone for the core: as rights and definitions name it.
    pub fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    fn described(&self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    /// Its objects in a namespace.
    pub fn within(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), namespace, &self.described())
    }

    /// Its objects everywhere, or those of a kind without namespaces.
    pub fn everywhere(&self, client: &Client) -> Api<DynamicObject> {
        Api::all_with(client.clone(), &self.described())
    }
}

/// The kinds that verbs read.
pub mod kinds {
    use super::Kind;
    /// Namespace.
    pub const NAMESPACE: Kind = Kind::new("", "v1", "Namespace", "namespaces");
    /// Node.
    pub const NODE: Kind = Kind::new("", "v1", "Node", "nodes");
    /// Pod.
    pub const POD: Kind = Kind::new("", "v1", "Pod", "pods");
    /// Service.
    pub const SERVICE: Kind = Kind::new("", "v1", "Service", "services");
    /// Secret.
    pub const SECRET: Kind = Kind::new("", "v1", "Secret", "secrets");
    /// ConfigMap.
    pub const CONFIG_MAP: Kind = Kind::new("", "v1", "ConfigMap", "configmaps");
    /// `ResourceQuota`.
    pub const QUOTA: Kind = Kind::new("", "v1", "ResourceQuota", "resourcequotas");
    /// Deployment.
    pub const DEPLOYMENT: Kind = Kind::new("apps", "v1", "Deployment", "deployments");
    /// `DaemonSet`.
    pub const DAEMON_SET: Kind = Kind::new("apps", "v1", "DaemonSet", "daemonsets");
    /// EndpointSlice.
    pub const SLICE: Kind = Kind::new("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
    /// Ingress.
    pub const INGRESS: Kind = Kind::new("networking.k8s.io", "v1", "Ingress", "ingresses");
    /// `IngressClass`.
    pub const CLASS: Kind = Kind::new("networking.k8s.io", "v1", "IngressClass", "ingressclasses");
    /// `NetworkPolicy`.
    pub const NETWORK_POLICY: Kind = Kind::new("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies");
    /// Istio's Gateway.
    pub const GATEWAY: Kind = Kind::new("networking.istio.io", "v1", "Gateway", "gateways");
    /// Istio's VirtualService.
    pub const VIRTUAL_SERVICE: Kind =
        Kind::new("networking.istio.io", "v1", "VirtualService", "virtualservices");
    /// Istio's `AuthorizationPolicy`.
    pub const AUTHORIZATION: Kind = Kind::new(
        "security.istio.io",
        "v1",
        "AuthorizationPolicy",
        "authorizationpolicies",
    );
    /// cert-manager's Certificate.
    pub const CERTIFICATE: Kind = Kind::new("cert-manager.io", "v1", "Certificate", "certificates");
    /// cert-manager's Issuer.
    pub const ISSUER: Kind = Kind::new("cert-manager.io", "v1", "Issuer", "issuers");
    /// cert-manager's `ClusterIssuer`.
    pub const CLUSTER_ISSUER: Kind = Kind::new("cert-manager.io", "v1", "ClusterIssuer", "clusterissuers");
    /// `ValidatingAdmissionPolicy`.
    pub const POLICY: Kind = Kind::new(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
    );
    /// `ValidatingAdmissionPolicyBinding`.
    pub const BINDING: Kind = Kind::new(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
    );
    /// `ValidatingWebhookConfiguration`.
    pub const WEBHOOK: Kind = Kind::new(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    );
}

/// What came of asking for a list.
#[derive(Clone, Debug, PartialEq)]
pub enum Listed {
    /// The objects, with their kind.
    Here(Vec<Value>),
    /// The cluster does not know the kind.
    NotServed,
    /// Whoever asks may not see it: what the API server said.
    Forbidden(String),
}

impl Listed {
    /// The objects, or none.
    pub fn objects(&self) -> &[Value] {
        match self {
            Self::Here(objects) => objects,
            Self::NotServed | Self::Forbidden(_) => &[],
        }
    }
}

/// How many objects are asked for at once, as kubectl does.
const PAGE: u32 = 500;

/// How often a list is begun anew because its pages became too old to go on with.
const ATTEMPTS: u32 = 4;

/// All objects of a kind, page by page.
pub async fn list(
    client: &Client,
    kind: Kind,
    namespace: Option<&str>,
    wanted: &ListParams,
) -> Result<Listed, Trouble> {
    list_only(client, kind, namespace, wanted, Some).await
}

/// The same, of which only what `keep` makes of each object stays in memory.
pub async fn list_only(
    client: &Client,
    kind: Kind,
    namespace: Option<&str>,
    wanted: &ListParams,
    keep: impl Fn(Value) -> Option<Value>,
) -> Result<Listed, Trouble> {
    let api = match namespace {
        Some(namespace) => kind.within(client, namespace),
        None => kind.everywhere(client),
    };
    let mut attempt = 1;
    let mut found: Vec<Value> = Vec::new();
    let mut page = wanted.clone().limit(PAGE);
    loop {
        match api.list(&page).await {
            Ok(list) => {
                let objects = list.items.iter().map(|object| whole(kind, object));
                found.extend(objects.filter_map(&keep));
                match list.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => page.continue_token = Some(token),
                    None => return Ok(Listed::Here(found)),
                }
            }
            Err(kube::Error::Api(status)) if status.code == 410 && attempt < ATTEMPTS => {
                attempt += 1;
                found.clear();
                page.continue_token = None;
            }
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Listed::NotServed),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return Ok(Listed::Forbidden(status.message.clone()));
            }
            Err(error) => return Err(Trouble::kube(format!("list {}", kind.resource()), &error)),
        }
    }
}

/// One object; none where it, or its kind, is not there.
pub async fn get(
    client: &Client,
    kind: Kind,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<Value>, Trouble> {
    let api = match namespace {
        Some(namespace) => kind.within(client, namespace),
        None => kind.everywhere(client),
    };
    match api.get_opt(name).await {
        Ok(found) => Ok(found.map(|object| whole(kind, &object))),
        Err(error) => Err(Trouble::kube(
            format!("read {} {}", kind.kind, place(namespace, name)),
            &error,
        )),
    }
}

/// As JSON, with the kind that items of lists leave out and without the bookkeeping of field managers.
fn whole(kind: Kind, object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".to_owned(), kind.api_version().into());
        fields.insert("kind".to_owned(), kind.kind.into());
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    value
}

/// `namespace/name`, or the name alone.
pub fn place(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

/// Text at a pointer, or none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// The items of a list at a pointer.
pub fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The entries of a map at a pointer.
pub fn entries<'a>(
    value: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    value
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

/// The namespace of an object, empty where it has none.
pub fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace").unwrap_or_default()
}

/// The name of an object.
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name").unwrap_or_default()
}

/// `Kind namespace/name` of an object.
pub fn object(value: &Value) -> String {
    let kind = text(value, "/kind").unwrap_or("object");
    match namespace(value) {
        "" => format!("{kind} {}", name(value)),
        namespace => format!("{kind} {namespace}/{}", name(value)),
    }
}

/// An annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str()
}

/// A label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(key)?.as_str()
}
